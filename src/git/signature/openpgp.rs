//! Signatures by OpenPGP keys. What a key says of itself counts only where the key has signed that.

use jiff::Timestamp;
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag};

use super::{PUBLIC_KEY, Signer};

/// Clocks that are this far apart still agree.
const SKEW_SECONDS: i64 = 300;

#[derive(Clone, Debug)]
pub(super) struct Key(SignedPublicKey);

/// Reads all blocks of armor in a text, each of which may hold several keys.
pub(super) fn read(text: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let starts: Vec<usize> = text.match_indices(PUBLIC_KEY).map(|(start, _)| start).collect();
    for (n, start) in starts.iter().enumerate() {
        let line = text.get(..*start).unwrap_or_default().lines().count() + 1;
        let unreadable =
            |error: pgp::errors::Error| format!("line {line}: it is no OpenPGP public key: {error}");
        let end = starts.get(n + 1).copied().unwrap_or(text.len());
        let block = text.get(*start..end).unwrap_or_default();
        let (found, _) = SignedPublicKey::from_armor_many(block.as_bytes()).map_err(unreadable)?;
        for key in found {
            keys.push(Key(key.map_err(unreadable)?));
        }
    }
    Ok(keys)
}

pub(super) fn judge(keys: &[Key], signature: &str, payload: &[u8], now: Timestamp) -> Result<Signer, String> {
    let signature = read_signature(signature)?;
    let issuer = signature.issuer_fingerprint().first().map(ToString::to_string);
    let issuer = issuer.or_else(|| signature.issuer_key_id().first().map(ToString::to_string));
    let issuer = issuer.unwrap_or_else(|| "that it does not name".to_owned()).to_uppercase();
    let names = |key: &dyn KeyDetails| {
        signature.issuer_fingerprint().contains(&&key.fingerprint())
            || signature.issuer_key_id().contains(&&key.legacy_key_id())
    };
    let mut why = format!("it is signed by the OpenPGP key {issuer}, which is none of the signers'");
    for Key(key) in keys {
        let subkey = key.public_subkeys.iter().find(|subkey| names(&subkey.key));
        let fits = match subkey {
            Some(subkey) => signature.verify(&subkey.key, payload),
            None if names(&key.primary_key) => signature.verify(&key.primary_key, payload),
            None => continue,
        };
        if fits.is_err() {
            why = format!("its signature by the OpenPGP key {issuer} does not fit what it says");
            continue;
        }
        let refused = primary_problem(key, subkey.is_none(), now)
            .or_else(|| subkey.and_then(|subkey| subkey_problem(key, subkey, now)))
            .or_else(|| signature_problem(&signature, now));
        match refused {
            None => {
                let name = key.details.users.first().map(|user| user.id.as_str().unwrap_or_default());
                let name = name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
                return Ok(Signer { key: key.fingerprint().to_string().to_uppercase(), name });
            }
            Some(problem) => why = format!("it is signed by the OpenPGP key {issuer}, {problem}"),
        }
    }
    Err(why)
}

/// One signature over data. Of several, some readers take the first and some any; so several are refused.
fn read_signature(text: &str) -> Result<Signature, String> {
    let unreadable = |error: pgp::errors::Error| format!("its OpenPGP signature cannot be read: {error}");
    let (mut found, _) = DetachedSignature::from_armor_many(text.as_bytes()).map_err(unreadable)?;
    let first = found.next().ok_or("its OpenPGP signature is empty")?.map_err(unreadable)?;
    if found.next().is_some() {
        return Err("it has more than one OpenPGP signature".to_owned());
    }
    if !matches!(first.signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err("its OpenPGP signature is not one over data".to_owned());
    }
    // Two texts with the same hash can be made for these.
    if let Some(weak @ (HashAlgorithm::Md5 | HashAlgorithm::Sha1 | HashAlgorithm::Ripemd160)) =
        first.signature.hash_alg()
    {
        return Err(format!("its OpenPGP signature is over a hash that can be forged ({weak})"));
    }
    Ok(first.signature)
}

fn seconds(time: pgp::types::Timestamp) -> i64 {
    i64::from(time.as_secs())
}

fn signature_problem(signature: &Signature, now: Timestamp) -> Option<&'static str> {
    let Some(made) = signature.created().map(seconds) else { return Some("and does not say when") };
    if made > now.as_second() + SKEW_SECONDS {
        return Some("at a time that has not come yet");
    }
    let lasts = signature.signature_expiration_time().map(|time| i64::from(time.as_secs()));
    let is_over = lasts.is_some_and(|lasts| lasts > 0 && made + lasts <= now.as_second());
    is_over.then_some("by a signature that has run out")
}

/// What speaks against a key, by its own word.
fn primary_problem(key: &SignedPublicKey, signs: bool, now: Timestamp) -> Option<&'static str> {
    let primary = &key.primary_key;
    let details = &key.details;
    if details.revocation_signatures.iter().any(|signature| signature.verify_key(primary).is_ok()) {
        return Some("which is revoked");
    }
    let direct = details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    let of_users = details.users.iter().filter_map(|user| {
        let own = user
            .signatures
            .iter()
            .filter(|signature| signature.verify_certification(primary, Tag::UserId, &user.id).is_ok());
        let newest = own.max_by_key(|signature| signature.created().map(seconds))?;
        (newest.typ() != Some(SignatureType::CertRevocation)).then_some(newest)
    });
    let own: Vec<&Signature> = direct.chain(of_users).collect();
    let Some(newest) = own.iter().max_by_key(|signature| signature.created().map(seconds)) else {
        return Some("which does not vouch for itself");
    };
    if has_run_out(primary.created_at(), newest, now) {
        return Some("which has run out");
    }
    (signs && !may_sign(newest)).then_some("which is not for signing")
}

/// What speaks against a subkey, by the word of its primary key.
fn subkey_problem(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: Timestamp,
) -> Option<&'static str> {
    let own = subkey
        .signatures
        .iter()
        .filter(|signature| signature.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok());
    let (revoked, bound): (Vec<&Signature>, Vec<&Signature>) =
        own.partition(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
    if !revoked.is_empty() {
        return Some("which is revoked");
    }
    let Some(newest) = bound.iter().max_by_key(|signature| signature.created().map(seconds)) else {
        return Some("which no key of a signer vouches for");
    };
    if has_run_out(subkey.key.created_at(), newest, now) {
        return Some("which has run out");
    }
    // Else a signer could claim the signing key of somebody else for a subkey.
    let agrees = newest
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, &key.primary_key).is_ok());
    (!may_sign(newest) || !agrees).then_some("which is not for signing")
}

fn has_run_out(created: pgp::types::Timestamp, newest: &Signature, now: Timestamp) -> bool {
    let lasts = newest.key_expiration_time().map_or(0, |time| i64::from(time.as_secs()));
    lasts > 0 && seconds(created) + lasts <= now.as_second()
}

/// Whether a key that says this of itself signs data. An old one that says nothing does.
fn may_sign(own: &Signature) -> bool {
    let flags = own.key_flags();
    let says_something =
        flags.certify() || flags.encrypt_comms() || flags.encrypt_storage() || flags.authentication();
    flags.sign() || !says_something
}
