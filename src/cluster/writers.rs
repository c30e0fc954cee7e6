//! The writers of an environment: stops what only an active region may run, and tells what of it is left.
//!
//! Everything is read from the store of the API server, and not from what is watched: that somebody stopped is said to another
//! region, which then starts its own.

use std::collections::BTreeSet;

use serde_json::Value;

use super::call::{Call, CallError, JSON};
use super::delete::{Delete, Propagation};
use super::discovery::{Session, collection, escape};
use crate::api::{Identity, names};
use crate::object::{Gvk, KindScope, MANAGER, PRUNE, REGION_JOB};
use crate::region::{is_custom, is_fenced, stop, stops_by_going};

/// Group, kind, and the path of its collection in a namespace.
const WORKLOADS: [(&str, &str, &str, &str); 6] = [
    ("apps", "Deployment", "/apis/apps/v1", "deployments"),
    ("apps", "StatefulSet", "/apis/apps/v1", "statefulsets"),
    ("apps", "DaemonSet", "/apis/apps/v1", "daemonsets"),
    ("apps", "ReplicaSet", "/apis/apps/v1", "replicasets"),
    ("batch", "CronJob", "/apis/batch/v1", "cronjobs"),
    ("batch", "Job", "/apis/batch/v1", "jobs"),
];

/// Stops every writer of an environment that runs, and lists what is left: nothing is where nothing had to be stopped and no pod
/// of one is there any more.
///
/// `kinds` are those of which the environment may have objects, as `Kind.group`; all that the server serves where that is not known.
pub async fn stop_writers(
    session: &Session,
    environment: &str,
    namespaces: &[String],
    kinds: Option<&BTreeSet<String>>,
    identity: Option<&Identity>,
) -> Result<Vec<String>, CallError> {
    let mut left = Vec::new();
    for namespace in namespaces {
        left.extend(stop_in(session, environment, namespace, identity).await?);
    }
    let served = session.kinds();
    let customs = served.iter().filter(|(group, kind, _)| {
        is_custom(group) && kinds.is_none_or(|kinds| kinds.contains(&format!("{kind}.{group}")))
    });
    for (group, kind, info) in customs {
        let Some(version) = info.versions.first() else { continue };
        let gvk = Gvk { group: group.into(), version: version.as_str().into(), kind: kind.into() };
        let within: Vec<Option<&str>> = match info.scope {
            KindScope::Cluster => vec![None],
            KindScope::Namespaced => namespaces.iter().map(|namespace| Some(namespace.as_str())).collect(),
        };
        for namespace in within {
            let collection = collection(&gvk, info, namespace);
            match stop_customs(session, environment, (&gvk, &collection), identity).await {
                // Of a kind that this agent may not read it has written nothing.
                Err(error)
                    if kinds.is_none() && error.status().is_some_and(|status| status.as_u16() == 403) => {}
                stopped => left.extend(stopped?),
            }
        }
    }
    Ok(left)
}

/// Deletes the custom resources that only an active region may have, and lists those that are not gone: with one goes what it has
/// run, by its owner references and by its operator's finalizers.
async fn stop_customs(
    session: &Session,
    environment: &str,
    (gvk, collection): (&Gvk, &str),
    identity: Option<&Identity>,
) -> Result<Vec<String>, CallError> {
    let mut left = Vec::new();
    let listed = format!("{collection}?labelSelector={}%3D{environment}", escape(names::ENVIRONMENT_LABEL));
    for item in list(session, &listed).await?.unwrap_or_default() {
        let metadata = &item["metadata"];
        // What copied our labels is not ours to delete.
        let managers = metadata["managedFields"].as_array().into_iter().flatten();
        let is_ours =
            managers.filter(|entry| entry["operation"] == "Apply").any(|entry| entry["manager"] == MANAGER);
        if !is_ours || !stops_by_going(&gvk.group, &gvk.kind, &item) {
            continue;
        }
        let name = metadata["name"].as_str().unwrap_or_default();
        let within = metadata["namespace"].as_str().map(|of| format!("{of}/")).unwrap_or_default();
        let what = format!("{} {within}{name}", gvk.kind);
        if metadata["annotations"][PRUNE] == "never" {
            left.push(format!("{what} (it says `{PRUNE}: never`, and only its deletion stops it)"));
            continue;
        }
        left.push(what);
        if metadata["deletionTimestamp"].is_string() {
            continue;
        }
        let uid = metadata["uid"].as_str().unwrap_or_default();
        let delete = Delete { uid, version: None, propagation: Propagation::Foreground, dry_run: false };
        let path = format!("{collection}/{}", escape(name));
        match session.cluster.send(&delete.call(&path, identity).accept(JSON)).await {
            // It is gone, or another bears its name: it is looked at again.
            Err(error) if matches!(error.status().map(|status| status.as_u16()), Some(404 | 409)) => {}
            done => drop(done?),
        }
    }
    Ok(left)
}

