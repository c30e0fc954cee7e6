//! What helm answered, as objects: each with the template that it came from; or why there are none, in places of the tree.

use std::sync::Arc;

use serde_json::Value;

use super::Limits;
use super::chart_refusals::refusals;
use super::held::Held;
use super::load;
use super::resource::Resource;
use super::source::Text;
use crate::object::{
    Again, ChartFailure, ChartOutput, ChartRequest, EntryKind, Note, Place, Problem, Tree, TreePath,
};
use crate::yaml::Dialect;

const HOOK: &str = "helm.sh/hook";
/// Hooks that run when a release is deleted or rolled back. Nothing here ever does either by helm.
const NEVER: [&str; 4] = ["pre-delete", "post-delete", "pre-rollback", "post-rollback"];
/// So many differences of two renderings are named.
const NAMED: usize = 5;

pub(crate) fn objects(
    tree: &dyn Tree,
    request: &ChartRequest,
    answer: &Result<Arc<ChartOutput>, ChartFailure>,
    dialect: Dialect,
    limits: &Limits,
    held: &Held<'_>,
) -> Result<(Vec<Resource>, Vec<Note>), Vec<Problem>> {
    let output = match answer {
        Ok(output) => output,
        Err(ChartFailure::Refused(words)) => return Err(refusals(tree, request, words, &limits.yaml)),
        Err(
            ChartFailure::Input(problem) | ChartFailure::Exhausted(problem) | ChartFailure::Unable(problem),
        ) => return Err(vec![problem.clone()]),
    };
    let sources = Sources { tree, chart: &request.chart };
    let objects = sources.read(&output.text, dialect, limits, held)?;
    match &output.again {
        None => {}
        Some(Again::Text(again)) => {
            let again = sources.read(again, dialect, limits, held).unwrap_or_default();
            let found = differences(request, &objects, &again);
            if !found.is_empty() {
                return Err(found);
            }
        }
        Some(Again::Failed(words)) => {
            let mut found = refusals(tree, request, words, &limits.yaml);
            for problem in &mut found {
                problem.message = format!(
                    "with another clock and other chance helm refuses this chart: {}",
                    problem.message
                );
            }
            return Err(found);
        }
    }
    let (objects, left_out): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| !is_never_run(object));
    let mut notes: Vec<Note> = left_out
        .iter()
        .map(|object| Note {
            place: Some(object.origin.place.clone()),
            message: format!("{} is a hook of a deletion or a rollback, and is left out", object.id()),
        })
        .collect();
    notes.extend(output.warnings.iter().map(|warning| Note {
        place: Some(Place::file(request.chart.clone())),
        message: format!("helm: {warning}"),
    }));
    Ok((objects, notes))
}

fn is_never_run(object: &Resource) -> bool {
    let hook = object.texts("annotations").find(|(key, _)| *key == HOOK);
    hook.is_some_and(|(_, events)| {
        let mut events = events.split(',').map(str::trim).filter(|event| !event.is_empty()).peekable();
        events.peek().is_some() && events.all(|event| NEVER.contains(&event))
    })
}

/// Where the parts of an output come from.
struct Sources<'a> {
    tree: &'a dyn Tree,
    chart: &'a TreePath,
}

impl Sources<'_> {
    fn read(
        &self,
        text: &str,
        dialect: Dialect,
        limits: &Limits,
        held: &Held<'_>,
    ) -> Result<Vec<Resource>, Vec<Problem>> {
        let (mut objects, mut found) = (Vec::new(), Vec::new());
        let mut place = Place::file(self.chart.clone());
        for part in parts(text) {
            if let Some(source) = source(part) {
                place = Place::file(self.file(source));
            }
            // The lines are those of the output, which nobody sees.
            let text = Text::inline(&place, part, false);
            let read = held.nodes(&text, dialect, &place);
            match read.and_then(load::objects) {
                Ok(mut read) => objects.append(&mut read),
                Err(mut problems) => {
                    for problem in &mut problems {
                        problem.message = format!("in what this template renders to: {}", problem.message);
                    }
                    found.append(&mut problems);
                }
            }
            if objects.len() > limits.objects {
                found.push(Problem::at(place, format!("more than {} objects", limits.objects)));
                break;
            }
        }
        if found.is_empty() { Ok(objects) } else { Err(found) }
    }

    /// The file of the tree for `name-of-the-chart/templates/a.yaml`. A subchart may lie in a folder of another name, or
    /// in a package; then that folder or package stands for it.
    fn file(&self, source: &str) -> TreePath {
        let within = source.split_once('/').map_or("", |(_, within)| within);
        file_of(self.tree, self.chart, within)
    }
}

/// The deepest part of the path that is there.
pub(crate) fn file_of(tree: &dyn Tree, chart: &TreePath, within: &str) -> TreePath {
    let kind = |path: &TreePath| tree.kind(path).ok().flatten();
    if kind(chart) != Some(EntryKind::Folder) {
        return chart.clone();
    }
    let mut path = chart.clone();
    for part in within.split('/').filter(|part| !matches!(*part, "" | "." | "..")) {
        let next = path.child(part);
        if kind(&next).is_some() {
            path = next;
            continue;
        }
        if path.file_name() == "charts" {
            let packed = tree.list(&path).unwrap_or_default().into_iter().find(|entry| {
                entry.name.strip_prefix(part).is_some_and(|rest| rest.starts_with('-'))
                    && entry.name.ends_with(".tgz")
            });
            return packed.map_or(path.clone(), |entry| path.child(&entry.name));
        }
        break;
    }
    path
}

