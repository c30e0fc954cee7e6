//! `generators` and `transformers` that name kustomize's built-in plugins. Whatever would run code is refused by name.

use serde_json::Value;

use super::cursor::{Cursor, Found};
use super::fields::FieldSpec;
use super::helm_charts::{self, helm_chart};
use super::kustomization::{
    At, Content, Generator, Kustomization, Patch, block, field_spec, generator, image, patch, replacement,
    replica, selector,
};
use super::layer::{Build, Layer};
use super::load::Target;
use super::names::{self, End};
use super::namespace::{self, Subjects};
use super::patches::{self, Index};
use super::resource::BuildOrigin;
use super::source::{Doc, Text, Written};
use super::{generators, images, labels, replicas};
use crate::object::{Place, Problem, TreePath};
use crate::yaml::{self, Dialect};

pub(crate) fn generate(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    helm_charts::generate(build, folder, kustomization, layer);
    for Plugin { document, kind, origin } in plugins(build, folder, kustomization, &kustomization.generators)
    {
        if kind == "HelmChartInflationGenerator" {
            let mut found = Found::new();
            let chart = At { place: document.place(), it: helm_chart(&Cursor::new(&document), &mut found) };
            if found.is_empty() {
                helm_charts::one(build, folder, kustomization, &chart, layer);
            }
            build.found.append(&mut found);
            continue;
        }
        let is_secret = kind == "SecretGenerator";
        if !is_secret && kind != "ConfigMapGenerator" {
            refuse(build, &document, &kind);
            continue;
        }
        let mut found = Found::new();
        let config = generator_config(&document, is_secret, &mut found);
        let is_clean = found.is_empty();
        build.found.append(&mut found);
        let which = if is_secret { generators::Kind::Secret } else { generators::Kind::ConfigMap };
        if let Some(mut object) =
            is_clean.then(|| generators::make(build, folder, which, &config, None)).flatten()
        {
            build.mark_generated_by(&origin, &mut object);
            generators::absorb(build, &config.place, object, layer);
        }
    }
}

/// The names of a plugin's own object stand in for those that its entry would have.
fn generator_config(document: &Doc, is_secret: bool, found: &mut Found) -> At<Generator> {
    let cursor = Cursor::new(document);
    let mut config = generator(&cursor, is_secret, found);
    let metadata = |field: &str| document.value()["metadata"][field].as_str().unwrap_or_default().to_owned();
    if config.name.is_empty() {
        config.name = metadata("name");
    }
    if config.namespace.is_empty() {
        config.namespace = metadata("namespace");
    }
    At { place: document.place(), it: config }
}

pub(crate) fn transform(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    for validator in &kustomization.validators {
        let problem =
            Problem::at(validator.place.clone(), "validators are programs, and programs are never run");
        build.found.push(problem.hint("check with `fairlead validate`"));
    }
    for Plugin { document, kind, origin } in
        plugins(build, folder, kustomization, &kustomization.transformers)
    {
        one(build, folder, &document, &kind, layer);
        build.transformed_by(&origin, layer);
        layer.objects.retain(|object| !object.node.is_empty());
    }
}

/// A plugin's config, and where kustomize says that it stands.
struct Plugin {
    document: Doc,
    kind: String,
    origin: BuildOrigin,
}

/// The plugins that entries name: first those that stand inline, then those of files and folders.
fn plugins(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    entries: &[At<Text>],
) -> Vec<Plugin> {
    let (inline, named): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| patches::is_inline(&String::from_utf8_lossy(entry.it.bytes())));
    let mut all: Vec<Plugin> = Vec::new();
    for entry in inline.into_iter().chain(named) {
        for (document, file) in documents(build, folder, kustomization, entry) {
            let place = document.place();
            let [api_version, kind, name, namespace] =
                ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"]
                    .map(|pointer| word(&document, pointer));
            if api_version != "builtin" {
                let message =
                    "only kustomize's built-in plugins are taken; programs and containers are never run";
                let problem = Problem::at(place, message);
                build.found.push(problem.hint("write what it does as patches, replacements or manifests"));
                continue;
            }
            if name.is_empty() {
                build.found.push(Problem::at(place, "the config of a plugin needs a `metadata.name`"));
                continue;
            }
            build.meets_unknown();
            let origin = build.plugin(&file, [api_version, kind.clone(), name, namespace]);
            let plugin = Plugin { kind, origin, document };
            let twin = all.iter().find(|known| known.origin.configured_by == plugin.origin.configured_by);
            if let Some(twin) = twin {
                let message = format!(
                    "two plugins of kind {} and one name: first at {}",
                    plugin.kind,
                    twin.document.place()
                );
                build.found.push(Problem::at(place, message).hint("give each a name of its own"));
                continue;
            }
            all.push(plugin);
        }
    }
    all
}

