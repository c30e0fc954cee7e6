//! What became of a merge, environment by environment: seen, rolled out, healthy, halted, put back; how long that took;
//! and whether what git says now is what the report showed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::Timestamp;

use crate::api::{AppPhase, AppStatus};
use crate::object::Revision;
use crate::review::markdown::escape::{short, text};

use super::record::{CommentRecord, Fate, Landed};
use super::words::{Status, StatusState};

/// A reason is a sentence or two, and may hold the last words of a pod.
const LONGEST_REASON: usize = 400;
/// Environments of which a comment tells: the gravest first where there are more.
const TOLD: usize = 8;
/// Apps that are named where they are not what was previewed.
const NAMED: usize = 5;

/// Where an environment stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Landing {
    /// The merges that the commit which it follows now has.
    pub holds: BTreeSet<Revision>,
    pub suspended: bool,
    /// Every app of it.
    pub apps: Vec<AppStatus>,
}

/// What has become of a merge in one environment, given what was known of it before.
pub fn land(
    before: Option<&Landed>,
    previewed: Option<&BTreeMap<String, String>>,
    merge: &Revision,
    landing: &Landing,
    now: Timestamp,
) -> Landed {
    if let Some(before) = before.filter(|before| before.state.is_final()) {
        return before.clone();
    }
    let has_seen = landing.holds.contains(merge);
    let (state, why) = if has_seen { fate(previewed, landing) } else { (Fate::Waiting, None) };
    // It is kept in the comment, which has an end.
    let why = why.map(|why| why.chars().take(LONGEST_REASON).collect());
    // As it was when the environment saw the merge: what others merge after that is not this one's.
    let differing = before
        .and_then(|before| before.differing.clone())
        .or_else(|| previewed.filter(|_| has_seen).map(|previewed| differing(previewed, landing)));
    let since = before.filter(|before| before.state == state).map_or(now, |before| before.since);
    Landed { state, why, since, differing }
}

/// The gravest of its apps counts: of those that changed, or of all where it is not known which these are.
fn fate(previewed: Option<&BTreeMap<String, String>>, landing: &Landing) -> (Fate, Option<String>) {
    let fates: Vec<_> = match previewed {
        Some(previewed) => previewed.iter().map(|(name, digest)| fate_of(name, digest, landing)).collect(),
        None => landing.apps.iter().map(|app| fate_of(app.name.as_str(), "?", landing)).collect(),
    };
    fates.into_iter().max_by_key(|(fate, _)| *fate).unwrap_or((Fate::Healthy, None))
}

fn fate_of(name: &str, digest: &str, landing: &Landing) -> (Fate, Option<String>) {
    let Some(app) = landing.apps.iter().find(|app| app.name.as_str() == name) else {
        // One that goes is gone, and any other was not rendered yet.
        return (if digest.is_empty() { Fate::Healthy } else { Fate::RollingOut }, None);
    };
    let why = || app.message.as_ref().map(|message| format!("{name}: {message}"));
    let is_wanted = app.running().is_some() && app.running() == app.desired.as_ref();
    match app.phase {
        AppPhase::Ready if is_wanted => (Fate::Healthy, None),
        AppPhase::Restored | AppPhase::RolledBack => (Fate::Restored, why()),
        AppPhase::Halted | AppPhase::Refused => (Fate::Halted, why()),
        AppPhase::Suspended => (Fate::Suspended, None),
        _ if landing.suspended => (Fate::Suspended, None),
        _ => (Fate::RollingOut, None),
    }
}

/// The apps that are not what the report showed.
fn differing(previewed: &BTreeMap<String, String>, landing: &Landing) -> Vec<String> {
    let differs = |(name, digest): &(&String, &String)| {
        let app = landing.apps.iter().find(|app| app.name.as_str() == *name);
        let desired = app.and_then(|app| app.desired.as_ref()).map_or("", |desired| desired.short());
        desired != digest.as_str()
    };
    previewed.iter().filter(differs).map(|(name, _)| name.clone()).collect()
}

/// What the comment says of it.
pub fn outcome(record: &CommentRecord, merged: Timestamp) -> String {
    let all = &record.outcome;
    let count = |fate: Fate| all.values().filter(|landed| landed.state == fate).count();
    let verdict = match () {
        () if count(Fate::Restored) > 0 => "merged, and put back",
        () if count(Fate::Halted) > 0 => "merged, and halted",
        () if count(Fate::Healthy) == all.len() => "merged, applied and healthy",
        () if count(Fate::Suspended) > 0 => "merged, and held up by a suspension",
        () => "merged, and rolling out",
    };
    let mut out = format!(
        "## Fairlead: {verdict}\n\n| Environment | State | After | As previewed |\n| --- | --- | --: | --- |\n"
    );
    let mut told: Vec<(&String, &Landed)> = all.iter().collect();
    told.sort_by_key(|(_, landed)| std::cmp::Reverse(landed.state));
    told.truncate(TOLD);
    told.sort_by_key(|(environment, _)| *environment);
    for (environment, landed) in &told {
        let after = if landed.state.is_final() { span(merged, landed.since) } else { "…".to_owned() };
        let previewed = match &landed.differing {
            // There was no room for what each app was to become.
            None if record.unnamed => "not known".to_owned(),
            None => "not known yet".to_owned(),
            Some(apps) if apps.is_empty() => "yes".to_owned(),
            Some(apps) => format!("no: {}", named(apps)),
        };
        let _ = writeln!(out, "| {} | {} | {after} | {previewed} |", short(environment), words(landed.state));
    }
    if all.len() > told.len() {
        let _ = writeln!(out, "| and {} more | | | |", all.len() - told.len());
    }
    out.push('\n');
    for (environment, landed) in told {
        if let Some(why) = &landed.why {
            let _ = writeln!(out, "- {}: {}", short(environment), text(why, LONGEST_REASON));
        }
    }
    out
}

fn named(apps: &[String]) -> String {
    let mut names: Vec<String> = apps.iter().take(NAMED).map(|app| short(app)).collect();
    if apps.len() > NAMED {
        names.push(format!("and {} more", apps.len() - NAMED));
    }
    names.join(", ")
}

fn words(fate: Fate) -> &'static str {
    match fate {
        Fate::Waiting => "has not seen the merge yet",
        Fate::RollingOut => "rolling out",
        Fate::Suspended => "suspended",
        Fate::Healthy => "applied and healthy",
        Fate::Halted => "halted",
        Fate::Restored => "failed, and what ran before runs again",
    }
}

fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// What the merge's commit is told of an environment.
pub fn status(context: String, landed: &Landed, merged: Timestamp) -> Status {
    let state = match landed.state {
        Fate::Healthy => StatusState::Success,
        Fate::Halted | Fate::Restored => StatusState::Failure,
        Fate::Waiting | Fate::RollingOut | Fate::Suspended => StatusState::Pending,
    };
    let description = match landed.state {
        Fate::Healthy => format!("applied and healthy after {}", span(merged, landed.since)),
        other => words(other).to_owned(),
    };
    Status { context, state, description }
}
