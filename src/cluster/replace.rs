//! Takes an object away of which a field changes that cannot, so that it can be made anew.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::call::{Call, CallError, JSON, METADATA};
use super::discovery::Session;
use super::refusal::refusal;
use crate::api::Identity;
use crate::object::MANAGER;
use crate::plan::{Answer, Asked, Refusal, RefusalKind, Step, Wanted, may_replace};

/// How long it may take to go: its pods have a grace period, of 30 s where nobody says otherwise.
const GONE_WITHIN: Duration = Duration::from_secs(45);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Asks whether the object could be deleted, and one like it made: under another name, for its own is taken.
pub(super) async fn prove_replacement(
    session: &Session,
    path: &str,
    step: &Step,
    identity: Option<&Identity>,
    refused: Refusal,
) -> Answer {
    let why: Box<str> = refused.message.as_str().into();
    if let Err(refused) = may_replace(step, refused) {
        return Answer::Refused(refused);
    }
    let wanted = &*step.wanted;
    let asked = async {
        if let Some(live) = &step.live {
            let options = options(&live.uid, None, "Background", true);
            session.cluster.send(&Call::delete(format!("{path}?dryRun=All"), &options, identity)).await?;
        }
        let mut like = wanted.value();
        if let Some(metadata) = like["metadata"].as_object_mut() {
            metadata.remove("name");
            metadata.insert("generateName".into(), "replacement-".into());
        }
        let collection = path.rsplit_once('/').map_or("", |(collection, _)| collection);
        let call = Call {
            method: Method::POST,
            path: format!("{collection}?fieldManager={MANAGER}&dryRun=All&fieldValidation=Strict"),
            body: Some(like.to_string().into()),
            content_type: JSON,
            accept: METADATA,
            identity,
        };
        session.cluster.send(&call).await
    };
    match asked.await {
        Ok(reply) => {
            Answer::Asked(Asked { replace: Some(why), warnings: reply.warnings, ..Asked::default() })
        }
        Err(error) => Answer::Refused(refusal(&error, wanted)),
    }
}

/// Deletes the object of this uid in this version, and waits until it is gone.
pub(super) async fn take_away(
    session: &Session,
    path: &str,
    wanted: &Wanted,
    uid: &str,
    version: &str,
    identity: Option<&Identity>,
) -> Result<(), Refusal> {
    let refused = |error: &CallError| refusal(error, wanted);
    let policy = propagation(session, path, wanted).await.map_err(|error| refused(&error))?;
    let options = options(uid, Some(version), policy, false);
    match session.cluster.send(&Call::delete(path.to_owned(), &options, identity)).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => {}
        Err(CallError::Refused { status: StatusCode::CONFLICT, .. }) => {
            return Err(Refusal::new(RefusalKind::Conflict, wanted, "it changed in the meantime"));
        }
        Err(error) => return Err(refused(&error)),
    }
    let began = Instant::now();
    while began.elapsed() < GONE_WITHIN {
        match session.cluster.send(&Call::get(path).accept(METADATA)).await {
            Ok(reply) => {
                let found = reply.json().map_err(|error| refused(&error))?;
                if found["metadata"]["uid"].as_str() != Some(uid) {
                    return Ok(());
                }
            }
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(refused(&error)),
        }
        sleep(LOOK_AGAIN).await;
    }
    let message = "it is deleted to be made anew, and is not gone yet";
    Err(Refusal::new(RefusalKind::BeingDeleted, wanted, message))
}

/// A workload is gone when its pods are, so that two of a Job never run at once. The pods of a StatefulSet stay, and the
/// new one takes them over and replaces them one by one, if it selects the same.
async fn propagation(session: &Session, path: &str, wanted: &Wanted) -> Result<&'static str, CallError> {
    match (&*wanted.key.group, &*wanted.key.kind) {
        ("apps", "StatefulSet") => {
            let live = match session.cluster.send(&Call::get(path)).await {
                Ok(reply) => reply.json()?,
                Err(error) if error.is_not_found() => return Ok("Foreground"),
                Err(error) => return Err(error),
            };
            let same = live["spec"]["selector"] == wanted.value()["spec"]["selector"];
            Ok(if same { "Orphan" } else { "Foreground" })
        }
        ("apps" | "batch", _) => Ok("Foreground"),
        _ => Ok("Background"),
    }
}

fn options(uid: &str, version: Option<&str>, policy: &str, dry_run: bool) -> Value {
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": {"uid": uid}, "propagationPolicy": policy,
    });
    if let Some(version) = version {
        options["preconditions"]["resourceVersion"] = version.into();
    }
    if dry_run {
        options["dryRun"] = json!(["All"]);
    }
    options
}
