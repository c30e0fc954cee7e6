//! What others added under what git sets, where a rule asks to be told: each value once, and once that it is gone.
//!
//! Who holds what of an object is not kept: that something of it changed shows in [`Live::others`], and then it is looked at
//! anew, though not more often than [`LOOK_PAUSE`] lets.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::reported::Over;
use crate::delivery::action::later;
use crate::drift::{DriftEnd, Drifted, DriftedField};
use crate::object::{Live, ObjectKey};
use crate::plan::Wanted;

/// An object to which others add all the time costs one request in so long.
const LOOK_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// What others added to the objects of an app.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Extras(BTreeMap<ObjectKey, Extra>);

#[derive(Debug)]
struct Extra {
    wanted: Arc<Wanted>,
    state: State,
    /// How it was when somebody was sent to look.
    asked: Option<State>,
    /// How it was when it was looked at last, and when that was.
    looked: Option<(State, Timestamp)>,
    /// What was told, and since when.
    told: Vec<(DriftedField, Timestamp)>,
}

/// By what it is seen that something may have been added since.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::delivery) struct State {
    uid: Box<str>,
    others: u64,
    rules: u64,
}

impl State {
    pub fn of(live: &Live, rules: u64) -> Self {
        Self { uid: live.uid.clone(), others: live.others, rules }
    }
}

impl Extras {
    /// Takes of which objects is to be told. Of all others nothing is any more.
    pub fn take(&mut self, now: impl Iterator<Item = (Arc<Wanted>, State)>) -> Vec<Over> {
        let mut before = std::mem::take(&mut self.0);
        for (wanted, state) in now {
            let key = wanted.key.clone();
            let extra = match before.remove(&key) {
                Some(known) if known.state.uid == state.uid => Extra { wanted, state, ..known },
                other => {
                    if let Some(other) = other {
                        before.insert(key.clone(), other);
                    }
                    Extra { wanted, state, asked: None, looked: None, told: Vec::new() }
                }
            };
            self.0.insert(key, extra);
        }
        before.into_iter().flat_map(|(key, extra)| extra.end(&key)).collect()
    }

    /// What is to be looked at now, or when.
    pub fn look(&mut self, now: Timestamp) -> Result<Vec<Arc<Wanted>>, Option<Timestamp>> {
        let (mut due, mut again): (Vec<_>, Option<Timestamp>) = (Vec::new(), None);
        for extra in self.0.values_mut() {
            let wait = match &extra.looked {
                None => None,
                Some((state, _)) if *state == extra.state => continue,
                Some((_, at)) => Some(later(*at, LOOK_PAUSE)).filter(|at| *at > now),
            };
            match wait {
                Some(at) => again = Some(again.map_or(at, |known| known.min(at))),
                None => {
                    extra.asked = Some(extra.state.clone());
                    due.push(extra.wanted.clone());
                }
            }
        }
        if due.is_empty() { Err(again) } else { Ok(due) }
    }

    /// Takes what was seen of all that was asked for. Says what of it is new, and what is over.
    pub fn seen(&mut self, seen: Vec<Drifted>, now: Timestamp) -> (Vec<Drifted>, Vec<Over>) {
        let (mut news, mut over) = (Vec::new(), Vec::new());
        for drifted in seen {
            let Some(extra) = self.0.get_mut(&drifted.key) else { continue };
            if drifted.uid.as_ref() != Some(&extra.state.uid) {
                continue; // It is another one by now.
            }
            let of = |field: DriftedField| Drifted { fields: vec![field], ..drifted.clone() };
            let mut fresh = Vec::new();
            for (field, since) in std::mem::take(&mut extra.told) {
                let is_it = |other: &&DriftedField| other.path == field.path && who(other) == who(&field);
                match drifted.fields.iter().find(is_it) {
                    Some(same) if same.live == field.live => extra.told.push((field, since)),
                    // The same goes on with another value.
                    Some(other) => {
                        extra.told.push((other.clone(), since));
                        fresh.push(other.clone());
                    }
                    None => over.push(Over { object: of(field), since, end: DriftEnd::Gone }),
                }
            }
            for field in &drifted.fields {
                if !extra.told.iter().any(|(known, _)| known.path == field.path) {
                    extra.told.push((field.clone(), now));
                    fresh.push(field.clone());
                }
            }
            if !fresh.is_empty() {
                news.push(Drifted { fields: fresh, ..drifted });
            }
        }
        // What could not be looked at is looked at once it changes once more.
        for extra in self.0.values_mut() {
            if let Some(asked) = extra.asked.take() {
                extra.looked = Some((asked, now));
            }
        }
        (news, over)
    }

