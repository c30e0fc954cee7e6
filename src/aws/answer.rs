//! What reading gives, whichever service it was read from.

use aws_sdk_secretsmanager::primitives::DateTime;
use jiff::Timestamp;

use super::failure::Failure;
use crate::object::secret::{Pick, SecretId};
use crate::secrets::{Cause, Read, Trouble, Version};

/// What came of one secret.
pub(super) type Answer<T> = (SecretId, Result<T, Trouble>);

/// Whether values are wanted, or only which versions there are.
pub(super) trait Wanted: Sized + Send + 'static {
    fn from_read(read: Read) -> Self;
}

impl Wanted for Read {
    fn from_read(read: Read) -> Self {
        read
    }
}

impl Wanted for Version {
    /// The value ends here.
    fn from_read(read: Read) -> Self {
        read.version
    }
}

const PENDING: &str = "AWSPENDING";

/// Tells whether a version may be used: a rotation sets its password, and tries it, only after it has made the version. One
/// that was in force before has been tried.
pub(super) fn check_stages(stages: &[Box<str>]) -> Result<(), Failure> {
    let has = |wanted: &str| stages.iter().any(|stage| &**stage == wanted);
    if has(PENDING) && !has("AWSCURRENT") && !has("AWSPREVIOUS") {
        return Err(Failure::Because(Cause::Pending));
    }
    Ok(())
}

/// Refuses the label itself, wherever the reference comes from.
pub(super) fn is_pending(secret: &SecretId) -> bool {
    matches!(&secret.pick, Pick::Stage(stage) if &**stage == PENDING)
}

pub(super) fn stages(of: Option<Vec<String>>) -> Vec<Box<str>> {
    let mut stages: Vec<Box<str>> = of.unwrap_or_default().into_iter().map(Into::into).collect();
    stages.sort();
    stages
}

pub(super) fn timestamp(at: Option<&DateTime>) -> Option<Timestamp> {
    let at = at?;
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

/// What AWS calls a success, and gives neither a value nor an error with.
pub(super) fn no_value() -> Failure {
    Failure::Because(Cause::NoVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_was_not_tried_is_not_used() {
        for (stages, usable) in [
            (&["AWSCURRENT"][..], true),
            (&["AWSCURRENT", "AWSPENDING"], true),
            (&["AWSPENDING", "AWSPREVIOUS"], true),
            (&["blue"], true),
            (&[], true),
            (&["AWSPENDING"], false),
            (&["AWSPENDING", "blue"], false),
        ] {
            let stages: Vec<Box<str>> = stages.iter().map(|stage| (*stage).into()).collect();
            assert_eq!(check_stages(&stages).is_ok(), usable, "{stages:?}");
        }
    }
}
