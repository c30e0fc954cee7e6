//! `namespace`: every object that has one gets this one, and what refers to a namespace follows.

use super::fields::{FieldSpec, Make, NotThere, visit};
use super::kustomization::At;
use super::layer::{Build, Layer};
use super::patches::append_all;
use super::resource::Resource;
use crate::object::Problem;
use crate::yaml::Node;

/// Whose subjects in role bindings follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Subjects {
    #[default]
    Default,
    AllServiceAccounts,
    None,
}

pub(crate) fn run(build: &mut Build<'_>, namespace: &At<String>, layer: &mut Layer) {
    let fields = layer.fields.clone();
    apply(build, namespace, &fields.namespace, Subjects::Default, false, layer);
}

pub(crate) fn apply(
    build: &mut Build<'_>,
    namespace: &At<String>,
    fields: &[FieldSpec],
    subjects: Subjects,
    unset_only: bool,
    layer: &mut Layer,
) {
    let mut errors = Vec::new();
    // Of what a chart renders to, helm has said it.
    for object in layer.objects.iter_mut().filter(|object| !object.is_of_helm) {
        object.store_previous();
        if let Err(NotThere(message)) = set(object, &namespace.it, fields, subjects, unset_only) {
            let message = format!("{message} (setting the namespace of {})", object.id());
            errors.push(Problem::at(object.origin.place.clone(), message));
        }
        object.touch("namespace", &namespace.place);
    }
    build.found.append(&mut errors);
    // Two objects may now have one name.
    let objects = std::mem::take(&mut layer.objects);
    append_all(build, objects, layer);
}

fn set(
    object: &mut Resource,
    namespace: &str,
    fields: &[FieldSpec],
    subjects: Subjects,
    unset_only: bool,
) -> Result<(), NotThere> {
    let put = |node: &mut Node| -> Result<(), NotThere> {
        if !node.is_scalar() {
            return Err(NotThere(format!("the namespace would replace {}", node.what())));
        }
        let is_set = !node.is_null() && node.scalar().is_some_and(|text| !text.is_empty());
        if !(unset_only && is_set) {
            *node = Node::text(namespace);
        }
        Ok(())
    };
    let (api_version, kind) = (object.api_version().to_owned(), object.kind().to_owned());
    if !object.is_cluster_scoped() {
        let path = ["metadata".to_owned(), "namespace".to_owned()];
        visit(&mut object.node, &path, true, Make::Scalar, &mut |node| put(node))?;
    }
    let is_binding = matches!(&*kind, "RoleBinding" | "ClusterRoleBinding");
    if is_binding
        && subjects != Subjects::None
        && let Some(Node::List(list)) = object.node.get_mut("subjects")
    {
        for subject in list {
            if subject.as_map().is_none() {
                return Err(NotThere(format!("a subject is {}", subject.what())));
            }
            let is = |field: &str, text: &str| subject.get(field).and_then(Node::as_str) == Some(text);
            let follows = match subjects {
                Subjects::None => false,
                Subjects::Default => is("name", "default"),
                Subjects::AllServiceAccounts => is("kind", "ServiceAccount"),
            };
            if let Some(map) = subject.as_map_mut().filter(|_| follows) {
                put(map.get_or("namespace", || Node::Null))?;
            }
        }
    }
    for spec in fields.iter().filter(|spec| spec.gvk.selects(&api_version, &kind)) {
        let path: Vec<&str> = spec.path.iter().map(String::as_str).collect();
        let skip = match path.as_slice() {
            ["metadata", "namespace"] => true,
            ["metadata", "name"] => api_version != "v1",
            ["subjects", "namespace"] => {
                is_binding && matches!(&*spec.gvk.kind, "RoleBinding" | "ClusterRoleBinding")
            }
            _ => false,
        };
        if !skip {
            visit(&mut object.node, &spec.path, spec.create, Make::Scalar, &mut |node| put(node))?;
        }
    }
    Ok(())
}
