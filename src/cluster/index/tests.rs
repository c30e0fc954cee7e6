use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::cluster::fake::{Answer, Fake};
use crate::object::{Digest, Gvk, Place, TreePath};

const LABEL: &str = names::ENVIRONMENT_LABEL;
/// Longer than any of these tests.
const SILENCE: Duration = Duration::from_secs(60);
const AUTOSCALERS: &str = "/horizontalpodautoscalers";

/// What a server serves, as aggregated discovery tells it.
fn discovery(line: &str, with_things: bool) -> Option<Answer> {
    let resource = |name: &str, kind: &str| json!({"resource": name, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": ["patch"]});
    let group = |name: &str, version: &str, resources: Value| json!({"metadata": {"name": name}, "versions": [{"version": version, "resources": resources}]});
    let items = if line.starts_with("GET /apis ") {
        let mut items = vec![
            group("apps", "v1", json!([resource("deployments", "Deployment")])),
            group(
                "autoscaling",
                "v2",
                json!([resource("horizontalpodautoscalers", "HorizontalPodAutoscaler")]),
            ),
        ];
        items.extend(with_things.then(|| group("example.org", "v1", json!([resource("things", "Thing")]))));
        items
    } else if line.starts_with("GET /api ") {
        vec![group("", "v1", json!([resource("configmaps", "ConfigMap")]))]
    } else {
        return None;
    };
    Some(Answer::new(200, &json!({"items": items}).to_string()))
}

fn list(items: &[Value]) -> Answer {
    let list =
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "5"}, "items": items});
    Answer::new(200, &list.to_string())
}

fn status(code: u16) -> Answer {
    let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
        "reason": "Said", "message": "no"});
    Answer::new(code, &status.to_string())
}

fn configmap(environment: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "web", "uid": name,
        "resourceVersion": "1", "labels": {LABEL: environment, "app": name},
        "managedFields": [{"manager": "fairlead", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {format!("f:{name}"): {}}}}]}})
}

fn watched(kinds: &[(&str, &str)]) -> BTreeSet<Watched> {
    let mut inventory = Inventory::default();
    for (group, kind) in kinds {
        inventory.add(Gvk::new(group, "", kind).group_kind(), None);
    }
    Watched::held(&inventory)
}

/// An index of a server that answers so, once its kinds were told.
async fn index(
    silence: Duration,
    answer: impl Fn(&str, usize) -> Option<Answer> + Send + Sync + 'static,
) -> (Fake, Index) {
    let fake = Fake::start(silence, move |n, line| discovery(line, false).or_else(|| answer(line, n))).await;
    let session = Session::open(fake.cluster.clone()).await.expect("the fake answers");
    (fake, Index::new(session, LABEL))
}

fn is_watch(line: &str) -> bool {
    line.contains("watch=true")
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

fn live(object: &Value) -> Live {
    Live::read(object).expect("an object")
}

impl Index {
    /// Objects and watches; kinds, dry runs that are remembered, environments with objects; labels and entries; rules;
    /// listeners.
    fn counts(&self) -> Vec<usize> {
        let state = self.lock();
        let mut counts = vec![state.objects.count(), state.watches.len()];
        counts.extend(state.objects.counts());
        counts.push(state.listeners.len());
        drop(state);
        counts.extend(self.sharing().counts());
        counts.push(self.judges.count());
        counts
    }
}

#[tokio::test]
async fn an_autoscaler_that_came_while_the_version_was_gone_is_known() {
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "scaler", "namespace": "web", "resourceVersion": "6"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}});
    let gone = AtomicBool::new(false);
    let (_fake, index) = index(SILENCE, move |line, _| match (line.contains(AUTOSCALERS), is_watch(line)) {
        (true, false) if gone.load(Ordering::Relaxed) => Some(list(std::slice::from_ref(&hpa))),
        (true, false) => Some(list(&[])),
        // In place of the first watch, and of each one from that version on.
        (true, true) if line.contains("resourceVersion=5") && !gone.swap(true, Ordering::Relaxed) => {
            Some(status(410))
        }
        _ => None,
    })
    .await;
    let watches = index.watch_autoscalers();
    watches.listed().await.expect("they are listed");
    let scaled = ObjectKey::new("apps", "Deployment", Some("web"), "a");
    until("it is known", || index.autoscaled(&scaled) == Some(true)).await;
}

