//! `replacements`: a field of one object copied into fields of others.

use serde_json::Value;

use super::cursor::{Cursor, Found};
use super::id::split_api_version;
use super::kustomization::{At, Kustomization, ReplacementSource, selector};
use super::layer::{Build, Layer};
use super::paths::{self, Create};
use super::resource::Resource;
use super::selector::{Matcher, Selector};
use crate::object::{Place, Problem, TreePath};
use crate::yaml::{Dialect, Looks, Node, Text, plain};

#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    place: Place,
    source: Option<Source>,
    value: Option<String>,
    targets: Vec<Target>,
}

#[derive(Clone, Debug)]
struct Source {
    place: Place,
    selector: Selector,
    field_path: String,
    options: Options,
}

#[derive(Clone, Debug)]
struct Target {
    place: Place,
    select: Option<Selector>,
    reject: Vec<Selector>,
    field_paths: Vec<(Place, String)>,
    options: Options,
}

#[derive(Clone, Debug, Default)]
struct Options {
    delimiter: String,
    index: i64,
    create: bool,
}

const DEFAULT_PATH: &str = "metadata.name";

impl Replacement {
    pub fn read(item: &Cursor<'_>, found: &mut Found) -> Self {
        let mut this = Self { place: item.place(), source: None, value: None, targets: Vec::new() };
        for (name, field) in item.fields(&["path", "source", "sourceValue", "targets"], found) {
            match name {
                "source" => this.source = Some(Source::read(&field, found)),
                "sourceValue" => this.value = Some(field.text(found)),
                "targets" => {
                    this.targets = field.items(found).iter().map(|item| Target::read(item, found)).collect();
                }
                _ => {}
            }
        }
        match (&this.source, &this.value) {
            (None, None) => found.push(item.problem("a replacement needs a `source`")),
            (Some(_), Some(_)) => {
                found.push(item.problem("a replacement has either `source` or `sourceValue`"))
            }
            _ => {}
        }
        if this.targets.is_empty() {
            found.push(item.problem("a replacement needs `targets`"));
        }
        this
    }
}

impl Source {
    fn read(item: &Cursor<'_>, found: &mut Found) -> Self {
        let mut this = Self {
            place: item.place(),
            selector: Selector::default(),
            field_path: DEFAULT_PATH.to_owned(),
            options: Options::default(),
        };
        let known = ["group", "version", "kind", "name", "namespace", "fieldPath", "options"];
        for (name, field) in item.fields(&known, found) {
            match name {
                "options" => this.options = Options::read(&field, found),
                "fieldPath" => {
                    this.field_path =
                        Some(field.text(found)).filter(|path| !path.is_empty()).unwrap_or(this.field_path);
                }
                "group" => this.selector.group = field.text(found),
                "version" => this.selector.version = field.text(found),
                "kind" => this.selector.kind = field.text(found),
                "name" => this.selector.name = field.text(found),
                _ => this.selector.namespace = field.text(found),
            }
        }
        this
    }

    /// What it takes its value from, for people.
    fn words(&self) -> String {
        let Selector { kind, name, .. } = &self.selector;
        let of: Vec<&str> =
            [kind, name].into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        format!("{} of {}", self.field_path, of.join(" "))
    }

    fn selects(&self, object: &Resource) -> bool {
        let default = |namespace: &str| {
            if namespace.is_empty() { "default".to_owned() } else { namespace.to_owned() }
        };
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        let (group, version) = split_api_version(object.api_version());
        let one = |kind: &str, name: &str, namespace: &str| {
            fits(&self.selector.kind, kind)
                && fits(&self.selector.name, name)
                && (self.selector.namespace.is_empty() || self.selector.namespace == default(namespace))
        };
        fits(&self.selector.group, group)
            && fits(&self.selector.version, version)
            && (one(object.kind(), object.name(), object.namespace())
                || object.previous.iter().any(|was| one(&was.kind, &was.name, &was.namespace)))
    }
}

