//! A Lease of a third cluster as the shared place of regions.

#[path = "../place/contract.rs"]
mod contract;

use std::path::Path;
use std::time::{Duration, Instant};

use fairlead::agent::shared_place::SharedPlace;
use fairlead::cluster::LeasePlace;
use fairlead::region::{Answer, Call, PlaceError};
use serde_json::{Value, json};

use crate::bed::rbac::person;
use crate::bed::{Class, ControlPlane, Effect, Fault, Proxy, RUNTIME, config, fairlead, wait_until};
use contract::{is_unreachable, keeps_the_contract, lacks, read, record, swap, swapped};

const WITHIN: Duration = Duration::from_secs(5);
const NAMED: &str = "the Lease";

/// A namespace of the shared control plane, with nothing in it.
fn namespace(name: &str) -> String {
    let name = format!("regions-{name}");
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    ControlPlane::shared().api.apply(&object);
    name
}

fn place(kubeconfig: &Path, namespace: &str, within: Duration) -> SharedPlace {
    let mut config = config(kubeconfig);
    config.default_retry = false;
    let client = RUNTIME.block_on(async { kube::Client::try_from(config) }).expect("a client");
    SharedPlace::Lease(Box::new(LeasePlace::new(client, namespace, "production", within)))
}

/// The same through a proxy, as one who has the rights that are needed and no others.
fn place_through(proxy: &Proxy, namespace: &str, within: Duration) -> SharedPlace {
    let api = &ControlPlane::shared().api;
    let (_, token) = person(api, namespace, "fence", "none", &["retry"]);
    let meta = json!({"name": "fence", "namespace": namespace});
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta,
        "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch"]}],
    }));
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "fence"},
        "subjects": [{"kind": "ServiceAccount", "name": "fence", "namespace": namespace}],
    }));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    let kubeconfig = std::fs::read(proxy.kubeconfig()).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_json::from_slice(&kubeconfig).expect("JSON");
    kubeconfig["users"][0]["user"]["token"] = token.into();
    std::fs::write(&path, kubeconfig.to_string()).expect("it is written");
    let place = place(&path, namespace, within);
    // The authorizer learns of a binding by a watch.
    wait_until(WITHIN, "the rights are known", || {
        RUNTIME.block_on(place.ask(Call::Read)) == Answer::Read(None)
    });
    place
}

#[test]
fn a_lease_is_a_shared_place() {
    let namespace = namespace("contract");
    let place = place(&ControlPlane::shared().kubeconfig, &namespace, WITHIN);
    RUNTIME.block_on(keeps_the_contract(&place));
}

#[test]
fn an_answer_about_a_lease_that_is_lost_is_found_out_by_the_stamp() {
    let namespace = namespace("lost");
    let proxy = Proxy::start(ControlPlane::shared());
    let place = place_through(&proxy, &namespace, WITHIN);
    RUNTIME.block_on(async {
        let first = swapped(swap(&place, None, record(0, 1)).await);
        proxy.set(Fault::nth(Class::Lease, 1, Effect::CutAfter));
        is_unreachable(&swap(&place, Some(&first), record(1, 2)).await, NAMED);
        let stands = read(&place).await.expect("a record");
        assert_eq!(stands.record.written, record(1, 2).written, "it was done all the same");
        assert_eq!(swap(&place, Some(&first), record(2, 2)).await, Answer::Conflict);
    });
    assert_eq!(proxy.harmed(), 1, "it was asked once");
}

#[test]
fn a_cluster_that_does_not_answer_is_given_up_in_time() {
    let namespace = namespace("silent");
    let proxy = Proxy::start(ControlPlane::shared());
    let place = place_through(&proxy, &namespace, Duration::from_secs(1));
    RUNTIME.block_on(async {
        proxy.set(Fault::nth(Class::Get, 1, Effect::Silence));
        let began = Instant::now();
        is_unreachable(&place.ask(Call::Read).await, NAMED);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        for status in [429, 500, 503] {
            proxy.set(Fault::nth(Class::Lease, 1, Effect::answer(status)));
            is_unreachable(&swap(&place, None, record(0, 1)).await, NAMED);
        }
        proxy.set(Fault::nth(Class::Get, 1, Effect::CutBefore));
        is_unreachable(&place.ask(Call::Read).await, NAMED);
        assert_eq!(read(&place).await, None, "it answers again, and nothing was written");
    });
}