/// The documents of helm's output.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if at > 0 && (line.trim_end() == "---" || line.starts_with("--- ")) {
                rest = Some(&text[at..]);
                return Some(&text[..at]);
            }
            at += line.len();
        }
        rest = None;
        Some(text)
    })
}

/// helm writes above each part which template it is of.
fn source(part: &str) -> Option<&str> {
    let mut lines = part.lines().skip_while(|line| line.trim().is_empty() || line.trim_end() == "---");
    lines.next()?.strip_prefix("# Source: ").map(str::trim)
}

/// What differs between two renderings of one chart. Names and fields are told, never values.
fn differences(request: &ChartRequest, one: &[Resource], other: &[Resource]) -> Vec<Problem> {
    const HINT: &str = "the same input must give the same objects: see to it that no `now`, `rand…`, `uuidv4` or `gen…` \
                        of a template counts, by a value that stands in for it; `lookup` finds nothing here";
    let mut found = Vec::new();
    for (first, second) in one.iter().zip(other) {
        let (value, again) = (first.node.to_value(), second.node.to_value());
        if let Some(field) = first_difference(&value, &again) {
            let id = first.id();
            let message = match field.as_str() {
                "metadata.name" | "kind" => {
                    format!("a {} has another {field} each time the chart is rendered", first.kind())
                }
                _ => format!("{field} of {id} is another each time the chart is rendered"),
            };
            found.push(Problem::at(first.origin.place.clone(), message).hint(HINT));
        }
        if found.len() == NAMED {
            break;
        }
    }
    if found.is_empty() && one.len() != other.len() {
        let longer = if one.len() > other.len() { one } else { other };
        let place = longer.get(one.len().min(other.len())).map_or(&request.place, |it| &it.origin.place);
        let message = "the chart renders to another number of objects each time";
        found.push(Problem::at(place.clone(), message).hint(HINT));
    }
    found
}

fn first_difference(one: &Value, other: &Value) -> Option<String> {
    let below = |name: String, rest: String| match rest.as_str() {
        "" => name,
        rest if rest.starts_with('[') => format!("{name}{rest}"),
        rest => format!("{name}.{rest}"),
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            // What an object is called says most.
            let first = ["kind", "metadata"];
            let rest = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            let keys = first.into_iter().chain(rest.map(String::as_str).filter(|key| !first.contains(key)));
            keys.into_iter().find_map(|key| match (one.get(key), other.get(key)) {
                (None, None) => None,
                (Some(one), Some(other)) => {
                    first_difference(one, other).map(|rest| below(key.to_owned(), rest))
                }
                _ => Some(key.to_owned()),
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            let mut found = pairs.filter_map(|(nth, (one, other))| {
                first_difference(one, other).map(|rest| below(format!("[{nth}]"), rest))
            });
            found.next()
        }
        _ => (one != other).then(String::new),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::MemoryTree;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn parts_know_their_template() {
        let text = "---\n# Source: demo/crds/a.yaml\nkind: A\n---\nkind: B\n---\n# Source: demo/templates/b.yaml\n\
                    kind: C\ntext: |\n  ---\n  more\n";
        let found: Vec<_> = parts(text).map(source).collect();
        assert_eq!(found, [Some("demo/crds/a.yaml"), None, Some("demo/templates/b.yaml")]);
        assert_eq!(parts(text).collect::<String>(), text);
        assert_eq!(parts("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_template_is_a_file_of_the_tree_or_what_it_lies_in() {
        let tree = MemoryTree::new([
            ("charts/web/templates/a.yaml", ""),
            ("charts/web/charts/redis-1.2.3.tgz", ""),
            ("charts/web/charts/redis-cluster-1.tgz", ""),
        ])
        .unwrap();
        let file = |within| file_of(&tree, &path("charts/web"), within).to_string();
        assert_eq!(file("templates/a.yaml"), "charts/web/templates/a.yaml");
        assert_eq!(file("templates/none.yaml"), "charts/web/templates");
        assert_eq!(file("charts/redis/templates/x.yaml"), "charts/web/charts/redis-1.2.3.tgz");
        assert_eq!(file("charts/other/templates/x.yaml"), "charts/web/charts");
        assert_eq!(file("../../secret"), "charts/web");
    }

    #[test]
    fn a_difference_is_named_by_its_field() {
        let one = json!({"kind": "A", "metadata": {"name": "a"}, "spec": {"list": [{"x": 1}, {"x": 2}]}});
        let change = |pointer: &str, value: Value| {
            let mut other = one.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            first_difference(&one, &other)
        };
        assert_eq!(change("/spec/list/1/x", json!(3)).as_deref(), Some("spec.list[1].x"));
        assert_eq!(change("/spec/list", json!([])).as_deref(), Some("spec.list"));
        assert_eq!(change("/metadata/name", json!("b")).as_deref(), Some("metadata.name"));
        assert_eq!(change("/kind", json!("A")), None);
    }
}
