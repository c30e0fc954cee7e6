//! Finds what a person wants back: among what is stored, or in what the branch said before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Hands;
use super::recall::as_wanted;
use crate::agent::charts::Charts;
use crate::agent::desired::{DesiredScope, read_config, render_past};
use crate::agent::memory::Budget;
use crate::agent::secrets::EnvironmentSecrets;
use crate::agent::state_store::{StateError, StateStore};
use crate::cluster::Session;
use crate::delivery::{Choice, Event, Failure, No, Want, choose, kept};
use crate::git::Mirror;
use crate::helm::{Helm, Stop};
use crate::object::{AppName, Kinds, Problems, Revision, chain};
use crate::plan::WantedApp;
use crate::render;
use crate::state::{Change, Quarantine};

/// All that a branch ever was may be much.
const FETCHED_WITHIN: Duration = Duration::from_secs(300);

/// Where older revisions are read from.
#[derive(Clone)]
pub struct Archive {
    pub mirror: Arc<Mirror>,
    pub branch: String,
    pub scope: DesiredScope,
    pub kinds: Arc<Kinds>,
    pub helm: Arc<Helm>,
    pub limits: render::Limits,
    pub memory: Arc<Budget>,
    pub session: Session,
    /// With which versions of secrets an app is rendered now.
    pub secrets: Arc<EnvironmentSecrets>,
}

/// Finds it and has it remembered, before anything of it is written: after a restart it is gone on with.
pub(super) async fn find(hands: &Hands, app: &AppName, want: Want, mut remember: Vec<Change>) -> Event {
    let Some(store) = &hands.store else {
        return Event::Found(Box::new(Err(No::Because("nothing is remembered here".to_owned()))));
    };
    let (quarantine, target, revision) = match look_for(hands, store, app, want).await {
        Ok(found) => found,
        Err(no) => {
            // What waited to be remembered waits no longer than it must.
            if let Err(error) = store.save(remember).await {
                return Event::Failed(Failure::Passing(chain(&error)));
            }
            return Event::Found(Box::new(Err(no)));
        }
    };
    let wanted = Arc::new(target.clone());
    remember.push(Change::Asked { quarantine: quarantine.clone(), target: wanted, revision });
    match store.save(remember).await {
        Ok(()) => Event::Found(Box::new(Ok((quarantine, target)))),
        Err(error) => Event::Failed(Failure::Passing(chain(&error))),
    }
}

type Target = (Quarantine, WantedApp, Option<Revision>);

async fn look_for(hands: &Hands, store: &StateStore, app: &AppName, want: Want) -> Result<Target, No> {
    if let Some(why) = want.refusal() {
        return Err(No::Because(why));
    }
    let failed = |error: StateError| No::Because(chain(&error));
    let memory = store.memory();
    let known = memory.apps.get(app).map(|known| (**known).clone()).unwrap_or_default();
    let choice = choose(&known, want.ask.to.as_deref(), &want.present).map_err(No::Because)?;
    let (wanted, revision) = match choice {
        Choice::Stored(good) => {
            let stored = store.good_of(app, &good.digest).await.map_err(failed)?;
            let gone = || No::Because(format!("{} is not stored any more", good.digest.short()));
            (as_wanted(stored.ok_or_else(gone)?), good.revision.clone())
        }
        Choice::Revision(rev) => {
            let archive = hands.archive.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            let Some(archive) = archive else {
                let why = format!("git cannot be read, and of {rev} nothing is stored: {}", kept(&known));
                return Err(No::Because(why));
            };
            let (rev, name) = (rev.to_owned(), app.clone());
            let rendered = tokio::task::spawn_blocking(move || past(&archive, &name, &rev)).await;
            let rendered = rendered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            rendered.map_err(|why| No::Because(format!("{why}; {}", kept(&known))))?
        }
    };
    let quarantine = want.quarantine(&known, &wanted.digest, revision.clone())?;
    Ok((quarantine, wanted, revision))
}

/// What an app was at a commit of its branch, by what its environment said then and is granted now.
fn past(archive: &Archive, app: &AppName, rev: &str) -> Result<(WantedApp, Option<Revision>), String> {
    let found = archive.mirror.past(&archive.branch, rev, Instant::now() + FETCHED_WITHIN);
    let past = found.map_err(|error| chain(&error))?;
    let short = past.revision.short().to_owned();
    let wrong = |problems: Problems| {
        let first = problems.as_slice().iter().take(3).map(ToString::to_string).collect::<Vec<_>>();
        format!("commit {short} cannot be rolled out: {}", first.join("; "))
    };
    let config = read_config(&past.tree, &archive.scope).map_err(wrong)?;
    let Some(spec) = config.apps.iter().find(|spec| spec.name == *app) else {
        return Err(format!("commit {short} has no app {app}"));
    };
    let charts = Charts::blocking(&archive.helm, &archive.session, &archive.kinds, Stop::default());
    let (scope, kinds) = (&archive.scope, &archive.kinds);
    let memory = archive.memory.begin(scope.environment.as_str(), Stop::default());
    let limits = &render::Limits { memory: Arc::new(memory), ..archive.limits.clone() };
    let pins = archive.secrets.pins(app);
    let wanted =
        render_past(&past.tree, scope, &config, spec, (kinds, &pins), limits, &charts).map_err(wrong)?;
    // A migration of the past is not run again: going back runs no hooks.
    let wanted = WantedApp::of_objects(wanted.app, wanted.digest, wanted.objects);
    Ok((wanted, Some(past.revision)))
}
