//! YAML in and out, as the tools of the field read it.
//!
//! The same bytes mean different objects to kustomize and to kubectl: `yes` is a string to one and a boolean to the
//! other. So a reading has a [`Dialect`], chosen by the folder that a file stands in, and [`ambiguous`] names the
//! scalars on which the two disagree. Everything a document could do to its reader (depth, aliases, size) has a limit.
//!
//! Events come from `granit-parser`; what they mean is decided here, because no crate resolves scalars as go-yaml does.
//! `tests/yaml` holds six hundred cases with what each tool makes of them, and `differences.txt` there the few where we
//! mean to differ: keys given twice are refused, JSON's escapes are taken.
//!
//! A [`crate::object::Problem`] from here names a place and a key path, never a value: the file may hold secrets.

mod ambiguous;
mod anchors;
mod build;
mod edit;
mod leaf;
mod loose;
mod map;
mod merge;
mod node;
mod outdented;
mod outline;
#[cfg(test)]
mod properties;
mod quick;
mod read;
mod refold;
mod scalar;
mod spans;
#[cfg(test)]
mod table;
mod tags;
#[cfg(test)]
mod tests;
mod text;
mod write;

use serde_json::Value;

use crate::object::{Place, TreePath};
use spans::Spans;

pub use edit::{Editor, Spot};
pub use loose::{Looks, plain};
pub use map::Map;
pub use node::{Node, Odd, Text, go_number, is_old_boolean, needs_quotes};
pub use read::{ambiguous, nodes, read};
pub use write::{write, write_all, write_json};

/// Whose reading of YAML applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Objects and strategic-merge patches in a folder with a kustomization.yaml: `yes` is a string, `0644` is 420.
    Kustomize,
    /// Plain folders, as `kubectl apply` reads them: `yes`, `on`, `y` and their opposites are booleans.
    Kubectl,
    /// kustomization.yaml itself and RFC 6902 text, which kustomize reads with kubectl's library (sigs.k8s.io/yaml).
    Config,
}

/// What a file may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file. etcd refuses objects above 1.5 MiB and the largest CRD bundles hold about 5 MiB.
    pub file_bytes: u64,
    /// Documents in one file. The largest bundles in the wild hold a few hundred; 1,024 was once found too few.
    pub documents: usize,
    /// Collections inside one another. Real objects (CRD schemas) stay below 60; a `Value` is dropped recursively.
    pub depth: usize,
    /// Keys, values and collections of one file with every alias expanded. A CRD bundle at the limit of bytes has about
    /// 600,000; the worst that a million cost is 250 MB, all of them maps with a single entry.
    pub nodes: usize,
    /// Bytes of text that aliases may add to one file, and that copies kept for aliases may take.
    pub alias_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 8 << 20, documents: 5_000, depth: 100, nodes: 1_000_000, alias_bytes: 32 << 20 }
    }
}

/// One document of a file, and where each of its nodes stands.
#[derive(Clone, Debug)]
pub struct Document {
    path: TreePath,
    value: Value,
    spans: Spans,
}

impl Document {
    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn into_value(self) -> Value {
        self.value
    }

    /// The first line of the content.
    pub fn place(&self) -> Place {
        self.place_of("")
    }

    /// Where the node at a JSON pointer stands, or its nearest ancestor that was written in the file. For the value
    /// of a key this is the place of the key.
    pub fn place_of(&self, pointer: &str) -> Place {
        let (line, column) = self.spans.find(pointer);
        Place::at(self.path.clone(), line, column)
    }

    /// Whether there is nothing in it: null, `{}` or `[]`.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        }
    }
}
