//! Which region is meant to be active: what git says, and what a person says in this cluster while git cannot be asked.
//!
//! The higher epoch wins. A person's word holds until git says a higher one. Git going back to a lower epoch, or naming another
//! region at the same one, changes nothing and is told: an epoch stands for one region for ever.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::{Epoch, RegionName};
use super::step::Mode;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Word {
    pub epoch: Epoch,
    pub active: RegionName,
    pub mode: Mode,
    pub from: Source,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "source")]
pub enum Source {
    Git {
        commit: String,
    },
    /// A person whom the cluster trusts, or the rule of `automatic`.
    Cluster {
        person: String,
        reason: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git { commit } => write!(f, "commit {}", commit.get(..12).unwrap_or(commit)),
            Self::Cluster { person, reason } => write!(f, "{person}: {reason}"),
        }
    }
}

/// Why what was said is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "fault")]
pub enum WordFault {
    #[error(
        "region.epoch went back from {known} to {said}: epochs only rise. To go back to {active}, say so with epoch {}",
        known.next()
    )]
    WentBack { known: Epoch, said: Epoch, active: RegionName },
    #[error(
        "region.epoch {epoch} stands for {known}, and now for {said}: raise it to {} with each change of region.active",
        epoch.next()
    )]
    NotRaised { epoch: Epoch, known: RegionName, said: RegionName },
}

/// What was said so far. It is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    git: Option<Word>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<Word>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<WordFault>,
}

impl Words {
    /// Takes what git says at its newest commit.
    pub fn hear_git(&mut self, word: Word) -> Result<(), WordFault> {
        let heard = Self::compare(self.git.as_ref(), &word);
        self.fault = heard.as_ref().err().cloned();
        heard?;
        if self.cluster.as_ref().is_some_and(|cluster| word.epoch > cluster.epoch) {
            self.cluster = None;
        }
        self.git = Some(word);
        Ok(())
    }

    /// Takes a person's word. It has to go beyond all that is known here.
    pub fn hear_cluster(&mut self, word: Word) -> Result<(), WordFault> {
        let known = self.wanted();
        Self::compare(known, &word)?;
        if known.is_none_or(|known| known.epoch < word.epoch) {
            self.cluster = Some(word);
        }
        Ok(())
    }

    fn compare(known: Option<&Word>, said: &Word) -> Result<(), WordFault> {
        let Some(known) = known else { return Ok(()) };
        if said.epoch < known.epoch {
            let (known, active) = (known.epoch, said.active.clone());
            return Err(WordFault::WentBack { known, said: said.epoch, active });
        }
        if said.epoch == known.epoch && said.active != known.active {
            return Err(WordFault::NotRaised {
                epoch: said.epoch,
                known: known.active.clone(),
                said: said.active.clone(),
            });
        }
        Ok(())
    }

    /// What counts.
    pub fn wanted(&self) -> Option<&Word> {
        match (&self.git, &self.cluster) {
            (Some(git), Some(cluster)) if git.epoch > cluster.epoch => Some(git),
            (_, Some(cluster)) => Some(cluster),
            (git, None) => git.as_ref(),
        }
    }

    /// What is wrong with what git said last.
    pub fn fault(&self) -> Option<&WordFault> {
        self.fault.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(epoch: u64, active: &str) -> Word {
        let from = Source::Git { commit: "0123456789abcdef".into() };
        Word { epoch: Epoch(epoch), active: RegionName::new(active).unwrap(), mode: Mode::Graceful, from }
    }

    fn wanted(words: &Words) -> String {
        words.wanted().map(|word| format!("{} {}", word.epoch, word.active)).unwrap_or_default()
    }

    #[test]
    fn an_epoch_never_goes_back() {
        let mut words = Words::default();
        words.hear_git(word(3, "a")).unwrap();
        let fault = words.hear_git(word(2, "b")).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "region.epoch went back from 3 to 2: epochs only rise. To go back to b, say so with epoch 4"
        );
        assert_eq!((wanted(&words).as_str(), words.fault()), ("3 a", Some(&fault)));
        words.hear_git(word(4, "b")).unwrap();
        assert_eq!((wanted(&words).as_str(), words.fault()), ("4 b", None));
    }

    #[test]
    fn an_epoch_stands_for_one_region() {
        let mut words = Words::default();
        words.hear_git(word(3, "a")).unwrap();
        let fault = words.hear_git(word(3, "b")).unwrap_err();
        assert!(fault.to_string().contains("raise it to 4"), "{fault}");
        assert_eq!(wanted(&words), "3 a");
        assert!(words.hear_cluster(word(3, "b")).is_err());
    }

    #[test]
    fn a_persons_word_holds_until_git_goes_beyond_it() {
        let mut words = Words::default();
        words.hear_git(word(3, "a")).unwrap();
        words.hear_cluster(word(4, "b")).unwrap();
        assert_eq!(wanted(&words), "4 b");
        words.hear_git(word(3, "a")).unwrap();
        assert_eq!(wanted(&words), "4 b");
        // Git may name another at the same epoch, not knowing of it: the word that came first holds.
        words.hear_git(word(4, "a")).unwrap();
        assert_eq!(wanted(&words), "4 b");
        words.hear_git(word(5, "a")).unwrap();
        assert_eq!(wanted(&words), "5 a");
        assert!(words.hear_cluster(word(5, "b")).is_err(), "a person has to go beyond git, too");
    }

    #[test]
    fn it_is_remembered_as_it_was() {
        let mut words = Words::default();
        words.hear_git(word(3, "a")).unwrap();
        words.hear_git(word(2, "a")).unwrap_err();
        let text = serde_json::to_string(&words).unwrap();
        assert_eq!(serde_json::from_str::<Words>(&text).unwrap(), words);
    }
}
