use clap::Args;

use super::output::{Format, colour, page, print_value};
use super::repo::RepoArguments;
use super::target::{Global, parse_identity};
use super::{CliResult, Exit};
use crate::agent::{Once, plan_once};
use crate::api::Identity;
use crate::cluster::Requests;
use crate::object::{AppName, EnvironmentName};
use crate::requests::agreed;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// One app of it
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    #[command(flatten)]
    repo: RepoArguments,
    /// Ask as this service account instead of as yourself (you need the right to impersonate it)
    #[arg(long = "as", value_name = "NAMESPACE/NAME", value_parser = parse_identity)]
    identity: Option<Identity>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Exits with 3 where there are changes, and with 2 where something would be refused.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let repo = arguments.repo.open()?;
    let cluster = global.connect().await?;
    let (scope, environment) = global.scope(&cluster, &arguments.env).await?;
    if environment.is_none() {
        eprintln!("note: this cluster has no Environment {}: nothing says what it is granted", arguments.env);
    }
    let asked = Requests::new(&cluster);
    let mut once = Once::open(cluster, scope, arguments.identity.clone(), global.means()).await?;
    once.only = arguments.app.clone();
    if let Some(environment) = &environment {
        let since = environment.metadata.creation_timestamp.as_ref().map(|time| time.0);
        // Who may not read them sees what would be without.
        let asked = asked.list().await.unwrap_or_default();
        once.agreed = agreed(&asked, arguments.env.as_str(), since);
    }
    once.platform = environment;
    let report = plan_once(&once, &*repo.tree, repo.revision.clone()).await?;
    match arguments.output {
        Format::Text => page(&report.text(colour())),
        format => print_value(&report, format)?,
    }
    Ok(if report.is_refused() {
        Exit::Input
    } else if report.has_changes() {
        Exit::Changes
    } else {
        Exit::Done
    })
}
