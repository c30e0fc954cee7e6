//! What the published OpenAPI says about the built-in kinds, as far as overlays need it: which lists merge by which
//! keys, and which kinds stand in no namespace. `data/merge_keys.py` writes the table.
//!
//! It is the OpenAPI that kustomize 5.8.2 bundles, on purpose: a kind that it does not know merges its lists by
//! replacing them, and so must ours.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use serde_json::Value;

#[derive(Clone, Debug, Default)]
struct Part {
    merge: Option<Vec<String>>,
    items: usize,
    values: usize,
    fields: HashMap<String, usize>,
}

/// What is known about merging, for each kind.
#[derive(Clone, Debug)]
pub(crate) struct Schemas {
    parts: Vec<Part>,
    kinds: HashMap<String, HashMap<String, usize>>,
    cluster: HashMap<String, HashSet<String>>,
}

/// A place in a schema. `None` of one means that nothing is known there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema<'a> {
    all: &'a Schemas,
    at: usize,
}

static BUILT_IN: LazyLock<Arc<Schemas>> =
    LazyLock::new(|| Arc::new(Schemas::read(include_str!("data/merge_keys.txt"))));

impl Schemas {
    pub fn built_in() -> &'static Arc<Self> {
        &BUILT_IN
    }

    fn read(table: &str) -> Self {
        let mut all = Self { parts: vec![Part::default()], kinds: HashMap::new(), cluster: HashMap::new() };
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("node"), Some(_), first) => {
                    let mut part = Part::default();
                    for (name, value) in
                        first.into_iter().chain(words).filter_map(|word| word.split_once('='))
                    {
                        let id = || value.parse().unwrap_or_default();
                        match name {
                            "merge" => part.merge = Some(value.split(',').map(str::to_owned).collect()),
                            "items" => part.items = id(),
                            "values" => part.values = id(),
                            field => {
                                part.fields.insert(field.trim_start_matches('.').to_owned(), id());
                            }
                        }
                    }
                    all.parts.push(part);
                }
                (Some("kind"), Some(api), Some(kind)) => {
                    let id = words.next().and_then(|id| id.parse().ok()).unwrap_or_default();
                    all.kinds.entry(api.to_owned()).or_default().insert(kind.to_owned(), id);
                }
                (Some("cluster"), Some(api), Some(kind)) => {
                    all.cluster.entry(api.to_owned()).or_default().insert(kind.to_owned());
                }
                _ => {}
            }
        }
        all
    }

    pub fn of(&self, api_version: &str, kind: &str) -> Option<Schema<'_>> {
        let at = *self.kinds.get(api_version)?.get(kind)?;
        Some(Schema { all: self, at })
    }

    /// Whether it is known where a kind stands, in a namespace or not.
    pub fn knows(&self, api_version: &str, kind: &str) -> bool {
        self.of(api_version, kind).is_some() || self.is_cluster_scoped(api_version, kind)
    }

    /// These and others, which count where both say something.
    pub fn and(mut self, others: &Self) -> Self {
        let before = self.parts.len();
        let shift = |at: usize| if at == 0 { 0 } else { at + before };
        self.parts.extend(others.parts.iter().map(|part| Part {
            merge: part.merge.clone(),
            items: shift(part.items),
            values: shift(part.values),
            fields: part.fields.iter().map(|(name, at)| (name.clone(), shift(*at))).collect(),
        }));
        for (api, kinds) in &others.kinds {
            let all = self.kinds.entry(api.clone()).or_default();
            all.extend(kinds.iter().map(|(kind, at)| (kind.clone(), shift(*at))));
        }
        self
    }

    /// Whether a kind is known to stand outside namespaces. Of an unknown kind kustomize thinks that it does not.
    pub fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        self.cluster.get(api_version).is_some_and(|kinds| kinds.contains(kind))
    }

    /// The schemas of an OpenAPI document of the tree (`openapi: {path: …}`), which replace the built-in ones.
    pub fn from_openapi(document: &Value) -> Self {
        let mut all = Self {
            parts: vec![Part::default()],
            kinds: HashMap::new(),
            // Scopes are known ahead of any schema.
            cluster: Self::built_in().cluster.clone(),
        };
        let empty = serde_json::Map::new();
        let definitions = document["definitions"].as_object().unwrap_or(&empty);
        let mut ids = HashMap::new();
        for name in definitions.keys() {
            let at = all.add_definition(definitions, name, &mut ids);
            for gvk in definitions[name]["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                let text = |key: &str| gvk[key].as_str().unwrap_or_default();
                let api = match text("group") {
                    "" => text("version").to_owned(),
                    group => format!("{group}/{}", text("version")),
                };
                all.kinds.entry(api).or_default().insert(text("kind").to_owned(), at);
            }
        }
        all
    }

    fn add_definition(
        &mut self,
        definitions: &serde_json::Map<String, Value>,
        name: &str,
        ids: &mut HashMap<String, usize>,
    ) -> usize {
        if let Some(&at) = ids.get(name) {
            return at;
        }
        // The place is taken before its content is read, so that types may hold themselves.
        let at = self.parts.len();
        ids.insert(name.to_owned(), at);
        self.parts.push(Part::default());
        if let Some(schema) = definitions.get(name) {
            self.parts[at] = self.part(definitions, schema, ids);
        }
        at
    }

    fn add(
        &mut self,
        definitions: &serde_json::Map<String, Value>,
        schema: &Value,
        ids: &mut HashMap<String, usize>,
    ) -> usize {
        if let Some(name) = schema["$ref"].as_str() {
            return self.add_definition(definitions, name.rsplit('/').next().unwrap_or_default(), ids);
        }
        let part = self.part(definitions, schema, ids);
        self.parts.push(part);
        self.parts.len() - 1
    }

    fn part(
        &mut self,
        definitions: &serde_json::Map<String, Value>,
        schema: &Value,
        ids: &mut HashMap<String, usize>,
    ) -> Part {
        let mut part = Part::default();
        let strategy = schema["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
        if strategy.split(',').any(|word| word == "merge") {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            let key = || schema["x-kubernetes-patch-merge-key"].as_str().unwrap_or_default().to_owned();
            part.merge = Some(keys.map_or_else(
                || vec![key()],
                |keys| keys.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            ));
        }
        if schema["items"].is_object() {
            part.items = self.add(definitions, &schema["items"], ids);
        }
        if schema["additionalProperties"].is_object() {
            part.values = self.add(definitions, &schema["additionalProperties"], ids);
        }
        for (field, inner) in schema["properties"].as_object().into_iter().flatten() {
            let at = self.add(definitions, inner, ids);
            part.fields.insert(field.clone(), at);
        }
        part
    }
}

