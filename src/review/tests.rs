use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fixtures::{change, report};
use super::*;
use crate::object::field_path::FieldPath;
use crate::object::{Live, Place, TreePath};
use crate::plan::{FieldChange, Reason};
use crate::report::{AppPlan, DeleteReport, PlanReport, PruneReport, StepReport};

const CANARY: &str = "c4n4ry-7f3a9e";

/// The report in all its forms.
fn everything(report: &Report) -> String {
    let json = serde_json::to_string(report).unwrap();
    format!("{json}\n{}\n{}", markdown(report, markdown::LIMIT), sarif(report))
}

#[test]
fn no_value_of_a_secret_is_shown_in_whatever_form() {
    let secret = |value: &str, more: &str| {
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: db, annotations: {{note: {value:?}}}}}\nstringData: {{password: {value:?}{more}}}\n"
        )
    };
    // The same value in other kinds, as whole and as part, by itself and encoded.
    let map = |value: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, annotations: {{a: {value:?}}}}}\ndata: {{url: 'postgres://app:{value}@db', {value}: b}}\n"
        )
    };
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, CANARY);
    let before = secret(CANARY, "") + &map(&encoded);
    let after = secret("another-one-4711", ", token: 'new-token-0815'") + &map(CANARY);
    let (old, new) = ([CANARY, &encoded], ["another-one-4711", "new-token-0815"]);
    for (one, other, values) in [
        (&before, &after, [old, new].concat()),
        (&after, &before, [old, new].concat()),
        (&before, &String::new(), old.to_vec()),
        // Without the old Secret nobody knows that what the ConfigMap holds was its value.
        (&String::new(), &after, new.to_vec()),
    ] {
        let all = everything(&report(&[change(one, other)]));
        for value in values {
            assert!(!all.contains(value), "{value}: {all}");
        }
    }
    let report = report(&[change(&before, &after)]);
    let secret =
        report.environments[0].apps[0].objects.iter().find(|object| object.object.starts_with("Secret"));
    let made = markdown(&self::report(&[change("", &before)]), markdown::LIMIT);
    assert!(made.contains("+ kind: Secret") && made.contains("+   password: \"(hidden)\""), "{made}");
    let paths: Vec<&str> = secret.unwrap().changes.iter().map(|change| &*change.path).collect();
    assert_eq!(paths, [".data.password", ".data.token", ".metadata.annotations.note"], "keys are shown");
}

#[test]
fn references_are_shown_and_what_stands_around_them_is_not() {
    let secret = |reference: &str| {
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData: {{url: 'postgres://{CANARY}:${{{reference}}}@db'}}\n"
        )
    };
    let report = report(&[change(&secret("aws-sm:web/db#password"), &secret("aws-sm:web/other#password"))]);
    assert!(!everything(&report).contains(CANARY));
    let used = &report.environments[0].apps[0].objects[0].secrets;
    let shown: Vec<_> =
        used.iter().map(|one| (&*one.secret, one.before.is_some(), one.after.is_some())).collect();
    assert_eq!(shown, [("aws-sm:web/db", true, false), ("aws-sm:web/other", false, true)]);
}

#[test]
fn pods_that_read_what_changes_are_restarted_and_not_changed() {
    let web = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, \
               spec: {containers: [{name: web, image: 'web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', envFrom: [{configMapRef: {name: m}}]}]}}}\n";
    let map = |value: &str| {
        format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {value:?}}}\n{web}")
    };
    let report = report(&[change(&map("1"), &map("2"))]);
    let counts = report.environments[0].counts;
    assert_eq!((counts.update, counts.restart, counts.unchanged), (1, 1, 0));
}

fn step(object: &str, reason: Reason, changes: &[(&str, Value, Value)], live: Option<Live>) -> StepReport {
    StepReport {
        wave: 1,
        wave_name: "workloads".to_owned(),
        action: "update",
        object: object.to_owned(),
        place: Place::file(TreePath::root()),
        reason,
        proof: None,
        changes: changes
            .iter()
            .map(|(path, before, after)| FieldChange {
                path: (*path).to_owned(),
                before: Some(before.clone()),
                after: Some(after.clone()),
            })
            .collect(),
        live: live.map(Arc::new),
    }
}

