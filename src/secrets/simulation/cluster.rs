//! Apps as they are delivered: rolled, gated, taken back or halted, and remembered. It stands for `delivery`, which has stories
//! of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::story::Second;
use crate::api::{AppPhase, AppStatus, SecretRule};
use crate::object::secret::{Sealed, SecretId, SecretName};
use crate::object::{AppName, CONFIG, Digest, EnvironmentName, Gvk, ObjectKey, Place, TreePath};
use crate::plan::{Consumer, Reading, SealedSecret, Wanted, WantedApp};
use crate::rollout::{Halt, Phase, Purpose, State};
use crate::state::{AppMemory, Good, Pieces, Quarantine, Rolling, Stage, WithSecrets};

pub type Names = BTreeMap<SecretId, Box<str>>;

/// What an app is: what git says of it, and with which versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Is {
    pub content: usize,
    pub versions: Names,
}

impl Is {
    pub fn digest(&self) -> Digest {
        let versions = self.versions.iter().map(|(secret, version)| format!("{secret}={version}"));
        Digest::from(format!("{}+{}", self.content, versions.collect::<Vec<_>>().join(",")).as_str())
    }

    fn content_digest(&self) -> Digest {
        Digest::from(self.content.to_string().as_str())
    }

    fn with_secrets(&self) -> Option<Box<WithSecrets>> {
        let versions = self.versions.iter().map(|(secret, version)| (secret.to_string(), version.clone()));
        let versions: BTreeMap<_, _> = versions.collect();
        (!versions.is_empty()).then(|| Box::new(WithSecrets { content: self.content_digest(), versions }))
    }
}

/// A rollout under way.
#[derive(Clone, Debug)]
pub struct Course {
    pub to: Is,
    /// When it is known what becomes of it.
    pub ends: Second,
    pub old_works: bool,
    pub is_back: bool,
    /// What it stood halted with before.
    pub halted: Option<Is>,
}

/// An environment, and who looks after it.
pub struct Environment {
    pub name: EnvironmentName,
    pub apps: Vec<App>,
    pub rules: Vec<SecretRule>,
    pub owner: usize,
}

/// An app in the cluster, and what is remembered of it.
pub struct App {
    pub name: AppName,
    /// What git says; even contents are good ones.
    pub content: usize,
    pub consumers: usize,
    /// The secrets that it refers to.
    pub own: Vec<SecretId>,
    /// The app whose Secret it reads, too.
    pub reads: Option<usize>,
    pub good: Option<Is>,
    /// What failed, where something else runs in its place.
    pub aside: Option<Is>,
    pub course: Option<Course>,
    /// What it halted with.
    pub halted: Option<Is>,
    /// What stands in its Secret.
    pub written: Names,
    pub sealed: Arc<Vec<SealedSecret>>,
    pub uses: Arc<Vec<Consumer>>,
    objects: Vec<Arc<Wanted>>,
}

