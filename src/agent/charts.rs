//! Brings `render`, which says what charts it needs, and `helm` together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cluster::Session;
use crate::helm::{Helm, RESPITE, Stop};
use crate::object::{
    ChartAnswers, ChartFailure, ChartOutput, ChartRequest, ChartTarget, Kinds, Problem, Problems, Tree,
};
use crate::render::Rendered;
use crate::schema;

/// Layers that name charts of layers below them come to their end in fewer rounds.
const ROUNDS: usize = 100;

/// helm may come, or the machine have a better day.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Finds out what charts are rendered for, or why that cannot be said.
type Find<'a> = Box<dyn Fn() -> Result<ChartTarget, String> + Send + Sync + 'a>;

/// What renders the charts of one look at a tree.
pub struct Charts<'a> {
    helm: &'a Helm,
    stop: Stop,
    /// Asked when the first chart needs it: most environments have none.
    find: Find<'a>,
    target: OnceLock<ChartTarget>,
    /// After how many seconds it is worth to try again; 0 where all is as it will stay.
    again: AtomicU64,
}

impl<'a> Charts<'a> {
    fn new(
        helm: &'a Helm,
        stop: Stop,
        find: impl Fn() -> Result<ChartTarget, String> + Send + Sync + 'a,
    ) -> Self {
        let (find, target, again) = (Box::new(find), OnceLock::new(), AtomicU64::new(0));
        Self { helm, stop, find, target, again }
    }

    /// Without a cluster: for a version of Kubernetes and what it serves by itself.
    pub fn offline(helm: &'a Helm, version: Option<&'a str>) -> Self {
        Self::new(helm, Stop::default(), move || {
            let builtin = schema::builtin();
            let kubernetes = version.unwrap_or(builtin.release()).to_owned();
            Ok(ChartTarget { kubernetes, apis: apis(builtin.kinds()) })
        })
    }

    /// For a server whose version is known.
    pub fn of(helm: &'a Helm, version: &'a str, kinds: &'a Kinds) -> Self {
        Self::new(helm, Stop::default(), move || {
            Ok(ChartTarget { kubernetes: version.to_owned(), apis: apis(kinds) })
        })
    }

    /// For a server that is asked on a thread that may wait.
    pub fn blocking(helm: &'a Helm, session: &'a Session, kinds: &'a Kinds, stop: Stop) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self::new(helm, stop, move || {
            let version = runtime.block_on(session.version()).map_err(|error| {
                let why = crate::cluster::chain(&error);
                format!("the server does not say its version, which a chart may ask for: {why}")
            })?;
            Ok(ChartTarget { kubernetes: version, apis: apis(kinds) })
        })
    }

    /// After how long to try again, where a chart could not be rendered for a reason that may pass.
    pub fn again(&self) -> Option<Duration> {
        Some(self.again.load(Ordering::Relaxed)).filter(|&seconds| seconds > 0).map(Duration::from_secs)
    }

    fn try_again_after(&self, pause: Duration) {
        let sooner = |known: u64| Some(if known == 0 { pause.as_secs() } else { known.min(pause.as_secs()) });
        let _ = self.again.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sooner);
    }

    /// Renders until no chart is missing. Each chart's files are read for each caller: one may note what it reads.
    pub fn serve<T>(
        &self,
        tree: &dyn Tree,
        mut render: impl FnMut(&ChartAnswers) -> Result<Rendered<T>, Problems>,
    ) -> Result<T, Problems> {
        let mut answers = ChartAnswers::new();
        for _ in 0..ROUNDS {
            let needed = match render(&answers)? {
                Rendered::Done(done) => return Ok(done),
                Rendered::NeedCharts(needed) => needed,
            };
            for request in needed {
                let answer = self.ask(tree, &request);
                match &answer {
                    Err(ChartFailure::Unable(_)) => self.try_again_after(TRY_AGAIN),
                    Err(ChartFailure::Exhausted(_)) => self.try_again_after(RESPITE),
                    _ => {}
                }
                answers.insert(request, answer);
            }
        }
        Err(Problem::new("charts lead to ever more charts").into())
    }

    fn ask(&self, tree: &dyn Tree, request: &ChartRequest) -> Result<Arc<ChartOutput>, ChartFailure> {
        let target = match self.target.get() {
            Some(target) => target,
            None => {
                let unable = |message| ChartFailure::Unable(Problem::at(request.place.clone(), message));
                let found = (self.find)().map_err(unable)?;
                self.target.get_or_init(|| found)
            }
        };
        self.helm.render(tree, request, target, &self.stop)
    }
}

/// As `.Capabilities.APIVersions` names what is served.
fn apis(kinds: &Kinds) -> Vec<String> {
    let mut all = std::collections::BTreeSet::new();
    for (group, kind, info) in kinds.iter() {
        for version in &info.versions {
            let api = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
            all.insert(format!("{api}/{kind}"));
            all.insert(api);
        }
    }
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_named_as_charts_ask_for_it() {
        let all = apis(schema::builtin().kinds());
        for name in ["v1", "v1/Pod", "apps/v1", "apps/v1/Deployment", "networking.k8s.io/v1/Ingress"] {
            assert!(all.iter().any(|api| api == name), "{name}");
        }
    }
}
