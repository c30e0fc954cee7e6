use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde::Deserialize;
use serde_json::Value;

use super::managers::{Held, MANAGER, Managers};
use super::{Digest, Gvk, ObjectKey};

/// The annotation that carries the digest of the manifest that was applied last. See `plan::diff` for why it is enough.
pub const APPLIED: &str = "fairlead.dev/applied";

/// What a person says about deleting an object: `never`, or `allowed` for kinds that are otherwise never deleted.
pub const PRUNE: &str = "fairlead.dev/prune";

/// On a workload: the digest of the configuration that its pods were started with. In its pod template: the same, once it
/// changed. See `plan::readers`.
pub const CONFIG: &str = "fairlead.dev/config";

/// The same for Secrets of other apps of the environment.
pub const SHARED_CONFIG: &str = "fairlead.dev/shared-config";

/// Orders an object among those of its stage, when it is written and when it is deleted.
pub const WAVE: &str = "fairlead.dev/wave";

/// The fields that our Apply entry owns, as the server wrote them: compact JSON of `fieldsV1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owned(Arc<[u8]>);

impl Owned {
    pub fn new(fields: &Value) -> Self {
        Self(serde_json::to_vec(fields).unwrap_or_default().into())
    }

    /// Whether anyone else holds the same.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub fn fields(&self) -> Value {
        serde_json::from_slice(&self.0).unwrap_or_default()
    }
}

/// On a Job in git: that it runs once on the way, and when: `before`, `after`, `verify`; `never` where it does not run at
/// all. The label of the same name, on the Job that was made of it, bears the hook's name.
pub const HOOK: &str = "fairlead.dev/hook";

/// On a hook: `false` where a newer commit waits for its end.
pub const INTERRUPTIBLE: &str = "fairlead.dev/interruptible";

/// On an object that is not put back when a rollout fails, because of its kind: that it may be.
pub const REVERSIBLE: &str = "fairlead.dev/reversible";

/// On the Job of a hook: the digest of what it does.
pub const HOOK_IDENTITY: &str = "fairlead.dev/hook-identity";

/// On an object in git: the uid of the one in the cluster that may be deleted for it, where a field cannot change.
pub const REPLACE: &str = "fairlead.dev/replace";

/// On an object in git: what it is for the regions of its environment: `writer`, `consumer`, `reader`, `traffic`, `everywhere`.
pub const REGION_PART: &str = "fairlead.dev/region-part";

/// On what runs in the active region alone: the epoch at which it was started. No other epoch may write it.
pub const REGION_EPOCH: &str = "fairlead.dev/region-epoch";

/// On what runs in the active region alone: `true` where each of its processes is run by `fairlead guard`, and so ends by itself
/// when nobody says any more that it may run.
pub const REGION_GUARDED: &str = "fairlead.dev/region-guarded";

/// On the Job of a step of a re-point: the environment that it is of. It bears none of the marks by which objects are kept or
/// deleted.
pub const REGION_JOB: &str = "fairlead.dev/region-job";
/// The same on a Job that measures something in a standby.
pub const REGION_PROBE: &str = "fairlead.dev/region-probe";

/// What is kept of an object in the cluster: enough to decide whether anything is to be done, not the object itself.
///
/// Ten thousand whole objects would cost 100 MB; these cost a tenth. What a plan must show, it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub gvk: Gvk,
    pub key: ObjectKey,
    pub uid: Box<str>,
    pub resource_version: Box<str>,
    /// Shared by all that bear the same.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The digest of the manifest we applied last, by the object's own word.
    pub applied: Option<Digest>,
    /// Our Apply entry, or `None` where the object bears none.
    pub owned: Option<Owned>,
    /// Who is its controller, where it has one: such an object is not ours to delete.
    pub controller: Option<Box<str>>,
    pub deleting: bool,
    /// What stands in its annotation [`PRUNE`].
    pub prune: Option<Box<str>>,
    /// What stands in its annotation [`CONFIG`].
    pub config: Option<Box<str>>,
    /// What stands in its annotation [`SHARED_CONFIG`].
    pub shared: Option<Box<str>>,
    /// What stands in its annotation [`WAVE`]; 0 where nothing does.
    pub wave: i32,
    /// What tools that deploy whole manifests hold of it, too.
    pub held: Option<Box<Held>>,
    /// An autoscaler set its replicas last; it may be gone since.
    pub autoscaled: bool,
    /// Tells what others set from what they had set before, but for the status.
    pub others: u64,
}

