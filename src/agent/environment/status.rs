//! Writes the status of an Environment: by what differs from what was written last, at most once a second, and a verdict at
//! once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::pages::{PageKeeper, Wanted};
use super::{Report, Shared};
use crate::api::{
    AppDetails, AppPhase, AppStatus, Condition, ConditionStatus, Environment, EnvironmentStatus, names,
};
use crate::cluster::CallError;
use crate::object::chain;
use crate::report::{
    Body, Overview, Sketch, bounded, conditions, overview, secrets, secrets_condition, summary,
    verified_condition, whole,
};

/// At most one status a second is written, but for the first after a rest, and for a verdict.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// A status that cannot be written is tried again ever more rarely, at last every 32 s.
const STATUS_DOUBLINGS: u32 = 5;
/// Bytes of a request's name. Ours are far shorter, and whoever leaves a longer one is not answered.
const REQUEST: usize = 256;

pub(super) struct StatusWriter<'a> {
    shared: &'a Shared,
    pages: PageKeeper,
    /// What stands there, as far as we know.
    written: Option<Written>,
    /// What was looked at last and has nothing new to be written.
    settled: Option<(Option<String>, Option<i64>, Arc<Report>)>,
    /// How often in a row writing it failed.
    unwritten: u32,
    /// When the next one may be written.
    due: Option<Instant>,
}

/// What stands in a status.
struct Written {
    uid: Option<String>,
    /// Unknown where what stands there is not for certain what we wrote.
    version: Option<String>,
    sketch: Sketch,
    conditions: Vec<Condition>,
    verdict: Verdict,
    is_paged: bool,
}

/// What a person waits to be told: that all is well, and which apps are stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    is_ready: bool,
    stuck: Vec<String>,
}

impl<'a> StatusWriter<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        let pages = PageKeeper::new(shared.context.environments.pages());
        Self { shared, pages, written: None, settled: None, unwritten: 0, due: None }
    }

    /// Writes where things stand, where that is new and its time has come; says when to look again.
    pub async fn write_if_new(
        &mut self,
        environment: &Arc<Environment>,
        report: Option<&Arc<Report>>,
    ) -> Option<Instant> {
        let report = report?;
        let (uid, generation) = (environment.uid(), environment.metadata.generation);
        if self
            .settled
            .as_ref()
            .is_some_and(|(of, at, told)| *of == uid && *at == generation && Arc::ptr_eq(told, report))
        {
            return None;
        }
        if self.written.as_ref().is_none_or(|written| written.uid != uid) {
            self.written = Some(Written::found(environment));
        }
        let written = self.written.as_ref()?;
        let told =
            Timestamp::now().round(jiff::Unit::Second).map_or_else(|_| String::new(), |now| now.to_string());
        let mut conditions = conditions(
            &report.apps,
            report.prune.as_ref(),
            report.trouble.as_ref(),
            &written.conditions,
            generation,
            &told,
        );
        conditions.extend(secrets_condition(&report.secrets, &written.conditions, generation, &told));
        conditions.extend(verified_condition(&report.unknown, &written.conditions, generation, &told));
        let verdict = Verdict::of(&conditions, &report.apps);
        let now = Instant::now();
        // A verdict is told at once.
        let at_once = self.unwritten == 0 && verdict != written.verdict;
        if let Some(due) = self.due.filter(|due| now < *due && !at_once) {
            return Some(due);
        }
        let had = written.is_paged;
        let rows = match report.knows_apps {
            true => Rows::of(&report.apps, had),
            false => Rows::found(environment),
        };
        let is_ready = verdict.is_ready;
        let status = EnvironmentStatus {
            observed_generation: generation,
            short_revision: report.revision.as_ref().map(|revision| revision.short().to_owned()),
            revision: report.revision.clone(),
            request: report.request.clone().filter(|request| request.len() <= REQUEST),
            summary: rows.summary,
            conditions,
            prune: report.prune.clone().map(bounded),
            unlisted: rows.unlisted,
            pages: rows.count,
            apps: Vec::new(),
            secrets: secrets(&report.secrets),
            region: report.region.status.as_deref().cloned(),
        };
        let result = self.write(environment, &status, &rows.listed, verdict).await;
        if let Some(written) = &mut self.written
            && result.is_ok()
        {
            written.is_paged = status.pages.is_some();
            if let Some(pages) = rows.pages {
                self.pages.keep(Wanted {
                    environment: Some(environment.clone()),
                    pages: Arc::new(pages),
                    had,
                });
            }
            self.settled = Some((uid, generation, report.clone()));
        }
        let (context, name) = (&self.shared.context, self.shared.name.as_str());
        match result {
            Ok(is_new) => {
                self.unwritten = 0;
                context.metrics.ready(name, is_ready);
                let aside = report.apps.iter().filter(|app| app.quarantined.is_some());
                context.metrics.quarantined(name, aside.map(|app| app.name.to_string()).collect());
                if !is_new {
                    return None;
                }
            }
            Err(error) => {
                self.unwritten = (self.unwritten + 1).min(STATUS_DOUBLINGS);
                tracing::warn!(environment = name, error = %chain(&error), "writing the status failed");
            }
        }
        let due = now + STATUS_PAUSE * (1 << self.unwritten);
        self.due = Some(due);
        (self.unwritten > 0).then_some(due)
    }

    /// Writes what differs; says whether anything did.
    async fn write(
        &mut self,
        environment: &Environment,
        status: &EnvironmentStatus,
        apps: &[AppStatus],
        verdict: Verdict,
    ) -> Result<bool, CallError> {
        let Some(written) = &mut self.written else { return Ok(false) };
        let body = body(status, apps);
        let sketch = Sketch::of(&body);
        if sketch == written.sketch && written.version.is_some() {
            return Ok(false);
        }
        let environments = &self.shared.context.environments;
        let version = match written.version.take() {
            Some(version) => {
                let steps = written.sketch.patch(&sketch, &body);
                match environments.patch_status(environment, steps, Some(&version)).await {
                    // Somebody else wrote on it since, or what stands there is not what we thought: all of it anew.
                    Err(error) if error.status().is_some() => {
                        environments.patch_status(environment, whole(&body), None).await?
                    }
                    version => version?,
                }
            }
            None => environments.patch_status(environment, whole(&body), None).await?,
        };
        written.version = Some(version).filter(|version| !version.is_empty());
        (written.sketch, written.verdict) = (sketch, verdict);
        written.conditions.clone_from(&status.conditions);
        Ok(true)
    }
}

