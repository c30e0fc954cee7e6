//! What an environment's apps are kept true to while git cannot be read: what is remembered of them.
//!
//! Nothing new is rolled out of it and nothing is deleted. What was being put back is put back; what someone changes by
//! hand is taken back; a rollout that was under way is left where it stands, for what it was to become is in git alone.

use super::app::is_one_way;
use super::desired::Scope;
use super::proof::as_wanted;
use super::state_store::StateStore;
use crate::api::AppSpec;
use crate::cluster::chain;
use crate::object::{AppName, Digest, Kinds};
use crate::plan::WantedApp;
use crate::rollout::Purpose;
use crate::state::AppMemory;

/// An app of which git says nothing for now.
pub struct Remembered {
    pub spec: AppSpec,
    /// What stands for what git said, or why nothing is done for it.
    pub wanted: Result<WantedApp, String>,
}

/// All apps that are remembered.
pub(super) async fn remembered(keeper: &StateStore, scope: &Scope, kinds: &Kinds) -> Vec<Remembered> {
    let memory = keeper.memory();
    let mut all = Vec::new();
    for (name, known) in &memory.apps {
        let spec = AppSpec {
            name: name.clone(),
            path: None,
            chart: None,
            values: Vec::new(),
            namespace: None,
            release: None,
            depends_on: known.depends_on.clone(),
            adopt: None,
        };
        all.push(Remembered { spec, wanted: recollect(keeper, scope, kinds, name, known).await });
    }
    all
}

async fn recollect(
    keeper: &StateStore,
    scope: &Scope,
    kinds: &Kinds,
    name: &AppName,
    known: &AppMemory,
) -> Result<WantedApp, String> {
    let (digest, runs) = standing(known)?;
    let stored = keeper.good_of(name, runs).await.map_err(|error| chain(&error))?;
    let stored = stored.ok_or_else(|| format!("{} is not stored", runs.short()))?;
    let mut wanted = as_wanted(stored);
    if digest != runs {
        // What is not put back by machine stays as the newer one has it, and that is not known here.
        wanted.objects.retain(|object| !is_one_way(object));
        wanted.digest = digest.clone();
    }
    // What the platform grants may be less by now.
    scope.check(&wanted, kinds).map_err(|problems| problems.as_slice()[0].to_string())?;
    Ok(wanted)
}

/// What git said last, and what runs instead or is to.
fn standing(known: &AppMemory) -> Result<(&Digest, &Digest), String> {
    if let Some(aside) = &known.quarantined {
        return Ok((&aside.digest, &aside.good));
    }
    let Some(good) = &known.last_good else {
        return Err("it never passed its gates, and only git knows what it was to be".to_owned());
    };
    let under_way = known.rolling.as_ref().map(|rolling| &rolling.state);
    match under_way.filter(|state| state.purpose == Purpose::Forward && state.digest != good.digest) {
        Some(state) => Err(format!(
            "a rollout to {} was under way; it stays where it is until git can be read",
            state.digest.short()
        )),
        None => Ok((&good.digest, &good.digest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::State;
    use crate::state::{Good, Pieces, Quarantine, Rolling, Stage};

    fn good(digest: &str) -> Option<Good> {
        Some(Good { digest: digest.into(), revision: None, objects: 1, pieces: Pieces::default() })
    }

    fn rolling(state: State) -> Option<Rolling> {
        Some(Rolling { state, changed: None, commit: None })
    }

    #[test]
    fn what_was_good_stands_for_git_and_what_is_set_aside_keeps_its_name() {
        let mut known = AppMemory { last_good: good("b"), ..AppMemory::default() };
        assert_eq!(standing(&known), Ok((&"b".into(), &"b".into())));
        known.rolling = rolling(State::start("b".into()));
        assert_eq!(standing(&known), Ok((&"b".into(), &"b".into())), "drift was being put back");
        known.quarantined = Some(Quarantine {
            digest: "c".into(),
            good: "b".into(),
            why: String::new(),
            stage: Stage::Going,
            retried: None,
            together: None,
            with: None,
            asked: None,
        });
        known.rolling = rolling(State::back("b".into()));
        assert_eq!(standing(&known), Ok((&"c".into(), &"b".into())));
    }

    #[test]
    fn a_rollout_that_was_under_way_is_left_where_it_is() {
        let rolling = rolling(State::start("c".into()));
        let known = AppMemory { last_good: good("b"), rolling, ..AppMemory::default() };
        assert!(standing(&known).unwrap_err().contains("under way"));
        assert!(standing(&AppMemory::default()).unwrap_err().contains("only git knows"));
    }
}
