//! Puts values where references stand: the one place where the two meet.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::json::{all_keys, at_key};
use super::sealed::Part;
use super::{Fault, Plaintext, Reference, Sealed, SecretId};

/// Gives the values that were read.
pub trait Values {
    fn value(&self, secret: &SecretId) -> Option<Arc<Plaintext>>;
}

impl Values for std::collections::BTreeMap<SecretId, Arc<Plaintext>> {
    fn value(&self, secret: &SecretId) -> Option<Arc<Plaintext>> {
        self.get(secret).cloned()
    }
}

impl Sealed {
    /// Puts the values into the `data` of a Secret, as base64. Tells of the first reference for which that cannot be.
    pub fn fill(&self, data: &mut Map<String, Value>, values: &dyn Values) -> Result<(), (Reference, Fault)> {
        if let Some(whole) = &self.whole {
            let fault = |fault| (whole.clone(), fault);
            let secret = values.value(&whole.secret).ok_or(fault(Fault::Unread))?;
            for (key, value) in all_keys(&secret, &whole.key).map_err(fault)? {
                if !is_key(&key) {
                    return Err(fault(Fault::BadKey { key }));
                }
                // What git says of a key counts before what comes from outside.
                data.entry(key).or_insert_with(|| Value::from(STANDARD.encode(value.expose())));
            }
        }
        for (key, parts) in &self.keys {
            let filled = fill(parts, values)?;
            data.insert(key.to_string(), Value::from(STANDARD.encode(&*filled)));
        }
        Ok(())
    }

    /// The values that it is filled with, one for each reference; what cannot be had is left out.
    pub fn values(&self, values: &dyn Values) -> Vec<Plaintext> {
        let value = |reference: &Reference| {
            let secret = values.value(&reference.secret)?;
            match &*reference.key {
                [] => Some(Plaintext::new(secret.expose().to_vec())),
                key => at_key(&secret, key).ok(),
            }
        };
        let mut found: Vec<Plaintext> = self.references().filter_map(value).collect();
        if let Some(whole) = &self.whole
            && let Some(secret) = values.value(&whole.secret)
            && let Ok(all) = all_keys(&secret, &whole.key)
        {
            found.extend(all.into_values());
        }
        found
    }

    /// Checks that every value can be put where its reference stands, and tells all that cannot.
    pub fn check(&self, values: &dyn Values) -> Vec<(Reference, Fault)> {
        let mut faults = Vec::new();
        if let Some(whole) = &self.whole {
            let alone = Self { keys: Default::default(), whole: Some(whole.clone()) };
            faults.extend(alone.fill(&mut Map::new(), values).err());
        }
        for parts in self.keys.values() {
            faults.extend(fill(parts, values).err());
        }
        faults
    }
}

fn fill(parts: &[Part], values: &dyn Values) -> Result<Zeroizing<Vec<u8>>, (Reference, Fault)> {
    let alone = matches!(parts, [Part::Hole(_)]);
    let mut filled = Zeroizing::new(Vec::new());
    for part in parts {
        match part {
            Part::Text(text) => append(&mut filled, text.as_bytes()),
            Part::Hole(reference) => {
                let fault = |fault| (reference.clone(), fault);
                let secret = values.value(&reference.secret).ok_or(fault(Fault::Unread))?;
                let picked = match &*reference.key {
                    [] => None,
                    key => Some(at_key(&secret, key).map_err(fault)?),
                };
                let value = picked.as_ref().unwrap_or(&secret);
                if !alone && value.expose_text().is_none() {
                    return Err(fault(Fault::NotText));
                }
                append(&mut filled, value.expose());
            }
        }
    }
    Ok(filled)
}

/// Appends without leaving a copy behind where the vector has to grow.
fn append(filled: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    let mut grown = Zeroizing::new(Vec::with_capacity(filled.len() + bytes.len()));
    grown.extend_from_slice(filled);
    grown.extend_from_slice(bytes);
    *filled = grown;
}

