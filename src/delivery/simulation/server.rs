//! An API server: objects by what was applied, each with its uid and version, and a log of all that changed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::chance::{Chance, Millis, Storm};
use super::content::{Fate, Field, Taken, fate_of, live, pods_of};
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
    /// Who set what was taken from us last, and to what.
    pub by: [Option<(&'static str, u64)>; 2],
    /// When it is gone, if it is being deleted.
    gone: Option<Millis>,
}

/// How an object is applied.
#[derive(Clone, Copy, Default)]
pub struct How {
    pub force: bool,
    /// The replicas are not sent.
    pub no_replicas: bool,
    /// These are not sent.
    pub withheld: Taken,
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

    /// Whether it holds all of what is wanted, and nobody else any of it but what is theirs.
    pub fn is(&self, digest: &Digest, is_theirs: impl Fn(Field) -> bool) -> bool {
        let taken = Field::ALL.into_iter().any(|field| self.taken.has(field) && !is_theirs(field));
        !self.live.deleting && !taken && !self.taken.all && self.wanted.digest == *digest
    }

    /// Who set a field that was taken from us last, and to what.
    pub fn setter(&self, field: Field) -> Option<(&'static str, u64)> {
        self.by[field as usize].filter(|_| self.taken.has(field))
    }
}

fn print(by: &[Option<(&'static str, u64)>; 2]) -> u64 {
    let mut hasher = DefaultHasher::new();
    by.hash(&mut hasher);
    hasher.finish()
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
        now.others = print(&object.by);
        object.live = Arc::new(now);
        let seen = Assessed { live: object.live.clone(), health: object.health() };
        self.log.push(Logged { key: key.clone(), version, seen: Some(seen) });
        self.objects[key].live.clone()
    }

    fn make(&mut self, wanted: &Arc<Wanted>, taken: Taken, pods: Option<Pods>) -> Arc<Live> {
        let uid = format!("u{}", self.version());
        let mut first = live(wanted, taken);
        first.uid = uid.into();
        let object =
            Object { wanted: wanted.clone(), taken, live: Arc::new(first), pods, by: [None; 2], gone: None };
        self.objects.insert(wanted.key.clone(), object);
        self.note(&wanted.key)
    }

    /// Applies what is wanted. Of an object that was looked at, only to that one as it was then.
    pub fn apply(
        &mut self,
        wanted: &Arc<Wanted>,
        planned: Option<&Live>,
        how: How,
        chance: &mut Chance,
    ) -> Result<(Arc<Live>, bool), (RefusalKind, &'static str)> {
        if matches!(fate_of(wanted), Fate::Denied | Fate::DeniedLate) {
            return Err((RefusalKind::Invalid, "a webhook denied it"));
        }
        let How { force, no_replicas, withheld } = how;
        let mut taken = Taken { replicas: no_replicas, ..Taken::default() };
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
            if !same && now.uid == planned.uid && object.is(&wanted.digest, |_| false) {
                return Ok((object.live.clone(), false)); // By ourselves.
            }
            if !same {
                return Err((RefusalKind::Conflict, "it changed in the meantime"));
            }
        }
        let scaled = object.taken.replicas && !no_replicas;
        // What is not sent stays theirs who set it.
        for field in Field::ALL {
            taken.set(field, object.taken.has(field) && withheld.has(field));
        }
        let conflicts = Field::ALL.into_iter().any(|field| object.taken.has(field) && !taken.has(field));
        if !force && (conflicts || object.taken.all || scaled) {
            return Err((RefusalKind::Conflict, "others hold its fields"));
        }
        if object.is(&wanted.digest, |field| taken.has(field)) && object.taken == taken {
            return Ok((object.live.clone(), false));
        }
        let is_taken_back = object.taken.content && !taken.content;
        let restarts = !taken.content && (pods_of(&object.wanted) != pods_of(wanted) || is_taken_back);
        let pods = if restarts { Pods::of(wanted, chance) } else { object.pods.clone() };
        let object = self.objects.get_mut(&wanted.key).expect("it is there");
        (object.wanted, object.taken, object.pods) = (wanted.clone(), taken, pods);
        for field in Field::ALL.into_iter().filter(|field| !taken.has(*field)) {
            object.by[field as usize] = None;
        }
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

    /// Somebody sets something beside what an object is for.
    pub fn touch(&mut self, key: &ObjectKey, who: &'static str) {
        let value = self.version();
        let Some(object) = self.objects.get_mut(key).filter(|object| object.gone.is_none()) else { return };
        object.taken.side = true;
        object.by[Field::Side as usize] = Some((who, value));
        self.note(key);
    }

    /// Somebody edits an object: its data, or the image of its pods.
    pub fn edit(&mut self, key: &ObjectKey, fate: Fate, who: &'static str, chance: &mut Chance) {
        let value = self.version();
        let Some(object) = self.objects.get_mut(key).filter(|object| object.gone.is_none()) else { return };
        object.taken.content = true;
        object.by[Field::Content as usize] = Some((who, value));
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
                Work::Edit(key) => self.edit(&key, Fate::Fast, "robot", chance),
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
