//! `configMapGenerator` and `secretGenerator`: objects made from literals, files and env files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kustomization::{At, Generator, GeneratorOptions, Kustomization};
use super::layer::{Build, Layer};
use super::patches::AnyId;
use super::resource::{Behavior, Resource};
use super::trace::{Given, Trace};
use crate::object::field_path::Part;
use crate::object::{Place, Problem, TreePath};
use crate::yaml::{Map, Node, Text};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

/// A key, its value, and where they are given.
struct Pair {
    key: String,
    value: Vec<u8>,
    place: Place,
    /// What gives the value, and where it stands: in a file that `place` names, or at it.
    by: &'static str,
    stands: Place,
}

pub(crate) fn run(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    let global = kustomization.generator_options.as_ref();
    let config_maps = kustomization.config_maps.iter().map(|generator| (Kind::ConfigMap, generator));
    for (kind, generator) in
        config_maps.chain(kustomization.secrets.iter().map(|generator| (Kind::Secret, generator)))
    {
        if let Some(mut object) = make(build, folder, kind, generator, global) {
            let by = if kind == Kind::Secret { "SecretGenerator" } else { "ConfigMapGenerator" };
            build.mark_generated(kustomization, &mut object, by);
            absorb(build, &generator.place, object, layer);
        }
    }
}

/// What the entry says, then what `generatorOptions` says; a `true` of either counts.
fn merge_options(own: Option<&GeneratorOptions>, global: Option<&GeneratorOptions>) -> GeneratorOptions {
    let mut options = own.cloned().unwrap_or_default();
    if let Some(global) = global {
        for (mine, theirs) in
            [(&mut options.labels, &global.labels), (&mut options.annotations, &global.annotations)]
        {
            for (key, value) in theirs {
                if !mine.iter().any(|(known, _)| known == key) {
                    mine.push((key.clone(), value.clone()));
                }
            }
        }
        options.disable_hash |= global.disable_hash;
        options.immutable |= global.immutable;
    }
    options
}

pub(crate) fn make(
    build: &mut Build<'_>,
    folder: &TreePath,
    kind: Kind,
    generator: &At<Generator>,
    global: Option<&GeneratorOptions>,
) -> Option<Resource> {
    let At { place, it } = generator;
    let before = build.found.len();
    if it.name.is_empty() {
        build.found.push(Problem::at(place.clone(), "this generator has no `name`"));
    }
    let behavior = match it.behavior.as_str() {
        "" | "create" => Behavior::Create,
        "merge" => Behavior::Merge,
        "replace" => Behavior::Replace,
        _ => {
            build.found.push(Problem::at(place.clone(), "`behavior` must be create, merge or replace"));
            Behavior::Create
        }
    };
    let pairs = pairs(build, folder, it);
    check_keys(build, &pairs);
    if build.found.len() > before {
        return None;
    }
    let options = merge_options(it.options.as_ref(), global);
    let given: Vec<(String, &'static str, Place)> = match &build.traces {
        Some(_) => pairs.iter().map(|pair| (pair.key.clone(), pair.by, pair.stands.clone())).collect(),
        None => Vec::new(),
    };
    let mut object = Resource::new(Node::Map(content(kind, it, &options, pairs)), place.clone());
    object.trace = build.traces.is_some().then(|| traced(&object.node, given));
    object.behavior = behavior;
    object.needs_hash = !options.disable_hash;
    object.is_generated = true;
    Some(object)
}

fn traced(node: &Node, given: Vec<(String, &'static str, Place)>) -> Box<Trace> {
    let mut trace = Trace::start(node);
    trace.is_generated = true;
    trace.given = given
        .into_iter()
        .map(|(key, by, place)| {
            let is_text = node.get("data").is_some_and(|data| data.get(&key).is_some());
            let map = if is_text { "data" } else { "binaryData" };
            Given { parts: vec![Part::Key(map.to_owned()), Part::Key(key)], by, place }
        })
        .collect();
    trace
}

fn content(kind: Kind, generator: &Generator, options: &GeneratorOptions, pairs: Vec<Pair>) -> Map {
    let texts = |pairs: &[(String, String)]| {
        Node::Map(pairs.iter().map(|(key, value)| (key.clone(), Node::fresh(value.clone()))).collect())
    };
    let mut metadata = Map::from([("name".to_owned(), Node::text(generator.name.clone()))]);
    if !generator.namespace.is_empty() {
        metadata.insert("namespace".to_owned(), Node::text(generator.namespace.clone()));
    }
    for (field, pairs) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if !pairs.is_empty() {
            metadata.insert(field.to_owned(), texts(pairs));
        }
    }
    let mut object = Map::from([
        ("apiVersion".to_owned(), Node::text("v1")),
        ("metadata".to_owned(), Node::Map(metadata)),
    ]);
    let (mut data, mut binary) = (Map::new(), Map::new());
    for pair in pairs {
        match (kind, String::from_utf8(pair.value)) {
            (Kind::ConfigMap, Ok(text)) => data.insert(pair.key, data_text(text)),
            (Kind::ConfigMap, Err(error)) => binary.insert(pair.key, data_text(wrapped(error.as_bytes()))),
            (Kind::Secret, Ok(text)) => data.insert(pair.key, data_text(wrapped(text.as_bytes()))),
            (Kind::Secret, Err(error)) => data.insert(pair.key, data_text(wrapped(error.as_bytes()))),
        };
    }
    match kind {
        Kind::ConfigMap => {
            object.insert("kind".to_owned(), Node::text("ConfigMap"));
            if !data.is_empty() {
                object.insert("data".to_owned(), Node::Map(data));
            }
            if !binary.is_empty() {
                object.insert("binaryData".to_owned(), Node::Map(binary));
            }
        }
        Kind::Secret => {
            object.insert("kind".to_owned(), Node::text("Secret"));
            let given = if generator.secret_type.is_empty() { "Opaque" } else { &generator.secret_type };
            object.insert("type".to_owned(), Node::text(given));
            object.insert("data".to_owned(), Node::Map(data));
        }
    }
    if options.immutable {
        object.insert("immutable".to_owned(), Node::Bool(true));
    }
    object
}

