//! The entries of a kustomization, each read into its type.

use serde_json::Value;

use super::build_metadata::OPTIONS;
use super::cursor::{Cursor, Found};
use super::fields::{FieldSpec, split_path};
use super::id::GvkFilter;
use super::kustomization::{
    At, Content, Generator, GeneratorOptions, Image, Labels, OpenApi, Patch, ReplacementSource, Replica, Sort,
};
use super::replacement::Replacement;
use super::selector::Selector;
use super::source::{Doc, Text, Written};

pub(crate) fn all<T>(
    field: &Cursor<'_>,
    found: &mut Found,
    read: impl Fn(&Cursor<'_>, &mut Found) -> T,
) -> Vec<At<T>> {
    field.items(found).iter().map(|item| At { place: item.place(), it: read(item, found) }).collect()
}

pub(crate) fn texts(field: &Cursor<'_>, found: &mut Found) -> Vec<At<String>> {
    all(field, found, |item, found| item.text(found))
}

pub(crate) fn some_text(field: &Cursor<'_>, found: &mut Found) -> Option<At<String>> {
    let it = field.text(found);
    (!it.is_empty()).then(|| At { place: field.place(), it })
}

pub(crate) fn some_map(field: &Cursor<'_>, found: &mut Found) -> Option<At<Vec<(String, String)>>> {
    let it = field.text_map(found);
    (!it.is_empty()).then(|| At { place: field.place(), it })
}

/// Text that may be read on its own: its lines are those of the file where it is a block.
pub(crate) fn block(field: &Cursor<'_>, found: &mut Found) -> Text {
    drop(field.text(found));
    block_of(field.doc(), field.pointer())
}

/// The text at a pointer, if there is text.
pub(crate) fn block_of(doc: &Doc, pointer: &str) -> Text {
    let text = doc.value().pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is_block = text.contains('\n') && doc.written(pointer) == Some(Written::Quoted);
    Text::inline(&doc.place_of(pointer), text, is_block)
}

pub(crate) fn blocks(field: &Cursor<'_>, found: &mut Found) -> Vec<At<Text>> {
    all(field, found, block)
}

pub(crate) fn field_spec(field: &Cursor<'_>, found: &mut Found) -> FieldSpec {
    let mut spec = FieldSpec { gvk: GvkFilter::default(), path: Vec::new(), create: false };
    for (name, field) in field.fields(&["group", "version", "kind", "path", "create"], found) {
        match name {
            "group" => spec.gvk.group = field.text(found),
            "version" => spec.gvk.version = field.text(found),
            "kind" => spec.gvk.kind = field.text(found),
            "path" => spec.path = split_path(&field.text(found)),
            _ => spec.create = field.bool(found),
        }
    }
    spec
}

pub(crate) fn labels(item: &Cursor<'_>, found: &mut Found) -> Labels {
    let mut labels = Labels::default();
    let known = ["pairs", "includeSelectors", "includeTemplates", "includeVolumeClaimTemplates", "fields"];
    for (name, field) in item.fields(&known, found) {
        match name {
            "pairs" => labels.pairs = field.text_map(found),
            "includeSelectors" => labels.selectors = field.bool(found),
            "includeTemplates" => labels.templates = field.bool(found),
            "includeVolumeClaimTemplates" => labels.volume_claim_templates = field.bool(found),
            _ => labels.fields = field.items(found).iter().map(|item| field_spec(item, found)).collect(),
        }
    }
    labels
}

pub(crate) fn selector(item: &Cursor<'_>, found: &mut Found) -> Selector {
    let mut selector = Selector::default();
    let known = ["group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector"];
    for (name, field) in item.fields(&known, found) {
        let text = field.text(found);
        match name {
            "group" => selector.group = text,
            "version" => selector.version = text,
            "kind" => selector.kind = text,
            "name" => selector.name = text,
            "namespace" => selector.namespace = text,
            "labelSelector" => selector.labels = text,
            _ => selector.annotations = text,
        }
    }
    selector
}

/// An entry that is an object of its own (a plugin's config) has what every object has.
pub(crate) fn with_object_fields(item: &Cursor<'_>, known: &[&'static str]) -> Vec<&'static str> {
    let extra: &[&'static str] =
        if item.pointer().is_empty() { &["apiVersion", "kind", "metadata"] } else { &[] };
    known.iter().chain(extra).copied().collect()
}

pub(crate) fn patch(item: &Cursor<'_>, found: &mut Found) -> Patch {
    let mut patch =
        Patch { content: Content::Nothing, target: None, allow_name_change: false, allow_kind_change: false };
    for (name, field) in
        item.fields(&with_object_fields(item, &["path", "patch", "target", "options"]), found)
    {
        match name {
            "path" | "patch" if field.text(found).trim().is_empty() => {}
            "path" | "patch" if !matches!(patch.content, Content::Nothing) => {
                found.push(field.problem("a patch has either `path` or `patch`, not both"));
            }
            "path" => patch.content = Content::Path(At { place: field.place(), it: field.text(found) }),
            "patch" => patch.content = Content::Inline(block(&field, found)),
            "target" => patch.target = Some(selector(&field, found)),
            "options" => {
                for (name, field) in field.fields(&["allowNameChange", "allowKindChange"], found) {
                    match name {
                        "allowNameChange" => patch.allow_name_change = field.bool(found),
                        _ => patch.allow_kind_change = field.bool(found),
                    }
                }
            }
            _ => {}
        }
    }
    patch
}

