//! The thread on which the rules of one environment are tried. A slow rule keeps nobody waiting but its own team: not the watch
//! that brought the object, and not the verdicts of others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::guarded;
use crate::health::{self, Health, Rules};
use crate::object::{Live, ObjectKey};

/// About so many bytes of objects wait for a verdict. What there is no room for is read again once the others have theirs.
const ROOM: usize = 16 * 1024 * 1024;
/// So many verdicts are remembered.
const KNOWN: usize = 100_000;
/// Processor time that rules may take on one object, and how often of one kind it may be more. Most take a hundredth of it.
const LONG: Duration = Duration::from_millis(100);
const LONG_AT_MOST: u32 = 3;
/// What takes longer than this is followed by a pause, so that all of it takes a quarter of one processor.
const SHORT: Duration = Duration::from_millis(1);

/// What the thread has to say.
pub enum Told {
    Judged(Arc<Live>, Health),
    /// There was no room for some objects, and now there is.
    LeftOut,
}

/// Takes what is told, and whether it was overtaken by other rules since.
pub type Tell = Box<dyn Fn(Told, &AtomicBool) + Send>;

pub struct JudgeThread {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    bell: Condvar,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Queue {
    /// Whose turn it is; of an object the newest state alone waits.
    turns: VecDeque<ObjectKey>,
    waiting: HashMap<ObjectKey, (Arc<Live>, Value, usize)>,
    bytes: usize,
    left_out: bool,
    /// The verdicts so far, by resource version: what is read again as it was needs no other.
    judged: HashMap<ObjectKey, (Box<str>, Health)>,
}

impl JudgeThread {
    /// Begins to judge by rules. Where the system gives no thread, nothing is judged, and all stays on its way.
    pub fn begin(environment: &str, rules: Arc<Rules>, tell: Tell) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            bell: Condvar::new(),
            is_over: AtomicBool::new(false),
        });
        let own = shared.clone();
        let thread = thread::Builder::new().name(format!("health {environment}"));
        if let Err(error) = thread.spawn(move || own.run(&rules, &tell)) {
            tracing::error!(%error, environment, "there is no thread for its health rules");
        }
        Self { shared }
    }

    /// Asks for the verdict on an object. One that is not known yet comes later.
    pub fn ask(&self, live: &Arc<Live>, value: Value) -> Option<Health> {
        let mut queue = self.shared.lock();
        if let Some((version, health)) = queue.judged.get(&live.key)
            && *version == live.resource_version
        {
            return Some(health.clone());
        }
        let bytes = size(&value);
        let known = queue.waiting.get(&live.key).map(|(_, _, bytes)| *bytes);
        let others = queue.bytes - known.unwrap_or(0);
        if others > 0 && others + bytes > ROOM {
            queue.left_out = true;
            return None;
        }
        queue.bytes = others + bytes;
        queue.waiting.insert(live.key.clone(), (live.clone(), value, bytes));
        if known.is_none() {
            queue.turns.push_back(live.key.clone());
        }
        self.shared.bell.notify_one();
        None
    }
}

impl Drop for JudgeThread {
    fn drop(&mut self) {
        let _queue = self.shared.lock();
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.bell.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, rules: &Rules, tell: &Tell) {
        let (mut slow, mut long) = (HashSet::new(), HashMap::<_, u32>::new());
        while let Some(next) = self.next() {
            let Next::Object(live, value) = next else {
                tell(Told::LeftOut, &self.is_over);
                continue;
            };
            let kind = (live.key.group.clone(), live.key.kind.clone());
            if slow.contains(&kind) {
                self.tell(live, too_slow(), tell);
                continue;
            }
            let begun = processor_time();
            let health = guarded(|| health::assess_with(&value, rules));
            let took = processor_time().saturating_sub(begun);
            self.tell(live, health, tell);
            if took > LONG {
                let times = long.entry(kind.clone()).or_default();
                *times += 1;
                if *times >= LONG_AT_MOST {
                    slow.insert(kind);
                }
            }
            if took > SHORT {
                thread::sleep(took * 3);
            }
        }
    }

    fn tell(&self, live: Arc<Live>, health: Health, tell: &Tell) {
        let known = (live.resource_version.clone(), health.clone());
        let mut queue = self.lock();
        if queue.judged.len() >= KNOWN && !queue.left_out {
            queue.judged = HashMap::new(); // Most of it is of objects that are gone.
        }
        queue.judged.insert(live.key.clone(), known);
        drop(queue);
        tell(Told::Judged(live, health), &self.is_over);
    }