#[test]
fn a_missing_right_to_the_lease_is_named_and_what_is_no_record_is_not_overwritten() {
    let namespace = namespace("denied");
    let api = &ControlPlane::shared().api;
    let (_, token) = person(api, &namespace, "nobody", "none", &["retry"]);
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    ControlPlane::shared().write_kubeconfig(&kubeconfig, &token);
    let denied = place(&kubeconfig, &namespace, WITHIN);
    let allowed = place(&ControlPlane::shared().kubeconfig, &namespace, WITHIN);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "production", "namespace": namespace},
    });
    RUNTIME.block_on(async {
        let right = |verb: &str| format!("{verb} on leases.coordination.k8s.io in the namespace {namespace}");
        lacks(&denied.ask(Call::Read).await, &right("get"));
        lacks(&swap(&denied, None, record(0, 1)).await, &right("create"));
        let first = swapped(swap(&allowed, None, record(0, 1)).await);
        lacks(&swap(&denied, Some(&first), record(0, 2)).await, &right("patch"));
    });
    api.delete(&format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/production"));
    api.apply(&lease);
    RUNTIME.block_on(async {
        let answer = allowed.ask(Call::Read).await;
        assert!(matches!(answer, Answer::Failed(PlaceError::Unreadable { .. })), "{answer:?}");
        assert_eq!(swap(&allowed, None, record(0, 1)).await, Answer::Conflict);
    });
}

/// A repository with one environment that says this of its regions.
fn repository(region: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("environments/production");
    std::fs::create_dir_all(&path).expect("a folder");
    let text = format!(
        "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: []\n  # Where we are.\n  region:\n{region}"
    );
    std::fs::write(path.join("environment.yaml"), text).expect("it is written");
    folder
}

fn run(folder: &tempfile::TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = fairlead().args(arguments).current_dir(folder.path()).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_repoint_writes_the_change_and_shows_what_it_begins() {
    let folder =
        repository("    active: eu-west-1 # home\n    standby: [eu-central-1]\n    maxDataLoss: 30s\n");
    let file = folder.path().join("environments/production/environment.yaml");
    let before = std::fs::read_to_string(&file).expect("a file");
    let arguments =
        ["repoint", "production", "--to", "eu-central-1", "--ungraceful", "--reason", "it's on fire"];
    let (code, shown, _) = run(&folder, &[&arguments[..], &["--dry-run"]].concat());
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), before, "a dry run writes nothing");
    let (code, shown, errors) = run(&folder, &arguments);
    assert_eq!(code, Some(0), "{errors}");
    let wanted = "  # Where we are.\n  region:\n    active: eu-central-1 # home\n    epoch: 2\n    mode: ungraceful\n    \
                  standby: [eu-west-1]\n    maxDataLoss: 30s\n";
    let after = std::fs::read_to_string(&file).expect("a file");
    assert!(after.ends_with(wanted), "{after}");
    for said in [
        "+    active: eu-central-1 # home\n",
        "production moves from eu-west-1 to eu-central-1, ungraceful, as epoch 2",
        "   3. fence: 3 min at most\n",
        "Up to 30 s of data may be lost",
        "git commit -am 'Move production to eu-central-1: it'\\''s on fire'",
    ] {
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
    let (code, _, errors) = run(&folder, &arguments);
    assert_eq!(code, Some(2));
    assert!(errors.contains("production is active in eu-central-1 already"), "{errors}");
    let (code, _, errors) = run(&folder, &["repoint", "production", "--to", "us-east-1"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("us-east-1 is no standby") && errors.contains("it has eu-west-1"), "{errors}");
}

#[test]
fn what_is_wrong_with_regions_is_named_with_its_line() {
    for (region, says) in [
        ("    active: a\n    standby: [b, a]\n", "environment.yaml:8: a is the active region"),
        ("    active: a\n    objectives: {rto: soon}\n", "environment.yaml:8: spec/region/objectives/rto"),
        ("    active: A\n", "environment.yaml:7: spec/region/active"),
        (
            "    active: a\n    steps:\n      fence: {job: x}\n",
            "environment.yaml:9: fence is done without a Job",
        ),
    ] {
        let folder = repository(region);
        let (code, shown, errors) = run(&folder, &["validate"]);
        assert_eq!(code, Some(2), "{shown}{errors}");
        assert!(format!("{shown}{errors}").contains(says), "{says:?} is not in {shown}{errors}");
    }
}