impl Target {
    fn read(item: &Cursor<'_>, found: &mut Found) -> Self {
        let mut this = Self {
            place: item.place(),
            select: None,
            reject: Vec::new(),
            field_paths: Vec::new(),
            options: Options::default(),
        };
        for (name, field) in item.fields(&["select", "reject", "fieldPaths", "options"], found) {
            match name {
                "select" => this.select = Some(selector(&field, found)),
                "reject" => {
                    this.reject = field.items(found).iter().map(|item| selector(item, found)).collect()
                }
                "fieldPaths" => this.field_paths = field.texts(found),
                _ => this.options = Options::read(&field, found),
            }
        }
        if this.field_paths.is_empty() {
            this.field_paths.push((item.place(), DEFAULT_PATH.to_owned()));
        }
        if this.select.is_none() {
            found.push(item.problem("a target of a replacement needs `select`"));
        }
        this
    }
}

impl Options {
    fn read(item: &Cursor<'_>, found: &mut Found) -> Self {
        let mut this = Self::default();
        for (name, field) in item.fields(&["delimiter", "index", "encoding", "create"], found) {
            match name {
                "delimiter" => this.delimiter = field.text(found),
                "index" => this.index = field.int(found),
                "create" => this.create = field.bool(found),
                _ => found.push(field.problem("`encoding` does nothing in kustomize").hint("leave it away")),
            }
        }
        this
    }
}

pub(crate) fn run(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    apply_all(build, folder, &kustomization.replacements, layer);
    if !kustomization.replacements.is_empty() {
        build.transformed(kustomization, layer, "ReplacementTransformer");
    }
}

pub(crate) fn apply_all(
    build: &mut Build<'_>,
    folder: &TreePath,
    all: &[At<ReplacementSource>],
    layer: &mut Layer,
) {
    for At { place, it } in all {
        if build.late(place) {
            return;
        }
        match it {
            ReplacementSource::Inline(replacement) => {
                let result = apply(replacement, layer);
                build.keep(result);
            }
            ReplacementSource::Path(path) => {
                for replacement in from_file(build, folder, path, place) {
                    let result = apply(&replacement, layer);
                    build.keep(result);
                }
            }
        }
    }
}

/// A file holds one replacement or a list of them.
pub(crate) fn from_file(
    build: &mut Build<'_>,
    folder: &TreePath,
    path: &str,
    place: &Place,
) -> Vec<Replacement> {
    let text = build.files.file(folder, path, place);
    let Some(text) = build.keep(text) else {
        return Vec::new();
    };
    let documents = text.documents(Dialect::Config, &build.files.limits.yaml);
    let Some(documents) = build.keep(documents) else {
        return Vec::new();
    };
    let mut read = Vec::new();
    let mut found = Found::new();
    match documents.first() {
        Some(document) if document.value().is_array() => {
            let cursor = Cursor::new(document);
            read.extend(cursor.items(&mut found).iter().map(|item| Replacement::read(item, &mut found)));
        }
        Some(document) => read.push(Replacement::read(&Cursor::new(document), &mut found)),
        None => found.push(Problem::at(place.clone(), "this file holds no replacement")),
    }
    if found.is_empty() {
        return read;
    }
    build.found.append(&mut found);
    Vec::new()
}

pub(crate) fn apply(replacement: &Replacement, layer: &mut Layer) -> Result<(), Problem> {
    let mut value = match (&replacement.value, &replacement.source) {
        (Some(text), _) => Node::text(text.clone()),
        (None, Some(source)) => source_value(source, layer)?,
        (None, None) => return Ok(()),
    };
    let own = replacement.source.as_ref().filter(|source| source.options.delimiter.is_empty());
    let own = own.and_then(|source| {
        let at = layer.objects.iter().position(|object| source.selects(object))?;
        Some(Own { at, path: paths::split(&source.field_path) })
    });
    for target in &replacement.targets {
        apply_target(replacement, target, &mut value, own.as_ref(), layer)?;
    }
    Ok(())
}

/// Where the value is from. For kustomize the value *is* that field: what is put into it is the value from then on, and
/// what is put below it is part of the value, the field that is made to put it into included.
struct Own {
    at: usize,
    path: Vec<String>,
}

