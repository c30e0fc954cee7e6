use serde_json::json;

use super::*;
use crate::object::{AppName, Desired, EnvironmentName, KindInfo, Manifest, Origin, Place, TreePath};
use crate::plan::{Stamp, WantedApp, stamp};

fn kinds() -> Kinds {
    let mut kinds = Kinds::default();
    for (group, kind, plural, scope) in [
        ("", "ConfigMap", "configmaps", KindScope::Namespaced),
        ("", "Secret", "secrets", KindScope::Namespaced),
        ("", "Pod", "pods", KindScope::Namespaced),
        ("", "PersistentVolumeClaim", "persistentvolumeclaims", KindScope::Namespaced),
        ("", "Namespace", "namespaces", KindScope::Cluster),
        ("apps", "Deployment", "deployments", KindScope::Namespaced),
        ("batch", "CronJob", "cronjobs", KindScope::Namespaced),
        ("batch", "Job", "jobs", KindScope::Namespaced),
        (RBAC, "Role", "roles", KindScope::Namespaced),
        (RBAC, "RoleBinding", "rolebindings", KindScope::Namespaced),
        (RBAC, "ClusterRole", "clusterroles", KindScope::Cluster),
    ] {
        kinds.insert(group, kind, KindInfo { plural: plural.to_owned(), scope, versions: vec!["v1".into()] });
    }
    kinds
}

/// An object of a kind, with further fields.
fn object(api_version: &str, kind: &str, name: &str, more: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    for (field, value) in more.as_object().unwrap() {
        match field.as_str() {
            "namespace" | "annotations" => object["metadata"][field] = value.clone(),
            _ => object[field] = value.clone(),
        }
    }
    object
}

fn app(objects: &[Value]) -> WantedApp {
    let manifest = |value: &Value| {
        let place = Place::at(TreePath::new("base/x.yaml").unwrap(), 1, 1);
        Manifest::new(value, Origin::new(place)).unwrap()
    };
    let environment = EnvironmentName::new("dev").unwrap();
    let marks = Stamp {
        environment: &environment,
        environment_label: "e",
        app_label: "a",
        part_of_label: "p",
        wave_annotation: "w",
        depends_on_annotation: "d",
        default_namespace: Some("web"),
        pins: &crate::object::secret::Pins::offline(),
    };
    let desired =
        Desired::new(AppName::new("web").unwrap(), objects.iter().map(manifest).collect(), Vec::new());
    stamp(desired, &marks, &kinds()).unwrap().0
}

fn rights(objects: &[Value]) -> Rights {
    let mut rights = Rights::default();
    rights.add(app(objects).all().map(|object| &**object), &kinds()).unwrap();
    rights
}

/// The rules as lines `namespace: group/resources[names] verbs`.
fn said(rights: &Rights) -> Vec<String> {
    let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
    let line = |namespace: &Option<String>, rule: &Rule| {
        let names = match rule.resource_names.is_empty() {
            true => String::new(),
            false => format!("[{}]", words(&rule.resource_names)),
        };
        let of = namespace.as_deref().unwrap_or("*");
        format!("{of}: {}/{}{names} {}", words(&rule.api_groups), words(&rule.resources), words(&rule.verbs))
    };
    let rules = rights.rules();
    rules.iter().flat_map(|(namespace, rules)| rules.iter().map(move |rule| line(namespace, rule))).collect()
}

#[test]
fn kinds_of_a_group_that_need_the_same_are_one_rule_of_their_namespace() {
    let found = said(&rights(&[
        object("v1", "ConfigMap", "a", json!({})),
        object("v1", "ConfigMap", "b", json!({})),
        object("v1", "Secret", "c", json!({})),
        object("apps/v1", "Deployment", "web", json!({})),
        object("v1", "ConfigMap", "a", json!({"namespace": "other"})),
    ]));
    assert_eq!(
        found,
        [
            "other: /configmaps create,delete,patch",
            "web: /configmaps,secrets create,delete,patch",
            "web: apps/deployments create,delete,patch",
        ]
    );
}

