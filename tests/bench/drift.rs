//! An edit by hand: how soon it is seen, and how soon it is put back, of single objects and of many at once; beside a client
//! that does nothing else: it watches, and answers each edit that it sees with one PATCH.
//!
//! Every object is edited once, so no pause of the agent's patience is measured. When the agent saw an edit is what it wrote
//! into its history; all else is what a watch of our own shows, from the moment before the edit is sent.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fairlead::history::{Entry, EntryKind, Place, Query, Reader};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use http::{Method, Request};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::client::Body;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::bare;
use crate::control_plane::ControlPlane;
use crate::subject::{self, Fairlead, NAMESPACE, Subject, bodies, identity, kubectl_apply, user};
use crate::workload::{Phase, Workload};

pub const NAME: &str = "drift";
/// Edited one after the other, each once the last one was put back.
const SINGLE: usize = 200;
/// Edited together.
const TOGETHER: usize = 1_000;
/// As many as `kubectl` and most controllers have under way at once, and more.
const AT_ONCE: usize = 16;
const LIMIT: Duration = Duration::from_secs(600);
const BARE: &str = "drift-bare";
const BY_HAND: &str = "by hand";

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub who: String,
    pub what: String,
    /// How many were edited at once.
    pub edits: usize,
    pub objects: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub resident_mib: f64,
    pub peak_mib: f64,
}

/// What is edited of so many objects.
#[derive(Clone, Copy)]
struct Size {
    objects: usize,
    single: usize,
    together: usize,
}

impl Size {
    /// Of fewer objects less is edited, for every one is edited once.
    fn of(objects: usize) -> Self {
        Self { objects, single: SINGLE.min(objects / 5).max(1), together: TOGETHER.min(objects / 2).max(1) }
    }
}

pub async fn measure(objects: Option<usize>) -> Vec<Row> {
    let size = Size::of(objects.unwrap_or(10_000));
    let plane = ControlPlane::start();
    let workload = Workload::configmaps(NAME, size.objects);
    subject::warm(&plane, &Workload::configmaps(NAME, size.objects.max(100))).await;
    let mut rows = Vec::new();

    plane.namespace(BARE).await;
    kubectl_apply(&plane, &identity(BARE));
    let all: Vec<(String, Bytes)> =
        bodies(&workload, BARE, Phase::First).into_iter().take(size.single + size.together).collect();
    let client = plane.client().await;
    bare::prove_and_apply(&client, &user(BARE), &all, AT_ONCE).await;
    rows.push(one_patch(&client, &all, size).await);
    let healer = Healer::start(&client, all.clone()).await;
    let edits = Edits::new(&plane, BARE).await;
    rows.extend(edits.measure("bare watch and PATCH", size, |edit| Some(edit.seen)).await);
    drop((healer, edits));

    let mut fairlead = Fairlead::new(&plane, &workload).await;
    plane.namespace(NAMESPACE).await;
    fairlead.apply(&plane, &workload, Phase::First).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let rest = fairlead.usage();
    let edits = Edits::new(&plane, NAMESPACE).await;
    let healed = edits.measure("fairlead", size, |_| None).await;
    let used = fairlead.usage();
    let seen = first_seen(&fairlead, size.single + size.together).await;
    rows.extend(edits.seen_by("fairlead", size, &seen));
    rows.extend(healed);
    for row in rows.iter_mut().filter(|row| row.who == "fairlead") {
        (row.resident_mib, row.peak_mib) = (rest.resident_mib, used.peak_mib);
    }
    for row in &rows {
        eprintln!(
            "   {:<22} {:<16} {:>5} at once: p50 {:>8.1} ms, p99 {:>8.1} ms",
            row.who, row.what, row.edits, row.p50_ms, row.p99_ms
        );
    }
    rows
}

pub fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "\n### drift\n\n| what | edits at once | of objects | who | p50, ms | p99, ms | most, ms | MiB at rest (peak) |\n{}\n",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |"
    );
    for row in rows {
        let memory = match row.peak_mib > 0.0 {
            true => format!("{:.0} ({:.0})", row.resident_mib, row.peak_mib),
            false => "–".to_owned(),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {memory} |",
            row.what, row.edits, row.objects, row.who, row.p50_ms, row.p99_ms, row.max_ms
        );
    }
    out
}

