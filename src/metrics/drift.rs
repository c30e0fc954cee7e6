//! What Prometheus is told of drift. Labels are environments and a few words, never names of objects.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::EnvironmentLabels;
use crate::object::{DriftAction, DriftClass, DriftRecord};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ClassLabels {
    environment: String,
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ActionLabels {
    environment: String,
    action: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NamedLabels {
    late: &'static str,
}

/// Seconds from when a change was seen until it was put back: a tenth is usual, and ten minutes the end of a fight.
const SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0];

pub struct DriftMetrics {
    seen: Family<ClassLabels, Counter>,
    handled: Family<ActionLabels, Counter>,
    open: Family<ActionLabels, Gauge>,
    fights: Family<EnvironmentLabels, Gauge>,
    unknown: Family<EnvironmentLabels, Gauge>,
    verified: Family<EnvironmentLabels, Gauge<f64, AtomicU64>>,
    named: Family<NamedLabels, Counter>,
    heal: Histogram,
}

impl DriftMetrics {
    pub fn new(registry: &mut Registry) -> Self {
        let made = Self {
            seen: Family::default(),
            handled: Family::default(),
            open: Family::default(),
            fights: Family::default(),
            unknown: Family::default(),
            verified: Family::default(),
            named: Family::default(),
            heal: Histogram::new(SECONDS),
        };
        registry.register(
            "drift_seen",
            "Fields that others were seen to change, by how they differ",
            made.seen.clone(),
        );
        registry.register(
            "drift_handled",
            "Fields that others changed, by what was done: healed once they are as git says again, reported once told",
            made.handled.clone(),
        );
        registry.register(
            "drift_open",
            "Fields that are not as git says now, by what is done about them",
            made.open.clone(),
        );
        registry.register(
            "drift_fights",
            "Fields that others change again and again now",
            made.fights.clone(),
        );
        registry.register(
            "drift_unknown_kinds",
            "Kinds of which it is not known whether they are as git says, for their watch failed or fell silent",
            made.unknown.clone(),
        );
        registry.register(
            "drift_verified_age_seconds",
            "How long ago it was known last of all kinds of an environment whether they are as git says",
            made.verified.clone(),
        );
        registry.register(
            "drift_named",
            "Changes that an audit log named the person of, by whether the record was written before",
            made.named.clone(),
        );
        registry.register(
            "drift_heal_seconds",
            "From when a change was seen until it was put back",
            made.heal.clone(),
        );
        made
    }

    /// Counts what a record says.
    pub fn count(&self, record: &DriftRecord) {
        let environment = || record.environment.as_str().to_owned();
        if record.closed.is_none() {
            let labels = ClassLabels { environment: environment(), class: record.class.as_str() };
            self.seen.get_or_create(&labels).inc();
        }
        let is_handled = match record.action {
            DriftAction::Healed => record.closed.is_some(),
            _ => record.closed.is_none(),
        };
        if is_handled {
            let labels = ActionLabels { environment: environment(), action: record.action.as_str() };
            self.handled.get_or_create(&labels).inc();
        }
        if let (DriftAction::Healed, Some(latency)) = (record.action, record.latency_ms) {
            self.heal.observe(latency as f64 / 1000.0);
        }
    }

    /// Takes where an environment stands now.
    pub fn stand(
        &self,
        environment: &str,
        open: impl Iterator<Item = (DriftAction, usize)>,
        fights: usize,
        unknown: usize,
    ) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let labels = EnvironmentLabels { environment: environment.to_owned() };
        self.fights.get_or_create(&labels).set(number(fights));
        self.unknown.get_or_create(&labels).set(number(unknown));
        let mut counts = [0; DriftAction::ALL.len()];
        for (action, count) in open {
            if let Some(at) = DriftAction::ALL.iter().position(|known| *known == action) {
                counts[at] += count;
            }
        }
        for (action, count) in DriftAction::ALL.iter().zip(counts) {
            let labels = ActionLabels { environment: environment.to_owned(), action: action.as_str() };
            // One that never was has no series.
            if count > 0 || self.open.get(&labels).is_some() {
                self.open.get_or_create(&labels).set(number(count));
            }
        }
    }

    /// How long ago all kinds of an environment were verified.
    pub fn verified(&self, environment: &str, ago: Duration) {
        let labels = EnvironmentLabels { environment: environment.to_owned() };
        self.verified.get_or_create(&labels).set(ago.as_secs_f64());
    }

    /// An audit log named who changed something; late where the record had been written.
    pub fn named(&self, late: bool) {
        let late = if late { "true" } else { "false" };
        self.named.get_or_create(&NamedLabels { late }).inc();
    }

    pub fn forget(&self, environment: &str) {
        let labels = EnvironmentLabels { environment: environment.to_owned() };
        self.fights.remove(&labels);
        self.unknown.remove(&labels);
        self.verified.remove(&labels);
        for class in DriftClass::ALL {
            self.seen.remove(&ClassLabels { environment: environment.to_owned(), class: class.as_str() });
        }
        for action in DriftAction::ALL {
            let labels = ActionLabels { environment: environment.to_owned(), action: action.as_str() };
            self.handled.remove(&labels);
            self.open.remove(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::object::{EnvironmentName, ObjectKey, RecordId};

    fn record(name: &str, closed: bool) -> DriftRecord {
        let at = Timestamp::from_second(100).unwrap();
        DriftRecord {
            id: RecordId::new(at, 0),
            cluster: String::new(),
            environment: EnvironmentName::new("dev").unwrap(),
            app: None,
            revision: None,
            object: ObjectKey::new("apps", "Deployment", Some("web"), name),
            uid: "u".into(),
            path: "/spec/replicas".into(),
            desired: None,
            live: None,
            class: DriftClass::Changed,
            cause: None,
            manager: "kubectl".into(),
            operation: None,
            subresource: None,
            principal: None,
            first_seen: at,
            last_seen: at,
            count: u64::from(!closed),
            action: DriftAction::Healed,
            rule: None,
            result: None,
            latency_ms: closed.then_some(120),
            closed: closed.then_some(at),
        }
    }

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn ten_thousand_objects_make_no_more_series_than_one() {
        let mut registry = Registry::with_prefix("fairlead");
        let metrics = DriftMetrics::new(&mut registry);
        let tell = |name: &str| {
            metrics.count(&record(name, false));
            metrics.count(&record(name, true));
        };
        tell("first");
        metrics.stand("dev", [(DriftAction::Held, 2)].into_iter(), 1, 0);
        let lines = text(&registry).lines().count();
        for n in 0..10_000 {
            tell(&format!("object-{n}"));
        }
        metrics.stand("dev", [(DriftAction::Held, 500)].into_iter(), 9, 3);
        let told = text(&registry);
        assert_eq!(told.lines().count(), lines, "{told}");
        assert!(!told.contains("object-"), "{told}");
        for line in [
            "fairlead_drift_seen_total{environment=\"dev\",class=\"changed\"} 10001",
            "fairlead_drift_handled_total{environment=\"dev\",action=\"healed\"} 10001",
            "fairlead_drift_open{environment=\"dev\",action=\"held\"} 500",
            "fairlead_drift_fights{environment=\"dev\"} 9",
            "fairlead_drift_unknown_kinds{environment=\"dev\"} 3",
            "fairlead_drift_heal_seconds_count 10001",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
        metrics.stand("dev", std::iter::empty(), 0, 0);
        assert!(text(&registry).contains("fairlead_drift_open{environment=\"dev\",action=\"held\"} 0"));
        metrics.forget("dev");
        assert!(!text(&registry).contains("environment="), "{}", text(&registry));
    }
}
