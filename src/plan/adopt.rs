//! Decides what of an object changes hands when another tool's work becomes ours, and who agreed to that.
//!
//! A tool that deploys whole manifests hands over all that it holds: git's manifest takes the place of its own, and what
//! git does not say goes. Anyone else hands over the fields that git claims, and keeps the rest. See
//! docs/decisions/0008-adoption.md.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::Conflict;
use super::field_sets::{Fields, cut, holds, overlap, paths, remove_unheld, union, within};
use super::replicas::REPLICAS;
use crate::object::{
    AUTOSCALER, Digest, Held, LET_GO, MANAGER, ManagedEntry, ObjectKey, TOKEN_LENGTH, Tool, held_token,
};

/// Who writes for Kubernetes itself. What they hold is never git's to claim.
const NEVER: &[&str] =
    &[AUTOSCALER, "kube-scheduler", "kube-apiserver", "kubelet", "cloud-controller-manager", MANAGER];

/// What `kubectl apply` was given, as it wrote it down on the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields that a hand-over leaves as they are, whoever held them: nobody holds them after it, and so nothing takes them
/// away. Status is a controller's; an owner reference decides about deletes; the last would restart every pod.
const LEFT_ALONE: &[&[&str]] = &[
    &["f:status"],
    &["f:metadata", "f:ownerReferences"],
    &["f:spec", "f:template", "f:metadata", "f:annotations", "f:kubectl.kubernetes.io/restartedAt"],
];

/// All that changes hands of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    #[serde(skip)]
    pub key: ObjectKey,
    #[serde(skip)]
    pub uid: Box<str>,
    /// Tools that hand over all that they hold.
    pub from: Vec<Party>,
    /// Fields that git claims and that anyone else holds.
    pub fields: Vec<Conflict>,
    /// Names exactly this, for whoever agrees to it.
    pub token: Box<str>,
    /// Who seems to tend the object still, by the marks that it bears.
    pub tended: Vec<String>,
}

/// What one field manager hands over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    pub manager: String,
    pub tool: &'static str,
    pub operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    pub fields: Vec<String>,
}

impl Handover {
    /// What others hold of a live object, of which git claims the fields in conflict. `None` where there is nothing to
    /// hand over, or where a part of Kubernetes holds what git claims.
    pub fn of(key: &ObjectKey, object: &Value, conflicts: &[Conflict]) -> Option<Self> {
        let uid = object["metadata"]["uid"].as_str()?;
        let entries = ManagedEntry::all(object);
        let mut tools: Vec<(&ManagedEntry, Tool)> =
            entries.iter().filter_map(|entry| Some((entry, entry.tool()?))).collect();
        let id = |entry: &ManagedEntry| {
            (entry.manager.clone(), entry.operation.clone(), entry.subresource.clone())
        };
        tools.sort_by_key(|(entry, _)| id(entry));
        if conflicts.iter().any(|conflict| NEVER.contains(&conflict.manager.as_str())) {
            return None;
        }
        let mut fields: Vec<Conflict> = conflicts
            .iter()
            .filter(|conflict| !tools.iter().any(|(entry, _)| entry.manager == conflict.manager))
            .cloned()
            .collect();
        fields.sort_by(|a, b| (&a.manager, &a.field).cmp(&(&b.manager, &b.field)));
        if tools.is_empty() && fields.is_empty() {
            return None;
        }
        let mut token = held_token(key, uid, tools.iter().map(|(entry, _)| *entry));
        if !fields.is_empty() {
            let claimed = fields.iter().flat_map(|field| [field.manager.as_str(), field.field.as_str()]);
            let digest = Digest::of_parts(std::iter::once(&*token).chain(claimed));
            token = digest.as_str()[..TOKEN_LENGTH].into();
        }
        let party = |(entry, tool): &(&ManagedEntry, Tool)| Party {
            manager: entry.manager.clone(),
            tool: tool.as_str(),
            operation: entry.operation.clone(),
            subresource: entry.subresource.clone(),
            fields: paths(&taken(entry, object)),
        };
        let from = tools.iter().map(party).collect();
        Some(Self { key: key.clone(), uid: uid.into(), from, fields, token, tended: tended(object) })
    }

