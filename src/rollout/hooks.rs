use jiff::Timestamp;

use super::{Halt, Next, Observed, Phase, Waiting, go_on, halt};

/// A hook, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// It runs before this wave is written; after the last gate where there is no such wave.
    pub wave: usize,
    pub run: Run,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Run {
    /// Its Job is to be made.
    Due,
    /// Another Job has to end first: two at once could harm what both work on.
    Behind {
        on: Waiting,
        since: Timestamp,
        until: Timestamp,
    },
    Runs {
        on: Waiting,
        since: Timestamp,
        until: Timestamp,
    },
    /// It ended well, and that is remembered.
    Succeeded,
    Failed {
        on: Waiting,
    },
}

/// The first hook before wave `wave` that has not ended well. One after the other, so the first is the one that counts.
fn open<'a>(wave: usize, observed: &'a Observed) -> Option<(usize, &'a Run)> {
    let last = wave >= observed.waves.len();
    let all = observed.hooks.iter().enumerate();
    let mut open = all.filter(|(_, hook)| (last || hook.wave <= wave) && hook.run != Run::Succeeded);
    open.next().map(|(n, hook)| (n, &hook.run))
}

/// What is to be done for the hooks before wave `wave`, before anyone looks at the clock; `None` where they have ended.
pub(super) fn next(wave: usize, observed: &Observed) -> Option<Next> {
    Some(match open(wave, observed)? {
        (hook, Run::Due) => Next::RunHook { hook },
        (_, Run::Behind { on, since, until } | Run::Runs { on, since, until }) => {
            Next::Wait { on: vec![on.clone()], since: *since, until: *until }
        }
        (_, Run::Failed { on }) => Next::Halt { why: Halt::Hook { on: on.clone() } },
        (_, Run::Succeeded) => return None,
    })
}

pub(super) fn judge(wave: usize, observed: &Observed, now: Timestamp) -> (Phase, Next) {
    match open(wave, observed) {
        Some((_, Run::Failed { on })) => halt(wave, Halt::Hook { on: on.clone() }),
        Some((_, Run::Behind { on, until, .. } | Run::Runs { on, until, .. })) if now >= *until => {
            halt(wave, Halt::Hook { on: on.clone() })
        }
        _ => go_on(wave, observed),
    }
}
