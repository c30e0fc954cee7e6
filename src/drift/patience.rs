//! When what others change again and again is put back.
//!
//! The first time at once. Whoever changes the same field once more is met a little later each time, so that two programs
//! that want different things cost less and less, and a person who tries something is still corrected within a second.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::object::ObjectKey;
use crate::rollout::later;

/// The pause after the first time; it doubles with each.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_millis(100);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// More than so many times within this time are a fight.
const OFTEN: usize = 3;
const WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Two that want different things of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Fight {
    pub key: ObjectKey,
    /// As people write it; empty where the object itself comes and goes.
    pub field: String,
    /// Who changed it, as far as the object says.
    pub managers: Vec<String>,
    /// How often it was put back since it began.
    pub times: u32,
    pub since: Timestamp,
}

impl Fight {
    /// What it is about: `Deployment.apps web/web (.spec.replicas)`.
    pub fn subject(&self) -> String {
        match self.field.is_empty() {
            true => self.key.to_string(),
            false => format!("{} (.{})", self.key, self.field),
        }
    }
}

/// `Deployment.apps web/web (.spec.replicas): "robot" sets it again and again; put back 4 times since …`
impl fmt::Display for Fight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, managers, times, since, .. } = self;
        let since = since.round(jiff::Unit::Second).unwrap_or(*since);
        let names: Vec<String> = managers.iter().map(|name| format!("{name:?}")).collect();
        let who = if names.is_empty() { "somebody".to_owned() } else { names.join(" and ") };
        let does = match (field.is_empty(), names.len() > 1) {
            (true, false) => "deletes",
            (true, true) => "delete",
            (false, false) => "changes",
            (false, true) => "change",
        };
        write!(f, "{}: {who} {does} it again and again; put back {times} times since {since}", self.subject())
    }
}

/// What was put back lately.
#[derive(Debug, Default)]
pub struct Patience {
    fields: BTreeMap<(ObjectKey, String), Contested>,
}

#[derive(Debug)]
struct Contested {
    since: Timestamp,
    times: u32,
    /// When it was put back, within the time that counts, and who had changed it, where that is known.
    recent: VecDeque<(Timestamp, Option<String>)>,
    is_fight: bool,
    /// Who changed it too often.
    fighters: BTreeSet<String>,
}

impl Contested {
    fn last(&self) -> Timestamp {
        self.recent.back().map_or(self.since, |(at, _)| *at)
    }

    /// How long it is left alone.
    fn pause(&self) -> SignedDuration {
        let doublings = self.times.saturating_sub(1).min(20);
        FIRST_PAUSE.checked_mul(1 << doublings).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
    }

    fn fight(&self, (key, field): &(ObjectKey, String)) -> Fight {
        Fight {
            key: key.clone(),
            field: field.clone(),
            managers: self.fighters.iter().cloned().collect(),
            times: self.times,
            since: self.since,
        }
    }
}

impl Patience {
    /// From when on a field may be put back; nothing where it may at once.
    pub fn due(&self, key: &ObjectKey, field: &str, now: Timestamp) -> Option<Timestamp> {
        let contested = self.fields.get(&(key.clone(), field.to_owned()))?;
        Some(later(contested.last(), contested.pause())).filter(|due| *due > now)
    }

    /// Takes that a field is put back. Says so where that makes it a fight.
    pub fn note_healed(
        &mut self,
        key: &ObjectKey,
        field: &str,
        manager: Option<String>,
        now: Timestamp,
    ) -> Option<Fight> {
        let name = (key.clone(), field.to_owned());
        let contested = self.fields.entry(name.clone()).or_insert_with(|| Contested {
            since: now,
            times: 0,
            recent: VecDeque::new(),
            is_fight: false,
            fighters: BTreeSet::new(),
        });
        contested.times = contested.times.saturating_add(1);
        contested.recent.push_back((now, manager.clone()));
        while contested.recent.front().is_some_and(|(at, _)| later(*at, WITHIN) <= now) {
            contested.recent.pop_front();
        }
        let often = contested.recent.iter().filter(|(_, who)| *who == manager).count() > OFTEN;
        let begins = often && !contested.is_fight;
        contested.is_fight |= often;
        contested.fighters.extend(manager.filter(|_| often));
        begins.then(|| contested.fight(&name))
    }

