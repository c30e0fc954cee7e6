//! Does what `delivery` decides, one file for each action: each takes an action and answers with one event. Decides nothing.

mod find;
mod hook;
mod inspect;
mod look;
mod prove;
mod prune;
mod reasons;
mod recall;
mod remember;
mod write;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::regions::WriterGate;
use super::state_store::{StateError, StateStore};
use crate::api::Identity;
use crate::cluster::{Environments, Index, Session};
use crate::delivery::{Action, Event, Failure, Owner, Ticket};
use crate::object::{AppName, EnvironmentName, chain};
use crate::redact;
pub use find::Archive;
pub use inspect::{look, look_for_extras};
pub use prove::refused_hooks;

/// What the actions of an environment work with.
pub struct Hands {
    pub session: Session,
    pub index: Index,
    pub environments: Environments,
    pub environment: EnvironmentName,
    /// What is remembered outside of this process; a person at a command line has none.
    pub store: Option<Arc<StateStore>>,
    /// As whom is written; `None` is the caller's own identity, for people at a command line only.
    pub identity: Option<Identity>,
    /// Where older revisions are read from, while git can be read.
    pub archive: RwLock<Option<Archive>>,
    /// What lets writers be started, where the agent is in a region.
    pub gate: Option<Arc<WriterGate>>,
}

impl Hands {
    /// Does an action, until it has ended or `stop` comes. A panic in it is its failure.
    pub async fn perform(&self, ticket: &Ticket, action: Action, stop: CancellationToken) -> Event {
        tracing::debug!(environment = %self.environment, ?ticket, action = action.name(), "begins");
        let name = action.name();
        let performed = AssertUnwindSafe(self.dispatch(ticket, action, stop)).catch_unwind().await;
        tracing::debug!(environment = %self.environment, ?ticket, action = name, "has ended");
        performed.unwrap_or_else(|panic| {
            let why = super::panic_text(&*panic);
            tracing::error!(environment = %self.environment, panic = why, "an action panicked");
            Event::Failed(Failure::Final(format!("it panicked: {why}")))
        })
    }

    async fn dispatch(&self, ticket: &Ticket, action: Action, stop: CancellationToken) -> Event {
        match action {
            Action::Prove { plan, before, consent, hooks } => {
                until(&stop, prove::prove_app(self, plan, (before, consent), &hooks)).await
            }
            Action::Write { plan, wave, remember } => write::write(self, &plan, wave, remember, &stop).await,
            Action::Hook { work, hooks, quarantine, remember } => {
                let Some(app) = app_of(ticket) else { return not_of_an_app() };
                let notes = hook::Notes { hands: self, app, hooks, quarantine };
                hook::work(notes, work, remember, &stop).await
            }
            Action::Inspect { objects, extras } => {
                until(&stop, inspect::inspect(self, &objects, &extras)).await
            }
            Action::Recall { digest } => match app_of(ticket) {
                Some(app) => recall::recall(self, app, &digest).await,
                None => not_of_an_app(),
            },
            Action::Find { want, remember } => match app_of(ticket) {
                Some(app) => find::find(self, app, *want, remember).await,
                None => not_of_an_app(),
            },
            Action::Look { wanted, limits, last_words } => {
                look::look(self, &wanted, limits, last_words).await
            }
            Action::Reasons { wanted, last_words } => {
                Event::Reasons(reasons::reasons(self, &wanted, last_words).await)
            }
            Action::Remember(changes) => remember::remember(self, changes).await,
            Action::AskPrune(due) => until(&stop, prune::ask(self, due)).await,
            Action::Prune { prune, wave } => prune::prune(self, &prune, wave, &stop).await,
            Action::Finalizers(objects) => prune::held(self, &objects).await,
        }
    }

    /// What pods say, without values that this process has read, and without what looks like a secret.
    fn masked(&self, words: &str) -> String {
        redact::mask(&self.session.scrub(words))
    }

    /// Says where older revisions are read from.
    pub fn set_archive(&self, archive: Option<Archive>) {
        *self.archive.write().unwrap_or_else(PoisonError::into_inner) = archive;
    }
}

/// What is asked may be dropped at any moment: it writes nothing.
async fn until(stop: &CancellationToken, asked: impl Future<Output = Event>) -> Event {
    tokio::select! {
        event = asked => event,
        () = stop.cancelled() => Event::Stopped,
    }
}

fn app_of(ticket: &Ticket) -> Option<&AppName> {
    match &ticket.of {
        Owner::App(name, _) => Some(name),
        Owner::Prune(_) | Owner::Memory => None,
    }
}

fn not_of_an_app() -> Event {
    Event::Failed(Failure::Final("it is of no app".to_owned()))
}

/// A failure of the store, by whether it passes.
fn unsaved(error: &StateError) -> Failure {
    match error.may_pass() {
        true => Failure::Passing(chain(error)),
        false => Failure::Final(chain(error)),
    }
}
