//! What a run leaves behind: as data, as JSON, and as Markdown for people.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::name::{Epoch, RegionName};
use super::run::{Ask, End, Run, Said, StepResult, passed};
use super::settings::Objectives;
use super::step::{Mode, RegionStep};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub environment: String,
    pub epoch: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<RegionName>,
    pub to: RegionName,
    pub mode: Mode,
    pub by: String,
    pub began: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How it ended, in a few words.
    pub outcome: String,
    pub steps: Vec<StepReport>,
    pub people: Vec<Said>,
    pub overridden: Vec<&'static str>,
    /// From its beginning to a healthy application that serves. Of a drill, to the end of its last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_seconds: Option<u64>,
    /// Whether the objective was met; nothing where there is none, or nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto_met: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_loss_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo_met: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    pub step: RegionStep,
    pub outcome: String,
    pub attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl Report {
    pub fn of(environment: &str, run: &Run, objectives: &Objectives) -> Self {
        let steps: Vec<StepReport> = run
            .steps()
            .map(|(step, progress)| StepReport {
                step,
                outcome: outcome_of(&progress.result, progress.began.is_some()),
                attempts: progress.attempt,
                began: progress.began,
                seconds: progress
                    .began
                    .zip(progress.ended)
                    .map(|(began, ended)| passed(began, ended).as_secs()),
            })
            .collect();
        let last = run.steps().filter_map(|(_, progress)| progress.ended).max();
        let served =
            if run.is_drill() { last.filter(|_| run.stands() || run.is_ended()) } else { run.served };
        let recovery = served.map(|served| passed(run.began, served));
        let met = |objective: Option<Duration>, found: Option<Duration>| {
            objective.zip(found).map(|(objective, found)| found <= objective)
        };
        Self {
            environment: environment.to_owned(),
            epoch: run.epoch,
            from: run.from.clone(),
            to: run.to.clone(),
            mode: run.mode,
            by: run.by.clone(),
            began: run.began,
            ended: run.ended().map(|(_, at)| at),
            outcome: match run.ended() {
                None if run.stands() => "the drill stands".to_owned(),
                None => format!("it is at {}", run.step()),
                Some((End::Done, _)) => "done".to_owned(),
                Some((End::Aborted { person, reason }, _)) => format!("{person} gave it up: {reason}"),
                Some((End::Overtaken { by }, _)) => format!("epoch {by} came first"),
                Some((End::Promoted, _)) => "it became the real move".to_owned(),
            },
            steps,
            people: run.said.clone(),
            overridden: run.overridden().iter().map(|preflight| preflight.as_str()).collect(),
            recovery_seconds: recovery.map(|time| time.as_secs()),
            rto_met: met(objectives.rto, recovery),
            data_loss_seconds: run.loss.map(|loss| loss.as_secs()),
            rpo_met: met(objectives.rpo, run.loss),
        }
    }

    /// The same for people. What they wrote is shown as text.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        let from = self.from.as_ref().map(|from| format!("from {from} ")).unwrap_or_default();
        let what = if self.mode == Mode::Drill { "Drill" } else { "Re-point" };
        let _ = writeln!(
            text,
            "# {what} of {} {from}to {} (epoch {})\n",
            plain(&self.environment),
            self.to,
            self.epoch
        );
        let _ = writeln!(text, "{}, by {}: {}.\n", self.mode.as_str(), plain(&self.by), plain(&self.outcome));
        let is_met = |met: Option<bool>| match met {
            Some(true) => ", objective met",
            Some(false) => ", **objective missed**",
            None => "",
        };
        let time = |seconds: Option<u64>| {
            seconds.map_or("not measured".to_owned(), |seconds| format!("{seconds} s"))
        };
        let _ = writeln!(text, "- began {}", self.began);
        let _ = writeln!(text, "- recovery time {}{}", time(self.recovery_seconds), is_met(self.rto_met));
        let _ = writeln!(text, "- data loss {}{}", time(self.data_loss_seconds), is_met(self.rpo_met));
        if !self.overridden.is_empty() {
            let _ = writeln!(text, "- overridden: {}", self.overridden.join(", "));
        }
        text.push_str("\n| step | outcome | attempts | time |\n| --- | --- | --- | --- |\n");
        for StepReport { step, outcome, attempts, seconds, .. } in &self.steps {
            let time = seconds.map(|seconds| format!("{seconds} s")).unwrap_or_default();
            let _ = writeln!(text, "| {step} | {} | {attempts} | {time} |", plain(outcome));
        }
        if !self.people.is_empty() {
            text.push_str("\n| when | who | at | what | why |\n| --- | --- | --- | --- | --- |\n");
            for Said { at, person, reason, ask, step } in &self.people {
                let _ = writeln!(
                    text,
                    "| {at} | {} | {step} | {} | {} |",
                    plain(person),
                    words(ask),
                    plain(reason)
                );
            }
        }
        text
    }
}

