//! Each way in which others change things: seen once, classified right, and nothing else told or asked.

use std::time::Instant;

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, Class, SECOND, SOON, holds_for, wait_until};
use crate::drift_who::report;

/// The records of drift of an environment, by object and field.
fn records(bed: &Bed, history: &str) -> Vec<Value> {
    let found =
        bed.fairlead(&["history", "--history", history, "--kind", "drift", "--limit", "5000", "-o", "json"]);
    let mut all = found.ok().json().as_array().cloned().unwrap_or_default();
    all.sort_by_key(|record| record["object"].to_string() + &record["path"].to_string());
    all
}

fn history_of(bed: &Bed) -> String {
    format!("sqlite:{}", bed.cache().with_file_name("history.sqlite").display())
}

fn labelled(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{tier: web}}, annotations: \
         {{example.org/note: ours}}}}\ndata: {{value: \"1\"}}\n"
    )
}

#[test]
fn each_way_to_change_something_is_seen_once_and_told_apart() {
    let bed = Bed::new("ways");
    let history = history_of(&bed);
    let _agent = bed.agent_with(&[("FAIRLEAD_HISTORY", &history)]);
    let (path, config) = bed.config("{name: web, path: web}", "drift: {policy: report}");
    let names = ["applied", "annotated", "deleted", "labelled", "patched", "replaced", "unlabelled"];
    let manifests: String = names.iter().map(|name| labelled(name)).collect();
    bed.wait_ready(
        &bed.commit(&[(&path, &config), ("web/all.yaml", &(manifests + &deployment("web", &[])))]),
    );

    bed.kubectl(&["scale", "deployment/web", "--replicas=3"]).ok();
    bed.kubectl(&["set", "image", "deployment/web", "main=registry.example/else:9"]).ok();
    bed.kubectl(&["patch", "configmap", "patched", "--type=merge", "--patch", r#"{"data":{"value":"2"}}"#])
        .ok();
    bed.kubectl(&["label", "--overwrite", "configmap/labelled", "tier=other"]).ok();
    bed.kubectl(&["label", "configmap/unlabelled", "tier-"]).ok();
    bed.kubectl(&["annotate", "--overwrite", "configmap/annotated", "example.org/note=theirs"]).ok();
    bed.kubectl(&["delete", "configmap/deleted"]).ok();
    bed.api().apply_as(
        "helm",
        &json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied", "namespace": bed.name},
            "data": {"value": "3"},
        }),
    );
    let mut replaced = bed.configmap("replaced").expect("it is there");
    replaced["data"]["value"] = "4".into();
    let at = format!("/api/v1/namespaces/{}/configmaps/replaced?fieldManager=replacer", bed.name);
    let (status, answer) = bed.api().request(http::Method::PUT, &at, "application/json", Some(&replaced));
    assert_eq!(status, 200, "{answer}");

    let wanted = [
        ("annotated", "/metadata/annotations/example.org~1note", "changed", "kubectl-annotate", "Update"),
        ("applied", "/data/value", "changed", "helm", "Apply"),
        ("deleted", "", "deleted", "", ""),
        ("labelled", "/metadata/labels/tier", "changed", "kubectl-label", "Update"),
        ("patched", "/data/value", "changed", "kubectl-patch", "Update"),
        ("replaced", "/data/value", "changed", "replacer", "Update"),
        ("unlabelled", "/metadata/labels/tier", "missing", "", ""),
        ("web", "/spec/replicas", "changed", "kubectl", "Update"),
        ("web", "/spec/template/spec/containers/name=main/image", "changed", "kubectl-set", "Update"),
    ];
    let told = |found: &[Value]| {
        let word = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let of = |record: &Value| {
            let object = record["object"]["name"].as_str().unwrap_or_default().to_owned();
            let image = word(record, "path").ends_with("/image");
            let path = if image { "/…/image".to_owned() } else { word(record, "path") };
            (object, path, word(record, "class"), word(record, "manager"), word(record, "operation"))
        };
        found.iter().map(of).collect::<Vec<_>>()
    };
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(name, path, class, manager, operation)| {
            let path = if path.ends_with("/image") { "/…/image" } else { path };
            (
                (*name).to_owned(),
                path.to_owned(),
                (*class).to_owned(),
                (*manager).to_owned(),
                (*operation).to_owned(),
            )
        })
        .collect();
    wait_until(SOON, "all of it is recorded", || records(&bed, &history).len() >= wanted.len());
    holds_for(3 * SECOND, "and once", || {
        let found = records(&bed, &history);
        let mut now = told(&found);
        now.sort();
        assert_eq!(now, wanted, "{found:#?}");
        // Of one object a field may be told again with another that changes later.
        let is_once = |record: &Value| record["count"] == 1 || record["object"]["kind"] == "Deployment";
        found.iter().all(|record| is_once(record) && record["action"] == "reported")
    });
    assert_eq!(bed.configmap("patched").expect("it stays")["data"]["value"], "2");
}

