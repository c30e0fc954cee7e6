//! Hooks while the agent dies, or the server cannot be reached.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{commit, hook, image, is, jobs, jobs_of, made, migration, running, uid, web};
use crate::bed::{Bed, Class, Effect, Fault, Record, SECOND, SOON, holds_for, wait_until};

#[test]
fn a_fault_while_a_hook_is_made_makes_no_second() {
    let (bed, proxy, _agent) = running("hookfault");
    let faults = [
        Effect::CutBefore,
        Effect::CutAfter,
        Effect::ResetAfter,
        Effect::Truncate,
        Effect::answer(500),
        Effect::answer(503),
        Effect::answer(409),
    ];
    for (n, effect) in faults.into_iter().enumerate() {
        let name = format!("hook-{n}");
        let marks = "fairlead.dev/hook: before";
        let (harmed, before) = (proxy.harmed(), jobs(&bed).len());
        proxy.set(Fault::nth(Class::Write, 1, effect.clone()).on("/jobs"));
        let text = (0..=n).map(|n| hook(&format!("hook-{n}"), marks, "", &[], "m:1")).collect::<String>();
        let revision = commit(&bed, &(web("2") + &text));
        bed.wait_ready(&revision);
        assert_eq!(proxy.harmed(), harmed + 1, "{effect:?}");
        assert_eq!((jobs_of(&bed, &name).len(), jobs(&bed).len()), (1, before + 1), "{effect:?}");
    }
    let deleted = |record: &&Record| record.class == Class::Write && record.method == http::Method::DELETE;
    let records = proxy.records();
    assert_eq!(records.iter().filter(deleted).count(), 0, "none was made and taken away again");
}

#[test]
fn killed_while_a_person_has_it_run_again_it_runs_once_more_and_no_oftener() {
    let manifests = web("1") + &migration("m:1", &[("job", "fail")]);
    for (class, path, effect) in [
        (Class::State, DOCUMENT, Effect::KillAfter),
        (Class::Write, "/jobs/migrate-", Effect::KillBefore),
        (Class::Write, "/jobs/migrate-", Effect::KillAfter),
        (Class::Write, "/jobs", Effect::KillBefore),
        (Class::Write, "/jobs", Effect::KillAfter),
    ] {
        let what = format!("{effect:?} at {path}");
        let bed = Bed::new("retrykill");
        let first = bed.proxy();
        let agent = bed.agent_through(&first);
        commit(&bed, &manifests);
        bed.wait_app("web", "Halted");
        let failed = uid(&jobs_of(&bed, "migrate")[0]);
        // A Job is deleted by its name, and made at the place of all: of "/jobs" the first is the delete.
        let nth = if path == "/jobs" { 2 } else { 1 };
        first.set(Fault::nth(class, nth, effect).on(path));
        let before = made(&first.records());
        bed.fairlead(&["retry", "--env", &bed.name]).ok();
        agent.wait(SOON);
        drop(agent);
        let second = bed.proxy();
        let _agent = bed.agent_through(&second);
        wait_until(SOON, &format!("{what}: it ran again and failed"), || {
            let jobs = jobs_of(&bed, "migrate");
            jobs.len() == 1 && uid(&jobs[0]) != failed && is(&jobs[0], "Failed")
        });
        bed.wait_app("web", "Halted");
        let is_lost = |record: &&Record| {
            record.path.ends_with("/jobs")
                && record.class == Class::Write
                && record.forwarded
                && record.status.is_none()
        };
        let lost = first.records().iter().filter(is_lost).count();
        let again = || made(&first.records()) + lost + made(&second.records()) - before;
        holds_for(2 * SECOND, &format!("{what}: once"), || again() == 1);
    }
}

/// Everything of the app but what differs from one making to the next.
fn end_state(bed: &Bed) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for job in jobs(bed) {
        let name = job["metadata"]["labels"]["fairlead.dev/hook"].as_str().unwrap_or_default().to_owned();
        let state = json!([is(&job, "Complete"), job["spec"]["ttlSecondsAfterFinished"]]);
        assert_eq!(found.insert(name.clone(), state), None, "{name} is there twice");
    }
    found.insert("image".to_owned(), image(bed));
    found.insert("settings".to_owned(), bed.configmap("settings").unwrap_or_default()["data"].clone());
    found
}

