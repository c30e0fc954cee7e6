//! What happened, in words: the one place where facts become events, lines of the log and notices.

use crate::delivery::{Fact, What, some};
use crate::object::ObjectKey;

/// A fact as it is told to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub warning: bool,
    /// One word in CamelCase, for events and metrics.
    pub reason: &'static str,
    pub note: String,
    /// Whether somebody has to know it who does not watch: an environment does not run what git says, or does again.
    pub is_noticed: bool,
}

/// Objects named in an event about deletes.
const DELETES_SHOWN: usize = 20;
const HALT_SHOWN: usize = 5;

/// Puts a fact into words. `None` where it is told elsewhere.
pub fn told(fact: &Fact) -> Option<Told> {
    let (warning, reason, note, is_noticed) = match &fact.what {
        What::Ended(_) | What::DriftOver { .. } => return None,
        What::Unrendered(problems) => {
            let (first, more) = match problems.as_slice() {
                [] => (String::new(), 0),
                [first, more @ ..] => (first.to_string(), more.len()),
            };
            (true, "InvalidManifests", first + &and_more(more), true)
        }
        What::Unwatched { why } => (true, "WatchFailed", why.clone(), false),
        What::PolicyWarning { warnings } => (true, "PolicyWarning", some(warnings.iter().cloned()), false),
        What::IdleRules { rules } => (true, "IdleDriftRules", some(rules.iter().cloned()), false),
        What::Preempted { .. } => (false, "Preempted", "a newer commit takes over".to_owned(), false),
        What::Refused { messages } => {
            let first = messages.first().cloned().unwrap_or_default();
            let more = and_more(messages.len().saturating_sub(1));
            (true, "Refused", format!("nothing was written: {first}{more}"), true)
        }
        What::Started { digest, waves: 0, .. } => {
            let note = format!("{} begins: nothing but its hooks changes", digest.short());
            (false, "RolloutStarted", note, false)
        }
        What::Started { digest, objects, waves } => {
            let note = format!(
                "{} begins: {} in {}",
                digest.short(),
                plural(*objects, "object"),
                plural(*waves, "wave")
            );
            (false, "RolloutStarted", note, false)
        }
        What::Drifted { objects } => {
            let objects = some(objects.iter().map(ToString::to_string));
            (true, "Drifted", format!("someone else changed {objects}; it is put back"), false)
        }
        What::DriftReported { objects } => {
            let objects = some(objects.iter().map(ToString::to_string));
            let note =
                format!("someone else changed {objects}; it stays so until a commit changes the object");
            (true, "DriftReported", note, false)
        }
        What::Fight(fight) => {
            let note = format!(
                "{fight}: from now on it is put back ever more rarely. Take the field out of git, write a rule that \
                 ignores it, or end who changes it"
            );
            (true, "Fight", note, true)
        }
        What::FightEnded(fight) => {
            (false, "FightEnded", format!("nobody changes {} any more", fight.subject()), false)
        }
        What::Unscaled { objects } => {
            let objects = some(objects.iter().map(ToString::to_string));
            (false, "Unscaled", format!("the autoscaler of {objects} is gone: its replicas are git's"), false)
        }
        What::RolledOut { digest, written } => {
            let words =
                if *written == 1 { "1 object was".to_owned() } else { format!("{written} objects were") };
            (false, "RolledOut", format!("{} runs and is healthy; {words} written", digest.short()), true)
        }
        What::Halted { why, .. } => (true, "Halted", why.clone(), true),
        What::Restoring { digest, good, with, why } => {
            let what = if with.is_some() { "is set aside" } else { "failed" };
            let note = format!("{} {what}, and {} is put back: {why}", digest.short(), good.short());
            (true, "Restoring", note, true)
        }
        What::Restored { digest, good, why } => (true, "Restored", runs_again(digest, good, why), true),
        What::RestoreFailed { why } => (true, "RestoreFailed", why.clone(), true),
        What::RollingBack { digest, good, why } => {
            let note = format!("{why}: {} is put back instead of {}", good.short(), digest.short());
            (true, "RollingBack", note, true)
        }
        What::RolledBack { digest, good, why } => (true, "RolledBack", runs_again(digest, good, why), true),
        What::RollbackFailed { why } => (true, "RollbackFailed", why.clone(), true),
        What::RollbackRefused { why } => {
            (true, "RollbackRefused", format!("nothing is rolled back: {why}"), false)
        }
        What::Retrying { digest, by } => {
            (false, "Retrying", format!("{} is tried again, as {by} asked", digest.short()), true)
        }
        What::Adopted { objects } => {
            (false, "Adopted", format!("took over {}", some(objects.iter().cloned())), false)
        }
        What::StillAtWork { objects } => {
            let note = format!(
                "deployed again after it was taken over: {}; somebody is still at work there",
                some(objects.iter().cloned())
            );
            (true, "StillAtWork", note, false)
        }
        What::HookStarted { job } => (false, "HookStarted", format!("{job} runs"), false),
        What::HookSucceeded { job } => (false, "HookSucceeded", format!("{job} succeeded"), false),
        What::HookFailed { job, why } => (true, "HookFailed", format!("{job} failed: {why}"), false),
        What::HookDelayed { why } => (true, "HookDelayed", why.clone(), false),
        What::HookNotTidied { job, why } => {
            (true, "HookNotTidied", format!("{job} stays as it is: {why}"), false)
        }
        What::Pruned { of, objects } => {
            let were = if objects.len() == 1 { "was" } else { "were" };
            let note = format!("{of}: {} left git and {were} deleted", names(objects, DELETES_SHOWN));
            return Some(Told { warning: false, reason: "Pruned", note, is_noticed: false });
        }
        What::PruneRefused { of, why } => {
            let note = format!("{of}: {why}");
            return Some(Told { warning: true, reason: "PruneRefused", note, is_noticed: false });
        }
        What::PruneStuck { of, why } => {
            let note = format!("{of}: {why}");
            return Some(Told { warning: true, reason: "PruneStuck", note, is_noticed: false });
        }
        What::PruneHalted { why, objects } => {
            (true, "PruneHalted", format!("{why}: {}", names(objects, HALT_SHOWN)), false)
        }
        What::NotRemembered { why } => {
            (true, "StateNotKept", format!("what happened cannot be remembered: {why}"), false)
        }
        What::StateDamaged { why } => (true, "StateDamaged", why.clone(), false),
        What::Region { warning, reason, note } => (*warning, *reason, note.clone(), true),
        What::Panicked { why, .. } => {
            let note = format!("a decision about it panicked ({why}); the others go on");
            (true, "Panicked", note, true)
        }
    };
    let note = match &fact.app {
        Some(app) => format!("{app}: {note}"),
        None => note,
    };
    Some(Told { warning, reason, note, is_noticed })
}

fn runs_again(digest: &crate::object::Digest, good: &crate::object::Digest, why: &str) -> String {
    format!(
        "{} runs again and is healthy; {} is not tried again until it changes or `fairlead retry` says so: {why}",
        good.short(),
        digest.short()
    )
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" (and {count} more)") }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn names(keys: &[ObjectKey], shown: usize) -> String {
    let mut text = keys.iter().take(shown).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if keys.len() > shown {
        text.push_str(&format!(" and {} more", keys.len() - shown));
    }
    text
}
