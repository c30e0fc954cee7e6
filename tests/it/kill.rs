//! Killed at any write, the next start reaches the same end state, and the pass after it writes nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::bed::manifests::{configmap, deployment_of};
use crate::bed::{Bed, Class, Effect, Fault, SECOND};

const OBJECTS: usize = 200;

/// 200 objects in three waves: accounts, configuration and Services, workloads of no replicas.
fn manifests() -> String {
    let mut text = String::new();
    for n in 0..20 {
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: runner-{n:03}}}\n"
        ));
        text.push_str(&deployment_of(&format!("web-{n:03}"), 0, "registry.example/web:1", "", &[]));
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: web-{n:03}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n"
        ));
    }
    for n in 0..OBJECTS - 60 {
        text.push_str(&configmap(&format!("settings-{n:03}"), &format!("value {n}")));
    }
    text
}

/// All objects of the app, by kind and name, without what each creation makes anew; and their uids.
fn state(bed: &Bed) -> (BTreeMap<String, Value>, BTreeMap<String, String>) {
    let (mut objects, mut uids) = (BTreeMap::new(), BTreeMap::new());
    for (root, plural) in [
        ("/api/v1", "configmaps"),
        ("/api/v1", "services"),
        ("/api/v1", "serviceaccounts"),
        ("/apis/apps/v1", "deployments"),
    ] {
        let path = format!("{root}/namespaces/{}/{plural}?labelSelector=fairlead.dev/app%3Dweb", bed.name);
        let list = bed.api().get(&path).unwrap_or_default();
        for mut object in list["items"].as_array().cloned().unwrap_or_default() {
            let name = format!("{plural}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
            uids.insert(name.clone(), object["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
            let labels = object["metadata"]["labels"].take();
            assert_eq!(labels["fairlead.dev/environment"], bed.name.as_str());
            let annotations = object["metadata"]["annotations"].clone();
            for field in ["status", "metadata"] {
                object.as_object_mut().expect("an object").remove(field);
            }
            for address in ["clusterIP", "clusterIPs"] {
                if let Some(spec) = object["spec"].as_object_mut() {
                    spec.remove(address);
                }
            }
            // The digest of what was applied covers the namespace and the labels, which differ from bed to bed.
            object["annotated"] = annotations.as_object().map_or(0, serde_json::Map::len).into();
            objects.insert(name, object);
        }
    }
    (objects, uids)
}

/// As many writes as the agent may have begun when one of them is noticed.
const ON_THE_WAY: usize = 20;

fn kill_and_restart(n: usize, effect: Effect, reference: &BTreeMap<String, Value>) {
    let what = format!("killed at write {n}, {effect:?}");
    let bed = Bed::new("kill");
    let proxy = bed.proxy();
    let agent = bed.agent_through(&proxy);
    proxy.set(Fault::nth(Class::Write, n, effect));
    bed.commit_web(&manifests());
    let _ = agent.wait(60 * SECOND);
    std::thread::sleep(SECOND / 5); // What was on its way arrives.
    let (after_kill, uids) = state(&bed);
    // Some of the last ones were on their way already.
    assert!(after_kill.len() < OBJECTS || n + ON_THE_WAY > OBJECTS, "{what}: {} objects", after_kill.len());
    drop(agent);

    let agent = bed.agent_through(&proxy);
    let revision = bed.commit(&[("README.md", "after the kill")]);
    bed.wait_ready(&revision);
    drop(agent);
    let (after_restart, uids_now) = state(&bed);
    assert_eq!(after_restart.len(), OBJECTS, "{what}");
    assert!(after_restart == *reference, "{what}: the end state is not the reference");
    for (name, uid) in &uids {
        assert_eq!(uids_now.get(name), Some(uid), "{what}: {name} was made anew");
    }
    let mut created: BTreeMap<String, usize> = BTreeMap::new();
    for record in
        proxy.records().iter().filter(|record| record.class == Class::Write && record.status == Some(201))
    {
        *created.entry(record.path.clone()).or_default() += 1;
    }
    assert_eq!(created.len(), OBJECTS, "{what}: each object was created");
    assert!(created.values().all(|times| *times == 1), "{what}: {created:?}");

    let began = Instant::now();
    let _agent = bed.agent_through(&proxy);
    let revision = bed.commit(&[("README.md", "the next pass")]);
    bed.wait_ready(&revision);
    let wrote = proxy.since(began, &[Class::Write, Class::DryRun]);
    assert!(wrote.is_empty(), "{what}: the next pass wrote {wrote:#?}");
}

#[test]
fn killed_at_any_of_20_writes_of_200_the_next_start_reaches_the_reference_state() {
    let bed = Bed::new("reference");
    let _agent = bed.agent();
    let revision = bed.commit_web(&manifests());
    bed.wait_ready(&revision);
    let (reference, _) = state(&bed);
    assert_eq!(reference.len(), OBJECTS);
    // The first and the last, the ends of waves, and every ten between; by turns before and after the write.
    let points = [1, 2, 10, 20, 21, 30, 41, 52, 63, 74, 85, 96, 107, 118, 129, 150, 180, 181, 190, 200];
    let points: Vec<(usize, Effect)> = points
        .into_iter()
        .enumerate()
        .map(|(n, at)| (at, if n % 2 == 0 { Effect::KillBefore } else { Effect::KillAfter }))
        .collect();
    std::thread::scope(|scope| {
        for part in points.chunks(7) {
            let reference = &reference;
            scope.spawn(move || {
                for (at, effect) in part {
                    kill_and_restart(*at, effect.clone(), reference);
                }
            });
        }
    });
}
