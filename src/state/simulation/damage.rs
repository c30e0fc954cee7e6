//! Older forms, and Secrets that somebody altered or deleted.

use super::*;

const SMALL: Limits = Limits { journal: 200, merge_from: 1_000, thin: 100, thin_together: 8 };

/// What Fairlead 0.1 wrote: all apps stand in the document, and each list in pieces of its own.
fn first_form() -> Secrets {
    let document = include_bytes!("../fixtures/first-form/document.json").to_vec();
    let pieces: [&[u8]; 4] = [
        include_bytes!("../fixtures/first-form/0c9ac3ad3508.piece"),
        include_bytes!("../fixtures/first-form/247790ea0f94.piece"),
        include_bytes!("../fixtures/first-form/52c1278a09e7.piece"),
        include_bytes!("../fixtures/first-form/943611d6d085.piece"),
    ];
    let piece = |bytes: &[u8]| Piece { name: Digest::of(bytes), bytes: bytes.to_vec() };
    let pieces = pieces.into_iter().map(|bytes| (Digest::of(bytes), piece(bytes))).collect();
    Secrets { contents: Some(Contents { document, journal: Vec::new() }), pieces, ..Secrets::default() }
}

fn save(secrets: &mut Secrets, log: &mut Log, change: Change) {
    let writes = log.save(&[&change.into()], &BTreeSet::new()).expect("it is something new");
    secrets.write(log, secrets.version, &writes).unwrap();
    *log = writes.log;
    secrets.drop_pieces(&writes.drops).unwrap();
}

fn good(n: usize, version: usize) -> Change {
    let wanted = app(n, version);
    Change::Good { uids: uids(&wanted, 0), wanted, revision: None, depends_on: Vec::new() }
}

/// The goods of some apps, in enough pieces that all kinds of them are there.
fn stored() -> (Secrets, Log) {
    let (mut secrets, mut log) = (Secrets::default(), Log::new(&environment()).with_limits(SMALL));
    for n in 0..6 {
        save(&mut secrets, &mut log, good(n, 1));
    }
    (secrets, log)
}

