//! What leaves git leaves the cluster: last, within a budget, and only on evidence.

use serde_json::{Value, json};

use crate::bed::manifests::{annotated_configmap, configmap, deployment};
use crate::bed::{Bed, Class, Effect, Fault, SECOND, SOON, Setup, holds_for, wait_until};

const INSTANT: std::time::Duration = std::time::Duration::from_millis(2_500);

fn configmaps(names: &[&str]) -> String {
    names.iter().map(|name| configmap(name, "1")).collect()
}

fn uid(bed: &Bed, name: &str) -> Value {
    bed.configmap(name).expect("it is there")["metadata"]["uid"].clone()
}

#[track_caller]
fn wait_gone(bed: &Bed, name: &str) {
    wait_until(SOON, "it is deleted", || bed.configmap(name).is_none());
}

#[track_caller]
fn stays(bed: &Bed, names: &[&str]) {
    holds_for(INSTANT, "they stay", || names.iter().all(|name| bed.configmap(name).is_some()));
}

fn annotation(bed: &Bed, name: &str) -> String {
    bed.environment()["metadata"]["annotations"][name].as_str().unwrap_or_default().to_owned()
}

const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";

#[test]
fn what_leaves_git_is_deleted_after_the_gates() {
    let bed = Bed::new("leave");
    let _agent = bed.agent();
    let first = bed.commit_web(&(configmaps(&["kept", "leaves"]) + &deployment("web", &[])));
    bed.wait_ready(&first);
    let second = bed.commit_web(&(configmaps(&["kept"]) + &deployment("web", &[("ready-after", "4s")])));
    bed.wait_app("web", "Waiting");
    assert!(bed.configmap("leaves").is_some(), "the old pods may still read it");
    bed.wait_ready(&second);
    wait_gone(&bed, "leaves");
    assert!(bed.configmap("kept").is_some());
    wait_until(SOON, "an event says so", || {
        bed.events().iter().any(|event| event.contains("/leaves left git"))
    });
    wait_until(SOON, "nothing is left over", || bed.status()["prune"] == Value::Null);
}

#[test]
fn an_object_that_moves_to_another_app_keeps_its_uid() {
    let bed = Bed::new("move");
    let _agent = bed.agent();
    let first = bed.commit_apps(&[("web", &configmaps(&["a", "moves"])), ("api", &configmaps(&["b"]))]);
    bed.wait_ready(&first);
    let before = uid(&bed, "moves");
    let second = bed.commit_apps(&[("web", &configmaps(&["a"])), ("api", &configmaps(&["b", "moves"]))]);
    bed.wait_ready(&second);
    wait_until(SOON, "it is the other app's", || {
        bed.configmap("moves").is_some_and(|found| found["metadata"]["labels"]["fairlead.dev/app"] == "api")
    });
    stays(&bed, &["a", "b", "moves"]);
    assert_eq!(uid(&bed, "moves"), before);
}

#[test]
fn a_renamed_app_keeps_its_objects() {
    let bed = Bed::new("rename");
    let _agent = bed.agent();
    let first = bed.commit_apps(&[("web", &configmaps(&["a", "b"]))]);
    bed.wait_ready(&first);
    let before = uid(&bed, "a");
    let second = bed.commit_apps(&[("shop", &configmaps(&["a", "b"]))]);
    bed.wait_ready(&second);
    stays(&bed, &["a", "b"]);
    assert_eq!(uid(&bed, "a"), before);
    assert_eq!(bed.configmap("a").unwrap()["metadata"]["labels"]["fairlead.dev/app"], "shop");
}

#[test]
fn more_than_the_budget_waits_for_an_approval_of_exactly_that() {
    let bed = Bed::new("budget");
    let agent = bed.agent();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let first = bed.commit_web(&configmaps(&names));
    bed.wait_ready(&first);
    let second = bed.commit_web(&configmaps(&names[..3]));
    bed.wait_ready(&second);
    wait_until(SOON, "it halts", || bed.status()["prune"]["halted"] == true);
    stays(&bed, &names);
    assert_eq!(bed.condition("Ready")["reason"], "PruneHalted");
    assert_eq!(bed.condition("Stalled")["status"], "True");
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(plan.code, 3, "{plan:?}");
    assert!(plan.stdout.contains("5 to delete") && plan.stdout.contains("fairlead approve"), "{plan:?}");

    // Another set than the one that was shown.
    assert_eq!(bed.fairlead(&["approve", "--env", &bed.name, "--digest", "0000"]).code, 2);
    let refused = bed.ask(&json!({"verb": "approve", "digest": "0".repeat(64)}));
    bed.wait_request(&refused, "Refused");
    stays(&bed, &names);

    drop(agent); // What a person said outlives the agent that asked.
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    let _agent = bed.agent();
    for name in &names[3..] {
        wait_gone(&bed, name);
    }
    stays(&bed, &names[..3]);
    wait_until(SOON, "the approval is used up", || annotation(&bed, "fairlead.dev/approved").is_empty());
}

