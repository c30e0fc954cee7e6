use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::ledger::{read_ledger, write_ledger};
use super::*;
use crate::object::{APPLIED, EnvironmentName, Live, ObjectKey};
use crate::plan::{Known, Wanted, WantedApp};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("", "ConfigMap", Some("web"), name)
}

fn wanted(kind: &str, name: &str, body: Value) -> Arc<Wanted> {
    let mut object =
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "web"}});
    object.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let digest = Digest::of_json(&object);
    let key = ObjectKey::new("", kind, Some("web"), name);
    let place = crate::object::Place::at(crate::object::TreePath::new("base/all.yaml").unwrap(), 3, 1);
    let gvk = crate::object::Gvk::new("", "v1", kind);
    Arc::new(Wanted::stored(key, gvk, place, digest, 2, vec![self::key("other")], object).unwrap())
}

fn app(objects: Vec<Arc<Wanted>>) -> WantedApp {
    WantedApp::of_objects(AppName::new("web").unwrap(), Digest::of(b"the app"), objects)
}

/// As pieces of its own, however little it is.
fn write_good(app: &WantedApp) -> (Pieces, Vec<Piece>) {
    match Packed::of(app) {
        Packed::Alone(pieces, made) => (pieces, made),
        Packed::Together(lines) => {
            let (pieces, made) = super::pack::pack_whole(&lines);
            (pieces, vec![made])
        }
    }
}

/// `n` objects of about 3 KiB that hardly compress.
fn large(n: usize) -> WantedApp {
    let text = |n: usize| {
        (0..32).map(|part| Digest::of(format!("{n} {part}").as_bytes()).to_string()).collect::<String>()
    };
    app((0..n)
        .map(|n| wanted("ConfigMap", &format!("c-{n:05}"), json!({"data": {"text": text(n)}})))
        .collect())
}

fn live(name: &str, uid: &str, applied: &str) -> Live {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": name, "namespace": "web", "uid": uid, "resourceVersion": "1", "annotations": {APPLIED: applied},
    }});
    Live::read(&object).unwrap()
}

#[test]
fn what_an_app_ran_is_read_as_it_was_written() {
    let app = app(vec![
        wanted("ConfigMap", "a", json!({"data": {"b": "c", "umlaut": "ä"}})),
        wanted("Service", "s", json!({"spec": {"ports": [{"port": 80}]}})),
    ]);
    let (pieces, stored) = write_good(&app);
    let read = read_good(&app.app, &app.digest, &pieces, &stored).unwrap();
    let whole: Vec<Wanted> = read.whole().collect();
    assert_eq!(whole, app.objects.iter().map(|object| (**object).clone()).collect::<Vec<_>>());
}

#[test]
fn values_of_secrets_are_not_stored() {
    let values =
        json!({"data": {"password": "aHVudGVyMg=="}, "stringData": {"plain": "hunter2"}, "type": "Opaque"});
    let mut secret = wanted("Secret", "s", values).value();
    secret["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": "{\"data\":\"hunter2\"}"});
    let secret = wanted("Secret", "s", secret);
    let app = app(vec![secret.clone()]);
    let (pieces, stored) = write_good(&app);
    let text = String::from_utf8(unpack(&pieces, &stored).unwrap()).unwrap();
    for value in ["hunter2", "aHVudGVyMg", "password"] {
        assert!(!text.contains(value), "{value} is in {text}");
    }
    let read = read_good(&app.app, &app.digest, &pieces, &stored).unwrap();
    let withheld = StoredObject::Withheld { key: secret.key.clone(), digest: secret.digest.clone() };
    assert_eq!(read.objects, [withheld]);
}

#[test]
fn a_secret_of_references_alone_is_stored_whole() {
    let of = |data: Value| wanted("Secret", "s", json!({"data": data}));
    let (references, both) =
        (of(json!({"a": "x${aws-sm:db#a}"})), of(json!({"a": "${aws-sm:db#a}", "b": "c2VjcmV0"})));
    let app = app(vec![references.clone(), both]);
    let (pieces, made) = write_good(&app);
    let stored = read_good(&app.app, &app.digest, &pieces, &made).unwrap();
    let whole: Vec<_> = stored.whole().collect();
    assert_eq!(whole.iter().map(|object| &object.key).collect::<Vec<_>>(), [&references.key]);
    assert_eq!(whole[0].value()["data"], references.value()["data"]);
}

