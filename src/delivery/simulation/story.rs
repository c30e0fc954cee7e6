//! What happens in a story, and when: small enough to be printed, so that one that fails can be told again.

use super::chance::{Millis, Storm};
use super::content::{Fate, Part};
use super::git::Edit;

/// Something that happens from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Stimulus {
    Push(Vec<Edit>),
    /// Someone pushes by force: the branch is again what it was so many commits ago.
    Reset(usize),
    /// Git cannot be read, for so many seconds.
    Away(u64),
    /// An app cannot be rendered for so many seconds, though nothing is wrong with it.
    Unrenderable(usize, u64),
    Storm(Storm, u64),
    /// The agent dies, and another begins after so many milliseconds. What it sent may arrive later still.
    Die(Millis),
    /// The agent is told to end, and another begins so many milliseconds after it has.
    HandOver(Millis),
    /// Somebody edits an object; what becomes of its pods.
    Edit(usize, Part, Fate),
    /// Somebody sets something beside what an object is for, by the name of what they use.
    Touch(usize, Part, &'static str),
    /// A person has nothing put back for so many seconds: of an app, or of all of them; of one object, or all. Commits wait,
    /// too, where that is said.
    Hold(Option<usize>, Option<Part>, bool, u64),
    /// They end all holds.
    Release,
    /// Somebody sets a field of an object again whenever it is put back, for so many seconds.
    Fight(usize, Part, u64),
    Delete(usize, Part),
    /// Somebody makes an object before we do.
    Claim(usize, Part),
    Scale(usize, bool),
    Retry(usize),
    Rollback(usize),
    /// A person wants what an app was at a commit, by its number.
    RollbackTo(usize, usize),
    Suspend(bool),
    Approve,
    /// The clock jumps by so many seconds.
    Jump(i64),
    /// The Environment is deleted, and what it made goes with it.
    Remove,
    /// What stands next in the list happens so many milliseconds after an action of this name was begun for the nth time
    /// from now on.
    Lurk(&'static str, u8, Millis),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Of its latencies, and what else is left to chance.
    pub seed: u64,
    pub stimuli: Vec<(Millis, Stimulus)>,
}

impl Story {
    /// As a test to paste.
    pub fn as_test(&self, fault: &str) -> String {
        let lines = self.stimuli.iter().map(|(at, stimulus)| format!("        ({at}, {stimulus:?}),\n"));
        let lines = lines.collect::<String>().replace("Push([", "Push(vec![");
        format!(
            "/// {fault}\n#[test]\nfn a_story_that_failed() {{\n    holds_with({}, vec![\n{lines}    ]);\n}}\n",
            self.seed
        )
    }
}