fn outcome_of(result: &StepResult, is_begun: bool) -> String {
    match result {
        StepResult::Open if is_begun => "not finished".to_owned(),
        StepResult::Open => "not begun".to_owned(),
        StepResult::Done => "done".to_owned(),
        StepResult::Skipped { person, reason } => format!("skipped by {person}: {reason}"),
        StepResult::CarriedOver => "carried over from the drill".to_owned(),
        StepResult::NotDrilled => "no part of a drill".to_owned(),
        StepResult::NotWaitedFor => "not waited for".to_owned(),
    }
}

fn words(ask: &Ask) -> String {
    match ask {
        Ask::Pause => "paused".to_owned(),
        Ask::Resume => "resumed".to_owned(),
        Ask::Retry => "tried again".to_owned(),
        Ask::Skip { step } => format!("skipped {step}"),
        Ask::Ungraceful => "went on ungracefully".to_owned(),
        Ask::Override { preflight } => format!("overrode {}", preflight.as_str()),
        Ask::TakeLoss { most } => format!("took a loss of up to {} s", most.as_secs()),
        Ask::Attest { attestation } => match &attestation.holder {
            Some((region, epoch)) => format!("attested that {region} (epoch {epoch}) is off"),
            None => "attested that no other region runs".to_owned(),
        },
        Ask::Abort => "aborted".to_owned(),
        Ask::EndDrill => "ended the drill".to_owned(),
    }
}

/// Text that stays in its cell and is no markup.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.push(' '),
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '@' | '!' => {
                let _ = write!(shown, "&#{};", u32::from(c));
            }
            c if c.is_control() => {}
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::region::lag::Lag;
    use crate::region::run::{Facts, Next, Preflight, Request, StepOutcome};
    use crate::region::settings::settings;
    use crate::region::words::{Source, Word};

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn finished() -> Run {
        let region = |name: &str| RegionName::new(name).unwrap();
        let from = Source::Cluster { person: "ann".into(), reason: "a|b".into() };
        let word = Word { epoch: Epoch(4), active: region("b"), mode: Mode::Ungraceful, from };
        let mut run = Run::of(&word, Some(region("a")), time(0));
        let request = Request {
            id: "1".into(),
            person: "ann".into(),
            reason: "no | nodes\n<b>".into(),
            ask: Ask::Override { preflight: Preflight::Capacity },
        };
        run.hear(&request, time(0)).unwrap();
        let preflights: BTreeMap<_, _> = Preflight::ALL.into_iter().map(|one| (one, Ok(()))).collect();
        let settings = settings("b", &["a"], 4);
        let mut outcome: Option<(RegionStep, u32, StepOutcome)> = None;
        for second in (0..).step_by(5) {
            let facts = Facts {
                preflights: &preflights,
                held: Some(Epoch(4)),
                overtaken: None,
                place_is_empty: false,
                other_froze: false,
                other_drained: false,
                lag: Lag::By(Duration::from_secs(7)),
                outcome: outcome.as_ref(),
            };
            match run.next(&facts, &settings, time(second)) {
                Next::Do { step, attempt } => outcome = Some((step, attempt, StepOutcome::Done)),
                _ => break,
            }
        }
        run
    }

    #[test]
    fn a_report_has_times_people_overrides_and_objectives() {
        let minute = Some(Duration::from_secs(60));
        let report = Report::of("production", &finished(), &Objectives { rto: minute, rpo: minute });
        assert_eq!((report.recovery_seconds, report.rto_met), (Some(40), Some(true)));
        assert_eq!((report.data_loss_seconds, report.rpo_met), (Some(7), Some(true)));
        assert_eq!(report.overridden, ["capacity"]);
        assert_eq!(report.steps.len(), RegionStep::ALL.len());
        let total: u64 = report.steps.iter().filter_map(|step| step.seconds).sum();
        assert_eq!(total, 50, "each step that is done takes one turn");
        let tight = Some(Duration::from_secs(5));
        let report = Report::of("production", &finished(), &Objectives { rto: tight, rpo: tight });
        assert_eq!((report.rto_met, report.rpo_met), (Some(false), Some(false)));
        let report = Report::of("production", &finished(), &Objectives::default());
        assert_eq!((report.rto_met, report.rpo_met), (None, None));
        assert_eq!(serde_json::to_value(&report).unwrap()["steps"][3]["step"], "data");
    }

    #[test]
    fn what_people_wrote_is_text_in_the_markdown() {
        let tight = Some(Duration::from_secs(5));
        let text =
            Report::of("production", &finished(), &Objectives { rto: tight, rpo: tight }).to_markdown();
        assert!(text.starts_with("# Re-point of production from a to b (epoch 4)\n"), "{text}");
        assert!(text.contains("- recovery time 40 s, **objective missed**\n"), "{text}");
        assert!(text.contains("| freeze | not waited for | 1 | 0 s |\n"), "{text}");
        assert!(text.contains("| overrode capacity | no &#124; nodes &#60;b&#62; |\n"), "{text}");
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        let cells: Vec<usize> = rows.iter().map(|row| row.matches('|').count()).collect();
        assert!(cells.iter().all(|count| [5, 6].contains(count)), "{text}");
    }
}
