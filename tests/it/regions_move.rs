//! One commit moves an environment from a region to another, and never do two write at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::manifests::definition;
use crate::bed::regions::{A_WHILE, CENTRAL, MOVED, Regions, Site, WEST, ask, job, repoint, said, step};
use crate::bed::{SOON, find, holds_for, wait_until};

#[test]
fn one_commit_moves_an_environment_and_no_two_regions_write_at_once() {
    let regions = Regions::new("move");
    let (west, central) = (&regions.west, &regions.central);
    let _agents = (west.agent(), central.agent());
    regions.point_to(WEST, 1);
    west.wait_active(SOON, 1);
    central.wait_standby(SOON, WEST);
    wait_until(SOON, "the standby runs what does not write, and no more", || {
        (central.replicas("writer"), central.replicas("reader")) == (Some(0), Some(1))
    });
    assert_eq!((west.replicas("writer"), west.replicas("reader")), (Some(2), Some(3)));
    let nightly = |site: &Site| site.bed.get("batch/v1", "cronjobs", "nightly").unwrap_or_default();
    let ingress = |site: &Site| site.bed.get("networking.k8s.io/v1", "ingresses", "web");
    assert_eq!(
        (&nightly(west)["spec"]["suspend"], &nightly(central)["spec"]["suspend"]),
        (&json!(false), &json!(true))
    );
    assert!(ingress(west).is_some() && ingress(central).is_none(), "traffic goes to one of them");
    for site in [west, central] {
        let map = site.bed.configmap("web").expect("a map");
        assert_eq!(map["data"]["REGION"], site.region, "each joins the component of its region");
    }
    wait_until(SOON, "the writer runs", || regions.ledger.judge()[0] >= 2);

    regions.point_to(CENTRAL, 2);
    let moved = central.wait_active(MOVED, 2);
    assert_eq!(moved["run"]["message"], "done", "{moved:#}");
    for done in ["freeze", "scaleTarget", "fence", "data", "writers", "traffic", "healthy", "drain"] {
        assert_eq!(step(&moved, done)["outcome"], "done", "{done}: {moved:#}");
    }
    assert!(moved["run"]["recoverySeconds"].as_u64().is_some(), "{moved:#}");
    west.wait_standby(SOON, CENTRAL);
    wait_until(SOON, "what ran in the old region is as in any standby", || {
        (west.replicas("writer"), west.replicas("reader")) == (Some(0), Some(1)) && ingress(west).is_none()
    });
    assert_eq!((central.replicas("writer"), central.replicas("reader")), (Some(2), Some(3)));
    let writer = central.bed.deployment("writer").expect("it is there");
    assert_eq!(writer["metadata"]["annotations"]["fairlead.dev/region-epoch"], "2", "objects bear the epoch");
    assert_eq!(nightly(central)["spec"]["suspend"], json!(false));
    assert!(ingress(central).is_some());
    let record = regions.record();
    assert_eq!(
        (&record["holder"], &record["epoch"], &record["drains"]),
        (&json!(CENTRAL), &json!(2), &Value::Null)
    );
    wait_until(SOON, "the writer runs in the other region", || regions.ledger.judge()[1] >= 2);
    central.bed.wait_events("RepointEnded", 1);

    // Back again is a move of its own.
    regions.point_to(WEST, 3);
    west.wait_active(MOVED, 3);
    central.wait_standby(SOON, WEST);
    assert!(regions.ledger.judge()[0] >= 4);
}

