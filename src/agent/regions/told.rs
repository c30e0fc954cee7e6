//! What happened in a region, for people: as facts, for the history, and as the status of the Environment.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::desk::Desk;
use super::seen::Seen;
use crate::api::{HolderStatus, RegionRunStatus, RegionStatus, RegionStepStatus};
use crate::delivery::{Fact, What};
use crate::metrics::RegionGauges;
use crate::object::{Digest, EnvironmentName, EventKind, RecordId, TimelineEvent};
use crate::region::automatic::Stays;
use crate::region::{
    Choice, Decision, Hold, News, Next, RegionRecord, Report, Role, Run, Settings, Silence, Waits, Writers,
};

/// What happened, as it is told with all else that happens.
pub fn fact(news: &News, environment: &EnvironmentName, settings: Option<&Settings>) -> Fact {
    let (warning, reason, note) = match news {
        News::Began { epoch, to, mode } => {
            (false, "RepointBegan", format!("epoch {epoch} moves the environment to {to}, {}", mode.as_str()))
        }
        News::Halted { cause, choices } => (true, "RepointHalted", format!("{cause}; {}", options(choices))),
        News::Served { epoch } => {
            (false, "RegionServes", format!("the application is healthy here at epoch {epoch}, and serves"))
        }
        News::Ended(run) => {
            let report = Report::of(
                environment.as_str(),
                run,
                &settings.map(|known| known.objectives).unwrap_or_default(),
            );
            let took = report
                .recovery_seconds
                .map(|seconds| format!(", and served after {seconds} s"))
                .unwrap_or_default();
            let note = format!(
                "the re-point to {} as epoch {} has ended: {}{took}",
                report.to, report.epoch, report.outcome
            );
            (report.outcome != "done", "RepointEnded", note)
        }
        News::GaveUp { epoch, to, at } => (
            false,
            "RegionGaveUp",
            format!("this region was active at epoch {epoch}; {to} is since epoch {at}"),
        ),
        News::CleanedUp => (false, "DrillCleanedUp", "nothing is left of the drill".to_owned()),
    };
    Fact { app: None, what: What::Region { warning, reason, note } }
}

/// What the history keeps of it: a whole report of what ended.
pub fn kept(
    news: &News,
    environment: &EnvironmentName,
    settings: Option<&Settings>,
    now: Timestamp,
) -> Option<TimelineEvent> {
    let News::Ended(run) = news else { return None };
    let report =
        Report::of(environment.as_str(), run, &settings.map(|known| known.objectives).unwrap_or_default());
    let chance = Digest::of(format!("{environment} {} {} {}", run.epoch, run.to, run.began).as_bytes());
    let chance = u128::from_str_radix(chance.as_str().get(..32)?, 16).ok()?;
    Some(TimelineEvent {
        id: RecordId::new(run.began, chance),
        kind: EventKind::Region,
        cluster: String::new(),
        environment: environment.clone(),
        app: None,
        object: None,
        who: Some(run.by.clone()),
        why: None,
        at: now,
        details: json!({"report": report, "markdown": report.to_markdown()}),
    })
}

fn options(choices: &[Choice]) -> String {
    let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
    format!("what can be done: {}", choices.join("; "))
}

/// Where the environment stands here.
pub fn status(
    desk: &Desk,
    decision: &Decision,
    seen: &Seen,
    waits_for: Option<&str>,
    left: Option<String>,
) -> Option<RegionStatus> {
    let settings = desk.settings()?;
    let wanted = desk.state().words.wanted();
    let role = desk.role().unwrap_or(Role::None);
    Some(RegionStatus {
        region: desk.me.to_string(),
        role: role.as_str().to_owned(),
        active: wanted.map_or(&settings.active, |word| &word.active).to_string(),
        epoch: wanted.map_or(settings.epoch, |word| word.epoch).0,
        writers: writers(desk, decision, left.as_deref()).to_owned(),
        frozen: seen.orders.frozen,
        holder: desk.fence.record().map(holder),
        message: message(desk, left),
        run: desk.state().run().map(|run| run_status(run, decision.next.as_ref(), desk, waits_for)),
        readiness: if desk.role() == Some(Role::Active) { Vec::new() } else { desk.looked.rows() },
        looked: desk
            .looked
            .at
            .filter(|_| desk.role() != Some(Role::Active))
            .map(|at| at.round(jiff::Unit::Second).unwrap_or(at).to_string()),
    })
}