/// What is told of the apps.
struct Rows {
    listed: Vec<AppStatus>,
    summary: Option<String>,
    unlisted: Option<u32>,
    count: Option<u32>,
    /// What is to stand in the pages; `None` where that is not known, and they stay as they are.
    pages: Option<Vec<Vec<AppDetails>>>,
}

impl Rows {
    fn of(apps: &[AppStatus], is_paged: bool) -> Self {
        let Overview { listed, unlisted, pages } = overview(apps, is_paged);
        Self {
            listed,
            summary: Some(summary(apps)),
            unlisted: (unlisted > 0).then_some(unlisted),
            count: (!pages.is_empty()).then(|| u32::try_from(pages.len()).unwrap_or(u32::MAX)),
            pages: Some(pages),
        }
    }

    /// What stands there: after a start it is not known at once which apps there are.
    fn found(environment: &Environment) -> Self {
        let EnvironmentStatus { apps, summary, unlisted, pages, .. } =
            environment.status.clone().unwrap_or_default();
        Self { listed: apps, summary, unlisted, count: pages, pages: None }
    }
}

impl Written {
    /// What an Environment says that somebody else wrote, or we before a restart.
    fn found(environment: &Environment) -> Self {
        let status = environment.status.clone();
        // Steps are relative to something: the first status is written as a whole.
        let version = status.is_some().then(|| environment.resource_version()).flatten();
        let mut status = status.unwrap_or_default();
        let apps = std::mem::take(&mut status.apps);
        Self {
            uid: environment.uid(),
            version,
            sketch: Sketch::of(&body(&status, &apps)),
            verdict: Verdict::of(&status.conditions, &apps),
            is_paged: status.pages.is_some(),
            conditions: status.conditions,
        }
    }
}

fn body<'a>(status: &EnvironmentStatus, apps: &'a [AppStatus]) -> Body<'a, AppStatus> {
    let fields = match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    Body { at: "/status", fields, rows: apps }
}

impl Verdict {
    fn of(conditions: &[Condition], apps: &[AppStatus]) -> Self {
        let ready = conditions.iter().find(|condition| condition.type_ == names::READY);
        let stuck = apps.iter().filter(|app| {
            matches!(
                app.phase,
                AppPhase::Refused | AppPhase::Halted | AppPhase::Restored | AppPhase::RolledBack
            )
        });
        Self {
            is_ready: ready.is_some_and(|ready| ready.status == ConditionStatus::True),
            stuck: stuck.map(|app| app.name.to_string()).collect(),
        }
    }
}
