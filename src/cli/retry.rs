use std::time::Duration;

use clap::Args;

use super::ask::{Asker, Reason};
use super::failure::Failure;
use super::target::{self, Global, environment};
use super::{CliResult, Exit};
use crate::api::{AppPhase, RequestSpec};
use crate::object::{AppName, EnvironmentName};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// The app, where more than one waits
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    #[command(flatten)]
    reason: Reason,
}

/// An agent that does nothing else answers at once; the request stays, and is not waited for.
const ANSWERED: Duration = Duration::from_secs(10);

/// Asks the agent to try again what failed its gates and was taken back.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let environments = target::environments(&cluster);
    let found = environment(&environments, &arguments.env).await?;
    let apps = found.status.map(|status| status.apps).unwrap_or_default();
    let waits = apps
        .iter()
        .filter(|app| matches!(app.phase, AppPhase::Restored | AppPhase::RolledBack | AppPhase::Halted));
    let waits: Vec<_> =
        waits.filter(|app| arguments.app.as_ref().is_none_or(|name| app.name == *name)).collect();
    let app = match waits.as_slice() {
        [app] => app,
        [] => {
            eprintln!("nothing of {} waits to be tried again", arguments.env);
            return Ok(Exit::Done);
        }
        several => {
            let names: Vec<&str> = several.iter().map(|app| app.name.as_str()).collect();
            return Err(Failure::input(format!("several apps failed: {}", names.join(", ")))
                .hint("say which one with --app"));
        }
    };
    let Some(digest) = app.quarantined.as_ref().or(app.desired.as_ref()) else {
        return Err(Failure::input(format!("nobody knows yet what {} is to be", app.name)));
    };
    let asker = Asker::new(&cluster, &arguments.env, &arguments.reason).await?;
    let (name, digest) = (Some(app.name.to_string()), Some(digest.to_string()));
    let asked = asker.ask("retry", RequestSpec { app: name, digest, ..RequestSpec::default() }).await?;
    eprintln!("asked the agent to try {} again", app.name);
    let answered = asker.outcome(&[asked], ANSWERED).await?;
    Ok(answered.unwrap_or_else(|| {
        eprintln!("it is not answered yet: fairlead requests {}", arguments.env);
        Exit::Done
    }))
}
