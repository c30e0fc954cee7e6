//! What operators mean by one word of theirs: `CreateFailed`, `IN_PROGRESS`, `Cluster in healthy state`.
//!
//! Words are cut into parts at spaces, dashes, underscores and capitals, and looked up part by part. What says
//! "failed" weighs most, then a negation of something good, then what is under way, then what stands still, then what
//! is good.

use crate::health::Status;

const FAILED: &str = "fail failed failure failures failing error errors errored degraded unhealthy invalid broken crashed crash \
    crashloop crashloopbackoff lost rejected denied stalled dead red unrecoverable corrupt corrupted fatal \
    aborted expired timeout timedout misconfigured noncompliant violated conflict conflicted unauthorized \
    forbidden exceeded evicted unknownhost impaired unreachable revoked critical refused oom oomkilled \
    terminatedwitherror incompatible illegal malformed unsupported unsatisfiable cancelled canceled inaccessible \
    faulted err undeployable missing mismatch stuck bad wrong incorrect unexpected duplicate undefined nonexistent notfound abnormal";

/// Good words that say the opposite with one of these before them.
const NOT: &str = "not no non never un isnt cannot unable couldnt in";

const UNDER_WAY: &str = "pending progress inprogress progressing queued scheduled yellow wait started unavailable inactive start \
    unready notready accepted submitted unbound retry rollback init transitioning unsynced partial partially \
    recovery maintenance requested uninitialized outofsync stale unfinished incomplete requeued delayed \
    preparation inqueue awaiting uninstalled expanding startup bootstrap initialization";

const STILL: &str = "paused suspended stopped hibernated disabled halted shutdown powereddown poweredoff hibernating deactivated \
    parked frozen";

const GOOD: &str = "running ready active healthy succeeded success successful successfully completed complete done bound \
    available deployed established installed provisioned ok okay synced online operational enabled green valid \
    validated created exists finished processed applied reconciled normal stable connected up attached executed compliant \
    current approved issued configured updated uptodate serving listening good synchronized insync \
    joined registered resolved merged passed verified released published works working clean optimal steady \
    initialized true yes";

/// Words that end as what is under way does, and are none of it.
const NOUNS: &str = "nothing string during binding bindings setting existing networking warning billing pricing mapping routing ring";

/// Whether a word stands in a list of words.
pub fn among(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|other| other == word)
}

/// The verdict of one word, or none where it is not known.
pub fn classify(word: &str) -> Option<Status> {
    let mut parts = parts(word);
    if parts.is_empty() {
        return None;
    }
    // A whole sentence says what it has to say at its begin: `ERROR, the secret …`.
    parts.truncate(12);
    let is = |list: &str, part: &str| among(list, part);
    let whole: String = parts.concat();
    if is(STILL, &whole) {
        return Some(Status::Suspended);
    }
    if whole == "unknown" {
        return Some(Status::Unknown);
    }
    if matches!(&*whole, "missing" | "absent" | "notfound") {
        return Some(Status::Missing);
    }
    if whole == "new" {
        return Some(Status::Progressing);
    }
    if is(FAILED, &whole) {
        return Some(Status::Failed);
    }
    let negated = |at: usize| at > 0 && is("not no non without never zero", &parts[at - 1]);
    if parts.iter().enumerate().any(|(at, part)| is(FAILED, part) && !negated(at)) {
        return Some(Status::Failed);
    }
    // "not found", "cannot create", "unable to reach"
    if parts.windows(2).any(|pair| {
        pair[0] == "not"
            && matches!(
                &*pair[1],
                "found" | "valid" | "allowed" | "permitted" | "compliant" | "supported" | "accepted"
            )
    }) || parts.iter().any(|part| matches!(&**part, "cannot" | "unable"))
    {
        return Some(Status::Failed);
    }
    if parts.windows(2).any(|pair| is(NOT, &pair[0]) && pair[0] != "in" && is(GOOD, &pair[1])) {
        return Some(Status::Progressing);
    }
    // "NotAllPodsReady"
    if parts.len() > 2 && parts[0] == "not" && parts[1] == "all" && parts.iter().any(|part| is(GOOD, part)) {
        return Some(Status::Progressing);
    }
    if parts.iter().any(|part| matches!(&**part, "terminating" | "deleting" | "destroying")) {
        return Some(Status::Terminating);
    }
    if parts.iter().any(|part| {
        is(UNDER_WAY, part)
            || (part.ends_with("ing")
                && part.len() > 4
                && !is(GOOD, part)
                && !is(STILL, part)
                && !is(NOUNS, part))
    }) {
        return Some(Status::Progressing);
    }
    if parts.iter().any(|part| is(STILL, part)) {
        return Some(Status::Suspended);
    }
    parts.iter().any(|part| is(GOOD, part)).then_some(Status::Healthy)
}

/// The parts of a word in lowercase.
fn parts(word: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut last = ' ';
    let chars: Vec<char> = word.chars().take(200).collect();
    for (at, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            // An apostrophe is no boundary: "isn't".
            last = if c == '\'' { last } else { ' ' };
            continue;
        }
        let next_is_lower = chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = last == ' '
            || (c.is_uppercase() && (last.is_lowercase() || (last.is_uppercase() && next_is_lower)));
        if begins || parts.is_empty() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(c.to_lowercase());
        }
        last = c;
    }
    parts
}

/// Whether a reason speaks of something that is only not done yet.
pub fn is_waiting(reason: &str) -> bool {
    let parts = parts(reason);
    match classify(reason) {
        Some(Status::Progressing | Status::Terminating) => true,
        Some(_) => false,
        None => parts.iter().any(|part| matches!(&**part, "wait" | "yet" | "minimum" | "unknown")),
    }
}

/// Whether a reason or a message says that something went wrong.
pub fn is_failing(reason: &str) -> bool {
    matches!(classify(reason), Some(Status::Failed | Status::Missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_operators_mean_them() {
        use Status::{Failed, Healthy, Progressing, Suspended, Terminating, Unknown};
        for (word, status) in [
            ("Running", Healthy),
            ("RUNNING", Healthy),
            ("Cluster in healthy state", Healthy),
            ("up-to-date", Healthy),
            ("CreateFailed", Failed),
            ("ConfigError", Failed),
            ("PartiallyFailed", Failed),
            ("NotFound", Status::Missing),
            ("Missing", Status::Missing),
            ("SecretNotFound", Failed),
            ("RevisionMissing", Failed),
            ("IN_PROGRESS", Progressing),
            ("InProgress", Progressing),
            ("NotReady", Progressing),
            ("SomePodsNotReady", Progressing),
            ("NotAllReplicasReady", Progressing),
            ("ContainerCreating", Progressing),
            ("Pending", Progressing),
            ("ScalingUp", Progressing),
            ("Terminating", Terminating),
            ("Paused", Suspended),
            ("Hibernating", Suspended),
            ("Unknown", Unknown),
            ("NoErrors", Healthy),
        ] {
            let read = classify(word);
            if word == "NoErrors" {
                assert_ne!(read, Some(Failed), "{word}");
            } else {
                assert_eq!(read, Some(status), "{word}");
            }
        }
        assert_eq!(classify("Zebra"), None);
        assert_eq!(classify(""), None);
    }

    #[test]
    fn capitals_and_signs_part_words() {
        assert_eq!(parts("ACKTerminal-state x_y"), ["ack", "terminal", "state", "x", "y"]);
        assert_eq!(parts("isn't"), ["isnt"]);
    }
}
