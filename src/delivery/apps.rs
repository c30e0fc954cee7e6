//! The apps of an environment, and which of them are of interest for what: so that a turn costs what changed in it, however
//! many apps there are.
//!
//! Whoever changes an app takes it by a method of [`Apps`], and so it is known that its place among the others may be another.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use jiff::Timestamp;

use super::app::App;
use super::fact::Fact;
use crate::object::{AppName, Digest};

#[derive(Default)]
pub(super) struct Apps {
    all: BTreeMap<AppName, App>,
    /// By an app, those that depend on it.
    needed_by: BTreeMap<AppName, BTreeSet<AppName>>,
    /// Those that were changed since they were put into the sets below.
    touched: BTreeSet<AppName>,
    /// Those that were changed since facts were taken.
    telling: BTreeSet<AppName>,
    waiting: BTreeSet<AppName>,
    unsettled: BTreeSet<AppName>,
    aside: BTreeSet<AppName>,
    unmarked: BTreeSet<AppName>,
}

/// Reads need no care.
impl Deref for Apps {
    type Target = BTreeMap<AppName, App>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Apps {
    /// These apps instead of those before.
    pub fn of(all: BTreeMap<AppName, App>) -> Self {
        let mut needed_by: BTreeMap<AppName, BTreeSet<AppName>> = BTreeMap::new();
        for (name, app) in &all {
            for on in &app.spec.depends_on {
                needed_by.entry(on.clone()).or_default().insert(name.clone());
            }
        }
        let touched: BTreeSet<AppName> = all.keys().cloned().collect();
        Self { all, needed_by, telling: touched.clone(), touched, ..Self::default() }
    }

    pub fn into_all(self) -> BTreeMap<AppName, App> {
        self.all
    }

    pub fn get_mut(&mut self, name: &AppName) -> Option<&mut App> {
        let app = self.all.get_mut(name)?;
        keep(&mut self.touched, name, true);
        keep(&mut self.telling, name, true);
        Some(app)
    }

    /// Takes one out, so that it may ask about the others. It is to be put back.
    pub fn take(&mut self, name: &AppName) -> Option<App> {
        self.all.remove(name)
    }

    pub fn put_back(&mut self, name: &AppName, app: App) {
        self.all.insert(name.clone(), app);
        self.get_mut(name);
    }

    pub fn for_each(&mut self, change: impl Fn(&mut App)) {
        self.touched.extend(self.all.keys().cloned());
        self.telling.extend(self.all.keys().cloned());
        self.all.values_mut().for_each(change);
    }

    /// Those that depend on one.
    pub fn needed_by(&self, name: &AppName) -> impl Iterator<Item = &AppName> {
        self.needed_by.get(name).into_iter().flatten()
    }

    /// Those with something that is to be remembered.
    pub fn waiting(&mut self) -> &BTreeSet<AppName> {
        self.sort();
        &self.waiting
    }

    /// Those of which something is set aside.
    pub fn aside(&mut self) -> &BTreeSet<AppName> {
        self.sort();
        &self.aside
    }

    /// Whether every app is well, and all of them is remembered.
    pub fn are_settled(&mut self) -> bool {
        self.sort();
        self.unsettled.is_empty()
    }

    /// What runs in the apps of which it is not remembered as what ran when all were well.
    pub fn unmarked(&mut self) -> BTreeMap<AppName, Digest> {
        self.sort();
        let digest = |name: &AppName| Some((name.clone(), self.all.get(name)?.well_with_all()?.clone()));
        self.unmarked.iter().filter_map(digest).collect()
    }

    /// What happened to them since the last time.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for name in std::mem::take(&mut self.telling) {
            if let Some(app) = self.all.get_mut(&name) {
                facts.append(&mut app.log.facts);
            }
        }
        facts
    }

    /// Puts those that were changed into the sets that they belong to now.
    fn sort(&mut self) {
        for name in std::mem::take(&mut self.touched) {
            let app = self.all.get(&name);
            let is = |holds: &dyn Fn(&App) -> bool| app.is_some_and(holds);
            keep(&mut self.waiting, &name, is(&App::has_changes));
            keep(&mut self.unsettled, &name, is(&|app| !app.is_ready() || !app.is_saved()));
            keep(&mut self.aside, &name, is(&|app| app.quarantine().is_some()));
            keep(&mut self.unmarked, &name, is(&|app| app.well_with_all().is_some()));
        }
    }
}

