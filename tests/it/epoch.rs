//! Whether the API server itself can refuse an owner that was replaced: a policy compares the epoch that a write bears
//! with the one in the record. Decision 7 says what came of it.

use std::time::Instant;

use http::Method;
use serde_json::{Value, json};

use crate::bed::{Bed, SECOND, wait_until};

/// The record of one environment's owner, as the agent writes it.
fn record(name: &str, environment: &str, epoch: u32) -> Value {
    let annotation = format!("owner.fairlead.dev/{environment}");
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "fairlead", "annotations": {annotation: format!("fairlead-a-1 {epoch}")}},
    })
}

fn policy(name: &str, environment: &str) -> [Value; 2] {
    let ours = json!({"matchLabels": {"fairlead.dev/environment": environment}});
    let expression = "params.metadata.annotations[?'owner.fairlead.dev/' + object.metadata.labels['fairlead.dev/environment']]\
        .orValue('').endsWith(' ' + request.userInfo.extra['fairlead.dev/epoch'][0])";
    [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "paramKind": {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"},
                "matchConstraints": {"objectSelector": ours, "resourceRules": [
                    {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["CREATE", "UPDATE"]},
                ]},
                "matchConditions": [{"name": "by-fairlead", "expression": "'fairlead.dev/epoch' in request.userInfo.extra"}],
                "validations": [{"expression": expression, "message": "another replica looks after this environment by now"}],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name, "validationActions": ["Deny"],
                "paramRef": {"name": name, "namespace": "fairlead", "parameterNotFoundAction": "Deny"},
            },
        }),
    ]
}

/// Applies a ConfigMap as the deploy account, with an epoch.
fn write(bed: &Bed, name: &str, epoch: u32) -> (u16, Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": bed.name, "labels": {"fairlead.dev/environment": bed.name}},
        "data": {"epoch": epoch.to_string()},
    });
    let path = format!("/api/v1/namespaces/{}/configmaps/{name}?fieldManager=fairlead&force=true", bed.name);
    let (user, epoch) = (format!("system:serviceaccount:{}:deployer", bed.deployers), epoch.to_string());
    let headers =
        [("Impersonate-User", user.as_str()), ("Impersonate-Extra-fairlead.dev%2fepoch", epoch.as_str())];
    bed.api().request_with(Method::PATCH, &path, "application/apply-patch+yaml", Some(&object), &headers)
}

#[test]
fn a_policy_can_refuse_the_writes_of_an_owner_that_was_replaced() {
    let bed = Bed::new("epoch");
    let name = format!("{}-record", bed.name);
    bed.api().apply(&record(&name, &bed.name, 7));
    for object in policy(&name, &bed.name) {
        bed.api().apply(&object);
    }
    wait_until(20 * SECOND, "the policy is in force", || write(&bed, "probe", 6).0 >= 400);
    let (status, answer) = write(&bed, "settings", 7);
    assert_eq!(status, 201, "{answer}");
    let (_, answer) = write(&bed, "settings", 6);
    assert!(answer["message"].as_str().unwrap_or_default().contains("another replica"), "{answer}");

    // How long the server goes on taking the old epoch after the record has changed, and refuses the new one.
    let mut lags = Vec::new();
    for epoch in 8..28 {
        bed.api().apply(&record(&name, &bed.name, epoch));
        let changed = Instant::now();
        let (mut tries, mut old_taken) = (0, 0);
        loop {
            old_taken += usize::from(write(&bed, "settings", epoch - 1).0 < 400);
            tries += 1;
            if write(&bed, "settings", epoch).0 < 400 {
                break;
            }
            assert!(changed.elapsed() < 10 * SECOND, "the new owner is let in");
        }
        lags.push((changed.elapsed(), tries, old_taken));
    }
    let slowest = lags.iter().max().expect("some were measured");
    let stale: usize = lags.iter().map(|(_, _, old)| old).sum();
    eprintln!(
        "of 20 changes: {stale} writes of the old epoch were taken after the change; slowest to turn {slowest:?}"
    );
    assert!(write(&bed, "settings", 26).0 >= 400, "in the end the old one is refused");
}
