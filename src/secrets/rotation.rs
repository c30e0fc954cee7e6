//! Decides when an app goes on to a newer version of a secret: one first, then the others, never too many at once.
//!
//! ```text
//!   a newer version is read ──► Pending ──its turn──► Rolling ──all gates passed──► at rest
//!                                  ▲                     │
//!                                  └── newer still ──────┤
//!                                                        └──a gate failed──► Paused, until a newer version or a person
//! ```
//!
//! Which versions an app is rendered with is its *pins*. They move when it is the app's turn, or when a commit rolls the app
//! anyway: then both roll once. The first app of an environment that goes on to a version goes alone; the others follow when it
//! is well. Of an environment and of the cluster no more consumers roll at once than the limits say, and environments take
//! turns.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::object::secret::{Pin, SecretId};
use crate::object::{AppName, EnvironmentName};

/// How much may roll at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Consumers that roll at once, in all environments together.
    pub cluster: usize,
    /// Consumers that roll at once in one environment.
    pub environment: usize,
    /// An app rolls for secrets at most once in this time; what changes meanwhile rolls together at its end.
    pub pause: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cluster: 20, environment: 5, pause: SignedDuration::from_secs(60) }
    }
}

/// Of a rollout of which nothing is heard for so long nobody waits for the end.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

pub type Member = (EnvironmentName, AppName);
pub type Versions = BTreeMap<SecretId, Pin>;

/// How the rollout of an app stands that was begun for new versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All gates were passed.
    Well,
    /// It was taken back, or halted.
    Failed,
    /// It was left for a reason that says nothing of the versions, as where the environment is suspended.
    Left,
}

#[derive(Debug, Default)]
struct App {
    pins: Versions,
    /// What it was pinned to before it last went on.
    before: Versions,
    newest: Versions,
    consumers: usize,
    rolling: bool,
    /// When it last began to roll for secrets.
    began: Option<Timestamp>,
    pending_since: Option<Timestamp>,
}

/// The apps that refer to secrets, in all environments of this process.
#[derive(Debug, Default)]
pub struct Rotation {
    limits: Limits,
    apps: BTreeMap<Member, App>,
    /// Versions with which an app of the environment passed its gates,
    proven: BTreeSet<(EnvironmentName, SecretId, Box<str>)>,
    /// and those with which one did not.
    failed: BTreeSet<(EnvironmentName, SecretId, Box<str>)>,
    /// When each environment had its turn last.
    turns: BTreeMap<EnvironmentName, u64>,
    turn: u64,
}

impl Rotation {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes that an app is rendered with these versions, as it was remembered, or that it failed with them. What is known
    /// already is newer.
    pub fn remember(&mut self, of: &Member, pins: Versions, before: Versions, have_failed: bool) {
        let app = self.apps.entry(of.clone()).or_default();
        app.before = before;
        for (secret, pin) in pins {
            if have_failed {
                self.failed.insert((of.0.clone(), secret.clone(), pin.version.clone()));
            }
            app.pins.entry(secret).or_insert(pin);
        }
    }

    /// Takes the newest versions of what an app refers to, and how many workloads of it read some. A secret that it did not
    /// refer to before is taken as it is.
    pub fn hear(&mut self, of: &Member, newest: Versions, consumers: usize, now: Timestamp) {
        let app = self.apps.entry(of.clone()).or_default();
        app.pins.retain(|secret, _| newest.contains_key(secret));
        for (secret, pin) in &newest {
            app.pins.entry(secret.clone()).or_insert_with(|| pin.clone());
            // The same version says nothing new but what is known of it.
            if let Some(pinned) = app.pins.get_mut(secret).filter(|pinned| pinned.version == pin.version) {
                pinned.clone_from(pin);
            }
        }
        (app.newest, app.consumers) = (newest, consumers);
        match app.pins == app.newest {
            true => app.pending_since = None,
            false => app.pending_since = app.pending_since.or(Some(now)),
        }
    }

    /// Takes that an app is rolled out for another reason, and has it go on to the newest versions with it; but for those that
    /// failed, where the version before still works. Says whether any is another.
    pub fn commit(&mut self, of: &Member) -> bool {
        let Some(app) = self.apps.get_mut(of) else { return false };
        let has_failed = |secret: &SecretId, pin: &Pin| {
            pin.old_works && self.failed.contains(&(of.0.clone(), secret.clone(), pin.version.clone()))
        };
        let mut next = app.newest.clone();
        for (secret, pin) in &mut next {
            if !has_failed(secret, pin) {
                continue;
            }
            let older = [app.pins.get(secret), app.before.get(secret)];
            if let Some(works) = older.into_iter().flatten().find(|older| older.version != pin.version) {
                pin.clone_from(works);
            }
        }
        let is_other = app.pins != next;
        app.pins = next;
        if app.pins == app.newest {
            app.pending_since = None;
        }
        is_other
    }

