//! What an object says about itself: healthy, on its way, failed, and why.
//!
//! A verdict is a pure function of one object. It is looked for in this order; the first that knows the kind decides:
//!
//! 1. being deleted, which is the same for all;
//! 2. the team's own rules ([`Rules`], CEL, from `rollout.health`);
//! 3. the kinds that Kubernetes brings (`kinds/`, one file each);
//! 4. the rules for operators that write something of their own (`rules/*.yaml`, CEL);
//! 5. the general reading of conditions, phases and states ([`general`]), which serves every other kind.
//!
//! Three principles stand above the rules. Rollout fields count only once `observedGeneration` has caught up. What
//! says that it failed is never healthy. What says nothing is `unknown`, or `progressing` where its operator is known
//! to write a status.

mod general;
mod kinds;
pub mod pods;
mod read;
mod report;
mod rules;
mod verdict;

use std::sync::Arc;

use serde_json::Value;

pub use report::{Verdict, report, report_with};
pub use rules::{BadExpression, Expression, Input, NoAnswer, Rule, RuleError, RuleProblem, Rules};
pub use verdict::{Health, Status};

use crate::object::Live;
use read::text;

/// An object as it was seen last, with its verdict.
#[derive(Clone, Debug)]
pub struct Assessed {
    pub live: Arc<Live>,
    pub health: Health,
}

/// The verdict on one object as the API server returned it. `null` is an object that is not there.
pub fn assess(object: &Value) -> Health {
    assess_with(object, &Rules::default())
}

/// The same, where a team has rules of its own for some kinds.
pub fn assess_with(object: &Value, rules: &Rules) -> Health {
    if object.is_null() {
        return Health::new(Status::Missing, "Missing", "it is not in the cluster");
    }
    let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    if !object.is_object() || kind.is_empty() {
        return Health::unknown("NotAnObject", "it has no kind");
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if let Some(since) = object["metadata"]["deletionTimestamp"].as_str() {
        return Health::terminating(terminating(object, since));
    }
    if let Some(health) = rules.judge(group, kind, object) {
        return health;
    }
    if let Some(judge) = kinds::judge(group, kind) {
        return judge(object);
    }
    if let Some(health) = Rules::shipped().judge(group, kind, object) {
        return general::weigh(kind, object, health);
    }
    general::judge(group, kind, object)
}

fn terminating(object: &Value, since: &str) -> String {
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    let finalizers: Vec<_> = finalizers.filter_map(Value::as_str).collect();
    match finalizers.is_empty() {
        true => format!("being deleted since {since}"),
        false => format!("being deleted since {since}, held by {}", finalizers.join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "fixtures are files")]
mod tests;
