use clap::Args;

use super::failure::Failure;
use super::target::{self, Global, environment};
use super::{Exit, Outcome};
use crate::api::{AppPhase, names};
use crate::object::{AppName, EnvironmentName};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// The app, where more than one waits
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
}

/// Asks the agent to try again what failed its gates and was taken back.
pub async fn run(global: &Global, arguments: &Arguments) -> Outcome {
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
    let by = target::whoami(&environments).await;
    let word = format!("{}/{digest}/{} by {by}", app.name, target::request_id());
    environments.annotate(arguments.env.as_str(), names::RETRY_ANNOTATION, &word).await?;
    eprintln!("asked the agent to try {} of {} again", digest.short(), app.name);
    Ok(Exit::Done)
}
