//! Plays what a store does with its Secrets, request by request, with processes that die between any two of them.

mod crashes;
mod damage;
mod stories;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::log::Limits;
use super::*;
use crate::object::{EnvironmentName, Gvk, Place, TreePath};
use crate::plan::{Answer, CheckedPlan, Wanted, WantedApp, check, plan};

/// The Secrets of one environment.
#[derive(Clone, Default)]
struct Secrets {
    contents: Option<Contents>,
    /// Counts the swaps.
    version: usize,
    pieces: BTreeMap<Digest, Piece>,
    requests: Requests,
    /// The process dies when it has made so many requests more.
    dies_after: Option<usize>,
}

/// What was asked of the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Requests {
    swaps: usize,
    puts: usize,
    gets: usize,
    drops: usize,
    /// Bytes that were written.
    bytes: usize,
    /// Bytes of the largest document with its journal.
    largest: usize,
}

impl Requests {
    fn all(&self) -> usize {
        self.swaps + self.puts + self.gets + self.drops
    }
}

/// Why something was not saved.
#[derive(Debug, PartialEq)]
enum Failed {
    Died,
    /// Someone else swapped.
    Moved,
}

impl Secrets {
    fn request(&mut self) -> Result<(), Failed> {
        match &mut self.dies_after {
            Some(0) => Err(Failed::Died),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Does what `agent::state_store::batch` does, in its order.
    fn write(&mut self, before: &Log, version: usize, writes: &Writes) -> Result<(), Failed> {
        for piece in writes.puts.iter().filter(|piece| !before.is_there(&piece.name)) {
            self.request()?;
            self.requests.puts += 1;
            self.requests.bytes += piece.bytes.len();
            self.pieces.insert(piece.name.clone(), piece.clone());
        }
        self.request()?;
        self.requests.swaps += 1;
        if version != self.version {
            return Err(Failed::Moved);
        }
        self.version += 1;
        self.requests.bytes += writes.contents.size();
        self.requests.largest = self.requests.largest.max(writes.contents.size());
        self.contents = Some(writes.contents.clone());
        Ok(())
    }

    fn drop_pieces(&mut self, drops: &BTreeSet<Digest>) -> Result<(), Failed> {
        for piece in drops {
            self.request()?;
            self.requests.drops += 1;
            self.pieces.remove(piece);
        }
        Ok(())
    }

    /// What a process reads when it starts. All that is needed has to be there.
    fn read(&self, limits: Limits) -> Log {
        let Some(contents) = &self.contents else { return Log::new(&environment()).with_limits(limits) };
        let document = Document::read(contents, &environment()).expect("the document can be read");
        let piece = |name: &Digest| self.pieces.get(name).cloned().ok_or(Damage::Missing(name.clone()));
        let needs = document.needs().into_iter().cloned().collect::<Vec<_>>();
        let pieces = needs.into_iter().map(|name| (name.clone(), piece(&name))).collect();
        let (log, damage) = Log::read(document, &pieces).expect("everything that it names can be read");
        assert_eq!(damage, None);
        log.with_limits(limits)
    }

    fn sweep(&mut self, log: &Log) {
        let needed = log.needed();
        self.pieces.retain(|name, _| needed.contains(name));
    }

    /// All that the pieces of a list hold.
    fn fetch(&self, list: &Pieces) -> Vec<u8> {
        let stored: Vec<Piece> =
            list.names().map(|name| self.pieces.get(name).expect("it is there").clone()).collect();
        unpack(list, &stored).expect("it can be read")
    }

    /// What an app wanted, wherever it stands.
    fn good(&self, log: &Log, app: &AppName, good: &Good) -> Stored {
        let lines = match log.fresh(app, good) {
            Some(lines) => lines.to_vec(),
            None => good.pieces.part_of(&self.fetch(&good.pieces)).unwrap().to_vec(),
        };
        read_lines(app, &good.digest, &lines).unwrap()
    }

    /// Writes what is left of thin lists anew, where it is time.
    fn gather(&mut self, log: &mut Log) -> Result<(), Failed> {
        let mut lists = Vec::new();
        for list in log.thin() {
            self.request()?;
            self.requests.gets += list.names().count();
            lists.push((list.clone(), self.fetch(&list)));
        }
        let Some(writes) = log.gather(&lists) else { return Ok(()) };
        self.write(log, self.version, &writes)?;
        *log = writes.log;
        self.drop_pieces(&writes.drops)
    }
}

fn environment() -> EnvironmentName {
    EnvironmentName::new("dev").unwrap()
}

fn name(n: usize) -> AppName {
    AppName::new(&format!("app-{n:05}")).unwrap()
}

/// An app of four objects, as people write them.
fn app(n: usize, version: usize) -> Arc<WantedApp> {
    let app = name(n);
    let meta = |name: String| json!({"name": name, "namespace": format!("team-{}", n % 20), "labels": {"app": app.as_str()}});
    let objects = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(format!("{app}-config")),
            "data": {"version": version.to_string(), "url": format!("https://{app}.example.com/{version}"), "level": "info"}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(app.to_string())}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": meta(app.to_string()),
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}], "selector": {"app": app.as_str()}}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(app.to_string()), "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": app.as_str()}}, "template": {
                "metadata": {"labels": {"app": app.as_str()}},
                "spec": {"serviceAccountName": app.as_str(), "containers": [{
                    "name": "web", "image": format!("registry.example.com/{app}:1.{version}"),
                    "ports": [{"containerPort": 8080}], "envFrom": [{"configMapRef": {"name": format!("{app}-config")}}],
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}}]}}}}),
    ];
    let objects: Vec<Arc<Wanted>> = objects.into_iter().map(wanted).collect();
    let digest = Digest::of_parts(objects.iter().map(|object| object.digest.as_str()));
    Arc::new(WantedApp::of_objects(app, digest, objects))
}

