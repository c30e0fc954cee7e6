//! Does what `previews` decides: Environments and namespaces of pull requests, made and taken away, one turn after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::preview_parts::{self, Facts, Found, Parts, Text};
use crate::agent::Context;
use crate::api::{Environment, Identity};
use crate::cluster::{CallError, Previews};
use crate::forge::{Forge, ListedState};
use crate::git::Changes;
use crate::object::{EnvironmentName, Revision, chain};
use crate::previews::{
    Decision, Ended, NAMESPACE_LABEL, NamespaceState, Preview, Pull, Rules, Step, Wish, World, decide, name,
    namespace,
};
use crate::pull_requests::Number;

pub(super) struct PreviewDesk {
    pub context: Arc<Context>,
    pub forge: Arc<dyn Forge>,
    pub changes: Arc<Changes>,
    pub cluster: Previews,
    /// One turn at a time; and since when each pull request has been without a label.
    pub memory: Mutex<BTreeMap<(EnvironmentName, u64), Timestamp>>,
}

/// A namespace that goes is looked at again after this.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// What came of a turn.
#[derive(Default)]
pub(super) struct Turned {
    pub texts: BTreeMap<Number, String>,
    /// Something was done, and what follows from that is to be looked at soon.
    pub is_busy: bool,
    pub again: Option<Timestamp>,
    pub failed: Vec<String>,
    /// What a wish came to.
    pub wished: Option<Result<String, String>>,
}

impl PreviewDesk {
    /// Looks at everything and does what is due; with what somebody wishes for one of them.
    pub async fn turn(&self, facts: &Facts, wish: Option<(&EnvironmentName, u64, Wish)>) -> Turned {
        let mut memory = self.memory.lock().await;
        let mut turned = Turned::default();
        for (of, environment, grant) in &facts.environments {
            let wish = wish.filter(|(wanted, ..)| *wanted == of).map(|(_, number, wish)| (number, wish));
            let parts = Parts { of, environment, grant, facts };
            if let Err(why) = self.turn_of(&parts, wish, &mut memory, &mut turned).await {
                turned.failed.push(format!("previews of {of}: {why}"));
                if wish.is_some() {
                    turned.wished = Some(Err(why));
                }
            }
        }
        self.sweep(facts, &mut turned).await;
        turned
    }

    async fn turn_of(
        &self,
        parts: &Parts<'_>,
        wish: Option<(u64, Wish)>,
        memory: &mut BTreeMap<(EnvironmentName, u64), Timestamp>,
        turned: &mut Turned,
    ) -> Result<(), String> {
        let now = Timestamp::now();
        let found = self.find(parts.of).await.map_err(|error| chain(&error))?;
        let read = preview_parts::rules(parts, self.changes.clone()).await;
        let rules = read.as_ref().map(|read| read.rules.clone());
        let pulls = self.pulls(parts, &found, rules.as_ref().ok(), memory).await;
        let wishes: BTreeMap<u64, Wish> = wish.into_iter().collect();
        let previews: BTreeMap<u64, Preview> =
            found.iter().map(|(number, one)| (*number, one.preview.clone())).collect();
        let rules = rules.as_ref().ok();
        let world = World { rules, pulls: &pulls, previews: &previews, wishes: &wishes };
        let decision = decide(&world, now);
        turned.again = [turned.again, decision.again].into_iter().flatten().min();
        for (number, step) in &decision.steps {
            if found.get(number).is_some_and(|one| waits(&one.preview, step)) {
                turned.again = [turned.again, Some(now + LOOK_AGAIN)].into_iter().flatten().min();
                continue;
            }
            turned.is_busy = true;
            let done = match (&read, found.get(number)) {
                (Ok(read), None) => self.make(parts, read, *number, step, now).await,
                (_, Some(one)) => self.take(parts, one, step, read.as_ref().ok(), now).await,
                (Err(_), None) => Ok(()),
            };
            if let Err(error) = done {
                let why = format!("{}: {}", name(parts.of, *number), chain(&error));
                if wish.is_some_and(|(wanted, _)| wanted == *number) {
                    turned.wished = Some(Err(why.clone()));
                }
                turned.failed.push(why);
            }
        }
        if let Some((number, wish)) = wish
            && turned.wished.is_none()
        {
            turned.wished = Some(came_to(number, wish, &decision, rules));
        }
        self.tell(parts, &found, &decision, (rules, &pulls), turned, now);
        match read {
            // An environment whose file says nothing of previews has none, which is no trouble.
            Err(why) if !found.is_empty() => Err(why),
            _ => Ok(()),
        }
    }