    /// Whether a tool holds what we would claim, be it of the same value: then it deploys this object, and a first claim
    /// on it is refused.
    pub fn is_needed(&self, object: &Value) -> bool {
        if !self.fields.is_empty() {
            return true;
        }
        let entries = ManagedEntry::all(object);
        let Some(ours) =
            entries.iter().find(|entry| entry.is_ours()).and_then(|entry| entry.fields.as_object())
        else {
            return !self.from.is_empty();
        };
        let tools = entries.iter().filter(|entry| entry.tool().is_some());
        tools.filter_map(|entry| entry.fields.as_object()).any(|theirs| overlap(theirs, ours))
    }

    /// From whom, without saying anyone twice.
    pub fn managers(&self) -> Vec<&str> {
        let all = self.from.iter().map(|party| party.manager.as_str());
        let all = all.chain(self.fields.iter().map(|field| field.manager.as_str()));
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// How many fields change hands.
    pub fn count(&self) -> usize {
        self.from.iter().map(|party| party.fields.len()).sum::<usize>() + self.fields.len()
    }
}

/// What of a tool's entry becomes ours.
fn taken(entry: &ManagedEntry, object: &Value) -> Fields {
    let Some(fields) = entry.fields.as_object() else { return Fields::new() };
    let mut fields = fields.clone();
    // An Update holds what the server and its webhooks put beside what was sent, too. Where the tool wrote down what it
    // sent, that alone was its claim.
    let annotation = ["f:metadata", "f:annotations", &format!("f:{LAST_APPLIED}")];
    if entry.operation == "Update" && holds(&fields, &annotation) {
        let text = object["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap_or_default();
        if let Ok(mut applied) = serde_json::from_str::<Value>(text)
            && applied.is_object()
        {
            applied["metadata"]["annotations"][LAST_APPLIED] = "".into();
            fields = within(&fields, &applied);
        }
    }
    for path in LEFT_ALONE {
        cut(&mut fields, path);
    }
    fields
}

/// Who agreed to what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consent {
    /// Tools and managers that git may take over from by its own word.
    pub word: BTreeSet<String>,
    /// Hand-overs that a person agreed to.
    pub tokens: Arc<BTreeSet<Box<str>>>,
    /// What was taken over by git's word already. Who comes back to it is still at work, and that is a person's to end.
    pub spent: BTreeSet<(ObjectKey, Box<str>)>,
}

impl Consent {
    pub fn given(&self, handover: &Handover) -> bool {
        let by_word = |manager: &str| self.word_covers(&handover.key, manager);
        self.tokens.contains(&handover.token) || handover.managers().into_iter().all(by_word)
    }

    /// The same, of what is ours and shared with tools.
    pub fn covers(&self, key: &ObjectKey, held: &Held) -> bool {
        self.tokens.contains(&held.token)
            || held.managers.iter().all(|manager| self.word_covers(key, manager))
    }

    fn word_covers(&self, key: &ObjectKey, manager: &str) -> bool {
        let tool = Tool::of(manager).map(Tool::as_str);
        let named = self.word.contains(manager) || tool.is_some_and(|tool| self.word.contains(tool));
        named && !self.spent.contains(&(key.clone(), manager.into()))
    }

    /// Whether git's word would have covered it, had it not been used before.
    pub fn was_spent(&self, handover: &Handover) -> bool {
        let spent = |manager: &&str| self.spent.contains(&(handover.key.clone(), (*manager).into()));
        handover.managers().iter().any(spent)
    }
}

/// The `managedFields` of an object after something changed hands.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub managed: Vec<Value>,
    /// All that we hold then, and by the fields of which version.
    pub ours: Fields,
    pub api_version: String,
}