impl<'a> Schema<'a> {
    /// The keys by which this list merges; one empty key where it is a list of plain values.
    pub fn merge_keys(self) -> Option<&'a [String]> {
        self.all.parts[self.at].merge.as_deref()
    }

    pub fn items(self) -> Self {
        Self { at: self.all.parts[self.at].items, ..self }
    }

    pub fn field(self, name: &str) -> Self {
        let part = &self.all.parts[self.at];
        Self { at: part.fields.get(name).copied().unwrap_or(part.values), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_merge_by_name_and_ports_by_two_keys() {
        let deployment = Schemas::built_in().of("apps/v1", "Deployment").unwrap();
        let containers = deployment.field("spec").field("template").field("spec").field("containers");
        assert_eq!(containers.merge_keys().unwrap(), ["name"]);
        assert_eq!(containers.items().field("ports").merge_keys().unwrap(), ["containerPort", "protocol"]);
        assert!(containers.items().field("command").merge_keys().is_none());
        assert_eq!(deployment.field("metadata").field("finalizers").merge_keys().unwrap(), [""]);
    }

    #[test]
    fn scopes_are_known() {
        let all = Schemas::built_in();
        assert!(all.is_cluster_scoped("v1", "Namespace"));
        assert!(!all.is_cluster_scoped("apps/v1", "Deployment"));
        assert!(!all.is_cluster_scoped("example.com/v1", "Thing"));
        assert!(all.of("example.com/v1", "Thing").is_none());
    }
}
