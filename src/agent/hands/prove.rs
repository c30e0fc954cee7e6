//! Has a plan proven by the server, with what is remembered of what ran before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Hands, inspect};
use crate::agent::adopt::say_how;
use crate::agent::foreign::refuse_foreign;
use crate::api::Identity;
use crate::cluster::{CallError, Detail, Session, Terms, prove, prove_hook};
use crate::delivery::{Event, Failure};
use crate::object::{AppName, ObjectKey, chain};
use crate::plan::{
    Action, Answer, Before, CheckedPlan, Consent, Hook, Plan, Reason, Refusal, RefusalKind, Refused, check,
};

/// Asks the server about each step of a plan, and about the Jobs of its hooks.
pub(super) async fn prove_app(
    hands: &Hands,
    plan: Plan,
    (before, consent): (Arc<Before>, Consent),
    hooks: &[(Arc<Hook>, i64)],
) -> Event {
    let withheld: BTreeSet<ObjectKey> =
        plan.steps().filter(|step| !step.withheld.is_empty()).map(|step| step.wanted.key.clone()).collect();
    let drifting: Vec<_> = plan
        .steps()
        .filter_map(|step| match &step.reason {
            Reason::Drifted { fields } => Some((step.wanted.clone(), fields.clone())),
            _ => None,
        })
        .collect();
    // What is put back is gone afterwards, so it is looked at before.
    let (asked, drifted) =
        tokio::join!(asked(hands, plan, (before, consent), hooks), inspect::look(hands, &drifting));
    match asked {
        Ok(Ok(plan)) => {
            // What the server shows to be as wanted is not asked about again; of what was not all sent it shows nothing.
            for (settled, live) in plan.settled() {
                if let Some(live) = live.as_ref().filter(|_| !withheld.contains(&settled.key)) {
                    hands.index.note_settled(settled, live);
                }
            }
            Event::Proved { result: Ok(plan), drifted }
        }
        Ok(result) => Event::Proved { result, drifted },
        Err(error) => Event::Failed(Failure::Passing(chain(&error))),
    }
}

async fn asked(
    hands: &Hands,
    plan: Plan,
    (before, consent): (Arc<Before>, Consent),
    hooks: &[(Arc<Hook>, i64)],
) -> Result<Result<CheckedPlan, Refused>, CallError> {
    let app = plan.app.clone();
    let ask = |before: Arc<Before>| {
        let (plan, consent, identity) = (&plan, &consent, hands.identity.as_ref());
        async move {
            let terms = Terms { identity, before: &before, consent, detail: Detail::Metadata };
            prove(&hands.session, plan, terms).await
        }
    };
    let mut proven = ask(before.clone()).await;
    // What another changed is taken back where it was ours before; who just started has to be told what was. A first
    // claim was never ours.
    let forgotten = proven.as_ref().is_ok_and(|proven| {
        let refused = plan.steps().zip(proven).filter(|(step, proven)| {
            matches!(step.reason, Reason::Changed { .. })
                && matches!(&proven.answer, Answer::Refused(refusal) if refusal.kind == RefusalKind::Conflict)
        });
        refused.into_iter().any(|(step, _)| !before.contains_key(&step.wanted.key))
    });
    if forgotten && let Some(remembered) = remembered(hands, &app, &before).await {
        proven = ask(Arc::new(remembered)).await;
    }
    match proven {
        Ok(proven) => {
            let mut answers: Vec<Answer> = proven.into_iter().map(|proven| proven.answer).collect();
            refuse_foreign(&hands.environments, &hands.environment, &plan, &mut answers).await;
            say_how(&hands.environment, &app, &consent, &mut answers);
            let refused = refused_hooks(&hands.session, &plan, hooks, hands.identity.as_ref()).await;
            let digest = plan.digest.clone();
            Ok(match check(plan, answers) {
                result if refused.is_empty() => result,
                Ok(_) => Err(Refused { app, digest, refusals: refused }),
                Err(mut more) => {
                    more.refusals.extend(refused);
                    Err(more)
                }
            })
        }
        Err(error) => Err(error),
    }
}

/// What was applied before, from memory and from what an app ran when it last passed its gates.
async fn remembered(hands: &Hands, app: &AppName, before: &Before) -> Option<Before> {
    match hands.store.as_ref()?.last_good(app).await {
        Ok(stored) => {
            let mut all: Before =
                stored?.whole().map(|wanted| (wanted.key.clone(), Arc::new(wanted))).collect();
            all.extend(before.iter().map(|(key, wanted)| (key.clone(), wanted.clone())));
            Some(all)
        }
        Err(error) => {
            tracing::warn!(%app, error = %chain(&error), "what it ran before cannot be read");
            None
        }
    }
}

/// The hooks whose Jobs the server would not take. One whose namespace comes with this plan is asked when it is its turn.
pub async fn refused_hooks(
    session: &Session,
    plan: &Plan,
    hooks: &[(Arc<Hook>, i64)],
    identity: Option<&Identity>,
) -> Vec<Refusal> {
    let comes = |hook: &Hook| {
        plan.steps().any(|step| {
            let key = &step.wanted.key;
            let namespace = (&*key.group, &*key.kind) == ("", "Namespace") && step.action == Action::Create;
            namespace && hook.key.namespace.as_deref() == Some(&*key.name)
        })
    };
    let mut refused = Vec::new();
    for (hook, seconds) in hooks.iter().filter(|(hook, _)| !comes(hook)) {
        refused.extend(prove_hook(session, hook, *seconds, identity).await.err());
    }
    refused
}
