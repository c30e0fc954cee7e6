//! Stories about what others change: rules, holds and fights, told in words.

use super::chance::Storm::Slow;
use super::content::Ending::Succeeds;
use super::content::Fate::{Fail, Fast, Flap, Slow as Late};
use super::content::{Content, Field, Part};
use super::git::Edit::{Leaves, Policies as Rules, Says, Terms as How};
use super::git::Terms;
use super::policies::{Policies, Rule};
use super::rows::{content, holds, holds_with, says};
use super::run::Told;
use super::story::Stimulus::{
    self, Away, Delete, Die, Edit, Fight, Hold, Lurk, Push, Release, RollbackTo, Storm, Touch,
};
use crate::api::DriftPolicy::{self, Heal, Ignore, Report};

const WEB: Part = Part::Web;
const CONFIG: Part = Part::Config(0);

fn rule(policy: DriftPolicy, part: Part, field: Option<Field>) -> Policies {
    let rule = Rule { policy, app: 0, part, field, until: None };
    Policies { reports: false, rules: [Some(rule), None, None] }
}

fn begins(policies: Policies) -> Stimulus {
    Push(vec![Rules(policies), Says(0, content(1, Fast))])
}

fn count(told: &[Told], fact: &str) -> Vec<u64> {
    told.iter().map(|told| told.facts.get(fact).copied().unwrap_or(0)).collect()
}

fn never(told: &[Told], fact: &str) {
    assert!(count(told, fact).iter().all(|count| *count == 0), "{told:?}");
}

fn once(told: &[Told], fact: &str) {
    assert!(count(told, fact).iter().all(|count| *count == 1), "{told:?}");
}

#[test]
fn what_is_theirs_is_neither_put_back_nor_told() {
    let told = holds(vec![
        (0, begins(rule(Ignore, CONFIG, Some(Field::Side)))),
        (60_000, Touch(0, CONFIG, "robot")),
        (70_000, Edit(0, CONFIG, Fast)),
    ]);
    once(&told, "drifted");
    never(&told, "drift reported");
}

#[test]
fn another_value_of_what_is_reported_is_told_too() {
    let told = holds(vec![
        (0, begins(rule(Report, CONFIG, None))),
        (60_000, Touch(0, CONFIG, "kubectl-edit")),
        (75_000, Touch(0, CONFIG, "kubectl-edit")),
        (90_000, Touch(0, CONFIG, "robot")),
    ]);
    assert!(count(&told, "drift reported").iter().all(|count| *count == 3), "{told:?}");
    once(&told, "drift over");
    never(&told, "drifted");
}

/// A commit that changes another object leaves it, and one that changes this one writes it.
#[test]
fn what_is_reported_stays_until_a_commit_changes_the_object() {
    let other = Content { configs: [1, 2, 0], ..content(1, Fast) };
    let told = holds(vec![
        (0, begins(rule(Report, CONFIG, None))),
        (60_000, Touch(0, CONFIG, "kubectl-edit")),
        (80_000, Push(vec![Says(0, other)])),
    ]);
    never(&told, "drift over");
    assert!(count(&told, "rolled out").iter().all(|count| *count == 2), "{told:?}");
    let this = Content { configs: [2, 1, 0], ..content(1, Fast) };
    let told = holds(vec![
        (0, begins(rule(Report, CONFIG, None))),
        (60_000, Touch(0, CONFIG, "kubectl-edit")),
        (80_000, Push(vec![Says(0, this)])),
    ]);
    once(&told, "drift over");
}

/// The agent begins anew while git cannot be read, and goes by the rules that git said last.
#[test]
fn rules_hold_on_after_a_restart_without_git() {
    for (policy, reported) in [(Ignore, 0), (Report, 1)] {
        let told = holds(vec![
            (0, begins(rule(policy, CONFIG, Some(Field::Side)))),
            (60_000, Away(300)),
            (61_000, Die(1000)),
            (80_000, Touch(0, CONFIG, "robot")),
        ]);
        never(&told, "drifted");
        assert!(count(&told, "drift reported").iter().all(|count| *count == reported), "{told:?}");
    }
}

