//! Processes that die at any request, and others that swap first: what is read is always what was saved, in its order.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// So little stands in one place that everything moves often.
const SMALL: Limits = Limits { journal: 1_200, merge_from: 8_000, thin: 6_000, thin_together: 2 };
const APPS: usize = 5;
const VERSIONS: usize = 4;

static WANTED: LazyLock<Vec<Arc<WantedApp>>> =
    LazyLock::new(|| (0..APPS * VERSIONS).map(|n| app(n % APPS, n / APPS)).collect());

fn wanted_of(app: usize, version: usize) -> &'static Arc<WantedApp> {
    &WANTED[version % VERSIONS * APPS + app % APPS]
}

/// One change: what kind of one, of which app, and which version of it.
type Op = (u8, usize, usize);

fn change((kind, n, version): Op) -> Prepared {
    let (wanted, other) = (wanted_of(n, version), wanted_of(n, version + 1));
    let app = wanted.app.clone();
    let aside = (version > 0).then(|| Quarantine {
        digest: other.digest.clone(),
        good: wanted.digest.clone(),
        why: "it failed".to_owned(),
        stage: [Stage::Going, Stage::Restored, Stage::Lost][version % 3],
        retried: None,
        together: None,
        with: None,
        secrets: None,
        asked: (n % 2 == 0).then(|| Asked { id: version.to_string(), by: "ada".to_owned(), revision: None }),
    });
    let mut packed = None;
    let change = match kind % 14 {
        0 => Change::Begin { plan: checked(wanted), quarantine: aside, rolling: Some(rolling(wanted)) },
        1 => Change::Roll { app, rolling: (version > 1).then(|| rolling(wanted)) },
        2 | 3 => {
            packed = (kind == 3).then(|| Packed::alone_of(wanted));
            let uids = uids(wanted, version);
            Change::Good { wanted: wanted.clone(), revision: None, depends_on: vec![name(version)], uids }
        }
        4 => Change::Wrote(uids(wanted, version)),
        5 => Change::Gone(wanted.objects.iter().take(version).map(|object| object.key.clone()).collect()),
        6 => Change::Quarantine { app, quarantine: aside },
        7 => match aside {
            Some(quarantine) => Change::Asked { quarantine, target: wanted.clone(), revision: None },
            None => Change::Heard { app, id: "7".to_owned() },
        },
        8 => Change::Heard { app, id: version.to_string() },
        9 => Change::Retried { app, word: version.to_string() },
        10 => Change::AllGood((0..APPS).map(|n| (name(n), wanted_of(n, version).digest.clone())).collect()),
        11 => {
            let mut memory = HookMemory::default();
            memory.end(&wanted.digest, Ok(()));
            Change::Hooks { app, hooks: Hooks::from([("migrate".to_owned(), memory)]), quarantine: aside }
        }
        12 => Change::Ended(record(wanted, version as i64)),
        _ => Change::Apps((0..APPS).filter(|n| (n + version) % VERSIONS != 0).map(name).collect()),
    };
    Prepared { change, packed }
}

/// What is remembered, wherever it stands.
fn bare(memory: &Memory) -> Memory {
    let mut memory = memory.clone();
    for app in memory.apps.values_mut() {
        let app = Arc::make_mut(app);
        let digests: Vec<Digest> = app.goods().map(|good| good.digest.clone()).collect();
        digests.iter().for_each(|digest| app.place(digest, &Pieces::default()));
    }
    memory
}

/// One replica of the agent.
struct Process {
    log: Log,
    version: usize,
}

impl Process {
    fn start(secrets: &mut Secrets) -> Self {
        secrets.dies_after = None;
        let log = secrets.read(SMALL);
        secrets.sweep(&log);
        Self { log, version: secrets.version }
    }

    /// Saves a batch as `agent::state_store::batch` does. Where it moved, it is read again.
    fn save(&mut self, secrets: &mut Secrets, changes: &[&Prepared]) -> Result<(), Failed> {
        loop {
            let Some(writes) = self.log.save(changes, &BTreeSet::new()) else {
                if self.version == secrets.version {
                    return Ok(());
                }
                (self.log, self.version) = (secrets.read(SMALL), secrets.version);
                continue;
            };
            match secrets.write(&self.log, self.version, &writes) {
                Ok(()) => {
                    (self.log, self.version) = (writes.log, secrets.version);
                    secrets.drop_pieces(&writes.drops)?;
                    return Ok(());
                }
                Err(Failed::Moved) => {
                    (self.log, self.version) = (secrets.read(SMALL), secrets.version);
                }
                Err(Failed::Died) => return Err(Failed::Died),
            }
        }
    }
}

