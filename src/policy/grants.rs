//! What the platform grants an environment, and the one answer to whether it may touch an object.

use std::fmt;

use super::image;
use super::policies::Policies;
use crate::api::{EnvironmentSpec, KindLimits};
use crate::object::{ObjectKey, host, pattern};
use crate::plan::Budget;

/// What the platform grants an environment, as its Environment says it today.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants {
    /// The Environment that says so.
    pub environment: String,
    pub namespaces: Vec<String>,
    /// `Kind` or `Kind.group`.
    pub cluster_kinds: Vec<String>,
    pub regions: Vec<String>,
    /// From whom git may take objects over.
    pub adopt: Vec<String>,
    /// The secrets that it may read.
    pub secrets: Vec<String>,
    /// The namespaces of the agents, which are never granted.
    pub reserved: Vec<String>,
    pub kinds: KindLimits,
    pub(super) registries: Option<Vec<String>>,
    pub(super) chart_hosts: Option<Vec<String>>,
    pub(super) git_hosts: Option<Vec<String>>,
    pub(super) policies: Policies,
    /// Kinds of which git may ignore nothing that others change.
    pub never_ignore: Vec<String>,
    /// How much may be deleted without a person's word, whatever git says.
    pub prune: Option<Budget>,
}

/// Why an environment may not touch an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untouchable {
    /// Its namespace is not among those that are granted.
    Namespace(Box<str>),
    /// Its namespace is the agents' own.
    Reserved(Box<str>),
    /// Its kind is not of a namespace, and not granted.
    ClusterKind,
    /// A pattern of `spec.kinds.denied` names its kind.
    Denied(String),
    /// No pattern of `spec.kinds.allowed` names its kind.
    NotAllowed,
}

impl Grants {
    /// Reads what the platform says. `reserved` are the namespaces of the agents.
    pub fn of(environment: &str, spec: &EnvironmentSpec, reserved: &[&str]) -> Self {
        Self {
            environment: environment.to_owned(),
            namespaces: spec.namespaces.clone(),
            cluster_kinds: spec.cluster_kinds.clone(),
            regions: spec.regions.clone(),
            adopt: spec.adopt.clone(),
            secrets: spec.secrets.clone(),
            reserved: reserved.iter().map(|&name| name.to_owned()).collect(),
            kinds: spec.kinds.clone().unwrap_or_default(),
            registries: spec.registries.clone(),
            chart_hosts: spec.chart_hosts.clone(),
            git_hosts: spec.git_hosts.clone(),
            policies: Policies::new(spec.policies.clone()),
            never_ignore: spec.drift.iter().flat_map(|drift| drift.never_ignore.iter().cloned()).collect(),
            prune: spec.prune.map(|limit| Budget {
                max: limit.max.unwrap_or(u32::MAX),
                percent: limit.percent.unwrap_or(100),
            }),
        }
    }

    /// Says whether the environment may touch an object, be it to write, to heal, to put back, to take over or to delete it.
    pub fn may_touch(&self, key: &ObjectKey) -> Result<(), Untouchable> {
        let is_namespace = (&*key.group, &*key.kind) == ("", "Namespace");
        let namespace = match &key.namespace {
            Some(namespace) => Some(namespace),
            None => Some(&key.name).filter(|_| is_namespace),
        };
        if let Some(namespace) = namespace {
            if self.reserved.iter().any(|reserved| **reserved == **namespace) {
                return Err(Untouchable::Reserved(namespace.clone()));
            }
            if !self.namespaces.iter().any(|granted| **granted == **namespace) {
                return Err(Untouchable::Namespace(namespace.clone()));
            }
        }
        if key.namespace.is_none() && !self.grants_cluster_kind(key) {
            return Err(Untouchable::ClusterKind);
        }
        if let Some(denied) = self.kinds.denied.iter().find(|denied| pattern::names_kind(denied, key)) {
            return Err(Untouchable::Denied(denied.clone()));
        }
        match &self.kinds.allowed {
            Some(allowed) if !allowed.iter().any(|allowed| pattern::names_kind(allowed, key)) => {
                Err(Untouchable::NotAllowed)
            }
            _ => Ok(()),
        }
    }

    fn grants_cluster_kind(&self, key: &ObjectKey) -> bool {
        self.cluster_kinds.iter().any(|granted| match granted.split_once('.') {
            Some((kind, group)) => kind == &*key.kind && group == &*key.group,
            None => **granted == *key.kind && key.group.is_empty(),
        })
    }

