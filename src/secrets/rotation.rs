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

mod marks;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::object::secret::{Pin, SecretId};
use crate::object::{AppName, EnvironmentName};
use marks::{Failed, IsNewTo, Marks};

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
    /// What it was pinned to before it last went on, as far as it did not fail with that.
    before: Versions,
    newest: Versions,
    /// How many workloads of it read some; not known before it was rendered.
    consumers: Option<usize>,
    rolling: bool,
    /// Nobody waits for the end of its rollout any more.
    given_up: bool,
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
    failed: Failed,
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
        if have_failed {
            let tried = pins.iter().filter(|(secret, pin)| !is_before(secret, &pin.version));
            let tried = tried.map(|(secret, pin)| (secret.clone(), pin.version.clone()));
            self.failed.insert(of, &tried.collect());
        }
        for (secret, pin) in pins {
            app.pins.entry(secret).or_insert(pin);
        }
        app.before = before;
    }

    /// Takes that an app is going on to its pins although it was not its turn: it was when the process before this one ended, or
    /// a person wants it to be tried again. It counts as what rolls.
    pub fn resume(&mut self, of: &Member) {
        if let Some(app) = self.apps.get_mut(of)
            && !app.rolling
            && !app.given_up
        {
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
        match app.pins == app.newest {
            true => app.pending_since = None,
            false => app.pending_since = app.pending_since.or(Some(now)),
        }
    }

    /// Takes that an app is rolled out for another reason, and has it go on to the newest versions with it; but for those that
    /// failed, where the version before still works. Says whether any is another.
    pub fn commit(&mut self, of: &Member) -> bool {
        let Some(app) = self.apps.get_mut(of) else { return false };
        let next = next(&self.failed, &of.0, app, &app.newest);
        let is_other = app.pins != next;
        app.pins = next;
        // What becomes of it now says nothing of the versions alone.
        (app.rolling, app.given_up) = (false, false);
        if app.pins == app.newest {
            app.pending_since = None;
        }
        is_other
    }

    /// Takes how the rollout ended in which an app went on to its pins. One that is well at last, as after a person's word to
    /// try again, has failed no more. Of several versions that failed together any may be to blame: once one of them is
    /// replaced by a newer one that works, the others are tried again.
    pub fn ended(&mut self, of: &Member, verdict: Verdict) {
        let Some(app) = self.apps.get_mut(of) else { return };
        let was_rolling = std::mem::take(&mut app.rolling);
        app.given_up = false;
        match verdict {
            Verdict::Well => {
                self.failed.are_well(of, &app.pins, |secret, pin, to| {
                    let is_other = app.before.get(secret).is_none_or(|before| before.version != pin.version);
                    to == IsNewTo::App && was_rolling && is_other
                        || !self.proven.contains(&of.0, secret, &pin.version)
                });
                for (secret, pin) in &app.pins {
                    self.proven.insert(&of.0, secret, &pin.version);
                }
            }
            Verdict::Failed if was_rolling => {
                let is_new =
                    |(secret, pin): &(&SecretId, &Pin)| !self.proven.contains(&of.0, secret, &pin.version);
                let tried = app.pins.iter().filter(is_new);
                let tried = tried.map(|(secret, pin)| (secret.clone(), pin.version.clone())).collect();
                self.failed.insert(of, &tried);
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
        for app in self.apps.values_mut().filter(|app| app.rolling) {
            // One that was resumed began before, nobody knows when.
            app.began.get_or_insert(now);
            if is_over(app) {
                (app.rolling, app.given_up) = (false, true);
            }
        }
        let chosen = self.choose(now);
        for of in &chosen {
            self.turn += 1;
            self.turns.insert(of.0.clone(), self.turn);
            let Some(app) = self.apps.get_mut(of) else { continue };
            let newer = newer(&self.failed, &of.0, app);
            let newer: Versions = newer.map(|(secret, pin)| (secret.clone(), pin.clone())).collect();
            let next = next(&self.failed, &of.0, app, &newer);
            let works =
                |(secret, pin): &(&SecretId, &Pin)| !self.failed.contains(&of.0, secret, &pin.version);
            let works = app.pins.iter().filter(works).map(|(secret, pin)| (secret.clone(), pin.clone()));
            app.before.extend(works);
            app.before.retain(|secret, _| app.pins.contains_key(secret));
            app.pins = next;
            (app.rolling, app.given_up, app.began) = (app.size() > 0, false, Some(now));
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
        let newer: Versions = newer(&self.failed, environment, app)
            .map(|(secret, pin)| (secret.clone(), pin.clone()))
            .collect();
        let next = next(&self.failed, environment, app, &newer);
        let is_free = |(secret, pin): (&SecretId, &Pin)| {
            self.proven.contains(environment, secret, &pin.version)
                || !busy.tried.contains(environment, secret, &pin.version)
        };
        // One that halted with what it has tries that once more.
        !newer.is_empty() && next.iter().all(is_free)
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
    failed: &'a Failed,
    environment: &'a EnvironmentName,
    app: &'a App,
) -> impl Iterator<Item = (&'a SecretId, &'a Pin)> {
    app.newest.iter().filter(move |(secret, pin)| {
        app.pins.get(*secret).is_none_or(|old| old.version != pin.version)
            && !failed.contains(environment, secret, &pin.version)
    })
}

/// What an app goes on to with some newer versions. Of what cannot be read it keeps what it has; in place of what failed it has
/// the version before, where that still works.
fn next(failed: &Failed, environment: &EnvironmentName, app: &App, newer: &Versions) -> Versions {
    let mut next = app.pins.clone();
    next.extend(newer.iter().map(|(secret, pin)| (secret.clone(), pin.clone())));
    let has_failed = |secret: &SecretId, pin: &Pin| failed.contains(environment, secret, &pin.version);
    for (secret, pin) in next.iter_mut().filter(|(_, pin)| pin.old_works) {
        if !has_failed(secret, pin) {
            continue;
        }
        let older = [app.pins.get(secret), app.before.get(secret)].into_iter().flatten();
        if let Some(works) = older.into_iter().find(|older| !has_failed(secret, older)) {
            pin.clone_from(works);
        }
    }
    next
}

#[cfg(test)]
mod tests;
