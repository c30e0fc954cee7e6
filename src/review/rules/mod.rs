//! The rules: what of a change is a risk. What was so before the change is none of it.

mod images;
mod immutable;
mod limits;
mod pods;
mod quantity;
mod quotas;
mod rbac;
mod references;
mod removals;
mod replicas;
mod rollout;
mod selectors;
mod versions;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

pub use references::outside;

use super::compare::{Delta, Objects, deltas};
use super::input::Change;
use super::risk::{Risk, RiskClass, Severity};
use crate::object::{AppName, Gvk};
use crate::report::AppPlan;

/// Everything that rules look at.
pub struct Scene<'a> {
    pub change: &'a Change<'a>,
    pub before: Objects<'a>,
    pub after: Objects<'a>,
    pub deltas: Vec<Delta<'a>>,
    /// Where images came from before; looked for when it is first asked for.
    pub registries: OnceCell<BTreeSet<String>>,
}

impl<'a> Scene<'a> {
    pub fn new(change: &'a Change<'a>) -> Self {
        let after = change.after.as_deref().unwrap_or_default();
        let broken = |app: &&AppName| after.iter().any(|side| side.app == **app && side.wanted.is_err());
        let broken: Vec<&AppName> = change.before.iter().map(|side| &side.app).filter(broken).collect();
        let (before, after) = (Objects::of(&change.before), Objects::of(after));
        let deltas = match &change.after {
            Ok(_) => deltas(&before, &after, &broken),
            Err(_) => Vec::new(),
        };
        Self { change, before, after, deltas, registries: OnceCell::new() }
    }

    /// The namespaces in which something changes.
    fn namespaces(&self) -> BTreeSet<&str> {
        self.deltas.iter().filter_map(|delta| delta.key.namespace.as_deref()).collect()
    }

    fn plan_of(&self, app: &AppName) -> Option<&AppPlan> {
        self.change.live.as_ref()?.plan.apps.iter().find(|plan| plan.app == app.as_str())
    }

    /// Whether the server was asked about an object, so that it need not be guessed what it would say.
    fn was_asked(&self, delta: &Delta) -> bool {
        let object = delta.key.to_string();
        self.plan_of(delta.app()).is_some_and(|plan| plan.steps.iter().any(|step| step.object == object))
    }

    /// Whether the environment itself brings the definition of a kind.
    fn is_defined(&self, gvk: &Gvk) -> bool {
        const DEFINITION: [(&str, &str); 1] = [("apiextensions.k8s.io", "CustomResourceDefinition")];
        self.after.within(None, &DEFINITION).any(|(_, definition)| {
            let spec = &definition["spec"];
            spec["group"] == *gvk.group && spec["names"]["kind"] == *gvk.kind
        })
    }
}

/// What rules found.
#[derive(Default)]
pub struct Found(Vec<Risk>);

impl Found {
    /// A risk of an object.
    fn say(&mut self, delta: &Delta, (class, severity): (RiskClass, Severity), message: impl Into<String>) {
        self.at(delta, (class, severity), None, message);
    }

    /// A risk of a field.
    fn at(
        &mut self,
        delta: &Delta,
        (class, severity): (RiskClass, Severity),
        field: Option<String>,
        message: impl Into<String>,
    ) {
        self.0.push(Risk {
            app: Some(delta.app().to_string()),
            object: Some(delta.key.to_string()),
            place: Some(delta.place().clone()),
            field,
            ..Risk::new(class, severity, message)
        });
    }

    fn push(&mut self, risk: Risk) {
        self.0.push(risk);
    }
}

/// All risks of a change, the gravest first.
pub fn judge(scene: &Scene<'_>) -> Vec<Risk> {
    let mut found = Found::default();
    for delta in &scene.deltas {
        removals::judge(delta, scene, &mut found);
        rbac::judge(delta, &mut found);
        pods::judge(delta, &mut found);
        images::judge(delta, scene, &mut found);
        immutable::judge(delta, scene, &mut found);
        versions::judge(delta, scene, &mut found);
        selectors::judge(delta, &mut found);
        replicas::judge(delta, &mut found);
    }
    versions::charts(scene, &mut found);
    selectors::services(scene, &mut found);
    replicas::budgets(scene, &mut found);
    replicas::downtime(scene, &mut found);
    references::judge(scene, &mut found);
    quotas::judge(scene, &mut found);
    limits::judge(scene, &mut found);
    rollout::judge(scene, &mut found);
    let places: BTreeMap<String, &Delta<'_>> =
        scene.deltas.iter().map(|delta| (delta.key.to_string(), delta)).collect();
    let mut risks = found.0;
    for risk in risks.iter_mut().filter(|risk| risk.place.is_none()) {
        // What the cluster said names the object alone.
        let delta = risk.object.as_deref().and_then(|object| places.get(object));
        risk.place = delta.map(|delta| delta.place().clone());
    }
    risks.sort_by(|a, b| a.order().cmp(&b.order()));
    risks.dedup();
    risks
}

#[cfg(test)]
mod tests;
