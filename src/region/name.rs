use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a machine has run. It passes while the machine sleeps, and nobody can set it. It begins anew with the machine, so it
/// is never remembered, and two machines never compare theirs.
pub type Moment = Duration;

/// The name of a region, as `eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegionName(Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a region: lowercase letters, digits and `-`, at most 63 of them")]
pub struct NotARegion(String);

impl RegionName {
    pub fn new(name: &str) -> Result<Self, NotARegion> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=63).contains(&name.len())
            && name.bytes().all(legal)
            && !name.starts_with('-')
            && !name.ends_with('-');
        if is_name { Ok(Self(name.into())) } else { Err(NotARegion(name.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RegionName {
    type Error = NotARegion;
    fn try_from(name: String) -> Result<Self, NotARegion> {
        Self::new(&name)
    }
}

impl From<RegionName> for String {
    fn from(name: RegionName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number that each re-point raises: of two regions that git, or a person, calls active, the one with the higher is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether no re-point can have come before it.
    pub fn is_first(self) -> bool {
        self.0 <= 1
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_a_name_that_can_be_part_of_a_path() {
        for good in ["eu-west-1", "a", "7"] {
            assert_eq!(RegionName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "EU", "a/b", "a b", "../x", &"a".repeat(64)] {
            assert!(RegionName::new(bad).is_err(), "{bad:?} was taken");
        }
    }
}
