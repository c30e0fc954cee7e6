//! What must be so when nothing goes wrong any more.

use super::chance::Millis;
use super::people;
use super::story::{CALM, Story};
use super::world::World;
use crate::region::{Epoch, Mode};

/// Until then people deal with what is halted or paused.
const HELPED: Millis = CALM + 160_000;
/// And so long after a last, sensible commit its re-point has ended.
const MOVED: Millis = 260_000;

/// What came of a story.
#[derive(Debug, Default)]
pub struct Told {
    pub decisions: u64,
    pub starts: u64,
}

/// Tells a story; what must always hold, and what must hold at rest, or how it did not.
pub fn tell(story: &Story, aloud: bool) -> Result<Told, String> {
    let mut world = World::new(story, people::act, aloud);
    world.run_until(HELPED, story)?;
    let epoch = highest(&world).next();
    let to = usize::try_from(story.seed % story.regions as u64).unwrap_or_default();
    let mode = if story.seed.is_multiple_of(2) { Mode::Graceful } else { Mode::Ungraceful };
    world.push(epoch.0, to, mode);
    let begun = world.now;
    world.run_until(begun + MOVED, story)?;
    judge(&world, to, epoch)?;
    Ok(Told { decisions: world.decisions, starts: world.ledger.starts })
}

fn highest(world: &World) -> Epoch {
    let said = world.sites.iter().filter_map(|site| site.state().words.wanted()).map(|word| word.epoch);
    let record = world.place.now().map_or(Epoch(0), |record| {
        record.claim.as_ref().map_or(record.epoch, |claim| claim.epoch.max(record.epoch))
    });
    said.max().unwrap_or_default().max(record).max(world.git.epoch)
}

fn judge(world: &World, to: usize, epoch: Epoch) -> Result<(), String> {
    let site = &world.sites[to];
    let run = site.state().run();
    let wrong = |what: String| {
        let record = world.place.now();
        Err(format!(
            "at rest {what}; region {to} should serve at epoch {epoch}; {record:?}; its run: {run:?}"
        ))
    };
    if world.ledger.writes(world.now) != Some((to, epoch)) {
        return wrong(format!("{:?} writes", world.ledger.writes(world.now)));
    }
    if site.state().serving() != Some(epoch) {
        return wrong(format!("region {to} serves {:?}", site.state().serving()));
    }
    if run.is_some_and(|run| !run.is_ended()) {
        return wrong("its run has not ended".to_owned());
    }
    for (n, other) in world.sites.iter().enumerate().filter(|(n, _)| *n != to) {
        if other.state().serving().is_some() {
            return wrong(format!("region {n} serves {:?}", other.state().serving()));
        }
        if other.state().run().is_some_and(|run| !run.is_ended()) {
            return wrong(format!("region {n} has a run: {:?}", other.state().run()));
        }
        if other.state().may_have_scratch() || other.scratch > 0 {
            return wrong(format!("region {n} has {} objects of a drill", other.scratch));
        }
    }
    if world.place.now().is_some_and(|record| record.claim.is_some() || record.drains.is_some()) {
        return wrong("something is left in the shared place".to_owned());
    }
    Ok(())
}
