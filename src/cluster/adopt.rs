//! Hands over on the server what other tools hold of an object, and lets go of replicas that are not ours to set.
//!
//! Both are one edit of `metadata.managedFields`, guarded by the resourceVersion, by which no value changes; the apply
//! after it takes away what git does not say. Ended between the two, the next plan finds the fields ours and applies. The
//! proof of it shows the server the outcome of both: there is no dry run of two requests.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::body::{body, read};
use super::call::{Call, CallError, JSON, METADATA};
use super::discovery::Session;
use super::dry_run::{Detail, Proven, Terms, dry_run};
use super::refusal::refusal;
use crate::api::Identity;
use crate::object::{Live, MANAGER};
use crate::plan::{
    Action, Answer, Asked, CheckedStep, Conflict, Edit, Handover, Refusal, RefusalKind, Replicas, Step, edit,
    outcome,
};

/// An object whose status moves may be another by the time it is edited; then it is looked at again, so often.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(40);

/// A step that claims what others hold.
pub struct Claimed<'a> {
    pub session: &'a Session,
    pub path: &'a str,
    pub step: &'a Step,
    pub terms: Terms<'a>,
    /// The live object, where it was asked for.
    pub before: Option<Value>,
}

/// What comes of the claim: proven where its hand-over was agreed to, refused with what would change hands otherwise.
/// `left` is held by an autoscaler that is gone, and nobody is asked about it.
pub async fn claim(
    claimed: Claimed<'_>,
    refused: Refusal,
    held: Vec<Conflict>,
    left: Vec<Conflict>,
) -> Proven {
    let Claimed { session, path, step, terms, before } = claimed;
    let live = match before.clone() {
        Some(live) => live,
        None => match read_metadata(session, path).await {
            Ok(live) => live,
            Err(_) => return Answer::Refused(refused).into(), // Who holds it is known all the same.
        },
    };
    let Some(handover) = Handover::of(&step.wanted.key, &live, &held) else {
        let hint = "a part of Kubernetes itself sets this field: leave it out of git";
        return Answer::Refused(refused.hint(hint)).into();
    };
    let given = terms.consent.given(&handover);
    if !given && terms.detail == Detail::Metadata {
        return Answer::Refused(refused.with_handover(handover)).into();
    }
    let body = match body(session, step) {
        Ok(body) => body,
        Err(refused) => return Answer::Refused(refused).into(),
    };
    match prove_outcome(session, path, step, body, terms.identity, &live, &handover).await {
        Ok((after, warnings)) => {
            let answer = match given {
                true => Answer::Asked(Asked {
                    force: left,
                    adopt: Some(handover.into()),
                    warnings,
                    ..Asked::default()
                }),
                false => Answer::Refused(refused.with_handover(handover)),
            };
            let after = (terms.detail == Detail::Objects).then_some(after);
            Proven { answer, before, after }
        }
        Err(error) => {
            let mut late = refusal(&error, &step.wanted);
            late.message = format!("as it would be once others handed it over: {}", late.message);
            let hint =
                "what others set and git does not say goes with the hand-over: say in git what has to stay";
            Answer::Refused(late.hint(hint).with_handover(handover)).into()
        }
    }
}

/// Shows the server the object as it will be, without writing: git's values over what is live, less what only those
/// held who hand it over. Answers the object and the server's warnings.
async fn prove_outcome(
    session: &Session,
    path: &str,
    step: &Step,
    body: Bytes,
    identity: Option<&Identity>,
    live: &Value,
    handover: &Handover,
) -> Result<(Value, Vec<String>), CallError> {
    let reply = dry_run(session, path, body, identity, JSON, true).await?;
    let merged = reply.json()?;
    let version = step.wanted.gvk.api_version();
    let Some(edit) = edit(live, Some(handover), sends_replicas(step.replicas), &version) else {
        return Ok((merged, reply.warnings));
    };
    // The server converts fields of another version; we cannot, and its apply is the judge then.
    if edit.api_version != version {
        return Ok((merged, reply.warnings));
    }
    let after = outcome(&merged, &edit, handover);
    let patch = replacing(&merged, &after);
    if patch.is_empty() {
        return Ok((merged, reply.warnings));
    }
    let path = format!("{path}?fieldManager={MANAGER}&dryRun=All&fieldValidation=Strict");
    let judged = session.cluster.send(&Call::json_patch(path, &patch.into(), identity).accept(JSON)).await?;
    Ok((judged.json()?, reply.warnings))
}

