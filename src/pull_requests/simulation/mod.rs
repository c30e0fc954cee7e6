//! Stories: a forge that fails in the ways of forges, people that push, merge, delete comments and copy markers, and an
//! agent that is killed at any step. At every moment there is at most one comment of ours, nothing of others is touched,
//! and no pull request is reported on more than once a minute, and of nobody's command anything is done twice; once all is quiet, each has the last report.

mod forge;
mod story;

use story::Story;

/// In debug builds a story takes a tenth of a second.
const STORIES: u64 = 40;

#[test]
fn there_is_never_a_second_comment_and_at_rest_always_the_last_report() {
    let mut seen = story::Tally::default();
    for seed in 0..STORIES {
        seen += Story::new(seed).tell();
    }
    println!("{STORIES} stories: {seen:?}");
    // Stories in which nothing happens would prove nothing.
    assert!(seen.made > 100 && seen.edited > 100 && seen.removed > 3, "{seen:?}");
    assert!(seen.kills > 80 && seen.kills_in_flight > 10 && seen.unanswered_makes > 5, "{seen:?}");
    assert!(seen.commands > 60 && seen.requests > 30 && seen.refusals > 2, "{seen:?}");
    assert!(seen.deleted > 8 && seen.copied > 8 && seen.merges_told > 5, "{seen:?}");
}
