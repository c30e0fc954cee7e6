//! Where a rollout would leave nobody to answer, or could not be sure that somebody does.
//!
//! Judged is what changes: a workload that is made, or whose pods or way to roll become others. What is as it was is not
//! told about again, and so are Jobs, what runs no replicas, and what an autoscaler keeps at two and more. Sizes are
//! read from what the server would make of the object, so that its defaults count.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{FieldChange, Wanted, WantedApp};
use crate::object::ObjectKey;

/// One way to be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DowntimeCause {
    /// The strategy stops all pods before it starts new ones.
    Recreate,
    /// `maxUnavailable` comes to all of them.
    AllAtOnce,
    OneReplica,
    NoReadinessProbe,
    /// A budget that lets no pod be moved.
    NoDisruptionAllowed,
    /// Of an environment that is production: nothing keeps the replicas apart.
    NoSpread,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Downtime {
    pub object: String,
    pub cause: DowntimeCause,
    pub message: String,
}

/// An object that a plan makes or changes.
pub struct Touched<'a> {
    pub wanted: &'a Wanted,
    /// What the server would make of it; `None` where it could not be asked.
    pub after: Option<&'a Value>,
    /// What changes in it; `None` where it is made.
    pub changes: Option<&'a [FieldChange]>,
}

/// All that would be down, the gravest of each object first.
pub fn downtime(app: &WantedApp, touched: &[Touched], production: bool) -> Vec<Downtime> {
    let mut found = Vec::new();
    let around = Around::of(app);
    for touched in touched {
        let own;
        let object = match touched.after {
            Some(after) => after,
            None => {
                own = touched.wanted.value();
                &own
            }
        };
        let key = &touched.wanted.key;
        let mut say = |key: &ObjectKey, cause, message: String| {
            found.push(Downtime { object: key.to_string(), cause, message });
        };
        if is_budget(key) {
            around.budget(key, object, touched, &mut say);
        } else if let Some(kind) = Kind::of(key)
            && touched.matters()
        {
            around.workload(kind, key, object, production, &mut say);
        }
    }
    found.sort_by(|a, b| (&a.object, a.cause).cmp(&(&b.object, b.cause)));
    found.dedup();
    found
}

