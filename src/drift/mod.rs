//! What others change of what git says: whether it is theirs, who did it, and how soon it is put back.
//!
//! 1. `plan` says which fields that we applied are ours no more.
//! 2. [`Rules`] say of each whether it is put back, told, or theirs.
//! 3. [`Patience`] says when it may be put back: at once the first time, and ever later where the same comes back, which
//!    is told once as a [`Fight`].
//! 4. [`Drifted`] is what is told and kept of it: before and after, and who holds the field now, by the object's own word.
//!
//! 5. [`Principals`] are the people behind it, where an audit log names them.
//! 6. [`Standing`] is where all of it stands, for reports.
//!
//! What happens in the middle of a rollout is not decided here: there all of an object is git's (`delivery::app::repair`).

mod audit;
mod causes;
mod decisions;
mod drifted;
mod hands_off;
mod patience;
mod principals;
mod records;
mod rules;
mod standing;

pub use audit::{AuditedWrite, BadEventList, ResourceName, WriteKind, writes};
pub use causes::{Cause, Member, causes};
pub use decisions::Decision;
pub use drifted::{Drifted, DriftedField, drifted_fields, extra_fields};
pub use hands_off::HandsOff;
pub use patience::{Fight, Patience};
pub use principals::{Named, Principals, Sought};
pub use records::{DriftEnd, Observation, records};
pub use rules::{Ruled, Rules, Verdict};
pub use standing::{Lately, OpenDrift, Standing};
