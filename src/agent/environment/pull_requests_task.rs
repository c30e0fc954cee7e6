//! Looks after the pull requests of the environment's repository, where this environment is the one to do so.

use super::Shared;
use crate::agent::pull_requests;

pub(super) async fn run(shared: Shared) {
    pull_requests::run(&shared).await;
}
