//! helm's words about a chart that it refuses, as problems at places of the tree.
//!
//! Whatever a template says by `fail` and `required` comes through. What helm quotes of values does not: they may be
//! secret. Words that are not known here come through as they are, cut to a size that a status can hold.

use serde_json::Value;

use super::charts::file_of;
use crate::object::{ChartRequest, ChartValues, Place, Problem, Tree, TreePath};
use crate::yaml::{self, Dialect};

/// Characters of one message. A template that calls itself is told of in many thousands.
const LONGEST: usize = 600;

pub(crate) fn refusals(
    tree: &dyn Tree,
    request: &ChartRequest,
    words: &str,
    limits: &yaml::Limits,
) -> Vec<Problem> {
    let about = About { tree, request, limits };
    let words = words.trim();
    if let Some((_, missing)) = words.split_once("found in Chart.yaml, but missing in charts/ directory: ") {
        let name = missing.lines().next().unwrap_or_default();
        let place = about.place("Chart.yaml", 0, 0);
        let chart = &request.chart;
        let message = format!("the chart needs {name}, which its folder charts/ does not hold");
        let hint = format!(
            "nothing is fetched: run `helm dependency build {chart}` and commit what it puts into {chart}/charts"
        );
        return vec![Problem::at(place, message).hint(hint)];
    }
    if words.contains("don't meet the specifications of the schema") {
        let found = about.schema(words);
        if !found.is_empty() {
            return found;
        }
    }
    if let Some(problem) = about.values_file(words).or_else(|| about.template(words)) {
        return vec![problem];
    }
    let hint = words.contains("library charts are not installable").then_some("name a chart that uses it");
    let problem =
        Problem::at(request.place.clone(), format!("helm refuses {}: {}", request.chart, cut(words)));
    vec![hint.map_or_else(|| problem.clone(), |hint| problem.clone().hint(hint))]
}

struct About<'a> {
    tree: &'a dyn Tree,
    request: &'a ChartRequest,
    limits: &'a yaml::Limits,
}

