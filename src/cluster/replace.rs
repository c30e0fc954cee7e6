//! Takes an object away of which a field changes that cannot, so that it can be made anew.

use std::time::Duration;

use http::StatusCode;

use super::call::{Call, CallError};
use super::delete::{Delete, Propagation, goes_within};
use super::discovery::Session;
use super::refusal::refusal;
use crate::api::Identity;
use crate::object::MANAGER;
use crate::plan::{Answer, Asked, Refusal, RefusalKind, Step, Wanted, may_replace};

/// How long it may take to go: its pods have a grace period, of 30 s where nobody says otherwise.
const GONE_WITHIN: Duration = Duration::from_secs(45);

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
            let delete =
                Delete { uid: &live.uid, version: None, propagation: Propagation::Background, dry_run: true };
            session.cluster.send(&delete.call(path, identity)).await?;
        }
        let mut like = wanted.value();
        if let Some(metadata) = like["metadata"].as_object_mut() {
            metadata.remove("name");
            metadata.insert("generateName".into(), "replacement-".into());
        }
        let collection = path.rsplit_once('/').map_or("", |(collection, _)| collection);
        let path = format!("{collection}?fieldManager={MANAGER}&dryRun=All&fieldValidation=Strict");
        session.cluster.send(&Call::create(path, like.to_string().into(), identity)).await
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
    let propagation = propagation(session, path, wanted).await.map_err(|error| refused(&error))?;
    let delete = Delete { uid, version: Some(version), propagation, dry_run: false };
    match session.cluster.send(&delete.call(path, identity)).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => {}
        Err(CallError::Refused { status: StatusCode::CONFLICT, .. }) => {
            return Err(Refusal::new(RefusalKind::Conflict, wanted, "it changed in the meantime"));
        }
        Err(error) => return Err(refused(&error)),
    }
    if goes_within(GONE_WITHIN, &session.cluster, path, uid).await.map_err(|error| refused(&error))? {
        return Ok(());
    }
    let message = "it is deleted to be made anew, and is not gone yet";
    Err(Refusal::new(RefusalKind::BeingDeleted, wanted, message))
}

/// Leaves the pods of a StatefulSet where the new one selects the same: it takes them over and replaces them one by one.
async fn propagation(session: &Session, path: &str, wanted: &Wanted) -> Result<Propagation, CallError> {
    if (&*wanted.key.group, &*wanted.key.kind) != ("apps", "StatefulSet") {
        return Ok(Propagation::of(&wanted.key));
    }
    let live = match session.cluster.send(&Call::get(path)).await {
        Ok(reply) => reply.json()?,
        Err(error) if error.is_not_found() => return Ok(Propagation::Foreground),
        Err(error) => return Err(error),
    };
    let same = live["spec"]["selector"] == wanted.value()["spec"]["selector"];
    Ok(if same { Propagation::Orphan } else { Propagation::Foreground })
}
