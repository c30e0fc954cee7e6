//! Has a Job of the team measure how far the data of this region are behind: all the time in a standby, and anew once a move is
//! about to promote them, for what was measured before the old region's writers stopped says nothing of what they wrote since.

use std::future::pending;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::preflights::Found;
use crate::region::{Epoch, Lag, Moment, ProbeSettings, RegionStep, Run, Settings};

/// A move that waits for the data has them measured so often.
const URGENT: Duration = Duration::from_secs(3);
/// What was measured so long ago is not known now, or twice the pause between two measurements ago where that is longer.
const KNOWN_FOR: Duration = Duration::from_secs(300);

#[derive(Default)]
pub struct Probe {
    under_way: Option<(Moment, AbortOnDropHandle<Result<Duration, String>>)>,
    last: Option<Measured>,
    /// The move that is about to promote the data, and since when.
    asked: Option<(Epoch, u32, Moment)>,
}

struct Measured {
    began: Moment,
    found: Result<Duration, String>,
}

impl Probe {
    /// Notes which move is about to promote the data, if one is. One that is tried again asks anew.
    pub fn hear(&mut self, run: Option<&Run>, now: Moment) {
        let at_data =
            run.filter(|run| !run.is_ended() && run.step() == RegionStep::Data && run.loss.is_none());
        let attempt = at_data.and_then(|run| {
            let (_, progress) = run.steps().find(|(step, _)| *step == RegionStep::Data)?;
            Some((run.epoch, progress.attempt))
        });
        let known = self.asked.map(|(epoch, attempt, _)| (epoch, attempt));
        if attempt != known {
            self.asked = attempt.map(|(epoch, attempt)| (epoch, attempt, now));
        }
    }

    /// Whether it is time to measure.
    pub fn is_due(&self, settings: &ProbeSettings, now: Moment) -> bool {
        if self.under_way.is_some() {
            return false;
        }
        match (&self.last, self.asked) {
            (None, _) => true,
            (Some(last), Some((.., since))) => last.began < since || now >= last.began + URGENT,
            (Some(last), None) => now >= last.began + settings.every,
        }
    }

    pub fn begin(&mut self, measuring: JoinHandle<Result<Duration, String>>, now: Moment) {
        self.under_way = Some((now, AbortOnDropHandle::new(measuring)));
    }

    /// Until a measurement has ended.
    pub async fn ended(&mut self) {
        let Some((began, measuring)) = &mut self.under_way else { return pending().await };
        let found = measuring.await.unwrap_or_else(|error| Err(format!("what measures panicked: {error}")));
        self.last = Some(Measured { began: *began, found });
        self.under_way = None;
    }

    /// What a move may rely on: only what was measured since it asked.
    pub fn lag(&self) -> Lag {
        let since = self.asked.map(|(.., since)| since);
        match self.last.as_ref().filter(|last| since.is_some_and(|since| last.began >= since)) {
            Some(Measured { found: Ok(lag), .. }) => Lag::By(*lag),
            Some(Measured { found: Err(_), .. }) => Lag::Unknown,
            None => Lag::Awaited,
        }
    }

    /// How far the data were behind at the last measurement.
    pub fn measured(&self) -> Option<Duration> {
        self.last.as_ref().and_then(|last| last.found.as_ref().ok()).copied()
    }

    /// Whether the data here are young enough for a move to begin.
    pub fn look(&self, settings: &Settings, probe: &ProbeSettings, now: Moment) -> Found {
        let most = settings.objectives.rpo.or(Some(settings.max_data_loss).filter(|most| !most.is_zero()));
        let known_for = KNOWN_FOR.max(probe.every * 2);
        match &self.last {
            None => Found::Missing("how far the data here are behind was not measured yet".to_owned()),
            Some(Measured { found: Err(why), .. }) => {
                Found::Missing(format!("how far the data here are behind is not known: {why}"))
            }
            Some(last) if now >= last.began + known_for => Found::Missing(format!(
                "how far the data here are behind was not measured in the last {} s",
                known_for.as_secs()
            )),
            Some(Measured { found: Ok(lag), .. }) => match most.filter(|most| lag > most) {
                // How much it is by now stands beside it; here it would be another text every minute.
                Some(most) => Found::Missing(format!(
                    "the data here are more than {} s behind: see to the replica, or to the last backup",
                    most.as_secs()
                )),
                None => Found::Ready,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RegionSpec;

    fn settings(more: &str) -> Settings {
        let text = format!(
            r#"{{"active": "a", "standby": ["b"], "readiness": {{"data": {{"job": "x.yaml"}}}}{more}}}"#
        );
        serde_json::from_str::<RegionSpec>(&text).unwrap().settings()
    }

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    fn measured(began: u64, found: Result<u64, &str>) -> Option<Measured> {
        Some(Measured { began: at(began), found: found.map(Duration::from_secs).map_err(str::to_owned) })
    }

    #[test]
    fn it_measures_every_minute_and_anew_for_a_move() {
        let settings = settings("");
        let probing = settings.data_probe.clone().unwrap();
        let mut probe = Probe::default();
        assert!(probe.is_due(&probing, at(0)) && probe.lag() == Lag::Awaited);
        probe.last = measured(100, Ok(7));
        assert!(!probe.is_due(&probing, at(159)) && probe.is_due(&probing, at(160)));
        probe.asked = Some((Epoch(2), 1, at(120)));
        assert_eq!(
            probe.lag(),
            Lag::Awaited,
            "what was measured before says nothing of what was written since"
        );
        assert!(probe.is_due(&probing, at(120)));
        probe.last = measured(121, Ok(9));
        assert_eq!(probe.lag(), Lag::By(at(9)));
        assert!(!probe.is_due(&probing, at(123)) && probe.is_due(&probing, at(124)));
        probe.last = measured(125, Err("no"));
        assert_eq!(probe.lag(), Lag::Unknown);
        probe.hear(None, at(130));
        assert_eq!(probe.asked, None);
    }

    #[test]
    fn data_that_are_too_old_or_not_measured_are_missing() {
        let found = |more: &str, last: Option<Measured>, now: u64| {
            let settings = settings(more);
            let probe = Probe { last, ..Probe::default() };
            match probe.look(&settings, settings.data_probe.as_ref().unwrap(), at(now)) {
                Found::Missing(why) => why,
                found => format!("{found:?}"),
            }
        };
        assert_eq!(found("", measured(0, Ok(900)), 10), "Ready", "nothing says how old they may be");
        let rpo = r#", "objectives": {"rpo": "1m"}, "maxDataLoss": "5m""#;
        assert_eq!(found(rpo, measured(0, Ok(60)), 10), "Ready");
        assert!(found(rpo, measured(0, Ok(61)), 10).contains("more than 60 s behind"));
        assert!(found(r#", "maxDataLoss": "5m""#, measured(0, Ok(301)), 10).contains("more than 300 s"));
        assert!(found("", None, 10).contains("not measured yet"));
        assert!(found("", measured(0, Err("it failed")), 10).contains("it failed"));
        assert!(found("", measured(0, Ok(0)), 300).contains("not measured in the last 300 s"));
    }
}
