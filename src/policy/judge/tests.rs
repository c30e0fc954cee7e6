use serde_json::{Value, json};

use super::*;
use crate::api::EnvironmentSpec;
use crate::object::{AppName, Desired, EnvironmentName, KindInfo, Manifest, Origin, TreePath};
use crate::plan::{Stamp, stamp};

fn kinds() -> Kinds {
    let mut kinds = Kinds::default();
    for (group, kind, scope) in [
        ("", "ConfigMap", KindScope::Namespaced),
        ("", "Namespace", KindScope::Cluster),
        ("apps", "Deployment", KindScope::Namespaced),
        ("argoproj.io", "Application", KindScope::Namespaced),
        ("rbac.authorization.k8s.io", "ClusterRole", KindScope::Cluster),
        ("apiextensions.k8s.io", "CustomResourceDefinition", KindScope::Cluster),
    ] {
        let info = KindInfo { plural: kind.to_lowercase() + "s", scope, versions: vec!["v1".into()] };
        kinds.insert(group, kind, info);
    }
    kinds
}

fn app(objects: &[Value]) -> WantedApp {
    let manifest = |(n, value): (usize, &Value)| {
        let line = u32::try_from(n + 1).unwrap() * 10;
        let place = Place::at(TreePath::new("base/x.yaml").unwrap(), line, 1);
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
    let manifests = objects.iter().enumerate().map(manifest).collect();
    let desired = Desired::new(AppName::new("web").unwrap(), manifests, Vec::new());
    stamp(desired, &marks, &kinds()).unwrap().0
}

fn object(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
}

fn deployment(image: &str) -> Value {
    let mut value = object("apps/v1", "Deployment", "web");
    value["spec"] = json!({"template": {"spec": {"containers": [{"name": "main", "image": image}]}}});
    value
}

fn grants(more: Value) -> Grants {
    let mut spec = json!({
        "source": {"url": "https://git.example/infra.git", "branch": "main"},
        "serviceAccount": {"namespace": "deployers", "name": "dev"}, "namespaces": ["web"],
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Grants::of(
        "dev",
        &serde_json::from_value::<EnvironmentSpec>(spec).unwrap(),
        &["fairlead", "fairlead-state"],
    )
}

fn judged(more: Value, objects: &[Value]) -> Vec<String> {
    let found = grants(more).judge(&app(objects), &kinds());
    found.into_iter().map(|finding| finding.problem().to_string()).collect()
}

#[test]
fn only_what_is_granted_is_let() {
    let mut elsewhere = object("v1", "ConfigMap", "a");
    elsewhere["metadata"]["namespace"] = "other".into();
    let found = judged(json!({}), &[object("v1", "ConfigMap", "a"), elsewhere]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("base/x.yaml:20: ConfigMap other/a is in the namespace other, which is not granted (Environment dev)"), "{found:?}");
    let role = object("rbac.authorization.k8s.io/v1", "ClusterRole", "admin");
    assert_eq!(judged(json!({}), std::slice::from_ref(&role)).len(), 1);
    assert_eq!(
        judged(json!({"clusterKinds": ["ClusterRole"]}), std::slice::from_ref(&role)).len(),
        1,
        "the group belongs to it"
    );
    assert!(judged(json!({"clusterKinds": ["ClusterRole.rbac.authorization.k8s.io"]}), &[role]).is_empty());
    let namespaces = json!({"clusterKinds": ["Namespace"]});
    assert!(judged(namespaces.clone(), &[object("v1", "Namespace", "web")]).is_empty());
    assert_eq!(judged(namespaces, &[object("v1", "Namespace", "kube-system")]).len(), 1);
}

#[test]
fn a_cluster_scoped_kind_that_the_app_defines_itself_has_to_be_granted() {
    let mut definition = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "widgets.example.org");
    definition["spec"] = json!({"group": "example.org", "scope": "Cluster", "names": {"kind": "Widget"}});
    let widget = object("example.org/v1", "Widget", "w");
    let granted = json!({"clusterKinds": ["CustomResourceDefinition.apiextensions.k8s.io"]});
    let found = judged(granted, &[definition, widget.clone()]);
    assert!(found.len() == 1 && found[0].contains("Widget.example.org w is cluster-scoped"), "{found:?}");
    assert!(judged(json!({}), &[widget]).is_empty(), "one that nobody knows is the server's to refuse");
}

#[test]
fn everything_that_is_not_let_is_one_refusal() {
    let limits = json!({
        "kinds": {"denied": ["ConfigMap"]}, "registries": ["registry.example/team"], "gitHosts": ["git.example"],
        "policies": [{"name": "digests-only"}, {"name": "owner", "expression": "has(metadata.labels.owner)", "message": "say who owns it", "severity": "warn"}],
    });
    let mut argo = object("argoproj.io/v1", "Application", "a");
    argo["spec"] = json!({"source": {"repoURL": "https://user:secret@evil.example/x"}});
    let objects = [object("v1", "ConfigMap", "a"), deployment("nginx"), argo];
    let findings = grants(limits).judge(&app(&objects), &kinds());
    let refused = refusal(findings.clone()).unwrap_err().to_string();
    for words in [
        "base/x.yaml:10: ConfigMap web/a is of a kind that is denied (ConfigMap)",
        "base/x.yaml:20: Deployment.apps web/web takes the image docker.io/library/nginx from a registry",
        "base/x.yaml:20: Deployment.apps web/web breaks the policy digests-only",
        "base/x.yaml:30: Application.argoproj.io web/a names the git host evil.example, which is not allowed",
    ] {
        assert!(refused.contains(words), "{words}:\n{refused}");
    }
    assert!(!refused.contains("secret") && !refused.contains("owns"), "{refused}");
    let warnings = findings.iter().filter(|finding| finding.severity == Severity::Warn).count();
    assert_eq!(warnings, 3, "a warning is no refusal");
    let pointers: Vec<&str> = findings.iter().map(|finding| finding.pointer.as_str()).collect();
    assert!(pointers.contains(&"/spec/template/spec/containers/0/image"), "{pointers:?}");
}

#[test]
fn limits_that_cannot_be_read_let_nothing() {
    let found = judged(
        json!({"policies": [{"name": "odd", "expression": "spec.", "message": "no"}]}),
        &[object("v1", "ConfigMap", "a")],
    );
    assert!(
        found.len() == 1
            && found[0].starts_with("the limits of the Environment dev cannot be read: spec.policies: odd:"),
        "{found:?}"
    );
}

#[test]
fn what_was_written_once_is_judged_by_the_limits_of_today() {
    let app = app(&[deployment("registry.example/web:1")]);
    assert!(grants(json!({"registries": ["registry.example"]})).judge_written(&app).is_empty());
    assert_eq!(grants(json!({"registries": ["other.example"]})).judge_written(&app).len(), 1);
    assert_eq!(grants(json!({"namespaces": ["other"]})).judge_written(&app).len(), 1);
}

#[test]
fn a_tree_names_only_remotes_that_are_allowed() {
    let grants = grants(json!({"chartHosts": ["charts.example"]}));
    let source = |kind, url: &str| Source {
        kind,
        url: url.to_owned(),
        place: Place::at(TreePath::new("web/kustomization.yaml").unwrap(), 4, 1),
    };
    let judge =
        |kind, url: &str| grants.judge_sources(&[source(kind, url)]).map_err(|found| found.to_string());
    assert!(judge(SourceKind::Chart, "https://charts.example/stable").is_ok());
    assert!(judge(SourceKind::Chart, "file://../common").is_ok());
    assert!(judge(SourceKind::Git, "https://git.example/x").is_ok(), "git hosts are not limited");
    let refused = judge(SourceKind::Chart, "https://evil.example/x").unwrap_err();
    assert!(
        refused.starts_with(
            "web/kustomization.yaml:4: this names the chart host evil.example, which is not allowed"
        ),
        "{refused}"
    );
    assert!(judge(SourceKind::Chart, "@alias").is_err());
}
