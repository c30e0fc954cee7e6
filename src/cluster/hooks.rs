//! Makes the Jobs of hooks, and looks after those that ended. A Job is created, never applied: of two that try, the server
//! lets one.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::body::read;
use super::call::{Call, CallError, METADATA};
use super::delete::{Delete, Propagation, goes_within, uid_at};
use super::discovery::Session;
use super::refusal::refusal;
use crate::api::{Identity, names};
use crate::object::{HOOK_IDENTITY, Live, MANAGER, ObjectKey};
use crate::plan::{Hook, Refusal, RefusalKind, Wanted};

/// How long a Job that failed may take to go before another of its name is made.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// Asks whether the Job of a hook could be made, without making it.
pub async fn prove_hook(
    session: &Session,
    hook: &Hook,
    seconds: i64,
    identity: Option<&Identity>,
) -> Result<(), Refusal> {
    match create(session, hook, seconds, identity, true).await {
        Ok(_) => Ok(()),
        // Whose it is is looked at when it is its turn.
        Err(error) if error.is_already_there() => Ok(()),
        Err(error) => Err(refusal(&error, &hook.job)),
    }
}

/// Makes the Job of a hook, or finds the one that was made before. One that failed, with the uid `replaces`, goes first.
/// `None` where it was stopped before anything was made.
pub async fn make_hook(
    session: &Session,
    hook: &Hook,
    seconds: i64,
    replaces: Option<&str>,
    identity: Option<&Identity>,
    stop: &CancellationToken,
) -> Result<Option<Live>, Refusal> {
    let wanted = &*hook.job;
    if let Some(found) = get(session, wanted).await? {
        if found["metadata"]["uid"].as_str() != replaces {
            return ours(hook, found).map(Some);
        }
        let uid = replaces.unwrap_or_default();
        if !end_job(session, &wanted.key, uid, identity).await.map_err(|error| refusal(&error, wanted))? {
            let message = "the one that failed is still being deleted";
            return Err(Refusal::new(RefusalKind::BeingDeleted, wanted, message));
        }
    }
    prove_hook(session, hook, seconds, identity).await?;
    if stop.is_cancelled() {
        return Ok(None);
    }
    let answer = match create(session, hook, seconds, identity, false).await {
        Ok(answer) => answer,
        Err(error) if error.is_already_there() => match get(session, wanted).await? {
            Some(found) => return ours(hook, found).map(Some),
            None => return Err(refusal(&error, wanted)),
        },
        Err(error) => return Err(refusal(&error, wanted)),
    };
    match read(answer, wanted) {
        Some(live) => Ok(Some(live)),
        None => {
            Err(Refusal::new(RefusalKind::Unreachable, wanted, "the API server's answer is not an object"))
        }
    }
}

/// The uid that a Job bears by the server's own word, and not by what is watched; `None` where it is not there.
pub async fn job_uid(session: &Session, key: &ObjectKey) -> Result<Option<Box<str>>, CallError> {
    uid_at(&session.cluster, &path(key)).await
}

/// Lets the time to live of a Job that ended begin. Nothing is sent where it has.
pub async fn start_ttl(
    session: &Session,
    key: &ObjectKey,
    uid: &str,
    seconds: i64,
    identity: Option<&Identity>,
) -> Result<(), CallError> {
    let found = match session.cluster.send(&Call::get(path(key))).await {
        Ok(reply) => reply.json()?,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    if found["metadata"]["uid"].as_str() != Some(uid) || found["spec"]["ttlSecondsAfterFinished"] == seconds {
        return Ok(());
    }
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/spec/ttlSecondsAfterFinished", "value": seconds},
    ]);
    let url = format!("{}?fieldManager={MANAGER}", path(key));
    session.cluster.send(&Call::json_patch(url, &patch, identity)).await.map(drop)
}

/// Deletes a Job of this uid, and its pods.
pub async fn delete_job(
    session: &Session,
    key: &ObjectKey,
    uid: &str,
    identity: Option<&Identity>,
) -> Result<(), CallError> {
    // It is gone when its pods are.
    let delete = Delete { uid, version: None, propagation: Propagation::Foreground, dry_run: false };
    match session.cluster.send(&delete.call(&path(key), identity)).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        // Another has come to bear its name.
        Err(CallError::Refused { status: StatusCode::CONFLICT, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn path(key: &ObjectKey) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    format!("/apis/batch/v1/namespaces/{namespace}/jobs/{}", key.name)
}

async fn create(
    session: &Session,
    hook: &Hook,
    seconds: i64,
    identity: Option<&Identity>,
    dry_run: bool,
) -> Result<Value, CallError> {
    let path = path(&hook.job.key);
    let collection = path.rsplit_once('/').map_or("", |(collection, _)| collection);
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    let path = format!("{collection}?fieldManager={MANAGER}&fieldValidation=Strict{dry_run}");
    session.cluster.send(&Call::create(path, hook.body(seconds).into(), identity)).await?.json()
}

async fn get(session: &Session, wanted: &Wanted) -> Result<Option<Value>, Refusal> {
    match session.cluster.send(&Call::get(path(&wanted.key)).accept(METADATA)).await {
        Ok(reply) => reply.json().map(Some).map_err(|error| refusal(&error, wanted)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(refusal(&error, wanted)),
    }
}

/// What was found, if it is the Job that we made for this hook: its labels alone anyone may copy.
fn ours(hook: &Hook, found: Value) -> Result<Live, Refusal> {
    let wanted = &*hook.job;
    let (metadata, marks) = (&found["metadata"], &wanted.value()["metadata"]);
    let marked = [names::ENVIRONMENT_LABEL, names::APP_LABEL, names::APPLYSET_PART_OF]
        .iter()
        .all(|label| metadata["labels"][*label] == marks["labels"][*label]);
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    let mut managers = managers.filter(|entry| entry["subresource"].is_null());
    let made = managers.any(|entry| {
        entry["manager"] == MANAGER
            && entry["operation"] == "Update"
            && entry["fieldsV1"]["f:spec"].get("f:template").is_some()
    });
    if !marked || !made || metadata["annotations"][HOOK_IDENTITY] != hook.identity.as_str() {
        let message = "a Job of this name is there, and Fairlead did not make it";
        return Err(Refusal::new(RefusalKind::Invalid, wanted, message).hint("delete it, or rename the hook"));
    }
    if !metadata["deletionTimestamp"].is_null() {
        return Err(Refusal::new(RefusalKind::BeingDeleted, wanted, "it is being deleted"));
    }
    read(found, wanted).ok_or_else(|| {
        Refusal::new(RefusalKind::Unreachable, wanted, "the API server's answer is not an object")
    })
}

/// Deletes a Job of this uid, and waits until it is gone; `false` where it takes longer.
pub async fn end_job(
    session: &Session,
    key: &ObjectKey,
    uid: &str,
    identity: Option<&Identity>,
) -> Result<bool, CallError> {
    delete_job(session, key, uid, identity).await?;
    goes_within(GONE_WITHIN, &session.cluster, &path(key), uid).await
}