impl About<'_> {
    /// A place of the chart, by its path in the chart. A line counts only where the very file is there.
    fn place(&self, within: &str, line: u32, column: u32) -> Place {
        let path = file_of(self.tree, &self.request.chart, within);
        match path.as_str().ends_with(within) {
            true => Place::at(path, line, column),
            false => Place::file(path),
        }
    }

    /// `name/templates/a.yaml:3:6`, as helm writes it.
    fn at(&self, text: &str) -> Option<Place> {
        let (_, within) = text.split_once('/')?;
        let mut parts = within.split(':');
        let path = parts.next()?;
        let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        let line = number();
        Some(self.place(path, line, number()))
    }

    fn template(&self, words: &str) -> Option<Problem> {
        for known in ["execution error at (", "parse error at ("] {
            if let Some((_, rest)) = words.split_once(known)
                && let Some((place, message)) = rest.split_once("): ")
            {
                return Some(Problem::at(self.at(place)?, cut(message)));
            }
        }
        if let Some((_, rest)) = words.split_once("YAML parse error on ")
            && let Some((path, message)) = rest.split_once(": ")
        {
            let message = message.strip_prefix("error converting YAML to JSON: ").unwrap_or(message);
            let message =
                format!("what this template renders to is no YAML: {}", cut(&without_values(message)));
            return Some(Problem::at(self.at(path)?, message));
        }
        // `name/templates/a.yaml:1:10`, then what was being done, then why it failed, each on lines of their own.
        let (first, rest) = words.split_once('\n').unwrap_or((words, ""));
        if let Some((_, within)) = first.split_once('/')
            && within.contains(':')
            && !first.contains(' ')
        {
            let mut lines = rest.lines().map(str::trim).filter(|line| !line.is_empty());
            let doing = lines.next().unwrap_or_default().trim_end_matches(':').to_owned();
            let why: Vec<&str> = lines.collect();
            let doing = doing.split_once(" at ").map_or("", |(_, at)| at);
            let message = match (why.join(" "), doing) {
                (why, "") => why,
                (why, doing) => format!("{why} (at {doing})"),
            };
            return Some(Problem::at(self.at(first)?, cut(&message)));
        }
        let (_, rest) = words.split_once("template: ")?;
        let (place, message) = rest.split_once(": ")?;
        Some(Problem::at(self.at(place)?, cut(message)))
    }

    /// `failed to parse values/0.yaml: …`: the files have these names where helm works.
    fn values_file(&self, words: &str) -> Option<Problem> {
        let (_, rest) = words.split_once("failed to parse ")?;
        let (name, message) = rest.split_once(": ")?;
        let number: usize = name.rsplit('/').next()?.strip_suffix(".yaml")?.parse().ok()?;
        let (ChartValues::File(path, _), message) = (self.request.values.get(number)?, message) else {
            return None;
        };
        let message = message.rsplit_once("yaml: ").map_or(message, |(_, message)| message);
        let (line, message) = match message.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
            Some((line, message)) => (line.parse().unwrap_or(0), message),
            None => (0, message),
        };
        let place = Place::at(path.clone(), line, 1);
        Some(Problem::at(place, format!("these values cannot be read: {}", cut(&without_values(message)))))
    }

    /// Each finding of `values.schema.json`, at the value that it is about.
    fn schema(&self, words: &str) -> Vec<Problem> {
        let (mut found, mut chart) = (Vec::new(), String::new());
        for line in words.lines().skip(1) {
            let text = line.trim_start();
            if let Some((pointer, message)) = text
                .strip_prefix("- at '")
                .and_then(|rest| rest.split_once("': "))
                .filter(|(_, message)| *message != "validation failed")
            {
                let pointer = pointer.split(' ').next().unwrap_or_default();
                let place = self.value(pointer, &chart);
                let name = pointer.trim_start_matches('/').replace('/', ".");
                let name =
                    if name.is_empty() { "the values".to_owned() } else { format!("the value {name}") };
                let message = format!("{name}: {}", cut(&without_values(message)));
                let schema = file_of(self.tree, &self.request.chart, "values.schema.json");
                found.push(Problem::at(place, message).hint(format!("so says {schema}")));
            } else if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with([' ', '-'])) {
                chart = name.to_owned();
            }
        }
        found
    }

    /// Where a value is given last: in a file, else in the chart's own. A subchart's values stand below its name.
    fn value(&self, pointer: &str, chart: &str) -> Place {
        let own = self.request.chart.child("values.yaml");
        let given = self.request.values.iter().rev().filter_map(|values| match values {
            ChartValues::File(path, _) => Some(path),
            ChartValues::Inline(_) => None,
        });
        let candidates = [format!("/{chart}{pointer}"), pointer.to_owned()];
        for path in given.chain([&own]) {
            let Some(document) = self.document(path) else { continue };
            for pointer in candidates.iter().filter(|pointer| !pointer.is_empty()) {
                if document.value().pointer(pointer).is_some() {
                    return document.place_of(pointer);
                }
            }
        }
        self.request.place.clone()
    }

    fn document(&self, path: &TreePath) -> Option<yaml::Document> {
        let blob = self.tree.read(path, self.limits.file_bytes).ok()?;
        let documents = yaml::read(&blob.bytes, path, Dialect::Config, self.limits).ok()?;
        documents.into_iter().next().filter(|document| matches!(document.value(), Value::Object(_)))
    }
}

/// What checkers quote of a value: `'…' does not match …`, `cannot unmarshal !!str `…` into …`.
fn without_values(message: &str) -> String {
    if let Some(rest) = message.strip_prefix('\'')
        && let Some((_, rest)) = rest.split_once("' ")
    {
        return format!("it {rest}");
    }
    let mut text = String::new();
    for (nth, part) in message.split('`').enumerate() {
        text.push_str(if nth % 2 == 0 { part } else { "`…`" });
    }
    text
}