impl Live {
    /// Reads an object as the API server returned it. `None` where it lacks what the server always writes.
    pub fn read(object: &Value) -> Option<Self> {
        let gvk = Gvk::from_api_version(object["apiVersion"].as_str()?, object["kind"].as_str()?);
        Self::from_meta(gvk, &ObjectMeta::deserialize(&object["metadata"]).ok()?)
    }

    pub fn from_meta(gvk: Gvk, meta: &ObjectMeta) -> Option<Self> {
        let key = ObjectKey::new(&gvk.group, &gvk.kind, meta.namespace.as_deref(), meta.name.as_deref()?);
        let ours = |entry: &&ManagedFieldsEntry| {
            entry.manager.as_deref() == Some(MANAGER)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.as_deref().unwrap_or_default().is_empty()
        };
        let entry = meta.managed_fields.iter().flatten().find(ours);
        let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let annotation = |name| meta.annotations.as_ref().and_then(|all| all.get(name)).map(String::as_str);
        let uid = meta.uid.as_deref()?;
        let Managers { held, autoscaled } = Managers::of(&key, uid, meta.managed_fields.as_deref());
        Some(Self {
            key,
            gvk,
            uid: uid.into(),
            resource_version: meta.resource_version.as_deref()?.into(),
            labels: Arc::new(meta.labels.clone().unwrap_or_default()),
            applied: annotation(APPLIED).map(Digest::from),
            owned: entry.and_then(|entry| entry.fields_v1.as_ref()).map(|fields| Owned::new(&fields.0)),
            controller: controller.map(|owner| format!("{} {}", owner.kind, owner.name).into()),
            deleting: meta.deletion_timestamp.is_some(),
            prune: annotation(PRUNE).map(Into::into),
            config: annotation(CONFIG).map(Into::into),
            shared: annotation(SHARED_CONFIG).map(Into::into),
            wave: annotation(WAVE).and_then(|text| text.trim().parse().ok()).unwrap_or_default(),
            held: held.map(Box::new),
            autoscaled,
            others: print_of_others(meta, &ours),
        })
    }

    /// Whether our Apply entry holds this label: then we wrote it, and nobody changed it since. A label that was copied
    /// or forged is not in it.
    pub fn owns_label(&self, name: &str) -> bool {
        self.owns("f:labels", name)
    }

    /// Whether the digest that it bears was written by us, and changed by nobody since.
    pub fn owns_digest(&self) -> bool {
        self.owns("f:annotations", APPLIED)
    }

    fn owns(&self, of: &str, name: &str) -> bool {
        self.owned
            .as_ref()
            .is_some_and(|owned| owned.fields()["f:metadata"][of].get(format!("f:{name}")).is_some())
    }
}

/// A print of what others set and when. Whoever sets a field to another value makes the time of their entry anew, to the
/// second; what happens within one second is told by the generation, of kinds that have one.
fn print_of_others(meta: &ObjectMeta, ours: &dyn Fn(&&ManagedFieldsEntry) -> bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    let others = meta.managed_fields.iter().flatten().filter(|entry| !ours(entry));
    for entry in others.filter(|entry| entry.subresource.as_deref() != Some("status")) {
        (&entry.manager, &entry.operation, &entry.subresource).hash(&mut hasher);
        entry.time.as_ref().map(|time| time.0).hash(&mut hasher);
    }
    meta.generation.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_set_anew_is_told_from_before_and_a_status_is_not() {
        let print = |time: &str, status: &str, ours: &str| {
            let entry = |manager: &str, operation: &str, subresource: &str, time: &str| {
                json!({"manager": manager, "operation": operation, "subresource": subresource, "time": time,
                    "fieldsType": "FieldsV1", "fieldsV1": {}})
            };
            let entries = [
                entry("fairlead", "Apply", "", ours),
                entry("kubectl", "Update", "", time),
                entry("kubelet", "Update", "status", status),
            ];
            let meta = json!({"name": "a", "uid": "u", "resourceVersion": "1", "managedFields": entries});
            let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta});
            Live::read(&live).expect("it has all that the server writes").others
        };
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
        let before = print(early, early, early);
        assert_ne!(before, print(late, early, early));
        assert_eq!(before, print(early, late, late));
    }
}