fn keep(set: &mut BTreeSet<AppName>, name: &AppName, is_in: bool) {
    if !is_in {
        set.remove(name);
    } else if !set.contains(name) {
        set.insert(name.clone());
    }
}

/// When apps want to be asked if nothing happens before.
#[derive(Default)]
pub(super) struct Timers {
    by_app: BTreeMap<AppName, Timestamp>,
    by_time: BTreeSet<(Timestamp, AppName)>,
}

impl Timers {
    pub fn set(&mut self, app: &AppName, at: Timestamp) {
        self.remove(app);
        self.by_app.insert(app.clone(), at);
        self.by_time.insert((at, app.clone()));
    }

    pub fn remove(&mut self, app: &AppName) {
        if let Some(at) = self.by_app.remove(app) {
            self.by_time.remove(&(at, app.clone()));
        }
    }

    pub fn retain(&mut self, keep: impl Fn(&AppName) -> bool) {
        self.by_app.retain(|app, _| keep(app));
        self.by_time.retain(|(_, app)| keep(app));
    }

    /// The apps whose time has come.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = &AppName> {
        self.by_time.iter().take_while(move |(at, _)| *at <= now).map(|(_, app)| app)
    }

    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        assert_eq!(self.by_app.len(), self.by_time.len(), "both know the same");
        self.by_app.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AppSpec;
    use crate::delivery::app::{Git, StandIn};
    use crate::delivery::fact::What;
    use crate::state::Change;

    #[test]
    fn whatever_is_changed_is_told_and_sorted() {
        let names = ["a", "b"].map(|name| AppName::new(name).unwrap());
        let app = |name: &AppName| {
            let mut spec = AppSpec::folder(name.clone(), "base");
            spec.depends_on = names.iter().filter(|on| *on < name).cloned().collect();
            (name.clone(), App::new(spec, Git::Away(StandIn::Nothing(String::new())), None))
        };
        let mut apps = Apps::of(names.iter().map(app).collect());
        assert_eq!(apps.needed_by(&names[0]).collect::<Vec<_>>(), [&names[1]]);
        for _ in 0..2 {
            // Nobody looked into the sets meanwhile.
            apps.get_mut(&names[1]).unwrap().tell(What::Panicked { digest: None, why: String::new() });
            assert_eq!(apps.take_facts().len(), 1);
        }
        assert!(apps.waiting().is_empty() && apps.take_facts().is_empty());
        let change = Change::Retried { app: names[0].clone(), word: "1".to_owned() };
        apps.get_mut(&names[0]).unwrap().remember(change);
        assert_eq!(apps.waiting(), &BTreeSet::from([names[0].clone()]));
        apps.get_mut(&names[0]).unwrap().log.changes.clear();
        assert!(apps.waiting().is_empty() && !apps.are_settled());
        let taken = apps.take(&names[0]).unwrap();
        apps.put_back(&names[0], taken);
        assert_eq!(apps.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    }

    #[test]
    fn an_app_has_one_time_and_that_is_the_newest() {
        let (a, b) = (AppName::new("a").unwrap(), AppName::new("b").unwrap());
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut timers = Timers::default();
        timers.set(&a, at(5));
        timers.set(&b, at(7));
        timers.set(&a, at(9));
        assert_eq!((timers.len(), timers.next()), (2, Some(at(7))));
        assert_eq!(timers.due(at(8)).collect::<Vec<_>>(), [&b]);
        assert_eq!(timers.due(at(9)).collect::<Vec<_>>(), [&b, &a]);
        timers.remove(&b);
        timers.retain(|app| *app != a);
        assert_eq!((timers.len(), timers.next()), (0, None));
    }
}
