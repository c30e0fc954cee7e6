mod audit;
mod lines;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::failure::Failure;
use super::output::{Format, page, print_value};
use super::target::{self, Global, environment};
use super::times::Moment;
use super::{CliResult, Exit};
use crate::api::{RecordStatus, Span};
use crate::history::{self, Entry, EntryKind, ObjectQuery, Place, Query};
use crate::object::{AppName, DriftRecord, EnvironmentName, TimelineEvent};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment; all of them where none is given and a long history is read
    #[arg(long, value_name = "NAME")]
    env: Option<EnvironmentName>,
    /// One app of it
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// Drift and events of one object: KIND/NAMESPACE/NAME, or KIND/NAME of one that has no namespace
    #[arg(long, value_name = "OBJECT", value_parser = parse_object)]
    object: Option<ObjectQuery>,
    /// From then on: a length of time before now such as 24h, a day such as 2026-11-30, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<Moment>,
    /// Before then
    #[arg(long, value_name = "WHEN")]
    until: Option<Moment>,
    /// These only; may be given more than once
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    kind: Vec<Kind>,
    /// So many entries at most, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Read the long history of an agent, sqlite:FILE or postgres://user@host/database, and not what its Environment says
    #[arg(long, value_name = "URL", env = "FAIRLEAD_HISTORY", hide_env_values = true)]
    history: Option<String>,
    /// A file with the password of that PostgreSQL
    #[arg(long, value_name = "FILE", env = "FAIRLEAD_HISTORY_PASSWORD_FILE")]
    history_password_file: Option<PathBuf>,
    /// Print all of it as lines of JSON, the oldest first
    #[arg(long, conflicts_with_all = ["verify", "output", "limit"])]
    export: bool,
    /// Look whether a record was removed or altered since its day was sealed; exit code 1 if one was
    #[arg(long, conflicts_with_all = ["env", "app", "object", "until", "kind", "limit"])]
    verify: bool,
    /// With --verify: a day and the digest that it was sealed with, as an agent's log or an earlier --verify said
    #[arg(long, value_name = "DAY=DIGEST", requires = "verify", value_parser = audit::parse_sealed)]
    sealed: Option<audit::SealedDay>,
    /// With --verify: how long the agents keep records, which older ones may be gone
    #[arg(long, value_name = "TIME", default_value = "400d", env = "FAIRLEAD_HISTORY_KEEP")]
    keep: Span,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Rollouts,
    Drift,
    /// Holds, requests, restores, rotations
    Events,
}

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Shown {
    #[serde(rename_all = "camelCase")]
    Rollout {
        #[serde(skip_serializing_if = "String::is_empty")]
        cluster: String,
        environment: EnvironmentName,
        app: AppName,
        #[serde(flatten)]
        record: Box<RecordStatus>,
    },
    Drift(Box<DriftRecord>),
    Event(Box<TimelineEvent>),
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Rollout(row) => Self::Rollout {
                record: Box::new((&row.record).into()),
                cluster: row.cluster,
                environment: row.environment,
                app: row.record.app,
            },
            Entry::Drift(record) => Self::Drift(record),
            Entry::Event(event) => Self::Event(event),
        }
    }
}

pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let place = place(arguments)?;
    let Some(place) = place else {
        return show(ask(global, arguments).await?, arguments, 0);
    };
    if arguments.verify {
        return audit::verify(&place, arguments).await;
    }
    let query = query(arguments);
    if arguments.export {
        return audit::export(&place, query).await;
    }
    let found = history::read(&place, &query).await;
    let found = found.map_err(|error| Failure::error("the history cannot be shown", &error))?;
    show(found.entries.into_iter().map(Into::into).collect(), arguments, found.unreadable)
}

fn show(shown: Vec<Shown>, arguments: &Arguments, unreadable: u64) -> CliResult {
    match arguments.output {
        Format::Text if shown.is_empty() => eprintln!("nothing is known of that"),
        Format::Text => page(&lines::table_of(&shown)),
        format => print_value(&shown, format)?,
    }
    tell_unreadable(unreadable);
    Ok(Exit::Done)
}

