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
    /// How many workloads of it read some; not known before it was rendered.
    consumers: Option<usize>,
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
    proven: Marks,
    /// and those with which one did not.
    failed: Marks,
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
        for (secret, pin) in &before {
            self.proven.insert(&of.0, secret, &pin.version);
        }
        let app = self.apps.entry(of.clone()).or_default();
        let is_before =
            |secret: &SecretId, version: &str| before.get(secret).is_some_and(|pin| *pin.version == *version);
        for (secret, pin) in pins {
            if have_failed && !is_before(&secret, &pin.version) {
                self.failed.insert(&of.0, &secret, &pin.version);
            }
            app.pins.entry(secret).or_insert(pin);
        }
        app.before = before;
    }

    /// Takes that an app was going on to its pins when the process before this one ended: it counts as what rolls.
    pub fn resume(&mut self, of: &Member) {
        if let Some(app) = self.apps.get_mut(of) {
            (app.rolling, app.began) = (true, None);
        }
    }

    /// Takes that an app was rendered, to so many workloads that read secrets. Before that it has no turn.
    pub fn count(&mut self, of: &Member, consumers: usize) {
        if let Some(app) = self.apps.get_mut(of) {
            app.consumers = Some(consumers);
        }
    }

    /// Takes the newest versions of what an app refers to. A secret that it did not refer to before is taken as it is.
    pub fn hear(&mut self, of: &Member, newest: Versions, now: Timestamp) {
        let app = self.apps.entry(of.clone()).or_default();
        app.pins.retain(|secret, _| newest.contains_key(secret));
        for (secret, pin) in &newest {
            app.pins.entry(secret.clone()).or_insert_with(|| pin.clone());
            // The same version says nothing new but what is known of it.
            if let Some(pinned) = app.pins.get_mut(secret).filter(|pinned| pinned.version == pin.version) {
                pinned.clone_from(pin);
            }
        }
        app.newest = newest;
        if app.rolling {
            // One that was resumed.
            app.began.get_or_insert(now);
        }
        match app.pins == app.newest {
            true => app.pending_since = None,
            false => app.pending_since = app.pending_since.or(Some(now)),
        }
    }

    /// Takes that an app is rolled out for another reason, and has it go on to the newest versions with it; but for those that
    /// failed, where the version before still works. Says whether any is another.
    pub fn commit(&mut self, of: &Member) -> bool {
        let Some(app) = self.apps.get_mut(of) else { return false };
        let has_failed =
            |secret: &SecretId, pin: &Pin| pin.old_works && self.failed.contains(&of.0, secret, &pin.version);
        // Of what cannot be read it keeps what it has.
        let mut next = app.pins.clone();
        next.extend(app.newest.iter().map(|(secret, pin)| (secret.clone(), pin.clone())));
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
        // What becomes of it now says nothing of the versions alone.
        app.rolling = false;
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
        for (secret, pin) in &app.pins {
            match verdict {
                Verdict::Well => {
                    self.failed.remove(&of.0, secret, &pin.version);
                    self.proven.insert(&of.0, secret, &pin.version);
                }
                Verdict::Failed if was_rolling && !self.proven.contains(&of.0, secret, &pin.version) => {
                    self.failed.insert(&of.0, secret, &pin.version);
                }
                Verdict::Failed | Verdict::Left => {}
            }
        }
    }

    /// Whether an app rolls for newer versions.
    pub fn is_rolling(&self, of: &Member) -> bool {
        self.apps.get(of).is_some_and(|app| app.rolling)
    }

    /// Forgets what is no app any more.
    pub fn retain(&mut self, environment: &EnvironmentName, is_there: impl Fn(&AppName) -> bool) {
        self.apps.retain(|(of, app), _| of != environment || is_there(app));
        let mut wanted = Marks::default();
        for ((_, _), app) in self.apps.iter().filter(|((of, _), _)| of == environment) {
            for (secret, pin) in app.pins.iter().chain(&app.newest) {
                wanted.insert(environment, secret, &pin.version);
            }
        }
        self.proven.keep(environment, &wanted);
        self.failed.keep(environment, &wanted);
    }

    /// Has apps go on whose turn it is, and names them.
    pub fn release(&mut self, now: Timestamp) -> Vec<Member> {
        let is_over = |app: &App| app.began.is_some_and(|began| now.duration_since(began) > LONGEST);
        for app in self.apps.values_mut().filter(|app| app.rolling && is_over(app)) {
            app.rolling = false;
        }
        let chosen = self.choose(now);
        for of in &chosen {
            self.turn += 1;
            self.turns.insert(of.0.clone(), self.turn);
            let Some(app) = self.apps.get_mut(of) else { continue };
            let newer = newer(&self.failed, &of.0, app);
            let newer: Versions = newer.map(|(secret, pin)| (secret.clone(), pin.clone())).collect();
            app.before = app.pins.clone();
            app.pins.extend(newer);
            (app.rolling, app.began) = (app.size() > 0, Some(now));
            app.pending_since = (app.pins != app.newest).then_some(now);
        }
        chosen
    }

    /// Whose turn it is now, one after the other: the first in line of the environment that waited longest for a turn. Nobody
    /// passes one that waits for room, or those with many consumers would wait for ever; an environment whose own limit is
    /// reached holds up no other.
    fn choose(&self, now: Timestamp) -> Vec<Member> {
        let mut busy = Busy::of(&self.apps);
        if busy.all >= self.limits.cluster {
            return Vec::new();
        }
        let mut lines: BTreeMap<&EnvironmentName, Vec<Waiting<'_>>> = BTreeMap::new();
        let is_due = |app: &App| {
            app.pending_since.is_some()
                && !app.rolling
                && app.consumers.is_some()
                && self.due(app).is_none_or(|at| at <= now)
        };
        for (of, app) in self.apps.iter().filter(|(_, app)| is_due(app)) {
            lines.entry(&of.0).or_default().push((app.pending_since, of, app));
        }
        // One that is larger than a limit goes alone.
        let fits = |rolling: usize, more: usize, limit: usize| rolling == 0 || rolling + more <= limit;
        let (mut turns, mut turn, mut chosen) = (self.turns.clone(), self.turn, Vec::new());
        loop {
            // What does not fit now, or has to wait for another one, does so until something ends.
            lines.retain(|environment, line| {
                while let Some(first) =
                    (0..line.len()).min_by_key(|at| line.get(*at).map(|(since, of, _)| (*since, *of)))
                {
                    let Some((_, _, app)) = line.get(first) else { return false };
                    if self.may_go(environment, app, &busy) {
                        let is_room =
                            fits(busy.of_environment(environment), app.size(), self.limits.environment);
                        // Who is first in line stands at the end of the list.
                        let last = line.len() - 1;
                        line.swap(first, last);
                        return is_room;
                    }
                    line.swap_remove(first);
                }
                false
            });
            let turn_of = |environment: &EnvironmentName| turns.get(environment).copied().unwrap_or_default();
            let next = lines.iter_mut().min_by_key(|(environment, _)| turn_of(environment));
            let next = next.and_then(|(_, line)| line.pop());
            let Some((_, of, app)) =
                next.filter(|(_, _, app)| fits(busy.all, app.size(), self.limits.cluster))
            else {
                return chosen;
            };
            turn += 1;
            turns.insert(of.0.clone(), turn);
            busy.add(&of.0, app.size(), app.pins.iter().chain(newer(&self.failed, &of.0, app)));
            chosen.push(of.clone());
        }
    }

    /// Whether there is something to go on to, and nobody in its environment is trying that who has not shown that it works.
    fn may_go(&self, environment: &EnvironmentName, app: &App, busy: &Busy) -> bool {
        let mut newer = newer(&self.failed, environment, app).peekable();
        newer.peek().is_some()
            && newer.all(|(secret, pin)| {
                self.proven.contains(environment, secret, &pin.version)
                    || !busy.tried.contains(environment, secret, &pin.version)
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
        self.failed.contains(environment, secret, version)
    }

    /// The consumers that roll now.
    pub fn rolling(&self) -> usize {
        self.apps.values().filter(|app| app.rolling).map(App::size).sum()
    }
}

impl App {
    /// How much of a limit it takes.
    fn size(&self) -> usize {
        // Where it is not known, it rolled before this process began.
        self.consumers.unwrap_or(1)
    }
}

/// An app that may go on as far as it is itself concerned, and since when it waits.
type Waiting<'a> = (Option<Timestamp>, &'a Member, &'a App);

/// What rolls now.
#[derive(Default)]
struct Busy {
    all: usize,
    environments: BTreeMap<EnvironmentName, usize>,
    /// The versions with which something rolls.
    tried: Marks,
}

impl Busy {
    fn of(apps: &BTreeMap<Member, App>) -> Self {
        let mut busy = Self::default();
        for ((environment, _), app) in apps.iter().filter(|(_, app)| app.rolling) {
            busy.add(environment, app.size(), app.pins.iter());
        }
        busy
    }

    fn add<'a>(
        &mut self,
        environment: &EnvironmentName,
        size: usize,
        tries: impl Iterator<Item = (&'a SecretId, &'a Pin)>,
    ) {
        self.all += size;
        *self.environments.entry(environment.clone()).or_default() += size;
        for (secret, pin) in tries {
            self.tried.insert(environment, secret, &pin.version);
        }
    }

    fn of_environment(&self, environment: &EnvironmentName) -> usize {
        self.environments.get(environment).copied().unwrap_or_default()
    }
}

