//! RFC 6902, in the types of the `json-patch` crate, with kustomize's two liberties: `replace` of a missing last key adds it, and
//! `copy` from a missing key gives null.
//!
//! What kustomize takes although the RFC does not (operations without their value, negative indexes, indexes with
//! leading zeros) is refused by name.

use json_patch::PatchOperation;
use serde_json::Value;

use super::source::Text;
use crate::object::{Place, Problem};
use crate::yaml::{Dialect, Limits, Node, is_old_boolean};

/// One operation, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    place: Place,
    operation: PatchOperation,
}

impl Operation {
    /// Whether all annotations are others afterwards.
    pub fn sets_annotations(&self) -> bool {
        let is_above = |path: &str| matches!(path, "/metadata/annotations" | "/metadata");
        match &self.operation {
            PatchOperation::Test(_) => false,
            PatchOperation::Move(step) if is_above(step.from.as_str()) => true,
            operation => is_above(operation.path().as_str()),
        }
    }
}

/// Reads a patch. Text that starts with `[` must be strict JSON; other text is YAML.
pub(crate) fn read(text: &Text, limits: &Limits) -> Result<Vec<Operation>, Vec<Problem>> {
    let bytes = text.bytes();
    let (value, place_of): (Value, Box<dyn Fn(usize) -> Place>) = if bytes.first() == Some(&b'[') {
        let value = serde_json::from_slice(bytes).map_err(|error| {
            let place = text.place_at(u32::try_from(error.line()).unwrap_or_default());
            vec![
                Problem::at(place, "this JSON patch starts with `[` and is not JSON")
                    .hint("write strict JSON, or YAML that starts with `-`"),
            ]
        })?;
        let place = text.place_at(1);
        (value, Box::new(move |_| place.clone()))
    } else {
        let mut documents = text.documents(Dialect::Config, limits).map_err(|problem| vec![problem])?;
        if documents.len() > 1 {
            return Err(vec![Problem::at(documents[1].place(), "a JSON patch is one document, not several")]);
        }
        let Some(document) = documents.pop() else {
            return Ok(Vec::new());
        };
        let value = document.value().clone();
        (value, Box::new(move |nth| document.place_of(&format!("/{nth}"))))
    };
    let Value::Array(operations) = value else {
        return Err(vec![Problem::at(place_of(0), "a JSON patch is a list of operations")]);
    };
    let mut read = Vec::new();
    let mut found = Vec::new();
    for (nth, value) in operations.into_iter().enumerate() {
        let place = place_of(nth);
        match operation(value) {
            Ok(operation) => read.push(Operation { place, operation }),
            Err(message) => found.push(Problem::at(place, message)),
        }
    }
    if found.is_empty() { Ok(read) } else { Err(found) }
}

fn operation(mut value: Value) -> Result<PatchOperation, String> {
    let Some(map) = value.as_object_mut() else {
        return Err("an operation of a JSON patch is a map with `op` and `path`".to_owned());
    };
    let op = map.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !matches!(&*op, "add" | "remove" | "replace" | "move" | "copy" | "test") {
        return Err("`op` must be add, remove, replace, move, copy or test".to_owned());
    }
    for key in ["path", "from"] {
        let needed = key == "path" || matches!(&*op, "move" | "copy");
        match map.get(key).map(Value::as_str) {
            Some(Some(pointer)) => check_pointer(key, pointer)?,
            Some(None) if needed => return Err(format!("`{key}` must be text")),
            None if needed => return Err(format!("the operation {op} has no `{key}`")),
            _ => {}
        }
    }
    if matches!(&*op, "add" | "replace" | "test") && !map.contains_key("value") {
        return Err(format!("the operation {op} has no `value`; write `value: null` if null is meant"));
    }
    serde_json::from_value(value).map_err(|_| format!("the operation {op} is not one of RFC 6902"))
}

fn check_pointer(key: &str, pointer: &str) -> Result<(), String> {
    if pointer.is_empty() || pointer == "/" {
        return Err(format!("`{key}` names the whole object; name a field"));
    }
    if !pointer.starts_with('/') {
        return Err(format!("`{key}` must start with `/`"));
    }
    Ok(())
}

/// Applies the operations in order, and tells what it becomes after each. The object is left half-patched where one fails.
pub(crate) fn apply(
    object: &mut Node,
    operations: &[Operation],
    mut tell: impl FnMut(&Node, &Place),
) -> Result<(), Problem> {
    for Operation { place, operation } in operations {
        let path = operation.path().to_string();
        run(object, operation)
            .map_err(|why| Problem::at(place.clone(), format!("{} {path}: {why}", name_of(operation))))?;
        tell(object, place);
    }
    Ok(())
}