#[test]
fn a_forged_or_copied_label_deletes_nothing() {
    let bed = Bed::new("forged");
    let agent = bed.agent();
    let first = bed.commit_web(&configmaps(&["kept", "leaves"]));
    bed.wait_ready(&first);
    drop(agent);
    let ours = bed.configmap("kept").unwrap()["metadata"].clone();
    let copy = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": bed.name, "labels": ours["labels"], "annotations": ours["annotations"]}})
    };
    bed.api().create(&copy("created"));
    bed.api().apply(&copy("applied"));
    // With a digest that no other object bears, so that only our entry in managedFields is missing.
    let forged = |name: &str| {
        let mut object = copy(name);
        object["metadata"]["annotations"][fairlead::object::APPLIED] = "0".repeat(64).into();
        object
    };
    bed.api().create(&forged("forged"));
    bed.api().apply(&forged("pretended"));
    // One that even calls itself by our name as it applies.
    let path = format!("/api/v1/namespaces/{}/configmaps/named?fieldManager=fairlead&force=true", bed.name);
    let (code, _) =
        bed.api().request(http::Method::PATCH, &path, "application/apply-patch+yaml", Some(&copy("named")));
    assert_eq!(code, 201);
    // A Service's labels reach its EndpointSlices, which a controller owns.
    let mut owned = copy("owned");
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "kept", "uid": ours["uid"], "controller": true}]);
    bed.api().create(&owned);
    let _agent = bed.agent();
    let second = bed.commit_web(&configmaps(&["kept"]));
    bed.wait_ready(&second);
    wait_gone(&bed, "leaves");
    stays(&bed, &["kept", "created", "applied", "forged", "pretended", "named", "owned"]);
    let kept = bed.status()["prune"]["kept"].to_string();
    for name in ["created", "applied", "forged", "pretended", "named", "owned"] {
        assert!(kept.contains(name), "{kept}");
    }
}

#[test]
fn a_stripped_label_deletes_nothing() {
    let bed = Bed::new("stripped");
    let agent = bed.agent();
    let first = bed.commit_web(&configmaps(&["kept", "stripped"]));
    bed.wait_ready(&first);
    drop(agent);
    let path = format!("/api/v1/namespaces/{}/configmaps/stripped", bed.name);
    bed.api().merge(&path, &json!({"metadata": {"labels": {"applyset.kubernetes.io/part-of": null}}}));
    // Before the agent looks: while it is wanted, a label that is missing is put back.
    let second = bed.commit_web(&configmaps(&["kept"]));
    let _agent = bed.agent();
    bed.wait_ready(&second);
    stays(&bed, &["kept", "stripped"]);
}

#[test]
fn an_empty_tree_a_broken_render_or_a_deleted_branch_deletes_nothing() {
    let bed = Bed::new("evidence");
    let _agent = bed.agent();
    let apps = [("web", configmaps(&["a", "b"])), ("api", configmaps(&["c", "d"]))];
    let apps: Vec<(&str, &str)> = apps.iter().map(|(name, text)| (*name, text.as_str())).collect();
    bed.wait_ready(&bed.commit_apps(&apps));
    let all = ["a", "b", "c", "d"];

    // One app cannot be rendered: what the other dropped may be there.
    bed.repo.write("api/all.yaml", b"kind: [");
    bed.repo.write("web/all.yaml", configmaps(&["a"]).as_bytes());
    bed.wait_seen(&bed.repo.push("main"));
    stays(&bed, &all);

    // The configuration cannot be read.
    bed.repo.write(format!("environments/{}/environment.yaml", bed.name), b"spec: {");
    bed.wait_seen(&bed.repo.push("main"));
    stays(&bed, &all);

    // No app is listed any more.
    let (path, content) = bed.config("", "");
    bed.wait_seen(&bed.commit(&[(&path, &content)]));
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    stays(&bed, &all);

    // Nothing is there at all.
    for folder in ["web", "api", "environments"] {
        bed.repo.remove(folder);
    }
    bed.wait_seen(&bed.repo.push("main"));
    stays(&bed, &all);
    delete_branch(&bed);
    stays(&bed, &all);
}

