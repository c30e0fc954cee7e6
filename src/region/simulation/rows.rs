//! Stories that failed once.

use super::chance::Storm;
use super::rest::tell;
use super::story::{Stimulus, Story};
use crate::region::{Mode, Silence};
use Mode::Ungraceful;
use Stimulus::{DieAt, Guard, PowerOff, Push, Storm as Begin};

fn holds(story: &Story) {
    if let Err(fault) = tell(story, false) {
        panic!("{fault}\n{}", story.as_test(&fault));
    }
}

/// A word to run at the older epoch reached the cluster after that of the newer one.
#[test]
fn a_late_word_to_the_cluster_does_not_take_back_an_epoch() {
    holds(&Story {
        seed: 4157925912176651062,
        regions: 2,
        guarded: [false, true, true],
        silence: Silence::Stops,
        lag: 0,
        stimuli: vec![
            (5934, Push(2, 1, Ungraceful)),
            (44514, Begin(Storm::SlowCluster, 1, 16387)),
            (49198, Push(3, 1, Ungraceful)),
        ],
    });
}

/// An agent promised that its writers would end, and died before it had told them when.
#[test]
fn nothing_is_promised_that_writers_do_not_know_of() {
    holds(&Story {
        seed: 28248,
        regions: 3,
        guarded: [true, false, true],
        silence: Silence::Stops,
        lag: 0,
        stimuli: vec![
            (32102, Push(3, 1, Ungraceful)),
            (94773, DieAt(1, 1, 16597)),
            (99440, Guard(1, true)),
            (103452, Begin(Storm::NoPlace, 1, 94648)),
            (104252, Push(4, 2, Ungraceful)),
        ],
    });
}

/// How long writers may run was told as a moment, and arrived when the machine had begun anew.
#[test]
fn a_moment_of_before_a_restart_of_the_machine_gives_no_time() {
    holds(&Story {
        seed: 1111332375717464237,
        regions: 3,
        guarded: [false, true, true],
        silence: Silence::Stops,
        lag: 0,
        stimuli: vec![
            (8783, Push(4, 1, Ungraceful)),
            (18755, Begin(Storm::NoGit, 0, 94789)),
            (79764, Push(5, 2, Ungraceful)),
            (83007, Begin(Storm::SlowCluster, 1, 60000)),
            (94108, Begin(Storm::NoPlace, 1, 49208)),
            (114804, PowerOff(1, 3516)),
        ],
    });
}
