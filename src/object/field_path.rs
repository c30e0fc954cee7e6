//! The way to a field of an object, as people write it.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// One step into an object. An item of a list goes by what tells it from its like, where something does: positions shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    Key(String),
    Item { key: String, value: Value },
    Index(usize),
}

/// The way to a field, as people write it: `spec.template.spec.containers[name=web].image`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(pub Vec<PathStep>);

impl FieldPath {
    /// A path of keys alone.
    pub fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| PathStep::Key((*key).to_owned())).collect())
    }

    /// The same as a JSON pointer, but that an item of a list goes by what tells it from its like:
    /// `/spec/containers/name=web/image`.
    pub fn pointer(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            let part = match step {
                PathStep::Key(key) => key.replace('~', "~0").replace('/', "~1"),
                PathStep::Item { key, value } => {
                    format!("{key}={}", plain(value)).replace('~', "~0").replace('/', "~1")
                }
                PathStep::Index(at) => at.to_string(),
            };
            text.push('/');
            text.push_str(&part);
        }
        text
    }

    /// Whether it is this path of keys.
    pub fn is(&self, keys: &[&str]) -> bool {
        self.0.len() == keys.len()
            && self.0.iter().zip(keys).all(|(step, key)| matches!(step, PathStep::Key(name) if name == key))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Key(key) if key.contains(['.', '/', '[', ']']) || key.is_empty() => {
                    write!(f, "[{key}]")?
                }
                PathStep::Key(key) if nth == 0 => f.write_str(key)?,
                PathStep::Key(key) => write!(f, ".{key}")?,
                PathStep::Item { key, value } => write!(f, "[{key}={}]", plain(value))?,
                PathStep::Index(at) => write!(f, "[{at}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value as people write it.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Takes a field away, where it is there.
pub fn remove_field(object: &mut Value, path: &FieldPath) {
    let Some(mut parts) = parts_of(object, path) else { return };
    let Some(last) = parts.pop() else { return };
    let holder = parts.iter().try_fold(object, |value, part| match part {
        Part::Key(key) => value.as_object_mut()?.get_mut(key),
        Part::At(at) => value.as_array_mut()?.get_mut(*at),
    });
    match (holder, last) {
        (Some(Value::Object(map)), Part::Key(key)) => drop(map.remove(&key)),
        (Some(Value::Array(items)), Part::At(at)) if at < items.len() => drop(items.remove(at)),
        _ => {}
    }
}

/// Sets a field, where what holds it is there.
pub fn set_field(object: &mut Value, path: &FieldPath, new: Value) {
    let Some((last, above)) = path.0.split_last() else { return };
    let Some(parts) = parts_of(object, &FieldPath(above.to_vec())) else { return };
    let holder = parts.iter().try_fold(object, |value, part| match part {
        Part::Key(key) => value.as_object_mut()?.get_mut(key),
        Part::At(at) => value.as_array_mut()?.get_mut(*at),
    });
    match (holder, last) {
        (Some(Value::Object(map)), PathStep::Key(key)) => drop(map.insert(key.clone(), new)),
        (Some(Value::Array(items)), PathStep::Index(at)) if *at < items.len() => items[*at] = new,
        (Some(Value::Array(items)), PathStep::Item { key, value }) => {
            match items.iter_mut().find(|item| item.get(key) == Some(value)) {
                Some(item) => *item = new,
                None => items.push(new),
            }
        }
        _ => {}
    }
}

/// A place in one state of an object, by positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Key(String),
    At(usize),
}

/// What is at a field of an object.
pub fn value_at<'a>(object: &'a Value, path: &FieldPath) -> Option<&'a Value> {
    at(object, &parts_of(object, path)?)
}

/// Finds a field of an object as it is, by what a person wrote.
pub fn find_field(object: &Value, text: &str) -> Option<FieldPath> {
    resolve(object, &words(text)).ok().map(|parts| path_of(object, &parts))
}

/// What is at a place.
pub fn at<'a>(value: &'a Value, parts: &[Part]) -> Option<&'a Value> {
    parts.iter().try_fold(value, |value, part| match part {
        Part::Key(key) => value.as_object()?.get(key),
        Part::At(at) => value.as_array()?.get(*at),
    })
}

/// A place as people write it.
pub fn path_of(value: &Value, parts: &[Part]) -> FieldPath {
    let mut here = Some(value);
    let steps = parts.iter().map(|part| match part {
        Part::Key(key) => {
            here = here.and_then(|value| value.get(key));
            PathStep::Key(key.clone())
        }
        Part::At(at) => {
            let items = here.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            here = items.get(*at);
            match list_key(&[items]).zip(here) {
                Some((key, item)) => PathStep::Item { key: key.to_owned(), value: item[key].clone() },
                None => PathStep::Index(*at),
            }
        }
    });
    FieldPath(steps.collect())
}

