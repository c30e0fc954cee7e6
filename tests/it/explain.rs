//! `fairlead explain`: from a field to the line that set it, its author, and who holds it in a cluster.

use crate::bed::manifests::deployment_of;
use crate::bed::{Bed, Repo, SECOND, fairlead, wait_until};

const KUSTOMIZATION: &str = "resources:\n- all.yaml\nreplicas:\n- name: web\n  count: 2\n\
                             secretGenerator:\n- name: keys\n  literals:\n  - token=canary-5d1\n";

#[test]
fn a_field_leads_to_its_line_and_its_author_and_to_who_holds_it_in_the_cluster() {
    let bed = Bed::new("explain");
    let _agent = bed.agent();
    let (config, content) = bed.config("{name: web, path: web}", "rollout: {timeout: 60s}");
    let web = deployment_of("web", 1, "registry.example/web:1", "", &[]);
    let revision =
        bed.commit(&[(&config, &content), ("web/all.yaml", &web), ("web/kustomization.yaml", KUSTOMIZATION)]);
    bed.wait_ready(&revision);
    // Beside what the agent holds, a person holds a field of their own.
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", bed.name);
    bed.api().merge(&path, &serde_json::json!({"spec": {"minReadySeconds": 1}}));
    wait_until(10 * SECOND, "the change is there", || {
        bed.deployment("web").is_some_and(|web| web["spec"]["minReadySeconds"] == 1)
    });

    let ask = |rest: &[&str]| {
        let arguments = [&["explain", "deploy/web"], rest, &["--env", &bed.name]].concat();
        bed.fairlead_here(&arguments).ok().stdout
    };
    let text = ask(&["spec.replicas"]);
    for words in [
        "spec.replicas: 2\n",
        "set by replicas at web/kustomization.yaml:5",
        "before 1, resource at web/all.yaml:",
        "live the same, held by fairlead (Apply)",
        &revision[..10],
        " Ada: A change",
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    let arguments = ["explain", "deploy/web", "spec.replicas", "--env", &bed.name, "-o", "json"];
    let json = bed.fairlead_here(&arguments).ok().json();
    let field = &json[0]["fields"][0];
    assert_eq!(field["settings"][1]["place"]["path"], "web/kustomization.yaml", "{json:#}");
    assert_eq!(field["settings"][1]["commit"]["id"], revision.as_str(), "{json:#}");
    assert_eq!(field["live"]["managers"][0]["manager"], "fairlead", "{json:#}");
    assert!(!ask(&["spec.replicas", "--offline"]).contains("live"));
    let theirs = ask(&["spec.minReadySeconds"]);
    assert!(theirs.contains("git does not say\n    live 1, held by somebody (Update)"), "{theirs}");
    let label = ask(&["metadata.labels.fairlead.dev/app"]);
    assert!(label.contains("git does not say\n    live web, held by fairlead (Apply)"), "{label}");

    let secret = bed.fairlead_here(&["explain", "secret/keys", "data.token", "--env", &bed.name]).ok();
    assert!(secret.stdout.contains("literal at web/kustomization.yaml:9"), "{secret:?}");
    let encoded = "Y2FuYXJ5LTVkMQ";
    assert!(!secret.stdout.contains("canary") && !secret.stdout.contains(encoded), "{secret:?}");
    let secret = bed.fairlead_here(&["explain", "secret/keys", "--env", &bed.name, "-o", "json"]).ok();
    assert!(!secret.stdout.contains("canary") && !secret.stdout.contains(encoded), "{secret:?}");
}

#[test]
fn without_a_cluster_or_with_a_wrong_name_it_says_so() {
    let repo = Repo::default();
    repo.write("web/all.yaml", deployment_of("web", 1, "a:1", "", &[]).as_bytes());
    repo.write("web/kustomization.yaml", KUSTOMIZATION.as_bytes());
    repo.push("main");
    repo.write("web/kustomization.yaml", KUSTOMIZATION.replace("count: 2", "count: 4").as_bytes());
    let folder = repo.work().join("web");
    let ask = |rest: &[&str]| -> crate::bed::Said {
        let mut command = fairlead();
        command.env("HOME", repo.work()).env_remove("KUBERNETES_SERVICE_HOST");
        command.args(["explain", "--folder"]).arg(&folder).args(rest);
        command.output().expect("the binary runs").into()
    };
    let said = ask(&["deployment/web", "/spec/replicas"]).ok();
    assert!(said.stdout.contains("cluster: could not be asked: no cluster is configured"), "{said:?}");
    assert!(said.stdout.contains("web/kustomization.yaml:5   not committed"), "{said:?}");
    let said = ask(&["deployment/web", "spec.replicaz", "--offline"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("it has no field spec.replicaz (there is spec)"), "{said:?}");
    let said = ask(&["deployment/wob", "--offline"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("no object here is deployment/wob"), "{said:?}");
    assert!(said.stderr.contains("there is Deployment.apps web"), "{said:?}");
    assert_eq!(ask(&["web", "--offline"]).code, 2);
}
