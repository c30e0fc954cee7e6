//! Whose `spec.replicas` is: git's, or an autoscaler's.
//!
//! Both cannot set it. While something scales a workload its replicas are not sent, whatever git says. A replica count
//! that is ours and is not sent any more is let go of first, so that the value stays: server-side apply would take it
//! away, and the server would put its default there, one replica.

use std::sync::Arc;

use serde::Serialize;

use super::field_sets::holds;
use super::{GitReplicas, Lookup, Wanted, WantedApp};
use crate::object::{AUTOSCALER, LET_GO, Live, ObjectKey};

/// Where the replicas stand in an entry of `managedFields`.
pub const REPLICAS: [&str; 2] = ["f:spec", "f:replicas"];
/// The same as a path.
pub const REPLICAS_PATH: &str = ".spec.replicas";

/// What a step does about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Replicas {
    /// They are sent where git says them.
    #[default]
    Git,
    /// They are sent; and nothing scales the workload, so that what an autoscaler left behind is taken.
    Reclaim,
    /// They are not sent.
    Others,
    /// They are not sent, and ours until now.
    LetGo,
}

impl Replicas {
    /// Whether what is sent leaves them out, whatever git says.
    pub fn withheld(self) -> bool {
        matches!(self, Self::Others | Self::LetGo)
    }

    pub fn decide(wanted: &Wanted, live: Option<&Live>, lookup: &dyn Lookup) -> Self {
        let says = wanted.replicas;
        if says == GitReplicas::Absent && !is_workload(&wanted.key) {
            return Self::Git;
        }
        let known = lookup.autoscaled(&wanted.key);
        if says == GitReplicas::Said && !is_autoscaled(known, live) {
            return if known == Some(false) { Self::Reclaim } else { Self::Git };
        }
        let ours = live
            .and_then(|live| live.owned.as_ref())
            .is_some_and(|owned| owned.fields().as_object().is_some_and(|fields| holds(fields, &REPLICAS)));
        if ours { Self::LetGo } else { Self::Others }
    }
}

/// Whether an autoscaler sets an object's replicas. Where nobody knows the autoscalers, who wrote them last decides.
pub fn is_autoscaled(known: Option<bool>, live: Option<&Live>) -> bool {
    known.unwrap_or_else(|| live.is_some_and(|live| live.autoscaled))
}

/// Whether a conflict is about what an autoscaler that is gone has left, or about what we let go of and nobody took.
pub fn left_by_autoscaler(conflict: &super::Conflict, replicas: Replicas) -> bool {
    let gone = conflict.manager == LET_GO || replicas == Replicas::Reclaim && conflict.manager == AUTOSCALER;
    gone && conflict.field == REPLICAS_PATH && !replicas.withheld()
}

/// Workloads whose replicas the API server sets to one where nobody says how many.
fn is_workload(key: &ObjectKey) -> bool {
    matches!(
        (&*key.group, &*key.kind),
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet")
            | ("", "ReplicationController")
            | ("argoproj.io", "Rollout")
    )
}

/// What people should know about the replicas of an app's objects, whether these change or not.
pub fn notes(app: &WantedApp, lookup: &dyn Lookup) -> Vec<String> {
    let told = |wanted: &Arc<Wanted>| note(wanted, lookup.live(&wanted.key).as_deref(), lookup);
    app.objects.iter().filter_map(told).collect()
}

