//! Whether the values of secrets can be written into the Secrets that refer to them. A mistake names the key, never what it
//! holds.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Map;
use zeroize::Zeroizing;

use super::typed;
use crate::object::secret::{SecretId, Values};
use crate::plan::SealedSecret;

/// Tells of each secret whose value cannot be written, and why.
pub fn unusable(sealed: &[SealedSecret], values: &dyn Values, now: Timestamp) -> BTreeMap<SecretId, String> {
    let mut found: BTreeMap<SecretId, String> = BTreeMap::new();
    for secret in sealed {
        let faults = secret.sealed.check(values);
        let is_whole = faults.is_empty();
        for (reference, fault) in faults {
            let why = format!("{reference} cannot be written into {}: {fault}", secret.key);
            found.entry(reference.secret).or_insert(why);
        }
        if !is_whole {
            continue;
        }
        let mut data = secret.plain.clone();
        if secret.sealed.fill(&mut data, values).is_err() {
            continue; // Told above.
        }
        if let Err(why) = typed::check(&secret.kind, &decoded(&data), now) {
            // Each of them may be the wrong one.
            for id in secret.sealed.secrets() {
                found.entry(id.clone()).or_insert_with(|| format!("{} would be invalid: {why}", secret.key));
            }
        }
    }
    found
}

fn decoded(data: &Map<String, serde_json::Value>) -> BTreeMap<&str, Zeroizing<Vec<u8>>> {
    let decode =
        |value: &serde_json::Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    data.iter().map(|(key, value)| (key.as_str(), Zeroizing::new(decode(value)))).collect()
}
