//! How much memory a text takes once it is read: before that from what stands in it, and after it from what came of it.

use crate::yaml::{Limits, Map, Node};

/// Bytes that a key, a value or a collection takes while a file is read, at most: a million of them, all maps of one
/// entry, took 250 MB.
const WHILE_READ: usize = 250;
/// And once it was read, beside its text.
const ONCE_READ: usize = 96;
/// A text this small is not looked at.
const SMALL: usize = 16 << 10;

/// What reading a text can take at most.
pub(crate) fn to_read(text: &[u8], limits: &Limits) -> usize {
    if text.len() < SMALL {
        return text.len() * 32;
    }
    let (mut marks, mut has_aliases) = (1_usize, false);
    for byte in text {
        match byte {
            // A key and its value.
            b':' | b'?' => marks += 2,
            b'-' | b',' | b'[' | b'{' => marks += 1,
            b'*' => has_aliases = true,
            _ => {}
        }
    }
    // An alias may stand for as many as the limits let.
    let nodes = if has_aliases { limits.nodes } else { marks.min(limits.nodes) };
    let copied = if has_aliases { limits.alias_bytes } else { 0 };
    nodes.saturating_mul(WHILE_READ).saturating_add(text.len() * 2).saturating_add(copied)
}

/// What it takes from then on.
pub(crate) fn of(node: &Node) -> usize {
    let within = match node {
        Node::Text(text) => text.value.len(),
        Node::Odd(odd) => odd.text.len(),
        Node::List(items) => items.iter().map(of).sum(),
        Node::Map(map) => of_map(map),
        Node::Null | Node::Bool(_) | Node::Number(_) => 0,
    };
    ONCE_READ + within
}

fn of_map(map: &Map) -> usize {
    map.iter().map(|(key, value)| ONCE_READ + key.len() + of(value)).sum()
}
