//! `helmCharts` in a kustomization: what each entry asks of helm, and what becomes of its output.
//!
//! As kustomize has it, but that helm is run by the shell: an entry whose answer is not there yet is asked for, and the
//! build is done anew with it.

use serde_json::{Map, Value};

use super::charts;
use super::cursor::{Cursor, Found};
use super::entries::{texts, with_object_fields};
use super::generators;
use super::kustomization::{At, Kustomization};
use super::layer::{Build, Layer};
use super::load::{Target, at};
use super::trace::Trace;
use crate::object::{ChartRequest, ChartValues, EntryKind, Place, Problem, TreeError, TreePath};
use crate::yaml::Dialect;

/// Where charts lie that nobody says otherwise of.
const HOME: &str = "charts";
/// helm's own, where no namespace is given.
const NAMESPACE: &str = "default";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Winner {
    /// What stands in the kustomization, over the file: `override`.
    #[default]
    Inline,
    /// What stands in the file: `merge`.
    File,
    /// The file counts for nothing: `replace`.
    InlineAlone,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct HelmChart {
    name: String,
    version: String,
    repo: String,
    release: String,
    namespace: String,
    values_file: Option<At<String>>,
    more_values: Vec<At<String>>,
    inline: Map<String, Value>,
    winner: Winner,
    crds: bool,
    skip_hooks: bool,
    skip_tests: bool,
    api_versions: Vec<String>,
    kube_version: String,
    /// How helm is to make the release's name.
    name_template: Option<At<String>>,
    home: Option<String>,
}

pub(crate) fn helm_chart(item: &Cursor<'_>, found: &mut Found) -> HelmChart {
    let mut chart = HelmChart::default();
    let known = [
        "name",
        "version",
        "repo",
        "releaseName",
        "namespace",
        "valuesFile",
        "additionalValuesFiles",
        "valuesInline",
        "valuesMerge",
        "includeCRDs",
        "skipHooks",
        "skipTests",
        "apiVersions",
        "kubeVersion",
        "nameTemplate",
        "debug",
        "devel",
    ];
    let mut known = with_object_fields(item, &known);
    // A plugin of its own says there where its charts are.
    if item.pointer().is_empty() {
        known.extend(["chartHome", "configHome"]);
    }
    for (name, field) in item.fields(&known, found) {
        match name {
            "name" => chart.name = field.text(found),
            "version" => chart.version = field.text(found),
            "repo" => chart.repo = field.text(found),
            "releaseName" => chart.release = field.text(found),
            "namespace" => chart.namespace = field.text(found),
            "valuesFile" => chart.values_file = path(&field, found),
            "additionalValuesFiles" => chart.more_values = texts(&field, found),
            "valuesInline" => chart.inline = inline(&field, found),
            "valuesMerge" => chart.winner = merge(&field, found),
            "includeCRDs" => chart.crds = field.bool(found),
            "skipHooks" => chart.skip_hooks = field.bool(found),
            "skipTests" => chart.skip_tests = field.bool(found),
            "apiVersions" => {
                chart.api_versions = field.texts(found).into_iter().map(|(_, text)| text).collect()
            }
            "kubeVersion" => chart.kube_version = field.text(found),
            "nameTemplate" => {
                let it = field.text(found);
                chart.name_template = (!it.is_empty()).then(|| At { place: field.place(), it });
            }
            "debug" | "devel" => drop(field.bool(found)),
            "chartHome" => chart.home = Some(field.text(found)).filter(|home| !home.is_empty()),
            _ => {}
        }
    }
    if let Some(name) = chart.name_template.as_ref().filter(|name| is_name(&name.it))
        && chart.release.is_empty()
    {
        chart.release.clone_from(&name.it);
        chart.name_template = None;
    }
    check(item, &chart, found);
    chart
}

/// A template in which nothing is to be made is the name itself.
fn is_name(template: &str) -> bool {
    !template.contains("{{")
}

/// The old field of the same purpose. What kustomize does not take over from it, it does not take over either.
pub(crate) fn old_helm_chart(item: &Cursor<'_>, found: &mut Found) -> HelmChart {
    let mut chart = HelmChart::default();
    let known = [
        "chartName",
        "chartVersion",
        "chartRepoUrl",
        "chartHome",
        "chartRepoName",
        "helmBin",
        "helmHome",
        "values",
        "valuesLocal",
        "valuesMerge",
        "releaseName",
        "releaseNamespace",
        "extraArgs",
    ];
    for (name, field) in item.fields(&known, found) {
        match name {
            "chartName" => chart.name = field.text(found),
            "chartVersion" => chart.version = field.text(found),
            "chartRepoUrl" => chart.repo = field.text(found),
            "chartHome" => chart.home = Some(field.text(found)).filter(|home| !home.is_empty()),
            "values" => chart.values_file = path(&field, found),
            "valuesLocal" => chart.inline = inline(&field, found),
            "valuesMerge" => chart.winner = merge(&field, found),
            "releaseName" => chart.release = field.text(found),
            "extraArgs" if !field.items(found).is_empty() => {
                found.push(field.problem("`extraArgs` does nothing").hint("leave it away"));
            }
            "extraArgs" => {}
            _ => drop(field.text(found)),
        }
    }
    check(item, &chart, found);
    chart
}

pub(crate) fn chart_home(field: &Cursor<'_>, found: &mut Found) -> Option<String> {
    let mut home = None;
    for (name, field) in field.fields(&["chartHome", "configHome"], found) {
        let text = field.text(found);
        if name == "chartHome" && !text.is_empty() {
            home = Some(text);
        }
    }
    home
}

fn path(field: &Cursor<'_>, found: &mut Found) -> Option<At<String>> {
    let it = field.text(found);
    (!it.is_empty()).then(|| At { place: field.place(), it })
}

fn inline(field: &Cursor<'_>, found: &mut Found) -> Map<String, Value> {
    match field.value() {
        Value::Object(map) => map.clone(),
        _ => {
            found.push(field.problem("values must be a map"));
            Map::new()
        }
    }
}

fn merge(field: &Cursor<'_>, found: &mut Found) -> Winner {
    match field.text(found).as_str() {
        "" | "override" => Winner::Inline,
        "merge" => Winner::File,
        "replace" => Winner::InlineAlone,
        _ => {
            found.push(field.problem("`valuesMerge` must be override, merge or replace"));
            Winner::default()
        }
    }
}

fn check(item: &Cursor<'_>, chart: &HelmChart, found: &mut Found) {
    if chart.name.is_empty() {
        found.push(item.problem("this chart has no `name`"));
        return;
    }
    for (field, text) in [("name", &chart.name), ("releaseName", &chart.release)] {
        if text.starts_with('-') {
            found.push(item.problem(format!("`{field}` must not begin with `-`")));
        }
    }
    if let Some(name) = &chart.name_template {
        let problem = match chart.release.is_empty() {
            true => Problem::at(name.place.clone(), "a `nameTemplate` that makes a name is not taken")
                .hint("say the name itself, as `releaseName`"),
            false => Problem::at(name.place.clone(), "both `releaseName` and `nameTemplate` say the name")
                .hint("helm takes one of them"),
        };
        found.push(problem);
    } else if chart.release.is_empty() {
        let problem = item.problem(format!("the chart {} has no `releaseName`", chart.name));
        found.push(problem.hint("helm would make one of the time, and so another each time"));
    }
}

/// Adds what the charts of a kustomization render to.
pub(crate) fn generate(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    layer: &mut Layer,
) {
    for chart in &kustomization.charts {
        one(build, folder, kustomization, chart, layer);
    }
}

pub(crate) fn one(
    build: &mut Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    chart: &At<HelmChart>,
    layer: &mut Layer,
) {
    let request = request(build, folder, kustomization, chart);
    let Some(request) = build.keep(request) else { return };
    let Some(answer) = build.files.charts.get(&request) else {
        build.needed.push(request);
        return;
    };
    let tree = build.files.tree;
    let read =
        charts::objects(tree, &request, answer, Dialect::Kustomize, build.files.limits, &build.files.held);
    let Some((objects, mut notes)) = build.keep_all(read) else { return };
    build.notes.append(&mut notes);
    for mut object in objects {
        object.is_of_helm = true;
        object.trace = build.traces.is_some().then(|| Trace::start(&object.node));
        build.mark_generated(kustomization, &mut object, "HelmChartInflationGenerator");
        let place = object.origin.place.clone();
        generators::absorb(build, &place, object, layer);
    }
}

fn request(
    build: &Build<'_>,
    folder: &TreePath,
    kustomization: &Kustomization,
    At { place, it: chart }: &At<HelmChart>,
) -> Result<ChartRequest, Problem> {
    let home = chart.home.as_ref().or(kustomization.chart_home.as_ref()).map_or(HOME, String::as_str);
    let home = folder.join(home).map_err(|error| at(place, &error))?;
    // Where kustomize would have put what it fetched.
    let home = match chart.version.is_empty() || chart.repo.is_empty() {
        true => home,
        false => home.child(&format!("{}-{}", chart.name, chart.version)),
    };
    let path = home.join(&chart.name).map_err(|error| at(place, &error))?;
    match build.files.tree.kind(&path).map_err(|error| at(place, &error))? {
        Some(EntryKind::Folder) => {}
        _ if !chart.repo.is_empty() => {
            let message = format!(
                "the chart {} is to come from a repository on the network, and nothing is ever fetched",
                chart.name
            );
            let hint = format!("commit the chart as the folder {path}: `helm pull --untar` fetches it");
            return Err(Problem::at(place.clone(), message).hint(hint));
        }
        Some(EntryKind::File) => return Err(at(place, &TreeError::NotAFolder { path })),
        _ => return Err(at(place, &TreeError::Missing { path })),
    }
    Ok(ChartRequest {
        place: place.clone(),
        values: values(build, folder, &path, place, chart)?,
        chart: path,
        release: chart.release.clone(),
        namespace: Some(chart.namespace.as_str()).filter(|it| !it.is_empty()).unwrap_or(NAMESPACE).to_owned(),
        crds: chart.crds,
        hooks: !chart.skip_hooks,
        tests: !chart.skip_tests,
        kube_version: Some(chart.kube_version.clone()).filter(|version| !version.is_empty()),
        api_versions: chart.api_versions.clone(),
    })
}

fn values(
    build: &Build<'_>,
    folder: &TreePath,
    path: &TreePath,
    place: &Place,
    chart: &HelmChart,
) -> Result<Vec<ChartValues>, Problem> {
    let file = |named: &At<String>| match build.files.resolve(folder, &named.it, &named.place)? {
        Target::File(path) => Ok((path, named.place.clone())),
        Target::Folder(path) => Err(at(&named.place, &TreeError::NotAFile { path })),
    };
    let own = match &chart.values_file {
        Some(named) => Some(file(named)?),
        None => {
            let own = path.child("values.yaml");
            let kind = build.files.tree.kind(&own).map_err(|error| at(place, &error))?;
            (kind == Some(EntryKind::File)).then(|| (own, place.clone()))
        }
    };
    let mut values = Vec::new();
    match own {
        Some((path, place)) if chart.inline.is_empty() => values.push(ChartValues::File(path, place)),
        None if chart.inline.is_empty() => {}
        own => {
            let inline = Value::Object(chart.inline.clone());
            let file = || own.map_or(Ok(Value::Null), |(path, place)| read(build, &path, &place));
            let merged = match chart.winner {
                Winner::InlineAlone => inline,
                Winner::Inline => laid_over(file()?, inline),
                Winner::File => laid_over(inline, file()?),
            };
            values.push(ChartValues::Inline(merged.to_string()));
        }
    }
    for named in &chart.more_values {
        let (path, place) = file(named)?;
        values.push(ChartValues::File(path, place));
    }
    Ok(values)
}

fn read(build: &Build<'_>, path: &TreePath, place: &Place) -> Result<Value, Problem> {
    let text = build.files.text(path, place)?;
    let documents = text.documents(Dialect::Kustomize, &build.files.limits.yaml)?;
    let value = documents.first().map_or(&Value::Null, |document| document.value());
    match value {
        Value::Object(_) | Value::Null => Ok(value.clone()),
        _ => Err(Problem::at(Place::file(path.clone()), "values must be a map")),
    }
}

/// Maps are merged, all else is replaced, and what is null goes.
fn laid_over(mut below: Value, above: Value) -> Value {
    lay_over(&mut below, above);
    below
}

fn lay_over(below: &mut Value, above: Value) {
    let Value::Object(above) = above else {
        if !above.is_null() || !below.is_object() {
            *below = above;
        }
        return;
    };
    if !below.is_object() {
        *below = Value::Object(Map::new());
    }
    let Value::Object(below) = below else { return };
    for (key, value) in above {
        if value.is_null() {
            below.remove(&key);
        } else {
            lay_over(below.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_laid_over_one_another_as_kustomize_does() {
        let mut below = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "gone": {"x": 1}, "text": "t"});
        lay_over(
            &mut below,
            json!({"a": {"b": 3, "d": {"e": null}}, "list": [5], "gone": null, "new": true}),
        );
        assert_eq!(below, json!({"a": {"b": 3, "c": 2, "d": {}}, "list": [5], "text": "t", "new": true}));
        let mut nothing = Value::Null;
        lay_over(&mut nothing, json!({"a": 1}));
        assert_eq!(nothing, json!({"a": 1}));
    }
}
