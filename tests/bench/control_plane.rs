use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::process::{Usage, usage};

/// A control plane of its own for each workload; it ends with us.
pub struct ControlPlane {
    child: Child,
    _stdin: ChildStdin,
    pub kubeconfig: PathBuf,
    pub kubectl: PathBuf,
    pid: u32,
}

impl ControlPlane {
    pub fn start() -> Self {
        let binary = std::env::var("FAIRLEAD_CONTROLPLANE").map_or_else(|_| build(), PathBuf::from);
        let mut child = Command::new(&binary)
            .args(["serve", "--stop-on-stdin-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the control plane starts");
        let stdin = child.stdin.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("the control plane says it is ready");
        let facts: Value = serde_json::from_str(&line).expect("one line of JSON");
        Self {
            kubeconfig: facts["kubeconfig"].as_str().expect("a path").into(),
            pid: facts["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(child.id()),
            kubectl: binary.with_file_name("kubectl"),
            child,
            _stdin: stdin,
        }
    }

    pub fn usage(&self) -> Usage {
        usage(self.pid)
    }

    pub async fn client(&self) -> kube::Client {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let mut config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.expect("a config");
        config.default_retry = false;
        kube::Client::try_from(config).expect("a client")
    }

    pub async fn namespace(&self, name: &str) {
        let api = Api::<Namespace>::all(self.client().await);
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        api.patch(name, &PatchParams::apply("bench"), &Patch::Apply(body)).await.expect("a namespace");
    }

    /// How many requests about `resource` the server has answered, watches left out.
    pub async fn requests(&self, resource: &str) -> u64 {
        let request = http::Request::get("/metrics").body(Vec::new()).expect("a request");
        let text = self.client().await.request_text(request).await.expect("metrics");
        let wanted = format!("resource=\"{resource}\"");
        text.lines()
            .filter(|line| line.starts_with("apiserver_request_total{") && line.contains(&wanted))
            .filter(|line| !line.contains("verb=\"WATCH\"") && !line.contains("subresource=\"status\""))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum::<f64>() as u64
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn build() -> PathBuf {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/controlplane/build.sh");
    let output = Command::new(script).output().expect("the control plane is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}
