//! Writes events about an environment beside everything else: what a thousand apps say at once delays nobody's verdict, and
//! fills nobody's cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::api::Environment;
use crate::cluster::Environments;
use crate::object::AppName;
use crate::report::Told;

/// So many events of one reason are written one by one within [`WINDOW`]; what comes beyond is told together at its end.
const ONE_BY_ONE: usize = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// So many are written at once. They share the slots of all requests of the agent itself.
const AT_ONCE: usize = 4;
/// Events that wait to be looked at; what does not fit is counted in the log.
const QUEUE: usize = 1024;
/// Apps that are named where many are told together.
const NAMED: usize = 8;
/// How long what is under way may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One event.
pub(super) struct Event {
    pub environment: Arc<Environment>,
    pub app: Option<AppName>,
    pub told: Told,
}

/// Takes events.
pub(super) struct Events {
    queue: mpsc::Sender<Event>,
    task: JoinHandle<()>,
}

impl Events {
    pub fn new(environments: &Environments) -> Self {
        let (queue, events) = mpsc::channel(QUEUE);
        Self { queue, task: tokio::spawn(write(environments.clone(), events)) }
    }

    pub fn tell(&self, event: Event) {
        if let Err(lost) = self.queue.try_send(event) {
            let Event { environment, told, .. } = lost.into_inner();
            let environment = environment.metadata.name.as_deref();
            tracing::warn!(environment, reason = told.reason, "an event is not written: too many wait");
        }
    }

    /// Waits for what is under way.
    pub async fn end(self) {
        drop(self.queue);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(LAST_WORDS, self.task).await.is_err() {
            abort.abort();
        }
    }
}

async fn write(environments: Environments, mut events: mpsc::Receiver<Event>) {
    let mut bursts = Bursts::default();
    let mut under_way = FuturesUnordered::new();
    let mut waiting: Vec<Event> = Vec::new();
    let mut is_open = true;
    while is_open || !waiting.is_empty() || !under_way.is_empty() {
        while under_way.len() < AT_ONCE
            && let Some(Event { environment, told, .. }) = waiting.pop()
        {
            let environments = environments.clone();
            under_way.push(async move {
                environments.event(&environment, told.warning, told.reason, "Reconcile", &told.note).await;
            });
        }
        let end = bursts.end();
        tokio::select! {
            event = events.recv(), if is_open && waiting.is_empty() => match event {
                Some(event) => waiting.extend(bursts.take(event, Instant::now())),
                None => {
                    is_open = false;
                    waiting.extend(bursts.over(None));
                }
            },
            Some(()) = under_way.next() => {}
            () = async {
                match end {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            }, if is_open => waiting.extend(bursts.over(Some(Instant::now()))),
        }
    }
}

/// What was told lately, by its reason.
#[derive(Default)]
struct Bursts(BTreeMap<&'static str, Burst>);

struct Burst {
    ends: Instant,
    told: usize,
    /// What is told together at the end: of which app each was, the first in full, and how many there are.
    held: Option<(Event, Vec<String>, usize)>,
}

impl Bursts {
    /// Gives an event back where it is to be written now.
    fn take(&mut self, event: Event, now: Instant) -> Option<Event> {
        let burst =
            self.0.entry(event.told.reason).or_insert(Burst { ends: now + WINDOW, told: 0, held: None });
        burst.told += 1;
        if burst.told <= ONE_BY_ONE {
            return Some(event);
        }
        let name = event.app.as_ref().map(ToString::to_string);
        let (_, names, count) = burst.held.get_or_insert_with(|| (event, Vec::new(), 0));
        *count += 1;
        names.extend(name.filter(|name| names.len() < NAMED && !names.contains(name)));
        None
    }

    /// When the next window ends.
    fn end(&self) -> Option<Instant> {
        self.0.values().map(|burst| burst.ends).min()
    }

    /// Ends the windows whose time is over, or all of them.
    fn over(&mut self, now: Option<Instant>) -> Vec<Event> {
        let over = |burst: &Burst| now.is_none_or(|now| burst.ends <= now);
        let held: Vec<_> =
            self.0.values_mut().filter(|burst| over(burst)).filter_map(|burst| burst.held.take()).collect();
        self.0.retain(|_, burst| !over(burst));
        held.into_iter().map(|(event, names, count)| together(event, &names, count)).collect()
    }
}

/// Words for many events of one reason. One alone is told as it is.
fn together(event: Event, names: &[String], count: usize) -> Event {
    if count == 1 {
        return event;
    }
    let more = if count > names.len() { ", …" } else { "" };
    let note = match names {
        [] => format!("and {count} more like it, the first: {}", event.told.note),
        names => format!("and {count} more, of {}{more}", names.join(", ")),
    };
    Event { told: Told { note, ..event.told }, ..event }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(app: usize, reason: &'static str) -> Event {
        let spec = serde_json::json!({
            "source": {"url": "https://git.example/infra.git", "branch": "dev"},
            "serviceAccount": {"namespace": "fairlead", "name": "deploy"}, "namespaces": ["web"],
        });
        Event {
            environment: Arc::new(Environment::new("dev", serde_json::from_value(spec).unwrap())),
            app: Some(AppName::new(&format!("app-{app}")).unwrap()),
            told: Told { warning: false, reason, note: format!("app-{app}: it runs"), is_noticed: true },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_told_together_and_another_reason_is_heard_beside_it() {
        let (mut bursts, now) = (Bursts::default(), Instant::now());
        let told: Vec<Event> = (0..1_000).filter_map(|n| bursts.take(event(n, "RolledOut"), now)).collect();
        assert_eq!(told.len(), ONE_BY_ONE);
        assert!(bursts.take(event(7, "Halted"), now).is_some(), "it is not crowded out");
        assert!(bursts.over(Some(now)).is_empty(), "its time is not over");
        let over = bursts.over(Some(now + WINDOW));
        let notes: Vec<&str> = over.iter().map(|event| event.told.note.as_str()).collect();
        assert_eq!(
            notes,
            ["and 980 more, of app-20, app-21, app-22, app-23, app-24, app-25, app-26, app-27, …"]
        );
        assert!(bursts.end().is_none(), "the next burst begins anew");
        assert!(bursts.take(event(1, "RolledOut"), now + WINDOW).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_burst_is_told_at_the_end() {
        let (mut bursts, now) = (Bursts::default(), Instant::now());
        for n in 0..=ONE_BY_ONE {
            bursts.take(event(n, "RolledOut"), now);
        }
        let over = bursts.over(None);
        assert_eq!(over[0].told.note, "app-20: it runs", "one alone is told as it is");
    }
}