const NOWHERE: &str = "there is no such place in the object";

fn run(object: &mut Node, operation: &PatchOperation) -> Result<(), &'static str> {
    match operation {
        PatchOperation::Add(add) => put(object, add.path.as_str(), written(&add.value), Put::Insert),
        PatchOperation::Replace(replace) => {
            put(object, replace.path.as_str(), written(&replace.value), Put::Replace)
        }
        PatchOperation::Remove(remove) => take(object, remove.path.as_str()).map(drop),
        PatchOperation::Move(step) => {
            if step.path.as_str().starts_with(&format!("{}/", step.from)) {
                return Err("a value cannot be moved into itself");
            }
            let value = take(object, step.from.as_str()).map_err(|_| "there is nothing at `from`")?;
            put(object, step.path.as_str(), value, Put::Insert)
        }
        PatchOperation::Copy(step) => {
            // What is not there is null, in a map; the place itself must be.
            let value = get(object, step.from.as_str()).map_err(|_| "there is nothing at `from`")?;
            let value = value.map_or(Node::Null, Node::clone);
            put(object, step.path.as_str(), value, Put::Insert)
        }
        PatchOperation::Test(test) => {
            let is_equal = match get(object, test.path.as_str())? {
                Some(value) => value.to_value() == test.value,
                None => test.value.is_null(),
            };
            if is_equal { Ok(()) } else { Err("the value there is another") }
        }
    }
}

fn name_of(operation: &PatchOperation) -> &'static str {
    match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    }
}

fn decoded(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// Splits a pointer into the value that holds its last part, and that part.
fn holder<'n, 'p>(object: &'n mut Node, pointer: &'p str) -> Result<(&'n mut Node, &'p str), &'static str> {
    let (parents, last) = pointer.rsplit_once('/').ok_or(NOWHERE)?;
    let mut here = object;
    for part in parents.split('/').skip(1) {
        here = match here {
            Node::Map(map) => map.get_mut(&decoded(part)).ok_or(NOWHERE)?,
            Node::List(items) => {
                let at = index(part)?;
                items.get_mut(at).ok_or(NOWHERE)?
            }
            _ => return Err(NOWHERE),
        };
    }
    Ok((here, last))
}

fn index(part: &str) -> Result<usize, &'static str> {
    let digits = part.strip_prefix('-').unwrap_or(part);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NOWHERE);
    }
    if part.len() > digits.len() || (digits.len() > 1 && digits.starts_with('0')) {
        return Err(
            "an index counts from 0, without a sign and without leading zeros; `-` is the place after the last",
        );
    }
    digits.parse().map_err(|_| NOWHERE)
}

#[derive(Clone, Copy, PartialEq)]
enum Put {
    Insert,
    Replace,
}

fn put(object: &mut Node, pointer: &str, value: Node, how: Put) -> Result<(), &'static str> {
    match holder(object, pointer)? {
        (Node::Map(map), key) => {
            map.insert(decoded(key), value);
        }
        (Node::List(items), "-") if how == Put::Insert => items.push(value),
        (Node::List(items), part) => {
            let at = index(part)?;
            match how {
                Put::Insert if at <= items.len() => items.insert(at, value),
                Put::Replace if at < items.len() => items[at] = value,
                _ => return Err("the list is not that long"),
            }
        }
        _ => return Err(NOWHERE),
    }
    Ok(())
}

fn take(object: &mut Node, pointer: &str) -> Result<Node, &'static str> {
    match holder(object, pointer)? {
        (Node::Map(map), key) => map.remove(&decoded(key)).ok_or(NOWHERE),
        (Node::List(items), part) => {
            let at = index(part)?;
            if at < items.len() { Ok(items.remove(at)) } else { Err("the list is not that long") }
        }
        _ => Err(NOWHERE),
    }
}

fn get<'n>(object: &'n mut Node, pointer: &str) -> Result<Option<&'n Node>, &'static str> {
    match holder(object, pointer)? {
        (Node::Map(map), key) => Ok(map.get(&decoded(key))),
        (Node::List(items), part) => {
            let at = index(part)?;
            items.get(at).map(Some).ok_or("the list is not that long")
        }
        _ => Err(NOWHERE),
    }
}

/// A value of a patch, as kustomize writes it.
fn written(value: &Value) -> Node {
    let mut node = Node::from(value);
    forget_writing(&mut node);
    node
}

