//! The apps of one environment and the secrets that they refer to: with which versions each is rendered, what it waits for,
//! and whether it is well with them. [`Rotation`] says whose turn it is; this says what there is to take turns about.
//!
//! ```text
//!   rendered ──► want ──► look, take ──► Rotation ──release──► pins ──► rendered anew ──► hear ──ended──► Rotation
//!                            ▲                                                            │
//!                            └─── what an app is well with, for those that read its Secrets ┘
//! ```
//!
//! An app that reads a Secret of another one goes on to a version when that other is well with it: before that, the Secret
//! may not hold it yet.

mod statuses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Known, Member, Rotation, Verdict, Versions, unusable};
use crate::api::{AppPhase, AppStatus, OnRotationFailure, SecretRule, strategy_of};
use crate::object::secret::{Beside, Pin, Pins, Plaintext, SecretId, SecretName, Values, keys_of};
use crate::object::{AppName, Digest, EnvironmentName};
use crate::plan::{Consumer, Reading, SealedSecret, WantedApp};
use crate::rollout::Phase;
use crate::state::{AppMemory, WithSecrets};

/// What was read of secrets so far.
pub trait Readings {
    fn known(&self, secret: &SecretId) -> Option<Known>;

    /// The value of one version, where it is at hand. One that is not may be read for it, and be there later.
    fn value(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>>;

    /// The same, where nothing is to be read for it.
    fn at_hand(&self, secret: &SecretId, version: &str) -> Option<Arc<Plaintext>>;
}

/// What the apps of an environment refer to and read, by app.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    /// Their Secrets that hold references.
    pub sealed: BTreeMap<AppName, Arc<Vec<SealedSecret>>>,
    /// Their objects that read Secrets, be it of other apps.
    pub consumers: BTreeMap<AppName, Arc<Vec<Consumer>>>,
}

/// Secrets of an app, with versions that its pods may have been given.
pub type GivenSecrets = (Arc<Vec<SealedSecret>>, BTreeMap<SecretId, Box<str>>);

/// The newest versions that can be used, by app.
pub struct Usable(BTreeMap<AppName, Versions>);

/// A Secret of another app.
#[derive(Clone, Debug, PartialEq)]
pub struct Lent {
    pub owner: AppName,
    /// What it refers to.
    pub secrets: BTreeSet<SecretId>,
}

impl Uses {
    fn owners(&self) -> BTreeMap<&SecretName, (&AppName, &SealedSecret)> {
        let all = self.sealed.iter().flat_map(|(app, sealed)| sealed.iter().map(move |secret| (app, secret)));
        all.map(|(app, secret)| (&secret.name, (app, secret))).collect()
    }

    /// The Secrets of other apps for which workloads of an app are rolled, by app.
    pub fn lent(&self) -> BTreeMap<AppName, BTreeMap<SecretName, Lent>> {
        let owners = self.owners();
        let mut lent: BTreeMap<AppName, BTreeMap<SecretName, Lent>> = BTreeMap::new();
        for (app, consumers) in &self.consumers {
            for consumer in consumers.iter().filter(|consumer| consumer.reading == Reading::Rolled) {
                let Some((owner, secret)) = owners.get(&consumer.secret) else { continue };
                if *owner != app {
                    let secrets = secret.sealed.secrets().into_iter().cloned().collect();
                    let of = Lent { owner: (*owner).clone(), secrets };
                    lent.entry(app.clone()).or_default().insert(consumer.secret.clone(), of);
                }
            }
        }
        lent
    }

    /// The objects of all apps that read the Secrets of an app and are not rolled for them, by that app.
    fn unrolled(&self) -> BTreeMap<AppName, Vec<Consumer>> {
        let owners = self.owners();
        let mut unrolled: BTreeMap<AppName, Vec<Consumer>> = BTreeMap::new();
        let all = self.consumers.values().flat_map(|consumers| consumers.iter());
        for consumer in all.filter(|consumer| consumer.reading != Reading::Rolled) {
            if let Some((owner, _)) = owners.get(&consumer.secret) {
                unrolled.entry((*owner).clone()).or_default().push(consumer.clone());
            }
        }
        unrolled
    }
}

