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

/// Tells of each secret with whose value a certificate ends soon, and when.
pub fn expiring(sealed: &[SealedSecret], values: &dyn Values, now: Timestamp) -> BTreeMap<SecretId, String> {
    let mut found = BTreeMap::new();
    for secret in sealed.iter().filter(|secret| &*secret.kind == "kubernetes.io/tls") {
        let mut data = secret.plain.clone();
        if secret.sealed.fill(&mut data, values).is_err() {
            continue;
        }
        let Some(end) = typed::expiry(&decoded(&data)) else { continue };
        let end_at = Timestamp::from_second(end).map_or_else(|_| String::new(), |end| end.to_string());
        if end - now.as_second() < typed::EXPIRES_SOON {
            let words = format!("the certificate of {} ends at {end_at}", secret.key);
            found.extend(secret.sealed.secrets().into_iter().map(|id| (id.clone(), words.clone())));
        }
    }
    found
}

fn decoded(data: &Map<String, serde_json::Value>) -> BTreeMap<&str, Zeroizing<Vec<u8>>> {
    let decode =
        |value: &serde_json::Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    data.iter().map(|(key, value)| (key.as_str(), Zeroizing::new(decode(value)))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::object::secret::{Plaintext, Reference};
    use crate::object::{Manifest, Origin, Place, TreePath};
    use crate::plan::sealed_secrets;

    const LEAF: &str = include_str!("typed/fixtures/leaf.crt");
    /// It ends a day after it was made, in November 2026.
    const SHORT: &str = include_str!("typed/fixtures/short.crt");
    const KEY: &str = include_str!("typed/fixtures/leaf.key");

    fn judged(certificate: &str, at: &str) -> (Vec<String>, Vec<String>) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": "${aws-sm:tls#crt}", "tls.key": "${aws-sm:tls#key}"},
        });
        let origin = Origin::new(Place::at(TreePath::new("base/tls.yaml").unwrap(), 1, 1));
        let sealed = sealed_secrets(&[Manifest::new(&secret, origin).unwrap()], None);
        let id = Reference::parse("aws-sm:tls").unwrap().secret;
        let value = json!({"crt": certificate, "key": KEY}).to_string();
        let values = BTreeMap::from([(id, Arc::new(Plaintext::new(value.into_bytes())))]);
        let now = at.parse().unwrap();
        let words = |found: BTreeMap<SecretId, String>| found.into_values().collect();
        (words(unusable(&sealed, &values, now)), words(expiring(&sealed, &values, now)))
    }

    #[test]
    fn a_certificate_is_warned_of_before_it_ends_and_not_used_after() {
        assert_eq!(judged(LEAF, "2026-11-30T12:00:00Z"), (Vec::new(), Vec::new()));
        let (unusable, ending) = judged(SHORT, "2026-11-30T12:00:00Z");
        assert!(
            unusable.is_empty() && ending[0].starts_with("the certificate of Secret tls ends at 2026-12-01"),
            "{ending:?}"
        );
        let (unusable, _) = judged(SHORT, "2027-11-30T12:00:00Z");
        assert_eq!(unusable, ["Secret tls would be invalid: the first certificate of tls.crt has expired"]);
    }
}