/// After a JSON patch kustomize writes the object anew: nothing is left of how it was written.
pub(crate) fn forget_writing(node: &mut Node) {
    match node {
        Node::List(items) => items.iter_mut().for_each(forget_writing),
        Node::Map(map) => map.values_mut().for_each(forget_writing),
        Node::Text(text) if text.loose => {
            *node = Node::from(std::mem::replace(node, Node::Null).into_value());
            forget_writing(node);
        }
        // Old booleans are the one kind of text that it puts in quotes although it need not.
        Node::Text(text) => text.quoted = is_old_boolean(&text.value).then_some(true),
        Node::Odd(odd) => *node = Node::from(std::mem::take(&mut odd.value)),
        Node::Null | Node::Bool(_) | Node::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(object: Value, operations: Value) -> Result<Value, String> {
        let mut node = Node::from(object);
        for value in operations.as_array().unwrap() {
            run(&mut node, &operation(value.clone())?).map_err(str::to_owned)?;
        }
        Ok(node.into_value())
    }

    /// The examples of RFC 6902, appendix A, as far as they change an object.
    #[test]
    fn the_examples_of_the_rfc() {
        for (object, operations, result) in [
            (
                json!({"foo": "bar"}),
                json!([{"op": "add", "path": "/baz", "value": "qux"}]),
                json!({"baz": "qux", "foo": "bar"}),
            ),
            (
                json!({"foo": ["bar", "baz"]}),
                json!([{"op": "add", "path": "/foo/1", "value": "qux"}]),
                json!({"foo": ["bar", "qux", "baz"]}),
            ),
            (
                json!({"baz": "qux", "foo": "bar"}),
                json!([{"op": "remove", "path": "/baz"}]),
                json!({"foo": "bar"}),
            ),
            (
                json!({"foo": ["bar", "qux", "baz"]}),
                json!([{"op": "remove", "path": "/foo/1"}]),
                json!({"foo": ["bar", "baz"]}),
            ),
            (
                json!({"baz": "qux", "foo": "bar"}),
                json!([{"op": "replace", "path": "/baz", "value": "boo"}]),
                json!({"baz": "boo", "foo": "bar"}),
            ),
            (
                json!({"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}}),
                json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
                json!({"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}),
            ),
            (
                json!({"foo": ["all", "grass", "cows", "eat"]}),
                json!([{"op": "move", "from": "/foo/1", "path": "/foo/3"}]),
                json!({"foo": ["all", "cows", "eat", "grass"]}),
            ),
            (
                json!({"baz": "qux", "foo": ["a", 2, "c"]}),
                json!([{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}]),
                json!({"baz": "qux", "foo": ["a", 2, "c"]}),
            ),
            (
                json!({"foo": "bar"}),
                json!([{"op": "add", "path": "/child", "value": {"grandchild": {}}}]),
                json!({"foo": "bar", "child": {"grandchild": {}}}),
            ),
            (
                json!({"foo": "bar"}),
                json!([{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}]),
                json!({"foo": "bar", "baz": "qux"}),
            ),
            (
                json!({"/": 9, "~1": 10}),
                json!([{"op": "test", "path": "/~01", "value": 10}]),
                json!({"/": 9, "~1": 10}),
            ),
            (
                json!({"foo": ["bar"]}),
                json!([{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}]),
                json!({"foo": ["bar", ["abc", "def"]]}),
            ),
        ] {
            assert_eq!(patched(object, operations.clone()).unwrap(), result, "{operations}");
        }
    }

    #[test]
    fn what_the_rfc_refuses_is_refused() {
        for operations in [
            json!([{"op": "test", "path": "/baz", "value": "bar"}]),
            json!([{"op": "add", "path": "/a/b", "value": "qux"}]),
            json!([{"op": "test", "path": "/n", "value": "10"}]),
            json!([{"op": "add", "path": "/list/7", "value": 1}]),
            json!([{"op": "add", "path": "/list/01", "value": 1}]),
            json!([{"op": "add", "path": "/list/-1", "value": 1}]),
            json!([{"op": "remove", "path": "/list/-"}]),
            json!([{"op": "add", "path": "/x"}]),
            json!([{"op": "copy", "path": "/x"}]),
            json!([{"op": "move", "from": "/map", "path": "/map/inner"}]),
            json!([{"op": "add", "path": "x", "value": 1}]),
            json!([{"op": "put", "path": "/x", "value": 1}]),
        ] {
            let object = json!({"n": 10, "list": [1], "map": {}});
            assert!(patched(object, operations.clone()).is_err(), "{operations}");
        }
    }

    #[test]
    fn the_liberties_of_kustomize_are_taken() {
        let replaced =
            patched(json!({"a": {}}), json!([{"op": "replace", "path": "/a/b", "value": 1}])).unwrap();
        assert_eq!(replaced, json!({"a": {"b": 1}}));
        let copied = patched(json!({}), json!([{"op": "copy", "from": "/a", "path": "/b"}])).unwrap();
        assert_eq!(copied, json!({"b": null}));
    }
}
