//! How many requests it takes to remember what many apps do at once, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::*;

/// What the world is like, in milliseconds.
struct World {
    /// All dry runs are over after this time,
    proofs: u64,
    /// one wave is written in this time,
    wave: u64,
    /// is healthy in at most this time,
    gate: u64,
    /// and a request for state takes this long; four pieces are written or dropped at a time.
    request: u64,
}

impl World {
    /// What was measured with 1,000 apps.
    fn measured(apps: usize) -> Self {
        Self { proofs: 20 * apps as u64, wave: 60, gate: 1_500, request: 15 }
    }
}

/// What is due for an app: the save that ended last, or what it did since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Save(usize),
    /// Its next wave was written and is healthy.
    Healthy(usize),
}

/// Tells a first apply, or one of another version, of the apps that `changes` names.
fn tell(secrets: &mut Secrets, log: &mut Log, world: &World, changes: &[usize], version: usize) {
    // Each app begins, rolls once or twice and is good.
    let waves = |app: usize| 2 + app % 2;
    let jitter = |app: usize, step: usize| (app * 7_919 + step * 104_729) as u64;
    let mut due: BinaryHeap<Reverse<(u64, usize, Due)>> = BinaryHeap::new();
    for (nth, app) in changes.iter().enumerate() {
        let at = world.proofs * nth as u64 / changes.len() as u64;
        due.push(Reverse((at, *app, Due::Save(0))));
    }
    let wanted: BTreeMap<usize, Arc<WantedApp>> = changes.iter().map(|n| (*n, app(*n, version))).collect();
    let mut pace = Pace::new(Duration::ZERO);
    let (mut now, mut free_at) = (0, 0);
    let (mut queue, mut notes): (Vec<(usize, usize, Change)>, Vec<Change>) = (Vec::new(), Vec::new());
    loop {
        while let Some(Reverse((at, n, what))) = due.peek().copied().filter(|due| due.0.0 <= now) {
            due.pop();
            let wanted = &wanted[&n];
            match what {
                Due::Healthy(step) => due.push(Reverse((at, n, Due::Save(step)))),
                Due::Save(step) => {
                    let change = match step {
                        0 => Change::Begin {
                            plan: checked(wanted),
                            quarantine: None,
                            rolling: Some(rolling(wanted)),
                        },
                        step if step < waves(n) => {
                            let mut rolling = rolling(wanted);
                            rolling.state.phase = rollout::Phase::Write { wave: step };
                            Change::Roll { app: wanted.app.clone(), rolling: Some(rolling) }
                        }
                        _ => Change::Good {
                            wanted: wanted.clone(),
                            revision: Some(commit().revision),
                            depends_on: Vec::new(),
                            uids: uids(wanted, 0),
                        },
                    };
                    queue.push((n, step, change));
                }
            }
        }
        if now >= free_at && !queue.is_empty() && pace.wait(queue.len(), Duration::from_millis(now)).is_zero()
        {
            pace.pay(queue.len(), Duration::from_millis(now));
            let batch = std::mem::take(&mut queue);
            let changes: Vec<Prepared> = std::mem::take(&mut notes)
                .into_iter()
                .chain(batch.iter().map(|(_, _, change)| change.clone()))
                .map(Prepared::from)
                .collect();
            let before = secrets.requests;
            if let Some(writes) = log.save(&changes.iter().collect::<Vec<_>>(), &BTreeSet::new()) {
                secrets.write(log, secrets.version, &writes).unwrap();
                let puts = (secrets.requests.puts - before.puts) as u64;
                let told = now + world.request * (1 + puts.div_ceil(4));
                pace.took(Duration::from_millis(told - now));
                *log = writes.log;
                secrets.drop_pieces(&writes.drops).unwrap();
                if !writes.puts.is_empty() {
                    secrets.gather(log).unwrap();
                }
                let more = (secrets.requests.all() - before.all()) as u64 - puts - 1;
                free_at = told + world.request * more.div_ceil(4);
                for (n, step, change) in batch {
                    match change {
                        Change::Good { .. } => notes.push(Change::Ended(record(&wanted[&n], now as i64))),
                        _ => {
                            notes.push(Change::Wrote(uids(&wanted[&n], 0)));
                            let healthy = told + world.wave + jitter(n, step) % world.gate;
                            due.push(Reverse((healthy, n, Due::Healthy(step + 1))));
                        }
                    }
                }
            }
        }
        if due.is_empty() && queue.is_empty() {
            break;
        }
        now += 1;
    }
    let all = changes.iter().map(|n| (name(*n), wanted[n].digest.clone())).collect();
    let last: Vec<Prepared> = notes.into_iter().chain([Change::AllGood(all)]).map(Prepared::from).collect();
    save(secrets, log, &last);
}

fn save(secrets: &mut Secrets, log: &mut Log, changes: &[Prepared]) {
    if let Some(writes) = log.save(&changes.iter().collect::<Vec<_>>(), &BTreeSet::new()) {
        secrets.write(log, secrets.version, &writes).unwrap();
        *log = writes.log;
        secrets.drop_pieces(&writes.drops).unwrap();
        if !writes.puts.is_empty() {
            secrets.gather(log).unwrap();
        }
    }
}

