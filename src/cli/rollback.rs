use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::follow::follow;
use super::target::{self, Global, environment, whoami};
use super::{Exit, Outcome};
use crate::api::{
    AppStatus, Environment, EnvironmentStatus, RollbackRequest, RollbackState, RollbackStatus, RollbackTo,
    Span, names,
};
use crate::cluster::Environments;
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
pub async fn run(global: &Global, arguments: &Arguments) -> Outcome {
    let cluster = global.connect().await?;
    let environments = target::environments(&cluster);
    let found = environment(&environments, &arguments.env).await?;
    let all = found.status.map(|status| status.apps).unwrap_or_default();
    let apps = pick(&all, arguments)?;
    let mut request = RollbackRequest { id: String::new(), by: String::new(), apps: BTreeMap::new() };
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
        request.apps.insert(app.name.clone(), RollbackTo { from, to: arguments.to.clone() });
    }
    if arguments.show {
        eprintln!("nothing was asked; without --show it is");
        return Ok(Exit::Changes);
    }
    request.by = whoami(&environments).await;
    request.id = target::request_id();
    let word = serde_json::to_string(&request)
        .map_err(|error| Failure::error("writing the request failed", &error))?;
    environments.annotate(arguments.env.as_str(), names::ROLLBACK_ANNOTATION, &word).await?;
    eprintln!("asked the agent of {}", arguments.env);
    if arguments.no_wait {
        return Ok(Exit::Done);
    }
    until_answered(&environments, &arguments.env, &request, arguments.timeout.duration()).await
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

/// Waits until every app has its answer.
async fn until_answered(
    environments: &Environments,
    name: &EnvironmentName,
    request: &RollbackRequest,
    limit: Duration,
) -> Outcome {
    let mut shown = BTreeMap::new();
    let waited = follow(environments, name, limit, |found, spinner| {
        let answers = answers(found, request);
        for (app, answer) in &answers {
            let line = format!("{app}: {}", answer.words);
            if shown.insert(app.clone(), line.clone()).as_ref() != Some(&line) {
                spinner.say(&line);
            }
        }
        let worst = answers.iter().filter_map(|(_, answer)| answer.exit).max_by_key(|exit| *exit as u8);
        let all = answers.iter().all(|(_, answer)| answer.exit.is_some());
        all.then(|| worst.unwrap_or(Exit::Done))
    });
    Ok(waited.await?.unwrap_or_else(|| {
        eprintln!("error: not within {} s; it goes on: fairlead status {name}", limit.as_secs());
        Exit::Error
    }))
}

/// What is known of one app's way back.
struct Answer {
    exit: Option<Exit>,
    words: String,
}

fn answers(found: &Environment, request: &RollbackRequest) -> Vec<(AppName, Answer)> {
    let apps = found.status.iter().flat_map(|status| &status.apps);
    let counts = found.status.as_ref().is_some_and(EnvironmentStatus::counts_apps);
    let apps: BTreeMap<&AppName, &AppStatus> = apps.map(|app| (&app.name, app)).collect();
    request
        .apps
        .iter()
        .map(|(name, to)| {
            let app = apps.get(name).copied();
            let answer = match app {
                // One that is well may only be counted, and stands there as soon as there is something to say of it.
                None if counts => Answer { exit: None, words: "waits for the agent".to_owned() },
                app => answer(app, &request.id, to),
            };
            (name.clone(), answer)
        })
        .collect()
}

fn answer(app: Option<&AppStatus>, id: &str, asked: &RollbackTo) -> Answer {
    let Some(app) = app else {
        return Answer { exit: Some(Exit::Error), words: "git has no such app any more".to_owned() };
    };
    let mine = app.rollback.as_ref().filter(|rollback| rollback.request == id);
    let Some(RollbackStatus { state, to, message, .. }) = mine else {
        return match app.desired.as_ref() == Some(&asked.from) {
            true => Answer { exit: None, words: "waits for the agent".to_owned() },
            false => Answer { exit: Some(Exit::Error), words: "a newer commit took over".to_owned() },
        };
    };
    let digest = to.as_ref().map_or("", |to| to.short());
    let why = message.as_deref().unwrap_or_default();
    let (exit, words) = match state {
        RollbackState::Going => {
            let waits = app.waiting_on.as_ref().and_then(|waiting| waiting.what.first());
            let waits = waits.map_or(String::new(), |what| format!(", waits: {what}"));
            (None, format!("{digest} is put back{waits}"))
        }
        RollbackState::Done => (Some(Exit::Done), format!("{digest} runs and is healthy")),
        RollbackState::Failed => (Some(Exit::GateFailed), format!("failed: {why}")),
        RollbackState::Unchanged => (Some(Exit::Done), why.to_owned()),
        RollbackState::Refused => (Some(Exit::Input), format!("refused: {why}")),
    };
    Answer { exit, words }
}