/// Where in an object a path leads.
pub fn parts_of(value: &Value, path: &FieldPath) -> Option<Vec<Part>> {
    let mut here = value;
    path.0
        .iter()
        .map(|step| {
            let part = match step {
                PathStep::Key(key) => Part::Key(key.clone()),
                PathStep::Item { key, value } => {
                    Part::At(here.as_array()?.iter().position(|item| item.get(key) == Some(value))?)
                }
                PathStep::Index(at) => Part::At(*at),
            };
            here = at(here, std::slice::from_ref(&part))?;
            Some(part)
        })
        .collect()
}

/// The fields by which items of lists are told apart, the most telling first.
pub const LIST_KEYS: [&str; 11] = [
    "name",
    "mountPath",
    "containerPort",
    "port",
    "key",
    "devicePath",
    "topologyKey",
    "ip",
    "host",
    "path",
    "type",
];

/// The field that every item of some lists has and that no two items of one share.
pub fn list_key(lists: &[&[Value]]) -> Option<&'static str> {
    LIST_KEYS.into_iter().find(|key| {
        lists.iter().all(|items| {
            let mut ids: Vec<String> = items.iter().map(|item| plain(&item[key])).collect();
            ids.sort();
            ids.windows(2).all(|pair| pair[0] != pair[1])
                && items.iter().all(|item| item[key].is_string() || item[key].is_number())
        })
    })
}

/// A path as it was written, taken apart: words, and what stands in brackets.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub text: String,
    is_bracket: bool,
}

/// Takes apart what a person wrote.
pub fn words(text: &str) -> Vec<Word> {
    let word = |text: &str, is_bracket| Word { text: text.to_owned(), is_bracket };
    if let Some(pointer) = text.strip_prefix('/') {
        let parts = pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
        return parts.map(|part| word(&part, true)).collect();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            words.push(word(inside.trim_matches(['"', '\'']), true));
            rest = after;
            continue;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        if end > 0 {
            words.push(word(&rest[..end], false));
        }
        // A bracket that nothing closes.
        rest = if end == 0 { "" } else { &rest[end..] };
    }
    words
}

/// Whether words lead to a field, or to something around it.
pub fn covers(words: &[Word], path: &[PathStep]) -> bool {
    let Some(word) = words.first() else { return true };
    let Some((step, rest)) = path.split_first() else { return false };
    let goes_on = |words: &[Word]| covers(words, rest);
    if word.text == "*" {
        return goes_on(&words[1..]);
    }
    match step {
        PathStep::Key(key) => {
            // A key may hold dots, which part words where nothing brackets them.
            let mut joined = String::new();
            words.iter().enumerate().any(|(n, word)| {
                if n > 0 {
                    joined.push('.');
                }
                joined.push_str(&word.text);
                joined == *key && goes_on(&words[n + 1..])
            })
        }
        PathStep::Item { key, value } => {
            let value = plain(value);
            let named = word.text.split_once('=').is_some_and(|(name, text)| name == key && text == value);
            (named || word.text == value) && goes_on(&words[1..])
        }
        PathStep::Index(at) => word.text == at.to_string() && goes_on(&words[1..]),
    }
}

/// The field that some words lead to, or how far they lead.
pub fn resolve(value: &Value, words: &[Word]) -> Result<Vec<Part>, Vec<Part>> {
    let (mut path, mut value, mut rest) = (Vec::new(), value, words);
    while let Some(word) = rest.first() {
        let part = match value {
            Value::Object(map) => {
                // A key may hold dots: the longest that fits is meant.
                let plain =
                    1 + rest[1..].iter().take_while(|word| !word.is_bracket && !rest[0].is_bracket).count();
                let joined = |count: usize| {
                    rest[..count].iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(".")
                };
                let found = (1..=plain)
                    .rev()
                    .map(|count| (count, joined(count)))
                    .find(|(_, key)| map.contains_key(key));
                let Some((count, key)) = found else { return Err(path) };
                value = &map[&key];
                rest = &rest[count..];
                Part::Key(key)
            }
            Value::Array(items) => {
                let Some(at) = item(items, &word.text) else { return Err(path) };
                value = &items[at];
                rest = &rest[1..];
                Part::At(at)
            }
            _ => return Err(path),
        };
        path.push(part);
    }
    Ok(path)
}

/// An item by its number, by `key=value`, or by the value of the key that tells items apart.
fn item(items: &[Value], text: &str) -> Option<usize> {
    if let Some((key, wanted)) = text.split_once('=')
        && let Some(at) =
            items.iter().position(|item| item.get(key).is_some_and(|value| plain(value) == wanted))
    {
        return Some(at);
    }
    if let Some(key) = list_key(&[items])
        && let Some(at) = items.iter().position(|item| plain(&item[key]) == text)
    {
        return Some(at);
    }
    let by_number = text.parse().ok().filter(|at| *at < items.len());
    // By whatever else fits one of them alone.
    by_number.or_else(|| {
        LIST_KEYS.iter().find_map(|key| {
            let mut fitting =
                (0..items.len()).filter(|at| items[*at].get(key).is_some_and(|value| plain(value) == text));
            fitting.next().filter(|_| fitting.next().is_none())
        })
    })
}
