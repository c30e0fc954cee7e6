//! Counts calls to a provider by kind, and estimates what they cost in a month.

use std::collections::BTreeMap;
use std::time::Duration;

/// What is called. Each has its own price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    SecretsManager,
    ParameterStore,
    Queue,
    Sts,
}

impl Service {
    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecretsManager => "secretsmanager",
            Self::ParameterStore => "ssm",
            Self::Queue => "sqs",
            Self::Sts => "sts",
        }
    }

    /// US dollars for so many calls in a month. These are the list prices of 2026 in most regions.
    fn price(self, calls: f64) -> f64 {
        match self {
            // $0.05 for 10,000 calls.
            Self::SecretsManager => calls * 0.05 / 10_000.0,
            // $0.40 for a million, after a million that is free.
            Self::Queue => (calls - 1_000_000.0).max(0.0) * 0.40 / 1_000_000.0,
            // Standard throughput is free, and so is STS.
            Self::ParameterStore | Self::Sts => 0.0,
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallOutcome {
    Ok,
    Denied,
    Throttled,
    Unreachable,
    Failed,
}

impl CallOutcome {
    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }
}

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    pub service: Service,
    pub operation: &'static str,
    pub outcome: CallOutcome,
}

/// How often each kind of call was made, every try counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    counts: BTreeMap<Call, u64>,
}

/// Hours in a month, as AWS reckons: 730.
const MONTH: Duration = Duration::from_secs(730 * 3600);
/// A shorter time than this says nothing about a month: what is read when the agent starts is not read again each minute.
const SHORTEST: Duration = Duration::from_secs(24 * 3600);

impl Calls {
    pub fn add(&mut self, call: Call) {
        *self.counts.entry(call).or_default() += 1;
    }

    /// Lists every kind that was called.
    pub fn iter(&self) -> impl Iterator<Item = (Call, u64)> + '_ {
        self.counts.iter().map(|(call, count)| (*call, *count))
    }

    /// Sums up the calls of one operation, however they ended.
    pub fn of(&self, operation: &str) -> u64 {
        self.iter().filter(|(call, _)| call.operation == operation).map(|(_, count)| count).sum()
    }

    /// Estimates the price of a month in US dollars, if it goes on as it did in the time since the first call. Less than a
    /// day is taken as a day.
    pub fn dollars_a_month(&self, since_first: Duration) -> f64 {
        let months = since_first.max(SHORTEST).as_secs_f64() / MONTH.as_secs_f64();
        let mut by_service: BTreeMap<Service, u64> = BTreeMap::new();
        for (call, count) in self.iter() {
            *by_service.entry(call.service).or_default() += count;
        }
        by_service.into_iter().map(|(service, count)| service.price(count as f64 / months)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(service: Service, count: u64) -> Calls {
        let call = Call { service, operation: "Any", outcome: CallOutcome::Ok };
        Calls { counts: BTreeMap::from([(call, count)]) }
    }

    #[test]
    fn a_month_costs_what_the_list_says() {
        for (service, a_month, dollars) in [
            (Service::SecretsManager, 10_000, 0.05),
            (Service::SecretsManager, 1_000_000, 5.0),
            (Service::Queue, 131_400, 0.0),
            (Service::Queue, 2_000_000, 0.40),
            (Service::ParameterStore, 9_000_000, 0.0),
            (Service::Sts, 9_000_000, 0.0),
        ] {
            let found = calls(service, a_month).dollars_a_month(MONTH);
            assert!((found - dollars).abs() < 1e-9, "{service:?} {a_month}: {found}");
        }
    }

    #[test]
    fn a_start_is_not_taken_for_a_habit() {
        // Ten calls in the first minute would be half a million in a month.
        let found = calls(Service::SecretsManager, 10).dollars_a_month(Duration::from_secs(60));
        assert!(found < 0.002, "{found}");
    }
}
