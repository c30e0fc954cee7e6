//! The general reading: what operators commonly write, for kinds that have no rule of their own.
//!
//! Everything in `status` that speaks is gathered as signals: conditions by their polarity, one-word summaries
//! (`phase`, `state`, `health` …), plain booleans, counts of replicas. The gravest signal decides, so that a "ready"
//! beside a "failed" never reads as healthy.

mod parts;
mod polarity;
mod signals;
mod words;

use serde_json::Value;

use super::kinds::{is_built_in, judge_by_parties};
use super::read::{Condition, conditions, is_empty, number, text, unobserved};
use super::verdict::NOT_UNDERSTOOD;
use super::{Health, Status};
use polarity::{Polarity, polarity, read};
use signals::{Signal, gather, is_step, one_word};
use words::is_failing;

pub fn judge(group: &str, kind: &str, object: &Value) -> Health {
    if let Some(health) = asked_to_stand_still(object) {
        return health;
    }
    if let Some(health) = unobserved(object) {
        return health;
    }
    let status = &object["status"];
    if is_empty(status) {
        return without_status(group, kind);
    }
    if let Some(health) = judge_by_parties(object) {
        return objection(object).unwrap_or(health);
    }
    let verdict = by_signals(group, kind, object);
    if verdict.status != Status::Healthy || is_step(kind) || is_built_in(group) {
        return verdict;
    }
    let beside = parts::failed_condition(object)
        .or_else(|| parts::failed_side(object))
        .or_else(|| parts::failed_part(object))
        .or_else(|| parts::error(object))
        .or_else(|| parts::short_count(object))
        .or_else(|| parts::missing_sum(group, kind, object));
    beside.map_or(verdict, |beside| Health::new(beside.status, beside.reason, beside.message))
}

fn by_signals(group: &str, kind: &str, object: &Value) -> Health {
    let status = &object["status"];
    // Of equally grave ones the first: conditions explain themselves better than a phase does.
    let gravest = gather(object, kind).into_iter().rev().max_by_key(|signal| gravity(signal.status));
    if let Some(signal) = gravest {
        return Health::new(signal.status, signal.reason, signal.message);
    }
    if is_built_in(group) || number(&status["observedGeneration"]).is_some() {
        return Health::healthy("Observed", "its controller has seen it and reports nothing to wait for");
    }
    if let Some(calm) = conditions(object).find(|condition| is_calm(*condition)).filter(|_| !is_step(kind)) {
        return Health::healthy("NothingWrong", calm.words());
    }
    match status.get("conditions") {
        Some(conditions) if is_empty(conditions) && has_no_status(group, kind) => {
            Health::healthy("Exists", "its kind has no status: nothing to wait for")
        }
        Some(conditions) if is_empty(conditions) => {
            Health::progressing("NoConditions", "no condition is set yet")
        }
        _ if writes_a_status(group, kind) => {
            Health::progressing(NOT_UNDERSTOOD, "nothing in its status says how it is yet")
        }
        _ => Health::unknown(NOT_UNDERSTOOD, "its status has no condition, phase or state that can be read"),
    }
}

/// The verdict of a shipped rule, weighed against what stands beside it. A rule knows what its operator calls healthy; it
/// need not know every way of saying that something failed, was asked to stand still, or is of an earlier generation.
pub fn weigh(kind: &str, object: &Value, health: Health) -> Health {
    let by = |signal: Option<Signal>| signal.map(|s| Health::new(s.status, s.reason, s.message));
    let beside = match health.status {
        Status::Healthy => objection(object)
            .or_else(|| asked_to_stand_still(object).filter(|_| !is_step(kind)))
            .or_else(|| by(parts::failed_condition(object)))
            .or_else(|| by(parts::failed_side(object)))
            .or_else(|| by(parts::stale_sum(object))),
        Status::Progressing => asked_to_stand_still(object),
        _ => None,
    };
    beside.unwrap_or(health)
}

/// A condition or a phase that says outright that something failed, whatever else the object says.
pub fn objection(object: &Value) -> Option<Health> {
    // Some keep a log of conditions: what came after "partially ready" is the news.
    let ready_at =
        conditions(object).position(|condition| condition.kind() == "Ready" && condition.is_true());
    let failed = conditions(object).enumerate().find(|(at, condition)| {
        let outlived = matches!(condition.kind(), "NotReady" | "PartiallyReady");
        if outlived && ready_at.is_some_and(|ready| ready > *at) {
            return false;
        }
        let outright = match condition.is_true() {
            true => polarity(condition.kind()) == Polarity::Bad,
            false => condition.kind() == "Ready" && is_failing(condition.reason()),
        };
        outright && read(*condition, false) == Some(Status::Failed) && !condition.is_stale(object)
    });
    match failed {
        Some((_, failed)) => Some(Health::failed(one_word(&failed.why()), failed.words())),
        None => said_by_phase(object),
    }
}

