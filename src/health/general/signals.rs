//! Everything in a status that speaks of health, gathered.

use serde_json::Value;

use super::polarity::{Polarity, counts_beside_ready, polarity, read};
use super::words::{classify, is_failing, is_waiting};
use crate::health::Status;
use crate::health::read::{Condition, conditions, conditions_of, is_empty, number, text};

/// One thing that the status says.
pub struct Signal {
    pub status: Status,
    pub reason: String,
    pub message: String,
}

pub fn gather(object: &Value, kind: &str) -> Vec<Signal> {
    let (status, step) = (&object["status"], is_step(kind));
    let words = from_words(status, step);
    let mut signals =
        from_conditions(object, step, words.iter().any(|word| word.status == Status::Progressing));
    // Beside conditions, a word adds only what is wrong or under way.
    let adds =
        |word: &Signal| matches!(word.status, Status::Failed | Status::Progressing | Status::Suspended);
    let conditions_spoke = !signals.is_empty();
    signals.extend(words.into_iter().filter(|word| !conditions_spoke || adds(word)));
    if signals.is_empty() {
        signals.extend(from_booleans(status));
    }
    if signals.is_empty() {
        signals.extend(from_counts(object));
    }
    if signals.is_empty() {
        signals.extend(from_other_words(status, step));
    }
    let decided = signals.iter().any(|signal| matches!(signal.status, Status::Healthy | Status::Failed));
    if !decided {
        signals.extend(from_errors(status));
    }
    signals
}

/// Kinds that are a piece of work: they are good once done, and while they run they are under way.
pub fn is_step(kind: &str) -> bool {
    const ENDINGS: &str = "Run Job Backup Restore Workflow Experiment Migration Import Export Snapshot Test Task Build \
        Rebalance Promotion Benchmark";
    const ENDLESS: &str = "CronJob ScaledJob ScheduledJob CronWorkflow AdvancedCronJob SyntheticTest";
    let ends = ENDINGS.split_ascii_whitespace().any(|end| kind.ends_with(end));
    ends && !super::words::among(ENDLESS, kind)
}

/// `moving`: a phase or state beside the conditions says that something is under way.
fn from_conditions(object: &Value, step: bool, moving: bool) -> Vec<Signal> {
    let all: Vec<_> = conditions(object).collect();
    // "Ready" is the operator's own sum of its parts; without it, every name that is known to be good is one.
    let has_ready = all.iter().any(|condition| condition.kind().eq_ignore_ascii_case("ready"));
    let has_sum = has_ready
        || all.iter().any(|condition| match polarity(condition.kind()) {
            Polarity::Good => true,
            Polarity::End => condition.is_true(),
            _ => false,
        });
    let any = |polarity_is: Polarity, status: Status| {
        let mut all = all.iter();
        all.any(|one| polarity(one.kind()) == polarity_is && read(*one, step) == Some(status))
    };
    // "Not ready" beside "installing" or "stopped" is no failure, unless it gives one as its reason.
    let a_part_moves = all
        .iter()
        .any(|one| polarity(one.kind()) == Polarity::Part && !one.is_true() && is_waiting(one.reason()));
    let under_way = moving || any(Polarity::Way, Status::Progressing);
    let stands_still = any(Polarity::Still, Status::Suspended);
    let is_sum = |condition: &Condition<'_>| match has_ready {
        true => condition.kind().eq_ignore_ascii_case("ready"),
        false => polarity(condition.kind()) == Polarity::Good,
    };
    let sum_holds = all.iter().any(|condition| is_sum(condition) && condition.is_true());
    let all_kinds: Vec<_> = all.iter().map(|condition| condition.kind()).collect();
    let mut signals = Vec::new();
    for condition in all {
        let Some(mut read) = read(condition, step) else { continue };
        if is_work_of_ansible(condition)
            && all_kinds.iter().any(|kind| matches!(*kind, "Failure" | "Successful"))
        {
            read = Status::Progressing;
        }
        let failing = is_failing(condition.reason());
        let counts = match polarity(condition.kind()) {
            Polarity::Good => !has_ready || counts_beside_ready(condition.kind()),
            Polarity::End => !has_ready,
            // Where the sum does not hold, a part that failed says why. "Configured" is no sum of "VerticesHealthy".
            Polarity::Part => {
                !has_sum
                    || (!sum_holds && failing && read == Status::Failed)
                    || (!has_ready && !condition.is_true() && is_a_sum_of_its_own(condition.kind()))
            }
            _ => true,
        };
        if !counts {
            continue;
        }
        if read == Status::Failed && !failing && polarity(condition.kind()) == Polarity::Good {
            let explained_by_a_part = a_part_moves && condition.reason().is_empty();
            read = match (under_way || explained_by_a_part, stands_still) {
                (true, _) => Status::Progressing,
                (false, true) => Status::Suspended,
                (false, false) => read,
            };
        }
        signals.push(signal(object, condition, read));
    }
    // Some keep the word of each of several parties apart, as an OpenShift Route does.
    for entry in object["status"]["ingress"].as_array().into_iter().flatten() {
        for condition in conditions_of(&entry["conditions"]) {
            signals.extend(read(condition, step).map(|status| signal(object, condition, status)));
        }
    }
    signals
}

