//! Who changed something, by the audit log of a real API server.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, ControlPlane, SOON, Setup, find, wait_until};

const TOKEN: &str = "the-token-of-the-audit-log";

/// A certificate for loopback, a token, and what the API server is told.
struct Hearing {
    folder: TempDir,
    port: u16,
}

impl Hearing {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // Nobody takes it before the agent does, as far as one can tell: the API server has to know it first.
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let this = Self { folder, port };
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
                         -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.crt";
        let made = Command::new("openssl")
            .current_dir(this.folder.path())
            .args(arguments.split_whitespace())
            .output();
        let made = made.expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        this.write("token", TOKEN);
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": [
                {"level": "None", "verbs": ["get", "list", "watch"]},
                {"level": "None", "resources": [{"group": "coordination.k8s.io"}, {"group": "events.k8s.io"}]},
                {"level": "Metadata"},
            ],
        });
        this.write("policy.yaml", &policy.to_string());
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fairlead",
            "clusters": [{"name": "fairlead", "cluster": {
                "server": format!("https://127.0.0.1:{port}/audit"), "certificate-authority": this.path("tls.crt")}}],
            "users": [{"name": "fairlead", "user": {"token": TOKEN}}],
            "contexts": [{"name": "fairlead", "context": {"cluster": "fairlead", "user": "fairlead"}}],
        });
        this.write("webhook.yaml", &kubeconfig.to_string());
        this
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("it is written");
    }

    fn control_plane(&self) -> ControlPlane {
        let arguments = [
            format!("--audit-policy-file={}", self.path("policy.yaml")),
            format!("--audit-webhook-config-file={}", self.path("webhook.yaml")),
            "--audit-webhook-batch-max-wait=1s".to_owned(),
            "--audit-webhook-initial-backoff=200ms".to_owned(),
        ];
        let arguments: Vec<String> =
            arguments.iter().map(|argument| format!("--apiserver-arg={argument}")).collect();
        ControlPlane::own(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("FAIRLEAD_AUDIT_WEBHOOK", format!("127.0.0.1:{}", self.port)),
            ("FAIRLEAD_AUDIT_WEBHOOK_CERT", self.path("tls.crt")),
            ("FAIRLEAD_AUDIT_WEBHOOK_KEY", self.path("tls.key")),
            ("FAIRLEAD_AUDIT_WEBHOOK_TOKEN_FILE", self.path("token")),
        ]
    }
}

pub fn report(bed: &Bed) -> Value {
    let path = format!("/apis/fairlead.dev/v1alpha1/driftreports/{}", bed.name);
    bed.api().get(&path).unwrap_or_default()["spec"].clone()
}

#[test]
fn whoever_the_audit_log_names_stands_in_the_report_and_the_history() {
    let hearing = Hearing::new();
    let plane = Arc::new(hearing.control_plane());
    let bed = Setup::new("who").within(&plane).make();
    let history = format!("sqlite:{}", bed.cache().with_file_name("history.sqlite").display());
    let more = hearing.environment();
    let mut more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    more.push(("FAIRLEAD_HISTORY", &history));
    let agent = bed.agent_with(&more);
    let (path, config) =
        bed.config("{name: web, path: web}", "drift: {rules: [{policy: report, kinds: [ConfigMap]}]}");
    let manifests = configmap("settings", "1") + &deployment("web", &[]);
    bed.wait_ready(&bed.commit(&[(&path, &config), ("web/all.yaml", &manifests)]));

    // One is put back, by a user; the other stays, and was changed in the name of another.
    bed.kubectl(&["create", "serviceaccount", "ada"]).ok();
    let account = format!("{}:ada", bed.name);
    bed.kubectl(&[
        "create",
        "rolebinding",
        "ada",
        "--clusterrole=admin",
        &format!("--serviceaccount={account}"),
    ])
    .ok();
    let token = bed.kubectl(&["create", "token", "ada"]).ok().stdout;
    let ada = bed.kubeconfig_of("ada", token.trim());
    let scaled = bed.kubectl(&[
        "--kubeconfig",
        ada.to_str().expect("UTF-8"),
        "scale",
        "deployment/web",
        "--replicas=3",
    ]);
    scaled.ok();
    let patch = r#"{"data":{"value":"by hand"}}"#;
    let bob = ["--as", "bob", "--as-group", "system:masters"];
    bed.kubectl(&[&bob[..], &["patch", "configmap", "settings", "--type=merge", "--patch", patch]].concat())
        .ok();

    let who = |list: &str, object: &str| {
        let rows = report(&bed)[list].clone();
        find(
            &rows,
            "object",
            &format!("{object} {}/{}", bed.name, if object == "ConfigMap" { "settings" } else { "web" }),
        )["who"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let ada = format!("system:serviceaccount:{account}");
    wait_until(SOON, "who scaled it is known", || who("putBack", "Deployment.apps") == ada);
    wait_until(SOON, "who patched it is known, and in whose name", || {
        who("open", "ConfigMap").starts_with("bob, impersonated by ")
    });
    // The same in the history, and at the command line.
    wait_until(SOON, "the history has both", || {
        let told = bed.fairlead(&["history", "--history", &history, "--kind", "drift"]).ok().stdout;
        told.contains(&ada) && told.contains("bob, impersonated by ")
    });
    let drift = bed.fairlead_here(&["drift", &bed.name]);
    assert!(drift.code == 3 && drift.stdout.contains("changed by bob, impersonated by "), "{drift:?}");
    let json = bed.fairlead(&["history", "--history", &history, "--kind", "drift", "-o", "json"]).ok().json();
    let record = find(&json, "path", "/spec/replicas");
    assert_eq!(record["principal"]["sourceAddress"], "127.0.0.1", "{record:#}");
    assert!(
        record["principal"]["userAgent"].as_str().is_some_and(|agent| agent.starts_with("kubectl/")),
        "{record:#}"
    );
    assert!(record["principal"]["groups"].to_string().contains("system:serviceaccounts"), "{record:#}");

    // A delete has a name, too.
    bed.kubectl(&[&bob[..], &["delete", "deployment/web"]].concat()).ok();
    wait_until(SOON, "who deleted it is known", || {
        let rows = report(&bed)["putBack"].clone();
        find(&rows, "class", "deleted")["who"]
            .as_str()
            .is_some_and(|who| who.starts_with("bob, impersonated by "))
    });
    let metrics = agent.page("/metrics").1;
    assert!(metrics.contains("fairlead_drift_named_total{late="), "{metrics}");
    assert!(metrics.contains("fairlead_audit_refused 0\n"), "{metrics}");
}

#[test]
fn without_tls_or_a_way_to_tell_who_sends_the_agent_does_not_start() {
    let refused = |arguments: &[&str], words: &str| {
        let mut command = crate::bed::fairlead();
        let said: crate::bed::Said =
            command.arg("agent").args(arguments).output().expect("the binary runs").into();
        assert!(said.code == 2 && said.stderr.contains(words), "{said:?}");
    };
    let listen = ["--audit-webhook", "127.0.0.1:0"];
    refused(&listen, "--audit-webhook-cert");
    let tls = [&listen[..], &["--audit-webhook-cert", "/none", "--audit-webhook-key", "/none"]].concat();
    refused(&tls, "--audit-webhook-client-ca");
}
