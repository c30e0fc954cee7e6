//! RFC 6902 over the `json-patch` crate, with kustomize's two liberties: `replace` of a missing last key adds it, and
//! `copy` from a missing key gives null.
//!
//! What kustomize takes although the RFC does not (operations without their value, negative indexes, indexes with
//! leading zeros) is refused by name.

use json_patch::PatchOperation;
use serde_json::Value;

use super::source::Text;
use crate::object::{Place, Problem};
use crate::yaml::{Dialect, Limits};

/// One operation, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    place: Place,
    operation: PatchOperation,
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
        let Some(document) = documents.pop() else { return Ok(Vec::new()) };
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

/// Applies the operations in order. The object is left half-patched where one fails.
pub(crate) fn apply(object: &mut Value, operations: &[Operation]) -> Result<(), Problem> {
    for operation in operations {
        let mut one = operation.operation.clone();
        let path = one.path().to_string();
        check_indexes(object, &path, &operation.place)?;
        match &one {
            PatchOperation::Replace(replace) if is_missing_key(object, &path) => {
                one = PatchOperation::Add(json_patch::AddOperation {
                    path: replace.path.clone(),
                    value: replace.value.clone(),
                });
            }
            PatchOperation::Copy(copy) if is_missing_key(object, copy.from.as_str()) => {
                one = PatchOperation::Add(json_patch::AddOperation { path: copy.path.clone(), value: Value::Null });
            }
            // What is not there is null.
            PatchOperation::Test(test) if test.value.is_null() && is_missing_key(object, &path) => continue,
            PatchOperation::Copy(json_patch::CopyOperation { from, .. })
            | PatchOperation::Move(json_patch::MoveOperation { from, .. }) => {
                check_indexes(object, from.as_str(), &operation.place)?;
            }
            _ => {}
        }
        json_patch::patch_unsafe(object, std::slice::from_ref(&one)).map_err(|error| {
            let why = match error.kind {
                json_patch::PatchErrorKind::TestFailed => "the value there is another",
                json_patch::PatchErrorKind::InvalidFromPointer => "there is nothing at `from`",
                json_patch::PatchErrorKind::CannotMoveInsideItself => "a value cannot be moved into itself",
                _ => "there is no such place in the object",
            };
            let name = name_of(&operation.operation);
            Problem::at(operation.place.clone(), format!("{name} {path}: {why}"))
        })?;
    }
    Ok(())
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

/// Whether only the last part of a pointer is missing, and in a map.
fn is_missing_key(object: &Value, pointer: &str) -> bool {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return false };
    let key = key.replace("~1", "/").replace("~0", "~");
    object.pointer(parent).and_then(Value::as_object).is_some_and(|map| !map.contains_key(&key))
}

fn check_indexes(object: &Value, pointer: &str, place: &Place) -> Result<(), Problem> {
    for (at, _) in pointer.match_indices('/') {
        let part = pointer[at + 1..].split('/').next().unwrap_or_default();
        let digits = part.strip_prefix('-').unwrap_or(part);
        let odd = part.len() > digits.len() || (digits.len() > 1 && digits.starts_with('0'));
        let is_index = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if odd && is_index && object.pointer(&pointer[..at]).is_some_and(Value::is_array) {
            let message = format!("{pointer}: an index counts from 0, without a sign and without leading zeros");
            return Err(Problem::at(place.clone(), message).hint("`-` is the place after the last item"));
        }
    }
    Ok(())
}
