//! Looks whether the records of sealed days are what was sealed, and those of other days what was written.

use std::cmp::Ordering;
use std::fmt;

use jiff::ToSpan;
use jiff::civil::Date;

use super::connection::{Cell, Kind};
use super::rows::{FORM, Table};
use super::seal::{Listed, PART, digest, unpack};
use super::store::Store;
use crate::object::Digest;

/// More are counted, and not named.
const NAMED: usize = 20;

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records, and the sealed days that they are of.
    pub records: u64,
    pub days: u64,
    /// Records of days that are not sealed yet: that they were not altered is known, that none is gone is not.
    pub unsealed: u64,
    /// Records of a newer version, whose own hashes cannot be judged here.
    pub newer: u64,
    /// The first that are wrong, in the order of their days; and how many are.
    pub faults: Vec<Fault>,
    pub wrong: u64,
    /// The last day that is sealed, and its digest: who writes it down elsewhere finds out when everything was made anew.
    pub head: Option<(i64, Digest)>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub day: i64,
    pub what: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The seal of this day is gone.
    NoSeal,
    /// The seal does not follow the one of the day before.
    Chain,
    /// The list of the day's records is not the one that was sealed.
    List,
    /// The day was sealed with another digest than the one that was given.
    Expected,
    /// A record of the list is gone,
    Removed { table: &'static str, id: String },
    /// is not as it was sealed,
    Altered { table: &'static str, id: String },
    /// or one is there that was not sealed.
    Added { table: &'static str, id: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", date(self.day))?;
        match &self.what {
            Wrong::NoSeal => f.write_str("the day was sealed, and its seal is gone"),
            Wrong::Chain => f.write_str("its seal does not follow the one of the day before"),
            Wrong::List => f.write_str("the list of its records is not the one that was sealed"),
            Wrong::Expected => f.write_str("it is not sealed with the digest that was given"),
            Wrong::Removed { table, id } => write!(f, "the record {id} of {table} was removed"),
            Wrong::Altered { table, id } => write!(f, "the record {id} of {table} was altered"),
            Wrong::Added { table, id } => {
                write!(f, "the record {id} of {table} was added after the day was sealed")
            }
        }
    }
}

/// What of it is looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// The first day whose records are looked at; the chain is followed from its begin.
    pub since: Option<i64>,
    /// Records of days before this one may be gone: they are older than records are kept.
    pub kept_from: i64,
    /// A digest that a day is known to have been sealed with.
    pub expected: Option<(i64, Digest)>,
}

/// A day, counted from 1970, as people write it.
pub fn date(day: i64) -> Date {
    Date::constant(1970, 1, 1).saturating_add(day.clamp(-700_000, 2_900_000).days())
}

impl Verdict {
    fn say(&mut self, day: i64, what: Wrong) {
        self.wrong += 1;
        if self.faults.len() < NAMED {
            self.faults.push(Fault { day, what });
        }
    }
}

struct Seal {
    day: i64,
    records: i64,
    digest: String,
    before: String,
}

pub(super) async fn verify(store: &mut Store, check: &Check) -> Result<Verdict, sqlx::Error> {
    let mut verdict = Verdict::default();
    let seals = seals(store).await?;
    let mut before: Option<&Seal> = None;
    let mut expected = check.expected.clone();
    for seal in &seals {
        if let Some(before) = before {
            // A day that is missing is told once, however many follow.
            if seal.day != before.day + 1 {
                verdict.say(before.day + 1, Wrong::NoSeal);
            } else if seal.before != before.digest {
                verdict.say(seal.day, Wrong::Chain);
            }
        } else if !seal.before.is_empty() {
            verdict.say(seal.day - 1, Wrong::NoSeal);
        }
        if let Some((_, digest)) = expected.take_if(|(day, _)| *day == seal.day)
            && digest.as_str() != seal.digest
        {
            verdict.say(seal.day, Wrong::Expected);
        }
        if check.since.is_none_or(|since| seal.day >= since) {
            verify_day(store, seal, check, &mut verdict).await?;
            verdict.days += 1;
        }
        before = Some(seal);
    }
    if let Some((day, _)) = expected {
        verdict.say(day, Wrong::NoSeal);
    }
    let ends = (seals.first().map(|seal| seal.day), seals.last().map(|seal| seal.day));
    verify_unsealed(store, ends, check, &mut verdict).await?;
    verdict.head = seals.last().map(|seal| (seal.day, Digest::from(seal.digest.as_str())));
    verdict.faults.sort_by_key(|fault| fault.day);
    Ok(verdict)
}

