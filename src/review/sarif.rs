//! The risks as SARIF 2.1.0, for tools that show findings at their lines.

use serde_json::{Value, json};

use super::report::{EnvironmentReport, Report};
use super::risk::{Risk, RiskClass};
use crate::object::Digest;

/// One run, with a rule for each class. Places are relative to the root of the repository.
pub fn sarif(report: &Report) -> Value {
    let rules: Vec<Value> = RiskClass::ALL
        .iter()
        .map(|class| json!({"id": class.as_str(), "shortDescription": {"text": class.about()}}))
        .collect();
    let results: Vec<Value> = report
        .environments
        .iter()
        .flat_map(|environment| environment.risks.iter().map(move |risk| result(environment, risk)))
        .collect();
    json!({
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "fairlead", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"ROOT": {"description": {"text": "The root of the repository."}}},
            "results": results,
        }],
    })
}

fn result(environment: &EnvironmentReport, risk: &Risk) -> Value {
    let rule = RiskClass::ALL.iter().position(|class| *class == risk.class);
    let mut result = json!({
        "ruleId": risk.class.as_str(),
        "ruleIndex": rule,
        "level": risk.severity.as_str(),
        "message": {"text": format!("{}: {}", environment.environment, risk.message)},
        "partialFingerprints": {"fairlead/v1": fingerprint(environment, risk)},
        "properties": {"environment": environment.environment, "app": risk.app, "object": risk.object, "field": risk.field},
    });
    if let Some(place) = &risk.place {
        let mut physical = json!({
            "artifactLocation": {"uri": uri(place.path.as_str()), "uriBaseId": "ROOT"},
        });
        if place.line > 0 {
            physical["region"] = json!({"startLine": place.line});
            if place.column > 0 {
                physical["region"]["startColumn"] = place.column.into();
            }
        }
        result["locations"] = json!([{"physicalLocation": physical}]);
    }
    result
}

/// The same for the same risk, also where its line moved.
fn fingerprint(environment: &EnvironmentReport, risk: &Risk) -> String {
    let parts = [
        Some(&*environment.environment),
        Some(risk.class.as_str()),
        risk.app.as_deref(),
        risk.object.as_deref(),
        risk.field.as_deref(),
        Some(&*risk.message),
    ];
    Digest::of_parts(parts.into_iter().map(Option::unwrap_or_default)).as_str().to_owned()
}

/// A path as a relative reference.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
