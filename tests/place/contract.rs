//! What every shared place of regions has to do. Each test of a place calls [`keeps_the_contract`] with an empty one.

use fairlead::agent::shared_place::SharedPlace;
use fairlead::region::{
    Answer, Call, Claim, Epoch, Hold, PlaceError, Proof, RegionName, RegionRecord, Silence, Stamp, Stored,
    Version,
};
use futures::future::join_all;

/// So many race at once, so often.
const RACERS: u64 = 8;
const ROUNDS: u64 = 6;

pub fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("a name")
}

/// A record that this racer would write after so many writes.
pub fn record(racer: u64, serial: u64) -> RegionRecord {
    let holder = region(&format!("region-{racer}"));
    RegionRecord {
        serial,
        written: Stamp { region: holder.clone(), run: u64::MAX - racer, write: serial },
        epoch: Epoch(7),
        holder,
        hold: Hold::Held(Silence::Stops),
        counter: serial,
        proof: Proof::Attested { person: "ann".into(), reason: "\"ü\"\n".into() },
        acknowledged: Epoch(7),
        claim: Some(Claim { region: region("other"), epoch: Epoch(8), ready: false }),
        drains: None,
    }
}

pub async fn read(place: &SharedPlace) -> Option<Stored> {
    match place.ask(Call::Read).await {
        Answer::Read(stored) => stored,
        other => panic!("it is no answer to a read: {other:?}"),
    }
}

pub async fn swap(place: &SharedPlace, from: Option<&Version>, record: RegionRecord) -> Answer {
    place.ask(Call::Swap { from: from.cloned(), record }).await
}

pub fn swapped(answer: Answer) -> Version {
    match answer {
        Answer::Swapped(version) => version,
        other => panic!("it was not swapped: {other:?}"),
    }
}

/// Has racers swap from the same version at once; gives the record that stands then, after a look that one alone won.
async fn race(place: &SharedPlace, from: Option<Version>, serial: u64) -> Stored {
    let racers = (0..RACERS).map(|racer| {
        let (place, from) = (place.clone(), from.clone());
        async move { (racer, swap(&place, from.as_ref(), record(racer, serial)).await) }
    });
    let answers = join_all(racers).await;
    let won: Vec<u64> = answers
        .iter()
        .filter_map(|(racer, answer)| match answer {
            Answer::Swapped(_) => Some(*racer),
            Answer::Conflict => None,
            other => panic!("racer {racer}: {other:?}"),
        })
        .collect();
    let [winner] = won[..] else { panic!("{won:?} won from {from:?}") };
    let stored = read(place).await.expect("a record");
    assert_eq!(stored.record, record(winner, serial), "what stands is what the winner wrote");
    let told = answers.iter().find_map(|(_, answer)| match answer {
        Answer::Swapped(version) => Some(version),
        _ => None,
    });
    assert_eq!(told, Some(&stored.version), "the winner was told the version that stands");
    stored
}

pub async fn keeps_the_contract(place: &SharedPlace) {
    assert_eq!(read(place).await, None, "the place is empty");
    let nowhere = Version::new("1");
    assert_eq!(swap(place, Some(&nowhere), record(0, 1)).await, Answer::Conflict, "nothing has that version");
    assert_eq!(read(place).await, None, "what was refused wrote nothing");

    let mut seen = Vec::new();
    let mut stands = race(place, None, 1).await;
    for serial in 2..=ROUNDS {
        seen.push(stands.version.clone());
        stands = race(place, Some(stands.version.clone()), serial).await;
        assert!(!seen.contains(&stands.version), "a version came back");
    }

    for stale in seen.iter().map(Some).chain([None]) {
        assert_eq!(swap(place, stale, record(0, 99)).await, Answer::Conflict, "from {stale:?}");
    }
    assert_eq!(read(place).await, Some(stands.clone()), "what was refused wrote nothing");

    // The same content under another stamp has another version.
    let again = swapped(swap(place, Some(&stands.version), record(1, 100)).await);
    let back = swapped(swap(place, Some(&again), record(1, 101)).await);
    assert_ne!(again, back);
    assert_eq!(swap(place, Some(&again), record(2, 102)).await, Answer::Conflict);
}

/// What is not known is said to be so, and of which place.
pub fn is_unreachable(answer: &Answer, named: &str) {
    match answer {
        Answer::Failed(error @ PlaceError::Unreachable { .. }) => {
            assert!(error.may_pass() && error.to_string().contains(named), "{error}");
        }
        other => panic!("it is not called unreachable: {other:?}"),
    }
}

/// A right that is missing is named.
pub fn lacks(answer: &Answer, right: &str) {
    match answer {
        Answer::Failed(error @ PlaceError::Denied { .. }) => {
            assert!(!error.may_pass() && error.to_string().contains(right), "{error}");
        }
        other => panic!("no right is missing: {other:?}"),
    }
}
