//! What people ask for: one watch for all environments, and what came of it written where it was asked. What a Request
//! means is decided in `requests`; an environment's own task executes what is its own, and here is looked after what is
//! nobody's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{Request, RequestStatus};
use crate::cluster::{Fence, RequestEvent, Requests, chain};
use crate::requests::{Docket, Handle, decide_stray, status};

/// What could not be written is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The Requests of the environments, by the names of both.
pub type Book = BTreeMap<String, Arc<BTreeMap<String, Arc<Request>>>>;

/// What all environments share of Requests.
#[derive(Clone)]
pub struct RequestBook {
    pub requests: Requests,
    instance: Arc<str>,
    /// `None` until they were listed.
    book: watch::Sender<Option<Book>>,
    /// The Environments there are; `None` until that is known.
    environments: watch::Sender<Option<BTreeSet<String>>>,
}

impl RequestBook {
    pub fn new(requests: Requests, instance: &str) -> Self {
        Self {
            requests,
            instance: instance.into(),
            book: watch::Sender::default(),
            environments: watch::Sender::default(),
        }
    }

    pub fn subscribe(&self) -> watch::Receiver<Option<Book>> {
        self.book.subscribe()
    }

    /// Takes which Environments there are.
    pub fn know(&self, names: BTreeSet<String>) {
        self.environments.send_if_modified(|known| {
            let new = known.as_ref() != Some(&names);
            *known = Some(names);
            new
        });
    }

    /// Keeps the book, and looks after the Requests of environments that there are not.
    pub async fn run(self, fence: Fence, end: CancellationToken) {
        let mut events = std::pin::pin!(self.requests.watch());
        let mut environments = self.environments.subscribe();
        let mut scribe = Scribe::new(&self);
        loop {
            let known = environments.borrow_and_update().clone();
            let again = match known.filter(|_| fence.left().is_some()) {
                Some(known) => self.look_after_strays(&known, &mut scribe).await,
                None => Some(TRY_AGAIN),
            };
            tokio::select! {
                () = end.cancelled() => return,
                event = events.next() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
                _ = environments.changed() => {}
                () = sleep(again) => {}
            }
        }
    }

    fn take(&self, event: RequestEvent) {
        match event {
            RequestEvent::All(all) => {
                let mut book: BTreeMap<String, BTreeMap<String, Arc<Request>>> = BTreeMap::new();
                for request in all {
                    let of = book.entry(request.spec.environment.clone()).or_default();
                    of.insert(name(&request), Arc::new(request));
                }
                let book = book.into_iter().map(|(of, all)| (of, Arc::new(all))).collect();
                self.book.send_replace(Some(book));
            }
            RequestEvent::Changed(request) => self.book.send_modify(|book| {
                let of = book.get_or_insert_default().entry(request.spec.environment.clone()).or_default();
                Arc::make_mut(of).insert(name(&request), Arc::new(*request));
            }),
            RequestEvent::Gone(request) => self.book.send_modify(|book| {
                if let Some(of) = book.as_mut().and_then(|book| book.get_mut(&request.spec.environment)) {
                    Arc::make_mut(of).remove(&name(&request));
                }
            }),
            RequestEvent::Failed(why) => tracing::warn!(error = %why, "watching the Requests failed"),
        }
    }

    async fn look_after_strays(&self, known: &BTreeSet<String>, scribe: &mut Scribe<'_>) -> Option<Duration> {
        let book = self.book.borrow().clone().unwrap_or_default();
        let strays = book.iter().filter(|(of, _)| !known.contains(*of)).flat_map(|(_, all)| all.values());
        let mut again = None;
        for stray in strays {
            let now = Timestamp::now();
            let docket = decide_stray(&scribe.as_written(stray), now);
            again = [again, scribe.execute(&docket, now).await.again].into_iter().flatten().min();
        }
        again
    }
}

fn name(request: &Request) -> String {
    request.metadata.name.clone().unwrap_or_default()
}

/// What came of doing it.
pub struct Executed {
    /// Something was written, and what follows from that is to be decided.
    pub wrote: bool,
    /// After how long to look again if nothing happens before.
    pub again: Option<Duration>,
}

/// Writes what came of Requests, once: its own word comes back by the watch only later.
pub struct Scribe<'a> {
    book: &'a RequestBook,
    written: HashMap<Handle, RequestStatus>,
}

impl<'a> Scribe<'a> {
    pub fn new(book: &'a RequestBook) -> Self {
        Self { book, written: HashMap::new() }
    }

    /// A Request with what was last written of it, where the watch did not bring that yet.
    pub fn as_written(&mut self, request: &Arc<Request>) -> Arc<Request> {
        let (Some(name), Some(uid)) = (&request.metadata.name, &request.metadata.uid) else {
            return request.clone();
        };
        let handle = Handle { name: name.clone(), uid: uid.clone() };
        match self.written.get(&handle) {
            Some(status) if request.status.as_ref() != Some(status) => {
                Arc::new(Request { status: Some(status.clone()), ..(**request).clone() })
            }
            _ => {
                self.written.remove(&handle);
                request.clone()
            }
        }
    }

    /// Forgets what was written of Requests that are no more.
    pub fn keep(&mut self, there: &BTreeMap<String, Arc<Request>>) {
        self.written.retain(|handle, _| {
            there.get(&handle.name).is_some_and(|found| found.metadata.uid.as_ref() == Some(&handle.uid))
        });
    }

    /// Does what was decided.
    pub async fn execute(&mut self, docket: &Docket, now: Timestamp) -> Executed {
        let (mut failed, mut wrote) = (false, false);
        for (handle, state, message) in &docket.write {
            let status = status(*state, message.clone(), now, &self.book.instance);
            match self.book.requests.write_status(&handle.name, &handle.uid, &status).await {
                Ok(()) => {
                    wrote = true;
                    self.written.insert(handle.clone(), status);
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    failed = true;
                    tracing::warn!(request = handle.name, error = %chain(&error), "writing what came of a request failed");
                }
            }
        }
        for handle in &docket.remove {
            if let Err(error) = self.book.requests.remove(&handle.name, &handle.uid).await {
                failed = true;
                tracing::warn!(request = handle.name, error = %chain(&error), "removing a request failed");
            }
        }
        let at = docket.again.map(|at| at.duration_since(now).max(SignedDuration::ZERO));
        let at = at.map(|pause| Duration::try_from(pause).unwrap_or(Duration::ZERO));
        Executed { wrote, again: [at, failed.then_some(TRY_AGAIN)].into_iter().flatten().min() }
    }
}

pub async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
