//! What the account of an environment has to be allowed for the objects that the environment renders to, and nothing more.
//!
//! As the account nothing is read, only written, by these requests:
//!
//! | verb | is sent for |
//! | --- | --- |
//! | `patch` | dry runs and writes (both are applies), taking over, stopping a region |
//! | `create` | what an apply would make; Jobs of hooks and of the steps of a re-point |
//! | `delete` | what leaves git, what is made anew, Jobs of hooks that ended |
//!
//! Kinds that stay when they leave git ([`is_protected`]) need no `delete`, unless an object says that it may go. Objects of no
//! namespace are named one by one: otherwise an account that writes one ClusterRole could write all of them.
//!
//! The API server lets nobody grant what they do not have. So a Role brings its own rules, and a binding the right to bind what
//! it names.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::object::{KindScope, Kinds, PRUNE, Problem, Problems};
use crate::plan::{Wanted, is_protected};

const RBAC: &str = "rbac.authorization.k8s.io";

/// A rule of a Role or a ClusterRole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub api_groups: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub resource_names: BTreeSet<String>,
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "BTreeSet::is_empty")]
    pub non_resource_urls: BTreeSet<String>,
    pub verbs: BTreeSet<String>,
}

/// What is needed of one resource; of one object, where it is named.
type Need = (String, String, Option<String>);

/// The rules that an account needs, by namespace; those of the whole cluster have none.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    needs: BTreeMap<Option<String>, BTreeMap<Need, BTreeSet<&'static str>>>,
    /// What Roles of the environment grant.
    granted: BTreeMap<Option<String>, BTreeSet<Rule>>,
    /// The kinds that are written, as `Kind.group`.
    written: BTreeSet<String>,
}

