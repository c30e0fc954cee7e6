//! What a person can do about a run that halted.

use std::fmt;

use super::{Cause, Preflight, Run};
use crate::region::step::{Mode, RegionStep};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Retry,
    Skip,
    /// Go on without the old region's help.
    Ungraceful,
    /// Say by name that the old region is off.
    Attest,
    TakeLoss,
    Override(Preflight),
    Abort,
    /// Say in git, or to the cluster, with a higher epoch, where it is to be.
    RaiseEpoch,
    EndDrill,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry => f.write_str("retry"),
            Self::Skip => f.write_str("skip the step, with a reason"),
            Self::Ungraceful => f.write_str("go on ungracefully"),
            Self::Attest => f.write_str("attest that the old region is off"),
            Self::TakeLoss => f.write_str("take the loss, by its number"),
            Self::Override(preflight) => write!(f, "override {}", preflight.as_str()),
            Self::Abort => f.write_str("abort"),
            Self::RaiseEpoch => f.write_str("re-point with a higher epoch"),
            Self::EndDrill => f.write_str("end the drill"),
        }
    }
}

impl Run {
    /// What can be done about this cause. It is never empty: to go somewhere else is always possible.
    pub fn choices(&self, cause: &Cause) -> Vec<Choice> {
        let mut choices = match cause {
            Cause::Preflights { red } => red.iter().map(|preflight| Choice::Override(*preflight)).collect(),
            Cause::DataLag { .. } => vec![Choice::TakeLoss, Choice::Retry],
            Cause::PlaceEmpty => vec![Choice::Attest, Choice::Retry],
            Cause::EpochTaken { .. } => Vec::new(),
            Cause::TimedOut { .. } | Cause::Failed { .. } | Cause::FenceLost => vec![Choice::Retry],
        };
        let is_step = matches!(cause, Cause::TimedOut { .. } | Cause::Failed { .. } | Cause::DataLag { .. });
        if is_step && self.at == RegionStep::Fence {
            choices.push(Choice::Attest);
        } else if is_step {
            choices.push(Choice::Skip);
        }
        if self.mode == Mode::Graceful && self.at <= RegionStep::Data {
            choices.push(Choice::Ungraceful);
        }
        if self.is_drill() {
            choices.push(Choice::EndDrill);
            return choices;
        }
        if self.may_abort() {
            choices.push(Choice::Abort);
        }
        choices.push(Choice::RaiseEpoch);
        choices
    }

    /// Until writers are started here, the run can be given up; afterwards a move back is a move of its own.
    pub(super) fn may_abort(&self) -> bool {
        !self.has_begun(RegionStep::Writers)
    }
}
