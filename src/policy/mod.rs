//! What an environment may do: the platform's grants and limits, against what git asks for.
//!
//! [`Grants::may_touch`] is the one answer to "may this environment touch this object", by today's Environment. What writes,
//! heals, deletes, puts back, rolls back, takes over and takes down asks it. [`Grants::judge`] asks it of every object of an
//! app, and holds what the objects say against the limits: where images come from ([`image`]), which hosts they name
//! ([`hosts`]), and the policies ([`policies`]), of which some are shipped ([`shipped`], [`pods`]).
//!
//! The API server refuses what the service account may not do. This comes before it, because an account is often granted
//! more than one environment should have, and because the refusal can name the file. What cannot be judged is refused. Which
//! rights an account needs for what its environment renders to, [`rights`] says.

mod grants;
mod hosts;
mod image;
mod judge;
mod pods;
mod policies;
mod rights;
mod secrets;
mod shipped;
mod sources;
mod workload;

pub use grants::{Grants, Untouchable};
pub use image::Image;
pub use judge::{Finding, refusal};
pub use rights::{Rights, Rule};
pub use secrets::{may_read, refused as refused_secrets};
pub use sources::{Source, SourceKind};
pub use workload::{Pod, containers, name_of, pods as pods_of};

pub use crate::api::Severity;
