//! What Prometheus is told of the regions of environments. Labels are environments alone.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::EnvironmentLabels;

/// Where an environment stands in the region of this cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionGauges {
    /// Writers may run here.
    pub writes: bool,
    /// The epoch that is meant.
    pub epoch: u64,
    /// A re-point is under way here, and whether it halted.
    pub moving: bool,
    pub halted: bool,
    /// How many of the things that a move to this region needs are missing.
    pub missing: usize,
    /// The shared place was of use the last time.
    pub reached: bool,
    /// How many seconds the data here were behind when that was measured last.
    pub data_lag: Option<u64>,
}

#[derive(Default)]
pub struct RegionMetrics {
    writes: Family<EnvironmentLabels, Gauge>,
    epoch: Family<EnvironmentLabels, Gauge>,
    moving: Family<EnvironmentLabels, Gauge>,
    halted: Family<EnvironmentLabels, Gauge>,
    missing: Family<EnvironmentLabels, Gauge>,
    reached: Family<EnvironmentLabels, Gauge>,
    data_lag: Family<EnvironmentLabels, Gauge>,
}

impl RegionMetrics {
    pub fn new(registry: &mut Registry) -> Self {
        let made = Self::default();
        for (name, help, gauge) in [
            ("region_writes", "1 where writers may run in this region", &made.writes),
            ("region_epoch", "The epoch at which a region is meant to be active", &made.epoch),
            ("region_moving", "1 while a re-point to this region is under way", &made.moving),
            ("region_halted", "1 while a re-point to this region waits for a person", &made.halted),
            ("region_missing", "What a move to this standby needs and is not there", &made.missing),
            ("region_place_reached", "1 where the shared place answered the last time", &made.reached),
            (
                "region_data_lag_seconds",
                "How far the data of a standby were behind when measured last",
                &made.data_lag,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        made
    }

    pub fn stands(&self, environment: &str, now: RegionGauges) {
        let labels = EnvironmentLabels { environment: environment.to_owned() };
        let set = |gauge: &Family<EnvironmentLabels, Gauge>, value: i64| {
            gauge.get_or_create(&labels).set(value);
        };
        set(&self.writes, now.writes.into());
        set(&self.epoch, i64::try_from(now.epoch).unwrap_or(i64::MAX));
        set(&self.moving, now.moving.into());
        set(&self.halted, now.halted.into());
        set(&self.missing, i64::try_from(now.missing).unwrap_or(i64::MAX));
        set(&self.reached, now.reached.into());
        match now.data_lag {
            Some(lag) => set(&self.data_lag, i64::try_from(lag).unwrap_or(i64::MAX)),
            None => drop(self.data_lag.remove(&labels)),
        }
    }

    pub fn forget(&self, environment: &str) {
        let labels = EnvironmentLabels { environment: environment.to_owned() };
        let all = [&self.writes, &self.epoch, &self.moving, &self.halted, &self.missing, &self.reached];
        for gauge in all.into_iter().chain([&self.data_lag]) {
            gauge.remove(&labels);
        }
    }
}
