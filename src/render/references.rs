//! Names that changed are followed to where they are referred to: a Deployment's ConfigMap, a RoleBinding's subjects.

use std::collections::HashMap;

use serde_json::Value;

use super::fields::{FieldSpec, Fields, Make, NotThere, visit};
use super::id::{GvkFilter, is_cluster_scoped};
use super::layer::Build;
use super::resource::Resource;
use crate::object::Problem;
use crate::yaml::{Node, Text};

/// What may be referred to, by the names that it had.
#[derive(Clone, Debug)]
pub(crate) struct Referents {
    objects: Vec<Referent>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Referents {
    pub fn of(objects: &[Resource]) -> Self {
        let objects: Vec<Referent> = objects.iter().map(Referent::of).collect();
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, referent) in objects.iter().enumerate() {
            for (name, _) in &referent.previous {
                let places = by_name.entry(name.clone()).or_default();
                if places.last() != Some(&at) {
                    places.push(at);
                }
            }
        }
        Self { objects, by_name }
    }

    /// Whether the object at a place is called what this one is called, and always was.
    pub fn knows(&self, at: usize, object: &Resource) -> bool {
        self.objects.get(at) == Some(&Referent::of(object))
    }
}

/// An object as those that refer to it see it.
#[derive(Clone, Debug, PartialEq)]
struct Referent {
    api_version: String,
    kind: String,
    name: String,
    namespace: String,
    original_namespace: String,
    effective_namespace: String,
    is_cluster_scoped: bool,
    /// Names and kinds before.
    previous: Vec<(String, String)>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

impl Referent {
    fn of(object: &Resource) -> Self {
        Self {
            api_version: object.api_version().to_owned(),
            kind: object.kind().to_owned(),
            name: object.name().to_owned(),
            namespace: object.namespace().to_owned(),
            original_namespace: object.original().2.to_owned(),
            effective_namespace: object.effective_namespace().to_owned(),
            is_cluster_scoped: object.is_cluster_scoped(),
            previous: object
                .previous
                .iter()
                .map(|previous| (previous.name.clone(), previous.kind.clone()))
                .collect(),
            prefixes: object.prefixes.clone(),
            suffixes: object.suffixes.clone(),
        }
    }

