//! Finds what a person wants back: among what is stored, or in what the branch said before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::charts::Charts;
use super::desired::{Scope, read_config, render_app, want};
use super::driver::Hands;
use super::proof::as_wanted;
use super::state_store::{StateError, StateStore};
use crate::cluster::{Session, chain};
use crate::git::Mirror;
use crate::helm::{Helm, Stop};
use crate::object::{AppName, Digest, Kinds, Problems, Revision};
use crate::plan::WantedApp;
use crate::render;
use crate::state::{AppMemory, Asked, Good, Pieces, Quarantine, Stage};

/// All that a branch ever was may be much.
const FETCHED_WITHIN: Duration = Duration::from_secs(300);
/// A beginning that is shorter names too much.
pub const SHORTEST: usize = 7;

/// What a person asks of one app.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub id: String,
    pub by: String,
    /// What git said when they asked.
    pub from: Digest,
    /// A commit or a digest, or the beginning of one; what was good before where none is given.
    pub to: Option<String>,
}

/// What they ask, and where the app stands.
pub struct Want {
    pub ask: Ask,
    /// What git says,
    pub desired: Digest,
    /// and what runs, or is to.
    pub present: Digest,
    /// Why nothing can be done now.
    pub obstacle: Option<&'static str>,
    pub retried: Option<String>,
}

/// Where older revisions are read from.
#[derive(Clone)]
pub struct Archive {
    pub mirror: Arc<Mirror>,
    pub branch: String,
    pub scope: Scope,
    pub kinds: Arc<Kinds>,
    pub helm: Arc<Helm>,
    pub limits: render::Limits,
    pub session: Session,
}

/// Why nothing is put back.
#[derive(Clone, Debug, PartialEq)]
pub enum No {
    /// It is what git says or what runs.
    Same(String),
    Because(String),
}

/// What is set aside and what is put back, or why nothing is.
pub type Found = Result<(Quarantine, WantedApp), No>;

/// What is to be put back, and where it is.
#[derive(Debug, PartialEq)]
enum Choice<'a> {
    Stored(&'a Good),
    /// What the branch said at this commit.
    Revision(&'a str),
}

/// Finds it and has it remembered, before anything of it is written: whoever comes after a restart goes on with it.
pub(super) async fn find(hands: &Hands, archive: Option<Archive>, app: &AppName, asked: Want) -> Found {
    let Some(keeper) = &hands.keeper else {
        return Err(No::Because("nothing is remembered here".to_owned()));
    };
    let id = asked.ask.id.clone();
    let found = look_for(keeper, archive, app, asked).await;
    if found.is_err()
        && let Err(error) = keeper.heard(app, &id).await
    {
        tracing::warn!(%app, error = %chain(&error), "that a rollback was refused cannot be remembered");
    }
    found
}

async fn look_for(keeper: &StateStore, archive: Option<Archive>, app: &AppName, asked: Want) -> Found {
    let Want { ask, desired, present, obstacle, retried } = asked;
    let no = |why: String| Err(No::Because(why));
    if ask.from != desired {
        let (then, now) = (ask.from.short(), desired.short());
        return no(format!("git said {then} when it was asked, and says {now} by now"));
    }
    if let Some(obstacle) = obstacle {
        return no(obstacle.to_owned());
    }
    let failed = |error: StateError| No::Because(chain(&error));
    let memory = keeper.memory();
    let known = memory.apps.get(app).cloned().unwrap_or_default();
    let (good, wanted) = match choose(&known, ask.to.as_deref(), &present).map_err(No::Because)? {
        Choice::Stored(good) => {
            let stored = keeper.stored(app, good).await.map_err(failed)?;
            (good.clone(), as_wanted(stored))
        }
        Choice::Revision(rev) => {
            let Some(archive) = archive else {
                return no(format!("git cannot be read, and of {rev} nothing is stored: {}", kept(&known)));
            };
            let (rev, name) = (rev.to_owned(), app.clone());
            let rendered = tokio::task::spawn_blocking(move || past(&archive, &name, &rev)).await;
            let rendered = rendered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            rendered.map_err(|why| No::Because(format!("{why}; {}", kept(&known))))?
        }
    };
    if good.digest == desired {
        let hint = "`fairlead retry` tries it again where it was set aside";
        return Err(No::Same(format!("{} is what git says; {hint}", good.digest.short())));
    }
    let lost = known.quarantined.as_ref().is_some_and(|aside| aside.stage == Stage::Lost);
    if good.digest == present && !lost {
        return Err(No::Same(format!("{} runs already, or is being put back", good.digest.short())));
    }
    let at = good.revision.as_ref().map_or(String::new(), |commit| format!(" to commit {}", commit.short()));
    let quarantine = Quarantine {
        digest: desired,
        good: good.digest.clone(),
        why: format!("rolled back{at} by {}", ask.by),
        stage: Stage::Going,
        retried,
        together: None,
        with: None,
        asked: Some(Asked { id: ask.id, by: ask.by, revision: good.revision.clone() }),
    };
    let wanted = Arc::new(wanted);
    keeper.asked(&quarantine, &wanted, good.revision.as_ref()).await.map_err(failed)?;
    Ok((quarantine, Arc::unwrap_or_clone(wanted)))
}

/// What is meant: the good one before what runs, or what a commit or digest names.
fn choose<'a>(known: &'a AppMemory, to: Option<&'a str>, present: &Digest) -> Result<Choice<'a>, String> {
    let Some(to) = to else {
        let before = known.last_good.iter().chain(&known.previous).find(|good| good.digest != *present);
        let none = || "nothing that passed its gates before is stored; name a commit with --to".to_owned();
        return before.map(Choice::Stored).ok_or_else(none);
    };
    if to.len() < SHORTEST || !to.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("{to:?} is neither a commit nor a digest: {SHORTEST} digits of one, or more"));
    }
    let names = |good: &&Good| {
        let revision = good.revision.as_ref().map_or("", Revision::as_str);
        good.digest.as_str().starts_with(to) || revision.starts_with(to)
    };
    if let Some(good) = known.goods().find(names) {
        return Ok(Choice::Stored(good));
    }
    // The digest of something that ran once: its commit says it again.
    let once = known.recent.iter().rev().filter(|record| record.digest.as_str().starts_with(to));
    let commit = once.filter_map(|record| record.commit.as_ref()).next();
    Ok(Choice::Revision(commit.map_or(to, |commit| commit.revision.as_str())))
}

