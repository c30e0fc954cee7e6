//! Where in an object a transformer writes: paths, each for some kinds. `data/fields.txt` is kustomize's default set;
//! `configurations` files add to it.

use std::sync::{Arc, LazyLock};

use super::id::GvkFilter;
use crate::yaml::{Map, Node};

/// One place, `spec/template/metadata/labels`, for the kinds that it fits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldSpec {
    pub gvk: GvkFilter,
    pub path: Vec<String>,
    pub create: bool,
}

/// Where names of one kind are referred to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct References {
    pub target: GvkFilter,
    pub referrers: Vec<FieldSpec>,
}

/// The places of all transformers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    pub name_prefix: Vec<FieldSpec>,
    pub name_suffix: Vec<FieldSpec>,
    pub namespace: Vec<FieldSpec>,
    pub common_labels: Vec<FieldSpec>,
    pub labels: Vec<FieldSpec>,
    pub template_labels: Vec<FieldSpec>,
    pub volume_claim_template_labels: Vec<FieldSpec>,
    pub common_annotations: Vec<FieldSpec>,
    pub images: Vec<FieldSpec>,
    pub replicas: Vec<FieldSpec>,
    pub var_reference: Vec<FieldSpec>,
    pub name_reference: Vec<References>,
}

/// Two rules for one place that contradict each other in `create`.
#[derive(Debug, PartialEq)]
pub(crate) struct Conflict(pub String);

static DEFAULTS: LazyLock<Arc<Fields>> =
    LazyLock::new(|| Arc::new(Fields::read(include_str!("data/fields.txt"))));

impl FieldSpec {
    pub fn new(path: &str, create: bool) -> Self {
        Self { gvk: GvkFilter::default(), path: split_path(path), create }
    }

    fn means_same(&self, other: &Self) -> bool {
        self.gvk.is_selected_by(&other.gvk) && self.path == other.path
    }
}

/// Splits at `/`; `\/` is a slash in a key.
pub(crate) fn split_path(path: &str) -> Vec<String> {
    split_escaped(path, '/')
}

pub(crate) fn split_escaped(path: &str, delimiter: char) -> Vec<String> {
    let mut parts: Vec<&str> = path.split(delimiter).collect();
    if parts.len() > 1 && parts[0].is_empty() {
        parts.remove(0);
    }
    let mut split: Vec<String> = Vec::new();
    for part in parts {
        match split.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(part);
            }
            _ => split.push(part.to_owned()),
        }
    }
    split
}

/// Adds a rule that is not there yet.
pub(crate) fn add(specs: &mut Vec<FieldSpec>, spec: FieldSpec) -> Result<(), Conflict> {
    match specs.iter().find(|known| known.means_same(&spec)) {
        Some(known) if known.create != spec.create => Err(Conflict(spec.path.join("/"))),
        Some(_) => Ok(()),
        None => {
            specs.push(spec);
            Ok(())
        }
    }
}

pub(crate) fn add_all(specs: &mut Vec<FieldSpec>, more: &[FieldSpec]) -> Result<(), Conflict> {
    more.iter().try_for_each(|spec| add(specs, spec.clone()))
}

impl Fields {
    pub fn defaults() -> Arc<Self> {
        DEFAULTS.clone()
    }

    pub fn section(&mut self, name: &str) -> Option<&mut Vec<FieldSpec>> {
        Some(match name {
            "namePrefix" => &mut self.name_prefix,
            "nameSuffix" => &mut self.name_suffix,
            "namespace" => &mut self.namespace,
            "commonLabels" => &mut self.common_labels,
            "labels" => &mut self.labels,
            "templateLabels" => &mut self.template_labels,
            "volumeClaimTemplateLabels" => &mut self.volume_claim_template_labels,
            "commonAnnotations" => &mut self.common_annotations,
            "images" => &mut self.images,
            "replicas" => &mut self.replicas,
            "varReference" => &mut self.var_reference,
            _ => return None,
        })
    }