/// What an app refers to, and how it stands.
#[derive(Default)]
struct App {
    sealed: Arc<Vec<SealedSecret>>,
    /// The objects of all apps that read its Secrets and are not rolled for them.
    unrolled: Vec<Consumer>,
    /// Secrets of other apps for which its workloads are rolled.
    beside: BTreeMap<SecretName, Lent>,
    /// Why a secret cannot be used in its newest version, or not be read.
    troubles: BTreeMap<SecretId, String>,
    said: Option<Said>,
    /// What it was rendered to before that, the newest last, as far as it may still turn out to be well with it.
    earlier: Vec<Said>,
    /// What git said when it was rendered last, be it before a restart.
    content: Option<Digest>,
    /// It could not be rendered; with what was known to be wrong then.
    unrendered: Option<(BTreeMap<SecretId, String>, Versions)>,
    /// The versions with which it passed its gates last: those that its pods may run with.
    proven: BTreeMap<SecretId, Box<str>>,
    /// What git said of it then.
    proven_content: Option<Digest>,
}

impl App {
    fn own(&self) -> BTreeSet<SecretId> {
        self.sealed.iter().flat_map(|secret| secret.sealed.secrets()).cloned().collect()
    }

    fn lent(&self) -> impl Iterator<Item = (&AppName, &SecretId)> {
        self.beside.values().flat_map(|lent| lent.secrets.iter().map(|secret| (&lent.owner, secret)))
    }

    /// Takes with what it passed its gates before it was told of anything newer, where that was heard of only now. Says whether
    /// it is with others than were known.
    fn was_well(&mut self, status: &AppStatus) -> bool {
        let is_effective = |said: &Said| status.effective.as_ref() == Some(&said.digest);
        let Some(at) = self.earlier.iter().position(is_effective) else { return false };
        let Some(said) = self.earlier.drain(..=at).next_back() else { return false };
        let versions = said.secrets.into_iter().filter_map(|(secret, version)| Some((secret, version?)));
        let versions: BTreeMap<_, _> = versions.collect();
        let is_news = self.proven != versions;
        (self.proven, self.proven_content) = (versions, Some(said.content));
        is_news
    }

    /// All that it runs with.
    fn all(&self) -> BTreeSet<SecretId> {
        self.own().into_iter().chain(self.lent().map(|(_, secret)| secret.clone())).collect()
    }
}

/// So many renderings of an app are remembered to which it may yet turn out to have come.
const EARLIER: usize = 8;

/// What an app was rendered to.
struct Said {
    digest: Digest,
    content: Digest,
    /// The workloads that read configuration.
    consumers: usize,
    secrets: BTreeMap<SecretId, Option<Box<str>>>,
}

/// The apps of an environment, as users of secrets.
pub struct Apps {
    environment: EnvironmentName,
    apps: BTreeMap<AppName, App>,
    rules: Vec<SecretRule>,
}

impl Apps {
    pub fn new(environment: EnvironmentName) -> Self {
        Self { environment, apps: BTreeMap::new(), rules: Vec::new() }
    }

    fn member(&self, app: &AppName) -> Member {
        (self.environment.clone(), app.clone())
    }

    /// Takes with which versions an app ran before this process began, which of it failed, and which it was going on to.
    pub fn remember(&mut self, rotation: &mut Rotation, app: &AppName, known: &AppMemory) {
        let good = known.last_good.as_ref().and_then(|good| good.secrets.as_deref());
        let aside = known.quarantined.as_ref().and_then(|aside| aside.secrets.as_deref());
        let under_way = known.rolling.as_ref().filter(|_| known.quarantined.is_none());
        let rolling = under_way.and_then(|rolling| rolling.secrets.as_deref());
        let is_halted = under_way.is_some_and(|rolling| matches!(rolling.state.phase, Phase::Halted { .. }));
        let (failed, rolling) = match is_halted {
            true => (aside.or(rolling), None),
            false => (aside, rolling),
        };
        let Some(newest) = failed.or(rolling).or(good) else { return };
        let pin = |version| Pin { version, keys: BTreeMap::new(), old_works: false };
        let pins = |of: &WithSecrets| -> Versions {
            of.versions().into_iter().map(|(secret, version)| (secret, pin(version))).collect()
        };
        let before = good.map(pins).unwrap_or_default();
        let known = self.apps.entry(app.clone()).or_default();
        known.proven = good.map(WithSecrets::versions).unwrap_or_default();
        known.content = Some(newest.content.clone());
        known.proven_content = good.map(|good| good.content.clone());
        // A commit that failed says nothing of its versions.
        let is_rotation = failed.zip(good).is_some_and(|(failed, good)| failed.content == good.content);
        let member = self.member(app);
        rotation.remember(&member, pins(newest), before, is_rotation);
        let same = |rolling: &WithSecrets, good: &WithSecrets| rolling.content == good.content;
        if rolling.zip(good).is_some_and(|(rolling, good)| same(rolling, good) && rolling != good) {
            rotation.resume(&member);
        }
    }

