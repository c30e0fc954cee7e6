use std::time::Duration;

use clap::Args;
use kube::ResourceExt;

use super::follow::follow;
use super::target::{self, Global, environment};
use super::{CliResult, Exit};
use crate::api::{ConditionStatus, Environment, Span, names};
use crate::cluster::Environments;
use crate::object::EnvironmentName;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// The commit that it must run, or the beginning of its id
    #[arg(long, value_name = "COMMIT")]
    revision: Option<String>,
    #[arg(long, value_name = "TIME", default_value = "15m")]
    timeout: Span,
}

pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let environments = target::environments(&cluster);
    until_ready(&environments, &arguments.env, arguments.revision.as_deref(), arguments.timeout.duration())
        .await
}

/// Waits until the environment is ready: exit 0, or 4 where a gate failed or a change was refused.
pub async fn until_ready(
    environments: &Environments,
    name: &EnvironmentName,
    wanted: Option<&str>,
    limit: Duration,
) -> CliResult {
    environment(environments, name).await?;
    let mut last = String::new();
    let waited = follow(environments, name, limit, |found, spinner| {
        let (verdict, words) = judge(found, wanted);
        spinner.stand(&words, words != last);
        last = words;
        verdict
    });
    match waited.await? {
        Some(Exit::Done) => {
            eprintln!("{last}");
            Ok(Exit::Done)
        }
        Some(exit) => {
            eprintln!("error: {last}");
            Ok(exit)
        }
        None => {
            let limit = limit.as_secs();
            eprintln!("error: {name} was not ready within {limit} s; last: {last}");
            Ok(Exit::Error)
        }
    }
}

/// The end of the wait, if this is it, and words on where it stands.
fn judge(found: &Environment, wanted: Option<&str>) -> (Option<Exit>, String) {
    let name = found.name_any();
    let Some(status) = &found.status else { return (None, format!("{name}: no agent has looked at it yet")) };
    let condition = |type_: &str| status.conditions.iter().find(|condition| condition.type_ == type_);
    let words = condition(names::READY)
        .map_or_else(String::new, |ready| format!("{}: {}", ready.reason, ready.message));
    let words = format!("{name} at {}: {words}", status.short_revision.as_deref().unwrap_or("no revision"));
    let revision = status.revision.as_ref().map_or("", |revision| revision.as_str());
    let fits = status.observed_generation == found.metadata.generation
        && wanted.is_none_or(|wanted| revision.starts_with(wanted));
    let is =
        |type_: &str| condition(type_).is_some_and(|condition| condition.status == ConditionStatus::True);
    let exit = match fits {
        false => None,
        true if is(names::READY) => Some(Exit::Done),
        true if is(names::STALLED) && !is(names::RECONCILING) => Some(Exit::GateFailed),
        true => None,
    };
    (exit, words)
}