#[test]
fn what_busy_controllers_do_to_fields_of_their_own_is_neither_recorded_nor_asked_about() {
    let bed = Bed::new("busy");
    let proxy = bed.proxy();
    let history = history_of(&bed);
    let more = [("FAIRLEAD_HISTORY", &*history)];
    let _agent = crate::bed::Agent::with(proxy.kubeconfig(), &bed.cache(), &bed.name, &more);
    let manifests = configmap("a", "1") + &configmap("b", "1") + &deployment("web", &[]);
    bed.wait_ready(&bed.commit_web(&manifests));
    wait_until(SOON, "there is a report", || report(&bed)["counts"]["open"] == 0);
    std::thread::sleep(2 * SECOND);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let bed = &bed;
            scope.spawn(move || {
                let of =
                    |plural: &str, name: &str| format!("/api/v1/namespaces/{}/{plural}/{name}", bed.name);
                for n in 0..500 {
                    let note = format!("theirs.example.org/{worker}");
                    let patch = match n % 3 {
                        0 => (
                            of("configmaps", "a"),
                            json!({"metadata": {"annotations": {note: n.to_string()}}}),
                        ),
                        1 => (
                            of("configmaps", "b"),
                            json!({"data": {format!("theirs-{worker}"): n.to_string()}}),
                        ),
                        _ => (
                            format!("/apis/apps/v1/namespaces/{}/deployments/web", bed.name),
                            json!({"metadata": {"labels": {format!("theirs-{worker}"): n.to_string()}}}),
                        ),
                    };
                    bed.api().merge(&patch.0, &patch.1);
                }
            });
        }
    });
    std::thread::sleep(3 * SECOND);
    let asked = proxy.since(began, &[Class::Get, Class::DryRun, Class::Write, Class::Status, Class::Event]);
    assert!(asked.is_empty(), "{:#?}", &asked[..asked.len().min(10)]);
    assert_eq!(records(&bed, &history), Vec::<Value>::new());
    assert_eq!(bed.condition("Ready")["status"], "True");
}