async fn stop_in(
    session: &Session,
    environment: &str,
    namespace: &str,
    identity: Option<&Identity>,
) -> Result<Vec<String>, CallError> {
    let (mut left, mut fenced) = (Vec::new(), Fenced::default());
    for (group, kind, api, plural) in WORKLOADS {
        let collection = format!("{api}/namespaces/{namespace}/{plural}");
        let Some(items) = list(session, &collection).await? else { continue };
        for item in items {
            let is_ours = item["metadata"]["labels"][names::ENVIRONMENT_LABEL] == environment;
            // What a CronJob made runs on when it is suspended.
            let is_made = kind == "Job" && owners(&item).any(|owner| fenced.names.contains(&owner));
            // What a step of a re-point began goes on to its end, and until then something writes.
            let is_step = kind == "Job" && item["metadata"]["labels"][REGION_JOB] == environment;
            if is_step && !is_over(&item) {
                left.push(format!(
                    "{kind} {namespace}/{}",
                    item["metadata"]["name"].as_str().unwrap_or_default()
                ));
            }
            if !(is_made || is_ours && is_fenced(group, kind, &item)) || is_over(&item) {
                continue;
            }
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            fenced.take(kind, name, &item);
            let Some(patch) = stop(group, kind, &item) else { continue };
            left.push(format!("{kind} {namespace}/{name}"));
            let path = format!("{collection}/{name}?fieldManager={MANAGER}");
            match session.cluster.send(&Call::merge_patch(path, &patch, identity)).await {
                Err(error) if error.is_not_found() => {}
                done => drop(done?),
            }
        }
    }
    let pods = list(session, &format!("/api/v1/namespaces/{namespace}/pods")).await?.unwrap_or_default();
    for pod in pods.iter().filter(|pod| !is_over(pod) && fenced.runs(pod)) {
        left.push(format!("Pod {namespace}/{}", pod["metadata"]["name"].as_str().unwrap_or_default()));
    }
    Ok(left)
}

/// The items of a collection; nothing where its kind is not served.
async fn list(session: &Session, collection: &str) -> Result<Option<Vec<Value>>, CallError> {
    match session.cluster.send(&Call::get(collection)).await {
        Ok(reply) => Ok(Some(reply.json()?["items"].as_array().cloned().unwrap_or_default())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What only an active region may run, by what its pods are known by.
#[derive(Default)]
struct Fenced {
    /// Kind and name.
    names: BTreeSet<(String, String)>,
    selectors: Vec<Vec<(String, String)>>,
}

impl Fenced {
    fn take(&mut self, kind: &str, name: &str, object: &Value) {
        self.names.insert((kind.to_owned(), name.to_owned()));
        let labels = object["spec"]["selector"]["matchLabels"].as_object();
        let labels = labels.into_iter().flatten();
        let labels: Vec<(String, String)> =
            labels.filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned()))).collect();
        if !labels.is_empty() {
            self.selectors.push(labels);
        }
    }

    fn runs(&self, pod: &Value) -> bool {
        let bears = |(label, value): &(String, String)| pod["metadata"]["labels"][label] == value.as_str();
        self.selectors.iter().any(|labels| labels.iter().all(bears))
            || owners(pod).any(|owner| self.names.contains(&owner))
    }
}

fn owners(object: &Value) -> impl Iterator<Item = (String, String)> {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.filter_map(|owner| Some((owner["kind"].as_str()?.to_owned(), owner["name"].as_str()?.to_owned())))
}

/// Whether a pod or a Job has ended.
fn is_over(object: &Value) -> bool {
    let status = &object["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let ended = |condition: &Value| {
        matches!(condition["type"].as_str(), Some("Complete" | "Failed")) && condition["status"] == "True"
    };
    matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")) || conditions.into_iter().any(ended)
}