#[test]
fn ten_thousand_objects_fit_into_pieces_of_the_size_that_a_secret_takes() {
    let app = large(10_000);
    let (pieces, stored) = write_good(&app);
    assert!(stored.len() > 10, "{} pieces", stored.len());
    assert!(stored.iter().all(|piece| piece.bytes.len() <= PIECE_LIMIT));
    let read = read_good(&app.app, &app.digest, &pieces, &stored).unwrap();
    assert_eq!(read.objects.len(), 10_000);

    let mut ledger = Ledger::default();
    for object in &app.objects {
        ledger.record(&object.key, Digest::of(object.key.to_string().as_bytes()).short());
    }
    let (names, stored) = write_ledger(&ledger);
    assert!(stored.iter().all(|piece| piece.bytes.len() <= PIECE_LIMIT));
    assert_eq!(read_ledger(&names, &stored).unwrap(), ledger);
    let environment = crate::object::EnvironmentName::new("dev").unwrap();
    let mut log = Log::new(&environment);
    let good =
        Change::Good { wanted: Arc::new(app), revision: None, depends_on: Vec::new(), uids: Vec::new() };
    let writes = log.save(&[&good.into()], &BTreeSet::new()).unwrap();
    log = writes.log;
    assert_eq!(log.memory().apps.len(), 1);
    assert!(writes.contents.size() < 16 * 1024, "{} bytes", writes.contents.size());
}

#[test]
fn one_object_larger_than_a_piece_is_split() {
    let random: String = (0..20_000).map(|n: u32| Digest::of(&n.to_le_bytes()).to_string()).collect();
    let app = app(vec![wanted("ConfigMap", "big", json!({"data": {"random": random}}))]);
    let (pieces, stored) = write_good(&app);
    assert!(stored.len() > 1);
    assert!(stored.iter().all(|piece| piece.bytes.len() <= PIECE_LIMIT));
    assert_eq!(
        read_good(&app.app, &app.digest, &pieces, &stored).unwrap().whole().next().unwrap(),
        *app.objects[0]
    );
}

#[test]
fn one_object_more_changes_few_pieces() {
    let mut app = large(4_000);
    let (_, before) = write_good(&app);
    app.objects.insert(2_000, wanted("ConfigMap", "c-01999-new", json!({"data": {"a": "b"}})));
    let (_, after) = write_good(&app);
    let kept = after.iter().filter(|piece| before.contains(piece)).count();
    assert!(after.len() - kept <= 2, "{kept} of {} pieces are as they were", after.len());
}

#[test]
fn damage_is_found_and_named() {
    let app = large(500);
    let (pieces, stored) = write_good(&app);
    let read = |stored: &[Piece]| read_good(&app.app, &app.digest, &pieces, stored).unwrap_err();
    let last = stored.last().unwrap().name.clone();
    assert_eq!(read(&stored[..stored.len() - 1]), Damage::Missing(last.clone()));
    let mut swapped = stored.clone();
    swapped.swap(0, stored.len() - 1);
    assert_eq!(read(&swapped), Damage::Altered(stored[0].name.clone()));
    let mut bytes = stored[0].bytes.clone();
    bytes[10] ^= 1;
    assert_eq!(Piece::check(&stored[0].name, bytes), Err(Damage::Altered(stored[0].name.clone())));
    assert_eq!(Piece::check(&stored[0].name, stored[0].bytes.clone()), Ok(stored[0].clone()));
}

#[test]
fn the_ledger_tells_our_object_from_another_of_its_name() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.knows(&live("a", "u-1", "d")), Known::Not);
    ledger.intend(&key("a"), &Digest::from("d"));
    // Made by a process that died before it heard of it.
    assert_eq!(ledger.knows(&live("a", "u-1", "d")), Known::Same);
    assert_eq!(ledger.knows(&live("a", "u-1", "other")), Known::Not);
    ledger.record(&key("a"), "u-1");
    assert_eq!(ledger.knows(&live("a", "u-1", "other")), Known::Same);
    assert_eq!(ledger.knows(&live("a", "u-2", "d")), Known::Another);
}

#[test]
fn two_generations_are_kept_and_no_more() {
    let web = AppName::new("web").unwrap();
    let good = |text: &str| {
        let digest = Digest::of(text.as_bytes());
        Good { digest, revision: None, objects: 0, pieces: Pieces::default(), secrets: None }
    };
    let mut memory = Memory::default();
    for text in ["a", "b", "b", "c"] {
        memory.note_good(&web, good(text));
    }
    let app = &memory.apps[&web];
    assert_eq!((app.last_good.as_ref(), app.previous.as_ref()), (Some(&good("c")), Some(&good("b"))));
}

proptest! {
    #[test]
    fn whatever_bytes_are_stored_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (pieces, mut stored) = write_good(&large(3));
        stored[0].bytes = bytes;
        let _ = unpack(&pieces, &stored);
    }
}

fn good(digest: &str) -> Good {
    Good { digest: digest.into(), revision: None, objects: 1, pieces: Pieces::default(), secrets: None }
}

fn aside(stage: Stage) -> Quarantine {
    let asked = Some(Asked { id: "1".to_owned(), by: "ada".to_owned(), revision: None });
    let (digest, good) = ("b".into(), "z".into());
    Quarantine {
        digest,
        good,
        why: String::new(),
        stage,
        retried: None,
        together: None,
        with: None,
        asked,
        secrets: None,
    }
}