    /// What was told and goes on.
    pub fn open(&self) -> impl Iterator<Item = (Drifted, Timestamp)> {
        self.0.iter().filter_map(|(key, extra)| {
            let since = extra.told.iter().map(|(_, since)| *since).min()?;
            let fields = extra.told.iter().map(|(field, _)| field.clone()).collect();
            Some((
                Drifted { key: key.clone(), uid: Some(extra.state.uid.clone()), version: None, fields },
                since,
            ))
        })
    }
}

impl Extra {
    fn end(self, key: &ObjectKey) -> Vec<Over> {
        let of = |(field, since)| {
            let (key, uid) = (key.clone(), Some(self.state.uid.clone()));
            Over {
                object: Drifted { key, uid, version: None, fields: vec![field] },
                since,
                end: DriftEnd::Ruled,
            }
        };
        self.told.into_iter().map(of).collect()
    }
}

fn who(field: &DriftedField) -> Option<&str> {
    field.by.first().map(|holder| &*holder.manager)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::field_path::FieldPath;
    use crate::object::{Digest, FieldHolder, Gvk, Place, TreePath};

    fn wanted() -> Arc<Wanted> {
        let body = json!({"metadata": {"name": "web"}, "data": {"a": "b"}});
        let key = ObjectKey::new("", "ConfigMap", Some("web"), "web");
        let (place, gvk) = (Place::file(TreePath::root()), Gvk::from_api_version("v1", "ConfigMap"));
        Arc::new(Wanted::stored(key, gvk, place, Digest::from("d"), 0, Vec::new(), body).expect("it is one"))
    }

    fn state(others: u64) -> State {
        State { uid: "u".into(), others, rules: 0 }
    }

    fn seen(fields: &[(&str, Value, &str)]) -> Vec<Drifted> {
        let field = |(name, value, manager): &(&str, Value, &str)| DriftedField {
            path: FieldPath::of(&["data", name]),
            desired: None,
            live: Some(value.clone()),
            by: vec![FieldHolder {
                manager: (*manager).into(),
                operation: "Update".into(),
                subresource: String::new(),
                time: None,
            }],
            rule: None,
            is_extra: true,
        };
        let fields = fields.iter().map(field).collect();
        vec![Drifted { key: wanted().key.clone(), uid: Some("u".into()), version: None, fields }]
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn take(extras: &mut Extras, others: Option<u64>) -> Vec<Over> {
        extras.take(others.map(|others| (wanted(), state(others))).into_iter())
    }

    #[test]
    fn what_was_added_is_told_once_and_once_that_it_is_gone() {
        let mut extras = Extras::default();
        assert!(take(&mut extras, Some(1)).is_empty());
        assert_eq!(extras.look(at(0)).unwrap().len(), 1);
        let (news, over) = extras.seen(seen(&[("x", json!(1), "kubectl")]), at(0));
        assert_eq!((news.len(), over.len()), (1, 0));
        assert_eq!(extras.look(at(60)).unwrap_err(), None, "nothing changed since");
        take(&mut extras, Some(2));
        assert_eq!(extras.look(at(1)).unwrap_err(), Some(at(5)), "not all the time");
        assert_eq!(extras.look(at(5)).unwrap().len(), 1);
        // Another value goes on, and one more is new.
        let (news, over) = extras.seen(seen(&[("x", json!(2), "kubectl"), ("y", json!(1), "robot")]), at(5));
        assert_eq!((news[0].fields.len(), over.len()), (2, 0));
        assert_eq!(extras.open().map(|(_, since)| since).collect::<Vec<_>>(), [at(0)]);
        take(&mut extras, Some(3));
        extras.look(at(20)).unwrap();
        let (news, over) = extras.seen(seen(&[("y", json!(1), "robot")]), at(20));
        assert_eq!((news.len(), over.len()), (0, 1));
        assert_eq!((over[0].since, over[0].end), (at(0), DriftEnd::Gone));
        let over = take(&mut extras, None);
        assert_eq!((over.len(), over[0].end), (1, DriftEnd::Ruled));
        assert_eq!(extras.open().count(), 0);
    }

    #[test]
    fn what_another_takes_over_is_told_anew() {
        let mut extras = Extras::default();
        take(&mut extras, Some(1));
        extras.look(at(0)).unwrap();
        extras.seen(seen(&[("x", json!(1), "kubectl")]), at(0));
        take(&mut extras, Some(2));
        extras.look(at(9)).unwrap();
        let (news, over) = extras.seen(seen(&[("x", json!(1), "robot")]), at(9));
        assert_eq!((news.len(), over.len()), (1, 1));
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_asked_for_in_a_circle() {
        let mut extras = Extras::default();
        take(&mut extras, Some(1));
        assert_eq!(extras.look(at(0)).unwrap().len(), 1);
        assert_eq!(extras.seen(Vec::new(), at(0)), (Vec::new(), Vec::new()));
        assert_eq!(extras.look(at(60)).unwrap_err(), None);
        take(&mut extras, Some(2));
        assert_eq!(extras.look(at(60)).unwrap().len(), 1);
    }
}
