//! Stories that the simulator found the room not to hold, told with other words: each with several latencies.

use super::chance::Storm::{self, Held, Lost, Slow, Unsaved};
use super::content::Ending::Succeeds;
use super::content::Fate::{Fail, Fast, Hang, Slow as Late};
use super::content::{Content, Part};
use super::git::Edit::{Breaks, Leaves, Says, Terms as How};
use super::git::Terms;
use super::rows::{content, holds, says};
use super::story::Stimulus::{self, Die, Lurk, Push};

fn storm(storm: Storm, seconds: u64) -> (u64, Stimulus) {
    (60_000, Stimulus::Storm(storm, seconds))
}

/// A write that was under way when its app left git has something of the app remembered once more.
#[test]
fn what_an_app_wrote_while_it_left_git_is_deleted() {
    for delay in [0, 100, 1000, 4000, 8000] {
        holds(vec![
            (0, Push(vec![How(Terms::default()), Says(1, content(1, Fast))])),
            (60_000, says(1, Fast)),
            storm(Slow, 90),
            (60_000, Lurk("write", 2, delay)),
            (60_000, Push(vec![Leaves(0)])),
        ]);
    }
}

/// That a rollout was about to be written is remembered, and nobody heard so.
#[test]
fn a_rollout_that_git_took_back_before_its_first_write_is_forgotten() {
    for delay in [0, 50, 100, 200] {
        holds(vec![
            (0, says(1, Fast)),
            storm(Lost, 90),
            (60_000, says(2, Fast)),
            (60_000, Lurk("write", 1, delay)),
            (60_000, says(1, Fast)),
        ]);
    }
}

/// While what was good before is written over what hangs, a process that begins has to know what hangs still.
#[test]
fn what_hung_before_git_took_it_back_for_a_moment_is_judged_after_a_restart() {
    let with = |version, fate| Content { worker: Some((version, fate)), ..content(version, Fast) };
    let (good, hangs) = (with(1, Fast), with(2, Hang));
    for delay in [0, 500, 3000, 6000] {
        holds(vec![
            (0, Push(vec![Says(0, good)])),
            (60_000, Push(vec![Says(0, hangs)])),
            (80_000, Push(vec![Says(0, good)])),
            (80_000, Lurk("write", 2, delay)),
            (80_000, Push(vec![Says(0, hangs)])),
            (80_000, Lurk("prove", 2, 0)),
            (80_000, Die(2000)),
        ]);
    }
}

/// What is being deleted still counts as there, until it is gone.
#[test]
fn what_is_over_the_budget_once_the_server_was_asked_is_not_deleted() {
    let three = Content { configs: [1, 1, 0], web: Some((1, Fast)), ..Content::default() };
    let budget = How(Terms { budget: 20, ..Terms::default() });
    for at in [70_000, 75_000, 80_000, 85_000] {
        holds(vec![
            (0, Push(vec![budget, Says(0, three), Says(1, three)])),
            storm(Held, 25),
            (60_000, Push(vec![Says(1, Content { web: None, ..three })])),
            (at, Stimulus::Storm(Slow, 90)),
            (at, Push(vec![Leaves(1)])),
        ]);
    }
}

/// What a commit dropped is deleted once it is remembered that its app runs without it: else a process that begins while the
/// newest commit does not render makes it anew from what is remembered.
#[test]
fn what_left_git_stays_away_where_nothing_can_be_remembered() {
    let (all, less) = (content(1, Fast), Content { worker: None, ..content(1, Fast) });
    let told = holds(vec![
        (0, Push(vec![How(Terms::default()), Says(0, all)])),
        storm(Unsaved, 90),
        (60_000, Push(vec![Says(0, less)])),
        (100_000, Push(vec![Breaks(0)])),
        (110_000, Die(2000)),
        (200_000, Push(vec![Says(0, less)])),
    ]);
    assert!(told.iter().all(|told| told.facts.contains_key("pruned")), "{told:?}");
}

/// That a Job was made could not be remembered, and then somebody deletes it.
#[test]
fn a_job_that_somebody_deletes_is_not_made_again_though_it_is_not_remembered() {
    for delay in [60, 120, 180, 240] {
        let told = holds(vec![
            (0, Push(vec![Says(0, Content { migrate: Some((1, Succeeds)), ..content(1, Fast) })])),
            (0, Lurk("hook", 1, delay)),
            (0, Stimulus::Storm(Unsaved, 60)),
            (20_000, Stimulus::Delete(0, Part::Migrate)),
        ]);
        assert!(told.iter().any(|told| told.facts.contains_key("hook failed")), "{told:?}");
    }
}

/// What somebody deletes while something else is about to be put back is put back with it, and told with it.
#[test]
fn all_that_somebody_deletes_while_a_gate_waits_is_told() {
    for gap in [30, 60, 100, 200, 400] {
        let told = holds(vec![
            (0, says(1, Fast)),
            (60_000, Push(vec![Says(0, Content { web: Some((2, Late)), ..content(1, Fast) })])),
            (62_500, Stimulus::Delete(0, Part::Config(0))),
            (62_500 + gap, Stimulus::Delete(0, Part::Config(1))),
        ]);
        assert!(told.iter().all(|told| told.facts.get("drifted objects") == Some(&2)), "{gap}: {told:?}");
    }
}

/// What was good for a moment, and was not remembered before its app went back, is nothing to go back to later.
#[test]
fn what_was_never_remembered_as_good_is_not_gone_back_to_with_another_app() {
    let together = How(Terms { together: true, ..Terms::default() });
    let hook = Content { migrate: Some((1, Succeeds)), ..content(1, Fast) };
    for at in [66_000, 70_000, 75_000] {
        let told = holds(vec![
            (0, Push(vec![together, Says(0, content(1, Fast)), Says(1, hook)])),
            storm(Unsaved, 60),
            (60_000, Push(vec![Says(1, Content { configs: [1, 0, 0], ..Content::default() })])),
            (at, Push(vec![Says(1, hook)])),
            (100_000, Push(vec![Says(0, content(2, Fail))])),
        ]);
        assert!(told.iter().all(|told| told.facts.contains_key("restored")), "{told:?}");
    }
}

/// An object that somebody made in the place of ours while a gate waited is not part of what was rolled out.
#[test]
fn what_somebody_makes_in_the_place_of_ours_is_not_rolled_out() {
    for gap in [10, 30, 60, 100] {
        let told = holds(vec![
            (0, says(1, Fast)),
            (60_000, Push(vec![Says(0, Content { web: Some((2, Late)), ..content(1, Fast) })])),
            (62_500, Stimulus::Delete(0, Part::Config(1))),
            (62_500 + gap, Stimulus::Claim(0, Part::Config(1))),
        ]);
        assert!(told.iter().any(|told| told.facts.contains_key("refused")), "{told:?}");
    }
}

/// While an environment is suspended nothing is put back, and no verdict stands on what is missing.
#[test]
fn what_is_deleted_while_an_environment_is_suspended_decides_nothing() {
    for at in [62_500, 64_000] {
        let told = holds(vec![
            (0, says(1, Fast)),
            (60_000, Push(vec![Says(0, Content { web: Some((2, Late)), ..content(1, Fast) })])),
            (62_000, Stimulus::Suspend(true)),
            (at, Stimulus::Delete(0, Part::Config(1))),
            (300_000, Stimulus::Suspend(false)),
        ]);
        assert!(told.iter().all(|told| told.facts.get("rolled out") == Some(&2)), "{told:?}");
    }
}