    fn was(&self, gvk: &GvkFilter) -> bool {
        self.previous.iter().any(|(_, kind)| gvk.selects(&self.api_version, kind))
    }
}

/// The object that refers.
struct Referrer {
    this: Referent,
    role: Option<GvkFilter>,
    /// Namespaces of the service accounts that a RoleBinding names.
    subjects: Vec<String>,
}

#[derive(Debug)]
enum Trouble {
    NotThere(String),
    Several(Vec<String>),
}

impl From<NotThere> for Trouble {
    fn from(NotThere(message): NotThere) -> Self {
        Self::NotThere(message)
    }
}

/// Follows the names in some objects to what may be meant.
pub(crate) fn follow(build: &mut Build<'_>, fields: &Fields, objects: &mut [Resource], all: &Referents) {
    // By the kind of the referrer, because every object would otherwise be asked for every rule.
    let mut rules: HashMap<&str, Vec<(usize, &GvkFilter, &FieldSpec)>> = HashMap::new();
    let specs =
        fields.name_reference.iter().flat_map(|r| r.referrers.iter().map(move |spec| (&r.target, spec)));
    for (nth, (target, spec)) in specs.enumerate() {
        rules.entry(&spec.gvk.kind).or_default().push((nth, target, spec));
    }
    for object in objects.iter_mut() {
        let (kind, ..) = object.original();
        let (kind, api_version) = (kind.to_owned(), object.api_version().to_owned());
        let mut mine: Vec<_> = [kind.as_str(), ""]
            .iter()
            .filter_map(|kind| rules.get(kind))
            .flatten()
            .filter(|(_, _, spec)| spec.gvk.selects(&api_version, &kind))
            .collect();
        if mine.is_empty() {
            continue;
        }
        mine.sort_by_key(|(nth, ..)| *nth);
        let referrer =
            Referrer { this: Referent::of(object), role: role_of(object), subjects: subjects_of(object) };
        for (_, target, spec) in mine {
            let search = Search { all, referrer: &referrer, target, path: &spec.path };
            let set = visit(&mut object.node, &spec.path, false, Make::Nothing, &mut |node| search.set(node));
            if let Err(trouble) = set {
                build.found.push(problem(trouble, object, spec));
            }
        }
    }
    if build.traces.is_some() {
        trace(objects);
    }
}

/// Notes of each reference that was followed what it leads to.
fn trace(objects: &mut [Resource]) {
    let named = |object: &Resource| {
        let words = format!("the name of {} {}", object.kind(), object.name());
        (object.name().to_owned(), (words, object.origin.place.clone()))
    };
    let all: HashMap<String, _> = objects.iter().map(named).collect();
    for object in objects {
        let here = object.origin.place.clone();
        let Some(trace) = &mut object.trace else { continue };
        for change in trace.note(&object.node, "name reference", &here) {
            let name = change.after.as_ref().and_then(Value::as_str).unwrap_or_default();
            if let Some((words, place)) = all.get(name) {
                change.place = place.clone();
                change.from = Some(words.clone());
            }
        }
    }
}

fn problem(trouble: Trouble, object: &Resource, spec: &FieldSpec) -> Problem {
    let path = spec.path.join(".");
    match trouble {
        Trouble::NotThere(message) => {
            let message = format!("{message} (following names in {path} of {})", object.id());
            Problem::at(object.origin.place.clone(), message)
        }
        Trouble::Several(names) => {
            let message = format!("{path} of {} may mean several objects: {}", object.id(), names.join(", "));
            Problem::at(object.origin.place.clone(), message).hint("give the objects names of their own")
        }
    }
}

fn role_of(object: &Resource) -> Option<GvkFilter> {
    let role = object.node.get("roleRef")?;
    let text = |field: &str| role.get(field)?.scalar();
    Some(GvkFilter { group: text("apiGroup")?, version: String::new(), kind: text("kind")? })
}

fn subjects_of(object: &Resource) -> Vec<String> {
    if object.kind() != "RoleBinding" {
        return Vec::new();
    }
    let subjects = object.node.get("subjects").and_then(Node::as_list).unwrap_or_default();
    let accounts = subjects
        .iter()
        .filter(|subject| subject.get("kind").and_then(Node::as_str) == Some("ServiceAccount"));
    accounts.filter_map(|subject| Some(subject.get("namespace")?.as_str()?.to_owned())).collect()
}

struct Search<'a> {
    all: &'a Referents,
    referrer: &'a Referrer,
    target: &'a GvkFilter,
    path: &'a [String],
}