#[tokio::test]
async fn a_kind_that_is_never_listed_holds_up_nothing_else() {
    let (_fake, index) = index(SILENCE, |line, _| {
        (line.contains("/configmaps") && !is_watch(line)).then(|| list(&[configmap("a", "one")]))
    })
    .await;
    let bell = index.listen("b");
    let both = index.watch(&watched(&[("", "ConfigMap"), ("apps", "Deployment")]));
    assert!(matches!(both.state(), Listed::NotYet { .. }));
    // It rings for an environment that has none of the objects, as it may wait for the listing all the same.
    tokio::time::timeout(Duration::from_secs(20), bell.notified()).await.expect("it rings");
    assert_eq!(both.state(), Listed::NotYet { kinds: vec!["Deployment.apps".to_owned()] });
    assert_eq!(index.watch(&watched(&[("", "ConfigMap")])).state(), Listed::Yes);
    assert_eq!(index.size(), (1, 2));
}

#[tokio::test]
async fn a_kind_that_cannot_be_listed_says_why_and_is_tried_again() {
    let refuses = Arc::new(AtomicBool::new(true));
    let refused = refuses.clone();
    let (_fake, index) =
        index(SILENCE, move |line, _| match (refused.load(Ordering::Relaxed), is_watch(line)) {
            (true, _) => Some(status(403)),
            (false, false) => Some(list(&[])),
            (false, true) => None,
        })
        .await;
    let bell = index.listen("a");
    let watches = index.watch(&watched(&[("", "ConfigMap")]));
    bell.notified().await;
    let Listed::Failing { kind, why } = watches.state() else { panic!("{:?}", watches.state()) };
    assert_eq!(kind, "ConfigMap");
    assert!(why.contains("no"), "{why}");
    assert!(matches!(watches.listed().await, Err(IndexError::Watch { .. })));
    refuses.store(false, Ordering::Relaxed);
    tokio::time::timeout(Duration::from_secs(20), bell.notified()).await.expect("it rings");
    assert_eq!(watches.state(), Listed::Yes);
}

#[tokio::test]
async fn a_kind_is_watched_while_a_guard_is_held_and_once_for_all() {
    let (fake, index) =
        index(SILENCE, |line, _| (!is_watch(line)).then(|| list(&[configmap("a", "one")]))).await;
    let before = index.counts();
    let kinds = watched(&[("", "ConfigMap")]);
    let first = index.watch(&kinds);
    first.listed().await.expect("it is listed");
    let (again, second) = (first.clone(), index.watch(&kinds));
    assert_eq!(second.state(), Listed::Yes, "it was listed for the first");
    assert_eq!(second.watched(), &kinds);
    drop(first);
    drop(again);
    let key = ObjectKey::new("", "ConfigMap", Some("web"), "one");
    assert!(index.get(&key).is_some(), "one more guard is held");
    assert_eq!(index.strays("a", &WantedKeys::default()).1, 1);
    drop(second);
    assert!(index.get(&key).is_none());
    assert_eq!(index.counts(), before);
    let lists = fake.asked().iter().filter(|line| line.contains("/configmaps") && !is_watch(line)).count();
    assert_eq!(lists, 1);
    index.watch(&kinds).listed().await.expect("it is listed anew");
}

#[tokio::test]
async fn a_kind_that_is_served_later_is_watched_from_then_on() {
    let served = Arc::new(AtomicBool::new(false));
    let there = served.clone();
    let fake = Fake::start(SILENCE, move |_, line| {
        discovery(line, there.load(Ordering::Relaxed)).or_else(|| (!is_watch(line)).then(|| list(&[])))
    })
    .await;
    let session = Session::open(fake.cluster.clone()).await.expect("the fake answers");
    let index = Index::new(session.clone(), LABEL);
    let watches = index.watch(&watched(&[("example.org", "Thing")]));
    assert_eq!((watches.state(), index.size()), (Listed::Yes, (0, 0)), "it holds nothing");
    served.store(true, Ordering::Relaxed);
    session.refresh().await.expect("the fake answers");
    assert_eq!(watches.state(), Listed::NotYet { kinds: vec!["Thing.example.org".to_owned()] });
    watches.listed().await.expect("it is listed");
    assert_eq!(index.size(), (0, 1));
}

