//! The fixtures beside this are what a real API server made of `kubectl apply` and what people did after it, of
//! `helm install` with and without server-side apply, and of an apply by Flux's and Argo CD's field managers.

use serde_json::{Value, json};

use super::*;
use crate::object::Live;

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn kubectl() -> Value {
    fixture(include_str!("kubectl.json"))
}

fn argocd() -> Value {
    fixture(include_str!("argocd.json"))
}

fn flux() -> Value {
    fixture(include_str!("flux.json"))
}

fn helm(operation: &str) -> Value {
    fixture(match operation {
        "Apply" => include_str!("helm-apply.json"),
        _ => include_str!("helm-update.json"),
    })
}

fn handover(object: &Value, conflicts: &[Conflict]) -> Option<Handover> {
    Handover::of(&Live::read(object).unwrap().key, object, conflicts)
}

fn conflict(field: &str, manager: &str) -> Conflict {
    Conflict { field: field.into(), manager: manager.into() }
}

/// What is ours after the edit.
fn ours(object: &Value, sends_replicas: bool) -> Edit {
    let handover = handover(object, &[]).unwrap();
    edit(object, Some(&handover), sends_replicas, object["apiVersion"].as_str().unwrap()).unwrap()
}

fn managers(edit: &Edit) -> Vec<&str> {
    edit.managed.iter().filter_map(|entry| entry["manager"].as_str()).collect()
}

#[test]
fn every_tool_hands_over_what_it_applied() {
    for (object, from) in [
        (
            kubectl(),
            vec![
                "kubectl",
                "kubectl-annotate",
                "kubectl-client-side-apply",
                "kubectl-label",
                "kubectl-patch",
                "kubectl-set",
            ],
        ),
        (helm("Apply"), vec!["helm"]),
        (helm("Update"), vec!["helm"]),
        (flux(), vec!["kustomize-controller"]),
        (argocd(), vec!["argocd-controller"]),
    ] {
        assert_eq!(handover(&object, &[]).unwrap().managers(), from);
        let edit = ours(&object, true);
        for manager in from {
            assert!(!managers(&edit).contains(&manager), "{manager} holds nothing any more");
        }
        assert_eq!(edit.managed.last().unwrap()["manager"], "fairlead");
        assert_eq!(edit.managed.last().unwrap()["operation"], "Apply");
    }
}

#[test]
fn what_kubectl_left_is_taken_but_for_what_it_was_never_told() {
    let edit = ours(&kubectl(), true);
    let held = |path: &[&str]| holds(&edit.ours, path);
    for path in [
        &["f:metadata", "f:annotations", "f:note"][..],
        &["f:metadata", "f:annotations", "f:kubectl.kubernetes.io/last-applied-configuration"],
        // What people did by kubectl since.
        &["f:metadata", "f:annotations", "f:extra2"],
        &["f:metadata", "f:labels", "f:extra"],
        &["f:spec", "f:minReadySeconds"],
        &["f:spec", "f:replicas"],
        &["f:spec", "f:template", "f:spec", "f:containers", "k:{\"name\":\"main\"}", "f:image"],
    ] {
        assert!(held(path), "{path:?}");
    }
    for path in [
        // Defaults that the server put there, and Kubernetes' entries hold for whoever made the object.
        &["f:spec", "f:progressDeadlineSeconds"][..],
        &["f:spec", "f:template", "f:spec", "f:dnsPolicy"],
        &["f:spec", "f:strategy"],
        // A restart is not undone.
        &["f:spec", "f:template", "f:metadata", "f:annotations"],
    ] {
        assert!(!held(path), "{path:?}");
    }
    let managers = managers(&edit);
    assert!(managers.contains(&"kubectl-rollout") && managers.contains(&"controlplane"), "{managers:?}");
}

#[test]
fn replicas_that_are_not_sent_are_let_go_of() {
    let edit = ours(&kubectl(), false);
    assert!(!holds(&edit.ours, &["f:spec", "f:replicas"]));
    assert!(holds(&edit.ours, &["f:spec", "f:minReadySeconds"]));
    assert!(!managers(&edit).contains(&"kubectl"), "who scaled by hand holds them no more");
}