    /// What is wrong with the limits themselves. Where anything is, nothing is written.
    pub(super) fn problems(&self) -> Vec<String> {
        let at = |field: &str, found: Option<String>| found.map(|what| format!("spec.{field}: {what}"));
        let allowed = self
            .kinds
            .allowed
            .iter()
            .flatten()
            .filter_map(|kind| at("kinds.allowed", pattern::kind_problem(kind)));
        let denied =
            self.kinds.denied.iter().filter_map(|kind| at("kinds.denied", pattern::kind_problem(kind)));
        let registries =
            self.registries.iter().flatten().filter_map(|place| at("registries", image::problem(place)));
        let charts =
            self.chart_hosts.iter().flatten().filter_map(|host| at("chartHosts", host::problem(host)));
        let git = self.git_hosts.iter().flatten().filter_map(|host| at("gitHosts", host::problem(host)));
        let drift =
            self.never_ignore.iter().filter_map(|kind| at("drift.neverIgnore", pattern::kind_problem(kind)));
        let mut found: Vec<String> =
            allowed.chain(denied).chain(registries).chain(charts).chain(git).chain(drift).collect();
        found.extend(self.policies.problems().into_iter().map(|what| format!("spec.policies: {what}")));
        found
    }
}

impl fmt::Display for Untouchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(namespace) => write!(f, "is in the namespace {namespace}, which is not granted"),
            Self::Reserved(namespace) => {
                write!(f, "is in the namespace {namespace}, which is the agent's own and never granted")
            }
            Self::ClusterKind => f.write_str("is cluster-scoped, and its kind is not granted"),
            Self::Denied(pattern) => write!(f, "is of a kind that is denied ({pattern})"),
            Self::NotAllowed => f.write_str("is of a kind that is not allowed"),
        }
    }
}

impl Untouchable {
    /// Where the platform says otherwise.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "spec.namespaces lists what it may write",
            Self::Reserved(_) => "choose another namespace",
            Self::ClusterKind => "spec.clusterKinds lists what it may write",
            Self::Denied(_) => "spec.kinds.denied lists what it may not touch",
            Self::NotAllowed => "spec.kinds.allowed lists what it may touch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants() -> Grants {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Grants {
            namespaces: own(&["web", "fairlead-state"]),
            cluster_kinds: own(&["Namespace", "ClusterRole.rbac.authorization.k8s.io"]),
            reserved: own(&["fairlead", "fairlead-state"]),
            ..Grants::default()
        }
    }

    fn asked(grants: &Grants, group: &str, kind: &str, namespace: Option<&str>, name: &str) -> String {
        match grants.may_touch(&ObjectKey::new(group, kind, namespace, name)) {
            Ok(()) => String::new(),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn an_object_may_be_touched_where_it_is_and_as_what_it_is() {
        let mut grants = grants();
        let rbac = "rbac.authorization.k8s.io";
        assert_eq!(asked(&grants, "", "ConfigMap", Some("web"), "a"), "");
        assert!(asked(&grants, "", "ConfigMap", Some("other"), "a").contains("not granted"));
        assert_eq!(asked(&grants, rbac, "ClusterRole", None, "a"), "");
        assert!(asked(&grants, rbac, "ClusterRoleBinding", None, "a").contains("cluster-scoped"));
        assert!(
            asked(&grants, "", "ClusterRole", None, "a").contains("cluster-scoped"),
            "the group belongs to it"
        );
        assert_eq!(asked(&grants, "", "Namespace", None, "web"), "");
        assert!(asked(&grants, "", "Namespace", None, "kube-system").contains("not granted"));
        grants.kinds.denied = vec!["RoleBinding.rbac.authorization.k8s.io".to_owned()];
        assert!(asked(&grants, rbac, "RoleBinding", Some("web"), "a").contains("denied (RoleBinding"));
        assert_eq!(asked(&grants, rbac, "Role", Some("web"), "a"), "");
        grants.kinds.allowed = Some(vec!["*.apps".to_owned(), "*.rbac.authorization.k8s.io".to_owned()]);
        assert_eq!(asked(&grants, "apps", "Deployment", Some("web"), "a"), "");
        assert!(asked(&grants, "", "ConfigMap", Some("web"), "a").contains("not allowed"));
        assert!(
            asked(&grants, rbac, "RoleBinding", Some("web"), "a").contains("denied"),
            "denied comes first"
        );
        grants.kinds.allowed = Some(Vec::new());
        assert!(
            asked(&grants, "apps", "Deployment", Some("web"), "a").contains("not allowed"),
            "none is allowed"
        );
    }

    #[test]
    fn the_namespaces_of_the_agents_are_never_granted() {
        let mut grants = grants();
        grants.namespaces.push("*".to_owned());
        for (kind, namespace, name) in [
            ("ConfigMap", Some("fairlead-state"), "a"),
            ("Namespace", None, "fairlead-state"),
            ("Secret", Some("fairlead"), "a"),
        ] {
            assert!(asked(&grants, "", kind, namespace, name).contains("the agent's own"), "{kind} {name}");
        }
    }

    #[test]
    fn limits_that_cannot_be_read_are_named() {
        let mut grants = grants();
        grants.kinds.denied = vec!["secrets".to_owned()];
        grants.registries = Some(vec!["nginx".to_owned()]);
        grants.git_hosts = Some(vec!["https://git.example".to_owned()]);
        let found = grants.problems().join("\n");
        for words in
            ["spec.kinds.denied: \"secrets\"", "spec.registries: \"nginx\"", "spec.gitHosts: \"https"]
        {
            assert!(found.contains(words), "{words}: {found}");
        }
    }
}