impl App {
    pub fn new(number: usize, own: Vec<SecretId>, consumers: usize, reads: Option<usize>) -> Self {
        let name = AppName::new(format!("a{number}").as_str()).expect("a name");
        let strings: BTreeMap<String, String> =
            own.iter().map(|secret| (secret.name.to_string(), format!("${{{secret}#password}}"))).collect();
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name.as_str()}, "stringData": strings});
        let place = Place::at(TreePath::new("base/all.yaml").expect("a path"), 1, 1);
        let sealed = Sealed::seal(secret.as_object_mut().expect("a map")).expect("it can be read");
        let named =
            |number: usize| SecretName { namespace: Some("web".into()), name: format!("a{number}").into() };
        let sealed = sealed.map(|sealed| SealedSecret {
            key: ObjectKey::new("", "Secret", Some("web"), name.as_str()),
            name: named(number),
            place: place.clone(),
            kind: "Opaque".into(),
            sealed,
            plain: serde_json::Map::new(),
        });
        let object = ObjectKey::new("apps", "Deployment", Some("web"), name.as_str());
        let read = std::iter::once(number).chain(reads);
        let read =
            read.map(|of| Consumer { object: object.clone(), secret: named(of), reading: Reading::Rolled });
        let workload = |n: usize| {
            let key = ObjectKey::new("apps", "Deployment", Some("web"), &format!("{name}-{n}"));
            let body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": format!("{name}-{n}"), "annotations": {CONFIG: "0"}}});
            let gvk = Gvk::new("apps", "v1", "Deployment");
            Arc::new(
                Wanted::stored(key, gvk, place.clone(), "o".into(), 0, Vec::new(), body).expect("an object"),
            )
        };
        Self {
            content: 0,
            consumers,
            own,
            reads,
            good: None,
            aside: None,
            course: None,
            halted: None,
            written: Names::new(),
            sealed: Arc::new(sealed.into_iter().collect()),
            uses: Arc::new(read.collect()),
            objects: (0..consumers).map(workload).collect(),
            name,
        }
    }

    /// What it renders to.
    pub fn wanted(&self, is: &Is, old_works: bool) -> WantedApp {
        let mut wanted = WantedApp::of_objects(self.name.clone(), is.digest(), self.objects.clone());
        wanted.content = is.content_digest();
        wanted.secrets =
            is.versions.iter().map(|(secret, version)| (secret.clone(), Some(version.clone()))).collect();
        wanted.old_secrets_work = old_works;
        wanted
    }

    /// Whether only versions are others than what passed its gates.
    pub fn is_rotation(&self, to: &Is) -> bool {
        self.good.as_ref().is_some_and(|good| good.content == to.content && good.versions != to.versions)
    }

    /// Takes what it is to be, and begins what has to be done for it. Says whether a rollout began.
    pub fn deliver(&mut self, to: &Is, old_works: bool, seconds: Second, now: Second) -> bool {
        let under_way = self.course.as_ref().filter(|course| !course.is_back).map(|course| &course.to);
        if under_way == Some(to) || self.halted.as_ref() == Some(to) || self.aside.as_ref() == Some(to) {
            return false;
        }
        if let (Some(aside), Some(good)) = (&self.aside, &self.good)
            && aside.content == to.content
            && good.content != to.content
        {
            // A commit that failed is not tried again for newer versions; what runs in its place has them.
            self.aside = Some(to.clone());
            let back = Is { content: good.content, versions: to.versions.clone() };
            return self.begin(back, true, seconds, now, true);
        }
        if self.good.as_ref() == Some(to)
            && self.aside.is_none()
            && self.course.is_none()
            && self.halted.is_none()
        {
            return false;
        }
        self.aside = None;
        self.begin(to.clone(), old_works, seconds, now, false)
    }

    fn begin(&mut self, to: Is, old_works: bool, seconds: Second, now: Second, is_back: bool) -> bool {
        let own = &self.own;
        self.written = to
            .versions
            .iter()
            .filter(|(id, _)| own.contains(id))
            .map(|(a, b)| (a.clone(), b.clone()))
            .collect();
        let halted = self.halted.take();
        self.course = Some(Course { to, ends: now + seconds, old_works, is_back, halted });
        true
    }

    /// Ends a rollout that is due: it is well, is taken back, or halts.
    pub fn end(&mut self, is_well: bool, seconds: Second, now: Second) {
        let Some(course) = self.course.take() else { return };
        if is_well {
            self.good = Some(course.to);
            return;
        }
        let Some(good) = self.good.clone().filter(|_| !course.is_back) else {
            self.halted = Some(course.to);
            return;
        };
        let is_rotation = good.content == course.to.content;
        if is_rotation && !course.old_works {
            self.halted = Some(course.to);
            return;
        }
        // Where a commit failed, what ran before it has the versions that are in force.
        let versions = if is_rotation { good.versions } else { course.to.versions.clone() };
        self.aside = Some(course.to);
        self.begin(Is { content: good.content, versions }, true, seconds, now, true);
    }

    /// Whether a commit failed, and what ran before it runs in its place.
    pub fn stands_aside(&self) -> bool {
        self.aside.as_ref().zip(self.good.as_ref()).is_some_and(|(aside, good)| aside.content != good.content)
    }

    pub fn retry(&mut self) {
        // What it halted with, or what is set aside, is delivered again as if it was new.
        (self.halted, self.aside) = (None, None);
    }

    pub fn status(&self, desired: &Is) -> AppStatus {
        let phase = match (&self.course, &self.halted, &self.aside) {
            (Some(course), ..) if course.is_back => AppPhase::Restoring,
            (Some(_), ..) => AppPhase::Waiting,
            (None, Some(_), _) => AppPhase::Halted,
            (None, None, Some(_)) => AppPhase::Restored,
            (None, None, None) if self.good.as_ref() == Some(desired) => AppPhase::Ready,
            (None, None, None) => AppPhase::Pending,
        };
        AppStatus {
            name: self.name.clone(),
            phase,
            desired: Some(desired.digest()),
            effective: self.good.as_ref().map(Is::digest),
            quarantined: None,
            objects: 0,
            wave: None,
            waiting_on: None,
            message: None,
            rollback: None,
            history: Vec::new(),
            adoption: None,
        }
    }

    /// What a process finds that begins now.
    pub fn memory(&self) -> AppMemory {
        let good = self.good.as_ref().map(|good| Good {
            digest: good.digest(),
            revision: None,
            objects: 1,
            pieces: Pieces::default(),
            secrets: good.with_secrets(),
        });
        let quarantined = self.aside.as_ref().zip(self.good.as_ref()).map(|(aside, good)| Quarantine {
            digest: aside.digest(),
            good: good.digest(),
            why: String::new(),
            stage: if self.course.is_some() { Stage::Going } else { Stage::Restored },
            retried: None,
            together: None,
            with: None,
            asked: None,
            secrets: aside.with_secrets(),
        });
        let rolling = |is: &Is, phase: Phase| Rolling {
            state: State { digest: is.digest(), purpose: Purpose::Forward, phase },
            changed: None,
            commit: None,
            secrets: is.with_secrets(),
        };
        let under_way = self.course.as_ref().map(|course| rolling(&course.to, Phase::Write { wave: 0 }));
        let halted = self
            .halted
            .as_ref()
            .map(|is| rolling(is, Phase::Halted { wave: 0, why: Halt::TimedOut { on: Vec::new() } }));
        AppMemory { last_good: good, quarantined, rolling: under_way.or(halted), ..AppMemory::default() }
    }
}
