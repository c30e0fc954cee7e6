//! Which pods hold a workload up, and why: the words under "not available".
//!
//! A problem is read from what the kubelet and the scheduler wrote; the worst comes first. Whether it is reason enough
//! to stop a rollout before its time is up is decided by [`known_failure`], by thresholds: an app that crashes twice
//! while its database starts, and then runs, is not a failure.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::read::{condition, count, is_empty, number, text};

/// What keeps a pod from being ready, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Cause {
    /// It ends, is started again, and ends again.
    CrashLoop,
    /// Its image cannot be had.
    ImagePull,
    /// It was pushed off its node.
    Evicted,
    /// It ran to its end and failed.
    Ended,
    /// It cannot be started: a missing Secret, a bad mount, a wrong command.
    CannotStart,
    /// It ended at least once, runs again, and is not ready.
    Crashed,
    /// No node takes it.
    Unschedulable,
    /// It runs and does not become ready.
    NotReady,
}

impl Cause {
    /// Whether it is a failure by itself; the others may pass by waiting.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::CrashLoop | Self::ImagePull | Self::Evicted | Self::Ended | Self::CannotStart)
    }
}

/// How a container's run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    pub code: i64,
    /// `Error`, `OOMKilled`, `Completed`, `ContainerCannotRun` …
    pub reason: String,
    pub message: String,
    pub at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodProblem {
    pub namespace: String,
    pub pod: String,
    /// `None` where the whole pod is meant.
    pub container: Option<String>,
    pub cause: Cause,
    /// In Kubernetes' own words: `CrashLoopBackOff`, `ImagePullBackOff`, `OOMKilled`, `Unschedulable` …
    pub reason: String,
    pub message: String,
    pub restarts: i64,
    /// How the run before ended: the place to look for logs.
    pub previous_exit: Option<Exit>,
}

/// How much is enough to call a problem a known failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Restarts of one container. Two are an app that waits for its database; with the kubelet's back-off of 10, 20,
    /// 40 seconds the fourth comes after more than a minute.
    pub restarts: i64,
    /// A run that ended before this is no failure of what is looked at now: a pod may have a long past.
    pub since: Option<Timestamp>,
    /// Whether a container that is up at this moment counts as well: it may be up between two crashes.
    pub even_if_up: bool,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { restarts: 4, since: None, even_if_up: false }
    }
}

impl Thresholds {
    /// Whether a container that was restarted so often, and ended so last, is beyond them.
    fn are_passed(&self, restarts: i64, exit: Option<&Exit>) -> bool {
        let ended = exit.and_then(|exit| exit.at.parse::<Timestamp>().ok());
        // Servers tell whole seconds.
        let before =
            self.since.zip(ended).is_some_and(|(since, ended)| ended.as_second() < since.as_second());
        restarts >= self.restarts && !before
    }
}

/// Restarts up to which a pod's own verdict is "still trying": see [`Thresholds::restarts`].
const TRYING: std::ops::RangeInclusive<i64> = 1..=2;

/// What is wrong with each of these pods, the worst first; pods that are fine, done or going away are left out.
pub fn explain<'a>(pods: impl IntoIterator<Item = &'a Value>) -> Vec<PodProblem> {
    let mut problems: Vec<_> = pods.into_iter().filter(|pod| !is_going(pod)).flat_map(problems).collect();
    problems.sort_by(|a, b| {
        (a.cause, -a.restarts, &a.namespace, &a.pod, &a.container).cmp(&(
            b.cause,
            -b.restarts,
            &b.namespace,
            &b.pod,
            &b.container,
        ))
    });
    problems
}

/// The problem that is reason enough to stop a rollout early, if there is one. Give it the pods of the newest template
/// only (see [`newest`]): what was there before is not the change's failure.
pub fn known_failure<'a>(
    pods: impl IntoIterator<Item = &'a Value>,
    limits: Thresholds,
) -> Option<PodProblem> {
    let pods: Vec<&Value> = pods.into_iter().collect();
    let known = explain(pods.iter().copied()).into_iter().find(|problem| match problem.cause {
        Cause::CrashLoop | Cause::Crashed => {
            limits.are_passed(problem.restarts, problem.previous_exit.as_ref())
        }
        // `ErrImagePull` is the first try; the kubelet says one of these when it has tried again or need not try.
        Cause::ImagePull => problem.reason != "ErrImagePull",
        _ => false,
    });
    known.or_else(|| pods.into_iter().filter(|_| limits.even_if_up).find_map(|pod| up_for_now(pod, limits)))
}

