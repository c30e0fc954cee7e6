//! Seals days that are over: a list of the records of each, and a digest of it that is chained to the day before.

use super::connection::{Cell, Kind};
use super::rows::Table;
use super::store::{Changes, LOCK_DAYS, LOCKS, Store};
use crate::object::Digest;

/// Whoever seals holds it. What is sealed is the same whoever does it: this keeps two from doing the same work.
const LOCK_SEAL: i32 = 3;
/// So long after its end a day takes what replicas still had in hand.
const GRACE_MILLISECONDS: i64 = 2 * 60 * 60 * 1000;
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;
/// Records of one part of a list, and rows that are read at once.
pub(super) const PART: usize = 1000;
/// Days in one go: an agent that finds years of them gets on with other things in between.
const AT_ONCE: usize = 500;

/// A day that was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub day: i64,
    pub records: i64,
    pub digest: Digest,
}

/// A record in the list of a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub table: Table,
    pub id: String,
    pub hash: String,
}

impl Listed {
    fn write(&self, into: &mut String) {
        for word in [self.table.name(), " ", &self.id, " ", &self.hash, "\n"] {
            into.push_str(word);
        }
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (table, id, hash) = (words.next()?, words.next()?, words.next()?);
        let table = Table::ALL.into_iter().find(|known| known.name() == table)?;
        Some(Self { table, id: id.to_owned(), hash: hash.to_owned() })
    }
}

/// A part of a list, as it is stored.
pub(super) fn pack(listed: &[Listed]) -> (Vec<u8>, Digest) {
    let mut text = String::new();
    listed.iter().for_each(|record| record.write(&mut text));
    // Compression into memory fails on no input.
    (zstd::bulk::compress(text.as_bytes(), 3).unwrap_or_default(), Digest::of(text.as_bytes()))
}

/// A part of a list, and the digest of it; none where it is spoiled.
pub(super) fn unpack(bytes: &[u8]) -> Option<(Vec<Listed>, Digest)> {
    let text = zstd::bulk::decompress(bytes, PART * 512).ok()?;
    let digest = Digest::of(&text);
    let text = String::from_utf8(text).ok()?;
    Some((text.lines().map(Listed::read).collect::<Option<_>>()?, digest))
}

/// The digest of a day: of the day before, and of all its parts.
pub(super) fn digest(day: i64, before: &str, records: i64, parts: &[Digest]) -> Digest {
    let (day, records) = (day.to_string(), records.to_string());
    let head = ["fairlead history 1", &day, before, &records];
    Digest::of_parts(head.into_iter().chain(parts.iter().map(Digest::as_str)))
}

/// Seals every day that is over and not sealed, up to the last that has records. Where there is none nothing is written.
pub(super) async fn seal(store: &mut Store, now: i64, by: &str) -> Result<Vec<Sealed>, sqlx::Error> {
    let now = server_time(store).await?.unwrap_or(now);
    let last = (now - GRACE_MILLISECONDS).div_euclid(DAY_MILLISECONDS) - 1;
    adopt_old_rows(store).await?;
    let mut sealed = Vec::new();
    while sealed.len() < AT_ONCE
        && let Some((day, before)) = next(store, last).await?
    {
        close(store, day).await?;
        match seal_day(store, day, &before, now, by).await? {
            Some(done) => sealed.push(done),
            None => break,
        }
    }
    Ok(sealed)
}

/// A replica whose clock is wrong must not close days that others still write.
async fn server_time(store: &mut Store) -> Result<Option<i64>, sqlx::Error> {
    if !store.is_postgres() {
        return Ok(None);
    }
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    store.lend().await?.connection().number(sql, &[]).await
}

/// Gives a day to the rows of an agent that knows of none.
async fn adopt_old_rows(store: &mut Store) -> Result<(), sqlx::Error> {
    if store.is_postgres() {
        return Ok(());
    }
    let mut lent = store.lend().await?;
    let sql = "UPDATE rollouts SET day = \
               MAX(ended / 86400000, COALESCE((SELECT MAX(day) + 1 FROM sealed_days), 0)) WHERE day IS NULL";
    lent.connection().execute(sql, &[]).await.map(drop)
}

