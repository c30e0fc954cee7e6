//! Has a Job of the team look at something and change nothing: it says what it saw by how it ends, or by what its pod leaves in its
//! termination message. It is deleted once that was read.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::jobs::{JobRun, JobWith, MEASURED_WITHIN, NotDone, failed, finish, text};
use crate::api::Identity;
use crate::cluster::{Call, CallError, Cluster, Session, chain, delete_job};
use crate::object::ObjectKey;
use crate::region::read_lag;

/// Looks at something: runs a Job to its end, which says whether it is well, and deletes it.
pub async fn observe(with: JobWith, run: JobRun) -> Result<(), NotDone> {
    let (session, identity) = (with.session.clone(), with.identity.clone());
    let ended = tokio::time::timeout(MEASURED_WITHIN, finish(with, &run)).await;
    let ended = ended.map_err(|_| format!("the Job of {} did not end in time", run.file))?;
    match ended {
        Ok(job) => {
            delete(&session, &job, identity.as_ref()).await;
            Ok(())
        }
        Err(NotDone::Failed(job, why)) => {
            delete(&session, &job, identity.as_ref()).await;
            Err(NotDone::Failed(job, why))
        }
        Err(unknown) => Err(unknown),
    }
}

/// Measures: runs a Job to its end, reads what its pod left, and deletes both.
pub async fn measure(with: JobWith, run: JobRun) -> Result<Duration, String> {
    let (session, identity) = (with.session.clone(), with.identity.clone());
    let job = tokio::time::timeout(MEASURED_WITHIN, finish(with, &run)).await;
    let why = || format!("the Job of {} did not end within {} s", run.file, MEASURED_WITHIN.as_secs());
    let job = job.map_err(|_| why())??;
    let (namespace, name) = (text(&job, "namespace"), text(&job, "name"));
    let said = last_words(&session.cluster, namespace, name).await;
    delete(&session, &job, identity.as_ref()).await;
    let (words, ended) = said
        .map_err(|error| failed(&format!("Job {namespace}/{name} of {}", run.file), &error))?
        .ok_or_else(|| format!("no pod of Job {namespace}/{name} of {} is left to be read", run.file))?;
    read_lag(&words, ended).map_err(|why| format!("{}: {why}", run.file))
}

/// Deletes what has ended. Its time to live ends it, too.
async fn delete(session: &Session, job: &Value, identity: Option<&Identity>) {
    let (namespace, name) = (text(job, "namespace"), text(job, "name"));
    let key = ObjectKey::new("batch", "Job", Some(namespace), name);
    if let Err(error) = delete_job(session, &key, text(job, "uid"), identity).await {
        tracing::warn!(error = %chain(&error), "the Job {namespace}/{name} cannot be deleted");
    }
}

/// What the pod of a Job left in its termination message, and when it ended.
async fn last_words(
    cluster: &Cluster,
    namespace: &str,
    job: &str,
) -> Result<Option<(String, Timestamp)>, CallError> {
    let path =
        format!("/api/v1/namespaces/{namespace}/pods?labelSelector=batch.kubernetes.io%2Fjob-name%3D{job}");
    let pods: Value = cluster.send(&Call::get(path)).await?.json()?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let ended = pods.filter(|pod| pod["status"]["phase"] == "Succeeded").flat_map(|pod| {
        pod["status"]["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|status| &status["state"]["terminated"])
    });
    let mut words: Vec<(String, Timestamp)> = ended
        .filter_map(|ended| {
            let at = ended["finishedAt"].as_str()?.parse().ok()?;
            Some((ended["message"].as_str().unwrap_or_default().to_owned(), at))
        })
        .collect();
    // A pod may have containers that say nothing.
    words.sort_by_key(|(words, _)| !words.trim().is_empty());
    Ok(words.pop())
}