/// Text of a config, in which a bare `n` is a name: it is read as an object is.
fn word(document: &Doc, pointer: &str) -> String {
    match document.value().pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => match document.written(pointer) {
            Some(Written::Plain(text)) => text,
            _ => other.to_string(),
        },
    }
}

/// The documents of an entry, each with the path of the file in which it stands, from the kustomization's folder.
fn documents(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    entry: &At<Text>,
) -> Vec<(Doc, String)> {
    let limits = build.files.limits.yaml.clone();
    let written = String::from_utf8_lossy(entry.it.bytes()).into_owned();
    let (text, file) = if patches::is_inline(&written) {
        (entry.it.clone(), kustomization.place.path.file_name().to_owned())
    } else {
        let target = build.files.resolve(folder, &written, &entry.place);
        match build.keep(target) {
            Some(Target::File(path)) => {
                let text = build.files.text(&path, &entry.place);
                let Some(text) = build.keep(text) else {
                    return Vec::new();
                };
                (text, written)
            }
            Some(Target::Folder(path)) => {
                let Some(layer) = build.layer(&path, &entry.place, None) else {
                    return Vec::new();
                };
                let values: Vec<_> = layer.objects.iter().map(|object| object.node.to_value()).collect();
                (Text::inline(&entry.place, &yaml::write_all(&values), false), written)
            }
            None => return Vec::new(),
        }
    };
    let documents = text.documents(Dialect::Config, &limits);
    let documents = build.keep(documents).unwrap_or_default();
    documents.into_iter().map(|document| (document, file.clone())).collect()
}

fn refuse(build: &mut Build<'_>, document: &Doc, kind: &str) {
    let problem = Problem::at(document.place(), format!("the plugin {kind} is not supported"));
    build.found.push(problem.hint("write what it does as patches, replacements or manifests"));
}

/// What the configs of the built-in transformers can say; each takes its part.
#[derive(Default)]
struct Config {
    pairs: Vec<(String, String)>,
    specs: Vec<FieldSpec>,
    prefix: String,
    suffix: String,
    namespace: String,
    unset_only: bool,
    subjects: Subjects,
    texts: Vec<At<Text>>,
}

