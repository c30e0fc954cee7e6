//! `namePrefix` and `nameSuffix`.

use super::fields::{FieldSpec, Make, NotThere, visit};
use super::id::GvkFilter;
use super::kustomization::{At, Kustomization};
use super::layer::{Build, Layer};
use crate::object::Problem;
use crate::yaml::{Node, Text};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    Prefix,
    Suffix,
}

pub(crate) fn run(build: &mut Build<'_>, kustomization: &Kustomization, layer: &mut Layer) {
    let fields = layer.fields.clone();
    if let Some(prefix) = &kustomization.name_prefix {
        apply(build, End::Prefix, prefix, &fields.name_prefix, layer);
        build.transformed(kustomization, layer, "PrefixTransformer");
    }
    if let Some(suffix) = &kustomization.name_suffix {
        apply(build, End::Suffix, suffix, &fields.name_suffix, layer);
        build.transformed(kustomization, layer, "SuffixTransformer");
    }
}

pub(crate) fn apply(
    build: &mut Build<'_>,
    end: End,
    part: &At<String>,
    specs: &[FieldSpec],
    layer: &mut Layer,
) {
    let by = if end == End::Prefix { "namePrefix" } else { "nameSuffix" };
    for object in &mut layer.objects {
        let (kind, ..) = object.original();
        let (kind, api_version) = (kind.to_owned(), object.api_version().to_owned());
        if keeps_its_name(&api_version, &kind) {
            continue;
        }
        let present = object.kind().to_owned();
        for spec in specs.iter().filter(|spec| spec.gvk.selects(&api_version, &kind)) {
            if spec.path.len() == 2
                && spec.path[0] == "metadata"
                && spec.path[1] == "name"
                && !part.it.is_empty()
            {
                match end {
                    End::Prefix => object.prefixes.push(part.it.clone()),
                    End::Suffix => object.suffixes.push(part.it.clone()),
                }
                object.store_previous();
            }
            if !spec.gvk.selects(&api_version, &present) {
                continue;
            }
            let set = visit(&mut object.node, &spec.path, spec.create, Make::Scalar, &mut |node| {
                put(node, end, &part.it)
            });
            if let Err(NotThere(message)) = set {
                let message = format!("{message} (renaming {kind} {})", object.name());
                build.found.push(Problem::at(object.origin.place.clone(), message));
            }
        }
        object.touch(by, &part.place);
    }
}

/// These are found by the name they have: a CRD's and an APIService's is made of what it serves.
fn keeps_its_name(api_version: &str, kind: &str) -> bool {
    let api_service = GvkFilter {
        group: "apiregistration.k8s.io".to_owned(),
        version: String::new(),
        kind: "APIService".to_owned(),
    };
    matches!(kind, "CustomResourceDefinition" | "Namespace") || api_service.selects(api_version, kind)
}

fn put(node: &mut Node, end: End, part: &str) -> Result<(), NotThere> {
    let (old, quoted) = match &*node {
        Node::Text(text) => (text.value.clone(), text.is_quoted()),
        other if other.is_null() => (String::new(), false),
        other => match other.scalar() {
            Some(text) => (text, false),
            None => return Err(NotThere(format!("the name is {}", node.what()))),
        },
    };
    let value = if end == End::Prefix { format!("{part}{old}") } else { format!("{old}{part}") };
    *node = Node::Text(Text::new(value, quoted));
    Ok(())
}
