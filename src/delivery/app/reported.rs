//! What others changed and that is only reported: each value is told once, with who set it, and once that it is over.
//!
//! A value that changes once more shows in what others hold of the object ([`Live::others`]): then it is looked at anew,
//! though not more often than [`LOOK_PAUSE`] lets.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::delivery::action::later;
use crate::drift::{DriftEnd, Drifted, DriftedField};
use crate::object::field_path::FieldPath;
use crate::object::{Live, ObjectKey};
use crate::plan::{Wanted, Written, compare_owned};

/// An object that others set all the time costs one request in so long.
const LOOK_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// What of an object is only reported now, by its key.
pub(in crate::delivery) type Reported = BTreeMap<ObjectKey, (Arc<Wanted>, Option<Arc<Live>>, Vec<FieldPath>)>;

/// An object, and the fields of it that others changed; none where it is gone.
type Changed = (Arc<Wanted>, Vec<FieldPath>);

/// What is only reported now.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Reports(BTreeMap<ObjectKey, Report>);

/// What of one object is only reported.
#[derive(Debug)]
struct Report {
    wanted: Arc<Wanted>,
    since: Timestamp,
    fields: Vec<FieldPath>,
    state: State,
    /// How it was when somebody was sent to look.
    asked: Option<State>,
    /// How it was when it was looked at last, and when that was.
    looked: Option<(State, Timestamp)>,
    told: Vec<Told>,
}

/// By what it is seen that something may have been changed once more.
#[derive(Clone, Debug, PartialEq)]
struct State {
    uid: Option<Box<str>>,
    others: u64,
    fields: usize,
}

/// A value of a field that was told, and since when it was seen. The path of an object that is gone is empty.
#[derive(Debug)]
struct Told {
    uid: Option<Box<str>>,
    field: DriftedField,
    since: Timestamp,
}

/// Something that was told and is over.
#[derive(Debug, PartialEq)]
pub(in crate::delivery) struct Over {
    pub object: Drifted,
    pub since: Timestamp,
    pub end: DriftEnd,
}

