//! What may be told, when, and of what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::content::{Fate, app_name, content_of, fate_of, wanted};
use super::super::git::Git;
use super::super::view::View;
use super::{Checks, Millis, number_of};
use crate::delivery::{Delivery, Fact, What};
use crate::health::Status;
use crate::object::{AppName, Digest, ObjectKey, Outcome, RolloutRecord};
use crate::plan::Wanted;

impl Checks {
    pub fn fact(&mut self, fact: &Fact, (delivery, view): (&Delivery, &View), git: &Git, now: Millis) {
        let time = self.theirs.time(now);
        self.theirs.records.take(fact, time);
        let name = fact.app.clone().unwrap_or_else(|| app_name(0));
        let app = number_of(&name);
        *self.counted.facts.entry(word(&fact.what)).or_default() += 1;
        if let What::Drifted { objects } = &fact.what {
            let count = u64::try_from(objects.len()).unwrap_or(u64::MAX);
            *self.counted.facts.entry("drifted objects").or_default() += count;
        }
        if let What::Started { digest, .. } = &fact.what {
            self.begun.unwell.insert(name.clone(), unwell(app, digest, view));
        }
        match &fact.what {
            What::Panicked { why, .. } => self.fail(|| format!("{now}: {name} panicked: {why}")),
            What::Started { digest, waves: 0, .. } => self.hooks_are_due(&name, digest, view, now),
            // One that goes back with another is let go of with it.
            What::Restoring { digest, with: None, .. } => drop(self.restoring.insert(name, digest.clone())),
            What::Restored { digest, why, .. } => {
                self.last_words(app, &[digest], why, now);
                self.restoring.remove(&name);
            }
            What::Retrying { .. } => {
                self.restoring.remove(&name);
                let word = delivery.platform.retry.as_ref().map(|word| word.nonce.clone());
                if word.is_some_and(|word| !self.begun.retried.insert(word)) {
                    self.fail(|| format!("{now}: {name} takes up a word to try again that it had answered"));
                }
            }
            What::RestoreFailed { .. } | What::RollingBack { .. } => drop(self.restoring.remove(&name)),
            What::RolledOut { digest, .. } => {
                self.rolled_out(app, digest, (delivery, view), now);
                self.proven.insert((name, digest.clone()));
            }
            What::Halted { digest, why } => self.last_words(app, &[digest], why, now),
            What::Ended(record) => self.record(&name, record, git, now),
            _ => {}
        }
    }

    /// A record of the history is of the commit that brought what it is about.
    fn record(&mut self, name: &AppName, record: &RolloutRecord, git: &Git, now: Millis) {
        let app = number_of(name);
        if let Some(commit) = &record.commit {
            let says = git.digest_at(commit, app);
            let by_a_person = matches!(record.outcome, Outcome::RolledBack | Outcome::RollbackFailed);
            if says.as_ref() != Some(&record.digest)
                || !by_a_person && !self.blame.is_of(name, &record.digest, commit)
            {
                let (digest, revision) = (record.digest.short(), &commit.revision);
                self.fail(|| format!("{now}: {name} at {digest} is blamed on {revision:?}"));
            }
        }
        if record.outcome == Outcome::Halted {
            self.last_words(app, &[&record.digest], record.why.as_deref().unwrap_or_default(), now);
        }
    }

    /// A rollout without waves is begun for hooks that have not ended well.
    fn hooks_are_due(&mut self, name: &AppName, digest: &Digest, view: &View, now: Millis) {
        let app = number_of(name);
        let Some(content) = content_of(app, digest).filter(|_| !self.begun.doubts.contains(name)) else {
            return;
        };
        let (memory, former) = (view.memory.apps.get(name), self.begun.former.get(name));
        let is_done = |hook: &crate::plan::Hook| {
            let key = hook.key.to_string();
            let known = memory.and_then(|memory| memory.hooks.get(&key));
            let known = known.filter(|known| former.and_then(|former| former.get(&key)) != Some(*known));
            known.is_some_and(|known| known.is_done(&hook.identity))
        };
        if wanted(app, content).hooks.iter().all(|hook| is_done(hook)) {
            self.fail(|| format!("{now}: {name} begins a rollout in which there is nothing to do"));
        }
    }

