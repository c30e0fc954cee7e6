use std::time::Duration;

use clap::Args;

use super::ask::{Asker, Reason};
use super::failure::Failure;
use super::target::{self, Global, environment};
use super::{CliResult, Exit};
use crate::api::{RequestSpec, RequestState, Span};
use crate::cluster::Requests;
use crate::object::{AppName, EnvironmentName, ObjectKey};

#[derive(Debug, Args)]
#[command(
    after_help = "It ends by itself, or with `fairlead release`. `fairlead requests ENVIRONMENT` shows what is held."
)]
pub struct Arguments {
    /// The environment
    #[arg(value_name = "ENVIRONMENT")]
    environment: EnvironmentName,
    /// One app of it
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// One object, as it is shown elsewhere: "Deployment.apps web/web"
    #[arg(long, value_name = "OBJECT")]
    object: Option<ObjectKey>,
    /// For how long, as 2h; the platform may set a limit
    #[arg(long = "for", value_name = "TIME")]
    span: Span,
    /// Let commits wait, too
    #[arg(long, conflicts_with = "object")]
    deploys: bool,
    #[command(flatten)]
    reason: Reason,
}

#[derive(Debug, Args)]
pub struct ReleaseArguments {
    /// The environment
    #[arg(value_name = "ENVIRONMENT")]
    environment: EnvironmentName,
    /// The request that holds, as `fairlead requests` names it; all of the environment where none is named
    #[arg(value_name = "REQUEST")]
    request: Option<String>,
    #[command(flatten)]
    reason: Reason,
}

/// An agent that does nothing else answers at once.
const ANSWERED: Duration = Duration::from_secs(10);

/// Asks the agent to leave something alone for a while.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    environment(&target::environments(&cluster), &arguments.environment).await?;
    let asker = Asker::new(&cluster, &arguments.environment, &arguments.reason).await?;
    let spec = RequestSpec {
        app: arguments.app.as_ref().map(ToString::to_string),
        object: arguments.object.as_ref().map(ToString::to_string),
        duration: Some(arguments.span.to_string()),
        deploys: arguments.deploys,
        ..RequestSpec::default()
    };
    let asked = asker.ask("hold", spec).await?;
    // It goes on for as long as it holds; that it was taken up is enough.
    let status = asker.taken_up(&asked, ANSWERED).await?;
    Ok(match status.map(|status| status.state) {
        Some(RequestState::Refused) => Exit::Input,
        Some(_) => Exit::Done,
        None => {
            eprintln!("it is not answered yet: fairlead requests {}", arguments.environment);
            Exit::Done
        }
    })
}

/// Ends holds before their time.
pub async fn release(global: &Global, arguments: &ReleaseArguments) -> CliResult {
    let cluster = global.connect().await?;
    let asker = Asker::new(&cluster, &arguments.environment, &arguments.reason).await?;
    let names: Vec<String> = match &arguments.request {
        Some(name) => vec![name.clone()],
        None => {
            let all = Requests::new(&cluster).list().await.map_err(Failure::from)?;
            let holds = all.into_iter().filter(|request| {
                let state = request.status.as_ref().map(|status| status.state);
                matches!(request.spec.verb.as_str(), "hold" | "heal" | "ignore")
                    && request.spec.environment == arguments.environment.as_str()
                    && !state.is_some_and(RequestState::is_end)
            });
            holds.filter_map(|request| request.metadata.name).collect()
        }
    };
    if names.is_empty() {
        eprintln!("nothing of {} is held", arguments.environment);
        return Ok(Exit::Done);
    }
    let mut asked = Vec::new();
    for name in names {
        asked.push(asker.ask("release", RequestSpec { hold: Some(name), ..RequestSpec::default() }).await?);
    }
    let answered = asker.outcome(&asked, ANSWERED).await?;
    Ok(answered.unwrap_or_else(|| {
        eprintln!("it is not answered yet: fairlead requests {}", arguments.environment);
        Exit::Done
    }))
}