impl Reports {
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.0.contains_key(key)
    }

    /// Whether it is known that others deleted an object, which stays so, by what git says of it still.
    pub fn knows_gone(&self, wanted: &Wanted) -> bool {
        self.0.get(&wanted.key).is_some_and(|report| {
            report.wanted.digest == wanted.digest && report.told.iter().any(Told::is_of_gone)
        })
    }

    /// Takes all that is only reported now. What is not among it any more is over, as `end` says, but for what goes on.
    pub fn take(
        &mut self,
        mut now: Reported,
        at: Timestamp,
        goes_on: &dyn Fn(&ObjectKey) -> bool,
        end: &dyn Fn(&Wanted, &FieldPath) -> DriftEnd,
    ) -> Vec<Over> {
        let mut over = Vec::new();
        self.0.retain(|key, report| {
            let left: &[FieldPath] = match now.get(key) {
                Some((_, _, fields)) => fields,
                None if goes_on(key) => return true,
                None => &[],
            };
            let (told, ended) = std::mem::take(&mut report.told)
                .into_iter()
                .partition(|told: &Told| left.contains(&told.field.path));
            report.told = told;
            over.extend(ended.into_iter().map(|told: Told| {
                let end = end(&report.wanted, &told.field.path);
                told.over(key, end)
            }));
            !left.is_empty()
        });
        while let Some((key, (wanted, live, fields))) = now.pop_first() {
            let state = State::of(live.as_deref(), fields.len());
            match self.0.get_mut(&key) {
                Some(report) => (report.wanted, report.fields, report.state) = (wanted, fields, state),
                None => {
                    let report = Report {
                        wanted,
                        since: at,
                        fields,
                        state,
                        asked: None,
                        looked: None,
                        told: Vec::new(),
                    };
                    self.0.insert(key, report);
                }
            }
        }
        over
    }

    /// Takes that objects were written: of these fields nothing is left to others but what was not sent.
    pub fn written(&mut self, written: &[Written]) -> Vec<Over> {
        let mut over = Vec::new();
        for Written { wanted, live, .. } in written {
            let Some(report) = self.0.get_mut(&wanted.key) else { continue };
            let theirs = compare_owned(wanted, live);
            let (told, ended) = std::mem::take(&mut report.told)
                .into_iter()
                .partition(|told: &Told| theirs.contains(&told.field.path));
            report.told = told;
            over.extend(ended.into_iter().map(|told: Told| told.over(&wanted.key, DriftEnd::Overwritten)));
        }
        over
    }

    /// What is to be looked at now, or when; fields of an object that is gone are none.
    pub fn look(&mut self, now: Timestamp) -> Result<Vec<Changed>, Option<Timestamp>> {
        let (mut due, mut again) = (Vec::new(), None);
        for report in self.0.values_mut() {
            let wait = match &report.looked {
                None => None,
                Some((state, _)) if *state == report.state => continue,
                Some((_, at)) => Some(later(*at, LOOK_PAUSE)).filter(|at| *at > now),
            };
            match wait {
                Some(at) => again = Some(again.map_or(at, |known: Timestamp| known.min(at))),
                None => {
                    report.asked = Some(report.state.clone());
                    due.push((report.wanted.clone(), report.shown()));
                }
            }
        }
        if due.is_empty() { Err(again) } else { Ok(due) }
    }

    /// Takes what was seen. Says what of it is new, and what it takes the place of.
    pub fn seen(&mut self, seen: Vec<Drifted>, now: Timestamp) -> (Vec<Drifted>, Vec<Over>) {
        let (mut news, mut over) = (Vec::new(), Vec::new());
        for drifted in seen {
            let Some(report) = self.0.get_mut(&drifted.key) else { continue };
            report.looked = Some((report.asked.take().unwrap_or_else(|| report.state.clone()), now));
            let mut fields = Vec::new();
            for field in drifted.parts() {
                if !report.fields.contains(&field.path) {
                    continue; // It is not as it was when this was asked.
                }
                let known = report.told.iter().position(|told| told.field.path == field.path);
                let is_same = |told: &Told| told.uid == drifted.uid && is_alike(&told.field, &field);
                if known.is_some_and(|at| is_same(&report.told[at])) {
                    continue;
                }
                let mut since = now;
                if let Some(at) = known {
                    let before = report.told.swap_remove(at);
                    match before.uid == drifted.uid && who(&before.field) == who(&field) {
                        // The same goes on with another value.
                        true => since = before.since,
                        false => over.push(before.over(&drifted.key, DriftEnd::Replaced)),
                    }
                }
                report.told.push(Told { uid: drifted.uid.clone(), field: field.clone(), since });
                fields.push(field);
            }
            if !fields.is_empty() {
                let fields = if drifted.is_gone() { Vec::new() } else { fields };
                news.push(Drifted { fields, ..drifted });
            }
        }
        (news, over)
    }

    /// What is only reported, with since when; what was not looked at yet by its fields alone.
    pub fn open(&self) -> impl Iterator<Item = (Drifted, Timestamp)> {
        self.0.iter().map(|(key, report)| {
            let told = |path: &FieldPath| report.told.iter().find(|told| told.field.path == *path);
            let uid = report.state.uid.clone();
            if uid.is_none() {
                return (Drifted::gone(key.clone()), report.since);
            }
            let mut drifted = Drifted::unseen(key.clone(), uid, &report.fields);
            for field in &mut drifted.fields {
                if let Some(told) = told(&field.path) {
                    *field = told.field.clone();
                }
            }
            (drifted, report.since)
        })
    }

    /// What was told and goes on, for people.
    pub fn going(&self) -> impl Iterator<Item = Drifted> {
        self.0.iter().filter_map(|(key, report)| {
            let first = report.told.first()?;
            let fields = report.told.iter().map(|told| told.field.clone());
            let fields = if first.is_of_gone() { Vec::new() } else { fields.collect() };
            Some(Drifted { key: key.clone(), uid: first.uid.clone(), version: None, fields })
        })
    }
}

impl Report {
    /// The fields that are asked for.
    fn shown(&self) -> Vec<FieldPath> {
        match self.state.uid {
            None => Vec::new(),
            Some(_) => self.fields.clone(),
        }
    }
}

impl State {
    fn of(live: Option<&Live>, fields: usize) -> Self {
        let live = live.map(|live| (live.uid.clone(), live.others));
        let (uid, others) = live.map_or((None, 0), |(uid, others)| (Some(uid), others));
        Self { uid, others, fields }
    }
}

impl Told {
    fn is_of_gone(&self) -> bool {
        self.field.path.0.is_empty()
    }

    fn over(self, key: &ObjectKey, end: DriftEnd) -> Over {
        let fields = if self.is_of_gone() { Vec::new() } else { vec![self.field] };
        let object = Drifted { key: key.clone(), uid: self.uid, version: None, fields };
        Over { object, since: self.since, end }
    }
}

/// Whether two looks at a field saw the same.
fn is_alike(before: &DriftedField, now: &DriftedField) -> bool {
    // The time is that of all that its manager holds, and not of this field.
    let who = |field: &DriftedField| {
        let holders = field.by.iter();
        holders
            .map(|by| (by.manager.clone(), by.operation.clone(), by.subresource.clone()))
            .collect::<Vec<_>>()
    };
    before.live == now.live && who(before) == who(now)
}

