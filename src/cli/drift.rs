mod follow;
pub mod looks;
mod seen;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::explain::Asked;
use super::output::{Format, page, print_value, table};
use super::repo::RepoArguments;
use super::target::{Global, environments};
use super::times::Moment;
use super::{CliResult, Exit, decide, write_back};
use crate::agent::DriftLook;
use crate::api::DriftReportSpec;
use crate::cluster::Cluster;
use crate::object::{AppName, EnvironmentName, ObjectKey};
use crate::report::{DriftedObject, UnknownDrift, common_causes};
use looks::{Looks, open, scopes};
use seen::SeenRow;

/// What is done about drift, beside showing it.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Take one decision for all that has one cause: put it back, leave it to them for a while, or write it into git
    Decide(decide::Arguments),
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exits with 3 where there is drift, and with 1 where there is none but a kind cannot be looked at."
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The environment; each Environment of the cluster that the tree has, where none is named
    #[arg(value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// One app of it
    #[arg(long, value_name = "NAME", requires = "environment")]
    app: Option<AppName>,
    /// One object, as it is shown: "Deployment.apps web/web"
    #[arg(long, value_name = "OBJECT")]
    object: Option<ObjectKey>,
    /// What has one cause, as it is shown (`kubectl:spec.replicas`), or all that one manager changed
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,
    /// Show what was seen since then, too, as the agent remembers it: a length of time such as 24h, a day, or a time
    #[arg(long, value_name = "WHEN", conflicts_with = "follow")]
    since: Option<Moment>,
    /// With --since: ask the long history, sqlite:FILE or postgres://user@host/database, and not the DriftReports
    #[arg(long, value_name = "URL", env = "FAIRLEAD_HISTORY", hide_env_values = true)]
    history: Option<String>,
    /// A file with the password of that PostgreSQL
    #[arg(long, value_name = "FILE", env = "FAIRLEAD_HISTORY_PASSWORD_FILE")]
    history_password_file: Option<PathBuf>,
    /// Go on, and say what comes and what goes, until Ctrl-C; lines of JSON with `-o json`
    #[arg(long)]
    follow: bool,
    /// Show what is ignored by a rule, too
    #[arg(long)]
    all: bool,
    /// Print the change of the infra tree that makes git say what is live of an object, as deployment/web; `git apply`
    /// takes it
    #[arg(long, value_name = "OBJECT", conflicts_with_all = ["rev", "output", "follow", "since"])]
    write_back: Option<Asked>,
    #[command(flatten)]
    repo: RepoArguments,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// One thing that is told, of whichever sort; the JSON is documented in `docs/drift.md`.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Drift(&'a DriftedObject),
    Unknown(&'a UnknownDrift),
    Seen(&'a SeenRow),
}

/// Shows what others changed of what was applied. Exits with 3 where there is something.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    if let Some(Verb::Decide(asked)) = &arguments.verb {
        return decide::run(global, asked).await;
    }
    let place = seen::place(arguments)?;
    let cluster = global.connect().await?;
    let repo = arguments.repo.open()?;
    let which = (arguments.environment.as_ref(), arguments.app.as_ref());
    let looks = open(global, &repo, &cluster, which).await?;
    let reports = reports(&cluster, &looks).await;
    if arguments.follow {
        return follow::follow(arguments, &looks, &reports).await;
    }
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for ((name, look), report) in looks.iter().zip(&reports) {
        let changes = look.changes()?;
        found.extend(arguments.select(look.look(&changes).await, report.as_ref()));
        unknown.extend(unknown_of(name, look, report.as_ref()));
    }
    if let Some(asked) = &arguments.write_back {
        let scopes = scopes(global, &cluster, &looks).await?;
        return write_back::run(global, &repo, (&cluster, &scopes), asked, &found).await;
    }
    let seen = match arguments.since {
        Some(since) => seen::seen(arguments, place, since, &looks, &reports).await?,
        None => Vec::new(),
    };
    match arguments.output {
        Format::Text => show(&found, &unknown, &seen, arguments, looks.len()),
        format => {
            let drift = found.iter().map(Shown::Drift).chain(unknown.iter().map(Shown::Unknown));
            let all: Vec<Shown> = drift.chain(seen.iter().map(Shown::Seen)).collect();
            print_value(&all, format)?;
        }
    }
    Ok(exit(!found.is_empty(), !unknown.is_empty()))
}