#[tokio::test]
async fn new_rules_of_one_environment_hold_up_no_other() {
    let refuses = Arc::new(AtomicBool::new(false));
    let refused = refuses.clone();
    let (_fake, index) =
        index(SILENCE, move |line, _| match (refused.load(Ordering::Relaxed), is_watch(line)) {
            (_, true) => None,
            (true, false) => Some(status(403)),
            (false, false) => Some(list(&[])),
        })
        .await;
    let kinds = watched(&[("apps", "Deployment")]);
    let [a, b] = ["a", "b"].map(|name| index.watch_for(name, &kinds));
    a.listed().await.expect("it is listed");
    let rule = Rule { group: "apps".to_owned(), kind: "Deployment".to_owned(), ..Rule::default() };
    refuses.store(true, Ordering::Relaxed);
    index.judge("a", &[Rule { healthy: Some("true".to_owned()), ..rule }]);
    assert!(matches!(a.state(), Listed::NotYet { .. }), "what is known was judged by other rules");
    assert_eq!(b.state(), Listed::Yes);
    until("it is refused", || matches!(a.state(), Listed::Failing { .. })).await;
    assert_eq!(b.state(), Listed::Yes, "and that is not its concern");
    assert!(matches!(index.watch(&kinds).state(), Listed::Failing { .. }));
    refuses.store(false, Ordering::Relaxed);
    until("it is listed", || a.state() == Listed::Yes).await;
}

#[tokio::test]
async fn a_panic_under_the_lock_fails_nothing_but_itself() {
    let (_fake, index) =
        index(SILENCE, |line, _| (!is_watch(line)).then(|| list(&[configmap("a", "one")]))).await;
    let watches = index.watch(&watched(&[("", "ConfigMap")]));
    watches.listed().await.expect("it is listed");
    let panicking = index.clone();
    let panicked = std::thread::spawn(move || {
        let mut state = panicking.lock();
        state.objects.count_only(&Arc::new(live(&configmap("b", "two"))));
        let _sharing = panicking.sharing.lock();
        panic!("in the middle of a change");
    });
    assert!(panicked.join().is_err());
    assert_eq!(watches.state(), Listed::Yes);
    assert_eq!(index.strays("a", &WantedKeys::default()).1, 1);
    assert_eq!(
        index.strays("b", &WantedKeys::default()).1,
        0,
        "what the panic left half done is counted anew"
    );
    index.note_write(live(&configmap("b", "two")));
    assert_eq!(index.strays("b", &WantedKeys::default()).1, 1);
}

/// Writes `name` as an environment does, and takes its deletion as the watch does.
fn write_and_delete(index: &Index, environment: &str, name: &str) {
    let object = configmap(environment, name);
    index.note_write(live(&object));
    let key = live(&object).key;
    let found = index.live(&key).expect("it is known");
    let (gvk, place) =
        (Gvk::new("", "v1", "ConfigMap"), Place::file(TreePath::new("a.yaml").expect("a path")));
    let digest = Digest::of(name.as_bytes());
    let wanted =
        Wanted::stored(key.clone(), gvk, place, digest, 0, Vec::new(), object.clone()).expect("an object");
    index.note_settled(&wanted, &found);
    assert!(index.known_settled(&wanted, &found));
    drop(found);
    assert_eq!(index.strays(environment, &WantedKeys::default()).0.len(), 1);
    let change = index.lock().objects.remove(&watched::Id::of(&key), index.share(live(&object)));
    index.release(change.gone);
}

#[tokio::test]
async fn ten_thousand_commits_with_new_names_leave_nothing_behind() {
    let (_fake, index) = index(SILENCE, |line, _| (!is_watch(line)).then(|| list(&[]))).await;
    let watches = index.watch(&watched(&[("", "ConfigMap")]));
    watches.listed().await.expect("it is listed");
    let before = index.counts();
    for n in 0..10_000 {
        write_and_delete(&index, "a", &format!("settings-{n}"));
    }
    assert_eq!(index.counts(), before);
}

#[tokio::test]
async fn two_hundred_environments_that_came_and_went_leave_nothing_behind() {
    let (_fake, index) = index(SILENCE, |line, _| (!is_watch(line)).then(|| list(&[]))).await;
    let before = index.counts();
    let mut all = Vec::new();
    for n in 0..200 {
        let name = format!("environment-{n}");
        let (bell, scalers) = (index.listen(&name), index.watch_autoscalers());
        let watches = index.watch(&watched(&[("", "ConfigMap"), ("apps", "Deployment")]));
        watches.listed().await.expect("it is listed");
        let rule = Rule { group: "apps".to_owned(), kind: "Deployment".to_owned(), ..Rule::default() };
        index.judge(&name, &[Rule { healthy: Some(format!("{n} > 0")), ..rule }]);
        write_and_delete(&index, &name, &format!("gone-{n}"));
        index.note_write(live(&configmap(&name, &format!("stays-{n}"))));
        all.push((name, bell, scalers, watches));
    }
    assert_eq!(index.size(), (200, 3));
    for (name, ..) in &all {
        index.forget(name);
    }
    drop(all);
    assert_eq!(index.counts(), before);
}
