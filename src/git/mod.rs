//! Git remotes, followed without a checkout.
//!
//! A [`Mirror`] is one remote's cache: a bare repository that holds the newest commit of each wanted branch. It looks at
//! the remote's refs first and fetches only what moved; many environments share one fetch. [`Remotes`] hands mirrors out.
//! A [`GitTree`] reads one revision from the object database; a [`FolderTree`] does the same for a folder on disk.
//!
//! Everything here blocks, and belongs on a thread that may block.

mod blame;
mod changes;
mod copy;
mod credentials;
mod error;
mod fetch;
mod folder;
mod forward;
mod known_hosts;
mod library;
mod links;
mod local;
mod mirror;
mod objects;
mod pack;
mod past;
mod poll;
mod reach;
mod remotes;
mod room;
mod session;
mod signature;
mod store;
mod tags;
mod tree;
mod url;

pub use blame::Written;
pub use changes::{Changes, Merged};
pub use credentials::{Credentials, Remote};
pub use error::{Cause, GitError};
pub use folder::{FolderTree, repository_around};
pub use local::Local;
pub use mirror::{Fetched, Limits, Mirror, News};
pub use past::Past;
pub use poll::Poll;
pub use reach::Reach;
pub use remotes::Remotes;
pub use signature::{SignedBy, Signer, Signers};
pub use tree::{CommitInfo, GitTree};
pub use url::{RemoteUrl, Scheme, redacted};
