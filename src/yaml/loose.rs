//! Scalars that kustomize has made itself: they have no type until they are written, and then that of what they look like.

use super::node::{Node, Odd, Text};
use super::{Dialect, Limits, read};
use crate::object::TreePath;

/// What a scalar looks like to go-yaml where it stands without quotes and without a tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Looks {
    Null,
    Bool,
    Int,
    Float,
    Text,
}

impl Looks {
    pub fn of(text: &str) -> Self {
        use super::scalar::Resolved;
        match super::scalar::resolve(text, Dialect::Kustomize) {
            Resolved::Null => Self::Null,
            Resolved::Bool(_) => Self::Bool,
            Resolved::Int(_) | Resolved::Uint(_) => Self::Int,
            Resolved::Float(_) => Self::Float,
            Resolved::Time(_) | Resolved::Merge | Resolved::Tagged(_) | Resolved::Text => Self::Text,
        }
    }
}

impl Text {
    /// Reads loose text as what it is where it is written; `None` for all other text.
    pub(super) fn written(&self) -> Option<Node> {
        (self.loose && !self.is_quoted()).then(|| plain(&self.value))
    }
}

/// Text without quotes, read as what it looks like.
pub fn plain(text: &str) -> Node {
    let same = || Node::Text(Text::new(text, false));
    // What could not stand without quotes stays text.
    let special = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_' | '~'));
    if text.contains(special) {
        return same();
    }
    match read(text.as_bytes(), &TreePath::root(), Dialect::Kustomize, &Limits::default()) {
        Ok(documents) => match documents.into_iter().next().map(|document| document.into_value()) {
            Some(value) if value.is_number() || value.is_boolean() => match Node::from(value) {
                node if node.scalar().as_deref() == Some(text) => node,
                node => Node::Odd(Box::new(Odd { value: node.into_value(), text: text.to_owned() })),
            },
            // A date.
            Some(serde_json::Value::String(text)) => Node::Text(Text::new(text, false)),
            Some(_) => same(),
            None => Node::Odd(Box::new(Odd { value: serde_json::Value::Null, text: text.to_owned() })),
        },
        Err(_) => same(),
    }
}