#[test]
fn what_a_person_wants_back_is_last_good_once_it_passed_its_gates_and_not_before() {
    let web = AppName::new("web").unwrap();
    let mut memory = Memory::default();
    memory.note_good(&web, good("a"));
    memory.note_good(&web, good("b"));
    memory.note_asked(&web, aside(Stage::Going), good("z"));
    assert_eq!(memory.apps[&web].last_good, Some(good("b")));
    assert_eq!(memory.apps[&web].heard.as_deref(), Some("1"));
    assert_eq!(memory.apps[&web].goods().count(), 3, "all of it can be read");
    memory.note_quarantine(&web, Some(&aside(Stage::Lost)));
    assert_eq!(memory.apps[&web].last_good, Some(good("b")), "it failed");
    memory.note_quarantine(&web, Some(&aside(Stage::Restored)));
    let known = &memory.apps[&web];
    assert_eq!((&known.last_good, &known.previous, &known.back_to), (&Some(good("z")), &None, &None));
}

#[test]
fn what_is_wanted_back_is_dropped_when_something_else_takes_over() {
    let web = AppName::new("web").unwrap();
    let mut memory = Memory::default();
    memory.note_good(&web, good("b"));
    memory.note_asked(&web, aside(Stage::Going), good("z"));
    memory.note_quarantine(&web, None);
    let known = &memory.apps[&web];
    assert_eq!((&known.last_good, &known.back_to, &known.quarantined), (&Some(good("b")), &None, &None));
    assert_eq!(known.heard.as_deref(), Some("1"), "it was answered");
}

#[test]
fn of_many_apps_fewer_records_are_kept_and_of_each_the_newest() {
    let record = |app: &str, n: i64| RolloutRecord {
        app: AppName::new(app).unwrap(),
        digest: Digest::from(format!("{n}").as_str()),
        from: None,
        commit: None,
        outcome: crate::object::Outcome::Done,
        started: jiff::Timestamp::from_second(n).unwrap(),
        ended: jiff::Timestamp::from_second(n).unwrap(),
        objects: 1,
        by: None,
        why: None,
        secrets: Default::default(),
    };
    let mut memory = Memory::default();
    (0..30).for_each(|n| memory.note_record(record("web", n)));
    let kept = |memory: &Memory, app: &str| memory.apps[&AppName::new(app).unwrap()].recent.clone();
    assert_eq!(kept(&memory, "web"), (10..30).map(|n| record("web", n)).collect::<Vec<_>>());
    (0..400).for_each(|n| memory.note_record(record(&format!("app-{n}"), n)));
    memory.note_record(record("web", 30));
    assert_eq!(kept(&memory, "web"), [record("web", 30)]);
    assert_eq!(kept(&memory, "app-3").len(), 1, "one at least");
}

#[test]
fn whose_it_is_and_what_counts_of_the_budget_are_read_again() {
    use crate::plan::Budget;
    let environment = EnvironmentName::new("dev").unwrap();
    let log = Log::new(&environment).of("uid-1");
    let commit = Revision::new("a");
    let budgets = Budgets::settled(Budget { max: 10, percent: 20 });
    let budgets = budgets.then(Some(&commit), Budget { max: 99, percent: 99 });
    let change = Prepared::from(Change::Budgets(budgets.clone()));
    let rules = serde_json::json!({"policy": "report"});
    let drift = Prepared::from(Change::Drift(Some(rules.clone())));
    let writes = log.save(&[&change, &drift], &BTreeSet::new()).expect("it is new");
    let document = Document::read(&writes.contents, &environment).unwrap();
    assert_eq!(document.uid(), Some("uid-1"));
    let (read, damage) = Log::read(document, &BTreeMap::new()).unwrap();
    assert_eq!((read.memory().budgets.as_ref(), damage), (Some(&budgets), None));
    assert_eq!(read.memory().drift, Some(rules));
    assert!(read.save(&[&change, &drift], &BTreeSet::new()).is_none(), "it is saved already");
    assert!(read.says_nothing_new(&[&change, &drift], &BTreeSet::new()));
    assert!(!log.says_nothing_new(&[&change, &drift], &BTreeSet::new()));
    let nothing = Prepared::from(Change::Drift(None));
    assert!(read.save(&[&nothing], &BTreeSet::new()).is_some(), "git says nothing of it any more");
    let followed = Followed { branch: Digest::of(b"main"), revision: commit.clone() };
    let change = Prepared::from(Change::Followed(followed.clone()));
    let contents = read.save(&[&change], &BTreeSet::new()).expect("it is new").contents;
    let document = Document::read(&contents, &environment).unwrap();
    let (read, _) = Log::read(document, &BTreeMap::new()).unwrap();
    assert_eq!(read.memory().followed.as_ref(), Some(&followed));
    assert!(read.save(&[&change], &BTreeSet::new()).is_none(), "it is saved already");
    // An older version left them out.
    let mut older: Value = serde_json::from_slice(&writes.contents.document).unwrap();
    for field in ["uid", "budgets", "drift"] {
        older.as_object_mut().unwrap().remove(field);
    }
    let contents = Contents { document: older.to_string().into_bytes(), ..writes.contents };
    let document = Document::read(&contents, &environment).unwrap();
    assert_eq!(document.uid(), None);
}
