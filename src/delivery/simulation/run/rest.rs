//! What has to hold once nothing more happens: each app runs wholly what git says, or wholly what it ran before with what
//! failed set aside, or stands still with a reason.

mod drift;

use super::Run;
use crate::api::{AppPhase, AppStatus};
use crate::delivery::app::{App, Doing};
use crate::delivery::simulation::agent::Agent;
use crate::delivery::simulation::chance::Storm;
use crate::delivery::simulation::content::{APPS, Content, Ending, Fate, app_name, app_of};
use crate::delivery::simulation::git::Word;
use crate::delivery::simulation::server::Object;
use crate::delivery::simulation::story::{Stimulus, Story};
use crate::object::{AppName, Digest};
use crate::plan::WantedApp;
use crate::state::Stage;

/// Checks a story that came to its end.
pub fn check(run: &Run, story: &Story) -> Result<(), String> {
    let out = &run.outside;
    let Some(agent) = &run.agent else { return Err("nobody is there".to_owned()) };
    let delivery = &agent.delivery;
    let head = out.git.head().cloned().unwrap_or_default();
    if out.goes {
        return gone(run, agent);
    }
    if !agent.tasks.is_empty() || !delivery.saving.is_empty() {
        let of = agent.tasks.iter().map(|task| format!("{:?}", task.ticket.of)).collect::<Vec<_>>();
        return Err(format!("at rest something is under way: {of:?}, or is not saved"));
    }
    let hindered = |name| {
        let app: Option<&App> = delivery.apps.get(name);
        app.is_some_and(|app| matches!(app.doing, Doing::Refused(_)) && is_excused(story, name.as_str()))
    };
    if !out.checks.restoring.keys().all(hindered) && !out.platform.suspended {
        return Err(format!("a restore has not ended: {:?}", out.checks.restoring));
    }
    let named: Vec<_> = head.apps.keys().map(|app| app_name(*app)).collect();
    if !delivery.apps.keys().eq(named.iter()) {
        return Err(format!("it knows {:?}, and git names {named:?}", delivery.apps.keys()));
    }
    for (app, word) in &head.apps {
        let known = &delivery.apps[&app_name(*app)];
        check_app(run, agent, story, (known, *word)).map_err(|why| {
            let status = known.status();
            format!("at rest: {}: {why}; it is {:?}, {:?}", APPS[*app], status.phase, status.message)
        })?;
    }
    strays(run, agent)
}

