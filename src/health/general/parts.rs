//! What stands beside a good word: parts of the whole that failed, counts that fall short, a sum that is not drawn yet.

use serde_json::Value;

use super::polarity::{Polarity, counts_beside_ready, polarity, read};
use super::signals::{Signal, one_word};
use super::words::is_failing;
use crate::health::Status;
use crate::health::read::{conditions, conditions_of, number, text};

/// How deep a part may lie: `status.components.web.instances[0].state`.
const DEPTH: usize = 5;

/// Words in names of fields that tell of the past or of something else than the object as it is.
const ELSEWHERE: &str = "history previous last old retr event log attempt desired expected target spec template \
    condition backup snapshot annotation label message reason";

/// A condition that is not the sum, is False, and gives a failure as its reason. Operators draw their sums late, and leave
/// some parts out of them.
pub fn failed_condition(object: &Value) -> Option<Signal> {
    let mut failed = conditions(object).filter(|condition| {
        condition.is_false()
            && is_failing(condition.reason())
            // How the last backup went is a matter of its own.
            && !condition.kind().starts_with("Last")
            && matches!(polarity(condition.kind()), Polarity::Good | Polarity::End | Polarity::Part)
            && !matches!(condition.severity(), "Info" | "Warning")
            && !condition.is_stale(object)
    });
    let failed = failed.next()?;
    Some(Signal { status: Status::Failed, reason: one_word(&failed.why()), message: failed.words() })
}

/// A field beside `phase` and `state` that sums up another side of the whole: `tableStatus: FAILED`.
pub fn failed_side(object: &Value) -> Option<Signal> {
    let status = object["status"].as_object()?;
    // Cluster API: what is written here does not pass by itself.
    let said = ["failureMessage", "failureReason"].map(|field| text(&object["status"][field]));
    if let Some(said) = said.into_iter().find(|said| !said.is_empty()) {
        return Some(Signal {
            status: Status::Failed,
            reason: "Failure".to_owned(),
            message: said.to_owned(),
        });
    }
    let sides = status.iter().filter(|(name, _)| is_summary(name) && !is_elsewhere(name));
    sides.filter_map(|(name, word)| failed_word(name, word.as_str()?)).next()
}

/// An error in words of its own, beside whatever is good.
pub fn error(object: &Value) -> Option<Signal> {
    let said = ["error", "errorMessage"].map(|field| text(&object["status"][field]).trim());
    let is_none =
        |said: &str| ["", "none", "nil", "null", "no error"].iter().any(|no| said.eq_ignore_ascii_case(no));
    let said = said.into_iter().find(|said| !is_none(said))?;
    Some(Signal { status: Status::Failed, reason: "Error".to_owned(), message: said.to_owned() })
}

/// A part that says outright that it failed: the state of an instance, of a task, of a listener.
pub fn failed_part(object: &Value) -> Option<Signal> {
    let status = object["status"].as_object()?;
    status.iter().filter(|(name, _)| !is_elsewhere(name)).find_map(|(name, part)| match part {
        Value::String(word) if is_summary(name) => failed_word(name, word),
        _ => within(name, part, DEPTH - 1),
    })
}

fn within(path: &str, part: &Value, depth: usize) -> Option<Signal> {
    if depth == 0 {
        return None;
    }
    match part {
        Value::Array(list) => list.iter().find_map(|entry| within(path, entry, depth - 1)),
        Value::Object(map) => {
            let conditions = conditions_of(part.get("conditions").unwrap_or(&Value::Null));
            let failed = conditions.filter(|condition| match condition.is_true() {
                true => polarity(condition.kind()) == Polarity::Bad,
                false => condition.kind() == "Ready" && is_failing(condition.reason()),
            });
            if let Some(failed) = failed.into_iter().find(|c| read(*c, false) == Some(Status::Failed)) {
                let (reason, message) = (one_word(&failed.why()), format!("{path}: {}", failed.words()));
                return Some(Signal { status: Status::Failed, reason, message });
            }
            map.iter().filter(|(name, _)| !is_elsewhere(name)).find_map(|(name, inner)| match inner {
                Value::String(word) if is_summary(name) => failed_word(path, word),
                _ => within(name, inner, depth - 1),
            })
        }
        _ => None,
    }
}

