//! Tells people and other systems: the status, events, the log, metrics, notices, the history. Each fact is told once.

use std::sync::Arc;

use jiff::Timestamp;

use super::drift_records::DriftTeller;
use super::events::{Event, Events};
use super::status::StatusWriter;
use super::{Channels, Shared};
use crate::api::Environment;
use crate::delivery::{Fact, What};
use crate::notify::Notice;
use crate::object::Revision;
use crate::report::told;

pub(super) async fn run(shared: Shared, channels: Channels) {
    let mut report = channels.report.subscribe();
    let mut platform = shared.platform.clone();
    let mut status = StatusWriter::new(&shared);
    let mut drift = DriftTeller::new(&shared);
    let events = Events::new(&shared.context.environments);
    let mut facts = channels.told.lock().await;
    loop {
        let environment = platform.borrow_and_update().clone();
        let newest = report.borrow_and_update().clone();
        let revision = newest.as_ref().and_then(|report| report.revision.as_ref());
        drift.stands(&environment, newest.as_ref());
        let again = status.write_if_new(&environment, newest.as_ref()).await;
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
                    tell(&shared, &events, &mut drift, &environment, fact, revision);
                    // What came with it, so that the status does not wait for each.
                    while let Ok(fact) = facts.try_recv() {
                        tell(&shared, &events, &mut drift, &environment, fact, revision);
                    }
                }
                None => break,
            },
            () = shared.end.cancelled() => break,
            () = drift.named() => {}
            changed = report.changed() => if changed.is_err() { break },
            changed = platform.changed() => if changed.is_err() { break },
            () = sleep => {}
        }
    }
    // What ended at the very end has to be known, too.
    while let Ok(fact) = facts.try_recv() {
        keep(&shared, &mut drift, &fact, None);
    }
    events.end().await;
}

/// Tells one fact everywhere. Nothing of it is waited for.
fn tell(
    shared: &Shared,
    events: &Events,
    drift: &mut DriftTeller,
    environment: &Arc<Environment>,
    fact: Fact,
    revision: Option<&Revision>,
) {
    keep(shared, drift, &fact, revision);
    let Some(told) = told(&fact) else { return };
    if told.warning {
        tracing::warn!(environment = %shared.name, reason = told.reason, "{}", told.note);
    } else {
        tracing::info!(environment = %shared.name, reason = told.reason, "{}", told.note);
    }
    let context = &shared.context;
    if let Some(notifier) = context.outlets.notifier.as_ref().filter(|_| told.is_noticed) {
        let now = Timestamp::now();
        notifier.tell(Notice {
            environment: shared.name.clone(),
            app: fact.app.clone(),
            reason: told.reason,
            warning: told.warning,
            message: told.note.clone(),
            time: now.round(jiff::Unit::Second).unwrap_or(now).to_string(),
        });
    }
    context.metrics.event(shared.name.as_str(), told.reason);
    events.tell(Event { environment: environment.clone(), app: fact.app, told });
}

/// Hands what ended to the history, and what others changed to all that want to know it.
fn keep(shared: &Shared, drift: &mut DriftTeller, fact: &Fact, revision: Option<&Revision>) {
    match (&fact.what, &shared.context.outlets.history) {
        (What::Ended(record), Some(history)) => history.tell(&shared.name, (**record).clone()),
        _ => drift.keep(fact, revision),
    }
}