impl Touched<'_> {
    /// Whether its pods become others, or the way in which they do.
    fn matters(&self) -> bool {
        const FIELDS: [&str; 6] = [
            ".spec.template",
            ".spec.strategy",
            ".spec.updateStrategy",
            ".spec.replicas",
            ".spec.selector",
            ".spec.minReadySeconds",
        ];
        self.changes.is_none_or(|changes| {
            changes.iter().any(|change| FIELDS.iter().any(|field| change.path.starts_with(field)))
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    fn of(key: &ObjectKey) -> Option<Self> {
        match (&*key.group, &*key.kind) {
            ("apps", "Deployment") => Some(Self::Deployment),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("apps", "DaemonSet") => Some(Self::DaemonSet),
            _ => None,
        }
    }
}

fn is_budget(key: &ObjectKey) -> bool {
    (&*key.group, &*key.kind) == ("policy", "PodDisruptionBudget")
}

/// What else of the app says how many pods there are and must be.
struct Around {
    /// What is scaled, and the fewest replicas that it is left with.
    floors: Vec<(ObjectKey, i64)>,
    budgets: Vec<(ObjectKey, Value)>,
    workloads: Vec<(ObjectKey, Value)>,
}

impl Around {
    fn of(app: &WantedApp) -> Self {
        let mut around = Self { floors: Vec::new(), budgets: Vec::new(), workloads: Vec::new() };
        for object in &app.objects {
            let key = &object.key;
            match (&*key.group, &*key.kind) {
                ("autoscaling", "HorizontalPodAutoscaler") => {
                    around.scaled(key, &object.value(), "minReplicas", 1);
                }
                ("keda.sh", "ScaledObject") => around.scaled(key, &object.value(), "minReplicaCount", 0),
                _ if is_budget(key) => around.budgets.push((key.clone(), object.value())),
                ("apps", "Deployment" | "StatefulSet") => {
                    around.workloads.push((key.clone(), object.value()));
                }
                _ => {}
            }
        }
        around
    }

    fn scaled(&mut self, key: &ObjectKey, scaler: &Value, field: &str, absent: i64) {
        let target = &scaler["spec"]["scaleTargetRef"];
        let kind = target["kind"].as_str().unwrap_or("Deployment");
        let group = match target["apiVersion"].as_str().unwrap_or("apps/v1").split_once('/') {
            Some((group, _)) => group,
            None => "",
        };
        if let Some(name) = target["name"].as_str() {
            let floor = scaler["spec"][field].as_i64().unwrap_or(absent);
            self.floors.push((ObjectKey::new(group, kind, key.namespace.as_deref(), name), floor));
        }
    }

    /// The fewest replicas that there will be, and whether an autoscaler says so.
    fn replicas(&self, key: &ObjectKey, object: &Value) -> (i64, bool) {
        match self.floors.iter().find(|(scaled, _)| scaled == key) {
            Some((_, floor)) => (*floor, true),
            None => (object["spec"]["replicas"].as_i64().unwrap_or(1), false),
        }
    }

    fn workload(
        &self,
        kind: Kind,
        key: &ObjectKey,
        object: &Value,
        production: bool,
        say: &mut dyn FnMut(&ObjectKey, DowntimeCause, String),
    ) {
        let spec = &object["spec"];
        let (replicas, scaled) = self.replicas(key, object);
        // A daemon runs on every node there is.
        let replicas = if kind == Kind::DaemonSet { i64::MAX } else { replicas };
        if replicas < 1 {
            return;
        }
        let strategy = if kind == Kind::Deployment { &spec["strategy"] } else { &spec["updateStrategy"] };
        let at_once = &strategy["rollingUpdate"]["maxUnavailable"];
        if strategy["type"] == "Recreate" {
            let message = "its strategy is Recreate: all its pods are stopped before new ones are started";
            say(key, DowntimeCause::Recreate, message.to_owned());
        } else if strategy["type"] != "OnDelete" && takes_all(at_once, replicas, kind) {
            let all = if kind == Kind::DaemonSet { "its pods".to_owned() } else { count(replicas) };
            let written = at_once.as_str().map_or_else(|| at_once.to_string(), str::to_owned);
            let message = format!("maxUnavailable {written} lets all of {all} be stopped at once");
            say(key, DowntimeCause::AllAtOnce, message);
        }
        if replicas == 1 {
            let message = match (kind, scaled) {
                (_, true) => {
                    "its autoscaler may leave it with one replica, and nothing answers while that is moved"
                }
                (Kind::StatefulSet, _) => {
                    "it runs one replica, which is stopped before the new one is started"
                }
                _ => "it runs one replica, and nothing answers while that is moved to another node",
            };
            say(key, DowntimeCause::OneReplica, message.to_owned());
        }
        let pod = &spec["template"]["spec"];
        if !tells_ready(pod) {
            let message =
                "none of its containers has a readiness probe: a new pod counts as ready before it answers";
            say(key, DowntimeCause::NoReadinessProbe, message.to_owned());
        }
        let kept_apart =
            !empty(&pod["topologySpreadConstraints"]) || !empty(&pod["affinity"]["podAntiAffinity"]);
        if production && kind != Kind::DaemonSet && replicas > 1 && !kept_apart {
            let message = format!(
                "{} may all run on one node or in one zone: it has neither topologySpreadConstraints nor podAntiAffinity",
                count(replicas)
            );
            say(key, DowntimeCause::NoSpread, message);
        }
        // Whoever drains a node leaves daemons where they are.
        for (budget, value) in self.budgets.iter().filter(|_| kind != Kind::DaemonSet) {
            if budget.namespace == key.namespace
                && selects(&value["spec"]["selector"], labels(object))
                && allows_none(&value["spec"], replicas)
            {
                say(budget, DowntimeCause::NoDisruptionAllowed, blocked(key, replicas));
            }
        }
    }

    /// A budget that is made or changed, and what it does to workloads of the app that are as they were.
    fn budget(
        &self,
        key: &ObjectKey,
        object: &Value,
        touched: &Touched,
        say: &mut dyn FnMut(&ObjectKey, DowntimeCause, String),
    ) {
        if touched
            .changes
            .is_some_and(|changes| !changes.iter().any(|change| change.path.starts_with(".spec")))
        {
            return;
        }
        let covered = self.workloads.iter().filter(|(workload, value)| {
            workload.namespace == key.namespace && selects(&object["spec"]["selector"], labels(value))
        });
        for (workload, value) in covered {
            let (replicas, _) = self.replicas(workload, value);
            if replicas >= 1 && allows_none(&object["spec"], replicas) {
                say(key, DowntimeCause::NoDisruptionAllowed, blocked(workload, replicas));
            }
        }
    }
}

fn blocked(workload: &ObjectKey, replicas: i64) -> String {
    let replicas = count(replicas);
    format!("it lets no pod of {workload} be moved ({replicas}, none to spare), so a node cannot be drained")
}

fn count(replicas: i64) -> String {
    if replicas == 1 { "1 replica".to_owned() } else { format!("{replicas} replicas") }
}

/// A number of pods, or a share of them.
enum Size {
    Pods(i64),
    Percent(i64),
}

fn size(value: &Value) -> Option<Size> {
    match value {
        Value::Number(number) => number.as_i64().map(Size::Pods),
        Value::String(text) => match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Size::Percent),
            None => text.parse().ok().map(Size::Pods),
        },
        _ => None,
    }
}

