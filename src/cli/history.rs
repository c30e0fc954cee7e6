use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::output::{Format, page, print_value, table};
use super::target::{self, Global, environment};
use super::{Exit, Outcome};
use crate::api::RecordStatus;
use crate::history::{self, Place, Query};
use crate::object::{AppName, EnvironmentName};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// One app of it
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// So many rollouts at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Read the long history of an agent, as sqlite:FILE, and not what its Environment says
    #[arg(long, value_name = "URL", env = "FAIRLEAD_HISTORY", hide_env_values = true)]
    history: Option<String>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    app: AppName,
    #[serde(flatten)]
    record: RecordStatus,
}

pub async fn run(global: &Global, arguments: &Arguments) -> Outcome {
    let place = arguments.history.as_deref().filter(|url| *url != "off").map(str::parse::<Place>);
    let place = place.transpose().map_err(|error| Failure::input(error.to_string()))?;
    let mut shown = match &place {
        Some(place) => read(place, arguments).await?,
        None => ask(global, arguments).await?,
    };
    shown.truncate(arguments.limit as usize);
    match arguments.output {
        Format::Text if shown.is_empty() => eprintln!("nothing was rolled out yet, as far as is known"),
        Format::Text => page(&lines(&shown)),
        format => print_value(&shown, format)?,
    }
    Ok(Exit::Done)
}

async fn read(place: &Place, arguments: &Arguments) -> Result<Vec<Shown>, Failure> {
    let (environment, app) = (arguments.env.clone(), arguments.app.clone());
    let query = Query { environment, app, limit: arguments.limit };
    let rows = history::read(place, &query).await;
    let rows = rows.map_err(|error| Failure::error("the history cannot be shown", &error))?;
    Ok(rows
        .into_iter()
        .map(|row| Shown { app: row.record.app.clone(), record: (&row.record).into() })
        .collect())
}

async fn ask(global: &Global, arguments: &Arguments) -> Result<Vec<Shown>, Failure> {
    let cluster = global.connect().await?;
    let found = environment(&target::environments(&cluster), &arguments.env).await?;
    let apps = found.status.unwrap_or_default().apps;
    if let Some(app) = &arguments.app
        && apps.iter().all(|found| found.name != *app)
    {
        return Err(Failure::input(format!("there is no app {app} in {}", arguments.env)));
    }
    let mine = apps.into_iter().filter(|app| arguments.app.as_ref().is_none_or(|name| app.name == *name));
    let mut shown: Vec<Shown> = mine
        .flat_map(|app| {
            let name = app.name;
            app.history.into_iter().map(move |record| Shown { app: name.clone(), record })
        })
        .collect();
    // Times of one form sort as text.
    shown.sort_by(|a, b| b.record.ended.cmp(&a.record.ended));
    Ok(shown)
}

fn lines(shown: &[Shown]) -> String {
    let mut rows =
        vec![["ENDED", "APP", "OUTCOME", "DIGEST", "COMMIT", "BY", "SUBJECT"].map(str::to_owned).to_vec()];
    for Shown { app, record } in shown {
        let dash = || "-".to_owned();
        rows.push(vec![
            record.ended.clone(),
            app.to_string(),
            record.outcome.as_str().to_owned(),
            record.digest.short().to_owned(),
            record.revision.as_ref().map_or_else(dash, |revision| revision.short().to_owned()),
            record.by.clone().or_else(|| record.author.clone()).unwrap_or_else(dash),
            record.why.clone().or_else(|| record.subject.clone()).unwrap_or_default(),
        ]);
    }
    table(&rows)
}