#[test]
fn a_job_that_fails_halts_the_move_and_people_decide_how_it_goes_on() {
    let regions = Regions::new("halt");
    let (west, central) = (&regions.west, &regions.central);
    let (_of_west, of_central) = (west.agent(), central.agent());
    let jobs = ", steps: {data: {job: jobs/promote.yaml}, verifyWritable: {job: jobs/verify.yaml}, smokeTest: {job: \
                jobs/smoke.yaml}}, readiness: {data: {job: jobs/lag.yaml, every: 10s}}";
    let lag = job("lag", "sim.fairlead.dev/termination-message: \"90\"");
    let (promote, verify) = (job("promote", ""), job("verify", ""));
    let smoke = job("smoke", "sim.fairlead.dev/job: fail");
    let files: &[(&str, &str)] = &[
        ("jobs/lag.yaml", &lag),
        ("jobs/promote.yaml", &promote),
        ("jobs/verify.yaml", &verify),
        ("jobs/smoke.yaml", &smoke),
    ];
    regions.commit_with(&said(WEST, 1, jobs), files);
    west.wait_active(SOON, 1);
    central.wait_standby(SOON, WEST);
    central.wait(SOON, "how far its data are behind is measured", |status| {
        let row = find(&status["readiness"], "check", "data");
        (&row["state"], &row["message"]) == (&json!("ready"), &json!("90 s behind"))
    });
    regions.commit_with(&said(CENTRAL, 2, jobs), files);
    let waits_for_data = |status: &Value| {
        let why = status["run"]["message"].as_str().unwrap_or_default();
        status["run"]["step"] == "data" && status["run"]["state"] == "Waiting" && why.contains("caught up")
    };
    central.wait(MOVED, "it waits for the data", waits_for_data);
    // An agent that begins anew goes on with what ran, whatever was committed since.
    of_central.signal("KILL");
    regions.value.store(2, Ordering::Relaxed);
    regions.commit_with(&said(CENTRAL, 2, jobs), files);
    let _of_central = central.agent();
    central.wait(SOON, "it waits again", |status| waits_for_data(status) && status["frozen"] == true);
    let value = |site: &Site| site.bed.configmap("web").map(|map| map["data"]["value"].clone());
    holds_for(A_WHILE / 2, "nothing new is deployed while it moves", || {
        [west, central].map(value) == [Some(json!("1")), Some(json!("1"))]
    });
    let loss = ["repoint", &central.bed.name, "--take-loss", "2m", "--reason", "a test"];
    central.bed.fairlead(&loss).ok();
    let halted =
        central.wait(MOVED, "it halts at the smoke test", |status| status["run"]["state"] == "Halted");
    assert_eq!(halted["run"]["step"], "smokeTest", "{halted:#}");
    let why = halted["run"]["message"].as_str().unwrap_or_default();
    assert!(why.contains("jobs/smoke.yaml") && why.contains("failed"), "{why}");
    assert!(!halted["run"]["choices"].as_array().expect("a list").is_empty(), "no cause is without a choice");
    assert_eq!(step(&halted, "verifyWritable")["outcome"], "done");
    assert_eq!(step(&halted, "data")["outcome"], "done");
    let jobs = format!(
        "/apis/batch/v1/namespaces/{}/jobs?labelSelector=fairlead.dev%2Fregion-probe",
        central.bed.name
    );
    wait_until(SOON, "what measured is gone", || {
        central.bed.api().get(&jobs).is_some_and(|jobs| jobs["items"].as_array().is_some_and(Vec::is_empty))
    });
    central.bed.wait_events("RepointHalted", 1);
    // Not the step that is shown, and no reason: neither is heard.
    let refused = ask(central, repoint("skip", json!({"step": "data"})));
    let refused = central.bed.wait_request(&refused, "Refused");
    assert!(refused["status"]["message"].as_str().unwrap_or_default().contains("at smokeTest"), "{refused}");
    let shown = central.bed.fairlead(&["regions", &central.bed.name]).ok().stdout;
    for said in ["Halted at smokeTest", "can be done: skip the step", "held by   eu-central-1 at 2 (held)"] {
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
    let name = central.bed.name.as_str();
    let skip = ["repoint", name, "--skip", "smokeTest", "--reason", "a test"];
    assert_eq!(central.bed.fairlead(&skip).ok().stderr.trim(), "it is taken into account");
    let moved = central.wait_active(MOVED, 2);
    let outcome = step(&moved, "smokeTest")["outcome"].as_str().unwrap_or_default().to_owned();
    assert!(outcome.starts_with("skipped by") && outcome.ends_with("a test"), "{outcome}");
    assert_eq!(regions.ledger.judge().map(|count| count > 0), [true, true]);
    for site in [west, central] {
        wait_until(SOON, "what was committed meanwhile is deployed", || value(site) == Some(json!("2")));
    }
    let halts = central.bed.events().iter().filter(|event| event.starts_with("RepointHalted")).count();
    assert_eq!(halts, 1, "a halt is told once");
}

#[test]
fn a_region_that_is_cut_off_from_the_shared_place_keeps_the_environment_until_it_is_back() {
    let regions = Regions::new("cut");
    let (west, central) = (&regions.west, &regions.central);
    let _agents = (west.agent(), central.agent());
    regions.point_to(WEST, 1);
    west.wait_active(SOON, 1);
    central.wait_standby(SOON, WEST);
    west.link.cut();
    // Nothing ends its writers by themselves, so its silence proves nothing, however ungraceful the move is.
    regions.commit(&said(CENTRAL, 2, ", mode: ungraceful"));
    central.wait(MOVED, "it waits for the fence", |status| status["run"]["step"] == "fence");
    holds_for(A_WHILE + Duration::from_secs(60), "the old region writes, and no other", || {
        regions.ledger.judge();
        west.replicas("writer") == Some(2) && central.replicas("writer") == Some(0)
    });
    assert_eq!(regions.record()["holder"], WEST);
    west.link.mend();
    central.wait_active(MOVED, 2);
    west.wait_standby(SOON, CENTRAL);
    assert_eq!(regions.ledger.judge().map(|count| count > 0), [true, true]);
}

#[test]
fn a_standby_says_what_a_move_to_it_lacks_and_waits_until_it_is_there() {
    let regions = Regions::new("ready");
    let (west, central) = (&regions.west, &regions.central);
    let _agents = (west.agent(), central.agent());
    let define = |site: &Site| {
        for document in definition("Gadget", "gadgets").split("---\n").filter(|text| !text.trim().is_empty())
        {
            site.bed.api().apply(&serde_saphyr::from_str::<Value>(document).expect("YAML"));
        }
    };
    define(west);
    let gadget = "apiVersion: bed.fairlead.dev/v1\nkind: Gadget\nmetadata: {name: g, annotations: {fairlead.dev/region-part: \
                  writer}}\nspec: {metres: 1}\n";
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [all.yaml, gadget.yaml]\n";
    let files: &[(&str, &str)] = &[("web/gadget.yaml", gadget), ("web/kustomization.yaml", kustomization)];
    regions.commit_with(&said(WEST, 1, ""), files);
    west.wait_active(SOON, 1);
    let red = central.wait(SOON, "it says that a kind is missing", |status| {
        status["readiness"].as_array().into_iter().flatten().any(|row| {
            row["state"] == "missing" && row["message"].as_str().is_some_and(|why| why.contains("Gadget"))
        })
    });
    assert_eq!(find(&red["readiness"], "check", "sharedPlace")["state"], "ready");
    regions.commit_with(&said(CENTRAL, 2, ""), files);
    let halted = central.wait(SOON, "the move waits", |status| status["run"]["state"] == "Halted");
    assert_eq!(halted["run"]["step"], "freeze", "{halted:#}");
    assert_eq!(west.status()["writers"], "running", "nothing was done to the old region");
    // What a custom resource has run is stopped by its deletion, and that takes as long as its operator needs.
    let gadget = |site: &Site| site.bed.get("bed.fairlead.dev/v1", "gadgets", "g");
    let path = format!("/apis/bed.fairlead.dev/v1/namespaces/{}/gadgets/g", west.bed.name);
    west.bed.api().merge(&path, &json!({"metadata": {"finalizers": ["bed.fairlead.dev/operator"]}}));
    define(central);
    wait_until(MOVED, "it is being deleted in the old region", || {
        gadget(west).is_some_and(|gadget| gadget["metadata"]["deletionTimestamp"].is_string())
    });
    holds_for(A_WHILE / 2, "the environment is not given up while it is there", || {
        regions.record()["holder"] == WEST && gadget(central).is_none()
    });
    west.wait(SOON, "it says what it waits for", |status| {
        status["message"].as_str().is_some_and(|why| why.contains("Gadget"))
    });
    west.bed.api().merge(&path, &json!({"metadata": {"finalizers": null}}));
    central.wait_active(MOVED, 2);
    west.wait_standby(SOON, CENTRAL);
    assert_eq!(
        gadget(central).expect("it is there")["metadata"]["annotations"]["fairlead.dev/region-epoch"],
        "2"
    );
    assert!(gadget(west).is_none());
    regions.ledger.judge();
}

#[test]
fn a_person_moves_it_while_git_is_away_and_git_has_to_go_beyond_that() {
    let regions = Regions::new("glass");
    let (west, central) = (&regions.west, &regions.central);
    let _agents = (west.agent(), central.agent());
    regions.point_to(WEST, 1);
    west.wait_active(SOON, 1);
    central.wait_standby(SOON, WEST);
    let (there, away) = (west.bed.repo.bare(), west.bed.repo.bare().with_extension("away"));
    std::fs::rename(&there, &away).expect("it is moved");
    let name = central.bed.name.as_str();
    let glass = ["repoint", name, "--to", CENTRAL, "--break-glass", "--reason", "git is away"];
    central.bed.fairlead(&glass).ok();
    // Nothing is deleted for what nobody can read: the old region has drained when git is back.
    central.wait(MOVED, "it serves", |status| {
        status["writers"] != "stopped" && status["run"]["step"] == "drain"
    });
    west.wait(SOON, "it gave up", |status| {
        status["writers"] == "stopped" && status["holder"]["region"] == CENTRAL
    });
    std::fs::rename(&away, &there).expect("it is moved back");
    central.wait_active(MOVED, 2);
    // Git says the same epoch for the region that was, and is not followed.
    regions.point_to(WEST, 2);
    central.wait(SOON, "the fault is shown", |status| {
        status["message"].as_str().is_some_and(|why| why.contains("region.epoch 2 stands for"))
            || status["active"] == CENTRAL
    });
    holds_for(A_WHILE, "nothing moves", || regions.record()["holder"] == CENTRAL);
    regions.point_to(WEST, 3);
    west.wait_active(MOVED, 3);
    central.wait_standby(SOON, WEST);
    assert_eq!(regions.ledger.judge().map(|count| count > 0), [true, true]);
}

#[test]
fn a_commit_that_is_taken_back_half_way_and_epochs_that_go_back_end_in_one_region() {
    let regions = Regions::new("back");
    let (west, central) = (&regions.west, &regions.central);
    let _agents = (west.agent(), central.agent());
    regions.point_to(WEST, 1);
    west.wait_active(SOON, 1);
    central.wait_standby(SOON, WEST);
    // At each of these it is taken back by the next epoch, with the old region in another state each time.
    for (n, at) in ["scaleTarget", "fence", "writers"].into_iter().enumerate() {
        let epoch = 2 + 2 * n as u64;
        regions.point_to(CENTRAL, epoch);
        central.wait(MOVED, "it came so far", |status| {
            let step = step(status, at);
            status["run"]["epoch"] == epoch && step["outcome"] != "not begun" && step != Value::Null
        });
        regions.point_to(WEST, epoch + 1);
        west.wait_active(MOVED, epoch + 1);
        central.wait_standby(MOVED, WEST);
        wait_until(SOON, "the writers of the west run, and no others", || {
            (west.replicas("writer"), central.replicas("writer")) == (Some(2), Some(0))
        });
        regions.ledger.judge();
    }
    // Git goes back: it is told, and nothing moves.
    regions.point_to(CENTRAL, 6);
    central.bed.wait_events("RegionNotFollowed", 1);
    let told = west.bed.wait_events("RegionNotFollowed", 1);
    assert!(told.iter().any(|event| event.contains("went back from 7 to 6")), "{told:?}");
    holds_for(A_WHILE, "nothing moves", || {
        regions.record()["holder"] == WEST && west.replicas("writer") == Some(2)
    });
    // `region:` leaves git: what it said stands.
    let (path, config) = west.bed.config("{name: web, path: web}", "rollout: {timeout: 60s}");
    west.bed.commit(&[(&path, &config)]);
    central.wait(SOON, "the fault is shown", |status| {
        status["message"].as_str().is_some_and(|why| why.contains("left environment.yaml"))
    });
    holds_for(A_WHILE, "the standby stays one", || central.replicas("writer") == Some(0));
    regions.ledger.judge();
}