#[test]
fn drift_is_told_apart_from_the_change() {
    let maps = |a: &str| {
        ["a", "b", "c", "d"].map(|name| {
            let value = if name == "b" { "1" } else { a };
            format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: {value:?}, b: '1'}}\n")
        })
        .concat()
    };
    let mut drifted = change(&maps("1"), &maps("2"));
    let before = drifted.before[0].objects().unwrap().objects.clone();
    let digest = |name: &str| before.iter().find(|one| &*one.key.name == name).unwrap().digest.clone();
    let live = |name: &str| {
        // `b` is not ours any more.
        Live::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": "web", "uid": "u", "resourceVersion": "1", "managedFields": [{
                "manager": "fairlead", "operation": "Apply", "apiVersion": "v1",
                "fieldsV1": {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:fairlead.dev/app": {}, "f:fairlead.dev/environment": {},
                    "f:applyset.kubernetes.io/part-of": {}}, "f:annotations": {"f:fairlead.dev/applied": {}}}},
            }],
        }}))
        .unwrap()
    };
    let changed = |from| Reason::Changed { from, to: crate::object::Digest::of(b"new") };
    let mut plan = AppPlan::broken("web", Vec::new());
    let own = || (".data.a", json!("1"), json!("2"));
    let drift = || (".data.b", json!("9"), json!("1"));
    plan.steps = vec![
        step("ConfigMap web/a", changed(digest("a")), &[own(), drift()], Some(live("a"))),
        step(
            "ConfigMap web/b",
            Reason::Drifted { fields: vec![FieldPath::of(&["data", "b"])] },
            &[drift()],
            Some(live("b")),
        ),
        step(
            "ConfigMap web/c",
            changed(crate::object::Digest::of(b"older")),
            &[own(), drift()],
            Some(live("c")),
        ),
        step("ConfigMap web/d", Reason::Missing, &[], None),
    ];
    let objects = [("ConfigMap web/z", "web")]
        .map(|(object, app)| DeleteReport { object: object.to_owned(), app: app.to_owned() });
    let prune = Some(PruneReport { objects: objects.to_vec(), ..PruneReport::default() });
    drifted.live = Some(LiveSide {
        plan: PlanReport { environment: "dev".to_owned(), revision: None, apps: vec![plan], prune },
        quotas: Vec::new(),
        missing: BTreeSet::new(),
        unreadable: Vec::new(),
    });
    let report = report(&[drifted]);
    let told: Vec<_> = report.environments[0]
        .drift
        .iter()
        .map(|drift| {
            (
                &*drift.object,
                drift.cause,
                drift.changes.iter().map(|change| &*change.path).collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("ConfigMap web/a", DriftCause::Changed, vec![".data.b"]),
            ("ConfigMap web/b", DriftCause::Changed, vec![".data.b"]),
            ("ConfigMap web/c", DriftCause::Behind, vec![".data.b"]),
            ("ConfigMap web/d", DriftCause::Missing, vec![]),
            ("ConfigMap web/z", DriftCause::LeftOver, vec![]),
        ]
    );
}

#[test]
fn sarif_names_rules_and_lines() {
    let map = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let report = report(&[change(map, "")]);
    let log = sarif(&report);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), RiskClass::ALL.len());
    let result = &run["results"][0];
    let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!((&rules[rule]["id"], &result["level"]), (&json!("deletes"), &json!("warning")));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"], json!({"uri": "web/all.yaml", "uriBaseId": "ROOT"}));
    assert_eq!(place["region"]["startLine"], 2);
    assert_eq!(result["partialFingerprints"]["fairlead/v1"].as_str().map(str::len), Some(64));
}

#[test]
fn the_json_keeps_its_names() {
    let map = |value: &str| {
        format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: {value:?}}}\n")
    };
    let json = serde_json::to_value(report(&[change(&map("1"), &map("2"))])).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&json), "base cluster environments head verdict version");
    let environment = &json["environments"][0];
    assert_eq!(names(environment), "apps counts drift environment live prune risks unseen verdict");
    assert_eq!(names(&environment["apps"][0]), "app digest objects problems state");
    assert_eq!(names(&environment["apps"][0]["objects"][0]), "action changes movedFrom object place secrets");
    assert_eq!((&json["verdict"], &environment["counts"]["update"]), (&json!("changes"), &json!(1)));
}
