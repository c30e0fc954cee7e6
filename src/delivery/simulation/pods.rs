//! Pods and Jobs in the course of time.

use super::chance::{Chance, Millis, Storm};
use super::content::{Ending, Fate, ending_of, fate_of};
use crate::health::{Health, Status};
use crate::plan::Wanted;

/// What runs, since when, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Pods {
    fate: Fate,
    since: Millis,
    /// The steps that are still to come, the last first.
    course: Vec<(Millis, Status)>,
    status: Status,
    words: String,
}

/// When a container that crashes for good has crashed so often: with the kubelet's back-off.
const CRASHES: [Millis; 6] = [2000, 12_000, 32_000, 72_000, 152_000, 312_000];

impl Pods {
    pub fn start(object: &Wanted, fate: Fate, chance: &mut Chance) -> Self {
        let after = match fate {
            Fate::Fast | Fate::Denied | Fate::DeniedLate => chance.between(300, 3000),
            Fate::Slow => chance.between(6000, 25_000),
            Fate::Flap => chance.between(1000, 4000),
            Fate::CrashTwice => CRASHES[1] + chance.between(1000, 20_000),
            Fate::Fail => chance.between(2000, 8000),
            Fate::Crash | Fate::Hang => 0,
        };
        let end = match fate {
            Fate::Crash | Fate::Hang => None,
            Fate::Fail => Some(Status::Failed),
            _ => Some(Status::Healthy),
        };
        let from = chance.until(Storm::Weather).unwrap_or(chance.now);
        let mut course: Vec<(Millis, Status)> =
            end.map(|status| (from + after, status)).into_iter().collect();
        if fate == Fate::Flap {
            for status in [Status::Progressing, Status::Healthy, Status::Progressing, Status::Healthy] {
                let before = course.last().map_or(from, |(at, _)| *at);
                course.push((before + chance.between(500, 6000), status));
            }
            course.reverse();
        }
        let words = format!("words of {}", object.digest.short());
        Self { fate, since: chance.now, course, status: Status::Progressing, words }
    }

    /// Of a Job, which the cluster ends after so many seconds.
    pub fn run(job: &Wanted, limit: Millis, chance: &mut Chance) -> Self {
        let end = match ending_of(job) {
            Ending::Succeeds => Some(Status::Healthy),
            Ending::Fails | Ending::Hangs => Some(Status::Failed),
        };
        let at = match ending_of(job) {
            Ending::Hangs => chance.now + limit * 1000,
            _ => chance.now + chance.between(500, 15_000),
        };
        let words = format!("words of {}", job.digest.short());
        let course = end.map(|status| (at, status)).into_iter().collect();
        Self { fate: Fate::Hang, since: chance.now, course, status: Status::Progressing, words }
    }

    pub fn of(object: &Wanted, chance: &mut Chance) -> Option<Self> {
        (&*object.key.kind == "Deployment").then(|| Self::start(object, fate_of(object), chance))
    }

    /// When something becomes of them next.
    pub fn next(&self) -> Option<Millis> {
        self.course.last().map(|(at, _)| *at)
    }

    pub fn go_on(&mut self) {
        if let Some((_, status)) = self.course.pop() {
            self.status = status;
        }
    }

    pub fn health(&self) -> Health {
        match self.status {
            Status::Healthy => Health::healthy("Available", "all are ready"),
            Status::Failed => Health::failed("Failed", self.words.clone()),
            status => Health::new(status, "Updating", "not all are ready"),
        }
    }

    /// What a look at them finds: that they crash for good.
    pub fn known_failure(&self, restarts: i64, now: Millis) -> Option<Health> {
        let crashes = CRASHES.iter().filter(|after| self.since + **after <= now).count();
        let crashes = i64::try_from(crashes).unwrap_or(i64::MAX);
        (self.fate == Fate::Crash && crashes >= restarts)
            .then(|| Health::failed("CrashLoopBackOff", self.words.clone()))
    }

    pub fn words(&self) -> &str {
        &self.words
    }
}