fn is_key(key: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !key.is_empty() && key.len() <= 253 && key != "." && !key.starts_with("..") && key.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::FROM;
    use super::*;

    type Read = BTreeMap<SecretId, Arc<Plaintext>>;

    fn values(of: &[(&str, &[u8])]) -> Read {
        let read = |(text, bytes): &(&str, &[u8])| {
            let reference = Reference::parse(text).expect("a reference");
            (reference.secret, Arc::new(Plaintext::new(bytes.to_vec())))
        };
        of.iter().map(read).collect()
    }

    /// What a Secret of git is filled to, decoded.
    fn filled(mut secret: Value, values: &Read) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let root = secret.as_object_mut().expect("a map");
        let sealed = Sealed::seal(root)?.ok_or("it holds no reference")?;
        assert_eq!(Sealed::read(&secret).as_ref(), Some(&sealed), "it is read again as it was sealed");
        let mut data = secret["data"].as_object().cloned().unwrap_or_default();
        sealed.fill(&mut data, values).map_err(|(reference, fault)| format!("{reference}: {fault}"))?;
        let decode = |value: &Value| STANDARD.decode(value.as_str().expect("text")).expect("base64");
        Ok(data.iter().map(|(key, value)| (key.clone(), decode(value))).collect())
    }

    #[test]
    fn references_stand_in_strings_of_both_fields() {
        let read =
            values(&[("aws-sm:db", br#"{"user": "app", "password": "p$${w"}"#), ("aws-sm:raw", b"\xff\x00")]);
        let secret = json!({
            "stringData": {"URL": "pg://${aws-sm:db#user}:${aws-sm:db#password}@db/$${aws-sm:x}/${HOME}"},
            "data": {
                "plain": "aGVsbG8=",
                "encoded": STANDARD.encode("${aws-sm:db#user}!"),
                "text": "${aws-sm:db#user}",
                "raw": "${aws-sm:raw}",
            },
        });
        let found = filled(secret, &read).expect("it can be filled");
        assert_eq!(found["URL"], b"pg://app:p$${w@db/${aws-sm:x}/${HOME}");
        assert_eq!((&*found["plain"], &*found["encoded"]), (&b"hello"[..], &b"app!"[..]));
        assert_eq!((&*found["text"], &*found["raw"]), (&b"app"[..], &b"\xff\x00"[..]));
    }

    #[test]
    fn a_whole_secret_gives_its_keys_and_git_has_the_last_word() {
        let read = values(&[("aws-sm:all", br#"{"a": "1", "b": 2, "c": "3"}"#)]);
        let secret = json!({
            "metadata": {"annotations": {FROM: "aws-sm:all"}},
            "data": {"a": "Z2l0"},
            "stringData": {"d": "${aws-sm:all#c}"},
        });
        let found = filled(secret, &read).expect("it can be filled");
        let shown: Vec<String> =
            found.iter().map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value))).collect();
        assert_eq!(shown, ["a=git", "b=2", "c=3", "d=3"]);
    }

    #[test]
    fn what_cannot_be_filled_names_the_reference_and_never_the_value() {
        let read =
            values(&[("aws-sm:json", br#"{"a": null, "b/c": "hidden"}"#), ("aws-sm:raw", b"\xffhidden")]);
        for (text, why) in [
            ("${aws-sm:none}", "aws-sm:none: it is not read yet"),
            ("${aws-sm:json#a}", "aws-sm:json#a: its key a is null"),
            ("${aws-sm:json#x.y}", "aws-sm:json#x.y: it has no key x"),
            ("x${aws-sm:raw}", "aws-sm:raw: it is not text, and can only be a whole value"),
            ("${aws-sm:raw#a}", "aws-sm:raw#a: it is not JSON"),
        ] {
            assert_eq!(filled(json!({"stringData": {"k": text}}), &read).expect_err(text), why);
        }
        let from = json!({"metadata": {"annotations": {FROM: "aws-sm:json"}}});
        assert!(filled(from, &read).expect_err("a null").contains("its key a is null"));
        let bad = values(&[("aws-sm:bad", br#"{"b/c": "hidden"}"#)]);
        let from = json!({"metadata": {"annotations": {FROM: "aws-sm:bad"}}});
        let why = filled(from, &bad).expect_err("a key that cannot be");
        assert!(why.contains("\"b/c\" cannot be a key") && !why.contains("hidden"), "{why}");
    }

    #[test]
    fn what_is_no_reference_is_told_with_its_key() {
        let why = |secret: Value| Sealed::seal(&mut secret.as_object().cloned().expect("a map")).unwrap_err();
        assert!(why(json!({"stringData": {"k": "${aws-sm:}"}})).starts_with("stringData.k: "));
        assert!(
            why(json!({"data": {"k": STANDARD.encode("${aws-xx:a}")}})).contains("no provider \"aws-xx\"")
        );
        let from = json!({"metadata": {"annotations": {FROM: "nowhere:x"}}});
        assert!(why(from).contains(FROM));
    }

    #[test]
    fn what_string_data_says_counts_before_data() {
        let mut secret = json!({"data": {"k": "${aws-sm:a}"}, "stringData": {"k": "plain $${aws-sm:b}"}});
        let sealed = Sealed::seal(secret.as_object_mut().expect("a map")).expect("it can be read");
        assert_eq!(sealed, None);
        assert_eq!(secret["stringData"]["k"], "plain ${aws-sm:b}");
    }
}