fn one(build: &mut Build<'_>, folder: &TreePath, document: &Doc, kind: &str, layer: &mut Layer) {
    let place = document.place();
    let cursor = Cursor::new(document);
    let mut found = Found::new();
    let known: &[&str] = match kind {
        "AnnotationsTransformer" => &["annotations", "fieldSpecs"],
        "LabelTransformer" => &["labels", "fieldSpecs"],
        "NamespaceTransformer" => &["fieldSpecs", "unsetOnly", "setRoleBindingSubjects"],
        "PrefixTransformer" => &["prefix", "fieldSpecs"],
        "SuffixTransformer" => &["suffix", "fieldSpecs"],
        "PrefixSuffixTransformer" => &["prefix", "suffix", "fieldSpecs"],
        "ImageTagTransformer" => &["imageTag", "fieldSpecs"],
        "ReplicaCountTransformer" => &["replica", "fieldSpecs"],
        "PatchTransformer" => &["path", "patch", "target", "options"],
        "PatchStrategicMergeTransformer" => &["paths", "patches"],
        "PatchJson6902Transformer" => &["target", "path", "jsonOp"],
        "ReplacementTransformer" => &["replacements"],
        _ => return refuse(build, document, kind),
    };
    let known: Vec<&'static str> =
        ["apiVersion", "kind", "metadata"].into_iter().chain(known.iter().copied()).collect();
    let mut config = Config::default();
    let (mut image_tag, mut replica_count, mut replacements) = (None, None, Vec::new());
    let mut json =
        Patch { content: Content::Nothing, target: None, allow_name_change: false, allow_kind_change: false };
    for (name, field) in cursor.fields(&known, &mut found) {
        let field_place = field.place();
        match name {
            "annotations" | "labels" => config.pairs = field.text_map(&mut found),
            "fieldSpecs" => {
                config.specs =
                    field.items(&mut found).iter().map(|item| field_spec(item, &mut found)).collect();
            }
            "metadata" => {
                config.namespace = field.value()["namespace"].as_str().unwrap_or_default().to_owned()
            }
            "unsetOnly" => config.unset_only = field.bool(&mut found),
            "setRoleBindingSubjects" => config.subjects = subjects(&field, &mut found),
            "prefix" => config.prefix = field.text(&mut found),
            "suffix" => config.suffix = field.text(&mut found),
            "imageTag" => image_tag = Some(At { place: field_place, it: image(&field, &mut found) }),
            "replica" => replica_count = Some(At { place: field_place, it: replica(&field, &mut found) }),
            "paths" => {
                let items = field.items(&mut found);
                config.texts = items
                    .iter()
                    .map(|item| At { place: item.place(), it: block(item, &mut found) })
                    .collect();
            }
            "patches" => config.texts.push(At { place: field_place, it: block(&field, &mut found) }),
            "replacements" => {
                let items = field.items(&mut found);
                replacements = items
                    .iter()
                    .map(|item| At { place: item.place(), it: replacement(item, &mut found) })
                    .collect();
            }
            "target" if kind == "PatchJson6902Transformer" => {
                json.target = Some(selector(&field, &mut found))
            }
            "path" if kind == "PatchJson6902Transformer" => {
                json.content = Content::Path(At { place: field_place, it: field.text(&mut found) });
            }
            "jsonOp" => json.content = Content::Inline(block(&field, &mut found)),
            _ => {}
        }
    }
    let entry = (kind == "PatchTransformer")
        .then(|| At { place: place.clone(), it: patch_config(document, &mut found) });
    if !found.is_empty() {
        build.found.append(&mut found);
        return;
    }
    let part = |text: &str| At { place: place.clone(), it: text.to_owned() };
    match kind {
        "AnnotationsTransformer" => {
            labels::apply(build, "annotations", &place, &config.pairs, &config.specs, layer)
        }
        "LabelTransformer" => labels::apply(build, "labels", &place, &config.pairs, &config.specs, layer),
        "NamespaceTransformer" if !config.namespace.is_empty() => {
            let namespace = part(&config.namespace);
            namespace::apply(build, &namespace, &config.specs, config.subjects, config.unset_only, layer);
        }
        "PrefixTransformer" | "SuffixTransformer" | "PrefixSuffixTransformer" => {
            rename(build, &place, &config, kind, layer);
        }
        "ImageTagTransformer" => images::apply(build, image_tag.as_slice(), &config.specs, layer),
        "ReplicaCountTransformer" => {
            if let Some(replica) = &replica_count {
                replicas::apply(build, replica, &config.specs, layer);
            }
        }
        "PatchTransformer" => {
            if let Some(entry) = &entry {
                patches::one(build, folder, entry, layer, &mut Index::default());
            }
        }
        "PatchStrategicMergeTransformer" => patches::merge_texts(build, folder, &config.texts, layer),
        "PatchJson6902Transformer" => patches::json_entries(build, folder, &[At { place, it: json }], layer),
        "ReplacementTransformer" => super::replacement::apply_all(build, folder, &replacements, layer),
        _ => {}
    }
}

/// A patch entry, whose reader knows nothing of what every object has.
fn patch_config(document: &Doc, found: &mut Found) -> Patch {
    let cursor = Cursor::new(document);
    patch(&cursor, found)
}

fn rename(build: &mut Build<'_>, place: &Place, config: &Config, kind: &str, layer: &mut Layer) {
    if config.specs.is_empty() {
        let message = format!("{kind} needs `fieldSpecs`");
        build.found.push(Problem::at(place.clone(), message).hint("`fieldSpecs: [{path: metadata/name}]`"));
        return;
    }
    for (end, text) in [(End::Prefix, &config.prefix), (End::Suffix, &config.suffix)] {
        if !text.is_empty() {
            names::apply(build, end, &At { place: place.clone(), it: text.clone() }, &config.specs, layer);
        }
    }
}

fn subjects(field: &Cursor<'_>, found: &mut Found) -> Subjects {
    match field.text(found).as_str() {
        "" | "defaultOnly" => Subjects::Default,
        "allServiceAccounts" => Subjects::AllServiceAccounts,
        "none" => Subjects::None,
        _ => {
            found.push(
                field.problem("`setRoleBindingSubjects` must be defaultOnly, allServiceAccounts or none"),
            );
            Subjects::Default
        }
    }
}
