//! The port to the shared place of regions, and what can stand behind it.
//!
//! What every place owes the fence, and `tests/place/contract.rs` holds each to:
//!
//! - a swap is done where the version that it names stands, and nowhere else; of two that name the same, one is done;
//! - a version never comes back, though the same record be written again;
//! - a read tells what was written last, or nothing at all: a place that can tell older states is no shared place. The fence
//!   notices one that does by the serial of the record, and lets no read alone decide anything;
//! - a call ends within the time that was set, is made once, and says so where nobody knows what came of it.

use crate::aws;
use crate::cluster::LeasePlace;
use crate::region::{Answer, Call};

#[derive(Clone)]
pub enum SharedPlace {
    /// An item of a DynamoDB table, or an object of an S3 bucket.
    Aws(aws::SharedPlace),
    /// A Lease in a third cluster.
    Lease(Box<LeasePlace>),
}

impl SharedPlace {
    pub async fn ask(&self, call: Call) -> Answer {
        match self {
            Self::Aws(place) => place.ask(call).await,
            Self::Lease(place) => place.ask(call).await,
        }
    }
}
