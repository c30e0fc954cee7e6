//! The file kustomization.yaml, read once into types; later steps need not look at YAML again.

use super::build_metadata::OPTIONS;
use super::cursor::{Cursor, Found};
use super::fields::{FieldSpec, split_path};
use super::id::GvkFilter;
use super::replacement::Replacement;
use super::selector::Selector;
use super::source::{Doc, Text, Written};
use super::vars::Var;
use crate::object::{Note, Place, Problem};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flavor {
    Kustomization,
    Component,
}

/// Something written at a place.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub place: Place,
    pub it: T,
}

#[derive(Debug)]
pub(crate) struct Kustomization {
    pub place: Place,
    pub flavor: Flavor,
    pub resources: Vec<At<String>>,
    pub components: Vec<At<String>>,
    pub namespace: Option<At<String>>,
    pub name_prefix: Option<At<String>>,
    pub name_suffix: Option<At<String>>,
    pub labels: Vec<At<Labels>>,
    pub common_labels: Option<At<Vec<(String, String)>>>,
    pub common_annotations: Option<At<Vec<(String, String)>>>,
    pub patches: Vec<At<Patch>>,
    pub patches_strategic_merge: Vec<At<Text>>,
    pub patches_json: Vec<At<Patch>>,
    pub images: Vec<At<Image>>,
    pub replicas: Vec<At<Replica>>,
    pub replacements: Vec<At<ReplacementSource>>,
    pub config_maps: Vec<At<Generator>>,
    pub secrets: Vec<At<Generator>>,
    pub generator_options: Option<GeneratorOptions>,
    pub vars: Vec<At<Var>>,
    pub crds: Vec<At<String>>,
    pub configurations: Vec<At<String>>,
    pub generators: Vec<At<Text>>,
    pub transformers: Vec<At<Text>>,
    pub validators: Vec<At<Text>>,
    pub openapi: Option<At<OpenApi>>,
    pub sort: Option<At<Sort>>,
    pub build_metadata: Vec<String>,
    pub charts: Vec<At<String>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    pub pairs: Vec<(String, String)>,
    pub selectors: bool,
    pub templates: bool,
    pub volume_claim_templates: bool,
    pub fields: Vec<FieldSpec>,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Path(At<String>),
    Inline(Text),
    Nothing,
}

