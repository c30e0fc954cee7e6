//! An API server: objects by what was applied, each with its uid and version, and a log of all that changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chance::{Chance, Millis, Storm};
use super::content::{Fate, Taken, fate_of, live, pods_of};
use super::others::{Others, Work};
use super::pods::Pods;
use crate::health::{Assessed, Health, Status};
use crate::object::{Digest, Live, ObjectKey};
use crate::plan::{RefusalKind, Wanted};

#[derive(Clone)]
pub struct Object {
    /// What was applied last.
    pub wanted: Arc<Wanted>,
    pub taken: Taken,
    pub live: Arc<Live>,
    pub pods: Option<Pods>,
    /// When it is gone, if it is being deleted.
    gone: Option<Millis>,
}

/// Something that changed: what is there now, if anything.
pub struct Logged {
    pub key: ObjectKey,
    pub version: u64,
    pub seen: Option<Assessed>,
}

#[derive(Default)]
pub struct Server {
    pub objects: BTreeMap<ObjectKey, Object>,
    pub log: Vec<Logged>,
    /// Who else works on the objects.
    pub others: Others,
    last: u64,
}

impl Object {
    fn health(&self) -> Health {
        if self.live.deleting {
            return Health::terminating("it is being deleted");
        }
        match &self.pods {
            Some(pods) => pods.health(),
            None => Health::new(Status::Healthy, "Exists", "it exists"),
        }
    }

    /// When it changes by itself.
    fn next(&self) -> Option<Millis> {
        self.gone.or_else(|| self.pods.as_ref().and_then(Pods::next))
    }

    /// Whether it holds all of what is wanted, and nobody else any of it.
    pub fn is(&self, digest: &Digest) -> bool {
        let taken = self.taken.content || self.taken.all;
        !self.live.deleting && !taken && self.wanted.digest == *digest
    }
}

