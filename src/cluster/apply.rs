//! Writes the steps of one wave of a checked plan. Nothing else in the program changes an object of an app.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{self, StreamExt};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::adopt::hand_over;
use super::body::{body, body_for, read};
use super::call::{Call, CallError, METADATA};
use super::discovery::Session;
use super::filling::filled;
use super::index::Index;
use super::prove::{AT_ONCE, prove_one};
use super::refusal::{conflicts, refusal};
use super::replace::take_away;
use crate::api::Identity;
use crate::object::{Live, MANAGER};
use crate::plan::{
    Answer, Change, CheckedPlan, CheckedStep, Lookup, Proof, Refusal, RefusalKind, Replicas, WaveOutcome,
    Written, compare,
};

/// Applies wave `n` of a plan. Steps that could not be asked before are asked now, and if one is refused nothing of the
/// wave is written. `stop` ends it between two requests; one that is under way is finished.
pub async fn apply_wave(
    session: &Session,
    index: &Index,
    plan: &CheckedPlan,
    n: usize,
    identity: Option<&Identity>,
    stop: &CancellationToken,
) -> WaveOutcome {
    let mut outcome = WaveOutcome::default();
    let Some(wave) = plan.waves().get(n) else { return outcome };
    let mut forced = std::collections::BTreeSet::new();
    let mut settled = std::collections::BTreeSet::new();
    let mut open: Vec<&CheckedStep> = wave.steps().iter().collect();
    open.retain(|step| matches!(step.proof(), Proof::Conditional { .. }));
    let asked = stream::iter(0..open.len()).map(|n| {
        let step = open[n];
        async move { (n, prove_one(session, &step.planned(), identity).await) }
    });
    let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
    while let Some((n, proven)) = asked.next().await {
        let step = open[n];
        match proven.answer {
            Answer::Asked(answer) if answer.settled => {
                settled.insert(step.wanted().key.clone());
            }
            Answer::Asked(answer) if !answer.force.is_empty() => {
                forced.insert(step.wanted().key.clone());
            }
            Answer::Asked(_) => {}
            Answer::NotYet { on } => {
                let refusal =
                    Refusal::new(RefusalKind::NoNamespace, step.wanted(), format!("still waits for {on}"));
                outcome.refused.push(refusal);
            }
            Answer::Refused(refusal) => outcome.refused.push(refusal),
        }
        if stop.is_cancelled() {
            outcome.stopped = true;
            return outcome;
        }
    }
    if !outcome.refused.is_empty() {
        return outcome;
    }
    outcome.settled = settled.len();
    let halted = AtomicBool::new(false);
    let mut steps: Vec<&CheckedStep> = wave.steps().iter().collect();
    steps.retain(|step| !settled.contains(&step.wanted().key));
    let writes = stream::iter(0..steps.len()).map(|n| {
        let (halted, step) = (&halted, steps[n]);
        let force = !step.force().is_empty() || forced.contains(&step.wanted().key);
        async move {
            if stop.is_cancelled() || halted.load(Ordering::Relaxed) {
                return None;
            }
            Some(write(session, index, step, force, identity).await)
        }
    });
    let mut writes = std::pin::pin!(writes.buffer_unordered(AT_ONCE));
    while let Some(result) = writes.next().await {
        match result {
            None => outcome.stopped = stop.is_cancelled(),
            Some(Ok(written)) => {
                index.note_write(written.live.clone());
                outcome.written.push(written);
            }
            Some(Err(refusal)) => {
                halted.store(true, Ordering::Relaxed);
                outcome.refused.push(refusal);
            }
        }
    }
    outcome
}

