//! Writes a batch of what was told: once, whatever becomes of the connection, and drift coalesced.

use std::collections::{BTreeSet, HashMap};

use sqlx::AssertSqlSafe;

use super::connection::{Cell, Connection, Kind};
use super::partitions;
use super::rows::{Entry, FORM, Table, field};
use super::store::{Changes, LOCK_DAYS, LOCKS, Store};
use crate::object::{DriftRecord, day_of};

/// Before the number of an environment.
const LOCK_ENVIRONMENTS: i32 = 0x4641_4953;

/// Who writes, and its how many-th batch this is.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub writer: String,
    pub number: i64,
}

/// A row that is to be in a table, with the day in whose seal it will be.
#[derive(Clone, Debug)]
struct Line {
    day: i64,
    cells: Vec<Cell>,
}

/// A drift record, and where it stands in the database.
struct Known {
    record: DriftRecord,
    day: i64,
    is_new: bool,
    has_changed: bool,
}

/// Writes all or nothing. A batch that was written before, which is so when the answer to its commit was lost, is not
/// written again.
pub(super) async fn write(
    store: &mut Store,
    ticket: &Ticket,
    batch: &[Entry],
    now: jiff::Timestamp,
) -> Result<(), sqlx::Error> {
    let latest = day_of(now) + 1;
    let mut days: BTreeSet<i64> = batch.iter().map(|entry| entry.day().min(latest)).collect();
    // Where its own day is closed it comes into one that is not, which is today or the day before.
    days.extend([latest - 2, latest - 1, latest]);
    partitions::ensure(store, &days).await?;
    let mut changes = store.begin().await?;
    lock(&mut changes, batch).await?;
    let mut connection = changes.connection();
    let took = connection
        .execute(
            "INSERT INTO writers (id, batch, written) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, written = excluded.written \
             WHERE writers.batch < excluded.batch",
            &[Cell::text(&ticket.writer), Cell::Number(ticket.number), Cell::Number(now.as_millisecond())],
        )
        .await?;
    if took == 0 {
        return Ok(());
    }
    let closed = connection.number("SELECT MAX(day) FROM sealed_days", &[]).await?;
    let first_open = closed.map_or(i64::MIN, |closed| closed + 1);
    // A clock that is wrong must not put a record where no retention finds it.
    let day = |entry: &Entry| entry.day().min(latest).max(first_open);
    for table in [Table::Rollouts, Table::Events] {
        let mut lines = Vec::new();
        for entry in batch.iter().filter(|entry| entry.table() == table) {
            let line = Line { day: day(entry), cells: entry.cells() };
            if line.day == entry.day() || !is_there(&mut connection, table, entry.day(), &line).await? {
                lines.push(line);
            }
        }
        insert(&mut connection, table, lines).await?;
    }
    let drift = batch.iter().filter_map(|entry| match entry {
        Entry::Drift(record) => Some((day(entry), (**record).clone())),
        Entry::Rollout(_) | Entry::Event(_) => None,
    });
    let drift: Vec<(i64, DriftRecord)> = drift.collect();
    if !drift.is_empty() {
        let known = coalesce(known(&mut connection, &drift).await?, drift);
        let lines = |is_new: bool| {
            let chosen = known.iter().filter(move |known| known.is_new == is_new && known.has_changed);
            chosen
                .map(|known| Line {
                    day: known.day,
                    cells: Entry::Drift(Box::new(known.record.clone())).cells(),
                })
                .collect::<Vec<_>>()
        };
        insert(&mut connection, Table::Drift, lines(true)).await?;
        update_drift(&mut connection, lines(false)).await?;
    }
    changes.commit().await
}

/// Keeps days from being closed meanwhile, and other replicas from telling of the same environments: two that look for an
/// open record at once would both begin one. SQLite has one writer anyway.
async fn lock(changes: &mut Changes<'_>, batch: &[Entry]) -> Result<(), sqlx::Error> {
    let mut connection = changes.connection();
    if !connection.is_postgres() {
        return Ok(());
    }
    let shared = format!("SELECT pg_advisory_xact_lock_shared({LOCKS}, {LOCK_DAYS})");
    connection.execute(&shared, &[]).await?;
    // In one order, so that nobody waits for somebody who waits.
    let drift = batch.iter().filter(|entry| entry.table() == Table::Drift);
    let environments: BTreeSet<&str> = drift.map(|entry| entry.environment().as_str()).collect();
    for environment in environments {
        let alone = format!("SELECT pg_advisory_xact_lock({LOCK_ENVIRONMENTS}, hashtext($1))");
        connection.execute(&alone, &[Cell::text(environment)]).await?;
    }
    Ok(())
}

