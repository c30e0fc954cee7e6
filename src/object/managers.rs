//! Who writes an object, by the entries of its `managedFields`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use super::{Digest, ObjectKey};

/// The field manager that Fairlead applies as.
pub const MANAGER: &str = "fairlead";

/// A tool that deploys whole manifests, so that what it holds of an object can change hands as a whole. Everybody else
/// (controllers, webhooks, people with tools that nobody knows) holds fields for reasons of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    Kubectl,
    Helm,
    Flux,
    ArgoCd,
}

impl Tool {
    pub const ALL: [Self; 4] = [Self::Kubectl, Self::Helm, Self::Flux, Self::ArgoCd];

    /// As users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Flux => "flux",
            Self::ArgoCd => "argocd",
        }
    }

    /// Whose name a field manager's is. Tools take it from the name of their program, where they are not told otherwise.
    pub fn of(manager: &str) -> Option<Self> {
        match manager {
            // `kubectl rollout restart` holds one annotation of the pods; taking it away would restart them again.
            "kubectl-rollout" => None,
            // The server's name for whoever wrote an object before there were field managers.
            "kubectl" | "before-first-apply" => Some(Self::Kubectl),
            "helm" | "Helm" | "helm3" | "helm4" | "tiller" => Some(Self::Helm),
            "kustomize-controller" | "helm-controller" | "flux" => Some(Self::Flux),
            "argocd-controller" | "argocd-application-controller" | "argocd" => Some(Self::ArgoCd),
            _ => manager.starts_with("kubectl-").then_some(Self::Kubectl),
        }
    }
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagedEntry {
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    pub api_version: String,
    /// Empty for the object itself.
    pub subresource: String,
    pub time: Option<String>,
    pub fields: Value,
}

impl ManagedEntry {
    /// The entries of an object as the API server wrote it.
    pub fn all(object: &Value) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let read = |entry: &Value| Self {
            manager: text(&entry["manager"]),
            operation: text(&entry["operation"]),
            api_version: text(&entry["apiVersion"]),
            subresource: text(&entry["subresource"]),
            time: entry["time"].as_str().map(str::to_owned),
            fields: entry["fieldsV1"].clone(),
        };
        entries.map(read).collect()
    }

    fn of(entry: &ManagedFieldsEntry) -> Self {
        Self {
            manager: entry.manager.clone().unwrap_or_default(),
            operation: entry.operation.clone().unwrap_or_default(),
            api_version: entry.api_version.clone().unwrap_or_default(),
            subresource: entry.subresource.clone().unwrap_or_default(),
            time: entry
                .time
                .as_ref()
                .and_then(|time| Some(serde_json::to_value(time).ok()?.as_str()?.to_owned())),
            fields: entry.fields_v1.as_ref().map(|fields| fields.0.clone()).unwrap_or_default(),
        }
    }

    /// Whether it is what we applied.
    pub fn is_ours(&self) -> bool {
        self.manager == MANAGER && self.operation == "Apply" && self.subresource.is_empty()
    }

    /// The tool whose entry this is, where it can change hands. What stands under a subresource is a controller's; only
    /// the replicas that somebody scaled by hand are a person's.
    pub fn tool(&self) -> Option<Tool> {
        matches!(&*self.subresource, "" | "scale").then(|| Tool::of(&self.manager)).flatten()
    }

    /// Whether it is of a tool that applies whole manifests, and not the leftover of an edit by hand.
    pub fn applies_manifests(&self) -> bool {
        let whole = match &*self.manager {
            "kubectl" => self.operation == "Apply",
            "kubectl-client-side-apply" | "kubectl-create" | "kubectl-replace" | "before-first-apply" => true,
            other => !other.starts_with("kubectl-"),
        };
        whole && self.subresource.is_empty() && self.tool().is_some()
    }

    /// Whether it says that an autoscaler sets the replicas, or may: the controller that ships with Kubernetes does it
    /// through the subresource, and nothing else of that name does; and there we leave what we let go of.
    pub fn scales(&self) -> bool {
        matches!(&*self.manager, AUTOSCALER | LET_GO)
            && self.subresource == "scale"
            && self.fields["f:spec"].get("f:replicas").is_some()
    }
}

/// Who holds replicas that we let go of, until an autoscaler or a person sets them. If nobody held them, the API server
/// would not write down who sets them next.
pub const LET_GO: &str = "fairlead-replicas";

/// As whom the horizontal pod autoscaler writes.
pub const AUTOSCALER: &str = "kube-controller-manager";

/// What deploying tools hold of an object that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub managers: Box<[Box<str>]>,
    /// Names exactly this: object, managers and fields.
    pub token: Box<str>,
}

/// What is kept of the entries of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Managers {
    pub held: Option<Held>,
    pub autoscaled: bool,
}