async fn write(
    session: &Session,
    index: &Index,
    step: &CheckedStep,
    force: bool,
    identity: Option<&Identity>,
) -> Result<Written, Refusal> {
    let wanted = step.wanted();
    let Some(path) = session.path(&wanted.gvk, &wanted.key) else {
        return Err(Refusal::new(RefusalKind::UnknownKind, wanted, "its kind is no longer served"));
    };
    if step.replaces() {
        return replace(session, index, step, &path, identity).await;
    }
    let handed = match step.adopt().is_some() || step.replicas() == Replicas::LetGo {
        true => hand_over(session, &path, step, identity).await?,
        false => None,
    };
    // Nobody but those who agreed holds these fields, or the dry run would have been refused.
    let force = force || step.adopt().is_some_and(|handover| !handover.fields.is_empty());
    let validation = validation(&wanted.gvk.group);
    let url = format!("{path}?fieldManager={MANAGER}&force={force}&fieldValidation={validation}");
    let planned = handed.as_ref().or(step.live());
    let (sent, adopted) = (step.planned(), || step.adopt().cloned());
    let mut version = planned.map(|planned| {
        // What a controller says in its status makes a new version too, and is no reason to plan anew.
        let now = index.live(&wanted.key).filter(|now| is_as_planned(now, planned));
        now.map_or_else(|| planned.resource_version.clone(), |now| now.resource_version.clone())
    });
    for _ in 0..VERSIONS {
        let body = match (planned, &version) {
            (Some(planned), Some(version)) => body_for(session, &sent, &planned.uid, version)?,
            _ => body(session, &sent)?,
        };
        let (error, planned) =
            match (session.cluster.send(&Call::apply(url.clone(), body, identity)).await, planned) {
                (Ok(reply), _) => {
                    let created = reply.status == StatusCode::CREATED;
                    let object = reply.json().map_err(|error| refusal(&error, wanted))?;
                    return match read(object, wanted) {
                        Some(live) => {
                            Ok(Written { wanted: wanted.clone(), live, created, adopted: adopted() })
                        }
                        None => {
                            let message = "the API server's answer is not an object";
                            Err(Refusal::new(RefusalKind::Unreachable, wanted, message))
                        }
                    };
                }
                (Err(error), Some(planned)) if is_version_conflict(&error) => (error, planned),
                (Err(error), _) => return Err(refusal(&error, wanted)),
            };
        let now = session.cluster.send(&Call::get(&path).accept(METADATA)).await;
        let now = now.and_then(|reply| reply.json()).ok().and_then(|object| read(object, wanted));
        match now {
            Some(now) if is_as_planned(&now, planned) => version = Some(now.resource_version),
            // By ourselves: a request whose answer was lost is sent again.
            Some(live)
                if live.uid == planned.uid
                    && compare(wanted, Some(&live), &Nothing::new()) == Change::InSync =>
            {
                return Ok(Written { wanted: wanted.clone(), live, created: false, adopted: adopted() });
            }
            _ => return Err(refusal(&error, wanted)),
        }
    }
    Err(Refusal::new(RefusalKind::Conflict, wanted, "others write it all the time"))
}

/// The dry run looked for fields that nobody knows, and the server would read the whole object once more to look again. Of a
/// group of its own it cannot know others by now; the names of all groups that definitions make have a dot.
fn validation(group: &str) -> &'static str {
    if group.contains('.') { "Strict" } else { "Ignore" }
}

/// Deletes an object of which a field changes that cannot, and makes it anew.
async fn replace(
    session: &Session,
    index: &Index,
    step: &CheckedStep,
    path: &str,
    identity: Option<&Identity>,
) -> Result<Written, Refusal> {
    let wanted = step.wanted();
    if let Some(planned) = step.live() {
        let now = index.live(&wanted.key).filter(|now| is_as_planned(now, planned));
        let version = now.as_ref().map_or(&planned.resource_version, |now| &now.resource_version);
        take_away(session, path, wanted, &planned.uid, version, identity).await?;
    }
    let url = format!("{path}?fieldManager={MANAGER}&force=false&fieldValidation=Strict");
    let body = filled(&session.filling, wanted, wanted.body())?;
    let reply = session.cluster.send(&Call::apply(url, body, identity)).await;
    let object = reply.and_then(|reply| reply.json()).map_err(|error| refusal(&error, wanted))?;
    match read(object, wanted) {
        Some(live) => Ok(Written { wanted: wanted.clone(), live, created: true, adopted: None }),
        None => {
            let message = "the API server's answer is not an object";
            Err(Refusal::new(RefusalKind::Unreachable, wanted, message))
        }
    }
}

/// An object whose status is written all the time is tried so often; then it is planned anew.
const VERSIONS: usize = 8;

/// Whether all that the plan was made from is as it was.
fn is_as_planned(now: &Live, planned: &Live) -> bool {
    (&now.uid, &now.applied, &now.owned, now.deleting)
        == (&planned.uid, &planned.applied, &planned.owned, planned.deleting)
}

/// The object is newer than the version that the write was for. A conflict about a field names the field.
fn is_version_conflict(error: &CallError) -> bool {
    matches!(error, CallError::Refused { status: StatusCode::CONFLICT, body } if conflicts(body).is_empty())
}

/// Nothing is remembered of any dry run.
type Nothing = std::collections::BTreeMap<crate::object::ObjectKey, Arc<Live>>;

#[cfg(test)]
mod tests {
    use super::validation;

    #[test]
    fn only_the_servers_own_kinds_are_not_looked_at_twice() {
        for (group, asked) in [("", "Ignore"), ("apps", "Ignore"), ("example.org", "Strict")] {
            assert_eq!(validation(group), asked, "{group:?}");
        }
    }
}