impl Rights {
    /// Takes up what it needs to write these objects.
    pub fn add<'a>(
        &mut self,
        objects: impl IntoIterator<Item = &'a Wanted>,
        kinds: &Kinds,
    ) -> Result<(), Problems> {
        Problems::check(objects.into_iter().filter_map(|object| self.add_one(object, kinds).err()).collect())
    }

    fn add_one(&mut self, object: &Wanted, kinds: &Kinds) -> Result<(), Problem> {
        let (key, gvk) = (&object.key, &object.gvk);
        let info = kinds.get(&gvk.group, &gvk.kind).ok_or_else(|| {
            let message =
                format!("{key}: how the API server calls its kind {} is not known", gvk.group_kind());
            Problem::at(object.place.clone(), message)
                .hint("--definitions names a file with its CustomResourceDefinition; or ask the cluster")
        })?;
        self.written.insert(gvk.group_kind());
        let value = object.value();
        let namespace = key.namespace.as_deref().filter(|_| info.scope == KindScope::Namespaced);
        if namespace.is_none() && info.scope == KindScope::Namespaced {
            let message = format!("{key} names no namespace, and the Environment does not have just one");
            return Err(Problem::at(object.place.clone(), message));
        }
        let name = namespace.is_none().then(|| key.name.to_string());
        self.need(namespace, (&gvk.group, &info.plural, name.as_deref()), &["create", "patch"]);
        if !is_protected(gvk) || value["metadata"]["annotations"][PRUNE] == "allowed" {
            self.need(namespace, (&gvk.group, &info.plural, name.as_deref()), &["delete"]);
        }
        if &*gvk.group == RBAC {
            self.add_grants(namespace, &gvk.kind, &key.name, &value);
        }
        Ok(())
    }

    /// What it needs besides, to write a Role or a binding.
    fn add_grants(&mut self, namespace: Option<&str>, kind: &str, name: &str, object: &Value) {
        match kind {
            // What is gathered from other Roles is not known before it is there.
            "ClusterRole" if object["aggregationRule"].is_object() => {
                self.need(namespace, (RBAC, "clusterroles", Some(name)), &["escalate"]);
            }
            "Role" | "ClusterRole" => {
                let rules = object["rules"].as_array().into_iter().flatten().map(Rule::read);
                self.granted.entry(namespace.map(str::to_owned)).or_default().extend(rules);
            }
            "RoleBinding" | "ClusterRoleBinding" => {
                let role = match object["roleRef"]["kind"].as_str() {
                    Some("Role") => "roles",
                    _ => "clusterroles",
                };
                self.need(namespace, (RBAC, role, object["roleRef"]["name"].as_str()), &["bind"]);
            }
            _ => {}
        }
    }

    /// Takes up the Jobs of the steps of a re-point: they are made, and nothing else is done to them.
    pub fn add_step_job(&mut self, namespace: &str) {
        self.need(Some(namespace), ("batch", "jobs", None), &["create"]);
    }

    /// Takes up that a region may be given up: what a CronJob started is suspended with it. All else that is stopped then is
    /// written by the environment anyway.
    pub fn add_stopping<'a>(&mut self, objects: impl IntoIterator<Item = &'a Wanted>) {
        for object in objects.into_iter().filter(|object| object.gvk.group_kind() == "CronJob.batch") {
            self.need(object.key.namespace.as_deref(), ("batch", "jobs", None), &["patch"]);
        }
    }

    /// Takes up what the environment has in a cluster and git has no more: it is still to be deleted. `kind` is `Kind.group`.
    /// False where it is not known, or of no namespace: whoever may delete one of these may delete all.
    pub fn add_leftover(&mut self, kind: &str, namespaces: &BTreeSet<String>, kinds: &Kinds) -> bool {
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        let Some(info) = kinds.get(group, kind).filter(|info| info.scope == KindScope::Namespaced) else {
            return false;
        };
        for namespace in namespaces {
            self.need(Some(namespace), (group, &info.plural, None), &["delete"]);
        }
        true
    }

    /// Whether the environment writes objects of a kind, as `Kind.group`.
    pub fn writes(&self, kind: &str) -> bool {
        self.written.contains(kind)
    }

    fn need(
        &mut self,
        namespace: Option<&str>,
        (group, resource, name): (&str, &str, Option<&str>),
        verbs: &[&'static str],
    ) {
        let of = (group.to_owned(), resource.to_owned(), name.map(str::to_owned));
        self.needs.entry(namespace.map(str::to_owned)).or_default().entry(of).or_default().extend(verbs);
    }

    /// The rules of each namespace, and first those of the cluster, as short as they can be said.
    pub fn rules(&self) -> BTreeMap<Option<String>, Vec<Rule>> {
        let mut all = BTreeMap::<Option<String>, Vec<Rule>>::new();
        for (namespace, needs) in &self.needs {
            // Objects of one resource that need the same are one rule, and so are resources of one group.
            let mut names = BTreeMap::<_, BTreeSet<String>>::new();
            for ((group, resource, name), verbs) in needs {
                names.entry((group, resource, verbs, name.is_some())).or_default().extend(name.clone());
            }
            let mut rules = BTreeMap::<_, BTreeSet<String>>::new();
            for ((group, resource, verbs, _), names) in names {
                rules.entry((group, verbs, names)).or_default().insert(resource.clone());
            }
            let rules = rules.into_iter().map(|((group, verbs, resource_names), resources)| Rule {
                api_groups: [group.clone()].into(),
                resources,
                resource_names,
                verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
                ..Rule::default()
            });
            all.entry(namespace.clone()).or_default().extend(rules);
        }
        for (namespace, rules) in &self.granted {
            let known = all.entry(namespace.clone()).or_default();
            known.extend(rules.iter().filter(|rule| !rule.verbs.is_empty()).cloned());
        }
        all
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let list = |field: &str| {
            let items = rule[field].as_array().into_iter().flatten();
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        Self {
            api_groups: list("apiGroups"),
            resources: list("resources"),
            resource_names: list("resourceNames"),
            non_resource_urls: list("nonResourceURLs"),
            verbs: list("verbs"),
        }
    }
}

#[cfg(test)]
mod tests;
