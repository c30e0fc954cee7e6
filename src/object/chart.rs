//! What is asked of helm, and what it answers: said by `render`, done by `helm`, carried between the two by the shell.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Place, Problem, TreePath};

/// A chart that helm must render, and with what. Equal requests of one tree have equal answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChartRequest {
    /// Where it is asked for.
    pub place: Place,
    /// The chart's folder, or its package.
    pub chart: TreePath,
    /// The later ones win.
    pub values: Vec<ChartValues>,
    pub release: String,
    pub namespace: String,
    pub crds: bool,
    pub hooks: bool,
    pub tests: bool,
    /// Instead of the version of the cluster.
    pub kube_version: Option<String>,
    /// Instead of what the cluster serves, where there are any.
    pub api_versions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ChartValues {
    /// A file of the tree, and where it is named.
    File(TreePath, Place),
    /// JSON, which is YAML too.
    Inline(String),
}

/// For which cluster charts are rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChartTarget {
    /// The version of Kubernetes: `1.36.3`.
    pub kubernetes: String,
    /// `apps/v1` and `apps/v1/Deployment`, of all that is served.
    pub apis: Vec<String>,
}

/// What helm wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartOutput {
    pub text: Arc<str>,
    /// What it wrote another time, with another clock and other chance, where that is not the same.
    pub again: Option<Again>,
    /// What it warned of.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    Text(Arc<str>),
    /// It wrote nothing, and this is why.
    Failed(String),
}

/// Why there is no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChartFailure {
    /// helm refused the chart or its values, in these words.
    Refused(String),
    /// The chart's files are not what helm could be given.
    Input(Problem),
    /// It took more time, memory or output than a chart may.
    Exhausted(Problem),
    /// helm could not be run, or not to its end. Another time may be better.
    Unable(Problem),
}

/// The answers so far.
pub type ChartAnswers = HashMap<ChartRequest, Result<Arc<ChartOutput>, ChartFailure>>;