    /// Takes what apps refer to and read. Says which secrets are to be read for it.
    pub fn want(&mut self, rotation: &mut Rotation, uses: &Uses, rules: &[SecretRule]) -> BTreeSet<SecretId> {
        self.rules = rules.to_vec();
        let (mut beside, mut unrolled) = (uses.lent(), uses.unrolled());
        self.apps.retain(|app, _| uses.sealed.contains_key(app) || beside.contains_key(app));
        for app in uses.sealed.keys().chain(beside.keys()) {
            self.apps.entry(app.clone()).or_default();
        }
        for (name, app) in &mut self.apps {
            app.sealed = uses.sealed.get(name).cloned().unwrap_or_default();
            app.beside = beside.remove(name).unwrap_or_default();
            app.unrolled = unrolled.remove(name).unwrap_or_default();
        }
        rotation.retain(&self.environment, |app| self.apps.contains_key(app));
        self.secrets()
    }

    /// All that is referred to.
    pub fn secrets(&self) -> BTreeSet<SecretId> {
        self.apps.values().flat_map(App::own).collect()
    }

    /// Whether an app refers to secrets, or reads Secrets that do.
    pub fn concerns(&self, app: &AppName) -> bool {
        self.apps.contains_key(app)
    }

    /// Looks at what was read by now, and finds the newest versions that can be used.
    pub fn look(&mut self, readings: &dyn Readings, now: Timestamp) -> Usable {
        let mut usable = BTreeMap::new();
        let names: Vec<AppName> = self.apps.keys().cloned().collect();
        for name in names {
            let Some(app) = self.apps.get(&name) else { continue };
            let (newest, mut troubles) = self.newest(app, readings);
            if newest.len() == app.own().len() {
                let faults = unusable(&app.sealed, &Newest { readings, versions: &newest }, now);
                if faults.is_empty() {
                    usable.insert(name.clone(), newest);
                } else {
                    troubles.extend(faults);
                }
            }
            if let Some(app) = self.apps.get_mut(&name) {
                app.troubles = troubles;
            }
        }
        Usable(usable)
    }

    /// Takes the newest versions that can be used. An app that lacks one of them goes on with what it has.
    pub fn take(&self, rotation: &mut Rotation, usable: &Usable, now: Timestamp) {
        // Twice: what an app reads of another hangs on what that one begins with.
        for _ in 0..2 {
            for (name, newest) in &usable.0 {
                let Some(app) = self.apps.get(name) else { continue };
                let newest = self.with_lent(rotation, name, app, newest.clone());
                rotation.hear(&self.member(name), newest, now);
            }
        }
    }

    /// The newest versions of what an app itself refers to.
    fn newest(&self, app: &App, readings: &dyn Readings) -> (Versions, BTreeMap<SecretId, String>) {
        let (mut newest, mut troubles) = (Versions::new(), BTreeMap::new());
        for id in app.own() {
            let Some(known) = readings.known(&id) else { continue };
            if let Some(read) = known.read {
                let mut keys = BTreeMap::new();
                for whole in app.sealed.iter().filter_map(|secret| secret.sealed.whole()) {
                    if whole.secret == id
                        && let Ok(found) = keys_of(&read.value, &whole.key)
                    {
                        keys.insert(whole.key.clone(), found);
                    }
                }
                let old_works = strategy_of(&self.rules, &id).1 == OnRotationFailure::Previous;
                newest.insert(id.clone(), Pin { version: read.version.id.clone(), keys, old_works });
            }
            if let Some(trouble) = known.trouble {
                troubles.insert(id, trouble.to_string());
            }
        }
        (newest, troubles)
    }

