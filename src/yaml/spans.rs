//! Where each node of a document stands, in sixteen bytes a node.

use super::text::number;

/// One node, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Node {
    /// Hash of the key in a map, position in a list. A collision costs a wrong line in a message, nothing else.
    key: u32,
    /// How many nodes the subtree has, this one included: the next sibling is that many further on.
    size: u32,
    line: u32,
    column: u32,
}

/// The nodes of one document in preorder. The first is the root.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spans {
    nodes: Vec<Node>,
    /// The children of wide collections, by parent and key: ten thousand `resources` are looked up one by one.
    wide: Vec<Child>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Child {
    parent: u32,
    key: u32,
    at: u32,
}

/// Children of a collection that are still looked for one after the other.
const NARROW: usize = 32;

impl Spans {
    /// Enters a node whose subtree follows; [`Spans::close`] ends it.
    pub fn open(&mut self, key: u32, line: u32, column: u32) -> usize {
        self.nodes.push(Node { key, size: 1, line, column });
        self.nodes.len() - 1
    }

    pub fn close(&mut self, at: usize) {
        // A document of more than four thousand million nodes would have passed no limit.
        self.nodes[at].size = u32::try_from(self.nodes.len() - at).unwrap_or(u32::MAX);
    }

    /// Makes a whole document ready to be asked.
    pub fn finish(&mut self) {
        self.nodes.shrink_to_fit();
        for parent in 0..self.nodes.len() {
            let end = parent + self.nodes[parent].size as usize;
            let (mut at, mut children) = (parent + 1, 0);
            let first = self.wide.len();
            while at < end {
                let key = self.nodes[at].key;
                self.wide.push(Child { parent: number(parent), key, at: number(at) });
                at += self.nodes[at].size as usize;
                children += 1;
            }
            if children <= NARROW {
                self.wide.truncate(first);
            }
        }
        self.wide.sort_unstable();
        self.wide.shrink_to_fit();
    }

    /// Line and column of the node at a JSON pointer, or of its nearest ancestor that has a place of its own.
    pub fn find(&self, pointer: &str) -> (u32, u32) {
        let Some(root) = self.nodes.first() else { return (0, 0) };
        let (mut at, mut found) = (0, *root);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let hash = hash(&token);
            let index = token.parse::<u32>().ok();
            let Some(child) = self.child(at, hash, index) else {
                // What a merge key brought in stands where the merge key stands.
                let merge = self::hash("<<");
                let merged = self.child(at, merge, None).map(|child| self.nodes[child]);
                found = merged.unwrap_or(found);
                break;
            };
            (at, found) = (child, self.nodes[child]);
        }
        (found.line, found.column)
    }

    /// The place of the first child with this key.
    pub fn first_child(&self, parent: usize, wanted: u32) -> Option<(u32, u32)> {
        // The parent may still be open; its children so far reach to the end of the table.
        let at = self.child_before(parent, self.nodes.len(), |key| key == wanted)?;
        Some((self.nodes[at].line, self.nodes[at].column))
    }

    /// The first child with this key, or with this place in a list.
    fn child(&self, parent: usize, key: u32, index: Option<u32>) -> Option<usize> {
        let wide = self.wide.partition_point(|child| child.parent < number(parent));
        if self.wide.get(wide).is_none_or(|child| child.parent != number(parent)) {
            let end = parent + self.nodes[parent].size as usize;
            return self.child_before(parent, end, |known| known == key || Some(known) == index);
        }
        let first = |key| {
            let wanted = Child { parent: number(parent), key, at: 0 };
            let at = self.wide.partition_point(|child| *child < wanted);
            let child = self.wide.get(at).filter(|child| (child.parent, child.key) == (wanted.parent, key));
            child.map(|child| child.at as usize)
        };
        [Some(key), index].into_iter().flatten().filter_map(first).min()
    }

    fn child_before(&self, parent: usize, end: usize, is: impl Fn(u32) -> bool) -> Option<usize> {
        let mut at = parent + 1;
        while at < end {
            if is(self.nodes[at].key) {
                return Some(at);
            }
            at += self.nodes[at].size as usize;
        }
        None
    }
}

/// FNV-1a with the top bit set, so that no key is taken for a list's index.
pub(super) fn hash(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
        | 1 << 31
}