/// A rule that comes while something is about to be put back is obeyed, and what is told of that is over.
#[test]
fn a_rule_that_comes_in_the_middle_counts() {
    for deed in ["prove", "write"] {
        for policy in [Ignore, Report, Heal] {
            let told = holds(vec![
                (0, begins(Policies::default())),
                (60_000, Storm(Slow, 60)),
                (60_000, Lurk(deed, 1, 0)),
                (60_000, Push(vec![Rules(rule(policy, CONFIG, None))])),
                (60_000, Touch(0, CONFIG, "robot")),
            ]);
            never(&told, "fight");
        }
    }
}

#[test]
fn what_is_held_is_put_back_when_the_hold_ends() {
    for ends in [vec![], vec![(90_000, Release)], vec![(70_000, Die(1000))]] {
        let mut story = vec![
            (0, begins(Policies::default())),
            (60_000, Hold(Some(0), None, false, 120)),
            (76_000, Touch(0, CONFIG, "kubectl-edit")),
            (78_000, Delete(0, Part::Config(1))),
        ];
        story.extend(ends);
        story.sort_by_key(|(at, _)| *at);
        let told = holds(story);
        assert!(count(&told, "drifted objects").iter().all(|count| *count == 2), "{told:?}");
    }
}

/// With the word that deploys wait, too, what git drops waits with them.
#[test]
fn what_leaves_git_while_deploys_are_held_goes_when_they_are_not() {
    let told = holds(vec![
        (0, Push(vec![Says(0, content(1, Fast)), Says(1, content(1, Fast))])),
        (60_000, Hold(Some(0), None, true, 120)),
        (61_000, Hold(Some(1), None, true, 600)),
        (76_000, Push(vec![Leaves(0)])),
        (80_000, says(2, Late)),
        (90_000, Push(vec![Leaves(1)])),
        (120_000, Release),
    ]);
    assert!(told.iter().all(|told| told.facts.contains_key("pruned")), "{told:?}");
}

/// What is put back passes its gate, although something else is deleted meanwhile that nobody makes again.
#[test]
fn no_gate_waits_for_what_others_deleted_and_is_only_reported() {
    for delay in [50, 500, 2000] {
        let told = holds(vec![
            (0, begins(rule(Report, CONFIG, None))),
            (60_000, Lurk("write", 1, delay)),
            (60_000, Delete(0, CONFIG)),
            (60_000, Edit(0, WEB, Late)),
        ]);
        once(&told, "drift reported");
        never(&told, "halted");
    }
}

#[test]
fn a_fight_is_told_once_and_ends_by_itself() {
    let told = holds(vec![(0, begins(Policies::default())), (60_000, Fight(0, CONFIG, 600))]);
    once(&told, "fight");
    once(&told, "fight ended");
    assert!(count(&told, "drifted").iter().all(|count| *count <= 14), "{told:?}");
}

