//! Reads the time line: the newest first for people, all of it in the order of time for an export.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::connection::Cell;
use super::rows::{Entry, Table};
use super::store::Store;
use crate::object::{AppName, EnvironmentName, day_of};

/// Rows that are read at once.
const PAGE: u32 = 1000;

/// What is wanted of the time line.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub environment: Option<EnvironmentName>,
    pub app: Option<AppName>,
    /// Where one is given, what has no object is left out.
    pub object: Option<ObjectQuery>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// All where none is given.
    pub kinds: Vec<EntryKind>,
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Rollouts,
    Drift,
    Events,
}

/// An object, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectQuery {
    /// In any case, and of any group.
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub entries: Vec<Entry>,
    /// Rows that this version cannot read, because a newer one wrote them.
    pub unreadable: u64,
}

impl Query {
    fn tables(&self) -> Vec<Table> {
        let wanted = |kind| self.kinds.is_empty() || self.kinds.contains(&kind);
        let mut tables = Vec::new();
        if wanted(EntryKind::Drift) {
            tables.push(Table::Drift);
        }
        if wanted(EntryKind::Events) {
            tables.push(Table::Events);
        }
        if wanted(EntryKind::Rollouts) && self.object.is_none() {
            tables.push(Table::Rollouts);
        }
        tables
    }

    /// The conditions and their arguments.
    fn conditions(&self, table: Table, has_days: bool) -> (Vec<String>, Vec<Cell>) {
        let (mut conditions, mut arguments) = (Vec::new(), Vec::new());
        let mut say = |condition: &str, argument: Cell| {
            arguments.push(argument);
            conditions.push(condition.replace('?', &format!("${}", arguments.len())));
        };
        if let Some(environment) = &self.environment {
            say("environment = ?", Cell::text(environment.as_str()));
        }
        if let Some(app) = &self.app {
            say("app = ?", Cell::text(app.as_str()));
        }
        if let Some(object) = &self.object {
            let kind = if table == Table::Events { "object_kind" } else { "kind" };
            say("name = ?", Cell::text(&object.name));
            say(&format!("lower({kind}) = ?"), Cell::text(&object.kind.to_lowercase()));
            if let Some(namespace) = &object.namespace {
                say("namespace = ?", Cell::text(namespace));
            }
        }
        if let Some(since) = self.since {
            say(&format!("{} >= ?", table.time()), Cell::Number(since.as_millisecond()));
            if has_days {
                // Nothing is in a day before its own: older partitions need not be looked into.
                say("day >= ?", Cell::Number(day_of(since)));
            }
        }
        if let Some(until) = self.until {
            say(&format!("{} < ?", table.time()), Cell::Number(until.as_millisecond()));
        }
        if self.object.as_ref().is_some_and(|object| object.namespace.is_none()) {
            conditions.push("namespace IS NULL".to_owned());
        }
        (conditions, arguments)
    }
}

/// The newest first.
pub(super) async fn newest(store: &mut Store, query: &Query) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    for table in query.tables() {
        let (conditions, arguments) = query.conditions(table, store.is_postgres());
        let order = format!("ORDER BY {} DESC, id DESC LIMIT {}", table.time(), query.limit);
        let page = page(store, table, &conditions, arguments, &order).await?;
        found.unreadable += page.unreadable;
        found.entries.extend(page.entries);
    }
    found.entries.sort_by_key(|entry| std::cmp::Reverse(entry.time()));
    found.entries.truncate(query.limit as usize);
    Ok(found)
}

/// Everything in the order of time, a page of each table at a time.
pub struct Export {
    store: Store,
    query: Query,
    streams: Vec<Stream>,
    unreadable: u64,
}

struct Stream {
    table: Table,
    page: VecDeque<Entry>,
    /// The time and id of the last row that was read.
    after: Option<(i64, String)>,
    is_over: bool,
}

struct Page {
    entries: Vec<Entry>,
    rows: u32,
    last: Option<(i64, String)>,
    unreadable: u64,
}

impl Export {
    pub(super) fn new(store: Store, query: Query) -> Self {
        let tables = query.tables().into_iter();
        let streams = tables
            .map(|table| Stream {
                table,
                page: VecDeque::new(),
                after: None,
                is_over: !store.has_table(table),
            })
            .collect();
        Self { store, query, streams, unreadable: 0 }
    }

    /// Rows that were left out so far, because a newer version wrote them.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    pub(super) fn place(&self) -> &super::Place {
        &self.store.place
    }

    pub(super) async fn next_entry(&mut self) -> Result<Option<Entry>, sqlx::Error> {
        for stream in &mut self.streams {
            while stream.page.is_empty() && !stream.is_over {
                let table = stream.table;
                let (mut conditions, mut arguments) = self.query.conditions(table, self.store.is_postgres());
                if let Some((time, id)) = &stream.after {
                    arguments.extend([Cell::Number(*time), Cell::text(id)]);
                    let (time, id) = (arguments.len() - 1, arguments.len());
                    conditions.push(format!("({}, id) > (${time}, ${id})", table.time()));
                }
                let order = format!("ORDER BY {}, id LIMIT {PAGE}", table.time());
                let page = page(&mut self.store, table, &conditions, arguments, &order).await?;
                stream.is_over = page.rows < PAGE;
                stream.after = page.last.or(stream.after.take());
                self.unreadable += page.unreadable;
                stream.page.extend(page.entries);
            }
        }
        let first = self.streams.iter_mut().filter(|stream| !stream.page.is_empty());
        let first = first.min_by_key(|stream| stream.page.front().map(Entry::time));
        Ok(first.and_then(|stream| stream.page.pop_front()))
    }
}

async fn page(
    store: &mut Store,
    table: Table,
    conditions: &[String],
    arguments: Vec<Cell>,
    order: &str,
) -> Result<Page, sqlx::Error> {
    let mut page = Page { entries: Vec::new(), rows: 0, last: None, unreadable: 0 };
    if !store.has_table(table) {
        return Ok(page);
    }
    let mut sql = format!("SELECT {} FROM {}", store.selection(table), table.name());
    if !conditions.is_empty() {
        sql += " WHERE ";
        sql += &conditions.join(" AND ");
    }
    sql += " ";
    sql += order;
    let rows = store.lend().await?.connection().fetch(&sql, &arguments, &table.kinds()).await?;
    let time = table.names().iter().position(|name| *name == table.time()).unwrap_or(0);
    for cells in rows {
        let id = cells[0].as_text().unwrap_or_default().to_owned();
        page.rows += 1;
        page.last = cells[time].number().map(|time| (time, id));
        match Entry::read(table, cells) {
            Ok(entry) => page.entries.push(entry),
            Err(_) => page.unreadable += 1,
        }
    }
    Ok(page)
}