impl Managers {
    pub fn of(key: &ObjectKey, uid: &str, entries: Option<&[ManagedFieldsEntry]>) -> Self {
        let entries = entries.unwrap_or_default();
        let is_tool = |entry: &&ManagedFieldsEntry| entry.manager.as_deref().and_then(Tool::of).is_some();
        let autoscaler = |entry: &ManagedFieldsEntry| {
            entry.subresource.as_deref() == Some("scale") && ManagedEntry::of(entry).scales()
        };
        let autoscaled = entries.iter().any(autoscaler);
        // Most objects have none, and then nothing is copied.
        let tools: Vec<ManagedEntry> = entries
            .iter()
            .filter(is_tool)
            .map(ManagedEntry::of)
            .filter(|entry| entry.tool().is_some())
            .collect();
        if !tools.iter().any(ManagedEntry::applies_manifests) {
            return Self { held: None, autoscaled };
        }
        let mut managers: Vec<Box<str>> = tools.iter().map(|entry| entry.manager.as_str().into()).collect();
        managers.sort();
        managers.dedup();
        let token = held_token(key, uid, tools.iter());
        Self { held: Some(Held { managers: managers.into(), token }), autoscaled }
    }
}

/// Names an object and what of it is held since when: who agrees to a hand-over agrees to exactly this. The time is that
/// of the last change of the entry, so that a state that comes back is another one.
pub fn held_token<'a>(
    key: &ObjectKey,
    uid: &str,
    entries: impl Iterator<Item = &'a ManagedEntry>,
) -> Box<str> {
    let mut parts: Vec<String> = entries
        .map(|entry| {
            let ManagedEntry { manager, operation, api_version, subresource, time, fields } = entry;
            let time = time.as_deref().unwrap_or_default();
            format!("{manager} {operation} {api_version} {subresource} {time} {fields}")
        })
        .collect();
    parts.sort();
    let key = key.to_string();
    let digest = Digest::of_parts([key.as_str(), uid].into_iter().chain(parts.iter().map(String::as_str)));
    digest.as_str()[..TOKEN_LENGTH].into()
}

/// Enough that no two hand-overs share one, and short enough that thousands fit into an annotation.
pub const TOKEN_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Live;

    #[test]
    fn tools_are_known_by_the_names_of_their_managers() {
        for (manager, tool) in [
            ("kubectl-client-side-apply", Some(Tool::Kubectl)),
            ("kubectl", Some(Tool::Kubectl)),
            ("kubectl-edit", Some(Tool::Kubectl)),
            ("kubectl-rollout", None),
            ("helm", Some(Tool::Helm)),
            ("helm-controller", Some(Tool::Flux)),
            ("kustomize-controller", Some(Tool::Flux)),
            ("argocd-controller", Some(Tool::ArgoCd)),
            ("kube-controller-manager", None),
            ("cert-manager-cainjector", None),
            ("fairlead", None),
        ] {
            assert_eq!(Tool::of(manager), tool, "{manager}");
        }
    }

    fn live(entries: Value) -> Live {
        Live::read(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "name": "web", "namespace": "web", "uid": "u", "resourceVersion": "1", "managedFields": entries}}))
        .unwrap()
    }

    fn entry(manager: &str, operation: &str, subresource: &str) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "subresource": subresource,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    }

    #[test]
    fn an_edit_by_hand_or_a_controller_shares_nothing() {
        for (manager, operation, subresource, shares) in [
            ("kubectl-client-side-apply", "Update", "", true),
            ("kubectl", "Apply", "", true),
            ("helm", "Update", "", true),
            ("kubectl-edit", "Update", "", false),
            ("kubectl-label", "Update", "", false),
            ("kubectl", "Update", "scale", false),
            ("helm", "Update", "status", false),
            ("kube-controller-manager", "Update", "scale", false),
            ("fairlead", "Apply", "", false),
        ] {
            let live = live(json!([entry(manager, operation, subresource)]));
            assert_eq!(live.held.is_some(), shares, "{manager} {operation} {subresource}");
        }
    }

    #[test]
    fn an_autoscaler_is_known_by_how_it_scales() {
        assert!(live(json!([entry("kube-controller-manager", "Update", "scale")])).autoscaled);
        assert!(!live(json!([entry("kube-controller-manager", "Update", "")])).autoscaled);
        assert!(!live(json!([entry("kubectl", "Update", "scale")])).autoscaled);
        assert!(live(json!([entry(LET_GO, "Update", "scale")])).autoscaled, "what we let go of is another's");
    }

    #[test]
    fn a_token_names_the_object_the_managers_and_the_fields() {
        let one = ObjectKey::new("apps", "Deployment", Some("web"), "a");
        let other = ObjectKey::new("apps", "Deployment", Some("web"), "b");
        let object = |fields: Value| {
            json!({"metadata": {"managedFields": [
                {"manager": "helm", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields}]}})
        };
        let token = |key: &ObjectKey, uid: &str, fields: Value| {
            held_token(key, uid, ManagedEntry::all(&object(fields)).iter())
        };
        let fields = json!({"f:spec": {"f:replicas": {}}});
        let first = token(&one, "u", fields.clone());
        assert_eq!(first, token(&one, "u", fields.clone()));
        assert_ne!(first, token(&other, "u", fields.clone()));
        assert_ne!(first, token(&one, "v", fields));
        assert_ne!(first, token(&one, "u", json!({"f:spec": {"f:paused": {}}})));
    }
}
