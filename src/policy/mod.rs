//! What an environment may do: the platform's grants, against what git asks for.
//!
//! The API server refuses what the service account may not do. This comes before it, because an account is often
//! granted more than one environment should have, and because the refusal can name the file. Ignore rules and CEL
//! policies will live here too.

mod secrets;

use crate::object::{Gvk, Kinds, ObjectKey, Problem, Problems, Scope};
use crate::plan::WantedApp;

pub use secrets::{may_read, refused as refused_secrets};

/// What the platform grants an environment.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    pub environment: &'a str,
    pub namespaces: &'a [String],
    /// `Kind` or `Kind.group`.
    pub cluster_kinds: &'a [String],
    pub regions: &'a [String],
}

/// What the platform grants an environment, as its owner keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants {
    pub namespaces: Vec<String>,
    /// `Kind` or `Kind.group`.
    pub cluster_kinds: Vec<String>,
    pub regions: Vec<String>,
    /// From whom git may take objects over.
    pub adopt: Vec<String>,
    /// The secrets that it may read.
    pub secrets: Vec<String>,
}

impl Grants {
    /// Whether the environment may touch an object, be it to write, to heal, to put back or to delete it.
    pub fn cover(&self, key: &ObjectKey, gvk: &Gvk) -> bool {
        let has = |name: &str| self.namespaces.iter().any(|granted| granted == name);
        match &key.namespace {
            Some(namespace) => has(namespace),
            None => {
                let namespace = (&*key.group, &*key.kind) == ("", "Namespace");
                self.cluster_kinds.contains(&gvk.group_kind()) && (!namespace || has(&key.name))
            }
        }
    }
}

/// Everything an app wants that its environment is not granted.
pub fn granted(app: &WantedApp, grant: &Grant, kinds: &Kinds) -> Result<(), Problems> {
    let mut found = Vec::new();
    for wanted in app.all() {
        let scope = kinds.get(&wanted.gvk.group, &wanted.gvk.kind).map(|info| info.scope);
        let refused = match (&wanted.key.namespace, scope) {
            (Some(namespace), _) if grant.namespaces.iter().any(|granted| **granted == **namespace) => None,
            (Some(namespace), _) => Some(format!("{} is in the namespace {namespace}", wanted.key)),
            (None, Some(Scope::Namespaced) | None) => None, // The server does not know the kind, and says so by itself.
            (None, Some(Scope::Cluster)) => {
                let name = wanted.gvk.group_kind();
                let kind_granted = grant.cluster_kinds.contains(&name);
                let own_namespace = &*wanted.gvk.kind != "Namespace"
                    || !wanted.gvk.group.is_empty()
                    || grant.namespaces.iter().any(|granted| **granted == *wanted.key.name);
                (!(kind_granted && own_namespace)).then(|| format!("{} is cluster-scoped", wanted.key))
            }
        };
        if let Some(what) = refused {
            let message = format!("{what}, which the Environment {} does not grant", grant.environment);
            let field = if wanted.key.namespace.is_some() { "spec.namespaces" } else { "spec.clusterKinds" };
            found.push(
                Problem::at(wanted.place.clone(), message).hint(format!("{field} lists what it may write")),
            );
        }
    }
    Problems::check(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::object::{AppName, Desired, EnvironmentName, KindInfo, Manifest, Origin, Place, TreePath};
    use crate::plan::{Stamp, stamp};

    fn kinds() -> Kinds {
        let mut kinds = Kinds::default();
        for (group, kind, scope) in [
            ("", "ConfigMap", Scope::Namespaced),
            ("", "Namespace", Scope::Cluster),
            ("rbac.authorization.k8s.io", "ClusterRole", Scope::Cluster),
        ] {
            let info = KindInfo { plural: kind.to_lowercase() + "s", scope, versions: vec!["v1".into()] };
            kinds.insert(group, kind, info);
        }
        kinds
    }

    fn app(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> WantedApp {
        let mut value = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            value["metadata"]["namespace"] = json!(namespace);
        }
        let place = Place::at(TreePath::new("base/x.yaml").unwrap(), 3, 1);
        let manifest = Manifest::new(&value, Origin::new(place)).unwrap();
        let environment = EnvironmentName::new("dev").unwrap();
        let marks = Stamp {
            environment: &environment,
            environment_label: "e",
            app_label: "a",
            part_of_label: "p",
            wave_annotation: "w",
            depends_on_annotation: "d",
            default_namespace: None,
            pins: &crate::object::secret::Pins::offline(),
        };
        let desired = Desired::new(AppName::new("web").unwrap(), vec![manifest], Vec::new());
        let (app, _) = stamp(desired, &marks, &kinds()).unwrap();
        assert_eq!(Arc::strong_count(&app.objects[0]), 1);
        app
    }

    fn judged(app: &WantedApp, namespaces: &[&str], cluster_kinds: &[&str]) -> Result<(), String> {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (namespaces, cluster_kinds) = (own(namespaces), own(cluster_kinds));
        let grant = Grant {
            environment: "dev",
            namespaces: &namespaces,
            cluster_kinds: &cluster_kinds,
            regions: &[],
        };
        granted(app, &grant, &kinds()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn only_named_namespaces_are_written_to() {
        let app = app("v1", "ConfigMap", Some("other"), "a");
        let error = judged(&app, &["web"], &[]).unwrap_err();
        assert!(error.starts_with("base/x.yaml:3: ConfigMap other/a is in the namespace other"), "{error}");
        assert!(judged(&app, &["web", "other"], &[]).is_ok());
        assert!(judged(&app, &["*"], &[]).is_err(), "there are no wildcards");
    }

    #[test]
    fn cluster_scoped_kinds_are_granted_by_name() {
        let role = app("rbac.authorization.k8s.io/v1", "ClusterRole", None, "admin");
        assert!(judged(&role, &["web"], &[]).is_err());
        assert!(judged(&role, &["web"], &["ClusterRole"]).is_err(), "the group belongs to the name");
        assert!(judged(&role, &["web"], &["ClusterRole.rbac.authorization.k8s.io"]).is_ok());
    }

    #[test]
    fn a_namespace_is_made_only_where_it_is_granted() {
        let namespace = app("v1", "Namespace", None, "kube-system");
        assert!(judged(&namespace, &["web"], &["Namespace"]).is_err());
        assert!(judged(&namespace, &["kube-system"], &["Namespace"]).is_ok());
    }
}