    /// All that a rollout brought is there and healthy, as far as can be seen.
    fn rolled_out(&mut self, app: usize, digest: &Digest, (delivery, view): (&Delivery, &View), now: Millis) {
        let Some(content) = content_of(app, digest) else { return };
        let good = view.memory.apps.get(&app_name(app)).and_then(|known| known.last_good.as_ref());
        let good = good.and_then(|good| content_of(app, &good.digest));
        let good = good.map_or_else(|| wanted(app, content), |good| wanted(app, good));
        let good: BTreeMap<&ObjectKey, &Digest> =
            good.objects.iter().map(|object| (&object.key, &object.digest)).collect();
        let unwell = self.begun.unwell.get(&app_name(app)).cloned().unwrap_or_default();
        if content.check.is_some() {
            return; // What is edited while that runs is drift, and put back after.
        }
        let leaves =
            |key: &ObjectKey| delivery.apps.get(&app_name(app)).is_some_and(|app| app.drift.leaves(key));
        for object in wanted(app, content).objects.iter().filter(|object| !leaves(&object.key)) {
            let seen = view.objects.get(&object.key);
            // What a rollout does not change and was down just then, or was seen so, is no failure of it; nor what was left of a rollout
            // before the last good one, and is wanted again.
            let was_down = good.get(&object.key) == Some(&&object.digest) && unwell.contains(&object.key);
            let flaps = fate_of(object) == Fate::Flap || !good.contains_key(&object.key) || was_down;
            let well = seen.is_some_and(|seen| {
                (flaps || seen.health.status == Status::Healthy)
                    && seen.live.applied.as_ref() == Some(&object.digest)
            });
            if !well {
                let key = &object.key;
                self.fail(|| format!("{now}: {} rolled out, and {key} is not well", digest.short()));
            }
        }
    }

    /// What pods said belongs to what it is told of.
    fn last_words(&mut self, app: usize, digests: &[&Digest], why: &str, now: Millis) {
        let apps = digests.iter().map(|digest| content_of(app, digest).map(|content| wanted(app, content)));
        let Some(apps) = apps.collect::<Option<Vec<_>>>().filter(|_| !self.theirs.is_any()) else { return };
        for word in why.split("words of ").skip(1) {
            let mut objects = apps.iter().flat_map(|app| app.all());
            if !objects.any(|object| word.starts_with(object.digest.short())) {
                let digest = digests.first().map_or("", |digest| digest.short());
                self.fail(|| format!("{now}: {digest} is told of with the words of another: {why}"));
            }
        }
    }
}

/// What of a digest is there as it was wanted before, and is not seen to be well when its rollout begins.
fn unwell(app: usize, digest: &Digest, view: &View) -> BTreeSet<ObjectKey> {
    let wanted = content_of(app, digest).map(|content| wanted(app, content));
    let is_unwell = |object: &&Arc<Wanted>| {
        view.objects.get(&object.key).is_some_and(|seen| {
            seen.live.applied.as_ref() == Some(&object.digest) && seen.health.status != Status::Healthy
        })
    };
    let objects = wanted.iter().flat_map(|wanted| &wanted.objects);
    objects.filter(is_unwell).map(|object| object.key.clone()).collect()
}

fn word(what: &What) -> &'static str {
    match what {
        What::Started { .. } => "started",
        What::RolledOut { .. } => "rolled out",
        What::Restoring { .. } => "restoring",
        What::Restored { .. } => "restored",
        What::RestoreFailed { .. } => "restore failed",
        What::RolledBack { .. } => "rolled back",
        What::RollbackFailed { .. } => "rollback failed",
        What::RollbackRefused { .. } => "rollback refused",
        What::Halted { .. } => "halted",
        What::Refused { .. } => "refused",
        What::Preempted { .. } => "preempted",
        What::Drifted { .. } => "drifted",
        What::DriftReported { .. } => "drift reported",
        What::DriftOver { .. } => "drift over",
        What::Fight(_) => "fight",
        What::FightEnded(_) => "fight ended",
        What::Unscaled { .. } => "unscaled",
        What::Unwatched { .. } => "unwatched",
        What::Retrying { .. } => "retried",
        What::HookSucceeded { .. } => "hook succeeded",
        What::HookFailed { .. } => "hook failed",
        What::Pruned { .. } => "pruned",
        What::PruneHalted { .. } => "prune halted",
        What::PruneRefused { .. } => "prune refused",
        What::PruneStuck { .. } => "prune stuck",
        What::NotRemembered { .. } => "not remembered",
        What::Unrendered(_) => "unrendered",
        _ => "other",
    }
}
