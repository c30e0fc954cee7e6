//! Stories that people met, and that the room did not hold once: rows of the table of issue 14, and what the simulator found.

use super::chance::Storm::{self, Undeletable, Unread};
use super::content::Content;
use super::content::Ending::Succeeds;
use super::content::Fate::{self, Crash, Fail, Fast, Hang, Slow};
use super::git::Edit::{Breaks, Leaves, Says, Terms as How};
use super::git::Terms;
use super::run::{Told, tell};
use super::story::Stimulus::{self, Away, Die, Push, Retry, Unrenderable};
use super::story::Story;

/// Tells a story with several seeds, each with other latencies; it has to hold with all of them.
fn holds(stimuli: Vec<(u64, Stimulus)>) -> Vec<Told> {
    let tell = |seed| {
        let story = Story { seed, stimuli: stimuli.clone() };
        tell(&story).unwrap_or_else(|why| panic!("{}", story.as_test(&why)))
    };
    (0..20).map(tell).collect()
}

fn says(version: u8, fate: Fate) -> Stimulus {
    Push(vec![Says(0, content(version, fate))])
}

fn content(version: u8, fate: Fate) -> Content {
    let web = Some((version, fate));
    Content { configs: [version, 1, 0], web, worker: Some((version, Slow)), ..Content::default() }
}

fn count(told: &[Told], fact: &str) -> Vec<u64> {
    told.iter().map(|told| told.facts.get(fact).copied().unwrap_or(0)).collect()
}

/// Row a.
#[test]
fn a_commit_that_does_not_render_leaves_a_restore_alone() {
    for breaks in [Push(vec![Breaks(0)]), Unrenderable(0, 60)] {
        for at in [50_000, 52_000, 55_000, 60_000, 65_000] {
            let told = holds(vec![(0, says(1, Fast)), (40_000, says(2, Fail)), (at, breaks.clone())]);
            assert!(count(&told, "restored").iter().all(|count| *count == 1), "{told:?}");
        }
    }
}

/// Row b.
#[test]
fn what_cannot_be_read_for_a_while_is_put_back_after_it() {
    let told = holds(vec![
        (0, says(1, Fast)),
        (40_000, says(2, Fail)),
        (58_000, Stimulus::Storm(Unread, 40)),
        (58_000, Die(1000)),
    ]);
    assert!(count(&told, "restore failed").iter().all(|count| *count == 0), "{told:?}");
    assert!(count(&told, "restored").iter().all(|count| *count == 1), "{told:?}");
}

/// Row c.
#[test]
fn an_app_that_left_git_stays_away_when_git_does() {
    let both = Push(vec![How(Terms::default()), Says(0, content(1, Fast)), Says(1, content(1, Fast))]);
    for dies in [80_000, 100_500, 101_500, 103_000, 110_000] {
        let leaves = Push(vec![Leaves(0)]);
        holds(vec![
            (0, both.clone()),
            (100_000, leaves),
            (dies.max(100_400), Away(60)),
            (dies.max(100_401), Die(1000)),
        ]);
    }
}

/// Row d: a time that fits into no clock. That a panic is one app's refusal is tried in `tests` of the room.
#[test]
fn a_time_limit_beyond_every_clock_is_for_ever() {
    let terms = Terms { timeout: 4_000_000 * 86_400, ..Terms::default() };
    let hook = Content { migrate: Some((1, Succeeds)), ..content(1, Fast) };
    holds(vec![(0, Push(vec![How(terms), Says(0, hook)])), (30_000, says(2, Slow))]);
}

/// Row e: each halt is told with the words of its own pods, and each record with the commit that brought its digest.
#[test]
fn last_words_and_blame_are_of_what_failed() {
    let halts = Terms { halts: true, ..Terms::default() };
    for at in [9_000, 12_000, 12_500, 13_000, 14_000, 61_000, 62_000] {
        holds(vec![
            (0, Push(vec![How(halts), Says(0, content(1, Fail)), Says(1, content(1, Hang))])),
            (at, says(2, Fail)),
            (at + 1000, Push(vec![Says(1, content(3, Crash))])),
        ]);
    }
}

/// Row f.
#[test]
fn an_app_that_left_and_came_back_knows_nothing_of_an_older_write() {
    for gap in [1, 40, 200, 1000] {
        for at in [1000, 1500, 2000, 4000, 8000] {
            holds(vec![
                (0, Stimulus::Storm(Storm::Slow, 30)),
                (0, says(1, Fast)),
                (at, Push(vec![Leaves(0)])),
                (at + gap, says(2, Fail)),
            ]);
        }
    }
}

/// Row h: ever more rarely, up to five minutes.
#[test]
fn a_refused_delete_is_tried_ever_more_rarely() {
    let told = holds(vec![
        (0, Push(vec![How(Terms::default()), Says(0, content(1, Fast)), Says(1, content(1, Fast))])),
        (60_000, Stimulus::Storm(Undeletable, 1800)),
        (60_000, Push(vec![Leaves(1)])),
    ]);
    let refused = count(&told, "prune refused");
    assert!(refused.iter().all(|count| (5..=16).contains(count)), "{refused:?}");
}

/// Row h.
#[test]
fn a_word_to_try_again_is_heard_once_whoever_reads_it() {
    let told = holds(vec![
        (0, says(1, Fast)),
        (60_000, says(2, Fail)),
        (150_000, Retry(0)),
        (300_000, Die(1000)),
        (400_000, Die(1000)),
    ]);
    assert!(count(&told, "retried").iter().all(|count| *count == 1), "{told:?}");
    assert!(count(&told, "restored").iter().all(|count| *count == 2), "{told:?}");
}

/// Found by the simulator: what was overtaken before its gates is judged by what overtook it.
#[test]
fn what_a_newer_commit_does_not_change_still_has_to_be_well() {
    for fate in [Slow, Fail, Hang] {
        let older = Content { worker: None, ..content(1, fate) };
        let newer = Content { configs: [2, 2, 2], ..older };
        for at in [2500, 3000, 4000, 5000] {
            holds(vec![(0, Push(vec![Says(0, older)])), (at, Push(vec![Says(0, newer)]))]);
            holds(vec![(0, Push(vec![Says(0, older)])), (at, Die(700)), (at, Push(vec![Says(0, newer)]))]);
            // The same, where something is known to have been well before.
            let good = (0, Push(vec![Says(0, Content { configs: [3, 1, 0], ..Content::default() })]));
            let (first, then) = (30_000, 30_000 + at);
            let (older, newer) = ((first, Push(vec![Says(0, older)])), (then, Push(vec![Says(0, newer)])));
            holds(vec![good, older, newer]);
        }
    }
}