fn row(who: &str, what: &str, (edits, objects): (usize, usize), mut times: Vec<f64>) -> Row {
    times.sort_by(f64::total_cmp);
    // The smallest that so many of all are not above.
    let at = |share: f64| {
        let nth = (share * times.len() as f64).ceil() as usize;
        times.get(nth.clamp(1, times.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    };
    Row {
        who: who.to_owned(),
        what: what.to_owned(),
        edits,
        objects,
        p50_ms: at(0.50),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        resident_mib: 0.0,
        peak_mib: 0.0,
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

async fn apply(client: &kube::Client, user: &str, path: &str, body: &Bytes) {
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(format!("{path}?fieldValidation=Ignore&fieldManager=barelead&force=true"))
        .header("impersonate-user", user)
        .header("content-type", "application/apply-patch+yaml")
        .header("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .body(Body::from(body.clone()))
        .expect("a request");
    let response = client.send(request).await.expect("an answer");
    assert!(response.status().is_success(), "{}", response.status());
    response.into_body().collect_bytes().await.expect("a body");
}

async fn edit(client: &kube::Client, namespace: &str, name: &str) {
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(format!("/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager=kubectl-edit"))
        .header("content-type", "application/merge-patch+json")
        .body(Body::from(format!("{{\"data\":{{\"round\":\"{BY_HAND}\"}}}}").into_bytes()))
        .expect("a request");
    let response = client.send(request).await.expect("an answer");
    assert!(response.status().is_success(), "{}", response.status());
    response.into_body().collect_bytes().await.expect("a body");
}

/// What the server takes for the write that puts an object back, with nothing else to do.
async fn one_patch(client: &kube::Client, all: &[(String, Bytes)], size: Size) -> Row {
    let mut times = Vec::new();
    for (path, body) in all.iter().take(size.single) {
        // Something has to change, or the server writes nothing.
        let name = path.rsplit('/').next().expect("a name");
        edit(client, BARE, name).await;
        let began = Instant::now();
        apply(client, &user(BARE), path, body).await;
        times.push(milliseconds(began.elapsed()));
    }
    row("bare client", "one PATCH", (1, size.objects), times)
}

/// What a watch tells: an object, whether it is as somebody set it by hand, and when.
struct Told {
    name: String,
    is_by_hand: bool,
    at: Instant,
}

/// Watches the ConfigMaps of a namespace until nobody listens any more.
async fn watch(client: &kube::Client, namespace: &str) -> mpsc::UnboundedReceiver<Told> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let list = api.list_metadata(&ListParams::default().limit(1)).await.expect("a list");
    let mut version = list.metadata.resource_version.expect("a version");
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let Ok(events) = api.watch(&WatchParams::default(), &version).await else { continue };
            let mut events = std::pin::pin!(events);
            while let Ok(Some(event)) = events.try_next().await {
                let at = Instant::now();
                let (WatchEvent::Added(map) | WatchEvent::Modified(map)) = event else { continue };
                version = map.metadata.resource_version.clone().unwrap_or(version);
                let round = map.data.as_ref().and_then(|data| data.get("round"));
                let is_by_hand = round.is_some_and(|round| round == BY_HAND);
                let name = map.metadata.name.unwrap_or_default();
                if sender.send(Told { name, is_by_hand, at }).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

/// Answers each edit that it sees with one PATCH, and knows nothing else.
struct Healer(tokio::task::JoinHandle<()>);

impl Healer {
    async fn start(client: &kube::Client, all: Vec<(String, Bytes)>) -> Self {
        let named = all
            .into_iter()
            .map(|(path, body)| (path.rsplit('/').next().unwrap_or("").to_owned(), (path, body)));
        let all: Arc<HashMap<String, (String, Bytes)>> = Arc::new(named.collect());
        let (client, told) = (client.clone(), watch(client, BARE).await);
        Self(tokio::spawn(async move {
            let edits = stream::unfold(told, |mut told| async { told.recv().await.map(|one| (one, told)) });
            let edits = edits.filter(|told| futures::future::ready(told.is_by_hand));
            edits
                .for_each_concurrent(AT_ONCE, |told| {
                    let (client, all) = (client.clone(), all.clone());
                    async move {
                        if let Some((path, body)) = all.get(&told.name) {
                            apply(&client, &user(BARE), path, body).await;
                        }
                    }
                })
                .await;
        }))
    }
}

impl Drop for Healer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One edit, from the moment before it is sent.
#[derive(Clone, Copy)]
struct Edit {
    /// By the clock on the wall, in milliseconds since 1970.
    sent_at: f64,
    /// Until our own watch showed it.
    seen: f64,
    /// Until our own watch showed that it is put back.
    healed: f64,
}

struct Edits {
    client: kube::Client,
    namespace: &'static str,
    told: tokio::sync::Mutex<mpsc::UnboundedReceiver<Told>>,
    done: std::sync::Mutex<BTreeMap<String, Edit>>,
}

impl Edits {
    async fn new(plane: &ControlPlane, namespace: &'static str) -> Self {
        let client = plane.client().await;
        let told = watch(&client, namespace).await;
        Self { client, namespace, told: tokio::sync::Mutex::new(told), done: std::sync::Mutex::default() }
    }

    /// Edits single objects and many together; `seen` says when an edit was seen, where that is known here.
    async fn measure(&self, who: &str, size: Size, seen: impl Fn(&Edit) -> Option<f64>) -> Vec<Row> {
        let names = names(size);
        let (single, together) = names.split_at(size.single);
        for name in single {
            self.edit(std::slice::from_ref(name)).await;
        }
        self.edit(together).await;
        let done = self.done.lock().expect("nobody panicked").clone();
        let mut rows = Vec::new();
        for (edits, names) in [(1, single), (size.together, together)] {
            let times = |of: &dyn Fn(&Edit) -> Option<f64>| -> Vec<f64> {
                names.iter().filter_map(|name| of(&done[name])).collect()
            };
            let seen = times(&|edit| seen(edit));
            if !seen.is_empty() {
                rows.push(row(who, "edit → seen", (edits, size.objects), seen));
            }
            rows.push(row(who, "edit → healed", (edits, size.objects), times(&|edit| Some(edit.healed))));
        }
        rows
    }

    /// Edits some objects, so many at once, and waits until all of them are put back.
    async fn edit(&self, names: &[String]) {
        let began: std::sync::Mutex<HashMap<String, (Instant, f64)>> = std::sync::Mutex::default();
        let sends = stream::iter(names).for_each_concurrent(AT_ONCE, |name| {
            let began = &began;
            async move {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
                began
                    .lock()
                    .expect("nobody panicked")
                    .insert(name.clone(), (Instant::now(), milliseconds(wall)));
                edit(&self.client, self.namespace, name).await;
            }
        });
        let waits = async {
            let mut told = self.told.lock().await;
            let (mut seen, mut left) = (HashMap::new(), names.len());
            while left > 0 {
                let one = tokio::time::timeout(LIMIT, told.recv()).await;
                let one = one.expect("it is put back in time").expect("the watch goes on");
                let Some((sent, sent_at)) = began.lock().expect("nobody panicked").get(&one.name).copied()
                else {
                    continue;
                };
                let time = milliseconds(one.at.saturating_duration_since(sent));
                match (one.is_by_hand, seen.get(&one.name).copied()) {
                    (true, None) => drop(seen.insert(one.name, time)),
                    (false, Some(first)) => {
                        let edit = Edit { sent_at, seen: first, healed: time };
                        if self.done.lock().expect("nobody panicked").insert(one.name, edit).is_none() {
                            left -= 1;
                        }
                    }
                    _ => {}
                }
            }
        };
        futures::join!(sends, waits);
    }

    /// When somebody else saw the edits, by the clock on the wall.
    fn seen_by(&self, who: &str, size: Size, seen: &HashMap<String, f64>) -> Vec<Row> {
        let names = names(size);
        let (single, together) = names.split_at(size.single);
        let done = self.done.lock().expect("nobody panicked");
        let rows = [(1, single), (size.together, together)].map(|(edits, names)| {
            let times = names.iter().filter_map(|name| Some((seen.get(name)? - done[name].sent_at).max(0.0)));
            row(who, "edit → seen", (edits, size.objects), times.collect())
        });
        rows.to_vec()
    }
}

fn names(size: Size) -> Vec<String> {
    (0..size.single + size.together).map(|n| format!("object-{n:05}")).collect()
}

/// When the agent first saw each object otherwise, as it wrote it down.
async fn first_seen(fairlead: &Fairlead, count: usize) -> HashMap<String, f64> {
    let place = Place::file(&fairlead.history());
    let began = Instant::now();
    loop {
        let query = Query {
            kinds: vec![EntryKind::Drift],
            limit: u32::try_from(count * 2).expect("few"),
            ..Query::default()
        };
        let mut reader = Reader::open(&place).await.expect("the history");
        let found = reader.read(&query).await.expect("records");
        reader.close().await;
        let seen: HashMap<String, f64> = found
            .entries
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Drift(record) => {
                    let at = record.first_seen.as_microsecond() as f64 / 1_000.0;
                    Some((record.object.name.to_string(), at))
                }
                _ => None,
            })
            .collect();
        if seen.len() >= count {
            return seen;
        }
        assert!(began.elapsed() < LIMIT, "{} of {count} are in the history", seen.len());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