/// What an app was at a commit of its branch, by what its environment said then and is granted now.
fn past(archive: &Archive, app: &AppName, rev: &str) -> Result<(Good, WantedApp), String> {
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
    let cache = render::Cache::new();
    let charts = Charts::blocking(&archive.helm, &archive.session, &archive.kinds, Stop::default());
    let made = render_app(&past.tree, &archive.scope, &config, spec, &archive.limits, &cache, &charts)
        .and_then(|(desired, _)| want(desired, &archive.scope, spec, &archive.kinds));
    let (wanted, _) = made.map_err(wrong)?;
    // A migration of the past is not run again: going back runs no hooks.
    let wanted = WantedApp::of_objects(wanted.app, wanted.digest, wanted.objects);
    let objects = wanted.objects.len();
    let revision = Some(past.revision);
    Ok((Good { digest: wanted.digest.clone(), revision, objects, pieces: Pieces::default() }, wanted))
}

fn kept(known: &AppMemory) -> String {
    let name = |good: &Good| match &good.revision {
        Some(revision) => format!("commit {} ({})", revision.short(), good.digest.short()),
        None => good.digest.short().to_owned(),
    };
    match known.goods().map(name).collect::<Vec<_>>() {
        names if names.is_empty() => "nothing is stored".to_owned(),
        names => format!("stored are {}", names.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(digest: &str, revision: &str) -> Good {
        let revision = Some(Revision::new(revision));
        Good { digest: digest.into(), revision, objects: 1, pieces: Pieces::default() }
    }

    fn known() -> AppMemory {
        AppMemory {
            last_good: Some(good("bbbbbbbbbb", "2222222222")),
            previous: Some(good("aaaaaaaaaa", "1111111111")),
            ..AppMemory::default()
        }
    }

    fn chosen(to: Option<&str>, present: &str) -> String {
        match choose(&known(), to, &present.into()) {
            Ok(Choice::Stored(good)) => good.digest.to_string(),
            Ok(Choice::Revision(rev)) => format!("git {rev}"),
            Err(why) => why,
        }
    }

    #[test]
    fn what_was_never_good_goes_back_to_the_last_good_and_what_is_to_the_one_before() {
        assert_eq!(chosen(None, "cccccccccc"), "bbbbbbbbbb");
        assert_eq!(chosen(None, "bbbbbbbbbb"), "aaaaaaaaaa");
        let none = choose(&AppMemory::default(), None, &"bbbbbbbbbb".into()).unwrap_err();
        assert!(none.contains("--to"), "{none}");
    }

    #[test]
    fn a_commit_or_digest_is_found_where_it_is_stored_and_in_git_where_it_is_not() {
        assert_eq!(chosen(Some("1111111"), "bbbbbbbbbb"), "aaaaaaaaaa");
        assert_eq!(chosen(Some("aaaaaaa"), "bbbbbbbbbb"), "aaaaaaaaaa");
        assert_eq!(chosen(Some("3333333"), "bbbbbbbbbb"), "git 3333333");
        for odd in ["", "111111", "HEAD~20", "main..old"] {
            assert!(chosen(Some(odd), "bbbbbbbbbb").contains("neither"), "{odd}");
        }
    }
}