/// The entries of a live object in which all that is handed over is ours, and in which we let go of the replicas where
/// they are not ours to set. No value changes by it. `None` where there is nothing to do.
pub fn edit(
    object: &Value,
    handover: Option<&Handover>,
    sends_replicas: bool,
    version: &str,
) -> Option<Edit> {
    let entries = ManagedEntry::all(object);
    let raw = object["metadata"]["managedFields"].as_array()?;
    let takes = |entry: &ManagedEntry| handover.is_some() && entry.tool().is_some();
    let own = entries.iter().find(|entry| entry.is_ours());
    let mut ours = own.and_then(|entry| entry.fields.as_object()).cloned().unwrap_or_default();
    let (mut managed, mut api_version, mut time) = (Vec::new(), own.map(|own| own.api_version.clone()), None);
    for (entry, raw) in entries.iter().zip(raw) {
        if takes(entry) {
            ours = union(&ours, &taken(entry, object));
            // Which fields are meant depends on the version. Ours decides where we have an entry, else the first one's:
            // the server converts what it holds back to the version of the entry.
            api_version.get_or_insert_with(|| entry.api_version.clone());
        } else if !entry.is_ours() {
            managed.push(raw.clone());
            continue;
        }
        time = time.max(entry.time.clone());
    }
    let let_go = !sends_replicas && holds(&ours, &REPLICAS);
    if let_go {
        cut(&mut ours, &REPLICAS);
    }
    let before = own.and_then(|entry| entry.fields.as_object()).cloned().unwrap_or_default();
    if ours == before && managed.len() + usize::from(own.is_some()) == raw.len() {
        return None;
    }
    let api_version = api_version.unwrap_or_else(|| version.to_owned());
    let held = managed
        .iter()
        .any(|entry| entry["fieldsV1"].as_object().is_some_and(|fields| holds(fields, &REPLICAS)));
    if let_go && !held {
        managed.push(json!({
            "manager": LET_GO, "operation": "Update", "apiVersion": api_version, "subresource": "scale",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }));
    }
    if !ours.is_empty() {
        let mut entry = json!({
            "manager": MANAGER, "operation": "Apply", "apiVersion": api_version,
            "fieldsType": "FieldsV1", "fieldsV1": ours,
        });
        if let Some(time) = time {
            entry["time"] = time.into();
        }
        managed.push(entry);
    }
    if managed.is_empty() {
        // An empty list would say that nobody ever wrote down who holds what.
        return None;
    }
    Some(Edit { managed, ours, api_version })
}

/// What becomes of an object when `merged`, which has git's values over what is live, loses what only the parties of a
/// hand-over held.
pub fn outcome(merged: &Value, edit: &Edit, handover: &Handover) -> Value {
    let gone: BTreeSet<(&str, &str, &str)> = handover
        .from
        .iter()
        .map(|party| (party.manager.as_str(), party.operation.as_str(), party.subresource.as_str()))
        .collect();
    let mut kept = Fields::new();
    for entry in ManagedEntry::all(merged) {
        let id = (entry.manager.as_str(), entry.operation.as_str(), entry.subresource.as_str());
        if let Some(fields) = entry.fields.as_object().filter(|_| !gone.contains(&id)) {
            kept = union(&kept, fields);
        }
    }
    let mut after = merged.clone();
    remove_unheld(&mut after, &edit.ours, &kept);
    after
}

/// The marks by which GitOps agents and Helm know what is theirs.
fn tended(object: &Value) -> Vec<String> {
    let (labels, annotations) = (&object["metadata"]["labels"], &object["metadata"]["annotations"]);
    let text = |map: &Value, name: &str| map[name].as_str().map(str::to_owned);
    let named = |map: &Value, name: &str, namespace: &str| {
        let name = text(map, name)?;
        Some(match text(map, namespace) {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        })
    };
    let flux = |kind: &str, group: &str| {
        let found = named(
            labels,
            &format!("{group}.toolkit.fluxcd.io/name"),
            &format!("{group}.toolkit.fluxcd.io/namespace"),
        );
        found.map(|name| format!("the Flux {kind} {name}"))
    };
    let helm = named(annotations, "meta.helm.sh/release-name", "meta.helm.sh/release-namespace")
        .map(|name| format!("the Helm release {name}"));
    let by_argo = ManagedEntry::all(object).iter().any(|entry| entry.tool() == Some(Tool::ArgoCd));
    let argo = text(annotations, "argocd.argoproj.io/tracking-id")
        .and_then(|id| id.split(':').next().map(str::to_owned))
        .or_else(|| text(labels, "argocd.argoproj.io/instance"))
        // What Argo CD marks by where it is not told otherwise. Others write it, too.
        .or_else(|| text(labels, "app.kubernetes.io/instance").filter(|_| by_argo))
        .map(|name| format!("the Argo CD Application {name}"));
    [flux("Kustomization", "kustomize"), flux("HelmRelease", "helm"), helm, argo]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests;
