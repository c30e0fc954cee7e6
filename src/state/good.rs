//! What an app wanted, object by object, so that it can be applied again without git.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pack::{Damage, Piece, Pieces, pack, unpack};
use crate::object::{AppName, Digest, Gvk, ObjectKey, Place};
use crate::plan::{Wanted, WantedApp};

/// One object as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    key: ObjectKey,
    gvk: Gvk,
    place: Place,
    digest: Digest,
    #[serde(default, skip_serializing_if = "is_zero")]
    wave: i32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<ObjectKey>,
    /// The values of a Secret are not stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
    body: Value,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// An object that was stored.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredObject {
    Whole(Wanted),
    /// A Secret with values, without these: it can be compared and not written.
    Withheld {
        key: ObjectKey,
        digest: Digest,
    },
}

/// What an app wanted, as far as it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub app: AppName,
    pub digest: Digest,
    pub objects: Vec<StoredObject>,
}

impl Stored {
    /// What was stored whole.
    pub fn whole(self) -> impl Iterator<Item = Wanted> {
        self.objects.into_iter().filter_map(|object| match object {
            StoredObject::Whole(wanted) => Some(wanted),
            StoredObject::Withheld { .. } => None,
        })
    }
}

/// kubectl keeps a copy of everything there.
const KUBECTLS_COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether an object is a Secret with values. One that holds nothing but references is stored like everything else.
fn holds_values(object: &Wanted) -> bool {
    if !object.is_secret() {
        return false;
    }
    let Some(sealed) = object.sealed() else { return true };
    let (value, references) = (object.value(), sealed.sealed_keys().collect::<BTreeSet<_>>());
    let mut keys = value["data"].as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    keys.any(|key| !references.contains(key)) || value["metadata"]["annotations"].get(KUBECTLS_COPY).is_some()
}

/// Apps whose objects are at least this long stand in pieces of their own: one object more changes one or two of them.
const ALONE_FROM: usize = 256 * 1024;

/// What an app wanted, in the form that is stored.
#[derive(Clone, Debug)]
pub enum Packed {
    /// So little that it stands together with what others wanted.
    Together(Arc<[u8]>),
    /// In pieces of its own.
    Alone(Pieces, Vec<Piece>),
}

impl Packed {
    pub fn of(app: &WantedApp) -> Self {
        let lines = lines_of(app);
        let bytes: usize = lines.iter().map(|(_, line)| line.len() + 1).sum();
        if bytes >= ALONE_FROM {
            return Self::alone(lines);
        }
        let mut text = Vec::with_capacity(bytes);
        for (_, line) in lines {
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        Self::Together(text.into())
    }

    fn alone(lines: Vec<(Digest, Vec<u8>)>) -> Self {
        let (pieces, made) = pack(lines.into_iter());
        Self::Alone(pieces, made)
    }

    #[cfg(test)]
    pub(super) fn alone_of(app: &WantedApp) -> Self {
        Self::alone(lines_of(app))
    }
}

/// Writes a line for each object, with the name that says where a list may be cut.
fn lines_of(app: &WantedApp) -> Vec<(Digest, Vec<u8>)> {
    let mut objects: Vec<&Wanted> = app.objects.iter().map(|object| &**object).collect();
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    let line = |object: &Wanted| {
        let mut body = object.value();
        let withheld = holds_values(object);
        if withheld && let Value::Object(map) = &mut body {
            strip_values(map);
        }
        let line = Line {
            key: object.key.clone(),
            gvk: object.gvk.clone(),
            place: object.place.clone(),
            digest: object.digest.clone(),
            wave: object.wave,
            depends_on: object.depends_on.clone(),
            withheld,
            body,
        };
        let text = serde_json::to_vec(&line).expect("an object that we wrote is JSON");
        (Digest::of_parts([object.key.to_string().as_str()]), text)
    };
    objects.into_iter().map(line).collect()
}

fn strip_values(secret: &mut Map<String, Value>) {
    secret
        .retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "type" | "immutable"));
    if let Some(Value::Object(annotations)) =
        secret.get_mut("metadata").and_then(|meta| meta.get_mut("annotations"))
    {
        annotations.remove(KUBECTLS_COPY);
    }
}

/// Reads what an app wanted out of its pieces.
pub fn read_good(
    app: &AppName,
    digest: &Digest,
    pieces: &Pieces,
    stored: &[Piece],
) -> Result<Stored, Damage> {
    let all = unpack(pieces, stored)?;
    read_lines(app, digest, pieces.part_of(&all)?)
}

/// Reads what an app wanted out of its lines.
pub fn read_lines(app: &AppName, digest: &Digest, lines: &[u8]) -> Result<Stored, Damage> {
    let mut objects = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line =
            serde_json::from_slice(line).map_err(|error| Damage::Unreadable(error.to_string()))?;
        objects.push(if line.withheld {
            StoredObject::Withheld { key: line.key, digest: line.digest }
        } else {
            let Line { key, gvk, place, digest, wave, depends_on, body, .. } = line;
            let bare = Damage::Unreadable(format!("{key} has no metadata"));
            let wanted = Wanted::stored(key, gvk, place, digest, wave, depends_on, body).ok_or(bare)?;
            StoredObject::Whole(wanted)
        });
    }
    Ok(Stored { app: app.clone(), digest: digest.clone(), objects })
}
