//! Who changed something: drift and the writes of an audit log, brought together.
//!
//! The two come by different ways, either first. A write is that of a change where it is of the same object, by the same
//! manager and through the same subresource as the object says, at the time that the object says, not later than what was
//! seen, and not before we wrote the object ourselves. Where that is true of the writes of two people, nobody is named: a
//! person is never guessed, and never from the name of a manager.

use std::collections::{BTreeSet, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::audit::{AuditedWrite, ResourceName, WriteKind};
use crate::object::{DriftClass, DriftRecord, FieldHolder, Principal};
use crate::rollout::later;

/// For so long writes are kept, and records wait for theirs: an API server sends its log every 30 s, and again for some
/// minutes where it was not taken.
const KEPT: SignedDuration = SignedDuration::from_mins(10);
/// So many of each. A write takes some 500 bytes.
const WRITES: usize = 10_000;
const WAITING: usize = 5_000;
/// Times in `managedFields` are whole seconds; the server writes them while it works on a request.
const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// Of a field that nobody holds any more it is not known when it went: so long before it was seen,
const BEFORE: SignedDuration = SignedDuration::from_secs(60);
/// or after it, as clocks differ.
const AFTER: SignedDuration = SignedDuration::from_secs(5);
/// Where the order of two things counts, clocks are taken to differ by no more.
const APART: SignedDuration = SignedDuration::from_secs(2);

/// A change, as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sought {
    pub object: ResourceName,
    pub record: DriftRecord,
    /// The version of the object in which it was seen.
    pub version: Option<Box<str>>,
    /// Who holds the field now, by the object's own word.
    pub holder: Option<FieldHolder>,
}

/// What is known of who it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Named {
    Nobody,
    One(Principal),
    /// It can have been any of these.
    Several(BTreeSet<String>),
}

/// Writes that may be of a change, and changes that wait for theirs.
#[derive(Debug, Default)]
pub struct Principals {
    writes: HashMap<ResourceName, VecDeque<AuditedWrite>>,
    written: VecDeque<(Timestamp, ResourceName)>,
    waiting: HashMap<ResourceName, VecDeque<Waiting>>,
    waits: VecDeque<(Timestamp, ResourceName)>,
}

#[derive(Debug)]
struct Waiting {
    sought: Sought,
    named: Named,
}

impl Principals {
    /// Who changed something, as far as it is known by now. It waits for what comes later.
    pub fn ask(&mut self, sought: Sought, now: Timestamp) -> Named {
        self.forget_old(now);
        let named = match self.writes.get_mut(&sought.object) {
            Some(writes) => sought.named(writes.make_contiguous()),
            None => Named::Nobody,
        };
        let object = sought.object.clone();
        self.waiting.entry(object.clone()).or_default().push_back(Waiting { sought, named: named.clone() });
        self.waits.push_back((now, object));
        if self.waits.len() > WAITING {
            self.drop_oldest_wait();
        }
        named
    }

    /// Takes writes. Answers what is known more by them: records that add nothing but the person, or that it is not known
    /// after all.
    pub fn hear(&mut self, writes: Vec<AuditedWrite>, now: Timestamp) -> Vec<DriftRecord> {
        self.forget_old(now);
        let mut touched: Vec<ResourceName> = Vec::new();
        for write in writes {
            let object = write.object.clone();
            self.writes.entry(object.clone()).or_default().push_back(write);
            self.written.push_back((now, object.clone()));
            if self.written.len() > WRITES {
                self.drop_oldest_write();
            }
            if self.waiting.contains_key(&object) && !touched.contains(&object) {
                touched.push(object);
            }
        }
        let mut news = Vec::new();
        for object in touched {
            let Some(known) = self.writes.get_mut(&object) else { continue };
            let known = known.make_contiguous();
            for waiting in self.waiting.get_mut(&object).into_iter().flatten() {
                let named = waiting.sought.named(known);
                if named != waiting.named
                    && let Some(principal) = named.principal()
                {
                    news.push(addition(&waiting.sought.record, principal));
                }
                waiting.named = named;
            }
        }
        news
    }

    /// How many writes and how many changes are kept.
    pub fn size(&self) -> (usize, usize) {
        (self.written.len(), self.waits.len())
    }

    fn forget_old(&mut self, now: Timestamp) {
        let is_old =
            |front: Option<&(Timestamp, ResourceName)>| front.is_some_and(|(at, _)| later(*at, KEPT) < now);
        while is_old(self.written.front()) {
            self.drop_oldest_write();
        }
        while is_old(self.waits.front()) {
            self.drop_oldest_wait();
        }
    }

