//! What people do: anything at all while things go wrong, and what is sensible once they do not.

use std::time::Duration;

use super::story::Person;
use super::world::World;
use crate::region::{Ask, Attestation, Choice, Mode, Next, RegionAsk, Request};

/// A person asks something of a region, or does what is sensible.
pub fn act(world: &mut World, site: usize, person: Option<Person>) {
    match person {
        Some(person) => ask(world, site, person),
        None => help(world, site),
    }
}

/// Most of what is asked is refused, as it should be.
fn ask(world: &mut World, site: usize, person: Person) {
    let ask = match person {
        Person::Pause => RegionAsk::Run(Ask::Pause),
        Person::Resume => RegionAsk::Run(Ask::Resume),
        Person::Retry => RegionAsk::Run(Ask::Retry),
        Person::Skip => {
            let Some(run) = world.sites[site].state().run() else { return };
            RegionAsk::Run(Ask::Skip { step: run.step() })
        }
        Person::Ungraceful => RegionAsk::Run(Ask::Ungraceful),
        Person::Override(preflight) => RegionAsk::Run(Ask::Override { preflight }),
        Person::TakeLoss => RegionAsk::Run(Ask::TakeLoss { most: Duration::from_secs(600) }),
        Person::Attest => {
            let Some(attestation) = attest(world, site) else { return };
            RegionAsk::Run(Ask::Attest { attestation })
        }
        Person::Abort => RegionAsk::Run(Ask::Abort),
        Person::BreakGlass(active) => RegionAsk::BreakGlass {
            active: world.sites[active].name.clone(),
            epoch: None,
            mode: Mode::Ungraceful,
        },
        Person::Drill => RegionAsk::Drill,
        Person::PromoteDrill => RegionAsk::PromoteDrill { mode: Mode::Ungraceful },
        Person::EndDrill => RegionAsk::Run(Ask::EndDrill),
    };
    tell(world, site, ask);
}

fn tell(world: &mut World, site: usize, ask: RegionAsk) {
    world.asked += 1;
    let request = Request {
        id: world.asked.to_string(),
        person: "ann".to_owned(),
        reason: "because".to_owned(),
        ask: Ask::Retry,
    };
    let now = world.now;
    let settings = world.settings.clone();
    let it = &mut world.sites[site];
    let Some(mut process) = it.process.take() else { return };
    let heard = process.state.hear(&request, &ask, it.here(&settings, now), &process.fence);
    it.remembered = process.state.clone();
    it.process = Some(process);
    world.say(|| format!("a person to {site}: {ask:?}: {heard:?}"));
}

/// A person says that the region which holds is off, if it is. Where nothing guards its writers, they see to it that none start
/// when it is back.
fn attest(world: &mut World, site: usize) -> Option<Attestation> {
    let record = world.sites[site].process.as_ref()?.fence.record()?.clone();
    let holder = world.sites.iter_mut().find(|other| other.name == record.holder)?;
    if holder.is_on || record.holder == world.sites[site].name {
        return None;
    }
    let holder = world.sites.iter_mut().find(|other| other.name == record.holder)?;
    if !holder.is_guarded {
        holder.cluster.wanted = None;
        holder.cluster.generation += 1;
    }
    Some(Attestation {
        holder: Some((record.holder.clone(), record.epoch)),
        counter: record.counter,
        person: "ann".to_owned(),
        reason: "it is off".to_owned(),
    })
}

/// Once all faults have ended: does with what is paused or halted what a sensible person would.
fn help(world: &mut World, site: usize) {
    let now = world.now;
    let settings = world.settings.clone();
    let it = &mut world.sites[site];
    let Some(process) = &it.process else { return };
    let Some(run) = process.state.run().filter(|run| !run.is_ended()) else { return };
    if run.is_drill() {
        return tell(world, site, RegionAsk::Run(Ask::EndDrill));
    }
    if run.is_paused() {
        return tell(world, site, RegionAsk::Run(Ask::Resume));
    }
    // What it would say now, by a copy: nothing is decided here.
    let (mut state, fence) = (process.state.clone(), process.fence.clone());
    let facts = process.facts(&Default::default(), it.is_guarded);
    let Some(Next::Halt { choices, .. }) = state.decide(&facts, &fence, it.here(&settings, now)).next else {
        return;
    };
    if choices.is_empty() {
        world.fault = Some(format!("at {now} region {site} halts without a choice"));
        return;
    }
    let wanted = [
        (Choice::TakeLoss, RegionAsk::Run(Ask::TakeLoss { most: Duration::from_secs(600) })),
        (Choice::Ungraceful, RegionAsk::Run(Ask::Ungraceful)),
        (Choice::Retry, RegionAsk::Run(Ask::Retry)),
    ];
    if let Some((_, ask)) = wanted.into_iter().find(|(choice, _)| choices.contains(choice)) {
        tell(world, site, ask);
    }
}