/// Whether a row whose own day is closed got into the table before that.
async fn is_there(
    connection: &mut Connection<'_>,
    table: Table,
    own: i64,
    line: &Line,
) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT count(*) FROM {} WHERE id = $1 AND day >= $2 AND day <= $3", table.name());
    let arguments = [line.cells[0].clone(), Cell::Number(own), Cell::Number(line.day)];
    Ok(connection.number(&sql, &arguments).await?.is_some_and(|count| count > 0))
}

/// The records of the same fields of the days that are open.
async fn known(
    connection: &mut Connection<'_>,
    drift: &[(i64, DriftRecord)],
) -> Result<Vec<Known>, sqlx::Error> {
    let Some(oldest) = drift.iter().map(|(day, _)| *day).min() else { return Ok(Vec::new()) };
    let fields: BTreeSet<i64> = drift.iter().map(|(_, record)| field(record)).collect();
    let columns = Table::Drift.names().join(", ");
    let mut kinds = vec![Kind::Number, Kind::Number];
    kinds.extend(Table::Drift.kinds());
    let mut rows = Vec::new();
    match connection {
        Connection::Postgres(connection) => {
            let fields: Vec<i64> = fields.into_iter().collect();
            let sql = format!("SELECT day, form, {columns} FROM drift WHERE field = ANY($1) AND day >= $2");
            let query = sqlx::query::<sqlx::Postgres>(AssertSqlSafe(sql)).bind(fields).bind(oldest);
            for row in query.fetch_all(&mut **connection).await? {
                rows.push(super::connection::of_postgres(&row, &kinds)?);
            }
        }
        Connection::Sqlite(_) => {
            let sql = format!("SELECT day, form, {columns} FROM drift WHERE field = $1 AND day >= $2");
            for field in fields {
                let arguments = [Cell::Number(field), Cell::Number(oldest)];
                rows.extend(connection.fetch(&sql, &arguments, &kinds).await?);
            }
        }
    }
    let known = rows.into_iter().filter_map(|mut row| {
        let cells = row.split_off(2);
        let day = row[0].number()?;
        // What a newer version wrote may say more than is known here, and is left as it is.
        let form = row[1].number().filter(|form| *form <= FORM);
        match (form, Entry::read(Table::Drift, cells)) {
            (Some(_), Ok(Entry::Drift(record))) => {
                Some(Known { record: *record, day, is_new: false, has_changed: false })
            }
            _ => None,
        }
    });
    Ok(known.collect())
}

/// Puts each observation into the newest record that it continues, or begins one.
fn coalesce(known: Vec<Known>, drift: Vec<(i64, DriftRecord)>) -> Vec<Known> {
    let mut all = known;
    all.sort_by_key(|known| known.record.first_seen);
    let mut by_field: HashMap<i64, Vec<usize>> = HashMap::new();
    for (at, known) in all.iter().enumerate() {
        by_field.entry(field(&known.record)).or_default().push(at);
    }
    for (day, mut seen) in drift {
        let places = by_field.entry(field(&seen)).or_default();
        let same = places.iter().rev().copied().find(|at| {
            let known = &all[*at];
            // A record of a day that is closed stays as it is.
            known.day == day && known.record.continues_with(&seen)
        });
        match same {
            Some(at) => {
                all[at].record.absorb(seen);
                all[at].has_changed = true;
            }
            None => {
                seen.count = seen.count.max(1);
                places.push(all.len());
                all.push(Known { record: seen, day, is_new: true, has_changed: true });
            }
        }
    }
    all
}

