//! The file kustomization.yaml, read once into types; later steps need not look at YAML again.

use super::cursor::{Cursor, Found};
use super::entries::{
    all, blocks, build_metadata, generator_options, labels, openapi, some_map, some_text, sort, texts,
};
pub(crate) use super::entries::{
    block, block_of, field_spec, generator, image, patch, replacement, replica, selector,
};
use super::fields::FieldSpec;
use super::helm_charts::{HelmChart, chart_home, helm_chart, old_helm_chart};
use super::replacement::Replacement;
use super::selector::Selector;
use super::source::{Doc, Text};
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
    pub charts: Vec<At<HelmChart>>,
    /// Where the charts are, for all that do not say: `helmGlobals`.
    pub chart_home: Option<String>,
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
    Inline(Box<Replacement>),
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
            chart_home: None,
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
                notes.push(Note { place: Some(field.place()), message });
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
            "openapi" => self.openapi = Some(At { place: field.place(), it: openapi(field, found) }),
            "sortOptions" => self.sort = Some(At { place: field.place(), it: sort(field, found) }),
            "buildMetadata" => self.build_metadata = build_metadata(field, found),
            "helmCharts" => self.charts.extend(all(field, found, helm_chart)),
            "helmChartInflationGenerator" => self.charts.extend(all(field, found, old_helm_chart)),
            "helmGlobals" => self.chart_home = chart_home(field, found).or(self.chart_home.take()),
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
        "helmChartInflationGenerator" => "`helmCharts`",
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
            found.push(Problem { place, message, hint: None });
            Flavor::Kustomization
        }
    }
}

fn check_version(flavor: Flavor, api_version: Option<(Place, String)>, found: &mut Found) {
    let wanted = match flavor {
        Flavor::Kustomization => "kustomize.config.k8s.io/v1beta1",
        Flavor::Component => "kustomize.config.k8s.io/v1alpha1",
    };
    if let Some((place, given)) = api_version
        && !given.is_empty()
        && given != wanted
    {
        found.push(Problem::at(place, format!("`apiVersion` must be {wanted} here")));
    }
}