    /// Forgets what nobody changed for long enough. Says which fights ended.
    pub fn forget_quiet(&mut self, now: Timestamp) -> Vec<Fight> {
        let mut ended = Vec::new();
        self.fields.retain(|name, contested| {
            let is_quiet = later(contested.last(), WITHIN) <= now;
            if is_quiet && contested.is_fight {
                ended.push(contested.fight(name));
            }
            !is_quiet
        });
        ended
    }

    /// When the next of them is quiet for long enough.
    pub fn next_quiet(&self) -> Option<Timestamp> {
        self.fields.values().filter(|found| found.is_fight).map(|found| later(found.last(), WITHIN)).min()
    }

    /// The fights that go on.
    pub fn fights(&self) -> impl Iterator<Item = Fight> {
        let going = self.fields.iter().filter(|(_, contested)| contested.is_fight);
        going.map(|(name, contested)| contested.fight(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    fn key() -> ObjectKey {
        ObjectKey::new("apps", "Deployment", Some("web"), "web")
    }

    /// Somebody who changes a field at once, each time that it is put back, for so long.
    fn contest(patience: &mut Patience, seconds: i64) -> (u32, Vec<Fight>) {
        let (mut now, mut healed, mut told) = (at(0), 0, Vec::new());
        while now < at(seconds * 1000) {
            healed += 1;
            assert!(healed < 1000, "it is put back without a pause");
            told.extend(patience.note_healed(&key(), "spec.replicas", Some("robot".to_owned()), now));
            now = patience.due(&key(), "spec.replicas", now).unwrap_or(now);
        }
        (healed, told)
    }

    #[test]
    fn who_comes_back_each_time_is_met_ever_later_and_told_once() {
        let mut patience = Patience::default();
        assert_eq!(patience.due(&key(), "spec.replicas", at(0)), None, "at first at once");
        let (healed, told) = contest(&mut patience, 30);
        assert_eq!(healed, 9);
        let fight = Fight {
            key: key(),
            field: "spec.replicas".into(),
            managers: vec!["robot".into()],
            times: 4,
            since: at(0),
        };
        assert_eq!(told, [fight]);
        let (in_a_day, told) = contest(&mut Patience::default(), 24 * 3600);
        assert!((290..310).contains(&in_a_day), "every five minutes: {in_a_day}");
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn a_person_is_corrected_within_a_second_three_times() {
        let mut patience = Patience::default();
        for n in 0..3 {
            let now = at(n * 60_000);
            assert_eq!(patience.due(&key(), "spec.replicas", now), None);
            assert_eq!(patience.note_healed(&key(), "spec.replicas", None, now), None);
        }
        assert_eq!(patience.due(&key(), "spec.paused", at(120_000)), None, "another field is another matter");
        assert!(patience.note_healed(&key(), "spec.replicas", None, at(180_000)).is_some());
    }

    #[test]
    fn a_fight_ends_by_itself_and_begins_anew() {
        let mut patience = Patience::default();
        let (_, told) = contest(&mut patience, 3);
        assert_eq!((told.len(), patience.fights().count()), (1, 1));
        let quiet = patience.next_quiet().unwrap();
        assert_eq!(patience.forget_quiet(later(quiet, SignedDuration::from_millis(-1))), []);
        let ended = patience.forget_quiet(quiet);
        assert_eq!((ended.len(), patience.fights().count(), patience.next_quiet()), (1, 0, None));
        assert_eq!(patience.due(&key(), "spec.replicas", quiet), None, "it is met at once again");
        assert_eq!(contest(&mut patience, 3).1.len(), 1);
    }

    #[test]
    fn many_who_change_it_once_are_no_fight() {
        let mut patience = Patience::default();
        for n in 0..8 {
            let who = Some(format!("person {}", n % 4));
            assert_eq!(patience.note_healed(&key(), "spec.replicas", who, at(n * 60_000)), None, "{n}");
        }
    }

    #[test]
    fn rare_changes_are_no_fight() {
        let mut patience = Patience::default();
        for n in 0..100 {
            let now = at(n * 200_001);
            patience.forget_quiet(now);
            assert_eq!(patience.note_healed(&key(), "", None, now), None, "{n}");
        }
    }
}
