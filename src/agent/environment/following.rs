//! The remote that an environment follows, and what it goes by while that cannot be read.

use std::time::Duration;

use super::{EnvironmentLoop, trouble};
use crate::agent::desired::Scope;
use crate::agent::{Context, memory};
use crate::api::{Environment, SourceSpec};
use crate::git::{Credentials, Remote};
use crate::object::Kinds;
use crate::report::Trouble;

/// How often a remote is asked where the Environment does not say.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

impl EnvironmentLoop {
    pub(super) async fn follow(&mut self, spec: &SourceSpec) -> Result<(), Trouble> {
        if self.source.as_ref().is_some_and(|(followed, _)| followed == spec) {
            return Ok(());
        }
        let credentials = credentials(&self.context, spec).await?;
        self.credentials_read = Some(tokio::time::Instant::now());
        let refused =
            |error: crate::git::GitError| trouble(error.reason(), &crate::cluster::chain(&error), false);
        let remote = Remote::new(&spec.url, credentials).map_err(refused)?;
        let interval =
            spec.interval.map_or(POLL_INTERVAL, |interval| interval.duration().max(Duration::from_secs(1)));
        let interval = self.context.poll_interval.unwrap_or(interval);
        let source = self.context.sources.follow(&remote, &spec.branch, interval).map_err(refused)?;
        self.source = Some((spec.clone(), source));
        Ok(())
    }

    /// What the apps were told last goes on; who was told nothing yet goes by what is remembered.
    pub(super) async fn go_on_without_git(
        &mut self,
        environment: &Environment,
        trouble: Trouble,
    ) -> Result<(), Trouble> {
        let hold = format!("git cannot be read: {}", trouble.message);
        self.remember(&self.scope(environment)?, &self.context.session.kinds()).await;
        let from_memory =
            "what is remembered is kept true until git can be read, and nothing new is rolled out";
        self.trouble = Some(match self.remembering {
            true => Trouble { message: format!("{}; {from_memory}", trouble.message), ..trouble },
            false => trouble,
        });
        if self.told.is_some() || self.remembering {
            self.tend(environment, Some(hold)).await?;
            if let Some((_, driver)) = &mut self.driver {
                driver.watch().await;
            }
        }
        Ok(())
    }

    /// Tells the apps what is remembered of them, where they know nothing yet.
    pub(super) async fn remember(&mut self, scope: &Scope, kinds: &Kinds) {
        let Some((keeper, (_, driver))) = self.keeper.as_ref().zip(self.driver.as_mut()) else { return };
        if driver.knows_apps() {
            return;
        }
        driver.remember(memory::remembered(keeper, scope, kinds).await);
        self.remembering = driver.knows_apps();
    }
}

async fn credentials(context: &Context, spec: &SourceSpec) -> Result<Credentials, Trouble> {
    let Some(name) = &spec.secret_ref else { return Ok(Credentials::None) };
    let namespace = &context.namespace;
    let secret = match context.environments.secret(namespace, &name.0).await {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            return Err(trouble(
                "NoCredentials",
                &format!("there is no Secret {namespace}/{}", name.0),
                true,
            ));
        }
        Err(error) => {
            let why = crate::cluster::chain(&error);
            return Err(trouble(
                "NoCredentials",
                &format!("the Secret {namespace}/{} cannot be read: {why}", name.0),
                true,
            ));
        }
    };
    let field = |key: &str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .map(|value| String::from_utf8_lossy(&value.0).into_owned())
    };
    if let Some(private_key) = field("identity").or_else(|| field("ssh-privatekey")) {
        let Some(known_hosts) = field("known_hosts") else {
            let message = format!("the Secret {namespace}/{} has a key but no known_hosts", name.0);
            return Err(trouble("NoCredentials", &message, true));
        };
        return Ok(Credentials::Ssh { private_key, passphrase: field("passphrase"), known_hosts });
    }
    match field("password").or_else(|| field("token")) {
        Some(token) => {
            Ok(Credentials::Token { username: field("username").unwrap_or_else(|| "git".to_owned()), token })
        }
        None => {
            let message = format!(
                "the Secret {namespace}/{} has neither `password` nor `identity` with `known_hosts`",
                name.0
            );
            Err(trouble("NoCredentials", &message, true))
        }
    }
}
