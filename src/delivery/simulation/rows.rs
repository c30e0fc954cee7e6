//! Stories that people met, and that the room did not hold once: rows of the table of issue 14, and what the simulator found.

use super::chance::Storm::{self, Undeletable, Unread};
use super::content::Ending::Succeeds;
use super::content::Fate::{self, Crash, Fail, Fast, Hang, Slow};
use super::content::{Content, Part};
use super::git::Edit::{Breaks, Leaves, Says, Terms as How};
use super::git::Terms;
use super::run::{Told, tell};
use super::story::Stimulus::{self, Away, Die, Lurk, Push, Retry, Unrenderable};
use super::story::Story;

/// Tells a story with several seeds, each with other latencies; it has to hold with all of them.
pub fn holds(stimuli: Vec<(u64, Stimulus)>) -> Vec<Told> {
    (0..20).map(|seed| holds_with(seed, stimuli.clone())).collect()
}

/// Tells a story with one seed.
pub fn holds_with(seed: u64, stimuli: Vec<(u64, Stimulus)>) -> Told {
    let story = Story { seed, stimuli };
    tell(&story).unwrap_or_else(|why| panic!("{}", story.as_test(&why)))
}

pub fn says(version: u8, fate: Fate) -> Stimulus {
    Push(vec![Says(0, content(version, fate))])
}

