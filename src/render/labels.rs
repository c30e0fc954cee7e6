//! `labels`, `commonLabels`, `commonAnnotations`.

use super::fields::{Conflict, FieldSpec, add, add_all};
use super::kustomization::{At, Kustomization, Labels};
use super::layer::{Build, Layer};
use super::shared::locate;
use crate::object::{Place, Problem};

pub(crate) fn run(build: &mut Build<'_>, kustomization: &Kustomization, layer: &mut Layer) {
    let fields = layer.fields.clone();
    for labels in &kustomization.labels {
        match fields_of(&labels.it, &fields) {
            Ok(specs) => apply(build, "labels", &labels.place, &labels.it.pairs, &specs, layer),
            Err(Conflict(path)) => {
                let message =
                    format!("`fields` and the default rules contradict each other in `create` of {path}");
                build.found.push(Problem::at(labels.place.clone(), message));
            }
        }
        build.transformed(kustomization, layer, "LabelTransformer");
    }
    if let Some(At { place, it }) = &kustomization.common_labels {
        apply(build, "labels", place, it, &fields.common_labels, layer);
    }
    // Where there are any labels, kustomize runs one more transformer, for `commonLabels`.
    if kustomization.common_labels.is_some() || !kustomization.labels.is_empty() {
        build.transformed(kustomization, layer, "LabelTransformer");
    }
    if let Some(At { place, it }) = &kustomization.common_annotations {
        apply(build, "annotations", place, it, &fields.common_annotations, layer);
        build.transformed(kustomization, layer, "AnnotationsTransformer");
    }
}

fn fields_of(labels: &Labels, fields: &super::fields::Fields) -> Result<Vec<FieldSpec>, Conflict> {
    let mut specs = labels.fields.clone();
    add_all(&mut specs, &fields.labels)?;
    if labels.selectors {
        add_all(&mut specs, &fields.common_labels)?;
        return Ok(specs);
    }
    if labels.templates {
        add_all(&mut specs, &fields.template_labels)?;
    }
    if labels.volume_claim_templates {
        add_all(&mut specs, &fields.volume_claim_template_labels)?;
    }
    add(&mut specs, FieldSpec::new("metadata/labels", true))?;
    Ok(specs)
}

pub(crate) fn apply(
    build: &mut Build<'_>,
    by: &'static str,
    place: &Place,
    pairs: &[(String, String)],
    specs: &[FieldSpec],
    layer: &mut Layer,
) {
    if pairs.is_empty() {
        return;
    }
    let mut pairs: Vec<&(String, String)> = pairs.iter().collect();
    pairs.sort();
    for object in &mut layer.objects {
        let (api_version, kind) = (object.api_version().to_owned(), object.kind().to_owned());
        let mut maps = Vec::new();
        for spec in specs.iter().filter(|spec| spec.gvk.selects(&api_version, &kind)) {
            // Where kustomize keeps notes among the annotations, there are annotations to add to.
            let create = spec.create || object.has_notes() && spec.path == ["metadata", "annotations"];
            let located = locate(&mut object.node, &spec.path, create, &mut Vec::new(), &mut maps);
            if let Err(message) = located {
                let message = format!("{message} (setting {by} of {kind} {})", object.name());
                build.found.push(Problem::at(object.origin.place.clone(), message));
            }
        }
        for (key, value) in &pairs {
            object.shared.put(&mut object.node, &maps, key, value);
        }
        object.touch(by, place);
    }
}
