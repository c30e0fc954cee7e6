//! What anchors stand for, and what their copies may cost.

use std::collections::HashMap;

use super::{Limits, Node};

/// Why an alias cannot be expanded.
pub(super) enum Refused {
    /// The alias stands inside the node that it names.
    Circular,
    TooDeep,
    TooMuch,
}

#[derive(Debug)]
struct Anchored {
    value: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// The anchored nodes of one document, and the budget of the file for copies of them.
#[derive(Debug)]
pub(super) struct Anchors {
    known: HashMap<usize, Anchored>,
    nodes_left: usize,
    bytes_left: usize,
}

impl Anchors {
    pub fn new(limits: &Limits) -> Self {
        Self { known: HashMap::new(), nodes_left: limits.nodes, bytes_left: limits.alias_bytes }
    }

    /// Anchors do not outlive their document.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Counts nodes that stand in the file.
    pub fn spend(&mut self, nodes: usize) -> Result<(), Refused> {
        self.nodes_left = self.nodes_left.checked_sub(nodes).ok_or(Refused::TooMuch)?;
        Ok(())
    }

    /// Keeps a copy for the aliases to come. The copy is paid for, or nested anchors would cost depth times size.
    pub fn keep(&mut self, id: usize, value: &Node) -> Result<(), Refused> {
        let (mut nodes, mut bytes) = (0, 0);
        let depth = measure(value, &mut nodes, &mut bytes);
        self.pay(nodes, bytes)?;
        self.known.insert(id, Anchored { value: value.clone(), nodes, bytes, depth });
        Ok(())
    }

    pub fn expand(&mut self, id: usize, depth_left: usize) -> Result<Node, Refused> {
        let (nodes, bytes, depth) = match self.known.get(&id) {
            Some(anchored) => (anchored.nodes, anchored.bytes, anchored.depth),
            None => return Err(Refused::Circular),
        };
        if depth > depth_left {
            return Err(Refused::TooDeep);
        }
        self.pay(nodes, bytes)?;
        Ok(self.known[&id].value.clone())
    }

    fn pay(&mut self, nodes: usize, bytes: usize) -> Result<(), Refused> {
        self.spend(nodes)?;
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Refused::TooMuch)?;
        Ok(())
    }
}

/// The depth of a value; its nodes and bytes of text are added up. The depth is bounded by the reader's own limit.
fn measure(value: &Node, nodes: &mut usize, bytes: &mut usize) -> usize {
    *nodes += 1;
    match value {
        Node::Text(text) => {
            *bytes += text.value.len();
            0
        }
        Node::List(items) => 1 + items.iter().map(|item| measure(item, nodes, bytes)).max().unwrap_or(0),
        Node::Map(map) => {
            *bytes += map.iter().map(|(key, _)| key.len()).sum::<usize>();
            1 + map.iter().map(|(_, value)| measure(value, nodes, bytes)).max().unwrap_or(0)
        }
        _ => 0,
    }
}
