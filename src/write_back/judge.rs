//! Whether a changed tree is what was wished for: every app that reads a changed file is rendered as it was and as it is, and
//! what differs has to be a field that somebody wished for, with the value that was wished for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::edited::{Edited, Noting};
use super::refusal::Why;
use super::{App, Renderer, Wish};
use crate::object::field_path::{FieldPath, remove_field, set_field, value_at};
use crate::object::{AppName, EnvironmentName, ObjectKey, TreePath};

type Id = (EnvironmentName, AppName);
type Objects = BTreeMap<ObjectKey, Value>;

/// What an app rendered to, and which files it read for that.
#[derive(Clone)]
struct Render {
    read: BTreeSet<TreePath>,
    objects: Result<Objects, String>,
}

/// Knows what all apps render to.
pub(super) struct Judge<'a> {
    renderer: &'a dyn Renderer,
    wishes: &'a [Wish],
    /// Of the tree as it is so far.
    renders: BTreeMap<Id, Render>,
}

impl<'a> Judge<'a> {
    pub fn new(renderer: &'a dyn Renderer, wishes: &'a [Wish]) -> Self {
        Self { renderer, wishes, renders: BTreeMap::new() }
    }

    /// Whether a tree may go over to another for a wish. Where it may, that is the tree from now on.
    pub fn allows(&mut self, now: &Edited<'_>, then: &Edited<'_>, wish: &Wish) -> Result<(), Why> {
        let changed = then.differing(now);
        let mut fresh = BTreeMap::new();
        for app in self.renderer.apps() {
            if app.source.is_err() || !self.may_read(app, &changed) {
                continue;
            }
            let before = self.before(now, app).clone();
            if before.read.is_disjoint(&changed) {
                continue;
            }
            let after = render(self.renderer, then, app);
            self.compare(app, &before, &after)?;
            let (environment, name) = app.id();
            if environment == wish.environment && name == wish.app {
                is_fulfilled(wish, &after)?;
            }
            fresh.insert((environment, name), after);
        }
        // A file that its app does not read changes nothing of it.
        if !fresh.contains_key(&(wish.environment.clone(), wish.app.clone())) {
            return Err(Why::NotTheField("what it was".to_owned()));
        }
        self.renders.extend(fresh);
        Ok(())
    }

    /// Whether an app may read one of some files: of a chart that is known without helm.
    fn may_read(&self, app: &App, changed: &BTreeSet<TreePath>) -> bool {
        use crate::object::ChartValues;
        use crate::render::AppSource;
        let Ok(AppSource::Chart(request)) = &app.source else { return true };
        let chart = self.renderer.real(&request.chart);
        let values = request.values.iter().filter_map(|values| match values {
            ChartValues::File(path, _) => Some(self.renderer.real(path)),
            ChartValues::Inline(_) => None,
        });
        let values: BTreeSet<TreePath> = values.collect();
        changed.iter().any(|path| path.is_within(&chart) || values.contains(path))
    }

    fn before(&mut self, now: &Edited<'_>, app: &App) -> &Render {
        let renderer = self.renderer;
        self.renders.entry(app.id()).or_insert_with(|| render(renderer, now, app))
    }

    fn compare(&self, app: &App, before: &Render, after: &Render) -> Result<(), Why> {
        let (environment, name) = (app.environment.to_string(), app.name.to_string());
        let (before, after) = match (&before.objects, &after.objects) {
            (Ok(before), Ok(after)) => (before, after),
            (Err(_), _) => return Err(Why::Unknown { environment, app: name }),
            (Ok(_), Err(problem)) => {
                return Err(Why::Breaks { environment, app: name, problem: problem.clone() });
            }
        };
        let is_of = |wish: &&Wish| wish.environment == app.environment && wish.app == app.name;
        let wishes: Vec<&Wish> = self.wishes.iter().filter(is_of).collect();
        match difference(before, after, &wishes) {
            None => Ok(()),
            Some(what) => Err(Why::Another { environment, app: name, what }),
        }
    }
}

fn render(renderer: &dyn Renderer, tree: &Edited<'_>, app: &App) -> Render {
    let noting = Noting::new(tree);
    let objects = renderer.objects(&noting, app);
    let keyed = |objects: Vec<crate::object::Manifest>| {
        objects.iter().map(|object| (object.key(), object.value())).collect()
    };
    Render { objects: objects.map(keyed).map_err(|problems| problems.to_string()), read: noting.into_read() }
}

