//! From the API server's Status to a typed refusal with what to do about it.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::call::{CallError, is_unreadable_patch};
use crate::object::chain;
use crate::plan::{Conflict, Refusal, RefusalKind, Wanted};

/// The fields that others hold, where the answer is a conflict of field managers.
pub fn conflicts(body: &Value) -> Vec<Conflict> {
    static HOLDER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"conflict with "([^"]*)""#).expect("a valid pattern"));
    body["details"]["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|cause| cause["reason"] == "FieldManagerConflict")
        .map(|cause| {
            let message = cause["message"].as_str().unwrap_or_default();
            let manager =
                HOLDER.captures(message).map_or(message, |found| found.get(1).map_or("", |m| m.as_str()));
            Conflict {
                field: cause["field"].as_str().unwrap_or_default().to_owned(),
                manager: manager.to_owned(),
            }
        })
        .collect()
}

/// The typed refusal of a call about an object.
pub fn refusal(error: &CallError, wanted: &Wanted) -> Refusal {
    let CallError::Refused { status, body } = error else {
        return Refusal::new(RefusalKind::Unreachable, wanted, chain(error));
    };
    let message = error.to_string();
    // An object that is refused may hold a secret, and the server quotes what it refuses.
    let message = if &*wanted.key.kind == "Secret" { without_values(body, &message) } else { message };
    let namespace = wanted.key.namespace.as_deref().unwrap_or_default();
    match status.as_u16() {
        403 if message.contains("admission webhook") || message.contains("denied request") => {
            Refusal::new(RefusalKind::Invalid, wanted, message)
        }
        403 if message.contains("is being terminated") => {
            Refusal::new(RefusalKind::NoNamespace, wanted, message)
                .hint(format!("the namespace {namespace} is being deleted; it is tried again"))
        }
        403 if message.contains("exceeded quota") => Refusal::new(RefusalKind::Forbidden, wanted, message)
            .hint("the namespace's ResourceQuota does not allow it"),
        403 if message.contains("cannot impersonate") => Refusal::new(RefusalKind::Forbidden, wanted, message)
            .hint("the agent may not write as the environment's service account; `identities` of the chart names those it may"),
        403 => Refusal::new(RefusalKind::Forbidden, wanted, message)
            .hint("the environment's service account lacks this right; grant it in a Role and bind it"),
        404 if body["details"]["kind"] == "namespaces" => Refusal::new(
            RefusalKind::NoNamespace,
            wanted,
            format!("the namespace {namespace} does not exist"),
        )
        .hint("create it, or add it to the app"),
        404 => Refusal::new(RefusalKind::UnknownKind, wanted, message),
        409 => {
            let conflicts = conflicts(body);
            if conflicts.is_empty() {
                return Refusal::new(RefusalKind::Conflict, wanted, message);
            }
            let held: Vec<String> = conflicts
                .iter()
                .map(|conflict| format!("{} is held by {:?}", conflict.field, conflict.manager))
                .collect();
            Refusal::new(RefusalKind::Conflict, wanted, held.join(", "))
                .hint("a first claim on what another manager holds is refused: leave the field out, or let it be adopted")
        }
        413 => Refusal::new(RefusalKind::TooLarge, wanted, message),
        422 if is_immutable(body, &message) => Refusal::new(RefusalKind::Immutable, wanted, message)
            .hint("the field cannot change: give the object a new name, or delete it first"),
        500 if is_unreadable_patch(body) => Refusal::new(RefusalKind::Invalid, wanted, message),
        status if status >= 500 || status == 429 => Refusal::new(RefusalKind::Unreachable, wanted, message),
        _ => Refusal::new(RefusalKind::Invalid, wanted, message),
    }
}

fn is_immutable(body: &Value, message: &str) -> bool {
    let says = |text: &str| {
        [
            "immutable",
            "may not be changed",
            "updates to statefulset spec for fields other than",
            "may not change once set",
        ]
        .iter()
        .any(|phrase| text.contains(phrase))
    };
    says(message)
        || body["details"]["causes"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|cause| cause["message"].as_str().is_some_and(says))
}

/// What is wrong and where, without what stands there.
fn without_values(body: &Value, message: &str) -> String {
    let causes: Vec<String> = body["details"]["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cause| {
            let reason = cause["reason"].as_str().unwrap_or("Invalid");
            format!("{}: {reason}", cause["field"].as_str().unwrap_or("a field"))
        })
        .collect();
    if causes.is_empty() {
        let reason = body["reason"].as_str().unwrap_or("no reason given");
        // Access rights and missing namespaces are told in words that quote no content.
        let harmless =
            matches!(reason, "Forbidden" | "NotFound" | "Conflict") && !message.contains("admission webhook");
        return if harmless { message.to_owned() } else { format!("the Secret was refused: {reason}") };
    }
    format!("the Secret was refused: {}", causes.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_of_a_secret_is_told_without_its_values() {
        let told = |body: Value| without_values(&body, body["message"].as_str().unwrap());
        let causes =
            json!([{"reason": "FieldValueInvalid", "field": "data[password]", "message": "\"swordfish\""}]);
        let quoting =
            json!({"reason": "Invalid", "message": "\"swordfish\" is wrong", "details": {"causes": causes}});
        assert_eq!(told(quoting), "the Secret was refused: data[password]: FieldValueInvalid");
        let webhook = json!({"reason": "Forbidden", "message": "admission webhook \"x\" denied swordfish"});
        assert_eq!(told(webhook), "the Secret was refused: Forbidden");
        assert_eq!(told(json!({"message": "swordfish"})), "the Secret was refused: no reason given");
        let rights = json!({"reason": "Forbidden", "message": "no right to create"});
        assert_eq!(told(rights), "no right to create");
    }
}