/// What is not known is no proof that all is as git says.
fn exit(is_drift: bool, is_unknown: bool) -> Exit {
    match (is_drift, is_unknown) {
        (true, _) => Exit::Changes,
        (false, true) => Exit::Error,
        (false, false) => Exit::Done,
    }
}

/// What the agents say of each; nothing where they say nothing, or where one may not ask.
async fn reports(cluster: &Cluster, looks: &Looks) -> Vec<Option<DriftReportSpec>> {
    let reports = environments(cluster).drift_reports();
    let mut found = Vec::new();
    for (name, _) in looks {
        let report = reports.get(name.as_str()).await;
        found.push(report.ok().flatten().map(|report| report.spec));
    }
    found
}

/// Kinds that cannot be listed here, and those that the agent cannot see.
fn unknown_of(
    name: &EnvironmentName,
    look: &DriftLook,
    report: Option<&DriftReportSpec>,
) -> Vec<UnknownDrift> {
    let mut unknown = look.unknown().to_vec();
    for kind in report.iter().flat_map(|report| &report.unknown) {
        unknown.push(UnknownDrift {
            environment: name.to_string(),
            app: None,
            kind: kind.kind.clone(),
            last_verified: kind.last_verified.clone(),
            unknown: format!("the agent does not see it: {}", kind.why),
        });
    }
    unknown
}

impl Arguments {
    /// Leaves what was asked for, and adds who it was.
    fn select(&self, found: Vec<DriftedObject>, report: Option<&DriftReportSpec>) -> Vec<DriftedObject> {
        let shown = found.into_iter().filter_map(|mut object| {
            if !self.all {
                object = object.without_ignored()?;
            }
            if let Some(report) = report {
                object.add_names(report);
            }
            let is_wanted = self.object.as_ref().is_none_or(|key| object.object == key.to_string())
                && self.cause.as_ref().is_none_or(|cause| object.has_cause(cause));
            is_wanted.then_some(object)
        });
        shown.collect()
    }
}

fn show(
    found: &[DriftedObject],
    unknown: &[UnknownDrift],
    seen: &[SeenRow],
    arguments: &Arguments,
    environments: usize,
) {
    let mut parts: Vec<String> =
        vec![unknown.iter().map(UnknownDrift::text).collect(), common_causes(found, Timestamp::now())];
    let rows: Vec<_> = found.iter().flat_map(DriftedObject::rows).collect();
    if rows.len() > 1 {
        let head = ["ENV", "APP", "OBJECT", "FIELD", "BY", "SINCE", "POLICY"].map(str::to_owned).to_vec();
        parts.push(table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    }
    parts.push(found.iter().map(DriftedObject::text).collect::<Vec<_>>().join("\n"));
    if !seen.is_empty() {
        parts.push(seen::table_of(seen));
    }
    parts.retain(|part| !part.is_empty());
    if !parts.is_empty() {
        page(&parts.join("\n"));
    }
    if found.is_empty() && unknown.is_empty() {
        let narrowed = arguments.object.is_some() || arguments.cause.is_some();
        let of = match (environments, narrowed) {
            (_, true) => "what was asked for".to_owned(),
            (1, false) => "the environment".to_owned(),
            (count, false) => format!("{count} environments"),
        };
        eprintln!("nothing of {of} was changed by others");
    }
    if arguments.since.is_some() && seen.is_empty() {
        eprintln!("nothing was seen since then, as far as it is remembered");
    }
}
