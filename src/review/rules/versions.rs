//! API versions that are not served, and charts that jump.

use std::collections::BTreeMap;

use serde_json::Value;

use super::images::major;
use super::{Found, Scene};
use crate::object::Gvk;
use crate::review::compare::Delta;
use crate::review::input::Target;
use crate::review::risk::{Risk, RiskClass, Severity};

pub fn judge(delta: &Delta, scene: &Scene<'_>, found: &mut Found) {
    let Some(after) = &delta.after else { return };
    let gvk = &after.wanted.gvk;
    let is_new = delta.before.as_ref().is_none_or(|before| before.wanted.gvk != *gvk);
    if is_new && let Some(what) = unserved(gvk, scene) {
        let message = format!("{}: {what}", delta.key);
        found.at(delta, (RiskClass::RemovedApi, Severity::Error), Some(".apiVersion".to_owned()), message);
    }
    if delta.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        let has = served(delta.after());
        for gone in served(delta.before()).into_iter().filter(|version| !has.contains(version)) {
            let message =
                format!("{} serves {gone} no longer, and objects written in it are refused", delta.key);
            found.say(delta, (RiskClass::RemovedApi, Severity::Warning), message);
        }
    }
}

fn served(definition: &Value) -> Vec<&str> {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    versions
        .filter(|version| version["served"] == true)
        .filter_map(|version| version["name"].as_str())
        .collect()
}

fn unserved(gvk: &Gvk, scene: &Scene<'_>) -> Option<String> {
    let Target { serves, release } = &scene.change.target;
    if serves.is_some_and(|kinds| kinds.serves(gvk)) || scene.is_defined(gvk) {
        return None;
    }
    let api = gvk.api_version();
    if let Some(removed) = release.removed(gvk) {
        let instead = removed.instead.as_ref().map_or(String::new(), |instead| format!("; write {instead}"));
        return Some(format!("Kubernetes {} removed {api} of this kind{instead}", removed.release));
    }
    match serves {
        Some(_) => Some(format!("the server does not serve {api}, kind {}", gvk.kind)),
        None if release.owns_group(&gvk.group) && release.kind(gvk).is_none() => {
            Some(format!("Kubernetes {} has no {api}, kind {}", release.release(), gvk.kind))
        }
        None => None,
    }
}

/// Charts by name and version: those that apps are rendered from, and those that objects say they are of.
pub fn charts(scene: &Scene<'_>, found: &mut Found) {
    // By app and chart: from, to, and who says so.
    let mut jumps: BTreeMap<(String, String), (String, String, Option<&Delta>)> = BTreeMap::new();
    for side in scene.change.after.iter().flatten() {
        let old = scene.change.before.iter().find(|old| old.app == side.app);
        if let (Some((name, to)), Some((old_name, from))) =
            (&side.chart, old.and_then(|old| old.chart.as_ref()))
            && name == old_name
        {
            jumps.insert((side.app.to_string(), name.clone()), (from.clone(), to.clone(), None));
        }
    }
    for delta in &scene.deltas {
        for ((name, to), (old_name, from)) in
            labelled(delta.after()).into_iter().zip(labelled(delta.before()))
        {
            if name == old_name {
                let place = (delta.app().to_string(), name);
                jumps.entry(place).or_insert((from, to, Some(delta)));
            }
        }
    }
    for ((app, name), (from, to, delta)) in jumps {
        if let (Some(before), Some(after)) = (major(&from), major(&to))
            && before != after
        {
            found.push(Risk {
                app: Some(app),
                object: delta.map(|delta| delta.key.to_string()),
                place: delta.map(|delta| delta.place().clone()),
                ..Risk::new(
                    RiskClass::ChartMajor,
                    Severity::Warning,
                    format!("the chart {name} jumps from {from} to {to}"),
                )
            });
        }
    }
}

/// The chart that an object says it is of, or that it wants somebody else to deploy.
fn labelled(object: &Value) -> Option<(String, String)> {
    let own = |text: &Value| text.as_str().map(str::to_owned);
    if let Some(label) = object["metadata"]["labels"]["helm.sh/chart"].as_str() {
        let at = label.match_indices('-').map(|(at, _)| at).find(|&at| {
            let rest = label.get(at + 1..).unwrap_or_default();
            rest.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()) && rest.contains('.')
        })?;
        return Some((label.get(..at)?.to_owned(), label.get(at + 1..)?.to_owned()));
    }
    match object["kind"].as_str()? {
        "HelmRelease" => {
            let spec = &object["spec"]["chart"]["spec"];
            Some((own(&spec["chart"])?, own(&spec["version"])?))
        }
        "Application" => {
            let source = &object["spec"]["source"];
            Some((own(&source["chart"])?, own(&source["targetRevision"])?))
        }
        _ => None,
    }
}