    /// Takes how the rollout ended in which an app went on to its pins. One that is well at last, as after a person's word to
    /// try again, has failed no more.
    pub fn ended(&mut self, of: &Member, verdict: Verdict) {
        let Some(app) = self.apps.get_mut(of) else { return };
        let was_rolling = std::mem::take(&mut app.rolling);
        let versions =
            app.pins.iter().map(|(secret, pin)| (of.0.clone(), secret.clone(), pin.version.clone()));
        let versions: Vec<_> = versions.collect();
        match verdict {
            Verdict::Well => {
                self.failed.retain(|version| !versions.contains(version));
                self.proven.extend(versions);
            }
            Verdict::Failed if was_rolling => {
                let new = versions.into_iter().filter(|version| !self.proven.contains(version));
                self.failed.extend(new.collect::<Vec<_>>());
            }
            Verdict::Failed | Verdict::Left => {}
        }
    }

    /// Whether an app rolls for newer versions.
    pub fn is_rolling(&self, of: &Member) -> bool {
        self.apps.get(of).is_some_and(|app| app.rolling)
    }

    /// Forgets what is no app any more.
    pub fn retain(&mut self, environment: &EnvironmentName, is_there: impl Fn(&AppName) -> bool) {
        self.apps.retain(|(of, app), _| of != environment || is_there(app));
        let wanted: BTreeSet<_> = self
            .apps
            .iter()
            .flat_map(|((of, _), app)| {
                let versions = app.pins.iter().chain(&app.newest);
                versions.map(|(secret, pin)| (of.clone(), secret.clone(), pin.version.clone()))
            })
            .collect();
        self.proven.retain(|version| wanted.contains(version));
        self.failed.retain(|version| wanted.contains(version));
    }

    /// Has apps go on whose turn it is, and names them.
    pub fn release(&mut self, now: Timestamp) -> Vec<Member> {
        let is_over = |app: &App| app.began.is_some_and(|began| now.duration_since(began) > LONGEST);
        for app in self.apps.values_mut().filter(|app| app.rolling && is_over(app)) {
            app.rolling = false;
        }
        let mut released = Vec::new();
        while let Some(next) = self.next(now) {
            self.turn += 1;
            self.turns.insert(next.0.clone(), self.turn);
            if let Some(app) = self.apps.get_mut(&next) {
                app.before = std::mem::replace(&mut app.pins, app.newest.clone());
                (app.rolling, app.began, app.pending_since) = (app.consumers > 0, Some(now), None);
            }
            released.push(next);
        }
        released
    }

    /// Whose turn it is: of the environments that have room, the one that waited longest.
    fn next(&self, now: Timestamp) -> Option<Member> {
        let busy = Busy::of(&self.apps);
        let is_due = |app: &App| {
            app.pending_since.is_some() && !app.rolling && self.due(app).is_none_or(|at| at <= now)
        };
        // One that is larger than a limit goes alone.
        let fits = |rolling: usize, more: usize, limit: usize| rolling == 0 || rolling + more <= limit;
        self.apps
            .iter()
            .filter(|((environment, _), app)| {
                is_due(app)
                    && fits(busy.all, app.consumers, self.limits.cluster)
                    && fits(busy.of_environment(environment), app.consumers, self.limits.environment)
                    && self.may_follow(environment, app, &busy)
            })
            .min_by_key(|((environment, _), app)| {
                (self.turns.get(environment).copied().unwrap_or_default(), app.pending_since)
            })
            .map(|(of, _)| of.clone())
    }

    /// Whether its new versions are proven, or nobody in its environment is trying them.
    fn may_follow(&self, environment: &EnvironmentName, app: &App, busy: &Busy<'_>) -> bool {
        newer(app).all(|(secret, pin)| {
            let version = (environment.clone(), secret.clone(), pin.version.clone());
            let is_tried = busy.tried.contains(&(environment, secret, &*pin.version));
            !self.failed.contains(&version) && (self.proven.contains(&version) || !is_tried)
        })
    }

    fn due(&self, app: &App) -> Option<Timestamp> {
        app.began.map(|began| began.checked_add(self.limits.pause).unwrap_or(Timestamp::MAX))
    }

    /// When to ask [`Self::release`] again, if nothing is heard before.
    pub fn again(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.apps.values().filter(|app| app.pending_since.is_some() && !app.rolling);
        waiting.filter_map(|app| self.due(app)).filter(|at| *at > now).min()
    }

    /// The versions that an app is to be rendered with.
    pub fn pins(&self, of: &Member) -> Option<&Versions> {
        self.apps.get(of).map(|app| &app.pins)
    }

