use clap::Args;

use super::ask::{Asker, Reason};
use super::failure::Failure;
use super::target::{self, Global, environment};
use super::{CliResult, Exit};
use crate::api::{AppStatus, RequestSpec, Span};
use crate::object::{AppName, EnvironmentName};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// The app; may be given more than once
    #[arg(long = "app", value_name = "NAME", conflicts_with = "all")]
    apps: Vec<AppName>,
    /// All apps of the environment
    #[arg(long)]
    all: bool,
    /// The commit to go back to, or the digest of an app, or seven digits or more of either; what was good before where
    /// none is given
    #[arg(long, value_name = "REV", value_parser = parse_revision)]
    to: Option<String>,
    /// Only show what would be asked
    #[arg(long)]
    show: bool,
    /// Ask the agent and do not wait for what comes of it
    #[arg(long, conflicts_with = "show")]
    no_wait: bool,
    /// How long to wait for the agent
    #[arg(long, value_name = "TIME", default_value = "15m")]
    timeout: Span,
    #[command(flatten)]
    reason: Reason,
}

/// Fewer digits name too much.
const SHORTEST: usize = 7;

fn parse_revision(text: &str) -> Result<String, String> {
    match text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("give a commit by its id, or at least {SHORTEST} digits of it")),
    }
}

/// Asks the agent to put back what apps ran before, and waits until it runs.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let environments = target::environments(&cluster);
    let found = environment(&environments, &arguments.env).await?;
    let all = found.status.map(|status| status.apps).unwrap_or_default();
    let apps = pick(&all, arguments)?;
    let mut wanted = Vec::new();
    for app in apps {
        let Some(from) = app.desired.clone() else {
            return Err(Failure::input(format!("nobody knows yet what {} is to be", app.name)));
        };
        let to = arguments
            .to
            .as_deref()
            .map_or("what was good before".to_owned(), |to| format!("what it was at {to}"));
        let runs = app.effective.as_ref().unwrap_or(&from).short();
        println!("↶ {}: {to} instead of {} (now runs {runs})", app.name, from.short());
        wanted.push(RequestSpec {
            app: Some(app.name.to_string()),
            digest: Some(from.to_string()),
            to: arguments.to.clone(),
            ..RequestSpec::default()
        });
    }
    if arguments.show {
        eprintln!("nothing was asked; without --show it is");
        return Ok(Exit::Changes);
    }
    let asker = Asker::new(&cluster, &arguments.env, &arguments.reason).await?;
    let mut asked = Vec::new();
    for what in wanted {
        asked.push(asker.ask("rollback", what).await?);
    }
    eprintln!("asked the agent of {}", arguments.env);
    if arguments.no_wait {
        return Ok(Exit::Done);
    }
    let limit = arguments.timeout.duration();
    Ok(asker.outcome(&asked, limit).await?.unwrap_or_else(|| {
        eprintln!("error: not within {} s; it goes on: fairlead status {}", limit.as_secs(), arguments.env);
        Exit::Error
    }))
}

fn pick<'a>(all: &'a [AppStatus], arguments: &Arguments) -> Result<Vec<&'a AppStatus>, Failure> {
    let names = || all.iter().map(|app| app.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(missing) = arguments.apps.iter().find(|name| all.iter().all(|app| app.name != **name)) {
        return Err(Failure::input(format!("there is no app {missing} in {}", arguments.env))
            .hint(format!("there are {}", names())));
    }
    match all {
        [] => Err(Failure::input(format!("{} has no apps", arguments.env))),
        [_] => Ok(all.iter().collect()),
        _ if arguments.all => Ok(all.iter().collect()),
        _ if arguments.apps.is_empty() => {
            Err(Failure::input(format!("{} has several apps: {}", arguments.env, names()))
                .hint("say which with --app, or --all"))
        }
        _ => Ok(all.iter().filter(|app| arguments.apps.contains(&app.name)).collect()),
    }
}
