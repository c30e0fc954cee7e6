use serde_json::Value;

use crate::health::Health;
use crate::health::read::{Condition, conditions, conditions_of, is_empty, text};

/// The Gateway API keeps the word of each controller apart: of a Gateway and its listeners, of each parent of a route,
/// of each ancestor of a policy. Every one must have accepted this generation; one that refuses is enough to fail.
pub fn judge(kind: &str) -> Option<fn(&Value) -> Health> {
    Some(match kind {
        "Gateway" | "ListenerSet" | "XListenerSet" => |object| gateway(object),
        "GatewayClass" => |object| settle(object, vec![("", conditions(object).collect())]),
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute" => {
            |object| settle(object, parties(object, "parents"))
        }
        "BackendTLSPolicy" | "BackendLBPolicy" | "XBackendTrafficPolicy" => |object| policy(object),
        _ => return None,
    })
}

/// The same for kinds of other groups that write their status in this form, as policies and meshes do.
pub fn judge_other(object: &Value) -> Option<Health> {
    let status = &object["status"];
    if status["parents"].is_array() {
        return Some(settle(object, parties(object, "parents")));
    }
    status["ancestors"].is_array().then(|| policy(object))
}

type Party<'a> = (&'a str, Vec<Condition<'a>>);

fn gateway(object: &Value) -> Health {
    let listeners = object["status"]["listeners"].as_array().into_iter().flatten();
    let own = std::iter::once(("", conditions(object).collect()));
    let all: Vec<Party<'_>> = own
        .chain(listeners.map(|entry| (text(&entry["name"]), conditions_of(&entry["conditions"]).collect())))
        .collect();
    settle(object, all)
}

fn parties<'a>(object: &'a Value, list: &str) -> Vec<Party<'a>> {
    let reference = if list == "parents" { "parentRef" } else { "ancestorRef" };
    let entries = object["status"][list].as_array().into_iter().flatten();
    // A controller writes all of its entries at once: beside one of this generation, an older one is left over from a
    // reference that is gone.
    let is_old =
        |entry: &Value| conditions_of(&entry["conditions"]).any(|condition| condition.is_stale(object));
    let is_new = |entry: &Value| {
        let mut conditions = conditions_of(&entry["conditions"]).peekable();
        conditions.peek().is_some() && !is_old(entry)
    };
    let is_left_over = |entry: &&Value| {
        let mut of_the_same =
            entries.clone().filter(|other| other["controllerName"] == entry["controllerName"]);
        is_old(entry) && !is_empty(&entry["controllerName"]) && of_the_same.any(is_new)
    };
    entries
        .clone()
        .filter(|entry| !is_left_over(entry))
        .map(|entry| (text(&entry[reference]["name"]), conditions_of(&entry["conditions"]).collect()))
        .collect()
}

/// Every controller in the cluster writes its word on every policy, also on those that are not its own.
fn policy(object: &Value) -> Health {
    let foreign = |party: &Party<'_>| {
        party.1.iter().any(|c| c.kind() == "Accepted" && !c.is_true() && c.reason() == "TargetNotFound")
    };
    let all = parties(object, "ancestors");
    let has_own = all.iter().any(|party| !foreign(party));
    settle(object, all.into_iter().filter(|party| !has_own || !foreign(party)).collect())
}

fn settle(object: &Value, parties: Vec<Party<'_>>) -> Health {
    let fresh = |condition: &Condition<'_>| !condition.is_stale(object);
    let words = |name: &str, condition: &Condition<'_>| match name {
        "" => condition.words(),
        name => format!("{name}: {}", condition.words()),
    };
    let said: Vec<_> = parties
        .iter()
        .flat_map(|(name, list)| list.iter().map(move |condition| (*name, condition)))
        .collect();
    for (name, condition) in said.iter().filter(|(_, condition)| fresh(condition)) {
        let refused = match condition.kind() {
            "Accepted" | "ResolvedRefs" => condition.is_false() && condition.reason() != "Pending",
            "Conflicted" => condition.is_true(),
            "Programmed" => {
                condition.is_false()
                    && matches!(condition.reason(), "Invalid" | "ListenersNotValid" | "AddressNotUsable")
            }
            _ => false,
        };
        if refused {
            return Health::failed(condition.why(), words(name, condition));
        }
    }
    let telling = |condition: &Condition<'_>| matches!(condition.kind(), "Accepted" | "Programmed" | "Ready");
    for (name, condition) in said.iter().filter(|(_, condition)| telling(condition)) {
        if !fresh(condition) {
            return Health::progressing(
                "NotObserved",
                format!("{name}: {} speaks of an earlier generation", condition.kind()),
            );
        }
        if !condition.is_true() {
            return Health::progressing(condition.why(), words(name, condition));
        }
    }
    match said.iter().find(|(_, condition)| telling(condition)) {
        Some((name, condition)) => Health::healthy(condition.why(), words(name, condition)),
        None => Health::progressing("NotObserved", "no controller has spoken for it yet"),
    }
}