impl Server {
    fn version(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Writes down what became of an object, in a new version.
    fn note(&mut self, key: &ObjectKey) -> Arc<Live> {
        let version = self.version();
        let object = self.objects.get_mut(key).expect("it is there");
        let mut now = live(&object.wanted, object.taken);
        now.uid = object.live.uid.clone();
        now.resource_version = version.to_string().into();
        now.deleting = object.gone.is_some();
        object.live = Arc::new(now);
        let seen = Assessed { live: object.live.clone(), health: object.health() };
        self.log.push(Logged { key: key.clone(), version, seen: Some(seen) });
        self.objects[key].live.clone()
    }

    fn make(&mut self, wanted: &Arc<Wanted>, taken: Taken, pods: Option<Pods>) -> Arc<Live> {
        let uid = format!("u{}", self.version());
        let mut first = live(wanted, taken);
        first.uid = uid.into();
        let object = Object { wanted: wanted.clone(), taken, live: Arc::new(first), pods, gone: None };
        self.objects.insert(wanted.key.clone(), object);
        self.note(&wanted.key)
    }

    /// Applies what is wanted. Of an object that was looked at, only to that one as it was then.
    pub fn apply(
        &mut self,
        wanted: &Arc<Wanted>,
        planned: Option<&Live>,
        (force, withheld): (bool, bool),
        chance: &mut Chance,
    ) -> Result<(Arc<Live>, bool), (RefusalKind, &'static str)> {
        if matches!(fate_of(wanted), Fate::Denied | Fate::DeniedLate) {
            return Err((RefusalKind::Invalid, "a webhook denied it"));
        }
        let mut taken = Taken { replicas: withheld, ..Taken::default() };
        let Some(object) = self.objects.get(&wanted.key) else {
            if planned.is_some() {
                return Err((RefusalKind::Conflict, "it is not there any more"));
            }
            taken.replicas = false;
            let pods = Pods::of(wanted, chance);
            self.others.notice(&wanted.key, true, chance);
            return Ok((self.make(wanted, taken, pods), true));
        };
        if object.live.deleting {
            return Err((RefusalKind::BeingDeleted, "it is being deleted"));
        }
        if let Some(planned) = planned {
            let now = &object.live;
            let same =
                (&now.uid, &now.applied, &now.owned) == (&planned.uid, &planned.applied, &planned.owned);
            if !same && now.uid == planned.uid && object.is(&wanted.digest) {
                return Ok((object.live.clone(), false)); // By ourselves.
            }
            if !same {
                return Err((RefusalKind::Conflict, "it changed in the meantime"));
            }
        }
        let scaled = object.taken.replicas && !withheld;
        if !force && (object.taken.content || object.taken.all || scaled) {
            return Err((RefusalKind::Conflict, "others hold its fields"));
        }
        if object.is(&wanted.digest) && object.taken == taken {
            return Ok((object.live.clone(), false));
        }
        let restarts = pods_of(&object.wanted) != pods_of(wanted) || object.taken.content;
        let pods = if restarts { Pods::of(wanted, chance) } else { object.pods.clone() };
        let object = self.objects.get_mut(&wanted.key).expect("it is there");
        (object.wanted, object.taken, object.pods) = (wanted.clone(), taken, pods);
        self.others.notice(&wanted.key, scaled, chance);
        Ok((self.note(&wanted.key), false))
    }

    /// Makes the Job of a hook, if none of its name is there.
    pub fn create(&mut self, job: &Arc<Wanted>, limit: Millis, chance: &mut Chance) -> Option<Arc<Live>> {
        if self.objects.contains_key(&job.key) {
            return None;
        }
        let pods = Some(Pods::run(job, limit, chance));
        Some(self.make(job, Taken::default(), pods))
    }

    /// Deletes an object, of this uid where one is given. Says whether it was there.
    pub fn delete(&mut self, key: &ObjectKey, uid: Option<&str>, chance: &mut Chance) -> bool {
        let Some(object) = self.objects.get_mut(key) else { return false };
        if uid.is_some_and(|uid| uid != &*object.live.uid) {
            return false;
        }
        if object.gone.is_some() {
            return true;
        }
        let held = chance.until(Storm::Held);
        if object.pods.is_none() && held.is_none() {
            self.remove(key);
            return true;
        }
        object.gone = Some(held.unwrap_or(chance.now) + chance.between(200, 4000));
        self.note(key);
        true
    }

    fn remove(&mut self, key: &ObjectKey) {
        self.objects.remove(key);
        let version = self.version();
        self.log.push(Logged { key: key.clone(), version, seen: None });
    }

    /// Somebody edits an object: its data, or the image of its pods.
    pub fn edit(&mut self, key: &ObjectKey, fate: Fate, chance: &mut Chance) {
        let Some(object) = self.objects.get_mut(key).filter(|object| object.gone.is_none()) else { return };
        object.taken.content = true;
        if object.pods.is_some() {
            object.pods = Some(Pods::start(&object.wanted, fate, chance));
        }
        self.note(key);
    }

    /// Somebody makes an object that is not there.
    pub fn claim(&mut self, wanted: &Arc<Wanted>, chance: &mut Chance) {
        if !self.objects.contains_key(&wanted.key) {
            let pods = Pods::of(wanted, chance);
            self.make(wanted, Taken { all: true, ..Taken::default() }, pods);
        }
    }

    /// An autoscaler sets the replicas of an object from now on, or no more.
    pub fn scale(&mut self, key: &ObjectKey, scales: bool, now: Millis) {
        if !scales {
            self.others.scaled.remove(key);
            return;
        }
        self.others.scaled.entry(key.clone()).or_insert(now);
        if let Some(object) = self.objects.get_mut(key).filter(|object| object.gone.is_none()) {
            object.taken.replicas = true;
            self.note(key);
        }
    }

    /// When something changes here by itself.
    pub fn next(&self) -> Option<Millis> {
        self.objects.values().filter_map(Object::next).chain(self.others.next()).min()
    }

    pub fn go_on(&mut self, chance: &mut Chance) {
        let now = chance.now;
        for work in self.others.due(now) {
            match work {
                Work::Edit(key) => self.edit(&key, Fate::Fast, chance),
                Work::Scale(key) => self.scale(&key, true, now),
            }
        }
        let is_due = |object: &Object| object.next().is_some_and(|at| at <= now);
        let due = self.objects.iter().filter(|(_, object)| is_due(object));
        let due: Vec<ObjectKey> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            let Some(object) = self.objects.get_mut(&key) else { continue };
            match object.gone {
                Some(gone) if gone <= now => self.remove(&key),
                Some(_) => {}
                None => {
                    let Some(pods) = object.pods.as_mut() else { continue };
                    if pods.next().is_some_and(|at| at <= now) {
                        pods.go_on();
                        self.note(&key);
                    }
                }
            }
        }
    }
}
