//! Watches that end in each way in which they do, servers that fall silent, and servers that are behind.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{
    Agent, Bed, Behind, Class, Effect, End, Fault, Proxy, SECOND, SOON, Setup, holds_for, wait_until,
};

fn configmaps(names: &[&str], value: &str) -> String {
    names.iter().map(|name| configmap(name, value)).collect()
}

fn edit(bed: &Bed, name: &str, value: &str) {
    let path = format!("/api/v1/namespaces/{}/configmaps/{name}", bed.name);
    bed.api().merge(&path, &json!({"data": {"value": value}}));
}

#[track_caller]
fn is_put_back(bed: &Bed, name: &str, value: &str) {
    wait_until(SOON, "it is put back", || {
        bed.configmap(name).is_some_and(|found| found["data"]["value"] == value)
    });
}

fn harmed(proxy: &Proxy) -> usize {
    proxy.records().iter().filter(|record| record.class == Class::Watch && record.harmed.is_some()).count()
}

/// What the platform says reaches the agent.
#[track_caller]
fn is_heard(bed: &Bed, limit: Duration) {
    bed.patch_environment(&json!({"spec": {"suspended": true}}));
    wait_until(limit, "what the platform says is heard", || {
        let environment = bed.environment();
        environment["status"]["observedGeneration"] == environment["metadata"]["generation"]
    });
    bed.commit_web(&configmap("a", "3"));
    bed.wait_app("web", "Suspended");
}

/// What happens while nobody watches is seen by the watch after it.
fn goes_on_after(name: &str, effect: Effect, times: usize) {
    let bed = Bed::new(name);
    let proxy = bed.proxy();
    for watched in ["/configmaps", "/deployments", "/environments"] {
        proxy.set(Fault::nth(Class::Watch, 1, effect.clone()).times(times).on(watched));
    }
    let _agent = bed.agent_through(&proxy);
    let names = ["a", "b", "c"];
    let revision = bed.commit_web(&(configmaps(&names, "1") + &deployment("web", &[("ready-after", "1s")])));
    bed.wait_ready(&revision);
    for name in names {
        edit(&bed, name, "theirs");
        is_put_back(&bed, name, "1");
    }
    let revision =
        bed.commit_web(&(configmaps(&names, "2") + &deployment("web", &[("ready-after", "500ms")])));
    bed.wait_ready(&revision);
    // What the platform says is heard, too.
    is_heard(&bed, SOON);
    assert!(harmed(&proxy) >= 3, "{} watches were harmed", harmed(&proxy));
}

/// Objects and watches in the index, as its metrics say.
fn index_size(agent: &Agent) -> [u64; 2] {
    let (_, text) = agent.page("/metrics");
    ["fairlead_index_objects ", "fairlead_index_watches "].map(|name| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("the metric is there");
        value.trim().parse().expect("a number")
    })
}

#[test]
fn what_only_one_environment_needs_is_watched_while_it_is_there() {
    let bed = Setup::new("comes-and-goes").alone().make();
    let agent = bed.agent();
    // More than one, so that what leaves git is not half of all.
    let stay = configmaps(&["a", "b", "c"], "1");
    bed.wait_ready(&bed.commit_web(&(stay.clone() + &deployment("web", &[]))));
    let [objects, watches] = index_size(&agent);
    assert!(objects >= 4 && watches >= 3, "{objects} objects, {watches} watches");
    // A kind that git no longer wants is watched until nothing of it is left.
    bed.wait_ready(&bed.commit_web(&stay));
    wait_until(SOON, "Deployments are watched no more", || index_size(&agent) == [3, watches - 1]);
    bed.kubectl(&["delete", "environment", &bed.name, "--timeout=20s"]).ok();
    wait_until(SOON, "nothing is watched", || index_size(&agent) == [0, 0]);
}

#[test]
fn a_watch_whose_version_is_gone_lists_anew() {
    goes_on_after("expired", Effect::Expired, 1);
}

#[test]
fn a_watch_that_says_in_its_stream_that_its_version_is_gone_lists_anew() {
    goes_on_after("gone", Effect::Ends { after: 1, how: End::Gone }, 4);
}

#[test]
fn a_watch_that_just_ends_goes_on() {
    goes_on_after("closed", Effect::Ends { after: 1, how: End::Close }, 4);
}

#[test]
fn a_watch_whose_connection_is_reset_goes_on() {
    goes_on_after("reset", Effect::ResetBefore, 4);
}

/// Longer than the agent waits for a byte where one is due.
const NOTICED: Duration = Duration::from_secs(120);

