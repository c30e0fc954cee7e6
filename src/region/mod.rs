//! Which region an environment is active in, how it moves to another, and why two never write at once.
//!
//! Each region's cluster has an agent of its own, which follows the same git. They meet in one place alone, the shared place: a
//! record that changes by compare-and-swap.
//!
//! 1. [`Settings`] are what `environment.yaml` says; [`Words`] tell which region is meant, by git and by people, and never go back.
//! 2. [`Fence`] says what to ask the shared place, and whether this region's writers may run at this moment.
//! 3. [`Run`] is one re-point, or one drill of it: its steps, what people say to it, and where it halts.
//! 4. [`State`] is all that a region remembers; it puts these together into what is to be so here, and what is next.
//! 5. [`Part`] is what of the environment runs here by that, and how objects are written for it.
//! 6. [`Report`] is what a run leaves behind, and [`automatic`] says whether one begins by itself.
//!
//! Nothing here waits, reads a clock, or knows which place it is. `docs/decisions/0023-regions-and-the-fence.md` has the proofs.

pub mod automatic;
mod fence;
mod lag;
mod name;
mod needs;
mod part;
mod record;
mod report;
mod run;
mod settings;
mod shape;
#[cfg(test)]
pub(crate) mod simulation;
mod state;
mod step;
mod words;

pub use fence::{Aim, Asked, Fence, TIMING, Timing, Wish};
pub use lag::{Lag, read_lag};
pub use name::{Epoch, Moment, NotARegion, RegionName};
pub use needs::{Needs, Present};
pub use part::{Part, Scale};
pub use record::{
    Answer, Attestation, Call, Claim, Hold, PlaceError, Proof, RegionRecord, Silence, Stamp, Stored, Version,
};
pub use report::{Report, StepReport};
pub use run::{
    Ask, Cause, Choice, End, Next, Preflight, Progress, Refusal, Request, Run, Said, StepOutcome, StepResult,
    Waits,
};
pub use settings::{
    Automatic, Objectives, PostRecovery, ProbeSettings, Role, Settings, StepSettings, Warmth,
};
pub use shape::{Starts, ends_by_itself, is_custom, is_fenced, starts, stop, stops_by_going};
pub use state::{Decision, Duties, Facts, Here, News, Refused, RegionAsk, State, Writers};
pub use step::{Mode, RegionStep};
pub use words::{Source, Word, WordFault, Words};