    /// The previews of an environment that are in the cluster.
    async fn find(&self, of: &EnvironmentName) -> Result<BTreeMap<u64, Found>, CallError> {
        let mut all = BTreeMap::new();
        for environment in self.context.environments.list().await? {
            let Some(spec) = environment.spec.preview.clone().filter(|spec| spec.of == of.as_str()) else {
                continue;
            };
            let (Some(called), Some(uid)) = (&environment.metadata.name, &environment.metadata.uid) else {
                continue;
            };
            // One that somebody else called so is not ours.
            if *called != name(of, spec.pull_request) {
                continue;
            }
            let space = self.cluster.namespace(called).await;
            let is_ours = |labels: &serde_json::Value| labels[NAMESPACE_LABEL] == called.as_str();
            let (namespace, namespace_uid, stuck) = match space {
                Err(_) => (NamespaceState::Unknown, None, Vec::new()),
                Ok(None) => (NamespaceState::Absent, None, Vec::new()),
                Ok(Some(space)) if !is_ours(&space.labels) => (NamespaceState::Foreign, None, Vec::new()),
                Ok(Some(space)) => {
                    (NamespaceState::There { is_going: space.is_going }, Some(space.uid), space.stuck)
                }
            };
            let time = |text: &str| text.parse().unwrap_or_else(|_| created(&environment));
            let preview = Preview {
                number: spec.pull_request,
                head: Revision::new(spec.head.as_str()),
                base: Revision::new(spec.base.as_str()),
                is_asked: spec.asked,
                is_fork: spec.fork,
                is_asleep: spec.asleep,
                since: time(&spec.since),
                active: time(&spec.active),
                // A word that nobody knows is an end all the same: somebody wrote it.
                ended: spec.ended.as_deref().map(|word| Ended::of(word).unwrap_or(Ended::Stopped)),
                is_suspended: environment.spec.suspended,
                namespace,
            };
            let uid = uid.clone();
            all.insert(spec.pull_request, Found { preview, environment, uid, namespace_uid, stuck });
        }
        Ok(all)
    }

    /// The pull requests that matter. Of those which have a preview and are not listed as open the forge is asked.
    async fn pulls(
        &self,
        parts: &Parts<'_>,
        found: &BTreeMap<u64, Found>,
        rules: Option<&Rules>,
        memory: &mut BTreeMap<(EnvironmentName, u64), Timestamp>,
    ) -> BTreeMap<u64, Pull> {
        let mut pulls = BTreeMap::new();
        let branch = &parts.environment.spec.source.branch;
        let Some(tip) = parts.facts.tips.get(branch) else { return pulls };
        let label = rules.and_then(|rules| rules.label.as_ref());
        for (pull, active) in parts.facts.open.iter().filter(|(pull, _)| pull.base == *branch) {
            let key = (parts.of.clone(), pull.number.0);
            let is_labelled = label.is_some_and(|label| pull.labels.contains(label));
            let unlabelled_since = if is_labelled {
                memory.remove(&key);
                None
            } else {
                Some(*memory.entry(key).or_insert_with(Timestamp::now))
            };
            let one = Pull {
                head: pull.head.clone(),
                base: tip.clone(),
                is_over: false,
                labels: pull.labels.clone(),
                unlabelled_since,
                is_fork: pull.is_fork,
                active: active.unwrap_or(Timestamp::UNIX_EPOCH),
            };
            pulls.insert(pull.number.0, one);
        }
        for (number, one) in
            found.iter().filter(|(number, _)| !pulls.contains_key(number)).collect::<Vec<_>>()
        {
            let Ok(listed) = self.forge.pull(Number(*number)).await else { continue };
            if listed.state == ListedState::Open {
                continue;
            }
            let over = Pull {
                head: one.preview.head.clone(),
                base: one.preview.base.clone(),
                is_over: true,
                labels: listed.labels,
                unlabelled_since: None,
                is_fork: listed.is_fork,
                active: one.preview.active,
            };
            memory.remove(&(parts.of.clone(), *number));
            pulls.insert(*number, over);
        }
        pulls
    }

    async fn make(
        &self,
        parts: &Parts<'_>,
        read: &preview_parts::Read,
        number: u64,
        step: &Step,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let Step::Make { head, base, is_asked } = step else { return Ok(()) };
        let environment = parts.environment_of(read, number, (head, base), *is_asked, now);
        self.cluster.make(&environment).await
    }

    async fn take(
        &self,
        parts: &Parts<'_>,
        one: &Found,
        step: &Step,
        read: Option<&preview_parts::Read>,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let called = name(parts.of, one.preview.number);
        // Who made it may not be granted any more: what is there goes as whom it was written.
        let identity: &Identity = &one.environment.spec.service_account;
        match step {
            Step::Make { .. } => Ok(()),
            Step::Fence => {
                self.cluster.apply(&namespace(&called), identity).await?;
                for object in parts.fences(one) {
                    self.cluster.apply(&object, identity).await?;
                }
                Ok(())
            }
            Step::Clear => match &one.namespace_uid {
                Some(uid) => self.cluster.clear(&called, uid, identity).await,
                None => Ok(()),
            },
            Step::Forget => self.cluster.remove(&called, &one.uid).await,
            Step::Open => {
                // Whoever was here before may have died in the middle of it.
                for object in parts.fences(one) {
                    self.cluster.apply(&object, identity).await?;
                }
                self.cluster.change(&called, &one.uid, &preview_parts::opened()).await
            }
            step => match parts.changed(step, one, read, now) {
                Some(spec) => self.cluster.change(&called, &one.uid, &spec).await,
                None => Ok(()),
            },
        }
    }