/// Found by the simulator: a write of a process that died arrived late, and was taken for what somebody else did.
#[test]
fn what_we_wrote_late_ourselves_is_not_left_to_others() {
    let migrate = Some((2, Succeeds));
    let back =
        Content { configs: [1, 3, 0], web: Some((3, Fast)), worker: Some((2, Fast)), migrate, check: None };
    let data = Content {
        configs: [3, 3, 0],
        migrate: Some((1, Succeeds)),
        check: Some(Succeeds),
        ..Content::default()
    };
    let terms = |timeout, settle, together, budget| {
        How(Terms { timeout, settle, halts: false, together, depends: together, budget })
    };
    let reports = Policies { reports: true, ..rule(Heal, WEB, Some(Field::Content)) };
    let small = Content { configs: [1, 0, 0], ..Content::default() };
    holds_with(
        3951220230260073579,
        vec![
            (0, Push(vec![terms(120, 0, false, 100), Says(0, back), Says(1, data)])),
            (6845, Push(vec![terms(120, 5, true, 20), Says(0, back), Says(1, data)])),
            (
                46_845,
                Push(vec![
                    Says(1, Content { web: Some((2, Flap)), ..small }),
                    Says(0, Content { web: Some((9, Fail)), ..small }),
                ]),
            ),
            (
                86_845,
                Push(vec![Says(
                    0,
                    Content { configs: [3, 3, 2], web: Some((3, Fast)), ..Content::default() },
                )]),
            ),
            (92_924, RollbackTo(0, 2)),
            (112_918, Stimulus::Approve),
            (127_434, Away(20)),
            (133_750, Push(vec![Rules(reports)])),
            (133_750, Lurk("write", 2, 5)),
            (133_750, Die(2000)),
            (133_751, Die(2000)),
            (152_237, Push(vec![terms(60, 5, true, 100), Says(0, back), Says(1, data)])),
        ],
    );
}

/// Found by the simulator: what a rollout needs and is deleted while its app is held is made all the same.
#[test]
fn a_hold_does_not_keep_a_rollout_from_what_it_needs() {
    let (one, two) = (
        Content { configs: [1, 1, 0], web: Some((2, Fast)), worker: Some((1, Late)), ..Content::default() },
        Content { configs: [3, 2, 2], ..Content::default() },
    );
    holds_with(
        3951220230260073657,
        vec![
            (0, Push(vec![How(Terms::default()), Says(0, one), Says(1, two)])),
            (18_014, Fight(0, CONFIG, 90)),
            (20_014, Hold(None, None, true, 5)),
            (20_214, Fight(0, Part::Config(1), 90)),
            (20_414, Hold(None, None, false, 600)),
            (40_324, Push(vec![Leaves(1)])),
            (40_324, Storm(Slow, 90)),
            (40_324, Lurk("delete", 1, 2000)),
            (40_324, Push(vec![Says(1, two)])),
        ],
    );
}

/// Found by the simulator: other rules stopped what was being put back, and nobody told those who wait for the app.
#[test]
fn who_waits_for_an_app_goes_on_when_what_it_puts_back_is_stopped() {
    let depends =
        How(Terms { timeout: 120, settle: 5, halts: true, depends: true, budget: 20, ..Terms::default() });
    let back = Content { configs: [2, 0, 3], web: Some((1, Fast)), ..Content::default() };
    let data = Content { configs: [1, 3, 0], worker: Some((3, Fast)), ..Content::default() };
    let reports = Policies { reports: true, ..Policies::default() };
    for at in [78_000, 82_604, 84_000, 86_000] {
        holds(vec![
            (0, Push(vec![depends, Says(0, back), Says(1, data)])),
            (29_498, Storm(Slow, 90)),
            (76_197, Touch(1, Part::Config(1), "robot")),
            (
                at,
                Push(vec![
                    Rules(reports),
                    Says(0, Content { configs: [2, 2, 1], web: Some((3, Fast)), ..back }),
                ]),
            ),
        ]);
    }
}

/// Found by the simulator: a process that began while something was put back took that for a rollout, and made what is only
/// reported to be gone.
#[test]
fn what_is_put_back_after_a_restart_is_no_rollout() {
    for gap in [700, 2000] {
        let told = holds(vec![
            (0, begins(rule(Report, CONFIG, None))),
            (60_000, Delete(0, CONFIG)),
            (80_000, Lurk("write", 1, 5)),
            (80_000, Die(gap)),
            (80_000, Edit(0, WEB, Fast)),
            (82_000, Edit(0, Part::Config(1), Fast)),
        ]);
        assert!(told.iter().all(|told| told.facts.contains_key("drift reported")), "{told:?}");
    }
}
