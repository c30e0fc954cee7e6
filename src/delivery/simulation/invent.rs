//! Makes stories up: much that may happen at any time, and now and then what has to come together to be of interest.

use super::chance::{Chance, Millis, Storm};
use super::content::{Content, Ending, Fate, Field, Part};
use super::git::{Edit, Terms};
use super::policies::{Policies, Rule};
use super::story::{Stimulus, Story};
use crate::api::DriftPolicy;

/// What is worth being waited for: something happens while it is under way, or right after it.
const DEEDS: [&str; 8] =
    ["prove", "write", "write", "hook", "recall", "remember", "ask about deletes", "delete"];

/// A story that is being made up.
struct Draft {
    chance: Chance,
    apps: usize,
    at: Millis,
    /// What was said of each app, the oldest first.
    said: Vec<Vec<Content>>,
    stimuli: Vec<(Millis, Stimulus)>,
}

impl Story {
    /// Makes one up.
    pub fn invent(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x5eed);
        let apps = usize::try_from(chance.between(1, 3)).unwrap_or(1);
        // Some stories are told in a hurry, and some take their time.
        let pace = pick(&mut chance, &[300, 3000, 20_000, 60_000]);
        let mut draft = Draft { chance, apps, at: 0, said: vec![Vec::new(); apps], stimuli: Vec::new() };
        draft.begin();
        for _ in 0..draft.chance.between(1, 10) {
            draft.at += draft.chance.between(0, pace);
            match draft.chance.between(0, 21) {
                20..=21 => draft.drifts(),
                0 => draft.comes_back(),
                1 => draft.fails(),
                2 => draft.fails_with_others(),
                3 => draft.begins_anew_in_between(),
                _ => draft.anything(),
            }
        }
        Self { seed, stimuli: draft.stimuli }
    }
}

impl Draft {
    fn begin(&mut self) {
        let mut first = vec![Edit::Terms(terms(&mut self.chance))];
        for app in 0..self.apps {
            first.push(self.says(app, true));
        }
        self.push(first);
    }

    fn add(&mut self, stimulus: Stimulus) {
        self.stimuli.push((self.at, stimulus));
    }

    fn push(&mut self, edits: Vec<Edit>) {
        self.add(Stimulus::Push(edits));
    }

    /// Lets what comes next wait for a moment.
    fn lurk(&mut self, deed: &'static str) {
        let count = if self.chance.one_of(3) { 2 } else { 1 };
        let delay = pick(&mut self.chance, &[0, 5, 30, 60, 100, 500, 2000, 6000]);
        self.add(Stimulus::Lurk(deed, count, delay));
    }

    fn app(&mut self) -> usize {
        number(&mut self.chance, self.apps)
    }

    /// Says something new of an app.
    fn says(&mut self, app: usize, good: bool) -> Edit {
        let content = content(&mut self.chance, good);
        self.said[app].push(content);
        Edit::Says(app, content)
    }

    /// Says of an app what was said before, where anything was.
    fn says_again(&mut self, app: usize) -> Edit {
        let count = self.said[app].len();
        if count == 0 {
            return self.says(app, true);
        }
        let back = number(&mut self.chance, count.min(3)) + 1;
        Edit::Says(app, self.said[app][count - back])
    }

    fn edit(&mut self, app: usize) -> Edit {
        match self.chance.between(0, 23) {
            22..=23 => Edit::Policies(self.policies()),
            0..=2 => Edit::Breaks(app),
            3..=4 => Edit::Leaves(app),
            5 => Edit::Terms(terms(&mut self.chance)),
            6 => Edit::Says(app, Content::default()),
            7..=9 => self.says(app, true),
            10..=13 => self.says_again(app),
            _ => self.says(app, false),
        }
    }

    fn anything(&mut self) {
        if self.chance.one_of(4) {
            let deed = pick(&mut self.chance, &DEEDS);
            self.lurk(deed);
        }
        let app = self.app();
        let what = self.chance.between(0, 117);
        if what < 32 {
            let edits = usize::try_from(self.chance.between(1, 2)).unwrap_or(1).min(self.apps);
            let edits = (0..edits).map(|n| self.edit((app + n) % self.apps)).collect();
            return self.push(edits);
        }
        let chance = &mut self.chance;
        let seconds = pick(chance, &[1, 5, 20, 90]);
        let stimulus = match what {
            32..=33 => Stimulus::Reset(usize::try_from(chance.between(1, 2)).unwrap_or(1)),
            34..=46 => Stimulus::Die(pick(chance, &[700, 2000, 15_000])),
            47..=48 => Stimulus::HandOver(pick(chance, &[50, 3000])),
            49..=52 => Stimulus::Away(seconds),
            53..=57 => Stimulus::Unrenderable(app, seconds),
            58..=71 => Stimulus::Storm(storm(chance), seconds),
            72..=75 => Stimulus::Edit(app, part(chance), fate(chance, false)),
            76..=77 => Stimulus::Fight(app, part(chance), seconds),
            78..=81 => {
                let part = if chance.one_of(5) { Part::Migrate } else { part(chance) };
                Stimulus::Delete(app, part)
            }
            82 => Stimulus::Claim(app, part(chance)),
            83..=86 => Stimulus::Scale(app, !chance.one_of(3)),
            87..=92 => Stimulus::Retry(app),
            93..=95 => Stimulus::Rollback(app),
            96 => Stimulus::RollbackTo(app, usize::try_from(chance.between(0, 3)).unwrap_or(0)),
            97..=99 => Stimulus::Suspend(chance.one_of(2)),
            100..=103 => Stimulus::Approve,
            104..=106 => Stimulus::Jump(pick(chance, &[-300, -20, 20, 300])),
            108..=111 => Stimulus::Touch(app, part(chance), who(chance)),
            112..=115 => hold(chance, app),
            116..=117 => Stimulus::Release,
            _ => {
                self.add(Stimulus::Remove);
                self.at += 10_000;
                Stimulus::Approve
            }
        };
        self.add(stimulus);
    }

