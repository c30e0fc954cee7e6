//! Stories that failed once, and those of the table of issue 14: what happened to people, each as short as it can be told.

use super::chance::Storm::{self, Lag, Unread, Unsaved};
use super::content::Content;
use super::content::Ending::{self, Fails, Hangs, Succeeds};
use super::content::Fate::{self, Crash, CrashTwice, Fail, Fast, Slow};
use super::content::Part::{self, Config, Web};
use super::git::Edit::{self, Breaks, Leaves, Says};
use super::git::Terms;
use super::run::tell;
use super::story::Stimulus::{self, Away, Die, Push, Retry, Unrenderable};
use super::story::Story;

/// Tells a story that has to hold.
fn holds(seed: u64, stimuli: Vec<(u64, Stimulus)>) {
    let told = tell(&Story { seed, stimuli });
    assert!(told.is_ok(), "{told:?}");
}
