//! Keeps the DriftReport of an Environment, on a task of its own: it is for people, and holds up no verdict.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::api::{DriftReportSpec, DriftRow, Environment, UnknownKind};
use crate::cluster::{CallError, DriftReports};
use crate::drift::Standing;
use crate::object::{EnvironmentName, Revision, chain};
use crate::report::drift_report;

/// A report is written at most this often.
const PAUSE: Duration = Duration::from_secs(10);
/// What comes with the first news is written with it: an edit, and that it was put back a moment later.
const GATHER: Duration = Duration::from_secs(1);
/// A report that cannot be written is tried again ever more rarely, at last after this long.
const LAST_RETRY: Duration = Duration::from_secs(320);

/// What is to be reported.
#[derive(Clone, PartialEq)]
pub(super) struct Told {
    pub environment: Arc<Environment>,
    pub standing: Arc<Standing>,
    pub unknown: Vec<UnknownKind>,
    pub revision: Option<Revision>,
}

/// Takes where the drift of one environment stands.
pub(super) struct ReportKeeper {
    told: watch::Sender<Option<Told>>,
    _task: AbortOnDropHandle<()>,
}

impl ReportKeeper {
    pub fn new(reports: DriftReports, name: EnvironmentName) -> Self {
        let (sender, told) = watch::channel(None);
        Self { told: sender, _task: AbortOnDropHandle::new(tokio::spawn(keep(reports, name, told))) }
    }

    pub fn tell(&self, told: Told) {
        self.told.send_if_modified(|known| {
            let is_same = known.as_ref().is_some_and(|known| {
                (&known.standing, &known.unknown, &known.revision)
                    == (&told.standing, &told.unknown, &told.revision)
                    && known.environment.uid() == told.environment.uid()
            });
            *known = Some(told);
            !is_same
        });
    }
}

/// What stands in the cluster.
struct Written {
    uid: Option<String>,
    /// Unknown where what stands there is not for certain what we wrote.
    version: Option<String>,
    spec: DriftReportSpec,
    /// What an earlier agent said was put back.
    before: Vec<DriftRow>,
}

async fn keep(reports: DriftReports, name: EnvironmentName, mut told: watch::Receiver<Option<Told>>) {
    let mut written: Option<Written> = None;
    let mut due = Instant::now();
    let mut pause = PAUSE;
    while told.changed().await.is_ok() {
        loop {
            sleep(GATHER).await;
            sleep_until(due).await;
            let Some(newest) = told.borrow_and_update().clone() else { break };
            match round(&reports, &name, &newest, &mut written).await {
                Ok(is_new) => {
                    pause = PAUSE;
                    if is_new {
                        due = Instant::now() + PAUSE;
                    }
                    break;
                }
                Err(error) => {
                    tracing::warn!(environment = %name, error = %chain(&error), "writing the DriftReport failed");
                    due = Instant::now() + pause;
                    pause = (pause * 2).min(LAST_RETRY);
                }
            }
        }
    }
}

/// Writes what is new; says whether anything was.
async fn round(
    reports: &DriftReports,
    name: &EnvironmentName,
    told: &Told,
    written: &mut Option<Written>,
) -> Result<bool, CallError> {
    let environment = &told.environment;
    if environment.metadata.deletion_timestamp.is_some() {
        return Ok(false); // It goes with its Environment.
    }
    let uid = environment.uid();
    let known = match written {
        Some(known) if known.uid == uid => known,
        unknown => {
            let found = reports.read(environment).await?;
            let (version, spec) =
                found.map_or_else(Default::default, |found| (Some(found.version), found.spec));
            let before = spec.put_back.clone();
            unknown.insert(Written { uid, version, spec, before })
        }
    };
    let mut spec = drift_report(name, &told.standing, &told.unknown, told.revision.as_ref(), &known.before);
    spec.changed.clone_from(&known.spec.changed);
    if known.version.is_some() && says_the_same(&spec, &known.spec) {
        return Ok(false);
    }
    let now = jiff::Timestamp::now();
    spec.changed = Some(now.round(jiff::Unit::Second).unwrap_or(now).to_string());
    // Where it fails, whether it was written is not known.
    let version = match known.version.take() {
        Some(version) => match reports.write(environment, &spec, Some(&version)).await {
            Err(error) if error.status().is_some() => reports.write(environment, &spec, None).await?,
            version => version?,
        },
        None => reports.write(environment, &spec, None).await?,
    };
    known.version = Some(version).filter(|version| !version.is_empty());
    known.spec = spec;
    Ok(true)
}

/// Whether there is nothing to write. A commit alone is no news: it is written with what is.
fn says_the_same(new: &DriftReportSpec, old: &DriftReportSpec) -> bool {
    let with = DriftReportSpec { revision: old.revision.clone(), ..new.clone() };
    with == *old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_alone_is_not_written() {
        let old = DriftReportSpec { revision: Some("a".into()), ..DriftReportSpec::default() };
        let mut new = DriftReportSpec { revision: Some("b".into()), ..DriftReportSpec::default() };
        assert!(says_the_same(&new, &old));
        new.counts.open = 1;
        assert!(!says_the_same(&new, &old));
    }
}
