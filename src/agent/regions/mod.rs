//! The regions of environments: in which one this agent is, where they meet, and what keeps writers from starting where the
//! region does not hold. What is decided is decided in `region`; here is what acts.
//!
//! | file | does |
//! | --- | --- |
//! | `address` | reads where the shared place is |
//! | `asking` | asks the shared place |
//! | `gate` | lets a write of a writer through, or not |
//! | `stopping` | stops writers, and sees that none is left |
//! | `desk` | what one environment's region knows and decides from |
//! | `step` | does a step of a re-point |
//! | `jobs` | runs the Job that a team declared for one |
//! | `looking` | runs the Jobs that a team declared to look at something |
//! | `probe` | has measured how far the data here are behind |
//! | `signals` | has seen since when the active region is lost, where an environment may move by itself |
//! | `preflights` | what was seen of whether a move to this region could begin |
//! | `surroundings` | reads what objects take for granted in the cluster, such as classes |
//! | `seen` | what follows git is told, and what came of it |
//! | `told` | what happened, for people |

mod address;
mod asking;
mod desk;
mod gate;
mod jobs;
mod looking;
mod preflights;
mod probe;
mod seen;
mod signals;
mod step;
mod stopping;
mod surroundings;
mod told;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};

pub use address::{NoSharedPlace, SharedPlaceUrl};
pub use asking::Asking;
pub use desk::{Desk, Heard};
pub use gate::{Pass, WriterGate};
pub use jobs::{JobRun, JobWith, Purpose, run as run_job};
pub use looking::{measure, observe};
pub use preflights::{Found, Trial, look, try_out};
pub use probe::Probe;
pub use seen::{Orders, Seen, Standing};
pub use signals::Signals;
pub use step::Stepper;
pub use stopping::{StopWith, Stopping};
pub use surroundings::{missing, needs};
pub use told::{fact, gauges, kept, status};

use super::secrets::Lazy;
use super::shared_place::SharedPlace;
use crate::cluster::{LeasePlace, uptime};
use crate::config::RegionsConfig;
use crate::http;
use crate::object::{EnvironmentName, chain};
use crate::region::{Epoch, Moment, NotARegion, RegionName, TIMING, Writers};

/// The epoch at which writers may run, and until when, where there is an end; nothing where they may not.
type Leave = Option<(Epoch, Option<Moment>)>;

/// In which region this agent is, and where it meets the others.
pub struct Regions {
    pub me: RegionName,
    place: SharedPlaceUrl,
    aws: Lazy,
    /// How long the writers of environments may run, for what guards them.
    leaves: Mutex<BTreeMap<String, Leave>>,
}

#[derive(Debug, thiserror::Error)]
pub enum RegionsError {
    #[error(transparent)]
    Name(#[from] NotARegion),
    #[error(transparent)]
    Place(#[from] NoSharedPlace),
}

impl Regions {
    /// `None` where the agent is in no region: then environments run as if there were one.
    pub fn new(config: &RegionsConfig, aws: Lazy) -> Result<Option<Self>, RegionsError> {
        let (Some(region), Some(place)) = (&config.region, &config.shared_place) else { return Ok(None) };
        Ok(Some(Self { me: RegionName::new(region)?, place: place.parse()?, aws, leaves: Mutex::default() }))
    }

    /// Takes what becomes of the writers of an environment. What runs on keeps the end that it was told.
    pub fn leave(&self, environment: &str, writers: Writers) {
        let leave = match writers {
            Writers::Run { epoch, until } => Some((epoch, until)),
            Writers::Stop => None,
            Writers::Keep => return,
        };
        self.leaves().insert(environment.to_owned(), leave);
    }

    /// Another replica looks after an environment.
    pub fn forget(&self, environment: &str) {
        self.leaves().remove(environment);
    }

    /// Whether writers of an environment may run, and for how long from now on. No answer is good for longer than the fence is:
    /// who asks has to ask again.
    pub fn left(&self, environment: &str) -> http::Writers {
        let Some(leave) = self.leaves().get(environment).copied() else { return http::Writers::NotKnown };
        let Some((epoch, until)) = leave else { return http::Writers::MayNot };
        let left = until.map_or(TIMING.fence, |until| until.saturating_sub(uptime())).min(TIMING.fence);
        match u64::try_from(left.as_millis()).unwrap_or_default() {
            0 => http::Writers::MayNot,
            milliseconds => http::Writers::MayRun { epoch: epoch.0, milliseconds },
        }
    }

    fn leaves(&self) -> MutexGuard<'_, BTreeMap<String, Leave>> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shared place of an environment. Calls are made once each: what came of one that was lost is the fence's to find out.
    pub async fn shared_place(&self, environment: &EnvironmentName) -> Result<SharedPlace, String> {
        let within: Duration = TIMING.attempt;
        if let Some(address) = self.place.in_aws(environment.as_str()) {
            let place = self.aws.shared_place(address, within).await.map_err(|error| chain(&error))?;
            return Ok(SharedPlace::Aws(place));
        }
        let SharedPlaceUrl::Lease { namespace, kubeconfig } = &self.place else {
            return Err("it is nowhere".to_owned());
        };
        let read = Kubeconfig::read_from(kubeconfig).map_err(|error| chain(&error))?;
        let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|error| chain(&error))?;
        config.default_retry = false;
        let client = kube::Client::try_from(config).map_err(|error| chain(&error))?;
        Ok(SharedPlace::Lease(Box::new(LeasePlace::new(client, namespace, environment.as_str(), within))))
    }
}