#[derive(Clone, Debug)]
pub(crate) struct Patch {
    pub content: Content,
    pub target: Option<Selector>,
    pub allow_name_change: bool,
    pub allow_kind_change: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub name: String,
    pub new_name: String,
    pub new_tag: String,
    pub tag_suffix: String,
    pub digest: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Replica {
    pub name: String,
    pub count: i64,
}

#[derive(Clone, Debug)]
pub(crate) enum ReplacementSource {
    Path(String),
    Inline(Replacement),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct GeneratorOptions {
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    pub disable_hash: bool,
    pub immutable: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Generator {
    pub name: String,
    pub namespace: String,
    pub behavior: String,
    pub secret_type: String,
    pub literals: Vec<(Place, String)>,
    pub files: Vec<(Place, String)>,
    pub envs: Vec<(Place, String)>,
    pub options: Option<GeneratorOptions>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct OpenApi {
    pub path: Option<String>,
    pub version: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sort {
    pub order: String,
    pub first_and_last: Option<(Vec<String>, Vec<String>)>,
}

const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "openapi",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "commonAnnotations",
    "patchesStrategicMerge",
    "patchesJson6902",
    "patches",
    "images",
    "imageTags",
    "replacements",
    "replicas",
    "vars",
    "sortOptions",
    "resources",
    "components",
    "crds",
    "bases",
    "configMapGenerator",
    "secretGenerator",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "generatorOptions",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "buildMetadata",
];

impl Kustomization {
    fn empty(place: Place) -> Self {
        Self {
            place,
            flavor: Flavor::Kustomization,
            resources: Vec::new(),
            components: Vec::new(),
            namespace: None,
            name_prefix: None,
            name_suffix: None,
            labels: Vec::new(),
            common_labels: None,
            common_annotations: None,
            patches: Vec::new(),
            patches_strategic_merge: Vec::new(),
            patches_json: Vec::new(),
            images: Vec::new(),
            replicas: Vec::new(),
            replacements: Vec::new(),
            config_maps: Vec::new(),
            secrets: Vec::new(),
            generator_options: None,
            vars: Vec::new(),
            crds: Vec::new(),
            configurations: Vec::new(),
            generators: Vec::new(),
            transformers: Vec::new(),
            validators: Vec::new(),
            openapi: None,
            sort: None,
            build_metadata: Vec::new(),
            charts: Vec::new(),
        }
    }

    /// Reads the file. What is old but works is noted with the modern way.
    pub fn read(doc: &Doc, notes: &mut Vec<Note>) -> Result<Self, Found> {
        let cursor = Cursor::new(doc);
        let mut found = Found::new();
        let mut this = Self::empty(doc.place());
        let (mut kind, mut api_version) = (None, None);
        let fields = cursor.fields(FIELDS, &mut found);
        let mut bases = Vec::new();
        let mut old_images = Vec::new();
        let mut is_empty = true;
        for (name, field) in fields {
            is_empty &= matches!(name, "apiVersion" | "kind") || is_zero(field.value());
            this.field(name, &field, &mut bases, &mut old_images, &mut found);
            match name {
                "kind" => kind = Some((field.place(), field.text(&mut found))),
                "apiVersion" => api_version = Some((field.place(), field.text(&mut found))),
                _ => {}
            }
            if let Some(modern) = modern_way(name) {
                let message = format!("`{name}` is old; write {modern}");
                notes.push(Note {
                    place: Some(field.place()),
                    message,
                });
            }
        }
        this.resources.append(&mut bases);
        this.images.append(&mut old_images);
        this.flavor = flavor(kind.as_ref(), &mut found);
        check_version(this.flavor, api_version, &mut found);
        if is_empty && found.is_empty() {
            found.push(Problem::at(doc.place(), "this kustomization says nothing").hint("list `resources`"));
        }
        if found.is_empty() { Ok(this) } else { Err(found) }
    }

    fn field(
        &mut self,
        name: &str,
        field: &Cursor<'_>,
        bases: &mut Vec<At<String>>,
        old_images: &mut Vec<At<Image>>,
        found: &mut Found,
    ) {
        match name {
            "resources" => self.resources = texts(field, found),
            "bases" => *bases = texts(field, found),
            "components" => self.components = texts(field, found),
            "crds" => self.crds = texts(field, found),
            "configurations" => self.configurations = texts(field, found),
            "generators" => self.generators = blocks(field, found),
            "transformers" => self.transformers = blocks(field, found),
            "validators" => self.validators = blocks(field, found),
            "namespace" => self.namespace = some_text(field, found),
            "namePrefix" => self.name_prefix = some_text(field, found),
            "nameSuffix" => self.name_suffix = some_text(field, found),
            "commonLabels" => self.common_labels = some_map(field, found),
            "commonAnnotations" => self.common_annotations = some_map(field, found),
            "labels" => self.labels = all(field, found, labels),
            "patches" => self.patches = all(field, found, patch),
            "patchesJson6902" => self.patches_json = all(field, found, patch),
            "patchesStrategicMerge" => self.patches_strategic_merge = blocks(field, found),
            "images" => self.images = all(field, found, image),
            "imageTags" => *old_images = all(field, found, image),
            "replicas" => self.replicas = all(field, found, replica),
            "replacements" => self.replacements = all(field, found, replacement),
            "vars" => self.vars = all(field, found, Var::read),
            "configMapGenerator" => {
                self.config_maps = all(field, found, |item, found| generator(item, false, found))
            }
            "secretGenerator" => self.secrets = all(field, found, |item, found| generator(item, true, found)),
            "generatorOptions" => self.generator_options = Some(generator_options(field, found)),
            "openapi" => {
                self.openapi = Some(At {
                    place: field.place(),
                    it: openapi(field, found),
                })
            }
            "sortOptions" => {
                self.sort = Some(At {
                    place: field.place(),
                    it: sort(field, found),
                })
            }
            "buildMetadata" => self.build_metadata = build_metadata(field, found),
            "helmCharts" | "helmChartInflationGenerator" => self.charts.extend(charts(field, found)),
            "metadata" => {
                for (name, field) in field.fields(&["name", "namespace", "labels", "annotations"], found) {
                    match name {
                        "name" | "namespace" => drop(field.text(found)),
                        _ => drop(field.text_map(found)),
                    }
                }
            }
            _ => {}
        }
    }
}

/// The empty value of its type, which says nothing.
fn is_zero(value: &serde_json::Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

fn modern_way(name: &str) -> Option<&'static str> {
    Some(match name {
        "bases" => "`resources`",
        "imageTags" => "`images`",
        "patchesStrategicMerge" | "patchesJson6902" => "`patches`",
        "vars" => "`replacements`",
        "commonLabels" => "`labels` with `includeSelectors: true`",
        "configurations" => "`fields` in `labels`, or `replacements`",
        "transformers" | "generators" => "the field of the same purpose in kustomization.yaml",
        _ => return None,
    })
}

fn flavor(kind: Option<&(Place, String)>, found: &mut Found) -> Flavor {
    match kind.map(|(_, kind)| kind.as_str()) {
        None | Some("" | "Kustomization") => Flavor::Kustomization,
        Some("Component") => Flavor::Component,
        Some(_) => {
            let place = kind.map(|(place, _)| place.clone());
            let message = "`kind` must be Kustomization or Component".to_owned();
            found.push(Problem {
                place,
                message,
                hint: None,
            });
            Flavor::Kustomization
        }
    }
}

fn check_version(flavor: Flavor, api_version: Option<(Place, String)>, found: &mut Found) {
    let wanted = match flavor {
        Flavor::Kustomization => "kustomize.config.k8s.io/v1beta1",
        Flavor::Component => "kustomize.config.k8s.io/v1alpha1",
    };
    if let Some((place, given)) = api_version {
        if !given.is_empty() && given != wanted {
            found.push(Problem::at(place, format!("`apiVersion` must be {wanted} here")));
        }
    }
}

fn all<T>(field: &Cursor<'_>, found: &mut Found, read: impl Fn(&Cursor<'_>, &mut Found) -> T) -> Vec<At<T>> {
    field
        .items(found)
        .iter()
        .map(|item| At {
            place: item.place(),
            it: read(item, found),
        })
        .collect()
}

fn texts(field: &Cursor<'_>, found: &mut Found) -> Vec<At<String>> {
    all(field, found, |item, found| item.text(found))
}

fn some_text(field: &Cursor<'_>, found: &mut Found) -> Option<At<String>> {
    let it = field.text(found);
    (!it.is_empty()).then(|| At {
        place: field.place(),
        it,
    })
}

fn some_map(field: &Cursor<'_>, found: &mut Found) -> Option<At<Vec<(String, String)>>> {
    let it = field.text_map(found);
    (!it.is_empty()).then(|| At {
        place: field.place(),
        it,
    })
}

/// Text that may be read on its own: its lines are those of the file where it is a block.
pub(crate) fn block(field: &Cursor<'_>, found: &mut Found) -> Text {
    let text = field.text(found);
    let is_block = text.contains('\n') && field.doc().written(field.pointer()) == Some(Written::Quoted);
    Text::inline(&field.place(), &text, is_block)
}

fn blocks(field: &Cursor<'_>, found: &mut Found) -> Vec<At<Text>> {
    all(field, found, block)
}

pub(crate) fn field_spec(field: &Cursor<'_>, found: &mut Found) -> FieldSpec {
    let mut spec = FieldSpec {
        gvk: GvkFilter::default(),
        path: Vec::new(),
        create: false,
    };
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
    let known = [
        "pairs",
        "includeSelectors",
        "includeTemplates",
        "includeVolumeClaimTemplates",
        "fields",
    ];
    for (name, field) in item.fields(&known, found) {
        match name {
            "pairs" => labels.pairs = field.text_map(found),
            "includeSelectors" => labels.selectors = field.bool(found),
            "includeTemplates" => labels.templates = field.bool(found),
            "includeVolumeClaimTemplates" => labels.volume_claim_templates = field.bool(found),
            _ => {
                labels.fields = field
                    .items(found)
                    .iter()
                    .map(|item| field_spec(item, found))
                    .collect()
            }
        }
    }
    labels
}

pub(crate) fn selector(item: &Cursor<'_>, found: &mut Found) -> Selector {
    let mut selector = Selector::default();
    let known = [
        "group",
        "version",
        "kind",
        "name",
        "namespace",
        "labelSelector",
        "annotationSelector",
    ];
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
fn with_object_fields(item: &Cursor<'_>, known: &[&'static str]) -> Vec<&'static str> {
    let extra: &[&'static str] = if item.pointer().is_empty() {
        &["apiVersion", "kind", "metadata"]
    } else {
        &[]
    };
    known.iter().chain(extra).copied().collect()
}

pub(crate) fn patch(item: &Cursor<'_>, found: &mut Found) -> Patch {
    let mut patch = Patch {
        content: Content::Nothing,
        target: None,
        allow_name_change: false,
        allow_kind_change: false,
    };
    for (name, field) in item.fields(
        &with_object_fields(item, &["path", "patch", "target", "options"]),
        found,
    ) {
        match name {
            "path" | "patch" if field.text(found).trim().is_empty() => {}
            "path" | "patch" if !matches!(patch.content, Content::Nothing) => {
                found.push(field.problem("a patch has either `path` or `patch`, not both"));
            }
            "path" => {
                patch.content = Content::Path(At {
                    place: field.place(),
                    it: field.text(found),
                })
            }
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
    ReplacementSource::Inline(Replacement::read(item, found))
}

pub(crate) fn generator(item: &Cursor<'_>, is_secret: bool, found: &mut Found) -> Generator {
    let mut generator = Generator::default();
    let known: &[&str] = match is_secret {
        true => &[
            "name",
            "namespace",
            "behavior",
            "literals",
            "files",
            "envs",
            "env",
            "options",
            "type",
        ],
        false => &[
            "name",
            "namespace",
            "behavior",
            "literals",
            "files",
            "envs",
            "env",
            "options",
        ],
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
    generator
        .envs
        .extend(env.into_iter().filter(|(_, path)| !path.is_empty()));
    generator
}

pub(crate) fn generator_options(field: &Cursor<'_>, found: &mut Found) -> GeneratorOptions {
    let mut options = GeneratorOptions::default();
    for (name, field) in field.fields(
        &["labels", "annotations", "disableNameSuffixHash", "immutable"],
        found,
    ) {
        match name {
            "labels" => options.labels = field.text_map(found),
            "annotations" => options.annotations = field.text_map(found),
            "disableNameSuffixHash" => options.disable_hash = field.bool(found),
            _ => options.immutable = field.bool(found),
        }
    }
    options
}

fn openapi(field: &Cursor<'_>, found: &mut Found) -> OpenApi {
    let map = field.text_map(found);
    let get = |name: &str| {
        map.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    OpenApi {
        path: get("path"),
        version: get("version").filter(|version| !version.is_empty()),
    }
}

fn sort(field: &Cursor<'_>, found: &mut Found) -> Sort {
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

fn build_metadata(field: &Cursor<'_>, found: &mut Found) -> Vec<String> {
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

fn charts(field: &Cursor<'_>, found: &mut Found) -> Vec<At<String>> {
    field
        .items(found)
        .iter()
        .map(|item| {
            let text = |key: &str| item.value()[key].as_str().unwrap_or_default();
            let is_remote = !text("repo").is_empty() || !text("chartRepoUrl").is_empty();
            At {
                place: item.place(),
                it: if is_remote {
                    "remote".to_owned()
                } else {
                    "local".to_owned()
                },
            }
        })
        .collect()
}