fn data_text(value: String) -> Node {
    let quoted = value.contains('\n');
    match Node::fresh(value) {
        Node::Text(text) => Node::Text(Text { quoted: Some(quoted || text.is_quoted()), ..text }),
        other => other,
    }
}

/// Base64 in lines of 70 characters, as kustomize writes it; a single line has no line break.
fn wrapped(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let text = STANDARD.encode(bytes);
    if text.len() < LINE {
        return text;
    }
    let mut lines = String::with_capacity(text.len() + text.len() / LINE + 1);
    for (nth, letter) in text.chars().enumerate() {
        if nth > 0 && nth % LINE == 0 {
            lines.push('\n');
        }
        lines.push(letter);
    }
    lines.push('\n');
    lines
}

fn pairs(build: &mut Build<'_>, folder: &TreePath, generator: &Generator) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (place, path) in &generator.envs {
        let text = build.files.file(folder, path, place);
        let Some(text) = build.keep(text) else { continue };
        let lines = env_lines(text.bytes(), |line| text.place_at(line));
        if let Some(mut lines) = build.keep(lines) {
            pairs.append(&mut lines);
        }
    }
    for (place, literal) in &generator.literals {
        match literal.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                let value = without_quotes(value).as_bytes().to_vec();
                let (place, stands) = (place.clone(), place.clone());
                pairs.push(Pair { key: key.to_owned(), value, place, by: "literal", stands });
            }
            _ => build.found.push(Problem::at(place.clone(), "a literal is written `key=value`")),
        }
    }
    for (place, source) in &generator.files {
        let (key, path) = match source.split('=').collect::<Vec<_>>().as_slice() {
            [path] => (path.rsplit('/').next().unwrap_or_default(), *path),
            [key, path] if !key.is_empty() && !path.is_empty() => (*key, *path),
            _ => {
                build.found.push(Problem::at(place.clone(), "a file is written `path` or `key=path`"));
                continue;
            }
        };
        let text = build.files.file(folder, path, place);
        if let Some(text) = build.keep(text) {
            let (place, stands, value) = (place.clone(), text.place_at(1), text.bytes().to_vec());
            pairs.push(Pair { key: key.to_owned(), value, place, by: "file", stands });
        }
    }
    pairs
}

/// One layer of quotes around a literal is not part of it.
fn without_quotes(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.len() >= 2 && value.starts_with(quote) && value.ends_with(quote) {
            return &value[1..value.len() - 1];
        }
    }
    value
}

fn env_lines(bytes: &[u8], place_at: impl Fn(u32) -> Place) -> Result<Vec<Pair>, Problem> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut pairs = Vec::new();
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Problem::at(place_at(number), "this line is not UTF-8 text"));
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if !key.is_empty() {
            pairs.push(Pair {
                key: key.to_owned(),
                value: value.as_bytes().to_vec(),
                place: place_at(number),
                by: "env file",
                stands: place_at(number),
            });
        }
    }
    Ok(pairs)
}

/// What an API server takes as a key of a ConfigMap or Secret.
fn check_keys(build: &mut Build<'_>, pairs: &[Pair]) {
    for (nth, pair) in pairs.iter().enumerate() {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_legal = !pair.key.is_empty() && pair.key.len() <= 253 && pair.key.bytes().all(legal);
        if !is_legal || pair.key == "." || pair.key.starts_with("..") {
            let problem =
                Problem::at(pair.place.clone(), "this key is not one that a ConfigMap or Secret can have");
            build.found.push(problem.hint("use letters, digits, `-`, `_` and `.`"));
        }
        if let Some(first) = pairs[..nth].iter().find(|other| other.key == pair.key) {
            let message = format!("the key {} is given twice, first at {}", pair.key, first.place);
            build.found.push(Problem::at(pair.place.clone(), message));
        }
    }
}