impl Own {
    fn value(&self, node: &Node) -> Option<Node> {
        paths::lookup(node, &self.path).ok().flatten().cloned()
    }
}

fn source_value(source: &Source, layer: &Layer) -> Result<Node, Problem> {
    let problem = |message: String| Problem::at(source.place.clone(), message);
    let mut found = layer.objects.iter().filter(|object| source.selects(object));
    let (object, second) = (found.next(), found.next());
    let Some(object) = object else {
        return Err(problem("the source selects no object".to_owned()));
    };
    if let Some(second) = second {
        let message = format!("the source selects several objects: {} and {}", object.id(), second.id());
        return Err(problem(message).hint("add a name, a kind or a namespace"));
    }
    let missing = || problem(format!("{} has no {}", object.id(), source.field_path));
    let node = paths::lookup(&object.node, &paths::split(&source.field_path)).map_err(problem)?;
    let node = node.filter(|node| !node.is_empty()).ok_or_else(missing)?;
    if source.options.delimiter.is_empty() {
        return Ok(node.clone());
    }
    let Some(text) = node.scalar() else {
        return Err(problem(format!(
            "`delimiter` is for text, and {} is {}",
            source.field_path,
            node.what()
        )));
    };
    let index = usize::try_from(source.options.index).unwrap_or(usize::MAX);
    let part = text.split(&source.options.delimiter).nth(index);
    let part =
        part.ok_or_else(|| problem(format!("{} has no part {}", source.field_path, source.options.index)))?;
    Ok(Node::Text(Text::new(part, node.is_quoted())))
}

fn apply_target(
    replacement: &Replacement,
    target: &Target,
    value: &mut Node,
    own: Option<&Own>,
    layer: &mut Layer,
) -> Result<(), Problem> {
    let problem = |message: String| Problem::at(target.place.clone(), message);
    let Some(select) = &target.select else {
        return Ok(());
    };
    let select = Matcher::new(select).map_err(problem)?;
    let reject: Vec<Matcher> =
        target.reject.iter().map(Matcher::new).collect::<Result<_, _>>().map_err(problem)?;
    for (at, object) in layer.objects.iter_mut().enumerate() {
        let selects = |matcher: &Matcher| {
            let api_version = object.api_version();
            let one = |kind: &str, name: &str, namespace: &str| {
                matcher.fits_gvk(api_version, kind)
                    && matcher.fits_name(name)
                    && matcher.fits_namespace(namespace)
            };
            one(object.kind(), object.name(), object.namespace())
                || object.previous.iter().any(|was| one(&was.kind, &was.name, &was.namespace))
        };
        let rejects = |matcher: &Matcher| {
            (matcher.asks_for_labels() && matcher.fits_labels(object))
                || (matcher.has_names() && selects(matcher))
        };
        if !select.fits_labels(object) || !selects(&select) || reject.iter().any(rejects) {
            continue;
        }
        for (place, path) in &target.field_paths {
            let before = object.shared.values(&object.node);
            let own = own.filter(|own| own.at == at);
            set(&mut object.node, path, value, own, &target.options).map_err(|message| {
                Problem::at(place.clone(), format!("{path} of {}: {message}", object.id()))
            })?;
            if let Some(now) = own.and_then(|own| own.value(&object.node)) {
                *value = now;
            }
            object.shared.after_change(&mut object.node, &before);
        }
        object.touch("replacement", &replacement.place);
        if let Some(trace) = &mut object.trace {
            let from = replacement.source.as_ref().map(Source::words);
            trace.explain_last(&replacement.place, from.as_deref());
        }
    }
    Ok(())
}

