//! Asks the server about every step of a plan, without writing: the dry run, as the environment's identity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::StatusCode;
use serde_json::Value;

use super::adopt::{Claimed, claim};
use super::body::{body, with_type};
use super::call::{Call, CallError, JSON, METADATA};
use super::discovery::{Session, path};
use super::dry_run::{Detail, Proven, Terms, dry_run};
use super::refusal::{conflicts, refusal};
use super::replace::prove_replacement;
use crate::api::Identity;
use crate::object::{Kinds, Live};
use crate::plan::{
    Action, Answer, Asked, Before, Change, Consent, Handover, Plan, Reason, Refusal, RefusalKind, Replicas,
    Step, Wanted, compare, forcible, left_by_autoscaler,
};
use crate::schema;

/// As many steps are under way at once as there are connections, and a few to keep them busy.
pub const AT_ONCE: usize = 20;
/// etcd takes requests of 1.5 MiB; the server refuses larger ones in words that name no object.
const OBJECT_LIMIT: usize = 1_500_000;

/// Asks about every step, in the order of [`Plan::steps`].
pub async fn prove(session: &Session, plan: &Plan, terms: Terms<'_>) -> Result<Vec<Proven>, CallError> {
    let mut kinds = session.kinds();
    if plan.steps().any(|step| !kinds.serves(&step.wanted.gvk)) {
        kinds = session.refresh().await?;
    }
    let coming = Coming::of(plan);
    let steps: Vec<&Step> = plan.steps().collect();
    let asked = stream::iter(0..steps.len()).map(|n| {
        let (kinds, coming, step) = (&kinds, &coming, steps[n]);
        async move { (n, prove_step(session, kinds, coming, step, terms).await) }
    });
    // In whichever order the answers come, and then back in the plan's: one slow webhook holds nobody up.
    let mut answers: Vec<(usize, Proven)> = asked.buffer_unordered(AT_ONCE).collect().await;
    answers.sort_by_key(|(n, _)| *n);
    Ok(answers.into_iter().map(|(_, proven)| proven).collect())
}

/// Asks again about a step that could not be asked when its plan was made.
pub async fn prove_one(session: &Session, step: &Step, identity: Option<&Identity>) -> Proven {
    let mut kinds = session.kinds();
    if !kinds.serves(&step.wanted.gvk) {
        match session.refresh().await {
            Ok(fresh) => kinds = fresh,
            Err(error) => return Answer::Refused(refusal(&error, &step.wanted)).into(),
        }
    }
    let (before, consent) = (Before::new(), Consent::default());
    let terms = Terms { identity, before: &before, consent: &consent, detail: Detail::Metadata };
    prove_step(session, &kinds, &Coming::default(), step, terms).await
}

/// What an earlier wave of the same plan makes, so that it cannot be asked about yet.
#[derive(Default)]
struct Coming {
    namespaces: BTreeSet<Box<str>>,
    kinds: BTreeSet<(String, String)>,
}

impl Coming {
    fn of(plan: &Plan) -> Self {
        let mut coming = Self::default();
        for step in plan.steps() {
            match (&*step.wanted.key.group, &*step.wanted.key.kind) {
                ("", "Namespace") if step.action == Action::Create => {
                    coming.namespaces.insert(step.wanted.key.name.clone());
                }
                ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                    let crd = step.wanted.value();
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    coming.kinds.insert((text(&crd["spec"]["group"]), text(&crd["spec"]["names"]["kind"])));
                }
                _ => {}
            }
        }
        coming
    }
}