    /// Whether an app of an environment failed with a version.
    pub fn has_failed(&self, environment: &EnvironmentName, secret: &SecretId, version: &str) -> bool {
        self.failed.contains(&(environment.clone(), secret.clone(), version.into()))
    }

    /// The consumers that roll now.
    pub fn rolling(&self) -> usize {
        self.apps.values().filter(|app| app.rolling).map(|app| app.consumers).sum()
    }
}

/// What rolls now.
struct Busy<'a> {
    all: usize,
    environments: BTreeMap<&'a EnvironmentName, usize>,
    /// The versions with which something rolls.
    tried: BTreeSet<(&'a EnvironmentName, &'a SecretId, &'a str)>,
}

impl<'a> Busy<'a> {
    fn of(apps: &'a BTreeMap<Member, App>) -> Self {
        let mut busy = Self { all: 0, environments: BTreeMap::new(), tried: BTreeSet::new() };
        for ((environment, _), app) in apps.iter().filter(|(_, app)| app.rolling) {
            busy.all += app.consumers;
            *busy.environments.entry(environment).or_default() += app.consumers;
            busy.tried.extend(app.pins.iter().map(|(secret, pin)| (environment, secret, &*pin.version)));
        }
        busy
    }

    fn of_environment(&self, environment: &EnvironmentName) -> usize {
        self.environments.get(environment).copied().unwrap_or_default()
    }
}

