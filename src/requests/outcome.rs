//! What came of a Request, by what those say who were told.

use super::{Handle, Known, Meaning};
use crate::api::{AppStatus, RequestState, RollbackState, RollbackTo};
use crate::delivery::Approved;
use crate::object::AppName;

type CameTo = Option<(RequestState, String)>;

/// What is new of a Request; `None` while nothing is known.
pub(super) fn came_to(
    meant: &Meaning,
    handle: &Handle,
    before: Option<RequestState>,
    known: &Known,
) -> CameTo {
    match meant {
        Meaning::Look => {
            known.looked.contains(&handle.name).then(|| (RequestState::Done, "git was looked at".to_owned()))
        }
        Meaning::Retry { app, digest } => {
            let retried = known.replies.retry.as_ref();
            let answered = retried.filter(|retried| retried.nonce.split(" by ").next() == Some(&handle.uid));
            match answered.map(|retried| retried.meant) {
                Some(Some(true)) => {
                    Some((RequestState::Done, format!("{app}: {} is tried again", digest.short())))
                }
                Some(Some(false)) => Some((
                    RequestState::Refused,
                    format!("{app}: nothing of {} is set aside or halted", digest.short()),
                )),
                Some(None) => {
                    Some((RequestState::Done, format!("{app}: it was answered before the agent restarted")))
                }
                None => of(app, known).is_none().then(|| missing(app, known)).flatten(),
            }
        }
        Meaning::Rollback { app, to } => match of(app, known) {
            Some(status) => rollback(status, to, handle, before, known),
            None => missing(app, known),
        },
        Meaning::Approve { digest } => {
            let (of, came_to) = known.replies.approval.as_ref()?;
            if of != digest {
                return None;
            }
            Some(match came_to {
                Approved::Goes => {
                    (RequestState::Done, format!("{} goes: these objects and no others", digest.short()))
                }
                Approved::NotNeeded => {
                    (RequestState::Done, "nothing waits for an approval any more".to_owned())
                }
                Approved::Another(now) => (
                    RequestState::Refused,
                    format!("what would be deleted is {} by now, not {}", now.short(), digest.short()),
                ),
            })
        }
        Meaning::Adopt { tokens } => {
            let agreed = tokens.iter().all(|token| known.replies.agreed.contains(token));
            let words = || match tokens.as_slice() {
                [_] => "one hand-over is agreed to, of exactly that state".to_owned(),
                several => format!("{} hand-overs are agreed to, of exactly that state", several.len()),
            };
            agreed.then(|| (RequestState::Done, words()))
        }
        Meaning::Region(_) => known.regions.get(&handle.uid).cloned(),
        // They come to what they are by themselves (`holds`).
        Meaning::Hold { .. } | Meaning::Decide { .. } | Meaning::Release { .. } => None,
    }
}

fn of<'a>(app: &AppName, known: &Known<'a>) -> Option<&'a AppStatus> {
    known.apps.iter().find(|status| status.name == *app)
}

fn missing(app: &AppName, known: &Known) -> CameTo {
    let knows = known.replies.knows_apps && !known.apps.is_empty();
    knows.then(|| (RequestState::Refused, format!("git has no app {app}")))
}

fn rollback(
    app: &AppStatus,
    asked: &RollbackTo,
    handle: &Handle,
    before: Option<RequestState>,
    known: &Known,
) -> CameTo {
    let mine = app.rollback.as_ref().filter(|rollback| rollback.request == handle.uid);
    let Some(mine) = mine else {
        if !known.replies.rollbacks.contains(&handle.uid) {
            return None;
        }
        let name = &app.name;
        return Some(match before == Some(RequestState::Going) {
            true => (
                RequestState::Overtaken,
                format!("{name}: git or a person said something newer before it was done"),
            ),
            false => (
                RequestState::Refused,
                format!("{name}: it was answered before the agent restarted, and nothing came of it"),
            ),
        });
    };
    let digest = mine.to.as_ref().map_or("", |to| to.short());
    let why = mine.message.as_deref().unwrap_or_default();
    let name = &app.name;
    Some(match mine.state {
        RollbackState::Going => {
            (RequestState::Going, format!("{name}: {digest} is put back instead of {}", asked.from.short()))
        }
        RollbackState::Done => (RequestState::Done, format!("{name}: {digest} runs and is healthy")),
        RollbackState::Failed => (RequestState::Failed, format!("{name}: failed: {why}")),
        RollbackState::Unchanged => (RequestState::Done, format!("{name}: {why}")),
        RollbackState::Refused => (RequestState::Refused, format!("{name}: {why}")),
    })
}