/// Operators written in Ansible: "Running" is their own work, until its reason is "Successful".
fn is_work_of_ansible(condition: Condition<'_>) -> bool {
    condition.kind() == "Running" && condition.is_true() && condition.reason() == "Running"
}

fn is_a_sum_of_its_own(kind: &str) -> bool {
    ["Healthy", "Available", "Ready"].iter().any(|end| kind.ends_with(end))
}

/// What is said of an earlier generation is neither good nor bad news of this one.
fn signal(object: &Value, condition: Condition<'_>, status: Status) -> Signal {
    if condition.is_stale(object) && matches!(status, Status::Healthy | Status::Failed) {
        let message = format!("{} speaks of an earlier generation", condition.kind());
        return Signal { status: Status::Progressing, reason: "NotObserved".to_owned(), message };
    }
    Signal { status, reason: one_word(&condition.why()), message: condition.words() }
}

pub fn one_word(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).take(80).collect()
}

/// Fields that hold one word on the whole object.
const SUMMARIES: &str = "phase state stage health status currentState currentStatus currentPhase updateStatus \
    lastOperationStatus clusterStatus syncStatus result deploymentStatus jobStatus jobDeploymentStatus compliant \
    applicationState connectorState installStatus overallStatus reconcileStatus PostgresClusterStatus robustness \
    serviceStatus operationalStatus provisioning provisioningState lifecycleState certificateStatus tenantStatus operationalState";

/// Fields that explain such a word.
const EXPLANATIONS: &str = "message reason phaseReason phaseMessage stateMessage failureReason error errorMessage statusMessage description";

fn from_words(status: &Value, step: bool) -> Vec<Signal> {
    SUMMARIES.split_ascii_whitespace().filter_map(|field| from_word(status, field, step)).collect()
}

fn from_word(status: &Value, field: &str, step: bool) -> Option<Signal> {
    let word = match &status[field] {
        Value::String(word) => word,
        // `health: {status: Healthy}`, `state: {phase: Running}`
        Value::Object(inner) => {
            let word = ["status", "state", "phase"].into_iter().find_map(|name| inner.get(name)?.as_str());
            word.unwrap_or_default()
        }
        _ => "",
    };
    let read = match classify(word)? {
        Status::Healthy if step && is_still_running(word) => Status::Progressing,
        read => read,
    };
    let said =
        EXPLANATIONS.split_ascii_whitespace().map(|name| text(&status[name])).find(|text| !text.is_empty());
    let message = said.map_or_else(|| format!("{field} is {word}"), str::to_owned);
    let reason: String = word.chars().filter(|c| c.is_alphanumeric()).take(80).collect();
    Some(Signal { status: read, reason, message })
}

