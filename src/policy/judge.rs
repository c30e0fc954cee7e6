//! Holds what an app wants against everything that its environment is granted. Lists all that is found, at its place.

use serde_json::Value;

use super::grants::Grants;
use super::hosts::{self, Host};
use super::image::Image;
use super::sources::{self, Source, SourceKind};
use super::workload;
use crate::api::Severity;
use crate::object::{KindScope, Kinds, ObjectKey, Place, Problem, Problems, host};
use crate::plan::{Wanted, WantedApp};

/// Something that the platform does not let, or would rather not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The object that it is about; none where the limits themselves are wrong.
    pub key: Option<ObjectKey>,
    /// Where that is written.
    pub place: Option<Place>,
    /// The field, as a JSON pointer; the object as a whole where it is empty.
    pub pointer: String,
    pub severity: Severity,
    pub message: String,
    pub hint: Option<&'static str>,
}

impl Finding {
    pub fn problem(self) -> Problem {
        let problem = Problem { place: self.place, message: self.message, hint: None };
        match self.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

/// All that refuses, as one refusal.
pub fn refusal(findings: Vec<Finding>) -> Result<(), Problems> {
    let denied = findings.into_iter().filter(|finding| finding.severity == Severity::Deny);
    Problems::check(denied.map(Finding::problem).collect())
}

impl Grants {
    /// Everything about an app that is not granted, or that the limits forbid or warn of. `kinds` are those that are known;
    /// one that is unknown and in no namespace is left to the server, which says so by itself.
    pub fn judge(&self, app: &WantedApp, kinds: &Kinds) -> Vec<Finding> {
        let defined = defined_here(app, kinds);
        let is_cluster_scoped = |key: &ObjectKey| {
            let known = kinds.get(&key.group, &key.kind).map(|info| info.scope);
            known == Some(KindScope::Cluster)
                || defined.iter().any(|(group, kind)| **group == *key.group && **kind == *key.kind)
        };
        self.judge_by(app, &is_cluster_scoped)
    }

    /// The same of what was written once: all that is in no namespace is cluster-scoped.
    pub fn judge_written(&self, app: &WantedApp) -> Vec<Finding> {
        self.judge_by(app, &|_| true)
    }

    fn judge_by(&self, app: &WantedApp, is_cluster_scoped: &dyn Fn(&ObjectKey) -> bool) -> Vec<Finding> {
        let environment = &self.environment;
        let broken = self.problems().into_iter().map(|what| Finding {
            key: None,
            place: None,
            pointer: String::new(),
            severity: Severity::Deny,
            message: format!("the limits of the Environment {environment} cannot be read: {what}"),
            hint: Some("nothing is written until the platform puts this right"),
        });
        let mut found: Vec<Finding> = broken.collect();
        for wanted in app.all() {
            if (wanted.key.namespace.is_some() || is_cluster_scoped(&wanted.key))
                && let Err(why) = self.may_touch(&wanted.key)
            {
                let message = format!("{} {why} (Environment {environment})", wanted.key);
                found.push(finding(wanted, "", message, Some(why.hint())));
            }
            if self.looks_into(&wanted.key) {
                self.judge_content(wanted, &wanted.value(), &mut found);
            }
        }
        found
    }

    /// Whether anything is to be seen in objects of this kind: most need not be looked into.
    fn looks_into(&self, key: &ObjectKey) -> bool {
        let names_remotes = self.chart_hosts.is_some() || self.git_hosts.is_some();
        self.registries.is_some() || names_remotes || self.policies.concern(key)
    }

    fn judge_content(&self, wanted: &Wanted, object: &Value, found: &mut Vec<Finding>) {
        let environment = &self.environment;
        let key = &wanted.key;
        if let Some(registries) = &self.registries {
            for (pointer, text) in workload::images(key, object) {
                let image = text.as_str().and_then(Image::read);
                let what = match &image {
                    Some(image) if registries.iter().any(|allowed| image.is_from(allowed)) => continue,
                    Some(image) => format!(
                        "takes the image {image} from a registry that the Environment {environment} does not allow"
                    ),
                    None => "names an image by something that is no reference".to_owned(),
                };
                let hint = Some("spec.registries lists where images may come from");
                found.push(finding(wanted, &pointer, format!("{key} {what}"), hint));
            }
        }
        for (pointer, kind, url) in sources::of_object(key, object) {
            if let Err(what) = self.may_name(kind, url) {
                let message = format!("{key} {what} (Environment {environment})");
                found.push(finding(wanted, &pointer, message, Some(hint_of(kind))));
            }
        }
        for broken in self.policies.broken(key, object) {
            let message = format!("{key} breaks the policy {}: {}", broken.policy, broken.what);
            let severity = broken.severity;
            found.push(Finding { severity, ..finding(wanted, &broken.pointer, message, None) });
        }
    }

    /// Whether any policy only warns.
    pub fn warns(&self) -> bool {
        self.policies.warn()
    }

    /// Whether it is limited which remotes may be named.
    pub fn limits_sources(&self) -> bool {
        self.chart_hosts.is_some() || self.git_hosts.is_some()
    }

    /// The remotes of a tree that may not be named.
    pub fn judge_sources(&self, named: &[Source]) -> Result<(), Problems> {
        let wrong = named.iter().filter_map(|source| {
            let what = self.may_name(source.kind, &source.url).err()?;
            let message = format!("this {what} (Environment {})", self.environment);
            Some(Problem::at(source.place.clone(), message).hint(hint_of(source.kind)))
        });
        Problems::check(wrong.collect())
    }

    /// A URL may hold a password, so only its host is told.
    fn may_name(&self, kind: SourceKind, url: &str) -> Result<(), String> {
        let allowed = match kind {
            SourceKind::Chart => &self.chart_hosts,
            SourceKind::Git => &self.git_hosts,
        };
        let Some(allowed) = allowed else { return Ok(()) };
        match hosts::host_of(url) {
            Host::Local => Ok(()),
            Host::Named(host) if host::is_allowed(&host, allowed) => Ok(()),
            Host::Named(host) => Err(format!("names the {} host {host}, which is not allowed", kind.word())),
            Host::Unknown => Err(format!("names a {} remote of which nobody can say the host", kind.word())),
        }
    }
}

fn hint_of(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Chart => "spec.chartHosts lists those that may be named",
        SourceKind::Git => "spec.gitHosts lists those that may be named",
    }
}

fn finding(wanted: &Wanted, pointer: &str, message: String, hint: Option<&'static str>) -> Finding {
    Finding {
        key: Some(wanted.key.clone()),
        place: Some(wanted.place.clone()),
        pointer: pointer.to_owned(),
        severity: Severity::Deny,
        message,
        hint,
    }
}

/// The cluster-scoped kinds that the app defines itself, where it holds objects of kinds that nobody knows yet.
fn defined_here(app: &WantedApp, kinds: &Kinds) -> Vec<(String, String)> {
    let is_unknown = |wanted: &Wanted| {
        wanted.key.namespace.is_none() && kinds.get(&wanted.key.group, &wanted.key.kind).is_none()
    };
    if !app.all().any(|wanted| is_unknown(wanted)) {
        return Vec::new();
    }
    let definitions = app.objects.iter().filter(|wanted| &*wanted.key.kind == "CustomResourceDefinition");
    let cluster_scoped = definitions.filter_map(|wanted| {
        let spec = wanted.value()["spec"].take();
        let name = |value: &Value| value.as_str().map(str::to_owned);
        (spec["scope"] == "Cluster")
            .then(|| Some((name(&spec["group"])?, name(&spec["names"]["kind"])?)))
            .flatten()
    });
    cluster_scoped.collect()
}

#[cfg(test)]
mod tests;
