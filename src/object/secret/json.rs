//! Looks into a JSON secret without ever making a tree of its values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Fault, Plaintext};

#[derive(Deserialize)]
#[serde(transparent)]
struct Object<'a> {
    // Of two keys of one name the last counts, as in most readers of JSON.
    #[serde(borrow)]
    values: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

/// The value that a key leads to.
pub(super) fn at_key(secret: &Plaintext, key: &[Box<str>]) -> Result<Plaintext, Fault> {
    value_of(find(secret, key)?).ok_or_else(|| Fault::Null { key: shown(key) })
}

/// Every key of the object that a key leads to, with its value.
pub(super) fn all_keys(secret: &Plaintext, key: &[Box<str>]) -> Result<BTreeMap<String, Plaintext>, Fault> {
    let found = find(secret, key)?;
    let Ok(Object { values }) = serde_json::from_str(found.get()) else {
        return Err(if key.is_empty() { Fault::NoObject } else { Fault::NoMap { key: shown(key) } });
    };
    let value = |(name, raw): (Cow<str>, &RawValue)| {
        let value = value_of(raw).ok_or_else(|| Fault::Null { key: name.clone().into_owned() })?;
        Ok((name.into_owned(), value))
    };
    values.into_iter().map(value).collect()
}

/// The keys of a JSON object that a key leads to; they are no secret, and become keys of the Secret.
pub fn keys_of(secret: &Plaintext, key: &[Box<str>]) -> Result<Vec<Box<str>>, Fault> {
    Ok(all_keys(secret, key)?.into_keys().map(String::into_boxed_str).collect())
}

fn find<'a>(secret: &'a Plaintext, key: &[Box<str>]) -> Result<&'a RawValue, Fault> {
    let text = secret.expose_text().ok_or(Fault::NoJson)?;
    let mut found: &RawValue = serde_json::from_str(text).map_err(|_| Fault::NoJson)?;
    for (n, part) in key.iter().enumerate() {
        let missing = || Fault::NoKey { key: shown(key.get(..=n).unwrap_or_default()) };
        found = match found.get().as_bytes().first() {
            Some(b'{') => {
                let object: Object = serde_json::from_str(found.get()).map_err(|_| Fault::NoJson)?;
                object.values.get(&**part).copied().ok_or_else(missing)?
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(found.get()).map_err(|_| Fault::NoJson)?;
                let at: usize = part.parse().map_err(|_| missing())?;
                items.get(at).copied().ok_or_else(missing)?
            }
            _ => return Err(missing()),
        };
    }
    Ok(found)
}

/// A text is what it says; a number, true and false, a list and an object are the text that stands there, to the digit.
fn value_of(raw: &RawValue) -> Option<Plaintext> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(text).ok().map(|text| Plaintext::new(text.into_bytes())),
        Some(b'n') | None => None,
        Some(_) => Some(Plaintext::new(text.as_bytes().to_vec())),
    }
}

fn shown(key: &[Box<str>]) -> String {
    key.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(json: &str, key: &[&str]) -> Result<String, Fault> {
        let key: Vec<Box<str>> = key.iter().map(|part| (*part).into()).collect();
        let found = at_key(&Plaintext::new(json.as_bytes().to_vec()), &key)?;
        Ok(found.expose_text().expect("text").to_owned())
    }

    #[test]
    fn values_are_what_stands_there() {
        let json = r#" {"text": "a\"\u00e9\n", "number": 1.10, "big": 12345678901234567890123, "yes": true, "empty": "",
                        "in": {"a": [ {"b": 7} ], "list": [1, 2]}, "dot.ted": "x", "twice": 1, "twice": 2} "#;
        for (key, wanted) in [
            (&["text"][..], "a\"é\n"),
            (&["number"], "1.10"),
            (&["big"], "12345678901234567890123"),
            (&["yes"], "true"),
            (&["empty"], ""),
            (&["in", "a", "0", "b"], "7"),
            (&["in", "list"], "[1, 2]"),
            (&["dot.ted"], "x"),
            (&["twice"], "2"),
        ] {
            assert_eq!(get(json, key).expect("it is there"), wanted, "{key:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_named_by_its_key() {
        let why = |json: &str, key: &[&str]| get(json, key).expect_err("it is not there").to_string();
        assert_eq!(why(r#"{"a": {}}"#, &["a", "b"]), "it has no key a.b");
        assert_eq!(why(r#"{"a": [1]}"#, &["a", "1"]), "it has no key a.1");
        assert_eq!(why(r#"{"a": "hidden"}"#, &["a", "b"]), "it has no key a.b");
        assert_eq!(why(r#"{"a": null}"#, &["a"]), "its key a is null");
        assert_eq!(why("hidden", &["a"]), "it is not JSON");
        assert_eq!(why(r#"{"a": hidden}"#, &["a"]), "it is not JSON");
    }

    #[test]
    fn a_whole_object_is_all_of_its_keys() {
        let all = |json: &str, key: &[Box<str>]| {
            all_keys(&Plaintext::new(json.as_bytes().to_vec()), key).map(|found| {
                let text = |value: &Plaintext| value.expose_text().unwrap_or_default().to_owned();
                found.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            all(r#"{"b": 1, "a": "x", "c": {"d": 2}}"#, &[]).unwrap(),
            ["a=x", "b=1", r#"c={"d": 2}"#]
        );
        assert_eq!(all(r#"{"c": {"d": 2}}"#, &["c".into()]).unwrap(), ["d=2"]);
        assert_eq!(all("[1]", &[]).unwrap_err(), Fault::NoObject);
        assert_eq!(all(r#"{"a": 1}"#, &["a".into()]).unwrap_err(), Fault::NoMap { key: "a".into() });
        assert_eq!(all(r#"{"a": null}"#, &[]).unwrap_err(), Fault::Null { key: "a".into() });
    }
}