#[test]
fn what_stays_when_it_leaves_git_need_not_be_deleted() {
    let claim = |annotations: Value| {
        said(&rights(&[object("v1", "PersistentVolumeClaim", "data", json!({"annotations": annotations}))]))
    };
    assert_eq!(claim(json!({})), ["web: /persistentvolumeclaims create,patch"]);
    assert_eq!(
        claim(json!({"fairlead.dev/prune": "allowed"})),
        ["web: /persistentvolumeclaims create,delete,patch"]
    );
}

#[test]
fn what_is_of_no_namespace_is_named() {
    let found = said(&rights(&[
        object("v1", "Namespace", "web", json!({})),
        object(&format!("{RBAC}/v1"), "ClusterRole", "a", json!({"aggregationRule": {}})),
        object(&format!("{RBAC}/v1"), "ClusterRole", "b", json!({})),
    ]));
    assert_eq!(
        found,
        [
            "*: /namespaces[web] create,patch",
            &format!("*: {RBAC}/clusterroles[a] create,delete,escalate,patch"),
            &format!("*: {RBAC}/clusterroles[b] create,delete,patch"),
        ]
    );
}

#[test]
fn nobody_grants_what_they_do_not_have() {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let reference = |kind: &str, name: &str| json!({"roleRef": {"kind": kind, "name": name}});
    let api = format!("{RBAC}/v1");
    let found = said(&rights(&[
        object(&api, "Role", "reads", json!({"rules": rules})),
        object(&api, "RoleBinding", "reads", reference("Role", "reads")),
        object(&api, "RoleBinding", "views", reference("ClusterRole", "view")),
    ]));
    assert_eq!(
        found,
        [
            &format!("web: {RBAC}/roles[reads] bind"),
            &format!("web: {RBAC}/clusterroles[view] bind"),
            &format!("web: {RBAC}/rolebindings,roles create,delete,patch"),
            "web: /pods get",
        ]
    );
}

#[test]
fn a_hook_that_is_a_pod_is_made_as_a_job() {
    let mut pod = object("v1", "Pod", "migrate", json!({"annotations": {"fairlead.dev/hook": "before"}}));
    pod["spec"] = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "web"}]});
    assert_eq!(said(&rights(&[pod])), ["web: batch/jobs create,delete,patch"]);
}

#[test]
fn a_region_that_is_given_up_suspends_what_cron_jobs_started() {
    let objects = app(&[object("batch/v1", "CronJob", "backup", json!({}))]);
    let mut rights = Rights::default();
    rights.add(objects.all().map(|object| &**object), &kinds()).unwrap();
    rights.add_stopping(objects.all().map(|object| &**object));
    assert_eq!(said(&rights), ["web: batch/cronjobs create,delete,patch", "web: batch/jobs patch"]);
    rights.add_step_job("web");
    assert_eq!(said(&rights), ["web: batch/cronjobs create,delete,patch", "web: batch/jobs create,patch"]);
}

#[test]
fn what_git_has_no_more_is_still_to_be_deleted() {
    let mut rights = rights(&[object("v1", "ConfigMap", "a", json!({}))]);
    let namespaces = BTreeSet::from(["web".to_owned()]);
    assert!(rights.writes("ConfigMap") && !rights.writes("Deployment.apps"));
    assert!(rights.add_leftover("Deployment.apps", &namespaces, &kinds()));
    assert!(rights.add_leftover("ConfigMap", &namespaces, &kinds()));
    assert!(
        !rights.add_leftover(&format!("ClusterRole.{RBAC}"), &namespaces, &kinds()),
        "all would be too many"
    );
    assert!(!rights.add_leftover("Unknown.example.org", &namespaces, &kinds()));
    assert_eq!(said(&rights), ["web: /configmaps create,delete,patch", "web: apps/deployments delete"]);
}

#[test]
fn a_kind_that_nobody_knows_is_named_with_its_line() {
    let mut rights = Rights::default();
    let objects = app(&[object("v1", "ConfigMap", "a", json!({}))]);
    let problems = rights.add(objects.all().map(|object| &**object), &Kinds::default()).unwrap_err();
    let said = problems.to_string();
    assert!(said.starts_with("base/x.yaml:1: ConfigMap web/a: how the API server calls"), "{said}");
}