async fn insert(connection: &mut Connection<'_>, table: Table, lines: Vec<Line>) -> Result<(), sqlx::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let (columns, rows) = with_hashes(table, lines);
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let into = format!("INSERT INTO {} ({})", table.name(), names.join(", "));
    match connection {
        Connection::Postgres(connection) => {
            let arrays: Vec<String> = arrays(&columns);
            let sql = format!("{into} SELECT * FROM unnest({}) ON CONFLICT DO NOTHING", arrays.join(", "));
            bind_columns(sqlx::query(AssertSqlSafe(sql)), &columns, &rows).execute(&mut **connection).await?;
        }
        Connection::Sqlite(_) => {
            let places: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
            let sql = format!("{into} VALUES ({}) ON CONFLICT DO NOTHING", places.join(", "));
            for row in &rows {
                connection.execute(&sql, row).await?;
            }
        }
    }
    Ok(())
}

async fn update_drift(connection: &mut Connection<'_>, lines: Vec<Line>) -> Result<(), sqlx::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let (columns, rows) = with_hashes(Table::Drift, lines);
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let is_key = |name: &str| name == "id" || name == "day";
    match connection {
        Connection::Postgres(connection) => {
            let sets: Vec<String> = names
                .iter()
                .filter(|name| !is_key(name))
                .map(|name| format!("{name} = told.{name}"))
                .collect();
            let sql = format!(
                "UPDATE drift SET {} FROM unnest({}) AS told({}) WHERE drift.day = told.day AND drift.id = told.id",
                sets.join(", "),
                arrays(&columns).join(", "),
                names.join(", "),
            );
            bind_columns(sqlx::query(AssertSqlSafe(sql)), &columns, &rows).execute(&mut **connection).await?;
        }
        Connection::Sqlite(_) => {
            let place = |wanted: &str| names.iter().position(|name| *name == wanted).unwrap_or(0) + 1;
            let sets = names.iter().enumerate().filter(|(_, name)| !is_key(name));
            let sets: Vec<String> = sets.map(|(at, name)| format!("{name} = ${}", at + 1)).collect();
            let (day, id) = (place("day"), place("id"));
            let sql = format!("UPDATE drift SET {} WHERE day = ${day} AND id = ${id}", sets.join(", "));
            for row in &rows {
                connection.execute(&sql, row).await?;
            }
        }
    }
    Ok(())
}

type Columns = Vec<(&'static str, Kind)>;

/// The columns and cells of rows as they are written: with the day, and the hash that a seal will be of.
fn with_hashes(table: Table, lines: Vec<Line>) -> (Columns, Vec<Vec<Cell>>) {
    let mut columns = vec![("day", Kind::Number), ("form", Kind::Number), ("hash", Kind::Text)];
    columns.extend(table.columns());
    let rows = lines.into_iter().map(|line| {
        let hash = table.hash(&line.cells);
        let mut cells = vec![Cell::Number(line.day), Cell::Number(FORM), Cell::text(hash.as_str())];
        cells.extend(line.cells);
        cells
    });
    (columns, rows.collect())
}

fn arrays(columns: &Columns) -> Vec<String> {
    let array = |(at, (_, kind)): (usize, &(&str, Kind))| {
        let of = match kind {
            Kind::Number => "bigint",
            Kind::Text => "text",
            Kind::Bytes => "bytea",
        };
        format!("${}::{of}[]", at + 1)
    };
    columns.iter().enumerate().map(array).collect()
}

type PostgresQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// An array for each column, so that any number of rows is one statement that is prepared once.
fn bind_columns<'q>(
    mut query: PostgresQuery<'q>,
    columns: &Columns,
    rows: &'q [Vec<Cell>],
) -> PostgresQuery<'q> {
    for (at, (_, kind)) in columns.iter().enumerate() {
        query = match kind {
            Kind::Number => query.bind(rows.iter().map(|row| row[at].number()).collect::<Vec<_>>()),
            Kind::Text => query.bind(rows.iter().map(|row| row[at].as_text()).collect::<Vec<_>>()),
            Kind::Bytes => {
                let bytes = rows.iter().map(|row| match &row[at] {
                    Cell::Bytes(bytes) => Some(bytes.as_slice()),
                    _ => None,
                });
                query.bind(bytes.collect::<Vec<_>>())
            }
        };
    }
    query
}
