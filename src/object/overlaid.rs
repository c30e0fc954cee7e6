//! A tree with more files laid over it.

use super::Digest;
use super::tree::{Blob, Entry, EntryKind, MemoryTree, Tree, TreeError, TreePath};

/// The files of one tree, and over them those of another: where both have one, the upper counts.
pub struct Overlaid<Under> {
    pub under: Under,
    pub over: MemoryTree,
}

impl<Under: Tree> Tree for Overlaid<Under> {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let Some(over) = self.over.entry(path)? else { return self.under.entry(path) };
        if over.kind != EntryKind::Folder {
            return Ok(Some(over));
        }
        let under = self.under.entry(path)?.filter(|entry| entry.kind == EntryKind::Folder);
        let Some(under) = under else { return Ok(Some(over)) };
        let id = Digest::of_parts([under.id.as_str(), over.id.as_str()]);
        Ok(Some(Entry { id, ..over }))
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let over = match self.over.kind(folder)? {
            Some(EntryKind::Folder) => self.over.list(folder)?,
            _ => return self.under.list(folder),
        };
        let mut all = match self.under.kind(folder)? {
            Some(EntryKind::Folder) => self.under.list(folder)?,
            _ => Vec::new(),
        };
        for entry in over {
            let merged = self.entry(&folder.child(&entry.name))?.unwrap_or(entry);
            all.retain(|other| other.name != merged.name);
            all.push(merged);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        match self.over.kind(path)? {
            Some(EntryKind::File) => self.over.read(path, limit),
            _ => self.under.read(path, limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_over_counts_and_all_else_stays() {
        let under = MemoryTree::new([("a/x", "1"), ("a/y", "2"), ("b", "3")]).expect("a tree");
        let over = MemoryTree::new([("a/x", "9"), ("a/z", "8"), ("c/d", "7")]).expect("a tree");
        let tree = Overlaid { under: under.clone(), over };
        let path = |text: &str| TreePath::new(text).expect("a path");
        let text =
            |at: &str| String::from_utf8(tree.read(&path(at), 9).expect(at).bytes.to_vec()).expect("text");
        assert_eq!(
            (text("a/x"), text("a/y"), text("a/z"), text("b")),
            ("9".into(), "2".into(), "8".into(), "3".into())
        );
        let names = |at: &str| {
            let all = tree.list(&path(at)).expect(at);
            all.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(
            (names("a"), names("c")),
            (vec!["x".into(), "y".into(), "z".into()], vec!["d".to_owned()])
        );
        assert_eq!(names(""), ["a", "b", "c"]);
        let id = |tree: &dyn Tree| tree.entry(&path("a")).expect("a").expect("it is there").id;
        assert_ne!(id(&tree), id(&under));
        assert!(tree.read(&path("nothing"), 9).is_err() && tree.list(&path("nothing")).is_err());
    }
}
