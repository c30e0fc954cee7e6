//! `configurations` and `crds`: rules of the tree's own about where names, labels and the like stand.

use std::sync::Arc;

use serde_json::Value;

use super::cursor::{Cursor, Found};
use super::fields::{Conflict, FieldSpec, Fields, add};
use super::id::GvkFilter;
use super::kustomization::{At, Kustomization, field_spec};
use super::layer::{Build, Layer};
use super::source::Doc;
use crate::object::{Place, Problem, TreePath};
use crate::yaml::Dialect;

const SECTIONS: &[&str] = &[
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "templateLabels",
    "volumeClaimTemplateLabels",
    "commonAnnotations",
    "nameReference",
    "varReference",
    "images",
    "replicas",
];

pub(crate) fn load(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    for path in &kustomization.configurations {
        for document in read(build, folder, path) {
            let mut found = Found::new();
            let fields = rules(&Cursor::new(&document), &mut found);
            build.found.append(&mut found);
            add_rules(build, &path.place, &fields, layer);
        }
    }
    for path in &kustomization.crds {
        for document in read(build, folder, path) {
            match crd_rules(document.value()) {
                Ok(fields) => add_rules(build, &path.place, &fields, layer),
                Err(conflict) => build.found.push(contradiction(&path.place, &conflict)),
            }
        }
    }
}

fn read(build: &mut Build<'_>, folder: &TreePath, path: &At<String>) -> Vec<Doc> {
    let text = build.files.file(folder, &path.it, &path.place);
    let Some(text) = build.keep(text) else {
        return Vec::new();
    };
    let documents = text.documents(Dialect::Config, &build.files.limits.yaml);
    build.keep(documents).unwrap_or_default()
}

fn rules(cursor: &Cursor<'_>, found: &mut Found) -> Fields {
    let mut fields = Fields::default();
    for (name, section) in cursor.fields(SECTIONS, found) {
        for item in section.items(found) {
            let added = match name {
                "nameReference" => {
                    let (target, specs) = references(&item, found);
                    fields.add_references(target, specs)
                }
                name => {
                    let spec = field_spec(&item, found);
                    fields.section(name).map_or(Ok(()), |section| add(section, spec))
                }
            };
            if let Err(Conflict(path)) = added {
                found.push(item.problem(format!("two rules contradict each other in `create` of {path}")));
            }
        }
    }
    fields
}

fn references(item: &Cursor<'_>, found: &mut Found) -> (GvkFilter, Vec<FieldSpec>) {
    let mut target = GvkFilter::default();
    let mut specs = Vec::new();
    for (name, field) in item.fields(&["group", "version", "kind", "fieldSpecs"], found) {
        match name {
            "group" => target.group = field.text(found),
            "version" => target.version = field.text(found),
            "kind" => target.kind = field.text(found),
            _ => specs = field.items(found).iter().map(|item| field_spec(item, found)).collect(),
        }
    }
    (target, specs)
}

fn add_rules(build: &mut Build<'_>, place: &Place, fields: &Fields, layer: &mut Layer) {
    if let Err(conflict) = Arc::make_mut(&mut layer.fields).merge(fields) {
        build.found.push(contradiction(place, &conflict));
    }
}

fn contradiction(place: &Place, Conflict(path): &Conflict) -> Problem {
    Problem::at(place.clone(), format!("two rules contradict each other in `create` of {path}"))
}

/// Adds the rules of a layer below to those of this one.
pub(crate) fn merge(build: &mut Build<'_>, place: &Place, fields: &Arc<Fields>, layer: &mut Layer) {
    if !Arc::ptr_eq(fields, &layer.fields) && !Arc::ptr_eq(fields, &Fields::defaults()) {
        add_rules(build, place, fields, layer);
    }
}

/// The rules that OpenAPI definitions of custom kinds imply by their `x-kubernetes-…` extensions.
fn crd_rules(definitions: &Value) -> Result<Fields, Conflict> {
    let mut fields = Fields::default();
    for (name, definition) in definitions.as_object().into_iter().flatten() {
        let properties = &definition["Schema"]["properties"];
        if ["kind", "apiVersion", "metadata"].iter().all(|field| properties.get(field).is_some()) {
            let kind = name.rsplit('.').next().unwrap_or_default().to_owned();
            let gvk = GvkFilter { kind, ..GvkFilter::default() };
            walk(&mut fields, &gvk, definitions, name, &mut Vec::new())?;
        }
    }
    Ok(fields)
}

/// Deeper than this a definition refers to itself.
const DEPTH: usize = 32;

fn walk(
    fields: &mut Fields,
    gvk: &GvkFilter,
    definitions: &Value,
    name: &str,
    path: &mut Vec<String>,
) -> Result<(), Conflict> {
    if path.len() > DEPTH {
        return Ok(());
    }
    for (field, property) in definitions[name]["Schema"]["properties"].as_object().into_iter().flatten() {
        path.push(field.clone());
        let spec = FieldSpec { gvk: gvk.clone(), path: path.clone(), create: false };
        let text = |extension: &str| property[extension].as_str();
        if text("x-kubernetes-annotation").is_some() {
            add(&mut fields.common_annotations, spec.clone())?;
        }
        if text("x-kubernetes-label-selector").is_some() {
            add(&mut fields.common_labels, spec.clone())?;
        }
        if text("x-kubernetes-identity").is_some() {
            add(&mut fields.name_prefix, spec.clone())?;
        }
        if let (Some(version), Some(kind)) =
            (text("x-kubernetes-object-ref-api-version"), text("x-kubernetes-object-ref-kind"))
        {
            let mut spec = spec;
            spec.path.push(text("x-kubernetes-object-ref-name-key").unwrap_or("name").to_owned());
            let target =
                GvkFilter { group: String::new(), version: version.to_owned(), kind: kind.to_owned() };
            fields.add_references(target, [spec])?;
        }
        if let Some(reference) = text("$ref") {
            walk(fields, gvk, definitions, reference, path)?;
        }
        path.pop();
    }
    Ok(())
}