    fn read(table: &str) -> Self {
        let any = |word: &str| {
            if word == "-" { String::new() } else { word.to_owned() }
        };
        let gvk =
            |words: &[&str]| GvkFilter { group: any(words[0]), version: any(words[1]), kind: any(words[2]) };
        let mut fields = Self::default();
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "ref" => {
                    let (target, path) = (gvk(&words[1..4]), split_path(words[7]));
                    let spec = FieldSpec { gvk: gvk(&words[4..7]), path, create: false };
                    fields
                        .add_references(target, [spec])
                        .expect("the default rules do not contradict each other");
                }
                section => {
                    let spec = FieldSpec {
                        gvk: gvk(&words[1..4]),
                        create: words[4] == "yes",
                        path: split_path(words[5]),
                    };
                    let section = fields.section(section).expect("the table names known sections only");
                    add(section, spec).expect("the default rules do not contradict each other");
                }
            }
        }
        fields
    }

    pub fn add_references(
        &mut self,
        target: GvkFilter,
        specs: impl IntoIterator<Item = FieldSpec>,
    ) -> Result<(), Conflict> {
        let at = match self.name_reference.iter().position(|known| known.target == target) {
            Some(at) => at,
            None => {
                self.name_reference.push(References { target, referrers: Vec::new() });
                self.name_reference.len() - 1
            }
        };
        specs.into_iter().try_for_each(|spec| add(&mut self.name_reference[at].referrers, spec))
    }

    /// This set and another's rules.
    pub fn merge(&mut self, other: &Self) -> Result<(), Conflict> {
        add_all(&mut self.name_prefix, &other.name_prefix)?;
        add_all(&mut self.name_suffix, &other.name_suffix)?;
        add_all(&mut self.namespace, &other.namespace)?;
        add_all(&mut self.common_labels, &other.common_labels)?;
        add_all(&mut self.labels, &other.labels)?;
        add_all(&mut self.template_labels, &other.template_labels)?;
        add_all(&mut self.volume_claim_template_labels, &other.volume_claim_template_labels)?;
        add_all(&mut self.common_annotations, &other.common_annotations)?;
        add_all(&mut self.images, &other.images)?;
        add_all(&mut self.replicas, &other.replicas)?;
        add_all(&mut self.var_reference, &other.var_reference)?;
        for references in &other.name_reference {
            self.add_references(references.target.clone(), references.referrers.iter().cloned())?;
        }
        Ok(())
    }
}

/// What a missing field at the end of a path is made as; `None` where nothing is made.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Make {
    Nothing,
    Scalar,
}

/// A path that leads through something that is neither a list nor a map.
#[derive(Debug, PartialEq)]
pub(crate) struct NotThere(pub String);

/// The key that a part of a path names, and whether a list is meant to be there. What counts items names no field.
pub(crate) fn field_name(part: &str) -> Result<(&str, bool), String> {
    let (key, is_list) = part.strip_suffix("[]").map_or((part, false), |key| (key, true));
    let is_item = matches!(key, "" | "-" | "*")
        || key.parse::<i64>().is_ok()
        || key.starts_with('[') && key.ends_with(']');
    if is_item {
        return Err(format!(
            "{part:?} names an item, and here is a map; paths of rules go through lists by themselves"
        ));
    }
    Ok((key, is_list))
}

/// Calls `set` at every place that a path leads to. Lists are gone through; null on the way ends it.
pub(crate) fn visit<E: From<NotThere>>(
    node: &mut Node,
    path: &[String],
    create: bool,
    make: Make,
    set: &mut dyn FnMut(&mut Node) -> Result<(), E>,
) -> Result<(), E> {
    let Some((first, rest)) = path.split_first() else {
        return set(node);
    };
    match node {
        node if node.is_null() => Ok(()),
        Node::List(items) => items.iter_mut().try_for_each(|item| visit(item, path, create, make, set)),
        Node::Map(map) => {
            let (key, is_list) = field_name(first).map_err(NotThere)?;
            let created = match (is_list || !create || make == Make::Nothing, rest.is_empty()) {
                (true, _) => None,
                (false, true) if make == Make::Scalar => Some(Node::Null),
                (false, _) => Some(Node::Map(Map::new())),
            };
            let field = match created {
                None => match map.get_mut(key) {
                    Some(field) => field,
                    None => return Ok(()),
                },
                Some(new) => {
                    let field = map.get_or(key, || new.clone());
                    if field.is_null() {
                        *field = new;
                    }
                    field
                }
            };
            if is_list && field.is_null() {
                *field = Node::List(Vec::new());
            }
            visit(field, rest, create, make, set)
        }
        other => Err(NotThere(format!("{} leads through {}", path.join("/"), other.what())).into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_default_rules_are_read() {
        let fields = Fields::defaults();
        assert_eq!(fields.images.len(), 7);
        assert_eq!(fields.replicas.len(), 4);
        let secrets =
            fields.name_reference.iter().find(|references| references.target.kind == "Secret").unwrap();
        assert!(
            secrets
                .referrers
                .iter()
                .any(|spec| spec.path.last().unwrap() == "nginx.ingress.kubernetes.io/auth-secret")
        );
    }

    #[test]
    fn a_path_goes_through_lists_and_makes_what_it_may() {
        let mut node = Node::from(json!({"a": [{"b": {}}, {"c": 1}]}));
        let path = split_path("a/b/x");
        visit::<NotThere>(&mut node, &path, true, Make::Scalar, &mut |node| {
            *node = Node::text("v");
            Ok(())
        })
        .unwrap();
        assert_eq!(node.into_value(), json!({"a": [{"b": {"x": "v"}}, {"b": {"x": "v"}, "c": 1}]}));
    }
}