fn check_app(run: &Run, agent: &Agent, story: &Story, (app, word): (&App, Word)) -> Result<(), String> {
    let out = &run.outside;
    let AppStatus { phase, message, .. } = app.status();
    let says = match word {
        Word::Says(content) => Some(content),
        Word::Broken => None,
    };
    let name = app.name();
    let memory = out.store.memory.apps.get(name);
    // What is deleted may take longer to go than a gate waits for what is wanted again.
    let goes = || message.as_ref().is_some_and(|why| why.contains("is terminating")) && lasts(story);
    let excuse = || is_excused(story, name.as_str()) || goes();
    match phase {
        AppPhase::Ready => {
            let wanted = app.wanted().ok_or("it is ready, and wants nothing")?;
            is_whole(run, wanted)?;
            drift::is_recorded(run, wanted)?;
            if let Some(fight) = app.drift.patience.fights().next() {
                return Err(format!("it is fought for still: {fight}"));
            }
            scaled(run, wanted)?;
            let good = memory.and_then(|known| known.last_good.as_ref()).map(|good| &good.digest);
            if good != Some(&wanted.digest) {
                return Err(format!("it is ready, and {good:?} is remembered"));
            }
            if memory.is_some_and(|known| known.quarantined.is_some() || known.rolling.is_some()) {
                return Err("it is ready, and remembered as on its way".to_owned());
            }
            Ok(())
        }
        AppPhase::Restored | AppPhase::RolledBack => {
            let aside = app.quarantine().ok_or("nothing is set aside")?;
            if Some(&aside.digest) != app.digest() {
                return Err("what is set aside is not what git says".to_owned());
            }
            if memory.and_then(|known| known.quarantined.as_ref()) != Some(aside) {
                return Err("what is set aside is not remembered".to_owned());
            }
            if let Some(leader) = &aside.with {
                return leads(agent, leader, name).and_then(|()| stands(run, app));
            }
            if phase == AppPhase::Restored && !may_fail(run, &aside.digest, says) && !excuse() {
                return Err("nothing was wrong with what failed".to_owned());
            }
            stands(run, app)
        }
        AppPhase::Suspended | AppPhase::Restoring | AppPhase::RollingBack if out.platform.suspended => Ok(()),
        // What somebody else holds is not taken from them, on the way back neither.
        AppPhase::Restoring | AppPhase::RollingBack
            if matches!(app.doing, Doing::Refused(_))
                && (excuse() || app.quarantine().is_some_and(|aside| aside.asked.is_some()))
                && message.as_ref().is_some_and(|why| why.contains("refused")) =>
        {
            Ok(())
        }
        AppPhase::Blocked => {
            let ready = |name| agent.delivery.apps.get(name).is_some_and(App::is_ready);
            match app.spec.depends_on.iter().all(ready) {
                true => Err("what it waits for is ready".to_owned()),
                false => Ok(()),
            }
        }
        AppPhase::Refused if message.is_none() => Err("it is refused for no reason".to_owned()),
        AppPhase::Refused if says.is_none() => {
            // What was wanted before stays.
            let stands = app.target().is_none_or(|target| is_whole(run, target).is_ok());
            let stuck = app.told_halt().is_some() || !matches!(app.doing, Doing::Idle);
            let lost = app.quarantine().is_some_and(|aside| aside.stage == Stage::Lost);
            match stands || stuck || lost || out.platform.suspended {
                true => Ok(()),
                false => Err("it stands between two versions".to_owned()),
            }
        }
        AppPhase::Refused | AppPhase::Halted if message.is_none() => Err("it says no reason".to_owned()),
        AppPhase::Refused => {
            let denied = says.is_some_and(|content| fates(content).any(|fate| fate == Fate::Denied));
            let back = app.back().is_some();
            match denied || excuse() || back {
                true => Ok(()),
                false => Err("nothing is wrong with it".to_owned()),
            }
        }
        // A person may want back what fails.
        AppPhase::Halted if app.quarantine().is_some_and(|aside| aside.asked.is_some()) => Ok(()),
        AppPhase::Halted => {
            let digest = app.digest().cloned().unwrap_or_else(|| Digest::from(""));
            match may_fail(run, &digest, says) || excuse() {
                true => Ok(()),
                false => Err("nothing is wrong with it".to_owned()),
            }
        }
        _ => Err("it is not at rest".to_owned()),
    }
}

/// Whether the replicas are the autoscaler's where there is one, and git's where there is none.
fn scaled(run: &Run, wanted: &WantedApp) -> Result<(), String> {
    let server = &run.outside.server;
    for key in wanted.objects.iter().map(|object| &object.key) {
        let Some(found) = server.objects.get(key) else { continue };
        let theirs = found.taken.replicas;
        if theirs != server.others.scaled.contains_key(key) && !run.outside.platform.suspended {
            return Err(format!("the replicas of {key} are the autoscaler's: {theirs}"));
        }
    }
    Ok(())
}

/// Whether what it went back to is there.
fn stands(run: &Run, app: &App) -> Result<(), String> {
    is_whole(run, app.target().ok_or("what it goes back to is not known")?)
}

/// Whether an app that failed still takes another back with it.
fn leads(agent: &Agent, leader: &AppName, name: &AppName) -> Result<(), String> {
    let app = agent.delivery.apps.get(leader);
    let together = app.and_then(|app| app.quarantine()?.together.as_ref());
    match together.is_some_and(|together| together.contains_key(name)) {
        true => Ok(()),
        false => Err(format!("{leader}, with which it went back, is let go of")),
    }
}