    fn drop_oldest_write(&mut self) {
        if let Some((_, object)) = self.written.pop_front() {
            drop_first(&mut self.writes, &object);
        }
    }

    fn drop_oldest_wait(&mut self) {
        if let Some((_, object)) = self.waits.pop_front() {
            drop_first(&mut self.waiting, &object);
        }
    }
}

fn drop_first<T>(all: &mut HashMap<ResourceName, VecDeque<T>>, object: &ResourceName) {
    if let Some(of) = all.get_mut(object) {
        of.pop_front();
        if of.is_empty() {
            all.remove(object);
        }
    }
}

/// A record of which nothing counts but who it was. It is older than the one that it is added to, so that it says nothing
/// of how things stand.
fn addition(record: &DriftRecord, principal: Principal) -> DriftRecord {
    DriftRecord {
        count: 0,
        last_seen: later(record.first_seen, SignedDuration::from_millis(-1)),
        principal: Some(principal),
        ..record.clone()
    }
}

impl Named {
    /// As a record has it. Of several no groups or addresses are told.
    pub fn principal(&self) -> Option<Principal> {
        match self {
            Self::Nobody => None,
            Self::One(principal) => Some(principal.clone()),
            Self::Several(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Some(Principal { user: format!("unknown: {}", names.join(" or ")), ..Principal::default() })
            }
        }
    }
}

impl Sought {
    /// Who it was, by these writes of the same name.
    fn named(&self, writes: &[AuditedWrite]) -> Named {
        // What was changed before we wrote the object is not there any more. That we put it back comes soon after it was
        // seen, and clocks differ: only what is earlier for certain counts.
        let before = later(self.record.first_seen, -APART);
        let ours = writes.iter().filter(|write| write.is_ours() && write.kind == WriteKind::Change);
        let ours = ours.filter(|write| write.done < before).map(|write| write.received).max();
        let fitting: Vec<&AuditedWrite> = writes
            .iter()
            .filter(|write| self.fits(write) && ours.is_none_or(|ours| write.done >= ours))
            .collect();
        let names: BTreeSet<&str> = fitting.iter().map(|write| &*write.by.user).collect();
        match (names.len(), fitting.last()) {
            (1, Some(write)) => Named::One(write.by.clone()),
            (0, _) | (_, None) => Named::Nobody,
            _ => Named::Several(names.into_iter().map(str::to_owned).collect()),
        }
    }

    /// The latest moment at which it can have happened.
    fn latest(&self) -> Timestamp {
        later(self.record.first_seen, AFTER)
    }

    fn fits(&self, write: &AuditedWrite) -> bool {
        let is_deleted = self.record.class == DriftClass::Deleted;
        let is_same_uid = match &write.uid {
            Some(uid) if !self.record.uid.is_empty() => **uid == *self.record.uid,
            _ => true,
        };
        !write.is_ours()
            && is_same_uid
            && is_deleted == (write.kind == WriteKind::Delete)
            && write.received <= self.latest()
            && self.is_seen_after(write)
            && match &self.holder {
                Some(holder) if !is_deleted => is_by(holder, write),
                _ => write.done >= later(self.record.first_seen, -BEFORE),
            }
    }

    /// Whether what was seen can have been what this write left.
    fn is_seen_after(&self, write: &AuditedWrite) -> bool {
        let number = |version: &Option<Box<str>>| version.as_ref()?.parse::<u64>().ok();
        match (number(&self.version), number(&write.version)) {
            (Some(seen), Some(left)) => left <= seen,
            _ => true,
        }
    }
}

