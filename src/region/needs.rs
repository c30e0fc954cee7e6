//! What the objects of an environment take for granted in the cluster of a region: classes and accounts that others make there. The
//! API server takes an object that names one which is missing, and its pods, volumes and addresses never come.

use std::collections::BTreeSet;

use serde_json::Value;

/// What is named, and what of it the environment brings with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    storage: BTreeSet<String>,
    /// Something asks for the class that is the default.
    default_storage: bool,
    ingress: BTreeSet<String>,
    priority: BTreeSet<String>,
    /// Namespace and name.
    accounts: BTreeSet<(String, String)>,
    own: BTreeSet<(String, String)>,
}

/// What is there; nothing of what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    pub storage: Option<BTreeSet<String>>,
    pub default_storage: bool,
    pub ingress: Option<BTreeSet<String>>,
    pub priority: Option<BTreeSet<String>>,
    pub accounts: Option<BTreeSet<(String, String)>>,
}

impl Needs {
    /// Takes what an object needs, as it will be sent.
    pub fn note(&mut self, kind: &str, namespace: Option<&str>, object: &Value) {
        let namespace = namespace.unwrap_or_default();
        let spec = &object["spec"];
        match kind {
            "PersistentVolumeClaim" => self.note_claim(spec),
            "Ingress" => self.ingress.extend(text(&spec["ingressClassName"])),
            "ServiceAccount" => {
                self.own.extend(text(&object["metadata"]["name"]).map(|name| (namespace.to_owned(), name)));
            }
            "Pod" => self.note_pod(namespace, spec),
            "CronJob" => self.note_pod(namespace, &spec["jobTemplate"]["spec"]["template"]["spec"]),
            _ => self.note_pod(namespace, &spec["template"]["spec"]),
        }
        if kind == "StatefulSet" {
            let claims = spec["volumeClaimTemplates"].as_array().into_iter().flatten();
            claims.for_each(|claim| self.note_claim(&claim["spec"]));
        }
    }

    fn note_claim(&mut self, spec: &Value) {
        match spec["storageClassName"].as_str() {
            // By that it asks for a volume without a class.
            Some("") => {}
            Some(class) => drop(self.storage.insert(class.to_owned())),
            None if spec["volumeName"].is_string() => {}
            None => self.default_storage = true,
        }
    }

    fn note_pod(&mut self, namespace: &str, spec: &Value) {
        self.priority.extend(text(&spec["priorityClassName"]));
        let account = text(&spec["serviceAccountName"]).or_else(|| text(&spec["serviceAccount"]));
        // Each namespace has this one.
        self.accounts
            .extend(account.filter(|name| name != "default").map(|name| (namespace.to_owned(), name)));
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Names what is missing.
    pub fn missing(&self, there: &Present) -> Vec<String> {
        let mut missing = Vec::new();
        let classes = [
            ("StorageClass", &self.storage, &there.storage),
            ("IngressClass", &self.ingress, &there.ingress),
            ("PriorityClass", &self.priority, &there.priority),
        ];
        for (kind, named, there) in classes {
            let Some(there) = there else { continue };
            missing.extend(named.difference(there).map(|name| format!("there is no {kind} {name} here")));
        }
        if self.default_storage && there.storage.is_some() && !there.default_storage {
            missing.push("volumes name no StorageClass, and none is the default here".to_owned());
        }
        if let Some(there) = &there.accounts {
            let left = self.accounts.difference(&self.own).filter(|account| !there.contains(*account));
            missing.extend(left.map(|(of, name)| format!("there is no ServiceAccount {of}/{name} here")));
        }
        missing
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(names: &[&str]) -> Option<BTreeSet<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn what_pods_volumes_and_addresses_need_is_named_where_it_is_missing() {
        let mut needs = Needs::default();
        let pod = json!({"serviceAccountName": "web", "priorityClassName": "high"});
        let claims =
            json!([{"spec": {"storageClassName": "fast"}}, {"spec": {}}, {"spec": {"storageClassName": ""}}]);
        let set_spec = json!({"template": {"spec": pod}, "volumeClaimTemplates": claims});
        needs.note("StatefulSet", Some("shop"), &json!({"spec": set_spec}));
        let cron = json!({"jobTemplate": {"spec": {"template": {"spec": {"serviceAccountName": "cron"}}}}});
        needs.note("CronJob", Some("shop"), &json!({"spec": cron}));
        needs.note("ServiceAccount", Some("shop"), &json!({"metadata": {"name": "cron"}}));
        needs.note("Ingress", Some("shop"), &json!({"spec": {"ingressClassName": "public"}}));
        needs.note(
            "Deployment",
            Some("shop"),
            &json!({"spec": {"template": {"spec": {"serviceAccountName": "default"}}}}),
        );
        let none = Present {
            storage: set(&[]),
            ingress: set(&[]),
            priority: set(&[]),
            accounts: Some(BTreeSet::new()),
            ..Present::default()
        };
        assert_eq!(
            needs.missing(&none),
            [
                "there is no StorageClass fast here",
                "there is no IngressClass public here",
                "there is no PriorityClass high here",
                "volumes name no StorageClass, and none is the default here",
                "there is no ServiceAccount shop/web here",
            ]
        );
        assert!(needs.missing(&Present::default()).is_empty(), "what could not be read is not missing");
        let all = Present {
            storage: set(&["fast"]),
            default_storage: true,
            ingress: set(&["public"]),
            priority: set(&["high"]),
            accounts: Some(BTreeSet::from([("shop".to_owned(), "web".to_owned())])),
        };
        assert_eq!(needs.missing(&all), Vec::<String>::new());
    }
}