/// Where nothing else speaks: fields whose name ends as a summary's does (`engineStatus`), and such fields one or two
/// levels below (`lastUpdate.state`, `connectionState.lastObservedState`, `feStatus.componentCondition.phase`).
fn from_other_words(status: &Value, step: bool) -> Vec<Signal> {
    let mut signals = words_of(status, step);
    for inner in status.as_object().into_iter().flatten().map(|(_, inner)| inner) {
        signals.extend(words_of(inner, step));
        let parts = inner.as_object().into_iter().flatten().filter(|(name, _)| !is_of_the_past(name));
        signals.extend(parts.flat_map(|(_, part)| words_of(part, step)));
    }
    signals
}

fn is_of_the_past(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["last", "previous", "old", "history", "template", "desired"].iter().any(|word| name.contains(word))
}

fn words_of(part: &Value, step: bool) -> Vec<Signal> {
    let is_one = |field: &str| {
        let name = field.to_ascii_lowercase();
        ["state", "status", "phase", "health", "stage", "progress"].iter().any(|end| name.ends_with(end))
            && !["previous", "old", "desired", "target", "spec"].iter().any(|begin| name.starts_with(begin))
    };
    let fields = part.as_object().into_iter().flatten();
    let words = fields.filter(|(name, word)| word.is_string() && is_one(name));
    words.filter_map(|(name, _)| from_word(part, name, step)).collect()
}

fn is_still_running(word: &str) -> bool {
    ["running", "active", "started", "created", "ready"].iter().any(|start| word.eq_ignore_ascii_case(start))
}

fn from_booleans(status: &Value) -> Option<Signal> {
    const FIELDS: &str =
        "healthy ready available succeeded installed applied valid initialized active synced readyToUse";
    let (field, value) =
        FIELDS.split_ascii_whitespace().find_map(|field| Some((field, status[field].as_bool()?)))?;
    let read = match (field, value) {
        (_, true) => Status::Healthy,
        ("healthy" | "valid", false) => Status::Failed,
        (_, false) => Status::Progressing,
    };
    let mut reason = if value { String::new() } else { "Not".to_owned() };
    let mut letters = field.chars();
    reason.extend(letters.next().map(|first| first.to_ascii_uppercase()));
    reason.push_str(letters.as_str());
    Some(Signal { status: read, reason, message: format!("{field} is {value}") })
}

fn from_counts(object: &Value) -> Option<Signal> {
    let status = &object["status"];
    // `2/3`, as OpenTelemetry's collectors and several others write it.
    let fraction = [&status["scale"]["statusReplicas"], &status["ready"], &status["readyReplicas"]];
    let fraction = fraction.into_iter().find_map(|value| {
        let (ready, wanted) = text(value).split_once('/')?;
        Some((ready.trim().parse::<i64>().ok()?, wanted.trim().parse::<i64>().ok()?))
    });
    if let Some((ready, wanted)) = fraction {
        return Some(count_of(ready, wanted));
    }
    let fields = ["availableReplicas", "readyReplicas", "replicasReady", "readyNodes"];
    let ready = fields.into_iter().find_map(|field| number(&status[field]))?;
    let wanted = number(&object["spec"]["replicas"]).or_else(|| number(&status["replicas"]))?;
    Some(count_of(ready, wanted))
}

fn count_of(ready: i64, wanted: i64) -> Signal {
    let message = format!("{ready} of {wanted} replicas are ready");
    match ready >= wanted {
        true => Signal { status: Status::Healthy, reason: "Ready".to_owned(), message },
        false => Signal { status: Status::Progressing, reason: "NotReady".to_owned(), message },
    }
}

/// An error that the operator wrote down beside its state.
fn from_errors(status: &Value) -> Option<Signal> {
    const FIELDS: &str = "error attachError errorMessage failureMessage failureReason lastError lastErrorMessage errors validationErrors";
    let fields = FIELDS.split_ascii_whitespace();
    let (field, value) = fields.map(|field| (field, &status[field])).find(|(_, value)| !is_empty(value))?;
    let words = match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
        Value::Object(map) => map.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => return None,
    };
    let message = if words.is_empty() { format!("status.{field} is set") } else { words };
    Some(Signal { status: Status::Failed, reason: "Error".to_owned(), message })
}