    /// Waits for what is next; none at the end.
    fn next(&self) -> Option<Next> {
        let mut queue = self.lock();
        loop {
            if self.is_over.load(Ordering::Acquire) {
                return None;
            }
            if let Some((live, value, bytes)) =
                queue.turns.pop_front().and_then(|key| queue.waiting.remove(&key))
            {
                queue.bytes -= bytes;
                return Some(Next::Object(live, value));
            }
            if mem::take(&mut queue.left_out) {
                return Some(Next::LeftOut);
            }
            queue = self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

enum Next {
    Object(Arc<Live>, Value),
    LeftOut,
}

fn too_slow() -> Health {
    let message = format!(
        "the environment's health rules took more than {} ms of processor time on objects of this kind {LONG_AT_MOST} times, and are not asked about it any more until they change",
        LONG.as_millis()
    );
    Health::unknown("RulesTooSlow", message)
}

/// The time that this thread has run.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// About what an object takes in memory.
fn size(value: &Value) -> usize {
    const NODE: usize = 64;
    NODE + match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(size).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::health::{Rule, Status};
    use crate::object::Gvk;

    fn widget(name: &str, status: Value) -> (Arc<Live>, Value) {
        let value = serde_json::json!({
            "apiVersion": "example.org/v1", "kind": "Widget",
            "metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "status": status,
        });
        let meta = serde_json::from_value(value["metadata"].clone()).expect("metadata");
        let live = Live::from_meta(Gvk::new("example.org", "v1", "Widget"), &meta).expect("an object");
        (Arc::new(live), value)
    }

    fn begin(healthy: &str) -> (JudgeThread, mpsc::Receiver<Told>) {
        let rule = Rule {
            group: "example.org".to_owned(),
            kind: "Widget".to_owned(),
            healthy: Some(healthy.to_owned()),
            ..Rule::default()
        };
        let rules = Arc::new(Rules::compile(&[rule]).expect("a rule"));
        let (told, hears) = mpsc::channel();
        (JudgeThread::begin("dev", rules, Box::new(move |what, _| drop(told.send(what)))), hears)
    }

    fn verdict(told: Told) -> (String, Health) {
        match told {
            Told::Judged(live, health) => (live.key.name.to_string(), health),
            Told::LeftOut => panic!("nothing was left out"),
        }
    }

    #[test]
    fn each_object_gets_its_verdict_and_the_thread_ends_with_its_owner() {
        let (thread, hears) = begin("status.color == 'blue'");
        for (name, color) in [("a", "blue"), ("b", "red")] {
            let (live, value) = widget(name, serde_json::json!({ "color": color }));
            thread.ask(&live, value);
            let (of, health) = verdict(hears.recv().expect("a verdict"));
            let wanted = if name == "a" { Status::Healthy } else { Status::Progressing };
            assert_eq!((of.as_str(), health.status), (name, wanted));
        }
        drop(thread);
        assert!(hears.recv().is_err(), "the thread is gone, and what it told with");
    }

    #[test]
    fn what_there_is_no_room_for_is_asked_again_and_nobody_is_judged_twice() {
        let (thread, hears) = begin("size(status.text) > 0");
        let large = serde_json::json!({ "text": "x".repeat(ROOM / 3) });
        let objects: Vec<_> = (0..8).map(|n| widget(&format!("w{n}"), large.clone())).collect();
        let (mut judged, mut rounds) = (Vec::new(), 0);
        while judged.len() < objects.len() {
            rounds += 1;
            assert!(rounds < 20, "{} of {} were judged", judged.len(), objects.len());
            for (live, value) in &objects {
                let known = thread.ask(live, value.clone());
                assert_eq!(known.is_some(), judged.contains(&live.key.name.to_string()));
            }
            while judged.len() < objects.len() {
                match hears.recv().expect("it goes on") {
                    Told::Judged(live, _) => judged.push(live.key.name.to_string()),
                    Told::LeftOut => break,
                }
            }
        }
        judged.sort();
        judged.dedup();
        assert_eq!(judged.len(), objects.len(), "nobody is judged twice");
    }
}