/// The day to be sealed next, and the digest of the day before it.
async fn next(store: &mut Store, last: i64) -> Result<Option<(i64, String)>, sqlx::Error> {
    let mut lent = store.lend().await?;
    let mut connection = lent.connection();
    let newest = connection
        .fetch(
            "SELECT day, digest FROM sealed_days WHERE digest IS NOT NULL ORDER BY day DESC LIMIT 1",
            &[],
            &[Kind::Number, Kind::Text],
        )
        .await?;
    let newest = newest.first().and_then(|row| Some((row[0].number()?, row[1].as_text()?.to_owned())));
    let mut first: Option<i64> = None;
    for table in Table::ALL {
        let sql = format!("SELECT MIN(day) FROM {} WHERE day > $1 AND day <= $2", table.name());
        let after = newest.as_ref().map_or(i64::MIN, |(day, _)| *day);
        let found = connection.number(&sql, &[Cell::Number(after), Cell::Number(last)]).await?;
        first = [first, found].into_iter().flatten().min();
    }
    // One that was closed and not sealed is gone on with, whatever is in it.
    let closed = connection.number("SELECT MIN(day) FROM sealed_days WHERE digest IS NULL", &[]).await?;
    let first = [first, closed].into_iter().flatten().min();
    Ok(match (first, newest) {
        (None, _) => None,
        (Some(_), Some((day, digest))) => Some((day + 1, digest)),
        (Some(first), None) => Some((first, String::new())),
    })
}

/// From now on nothing is put into this day. Waits for what is being written.
async fn close(store: &mut Store, day: i64) -> Result<(), sqlx::Error> {
    let mut changes = store.begin().await?;
    lock(&mut changes, LOCK_DAYS).await?;
    let sql = "INSERT INTO sealed_days (day) VALUES ($1) ON CONFLICT DO NOTHING";
    changes.connection().execute(sql, &[Cell::Number(day)]).await?;
    changes.commit().await
}

async fn lock(changes: &mut Changes<'_>, key: i32) -> Result<(), sqlx::Error> {
    let mut connection = changes.connection();
    if connection.is_postgres() {
        connection.execute(&format!("SELECT pg_advisory_xact_lock({LOCKS}, {key})"), &[]).await?;
    }
    Ok(())
}

/// None where somebody else was faster.
async fn seal_day(
    store: &mut Store,
    day: i64,
    before: &str,
    now: i64,
    by: &str,
) -> Result<Option<Sealed>, sqlx::Error> {
    let mut changes = store.begin().await?;
    lock(&mut changes, LOCK_SEAL).await?;
    let (mut listed, mut digests, mut records) = (Vec::new(), Vec::new(), 0);
    for table in Table::ALL {
        let sql = format!(
            "SELECT hash, {} FROM {} WHERE day = $1 AND id > $2 ORDER BY id LIMIT {PART}",
            table.names().join(", "),
            table.name()
        );
        let mut kinds = vec![Kind::Text];
        kinds.extend(table.kinds());
        let mut after = String::new();
        loop {
            let arguments = [Cell::Number(day), Cell::Text(after.clone())];
            let rows = changes.connection().fetch(&sql, &arguments, &kinds).await?;
            let count = rows.len();
            for mut row in rows {
                let cells = row.split_off(1);
                // Its own hash and no new one: what was altered since it was written must not be sealed as it is now.
                let hash =
                    row[0].as_text().map_or_else(|| table.hash(&cells).as_str().to_owned(), str::to_owned);
                cells[0].as_text().unwrap_or_default().clone_into(&mut after);
                listed.push(Listed { table, id: after.clone(), hash });
                if listed.len() == PART {
                    records += PART;
                    digests.push(put_part(&mut changes, day, digests.len(), &listed).await?);
                    listed.clear();
                }
            }
            if count < PART {
                break;
            }
        }
    }
    if !listed.is_empty() {
        records += listed.len();
        digests.push(put_part(&mut changes, day, digests.len(), &listed).await?);
    }
    let records = i64::try_from(records).unwrap_or(i64::MAX);
    let digest = digest(day, before, records, &digests);
    let arguments = [
        Cell::Number(records),
        Cell::text(digest.as_str()),
        Cell::text(before),
        Cell::Number(now),
        Cell::text(by),
        Cell::Number(day),
    ];
    let sql = "UPDATE sealed_days SET records = $1, digest = $2, before = $3, sealed = $4, sealed_by = $5 \
               WHERE day = $6 AND digest IS NULL";
    let took = changes.connection().execute(sql, &arguments).await?;
    if took == 0 {
        return Ok(None);
    }
    changes.commit().await?;
    Ok(Some(Sealed { day, records, digest }))
}

async fn put_part(
    changes: &mut Changes<'_>,
    day: i64,
    part: usize,
    listed: &[Listed],
) -> Result<Digest, sqlx::Error> {
    let (list, digest) = pack(listed);
    let part = i64::try_from(part).unwrap_or(i64::MAX);
    let sql = "INSERT INTO sealed_parts (day, part, list) VALUES ($1, $2, $3) \
               ON CONFLICT (day, part) DO UPDATE SET list = excluded.list";
    let arguments = [Cell::Number(day), Cell::Number(part), Cell::Bytes(list)];
    changes.connection().execute(sql, &arguments).await?;
    Ok(digest)
}
