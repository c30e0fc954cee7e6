//! Puts the values of secrets into the request that writes the Secret, and into nothing else.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::object::secret::{Plaintext, Sealed, SecretId, Values, versions_of};
use crate::plan::{Refusal, RefusalKind, Wanted};

/// Gives the value of a secret in one version.
pub trait SecretValues: Send + Sync {
    fn value(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>>;

    /// The same text without any value that is at hand: an application may print what it was given.
    fn scrub(&self, text: &str) -> String;
}

/// What stands in the place of references.
#[derive(Clone, Default)]
pub enum Filling {
    /// Nothing can: who has no values writes no Secret that refers to some.
    #[default]
    Nothing,
    /// A word that is no value, for a person who asks the server what would change and writes nothing.
    Placeholders,
    Values(Arc<dyn SecretValues>),
}

/// The bytes that are sent for an object. Of a Secret with references these are others than what is wanted by git.
pub(super) fn filled(filling: &Filling, wanted: &Wanted, bytes: Vec<u8>) -> Result<Bytes, Refusal> {
    let Some(sealed) = wanted.sealed() else { return Ok(bytes.into()) };
    let refused = |message: String| Refusal::new(RefusalKind::Secret, wanted, message);
    let mut object: Value =
        serde_json::from_slice(&bytes).map_err(|_| refused("it cannot be read again".to_owned()))?;
    let versions = versions_of(&object);
    let kind = object["type"].as_str().unwrap_or_default().to_owned();
    let Some(Value::Object(data)) = object.get_mut("data") else { return Ok(bytes.into()) };
    match filling {
        Filling::Nothing => {
            let message = "it refers to secrets, which only the agent reads";
            return Err(refused(message.to_owned()).hint("push the change, and let the agent apply it"));
        }
        Filling::Placeholders => placeholders(&sealed, data, &kind),
        Filling::Values(values) => {
            let values = Pinned { values: &**values, versions: &versions };
            sealed
                .fill(data, &values)
                .map_err(|(reference, fault)| refused(format!("the secret {reference}: {fault}")))?;
        }
    }
    Ok(serde_json::to_vec(&object).map_err(|_| refused("it cannot be written".to_owned()))?.into())
}

struct Pinned<'a> {
    values: &'a dyn SecretValues,
    versions: &'a std::collections::BTreeMap<SecretId, Box<str>>,
}

impl Values for Pinned<'_> {
    fn value(&self, secret: &SecretId) -> Option<Arc<Plaintext>> {
        self.values.value(secret, self.versions.get(secret)?)
    }
}

fn placeholders(sealed: &Sealed, data: &mut Map<String, Value>, kind: &str) {
    // What the server looks into is what it looks for.
    let text = match kind {
        "kubernetes.io/dockerconfigjson" => r#"{"auths":{}}"#,
        "kubernetes.io/dockercfg" => "{}",
        _ => "(a secret)",
    };
    for key in sealed.sealed_keys() {
        data.insert(key.to_owned(), Value::from(STANDARD.encode(text)));
    }
}
