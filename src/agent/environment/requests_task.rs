//! Takes up what people ask for of this environment, tells those who execute it, and writes what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::{Channels, Report, Shared};
use crate::agent::requests::{Book, Scribe, sleep};
use crate::api::{DriftLimits, Environment, Request};
use crate::requests::{Docket, Known, decide, event};

/// Whether people can see that git was looked at stands in the Environment's status, which comes back unannounced.
const LOOK: Duration = Duration::from_millis(200);
/// So long nothing is done for an environment for want of its Requests, of which any may be a hold. A cluster in which they
/// cannot be listed at all is looked after all the same.
const UNKNOWN: Duration = Duration::from_secs(30);

pub(super) async fn run(shared: Shared, channels: Channels) {
    let mut book = shared.context.requests.subscribe();
    let mut report = channels.report.subscribe();
    let mut regions = channels.region.replies.subscribe();
    let mut scribe = Scribe::new(&shared.context.requests);
    let began = Instant::now();
    while !shared.end.is_cancelled() {
        let (mine, listed) = of(book.borrow_and_update().as_ref(), shared.name.as_str());
        let newest = report.borrow_and_update().clone();
        let environment = shared.platform.borrow().clone();
        scribe.keep(&mine);
        let requests: Vec<Arc<Request>> = mine.values().map(|request| scribe.as_written(request)).collect();
        let now = Timestamp::now();
        let mut known = known(newest.as_deref(), &environment);
        known.regions.clone_from(&regions.borrow_and_update());
        let mut docket = decide(&requests, &known, now);
        docket.words.known = listed || began.elapsed() >= UNKNOWN;
        channels.words.send_if_modified(|known| {
            let new = *known != docket.words;
            known.clone_from(&docket.words);
            new
        });
        let executed = scribe.execute(&docket, now).await;
        if executed.wrote {
            keep(&shared, &mine, &docket, now);
            continue; // What has ended is told no more.
        }
        let mut again = executed.again;
        if !docket.words.known {
            again = Some(again.unwrap_or(UNKNOWN).min(UNKNOWN.saturating_sub(began.elapsed())));
        }
        if !docket.words.look.is_empty() {
            again = Some(again.unwrap_or(LOOK).min(LOOK));
        }
        tokio::select! {
            () = shared.end.cancelled() => break,
            changed = book.changed() => if changed.is_err() { break },
            changed = report.changed() => if changed.is_err() { break },
            changed = regions.changed() => if changed.is_err() { break },
            () = sleep(again) => {}
        }
    }
}

/// Hands the history what became of requests. What is told again is kept once.
fn keep(shared: &Shared, requests: &BTreeMap<String, Arc<Request>>, docket: &Docket, now: Timestamp) {
    let Some(history) = &shared.context.outlets.history else { return };
    for (handle, state, message) in &docket.write {
        let request = requests.get(&handle.name);
        if let Some(event) = request.and_then(|request| event(request, *state, message, now)) {
            history.tell_event(event);
        }
    }
}

/// The Requests of an environment, and whether they were listed.
fn of(book: Option<&Book>, environment: &str) -> (Arc<BTreeMap<String, Arc<Request>>>, bool) {
    (book.and_then(|book| book.get(environment)).cloned().unwrap_or_default(), book.is_some())
}

fn known<'a>(report: Option<&'a Report>, environment: &Environment) -> Known<'a> {
    let since = environment.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let limits = environment.spec.drift.clone().unwrap_or_default();
    let max_hold = limits.max_hold.unwrap_or(DriftLimits::MAX_HOLD).duration();
    let max_hold = SignedDuration::try_from(max_hold).unwrap_or(SignedDuration::MAX);
    let never_ignore = limits.never_ignore;
    let Some(report) = report else { return Known { since, max_hold, never_ignore, ..Known::default() } };
    let shown = environment.status.as_ref().and_then(|status| status.request.as_ref());
    let looked = match shown.is_some() && shown == report.request.as_ref() {
        true => report.looked.clone(),
        false => std::collections::BTreeSet::new(),
    };
    Known {
        apps: &report.apps,
        replies: report.replies.clone(),
        looked,
        max_hold,
        never_ignore,
        regions: BTreeMap::new(),
        since,
    }
}
