//! What somebody changed by hand goes back into git: as a patch that git takes, and after which nothing is changed any more.

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment_of};
use crate::bed::{Bed, SECOND, SOON, holds_for, wait_until};

/// An environment over a base that another one of the tree is over, too.
fn commit(bed: &Bed) -> String {
    let overlay = format!("overlays/{}/web", bed.name);
    let (path, config) = bed.config(&format!("{{name: web, path: {overlay}}}"), "drift: {policy: report}");
    let other = config.replace(&overlay, "overlays/other/web");
    let base = configmap("settings", "1") + &deployment_of("web", 1, "registry.example/web:1", "", &[]);
    bed.commit(&[
        (&path, &config),
        ("environments/other/environment.yaml", &other),
        ("base/kustomization.yaml", "resources: [all.yaml]\n"),
        ("base/all.yaml", &base),
        ("overlays/other/web/kustomization.yaml", "resources: [../../../base]\n"),
        (
            &format!("{overlay}/kustomization.yaml"),
            "resources:\n- ../../../base # shared\nimages:\n# What runs here.\n- name: registry.example/web\n  newTag: \"2\"\n",
        ),
    ])
}

fn spec(bed: &Bed) -> Value {
    bed.deployment("web").map(|web| web["spec"].clone()).unwrap_or_default()
}

#[test]
fn what_was_changed_by_hand_becomes_what_git_says_and_nothing_is_changed_any_more() {
    let bed = Bed::new("back");
    let _agent = bed.agent();
    bed.wait_ready(&commit(&bed));
    bed.kubectl(&["scale", "deployment/web", "--replicas=3"]).ok();
    bed.kubectl(&["set", "image", "deployment/web", "main=registry.example/web:1.10"]).ok();
    bed.set_by_hand("settings");
    wait_until(SOON, "it is only reported", || bed.fairlead_here(&["drift", &bed.name]).code == 3);

    let said = bed.fairlead_here(&["drift", &bed.name, "--write-back", "deploy/web"]).ok();
    let overlay = format!("overlays/{}/web/kustomization.yaml", bed.name);
    assert!(said.stdout.starts_with(&format!("--- a/{overlay}\n+++ b/{overlay}\n")), "{said:?}");
    assert!(said.stdout.contains("-  newTag: \"2\"\n+  newTag: \"1.10\"\n"), "{said:?}");
    assert!(
        said.stdout.contains("+      replicas: 3\n") && !said.stdout.contains("base/all.yaml"),
        "{said:?}"
    );
    let before = spec(&bed);
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("a.patch");
    let take = |patch: &str| {
        std::fs::write(&file, patch).expect("writing");
        bed.repo.git(&["apply", file.to_str().expect("UTF-8")]);
    };
    take(&said.stdout);
    // The next one is of the tree with the first in it.
    take(&bed.fairlead_here(&["drift", &bed.name, "--write-back", "cm/settings"]).ok().stdout);
    let revision = bed.repo.push("main");
    bed.wait_ready(&revision);
    let drift = bed.fairlead_here(&["drift", &bed.name]);
    assert_eq!((drift.code, drift.stdout.as_str()), (0, ""), "{drift:?}");
    assert_eq!(spec(&bed), before, "nothing of it was written otherwise");
    assert_eq!(before["replicas"], json!(3));
    let text = bed.repo.git(&["show", &format!("HEAD:{overlay}")]);
    assert!(text.contains("# shared") && text.contains("# What runs here."), "{text}");
    let version = || bed.deployment("web").map(|web| web["metadata"]["resourceVersion"].clone());
    let now = version();
    holds_for(3 * SECOND, "the agent is quiet", || version() == now);
    assert_eq!(bed.configmap("settings").expect("it is there")["data"]["value"], "by hand");
    let render = |name: &str| bed.fairlead_here(&["render", "--env", name]).ok().stdout;
    assert!(render("other").contains("replicas: 1\n"), "another environment is what it was");
}

#[test]
fn what_cannot_be_written_back_is_told_with_the_reason() {
    let bed = Bed::new("notback");
    let _agent = bed.agent();
    let (path, config) = bed.config("{name: web, path: web}", "drift: {policy: report}");
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {password: one}\n";
    let all = configmap("settings", "1") + secret;
    bed.wait_ready(&bed.commit(&[(&path, &config), ("web/all.yaml", &all)]));
    let patch = r#"{"data":{"password":"dHdv"}}"#;
    bed.kubectl(&["patch", "secret", "key", "--type=merge", "--patch", patch]).ok();
    bed.kubectl(&["delete", "configmap/settings"]).ok();
    wait_until(SOON, "it is only reported", || bed.fairlead_here(&["drift", &bed.name]).code == 3);
    for (object, why) in [
        ("secret/key", "values of Secrets are never written into git"),
        ("configmap/settings", "the object is gone"),
        ("deployment/web", "nothing of deployment/web was changed by others"),
    ] {
        let mut said = bed.fairlead_here(&["drift", &bed.name, "--write-back", object]);
        wait_until(SOON, "both are seen", || {
            said = bed.fairlead_here(&["drift", &bed.name, "--write-back", object]);
            said.stderr.contains(why)
        });
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{said:?}");
    }
}
