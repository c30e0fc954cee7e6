//! What was seen since some time, by the DriftReports of the agents or by the long history.

use jiff::Timestamp;
use serde::Serialize;

use super::{Arguments, Looks};
use crate::api::{DriftReportSpec, DriftRow};
use crate::cli::failure::Failure;
use crate::cli::output::table;
use crate::cli::times::Moment;
use crate::history::{self, Entry, EntryKind, ObjectQuery, Place, Query};
use crate::report::cause_name;

/// So many records of the history are asked for.
const LIMIT: u32 = 1000;

/// A field that others changed, be it as git says again or not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeenRow {
    environment: String,
    #[serde(flatten)]
    row: DriftRow,
}

pub(super) fn place(arguments: &Arguments) -> Result<Option<Place>, Failure> {
    let url = arguments.history.as_deref().filter(|url| *url != "off" && !url.is_empty());
    let Some(url) = url.filter(|_| arguments.since.is_some()) else { return Ok(None) };
    let file = arguments.history_password_file.as_deref().filter(|file| !file.as_os_str().is_empty());
    let place = url.parse::<Place>().and_then(|place| place.with_password_file(file));
    place.map(Some).map_err(|error| Failure::input(error.to_string()))
}

/// The newest first.
pub(super) async fn seen(
    arguments: &Arguments,
    place: Option<Place>,
    since: Moment,
    looks: &Looks,
    reports: &[Option<DriftReportSpec>],
) -> Result<Vec<SeenRow>, Failure> {
    let since = since.at(Timestamp::now());
    let mut rows: Vec<SeenRow> = match place {
        Some(place) => ask(arguments, &place, since, looks).await?,
        None => {
            let of = looks.iter().zip(reports).flat_map(|((name, _), report)| {
                let rows = report.iter().flat_map(|report| &report.put_back);
                rows.map(|row| SeenRow { environment: name.to_string(), row: row.clone() })
            });
            of.collect()
        }
    };
    let object = arguments.object.as_ref().map(ToString::to_string);
    rows.retain(|SeenRow { row, .. }| {
        let last = row.over.as_ref().unwrap_or(&row.since);
        last.parse::<Timestamp>().is_ok_and(|at| at >= since)
            && object.as_ref().is_none_or(|object| row.object == *object)
            && arguments.app.as_ref().is_none_or(|app| row.app.as_ref() == Some(app))
            && arguments.cause.as_ref().is_none_or(|cause| {
                let field = row.field.trim_start_matches('/').replace('/', ".");
                row.manager == *cause || cause_name(&row.manager, &field) == *cause
            })
    });
    rows.sort_by(|a, b| b.row.since.cmp(&a.row.since));
    Ok(rows)
}

async fn ask(
    arguments: &Arguments,
    place: &Place,
    since: Timestamp,
    looks: &Looks,
) -> Result<Vec<SeenRow>, Failure> {
    let object = arguments.object.as_ref().map(|key| ObjectQuery {
        kind: key.kind.to_string(),
        namespace: key.namespace.as_deref().map(str::to_owned),
        name: key.name.to_string(),
    });
    let query = Query {
        environment: arguments.environment.clone(),
        app: arguments.app.clone(),
        object,
        since: Some(since),
        until: None,
        kinds: vec![EntryKind::Drift],
        limit: LIMIT,
    };
    let found = history::read(place, &query).await;
    let found = found.map_err(|error| Failure::error("the history cannot be shown", &error))?;
    let rows = found.entries.iter().filter_map(|entry| match entry {
        Entry::Drift(record) if looks.iter().any(|(name, _)| *name == record.environment) => {
            Some(SeenRow { environment: record.environment.to_string(), row: DriftRow::of(record) })
        }
        _ => None,
    });
    Ok(rows.collect())
}

/// As a table for people.
pub(super) fn table_of(seen: &[SeenRow]) -> String {
    let head = ["SEEN", "ENV", "OBJECT", "FIELD", "IN GIT", "WAS", "BY", "OUTCOME"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let value = |value: &Option<String>| value.as_ref().map_or_else(|| "-".to_owned(), |value| short(value));
    for SeenRow { environment, row } in seen {
        let by = match &*row.manager {
            "" => row.who.clone(),
            manager => format!("{} ({manager})", row.who),
        };
        let outcome = match (&row.over, row.latency_ms) {
            (Some(_), Some(latency)) => format!("{} after {latency} ms", row.action.as_str()),
            (Some(_), None) => "over".to_owned(),
            (None, _) => format!("{}, open", row.action.as_str()),
        };
        rows.push(vec![
            row.since.clone(),
            environment.clone(),
            row.object.clone(),
            if row.field.is_empty() { row.class.as_str().to_owned() } else { row.field.clone() },
            value(&row.desired),
            value(&row.live),
            by,
            outcome,
        ]);
    }
    table(&rows)
}

/// So many letters of a value stand in a table.
const WIDTH: usize = 24;

fn short(text: &str) -> String {
    match text.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
