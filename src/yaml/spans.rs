//! Where each node of a document stands, in sixteen bytes a node.

/// One node, in the order of the file.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Hash of the key in a map, position in a list. A collision costs a wrong line in a message, nothing else.
    key: u32,
    /// How many nodes the subtree has, this one included: the next sibling is that many further on.
    size: u32,
    line: u32,
    column: u32,
}

/// The nodes of one document in preorder. The first is the root.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(Vec<Node>);

impl Spans {
    /// Enters a node whose subtree follows; [`Spans::close`] ends it.
    pub fn open(&mut self, key: u32, line: u32, column: u32) -> usize {
        self.0.push(Node { key, size: 1, line, column });
        self.0.len() - 1
    }

    pub fn close(&mut self, at: usize) {
        // A document of more than four thousand million nodes would have passed no limit.
        self.0[at].size = u32::try_from(self.0.len() - at).unwrap_or(u32::MAX);
    }

    pub fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Line and column of the node at a JSON pointer, or of its nearest ancestor that has a place of its own.
    pub fn find(&self, pointer: &str) -> (u32, u32) {
        let Some(root) = self.0.first() else { return (0, 0) };
        let (mut at, mut found) = (0, *root);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let hash = hash(&token);
            let index = token.parse::<u32>().ok();
            let Some(child) = self.child(at, |key| key == hash || Some(key) == index) else {
                // What a merge key brought in stands where the merge key stands.
                let merge = self::hash("<<");
                let merged = self.child(at, |key| key == merge).map(|child| self.0[child]);
                found = merged.unwrap_or(found);
                break;
            };
            (at, found) = (child, self.0[child]);
        }
        (found.line, found.column)
    }

    /// The place of the first child with this key.
    pub fn first_child(&self, parent: usize, wanted: u32) -> Option<(u32, u32)> {
        // The parent may still be open; its children so far reach to the end of the table.
        let at = self.child_before(parent, self.0.len(), |key| key == wanted)?;
        Some((self.0[at].line, self.0[at].column))
    }

    fn child(&self, parent: usize, is: impl Fn(u32) -> bool) -> Option<usize> {
        self.child_before(parent, parent + self.0[parent].size as usize, is)
    }

    fn child_before(&self, parent: usize, end: usize, is: impl Fn(u32) -> bool) -> Option<usize> {
        let mut at = parent + 1;
        while at < end {
            if is(self.0[at].key) {
                return Some(at);
            }
            at += self.0[at].size as usize;
        }
        None
    }
}

/// FNV-1a with the top bit set, so that no key is taken for a list's index.
pub(super) fn hash(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
        | 1 << 31
}