fn is_fulfilled(wish: &Wish, after: &Render) -> Result<(), Why> {
    let objects = after.objects.as_ref().map_err(|problem| Why::Broken(problem.clone()))?;
    let object = objects.get(&wish.object).or_else(|| {
        let mut renamed = objects.iter().filter(|(key, _)| is_renamed(&wish.object, key));
        renamed.next().filter(|_| renamed.next().is_none()).map(|(_, object)| object)
    });
    let object = object.ok_or(Why::NoSuchObject)?;
    match value_at(object, &wish.path) {
        found if found == wish.live.as_ref() => Ok(()),
        Some(found) => Err(Why::NotTheField(shown(found))),
        None => Err(Why::NotTheField("nothing".to_owned())),
    }
}

/// So many letters of a value are shown.
const SHOWN: usize = 60;

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// The letters of the hash that a generated name ends with.
const HASH: usize = 10;

/// Whether two keys are of one generated object, whose name ends with a hash of its content.
pub(super) fn is_renamed(before: &ObjectKey, after: &ObjectKey) -> bool {
    let stem = |key: &ObjectKey| {
        let (stem, hash) = key.name.rsplit_once('-')?;
        let is_hash = hash.len() == HASH && hash.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_hash.then(|| stem.to_owned())
    };
    matches!(&*before.kind, "ConfigMap" | "Secret")
        && (&before.group, &before.kind, &before.namespace) == (&after.group, &after.kind, &after.namespace)
        && stem(before).is_some_and(|stem_before| stem(after) == Some(stem_before))
}

/// What differs that nobody wished for.
fn difference(before: &Objects, after: &Objects, wishes: &[&Wish]) -> Option<String> {
    let (mut names, mut gone) = (BTreeMap::new(), Vec::new());
    for key in before.keys().filter(|key| !after.contains_key(key)) {
        let is_wished = wishes.iter().any(|wish| wish.object == *key || is_renamed(&wish.object, key));
        let mut new = after.keys().filter(|new| !before.contains_key(new) && is_renamed(key, new));
        match (new.next(), new.next()) {
            (Some(new), None) if is_wished => drop(names.insert(key.clone(), new.clone())),
            _ => gone.push(key),
        }
    }
    if let Some(key) = gone.first() {
        return Some(format!("{key}, which would be gone"));
    }
    if let Some(key) =
        after.keys().find(|key| !before.contains_key(key) && !names.values().any(|new| new == *key))
    {
        return Some(format!("{key}, which would be new"));
    }
    before.iter().find_map(|(key, object)| {
        let now = names.get(key).unwrap_or(key);
        let (mut expected, mut found) = (object.clone(), after.get(now)?.clone());
        if !names.is_empty() {
            let texts = names.iter().map(|(before, after)| (before.name.to_string(), after.name.to_string()));
            rename(&mut expected, &texts.collect());
        }
        for wish in wishes.iter().filter(|wish| wish.object == *key || is_renamed(&wish.object, key)) {
            match (&wish.live, value_at(&found, &wish.path)) {
                (Some(live), Some(value)) if live == value => {
                    set_field(&mut expected, &wish.path, live.clone());
                }
                (None, None) => {
                    remove_field(&mut expected, &wish.path);
                    // What holds nothing any more may go with its last field.
                    prune(&mut expected, &wish.path);
                    prune(&mut found, &wish.path);
                }
                _ => {}
            }
        }
        (expected != found).then(|| match first_difference(&expected, &found) {
            path if path.0.is_empty() => key.to_string(),
            path => format!("{key} .{path}"),
        })
    })
}

/// Puts new names in the place of old ones, wherever they stand.
fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = names.get(text.as_str()) {
                *text = new.clone();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Object(map) => map.values_mut().for_each(|value| rename(value, names)),
        _ => {}
    }
}

/// Takes away what is empty on the way to a field, from within.
fn prune(object: &mut Value, path: &FieldPath) {
    for length in (1..path.0.len()).rev() {
        let above = FieldPath(path.0[..length].to_vec());
        let is_empty = value_at(object, &above)
            .is_some_and(|value| value.as_object().is_some_and(serde_json::Map::is_empty) || value.is_null());
        if is_empty {
            remove_field(object, &above);
        }
    }
}

fn first_difference(one: &Value, other: &Value) -> FieldPath {
    use crate::object::field_path::{Part, path_of};
    fn walk(one: &Value, other: &Value, parts: &mut Vec<Part>) {
        match (one, other) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                if let Some(key) = keys.into_iter().find(|key| a.get(*key) != b.get(*key)) {
                    parts.push(Part::Key(key.clone()));
                    if let (Some(a), Some(b)) = (a.get(key), b.get(key)) {
                        walk(a, b, parts);
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                if let Some(at) = (0..a.len()).find(|at| a[*at] != b[*at]) {
                    parts.push(Part::At(at));
                    walk(&a[at], &b[at], parts);
                }
            }
            _ => {}
        }
    }
    let mut parts = Vec::new();
    walk(one, other, &mut parts);
    path_of(one, &parts)
}