    /// What is nobody's goes: a namespace of ours whose Environment somebody removed, and the previews of an environment that
    /// is no more.
    async fn sweep(&self, facts: &Facts, turned: &mut Turned) {
        let Some((_, _, grant)) = facts.environments.first() else { return };
        for environment in self.context.environments.list().await.unwrap_or_default() {
            if let Err(error) = self.sweep_one(&environment, facts).await {
                let called = environment.metadata.name.unwrap_or_default();
                turned.failed.push(format!("{called}: {}", chain(&error)));
            }
        }
        let Ok(all) = self.cluster.namespaces_with(NAMESPACE_LABEL).await else { return };
        for called in all {
            // The word of the server about this very one; that it is in no list says nothing.
            let Ok(None) = self.context.environments.get(&called).await else { continue };
            let Ok(Some(space)) = self.cluster.namespace(&called).await else { continue };
            if space.labels[NAMESPACE_LABEL] != called.as_str() {
                continue;
            }
            turned.is_busy = true;
            tracing::info!(namespace = called, "a preview's namespace has no Environment, and is deleted");
            if let Err(error) = self.cluster.clear(&called, &space.uid, &grant.service_account).await {
                turned.failed.push(format!("{called}: {}", chain(&error)));
            }
        }
    }

    async fn sweep_one(&self, environment: &Environment, facts: &Facts) -> Result<(), CallError> {
        let (Some(spec), Some(called), Some(uid)) =
            (&environment.spec.preview, &environment.metadata.name, &environment.metadata.uid)
        else {
            return Ok(());
        };
        let is_known = facts.environments.iter().any(|(of, ..)| of.as_str() == spec.of);
        // The word of the server about this very one.
        if is_known || self.context.environments.get(&spec.of).await?.is_some() {
            return Ok(());
        }
        match self.cluster.namespace(called).await? {
            Some(space) if space.labels[NAMESPACE_LABEL] == called.as_str() => {
                if !environment.spec.suspended {
                    let end =
                        serde_json::json!({"suspended": true, "preview": {"ended": Ended::Closed.as_str()}});
                    self.cluster.change(called, uid, &end).await?;
                }
                if space.is_going {
                    return Ok(());
                }
                self.cluster.clear(called, &space.uid, &environment.spec.service_account).await
            }
            _ => self.cluster.remove(called, uid).await,
        }
    }

    fn tell(
        &self,
        parts: &Parts<'_>,
        found: &BTreeMap<u64, Found>,
        decision: &Decision,
        (rules, pulls): (Option<&Rules>, &BTreeMap<u64, Pull>),
        turned: &mut Turned,
        now: Timestamp,
    ) {
        for (number, one) in found {
            let text = Text { of: parts.of, one, rules, pull: pulls.get(number), now };
            turned.texts.entry(Number(*number)).or_default().push_str(&text.line());
        }
        for (nth, number) in decision.queue.iter().enumerate() {
            let most = rules.map_or(0, |rules| rules.max);
            let line = preview_parts::queued(parts.of, nth + 1, most);
            turned.texts.entry(Number(*number)).or_default().push_str(&line);
        }
    }
}

/// Whether nothing is left to do for it but to look: its namespace goes already.
fn waits(preview: &Preview, step: &Step) -> bool {
    *step == Step::Clear && preview.namespace == (NamespaceState::There { is_going: true })
}

/// What a wish came to, by what was done.
fn came_to(number: u64, wish: Wish, decision: &Decision, rules: Option<&Rules>) -> Result<String, String> {
    if rules.is_none() {
        return Err("the base branch says nothing of previews that can be read".to_owned());
    }
    if decision.queue.contains(&number) {
        return Err("all places for previews are taken: ask again when one is free".to_owned());
    }
    let step = decision.steps.iter().find(|(of, _)| *of == number).map(|(_, step)| step);
    match (wish, step) {
        (Wish::Start, Some(Step::Make { .. } | Step::Revive { .. } | Step::Update { .. })) => {
            Ok("it gets a preview".to_owned())
        }
        (Wish::Start, _) => {
            Err("it gets none: it comes from a fork, which may have none here, or its preview is being taken away".to_owned())
        }
        (Wish::Stop, Some(Step::End(_))) => Ok("its preview is taken away".to_owned()),
        (Wish::Keep, Some(Step::Update { .. })) => Ok("its preview is kept for another while".to_owned()),
        _ => Err("it has no preview".to_owned()),
    }
}

fn created(environment: &Environment) -> Timestamp {
    environment.metadata.creation_timestamp.as_ref().map_or_else(Timestamp::now, |time| time.0)
}
