//! A map as a sorted list: what objects consist of is hundreds of maps with a handful of keys, for which a tree of
//! blocks of eleven costs five times the memory and most of the time.

use std::collections::BTreeMap;

use super::node::Node;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(Vec<(String, Node)>);

/// A map whose entries are still coming. People write keys nearly in order or in short maps, so most of them are put
/// where they belong at once; what would have to move many others waits in a tree, or a file could cost its square.
#[derive(Debug, Default)]
pub(super) struct Growing {
    entries: Map,
    late: BTreeMap<String, Node>,
}

/// Entries that a map has room for at first: most of them are a name and a value, and stay as small.
const FEW: usize = 2;

/// Entries of a map that is looked through from its start.
const SHORT: usize = 16;

/// Entries that may be moved to make room for one.
const NEAR: usize = 32;

impl Growing {
    /// Adds an entry. Where the key is there already nothing changes, and the entry comes back.
    pub fn add(&mut self, key: String, value: Node) -> Result<(), (String, Node)> {
        let entries = &mut self.entries.0;
        // What waits is always less than the last entry.
        if entries.last().is_none_or(|(last, _)| *last < key) {
            if entries.is_empty() {
                entries.reserve_exact(FEW);
            }
            entries.push((key, value));
            return Ok(());
        }
        match self.entries.find(&key) {
            Ok(_) => return Err((key, value)),
            Err(_) if self.late.contains_key(&key) => return Err((key, value)),
            Err(at) if self.entries.len() - at > NEAR => {
                self.late.insert(key, value);
            }
            Err(at) => self.entries.0.insert(at, (key, value)),
        }
        Ok(())
    }

    /// Adds an entry, or replaces the one that is there.
    pub fn set(&mut self, key: String, value: Node) {
        let Err((key, value)) = self.add(key, value) else { return };
        if let Some(place) = self.late.get_mut(&key).or_else(|| self.entries.get_mut(&key)) {
            *place = value;
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).or_else(|| self.late.get(key))
    }

    pub fn finish(self) -> Map {
        if self.late.is_empty() {
            return self.entries;
        }
        let mut entries = Vec::with_capacity(self.entries.len() + self.late.len());
        let mut late = self.late.into_iter().peekable();
        for entry in self.entries {
            while let Some(earlier) = late.next_if(|late| late.0 < entry.0) {
                entries.push(earlier);
            }
            entries.push(entry);
        }
        // What waits is less than the last entry, so nothing is left.
        Map(entries)
    }
}

impl Map {
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(key))
    }

    /// Where a key is. In a short map most keys differ in length already, which is quicker seen than an order.
    fn place(&self, key: &str) -> Option<usize> {
        match self.0.len() <= SHORT {
            true => self.0.iter().position(|(known, _)| known == key),
            false => self.find(key).ok(),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.place(key).map(|at| &self.0[at].1)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.place(key).map(|at| &mut self.0[at].1)
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    pub fn insert(&mut self, key: String, value: Node) -> Option<Node> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    pub fn remove(&mut self, key: &str) -> Option<Node> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    /// The value of a key, made where it is missing.
    pub fn get_or(&mut self, key: &str, make: impl FnOnce() -> Node) -> &mut Node {
        let at = match self.find(key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key.to_owned(), make()));
                at
            }
        };
        &mut self.0[at].1
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Node)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

impl IntoIterator for Map {
    type Item = (String, Node);
    type IntoIter = std::vec::IntoIter<(String, Node)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a String, &'a Node);
    type IntoIter =
        std::iter::Map<std::slice::Iter<'a, (String, Node)>, fn(&'a (String, Node)) -> Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl Extend<(String, Node)> for Map {
    fn extend<I: IntoIterator<Item = (String, Node)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

/// Of two values of one key the later one counts. Entries that come sorted, as they mostly do, are only appended.
impl FromIterator<(String, Node)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Node)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut map = Self(Vec::with_capacity(entries.size_hint().0));
        for (key, value) in entries {
            match map.0.last() {
                Some((last, _)) if *last >= key => {
                    map.insert(key, value);
                }
                _ => map.0.push((key, value)),
            }
        }
        map
    }
}

impl<const N: usize> From<[(String, Node); N]> for Map {
    fn from(entries: [(String, Node); N]) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_sorted_and_unique() {
        let mut map: Map = ["b", "a", "c", "a"].iter().map(|key| ((*key).to_owned(), Node::Null)).collect();
        assert_eq!(map.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(map.insert("b".to_owned(), Node::Bool(true)), Some(Node::Null));
        assert_eq!(map.remove("a"), Some(Node::Null));
        assert_eq!(map.get("b"), Some(&Node::Bool(true)));
        assert!(map.get("z").is_none() && map.len() == 2);
    }

    #[test]
    fn a_growing_map_ends_sorted_in_whatever_order_its_entries_come() {
        let keys: Vec<String> = (0..500_u32).map(|n| format!("{:03}", n * 7919 % 500)).collect();
        let mut growing = Growing::default();
        for key in &keys {
            assert_eq!(growing.add(key.clone(), Node::Null), Ok(()));
        }
        assert!(!growing.late.is_empty(), "this order must make some entries wait");
        for key in &keys {
            assert!(growing.add(key.clone(), Node::Null).is_err(), "{key} is there");
            growing.set(key.clone(), Node::text(key.as_str()));
            assert_eq!(growing.get(key), Some(&Node::text(key.as_str())));
        }
        let map = growing.finish();
        assert!(map.0.is_sorted_by(|one, other| one.0 < other.0) && map.len() == 500);
    }
}
