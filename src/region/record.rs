//! What stands in the shared place, and what can come of asking it.
//!
//! One record for each environment, changed by compare-and-swap alone: whoever writes names the version that was read, and
//! nothing is written where another one is there. So all changes stand in one line, whatever was lost, delayed or read late
//! on the way, and nothing may rest on a read that no swap has confirmed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::name::{Epoch, RegionName};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionRecord {
    /// Raised with every write: a lower one than was seen before is stale.
    pub serial: u64,
    /// Who wrote it. It is never the same twice, so that who lost an answer finds out whether it was done.
    pub written: Stamp,
    pub epoch: Epoch,
    /// The region whose writers may run, or that gave them up last.
    pub holder: RegionName,
    pub hold: Hold,
    /// Raised by the holder alone, whenever it writes: while it stays as it is, the holder renews nothing.
    pub counter: u64,
    /// How the holder came to hold it.
    pub proof: Proof,
    /// The highest epoch that the holder knows of: it has frozen for it.
    pub acknowledged: Epoch,
    /// Who wants to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The region that held it before, until it says that nothing is left running there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drains: Option<RegionName>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub region: RegionName,
    /// Of the process, by chance.
    pub run: u64,
    /// The writes of that process, counted.
    pub write: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hold {
    Held(Silence),
    /// The holder's writers have stopped, and it starts none before it holds again.
    Released,
}

/// What it means that a holder renews no longer. It stands in the record, so that whoever judges the silence does it by what the
/// holder promised, not by what its own settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Silence {
    /// Its writers stop by themselves when it cannot renew: after a time, silence is proof.
    #[default]
    #[serde(rename = "stop")]
    Stops,
    /// They run on: silence proves nothing, and only the holder or a person can give the hold away.
    #[serde(rename = "run")]
    RunsOn,
}

/// A region that wants to be the active one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub region: RegionName,
    pub epoch: Epoch,
    /// Whether it waits for the holder to stop. Before that it only announces itself, and the holder freezes.
    pub ready: bool,
}

/// Why nobody else writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "by")]
pub enum Proof {
    /// There was no record, and no earlier epoch.
    First,
    /// The one before gave it up, or this is the same region.
    Released,
    /// The one before was silent for longer than it runs without renewing.
    Silence { seconds: u64 },
    /// A person says that the one before is off, and stays off until it has read this.
    Attested { person: String, reason: String },
}

/// A person's word that a region is off: it writes nothing, and will not before it has read the record. It is about one
/// state of the record: a holder that renews afterwards refutes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// `None` where there is no record.
    pub holder: Option<(RegionName, Epoch)>,
    pub counter: u64,
    pub person: String,
    pub reason: String,
}

impl Attestation {
    /// Whether it is about what stands there.
    pub fn is_about(&self, record: Option<&RegionRecord>) -> bool {
        match (record, &self.holder) {
            (None, None) => true,
            (Some(record), Some((region, epoch))) => {
                record.holder == *region && record.epoch == *epoch && record.counter == self.counter
            }
            _ => false,
        }
    }
}

/// What the place calls a state of the record: a number, an ETag, a resourceVersion. Only the place compares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Arc<str>);

impl Version {
    pub fn new(version: &str) -> Self {
        Self(version.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub record: RegionRecord,
    pub version: Version,
}

/// What a shared place is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Read,
    /// Put this in the place of that version; of nothing where there is none.
    Swap {
        from: Option<Version>,
        record: RegionRecord,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Read(Option<Stored>),
    Swapped(Version),
    /// Another version is there, and nothing was written.
    Conflict,
    /// Nothing is known: a swap may have been done, or may be done yet.
    Failed(PlaceError),
}

/// Why the shared place gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("{place} does not answer: {why}")]
    Unreachable { place: Box<str>, why: Box<str> },
    #[error("{place} cannot be used: the agent's identity lacks {right}")]
    Denied { place: Box<str>, right: Box<str> },
    #[error("{place} does not exist")]
    Missing { place: Box<str> },
    #[error("what stands in {place} is no record of Fairlead: {why}")]
    Unreadable { place: Box<str>, why: Box<str> },
    #[error(
        "{place} told an older state than before (write {found} after {known}): it must be read consistently"
    )]
    Stale { place: Box<str>, found: u64, known: u64 },
    #[error("{place} cannot be used: {why}")]
    Other { place: Box<str>, why: Box<str> },
}

impl PlaceError {
    /// Whether it may pass by itself.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Stale { .. })
    }
}

impl RegionRecord {
    pub fn is_held_by(&self, region: &RegionName) -> bool {
        self.holder == *region && matches!(self.hold, Hold::Held(_))
    }

    /// The claim of a higher epoch than the holder's own.
    pub fn open_claim(&self) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| claim.epoch > self.epoch)
    }

    /// Writes it as it stands in every shared place.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what stands in a shared place. What is not understood is no record: a newer agent may mean something by it.
    pub fn from_json(place: &str, text: &str) -> Result<Self, PlaceError> {
        serde_json::from_str(text)
            .map_err(|error| PlaceError::Unreadable { place: place.into(), why: error.to_string().into() })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("nobody held it before"),
            Self::Released => f.write_str("the region before gave it up"),
            Self::Silence { seconds } => {
                write!(f, "the region before was silent for {seconds} s, and stops by itself sooner")
            }
            Self::Attested { person, reason } => {
                write!(f, "{person} attests that the region before is off: {reason}")
            }
        }
    }
}

#[cfg(test)]
pub fn record(holder: &str, epoch: u64, hold: Hold) -> RegionRecord {
    let holder = RegionName::new(holder).unwrap();
    RegionRecord {
        serial: 1,
        written: Stamp { region: holder.clone(), run: 1, write: 1 },
        epoch: Epoch(epoch),
        holder,
        hold,
        counter: 1,
        proof: Proof::First,
        acknowledged: Epoch(epoch),
        claim: None,
        drains: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        for hold in [Hold::Held(Silence::Stops), Hold::Held(Silence::RunsOn), Hold::Released] {
            let mut record = record("eu-west-1", 7, hold);
            record.claim = Some(Claim {
                region: RegionName::new("eu-central-1").unwrap(),
                epoch: Epoch(8),
                ready: true,
            });
            record.proof = Proof::Attested { person: "ann".into(), reason: "the region burns".into() };
            assert_eq!(RegionRecord::from_json("x", &record.to_json()).unwrap(), record);
        }
    }

    #[test]
    fn what_is_no_record_is_named_with_its_place() {
        let error = RegionRecord::from_json("s3://b/k", "{}").unwrap_err();
        assert!(error.to_string().starts_with("what stands in s3://b/k is no record of Fairlead"), "{error}");
        assert!(!error.may_pass());
    }

    #[test]
    fn a_word_about_another_state_counts_for_nothing() {
        let record = record("a", 3, Hold::Held(Silence::Stops));
        let word = |region: &str, epoch: u64, counter| Attestation {
            holder: Some((RegionName::new(region).unwrap(), Epoch(epoch))),
            counter,
            person: "ann".into(),
            reason: "it is off".into(),
        };
        assert!(word("a", 3, 1).is_about(Some(&record)));
        for other in [word("b", 3, 1), word("a", 2, 1), word("a", 3, 2)] {
            assert!(!other.is_about(Some(&record)), "{other:?}");
        }
        assert!(!word("a", 3, 1).is_about(None));
        assert!(Attestation { holder: None, ..word("a", 3, 1) }.is_about(None));
    }
}