fn who(field: &DriftedField) -> Option<&str> {
    field.by.first().map(|holder| &*holder.manager)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::{Digest, FieldHolder, Gvk, Place, TreePath};

    fn wanted() -> Arc<Wanted> {
        let body = json!({"metadata": {"name": "web"}, "spec": {"replicas": 1, "paused": false}});
        let key = ObjectKey::new("apps", "Deployment", Some("web"), "web");
        let place = Place::file(TreePath::root());
        let gvk = Gvk::from_api_version("apps/v1", "Deployment");
        Arc::new(Wanted::stored(key, gvk, place, Digest::from("d"), 0, Vec::new(), body).expect("it is one"))
    }

    fn live(others: u64) -> Option<Arc<Live>> {
        let meta = json!({"name": "web", "namespace": "web", "uid": "u", "resourceVersion": "1"});
        let live = Live::read(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta}));
        live.map(|live| Arc::new(Live { others, ..live }))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn replicas() -> FieldPath {
        FieldPath::of(&["spec", "replicas"])
    }

    fn seen(value: i64, manager: &str) -> Drifted {
        let by = FieldHolder {
            manager: manager.into(),
            operation: "Update".into(),
            subresource: "".into(),
            time: None,
        };
        let field = DriftedField {
            path: replicas(),
            desired: Some(json!(1)),
            live: Some(json!(value)),
            by: vec![by],
            rule: None,
            is_extra: false,
        };
        Drifted { key: wanted().key.clone(), uid: Some("u".into()), version: None, fields: vec![field] }
    }

    fn take(reports: &mut Reports, others: Option<u64>, fields: &[FieldPath]) -> Vec<Over> {
        let all = others.map(|others| (wanted().key.clone(), (wanted(), live(others), fields.to_vec())));
        reports.take(all.into_iter().collect(), at(0), &|_| false, &|_, _| DriftEnd::Ruled)
    }

    #[test]
    fn a_value_is_told_once_and_another_value_once_more() {
        let mut reports = Reports::default();
        assert!(take(&mut reports, Some(1), &[replicas()]).is_empty());
        assert_eq!(reports.look(at(0)).unwrap().len(), 1);
        assert_eq!(reports.seen(vec![seen(3, "kubectl")], at(0)).0.len(), 1);
        assert_eq!(reports.look(at(60)).unwrap_err(), None, "nothing changed since");
        // The same manager sets another value: that goes on, and is told.
        take(&mut reports, Some(2), &[replicas()]);
        assert_eq!(reports.look(at(1)).unwrap_err(), Some(at(5)), "not all the time");
        assert_eq!(reports.look(at(5)).unwrap().len(), 1);
        let (news, over) = reports.seen(vec![seen(4, "kubectl")], at(5));
        assert_eq!((news.len(), over.len()), (1, 0));
        // Another takes it from them: what the first did is over.
        take(&mut reports, Some(3), &[replicas()]);
        let (news, over) = reports.seen(vec![seen(4, "robot")], at(20));
        assert_eq!((news.len(), over.len()), (1, 1));
        assert_eq!((over[0].since, over[0].end), (at(0), DriftEnd::Replaced));
        // Something else of it changed, and not this.
        take(&mut reports, Some(4), &[replicas()]);
        assert_eq!(reports.seen(vec![seen(4, "robot")], at(40)), (Vec::new(), Vec::new()));
        let over = take(&mut reports, None, &[]);
        assert_eq!((over.len(), over[0].since, over[0].end), (1, at(20), DriftEnd::Ruled));
        assert!(!reports.contains(&wanted().key));
    }

    #[test]
    fn what_goes_on_beside_another_field_is_not_over() {
        let mut reports = Reports::default();
        take(&mut reports, Some(1), &[replicas()]);
        reports.seen(vec![seen(3, "kubectl")], at(0));
        let both = [replicas(), FieldPath::of(&["spec", "paused"])];
        assert!(take(&mut reports, Some(1), &both).is_empty());
        assert_eq!(reports.look(at(9)).unwrap()[0].1, both, "there is another field to look at");
    }

    #[test]
    fn an_object_that_is_gone_is_known_until_git_changes_it() {
        let mut reports = Reports::default();
        let gone = (wanted(), None, vec![FieldPath::default()]);
        reports.take([(wanted().key.clone(), gone)].into(), at(0), &|_| false, &|_, _| DriftEnd::Ruled);
        assert!(!reports.knows_gone(&wanted()), "nobody looked yet");
        assert!(reports.look(at(0)).unwrap()[0].1.is_empty());
        let (news, _) = reports.seen(vec![Drifted::gone(wanted().key.clone())], at(0));
        assert!(news[0].is_gone() && reports.knows_gone(&wanted()));
        let mut newer = (*wanted()).clone();
        newer.digest = Digest::from("e");
        assert!(!reports.knows_gone(&newer));
        assert!(reports.going().all(|object| object.is_gone()));
    }
}