async fn prove_step(
    session: &Session,
    kinds: &Kinds,
    coming: &Coming,
    step: &Step,
    terms: Terms<'_>,
) -> Proven {
    let wanted = &*step.wanted;
    let size = wanted.size();
    if size > OBJECT_LIMIT {
        let message = format!("the object holds {size} bytes, and a cluster stores at most {OBJECT_LIMIT}");
        return Answer::Refused(Refusal::new(RefusalKind::TooLarge, wanted, message)).into();
    }
    let Some(path) = path(kinds, &wanted.gvk, &wanted.key) else {
        let kind = (wanted.gvk.group.to_string(), wanted.gvk.kind.to_string());
        if coming.kinds.contains(&kind) {
            return Answer::NotYet { on: format!("the definition of {}", wanted.gvk.group_kind()) }.into();
        }
        return Answer::Refused(unknown_kind(kinds, wanted)).into();
    };
    if let Some(namespace) = &wanted.key.namespace
        && coming.namespaces.contains(namespace)
    {
        return Answer::NotYet { on: format!("the namespace {namespace}") }.into();
    }
    if step.reason == Reason::BeingDeleted {
        let refusal = Refusal::new(RefusalKind::BeingDeleted, wanted, "it is still being deleted");
        return Answer::Refused(refusal.hint("it is made anew when it is gone; finalizers may hold it"))
            .into();
    }
    let before = match terms.detail {
        Detail::Objects => {
            session.cluster.send(&Call::get(&path)).await.ok().and_then(|reply| reply.json().ok())
        }
        Detail::Metadata => None,
    };
    let accept = if terms.detail == Detail::Objects { JSON } else { METADATA };
    let sent = match proof_body(session, &path, step).await {
        Ok(sent) => sent,
        Err(refused) => return Answer::Refused(refused).into(),
    };
    let mut force = Vec::new();
    let reply = match dry_run(session, &path, sent.clone(), terms.identity, accept, false).await {
        Err(CallError::Refused { status: StatusCode::CONFLICT, body }) => {
            let held = conflicts(&body);
            let refused = refusal(&CallError::Refused { status: StatusCode::CONFLICT, body }, wanted);
            if held.is_empty() {
                return Answer::Refused(refused).into();
            }
            // The index does not know of an object that lost our labels; its own words decide then.
            let looked =
                if step.reason == Reason::Missing { look_again(session, &path, step).await } else { None };
            let step = looked.as_ref().unwrap_or(step);
            let applied = terms.before.get(&wanted.key).map(|wanted| &**wanted);
            if !forcible(&held, step, applied) {
                let (left, held) =
                    held.into_iter().partition(|conflict| left_by_autoscaler(conflict, step.replicas));
                let claimed = Claimed { session, path: &path, step, terms, before };
                return claim(claimed, refused, held, left).await;
            }
            force = held;
            dry_run(session, &path, sent, terms.identity, accept, true).await
        }
        other => other,
    };
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            let refused = refusal(&error, wanted);
            return match refused.kind {
                RefusalKind::Immutable => {
                    let answer = prove_replacement(session, &path, step, terms.identity, refused).await;
                    Proven { answer, before, after: None }
                }
                _ => Answer::Refused(refused).into(),
            };
        }
    };
    let after = match reply.json() {
        Ok(after) => after,
        Err(error) => return Answer::Refused(refusal(&error, wanted)).into(),
    };
    let first = matches!(step.reason, Reason::Missing | Reason::NeverApplied | Reason::Shared { .. });
    if first
        && reply.status == StatusCode::OK
        && let Some(handover) = Handover::of(&wanted.key, &after, &[])
        && (handover.is_needed(&after) || terms.consent.given(&handover))
    {
        let who: Vec<String> = handover.managers().iter().map(|name| format!("{name:?}")).collect();
        let refused =
            Refusal::new(RefusalKind::Conflict, wanted, format!("it is deployed by {}", who.join(" and ")));
        let claimed = Claimed { session, path: &path, step, terms, before };
        return claim(claimed, refused, Vec::new(), Vec::new()).await;
    }
    let asked = Asked {
        settled: force.is_empty() && settled(step, &after),
        exists: step.action == Action::Create && reply.status == StatusCode::OK,
        force,
        adopt: None,
        replace: None,
        warnings: reply.warnings,
    };
    let after = (terms.detail == Detail::Objects).then_some(after);
    Proven { answer: Answer::Asked(asked), before, after }
}

