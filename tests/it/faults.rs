//! A server that stumbles, and connections that break.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bed::manifests::{configmap, deployment};
use crate::bed::{Bed, Class, Effect, Fault, SECOND, Setup, wait_until};

/// Rolls 30 objects out while requests of each class that changes or proves something are harmed, and looks at the end.
fn survives(name: &str, effect: Effect, times: usize) -> (Bed, crate::bed::Proxy) {
    let bed = Bed::new(name);
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    bed.wait_seen_by_agent();
    for class in [Class::DryRun, Class::Write, Class::Status] {
        proxy.set(Fault::nth(class, 2, effect.clone()).times(times));
    }
    let many: String = (0..30).map(|n| configmap(&format!("c-{n:02}"), "1")).collect();
    let revision = bed.commit_web(&many);
    bed.wait_ready(&revision);
    for n in 0..30 {
        let found = bed.configmap(&format!("c-{n:02}"));
        assert!(found.is_some_and(|found| found["data"]["value"] == "1"), "c-{n:02} is as wanted");
    }
    let mut created = proxy.records();
    created.retain(|record| record.class == Class::Write && record.status == Some(201));
    assert_eq!(created.len(), 30, "each object was created once");
    (bed, proxy)
}

#[test]
fn an_overload_is_waited_out_as_long_as_the_server_asks() {
    let (_bed, proxy) = survives("busy", Effect::Answer { status: 429, retry_after: Some(1) }, 3);
    let records = proxy.records();
    for refused in records.iter().filter(|record| record.status == Some(429) && record.class == Class::Write)
    {
        let again = records.iter().find(|record| {
            record.class == Class::Write && record.path == refused.path && record.at > refused.at
        });
        let pause = again.expect("it was asked again").at.duration_since(refused.at);
        assert!(pause >= Duration::from_millis(950), "asked again after {pause:?}");
    }
}

#[test]
fn errors_of_the_server_are_tried_again() {
    survives("error500", Effect::Answer { status: 500, retry_after: None }, 3);
    survives("error503", Effect::Answer { status: 503, retry_after: None }, 3);
}

#[test]
fn connections_that_break_are_made_anew() {
    survives("cutbefore", Effect::CutBefore, 3);
    survives("cutafter", Effect::CutAfter, 3);
}

#[test]
fn a_conflict_with_another_writer_is_planned_anew() {
    let bed = Bed::new("conflict");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    proxy.set(Fault::nth(Class::Write, 2, Effect::Answer { status: 409, retry_after: None }));
    let revision = bed.commit_web(&(0..5).map(|n| configmap(&format!("c-{n}"), "1")).collect::<String>());
    bed.wait_ready(&revision);
    assert_eq!(proxy.count(Class::Write), 6, "what was written is not written again");
}

#[test]
fn an_agent_lives_through_a_compaction_and_a_restart_of_the_store() {
    let bed = Setup::new("etcd").alone().make();
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    let web = |value: &str| {
        (0..40).map(|n| configmap(&format!("c-{n}"), value)).collect::<String>() + &deployment("web", &[])
    };
    let revision = bed.commit_web(&web("1"));
    bed.wait_ready(&revision);
    let before = proxy.count(Class::Write);
    proxy.set(Fault::nth(Class::Write, 1, Effect::Delay(Duration::from_millis(200))).times(100));
    let revision = bed.commit_web(&web("2"));
    wait_until(10 * SECOND, "the wave is being written", || proxy.count(Class::Write) >= before + 10);
    // What was read before is gone, and so are the watches of the API server itself.
    bed.control_plane().tell("compact");
    bed.control_plane().tell("restart-etcd");
    bed.wait_ready(&revision);
    for n in 0..40 {
        assert_eq!(bed.configmap(&format!("c-{n}")).expect("it is there")["data"]["value"], "2");
    }
    // It still sees what others do.
    bed.api().merge(
        &format!("/api/v1/namespaces/{}/configmaps/c-0", bed.name),
        &json!({"data": {"value": "theirs"}}),
    );
    wait_until(20 * SECOND, "an edit is put back", || {
        bed.configmap("c-0").is_some_and(|found| found["data"]["value"] == "2")
    });
}

#[test]
fn a_slow_server_is_not_asked_twice() {
    let bed = Bed::new("slow");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    proxy.set(Fault::nth(Class::Write, 1, Effect::Delay(3 * SECOND)));
    let began = Instant::now();
    let revision = bed.commit_web(&configmap("settings", "1"));
    bed.wait_ready(&revision);
    assert!(began.elapsed() >= 3 * SECOND);
    assert_eq!(proxy.count(Class::Write), 1);
}
