use std::sync::Arc;

use crate::api::{AppSpec, Rollout};
use crate::object::{Commit, Problems};
use crate::plan::WantedApp;

/// What a revision says.
#[derive(Clone, Debug)]
pub struct Says {
    pub apps: Vec<(AppSpec, Result<Arc<WantedApp>, Problems>)>,
    pub rollout: Rollout,
    pub commit: Option<Commit>,
}
