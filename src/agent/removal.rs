//! An Environment that is deleted. Its objects stay, unless it says `onDelete: remove`: then a finalizer holds it until
//! they are gone. Git is not asked: that an environment goes is the platform's word alone, and a person approves the list.

use kube::ResourceExt;

use super::environment::{EnvironmentLoop, trouble};
use crate::api::{Environment, OnDelete, names};
use crate::cluster::chain;
use crate::report::Trouble;

impl EnvironmentLoop {
    /// Sees to it that the Environment bears our finalizer, or does not.
    pub(super) async fn hold(&self, environment: &Environment, hold: bool) -> Result<(), Trouble> {
        if environment.finalizers().iter().any(|name| name == names::FINALIZER) == hold {
            return Ok(());
        }
        let written = self.context.environments.finalize(environment, hold).await;
        written.map_err(|error| trouble("FinalizerFailed", &chain(&error), true))
    }

    /// Takes down what the environment made, and lets the Environment go when that is done.
    pub(super) async fn leave(&mut self, environment: &Environment) -> Result<(), Trouble> {
        if environment.spec.on_delete == OnDelete::Keep {
            return self.hold(environment, false).await;
        }
        if !environment.finalizers().iter().any(|name| name == names::FINALIZER) {
            return Ok(()); // It was let go, and others hold it.
        }
        self.equip(environment).await?;
        if let Some((_, driver)) = &mut self.driver {
            driver.leave();
        }
        self.trouble = None;
        self.tend(environment, None).await?;
        let Some(stays) = self.driver.as_ref().and_then(|(_, driver)| driver.left()) else { return Ok(()) };
        let note = match stays.as_slice() {
            [] => "all that it made is gone".to_owned(),
            some => format!("what it made is gone, but for {}", some.join("; ")),
        };
        tracing::info!(environment = %self.name, "{note}");
        self.context.environments.event(environment, !stays.is_empty(), "Removed", "Remove", &note).await;
        if let Some(keeper) = &self.keeper {
            keeper.forget().await.map_err(|error| trouble("StateUnavailable", &chain(&error), true))?;
        }
        self.hold(environment, false).await
    }
}
