//! What a comment remembers of itself, in a line that nobody sees: an agent that begins anew goes on from there.
//!
//! Who may edit the comment may edit that line. Nothing is decided from it but what is said: a record that was changed
//! makes for a wrong sentence, and a record that cannot be read for none.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::object::Digest;

use super::commands::{CommandLine, Commands};
use super::made::Made;

const BEGIN: &str = "<!-- fairlead:record ";
const END: &str = " -->";
/// With more apps than have room, the record names none of them: what was previewed cannot be compared then.
const MOST: usize = 8_000;

/// What is known of a report once it is on a forge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommentRecord {
    pub head: String,
    pub short: String,
    pub at: Timestamp,
    /// Since when the pull request was at that commit, where that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The report that it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// By environment and app: what was shown, by the beginning of its digest. Empty where an app goes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub previewed: BTreeMap<String, BTreeMap<String, String>>,
    /// There are more apps than it has room for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unnamed: bool,
    /// What became of it once it was merged, by environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outcome: BTreeMap<String, Landed>,
    /// What people asked for in comments: the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandLine>,
    /// The numbers of the comments that were answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Before {
    pub head: String,
    pub short: String,
    pub at: Timestamp,
}

/// What became of a merge in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Landed {
    pub state: Fate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it came to that.
    pub since: Timestamp,
    /// The apps that are not what was previewed; `None` until the environment has seen the merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differing: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    Healthy,
    /// The environment has not seen the merge yet.
    Waiting,
    RollingOut,
    /// Nothing is written while that lasts.
    Suspended,
    Halted,
    /// What ran before runs again.
    Restored,
}

impl Fate {
    /// Whether that is the last word on it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Healthy | Self::Restored)
    }
}

impl CommentRecord {
    pub fn new(made: &Made, head: &str, at: Timestamp) -> Self {
        let shown =
            |digest: &Option<Digest>| digest.as_ref().map_or_else(String::new, |it| it.short().to_owned());
        let apps = |one: &super::made::MadeEnvironment| {
            one.previewed.iter().map(|(app, digest)| (app.clone(), shown(digest))).collect()
        };
        Self {
            head: head.to_owned(),
            short: made.short.clone(),
            at,
            since: None,
            before: None,
            previewed: made.environments.iter().map(|one| (one.name.clone(), apps(one))).collect(),
            unnamed: false,
            outcome: BTreeMap::new(),
            commands: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// Remembers what was asked for in comments.
    pub fn with(mut self, commands: &Commands) -> Self {
        (self.commands, self.answered) = (commands.lines(), commands.answered());
        self
    }

    /// What an environment's apps were shown to become; `None` where there was no room to keep that.
    pub fn previewed_in(&self, environment: &str) -> Option<&BTreeMap<String, String>> {
        self.previewed.get(environment).filter(|_| !self.unnamed)
    }

    /// The line that holds it.
    pub fn line(&self) -> String {
        let encode = |record: &Self| STANDARD.encode(serde_json::to_vec(record).unwrap_or_default());
        let mut encoded = encode(self);
        // First what is only compared, then what is said in words elsewhere in the comment.
        let smaller: [fn(&mut Self); 4] = [
            |record| {
                record.previewed.values_mut().for_each(BTreeMap::clear);
                record.unnamed = true;
            },
            |record| record.outcome.values_mut().for_each(|landed| landed.why = None),
            |record| record.outcome.values_mut().for_each(|landed| landed.differing = None),
            |record| record.outcome.clear(),
        ];
        let mut record = self.clone();
        for make_smaller in smaller {
            if encoded.len() <= MOST {
                break;
            }
            make_smaller(&mut record);
            encoded = encode(&record);
        }
        format!("{BEGIN}{encoded}{END}")
    }

    pub fn read(line: &str) -> Option<Self> {
        let encoded = line.trim_end().strip_prefix(BEGIN)?.strip_suffix(END)?;
        serde_json::from_slice(&STANDARD.decode(encoded).ok()?).ok()
    }
}