async fn seals(store: &mut Store) -> Result<Vec<Seal>, sqlx::Error> {
    if !store.has_table(Table::Drift) {
        // An older agent made it, and seals nothing.
        return Ok(Vec::new());
    }
    let sql = "SELECT day, records, digest, before FROM sealed_days WHERE digest IS NOT NULL ORDER BY day";
    let kinds = [Kind::Number, Kind::Number, Kind::Text, Kind::Text];
    let rows = store.lend().await?.connection().fetch(sql, &[], &kinds).await?;
    let text = |cell: &Cell| cell.as_text().unwrap_or_default().to_owned();
    let seal = |row: &Vec<Cell>| Seal {
        day: row[0].number().unwrap_or(0),
        records: row[1].number().unwrap_or(0),
        digest: text(&row[2]),
        before: text(&row[3]),
    };
    Ok(rows.iter().map(seal).collect())
}

async fn verify_day(
    store: &mut Store,
    seal: &Seal,
    check: &Check,
    verdict: &mut Verdict,
) -> Result<(), sqlx::Error> {
    let is_old = seal.day < check.kept_from;
    let (mut part, mut digests, mut is_spoiled) = (0, Vec::new(), false);
    let mut rows = Rows::new(seal.day);
    while let Some(bytes) = fetch_part(store, seal.day, part).await? {
        part += 1;
        let Some((listed, digest)) = unpack(&bytes) else {
            is_spoiled = true;
            continue;
        };
        digests.push(digest);
        for listed in listed {
            rows.compare(store, Some(&listed), is_old, verdict).await?;
        }
    }
    if is_old {
        // Records and list go when they are too old, and not both at once.
        return Ok(());
    }
    if is_spoiled || digest(seal.day, &seal.before, seal.records, &digests).as_str() != seal.digest {
        verdict.say(seal.day, Wrong::List);
    }
    if !is_spoiled {
        rows.compare(store, None, is_old, verdict).await?;
    }
    Ok(())
}

async fn fetch_part(store: &mut Store, day: i64, part: i64) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let sql = "SELECT list FROM sealed_parts WHERE day = $1 AND part = $2";
    let arguments = [Cell::Number(day), Cell::Number(part)];
    let rows = store.lend().await?.connection().fetch(sql, &arguments, &[Kind::Bytes]).await?;
    Ok(rows.into_iter().next().and_then(|row| match row.into_iter().next() {
        Some(Cell::Bytes(bytes)) => Some(bytes),
        _ => None,
    }))
}

/// The rows of a day, in the order of the list, a page at a time.
struct Rows {
    day: i64,
    table: usize,
    after: String,
    page: std::vec::IntoIter<Found>,
    next: Option<Found>,
    is_over: bool,
}

struct Found {
    listed: Listed,
    /// Whether what it says has the hash that stands beside it; not known of a newer version's.
    is_whole: Option<bool>,
}

impl Rows {
    fn new(day: i64) -> Self {
        let page = Vec::new().into_iter();
        Self { day, table: 0, after: String::new(), page, next: None, is_over: false }
    }

    async fn peek(&mut self, store: &mut Store) -> Result<Option<&Found>, sqlx::Error> {
        while self.next.is_none() && !self.is_over {
            self.next = self.page.next();
            if self.next.is_some() {
                break;
            }
            let Some(table) = Table::ALL.get(self.table) else {
                self.is_over = true;
                break;
            };
            let page = fetch_rows(store, *table, self.day, &self.after).await?;
            if page.len() < PART {
                self.table += 1;
                self.after.clear();
            } else if let Some(last) = page.last() {
                self.after.clone_from(&last.listed.id);
            }
            self.page = page.into_iter();
        }
        Ok(self.next.as_ref())
    }