fn note(wanted: &Wanted, live: Option<&Live>, lookup: &dyn Lookup) -> Option<String> {
    let key = &wanted.key;
    match wanted.replicas {
        GitReplicas::Ignored => Some(format!(
            "{key}: its replicas in git are not applied, because an autoscaler of the app sets them"
        )),
        GitReplicas::Said if is_autoscaled(lookup.autoscaled(key), live) => Some(format!(
            "{key}: its replicas in git are not applied while an autoscaler that is not part of the app sets them"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::stamp::tests::{object, wanted};
    use super::*;

    struct Known(Option<bool>);

    impl Lookup for Known {
        fn live(&self, _: &ObjectKey) -> Option<Arc<Live>> {
            None
        }

        fn autoscaled(&self, _: &ObjectKey) -> Option<bool> {
            self.0
        }
    }

    fn deployment(replicas: Option<u32>) -> Value {
        let mut deployment = object("apps/v1", "Deployment", "web");
        deployment["spec"] = json!({"paused": false});
        if let Some(replicas) = replicas {
            deployment["spec"]["replicas"] = json!(replicas);
        }
        deployment
    }

    fn autoscaler() -> Value {
        let mut hpa = object("autoscaling/v2", "HorizontalPodAutoscaler", "web");
        hpa["spec"] =
            json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}});
        hpa
    }

    fn live(ours: bool, autoscaler: bool) -> Live {
        let mut entries = vec![json!({"manager": "fairlead", "operation": "Apply", "apiVersion": "apps/v1",
            "fieldsV1": {"f:spec": if ours { json!({"f:replicas": {}}) } else { json!({"f:paused": {}}) }}})];
        if autoscaler {
            entries.push(json!({"manager": "kube-controller-manager", "operation": "Update",
                "apiVersion": "apps/v1", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
        }
        Live::read(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "name": "web", "namespace": "web", "uid": "u", "resourceVersion": "1", "managedFields": entries}}))
        .unwrap()
    }

    #[test]
    fn replicas_are_gits_or_an_autoscalers_and_never_taken_away() {
        use Replicas::{Git, LetGo, Others, Reclaim};
        // What git says, whether an autoscaler is in the app, what is known of live ones, whether the entry is ours,
        // whether an autoscaler wrote last.
        for (git, own, known, ours, wrote, expected) in [
            (Some(3), false, Some(false), true, false, Reclaim),
            (Some(3), false, None, true, false, Git),
            // An autoscaler comes, in this app or from elsewhere.
            (Some(3), true, Some(false), true, false, LetGo),
            (None, true, Some(false), true, false, LetGo),
            (Some(3), false, Some(true), true, false, LetGo),
            (Some(3), false, Some(true), false, true, Others),
            (None, true, Some(true), false, true, Others),
            // It goes: what it left is git's again, once it is known to be gone.
            (Some(3), false, Some(false), false, true, Reclaim),
            (Some(3), false, None, false, true, Others),
            // Git says nothing any more, and nobody scales: the value stays.
            (None, false, Some(false), true, false, LetGo),
            (None, false, None, true, false, LetGo),
        ] {
            let objects = if own { vec![deployment(git), autoscaler()] } else { vec![deployment(git)] };
            let app = wanted(objects).unwrap();
            let decided = Replicas::decide(&app.objects[0], Some(&live(ours, wrote)), &Known(known));
            assert_eq!(decided, expected, "{git:?} {own} {known:?} {ours} {wrote}");
        }
    }

    #[test]
    fn what_has_no_replicas_is_left_as_it_is() {
        let app = wanted(vec![object("v1", "ConfigMap", "a")]).unwrap();
        assert_eq!(Replicas::decide(&app.objects[0], None, &Known(Some(true))), Replicas::Git);
    }

    #[test]
    fn replicas_that_git_says_beside_an_autoscaler_are_told() {
        let app = wanted(vec![deployment(Some(3)), autoscaler()]).unwrap();
        let told = note(&app.objects[0], None, &Known(None)).unwrap();
        assert!(told.contains("Deployment.apps web/web") && told.contains("not applied"), "{told}");
        let app = wanted(vec![deployment(None), autoscaler()]).unwrap();
        assert_eq!(note(&app.objects[0], None, &Known(Some(true))), None);
        let app = wanted(vec![deployment(Some(3))]).unwrap();
        assert!(note(&app.objects[0], None, &Known(Some(true))).is_some());
        assert_eq!(note(&app.objects[0], Some(&live(true, true)), &Known(Some(false))), None);
    }
}