fn delete_branch(bed: &Bed) {
    let bare = bed.repo.bare();
    bed.repo.git(&["-C", bare.to_str().expect("UTF-8"), "update-ref", "-d", "refs/heads/main"]);
}

#[test]
fn while_git_cannot_be_read_nothing_more_is_deleted() {
    let bed = Bed::new("doubt");
    let _agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&(configmaps(&["kept", "leaves"]) + &deployment("web", &[]))));
    let second = bed.commit_web(&(configmaps(&["kept"]) + &deployment("web", &[("ready-after", "5s")])));
    bed.wait_app("web", "Waiting");
    delete_branch(&bed);
    bed.wait_app("web", "Ready");
    assert_eq!(bed.app("web")["desired"], bed.app("web")["effective"]);
    stays(&bed, &["kept", "leaves"]);
    bed.repo.git(&["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    bed.wait_ready(&second);
    wait_gone(&bed, "leaves");
}

#[test]
fn killed_at_any_delete_the_next_start_deletes_the_rest() {
    for n in [1, 3, 5] {
        for effect in [Effect::KillBefore, Effect::KillAfter] {
            let bed = Bed::new("cut");
            let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let agent = bed.agent();
            bed.wait_ready(&bed.commit_web(&configmaps(&names)));
            drop(agent);
            let proxy = bed.proxy();
            let agent = bed.agent_through(&proxy);
            proxy.set(Fault::nth(Class::Write, n, effect));
            bed.wait_ready(&bed.commit_web(&configmaps(&names[..3])));
            wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
            bed.fairlead(&["approve", "--env", &bed.name]).ok();
            let _ = agent.wait(SOON);
            let _agent = bed.agent();
            for name in &names[3..] {
                wait_gone(&bed, name);
            }
            stays(&bed, &names[..3]);
        }
    }
}

#[test]
fn an_app_that_renders_to_nothing_asks_first() {
    let bed = Bed::new("shrunk");
    let _agent = bed.agent();
    let others = configmaps(&["a", "b", "c", "d", "e", "f"]);
    bed.wait_ready(&bed.commit_apps(&[("web", &configmaps(&["w"])), ("api", &others)]));
    bed.wait_seen(&bed.commit_apps(&[("web", "# moved away\n"), ("api", &others)]));
    wait_until(SOON, "it asks", || {
        bed.status()["prune"]["message"].to_string().contains("renders to nothing")
    });
    stays(&bed, &["w"]);
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    wait_gone(&bed, "w");
}

#[test]
fn what_a_removed_app_leaves_is_deleted_within_the_budget() {
    let bed = Bed::new("removed");
    let _agent = bed.agent();
    let others = configmaps(&["a", "b", "c", "d", "e"]);
    bed.wait_ready(&bed.commit_apps(&[("web", &configmaps(&["w"])), ("api", &others)]));
    bed.wait_ready(&bed.commit_apps(&[("api", &others)]));
    wait_gone(&bed, "w");
    stays(&bed, &["a", "e"]);
}

#[test]
fn claims_and_what_says_never_are_kept() {
    let bed = Bed::new("never");
    let _agent = bed.agent();
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Gi}}}\n";
    let never = annotated_configmap("never", &[("fairlead.dev/prune", "never")]);
    let more = configmaps(&["a", "b", "c", "d", "e", "leaves"]);
    bed.wait_seen(&bed.commit_web(&(more + claim + &never)));
    wait_until(SOON, "all of it is there", || {
        bed.get("v1", "persistentvolumeclaims", "data").is_some() && bed.configmap("never").is_some()
    });
    bed.wait_ready(&bed.commit_web(&configmaps(&["a", "b", "c", "d", "e"])));
    wait_gone(&bed, "leaves");
    stays(&bed, &["never"]);
    assert!(bed.get("v1", "persistentvolumeclaims", "data").is_some());
}

