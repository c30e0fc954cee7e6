//! Small readers over an object's JSON. None of them panics, whatever the object holds.

use serde_json::Value;

use super::Health;

/// One entry of `status.conditions`.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    value: &'a Value,
}

impl<'a> Condition<'a> {
    pub fn kind(self) -> &'a str {
        text(&self.value["type"])
    }

    /// `True`, `False`, `Unknown`, or what the operator wrote instead.
    pub fn status(self) -> &'a str {
        match &self.value["status"] {
            Value::Bool(true) => "True",
            Value::Bool(false) => "False",
            other => text(other),
        }
    }

    pub fn is_true(self) -> bool {
        self.status().eq_ignore_ascii_case("true")
    }

    pub fn is_false(self) -> bool {
        self.status().eq_ignore_ascii_case("false")
    }

    pub fn reason(self) -> &'a str {
        text(&self.value["reason"])
    }

    pub fn message(self) -> &'a str {
        text(&self.value["message"])
    }

    /// `Error`, `Warning` or `Info`, where the operator tells them apart.
    pub fn severity(self) -> &'a str {
        text(&self.value["severity"])
    }

    /// The reason, or the condition's own name where it gives none.
    pub fn why(self) -> String {
        if self.reason().is_empty() { self.kind().to_owned() } else { self.reason().to_owned() }
    }

    /// The message, or the condition in short where it gives none.
    pub fn words(self) -> String {
        match (self.message(), self.reason()) {
            ("", "") => format!("{} is {}", self.kind(), self.status()),
            ("", reason) => format!("{} is {}: {reason}", self.kind(), self.status()),
            (message, _) => message.to_owned(),
        }
    }

    /// Whether it speaks of an earlier generation of the object.
    pub fn is_stale(self, object: &Value) -> bool {
        match (number(&self.value["observedGeneration"]), number(&object["metadata"]["generation"])) {
            (Some(observed), Some(generation)) => observed > 0 && observed < generation,
            _ => false,
        }
    }
}

/// The entries of a list of conditions; what is not an object with a `type` is passed over.
pub fn conditions_of(list: &Value) -> impl Iterator<Item = Condition<'_>> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter(|value| value["type"].is_string())
        .map(|value| Condition { value })
}

pub fn conditions(object: &Value) -> impl Iterator<Item = Condition<'_>> {
    conditions_of(&object["status"]["conditions"])
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    conditions(object).find(|condition| condition.kind() == kind)
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A whole number, also where it was written as a string: many operators write `observedGeneration` so.
pub fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A count that the API leaves out where it is zero.
pub fn count(value: &Value) -> i64 {
    number(value).unwrap_or(0)
}

/// A number of replicas that defaults to one.
pub fn replicas(object: &Value) -> i64 {
    number(&object["spec"]["replicas"]).unwrap_or(1)
}

/// Nothing, `{}`, `[]` or `""`.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// What controllers call the generation that they saw last.
const OBSERVED: [&str; 4] =
    ["observedGeneration", "lastObservedGeneration", "lastReconciledGeneration", "reconciledGeneration"];

/// `Some` where the controller has not seen this generation of the object: its rollout fields then speak of another.
pub fn unobserved(object: &Value) -> Option<Health> {
    let generation = number(&object["metadata"]["generation"])?;
    let status = &object["status"];
    let observed = match OBSERVED.iter().find_map(|name| number(&status[*name])) {
        Some(observed) => observed,
        None => least_observed(status, 3)?,
    };
    (observed < generation).then(|| {
        let message = format!("its controller has seen generation {observed}, the object is at {generation}");
        Health::progressing("NotObserved", message)
    })
}

/// The earliest generation that some part of the status was written for, where the whole does not say. Conditions are
/// judged one by one, and what is kept of other objects speaks of their generations.
fn least_observed(value: &Value, depth: usize) -> Option<i64> {
    const OTHERS: [&str; 12] = [
        "conditions",
        "deployment",
        "statefulset",
        "daemonset",
        "workload",
        "resource",
        "generation",
        "child",
        "component",
        "datacenter",
        "cluster",
        "ref",
    ];
    let is_other = |name: &str| {
        let name = name.to_ascii_lowercase();
        OTHERS.iter().any(|other| name.starts_with(other) || name.ends_with(other))
    };
    if depth == 0 {
        return None;
    }
    match value {
        Value::Array(list) => list.iter().filter_map(|part| least_observed(part, depth - 1)).min(),
        Value::Object(map) => {
            let parts =
                map.iter().filter(|(name, part)| (part.is_object() || part.is_array()) && !is_other(name));
            let own = OBSERVED[..1].iter().find_map(|name| number(map.get(*name)?));
            own.into_iter().chain(parts.filter_map(|(_, part)| least_observed(part, depth - 1))).min()
        }
        _ => None,
    }
}

/// The same, for kinds whose controller always writes `observedGeneration`: its absence means "not yet seen".
pub fn never_observed(object: &Value) -> Option<Health> {
    if is_empty(&object["status"]) {
        return Some(Health::progressing("NotObserved", "its controller has not seen it yet"));
    }
    unobserved(object)
}