/// Of what is remembered, the document that names everything else.
const DOCUMENT: &str = "/secrets/state-";

fn fault(class: Class, n: usize, effect: &Effect) -> Fault {
    let fault = Fault::nth(class, n, effect.clone());
    if class == Class::State { fault.on(DOCUMENT) } else { fault }
}

/// Kills the agent at its n-th request of a class; the end has to be that of who was not killed. Says whether it was.
fn killed(
    (class, n, effect): &(Class, usize, Effect),
    manifests: &str,
    reference: &BTreeMap<String, Value>,
) -> bool {
    let what = format!("killed at {class:?} {n}, {effect:?}");
    let (bed, proxy, agent) = running("hookkill");
    let began = Instant::now();
    proxy.set(fault(*class, *n, effect));
    let revision = commit(&bed, manifests);
    wait_until(SOON, "it was killed, or is ready", || {
        agent.has_ended() || (bed.status()["revision"] == revision && bed.app("web")["phase"] == "Ready")
    });
    let hit = proxy.harmed() > 0;
    drop(agent);
    let second = bed.proxy();
    let _agent = bed.agent_through(&second);
    let revision = bed.commit(&[("README.md", "after the kill")]);
    bed.wait_ready(&revision);
    let began_to_wait = Instant::now();
    while end_state(&bed) != *reference {
        let found = end_state(&bed);
        assert!(began_to_wait.elapsed() < SOON, "{what}: {found:#?} is the end and not {reference:#?}");
        std::thread::sleep(SECOND / 10);
    }
    let first = proxy.since(began, &[Class::Write]);
    // One whose answer was lost with the agent was made, too, and has no status here.
    let is_lost =
        |record: &&Record| record.path.ends_with("/jobs") && record.forwarded && record.status.is_none();
    let lost = first.iter().filter(is_lost).count();
    assert_eq!(made(&first) + lost + made(&second.records()), 3, "{what}: each Job is made once");
    hit
}

#[test]
fn killed_at_any_write_each_hook_is_made_once_and_the_end_is_the_same() {
    let manifests = web("2")
        + &hook("migrate", "fairlead.dev/hook: before", "ttlSecondsAfterFinished: 3600", &[], "m:1")
        + &hook("warm", "fairlead.dev/hook: after", "", &[], "w:1")
        + &hook("check", "fairlead.dev/hook: verify", "", &[], "c:1");
    let (bed, proxy, agent) = running("hookref");
    let began = Instant::now();
    bed.wait_ready(&commit(&bed, &manifests));
    wait_until(SOON, "its time to live begins", || {
        jobs_of(&bed, "migrate")[0]["spec"]["ttlSecondsAfterFinished"] == 3600
    });
    std::thread::sleep(SECOND);
    let reference = end_state(&bed);
    // Written: settings, three Jobs, web, the time to live; and what is remembered around each.
    let writes = proxy.since(began, &[Class::Write]).len();
    assert_eq!(writes, 6, "{:#?}", proxy.since(began, &[Class::Write]));
    let states = proxy.since(began, &[Class::State]);
    let states = states.iter().filter(|record| record.path.contains(DOCUMENT)).count();
    drop(agent);
    let mut points: Vec<(Class, usize, Effect)> = Vec::new();
    for n in 1..=writes {
        points.push((Class::Write, n, Effect::KillBefore));
        points.push((Class::Write, n, Effect::KillAfter));
    }
    for n in 1..=states {
        let effect = if n % 2 == 0 { Effect::KillBefore } else { Effect::KillAfter };
        points.push((Class::State, n, effect));
    }
    let hits = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for part in points.chunks(points.len().div_ceil(4)) {
            let (reference, manifests, hits) = (&reference, &manifests, &hits);
            scope.spawn(move || {
                for point in part {
                    hits.fetch_add(usize::from(killed(point, manifests, reference)), Ordering::Relaxed);
                }
            });
        }
    });
    // What is remembered last is saved together with something else at times.
    let hits = hits.into_inner();
    assert!(hits + 3 >= points.len(), "{hits} of {} were killed", points.len());
}
