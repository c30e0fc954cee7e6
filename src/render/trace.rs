//! What set each field of an object on its way through the layers. It is kept only where somebody asks (`explain`): an
//! object is compared with what it was each time something has changed it, so that no transformer needs to know.

use serde_json::Value;

use crate::object::Place;
use crate::object::field_path::{Part, list_key, plain};
use crate::yaml::Node;

/// A field that a stage set, or took away.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Where it is after the stage; where it was before, if it is gone.
    pub parts: Vec<Part>,
    pub place: Place,
    /// What the value was taken from, where it was not written there.
    pub from: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// What became of an object when something changed it.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// `patch`, `images`, `namespace` …
    pub by: &'static str,
    pub changes: Vec<Change>,
    pub value: Value,
}

/// An object's way until now.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// As it was read or generated.
    pub first: Value,
    /// Where the values of a generated object are given.
    pub given: Vec<Given>,
    pub stages: Vec<Stage>,
    pub is_generated: bool,
}

/// A key of a generated object, and where its value stands.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub parts: Vec<Part>,
    pub by: &'static str,
    pub place: Place,
}

impl Trace {
    pub fn start(node: &Node) -> Box<Self> {
        Box::new(Self { first: node.to_value(), given: Vec::new(), stages: Vec::new(), is_generated: false })
    }

    /// Keeps what has changed since the last time. Gives what was kept.
    pub fn note(&mut self, node: &Node, by: &'static str, place: &Place) -> &mut [Change] {
        let value = node.to_value();
        let before = self.stages.last().map_or(&self.first, |stage| &stage.value);
        let mut walk = Walk { place, parts: Vec::new(), changes: Vec::new() };
        walk.differences(Some(before), Some(&value));
        let changes = walk.changes;
        if changes.is_empty() {
            return &mut [];
        }
        self.stages.push(Stage { by, changes, value });
        self.stages.last_mut().map_or(&mut [], |stage| &mut stage.changes)
    }

    /// Says of what was kept last, if something at a place did it, what the values were taken from.
    pub fn explain_last(&mut self, place: &Place, from: Option<&str>) {
        for change in self.stages.last_mut().into_iter().flat_map(|stage| &mut stage.changes) {
            if change.place == *place && change.from.is_none() {
                change.from = from.map(str::to_owned);
            }
        }
    }

    /// Goes on as the trace of what a generator merged into, or put in the place of, an older object.
    pub fn succeed(&mut self, mut old: Self, node: &Node, by: &'static str, place: &Place) {
        let given = std::mem::take(&mut self.given);
        for change in old.note(node, by, place) {
            if let Some(given) = given.iter().find(|given| change.parts == given.parts) {
                change.place = given.place.clone();
            }
        }
        *self = old;
    }
}

struct Walk<'a> {
    place: &'a Place,
    parts: Vec<Part>,
    changes: Vec<Change>,
}

impl Walk<'_> {
    fn below(&mut self, part: Part, before: Option<&Value>, after: Option<&Value>) {
        self.parts.push(part);
        self.differences(before, after);
        self.parts.pop();
    }

    fn differences(&mut self, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (a, b) if a == b => {}
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                let gone = a.keys().filter(|key| !b.contains_key(*key));
                for key in b.keys().chain(gone) {
                    self.below(Part::Key(key.clone()), a.get(key), b.get(key));
                }
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) => {
                let count = self.changes.len();
                for (at, item) in b.iter().enumerate() {
                    self.below(Part::At(at), twin(b, at, a).map(|old| &a[old]), Some(item));
                }
                for (at, item) in a.iter().enumerate().filter(|(at, _)| twin(a, *at, b).is_none()) {
                    self.below(Part::At(at), Some(item), None);
                }
                // In another order.
                if self.changes.len() == count {
                    self.keep(before, after);
                }
            }
            // A place for kustomize's own notes, as it comes and goes.
            (None, Some(Value::Object(map))) | (Some(Value::Object(map)), None)
                if map.is_empty() && self.parts.len() == 2 && self.is_text_map() => {}
            // What is new goes by its fields, for each has a line of its own; an item of a list is one thing.
            (None, Some(Value::Object(map)))
                if !map.is_empty() && matches!(self.parts.last(), Some(Part::Key(_))) =>
            {
                map.iter().for_each(|(key, value)| self.below(Part::Key(key.clone()), None, Some(value)));
            }
            // Labels and annotations are made text on the way, and that is no change that anybody made.
            (Some(a), Some(b)) if plain(a) == plain(b) && self.is_text_map() => {}
            _ => self.keep(before, after),
        }
    }

    fn keep(&mut self, before: Option<&Value>, after: Option<&Value>) {
        self.changes.push(Change {
            parts: self.parts.clone(),
            place: self.place.clone(),
            from: None,
            before: before.cloned(),
            after: after.cloned(),
        });
    }

    fn is_text_map(&self) -> bool {
        let is = |at: usize, keys: &[&str]| match self.parts.get(at) {
            Some(Part::Key(key)) => keys.contains(&key.as_str()),
            _ => false,
        };
        is(0, &["metadata"]) && is(1, &["labels", "annotations"])
    }
}

