//! Where everything that an environment remembers stands, and what has to be written to change it.
//!
//! ```text
//! what is swapped                      pieces, which never change
//! ┌──────────┐   names   ┌──────┐ ┌────────┐ ┌───────┬───────┬───────┐
//! │ document ├─────────► │ apps │ │ ledger │ │ run 1 │ run 2 │ run 3 │ ◄── the newest
//! └──────────┘           └──────┘ └────────┘ └───────┴───────┴───────┘
//! ┌──────────┐              ▲ all of it          ▲ what became otherwise since
//! │ journal  │ ─ full ──────┼────────────────────┘
//! └──────────┘              └── where the runs outgrow it, all is written anew
//! ```
//!
//! What is saved is appended to the journal: one request. A full journal becomes a run; runs that outgrow what they are
//! changes to are merged with it, which comes so seldom that what is written stays in proportion to what is saved. What apps
//! wanted moves out of a full journal as well, into pieces that apps share ([`super::pack`]).
//!
//! Nothing here is changed in place: [`Log::save`] says which pieces come before the swap, what is swapped, which pieces go
//! after it, and the log that stands then. So a process may die between any two of these.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::document::{Contents, Document, Head, Lists, write};
use super::journal::{Fresh, Journal};
use super::ledger::{read_ledger, write_ledger};
use super::pack::{Damage, Piece, Pieces, pack, unpack};
use super::patch::{Patch, whole_line};
use super::{Change, Good, Memory, Packed};
use crate::object::{AppName, Digest, EnvironmentName};
use crate::plan::WantedApp;

/// Thin lists that are written anew at once, at most: each is read first.
const THIN_AT_ONCE: usize = 32;

/// Says how much stands where. Processes with different limits read each other's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes, compressed: a journal that is longer goes into pieces. It is sent with every save.
    pub journal: usize,
    /// Bytes: runs are merged when they are longer than this, and than what they are changes to.
    pub merge_from: usize,
    /// Bytes: a list that apps share is thin when less than this of it is needed, or half.
    pub thin: usize,
    /// So many thin lists are written anew together.
    pub thin_together: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { journal: 32 * 1024, merge_from: 1024 * 1024, thin: 128 * 1024, thin_together: 8 }
    }
}

/// A change, with the packed objects that it needs stored where those were made ready beforehand.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub change: Change,
    pub packed: Option<Packed>,
}

impl From<Change> for Prepared {
    fn from(change: Change) -> Self {
        Self { change, packed: None }
    }
}

/// The memory of one environment, and where each part of it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    environment: EnvironmentName,
    /// Of the Environment, where that is known.
    uid: Option<Box<str>>,
    memory: Arc<Memory>,
    lists: Lists,
    journal: Journal,
    /// The pieces that exist, needed or not.
    there: Arc<BTreeSet<Digest>>,
    /// Whether the next save writes everything anew: the lists have an older form, or are damaged.
    anew: bool,
    limits: Limits,
}

/// The requests that save something, in this order.
#[derive(Clone, Debug)]
pub struct Writes {
    /// Written first,
    pub puts: Vec<Piece>,
    /// then swapped,
    pub contents: Contents,
    /// then deleted, when nobody reads them any more.
    pub drops: BTreeSet<Digest>,
    /// The log as it stands after the swap.
    pub log: Log,
}

impl Log {
    pub fn new(environment: &EnvironmentName) -> Self {
        Self {
            environment: environment.clone(),
            uid: None,
            memory: Arc::default(),
            lists: Lists::default(),
            journal: Journal::default(),
            there: Arc::default(),
            anew: false,
            limits: Limits::default(),
        }
    }

    /// Says to which Environment of that name it belongs. What is saved from here on says so too.
    #[must_use]
    pub fn of(self, uid: &str) -> Self {
        Self { uid: Some(uid.into()), ..self }
    }

