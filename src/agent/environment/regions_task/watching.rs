//! What a standby has Jobs of the team look at all the time: how far its data are behind, and whether the active region is lost.

use jiff::Timestamp;

use super::Region;
use crate::agent::regions::{self, Found, JobRun, JobWith, Purpose};
use crate::cluster::uptime;
use crate::region::{Role, Run};

impl Region<'_> {
    /// Has it measured how far the data here are behind, where it is time for that, and says what is known of it.
    pub(super) fn measure(&mut self, time: Timestamp) -> Option<Found> {
        let settings = self.desk.settings()?;
        let (probing, now) = (settings.data_probe.as_ref()?, uptime());
        self.probe.hear(self.desk.state().run(), now);
        // What writes is behind nothing.
        if self.desk.state().serving().is_none() && self.probe.is_due(probing, now) {
            let run = self.probing(&probing.job, "what measures the data", time);
            let with = JobWith { pass: None, ..self.job_with() };
            self.probe.begin(tokio::spawn(regions::measure(with, run)), now);
        }
        Some(self.probe.look(settings, probing, now))
    }

    /// A Job that looks at something and changes nothing.
    fn probing(&self, file: &str, what: &'static str, time: Timestamp) -> JobRun {
        let from = self.desk.fence.record().map(|record| record.holder.clone());
        let purpose = Purpose::Probe { at: time.as_second(), what };
        JobRun { file: file.to_owned(), purpose, from, to: self.desk.me.clone() }
    }

    /// Looks whether the active region is lost, where the environment may move here by itself.
    pub(super) fn watch(&mut self, time: Timestamp) {
        let (now, state) = (uptime(), self.desk.state());
        let is_idle = state.serving().is_none() && state.run().is_none_or(Run::is_ended);
        let may = self.desk.settings().and_then(|known| known.automatic.clone());
        let is_standby = matches!(self.desk.role(), Some(Role::Standby(_)));
        let Some(automatic) = may.filter(|_| is_idle && is_standby) else { return self.signals.forget() };
        for file in self.signals.due(&automatic, now) {
            let run = self.probing(&file, "what looks at the active region", time);
            let with = JobWith { pass: None, ..self.job_with() };
            self.signals.begin(&file, tokio::spawn(regions::observe(with, run)), now);
        }
        self.desk.consider(&self.signals, now, time);
    }
}