fn newer(app: &App) -> impl Iterator<Item = (&SecretId, &Pin)> {
    app.newest
        .iter()
        .filter(|(secret, pin)| app.pins.get(*secret).is_none_or(|old| old.version != pin.version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::secret::Reference;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn member(environment: &str, app: &str) -> Member {
        (EnvironmentName::new(environment).expect("a name"), AppName::new(app).expect("a name"))
    }

    fn versions(secret: &str, version: &str) -> Versions {
        let secret = Reference::parse(&format!("aws-sm:{secret}")).expect("a reference").secret;
        [(secret, Pin { version: version.into(), keys: BTreeMap::new(), old_works: false })].into()
    }

    fn version(rotation: &Rotation, of: &Member) -> String {
        let pins = rotation.pins(of).expect("it is known");
        pins.values().map(|pin| &*pin.version).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_goes_first_and_the_others_follow_when_it_is_well() {
        let mut rotation = Rotation::default();
        let apps = ["a", "b", "c"].map(|app| member("dev", app));
        for version in ["1", "2"] {
            apps.iter().for_each(|app| rotation.hear(app, versions("db", version), 1, at(0)));
        }
        assert_eq!(apps.each_ref().map(|app| version(&rotation, app)), ["1", "1", "1"]);
        assert_eq!(rotation.release(at(0)), [apps[0].clone()]);
        assert!(rotation.release(at(30)).is_empty());
        rotation.ended(&apps[0], Verdict::Well);
        assert_eq!(rotation.release(at(31)).len(), 2);
        assert_eq!(apps.each_ref().map(|app| version(&rotation, app)), ["2", "2", "2"]);
    }

    #[test]
    fn a_version_that_failed_is_tried_by_nobody_else_until_there_is_a_newer_one() {
        let mut rotation = Rotation::default();
        let apps = ["a", "b"].map(|app| member("dev", app));
        for version in ["1", "2"] {
            apps.iter().for_each(|app| rotation.hear(app, versions("db", version), 1, at(0)));
        }
        assert_eq!(rotation.release(at(0)).len(), 1);
        rotation.ended(&apps[0], Verdict::Failed);
        assert!(rotation.release(at(1000)).is_empty());
        let (secret, _) = versions("db", "2").pop_first().expect("one");
        assert!(rotation.has_failed(&apps[1].0, &secret, "2"));
        apps.iter().for_each(|app| rotation.hear(app, versions("db", "3"), 1, at(1001)));
        assert_eq!(rotation.release(at(1001)), [apps[1].clone()], "it waited longer");
        rotation.ended(&apps[1], Verdict::Well);
        assert_eq!(rotation.release(at(1002)), [apps[0].clone()]);
        assert_eq!(version(&rotation, &apps[0]), "3");
    }

    #[test]
    fn a_commit_takes_the_newest_version_with_it() {
        let mut rotation = Rotation::default();
        let app = member("dev", "a");
        rotation.hear(&app, versions("db", "1"), 1, at(0));
        assert!(!rotation.commit(&app));
        rotation.hear(&app, versions("db", "2"), 1, at(0));
        assert!(rotation.commit(&app));
        assert_eq!(version(&rotation, &app), "2");
        assert!(rotation.release(at(0)).is_empty(), "it rolls once");
    }

    #[test]
    fn a_commit_takes_no_version_that_failed_where_the_one_before_still_works() {
        for (old_works, wanted) in [(true, "1"), (false, "2")] {
            let mut rotation = Rotation::default();
            let apps = ["a", "b"].map(|app| member("dev", app));
            let of = |version: &str| {
                let mut versions = versions("db", version);
                versions.values_mut().for_each(|pin| pin.old_works = old_works);
                versions
            };
            for version in ["1", "2"] {
                apps.iter().for_each(|app| rotation.hear(app, of(version), 1, at(0)));
            }
            assert_eq!(rotation.release(at(0)), [apps[0].clone()]);
            rotation.ended(&apps[0], Verdict::Failed);
            for app in &apps {
                rotation.commit(app);
            }
            assert_eq!(apps.each_ref().map(|app| version(&rotation, app)), [wanted, wanted]);
            assert!(rotation.release(at(1000)).is_empty());
        }
    }

    #[test]
    fn what_changes_again_and_again_rolls_once_in_a_while() {
        let mut rotation = Rotation::default();
        let app = member("dev", "a");
        rotation.hear(&app, versions("db", "0"), 1, at(0));
        let mut rolled = 0;
        for second in 1..=600 {
            rotation.hear(&app, versions("db", &second.to_string()), 1, at(second));
            if !rotation.release(at(second)).is_empty() {
                rolled += 1;
                rotation.ended(&app, Verdict::Well);
            }
        }
        assert_eq!(rolled, 10);
        let again = rotation.again(at(600)).expect("it waits for its pause to end");
        assert_eq!(rotation.release(again), [app]);
    }

    #[test]
    fn what_is_never_heard_of_again_holds_nobody_up_for_ever() {
        let mut rotation = Rotation::default();
        let apps = ["a", "b"].map(|app| member("dev", app));
        for version in ["1", "2"] {
            apps.iter().for_each(|app| rotation.hear(app, versions("db", version), 1, at(0)));
        }
        assert_eq!(rotation.release(at(0)), [apps[0].clone()]);
        assert!(rotation.release(at(3600)).is_empty());
        assert_eq!(rotation.release(at(3601)), [apps[1].clone()]);
        rotation.ended(&apps[1], Verdict::Left);
        assert_eq!(rotation.rolling(), 0);
        let (secret, _) = versions("db", "2").pop_first().expect("one");
        assert!(!rotation.has_failed(&apps[1].0, &secret, "2"), "that says nothing of the version");
    }

    #[test]
    fn a_start_goes_on_from_what_was_remembered() {
        let mut rotation = Rotation::default();
        let app = member("dev", "a");
        rotation.remember(&app, versions("db", "1"), Versions::new(), false);
        rotation.hear(&app, versions("db", "2"), 1, at(0));
        assert_eq!(version(&rotation, &app), "1");
        assert_eq!(rotation.release(at(0)).len(), 1);
        assert_eq!(version(&rotation, &app), "2");
    }

    /// Three thousand secrets of ten environments change in the same second.
    #[test]
    fn however_many_change_together_the_limits_hold_and_all_get_their_turn() {
        let limits = Limits { cluster: 12, environment: 4, pause: SignedDuration::from_secs(60) };
        for seed in 0..5 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut rotation = Rotation::new(limits);
            let members: Vec<Member> =
                (0..3000).map(|n| member(&format!("e{}", n % 10), &format!("a{n}"))).collect();
            for (n, of) in members.iter().enumerate() {
                let consumers = random.usize(1..=3);
                rotation.hear(of, versions(&format!("s{n}"), "1"), consumers, at(0));
                rotation.hear(of, versions(&format!("s{n}"), "2"), consumers, at(0));
            }
            let mut ends: BTreeMap<i64, Vec<Member>> = BTreeMap::new();
            let (mut now, mut rolled, mut by_environment) = (0, 0, BTreeMap::<String, usize>::new());
            while rolled < members.len() {
                for of in ends.remove(&now).unwrap_or_default() {
                    rotation.ended(&of, Verdict::Well);
                }
                for of in rotation.release(at(now)) {
                    rolled += 1;
                    *by_environment.entry(of.0.to_string()).or_default() += 1;
                    ends.entry(now + random.i64(1..20)).or_default().push(of);
                }
                assert!(rotation.rolling() <= limits.cluster, "seed {seed}: {}", rotation.rolling());
                if rolled == 1500 {
                    let (least, most) = (by_environment.values().min(), by_environment.values().max());
                    assert!(
                        most.zip(least).is_some_and(|(most, least)| most - least < 60),
                        "{by_environment:?}"
                    );
                }
                now += 1;
                assert!(now < 100_000, "seed {seed}: {rolled} rolled");
            }
        }
    }
}
