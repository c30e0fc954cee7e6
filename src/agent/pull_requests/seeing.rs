//! What is seen of a repository: what its forge lists, and what git says of that; where its environments stand.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::agent::Context;
use crate::api::Environment;
use crate::forge::{Forge, Head, Listed, ListedState};
use crate::git::Changes;
use crate::object::{EnvironmentName, Revision, chain};
use crate::pull_requests::{Failure, Landing, Number, PullRequest, State};

const FETCH_WITHIN: Duration = Duration::from_secs(60);

/// Pull requests, and what git calls their heads.
pub(super) type Polled = Result<(Vec<PullRequest>, BTreeMap<Number, String>), Failure>;

/// What is known beside the forge.
#[derive(Clone, Default)]
pub(super) struct Beside {
    /// Where a merge is of which the forge does not know the commit: where the branch was when that was seen.
    pub merges: BTreeMap<Number, Revision>,
    pub tips: BTreeMap<String, Revision>,
}

/// Reads where environments stand: name, branch, and whether it is suspended.
pub(super) async fn land(
    context: Arc<Context>,
    changes: Arc<Changes>,
    merges: Vec<Revision>,
    environments: Vec<(EnvironmentName, String, bool)>,
) -> Vec<(String, Landing)> {
    let mut landings = Vec::new();
    for (name, branch, suspended) in environments {
        let Ok(Some(environment)) = context.environments.get_whole(name.as_str()).await else { continue };
        let Some(status) = environment.status else { continue };
        let Some(revision) = status.revision else { continue };
        let (changes, merges) = (changes.clone(), merges.clone());
        let held = tokio::task::spawn_blocking(move || {
            let fetched = changes.fetch(&[&format!("refs/heads/{branch}")], Instant::now() + FETCH_WITHIN);
            fetched.ok()?;
            Some(merges.into_iter().filter(|merge| changes.holds(&revision, merge)).collect())
        });
        let Ok(Some(holds)) = held.await else { continue };
        landings.push((name.to_string(), Landing { holds, suspended, apps: status.apps }));
    }
    landings
}

/// Names what a status says of what is live and what runs, but not when it was said.
pub(super) fn digest(environment: &Environment) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Some(status) = &environment.status else { return 0 };
    let said = (&status.revision, &status.apps, &status.unlisted, &status.pages, &status.prune);
    serde_json::to_string(&said).unwrap_or_default().hash(&mut hasher);
    for condition in &status.conditions {
        (&condition.type_, &condition.reason, &condition.message).hash(&mut hasher);
    }
    serde_json::to_string(&environment.spec).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

pub(super) async fn poll(forge: &dyn Forge, changes: Arc<Changes>, beside: Beside) -> Polled {
    resolve(forge.pulls().await?, changes, beside).await
}

/// Asks git for what the forge does not know: the commits of branches.
pub(super) async fn resolve(listed: Vec<Listed>, changes: Arc<Changes>, beside: Beside) -> Polled {
    let branches: Vec<String> = listed
        .iter()
        .filter_map(|one| match &one.head {
            Head::Branch(branch) if one.state == ListedState::Open => Some(format!("refs/heads/{branch}")),
            _ => None,
        })
        .collect();
    let mut heads = BTreeMap::new();
    if !branches.is_empty() {
        let fetch = move || {
            let names: Vec<&str> = branches.iter().map(String::as_str).collect();
            changes.fetch(&names, Instant::now() + FETCH_WITHIN)
        };
        let fetched = tokio::task::spawn_blocking(fetch).await;
        let fetched = fetched.map_err(|error| Failure::Away(crate::agent::panic_message(error)))?;
        heads = fetched.map_err(|error| Failure::Away(chain(&error)))?;
    }
    let (mut pulls, mut references) = (Vec::new(), BTreeMap::new());
    for one in listed {
        let state = match one.state.state() {
            Some(state) => Some(state),
            None => {
                let merge = beside.merges.get(&one.number).or_else(|| beside.tips.get(&one.base)).cloned();
                let at = if let ListedState::Merged { at, .. } = one.state { Some(at) } else { None };
                merge.zip(at).map(|(revision, at)| State::Merged { revision, at })
            }
        };
        let Some(state) = state else { continue };
        let (head, reference) = match one.head {
            Head::Commit { revision, reference } => (Some(revision), reference),
            Head::Branch(branch) => {
                let reference = format!("refs/heads/{branch}");
                let head = heads.get(&reference).cloned().flatten();
                // Once it is not open, its branch may be gone.
                let unknown = (state != State::Open).then(|| Revision::new(""));
                (head.or(unknown), reference)
            }
        };
        let Some(head) = head else { continue };
        references.insert(one.number, reference);
        pulls.push(PullRequest {
            number: one.number,
            head,
            base: one.base,
            state,
            stamp: one.stamp,
            labels: one.labels,
            is_fork: one.is_fork,
        });
    }
    Ok((pulls, references))
}