fn tell_unreadable(count: u64) {
    if count > 0 {
        eprintln!("{count} records were written by a newer Fairlead, and are left out");
    }
}

fn place(arguments: &Arguments) -> Result<Option<Place>, Failure> {
    let url = arguments.history.as_deref().filter(|url| *url != "off" && !url.is_empty());
    let Some(url) = url else { return Ok(None) };
    let file = arguments.history_password_file.as_deref().filter(|file| !file.as_os_str().is_empty());
    let place = url.parse::<Place>().and_then(|place| place.with_password_file(file));
    place.map(Some).map_err(|error| Failure::input(error.to_string()))
}

fn query(arguments: &Arguments) -> Query {
    let now = Timestamp::now();
    let kinds = arguments.kind.iter().map(|kind| match kind {
        Kind::Rollouts => EntryKind::Rollouts,
        Kind::Drift => EntryKind::Drift,
        Kind::Events => EntryKind::Events,
    });
    Query {
        environment: arguments.env.clone(),
        app: arguments.app.clone(),
        object: arguments.object.clone(),
        since: arguments.since.map(|since| since.at(now)),
        until: arguments.until.map(|until| until.at(now)),
        kinds: kinds.collect(),
        limit: arguments.limit,
    }
}

/// What the Environment says of its last rollouts.
async fn ask(global: &Global, arguments: &Arguments) -> Result<Vec<Shown>, Failure> {
    let long = [
        (arguments.export, "--export"),
        (arguments.verify, "--verify"),
        (arguments.object.is_some(), "--object"),
        (arguments.kind.iter().any(|kind| *kind != Kind::Rollouts), "--kind"),
    ];
    if let Some((_, flag)) = long.iter().find(|(is_given, _)| *is_given) {
        let hint =
            "say where the agent keeps it: --history sqlite:FILE or --history postgres://user@host/database";
        return Err(Failure::input(format!("{flag} is for the long history, and none is given")).hint(hint));
    }
    let Some(name) = &arguments.env else {
        return Err(Failure::input("say which environment: --env NAME")
            .hint("or give the long history, --history URL"));
    };
    let cluster = global.connect().await?;
    let found = environment(&target::environments(&cluster), name).await?;
    let apps = found.status.unwrap_or_default().apps;
    if let Some(app) = &arguments.app
        && apps.iter().all(|found| found.name != *app)
    {
        return Err(Failure::input(format!("there is no app {app} in {name}")));
    }
    let now = Timestamp::now();
    let is_wanted = |record: &RecordStatus| {
        let ended = record.ended.parse::<Timestamp>();
        let after =
            arguments.since.is_none_or(|since| ended.as_ref().is_ok_and(|ended| *ended >= since.at(now)));
        after && arguments.until.is_none_or(|until| ended.is_ok_and(|ended| ended < until.at(now)))
    };
    let mine = apps.into_iter().filter(|app| arguments.app.as_ref().is_none_or(|name| app.name == *name));
    let mut records: Vec<(AppName, RecordStatus)> = mine
        .flat_map(|app| app.history.into_iter().map(move |record| (app.name.clone(), record)))
        .filter(|(_, record)| is_wanted(record))
        .collect();
    // Times of one form sort as text.
    records.sort_by(|(_, a), (_, b)| b.ended.cmp(&a.ended));
    records.truncate(arguments.limit as usize);
    let shown = records.into_iter().map(|(app, record)| Shown::Rollout {
        cluster: String::new(),
        environment: name.clone(),
        app,
        record: Box::new(record),
    });
    Ok(shown.collect())
}

fn parse_object(text: &str) -> Result<ObjectQuery, String> {
    let words: Vec<&str> = text.split('/').collect();
    let object = match words[..] {
        [kind, name] => ObjectQuery { kind: kind.to_owned(), namespace: None, name: name.to_owned() },
        [kind, namespace, name] => ObjectQuery {
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        },
        _ => {
            return Err("write KIND/NAMESPACE/NAME, or KIND/NAME of an object without a namespace".to_owned());
        }
    };
    let is_whole = words.iter().all(|word| !word.is_empty());
    if is_whole { Ok(object) } else { Err("a part of KIND/NAMESPACE/NAME is empty".to_owned()) }
}
