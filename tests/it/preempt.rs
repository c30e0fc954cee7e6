//! A newer commit wins, and an end is a handover.

use std::time::{Duration, Instant};

use crate::bed::manifests::{configmap, deployment, deployment_of};
use crate::bed::{Bed, Class, Effect, Fault, SECOND, wait_until};

/// How soon a commit that is seen must be acted on, and how long it may take to be seen with a poll each second.
const LIMIT: Duration = Duration::from_secs(5);
const SEEN: Duration = Duration::from_millis(1_500);

fn many(count: usize) -> String {
    (0..count).map(|n| configmap(&format!("old-{n:03}"), "1")).collect()
}

#[test]
fn a_newer_commit_preempts_a_gate_that_waits() {
    let bed = Bed::new("pregate");
    let _agent = bed.agent();
    bed.commit_web(&deployment("web", &[("never-ready", "true")]));
    bed.wait_app("web", "Waiting");
    let revision = bed.commit_web(&(deployment("web", &[]) + &configmap("new", "1")));
    wait_until(SEEN + LIMIT, "the newer commit is written", || bed.configmap("new").is_some());
    bed.wait_ready(&revision);
    bed.wait_events("Preempted web", 1);
}

#[test]
fn a_newer_commit_preempts_a_wave_of_200_objects() {
    let bed = Bed::new("prewave");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    // Sixteen at a time, this wave would take twelve seconds.
    proxy.set(Fault::nth(Class::Write, 1, Effect::Delay(SECOND)).times(1000).on("/old-"));
    bed.commit_web(&many(200));
    wait_until(20 * SECOND, "the wave is being written", || proxy.count(Class::Write) >= 20);
    let pushed = Instant::now();
    let revision = bed.commit_web(&configmap("new", "1"));
    wait_until(SEEN + LIMIT, "the newer commit is written", || bed.configmap("new").is_some());
    let took = pushed.elapsed();
    bed.wait_ready(&revision);
    let old = proxy
        .records()
        .iter()
        .filter(|record| record.class == Class::Write && record.path.contains("/old-"))
        .count();
    assert!(old < 190, "{old} of 200 objects of the older commit were written, in {took:?}");
}

#[test]
fn a_newer_commit_preempts_a_proof() {
    let bed = Bed::new("preproof");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    // Sixteen at a time, this proof would take twelve seconds.
    proxy.set(Fault::nth(Class::DryRun, 1, Effect::Delay(2 * SECOND)).times(100).on("/old-"));
    bed.commit_web(&many(100));
    wait_until(20 * SECOND, "it is being proven", || proxy.count(Class::DryRun) >= 8);
    let revision = bed.commit_web(&configmap("new", "1"));
    wait_until(SEEN + LIMIT, "the newer commit is written", || bed.configmap("new").is_some());
    bed.wait_ready(&revision);
    assert!(bed.configmap("old-000").is_none(), "nothing of the older commit was written");
}

/// `FAIRLEAD_SEED` repeats the moments of a run, which are told where it fails.
#[test]
fn a_commit_at_any_moment_of_a_rollout_takes_over() {
    let given = std::env::var("FAIRLEAD_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| fastrand::u64(..100_000));
    println!("FAIRLEAD_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let bed = Bed::new("moments");
    let _agent = bed.agent();
    // A rollout takes some five seconds: a proof, three waves, and pods that need their time.
    let manifests = |version: u32| {
        let image = format!("registry.example/web:{version}");
        let last = configmap("last", &version.to_string())
            .replace("name: last", "name: last, annotations: {fairlead.dev/wave: \"3\"}");
        configmap("first", &version.to_string())
            + &deployment_of("web", 2, &image, "", &[("ready-after", "2s")])
            + &last
    };
    let value = |name: &str| bed.configmap(name).map(|object| object["data"]["value"].clone());
    let mut revision = bed.commit_web(&manifests(1));
    bed.wait_ready(&revision);
    for version in 2..=9_u32 {
        revision = bed.commit_web(&manifests(version));
        // Now and then nobody looks how far it came: the next one may meet its proof.
        if chance.u8(..4) > 0 {
            let pushed = Instant::now();
            wait_until(SEEN + LIMIT, "what is newer takes over", || {
                value("first") == Some(version.to_string().into())
            });
            println!("version {version} took over within {:?}", pushed.elapsed());
        }
        std::thread::sleep(Duration::from_millis(chance.u64(..5_000)));
    }
    bed.wait_ready(&revision);
    let url = format!("/apis/apps/v1/namespaces/{}/deployments/web", bed.name);
    let web = bed.api().get(&url).expect("it is there");
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/web:9");
    assert_eq!((value("first"), value("last")), (Some("9".into()), Some("9".into())), "seed {seed}");
}

#[test]
fn told_to_end_the_agent_hands_over_and_the_next_one_finishes() {
    let bed = Bed::new("term");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    // Sixteen at a time, this wave would take twelve seconds.
    proxy.set(Fault::nth(Class::Write, 1, Effect::Delay(SECOND)).times(100));
    let revision = bed.commit_web(&(many(200) + &deployment("web", &[])));
    wait_until(20 * SECOND, "the wave is being written", || proxy.count(Class::Write) >= 20);
    let told = Instant::now();
    agent.terminate();
    let status = agent.wait(10 * SECOND);
    assert_eq!(status.code(), Some(0), "it ended within {:?}", told.elapsed());
    let answered = |record: &&crate::bed::Record| record.class == Class::Write && record.status.is_some();
    let (begun, done) = (proxy.count(Class::Write), proxy.records().iter().filter(answered).count());
    assert_eq!(begun, done, "every request that was begun was waited for");
    assert!(begun < 200, "nothing new was begun");

    let _next = bed.agent_through(&proxy);
    bed.wait_ready(&revision);
    let mut created = proxy.records();
    created.retain(|record| record.class == Class::Write && record.status == Some(201));
    assert_eq!(created.len(), 201, "each object was created once");
}

#[test]
fn an_agent_at_a_gate_ends_at_once() {
    let bed = Bed::new("termgate");
    let agent = bed.agent();
    let revision = bed.commit_web(&deployment("web", &[("never-ready", "true")]));
    bed.wait_app("web", "Waiting");
    agent.terminate();
    assert_eq!(agent.wait(10 * SECOND).code(), Some(0), "it does not wait for its gate");
    bed.kubectl(&["annotate", "pods", "--all", "--overwrite", "sim.fairlead.dev/never-ready=false"]).ok();
    let _next = bed.agent();
    bed.wait_ready(&revision);
}