/// The container of a pod that keeps ending, and is up at this moment.
fn up_for_now(pod: &Value, limits: Thresholds) -> Option<PodProblem> {
    let ends = |container: &Container| {
        let exit = container.exit()?;
        limits.are_passed(container.restarts(), Some(&exit)).then_some(exit)
    };
    let (exit, container) =
        Containers::of(pod).0.into_iter().find_map(|container| Some((ends(&container)?, container)))?;
    let name = text(&container.status["name"]);
    Some(PodProblem {
        namespace: text(&pod["metadata"]["namespace"]).to_owned(),
        pod: text(&pod["metadata"]["name"]).to_owned(),
        container: Some(name.to_owned()),
        cause: Cause::CrashLoop,
        reason: exit.reason_or_error(),
        message: format!("container {name} was restarted {} times, {}", container.restarts(), exit.words()),
        restarts: container.restarts(),
        previous_exit: Some(exit),
    })
}

/// The image that cannot be had, where none of these pods ever started anything: whoever ends them ends no work.
pub fn never_ran(pods: &[Value]) -> Option<PodProblem> {
    let statuses = |pod: &Value| -> Vec<Value> {
        let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
        lists.iter().flat_map(|list| pod["status"][*list].as_array().cloned().unwrap_or_default()).collect()
    };
    let has_run = |status: &Value| {
        count(&status["restartCount"]) > 0
            || ["running", "terminated"].iter().any(|state| status["state"].get(*state).is_some())
            || !is_empty(&status["lastState"])
    };
    let untouched = |pod: &Value| {
        let statuses = statuses(pod);
        !statuses.is_empty() && !statuses.iter().any(has_run)
    };
    if !pods.iter().all(untouched) {
        return None;
    }
    known_failure(pods, Thresholds::default()).filter(|problem| problem.cause == Cause::ImagePull)
}

/// Of these pods, those that run the newest template of their workload: of a Deployment, those of the ReplicaSet that
/// bears its revision; of a StatefulSet or DaemonSet, those that bear the newest revision's label. All of them where
/// the workload does not tell templates apart.
pub fn newest<'a>(workload: &Value, replica_sets: &[Value], pods: &'a [Value]) -> Vec<&'a Value> {
    const REVISION: &str = "deployment.kubernetes.io/revision";
    const DAEMON: &str = "deprecated.daemonset.template.generation";
    let note = |object: &'_ Value, name: &str| text(&object["metadata"]["annotations"][name]).to_owned();
    let labelled = |name: &'static str, value: String| {
        pods.iter().filter(move |pod| text(&pod["metadata"]["labels"][name]) == value).collect()
    };
    match text(&workload["kind"]) {
        "Deployment" => {
            let (revision, uid) = (note(workload, REVISION), text(&workload["metadata"]["uid"]));
            let set =
                replica_sets.iter().find(|set| note(set, REVISION) == revision && is_owned_by(set, uid));
            match set.map(|set| text(&set["metadata"]["uid"])) {
                Some(uid) => pods.iter().filter(|pod| is_owned_by(pod, uid)).collect(),
                None => Vec::new(),
            }
        }
        "StatefulSet" => {
            labelled("controller-revision-hash", text(&workload["status"]["updateRevision"]).to_owned())
        }
        "DaemonSet" => match note(workload, DAEMON) {
            generation if generation.is_empty() => pods.iter().collect(),
            generation => labelled("pod-template-generation", generation),
        },
        _ => pods.iter().collect(),
    }
}

