use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::failure::Failure;
use super::output::{Format, page, print_value, table};
use super::repo::RepoArguments;
use super::target::{Global, environments};
use super::{CliResult, Exit};
use crate::agent::{CheckedSecret, Once};
use crate::api::{Environment, SecretStatus, SecretUse, SecretUseState, Strategy};
use crate::object::EnvironmentName;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Of one environment; of all where it is not given
    #[arg(value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// One secret, or all whose name begins like this; says whether its old version may be revoked
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Read every secret that the tree refers to with the AWS credentials at hand, and say whether each could be used; no
    /// value is printed or kept
    #[arg(long, requires = "environment")]
    check: bool,
    #[command(flatten)]
    repo: RepoArguments,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A secret of an environment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    environment: String,
    #[serde(flatten)]
    secret: SecretStatus,
    /// Whether no pod runs with an older version any more: every app that refers to it, or reads a Secret that does, passed
    /// its gates with the newest, and nothing that reads it is told to be left alone.
    may_revoke_old: bool,
}

/// Shows where secrets stand. Exits with 2 where one cannot be used.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    if let (true, Some(name)) = (arguments.check, &arguments.environment) {
        return check(global, arguments, name).await;
    }
    let cluster = global.connect().await?;
    let all: Vec<Environment> = match &arguments.environment {
        Some(name) => vec![super::target::environment(&environments(&cluster), name).await?],
        None => environments(&cluster).list().await.map_err(Failure::from)?,
    };
    let begins = |secret: &SecretStatus| {
        let plain = secret.name.split_once(':').map_or(&*secret.name, |(_, name)| name);
        arguments
            .name
            .as_ref()
            .is_none_or(|begin| plain.starts_with(&**begin) || secret.name.starts_with(&**begin))
    };
    let shown: Vec<Shown> = all
        .into_iter()
        .flat_map(|environment| {
            let name = environment.metadata.name.unwrap_or_default();
            let secrets = environment.status.unwrap_or_default().secrets;
            secrets.into_iter().map(move |secret| (name.clone(), secret))
        })
        .filter(|(_, secret)| begins(secret))
        .map(|(environment, secret)| {
            let is_done =
                |used: &SecretUse| used.state == SecretUseState::Current && used.left_alone.is_empty();
            let may_revoke_old = secret.apps.iter().all(is_done);
            Shown { environment, secret, may_revoke_old }
        })
        .collect();
    match arguments.output {
        Format::Text if shown.is_empty() => eprintln!("no app refers to a secret, as far as the agent knows"),
        Format::Text => page(&text(&shown, arguments.name.is_some())),
        format => print_value(&shown, format)?,
    }
    let is_bad = shown.iter().any(|shown| shown.secret.trouble.is_some());
    Ok(if is_bad { Exit::Input } else { Exit::Done })
}

fn text(shown: &[Shown], is_one: bool) -> String {
    let header = ["ENVIRONMENT", "SECRET", "VERSION", "AGE", "STRATEGY", "STATE", "APPS"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut notes = String::new();
    for Shown { environment, secret, may_revoke_old } in shown {
        rows.push(vec![
            environment.clone(),
            secret.name.clone(),
            secret.version.clone().unwrap_or_else(|| "-".to_owned()),
            age(secret),
            strategy(secret.strategy).to_owned(),
            state(secret).to_owned(),
            secret.apps.iter().map(|used| used.app.to_string()).collect::<Vec<_>>().join(","),
        ]);
        if let Some(why) = &secret.trouble {
            notes.push_str(&format!("\n{environment}: {why}\n"));
        }
        if let Some(words) = &secret.warning {
            notes.push_str(&format!("\n{environment}: {}: {words}\n", secret.name));
        }
        if is_one {
            notes.push('\n');
            secret.apps.iter().for_each(|used| notes.push_str(&line(environment, used)));
            notes.push_str(&revocation(secret, *may_revoke_old));
        }
    }
    table(&rows) + &notes
}

/// Whether the old version may be revoked, and why it may not.
fn revocation(secret: &SecretStatus, may_revoke_old: bool) -> String {
    if may_revoke_old {
        return "The old version may be revoked: no pod that Fairlead rolls runs with it any more.\n"
            .to_owned();
    }
    match secret.apps.iter().any(|used| used.state != SecretUseState::Current) {
        true => "The old version may NOT be revoked yet.\n",
        false => {
            "The old version may NOT be revoked yet: restart what is left alone first, which Fairlead does not look at.\n"
        }
    }
    .to_owned()
}

fn line(environment: &str, used: &SecretUse) -> String {
    let version = used.version.as_ref().map_or(String::new(), |version| format!(" with {version}"));
    let old = used.old.as_ref().map_or(String::new(), |old| format!("; pods may still run with {old}"));
    let workloads = if used.consumers == 1 { "workload" } else { "workloads" };
    let mut text = format!(
        "{environment}/{}: {}{version}, {} {workloads}{old}\n",
        used.app,
        used.state.as_str(),
        used.consumers
    );
    for other in used.left_alone.iter().chain(&used.unrolled) {
        text.push_str(&format!("  {other}\n"));
    }
    text
}

fn age(secret: &SecretStatus) -> String {
    let Some(created) = secret.created.as_ref().and_then(|at| at.parse::<Timestamp>().ok()) else {
        return "-".to_owned();
    };
    let hours = Timestamp::now().duration_since(created).as_hours();
    match hours {
        ..1 => "under 1h".to_owned(),
        1..48 => format!("{hours}h"),
        _ => format!("{}d", hours / 24),
    }
}

fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Alternating => "alternating",
        Strategy::Single => "single",
    }
}

/// The worst of its apps.
fn state(secret: &SecretStatus) -> &'static str {
    use SecretUseState::{Current, Paused, Pending, Rolling, Unread};
    if secret.trouble.is_some() {
        return if secret.version.is_some() { "Stale" } else { "Unread" };
    }
    let has = |state: SecretUseState| secret.apps.iter().any(|used| used.state == state);
    [Paused, Unread, Rolling, Pending].into_iter().find(|state| has(*state)).unwrap_or(Current).as_str()
}

async fn check(global: &Global, arguments: &Arguments, name: &EnvironmentName) -> CliResult {
    let repo = arguments.repo.open()?;
    let cluster = global.connect().await?;
    let (scope, environment) = global.scope(&cluster, name).await?;
    let mut once = Once::open(cluster, scope, None, global.means()).await?;
    once.platform = environment;
    let checked = once.check_secrets(&*repo.tree).await?;
    match arguments.output {
        Format::Text if checked.is_empty() => eprintln!("nothing in {name} refers to a secret"),
        Format::Text => page(&checked_text(&checked)),
        format => print_value(&checked, format)?,
    }
    Ok(if checked.iter().any(|secret| secret.trouble.is_some()) { Exit::Input } else { Exit::Done })
}

fn checked_text(checked: &[CheckedSecret]) -> String {
    let mut text = String::new();
    for secret in checked {
        let apps = secret.apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        text.push_str(&match (&secret.trouble, &secret.version) {
            (Some(why), _) => format!("FAIL  {} ({apps}): {why}\n", secret.name),
            (None, version) => {
                format!("ok    {} ({apps}): {}\n", secret.name, version.as_deref().unwrap_or("-"))
            }
        });
    }
    text
}
