use std::sync::Arc;

use crate::api::{AppSpec, Rollout};
use crate::drift::Rules;
use crate::object::{Commit, Problems};
use crate::plan::WantedApp;

/// What a revision says.
#[derive(Clone, Debug)]
pub struct Says {
    pub apps: Vec<(AppSpec, Result<Arc<WantedApp>, Problems>)>,
    pub rollout: Rollout,
    /// What is done about what others change.
    pub drift: Arc<Rules>,
    pub commit: Option<Commit>,
}
