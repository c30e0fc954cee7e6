//! What kustomize and kubectl read differently, and how to write it so that they do not.

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::leaf::{KeyText, Scalar};
use super::{Dialect, Node};

const TRUTH: &str = "write true or false for a boolean, or put it in quotes for text";
const QUOTE: &str = "put it in quotes";

/// The difference that a scalar makes as a value, and the advice; nothing where all read the same.
pub(super) fn value(scalar: &Scalar<'_>) -> Option<String> {
    let read = |dialect| scalar.clone().value(dialect).ok().map(Node::into_value);
    let (kustomize, kubectl) = (read(Dialect::Kustomize), read(Dialect::Kubectl));
    if kustomize == kubectl {
        return None;
    }
    let advice = match (&kustomize, &kubectl) {
        (Some(Value::String(_)), Some(Value::Bool(_))) => TRUTH,
        (Some(Value::String(_)), Some(Value::Null)) => "write null, or \"\" for empty text",
        (Some(Value::String(_)), Some(Value::String(_))) => match scalar.style {
            ScalarStyle::Literal => "end the file with a line break",
            ScalarStyle::Folded => return Some(folded(scalar)),
            _ => {
                return Some(
                    "kustomize turns this date into a time, kubectl leaves it as it is; put it in quotes"
                        .into(),
                );
            }
        },
        _ => QUOTE,
    };
    let (kustomize, kubectl) = (kind(kustomize.as_ref()), kind(kubectl.as_ref()));
    Some(if kustomize == kubectl {
        format!("kustomize and kubectl read different text here; {advice}")
    } else {
        format!("kustomize reads {kustomize} here, kubectl {kubectl}; {advice}")
    })
}

fn folded(scalar: &Scalar<'_>) -> String {
    let ended = Scalar { unended: false, ..scalar.clone() };
    let read = |dialect| ended.clone().value(dialect).ok().map(Node::into_value);
    if read(Dialect::Kustomize) == read(Dialect::Kubectl) {
        return "kustomize and kubectl read different text here; end the file with a line break".to_owned();
    }
    "kustomize reads other line breaks in this folded block than kubectl; write it as a literal block (|)"
        .to_owned()
}

/// The same for a key.
pub(super) fn key(scalar: &Scalar<'_>) -> Option<&'static str> {
    let text = |dialect| match scalar.clone().key(dialect) {
        Ok(KeyText::Text(text)) => Some(text),
        Ok(KeyText::Merge) => Some("<<".to_owned()),
        Err(_) => None,
    };
    match (text(Dialect::Kustomize), text(Dialect::Kubectl)) {
        (kustomize, kubectl) if kustomize == kubectl => None,
        (None, _) => Some("kustomize refuses this key, which is not text; put it in quotes"),
        (_, _) => Some("kubectl reads this key as another word; put it in quotes"),
    }
}

pub(super) const MERGE: &str =
    "what << brings here wins over earlier keys for kubectl, and loses to them for kustomize; write << first";

fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(text)) if text.is_empty() => "empty text",
        Some(Value::String(_)) => "text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "a map",
    }
}
