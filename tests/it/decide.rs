//! One decision for all that has one cause.

use http::Method;
use serde_json::{Value, json};

use crate::bed::manifests::deployment_of;
use crate::bed::{Api, Bed, SECOND, SOON, holds_for, rbac, wait_until};

fn replicas(bed: &Bed, name: &str) -> Option<u64> {
    bed.deployment(name)?["spec"]["replicas"].as_u64()
}

fn scale(bed: &Bed, replicas: u32) {
    for name in ["web", "api"] {
        bed.kubectl(&["scale", &format!("deployment/{name}"), &format!("--replicas={replicas}")]).ok();
    }
}

/// How the cause is named that both Deployments have in common.
const CAUSE: &str = "kubectl:spec.replicas";

fn wait_for_cause(bed: &Bed) {
    wait_until(SOON, "both have one cause", || {
        let said = bed.fairlead_here(&["drift", &bed.name]);
        said.stdout.lines().any(|line| line.starts_with("2 objects have one cause") && line.contains(CAUSE))
    });
}

#[test]
fn all_that_has_one_cause_is_put_back_left_alone_or_written_into_git_by_one_decision() {
    let bed = Bed::new("one-cause");
    let _agent = bed.agent();
    let (path, config) = bed.config("{name: web, path: web}", "drift: {policy: report}");
    let both: String =
        ["web", "api"].map(|name| deployment_of(name, 1, "registry.example/web:1", "", &[])).concat();
    bed.wait_ready(&bed.commit(&[(&path, &config), ("web/all.yaml", &both)]));
    let count = |wanted| replicas(&bed, "web") == Some(wanted) && replicas(&bed, "api") == Some(wanted);

    scale(&bed, 3);
    wait_for_cause(&bed);
    holds_for(2 * SECOND, "it is only reported", || count(3));
    let said = bed.fairlead_here(&["drift", "decide", "robot:spec.paused", "heal"]);
    assert!(said.code == 2 && said.stderr.contains(CAUSE), "{said:?}");

    // Who may leave it alone may not put it back.
    let (_, token) = rbac::person(bed.api(), &bed.name, "ada", &bed.name, &["ignore"]);
    let ada = Api::of(&bed.kubeconfig_of("ada", &token));
    let ask = |verb: &str| {
        let spec = json!({"verb": verb, "environment": bed.name, "by": format!("system:serviceaccount:{}:ada", bed.name),
            "objects": ["Deployment.apps other/other"], "duration": "1s"});
        let body = json!({"apiVersion": "fairlead.dev/v1alpha1", "kind": "Request", "metadata": {"name": format!("{}-{verb}-ada", bed.name)}, "spec": spec});
        ada.request(Method::POST, "/apis/fairlead.dev/v1alpha1/requests", "application/json", Some(&body)).0
    };
    wait_until(SOON, "the right is known", || ask("ignore") == 201);
    assert_eq!(ask("heal"), 403);

    bed.fairlead_here(&["drift", "decide", CAUSE, "heal", "--reason", "it was a mistake"]).ok();
    wait_until(SOON, "both are put back", || count(1));
    let request = bed.requests("heal").remove(0);
    assert_eq!(request["spec"]["field"], "spec.replicas");
    assert_eq!(request["spec"]["cause"], CAUSE);
    assert_eq!(request["status"]["state"], "Going");
    bed.fairlead(&["release", &bed.name]).ok();

    scale(&bed, 4);
    wait_for_cause(&bed);
    bed.fairlead_here(&["drift", "decide", CAUSE, "ignore", "--for", "2h", "--reason", "a sale"]).ok();
    wait_until(SOON, "it is theirs", || bed.fairlead_here(&["drift", &bed.name]).code == 0);
    let all = bed.fairlead_here(&["drift", &bed.name, "--all"]);
    assert!(all.stdout.contains("(ignore, by ") && all.stdout.contains("(a sale)"), "{all:?}");
    wait_until(SOON, "nothing is said of it", || {
        !bed.app("web")["message"].as_str().unwrap_or_default().contains("someone else")
    });
    assert!(count(4));
    bed.fairlead(&["release", &bed.name]).ok();
    wait_until(SOON, "it is reported again", || bed.fairlead_here(&["drift", &bed.name]).code == 3);

    wait_for_cause(&bed);
    let said = bed.fairlead_here(&["drift", "decide", CAUSE, "adopt"]).ok();
    assert_eq!(said.stdout.matches("+  replicas: 4").count(), 2, "{said:?}");
    let file = bed.repo.work().parent().expect("a folder").join("a.patch");
    std::fs::write(&file, &said.stdout).expect("writing");
    bed.repo.git(&["apply", file.to_str().expect("UTF-8")]);
    bed.wait_ready(&bed.repo.push("main"));
    assert_eq!(bed.fairlead_here(&["drift", &bed.name]).code, 0);
    assert!(count(4));

    let url = format!("sqlite:{}", bed.cache().join("history.sqlite").display());
    let told = || -> Vec<Value> {
        let said = bed.fairlead(&[
            "history",
            "--env",
            &bed.name,
            "--history",
            &url,
            "--kind",
            "events",
            "-o",
            "json",
        ]);
        let all = if said.code == 0 { said.json() } else { Value::Null };
        all.as_array().cloned().unwrap_or_default()
    };
    wait_until(SOON, "who decided what is in the history", || {
        let has = |verb: &str, why: &str| {
            told().iter().any(|event| {
                event["details"]["verb"] == verb && event["why"] == why && event["details"]["objects"] == 2
            })
        };
        has("heal", "it was a mistake") && has("ignore", "a sale")
    });
}