/// Adds a generated object, or merges it into the one of its name.
pub(crate) fn absorb(build: &mut Build<'_>, place: &Place, mut object: Resource, layer: &mut Layer) {
    let id = object.id();
    let places = AnyId::default().find(&layer.objects, &id).to_vec();
    match (places.as_slice(), object.behavior) {
        ([], Behavior::Create) => layer.objects.push(object),
        ([], _) => {
            let message = format!("there is no {id} to merge with or to replace");
            build.found.push(Problem::at(place.clone(), message).hint("use `behavior: create`"));
        }
        ([at], Behavior::Create) => {
            let message = format!("{id} is there already: {}", layer.objects[*at].origin.place);
            build.found.push(Problem::at(place.clone(), message).hint("use `behavior: merge` or `replace`"));
        }
        ([at], behavior) => {
            let old = &layer.objects[*at];
            if behavior == Behavior::Merge {
                merge_data(&mut object, old);
            }
            let own_origin = object.build_origin.take();
            take_over(&mut object, old);
            if behavior == Behavior::Replace {
                object.build_origin = own_origin;
            }
            let by = if behavior == Behavior::Merge { "generator merge" } else { "generator replace" };
            if let (Some(trace), Some(old)) = (&mut object.trace, &old.trace) {
                trace.succeed(Trace::clone(old), &object.node, by, place);
            }
            object.touch(by, place);
            layer.objects[*at] = object;
        }
        (several, _) => {
            let message = format!("{id} may mean {} objects", several.len());
            build.found.push(Problem::at(place.clone(), message));
        }
    }
}

/// Name, labels and the like of the object that is merged with or replaced.
fn take_over(object: &mut Resource, old: &Resource) {
    for field in ["labels", "annotations"] {
        let mut texts: Map =
            old.texts(field).map(|(key, value)| (key.to_owned(), Node::fresh(value))).collect();
        texts.extend(
            object.texts(field).map(|(key, value)| (key.to_owned(), Node::fresh(value))).collect::<Map>(),
        );
        if let Some(metadata) = object.metadata_mut() {
            if texts.is_empty() {
                metadata.remove(field);
            } else {
                metadata.insert(field.to_owned(), Node::Map(texts));
            }
        }
    }
    object.set_name(old.name());
    object.set_namespace(old.namespace());
    object.needs_hash &= old.needs_hash;
    object.behavior = old.behavior;
    object.is_generated = old.is_generated;
    object.previous.clone_from(&old.previous);
    object.prefixes.clone_from(&old.prefixes);
    object.suffixes.clone_from(&old.suffixes);
    object.vars.clone_from(&old.vars);
    object.origin = old.origin.clone();
    object.build_origin.clone_from(&old.build_origin);
    object.transformations.clone_from(&old.transformations);
}

fn merge_data(object: &mut Resource, old: &Resource) {
    let text = |value: &Node| {
        if value.is_null() { String::new() } else { value.scalar().unwrap_or_default() }
    };
    for field in ["data", "binaryData"] {
        let mut merged: Map = Map::new();
        for source in [&old.node, &object.node] {
            for (key, value) in source.get(field).and_then(Node::as_map).into_iter().flatten() {
                merged.insert(key.clone(), data_text(text(value)));
            }
            // An API server would encode them in the same way.
            if field == "data" && std::ptr::eq(source, &old.node) && old.kind() == "Secret" {
                for (key, value) in source.get("stringData").and_then(Node::as_map).into_iter().flatten() {
                    merged.insert(key.clone(), data_text(wrapped(text(value).as_bytes())));
                }
            }
        }
        if let Some(map) = object.node.as_map_mut() {
            if merged.is_empty() {
                map.remove(field);
            } else {
                map.insert(field.to_owned(), Node::Map(merged));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_breaks_at_seventy_characters() {
        assert_eq!(wrapped(b"abc"), "YWJj");
        assert_eq!(wrapped(&[0; 51]).len(), 68);
        assert_eq!(wrapped(&[0; 60]).lines().map(str::len).collect::<Vec<_>>(), [70, 10]);
        assert!(wrapped(&[0; 60]).ends_with('\n'));
    }

    #[test]
    fn one_layer_of_quotes_goes() {
        assert_eq!(without_quotes("\"a\""), "a");
        assert_eq!(without_quotes("'\"a\"'"), "\"a\"");
        assert_eq!(without_quotes("\"a'"), "\"a'");
        assert_eq!(without_quotes("\""), "\"");
    }
}