pub(crate) fn image(item: &Cursor<'_>, found: &mut Found) -> Image {
    let mut image = Image::default();
    for (name, field) in item.fields(&["name", "newName", "newTag", "tagSuffix", "digest"], found) {
        let text = field.text(found);
        match name {
            "name" => image.name = text,
            "newName" => image.new_name = text,
            "newTag" => image.new_tag = text,
            "tagSuffix" => image.tag_suffix = text,
            _ => image.digest = text,
        }
    }
    image
}

pub(crate) fn replica(item: &Cursor<'_>, found: &mut Found) -> Replica {
    let mut replica = Replica::default();
    for (name, field) in item.fields(&["name", "count"], found) {
        match name {
            "name" => replica.name = field.text(found),
            _ => replica.count = field.int(found),
        }
    }
    replica
}

pub(crate) fn replacement(item: &Cursor<'_>, found: &mut Found) -> ReplacementSource {
    let path = item.value()["path"].as_str().filter(|path| !path.is_empty());
    if let Some(path) = path {
        if item.value().get("source").is_some() || item.value().get("targets").is_some() {
            found.push(item.problem("a replacement has either `path` or `source` and `targets`, not both"));
        }
        return ReplacementSource::Path(path.to_owned());
    }
    ReplacementSource::Inline(Box::new(Replacement::read(item, found)))
}

pub(crate) fn generator(item: &Cursor<'_>, is_secret: bool, found: &mut Found) -> Generator {
    let mut generator = Generator::default();
    let known: &[&str] = match is_secret {
        true => &["name", "namespace", "behavior", "literals", "files", "envs", "env", "options", "type"],
        false => &["name", "namespace", "behavior", "literals", "files", "envs", "env", "options"],
    };
    let known = &with_object_fields(item, known);
    let mut env = Vec::new();
    for (name, field) in item.fields(known, found) {
        match name {
            "name" => generator.name = field.text(found),
            "namespace" => generator.namespace = field.text(found),
            "behavior" => generator.behavior = field.text(found),
            "type" => generator.secret_type = field.text(found),
            "literals" => generator.literals = field.texts(found),
            "files" => generator.files = field.texts(found),
            "envs" => generator.envs = field.texts(found),
            "env" => env.push((field.place(), field.text(found))),
            "options" => generator.options = Some(generator_options(&field, found)),
            _ => {}
        }
    }
    generator.envs.extend(env.into_iter().filter(|(_, path)| !path.is_empty()));
    generator
}

pub(crate) fn generator_options(field: &Cursor<'_>, found: &mut Found) -> GeneratorOptions {
    let mut options = GeneratorOptions::default();
    for (name, field) in field.fields(&["labels", "annotations", "disableNameSuffixHash", "immutable"], found)
    {
        match name {
            "labels" => options.labels = field.text_map(found),
            "annotations" => options.annotations = field.text_map(found),
            "disableNameSuffixHash" => options.disable_hash = field.bool(found),
            _ => options.immutable = field.bool(found),
        }
    }
    options
}

pub(crate) fn openapi(field: &Cursor<'_>, found: &mut Found) -> OpenApi {
    let map = field.text_map(found);
    let get = |name: &str| map.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    OpenApi { path: get("path"), version: get("version").filter(|version| !version.is_empty()) }
}

pub(crate) fn sort(field: &Cursor<'_>, found: &mut Found) -> Sort {
    let mut sort = Sort::default();
    for (name, field) in field.fields(&["order", "legacySortOptions"], found) {
        if name == "order" {
            sort.order = field.text(found);
            continue;
        }
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (name, field) in field.fields(&["orderFirst", "orderLast"], found) {
            let kinds = field.texts(found).into_iter().map(|(_, kind)| kind).collect();
            match name {
                "orderFirst" => first = kinds,
                _ => last = kinds,
            }
        }
        sort.first_and_last = Some((first, last));
    }
    match (&*sort.order, &sort.first_and_last) {
        ("fifo", Some(_)) => found.push(field.problem("`legacySortOptions` is only for `order: legacy`")),
        ("fifo" | "legacy", _) => {}
        _ => found.push(field.problem("`order` must be legacy or fifo")),
    }
    sort
}

pub(crate) fn build_metadata(field: &Cursor<'_>, found: &mut Found) -> Vec<String> {
    let mut options = Vec::new();
    for item in field.items(found) {
        let option = item.text(found);
        if !OPTIONS.contains(&option.as_str()) {
            found.push(item.problem(format!("`buildMetadata` can hold {}", OPTIONS.join(", "))));
        }
        options.push(option);
    }
    options
}
