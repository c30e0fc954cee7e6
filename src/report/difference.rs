//! What differs between an object of ours as it was written last and as it is to be, as a JSON Patch (RFC 6902): some
//! fields, and the list `apps`, whose rows go by name. Of what was written no more is kept than hashes, so that it costs
//! little for ten thousand rows.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::{AppDetails, AppStatus};

/// More steps than that are more work for the server than the whole.
const MOST_STEPS: usize = 500;

/// A row of `apps`.
pub trait Row: Serialize {
    fn name(&self) -> &str;
}

impl Row for AppStatus {
    fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl Row for AppDetails {
    fn name(&self) -> &str {
        self.name.as_str()
    }
}

/// What is to stand at a place of an object: fields, and rows in the order of their names.
pub struct Body<'a, R> {
    /// A JSON pointer, as `/status`.
    pub at: &'a str,
    pub fields: Map<String, Value>,
    pub rows: &'a [R],
}

/// What stood there, as far as it takes to say what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    fields: BTreeMap<String, u64>,
    rows: Vec<(String, u64)>,
}

impl Sketch {
    pub fn of<R: Row>(body: &Body<R>) -> Self {
        Self {
            fields: body.fields.iter().map(|(name, value)| (name.clone(), hash(value))).collect(),
            rows: body.rows.iter().map(|row| (row.name().to_owned(), hash(row))).collect(),
        }
    }

    /// Names all of it.
    pub fn digest(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.fields.hash(&mut hasher);
        self.rows.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Says what has to be done to what stood there so that the body stands there, of which `new` is the sketch. Nothing
    /// where it does.
    pub fn patch<R: Row>(&self, new: &Self, body: &Body<R>) -> Vec<Value> {
        let at = body.at;
        let mut steps = Vec::new();
        for name in self.fields.keys().filter(|name| !new.fields.contains_key(*name)) {
            steps.push(json!({"op": "remove", "path": format!("{at}/{name}")}));
        }
        for (name, value) in &body.fields {
            if self.fields.get(name) != new.fields.get(name) {
                steps.push(json!({"op": "add", "path": format!("{at}/{name}"), "value": value}));
            }
        }
        steps.extend(self.rows_patch(new, body));
        if steps.len() > MOST_STEPS { whole(body) } else { steps }
    }

    fn rows_patch<R: Row>(&self, new: &Self, body: &Body<R>) -> Vec<Value> {
        let list = format!("{}/apps", body.at);
        match (self.rows.is_empty(), new.rows.is_empty()) {
            (true, true) => return Vec::new(),
            (true, false) => return vec![json!({"op": "add", "path": list, "value": body.rows})],
            (false, true) => return vec![json!({"op": "remove", "path": list})],
            (false, false) => {}
        }
        let (mut steps, mut old) = (Vec::new(), self.rows.iter().peekable());
        let mut place = 0;
        for (row, (name, now)) in body.rows.iter().zip(&new.rows) {
            while old.next_if(|(gone, _)| gone < name).is_some() {
                steps.push(json!({"op": "remove", "path": format!("{list}/{place}")}));
            }
            match old.next_if(|(known, _)| known == name) {
                Some((_, before)) if before == now => {}
                Some(_) => {
                    steps.push(json!({"op": "replace", "path": format!("{list}/{place}"), "value": row}));
                }
                None => steps.push(json!({"op": "add", "path": format!("{list}/{place}"), "value": row})),
            }
            place += 1;
        }
        steps.extend(old.map(|_| json!({"op": "remove", "path": format!("{list}/{place}")})));
        steps
    }
}

/// Puts all of a body in the place of whatever stands there, be it nothing.
pub fn whole<R: Row>(body: &Body<R>) -> Vec<Value> {
    let mut value = body.fields.clone();
    if !body.rows.is_empty() {
        value.insert("apps".to_owned(), json!(body.rows));
    }
    vec![json!({"op": "add", "path": body.at, "value": value})]
}

fn hash(value: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    // What cannot be written as JSON cannot be sent, either.
    serde_json::to_vec(value).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, Serialize)]
    struct Named {
        name: String,
        value: u8,
    }

    impl Row for Named {
        fn name(&self) -> &str {
            &self.name
        }
    }

    fn rows(rows: &BTreeMap<String, u8>) -> Vec<Named> {
        rows.iter().map(|(name, value)| Named { name: name.clone(), value: *value }).collect()
    }

    fn body<'a>(fields: &BTreeMap<String, u8>, rows: &'a [Named]) -> Body<'a, Named> {
        let fields = fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        Body { at: "/status", fields, rows }
    }

    /// What an API server does with a patch, as far as ours go.
    fn patched(mut object: Value, steps: &[Value]) -> Value {
        for step in steps {
            let (parent, last) = step["path"].as_str().unwrap().rsplit_once('/').unwrap();
            let place = object.pointer_mut(parent).expect("the parent stands");
            match (step["op"].as_str().unwrap(), place) {
                ("add", Value::Object(fields)) => drop(fields.insert(last.to_owned(), step["value"].clone())),
                ("remove", Value::Object(fields)) => drop(fields.remove(last).expect("it stands")),
                ("add", Value::Array(list)) => list.insert(last.parse().unwrap(), step["value"].clone()),
                ("replace", Value::Array(list)) => {
                    list[last.parse::<usize>().unwrap()] = step["value"].clone();
                }
                ("remove", Value::Array(list)) => drop(list.remove(last.parse().unwrap())),
                other => panic!("{other:?}"),
            }
        }
        object
    }

    fn words() -> impl Strategy<Value = BTreeMap<String, u8>> {
        proptest::collection::btree_map("[a-e]{1,2}", 0_u8..3, 0..12)
    }

    proptest! {
        #[test]
        fn what_was_written_and_what_differs_make_what_is_to_be(
            (before, after) in ((words(), words()), (words(), words())),
        ) {
            let (old_rows, new_rows) = (rows(&before.1), rows(&after.1));
            let (old, new) = (body(&before.0, &old_rows), body(&after.0, &new_rows));
            let steps = Sketch::of(&old).patch(&Sketch::of(&new), &new);
            let stood = patched(json!({}), &whole(&old));
            prop_assert_eq!(patched(stood, &steps), patched(json!({}), &whole(&new)));
            prop_assert_eq!(steps.is_empty(), before == after);
        }
    }

    #[test]
    fn one_app_of_a_thousand_is_one_small_step() {
        let mut all: BTreeMap<String, u8> = (0..1_000).map(|n| (format!("app-{n:04}"), 1)).collect();
        let before = rows(&all);
        all.insert("app-0500".to_owned(), 2);
        let after = rows(&all);
        let none = BTreeMap::new();
        let (old, new) = (body(&none, &before), body(&none, &after));
        let steps = Sketch::of(&old).patch(&Sketch::of(&new), &new);
        assert_eq!(
            steps,
            [json!({"op": "replace", "path": "/status/apps/500", "value": {"name": "app-0500", "value": 2}})]
        );
    }

    #[test]
    fn where_nearly_all_differs_the_whole_is_written() {
        let all: BTreeMap<String, u8> = (0..1_000).map(|n| (format!("app-{n:04}"), 1)).collect();
        let (before, none) = (rows(&all), BTreeMap::new());
        let after = rows(&all.keys().map(|name| (name.clone(), 2)).collect());
        let (old, new) = (body(&none, &before), body(&none, &after));
        let steps = Sketch::of(&old).patch(&Sketch::of(&new), &new);
        assert_eq!((steps.len(), &steps[0]["path"]), (1, &json!("/status")));
    }
}
