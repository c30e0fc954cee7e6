use std::collections::BTreeMap;

use serde_json::Value;

use super::{Digest, Gvk, ObjectKey};

/// The field manager that Fairlead applies as.
pub const MANAGER: &str = "fairlead";

/// The annotation that carries the digest of the manifest that was applied last. See `plan::diff` for why it is enough.
pub const APPLIED: &str = "fairlead.dev/applied";

/// The fields that our Apply entry owns, as the server wrote them: compact JSON of `fieldsV1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owned(Box<[u8]>);

impl Owned {
    pub fn new(fields: &Value) -> Self {
        Self(serde_json::to_vec(fields).unwrap_or_default().into())
    }

    pub fn fields(&self) -> Value {
        serde_json::from_slice(&self.0).unwrap_or_default()
    }
}

/// What is kept of an object in the cluster: enough to decide whether anything is to be done, not the object itself.
///
/// Ten thousand whole objects would cost 100 MB; these cost a tenth. What a plan must show, it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub gvk: Gvk,
    pub key: ObjectKey,
    pub uid: Box<str>,
    pub resource_version: Box<str>,
    pub labels: BTreeMap<String, String>,
    /// The digest of the manifest we applied last, by the object's own word.
    pub applied: Option<Digest>,
    /// Our Apply entry, or `None` where the object bears none.
    pub owned: Option<Owned>,
    /// Who is its controller, where it has one: such an object is not ours to delete.
    pub controller: Option<Box<str>>,
    pub deleting: bool,
}

impl Live {
    /// Reads an object as the API server returned it. `None` where it lacks what the server always writes.
    pub fn read(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let gvk = Gvk::from_api_version(object["apiVersion"].as_str()?, object["kind"].as_str()?);
        let key = ObjectKey::new(
            &gvk.group,
            &gvk.kind,
            metadata["namespace"].as_str(),
            metadata["name"].as_str()?,
        );
        let owned = metadata["managedFields"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|entry| {
                entry["manager"] == MANAGER
                    && entry["operation"] == "Apply"
                    && entry.get("subresource").is_none()
            })
            .map(|entry| Owned::new(&entry["fieldsV1"]));
        let labels = metadata["labels"].as_object().into_iter().flatten();
        Some(Self {
            key,
            gvk,
            uid: metadata["uid"].as_str()?.into(),
            resource_version: metadata["resourceVersion"].as_str()?.into(),
            labels: labels
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
            applied: metadata["annotations"][APPLIED].as_str().map(Digest::from),
            owned,
            controller: metadata["ownerReferences"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|owner| owner["controller"] == true)
                .map(|owner| {
                    let (kind, name) = (&owner["kind"], &owner["name"]);
                    format!(
                        "{} {}",
                        kind.as_str().unwrap_or_default(),
                        name.as_str().unwrap_or_default()
                    )
                    .into()
                }),
            deleting: metadata.get("deletionTimestamp").is_some(),
        })
    }
}
