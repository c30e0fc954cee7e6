//! Why a run halts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Preflight;
use crate::region::name::{Epoch, RegionName};
use crate::region::step::RegionStep;

/// Why a run stopped, with what a person needs to judge it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "cause")]
pub enum Cause {
    #[error("this region is not ready: {}", red.iter().map(|red| red.as_str()).collect::<Vec<_>>().join(", "))]
    Preflights { red: Vec<Preflight> },
    #[error("{step} took longer than {} s", after.as_secs())]
    TimedOut { step: RegionStep, after: Duration },
    #[error("{step} failed: {why}")]
    Failed { step: RegionStep, why: String },
    #[error(
        "{}, and at most {} s may be lost",
        lag.map_or_else(
            || "how far the data here are behind is unknown".to_owned(),
            |lag| format!("the data here are {} s behind", lag.as_secs())
        ),
        most.as_secs()
    )]
    DataLag { lag: Option<Duration>, most: Duration },
    #[error("this region has the hold no longer: the shared place did not confirm it in time")]
    FenceLost,
    #[error("epoch {epoch} is that of {region} in the shared place")]
    EpochTaken { region: RegionName, epoch: Epoch },
    #[error("nothing stands in the shared place, though there were epochs before: it proves nothing")]
    PlaceEmpty,
}