    /// Adds the versions of Secrets of other apps: those that the others are well with, or begin with.
    fn with_lent(&self, rotation: &Rotation, name: &AppName, app: &App, newest: Versions) -> Versions {
        let mut all = newest;
        let own = app.own();
        let pinned = rotation.pins(&self.member(name));
        for (owner, id) in app.lent() {
            let Some(lender) = self.apps.get(owner) else { continue };
            let begins_with = rotation.pins(&self.member(owner)).and_then(|pins| pins.get(id));
            let version = lender.proven.get(id).or(begins_with.map(|pin| &pin.version));
            let current = pinned.and_then(|pins| pins.get(id));
            if !own.contains(id) {
                // Going back to an older version of its own does no harm to what it reads of others.
                let pin =
                    |version: &str| Pin { version: version.into(), keys: BTreeMap::new(), old_works: true };
                if let Some(pin) = version.map(|version| pin(version)).or_else(|| current.cloned()) {
                    all.insert(id.clone(), pin);
                }
            } else if !lender.lent().any(|(other, theirs)| other == name && theirs == id)
                && let (Some(current), Some(newest)) = (current, all.get_mut(id))
                && version.is_some_and(|version| *version != newest.version)
            {
                // It refers to the same secret, and is rolled once for both. Where each waits for the other, nobody waits.
                newest.clone_from(current);
            }
        }
        all
    }

    /// The versions whose values may still have to be written, or be gone back to.
    pub fn needed(&self, rotation: &Rotation) -> BTreeSet<(SecretId, Box<str>)> {
        let mut needed: BTreeSet<(SecretId, Box<str>)> = BTreeSet::new();
        for (name, app) in &self.apps {
            let pins = rotation.pins(&self.member(name)).into_iter().flatten();
            let pins = pins.map(|(secret, pin)| (secret, &pin.version));
            let said = app.said.iter().flat_map(|said| &said.secrets);
            let said = said.filter_map(|(secret, version)| Some((secret, version.as_ref()?)));
            // What its pods may run with is what it may have to go back to.
            let all = pins.chain(&app.proven).chain(said);
            needed.extend(all.map(|(secret, version)| (secret.clone(), version.clone())));
        }
        needed
    }

    /// The versions that an app is to be rendered with.
    pub fn pins(&self, rotation: &Rotation, readings: &dyn Readings, name: &AppName) -> Pins {
        let pins = rotation.pins(&self.member(name)).cloned().unwrap_or_default();
        let mut known: BTreeMap<SecretId, Result<Pin, String>> =
            pins.into_iter().map(|(secret, pin)| (secret, Ok(pin))).collect();
        let Some(app) = self.apps.get(name) else { return Pins::read(known) };
        for (secret, why) in &app.troubles {
            // What runs goes on with what it has.
            known.entry(secret.clone()).or_insert_with(|| Err(why.clone()));
        }
        if !app.troubles.is_empty() {
            // Those that could be read are not what it waits for.
            for (secret, pin) in self.newest(app, readings).0 {
                known.entry(secret).or_insert(Ok(pin));
            }
        }
        let beside = app.beside.iter().map(|(name, lent)| (name.clone(), lent.secrets.clone()));
        Pins::read(known).with_beside(beside.collect::<Beside>())
    }

    /// Takes that an app could not be rendered.
    pub fn unrendered(&mut self, rotation: &mut Rotation, name: &AppName) {
        let member = self.member(name);
        let pins = rotation.pins(&member).cloned().unwrap_or_default();
        if let Some(app) = self.apps.get_mut(name) {
            app.unrendered = Some((app.troubles.clone(), pins));
            // It may be that only a newer version can be rendered, as where the keys of an older one are not known any more.
            rotation.count(&member, app.said.as_ref().map_or(1, |said| said.consumers));
        }
    }

    /// Whether some app would be rendered to something else now.
    pub fn is_behind(&self, rotation: &Rotation) -> bool {
        self.apps.iter().any(|(name, app)| {
            let pins = rotation.pins(&self.member(name)).cloned().unwrap_or_default();
            match (&app.unrendered, &app.said) {
                (Some((troubles, had)), _) => app.troubles != *troubles || pins != *had,
                (None, Some(said)) => !is_said(said, &pins),
                (None, None) => !pins.is_empty(),
            }
        })
    }