/// The same as numbers.
pub fn gauges(status: &RegionStatus, reached: bool, data_lag: Option<Duration>) -> RegionGauges {
    let is_moving = |run: &&RegionRunStatus| run.state != "Ended";
    let run = status.run.as_ref().filter(is_moving);
    RegionGauges {
        writes: matches!(status.writers.as_str(), "running" | "starting" | "kept"),
        epoch: status.epoch,
        moving: run.is_some(),
        halted: run.is_some_and(|run| run.state == "Halted"),
        missing: status.readiness.iter().filter(|row| row.state == "missing").count(),
        reached,
        data_lag: data_lag.map(|lag| lag.as_secs()),
    }
}

fn writers(desk: &Desk, decision: &Decision, left: Option<&str>) -> &'static str {
    match (decision.duties.writers, left) {
        (Writers::Stop, Some(_)) => "stopping",
        (Writers::Stop, None) => "stopped",
        (Writers::Keep, _) => "kept",
        (Writers::Run { .. }, _) => {
            let run = desk.state().run();
            match run.is_some_and(|run| !run.is_ended() && Some(run.epoch) == desk.state().serving()) {
                true => "starting",
                false => "running",
            }
        }
    }
}

fn holder(record: &RegionRecord) -> HolderStatus {
    let (hold, silence) = match record.hold {
        Hold::Held(Silence::Stops) => ("held", Some("stop")),
        Hold::Held(Silence::RunsOn) => ("held", Some("run")),
        Hold::Released => ("released", None),
    };
    HolderStatus {
        region: record.holder.to_string(),
        epoch: record.epoch.0,
        hold: hold.to_owned(),
        silence: silence.map(str::to_owned),
        claimed_by: record.open_claim().map(|claim| claim.region.to_string()),
        drains: record.drains.as_ref().map(ToString::to_string),
    }
}

fn message(desk: &Desk, left: Option<String>) -> Option<String> {
    let mut words = Vec::new();
    if desk.is_wordless() {
        words.push("`region` left environment.yaml, and what it said before stands: two regions would write otherwise".to_owned());
    }
    words.extend(desk.state().words.fault().map(ToString::to_string));
    words.extend(desk.fence.trouble().map(ToString::to_string));
    words.extend(left);
    if let Some(stays @ Stays::Signals { agree: 1.., .. }) = &desk.stays {
        words.push(format!("it does not move by itself yet: {stays}"));
    }
    if desk.asks_for_drill() {
        words.push("`mode: drill` is not acted out yet".to_owned());
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn run_status(run: &Run, next: Option<&Next>, desk: &Desk, waits_for: Option<&str>) -> RegionRunStatus {
    let objectives = desk.settings().map(|settings| settings.objectives).unwrap_or_default();
    let report = Report::of("", run, &objectives);
    let (state, message, choices) = match next {
        _ if run.is_ended() => ("Ended", report.outcome.clone(), Vec::new()),
        Some(Next::Do { .. }) => ("Going", waits_for.unwrap_or_default().to_owned(), Vec::new()),
        Some(Next::Wait { on, .. }) => ("Waiting", waits(on), Vec::new()),
        Some(Next::Halt { cause, choices }) => {
            ("Halted", cause.to_string(), choices.iter().map(ToString::to_string).collect())
        }
        Some(Next::Ended) | None => ("Going", String::new(), Vec::new()),
    };
    let steps = report.steps.iter().map(|step| RegionStepStatus {
        step: step.step.as_str().to_owned(),
        outcome: step.outcome.clone(),
        seconds: step.seconds,
    });
    RegionRunStatus {
        epoch: run.epoch.0,
        from: run.from.as_ref().map(ToString::to_string),
        to: run.to.to_string(),
        mode: run.mode.as_str().to_owned(),
        by: run.by.clone(),
        began: run.began.round(jiff::Unit::Second).unwrap_or(run.began).to_string(),
        ended: run.ended().map(|(_, at)| at.round(jiff::Unit::Second).unwrap_or(at).to_string()),
        step: run.step().as_str().to_owned(),
        state: state.to_owned(),
        message,
        choices,
        steps: steps.collect(),
        recovery_seconds: report.recovery_seconds,
    }
}

fn waits(on: &Waits) -> String {
    match on {
        Waits::Resume { person, reason } => format!("{person} paused it: {reason}"),
        Waits::OldRegion => "it waits for the old region".to_owned(),
        Waits::Fence => "it waits until the shared place confirms the hold again".to_owned(),
        Waits::Replica => "it waits until the data here have caught up".to_owned(),
        Waits::Measurement => "it waits until it is measured how far the data here are behind".to_owned(),
        Waits::Promotion => "the drill stands: promote it, or end it".to_owned(),
    }
}
