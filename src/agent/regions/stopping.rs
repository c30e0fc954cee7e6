//! Stops the writers of an environment, and sees that none is left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::gate::WriterGate;
use crate::api::Identity;
use crate::cluster::{Session, chain, stop_writers, uptime};
use crate::region::Moment;

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(500);
/// A request of the process before this one may be under way for so long yet.
const BEFORE_US: Duration = Duration::from_secs(5);

/// What a stop works with.
#[derive(Clone)]
pub struct StopWith {
    pub gate: Arc<WriterGate>,
    pub session: Session,
    pub environment: String,
    pub namespaces: Vec<String>,
    /// The kinds of which it may have objects, where that is known.
    pub kinds: Option<BTreeSet<String>>,
    pub identity: Option<Identity>,
}

/// How far a stop is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing is left, and nothing can start but by a new word of this process.
    Nothing,
    Some(String),
}

/// A stop that this process asked for, if it asked for one.
pub struct Stopping {
    since: Moment,
    under_way: Option<(AbortOnDropHandle<()>, watch::Receiver<Left>)>,
}

impl Default for Stopping {
    fn default() -> Self {
        Self { since: uptime(), under_way: None }
    }
}

impl Stopping {
    /// Stops the writers, unless that is under way or done.
    pub fn begin(&mut self, with: StopWith) {
        if self.under_way.is_some() {
            return;
        }
        with.gate.close();
        let (tell, told) = watch::channel(Left::Some("it has just begun".to_owned()));
        let sure_from = self.since + BEFORE_US;
        let task = tokio::spawn(async move { stop(with, sure_from, &tell).await });
        self.under_way = Some((AbortOnDropHandle::new(task), told));
    }

    /// Writers may run again: what was confirmed says nothing any more.
    pub fn end(&mut self) {
        self.under_way = None;
    }

    pub fn is_confirmed(&self) -> bool {
        self.under_way.as_ref().is_some_and(|(_, left)| *left.borrow() == Left::Nothing)
    }

    /// What is left, while a stop is under way.
    pub fn left(&self) -> Option<String> {
        match &*self.under_way.as_ref()?.1.borrow() {
            Left::Nothing => None,
            Left::Some(what) => Some(what.clone()),
        }
    }

    /// Until something is new of it.
    pub async fn changed(&mut self) {
        if let Some((_, left)) = &mut self.under_way
            && left.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

async fn stop(with: StopWith, sure_from: Moment, tell: &watch::Sender<Left>) {
    with.gate.emptied().await;
    loop {
        let StopWith { session, environment, namespaces, kinds, identity, .. } = &with;
        let stopped = stop_writers(session, environment, namespaces, kinds.as_ref(), identity.as_ref()).await;
        let left = match stopped {
            Ok(left) if left.is_empty() && uptime() >= sure_from => Left::Nothing,
            Ok(left) if left.is_empty() => {
                Left::Some("a request of the process before this one may be under way".to_owned())
            }
            Ok(left) => Left::Some(format!(
                "{} left: {}",
                left.len(),
                left.iter().take(3).cloned().collect::<Vec<_>>().join(", ")
            )),
            Err(error) => Left::Some(format!("the writers cannot be stopped: {}", chain(&error))),
        };
        let is_done = left == Left::Nothing;
        tell.send_if_modified(|known| {
            let new = *known != left;
            *known = left;
            new
        });
        if is_done {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