#[test]
fn a_mass_edit_is_seen_once_for_each_object_and_all_of_it_put_back() {
    const OBJECTS: usize = 400;
    let bed = Bed::new("mass");
    let history = history_of(&bed);
    let _agent = bed.agent_with(&[("FAIRLEAD_HISTORY", &history)]);
    let names: Vec<String> = (0..OBJECTS).map(|n| format!("config-{n:04}")).collect();
    let manifests: String = names.iter().map(|name| configmap(name, "1")).collect();
    bed.wait_ready(&bed.commit_web(&manifests));
    for name in &names {
        let at = format!("/api/v1/namespaces/{}/configmaps/{name}", bed.name);
        bed.api().merge(&at, &json!({"data": {"value": "by a script"}}));
    }
    let done = |found: &[Value]| found.iter().filter(|record| record["closed"].is_string()).count();
    let began = Instant::now();
    while done(&records(&bed, &history)) < OBJECTS && began.elapsed() < SOON {
        std::thread::sleep(SECOND);
    }
    let found = records(&bed, &history);
    let told = |name: &String| {
        let of = found.iter().find(|record| record["object"]["name"] == name.as_str());
        let record = of.map(|record| (record["closed"].is_string(), record["count"].clone()));
        (name.clone(), record, bed.configmap(name).map(|found| found["data"]["value"].clone()))
    };
    let wrong: Vec<_> = names
        .iter()
        .map(told)
        .filter(|(_, record, _)| !record.as_ref().is_some_and(|(is_over, _)| *is_over))
        .collect();
    assert!(wrong.is_empty(), "{} are not recorded and put back: {wrong:#?}", wrong.len());
    let found = records(&bed, &history);
    assert_eq!(found.len(), OBJECTS, "one record for each");
    for record in &found {
        assert_eq!(
            (&record["class"], &record["action"], &record["count"]),
            (&json!("changed"), &json!("healed"), &json!(1)),
            "{record:#}"
        );
        assert_eq!(record["path"], "/data/value", "{record:#}");
    }
    assert!(names.iter().all(|name| bed.configmap(name).is_some_and(|found| found["data"]["value"] == "1")));
    // It is written some seconds later.
    wait_until(SOON, "the report has what there is room for", || {
        report(&bed)["putBack"].as_array().is_some_and(|told| told.len() == 50)
    });
    let told = report(&bed);
    assert_eq!(told["counts"]["open"], 0, "{told:#}");
    assert!(told.to_string().len() <= 32 << 10);
}

#[test]
fn what_an_admission_policy_or_a_definition_adds_is_not_drift() {
    let bed = Bed::new("mutated");
    let proxy = bed.proxy();
    let versions =
        bed.api().get("/apis/admissionregistration.k8s.io").unwrap_or_default()["versions"].to_string();
    let policy = |version: &str| {
        bed.api()
            .get(&format!("/apis/admissionregistration.k8s.io/{version}"))
            .unwrap_or_default()
            .to_string()
            .contains("mutatingadmissionpolicies")
    };
    let version =
        ["v1", "v1beta1"].into_iter().find(|version| versions.contains(*version) && policy(version));
    if let Some(version) = version {
        let api = format!("admissionregistration.k8s.io/{version}");
        bed.api().apply(&json!({
            "apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": bed.name},
            "spec": {
                "reinvocationPolicy": "Never", "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bed.name}},
                    "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                                       "resources": ["configmaps"]}],
                },
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                    "Object{metadata: Object.metadata{labels: {\"injected\": \"yes\"}}, data: {\"value\": \"mutated\"}}"}}],
            },
        }));
        bed.api().apply(&json!({
            "apiVersion": api, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": bed.name},
            "spec": {"policyName": bed.name},
        }));
        // A new policy holds a moment after it was made.
        wait_until(SOON, "the policy holds", || {
            let name = format!(
                "probe-{}",
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(0, |time| time.as_millis())
            );
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": bed.name}});
            bed.api().create(&object)["data"]["value"] == "mutated"
        });
    }
    let _agent = bed.agent_through(&proxy);
    bed.wait_ready(&bed.commit_web(&(configmap("settings", "1") + &deployment("web", &[]))));
    if version.is_some() {
        assert_eq!(bed.configmap("settings").expect("it is there")["data"]["value"], "mutated");
    }
    std::thread::sleep(2 * SECOND);
    let began = Instant::now();
    holds_for(4 * SECOND, "nothing is told or written", || {
        proxy.since(began, &[Class::Write, Class::DryRun]).is_empty()
            && !bed.events().iter().any(|event| event.starts_with("Drift"))
    });
    if let Some(version) = version {
        for plural in ["mutatingadmissionpolicybindings", "mutatingadmissionpolicies"] {
            bed.api().delete(&format!("/apis/admissionregistration.k8s.io/{version}/{plural}/{}", bed.name));
        }
    }
}