/// Whether a rollout may stop all pods at once. A share of them is rounded down by Deployments, up by StatefulSets.
fn takes_all(value: &Value, replicas: i64, kind: Kind) -> bool {
    match size(value) {
        Some(Size::Percent(percent)) if kind == Kind::StatefulSet => round_up(percent, replicas) >= replicas,
        Some(Size::Percent(percent)) => percent >= 100,
        Some(Size::Pods(pods)) => pods >= replicas,
        None => false,
    }
}

/// Whether a budget lets no pod of so many be moved. A share of them is rounded up.
fn allows_none(spec: &Value, replicas: i64) -> bool {
    let of = |size| match size {
        Size::Pods(pods) => pods,
        Size::Percent(percent) => round_up(percent, replicas),
    };
    match (size(&spec["maxUnavailable"]), size(&spec["minAvailable"])) {
        (Some(most), _) => of(most) <= 0,
        (None, Some(least)) => of(least) >= replicas,
        (None, None) => false,
    }
}

fn round_up(percent: i64, replicas: i64) -> i64 {
    percent.saturating_mul(replicas).saturating_add(99) / 100
}

/// Whether anything in a pod says when it can answer.
fn tells_ready(pod: &Value) -> bool {
    let containers = pod["containers"].as_array().into_iter().flatten();
    !empty(&pod["readinessGates"])
        || containers
            .into_iter()
            .any(|one| !one["readinessProbe"].is_null() || !one["startupProbe"].is_null())
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => true,
    }
}

fn labels(workload: &Value) -> Option<&Map<String, Value>> {
    workload["spec"]["template"]["metadata"]["labels"].as_object()
}

/// Whether a selector is about pods with these labels.
pub fn selects(selector: &Value, labels: Option<&Map<String, Value>>) -> bool {
    let (Some(labels), true) = (labels, selector.is_object()) else { return false };
    let wanted = selector["matchLabels"].as_object().into_iter().flatten();
    wanted.into_iter().all(|(name, value)| labels.get(name) == Some(value))
        && selector["matchExpressions"].as_array().into_iter().flatten().all(|expression| {
            let value = expression["key"].as_str().and_then(|key| labels.get(key));
            let listed = |value| expression["values"].as_array().is_some_and(|values| values.contains(value));
            match expression["operator"].as_str() {
                Some("In") => value.is_some_and(listed),
                Some("NotIn") => !value.is_some_and(listed),
                Some("Exists") => value.is_some(),
                Some("DoesNotExist") => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests;