/// Whether a write is that by which a holder came to hold a field.
fn is_by(holder: &FieldHolder, write: &AuditedWrite) -> bool {
    let at = holder.time.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
    let is_then =
        at.is_none_or(|at| write.received <= later(at, SECOND + SECOND) && later(write.done, SECOND) >= at);
    *holder.manager == *write.manager && *holder.subresource == *write.subresource && is_then
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{DriftAction, EnvironmentName, ObjectKey, RecordId};

    fn at(text: &str) -> Timestamp {
        format!("2026-11-30T{text}Z").parse().unwrap()
    }

    fn name() -> ResourceName {
        ResourceName {
            group: "apps".into(),
            resource: "deployments".into(),
            namespace: "web".into(),
            name: "web".into(),
        }
    }

    /// The replicas, seen at 12:00:01, held by kubectl-edit since 12:00:00.
    fn sought() -> Sought {
        let seen = at("12:00:01.200");
        let record = DriftRecord {
            id: RecordId::new(seen, 0),
            cluster: String::new(),
            environment: EnvironmentName::new("dev").unwrap(),
            app: None,
            revision: None,
            object: ObjectKey::new("apps", "Deployment", Some("web"), "web"),
            uid: "u".into(),
            path: "/spec/replicas".into(),
            desired: None,
            live: None,
            class: DriftClass::Changed,
            cause: None,
            manager: "kubectl-edit".into(),
            operation: None,
            subresource: None,
            principal: None,
            first_seen: seen,
            last_seen: seen,
            count: 1,
            action: DriftAction::Healed,
            rule: None,
            result: None,
            latency_ms: None,
            closed: None,
        };
        let holder = FieldHolder {
            manager: "kubectl-edit".into(),
            operation: "Update".into(),
            subresource: String::new(),
            time: Some("2026-11-30T12:00:00Z".into()),
        };
        Sought { object: name(), record, version: Some("50".into()), holder: Some(holder) }
    }

    fn write(user: &str, received: &str) -> AuditedWrite {
        let received = at(received);
        AuditedWrite {
            kind: WriteKind::Change,
            object: name(),
            uid: None,
            subresource: "".into(),
            version: None,
            manager: "kubectl-edit".into(),
            received,
            done: later(received, SignedDuration::from_millis(40)),
            by: Principal {
                user: user.into(),
                source_address: Some("10.0.0.7".into()),
                ..Principal::default()
            },
        }
    }

    fn user(named: &Named) -> &str {
        match named {
            Named::Nobody => "nobody",
            Named::One(principal) => &principal.user,
            Named::Several(_) => "several",
        }
    }

    #[test]
    fn one_write_that_fits_names_its_user_and_others_do_not() {
        let ada = || write("ada", "12:00:00.500");
        let table: &[(&str, AuditedWrite, &str)] = &[
            ("it fits", ada(), "ada"),
            (
                "by another manager",
                AuditedWrite { manager: "kubectl-client-side-apply".into(), ..ada() },
                "nobody",
            ),
            ("through a subresource", AuditedWrite { subresource: "scale".into(), ..ada() }, "nobody"),
            (
                "of an object of that name that was before",
                AuditedWrite { uid: Some("other".into()), ..ada() },
                "nobody",
            ),
            ("of this object by its uid", AuditedWrite { uid: Some("u".into()), ..ada() }, "ada"),
            ("ten seconds before", write("ada", "11:59:50"), "nobody"),
            ("ten seconds after", write("ada", "12:00:10"), "nobody"),
            ("that began in the second before", write("ada", "11:59:59.900"), "ada"),
            (
                "of a later version than was seen",
                AuditedWrite { version: Some("51".into()), ..ada() },
                "nobody",
            ),
            ("of the version that was seen", AuditedWrite { version: Some("50".into()), ..ada() }, "ada"),
            (
                "of an earlier version, with another's after it",
                AuditedWrite { version: Some("49".into()), ..ada() },
                "ada",
            ),
            ("a delete", AuditedWrite { kind: WriteKind::Delete, ..ada() }, "nobody"),
            ("our own", AuditedWrite { manager: "fairlead".into(), ..ada() }, "nobody"),
        ];
        for (what, write, expected) in table {
            assert_eq!(user(&sought().named(std::slice::from_ref(write))), *expected, "{what}");
        }
        assert_eq!(sought().named(&[]), Named::Nobody);
    }

    #[test]
    fn where_it_can_have_been_two_nobody_is_named() {
        let two = [write("ada", "12:00:00.100"), write("bob", "12:00:00.700")];
        let named = sought().named(&two);
        assert_eq!(named.principal().map(|who| who.user).as_deref(), Some("unknown: ada or bob"));
        assert_eq!(named.principal().and_then(|who| who.source_address), None);
        let twice = [write("ada", "12:00:00.100"), write("ada", "12:00:00.700")];
        assert_eq!(user(&sought().named(&twice)), "ada");
        // Versions tell them apart where answers are logged.
        let [ada, bob] = two;
        let told = [
            AuditedWrite { version: Some("50".into()), ..ada },
            AuditedWrite { version: Some("51".into()), ..bob },
        ];
        assert_eq!(user(&sought().named(&told)), "ada");
    }

    #[test]
    fn what_was_before_our_own_write_is_not_what_is_there_now() {
        let gone = Sought { holder: None, ..sought() };
        let ours = |received| AuditedWrite { manager: "fairlead".into(), ..write("agent", received) };
        let (ada, bob) = (|| write("ada", "11:59:50"), || write("bob", "12:00:00.700"));
        assert_eq!(user(&gone.named(&[ada(), ours("11:59:55"), bob()])), "bob");
        assert_eq!(user(&gone.named(&[ada(), bob()])), "several");
        // That it is put back is no reason not to name who it was, though clocks differ a little.
        assert_eq!(user(&gone.named(&[bob(), ours("12:00:01.300")])), "bob");
        assert_eq!(user(&gone.named(&[bob(), ours("12:00:01.100")])), "bob");
        assert_eq!(user(&sought().named(&[bob(), ours("12:00:01.100")])), "bob");
    }

    #[test]
    fn of_a_field_that_is_gone_time_alone_tells() {
        let gone = Sought { holder: None, ..sought() };
        let by = |manager: &str, received| AuditedWrite { manager: manager.into(), ..write("ada", received) };
        for (write, expected) in [
            (by("anything", "11:59:30"), "ada"),
            (by("anything", "11:59:00"), "nobody"),
            (by("anything", "12:00:05"), "ada"),
            (by("anything", "12:00:07"), "nobody"),
        ] {
            assert_eq!(user(&gone.named(std::slice::from_ref(&write))), expected, "{write:?}");
        }
    }

    #[test]
    fn who_deleted_an_object_is_who_asked_for_its_end() {
        let mut deleted = Sought { holder: None, version: None, ..sought() };
        deleted.record.class = DriftClass::Deleted;
        deleted.record.uid.clear();
        let delete =
            AuditedWrite { kind: WriteKind::Delete, uid: Some("u".into()), ..write("ada", "12:00:00.500") };
        let writes = [write("bob", "12:00:00.100"), delete];
        assert_eq!(user(&deleted.named(&writes)), "ada");
    }

    #[test]
    fn a_write_that_comes_before_or_after_the_record_names_it() {
        let now = at("12:00:02");
        let mut principals = Principals::default();
        assert_eq!(principals.hear(vec![write("ada", "12:00:00.500")], now), []);
        assert_eq!(user(&principals.ask(sought(), now)), "ada");
        let mut principals = Principals::default();
        assert_eq!(principals.ask(sought(), now), Named::Nobody);
        let news = principals.hear(vec![write("ada", "12:00:00.500")], at("12:00:32"));
        assert_eq!(news.len(), 1);
        // It adds the person and nothing else, whatever became of the record meanwhile.
        let mut record = sought().record;
        let mut over = record.clone();
        (over.count, over.closed, over.last_seen) = (0, Some(now), now);
        record.absorb(over);
        assert!(record.continues_with(&news[0]));
        let mut named = record.clone();
        named.absorb(news[0].clone());
        assert_eq!(named.principal.as_ref().map(|who| &*who.user), Some("ada"));
        named.principal = None;
        named.first_seen = record.first_seen;
        assert_eq!(named, record);
        // The same again is no news; another who may have done it is.
        assert_eq!(principals.hear(vec![write("ada", "12:00:00.500")], at("12:00:33")), []);
        let news = principals.hear(vec![write("bob", "12:00:00.600")], at("12:00:34"));
        assert_eq!(news[0].principal.as_ref().map(|who| &*who.user), Some("unknown: ada or bob"));
    }

    #[test]
    fn it_keeps_no_more_than_there_is_room_for_and_nothing_for_ever() {
        let mut principals = Principals::default();
        let now = at("12:00:02");
        for n in 0..WRITES + 500 {
            let mut write = write("ada", "12:00:00.500");
            write.object.name = format!("n{}", n % 700).into();
            principals.hear(vec![write], now);
            if n < WAITING + 500 {
                let mut sought = sought();
                sought.object.name = format!("w{n}").into();
                principals.ask(sought, now);
            }
        }
        assert_eq!(principals.size(), (WRITES, WAITING));
        assert_eq!(principals.writes.values().map(VecDeque::len).sum::<usize>(), WRITES);
        principals.hear(Vec::new(), at("12:10:03"));
        assert_eq!(principals.size(), (0, 0));
        assert!(principals.writes.is_empty() && principals.waiting.is_empty());
    }
}
