//! What happens in a story, and when: small enough to be printed, so that one that fails can be told again.

use super::chance::{Chance, Millis, Storm};
use super::content::{Content, Ending, Fate, Part};
use super::git::{Edit, Terms};

/// Something that happens from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Stimulus {
    Push(Vec<Edit>),
    /// Git cannot be read, for so many seconds.
    Away(u64),
    /// An app cannot be rendered for so many seconds, though nothing is wrong with it.
    Unrenderable(usize, u64),
    Storm(Storm, u64),
    /// The agent dies, and another begins after so many milliseconds.
    Die(Millis),
    /// Somebody edits an object; what becomes of its pods.
    Edit(usize, Part, Fate),
    Delete(usize, Part),
    /// Somebody makes an object before we do.
    Claim(usize, Part),
    Scale(usize, bool),
    Retry(usize),
    Rollback(usize),
    Suspend(bool),
    Approve,
    /// The clock jumps by so many seconds.
    Jump(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Of its latencies, and what else is left to chance.
    pub seed: u64,
    pub stimuli: Vec<(Millis, Stimulus)>,
}

impl Story {
    /// Makes one up.
    pub fn invent(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x5eed);
        let apps = usize::try_from(chance.between(1, 3)).unwrap_or(1);
        let mut first: Vec<Edit> = vec![Edit::Terms(terms(&mut chance))];
        first.extend((0..apps).map(|app| Edit::Says(app, content(&mut chance, true))));
        let mut stimuli = vec![(0, Stimulus::Push(first))];
        let count = chance.between(1, 12);
        // Some stories are told in a hurry, and some take their time.
        let pace = [300, 3000, 20_000, 60_000][usize::try_from(chance.between(0, 3)).unwrap_or(0)];
        let mut at = 0;
        for _ in 0..count {
            at += chance.between(0, pace);
            stimuli.push((at, stimulus(&mut chance, apps)));
        }
        Self { seed, stimuli }
    }

    /// As a test to paste.
    pub fn as_test(&self, fault: &str) -> String {
        let lines = self.stimuli.iter().map(|(at, stimulus)| format!("        ({at}, {stimulus:?}),\n"));
        let lines = lines.collect::<String>().replace("Push([", "Push(vec![");
        format!(
            "/// {fault}\n#[test]\nfn a_story_that_failed() {{\n    holds({}, vec![\n{lines}    ]);\n}}\n",
            self.seed
        )
    }
}

fn pick<T: Copy>(chance: &mut Chance, all: &[T]) -> T {
    let last = Millis::try_from(all.len() - 1).unwrap_or(0);
    all[usize::try_from(chance.between(0, last)).unwrap_or(0)]
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
    use Fate::{Crash, CrashTwice, Denied, DeniedLate, Fail, Fast, Hang, Slow};
    match good {
        true => pick(chance, &[Fast, Fast, Fast, Slow, CrashTwice]),
        false => pick(
            chance,
            &[Fast, Fast, Fast, Slow, CrashTwice, Crash, Crash, Fail, Fail, Hang, Denied, DeniedLate],
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

fn part(chance: &mut Chance) -> Part {
    pick(chance, &[Part::Config(0), Part::Config(1), Part::Web, Part::Web, Part::Worker])
}

fn stimulus(chance: &mut Chance, apps: usize) -> Stimulus {
    let app = usize::try_from(chance.between(0, Millis::try_from(apps - 1).unwrap_or(0))).unwrap_or(0);
    let seconds = |chance: &mut Chance| pick(chance, &[1, 5, 20, 90]);
    match chance.between(0, 99) {
        0..=31 => {
            let edits = usize::try_from(chance.between(1, 2)).unwrap_or(1).min(apps);
            Stimulus::Push((0..edits).map(|n| edit(chance, (app + n) % apps)).collect())
        }
        32..=47 => Stimulus::Die(pick(chance, &[700, 2000, 15_000])),
        48..=52 => Stimulus::Away(seconds(chance)),
        53..=57 => Stimulus::Unrenderable(app, seconds(chance)),
        58..=69 => {
            use Storm::{Errors, Lag, Lost, Slow, Undeletable, Unread, Unsaved, Weather};
            let storm = pick(
                chance,
                &[Errors, Errors, Lag, Lost, Lost, Slow, Undeletable, Unread, Unsaved, Unsaved, Weather],
            );
            Stimulus::Storm(storm, seconds(chance))
        }
        70..=74 => Stimulus::Edit(app, part(chance), fate(chance, false)),
        75..=78 => {
            let part = if chance.one_of(5) { Part::Migrate } else { part(chance) };
            Stimulus::Delete(app, part)
        }
        79 => Stimulus::Claim(app, part(chance)),
        80..=82 => Stimulus::Scale(app, !chance.one_of(3)),
        83..=87 => Stimulus::Retry(app),
        88..=91 => Stimulus::Rollback(app),
        92..=94 => Stimulus::Suspend(chance.one_of(2)),
        95..=97 => Stimulus::Approve,
        _ => Stimulus::Jump(pick(chance, &[-300, -20, 20, 300])),
    }
}

fn edit(chance: &mut Chance, app: usize) -> Edit {
    match chance.between(0, 19) {
        0..=2 => Edit::Breaks(app),
        3..=4 => Edit::Leaves(app),
        5 => Edit::Terms(terms(chance)),
        6 => Edit::Says(app, Content::default()),
        7..=9 => Edit::Says(app, content(chance, true)),
        _ => Edit::Says(app, content(chance, false)),
    }
}