#[test]
fn an_edit_that_was_done_is_not_done_again() {
    for object in [kubectl(), helm("Update"), flux(), argocd()] {
        let handed = handover(&object, &[]).unwrap();
        let mut after = object.clone();
        after["metadata"]["managedFields"] = ours(&object, true).managed.into();
        assert_eq!(handover(&after, &[]), None, "nothing is left to hand over");
        assert_eq!(edit(&after, Some(&handed), true, "v1"), None);
    }
}

#[test]
fn what_we_hold_stays_ours_beside_what_comes_in() {
    let mut object = helm("Update");
    object["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
        "manager": "fairlead", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:c": {}}}}));
    let edit = ours(&object, true);
    assert_eq!(edit.managed.len(), 1);
    for key in ["f:a", "f:b", "f:c"] {
        assert!(holds(&edit.ours, &["f:data", key]), "{key}");
    }
}

#[test]
fn letting_go_of_replicas_needs_no_hand_over() {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
        "name": "web", "namespace": "web", "uid": "u", "resourceVersion": "1", "managedFields": [
            {"manager": "fairlead", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}}},
            {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:spec": {"f:minReadySeconds": {}}}}]}});
    let let_go = edit(&object, None, false, "apps/v1").unwrap();
    assert_eq!(Value::Object(let_go.ours.clone()), json!({"f:spec": {"f:paused": {}}}));
    // Somebody has to hold them, or the server would not write down who sets them next.
    assert_eq!(
        managers(&let_go),
        ["kubectl-edit", "fairlead-replicas", "fairlead"],
        "what others hold stays theirs"
    );
    let mut scaled = object.clone();
    scaled["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
        "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1", "subresource": "scale",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
    let let_go = edit(&scaled, None, false, "apps/v1").unwrap();
    assert_eq!(managers(&let_go), ["kubectl-edit", "kube-controller-manager", "fairlead"]);
    assert_eq!(edit(&object, None, true, "apps/v1"), None);
}

#[test]
fn status_owners_and_subresources_are_left_alone() {
    let entry = |manager: &str, subresource: &str, fields: Value| {
        json!({"manager": manager, "operation": "Update", "apiVersion": "x/v1", "subresource": subresource,
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    let object = json!({"apiVersion": "x/v1", "kind": "X", "metadata": {
        "name": "x", "uid": "u", "resourceVersion": "1", "managedFields": [
            entry("helm", "", json!({"f:status": {"f:ready": {}}, "f:spec": {"f:a": {}},
                "f:metadata": {"f:ownerReferences": {"k:{\"uid\":\"o\"}": {}}, "f:finalizers": {"v:\"x/y\"": {}}}})),
            entry("helm", "status", json!({"f:status": {"f:phase": {}}})),
            entry("kube-controller-manager", "", json!({"f:spec": {"f:b": {}}})),
            entry("cert-manager-cainjector", "", json!({"f:spec": {"f:caBundle": {}}}))]}});
    let edit = ours(&object, true);
    assert_eq!(
        Value::Object(edit.ours.clone()),
        json!({"f:spec": {"f:a": {}}, "f:metadata": {"f:finalizers": {"v:\"x/y\"": {}}}})
    );
    assert_eq!(managers(&edit), ["helm", "kube-controller-manager", "cert-manager-cainjector", "fairlead"]);
}

#[test]
fn anyone_else_hands_over_what_git_claims_and_no_more() {
    let mut object = helm("Apply");
    object["metadata"]["managedFields"] = json!([{"manager": "somebody", "operation": "Update", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}}}]);
    assert_eq!(handover(&object, &[]), None);
    let found = handover(&object, &[conflict(".data.a", "somebody")]).unwrap();
    assert_eq!((found.from.len(), found.managers()), (0, vec!["somebody"]));
    assert!(found.is_needed(&object));
    assert_eq!(
        edit(&object, Some(&found), true, "v1"),
        None,
        "the apply takes the field, and the rest stays theirs"
    );
}

#[test]
fn what_a_part_of_kubernetes_holds_is_never_claimed() {
    for manager in ["kube-controller-manager", "kubelet", "kube-scheduler"] {
        assert_eq!(handover(&kubectl(), &[conflict(".spec.paused", manager)]), None, "{manager}");
    }
}

#[test]
fn a_first_claim_needs_agreement_where_both_would_hold_a_field() {
    let claim = |fields: Value| {
        let mut object = helm("Update");
        object["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
            "manager": "fairlead", "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}));
        handover(&object, &[]).unwrap().is_needed(&object)
    };
    assert!(claim(json!({"f:data": {"f:a": {}}})), "the value is the same, and Helm deploys it");
    assert!(!claim(json!({"f:data": {"f:c": {}}})));
}

#[test]
fn who_agrees_agrees_to_exactly_what_was_shown() {
    let object = kubectl();
    let shown = handover(&object, &[]).unwrap();
    let consent = Consent { tokens: Arc::new([shown.token.clone()].into()), ..Consent::default() };
    assert!(consent.given(&shown));
    let mut changes: Vec<Value> = vec![object.clone(), object.clone(), object.clone(), object.clone()];
    changes[0]["metadata"]["uid"] = json!("another");
    changes[1]["metadata"]["managedFields"][1]["fieldsV1"]["f:spec"]["f:paused"] = json!({});
    changes[2]["metadata"]["managedFields"][1]["manager"] = json!("helm");
    changes[3]["metadata"]["managedFields"][1]["time"] = json!("2030-01-01T00:00:00Z");
    for changed in changes {
        assert!(!consent.given(&handover(&changed, &[]).unwrap()), "{changed:#}");
    }
    assert!(!consent.given(&handover(&object, &[conflict(".spec.paused", "somebody")]).unwrap()));
    // What changes without changing hands is nobody's matter: a new version, a new status.
    let mut moved = object.clone();
    moved["metadata"]["resourceVersion"] = json!("9");
    assert!(consent.given(&handover(&moved, &[]).unwrap()));
}

#[test]
fn what_the_index_keeps_names_the_same_as_what_is_read() {
    for object in [kubectl(), helm("Apply"), helm("Update"), flux(), argocd()] {
        let held = Live::read(&object).unwrap().held.unwrap();
        let found = handover(&object, &[]).unwrap();
        assert_eq!(held.token, found.token);
        assert_eq!(held.managers.iter().map(|name| &**name).collect::<Vec<_>>(), found.managers());
    }
}

#[test]
fn gits_word_covers_whom_it_names_and_is_used_up() {
    let object = kubectl();
    let found = handover(&object, &[]).unwrap();
    let word = |names: &[&str]| Consent {
        word: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Consent::default()
    };
    assert!(word(&["kubectl"]).given(&found));
    assert!(!word(&["helm"]).given(&found));
    assert!(!word(&[]).given(&found));
    let with_another = handover(&object, &[conflict(".spec.paused", "somebody")]).unwrap();
    assert!(!word(&["kubectl"]).given(&with_another));
    assert!(word(&["kubectl", "somebody"]).given(&with_another));
    let mut used = word(&["kubectl"]);
    used.spent.insert((found.key.clone(), "kubectl-client-side-apply".into()));
    assert!(!used.given(&found) && used.was_spent(&found));
}

#[test]
fn who_may_still_tend_an_object_is_told() {
    let told = |object: &Value| handover(object, &[]).unwrap().tended;
    assert_eq!(told(&flux()), ["the Flux Kustomization flux-system/apps"]);
    assert_eq!(told(&helm("Apply")), ["the Helm release h4/shop"]);
    assert_eq!(told(&argocd()), ["the Argo CD Application shop"]);
    assert!(told(&kubectl()).is_empty());
}

#[test]
fn what_git_does_not_say_goes_with_the_hand_over() {
    let mut object = helm("Update");
    let found = handover(&object, &[]).unwrap();
    let edit = edit(&object, Some(&found), true, "v1").unwrap();
    // The dry run of an apply that says `a` and a label of ours.
    object["metadata"]["labels"]["fairlead.dev/app"] = json!("web");
    object["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
        "manager": "fairlead", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {
            "f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:fairlead.dev/app": {}}}}}));
    let after = outcome(&object, &edit, &found);
    assert_eq!(after["data"], json!({"a": "1"}));
    assert_eq!(after["metadata"]["labels"], json!({"fairlead.dev/app": "web"}));
    assert_eq!(after["metadata"].get("annotations"), None, "the marks of Helm go");
}
