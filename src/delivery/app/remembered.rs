//! What stands for git's word after a start, while git cannot be read or says nothing that renders.
//!
//! Nothing new is rolled out of it and nothing is deleted. What was being put back is put back; what someone changes by
//! hand is taken back; a rollout that was under way is left where it stands, for what it was to become is in git alone.

use super::{App, StandIn};
use crate::delivery::action::Again;
use crate::object::Digest;
use crate::rollout::Purpose;
use crate::state::{AppMemory, Memory};

impl StandIn {
    pub(in crate::delivery) fn of(known: &AppMemory) -> Self {
        match standing(known) {
            Ok((says, runs)) => {
                Self::Unread { says: says.clone(), runs: runs.clone(), again: Again::default() }
            }
            Err(why) => Self::Nothing(why),
        }
    }
}

impl App {
    /// Whether a process that begins would know that it runs what git says.
    pub(in crate::delivery) fn is_remembered(&self, memory: &Memory) -> bool {
        let known = memory.apps.get(self.name()).filter(|known| known.quarantined.is_none());
        let good = known.and_then(|known| known.last_good.as_ref()).map(|good| &good.digest);
        good.is_some() && good == self.digest()
    }
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
        Some(Good {
            digest: digest.into(),
            revision: None,
            objects: 1,
            pieces: Pieces::default(),
            secrets: None,
        })
    }

    fn rolling(state: State) -> Option<Rolling> {
        Some(Rolling { state, changed: None, commit: None, secrets: None })
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
            secrets: None,
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
