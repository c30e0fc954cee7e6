//! What Prometheus is told. One vocabulary: the reasons of Events are the labels here.

mod drift;
mod region;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use drift::DriftMetrics;
pub use region::{RegionGauges, RegionMetrics};

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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AppLabels {
    environment: String,
    app: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ProviderLabels {
    service: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

/// A kind of call to a provider of secrets: the service, the operation, how it ended, and how often it was made.
pub type ProviderCall = (&'static str, &'static str, &'static str, u64);

/// What is done beside the work, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    /// Records that the history took, how often it could not be written, and records that were given up.
    pub written: u64,
    pub failures: u64,
    pub lost: u64,
    /// Records that wait for the history to take them.
    pub waiting: u64,
    /// Notices that no channel took.
    pub unsent: u64,
    /// What the API server told by its audit log, and requests to the audit webhook that were refused.
    pub audited: u64,
    pub unaudited: u64,
}

pub struct Metrics {
    registry: Registry,
    aside: Family<AppLabels, Gauge>,
    shown: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// What is told of drift.
    pub drift: DriftMetrics,
    /// What is told of regions.
    pub region: RegionMetrics,
    beside: [Gauge; 7],
    events: Family<EventLabels, Counter>,
    panics: Family<EnvironmentLabels, Counter>,
    ready: Family<EnvironmentLabels, Gauge>,
    owned: Family<EnvironmentLabels, Gauge>,
    epochs: Family<EnvironmentLabels, Gauge>,
    transitions: Counter,
    held: Gauge,
    requests: Family<VerbLabels, Gauge<f64, AtomicU64>>,
    objects: Gauge,
    watches: Gauge,
    provider_calls: Family<ProviderLabels, Gauge<f64, AtomicU64>>,
    provider_dollars: Gauge<f64, AtomicU64>,
}

/// How often the API server was asked since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requests {
    pub reads: u64,
    pub dry_runs: u64,
    pub writes: u64,
    pub own_writes: u64,
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
        let (owned, epochs) = (Family::default(), Family::default());
        let (transitions, held) = (Counter::default(), Gauge::default());
        let mut registry = Registry::with_prefix("fairlead");
        registry.register(
            "events",
            "What happened to environments, by the reason of the Event",
            events.clone(),
        );
        registry.register("panics", "Reconciles that panicked and were begun anew", panics.clone());
        registry.register("environment_ready", "1 where all apps run what git says", ready.clone());
        registry.register(
            "environment_owned",
            "1 for each environment that this replica looks after",
            owned.clone(),
        );
        registry.register(
            "environment_epoch",
            "The change of hands by which this replica has an environment",
            epochs.clone(),
        );
        registry.register(
            "lease_transitions",
            "Environments that this replica began or ceased to look after",
            transitions.clone(),
        );
        registry.register("lease_held", "1 while this replica's heartbeat is confirmed", held.clone());
        registry.register(
            "api_requests_total",
            "Requests to the API server since the start",
            requests.clone(),
        );
        let aside = Family::default();
        registry.register(
            "app_quarantined",
            "1 for each app that does not run what git says, because that failed or a person turned it down",
            aside.clone(),
        );
        let (provider_calls, provider_dollars) = (Family::default(), Gauge::default());
        registry.register(
            "secret_calls_total",
            "Calls to the provider of secrets since the start, every try counted",
            Family::clone(&provider_calls),
        );
        registry.register(
            "secret_dollars_a_month",
            "What the calls to the provider of secrets would cost in a month, by its list prices, in US dollars",
            Gauge::clone(&provider_dollars),
        );
        let beside: [Gauge; 7] = Default::default();
        let words = [
            ("history_written", "Records that were written into the history since the start"),
            ("history_failures", "How often writing the history failed since the start"),
            ("history_lost", "Records that the history never took"),
            ("history_waiting", "Records that wait for the history to take them"),
            ("notifications_lost", "Notices that no channel took"),
            ("audit_events", "Events of the API server's audit log that were taken since the start"),
            ("audit_refused", "Requests to the audit webhook that were refused since the start"),
        ];
        for ((name, help), gauge) in words.into_iter().zip(&beside) {
            registry.register(name, help, gauge.clone());
        }
        registry.register("index_objects", "Objects in the index", objects.clone());
        registry.register("index_watches", "Kinds that are watched", watches.clone());
        let shown = Mutex::default();
        let drift = DriftMetrics::new(&mut registry);
        let region = RegionMetrics::new(&mut registry);
        Self {
            drift,
            region,
            registry,
            aside,
            shown,
            beside,
            events,
            panics,
            ready,
            owned,
            epochs,
            transitions,
            held,
            requests,
            objects,
            watches,
            provider_calls,
            provider_dollars,
        }
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

    /// The apps of an environment that do not run what git says, by what was set aside.
    pub fn quarantined(&self, environment: &str, apps: BTreeSet<String>) {
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let labels = |app: &String| AppLabels { environment: environment.to_owned(), app: app.clone() };
        let before = shown.remove(environment).unwrap_or_default();
        for gone in before.difference(&apps) {
            self.aside.remove(&labels(gone));
        }
        for app in &apps {
            self.aside.get_or_create(&labels(app)).set(1);
        }
        if !apps.is_empty() {
            shown.insert(environment.to_owned(), apps);
        }
    }

    /// What was asked of the provider of secrets, and what that would cost in a month.
    pub fn provider(&self, calls: impl IntoIterator<Item = ProviderCall>, dollars_a_month: f64) {
        for (service, operation, outcome, count) in calls {
            let labels = ProviderLabels { service, operation, outcome };
            self.provider_calls.get_or_create(&labels).set(count as f64);
        }
        self.provider_dollars.set(dollars_a_month);
    }

    /// What is done beside the work.
    pub fn beside(&self, counts: Beside) {
        let Beside { written, failures, lost, waiting, unsent, audited, unaudited } = counts;
        let counts = [written, failures, lost, waiting, unsent, audited, unaudited];
        for (gauge, count) in self.beside.iter().zip(counts) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub fn forget(&self, environment: &str) {
        self.quarantined(environment, BTreeSet::new());
        self.drift.forget(environment);
        self.region.forget(environment);
        self.ready.remove(&EnvironmentLabels { environment: environment.to_owned() });
    }

    /// This replica begins to look after an environment.
    pub fn took(&self, environment: &str, epoch: u64) {
        let labels = EnvironmentLabels { environment: environment.to_owned() };
        self.owned.get_or_create(&labels).set(1);
        self.epochs.get_or_create(&labels).set(i64::try_from(epoch).unwrap_or(i64::MAX));
        self.transitions.inc();
    }

    /// This replica ceased to look after an environment.
    pub fn left(&self, environment: &str) {
        let labels = EnvironmentLabels { environment: environment.to_owned() };
        self.owned.remove(&labels);
        self.epochs.remove(&labels);
        self.transitions.inc();
        self.forget(environment);
    }

    pub fn held(&self, held: bool) {
        self.held.set(i64::from(held));
    }

    /// The text that Prometheus scrapes.
    pub fn scrape(&self, requests: Requests, index: (usize, usize)) -> Result<String, std::fmt::Error> {
        let asked = [
            ("read", requests.reads),
            ("dry_run", requests.dry_runs),
            ("write", requests.writes),
            ("own_write", requests.own_writes),
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
        metrics.took("dev", 7);
        let text = metrics.scrape(Requests { writes: 3, ..Requests::default() }, (10, 2)).unwrap();
        assert!(text.contains("fairlead_events_total{environment=\"dev\",reason=\"RolledOut\"} 1"), "{text}");
        assert!(text.contains("fairlead_api_requests_total{verb=\"write\"} 3"), "{text}");
        assert!(text.contains("fairlead_environment_ready{environment=\"dev\"} 1"), "{text}");
        assert!(text.contains("fairlead_environment_epoch{environment=\"dev\"} 7"), "{text}");
        metrics.quarantined("dev", BTreeSet::from(["web".to_owned(), "other".to_owned()]));
        metrics.quarantined("dev", BTreeSet::from(["web".to_owned()]));
        metrics.beside(Beside { lost: 2, ..Beside::default() });
        let text = metrics.scrape(Requests::default(), (10, 2)).unwrap();
        assert!(text.contains("fairlead_app_quarantined{environment=\"dev\",app=\"web\"} 1"), "{text}");
        assert!(!text.contains("app=\"other\""), "{text}");
        assert!(text.contains("fairlead_history_lost 2"), "{text}");
        metrics.provider([("secretsmanager", "GetSecretValue", "ok", 3)], 0.5);
        let text = metrics.scrape(Requests::default(), (10, 2)).unwrap();
        let line = "fairlead_secret_calls_total{service=\"secretsmanager\",operation=\"GetSecretValue\",outcome=\"ok\"} 3.0";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("fairlead_secret_dollars_a_month 0.5"), "{text}");
        metrics.left("dev");
        let text = metrics.scrape(Requests::default(), (10, 2)).unwrap();
        assert!(!text.contains("fairlead_environment_owned{"), "{text}");
        assert!(!text.contains("fairlead_app_quarantined{"), "{text}");
        assert!(text.contains("fairlead_lease_transitions_total 2"), "{text}");
    }
}
