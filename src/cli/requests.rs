use clap::Args;
use kube::ResourceExt;

use super::failure::Failure;
use super::output::{Format, page, print_value, table};
use super::target::Global;
use super::{CliResult, Exit};
use crate::api::{Request, RequestState};
use crate::cluster::Requests;
use crate::object::EnvironmentName;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Of one environment; of all where it is not given
    #[arg(value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Lists what people asked for, and what came of it.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let mut all: Vec<Request> = Requests::new(&cluster).list().await.map_err(Failure::from)?;
    all.retain(|request| {
        arguments.environment.as_ref().is_none_or(|name| request.spec.environment == name.as_str())
    });
    all.sort_by_key(|request| (request.creation_timestamp(), request.name_any()));
    match arguments.output {
        Format::Text if all.is_empty() => eprintln!("nobody asked for anything within the last day"),
        Format::Text => page(&lines(&all)),
        format => {
            for request in &mut all {
                request.metadata.managed_fields = None;
            }
            print_value(&all, format)?;
        }
    }
    Ok(Exit::Done)
}

fn lines(all: &[Request]) -> String {
    let header = ["ASKED", "ENVIRONMENT", "VERB", "APP", "BY", "STATE", "MESSAGE", "REASON"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    // Words of others must not move the cursor.
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    for request in all {
        let (spec, status) = (&request.spec, request.status.clone().unwrap_or_default());
        rows.push(vec![
            request.creation_timestamp().map_or_else(String::new, |at| at.0.to_string()),
            plain(&spec.environment),
            plain(&spec.verb),
            plain(spec.app.as_deref().unwrap_or("-")),
            plain(&spec.by),
            RequestState::as_str(status.state).to_owned(),
            plain(status.message.as_deref().unwrap_or("-")),
            plain(spec.reason.as_deref().unwrap_or("-")),
        ]);
    }
    table(&rows)
}
