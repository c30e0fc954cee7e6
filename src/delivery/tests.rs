//! What the room does with one event, where a story would be too much.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::api::{AppPhase, AppSpec, Rollout};
use crate::health::Assessed;
use crate::object::{Live, ObjectKey};
use crate::plan::{Lookup, WantedKeys};
use crate::state::Memory;

/// A cluster without objects, in which a look at one app's kinds panics.
struct Panics(&'static str);

impl Lookup for Panics {
    fn live(&self, _: &ObjectKey) -> Option<Arc<Live>> {
        None
    }
}

impl World for Panics {
    fn assessed(&self, _: &ObjectKey) -> Option<Assessed> {
        None
    }

    fn hook_jobs(&self, _: &AppName) -> Vec<Assessed> {
        Vec::new()
    }

    fn strays(&self, _: &WantedKeys) -> (Vec<Arc<Live>>, usize) {
        (Vec::new(), 0)
    }

    fn places(&self) -> Inventory {
        Inventory::default()
    }

    fn listed(&self, app: &AppName) -> Listing {
        assert_ne!(app.as_str(), self.0, "it is the one");
        Listing::Done
    }

    fn inventory_listed(&self) -> Listing {
        Listing::Done
    }

    fn inventory_written(&self, _: &Inventory) -> bool {
        true
    }

    fn memory(&self) -> Option<Arc<Memory>> {
        Some(Arc::default())
    }
}

fn name(text: &str) -> AppName {
    AppName::new(text).unwrap()
}

fn says(digests: [&str; 2]) -> News {
    let apps = ["a", "b"].into_iter().zip(digests).map(|(app, digest)| {
        let wanted = WantedApp::of_objects(name(app), digest.into(), Vec::new());
        (AppSpec::folder(name(app), "base"), Ok(Arc::new(wanted)))
    });
    News::Git(Says {
        apps: apps.collect(),
        rollout: Rollout::default(),
        drift: Default::default(),
        commit: None,
    })
}

fn settle(delivery: &mut Delivery, world: &dyn World) {
    let now = Timestamp::UNIX_EPOCH;
    for _ in 0..8 {
        delivery.decide(world, now);
    }
}

/// Row d of the table of issue 14.
#[test]
fn a_panic_in_one_app_is_its_refusal_and_the_others_go_on() {
    let (mut delivery, now) = (Delivery::default(), Timestamp::UNIX_EPOCH);
    let world = Panics("a");
    delivery.hear(says(["1", "1"]), &world, now);
    settle(&mut delivery, &world);
    let phases =
        |delivery: &Delivery| delivery.statuses().into_iter().map(|app| app.phase).collect::<Vec<_>>();
    assert_eq!(phases(&delivery), [AppPhase::Refused, AppPhase::Ready]);
    let told = delivery.take_facts().into_iter().filter(|fact| matches!(fact.what, What::Panicked { .. }));
    assert_eq!(told.count(), 1, "it is told once");
    // A newer commit is looked at again.
    let world = Panics("none");
    delivery.hear(says(["2", "1"]), &world, now);
    settle(&mut delivery, &world);
    assert_eq!(phases(&delivery), [AppPhase::Ready, AppPhase::Ready]);
}

/// Row f: the number of a ticket is never given twice.
#[test]
fn an_answer_to_something_else_is_nothing() {
    let (mut delivery, now) = (Delivery::default(), Timestamp::UNIX_EPOCH);
    let world = Panics("none");
    delivery.hear(says(["1", "1"]), &world, now);
    let save = delivery.decide(&world, now);
    settle(&mut delivery, &world);
    let other = Ticket { of: Owner::App(name("a"), "1".into()), attempt: 9999 };
    assert!(!delivery.awaits(&other));
    assert!(delivery.event(&other, Event::Failed(Failure::Final("no".into())), &world, now).is_empty());
    assert!(delivery.statuses().iter().all(|app| app.phase == AppPhase::Ready));
    let tickets: BTreeSet<u64> = save.iter().map(|(ticket, _)| ticket.attempt).collect();
    assert_eq!(tickets.len(), save.len());
}