/// Of these pods, those that a workload owns: of a Deployment, by one of its ReplicaSets. A selector finds more, be it by chance
/// or because somebody wrote it so.
pub fn owned(workload: &Value, replica_sets: &[Value], pods: Vec<Value>) -> Vec<Value> {
    let uid = text(&workload["metadata"]["uid"]);
    if text(&workload["kind"]) != "Deployment" {
        return owned_by(uid, pods);
    }
    let sets = replica_sets.iter().filter(|set| is_owned_by(set, uid));
    let sets: Vec<&str> = sets.map(|set| text(&set["metadata"]["uid"])).collect();
    pods.into_iter().filter(|pod| sets.iter().any(|set| is_owned_by(pod, set))).collect()
}

/// Of these pods, those whose owner this is.
pub fn owned_by(uid: &str, pods: Vec<Value>) -> Vec<Value> {
    pods.into_iter().filter(|pod| is_owned_by(pod, uid)).collect()
}

/// A pod, where its containers' own words are not to be told without them.
pub fn told(pod: &Value, last_words: bool) -> Cow<'_, Value> {
    if last_words {
        return Cow::Borrowed(pod);
    }
    let mut pod = pod.clone();
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for status in pod["status"][list].as_array_mut().into_iter().flatten() {
            for state in ["state", "lastState"] {
                if let Some(ended) = status[state]["terminated"].as_object_mut() {
                    ended.remove("message");
                }
            }
        }
    }
    Cow::Owned(pod)
}

/// The worst problem of one pod.
pub(super) fn first(pod: &Value) -> Option<PodProblem> {
    problems(pod)
        .into_iter()
        .filter(|problem| problem.cause != Cause::NotReady)
        .min_by_key(|problem| problem.cause)
}

fn is_owned_by(object: &Value, uid: &str) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    !uid.is_empty() && owners.into_iter().any(|owner| text(&owner["uid"]) == uid)
}

fn is_going(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

fn problems(pod: &Value) -> Vec<PodProblem> {
    let status = &pod["status"];
    let whole = |cause, reason: &str, message: &str| PodProblem {
        namespace: text(&pod["metadata"]["namespace"]).to_owned(),
        pod: text(&pod["metadata"]["name"]).to_owned(),
        container: None,
        cause,
        reason: reason.to_owned(),
        message: message.to_owned(),
        restarts: Containers::of(pod).restarts(),
        previous_exit: None,
    };
    let phase = text(&status["phase"]);
    if phase == "Succeeded" {
        return Vec::new();
    }
    let ended = phase == "Failed";
    if ended && !is_empty(&status["reason"]) {
        let reason = text(&status["reason"]);
        let cause = if reason == "Evicted" { Cause::Evicted } else { Cause::Ended };
        return vec![whole(cause, reason, text(&status["message"]))];
    }
    let mut found: Vec<_> = Containers::of(pod)
        .0
        .into_iter()
        .filter_map(|container| {
            let (cause, reason, message) = container.problem(ended)?;
            Some(PodProblem {
                container: Some(text(&container.status["name"]).to_owned()),
                restarts: container.restarts(),
                previous_exit: container.exit(),
                ..whole(cause, &reason, &message)
            })
        })
        .collect();
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|scheduled| scheduled.is_false()) {
        found.push(whole(Cause::Unschedulable, &scheduled.why(), &scheduled.words()));
    }
    if found.is_empty() && ended {
        found.push(whole(Cause::Ended, "Failed", text(&status["message"])));
    }
    if found.is_empty() {
        // Readiness gates, or a node that does not answer.
        let ready = condition(pod, "Ready").filter(|ready| ready.is_false() && phase == "Running");
        found.extend(ready.map(|ready| whole(Cause::NotReady, &ready.why(), &ready.words())));
    }
    found
}

/// The containers of a pod, init containers first.
pub(super) struct Containers<'a>(Vec<Container<'a>>);

struct Container<'a> {
    status: &'a Value,
    /// An init container that is not a sidecar: it must end well, and is never "ready" before that.
    init: bool,
    pod_ran: bool,
}

