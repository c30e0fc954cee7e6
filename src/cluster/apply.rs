//! Writes the steps of one wave of a checked plan. Nothing else in the program changes an object of an app.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{self, StreamExt};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::adopt::hand_over;
use super::call::Call;
use super::discovery::Session;
use super::index::Index;
use super::prove::{AT_ONCE, body, prove_one, with_type};
use super::refusal::refusal;
use crate::api::Identity;
use crate::object::{Live, MANAGER};
use crate::plan::{
    Answer, CheckedPlan, CheckedStep, Handover, Proof, Refusal, RefusalKind, Replicas, Wanted,
};

/// What came of one write.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub wanted: Arc<Wanted>,
    pub live: Live,
    pub created: bool,
    /// What others handed over with it.
    pub adopted: Option<Arc<Handover>>,
}

#[derive(Clone, Debug, Default)]
pub struct WaveOutcome {
    pub written: Vec<Outcome>,
    /// Shown to be as wanted when it was asked about again.
    pub settled: usize,
    pub refused: Vec<Refusal>,
    /// A newer commit came; what was not begun was left.
    pub stopped: bool,
}

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
            Some(write(session, step, force, identity).await)
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
    step: &CheckedStep,
    force: bool,
    identity: Option<&Identity>,
) -> Result<Outcome, Refusal> {
    let wanted = step.wanted();
    let Some(path) = session.path(&wanted.gvk, &wanted.key) else {
        return Err(Refusal::new(RefusalKind::UnknownKind, wanted, "its kind is no longer served"));
    };
    if step.adopt().is_some() || step.replicas() == Replicas::LetGo {
        hand_over(session, &path, step, identity).await?;
    }
    // Nobody but those who agreed holds these fields, or the dry run would have been refused.
    let force = force || step.adopt().is_some_and(|handover| !handover.fields.is_empty());
    let path = format!("{path}?fieldManager={MANAGER}&force={force}&fieldValidation=Strict");
    let call = Call::apply(path, body(&step.planned()), identity);
    let reply = session.cluster.send(&call).await.map_err(|error| refusal(&error, wanted))?;
    let created = reply.status == StatusCode::CREATED;
    let object = reply.json().map_err(|error| refusal(&error, wanted))?;
    let live = with_type(object, wanted).and_then(|object| Live::read(&object));
    match live {
        Some(live) => Ok(Outcome { wanted: wanted.clone(), live, created, adopted: step.adopt().cloned() }),
        None => {
            Err(Refusal::new(RefusalKind::Unreachable, wanted, "the API server's answer is not an object"))
        }
    }
}