fn said_by_phase(object: &Value) -> Option<Health> {
    let status = &object["status"];
    let word = ["phase", "state"].map(|field| text(&status[field]));
    let word = word.into_iter().find(|word| is_failing(word))?;
    let message = match text(&status["message"]) {
        "" => format!("it is {word}"),
        message => message.to_owned(),
    };
    Some(Health::failed(one_word(word), message))
}

/// Says outright that something bad or unfinished is not so. Where that is all that is said, and nothing has to come
/// to an end, it is good news.
fn is_calm(condition: Condition<'_>) -> bool {
    condition.is_false() && matches!(polarity(condition.kind()), Polarity::Bad | Polarity::Way)
}

/// The sentence that goes with a verdict that a rule came to.
pub fn words(object: &Value, status: Status) -> String {
    if let Some(signal) = of_status(object, status) {
        return signal.message;
    }
    match ["message", "reason", "phase", "state"]
        .map(|field| text(&object["status"][field]))
        .into_iter()
        .find(|t| !t.is_empty())
    {
        Some(said) => said.to_owned(),
        None if is_empty(&object["status"]) => "it has not reported a status yet".to_owned(),
        None => format!("it is {status}"),
    }
}

/// The operator's own reason for a verdict that a rule came to.
pub fn reason(object: &Value, status: Status) -> Option<String> {
    of_status(object, status).map(|signal| signal.reason)
}

fn of_status(object: &Value, status: Status) -> Option<Signal> {
    gather(object, text(&object["kind"])).into_iter().find(|signal| signal.status == status)
}

fn gravity(status: Status) -> u8 {
    match status {
        Status::Failed => 6,
        Status::Terminating => 5,
        Status::Suspended => 4,
        Status::Missing => 3,
        Status::Progressing => 2,
        Status::Unknown => 1,
        Status::Healthy => 0,
    }
}

fn asked_to_stand_still(object: &Value) -> Option<Health> {
    let (spec, status) = (&object["spec"], &object["status"]);
    // It was asked to, and is on its way there.
    let stops = |word: &str| matches!(&*word.to_ascii_lowercase(), "stopping" | "pausing" | "suspending");
    if stops(text(&status["state"])) || stops(text(&status["phase"])) {
        return None;
    }
    let field = ["suspend", "suspended", "paused", "pause"].into_iter().find(|field| spec[*field] == true);
    if let Some(field) = field {
        return Some(Health::suspended("Suspended", format!("spec.{field} is set")));
    }
    const ANNOTATIONS: [&str; 12] = [
        "autoscaling.keda.sh/paused",
        "autoscaling.keda.sh/paused-replicas",
        "cluster.x-k8s.io/paused",
        "cnpg.io/reconciliation",
        "common.k8s.elastic.co/pause",
        "crossplane.io/paused",
        "eck.k8s.elastic.co/managed",
        "fleet.cattle.io/paused",
        "hive.openshift.io/reconcile-pause",
        "kustomize.toolkit.fluxcd.io/reconcile",
        "serving.kserve.io/stop",
        "strimzi.io/pause-reconciliation",
    ];
    let annotation =
        ANNOTATIONS.into_iter().find(|name| match text(&object["metadata"]["annotations"][*name]) {
            "" => false,
            value if name.ends_with("/reconcile") || name.ends_with("/reconciliation") => value == "disabled",
            value if name.ends_with("/managed") => value == "false",
            value => value != "false",
        })?;
    Some(Health::suspended("Paused", format!("annotation {annotation} is set")))
}

/// Groups whose operators are known to write a status on every object: an empty one means that they have not come to
/// it yet. Of other groups it cannot be told from a kind that never has one.
const WRITERS: &str = include_str!("general/writers.txt");

fn without_status(group: &str, kind: &str) -> Health {
    if is_built_in(group) {
        return Health::healthy("Exists", "nothing to wait for");
    }
    if has_no_status(group, kind) {
        return Health::healthy("Exists", "its kind has no status: nothing to wait for");
    }
    if writes_a_status(group, kind) {
        return Health::progressing("NoStatus", "its operator has not reported a status yet");
    }
    Health::unknown("NoStatus", "it says nothing about itself, or not yet")
}

fn has_no_status(group: &str, kind: &str) -> bool {
    writers().filter_map(|line| line.strip_prefix('!')).any(|line| names(line, group, kind))
}

fn writes_a_status(group: &str, kind: &str) -> bool {
    let mut lines = writers().filter(|line| !line.starts_with('!'));
    lines.any(|line| names(line, group, kind))
}

fn writers() -> impl Iterator<Item = &'static str> {
    WRITERS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn names(line: &str, group: &str, kind: &str) -> bool {
    match line.split_once('/') {
        Some((of_group, of_kind)) => fits(of_group, group) && of_kind == kind,
        None => fits(line, group),
    }
}

fn fits(pattern: &str, group: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => group.ends_with(end),
        None => pattern == group,
    }
}
