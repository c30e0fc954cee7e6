//! References to secrets, and their values while they are in memory.
//!
//! Git holds a [`Reference`], such as `${aws-sm:notejam/production/db#password}`; a Secret whose strings hold some is
//! [`Sealed`]. A value is a [`Plaintext`], which cannot be printed, compared, copied or serialized, and is wiped when it is
//! dropped; [`Sealed::fill`] is the one place where values and the Secret that holds them meet.

mod fault;
mod fill;
mod json;
mod pins;
mod plaintext;
mod reference;
mod scrub;
mod sealed;
mod wiping;

pub use fault::Fault;
pub use fill::Values;
pub use json::keys_of;
pub use pins::{Beside, Pin, Pins, SecretName, Unpinned, read_versions, versions_of, write_versions};
pub use plaintext::Plaintext;
pub use reference::{BadReference, Pick, Provider, Reference, SecretId, find_reference};
pub use scrub::{Scrubber, scrub};
pub use sealed::{FROM, Sealed, VERSIONS};
pub use wiping::{WipingAllocator, wipe_what_this_thread_frees};