fn set(
    node: &mut Node,
    path: &str,
    value: &Node,
    own: Option<&Own>,
    options: &Options,
) -> Result<(), String> {
    let parts = paths::split(path);
    if let Some(at) = structured_text(node, &parts) {
        return set_in_text(node, &parts, at, value, options);
    }
    let create = match (options.create, value) {
        (false, _) => Create::No,
        (true, Node::Map(_)) => Create::Map,
        (true, Node::List(_)) => Create::List,
        (true, _) => Create::Scalar,
    };
    let found = match own {
        None => paths::each(node, &parts, create, &mut |field| put(field, value, options))?,
        // One field after the other, for each may be the value's own.
        Some(own) => {
            let found = paths::each(node, &parts, create, &mut |_| Ok(()))?;
            for nth in 0..found {
                let now = own.value(node);
                let (value, mut at) = (now.as_ref().unwrap_or(value), 0..);
                paths::each(node, &parts, create, &mut |field| match at.next() == Some(nth) {
                    true => put(field, value, options),
                    false => Ok(()),
                })?;
            }
            found
        }
    };
    if found > 0 {
        return Ok(());
    }
    Err("there is no such field; `create: true` in `options` makes it".to_owned())
}

fn put(field: &mut Node, value: &Node, options: &Options) -> Result<(), String> {
    if !field.is_scalar() {
        if !options.delimiter.is_empty() {
            return Err(format!("`delimiter` is for text, and this is {}", field.what()));
        }
        *field = value.clone();
        return Ok(());
    }
    let Some(mut text) = value.scalar() else {
        return Err(format!("the source is {}, and this is {}", value.what(), field.what()));
    };
    if !options.delimiter.is_empty() {
        let old = field.scalar().unwrap_or_default();
        let mut parts: Vec<String> = old.split(&options.delimiter).map(str::to_owned).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, text),
            Ok(index) if index >= parts.len() => parts.push(text),
            Ok(index) => parts[index] = text,
        }
        text = parts.join(&options.delimiter);
    }
    *field = match &*field {
        Node::Text(old) => Node::Text(old.replaced_by(text)),
        other if fits(other, &text) => plain(&text),
        other => return Err(format!("the source does not fit: this is {}", other.what())),
    };
    Ok(())
}

/// Whether go-yaml reads a text back under the type that the field has. A whole number fits where a float stood.
fn fits(field: &Node, text: &str) -> bool {
    let (is, will_be) = (Looks::of(&field.scalar().unwrap_or_default()), Looks::of(text));
    is == will_be || (is, will_be) == (Looks::Float, Looks::Int)
}

/// How much of a path leads to a text that holds JSON or YAML, where more of the path follows.
fn structured_text(node: &Node, parts: &[String]) -> Option<usize> {
    (1..parts.len()).find(|at| {
        matches!(paths::lookup(node, &parts[..*at]), Ok(Some(found)) if found.is_scalar() && !found.is_null())
    })
}

fn set_in_text(
    node: &mut Node,
    parts: &[String],
    at: usize,
    value: &Node,
    options: &Options,
) -> Result<(), String> {
    let text = match paths::lookup(node, &parts[..at])? {
        Some(found) => found.scalar().unwrap_or_default(),
        None => return Ok(()),
    };
    let parsed: Result<Value, _> = serde_json::from_str(&text);
    let Some(parsed) = parsed.ok().filter(|parsed| parsed.is_object() || parsed.is_array()) else {
        return Err(
            "the path leads into text that is not JSON; only fields and JSON can be replaced".to_owned()
        );
    };
    let mut inner = Node::from(parsed);
    let rest = parts[at..].join(".").replace("\\", "");
    let create = if options.create { Create::Scalar } else { Create::No };
    let found = paths::each(&mut inner, &parts[at..], create, &mut |field| put(field, value, options))?;
    if found == 0 {
        return Err(format!("the JSON text has no {rest}"));
    }
    let value = inner.into_value();
    let written = match text.contains('\n') && text.contains("  ") {
        true => serde_json::to_string_pretty(&value),
        false => serde_json::to_string(&value),
    };
    let written = escape_html(&written.unwrap_or_default());
    paths::each(node, &parts[..at], Create::No, &mut |field| {
        *field = Node::quoted(written.clone());
        Ok(())
    })?;
    Ok(())
}

/// Go's JSON writes these three letters as escapes.
fn escape_html(text: &str) -> String {
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