#[test]
fn the_environment_says_which_kinds_it_holds() {
    let bed = Bed::new("kinds");
    let agent = bed.agent();
    let account = "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n";
    let many = configmaps(&["a", "b", "c", "d", "e"]);
    bed.wait_ready(&bed.commit_web(&(many.clone() + account)));
    assert_eq!(annotation(&bed, KINDS), "ConfigMap,ServiceAccount");
    assert_eq!(annotation(&bed, "applyset.kubernetes.io/tooling"), "fairlead/v1alpha1");
    assert_eq!(annotation(&bed, "applyset.kubernetes.io/additional-namespaces"), bed.name);
    let part_of = bed.configmap("a").unwrap()["metadata"]["labels"]["applyset.kubernetes.io/part-of"].clone();
    assert_eq!(bed.environment()["metadata"]["labels"]["applyset.kubernetes.io/id"], part_of);

    // A kind that nobody wants any more is found by an agent that never wrote it.
    drop(agent);
    let second = bed.commit_web(&many);
    let _agent = bed.agent();
    bed.wait_ready(&second);
    wait_until(SOON, "it goes", || bed.get("v1", "serviceaccounts", "runner").is_none());
    wait_until(SOON, "its kind goes", || annotation(&bed, KINDS) == "ConfigMap");
}

#[test]
fn another_tools_set_is_left_alone() {
    let bed = Bed::new("tooling");
    // No one else is let in by the policies of the chart; this is as it was before they were there.
    bed.patch_environment_as_agent(
        &json!({"metadata": {"annotations": {"applyset.kubernetes.io/tooling": "kubectl/v1.36"}}}),
    );
    let _agent = bed.agent();
    bed.commit_web(&configmaps(&["a"]));
    wait_until(SOON, "it says so", || bed.condition("Ready")["reason"] == "ForeignInventory");
    holds_for(SECOND, "nothing is written", || bed.configmap("a").is_none());
}

#[test]
fn an_object_of_another_environment_is_refused_until_that_lets_go() {
    let first = Bed::new("owner");
    let second = Setup::new("claimant").grant_namespace(&first.name).make();
    let _agent = first.agent_of(&[&first.name, &second.name]);
    let theirs = |value: &str| {
        annotated_configmap("shared", &[("fairlead.dev/prune", "never")])
            .replace("{name: shared,", &format!("{{name: shared, namespace: {},", first.name))
            .replace("value: \"1\"", &format!("value: {value:?}"))
    };
    let rest = configmaps(&["a", "b", "c", "d", "e"]);
    first.wait_ready(&first.commit_web(&(rest.clone() + &theirs("1"))));
    let before = uid(&first, "shared");
    second.commit_web(&theirs("2"));
    let refused = second.wait_app("web", "Refused");
    let message = refused["message"].to_string();
    assert!(message.contains(&format!("belongs to the Environment {}", first.name)), "{message}");
    assert_eq!(first.configmap("shared").unwrap()["data"]["value"], "1");
    assert_eq!(uid(&first, "shared"), before);

    // The first wants it no more and keeps it, as it says; then it is let go by hand, and handed over as it is.
    first.wait_ready(&first.commit_web(&rest));
    let path = format!("/api/v1/namespaces/{}/configmaps/shared", first.name);
    let rules =
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch", "delete"]}]);
    for (kind, more) in [
        ("Role", json!({"rules": rules})),
        (
            "RoleBinding",
            json!({
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "second"},
                "subjects": [{"kind": "ServiceAccount", "namespace": second.deployers, "name": "deployer"}],
            }),
        ),
    ] {
        let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": "second", "namespace": first.name}});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        first.api().apply(&object);
    }
    first.api().merge(&path, &json!({"metadata": {"labels": {"fairlead.dev/environment": null}}}));
    second.wait_app("web", "Ready");
    assert_eq!(first.configmap("shared").unwrap()["data"]["value"], "2");
    assert_eq!(uid(&first, "shared"), before);
}

#[test]
fn a_finalizer_that_holds_an_object_is_named() {
    let bed = Bed::new("held");
    let _agent = bed.agent();
    let held =
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.org/hold]}\n";
    let rest = configmaps(&["a", "b", "c", "d", "e"]);
    bed.wait_ready(&bed.commit_web(&(rest.clone() + held)));
    bed.wait_ready(&bed.commit_web(&rest));
    wait_until(SOON, "it is being deleted", || {
        bed.configmap("held").is_some_and(|found| found["metadata"]["deletionTimestamp"] != Value::Null)
    });
    wait_until(SOON, "what holds it is named", || {
        bed.status()["prune"]["message"].to_string().contains("example.org/hold")
    });
    let path = format!("/api/v1/namespaces/{}/configmaps/held", bed.name);
    bed.api().merge(&path, &json!({"metadata": {"finalizers": null}}));
    wait_until(SOON, "nothing is left over", || bed.status()["prune"] == Value::Null);
}