    /// Goes on to this record of the list, or to the end; what is passed was not sealed.
    async fn compare(
        &mut self,
        store: &mut Store,
        listed: Option<&Listed>,
        is_old: bool,
        verdict: &mut Verdict,
    ) -> Result<(), sqlx::Error> {
        let day = self.day;
        loop {
            let found = self.peek(store).await?;
            let order = match (&found, listed) {
                (None, None) => return Ok(()),
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(found), Some(listed)) => {
                    (found.listed.table, &found.listed.id).cmp(&(listed.table, &listed.id))
                }
            };
            let named = |listed: &Listed| (listed.table.name(), listed.id.clone());
            match (order, found, listed) {
                (Ordering::Less, Some(found), _) => {
                    let (table, id) = named(&found.listed);
                    verdict.say(day, Wrong::Added { table, id });
                    self.next = None;
                }
                (Ordering::Equal, Some(found), Some(listed)) => {
                    verdict.records += 1;
                    verdict.newer += u64::from(found.is_whole.is_none());
                    if found.listed.hash != listed.hash || found.is_whole == Some(false) {
                        let (table, id) = named(listed);
                        verdict.say(day, Wrong::Altered { table, id });
                    }
                    self.next = None;
                    return Ok(());
                }
                (_, _, Some(listed)) => {
                    if !is_old {
                        let (table, id) = named(listed);
                        verdict.say(day, Wrong::Removed { table, id });
                    }
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }
}

async fn fetch_rows(
    store: &mut Store,
    table: Table,
    day: i64,
    after: &str,
) -> Result<Vec<Found>, sqlx::Error> {
    let sql = format!(
        "SELECT hash, form, {} FROM {} WHERE day = $1 AND id > $2 ORDER BY id LIMIT {PART}",
        table.names().join(", "),
        table.name()
    );
    let mut kinds = vec![Kind::Text, Kind::Number];
    kinds.extend(table.kinds());
    let arguments = [Cell::Number(day), Cell::text(after)];
    let rows = store.lend().await?.connection().fetch(&sql, &arguments, &kinds).await?;
    Ok(rows.into_iter().map(|row| found(table, row)).collect())
}

fn found(table: Table, mut row: Vec<Cell>) -> Found {
    let cells = row.split_off(2);
    let id = cells[0].as_text().unwrap_or_default().to_owned();
    let computed = table.hash(&cells);
    // An older agent writes no hash.
    let hash = row[0].as_text().unwrap_or(computed.as_str()).to_owned();
    let is_known = row[1].number().is_none_or(|form| form <= FORM);
    Found { is_whole: is_known.then(|| computed.as_str() == hash), listed: Listed { table, id, hash } }
}

/// Records that no seal is of: each has its own hash.
async fn verify_unsealed(
    store: &mut Store,
    (first, last): (Option<i64>, Option<i64>),
    check: &Check,
    verdict: &mut Verdict,
) -> Result<(), sqlx::Error> {
    if !store.has_table(Table::Drift) {
        return Ok(());
    }
    for table in Table::ALL {
        let sql = format!(
            "SELECT DISTINCT day FROM {} WHERE day IS NOT NULL AND (day < $1 OR day > $2) ORDER BY day",
            table.name()
        );
        let arguments = [Cell::Number(first.unwrap_or(i64::MAX)), Cell::Number(last.unwrap_or(i64::MIN))];
        let days = store.lend().await?.connection().fetch(&sql, &arguments, &[Kind::Number]).await?;
        for day in days.iter().filter_map(|row| row[0].number()) {
            if check.since.is_some_and(|since| day < since) {
                continue;
            }
            let mut after = String::new();
            loop {
                let page = fetch_rows(store, table, day, &after).await?;
                let count = page.len();
                for found in page {
                    let (name, id) = (table.name(), found.listed.id);
                    verdict.unsealed += 1;
                    verdict.newer += u64::from(found.is_whole.is_none());
                    if first.is_some_and(|first| day < first) {
                        verdict.say(day, Wrong::Added { table: name, id: id.clone() });
                    } else if found.is_whole == Some(false) {
                        verdict.say(day, Wrong::Altered { table: name, id: id.clone() });
                    }
                    after = id;
                }
                if count < PART {
                    break;
                }
            }
        }
    }
    Ok(())
}