/// What was made is gone with the Environment, or it is said why not.
fn gone(run: &Run, agent: &Agent) -> Result<(), String> {
    let (out, delivery) = (&run.outside, &agent.delivery);
    if !delivery.apps.is_empty() || !agent.tasks.is_empty() {
        return Err("at rest the environment is gone, and its apps are not".to_owned());
    }
    let status = delivery.prune_status();
    if out.platform.suspended || status.as_ref().is_some_and(|status| status.halted) {
        return Ok(());
    }
    let ours = |object: &&Object| !object.taken.all && &*object.wanted.key.kind != "Job";
    match (delivery.left(&agent.view), out.server.objects.values().find(ours)) {
        (None, _) => Err(format!("at rest the environment is not gone: {status:?}")),
        (Some(_), Some(object)) => Err(format!("at rest {} is left of the environment", object.wanted.key)),
        (Some(_), None) => Ok(()),
    }
}

/// Whether all of what is wanted is there, and nobody else holds any of it.
fn is_whole(run: &Run, wanted: &WantedApp) -> Result<(), String> {
    if run.outside.platform.suspended {
        return Ok(());
    }
    for object in &wanted.objects {
        let found = run.outside.server.objects.get(&object.key);
        let is_whole = match found {
            Some(found) => {
                found.is(&object.digest, |field| drift::may_be_theirs(run, &object.key, Some(field)))
                    || found.taken.all && drift::may_be_theirs(run, &object.key, None)
            }
            None => drift::may_be_theirs(run, &object.key, None),
        };
        if !is_whole {
            return Err(format!("{} is not as {} has it", object.key, wanted.digest.short()));
        }
    }
    Ok(())
}

fn fates(content: Content) -> impl Iterator<Item = Fate> {
    content.web.into_iter().chain(content.worker).map(|(_, fate)| fate)
}

/// Whether what git says may fail by itself.
fn may_fail(_run: &Run, _digest: &Digest, says: Option<Content>) -> bool {
    says.is_none_or(|content| {
        let hooks = content.migrate.map(|(_, ending)| ending).into_iter().chain(content.check);
        fates(content).any(|fate| !matches!(fate, Fate::Fast | Fate::Slow | Fate::CrashTwice | Fate::Flap))
            || hooks.into_iter().any(|ending| ending != Ending::Succeeds)
    })
}

/// Whether others did what may make anything fail.
fn is_excused(story: &Story, name: &str) -> bool {
    let mine = |app: &usize| APPS[*app] == name;
    story.stimuli.iter().any(|(_, stimulus)| match stimulus {
        Stimulus::Edit(app, ..)
        | Stimulus::Touch(app, ..)
        | Stimulus::Delete(app, _)
        | Stimulus::Claim(app, _)
        | Stimulus::Fight(app, ..) => mine(app),
        Stimulus::Jump(_) | Stimulus::Storm(Storm::Weather, _) => true,
        _ => false,
    })
}

/// Whether finalizers lasted for a while.
fn lasts(story: &Story) -> bool {
    story.stimuli.iter().any(|(_, stimulus)| matches!(stimulus, Stimulus::Storm(Storm::Held, _)))
}

/// What left git is gone, or it is said why not.
fn strays(run: &Run, agent: &Agent) -> Result<(), String> {
    let delivery = &agent.delivery;
    for (key, object) in &run.outside.server.objects {
        let app = delivery.apps.get(&app_name(app_of(key)));
        let wanted = app
            .and_then(|app| app.wanted())
            .is_some_and(|wanted| wanted.all().any(|known| known.key == *key));
        if wanted || object.taken.all || &*key.kind == "Job" {
            continue;
        }
        let ready = delivery.apps.values().all(App::is_ready) && !run.outside.platform.suspended;
        if ready && delivery.prune_status().is_none_or(|status| status.message.is_none()) {
            return Err(format!("at rest {key} is there, which git does not want"));
        }
    }
    Ok(())
}