    /// What git says of fields that others change.
    fn policies(&mut self) -> Policies {
        let mut policies = Policies { reports: self.chance.one_of(4), ..Policies::default() };
        for n in 0..policies.rules.len() {
            if self.chance.one_of(2) {
                let app = self.app();
                policies.rules[n] = Some(rule(&mut self.chance, app, self.at / 1000));
            }
        }
        policies
    }

    /// Others change what rules are about, while rules and holds come and go.
    fn drifts(&mut self) {
        let app = self.app();
        let policies = self.policies();
        self.push(vec![Edit::Policies(policies)]);
        self.at += pick(&mut self.chance, &[500, 5000, 30_000]);
        for _ in 0..self.chance.between(1, 4) {
            let object = part(&mut self.chance);
            let seconds = pick(&mut self.chance, &[5, 20, 90]);
            let stimulus = match self.chance.between(0, 13) {
                0..=3 => Stimulus::Touch(app, object, who(&mut self.chance)),
                4..=6 => Stimulus::Edit(app, object, Fate::Fast),
                7 => Stimulus::Delete(app, object),
                8 => Stimulus::Fight(app, object, seconds),
                9 => hold(&mut self.chance, app),
                10 => Stimulus::Release,
                11 => {
                    let deed = pick(&mut self.chance, &["prove", "write", "inspect"]);
                    self.lurk(deed);
                    Stimulus::Die(700)
                }
                12 => Stimulus::Away(seconds),
                _ => Stimulus::Push(vec![Edit::Policies(self.policies())]),
            };
            self.add(stimulus);
            self.at += pick(&mut self.chance, &[20, 200, 2000, 20_000]);
        }
        let edit = self.edit(app);
        if self.chance.one_of(2) {
            self.push(vec![edit]);
        }
    }

    /// Something leaves git, and is wanted again while it is being deleted.
    fn comes_back(&mut self) {
        let app = self.app();
        let leaves = match self.chance.one_of(2) {
            true => Edit::Leaves(app),
            false => Edit::Says(app, Content { configs: [1, 0, 0], ..Content::default() }),
        };
        self.push(vec![leaves]);
        if self.chance.one_of(2) {
            self.add(Stimulus::Storm(Storm::Slow, 90));
        }
        let deed = pick(&mut self.chance, &["delete", "delete", "ask about deletes", "write"]);
        self.lurk(deed);
        let again = self.says_again(app);
        self.push(vec![again]);
    }

    /// An app fails, and its way back is disturbed.
    fn fails(&mut self) {
        let app = self.app();
        let edit = self.says(app, true);
        let Edit::Says(app, mut content) = edit else { return };
        let version = content.web.map_or(1, |(version, _)| version);
        content.web =
            Some((version, pick(&mut self.chance, &[Fate::Fail, Fate::Fail, Fate::Crash, Fate::Hang])));
        self.push(vec![Edit::Says(app, content)]);
        self.at += pick(&mut self.chance, &[5000, 12_000, 20_000]);
        let deed = pick(&mut self.chance, &["reasons", "remember", "recall", "prove", "write"]);
        self.lurk(deed);
        self.anything_small(app);
    }

    /// An app fails where all go back together, and is put right after that.
    fn fails_with_others(&mut self) {
        let together = Terms { together: true, halts: false, ..terms(&mut self.chance) };
        let mut edits = vec![Edit::Terms(together)];
        for app in 0..self.apps {
            edits.push(self.says_again(app));
        }
        self.push(edits);
        self.at += pick(&mut self.chance, &[20_000, 40_000]);
        let app = self.app();
        let other = (app + 1) % self.apps;
        let newer = self.says(other, true);
        let bad = Content { web: Some((9, Fate::Fail)), ..content(&mut self.chance, true) };
        self.push(vec![newer, Edit::Says(app, bad)]);
        self.at += pick(&mut self.chance, &[10_000, 40_000]);
        match self.chance.one_of(3) {
            true => self.add(Stimulus::Retry(other)),
            false => {
                let right = self.says(app, true);
                self.push(vec![right]);
            }
        }
    }

