//! Signatures by SSH keys, and the file `allowed_signers` that lists whose are taken (ssh-keygen(1), ALLOWED SIGNERS).
//!
//! As git has it, the names in that file are for people: a key that is listed for anyone is taken. Certificates are not: a
//! line with `cert-authority` is refused rather than read as a key that signs.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey, SshSig};

use super::Signer;

/// What git signs for.
const NAMESPACE: &str = "git";

/// A line of `allowed_signers`.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    name: String,
    key: PublicKey,
    /// For what its signatures are taken; for everything where nothing is said.
    namespaces: Option<Vec<String>>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

pub(super) fn read(text: &str) -> Result<Vec<Allowed>, String> {
    let mut allowed = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            allowed.push(read_line(line).map_err(|why| format!("line {}: {why}", number + 1))?);
        }
    }
    Ok(allowed)
}

fn read_line(line: &str) -> Result<Allowed, String> {
    let (name, rest) = word(line)?;
    let mut allowed = Allowed {
        name: name.trim_matches('"').chars().filter(|c| !c.is_control()).collect(),
        key: KeyData::Ed25519(ssh_key::public::Ed25519PublicKey([0; 32])).into(),
        namespaces: None,
        after: None,
        before: None,
    };
    let parse = |text: &str| PublicKey::from_openssh(text.trim());
    allowed.key = match parse(rest) {
        Ok(key) => key,
        Err(error) => {
            let (options, key) = word(rest)?;
            let key = parse(key).map_err(|_| format!("its key cannot be read: {error}"))?;
            read_options(options, &mut allowed)?;
            key
        }
    };
    Ok(allowed)
}

fn read_options(text: &str, allowed: &mut Allowed) -> Result<(), String> {
    for option in split(text, ',') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = value.trim_matches('"');
        match name.to_ascii_lowercase().as_str() {
            "namespaces" => {
                allowed.namespaces = Some(value.split(',').map(|name| name.trim().to_owned()).collect());
            }
            "valid-after" => allowed.after = Some(time(value)?),
            "valid-before" => allowed.before = Some(time(value)?),
            "cert-authority" => {
                return Err("certificates are not taken: list the keys that sign".to_owned());
            }
            _ => return Err(format!("there is no option {name:?}")),
        }
    }
    Ok(())
}

/// Reads `YYYYMMDD` or `YYYYMMDDHHMM[SS]`, in UTC with a `Z` behind it or without.
fn time(text: &str) -> Result<Timestamp, String> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let wrong = || format!("{text:?} is no time: write it as 20261231 or 20261231235959");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let date_time = match digits.len() {
        8 => Date::strptime("%Y%m%d", digits).map(DateTime::from),
        12 => DateTime::strptime("%Y%m%d%H%M", digits),
        14 => DateTime::strptime("%Y%m%d%H%M%S", digits),
        _ => return Err(wrong()),
    };
    let zoned = date_time.and_then(|time| time.to_zoned(TimeZone::UTC));
    zoned.map(|zoned| zoned.timestamp()).map_err(|_| wrong())
}

/// The first word of a line, in which quotes keep spaces, and what comes after it.
fn word(line: &str) -> Result<(&str, &str), String> {
    let mut parts = split(line, ' ').into_iter();
    let first = parts.next().unwrap_or_default();
    let rest = line.get(first.len()..).unwrap_or_default().trim_start();
    if rest.is_empty() {
        return Err("it is to be `name [options] type key`".to_owned());
    }
    Ok((first, rest))
}

/// Splits at each `at` that is outside of quotes.
fn split(text: &str, at: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c: char| {
        quoted ^= c == '"';
        !quoted && (c == at || (at == ' ' && c == '\t'))
    })
    .collect()
}

pub(super) fn judge(
    allowed: &[Allowed],
    signature: &str,
    payload: &[u8],
    made: Timestamp,
) -> Result<Signer, String> {
    let signature =
        SshSig::from_pem(signature).map_err(|error| format!("its SSH signature cannot be read: {error}"))?;
    let key = PublicKey::from(signature.public_key().clone());
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    key.verify(NAMESPACE, payload, &signature)
        .map_err(|_| format!("its signature by the SSH key {fingerprint} does not fit what it says"))?;
    let listed: Vec<&Allowed> =
        allowed.iter().filter(|allowed| allowed.key.key_data() == key.key_data()).collect();
    if listed.is_empty() {
        return Err(format!("it is signed by the SSH key {fingerprint}, which is none of the signers'"));
    }
    let mut why = String::new();
    for allowed in listed {
        match allowed.refuses(made) {
            None => return Ok(Signer { key: fingerprint, name: allowed.name.clone() }),
            Some(because) => why = because,
        }
    }
    Err(format!("it is signed by the SSH key {fingerprint}, {why}"))
}

impl Allowed {
    /// Why this line does not speak for a signature of its key.
    fn refuses(&self, made: Timestamp) -> Option<String> {
        let is_git = |pattern: &String| pattern == NAMESPACE || pattern == "*";
        if self.namespaces.as_ref().is_some_and(|namespaces| !namespaces.iter().any(is_git)) {
            return Some("which is listed for other namespaces than git".to_owned());
        }
        // What the file calls `valid-before` is a moment at which it is valid still.
        let second = SignedDuration::from_secs(0);
        if self.after.is_some_and(|after| made.duration_since(after) < second) {
            return Some("which is listed from a later time on".to_owned());
        }
        if self.before.is_some_and(|before| made.duration_since(before) > second) {
            return Some("which was listed until before it was made".to_owned());
        }
        None
    }
}