#[test]
fn the_first_form_is_read_and_is_replaced_by_what_is_saved_next() {
    let mut secrets = first_form();
    let mut log = secrets.read(Limits::default());
    let memory = log.memory().clone();
    let (web, api) = (&memory.apps[&name(0)], &memory.apps[&name(1)]);
    assert_eq!(web.last_good.as_ref().map(|good| &good.digest), Some(&app(0, 2).digest));
    assert_eq!(web.previous.as_ref().map(|good| &good.digest), Some(&app(0, 1).digest));
    assert_eq!((web.heard.as_deref(), web.recent.len()), (Some("a word"), 2));
    assert!(web.hooks["Job.batch web/migrate"].is_done(&app(1, 2).digest));
    assert_eq!(api.quarantined.as_ref().map(|aside| aside.stage), Some(Stage::Going));
    assert_eq!(api.rolling.as_ref().map(|rolling| &rolling.state.digest), Some(&app(1, 2).digest));
    assert_eq!(memory.ledger.len(), 8);

    save(&mut secrets, &mut log, Change::Heard { app: name(1), id: "another".to_owned() });
    let mut expected = (*memory).clone();
    expected.app_mut(&name(1)).heard = Some("another".to_owned());
    let read = secrets.read(Limits::default());
    assert_eq!(**read.memory(), expected);
    for good in web.goods() {
        assert_eq!(secrets.good(&read, &name(0), good).objects.len(), 4);
    }
    assert_eq!(secrets.pieces.len(), 3, "its ledger stands in the journal now");
    let document = String::from_utf8(secrets.contents.unwrap().document).unwrap();
    assert!(document.starts_with(r#"{"version":2,"#), "{document}");
}

#[test]
fn a_document_that_is_not_ours_to_read_is_not_read() {
    let (secrets, _) = stored();
    let contents = secrets.contents.unwrap();
    let read = |contents: &Contents| Document::read(contents, &environment());
    assert!(read(&contents).is_ok());
    let other = EnvironmentName::new("prod").unwrap();
    assert!(matches!(Document::read(&contents, &other), Err(Unreadable::Foreign(_))));
    let with = |document: &[u8]| Contents { document: document.to_vec(), journal: contents.journal.clone() };
    let newer = with(br#"{"version": 3, "something": "else"}"#);
    assert!(matches!(read(&newer), Err(Unreadable::Newer(3))));
    let cut = with(&contents.document[..contents.document.len() - 1]);
    assert!(matches!(read(&cut), Err(Unreadable::Garbled(_))));
    for journal in [Vec::new(), b"something else".to_vec()] {
        let altered = Contents { journal, ..contents.clone() };
        assert!(matches!(read(&altered), Err(Unreadable::Journal(Damage::Altered(_)))));
    }
}

/// What the process finds when one piece is gone.
fn read_without(secrets: &Secrets, lost: &Digest) -> Result<(Log, Option<Damage>), Damage> {
    let document = Document::read(secrets.contents.as_ref().unwrap(), &environment()).unwrap();
    let missing = |name: &Digest| Err(Damage::Missing(name.clone()));
    let find = |name: &Digest| secrets.pieces.get(name).filter(|_| name != lost).cloned();
    let needs: Vec<Digest> = document.needs().into_iter().cloned().collect();
    let pieces = needs.into_iter().map(|name| (name.clone(), find(&name).map_or_else(|| missing(&name), Ok)));
    Log::read(document, &pieces.collect())
}

#[test]
fn without_its_ledger_apps_are_known_and_objects_are_not_and_without_apps_nothing_goes_on() {
    let (secrets, log) = stored();
    let document: Value = serde_json::from_slice(&secrets.contents.as_ref().unwrap().document).unwrap();
    let first = |list: &Value| Digest::from(list["names"][0].as_str().expect("it has a piece"));
    let ledger = first(&document["ledger"]);
    let (found, damage) = read_without(&secrets, &ledger).unwrap();
    assert_eq!(damage, Some(Damage::Missing(ledger)));
    assert_eq!(found.memory().apps, log.memory().apps);
    assert!(found.memory().ledger.len() < log.memory().ledger.len());
    // What is saved next no longer names it.
    let retried = Change::Retried { app: name(0), word: "again".to_owned() };
    let writes = found.save(&[&retried.into()], &BTreeSet::new()).unwrap();
    let mut after = secrets.clone();
    after.write(&found, after.version, &writes).unwrap();
    assert_eq!(after.read(Limits::default()).memory().ledger, found.memory().ledger);

    let apps = first(&document["apps"]);
    assert_eq!(read_without(&secrets, &apps).unwrap_err(), Damage::Missing(apps));
    if let Some(run) = document["runs"].get(0) {
        assert_eq!(read_without(&secrets, &first(run)).unwrap_err(), Damage::Missing(first(run)));
    }
}

#[test]
fn what_stands_in_a_damaged_piece_is_stored_anew_when_it_is_good_again() {
    let (mut secrets, mut log) = stored();
    let piece = log.memory().apps[&name(0)].last_good.as_ref().and_then(|good| good.pieces.first().cloned());
    let damaged = BTreeSet::from([piece.expect("it moved out of the journal")]);
    assert!(log.save(&[&good(0, 1).into()], &BTreeSet::new()).is_none(), "it is stored already");
    secrets.pieces.retain(|name, _| !damaged.contains(name));
    let writes = log.save(&[&good(0, 1).into()], &damaged).unwrap();
    secrets.pieces.extend(writes.puts.iter().map(|piece| (piece.name.clone(), piece.clone())));
    log = writes.log;
    let good = log.memory().apps[&name(0)].last_good.clone().unwrap();
    assert_eq!(secrets.good(&log, &name(0), &good).objects.len(), 4);
}
