use clap::Args;

use super::failure::Failure;
use super::output::{Format, page, print_value};
use super::repo::RepoArguments;
use super::target::{Global, environments};
use super::{CliResult, Exit};
use crate::agent::{Once, drift_once};
use crate::object::{AppName, EnvironmentName};
use crate::report::{DriftedObject, common_causes};

#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 3 where there is drift. What was drift before is in the history: `fairlead history`."
)]
pub struct Arguments {
    /// The environment; each Environment of the cluster that the tree has, where none is named
    #[arg(value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// One app of it
    #[arg(long, value_name = "NAME", requires = "environment")]
    app: Option<AppName>,
    /// Show what is ignored by a rule, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    repo: RepoArguments,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Shows what others changed of what was applied. Exits with 3 where there is something.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let repo = arguments.repo.open()?;
    let cluster = global.connect().await?;
    let names = match &arguments.environment {
        Some(name) => vec![name.clone()],
        None => {
            let all = environments(&cluster).list().await.map_err(Failure::from)?;
            let names = all.into_iter().filter_map(|environment| environment.metadata.name);
            names.filter_map(|name| EnvironmentName::new(&name).ok()).collect()
        }
    };
    let mut found: Vec<DriftedObject> = Vec::new();
    for name in &names {
        let (scope, environment) = global.scope(&cluster, name).await?;
        let is_here = repo.tree.kind(&scope.path.child("environment.yaml")).is_ok_and(|kind| kind.is_some());
        if arguments.environment.is_none() && !is_here {
            eprintln!("note: the tree has no environment {name}");
            continue;
        }
        let mut once = Once::open(cluster.clone(), scope, None, global.means()).await?;
        once.only = arguments.app.clone();
        once.platform = environment;
        found.extend(drift_once(&once, &*repo.tree).await?);
    }
    if !arguments.all {
        found = found.into_iter().filter_map(DriftedObject::without_ignored).collect();
    }
    match arguments.output {
        Format::Text if found.is_empty() => say_none(names.len()),
        Format::Text => {
            let causes = common_causes(&found);
            let gap = if causes.is_empty() { "" } else { "\n" };
            let objects = found.iter().map(DriftedObject::text).collect::<Vec<_>>().join("\n");
            page(&(causes + gap + &objects));
        }
        format => print_value(&found, format)?,
    }
    Ok(if found.is_empty() { Exit::Done } else { Exit::Changes })
}

fn say_none(environments: usize) {
    let of =
        if environments == 1 { "the environment".to_owned() } else { format!("{environments} environments") };
    eprintln!("nothing of {of} was changed by others");
}