impl<'a> Containers<'a> {
    pub(super) fn of(pod: &'a Value) -> Self {
        let list = |field: &str| pod["status"][field].as_array().into_iter().flatten();
        let is_sidecar = |status: &Value| {
            let specs = pod["spec"]["initContainers"].as_array().into_iter().flatten();
            specs.into_iter().any(|spec| spec["name"] == status["name"] && spec["restartPolicy"] == "Always")
        };
        let pod_ran = text(&pod["status"]["phase"]) == "Running";
        let inits = list("initContainerStatuses").map(|status| Container {
            status,
            init: !is_sidecar(status),
            pod_ran,
        });
        let mains = list("containerStatuses").map(|status| Container { status, init: false, pod_ran });
        Self(inits.chain(mains).collect())
    }

    pub(super) fn restarts(&self) -> i64 {
        self.0.iter().map(Container::restarts).fold(0, i64::saturating_add)
    }
}

impl Container<'_> {
    fn restarts(&self) -> i64 {
        count(&self.status["restartCount"])
    }

    /// How its last finished run ended.
    fn exit(&self) -> Option<Exit> {
        let ended = [&self.status["state"]["terminated"], &self.status["lastState"]["terminated"]];
        let ended = ended.into_iter().find(|ended| ended.is_object())?;
        Some(Exit {
            code: count(&ended["exitCode"]),
            reason: text(&ended["reason"]).to_owned(),
            message: text(&ended["message"]).to_owned(),
            at: text(&ended["finishedAt"]).to_owned(),
        })
    }

    /// `ended`: the pod as a whole failed, so a container that ended badly will not be started again.
    fn problem(&self, ended: bool) -> Option<(Cause, String, String)> {
        let waiting = &self.status["state"]["waiting"];
        let (reason, message) = (text(&waiting["reason"]), text(&waiting["message"]));
        let words = |otherwise: String| {
            if message.is_empty() { otherwise } else { message.to_owned() }
        };
        let name = text(&self.status["name"]);
        match reason {
            "" | "ContainerCreating" | "PodInitializing" => {}
            "CrashLoopBackOff" => {
                let last = self.exit().map_or(String::new(), |exit| format!(", {}", exit.words()));
                let message = format!("container {name} was restarted {} times{last}", self.restarts());
                let cause = if TRYING.contains(&self.restarts()) { Cause::Crashed } else { Cause::CrashLoop };
                return Some((cause, reason.to_owned(), message));
            }
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => {
                let image = text(&self.status["image"]);
                return Some((
                    Cause::ImagePull,
                    reason.to_owned(),
                    words(format!("image {image} cannot be pulled")),
                ));
            }
            _ if reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff") => {
                let message = words(format!("container {name} cannot be started"));
                return Some((Cause::CannotStart, reason.to_owned(), message));
            }
            _ => {}
        }
        let exit = self.exit();
        let terminated = &self.status["state"]["terminated"];
        if terminated.is_object() && number(&terminated["exitCode"]).is_none_or(|code| code != 0) {
            let exit = exit?;
            let cause = if ended { Cause::Ended } else { Cause::Crashed };
            return Some((cause, exit.reason_or_error(), format!("container {name} {}", exit.words())));
        }
        if ended || terminated.is_object() || self.status["ready"] == true {
            return None;
        }
        match exit {
            Some(exit) if self.restarts() > 0 => {
                // It runs again; many restarts without ever being ready are a loop, only slower than the back-off.
                let looping = self.restarts() > *TRYING.end();
                let cause = if looping { Cause::CrashLoop } else { Cause::Crashed };
                let message =
                    format!("container {name} was restarted {} times, {}", self.restarts(), exit.words());
                Some((cause, exit.reason_or_error(), message))
            }
            _ if self.pod_ran && !self.init && self.status["ready"] == false => Some((
                Cause::NotReady,
                "NotReady".to_owned(),
                format!("container {name} runs and is not ready"),
            )),
            _ => None,
        }
    }
}

impl Exit {
    fn reason_or_error(&self) -> String {
        if self.reason.is_empty() { "Error".to_owned() } else { self.reason.clone() }
    }

    fn words(&self) -> String {
        let mut words = format!("last ended with exit code {}", self.code);
        if !matches!(&*self.reason, "" | "Error" | "Completed") {
            words = format!("{words} ({})", self.reason);
        }
        match self.message.trim() {
            "" => words,
            message => format!("{words}: {message}"),
        }
    }
}

#[cfg(test)]
mod tests;