fn failed_word(path: &str, word: &str) -> Option<Signal> {
    // A sentence may name a failure that it has overcome; a word says how it is.
    let is_word = word.len() <= 40 && word.split_whitespace().count() <= 2;
    (is_word && is_failing(word)).then(|| Signal {
        status: Status::Failed,
        reason: one_word(word),
        message: format!("{path} is {word}"),
    })
}

fn is_summary(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["state", "status", "phase", "health", "result"].iter().any(|end| name.ends_with(end))
}

fn is_elsewhere(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ELSEWHERE.split_ascii_whitespace().any(|word| name.contains(word))
}

/// A count that falls short of what was asked for, or that counts what is not there.
pub fn short_count(object: &Value) -> Option<Signal> {
    const PAIRS: [(&str, &str); 7] = [
        ("readyReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("updatedReplicas", "replicas"),
        ("readyInstances", "instances"),
        ("readyMembers", "members"),
        ("currentMongoDBMembers", "members"),
        ("availableNodes", "expectedNodes"),
    ];
    let (spec, status) = (&object["spec"], &object["status"]);
    let short_in = |counted: &Value, asked: &Value| {
        PAIRS.iter().find_map(|(ready, wanted)| {
            let has = number(&counted[*ready])?;
            let wanted = number(&asked[*wanted]).or_else(|| number(&counted[*wanted]))?;
            (has < wanted).then(|| format!("{ready} is {has} of {wanted}"))
        })
    };
    // Some count for each of several sets: `status.instances[0].readyReplicas`.
    let sets = status.as_object().into_iter().flatten().filter(|(name, _)| !is_elsewhere(name));
    let mut sets = sets.flat_map(|(_, part)| part.as_array().into_iter().flatten());
    let short = short_in(status, spec).or_else(|| sets.find_map(|set| short_in(set, &Value::Null)));
    let missing = || {
        let missing = number(&status["unavailableReplicas"]).filter(|missing| *missing > 0)?;
        Some(format!("unavailableReplicas is {missing}"))
    };
    let message = short.or_else(missing)?;
    Some(Signal { status: Status::Progressing, reason: "NotAllReady".to_owned(), message })
}

/// Conditions that sum up a kind, by its group; see the file.
const SUMS: &str = include_str!("sums.txt");

/// The condition that its operator always draws in the end, where there is none of its kind yet.
pub fn missing_sum(group: &str, kind: &str, object: &Value) -> Option<Signal> {
    let lines = SUMS.lines().filter(|line| !line.starts_with('#'));
    let mut lines = lines.filter_map(|line| line.split_once(' '));
    let (_, sums) = lines.find(|(line, _)| super::names(line, group, kind))?;
    let has_one = conditions(object).any(|condition| super::words::among(sums, condition.kind()));
    let sum = sums.split(' ').next().unwrap_or_default();
    (!has_one).then(|| Signal {
        status: Status::Progressing,
        reason: format!("No{sum}"),
        message: format!("its operator has not said yet whether it is {sum}"),
    })
}

/// A summing condition that speaks of an earlier generation of the object.
pub fn stale_sum(object: &Value) -> Option<Signal> {
    let has_ready = conditions(object).any(|condition| condition.kind() == "Ready");
    let mut sums = conditions(object).filter(|condition| match has_ready {
        true => condition.kind() == "Ready" || counts_beside_ready(condition.kind()),
        false => polarity(condition.kind()) == Polarity::Good,
    });
    let stale = sums.find(|condition| condition.is_stale(object))?;
    Some(Signal {
        status: Status::Progressing,
        reason: "NotObserved".to_owned(),
        message: format!("{} speaks of an earlier generation", stale.kind()),
    })
}