    /// The agent begins anew between two things that belong together.
    fn begins_anew_in_between(&mut self) {
        let app = self.app();
        let edit = self.edit(app);
        self.push(vec![edit]);
        let deed = pick(&mut self.chance, &DEEDS);
        self.lurk(deed);
        let gap = pick(&mut self.chance, &[700, 2000]);
        self.add(Stimulus::Die(gap));
        if self.chance.one_of(2) {
            self.at += 1;
            self.lurk(deed);
            self.add(Stimulus::Die(gap));
        }
    }

    fn anything_small(&mut self, app: usize) {
        let chance = &mut self.chance;
        let stimulus = match chance.between(0, 7) {
            0..=2 => Stimulus::Die(700),
            3 => Stimulus::HandOver(50),
            4 => Stimulus::Storm(storm(chance), 20),
            5 => Stimulus::Retry(app),
            6 => Stimulus::Unrenderable(app, 20),
            _ => Stimulus::Push(vec![Edit::Breaks(app)]),
        };
        self.add(stimulus);
    }
}

fn pick<T: Copy>(chance: &mut Chance, all: &[T]) -> T {
    all[number(chance, all.len())]
}

fn number(chance: &mut Chance, below: usize) -> usize {
    let last = Millis::try_from(below - 1).unwrap_or(0);
    usize::try_from(chance.between(0, last)).unwrap_or(0)
}

fn storm(chance: &mut Chance) -> Storm {
    use Storm::{Doubt, Errors, Held, Lag, Lost, Slow, Undeletable, Unlisted, Unread, Unsaved, Weather};
    let all = [
        Errors,
        Errors,
        Lag,
        Lag,
        Lost,
        Lost,
        Slow,
        Undeletable,
        Unread,
        Unsaved,
        Unsaved,
        Weather,
        Unlisted,
        Held,
        Doubt,
    ];
    pick(chance, &all)
}

fn terms(chance: &mut Chance) -> Terms {
    Terms {
        timeout: pick(chance, &[60, 60, 120]),
        settle: pick(chance, &[0, 0, 5]),
        halts: chance.one_of(6),
        together: chance.one_of(4),
        depends: chance.one_of(4),
        budget: pick(chance, &[100, 100, 20]),
    }
}

fn fate(chance: &mut Chance, good: bool) -> Fate {
    use Fate::{Crash, CrashTwice, Denied, DeniedLate, Fail, Fast, Flap, Hang, Slow};
    match good {
        true => pick(chance, &[Fast, Fast, Fast, Fast, Slow, CrashTwice, Flap]),
        false => pick(
            chance,
            &[Fast, Fast, Fast, Slow, CrashTwice, Flap, Crash, Crash, Fail, Fail, Hang, Denied, DeniedLate],
        ),
    }
}

fn ending(chance: &mut Chance, good: bool) -> Ending {
    if good || !chance.one_of(3) { Ending::Succeeds } else { pick(chance, &[Ending::Fails, Ending::Hangs]) }
}

fn content(chance: &mut Chance, good: bool) -> Content {
    let version = |chance: &mut Chance| u8::try_from(chance.between(1, 3)).unwrap_or(1);
    let maybe = |chance: &mut Chance, n: u32| if chance.one_of(n) { 0 } else { version(chance) };
    let config = [version(chance), maybe(chance, 2), maybe(chance, 2)];
    let web = (!chance.one_of(8)).then(|| (version(chance), fate(chance, good)));
    let worker = chance.one_of(2).then(|| (version(chance), fate(chance, good)));
    let migrate = chance.one_of(4).then(|| (version(chance), ending(chance, good)));
    let check = chance.one_of(10).then(|| ending(chance, good));
    Content { configs: config, web, worker, migrate, check }
}

fn who(chance: &mut Chance) -> &'static str {
    pick(chance, &["kubectl-edit", "kubectl-edit", "robot"])
}

fn hold(chance: &mut Chance, app: usize) -> Stimulus {
    let app = (!chance.one_of(3)).then_some(app);
    let object = chance.one_of(3).then(|| part(chance));
    Stimulus::Hold(app, object.filter(|_| app.is_some()), chance.one_of(3), pick(chance, &[5, 20, 90, 600]))
}

fn rule(chance: &mut Chance, app: usize, now: u64) -> Rule {
    use DriftPolicy::{Heal, Ignore, Report};
    Rule {
        policy: pick(chance, &[Report, Report, Ignore, Ignore, Heal]),
        app,
        part: part(chance),
        field: pick(chance, &[None, Some(Field::Content), Some(Field::Side), Some(Field::Side)]),
        until: chance.one_of(3).then(|| now + pick(chance, &[5, 20, 90, 600])),
    }
}

fn part(chance: &mut Chance) -> Part {
    pick(chance, &[Part::Config(0), Part::Config(1), Part::Web, Part::Web, Part::Worker])
}
