//! Tells people and other systems: the status, events, the log, metrics, notices, the history. Each fact is told once.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Channels, Report, Shared};
use crate::api::{AppPhase, ConditionStatus, Environment, EnvironmentStatus, names};
use crate::delivery::{Fact, What};
use crate::notify::Notice;
use crate::object::chain;
use crate::report::{conditions, same_but_times, summary, told};

/// At most one status a second is written, but for the first after a rest, and for a verdict.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// A status that cannot be written is tried again ever more rarely, at last every 32 s.
const STATUS_DOUBLINGS: u32 = 5;

struct Tell<'a> {
    shared: &'a Shared,
    written: EnvironmentStatus,
    /// How often in a row writing it failed.
    unwritten: u32,
    /// When the next one may be written.
    due: Option<Instant>,
}

pub(super) async fn run(shared: Shared, channels: Channels) {
    let mut report = channels.report.subscribe();
    let mut platform = shared.platform.clone();
    let written = platform.borrow().status.clone().unwrap_or_default();
    let mut tell = Tell { shared: &shared, written, unwritten: 0, due: None };
    let mut facts = channels.told.lock().await;
    loop {
        let environment = platform.borrow_and_update().clone();
        let newest = report.borrow_and_update().clone();
        let again = tell.write_if_new(&environment, newest.as_deref()).await;
        let sleep = async {
            match again {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            fact = facts.recv() => match fact {
                Some(fact) => {
                    tell.tell(&environment, &fact).await;
                    // What came with it, so that the status does not wait for each.
                    while let Ok(fact) = facts.try_recv() {
                        tell.tell(&environment, &fact).await;
                    }
                }
                None => break,
            },
            () = shared.end.cancelled() => break,
            changed = report.changed() => if changed.is_err() { break },
            changed = platform.changed() => if changed.is_err() { break },
            () = sleep => {}
        }
    }
    // What ended at the very end has to be known, too.
    while let Ok(fact) = facts.try_recv() {
        tell.keep(&fact);
    }
}

impl Tell<'_> {
    async fn tell(&self, environment: &Environment, fact: &Fact) {
        self.keep(fact);
        let Some(told) = told(fact) else { return };
        if told.warning {
            tracing::warn!(environment = %self.shared.name, reason = told.reason, "{}", told.note);
        } else {
            tracing::info!(environment = %self.shared.name, reason = told.reason, "{}", told.note);
        }
        let context = &self.shared.context;
        if let Some(notifier) = context.notifier.as_ref().filter(|_| told.is_noticed) {
            let now = Timestamp::now();
            notifier.tell(Notice {
                environment: self.shared.name.clone(),
                app: fact.app.clone(),
                reason: told.reason,
                warning: told.warning,
                message: told.note.clone(),
                time: now.round(jiff::Unit::Second).unwrap_or(now).to_string(),
            });
        }
        context.metrics.event(self.shared.name.as_str(), told.reason);
        let environments = &context.environments;
        environments.event(environment, told.warning, told.reason, "Reconcile", &told.note).await;
    }

    /// Hands what ended to the history.
    fn keep(&self, fact: &Fact) {
        if let (What::Ended(record), Some(history)) = (&fact.what, &self.shared.context.history) {
            history.tell(&self.shared.name, (**record).clone());
        }
    }

    /// Writes where things stand, where that is new and its time has come; says when to look again.
    async fn write_if_new(&mut self, environment: &Environment, report: Option<&Report>) -> Option<Instant> {
        let report = report?;
        let status = self.status(environment, report);
        if same_but_times(&status, &self.written) {
            return None;
        }
        let now = Instant::now();
        // A verdict is told at once.
        let verdict = self.unwritten == 0 && verdict(&status) != verdict(&self.written);
        match self.due {
            Some(due) if now < due && !verdict => Some(due),
            _ => {
                let pause = self.write(status).await;
                self.due = Some(now + pause);
                (self.unwritten > 0).then_some(now + pause)
            }
        }
    }

    fn status(&self, environment: &Environment, report: &Report) -> EnvironmentStatus {
        let now =
            Timestamp::now().round(jiff::Unit::Second).map_or_else(|_| String::new(), |now| now.to_string());
        let (generation, prune) = (environment.metadata.generation, report.prune.as_ref());
        let conditions =
            conditions(&report.apps, prune, report.trouble.as_ref(), &self.written, generation, &now);
        EnvironmentStatus {
            observed_generation: generation,
            short_revision: report.revision.as_ref().map(|revision| revision.short().to_owned()),
            revision: report.revision.clone(),
            request: report.request.clone(),
            summary: Some(summary(&report.apps)),
            conditions,
            prune: report.prune.clone(),
            apps: report.apps.clone(),
        }
    }

    /// Answers after how long the next one may be written.
    async fn write(&mut self, status: EnvironmentStatus) -> Duration {
        let (context, name) = (&self.shared.context, self.shared.name.as_str());
        match context.environments.write_status(name, &status).await {
            Ok(()) => {
                context.metrics.ready(name, is_ready(&status));
                let aside = status.apps.iter().filter(|app| app.quarantined.is_some());
                context.metrics.quarantined(name, aside.map(|app| app.name.to_string()).collect());
                (self.written, self.unwritten) = (status, 0);
            }
            Err(error) => {
                self.unwritten = (self.unwritten + 1).min(STATUS_DOUBLINGS);
                tracing::warn!(environment = name, error = %chain(&error), "writing the status failed");
            }
        }
        STATUS_PAUSE * (1 << self.unwritten)
    }
}

fn is_ready(status: &EnvironmentStatus) -> bool {
    let ready = status.conditions.iter().find(|condition| condition.type_ == names::READY);
    ready.is_some_and(|ready| ready.status == ConditionStatus::True)
}

/// What a person waits to be told: that all is well, and which apps are stuck.
fn verdict(status: &EnvironmentStatus) -> (bool, Vec<&str>) {
    let stuck = status.apps.iter().filter(|app| {
        matches!(app.phase, AppPhase::Refused | AppPhase::Halted | AppPhase::Restored | AppPhase::RolledBack)
    });
    (is_ready(status), stuck.map(|app| app.name.as_str()).collect())
}
