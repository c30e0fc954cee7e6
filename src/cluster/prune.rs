//! Deletes what a [`CheckedPrune`] holds, wave by wave. Nothing else in the program deletes an object.

use futures::stream::{self, StreamExt};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::call::{Call, CallError, METADATA};
use super::delete::{Delete, Propagation};
use super::discovery::Session;
use super::prove::AT_ONCE;
use crate::api::Identity;
use crate::object::{ObjectKey, chain};
use crate::plan::{CheckedPrune, Doomed, Due, PruneAnswer, PruneOutcome, PruneRefusal, RefusalKind};

/// Asks the server about each delete, without deleting: in the order of [`Due::objects`].
pub async fn ask_prune(session: &Session, due: &Due, identity: Option<&Identity>) -> Vec<PruneAnswer> {
    let objects = due.objects();
    let asked = stream::iter(0..objects.len()).map(|n| async move {
        let answer = match delete(session, &objects[n], identity, true).await {
            Ok(true) => PruneAnswer::Accepted,
            Ok(false) => PruneAnswer::Gone,
            Err(refusal) => PruneAnswer::Refused(refusal),
        };
        (n, answer)
    });
    let mut answers: Vec<(usize, PruneAnswer)> = asked.buffer_unordered(AT_ONCE).collect().await;
    answers.sort_by_key(|(n, _)| *n);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Deletes wave `n`. `stop` ends it between two requests; one that is under way is finished.
pub async fn prune_wave(
    session: &Session,
    prune: &CheckedPrune,
    n: usize,
    identity: Option<&Identity>,
    stop: &CancellationToken,
) -> PruneOutcome {
    let mut outcome = PruneOutcome::default();
    let Some(wave) = prune.waves().get(n) else { return outcome };
    // One after the other: deletes are few, and a newer commit can still stop all but one.
    for object in wave {
        if stop.is_cancelled() {
            outcome.stopped = true;
            break;
        }
        match delete(session, object, identity, false).await {
            Ok(_) => outcome.deleted.push(object.live.key.clone()),
            Err(refusal) => {
                outcome.refused.push(refusal);
                break;
            }
        }
    }
    outcome
}

/// The finalizers of objects that are being deleted and do not go.
pub async fn finalizers(session: &Session, objects: &[Doomed]) -> Vec<(ObjectKey, Vec<String>)> {
    let mut found = Vec::new();
    for object in objects {
        let live = &object.live;
        let Some(path) = session.path(&live.gvk, &live.key) else { continue };
        let Ok(reply) = session.cluster.send(&Call::get(path).accept(METADATA)).await else { continue };
        let Ok(now) = reply.json() else { continue };
        if now["metadata"]["uid"].as_str() != Some(&live.uid) {
            continue;
        }
        let names = now["metadata"]["finalizers"].as_array().into_iter().flatten();
        let names = names.filter_map(|name| name.as_str()).map(str::to_owned).collect();
        found.push((live.key.clone(), names));
    }
    found
}

/// `false` where it was gone already.
async fn delete(
    session: &Session,
    object: &Doomed,
    identity: Option<&Identity>,
    dry_run: bool,
) -> Result<bool, PruneRefusal> {
    let live = &*object.live;
    let refuse = |kind, message: String| PruneRefusal { key: live.key.clone(), kind, message };
    let Some(path) = session.path(&live.gvk, &live.key) else {
        return Err(refuse(RefusalKind::UnknownKind, "its kind is not served".to_owned()));
    };
    // The object as it was looked at: what it is in any other version decides anew.
    let delete = Delete {
        uid: &live.uid,
        version: Some(&live.resource_version),
        propagation: Propagation::of(&live.key),
        dry_run,
    };
    match session.cluster.send(&delete.call(&path, identity)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(CallError::Refused { status, body }) => {
            let error = CallError::Refused { status, body };
            Err(match status {
                // The object changed since it was looked at: what it is now decides anew.
                StatusCode::CONFLICT => {
                    refuse(RefusalKind::Conflict, "it changed in the meantime".to_owned())
                }
                StatusCode::FORBIDDEN => refuse(RefusalKind::Forbidden, error.to_string()),
                status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    refuse(RefusalKind::Unreachable, error.to_string())
                }
                _ => refuse(RefusalKind::Invalid, error.to_string()),
            })
        }
        Err(error) => Err(refuse(RefusalKind::Unreachable, chain(&error))),
    }
}
