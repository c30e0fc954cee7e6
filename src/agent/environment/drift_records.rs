//! Tells what is known of drift: to the history, metrics, and the DriftReport; with who it was, where an audit log says so.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::drift_report::{ReportKeeper, Told};
use super::{Report, Shared};
use crate::api::Environment;
use crate::delivery::{Fact, What};
use crate::drift::{Drifted, Observation, Standing, records};
use crate::object::{DriftAction, DriftRecord, Revision};

/// What of the drift of one environment was told.
pub(super) struct DriftTeller<'a> {
    shared: &'a Shared,
    standing: Arc<Standing>,
    keeper: ReportKeeper,
    /// What an audit log told after the record was written.
    named: Option<mpsc::Receiver<DriftRecord>>,
    /// What was told last.
    told: Option<Arc<Report>>,
}

impl<'a> DriftTeller<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        let reports = shared.context.environments.drift_reports();
        Self {
            shared,
            standing: Arc::default(),
            keeper: ReportKeeper::new(reports, shared.name.clone()),
            named: shared.context.outlets.audit.as_ref().map(|trail| trail.listen(&shared.name)),
            told: None,
        }
    }

    /// Records what a fact says of drift. It is handed over before anything of it is put back, and never waited for.
    pub fn keep(&mut self, fact: &Fact, revision: Option<&Revision>) {
        let now = Timestamp::now();
        let seen = |action, over| Observation {
            environment: self.shared.name.clone(),
            app: fact.app.clone(),
            revision: revision.cloned(),
            action,
            at: now,
            over,
        };
        let (objects, seen) = match &fact.what {
            What::Drifted { objects } => (objects, seen(DriftAction::Healed, None)),
            What::DriftReported { objects } => (objects, seen(DriftAction::Reported, None)),
            What::DriftOver { objects, since, end } => (objects, seen(end.action(), Some((*since, *end)))),
            _ => return,
        };
        for object in objects {
            let found = records(std::slice::from_ref(object), &seen, &mut || fastrand::u128(..));
            for (record, part) in found.into_iter().zip(object.parts()) {
                self.record(record, object, part.by.into_iter().next());
            }
        }
    }

    fn record(
        &mut self,
        mut record: DriftRecord,
        object: &Drifted,
        holder: Option<crate::object::FieldHolder>,
    ) {
        let context = &self.shared.context;
        context.metrics.drift.count(&record);
        if let Some(trail) = context.outlets.audit.as_ref().filter(|_| record.closed.is_none()) {
            record.principal = trail.ask(object, holder, &record).principal();
        }
        self.tell(record);
    }

    fn tell(&mut self, record: DriftRecord) {
        Arc::make_mut(&mut self.standing).lately.take(&record);
        if let Some(history) = &self.shared.context.outlets.history {
            history.tell_drift(record);
        }
        self.told = None;
    }

    /// Takes where the environment stands, and has it reported where that is news.
    pub fn stands(&mut self, environment: &Arc<Environment>, report: Option<&Arc<Report>>) {
        let Some(report) = report.filter(|report| report.knows_apps) else { return };
        if self.told.as_ref().is_some_and(|told| Arc::ptr_eq(told, report)) {
            return;
        }
        let (open, fights) = &report.drift;
        if self.standing.open != *open || self.standing.fights != *fights {
            let standing = Arc::make_mut(&mut self.standing);
            (standing.open, standing.fights) = (open.clone(), fights.clone());
        }
        let counts = open.iter().map(|open| (open.action, open.drifted.fields.len().max(1)));
        let (name, metrics) = (self.shared.name.as_str(), &self.shared.context.metrics);
        metrics.drift.stand(name, counts, fights.len(), report.unknown.len());
        self.keeper.tell(Told {
            environment: environment.clone(),
            standing: self.standing.clone(),
            unknown: report.unknown.clone(),
            revision: report.revision.clone(),
        });
        self.told = Some(report.clone());
    }

    /// Waits until more is known of a record, and tells it; for ever where nobody says more.
    pub async fn named(&mut self) {
        let record = match &mut self.named {
            Some(named) => named.recv().await,
            None => None,
        };
        match record {
            Some(record) => self.tell(record),
            None => std::future::pending().await,
        }
    }
}