pub fn content(version: u8, fate: Fate) -> Content {
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

/// What is told of one digest while its hooks are tidied up is not told of the next.
#[test]
fn an_app_is_not_ready_for_a_commit_that_came_while_its_jobs_were_tidied_up() {
    let hook = Content { migrate: Some((1, Succeeds)), ..content(1, Fast) };
    for delay in [0, 30, 1000] {
        holds(vec![
            (0, Push(vec![Says(0, hook)])),
            (60_000, Stimulus::Storm(Storm::Slow, 90)),
            (60_000, says(1, Slow)),
            (60_000, Lurk("hook", 1, delay)),
            (60_000, Push(vec![Says(0, hook)])),
        ]);
    }
}

/// The commit that brought what failed is known to the second process after it, too.
#[test]
fn a_restore_that_outlives_two_processes_is_blamed_on_its_own_commit() {
    let both = vec![Says(0, content(1, Fast)), Says(1, content(1, Fast))];
    for (deed, delay) in [("reasons", 500), ("prove", 0), ("recall", 30)] {
        holds(vec![
            (0, Push(both.clone())),
            (60_000, says(2, Fail)),
            (64_000, Die(700)),
            (65_000, Push(vec![Says(1, content(2, Fast))])),
            (66_500, Lurk(deed, 1, delay)),
            (66_500, Die(700)),
        ]);
    }
}

/// What was deleted while the server was asked about a plan that leaves it alone is made again by the next plan.
#[test]
fn what_is_wanted_again_while_it_is_deleted_is_there_when_it_is_told() {
    let (all, less) = (content(1, Fast), Content { configs: [2, 0, 0], ..content(1, Fast) });
    for delay in [0, 60, 1500, 4000] {
        holds(vec![
            (0, Push(vec![How(Terms::default()), Says(0, all)])),
            (60_000, Push(vec![Says(0, less)])),
            (60_000, Stimulus::Storm(Storm::Slow, 120)),
            (60_000, Lurk("delete", 1, delay)),
            (60_000, Push(vec![Says(0, all)])),
        ]);
    }
}

/// A commit that ends the time in which all has to settle does not end the gate.
#[test]
fn what_has_nothing_to_settle_any_more_has_to_be_well_all_the_same() {
    let flaps = Content { web: Some((1, Fate::Flap)), ..content(1, Fate::Flap) };
    let settles = |settle| How(Terms { settle, halts: true, ..Terms::default() });
    for at in [6000, 8000, 9000, 10_000, 11_000, 12_000, 13_000] {
        let ends = (at, Push(vec![settles(0)]));
        holds(vec![(0, Push(vec![settles(5), Says(0, flaps)])), ends]);
    }
}

/// While a watch lags, what somebody else deleted is asked about ever more rarely.
#[test]
fn deletes_of_what_is_gone_already_are_not_asked_about_without_end() {
    let told = holds(vec![
        (0, Push(vec![How(Terms::default()), Says(0, content(1, Fast)), Says(1, content(1, Fast))])),
        (60_000, Stimulus::Storm(Storm::Lag, 90)),
        (60_100, Stimulus::Delete(1, Part::Config(0))),
        (60_100, Stimulus::Delete(1, Part::Config(1))),
        (60_200, Push(vec![Leaves(1)])),
    ]);
    assert!(told.iter().all(|told| told.calm_actions < 60), "{told:?}");
}

/// What an app went back to with another is its last good once git says it.
#[test]
fn what_runs_since_another_app_failed_is_good_once_git_says_it() {
    let together = How(Terms { together: true, ..Terms::default() });
    let (first, second) = (content(1, Fast), content(2, Fast));
    holds(vec![
        (0, Push(vec![together, Says(0, first), Says(1, first)])),
        (60_000, Push(vec![Says(0, second)])),
        (100_000, Push(vec![Says(1, content(2, Fail)), Says(0, content(3, Fast))])),
        (200_000, Push(vec![Says(0, second)])),
        (300_000, Push(vec![Says(1, first)])),
    ]);
}

/// An app that left git has nothing to go back to with another, even if it comes back with the digest that did.
#[test]
fn an_app_that_came_back_does_not_go_back_with_another() {
    let together = How(Terms { together: true, ..Terms::default() });
    holds(vec![
        (0, Push(vec![together, Says(0, content(1, Fast)), Says(1, content(1, Fast))])),
        (60_000, Push(vec![Says(0, content(2, Fail)), Says(1, content(2, Fast))])),
        (120_000, Push(vec![Leaves(1)])),
        (200_000, Push(vec![Says(1, content(2, Fast))])),
    ]);
}

/// A commit that says what a restore was putting back ends as a rollout does: at its gates.
#[test]
fn a_restore_that_git_overtakes_with_the_same_is_judged() {
    for delay in [50, 100, 200, 300, 500, 3000] {
        holds(vec![
            (0, says(1, Slow)),
            (60_000, says(2, Fail)),
            (62_000, Lurk("reasons", 1, delay)),
            (62_000, says(1, Slow)),
        ]);
    }
}

/// An agent that is told to end does so, and the next goes on where it was.
#[test]
fn a_hand_over_at_any_action_leads_to_the_same_end() {
    let begin = |deed| {
        vec![
            (0, Push(vec![How(Terms::default()), Says(0, content(1, Fast)), Says(1, content(1, Fast))])),
            (60_000, Lurk(deed, 1, 20)),
            (60_000, Stimulus::HandOver(50)),
        ]
    };
    for deed in ["prove", "write", "hook", "remember", "ask about deletes", "delete"] {
        let hook = Content { migrate: Some((1, Succeeds)), ..content(2, Fast) };
        let mut story = begin(deed);
        story.push((60_000, Push(vec![Leaves(1), Says(0, hook)])));
        let told = holds(story);
        assert!(count(&told, "pruned").iter().all(|count| *count >= 1), "{told:?}");
    }
    for deed in ["reasons", "recall", "prove", "write"] {
        let mut story = begin(deed);
        story.push((60_000, says(2, Fail)));
        let told = holds(story);
        assert!(count(&told, "restored").iter().all(|count| *count == 1), "{told:?}");
    }
}

/// What is deleted may take its time; then it is said what holds it, and nothing is made in its place before it is gone.
#[test]
fn finalizers_that_last_are_told_of() {
    let told = holds(vec![
        (0, Push(vec![How(Terms::default()), Says(0, content(1, Fast)), Says(1, content(1, Fast))])),
        (60_000, Stimulus::Storm(Storm::Held, 120)),
        (60_000, Push(vec![Leaves(1)])),
        (100_000, Push(vec![Says(1, content(1, Fast))])),
    ]);
    assert!(count(&told, "rolled out").iter().all(|count| *count >= 2), "{told:?}");
}

/// While a kind cannot be listed, nobody knows what is there, and nothing is written or deleted.
#[test]
fn a_kind_that_cannot_be_listed_holds_its_apps_up_and_nothing_else() {
    let told = holds(vec![
        (0, says(1, Fast)),
        (60_000, Stimulus::Storm(Storm::Unlisted, 90)),
        (61_000, says(2, Fast)),
        (70_000, Die(700)),
    ]);
    assert!(count(&told, "unwatched").iter().all(|count| *count == 2), "{told:?}");
    assert!(count(&told, "rolled out").iter().all(|count| *count == 2), "{told:?}");
}

/// The Environment goes, and all that it made with it, once a person has said so.
#[test]
fn an_environment_that_goes_leaves_nothing() {
    for at in [2000, 4000, 60_000] {
        holds(vec![(0, says(1, Slow)), (at, Stimulus::Remove), (at + 30_000, Stimulus::Approve)]);
    }
}