#[test]
fn requests_are_few_and_in_proportion_to_the_apps() {
    for apps in [100, 1_000] {
        let (mut secrets, mut log) = (Secrets::default(), Log::new(&environment()));
        let all: Vec<usize> = (0..apps).collect();
        tell(&mut secrets, &mut log, &World::measured(apps), &all, 1);
        // Four dry runs and four writes each; of all requests a tenth may be for state.
        assert!(secrets.requests.all() <= apps * 8 / 10, "{apps} apps: {:?}", secrets.requests);
        assert!(secrets.requests.largest < 64 * 1024, "{apps} apps: {:?}", secrets.requests);
        assert!(secrets.requests.bytes < apps * 16 * 1024, "{apps} apps: {:?}", secrets.requests);
        assert_eq!(log.memory().apps.len(), apps);
        assert_eq!(secrets.read(Limits::default()).memory(), log.memory());

        let before = secrets.requests;
        tell(&mut secrets, &mut log, &World::measured(apps), &[17], 2);
        let more = secrets.requests.all() - before.all();
        assert!(more <= 8, "one of {apps} apps: {before:?} and then {:?}", secrets.requests);
        for n in [0, 17, apps - 1] {
            for good in log.memory().apps[&name(n)].goods() {
                assert_eq!(secrets.good(&log, &name(n), good).objects.len(), 4);
            }
        }
    }
}

#[test]
fn where_all_is_slow_more_is_saved_together_and_nobody_waits_long() {
    let (mut secrets, mut log) = (Secrets::default(), Log::new(&environment()));
    let slow = World { proofs: 150_000, wave: 500, gate: 10_000, request: 60 };
    tell(&mut secrets, &mut log, &slow, &(0..300).collect::<Vec<_>>(), 1);
    // A tenth of what 300 apps ask for is 240; with two apps a second, each save would have to wait too long for that.
    assert!(secrets.requests.all() <= 280, "{:?}", secrets.requests);
}

/// Every app has changed three times, some of them more often: what is not needed any more does not pile up.
#[test]
fn what_is_stored_stays_in_proportion_to_what_is_needed() {
    let (mut secrets, mut log) = (Secrets::default(), Log::new(&environment()));
    let sizes = |secrets: &Secrets| secrets.pieces.values().map(|piece| piece.bytes.len()).sum::<usize>();
    let mut stored = Vec::new();
    for version in 0..8 {
        for batch in (0..400).collect::<Vec<usize>>().chunks(20) {
            let goods = batch.iter().filter(|n| **n % 4 != 3 || version < 2).map(|n| good(*n, version));
            save(&mut secrets, &mut log, &goods.collect::<Vec<_>>());
        }
        stored.push((secrets.pieces.len(), sizes(&secrets)));
    }
    // Two generations are needed from the second on.
    assert!(stored[7].1 < stored[1].1 * 2, "{stored:?}");
    assert!(stored[7].0 < 60, "{stored:?}");
    for n in 0..400 {
        let known = &log.memory().apps[&name(n)];
        assert_eq!(known.goods().count(), 2);
        known.goods().for_each(|good| assert_eq!(secrets.good(&log, &name(n), good).objects.len(), 4));
    }
}

fn good(n: usize, version: usize) -> Prepared {
    let wanted = app(n, version);
    let uids = uids(&wanted, 0);
    Change::Good { wanted, revision: Some(commit().revision), depends_on: Vec::new(), uids }.into()
}

#[test]
fn ten_thousand_apps_need_no_larger_document_than_a_hundred() {
    let (mut secrets, mut log) = (Secrets::default(), Log::new(&environment()));
    // Of four objects each, but only one is stored with what it wanted: a test is no place to wait for compression.
    let models: Vec<Arc<WantedApp>> = (0..10).map(|n| app(n, 1)).collect();
    let one_object = |n: usize, version: usize| {
        let wanted = &models[n % 10];
        let objects = wanted.objects.iter().take(1).cloned().collect();
        let digest = Digest::of(&[n.to_le_bytes(), version.to_le_bytes()].concat());
        let key = |key: &ObjectKey| ObjectKey::new(&key.group, &key.kind, Some("web"), name(n).as_str());
        Prepared::from(Change::Good {
            wanted: Arc::new(WantedApp::of_objects(name(n), digest, objects)),
            revision: Some(commit().revision),
            depends_on: Vec::new(),
            uids: wanted.objects.iter().map(|of| (key(&of.key), uid(&key(&of.key), version))).collect(),
        })
    };
    let all: Vec<usize> = (0..10_000).collect();
    for batch in all.chunks(1_000) {
        let ended = |n: &usize| WantedApp::of_objects(name(*n), Digest::of(&n.to_le_bytes()), Vec::new());
        let records = batch.iter().map(|n| Prepared::from(Change::Ended(record(&ended(n), 0))));
        let goods = batch.iter().map(|n| one_object(*n, 1));
        save(&mut secrets, &mut log, &goods.chain(records).collect::<Vec<_>>());
    }
    for n in 0..40 {
        save(&mut secrets, &mut log, &[one_object(n * 250, 2)]);
    }
    assert_eq!((log.memory().apps.len(), log.memory().ledger.len()), (10_000, 40_000));
    assert!(secrets.requests.largest < 64 * 1024, "{:?}", secrets.requests);
    let largest = secrets.pieces.values().map(|piece| piece.bytes.len()).max();
    assert!(largest <= Some(PIECE_LIMIT), "{largest:?}");
    assert_eq!(secrets.read(Limits::default()).memory(), log.memory());
}