    /// Returns what stands in the Secret where nothing is remembered yet.
    pub fn blank(&self) -> Contents {
        write(self.head(&self.memory), &self.lists, &self.journal)
    }

    fn head(&self, memory: &Memory) -> Head {
        Head {
            environment: self.environment.clone(),
            uid: self.uid.clone(),
            budgets: memory.budgets.clone(),
            drift: memory.drift.clone(),
            followed: memory.followed.clone(),
            region: memory.region.clone(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Reads what a document and its pieces say. A ledger that is damaged says nothing, which is no evidence of anything, and
    /// the damage is named. Anything else that is damaged is an error: what apps were to be must not be guessed.
    pub fn read(
        document: Document,
        pieces: &BTreeMap<Digest, Result<Piece, Damage>>,
    ) -> Result<(Self, Option<Damage>), Damage> {
        let fetch = |list: &Pieces| -> Result<Vec<Piece>, Damage> {
            let piece =
                |name: &Digest| pieces.get(name).cloned().unwrap_or(Err(Damage::Missing(name.clone())));
            list.names().map(piece).collect()
        };
        let there = Arc::new(document.needs().into_iter().cloned().collect());
        let Document { head, lists, journal, apps } = document;
        let Head { environment, uid, budgets, drift, followed, region } = head;
        let ledger = fetch(&lists.ledger).and_then(|stored| read_ledger(&lists.ledger, &stored));
        let (ledger, damage) = match ledger {
            Ok(ledger) => (ledger, None),
            Err(damage) => (super::Ledger::default(), Some(damage)),
        };
        let anew = damage.is_some() || apps.is_some();
        let apps = apps.unwrap_or_default().into_iter().map(|(name, app)| (name, Arc::new(app))).collect();
        let mut memory = Memory { apps, ledger, budgets, drift, followed, region };
        for list in std::iter::once(&lists.apps).chain(&lists.runs) {
            let mut patch = Patch::default();
            let lines = unpack(list, &fetch(list)?)?;
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                patch.read_line(line)?;
            }
            patch.apply(&mut memory)?;
        }
        journal.patch.apply(&mut memory)?;
        let mut log = Self {
            environment,
            uid,
            memory: Arc::new(memory),
            lists,
            journal,
            there,
            anew,
            limits: Limits::default(),
        };
        let needed = log.needed();
        log.there = Arc::new(&*log.there | &needed);
        Ok((log, damage))
    }

    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Returns what an app wanted where it stands in the journal, and nothing where it stands in pieces.
    pub fn fresh(&self, app: &AppName, good: &Good) -> Option<Arc<[u8]>> {
        match good.pieces.first() {
            Some(_) => None,
            None => {
                Some(self.journal.fresh.get(&(app.clone(), good.digest.clone())).cloned().unwrap_or_default())
            }
        }
    }

    /// Lists every piece that is needed.
    pub fn needed(&self) -> BTreeSet<Digest> {
        let mut names = self.memory.pieces();
        names.extend(self.lists.all().flat_map(Pieces::names).cloned());
        names
    }

    pub fn is_there(&self, piece: &Digest) -> bool {
        self.there.contains(piece)
    }

    /// Notes that pieces exist.
    pub fn note_there<'a>(&mut self, pieces: impl IntoIterator<Item = &'a Digest>) {
        Arc::make_mut(&mut self.there).extend(pieces.into_iter().cloned());
    }

    /// Decides what to write to save changes, in their order; nothing where nothing changes. Objects whose pieces are
    /// `damaged` are stored anew where a change brings them again.
    pub fn save(&self, changes: &[&Prepared], damaged: &BTreeSet<Digest>) -> Option<Writes> {
        self.drafted(changes, damaged).map(|draft| self.settle(draft, false))
    }

    /// Applies changes; nothing where they change nothing.
    fn drafted(&self, changes: &[&Prepared], damaged: &BTreeSet<Digest>) -> Option<Draft> {
        let mut draft = self.draft();
        for prepared in changes {
            match prepared.change.to_store() {
                None => draft.memory.apply(&prepared.change, &|_, _| Pieces::default()),
                Some((wanted, _)) => {
                    let pieces = draft.place(wanted, prepared.packed.as_ref(), damaged);
                    draft.memory.apply(&prepared.change, &|_, _| pieces.clone());
                    if let Some(app) = draft.memory.apps.get_mut(&wanted.app) {
                        Arc::make_mut(app).place(&wanted.digest, &pieces);
                    }
                }
            }
        }
        let nothing = draft.puts.is_empty()
            && self.memory.budgets == draft.memory.budgets
            && self.memory.drift == draft.memory.drift
            && self.memory.followed == draft.memory.followed
            && self.memory.region == draft.memory.region
            && Patch::between(&self.memory, &draft.memory).is_empty();
        (!nothing).then_some(draft)
    }

    /// Says whether all of this is remembered already.
    pub fn says_nothing_new(&self, changes: &[&Prepared], damaged: &BTreeSet<Digest>) -> bool {
        self.drafted(changes, damaged).is_none()
    }

    /// Finds shared lists of which little is needed any more, once there are enough of them to be written anew.
    pub fn thin(&self) -> Vec<Pieces> {
        let mut shared: BTreeMap<&Digest, (&Pieces, BTreeMap<usize, usize>)> = BTreeMap::new();
        for good in self.memory.apps.values().flat_map(|app| app.goods()) {
            if let (Some((from, length)), Some(first)) = (good.pieces.part(), good.pieces.first()) {
                shared.entry(first).or_insert((&good.pieces, BTreeMap::new())).1.insert(from, length);
            }
        }
        let is_thin = |(list, parts): &(&Pieces, BTreeMap<usize, usize>)| {
            let needed: usize = parts.values().sum();
            needed < self.limits.thin || needed < list.bytes() / 2
        };
        let thin: Vec<Pieces> =
            shared.into_values().filter(is_thin).take(THIN_AT_ONCE).map(|(list, _)| list.clone()).collect();
        if thin.len() < self.limits.thin_together { Vec::new() } else { thin }
    }

    /// Decides what to write to move what is still needed of some lists into new pieces, given all that they hold.
    pub fn gather(&self, lists: &[(Pieces, Vec<u8>)]) -> Option<Writes> {
        let mut draft = self.draft();
        for (list, all) in lists {
            for (name, app) in &mut draft.memory.apps {
                let same = |good: &&Good| good.pieces.part().is_some() && good.pieces.first() == list.first();
                let goods: Vec<Good> = app.goods().filter(same).cloned().collect();
                for good in goods {
                    let Ok(lines) = good.pieces.part_of(all) else { continue };
                    draft.fresh.insert((name.clone(), good.digest.clone()), lines.into());
                    Arc::make_mut(app).place(&good.digest, &Pieces::none_yet(lines.len()));
                }
            }
        }
        if draft.fresh.len() == self.journal.fresh.len() { None } else { Some(self.settle(draft, true)) }
    }

    fn draft(&self) -> Draft {
        Draft { memory: (*self.memory).clone(), fresh: self.journal.fresh.clone(), puts: Vec::new() }
    }

    fn settle(&self, draft: Draft, gathers: bool) -> Writes {
        let Draft { mut memory, fresh, mut puts } = draft;
        // Where all is written anew, all of it is otherwise than nothing.
        let nothing = Memory::default();
        let (mut lists, base, older) = match self.anew {
            true => (Lists::default(), &nothing, Patch::default()),
            false => (self.lists.clone(), &*self.memory, self.journal.patch.clone()),
        };
        let patch = |memory: &Memory| older.clone().then(Patch::between(base, memory));
        let mut journal = Journal { patch: patch(&memory), fresh };
        journal.forget_unneeded(&memory);
        let mut contents = write(self.head(&memory), &lists, &journal);
        let full = contents.journal.len() > self.limits.journal;
        let moves = gathers || full;
        if moves {
            puts.extend(journal.put_into_pieces(&mut memory));
            journal.patch = patch(&memory);
            contents = write(self.head(&memory), &lists, &journal);
            // With room for what comes, so that the next save does not find it full again.
            if contents.journal.len() > self.limits.journal / 2 {
                puts.extend(add_run(&mut lists, &journal.patch, &memory, self.limits.merge_from));
                journal = Journal::default();
                contents = write(self.head(&memory), &lists, &journal);
            }
        }
        let mut log = Self {
            environment: self.environment.clone(),
            uid: self.uid.clone(),
            lists,
            journal,
            there: self.there.clone(),
            anew: false,
            memory: Arc::new(memory),
            limits: self.limits,
        };
        log.note_there(puts.iter().map(|piece| &piece.name));
        let mut drops = BTreeSet::new();
        if moves || self.anew || self.drops_pieces_of_their_own(&log.memory) {
            let needed = log.needed();
            drops = &*log.there - &needed;
            log.there = Arc::new(needed);
        }
        Writes { puts, contents, drops, log }
    }

    /// Says whether an app lets go of pieces of its own: they are long, so they are dropped at once and not when the journal
    /// is full.
    fn drops_pieces_of_their_own(&self, next: &Memory) -> bool {
        let own = |memory: &Memory, name: &AppName| -> BTreeSet<Digest> {
            let goods = memory.apps.get(name).into_iter().flat_map(|app| app.goods());
            let alone = goods.filter(|good| good.pieces.part().is_none());
            alone.flat_map(|good| good.pieces.names().cloned()).collect()
        };
        self.memory.apps.iter().any(|(name, app)| {
            let same = next.apps.get(name).is_some_and(|next| Arc::ptr_eq(next, app));
            !same && !own(&self.memory, name).is_subset(&own(next, name))
        })
    }
}

/// Makes a run of a full journal, or merges everything where the runs have outgrown what they change.
fn add_run(lists: &mut Lists, patch: &Patch, memory: &Memory, merge_from: usize) -> Vec<Piece> {
    let lines = patch.lines().map(|line| (Digest::of(&line), line));
    let (run, made) = pack(lines);
    lists.runs.push(run);
    let runs: usize = lists.runs.iter().map(Pieces::bytes).sum();
    if runs <= merge_from.max(lists.apps.bytes() + lists.ledger.bytes()) {
        return made;
    }
    let apps =
        memory.apps.iter().map(|(name, app)| (Digest::of_parts([name.as_str()]), whole_line(name, app)));
    let (apps, mut made) = pack(apps);
    let (ledger, more) = write_ledger(&memory.ledger);
    made.extend(more);
    *lists = Lists { apps, ledger, runs: Vec::new() };
    made
}

/// A memory that is about to be saved.
struct Draft {
    memory: Memory,
    fresh: Fresh,
    puts: Vec<Piece>,
}

impl Draft {
    /// Decides where what an app wants is to stand. What is stored already is not stored twice.
    fn place(&mut self, wanted: &WantedApp, packed: Option<&Packed>, damaged: &BTreeSet<Digest>) -> Pieces {
        let whole = |good: &&Good| {
            good.digest == wanted.digest && !good.pieces.names().any(|name| damaged.contains(name))
        };
        let known = self.memory.apps.get(&wanted.app).and_then(|app| app.goods().find(whole));
        if let Some(known) = known {
            return known.pieces.clone();
        }
        let packed = packed.cloned().unwrap_or_else(|| Packed::of(wanted));
        match packed {
            Packed::Together(lines) => {
                let pieces = Pieces::none_yet(lines.len());
                self.fresh.insert((wanted.app.clone(), wanted.digest.clone()), lines);
                pieces
            }
            Packed::Alone(pieces, made) => {
                self.puts.extend(made);
                pieces
            }
        }
    }
}
