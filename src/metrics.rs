//! What Prometheus is told. One vocabulary: the reasons of Events are the labels here.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct EventLabels {
    environment: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct EnvironmentLabels {
    environment: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct VerbLabels {
    verb: &'static str,
}

pub struct Metrics {
    registry: Registry,
    events: Family<EventLabels, Counter>,
    panics: Family<EnvironmentLabels, Counter>,
    ready: Family<EnvironmentLabels, Gauge>,
    requests: Family<VerbLabels, Gauge<f64, AtomicU64>>,
    objects: Gauge,
    watches: Gauge,
}

/// How often the API server was asked since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requests {
    pub reads: u64,
    pub dry_runs: u64,
    pub writes: u64,
    pub retries: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        let (events, panics, ready, requests) = (
            Family::default(),
            Family::default(),
            Family::default(),
            Family::<VerbLabels, Gauge<f64, AtomicU64>>::default(),
        );
        let (objects, watches) = (Gauge::default(), Gauge::default());
        let mut registry = Registry::with_prefix("fairlead");
        registry.register(
            "events",
            "What happened to environments, by the reason of the Event",
            events.clone(),
        );
        registry.register("panics", "Reconciles that panicked and were begun anew", panics.clone());
        registry.register("environment_ready", "1 where all apps run what git says", ready.clone());
        registry.register(
            "api_requests_total",
            "Requests to the API server since the start",
            requests.clone(),
        );
        registry.register("index_objects", "Objects in the index", objects.clone());
        registry.register("index_watches", "Kinds that are watched", watches.clone());
        Self { registry, events, panics, ready, requests, objects, watches }
    }
}

impl Metrics {
    pub fn event(&self, environment: &str, reason: &str) {
        let labels = EventLabels { environment: environment.to_owned(), reason: reason.to_owned() };
        self.events.get_or_create(&labels).inc();
    }

    pub fn panicked(&self, environment: &str) {
        self.panics.get_or_create(&EnvironmentLabels { environment: environment.to_owned() }).inc();
    }

    pub fn ready(&self, environment: &str, ready: bool) {
        let labels = EnvironmentLabels { environment: environment.to_owned() };
        self.ready.get_or_create(&labels).set(i64::from(ready));
    }

    pub fn forget(&self, environment: &str) {
        self.ready.remove(&EnvironmentLabels { environment: environment.to_owned() });
    }

    /// The text that Prometheus scrapes.
    pub fn scrape(&self, requests: Requests, index: (usize, usize)) -> Result<String, std::fmt::Error> {
        let asked = [
            ("read", requests.reads),
            ("dry_run", requests.dry_runs),
            ("write", requests.writes),
            ("retry", requests.retries),
        ];
        for (verb, count) in asked {
            self.requests.get_or_create(&VerbLabels { verb }).set(count as f64);
        }
        self.objects.set(i64::try_from(index.0).unwrap_or(i64::MAX));
        self.watches.set(i64::try_from(index.1).unwrap_or(i64::MAX));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_scraped() {
        let metrics = Metrics::default();
        metrics.event("dev", "RolledOut");
        metrics.ready("dev", true);
        let text = metrics.scrape(Requests { writes: 3, ..Requests::default() }, (10, 2)).unwrap();
        assert!(text.contains("fairlead_events_total{environment=\"dev\",reason=\"RolledOut\"} 1"), "{text}");
        assert!(text.contains("fairlead_api_requests_total{verb=\"write\"} 3"), "{text}");
        assert!(text.contains("fairlead_environment_ready{environment=\"dev\"} 1"), "{text}");
    }
}
