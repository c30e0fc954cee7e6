//! PostgreSQL's partitions: one for each month and table, made before they are needed, dropped as a whole.

use std::collections::BTreeSet;

use jiff::ToSpan;
use jiff::civil::Date;

use super::connection::{Cell, Connection, Kind};
use super::rows::Table;
use super::store::{LOCKS, Store};

/// Whoever makes or drops partitions holds it.
const LOCK_PARTITIONS: i32 = 2;
const EPOCH: Date = Date::constant(1970, 1, 1);

/// A month, by its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Month(Date);

impl Month {
    /// The month of a day that is counted from 1970; the nearest that a calendar has for what is far away.
    fn of(day: i64) -> Self {
        let date = EPOCH.saturating_add(day.clamp(-700_000, 2_900_000).days());
        Self(date.first_of_month())
    }

    fn next(self) -> Self {
        Self(self.0.saturating_add(1.month()))
    }

    fn first_day(self) -> i64 {
        let span = self.0.since(EPOCH).map(|span| span.get_days());
        i64::from(span.unwrap_or(0))
    }

    fn partition(self, table: Table) -> String {
        format!("{}_{:04}_{:02}", table.name(), self.0.year(), self.0.month())
    }

    /// The month of a partition, by its name.
    fn named(table: Table, name: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix(table.name())?.strip_prefix('_')?.split_once('_')?;
        Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok().map(Self)
    }
}

/// Makes the partitions of these days where they are missing; nothing to do for SQLite. Nobody who writes waits for it: a
/// table is made beside the others and attached.
pub(super) async fn ensure(store: &mut Store, days: &BTreeSet<i64>) -> Result<(), sqlx::Error> {
    if !store.is_postgres() {
        return Ok(());
    }
    let months: BTreeSet<Month> = days.iter().map(|day| Month::of(*day)).collect();
    if months.iter().all(|month| store.months.contains(&month.first_day())) {
        return Ok(());
    }
    let mut changes = store.begin().await?;
    let mut connection = changes.connection();
    let lock = format!("SELECT pg_advisory_xact_lock({LOCKS}, {LOCK_PARTITIONS})");
    connection.execute(&lock, &[]).await?;
    for month in &months {
        for table in Table::ALL {
            make(&mut connection, table, *month).await?;
        }
    }
    changes.commit().await?;
    store.months.extend(months.iter().map(|month| month.first_day()));
    Ok(())
}

async fn make(connection: &mut Connection<'_>, table: Table, month: Month) -> Result<(), sqlx::Error> {
    let (parent, partition) = (table.name(), month.partition(table));
    let exists = "SELECT count(*) FROM pg_class WHERE oid = to_regclass($1)";
    if connection.number(exists, &[Cell::text(&partition)]).await? != Some(0) {
        return Ok(());
    }
    let (from, to) = (month.first_day(), month.next().first_day());
    // Room for a record that is told again: then no index changes.
    let make = format!("CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL) WITH (fillfactor = 90)");
    connection.execute(&make, &[]).await?;
    let attach =
        format!("ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES FROM ({from}) TO ({to})");
    connection.execute(&attach, &[]).await.map(drop)
}

/// Drops the partitions of which every day is before `oldest`. Nobody who writes or reads waits for it.
pub(super) async fn drop_before(store: &mut Store, oldest: i64) -> Result<Vec<String>, sqlx::Error> {
    let mut lent = store.lend().await?;
    let mut connection = lent.connection();
    let lock = format!(
        "SELECT CASE WHEN pg_try_advisory_lock({LOCKS}, {LOCK_PARTITIONS}) THEN 1 ELSE 0 END::bigint"
    );
    if connection.number(&lock, &[]).await? != Some(1) {
        // Another replica does it.
        return Ok(Vec::new());
    }
    let dropped = drop_old(&mut connection, oldest).await;
    let unlock = format!("SELECT pg_advisory_unlock({LOCKS}, {LOCK_PARTITIONS})");
    connection.execute(&unlock, &[]).await?;
    let dropped = dropped?;
    store.months.clear();
    Ok(dropped)
}

async fn drop_old(connection: &mut Connection<'_>, oldest: i64) -> Result<Vec<String>, sqlx::Error> {
    let mut dropped = Vec::new();
    for table in Table::ALL {
        let parent = table.name();
        // Also what an agent detached that ended before it dropped it.
        let found = connection
            .fetch(
                "SELECT c.relname::text, CASE WHEN i.inhrelid IS NULL THEN 0 WHEN i.inhdetachpending THEN 1 ELSE 2 END::bigint \
                 FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid \
                 WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass($1)) \
                 AND c.relname ~ ('^' || $1 || '_[0-9]{4}_[0-9]{2}$') ORDER BY 1",
                &[Cell::text(parent)],
                &[Kind::Text, Kind::Number],
            )
            .await?;
        for row in found {
            let (Some(name), Some(state)) = (row[0].as_text(), row[1].number()) else { continue };
            let Some(month) = Month::named(table, name) else { continue };
            if month.next().first_day() > oldest {
                continue;
            }
            let how = match state {
                2 => "CONCURRENTLY",
                1 => "FINALIZE",
                _ => "",
            };
            if !how.is_empty() {
                let detach = format!("ALTER TABLE {parent} DETACH PARTITION {name} {how}");
                connection.execute(&detach, &[]).await?;
            }
            connection.execute(&format!("DROP TABLE {name}"), &[]).await?;
            dropped.push(name.to_owned());
        }
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_has_its_days_and_the_next_begins_where_it_ends() {
        let november = Month::of(20_787);
        assert_eq!(november.partition(Table::Drift), "drift_2026_11");
        assert_eq!((november.first_day(), november.next().first_day()), (20_758, 20_788));
        assert_eq!(Month::of(20_757).partition(Table::Events), "events_2026_10");
        assert_eq!(Month::of(20_788).partition(Table::Events), "events_2026_12");
        assert_eq!(Month::of(-1).partition(Table::Events), "events_1969_12");
        assert_eq!(Month::named(Table::Drift, "drift_2026_11"), Some(november));
        for name in ["drift_2026_13", "drift_2026", "rollouts_2026_11", "drift"] {
            assert_eq!(Month::named(Table::Drift, name), None, "{name}");
        }
    }
}