/// The versions that an app would go on to: those that are another than what it has, and with which no app of its environment
/// failed. One that failed does not hold up newer versions of other secrets.
fn newer<'a>(
    failed: &'a Marks,
    environment: &'a EnvironmentName,
    app: &'a App,
) -> impl Iterator<Item = (&'a SecretId, &'a Pin)> {
    app.newest.iter().filter(move |(secret, pin)| {
        app.pins.get(*secret).is_none_or(|old| old.version != pin.version)
            && !failed.contains(environment, secret, &pin.version)
    })
}

/// Versions of secrets that something is known of, by environment.
#[derive(Debug, Default)]
struct Marks(BTreeMap<EnvironmentName, BTreeMap<SecretId, BTreeSet<Box<str>>>>);

impl Marks {
    fn contains(&self, environment: &EnvironmentName, secret: &SecretId, version: &str) -> bool {
        let versions = self.0.get(environment).and_then(|secrets| secrets.get(secret));
        versions.is_some_and(|versions| versions.contains(version))
    }

    fn insert(&mut self, environment: &EnvironmentName, secret: &SecretId, version: &str) {
        if !self.contains(environment, secret, version) {
            let secrets = self.0.entry(environment.clone()).or_default();
            secrets.entry(secret.clone()).or_default().insert(version.into());
        }
    }

