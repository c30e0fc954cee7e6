//! Where an environment's objects are looked for: the kinds and namespaces that its ApplySet's parent names.
//!
//! What is wanted now does not say where to look for what is wanted no more. So the parent carries both lists, by the
//! ApplySet specification (KEP-3659), as `kubectl` reads it: widened before the first object of a kind is written, and
//! shrunk only after the last one is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::WantedApp;

/// The names that the specification gives, and ours.
#[derive(Clone, Copy, Debug)]
pub struct InventoryMarks<'a> {
    pub id_label: &'a str,
    pub tooling: &'a str,
    pub kinds: &'a str,
    pub namespaces: &'a str,
    /// `name/version`, as we write it.
    pub our_tooling: &'a str,
    pub id: &'a str,
}

/// The kinds, as `Kind.group`, and the namespaces in which an environment has or may have objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    pub kinds: BTreeSet<String>,
    pub namespaces: BTreeSet<String>,
}

/// The parent is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    #[error("its objects are tended by {0:?}, by its own annotation; nothing is written while they are")]
    ForeignTooling(String),
    #[error("its label {label} is {found:?} and must be {expected:?}; nothing is written while it is not")]
    ForeignId { label: String, found: String, expected: String },
}

impl Inventory {
    /// Reads what stands on the parent. Nothing at all is an empty one.
    pub fn read(
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
        marks: &InventoryMarks,
    ) -> Result<Self, InventoryError> {
        let ours = marks.our_tooling.split('/').next();
        if let Some(tooling) = annotations.get(marks.tooling)
            && tooling.split('/').next() != ours
        {
            return Err(InventoryError::ForeignTooling(tooling.clone()));
        }
        if let Some(found) = labels.get(marks.id_label)
            && found != marks.id
        {
            return Err(InventoryError::ForeignId {
                label: marks.id_label.to_owned(),
                found: found.clone(),
                expected: marks.id.to_owned(),
            });
        }
        let list = |name: &str| {
            let text = annotations.get(name).map_or("", String::as_str);
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        Ok(Self { kinds: list(marks.kinds), namespaces: list(marks.namespaces) })
    }

    /// Whether it names all that another one does.
    pub fn covers(&self, other: &Self) -> bool {
        other.kinds.is_subset(&self.kinds) && other.namespaces.is_subset(&self.namespaces)
    }

    pub fn add_wanted(&mut self, app: &WantedApp) {
        for object in app.all() {
            self.add(object.gvk.group_kind(), object.key.namespace.as_deref());
        }
    }

    /// `kind` as `Kind.group`.
    pub fn add(&mut self, kind: String, namespace: Option<&str>) {
        self.kinds.insert(kind);
        if let Some(namespace) = namespace
            && !self.namespaces.contains(namespace)
        {
            self.namespaces.insert(namespace.to_owned());
        }
    }

    pub fn extend(&mut self, other: &Self) {
        self.kinds.extend(other.kinds.iter().cloned());
        self.namespaces.extend(other.namespaces.iter().cloned());
    }

    /// `Kind.group` as group and kind.
    pub fn group_kinds(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kinds.iter().map(|text| match text.split_once('.') {
            Some((kind, group)) => (group, kind),
            None => ("", text.as_str()),
        })
    }

    /// The labels and annotations of the parent.
    pub fn write(&self, marks: &InventoryMarks) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
        (
            BTreeMap::from([(marks.id_label.to_owned(), marks.id.to_owned())]),
            BTreeMap::from([
                (marks.tooling.to_owned(), marks.our_tooling.to_owned()),
                (marks.kinds.to_owned(), join(&self.kinds)),
                (marks.namespaces.to_owned(), join(&self.namespaces)),
            ]),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::stamp::tests::{object, wanted};
    use super::*;

    const MARKS: InventoryMarks = InventoryMarks {
        id_label: "applyset.kubernetes.io/id",
        tooling: "applyset.kubernetes.io/tooling",
        kinds: "applyset.kubernetes.io/contains-group-kinds",
        namespaces: "applyset.kubernetes.io/additional-namespaces",
        our_tooling: "fairlead/v1alpha1",
        id: "applyset-x-v1",
    };

    fn map(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn an_inventory_reads_back_as_it_was_written() {
        let mut inventory = Inventory::default();
        inventory.add_wanted(
            &wanted(vec![
                object("apps/v1", "Deployment", "a"),
                object("v1", "ConfigMap", "b"),
                object("v1", "Namespace", "web"),
            ])
            .unwrap(),
        );
        let (labels, annotations) = inventory.write(&MARKS);
        assert_eq!(annotations[MARKS.kinds], "ConfigMap,Deployment.apps,Namespace");
        assert_eq!(annotations[MARKS.namespaces], "web");
        assert_eq!(Inventory::read(&labels, &annotations, &MARKS), Ok(inventory.clone()));
        assert!(inventory.group_kinds().any(|kind| kind == ("apps", "Deployment")));
        assert!(inventory.group_kinds().any(|kind| kind == ("", "Namespace")));
    }

    #[test]
    fn another_tools_set_is_left_alone() {
        let none = BTreeMap::new();
        let foreign = Inventory::read(&none, &map(MARKS.tooling, "kubectl/v1.36"), &MARKS);
        assert_eq!(foreign, Err(InventoryError::ForeignTooling("kubectl/v1.36".into())));
        assert!(Inventory::read(&none, &map(MARKS.tooling, "fairlead/v9"), &MARKS).is_ok());
        assert!(Inventory::read(&none, &none, &MARKS).is_ok());
        assert!(Inventory::read(&none, &map(MARKS.tooling, "fairleader/v1"), &MARKS).is_err());
    }

    #[test]
    fn a_parent_with_another_id_is_left_alone() {
        let none = BTreeMap::new();
        let foreign = Inventory::read(&map(MARKS.id_label, "applyset-y-v1"), &none, &MARKS);
        assert!(matches!(foreign, Err(InventoryError::ForeignId { .. })));
    }
}