/// Slow, so it is asked for by name or by `make faults`.
#[test]
#[ignore = "takes two minutes: a silence is noticed after 90 s"]
fn what_falls_silent_is_noticed_and_asked_anew() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Every watch of these kinds, and what the agent says: no byte, and no end of the connection either.
            let bed = Bed::new("silent");
            let proxy = bed.proxy();
            let _agent = bed.agent_through(&proxy);
            let stall = Effect::Ends { after: 0, how: End::Stall };
            proxy.set(Fault::nth(Class::Watch, 1, stall.clone()).on("/configmaps"));
            proxy.set(Fault::nth(Class::Watch, 1, stall).on("/environments"));
            bed.wait_ready(&bed.commit_web(&configmap("a", "1")));
            edit(&bed, "a", "theirs");
            let began = Instant::now();
            wait_until(NOTICED, "it is put back", || {
                bed.configmap("a").is_some_and(|found| found["data"]["value"] == "1")
            });
            eprintln!("a silent watch was noticed after {:?}", began.elapsed());
            is_heard(&bed, NOTICED);
        });
        for class in [Class::List, Class::Status, Class::Event, Class::DryRun, Class::Write] {
            scope.spawn(move || {
                let bed = Bed::new("unanswered");
                let proxy = bed.proxy();
                let on = if class == Class::List { "/configmaps" } else { "" };
                proxy.set(Fault::nth(class, 1, Effect::Silence).on(on));
                let _agent = bed.agent_through(&proxy);
                let revision = bed.commit_web(&configmap("a", "1"));
                wait_until(NOTICED, "it is done all the same", || {
                    bed.status()["revision"] == revision.as_str()
                });
                wait_until(NOTICED, "and ready", || bed.condition("Ready")["status"] == "True");
                assert_eq!(proxy.harmed(), 1, "{class:?}");
            });
        }
    });
}

/// An old state is shown to an agent that starts in the middle of a change, and to one that goes on.
fn is_not_misled(name: &str, behind: Behind) {
    let bed = Bed::new(name);
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    let names = ["a", "b", "c", "d", "e", "f", "g", "leaves"];
    bed.wait_ready(&bed.commit_web(&configmaps(&names, "1")));
    // It was listed by someone who starts, so that it can be shown to the next who does.
    drop(agent);
    let agent = bed.agent_through(&proxy);
    bed.wait_ready(&bed.commit(&[("README.md", "listed")]));
    let uids = |names: &[&str]| -> Vec<Value> {
        names
            .iter()
            .map(|name| bed.configmap(name).expect("it is there")["metadata"]["uid"].clone())
            .collect()
    };
    let before = uids(&names[..7]);
    proxy.fall_behind(behind);
    // Somebody deletes and makes anew what the agent sees as it was, and git drops one and changes the rest.
    let path = format!("/api/v1/namespaces/{}/configmaps/leaves", bed.name);
    bed.api().delete(&path);
    bed.api().create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "leaves", "namespace": bed.name}}));
    let theirs = bed.configmap("leaves").expect("it is there")["metadata"]["uid"].clone();
    let revision = bed.commit_web(&(configmaps(&names[..7], "2") + &configmap("new", "2")));
    wait_until(SOON, "it writes what it can", || bed.configmap("new").is_some());
    drop(agent);
    let _agent = bed.agent_through(&proxy);
    holds_for(3 * SECOND, "what bears an old name is another object", || {
        bed.configmap("leaves").is_some_and(|found| found["metadata"]["uid"] == theirs)
    });
    proxy.catch_up();
    bed.wait_ready(&revision);
    for name in &names[..7] {
        assert_eq!(bed.configmap(name).expect("it is there")["data"]["value"], "2");
    }
    assert_eq!(uids(&names[..7]), before, "nothing was made anew");
    assert_eq!(uids(&["leaves"]), [theirs]);
    let past = proxy.records().iter().filter(|record| record.harmed.as_deref() == Some("Past")).count();
    assert!(past > 0, "nobody was shown the past");
    wait_until(SOON, "nothing is left over", || bed.status()["prune"] == Value::Null);
    let began = Instant::now();
    bed.wait_ready(&bed.commit(&[("README.md", "the next pass")]));
    let wrote = proxy.since(began, &[Class::Write, Class::DryRun]);
    assert!(wrote.is_empty(), "{wrote:#?}");
}

#[test]
fn a_server_that_is_behind_misleads_nobody() {
    is_not_misled("behind", Behind::ButLeases);
}

#[test]
fn a_server_that_is_behind_with_everything_misleads_nobody() {
    is_not_misled("wholly", Behind::All);
}