/// The bytes that a dry run of a step sends. Replicas that are let go of keep the value that they have then, which a dry
/// run of what is written would not show: nothing was let go of yet.
async fn proof_body(session: &Session, path: &str, step: &Step) -> Result<Bytes, Refusal> {
    if step.replicas != Replicas::LetGo {
        return body(session, step);
    }
    let refused = |error: &CallError| refusal(error, &step.wanted);
    let live = match session.cluster.send(&Call::get(path)).await {
        Ok(reply) => reply.json().map_err(|error| refused(&error))?,
        Err(error) if error.is_not_found() => return body(session, step),
        Err(error) => return Err(refused(&error)),
    };
    let sent = serde_json::from_slice(&body(session, step)?);
    let mut sent: Value = sent.map_err(|error| refused(&CallError::Unreadable(error)))?;
    if live["spec"]["replicas"].is_number() {
        sent["spec"]["replicas"] = live["spec"]["replicas"].clone();
    }
    Ok(sent.to_string().into())
}

/// Whether the dry run of a drifted object ends where the object is: what we own stays as it is, whatever the server
/// does with the rest. Owning a field means that its value is ours, so equal ownership is equal content.
fn settled(step: &Step, after: &Value) -> bool {
    let (Some(live), Some(after)) = (&step.live, Live::read(after)) else { return false };
    matches!(step.reason, Reason::Drifted { .. })
        && after.owned == live.owned
        && after.applied == live.applied
}

async fn look_again(session: &Session, path: &str, step: &Step) -> Option<Step> {
    let object = session.cluster.send(&Call::get(path).accept(METADATA)).await.ok()?.json().ok()?;
    let live = with_type(object, &step.wanted).and_then(|object| Live::read(&object))?;
    let nothing = BTreeMap::new();
    match compare(&step.wanted, Some(&live), &nothing) {
        Change::Update { uid, reason } => Some(Step {
            wanted: step.wanted.clone(),
            action: Action::Update { uid },
            reason,
            live: Some(Arc::new(live)),
            replicas: step.replicas,
            withheld: step.withheld.clone(),
        }),
        _ => None,
    }
}

fn unknown_kind(kinds: &Kinds, wanted: &Wanted) -> Refusal {
    let gvk = &wanted.gvk;
    if let Some(removed) = schema::builtin().removed(gvk) {
        let message = format!("{gvk} was removed in Kubernetes {}", removed.release);
        let refusal = Refusal::new(RefusalKind::UnknownKind, wanted, message);
        return match &removed.instead {
            Some(instead) => refusal.hint(format!("write {instead}")),
            None => refusal.hint("nothing takes its place"),
        };
    }
    match kinds.get(&gvk.group, &gvk.kind) {
        Some(info) => {
            let message = format!("this cluster does not serve {gvk}");
            let versions: Vec<&str> = info.versions.iter().map(String::as_str).collect();
            Refusal::new(RefusalKind::UnknownKind, wanted, message)
                .hint(format!("it serves {} of this kind", versions.join(", ")))
        }
        None => {
            let refusal =
                Refusal::new(RefusalKind::UnknownKind, wanted, format!("this cluster knows no {gvk}"));
            let elsewhere: Vec<String> = kinds
                .iter()
                .filter(|(_, kind, _)| *kind == &*gvk.kind)
                .flat_map(|(group, _, info)| info.versions.first().map(|version| join(group, version)))
                .collect();
            match elsewhere.first() {
                Some(other) => refusal.hint(format!("the kind {} is served as {other}", gvk.kind)),
                None => refusal.hint("is its CustomResourceDefinition installed, or part of this app?"),
            }
        }
    }
}

fn join(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}