/// Which item of another state of a list is the same one as an item of this state.
fn twin(here: &[Value], at: usize, there: &[Value]) -> Option<usize> {
    if let Some(key) = list_key(&[here, there]) {
        let with = |items: &[Value], id: &Value| items.iter().position(|item| item[key] == *id);
        // One whose name got longer or shorter (a prefix, a hash) stays where it was.
        let is_renamed = || {
            let (one, other) =
                (plain(&here[at][key]), plain(there.get(at).map_or(&Value::Null, |item| &item[key])));
            here.len() == there.len()
                && with(here, &there[at][key]).is_none()
                && (one.contains(&other) || other.contains(&one))
        };
        return with(there, &here[at][key]).or_else(|| is_renamed().then_some(at));
    }
    if here.len() == there.len() || here.starts_with(there) || there.starts_with(here) {
        return (at < there.len()).then_some(at);
    }
    there.iter().position(|item| *item == here[at])
}

/// Where in another state of an object a place is.
pub(crate) fn carry(parts: &[Part], from: &Value, to: &Value) -> Option<Vec<Part>> {
    let (mut here, mut there, mut carried) = (from, to, Vec::with_capacity(parts.len()));
    for part in parts {
        match part {
            Part::Key(key) => {
                (here, there) = (here.get(key)?, there.get(key)?);
                carried.push(part.clone());
            }
            Part::At(at) => {
                let (items, others) = (here.as_array()?, there.as_array()?);
                let twin = twin(items, *at, others)?;
                (here, there) = (items.get(*at)?, others.get(twin)?);
                carried.push(Part::At(twin));
            }
        }
    }
    Some(carried)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::TreePath;
    use crate::object::field_path::path_of;

    fn noted(before: Value, after: Value) -> Vec<String> {
        let mut trace = Trace::start(&Node::from(before.clone()));
        let place = Place::file(TreePath::root());
        let changes = trace.note(&Node::from(after.clone()), "patch", &place).iter();
        let shown = changes.map(|change| {
            let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
            let state = if change.after.is_some() { &after } else { &before };
            format!("{}: {} → {}", path_of(state, &change.parts), show(&change.before), show(&change.after))
        });
        shown.collect()
    }

    #[test]
    fn items_go_by_what_tells_them_apart() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        assert_eq!(
            noted(
                pod(json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}])),
                pod(json!([{"name": "new"}, {"name": "b", "image": "b:2"}, {"name": "a", "image": "a:1"}])),
            ),
            [
                r#"spec.containers[name=new]: - → {"name":"new"}"#,
                r#"spec.containers[name=b].image: "b:1" → "b:2""#,
            ]
        );
    }

    #[test]
    fn an_item_at_the_end_of_plain_values_leaves_the_others_alone() {
        assert_eq!(noted(json!({"args": ["a"]}), json!({"args": ["a", "b"]})), [r#"args[1]: - → "b""#]);
        assert_eq!(noted(json!({"args": ["a", "b"]}), json!({"args": ["b"]})), [r#"args[0]: "a" → -"#]);
    }

    #[test]
    fn an_item_that_gets_another_name_is_the_same_item() {
        let subjects =
            |names: [&str; 2]| json!({"subjects": names.map(|name| json!({"name": name, "kind": "User"}))});
        assert_eq!(
            noted(subjects(["a", "b"]), subjects(["a", "p-b"])),
            [r#"subjects[name=p-b].name: "b" → "p-b""#]
        );
        let parts = [Part::Key("subjects".to_owned()), Part::At(1), Part::Key("kind".to_owned())];
        assert_eq!(carry(&parts, &subjects(["a", "p-b"]), &subjects(["a", "b"])), Some(parts.to_vec()));
        assert_eq!(
            carry(&parts, &subjects(["a", "b"]), &subjects(["b", "a"])).map(|parts| parts[1].clone()),
            Some(Part::At(0))
        );
    }

    #[test]
    fn what_goes_is_a_change_and_text_made_of_a_label_is_none() {
        assert_eq!(
            noted(
                json!({"metadata": {"labels": {"a.b/c": 1}}, "spec": {"replicas": 1}}),
                json!({"metadata": {"labels": {"a.b/c": "1"}}, "spec": {}}),
            ),
            ["spec.replicas: 1 → -"]
        );
        assert_eq!(noted(json!({}), json!({"data": {"a.yaml": 1}})), ["data[a.yaml]: - → 1"]);
        assert!(noted(json!({"metadata": {}}), json!({"metadata": {"annotations": {}}})).is_empty());
    }
}