fn wanted(object: Value) -> Arc<Wanted> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap().to_owned();
    let (kind, name, namespace) = (text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
    let (group, version) = match text("/apiVersion").split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), text("/apiVersion")),
    };
    let key = ObjectKey::new(&group, &kind, Some(&namespace), &name);
    let place = Place::at(TreePath::new(&format!("apps/{name}/all.yaml")).unwrap(), 3, 1);
    let digest = Digest::of_json(&object);
    let gvk = Gvk::new(&group, &version, &kind);
    Arc::new(Wanted::stored(key, gvk, place, digest, 0, Vec::new(), object).unwrap())
}

fn checked(wanted: &WantedApp) -> Arc<CheckedPlan> {
    let plan = plan(wanted, &BTreeMap::new()).unwrap();
    let answers = vec![Answer::Asked(crate::plan::Asked::default()); plan.count()];
    Arc::new(check(plan, answers).unwrap())
}

fn uid(key: &ObjectKey, of: usize) -> Box<str> {
    let digest = Digest::of(format!("{key} {of}").as_bytes());
    let hex = digest.as_str();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]).into()
}

fn uids(wanted: &WantedApp, of: usize) -> Vec<(ObjectKey, Box<str>)> {
    wanted.objects.iter().map(|object| (object.key.clone(), uid(&object.key, of))).collect()
}

fn rolling(wanted: &WantedApp) -> Rolling {
    let state = rollout::State::start(wanted.digest.clone());
    Rolling { state, changed: None, commit: Some(commit()), secrets: WithSecrets::of(wanted) }
}

fn commit() -> Commit {
    Commit::new(
        Revision::new("0123456789abcdef0123456789abcdef01234567"),
        "Ada <ada@example.com>",
        "Scale the web",
    )
}

fn record(wanted: &WantedApp, at: i64) -> RolloutRecord {
    RolloutRecord {
        app: wanted.app.clone(),
        digest: wanted.digest.clone(),
        from: None,
        commit: Some(commit()),
        outcome: crate::object::Outcome::Done,
        started: jiff::Timestamp::from_millisecond(1_700_000_000_000 + at).unwrap(),
        ended: jiff::Timestamp::from_millisecond(1_700_000_009_000 + at).unwrap(),
        objects: 4,
        by: None,
        why: None,
        secrets: Default::default(),
    }
}