/// Whether what is written has replicas, so that we may hold them.
fn sends_replicas(replicas: Replicas) -> bool {
    !replicas.withheld()
}

/// A patch that makes of the live object the one `after`, whose parts are those of `merged` where they do not differ from
/// it. Nothing where the two are the same.
fn replacing(merged: &Value, after: &Value) -> Vec<Value> {
    if merged == after {
        return Vec::new();
    }
    let mut patch = Vec::new();
    let mut replace = |root: &str, name: &str, merged: &Value, after: &Value| {
        let path = format!("{root}/{}", name.replace('~', "~0").replace('/', "~1"));
        match (merged.get(name), after.get(name)) {
            (_, Some(value)) => patch.push(json!({"op": "add", "path": path, "value": value})),
            (Some(_), None) => patch.push(json!({"op": "remove", "path": path})),
            (None, None) => {}
        }
    };
    for name in merged.as_object().into_iter().flatten().map(|(name, _)| name) {
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for name in ["labels", "annotations", "finalizers"] {
                    replace("/metadata", name, &merged["metadata"], &after["metadata"]);
                }
            }
            name => replace("", name, merged, after),
        }
    }
    patch
}

/// Makes what a checked step takes over ours, and lets go of what is not. Values stay as they are. Answers the object as
/// it is then; `None` where it is gone.
pub async fn hand_over(
    session: &Session,
    path: &str,
    step: &CheckedStep,
    identity: Option<&Identity>,
) -> Result<Option<Live>, Refusal> {
    let wanted = step.wanted();
    let moved = |message: &str| Refusal::new(RefusalKind::Conflict, wanted, message.to_owned());
    for attempt in 1..=ATTEMPTS {
        let object = match read_metadata(session, path).await {
            Ok(object) => object,
            // It left meanwhile; the apply finds out what that means.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(refusal(&error, wanted)),
        };
        if let Action::Update { uid } = step.action()
            && object["metadata"]["uid"] != **uid
        {
            return Err(moved("it was deleted, and another was made of its name"));
        }
        let handover = step.adopt().map(|handover| &**handover);
        let sends_replicas = sends_replicas(step.replicas());
        let Some(edit) = edit(&object, handover, sends_replicas, &wanted.gvk.api_version()) else {
            return Ok(read(object, wanted)); // Done before, by a request whose answer was lost.
        };
        if let Some(agreed) = handover {
            let now = Handover::of(&wanted.key, &object, &agreed.fields);
            if now.is_none_or(|now| now.token != agreed.token) {
                return Err(moved("what others hold of it is not what was agreed to any more"));
            }
        }
        let query = format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict");
        let patch = guarded(&object, edit);
        match session.cluster.send(&Call::json_patch(query, &patch, identity)).await {
            Ok(reply) => {
                let object = reply.json().map_err(|error| refusal(&error, wanted))?;
                return Ok(read(object, wanted));
            }
            Err(error) if error.status() == Some(StatusCode::CONFLICT) => {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            Err(error) => return Err(refusal(&error, wanted)),
        }
    }
    Err(moved("it changes faster than it can be handed over"))
}

/// The edit, of this object as it was read and no other: the server answers 409 where the version is another.
fn guarded(object: &Value, edit: Edit) -> Value {
    let metadata = &object["metadata"];
    json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": edit.managed},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ])
}

async fn read_metadata(session: &Session, path: &str) -> Result<Value, CallError> {
    session.cluster.send(&Call::get(path).accept(METADATA)).await?.json()
}