impl Search<'_> {
    fn set(&self, node: &mut Node) -> Result<(), Trouble> {
        match node {
            node if node.is_null() => Ok(()),
            Node::Map(_) => self.set_map(node),
            Node::List(items) => items.iter_mut().try_for_each(|item| match item {
                item if item.is_null() => Ok(()),
                Node::Map(_) => self.set_map(item),
                Node::List(_) => Err(Trouble::NotThere("a name is a list".to_owned())),
                item => self.set_scalar(item),
            }),
            node => self.set_scalar(node),
        }
    }

    fn set_scalar(&self, node: &mut Node) -> Result<(), Trouble> {
        let Some(name) = node.scalar() else { return Ok(()) };
        let found = self.select(&name, |_| true, |one, other| one.name == other.name)?;
        if let Some(found) = found
            && found.name != name
        {
            *node = Node::Text(Text::new(found.name.clone(), node.is_quoted()));
        }
        Ok(())
    }

    fn set_map(&self, node: &mut Node) -> Result<(), Trouble> {
        let Some(name) = node.get("name").and_then(Node::scalar) else {
            return Err(Trouble::NotThere("what is referred to has no `name`".to_owned()));
        };
        let namespace = node.get("namespace").map(|namespace| namespace.scalar().unwrap_or_default());
        let in_namespace = |referent: &Referent| match &namespace {
            None => true,
            Some(namespace) if self.is_original(namespace) => {
                !is_cluster_scoped(&referent.api_version, &referent.kind)
                    && referent.original_namespace == *namespace
            }
            Some(namespace) => !referent.is_cluster_scoped && referent.effective_namespace == *namespace,
        };
        let same =
            |one: &Referent, other: &Referent| one.name == other.name && one.namespace == other.namespace;
        let Some(found) = self.select(&name, in_namespace, same)? else {
            return Ok(());
        };
        if found.name == name && found.namespace.is_empty() {
            return Ok(());
        }
        let Some(map) = node.as_map_mut() else {
            return Ok(());
        };
        map.insert("name".to_owned(), Node::text(found.name.clone()));
        if !found.namespace.is_empty() {
            map.insert("namespace".to_owned(), Node::text(found.namespace.clone()));
        }
        Ok(())
    }

    /// Whether any object that may be meant at all was first in a namespace: then only those in it count.
    fn is_original(&self, namespace: &str) -> bool {
        self.all.objects.iter().any(|referent| {
            !referent.is_cluster_scoped
                && referent.original_namespace == namespace
                && self.may_be_meant(referent)
        })
    }

    /// What stands in another namespace is not meant, unless a RoleBinding names its namespace.
    fn may_be_meant(&self, referent: &Referent) -> bool {
        let this = &self.referrer.this;
        this.is_cluster_scoped
            || referent.is_cluster_scoped
            || referent.effective_namespace == this.effective_namespace
            || self.referrer.subjects.contains(&referent.namespace)
    }

    fn select<'s>(
        &'s self,
        name: &str,
        may: impl Fn(&Referent) -> bool,
        same: impl Fn(&Referent, &Referent) -> bool,
    ) -> Result<Option<&'s Referent>, Trouble> {
        let Some(places) = self.all.by_name.get(name) else {
            return Ok(None);
        };
        let this = &self.referrer.this;
        let role = self
            .path
            .ends_with(&["roleRef".to_owned(), "name".to_owned()])
            .then_some(self.referrer.role.as_ref());
        let mut found: Vec<&Referent> = places
            .iter()
            .map(|at| &self.all.objects[*at])
            .filter(|referent| self.may_be_meant(referent) && may(referent))
            .filter(|referent| referent.was(self.target))
            .filter(|referent| role.flatten().is_none_or(|role| referent.was(role)))
            .filter(|referent| {
                this.is_cluster_scoped
                    || referent.is_cluster_scoped
                    || referent.kind == "ServiceAccount"
                    || referent.effective_namespace == this.effective_namespace
            })
            .collect();
        if found.len() == 1 {
            return Ok(found.pop());
        }
        found.retain(|referent| {
            may_end_alike(&referent.prefixes, &this.prefixes)
                && may_end_alike(&referent.suffixes, &this.suffixes)
        });
        if found.len() > 1 {
            found.retain(|referent| {
                end_alike(&referent.prefixes, &this.prefixes) && end_alike(&referent.suffixes, &this.suffixes)
            });
        }
        match found.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            [first, rest @ ..] if rest.iter().all(|other| same(first, other)) => Ok(Some(first)),
            several => {
                Err(Trouble::Several(several.iter().map(|r| format!("{} {}", r.kind, r.name)).collect()))
            }
        }
    }
}

fn may_end_alike(one: &[String], other: &[String]) -> bool {
    one.is_empty() || other.is_empty() || end_alike(one, other)
}

/// Whether the shorter list is the end of the longer one: both came the same way up.
fn end_alike(one: &[String], other: &[String]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}