fn cut(message: &str) -> String {
    let message = message.trim();
    match message.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &message[..at]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::MemoryTree;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn told(words: &str) -> Vec<String> {
        let tree = MemoryTree::new([
            ("charts/web/templates/b.yaml", ""),
            ("charts/web/Chart.yaml", ""),
            ("charts/web/values.schema.json", ""),
            ("charts/web/values.yaml", "a: 1\nauth:\n  name: abc\n"),
            ("env/web.yaml", "# mine\nauth:\n  port: eighty\n"),
        ])
        .unwrap();
        let place = Place::at(path("environments/dev/environment.yaml"), 5, 3);
        let request = ChartRequest {
            place: place.clone(),
            chart: path("charts/web"),
            values: vec![ChartValues::File(path("env/web.yaml"), place)],
            release: "web".to_owned(),
            namespace: "web".to_owned(),
            crds: true,
            hooks: true,
            tests: true,
            kube_version: None,
            api_versions: Vec::new(),
        };
        refusals(&tree, &request, words, &yaml::Limits::default()).iter().map(ToString::to_string).collect()
    }

    /// helm's own words, version 4.3.1.
    #[test]
    fn what_helm_says_is_told_at_its_place() {
        let cases = [
            (
                "execution error at (demo/templates/b.yaml:3:6): need .Values.foo here",
                "charts/web/templates/b.yaml:3: need .Values.foo here",
            ),
            (
                "parse error at (demo/templates/b.yaml:2): missing value for if",
                "charts/web/templates/b.yaml:2: missing value for if",
            ),
            (
                "YAML parse error on demo/templates/b.yaml: error converting YAML to JSON: yaml: line 3: mapping \
                 values are not allowed in this context",
                "charts/web/templates/b.yaml: what this template renders to is no YAML: yaml: line 3: mapping \
                 values are not allowed in this context",
            ),
            (
                "demo/templates/b.yaml:1:10\n  executing \"demo/templates/b.yaml\" at <.Values.auth.name.foo.bar>:\n    \
                 can't evaluate field foo in type interface {}",
                "charts/web/templates/b.yaml:1: can't evaluate field foo in type interface {} (at \
                 <.Values.auth.name.foo.bar>)",
            ),
            (
                "template: demo/templates/b.yaml:1:48: executing \"x\" at <include>: error calling include",
                "charts/web/templates/b.yaml:1: executing \"x\" at <include>: error calling include",
            ),
            (
                "failed to parse values/0.yaml: cannot unmarshal yaml document: error converting YAML to JSON: yaml: \
                 line 7: did not find expected node content",
                "env/web.yaml:7: these values cannot be read: did not find expected node content",
            ),
            (
                "an error occurred while checking for chart dependencies. You may need to run 'helm dependency \
                 build' to fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: redis",
                "charts/web/Chart.yaml: the chart needs redis, which its folder charts/ does not hold (nothing is \
                 fetched: run `helm dependency build charts/web` and commit what it puts into charts/web/charts)",
            ),
            (
                "chart requires kubeVersion: >=1.99 which is incompatible with Kubernetes v1.37.0",
                "environments/dev/environment.yaml:5: helm refuses charts/web: chart requires kubeVersion: >=1.99 \
                 which is incompatible with Kubernetes v1.37.0",
            ),
        ];
        for (words, expected) in cases {
            assert_eq!(told(words), [expected]);
        }
    }

    #[test]
    fn a_schema_is_told_at_the_value_and_without_it() {
        let words = "values don't meet the specifications of the schema(s) in the following chart(s):\ndemo:\n\
                     - at '': missing property 'foo'\n- at '/auth': validation failed\n  \
                     - at '/auth/name': 'abc' does not match pattern '^x'\n  \
                     - at '/auth/port': got string, want integer\n";
        assert_eq!(
            told(words),
            [
                "environments/dev/environment.yaml:5: the values: missing property 'foo' (so says \
                 charts/web/values.schema.json)",
                "charts/web/values.yaml:3: the value auth.name: it does not match pattern '^x' (so says \
                 charts/web/values.schema.json)",
                "env/web.yaml:3: the value auth.port: got string, want integer (so says \
                 charts/web/values.schema.json)",
            ]
        );
    }

    #[test]
    fn what_never_ends_is_cut() {
        let words = format!("template: demo/templates/b.yaml:1:2: {}", "again and ".repeat(1_000));
        let [problem] = told(&words).try_into().expect("one problem");
        assert!(problem.ends_with('…') && problem.chars().count() < 700, "{problem}");
    }
}