/// Everything that is remembered can be read, and is what it was.
fn look(secrets: &Secrets) -> Memory {
    let log = secrets.read(SMALL);
    for (name, app) in &log.memory().apps {
        for good in app.goods() {
            let wanted = WANTED.iter().find(|wanted| wanted.app == *name && wanted.digest == good.digest);
            let stored = secrets.good(&log, name, good);
            let whole: Vec<Wanted> = stored.whole().collect();
            let mut expected: Vec<Wanted> =
                wanted.unwrap().objects.iter().map(|object| (**object).clone()).collect();
            expected.sort_by(|a, b| a.key.cmp(&b.key));
            assert_eq!(whole, expected);
        }
    }
    bare(log.memory())
}

fn applied(memory: &Memory, changes: &[&Prepared]) -> Memory {
    let mut memory = memory.clone();
    changes.iter().for_each(|prepared| memory.apply(&prepared.change, &|_, _| Pieces::default()));
    memory
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whenever_a_process_dies_what_was_saved_is_read_again(
        batches in proptest::collection::vec(
            (
                proptest::collection::vec((0_u8..14, 0..APPS, 0..VERSIONS), 1..6),
                proptest::option::weighted(0.3, 0_usize..8),
                proptest::bool::weighted(0.1),
            ),
            1..24,
        ),
    ) {
        let mut secrets = Secrets::default();
        let mut process = Process::start(&mut secrets);
        let mut expected = Memory::default();
        for (ops, dies_after, rival) in batches {
            if rival {
                // Another replica takes over and saves something; this one does not know yet.
                let word = change((9, 0, secrets.version));
                Process::start(&mut secrets).save(&mut secrets, &[&word]).unwrap();
                expected = applied(&expected, &[&word]);
            }
            let changes: Vec<Prepared> = ops.into_iter().map(change).collect();
            let changes: Vec<&Prepared> = changes.iter().collect();
            secrets.dies_after = dies_after;
            let after = applied(&expected, &changes);
            let saved = process.save(&mut secrets, &changes);
            let saved = saved.and_then(|()| secrets.gather(&mut process.log));
            process.version = secrets.version;
            match saved {
                Ok(()) => {
                    prop_assert_eq!(&look(&secrets), &after);
                    let read = secrets.read(SMALL);
                    prop_assert_eq!(read.memory(), process.log.memory());
                    expected = after;
                }
                Err(_) => {
                    // It was not told that this was saved, and may find that it was.
                    let found = look(&secrets);
                    prop_assert!(found == after || found == expected, "{found:#?} is neither {after:#?} nor {expected:#?}");
                    expected = found;
                    process = Process::start(&mut secrets);
                }
            }
        }
        let log = Process::start(&mut secrets).log;
        prop_assert_eq!(secrets.pieces.keys().cloned().collect::<BTreeSet<_>>(), log.needed());
    }

    #[test]
    fn two_patches_in_a_row_are_one(
        first in proptest::collection::vec((0_u8..14, 0..APPS, 0..VERSIONS), 0..12),
        second in proptest::collection::vec((0_u8..14, 0..APPS, 0..VERSIONS), 0..12),
    ) {
        use crate::state::patch::Patch;
        let apply = |memory: &Memory, ops: Vec<Op>| {
            let changes: Vec<Prepared> = ops.into_iter().map(change).collect();
            applied(memory, &changes.iter().collect::<Vec<_>>())
        };
        let nothing = Memory::default();
        let one = apply(&nothing, first);
        let two = apply(&one, second);
        let both = Patch::between(&nothing, &one).then(Patch::between(&one, &two));
        let mut read = Patch::default();
        both.lines().for_each(|line| read.read_line(&line).unwrap());
        prop_assert_eq!(&read, &both);
        for patch in [both.clone(), both.clone().then(both)] {
            let mut memory = Memory::default();
            patch.apply(&mut memory).unwrap();
            prop_assert_eq!(&memory, &two);
        }
    }
}
