//! One object on its way through the layers, with the names it had before.

use super::again::Source;
use super::id::{Id, effective_namespace, is_cluster_scoped};
use super::shared::Shared;
use super::trace::Trace;
use crate::object::{Origin, Place, Touch};
use crate::yaml::{Map, Node};

/// A name that an object had before a transformer changed it. References are found by these.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Previous {
    pub name: String,
    pub namespace: String,
    pub kind: String,
}

/// What a generated object does where one of its name exists.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Behavior {
    #[default]
    Create,
    Merge,
    Replace,
}

/// What kustomize's `buildMetadata` annotations say about where an object comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BuildOrigin {
    pub path: String,
    pub configured_in: String,
    /// `apiVersion`, `kind`, `name` and `namespace` of what generated or changed it.
    pub configured_by: Option<[String; 4]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub node: Node,
    pub origin: Origin,
    pub previous: Vec<Previous>,
    pub prefixes: Vec<String>,
    pub suffixes: Vec<String>,
    /// Whether its name gets a suffix made from its content.
    pub needs_hash: bool,
    pub is_generated: bool,
    /// Whether a chart renders to it: helm has said which namespace it is in.
    pub is_of_helm: bool,
    pub behavior: Behavior,
    /// Names of the `vars` that take their value from it.
    pub vars: Vec<String>,
    pub build_origin: Option<BuildOrigin>,
    pub transformations: Vec<BuildOrigin>,
    pub shared: Shared,
    /// Where it was read, for a render after a small change.
    pub source: Option<Source>,
    /// What set its fields, where somebody asks.
    pub trace: Option<Box<Trace>>,
}

impl Resource {
    pub fn new(node: Node, place: Place) -> Self {
        Self {
            node,
            origin: Origin::new(place),
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            needs_hash: false,
            is_generated: false,
            is_of_helm: false,
            behavior: Behavior::Create,
            vars: Vec::new(),
            build_origin: None,
            transformations: Vec::new(),
            shared: Shared::default(),
            source: None,
            trace: None,
        }
    }

    pub fn touch(&mut self, by: &'static str, place: &Place) {
        let touch = Touch { by, place: place.clone() };
        if self.origin.touched.last() != Some(&touch) {
            self.origin.touched.push(touch);
        }
        self.note(by, place);
    }

    /// Keeps what has changed, where somebody asks.
    pub fn note(&mut self, by: &'static str, place: &Place) {
        if let Some(trace) = &mut self.trace {
            trace.note(&self.node, by, place);
        }
    }

    fn field(&self, name: &str) -> &str {
        self.node.get(name).and_then(Node::as_str).unwrap_or_default()
    }

    pub fn api_version(&self) -> &str {
        self.field("apiVersion")
    }

    pub fn kind(&self) -> &str {
        self.field("kind")
    }

    fn metadata(&self, name: &str) -> &str {
        self.node
            .get("metadata")
            .and_then(|metadata| metadata.get(name))
            .and_then(Node::as_str)
            .unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.metadata("name")
    }

    pub fn namespace(&self) -> &str {
        self.metadata("namespace")
    }

    pub fn is_cluster_scoped(&self) -> bool {
        is_cluster_scoped(self.api_version(), self.kind())
    }

    pub fn effective_namespace(&self) -> &str {
        effective_namespace(self.api_version(), self.kind(), self.namespace())
    }

    pub fn id(&self) -> Id {
        Id::new(self.api_version(), self.kind(), self.name(), self.namespace())
    }

    /// All names it has and had, the current one last.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        let before = self
            .previous
            .iter()
            .map(|previous| Id::new(self.api_version(), &previous.kind, &previous.name, &previous.namespace));
        before.chain(std::iter::once_with(|| self.id()))
    }

    /// Kind, name and namespace at the very beginning.
    pub fn original(&self) -> (&str, &str, &str) {
        match self.previous.first() {
            Some(first) => (
                &first.kind,
                &first.name,
                effective_namespace(self.api_version(), &first.kind, &first.namespace),
            ),
            None => (self.kind(), self.name(), self.effective_namespace()),
        }
    }

    pub fn original_id(&self) -> Id {
        let (kind, name, namespace) = self.original();
        Id {
            api_version: self.api_version().to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    /// Remembers the present name before it changes.
    pub fn store_previous(&mut self) {
        self.previous.push(Previous {
            name: self.name().to_owned(),
            namespace: self.effective_namespace().to_owned(),
            kind: self.kind().to_owned(),
        });
    }

    /// What `buildMetadata` tells stands among the annotations in kustomize, and goes with them.
    pub fn forget_origin(&mut self) {
        self.build_origin = None;
        self.transformations.clear();
    }

    /// Whether kustomize would keep notes of its own among the object's annotations by now.
    pub fn has_notes(&self) -> bool {
        !self.previous.is_empty()
            || !self.prefixes.is_empty()
            || !self.suffixes.is_empty()
            || self.is_generated
            || self.is_of_helm
            || self.build_origin.is_some()
    }

    pub fn metadata_mut(&mut self) -> Option<&mut Map> {
        let map = self.node.as_map_mut()?;
        map.get_or("metadata", || Node::Map(Map::new())).as_map_mut()
    }

    pub fn set_name(&mut self, name: &str) {
        if let Some(metadata) = self.metadata_mut() {
            metadata.insert("name".to_owned(), Node::text(name));
        }
    }

    pub fn set_namespace(&mut self, namespace: &str) {
        if let Some(metadata) = self.metadata_mut() {
            if namespace.is_empty() {
                metadata.remove("namespace");
            } else {
                metadata.insert("namespace".to_owned(), Node::text(namespace));
            }
        }
    }

    pub fn set_kind(&mut self, kind: &str) {
        if let Some(map) = self.node.as_map_mut() {
            map.insert("kind".to_owned(), Node::text(kind));
        }
    }

    /// Labels or annotations, each value as it is written.
    pub fn texts(&self, field: &str) -> impl Iterator<Item = (&str, String)> {
        let map = self.node.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Node::as_map);
        map.into_iter().flatten().map(|(key, value)| (key.as_str(), value.scalar().unwrap_or_default()))
    }

    /// Labels or annotations as text, and none where there are none: how kustomize leaves them when it rewrites them.
    pub fn rewrite_texts(&mut self, field: &str) {
        self.shared.part(&["metadata", field]);
        let Some(metadata) = self.node.get_mut("metadata").and_then(Node::as_map_mut) else {
            return;
        };
        let Some(Node::Map(map)) = metadata.get_mut(field) else {
            metadata.remove(field);
            return;
        };
        if map.is_empty() {
            metadata.remove(field);
            return;
        }
        for value in map.values_mut() {
            *value = Node::fresh(value.scalar().unwrap_or_default());
        }
    }
}
