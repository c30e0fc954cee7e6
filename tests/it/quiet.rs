//! With nothing to do, nothing is done.

use std::time::{Duration, Instant};

use crate::bed::manifests::{configmap, deployment, deployment_of};
use crate::bed::{Bed, Class, Record, SECOND, SOON, wait_until};

const READS: [Class; 3] = [Class::Discovery, Class::List, Class::Get];
const WRITES: [Class; 4] = [Class::DryRun, Class::Write, Class::Status, Class::Event];

#[test]
fn at_rest_nothing_is_written_and_nothing_is_read() {
    let bed = Bed::new("quiet");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    let many: String = (0..50).map(|n| configmap(&format!("c-{n}"), "1")).collect();
    let revision = bed.commit_web(&(many.clone() + &deployment("web", &[])));
    bed.wait_ready(&revision);
    // The last status of the rollout, and what the pods' controllers still write, are over when nothing comes any more.
    wait_until(SOON, "it comes to rest", || {
        let rest = Instant::now();
        std::thread::sleep(2 * SECOND);
        proxy.since(rest, &[&READS[..], &WRITES[..]].concat()).is_empty()
    });
    let (began, before) = (Instant::now(), bed.environment()["metadata"]["resourceVersion"].clone());
    std::thread::sleep(6 * SECOND); // Six looks at the remote.
    let asked = proxy.since(began, &[&READS[..], &WRITES[..]].concat());
    assert!(asked.is_empty(), "{asked:#?}");
    assert_eq!(bed.environment()["metadata"]["resourceVersion"], before, "the status was not written again");

    // A commit that changes nothing of the app costs one status and no look at any object.
    let began = Instant::now();
    let revision = bed.commit(&[("README.md", "words")]);
    bed.wait_ready(&revision);
    std::thread::sleep(Duration::from_millis(1_500));
    let asked = proxy.since(began, &[&READS[..], &[Class::DryRun, Class::Write, Class::Event]].concat());
    assert!(asked.is_empty(), "{asked:#?}");
    assert_eq!(proxy.since(began, &[Class::Status]).len(), 1);
}

#[test]
fn a_rollout_asks_about_each_object_once_and_writes_it_once() {
    const COUNT: usize = 150;
    let bed = Bed::new("each-once");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    let image = "registry.example/web:1";
    let many: String = (0..COUNT).map(|n| deployment_of(&format!("d-{n}"), 0, image, "", &[])).collect();
    let revision = bed.commit_web(&many);
    bed.wait_ready(&revision);
    let asked = |class: Class| {
        let records = proxy.records();
        let about = |record: &&Record| record.class == class && record.path.contains("/deployments/");
        records.iter().filter(about).count()
    };
    assert_eq!((asked(Class::DryRun), asked(Class::Write)), (COUNT, COUNT));
}

#[test]
fn a_restart_finds_all_as_it_is_and_writes_nothing() {
    let bed = Bed::new("again");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    let web = configmap("settings", "1") + &deployment("web", &[]);
    let revision = bed.commit_web(&web);
    bed.wait_ready(&revision);
    drop(agent);
    let revision = bed.commit(&[("README.md", "words")]);
    let began = Instant::now();
    let _next = bed.agent_through(&proxy);
    bed.wait_ready(&revision);
    let mut asked = proxy.since(began, &[Class::DryRun, Class::Write, Class::Get]);
    // What an earlier agent said of drift is read once.
    asked.retain(|record| !record.path.contains("/driftreports/"));
    assert!(asked.is_empty(), "{asked:#?}");
}

#[test]
fn probes_and_metrics_tell_how_it_goes() {
    let bed = Bed::new("probes");
    let agent = bed.agent();
    let revision = bed.commit_web(&configmap("settings", "1"));
    bed.wait_ready(&revision);
    assert_eq!(agent.page("/livez").0, 200);
    assert_eq!(agent.page("/readyz").0, 200);
    // The page follows the status, which was waited for, by a moment.
    let ready = format!("fairlead_environment_ready{{environment={:?}}} 1", bed.name);
    wait_until(5 * SECOND, "the page says that it is ready", || agent.page("/metrics").1.contains(&ready));
    let (code, metrics) = agent.page("/metrics");
    assert_eq!(code, 200);
    assert!(metrics.contains("reason=\"RolledOut\""), "{metrics}");
}