    /// Takes what an app was rendered to. Where git says something else than before, it goes on to the newest versions with
    /// it, and has to be rendered once more where there are newer ones.
    pub fn rendered(&mut self, rotation: &mut Rotation, wanted: &WantedApp) {
        let member = self.member(&wanted.app);
        let Some(app) = self.apps.get_mut(&wanted.app) else { return };
        app.unrendered = None;
        let before = app.content.replace(wanted.content.clone());
        let is_read = |object: &&Arc<crate::plan::Wanted>| object.config.is_some() || object.shared.is_some();
        let consumers = wanted.objects.iter().filter(is_read).count();
        let (digest, content) = (wanted.digest.clone(), wanted.content.clone());
        let said = Said { digest, content, consumers, secrets: wanted.secrets.clone() };
        app.earlier.extend(app.said.replace(said).filter(|said| said.digest != wanted.digest));
        let too_many = app.earlier.len().saturating_sub(EARLIER);
        app.earlier.drain(..too_many);
        rotation.count(&member, consumers);
        if before.is_some_and(|before| before != wanted.content) {
            rotation.commit(&member);
        }
    }

    /// Takes where the apps stand: whether those that rolled for newer versions are well. Says whether any is well with
    /// others than before, which those may wait for that read its Secrets.
    pub fn hear(&mut self, rotation: &mut Rotation, statuses: &[AppStatus]) -> bool {
        let mut is_news = false;
        for status in statuses {
            let member = self.member(&status.name);
            let Some(app) = self.apps.get_mut(&status.name) else { continue };
            is_news |= app.was_well(status);
            let Some(said) = &app.said else { continue };
            let pins = rotation.pins(&member).cloned().unwrap_or_default();
            if status.desired.as_ref() != Some(&said.digest) || !is_said(said, &pins) {
                continue; // It was not told of its newest versions yet.
            }
            let content = said.content.clone();
            // A commit that was taken back says nothing of the versions with which what ran before it goes on.
            let is_rotation = app.proven_content.as_ref().is_some_and(|proven| *proven == content);
            let verdict = match status.phase {
                AppPhase::Ready if status.effective.as_ref() == Some(&said.digest) => Verdict::Well,
                AppPhase::Restoring if !is_rotation => continue,
                AppPhase::Halted | AppPhase::Restored | AppPhase::Refused if !is_rotation => Verdict::Left,
                AppPhase::Halted | AppPhase::Restoring | AppPhase::Restored | AppPhase::Refused => {
                    Verdict::Failed
                }
                AppPhase::Suspended | AppPhase::RollingBack | AppPhase::RolledBack => Verdict::Left,
                AppPhase::Applying | AppPhase::Waiting => {
                    let is_new = |(secret, pin): (_, &Pin)| app.proven.get(secret) != Some(&pin.version);
                    if is_rotation && pins.iter().any(is_new) {
                        // A person may have it tried again, whosever turn it is; others wait for it all the same.
                        rotation.resume(&member);
                    }
                    continue;
                }
                _ => continue,
            };
            let versions = pins.into_iter().map(|(secret, pin)| (secret, pin.version)).collect();
            let is_known = match verdict {
                Verdict::Well => app.proven == versions && app.proven_content.as_ref() == Some(&content),
                Verdict::Failed | Verdict::Left => true,
            };
            if is_known && !rotation.is_rolling(&member) {
                continue;
            }
            if verdict == Verdict::Well {
                app.proven = versions;
                app.proven_content = Some(content);
                is_news = true;
            }
            rotation.ended(&member, verdict);
        }
        is_news
    }

    /// The Secrets of apps, with each of the versions that their pods may have been given.
    pub fn given(&self, rotation: &Rotation) -> Vec<GivenSecrets> {
        let mut given = Vec::new();
        for (name, app) in &self.apps {
            let pins = rotation.pins(&self.member(name)).into_iter().flatten();
            let pinned = pins.map(|(secret, pin)| (secret.clone(), pin.version.clone())).collect();
            given.extend([pinned, app.proven.clone()].map(|versions| (app.sealed.clone(), versions)));
        }
        given
    }
}

/// Whether an app was rendered with these versions.
fn is_said(said: &Said, pins: &Versions) -> bool {
    pins.iter().all(|(secret, pin)| said.secrets.get(secret).and_then(Option::as_ref) == Some(&pin.version))
}

/// Values in the newest versions.
struct Newest<'a> {
    readings: &'a dyn Readings,
    versions: &'a Versions,
}

impl Values for Newest<'_> {
    fn value(&self, secret: &SecretId) -> Option<Arc<Plaintext>> {
        self.readings.value(secret, &self.versions.get(secret)?.version)
    }
}