    fn remove(&mut self, environment: &EnvironmentName, secret: &SecretId, version: &str) {
        if let Some(versions) = self.0.get_mut(environment).and_then(|secrets| secrets.get_mut(secret)) {
            versions.remove(version);
        }
    }

    /// Keeps of an environment what is among these.
    fn keep(&mut self, environment: &EnvironmentName, wanted: &Self) {
        let Some(secrets) = self.0.get_mut(environment) else { return };
        for (secret, versions) in secrets.iter_mut() {
            versions.retain(|version| wanted.contains(environment, secret, version));
        }
        secrets.retain(|_, versions| !versions.is_empty());
        if secrets.is_empty() {
            self.0.remove(environment);
        }
    }
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

    /// Takes the newest versions of an app with so many consumers that was rendered.
    fn hear(rotation: &mut Rotation, of: &Member, newest: Versions, consumers: usize, now: Timestamp) {
        rotation.hear(of, newest, now);
        rotation.count(of, consumers);
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
            apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", version), 1, at(0)));
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
            apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", version), 1, at(0)));
        }
        assert_eq!(rotation.release(at(0)).len(), 1);
        rotation.ended(&apps[0], Verdict::Failed);
        assert!(rotation.release(at(1000)).is_empty());
        let (secret, _) = versions("db", "2").pop_first().expect("one");
        assert!(rotation.has_failed(&apps[1].0, &secret, "2"));
        apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", "3"), 1, at(1001)));
        assert_eq!(rotation.release(at(1001)), [apps[1].clone()], "it waited longer");
        rotation.ended(&apps[1], Verdict::Well);
        assert_eq!(rotation.release(at(1002)), [apps[0].clone()]);
        assert_eq!(version(&rotation, &apps[0]), "3");
    }

    #[test]
    fn a_commit_takes_the_newest_version_with_it() {
        let mut rotation = Rotation::default();
        let app = member("dev", "a");
        hear(&mut rotation, &app, versions("db", "1"), 1, at(0));
        assert!(!rotation.commit(&app));
        hear(&mut rotation, &app, versions("db", "2"), 1, at(0));
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
                apps.iter().for_each(|app| hear(&mut rotation, app, of(version), 1, at(0)));
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
        hear(&mut rotation, &app, versions("db", "0"), 1, at(0));
        let mut rolled = 0;
        for second in 1..=600 {
            hear(&mut rotation, &app, versions("db", &second.to_string()), 1, at(second));
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
            apps.iter().for_each(|app| hear(&mut rotation, app, versions("db", version), 1, at(0)));
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
        hear(&mut rotation, &app, versions("db", "2"), 1, at(0));
        assert_eq!(version(&rotation, &app), "1");
        assert_eq!(rotation.release(at(0)).len(), 1);
        assert_eq!(version(&rotation, &app), "2");
    }

    /// Three thousand secrets of ten environments change in the same second.
    #[test]
    fn however_many_change_together_the_limits_hold_and_all_get_their_turn() {
        let limits = Limits { cluster: 12, environment: 4, pause: SignedDuration::from_secs(60) };
        for seed in 0..2 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut rotation = Rotation::new(limits);
            let members: Vec<Member> =
                (0..3000).map(|n| member(&format!("e{}", n % 10), &format!("a{n}"))).collect();
            for (n, of) in members.iter().enumerate() {
                let consumers = random.usize(1..=3);
                hear(&mut rotation, of, versions(&format!("s{n}"), "1"), consumers, at(0));
                hear(&mut rotation, of, versions(&format!("s{n}"), "2"), consumers, at(0));
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
