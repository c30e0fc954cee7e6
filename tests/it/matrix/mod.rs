//! One fault at each request of a story, in each way in which a request can fail: the end is always that of the story.
//!
//! `make test` tells the story with a few faults, chosen by a seed that it prints; `make faults` with all of them.
//! `FAIRLEAD_SEED` repeats a choice.

mod story;

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use story::{Harm, Told, tell};

use crate::bed::{Class, ControlPlane, Effect, End};

/// Stories that are told at the same time. They mostly wait.
const AT_ONCE: usize = 6;
/// Each leaves a namespace behind; its control plane is given up before they slow it down.
const STORIES: usize = 120;

const CLASSES: [Class; 9] = [
    Class::Discovery,
    Class::List,
    Class::Watch,
    Class::DryRun,
    Class::Write,
    Class::Status,
    Class::Event,
    Class::Lease,
    Class::State,
];

/// What may become of a request of this class.
fn effects(class: Class) -> Vec<Effect> {
    let mut found = vec![
        Effect::Answer { status: 429, retry_after: Some(1) },
        Effect::answer(500),
        Effect::answer(503),
        Effect::CutBefore,
        Effect::CutAfter,
        Effect::ResetBefore,
        Effect::ResetAfter,
        Effect::Truncate,
        Effect::Delay(Duration::from_millis(700)),
    ];
    match class {
        Class::DryRun | Class::Write | Class::Status | Class::Event | Class::Lease | Class::State => {
            found.extend([Effect::answer(409), Effect::answer(422)]);
        }
        Class::Watch => {
            found.retain(|effect| !matches!(effect, Effect::Truncate));
            found.push(Effect::Expired);
            for how in [End::Gone, End::Close] {
                found.extend([0, 1].map(|after| Effect::Ends { after, how }));
            }
        }
        // What the next page of a list was to be read from is compacted.
        Class::List => found.push(Effect::answer(410)),
        Class::Discovery | Class::Get => {}
    }
    if class == Class::Write {
        found.extend([Effect::KillBefore, Effect::KillAfter]);
    }
    found
}

/// Every fault at every request.
fn all(counts: &BTreeMap<Class, usize>) -> Vec<Harm> {
    let mut found = Vec::new();
    for class in CLASSES {
        for nth in 1..=counts.get(&class).copied().unwrap_or_default() {
            found.extend(effects(class).into_iter().map(|effect| Harm { class, nth, effect }));
        }
    }
    found
}

fn seed() -> u64 {
    let given = std::env::var("FAIRLEAD_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..1 << 32))
}

/// Tells each, some at the same time, and says what went wrong with which.
fn tell_each(reference: &Told, harms: &[Harm], planes: &[Arc<ControlPlane>]) -> Vec<String> {
    let queue: Mutex<VecDeque<&Harm>> = Mutex::new(harms.iter().collect());
    let failures = Mutex::new(Vec::new());
    let next = || queue.lock().expect("a lock").pop_front();
    std::thread::scope(|scope| {
        for n in 0..AT_ONCE {
            let (next, failures, plane) = (&next, &failures, &planes[n % planes.len()]);
            scope.spawn(move || {
                while let Some(harm) = next() {
                    match try_one(reference, harm, plane) {
                        Ok(how) => eprintln!("ok    {harm} ({how})"),
                        Err(why) => {
                            eprintln!("FAIL  {harm}: {why}");
                            failures.lock().expect("a lock").push(format!("{harm}: {why}"));
                        }
                    }
                }
            });
        }
    });
    failures.into_inner().expect("a lock")
}

fn try_one(reference: &Told, harm: &Harm, plane: &Arc<ControlPlane>) -> Result<String, String> {
    let told = std::panic::catch_unwind(AssertUnwindSafe(|| tell(plane, Some(harm))));
    let told = told.map_err(|_| "it did not come to its end, as is said above".to_owned())?;
    if told.ending != reference.ending {
        return Err(differs(&reference.ending, &told.ending));
    }
    let reached = if told.harmed { "" } else { ", and was over before" };
    Ok(format!("{:.1?}{reached}", told.took))
}

fn differs(reference: &story::Ending, found: &story::Ending) -> String {
    let (reference, found) = (format!("{reference:#?}"), format!("{found:#?}"));
    let diff = similar::TextDiff::from_lines(&reference, &found);
    format!("the end is another:\n{}", diff.unified_diff().context_radius(2))
}

fn reference(plane: &Arc<ControlPlane>) -> Told {
    let reference = tell(plane, None);
    eprintln!("the reference took {:.1?}: {:?}", reference.took, reference.counts);
    reference
}

#[test]
fn with_a_fault_at_any_request_the_end_is_that_of_the_reference() {
    let plane = Arc::new(ControlPlane::own(&[]));
    let reference = reference(&plane);
    let seed = seed();
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut harms = Vec::new();
    for class in CLASSES {
        let mut known = all(&reference.counts);
        known.retain(|harm| harm.class == class);
        harms.extend(dice.choice(&known).cloned());
    }
    eprintln!("FAIRLEAD_SEED={seed}");
    let failures = tell_each(&reference, &harms, &[plane]);
    assert!(failures.is_empty(), "FAIRLEAD_SEED={seed}:\n{}", failures.join("\n"));
}

/// Takes half an hour on two cores, so it is asked for by `make faults`. `FAIRLEAD_FAULT` chooses by name.
#[test]
#[ignore = "takes half an hour"]
fn with_every_fault_at_every_request_the_end_is_that_of_the_reference() {
    let planes = || [(); 2].map(|()| Arc::new(ControlPlane::own(&[])));
    let reference = reference(&planes()[0]);
    let mut harms = all(&reference.counts);
    if let Ok(wanted) = std::env::var("FAIRLEAD_FAULT") {
        harms.retain(|harm| harm.to_string().contains(&wanted));
    }
    assert!(!harms.is_empty(), "no fault has this name");
    // Those of one class ask for the same moments; mixed, the machine has about the same to do all the time.
    fastrand::Rng::with_seed(seed()).shuffle(&mut harms);
    eprintln!("{} stories", harms.len());
    let failures: Vec<String> =
        harms.chunks(STORIES).flat_map(|part| tell_each(&reference, part, &planes())).collect();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), harms.len(), failures.join("\n"));
}
