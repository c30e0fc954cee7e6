use serde_json::json;

use super::*;

fn pod(name: &str, container: Value) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"controller-revision-hash": name}},
        "spec": {"restartPolicy": "Always"},
        "status": {"phase": "Running", "containerStatuses": [container]},
    })
}

fn crashing(name: &str, restarts: i64) -> Value {
    let last =
        json!({"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}});
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    pod(name, json!({"name": "web", "restartCount": restarts, "state": waiting, "lastState": last}))
}

fn waiting(name: &str, reason: &str) -> Value {
    pod(
        name,
        json!({"name": "web", "restartCount": 0, "image": "web:1", "state": {"waiting": {"reason": reason}}}),
    )
}

fn known(pods: &[Value]) -> Option<String> {
    known_failure(pods, Thresholds::default()).map(|problem| problem.reason)
}

#[test]
fn an_app_that_crashes_twice_and_then_runs_is_not_a_failure() {
    assert_eq!(known(&[crashing("a", 1)]), None);
    assert_eq!(known(&[crashing("a", 2)]), None);
    let running = json!({"name": "web", "ready": true, "restartCount": 2, "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 3}}});
    assert_eq!(explain(&[pod("a", running)]), []);
}

#[test]
fn a_crash_loop_is_a_known_failure_at_the_threshold() {
    assert_eq!(known(&[crashing("a", 3)]), None);
    assert_eq!(known(&[crashing("a", 4)]).as_deref(), Some("CrashLoopBackOff"));
    let patient = Thresholds { restarts: 9, ..Thresholds::default() };
    assert_eq!(known_failure([&crashing("a", 8)], patient), None);
    // Its last run ended at midnight.
    let since = |time: &str| Thresholds { since: Some(time.parse().unwrap()), ..Thresholds::default() };
    assert_eq!(known_failure([&crashing("a", 4)], since("2026-01-01T00:01:00Z")), None);
    assert!(known_failure([&crashing("a", 4)], since("2026-01-01T00:00:00.9Z")).is_some());
}

#[test]
fn what_is_up_between_two_crashes_counts_where_it_is_asked_for() {
    let up = |restarts: i64| {
        let last = json!({"terminated": {"exitCode": 3, "finishedAt": "2026-01-01T00:00:00Z"}});
        let state = json!({"running": {}});
        pod(
            "a",
            json!({"name": "web", "ready": true, "restartCount": restarts, "state": state, "lastState": last}),
        )
    };
    assert_eq!(known(&[up(9)]), None);
    let asked = Thresholds { even_if_up: true, ..Thresholds::default() };
    assert!(known_failure([&up(4)], asked).is_some());
    assert_eq!(known_failure([&up(3)], asked), None);
    let later = Thresholds { since: Some("2026-01-01T00:01:00Z".parse().unwrap()), ..asked };
    assert_eq!(known_failure([&up(4)], later), None, "it ended before anybody asked");
}

#[test]
fn an_image_is_given_a_second_try() {
    assert_eq!(known(&[waiting("a", "ErrImagePull")]), None);
    assert_eq!(known(&[waiting("a", "ImagePullBackOff")]).as_deref(), Some("ImagePullBackOff"));
    assert_eq!(known(&[waiting("a", "InvalidImageName")]).as_deref(), Some("InvalidImageName"));
}

#[test]
fn the_worst_comes_first_and_carries_how_it_ended() {
    let pods = [waiting("a", "ImagePullBackOff"), crashing("b", 5), crashing("c", 7), waiting("d", "")];
    let found = explain(&pods);
    let names: Vec<_> = found.iter().map(|problem| &*problem.pod).collect();
    assert_eq!(names, ["c", "b", "a"]);
    assert_eq!(found[0].container.as_deref(), Some("web"));
    assert_eq!(found[0].restarts, 7);
    assert_eq!(found[0].previous_exit.as_ref().map(|exit| exit.code), Some(3));
    assert_eq!(found[0].message, "container web was restarted 7 times, last ended with exit code 3");
}

#[test]
fn out_of_memory_is_named() {
    let last = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let running = json!({"name": "web", "ready": false, "restartCount": 1, "state": {"running": {}}, "lastState": last});
    let found = explain(&[pod("a", running)]);
    assert_eq!((found[0].cause, &*found[0].reason), (Cause::Crashed, "OOMKilled"));
}

#[test]
fn a_pod_that_is_never_ready_says_which_container() {
    let running = json!({"name": "web", "ready": false, "restartCount": 0, "state": {"running": {}}});
    let found = explain(&[pod("a", running)]);
    assert_eq!((found[0].cause, found[0].container.as_deref()), (Cause::NotReady, Some("web")));
    assert_eq!(known(&[]), None);
}

#[test]
fn no_node_and_eviction_are_said_of_the_whole_pod() {
    let lonely = json!({"metadata": {"name": "a"}, "status": {"phase": "Pending", "conditions":
        [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}});
    let evicted = json!({"metadata": {"name": "b"}, "status": {"phase": "Failed", "reason": "Evicted", "message": "disk"}});
    let found = explain(&[lonely, evicted]);
    assert_eq!((found[0].cause, &*found[0].message), (Cause::Evicted, "disk"));
    assert_eq!((found[1].cause, &*found[1].message), (Cause::Unschedulable, "0/1 nodes"));
    assert!(found.iter().all(|problem| problem.container.is_none()));
}

#[test]
fn pods_that_go_away_are_left_out() {
    let mut going = crashing("a", 9);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(explain(&[going]), []);
}

#[test]
fn only_the_newest_template_is_blamed() {
    let revision = |n: &str| json!({"deployment.kubernetes.io/revision": n});
    let owned = |uid: &str| json!([{"uid": uid, "controller": true}]);
    let deployment = json!({"kind": "Deployment", "metadata": {"uid": "d", "annotations": revision("8")}});
    let set = |uid: &str, n: &str| json!({"metadata": {"uid": uid, "annotations": revision(n), "ownerReferences": owned("d")}});
    let (mut old, mut new) = (crashing("old", 9), crashing("new", 1));
    old["metadata"]["ownerReferences"] = owned("r7");
    new["metadata"]["ownerReferences"] = owned("r8");
    let pods = [old, new];
    let sets = [set("r7", "7"), set("r8", "8")];
    assert_eq!(newest(&deployment, &sets, &pods), [&pods[1]]);
    assert!(newest(&deployment, &[], &pods).is_empty());
    let stateful = json!({"kind": "StatefulSet", "status": {"updateRevision": "new"}});
    assert_eq!(newest(&stateful, &[], &pods), [&pods[1]]);
}

#[test]
fn only_what_never_started_anything_may_be_ended() {
    let waits = |reason: &str, restarts: i64| {
        let state = json!({"waiting": {"reason": reason, "message": "no such image"}});
        pod("a", json!({"name": "web", "restartCount": restarts, "state": state, "lastState": {}}))
    };
    let found = never_ran(&[waits("ImagePullBackOff", 0)]).unwrap();
    assert_eq!((found.cause, found.reason.as_str()), (Cause::ImagePull, "ImagePullBackOff"));
    // The first try, and what a Secret that comes later would mend.
    assert_eq!(never_ran(&[waits("ErrImagePull", 0)]), None);
    assert_eq!(never_ran(&[waits("CreateContainerConfigError", 0)]), None);
    assert_eq!(never_ran(&[]), None);
    // One that ran before, one that ran beside it, an init container that did its work.
    assert_eq!(never_ran(&[waits("ImagePullBackOff", 1)]), None);
    assert_eq!(never_ran(&[waits("ImagePullBackOff", 0), crashing("b", 1)]), None);
    let mut prepared = waits("ImagePullBackOff", 0);
    prepared["status"]["initContainerStatuses"] =
        json!([{"name": "init", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}]);
    assert_eq!(never_ran(&[prepared]), None);
}

#[test]
fn a_pod_of_another_workload_is_not_asked() {
    let owned_by_uid = |uid: &str| json!({"metadata": {"name": uid, "ownerReferences": [{"uid": uid}]}});
    let set = |uid: &str, owner: &str| json!({"metadata": {"uid": uid, "ownerReferences": [{"uid": owner}]}});
    let pods = vec![
        owned_by_uid("ours-old"),
        owned_by_uid("ours-new"),
        owned_by_uid("theirs"),
        json!({"metadata": {"name": "bare"}}),
    ];
    let names = |pods: Vec<Value>| {
        pods.iter().map(|pod| text(&pod["metadata"]["name"]).to_owned()).collect::<Vec<_>>()
    };
    let deployment = json!({"kind": "Deployment", "metadata": {"uid": "d"}});
    let sets = [set("ours-old", "d"), set("ours-new", "d"), set("theirs", "other")];
    assert_eq!(names(owned(&deployment, &sets, pods.clone())), ["ours-old", "ours-new"]);
    let stateful = json!({"kind": "StatefulSet", "metadata": {"uid": "theirs"}});
    assert_eq!(names(owned(&stateful, &[], pods.clone())), ["theirs"]);
    assert!(
        owned(&json!({"kind": "StatefulSet", "metadata": {}}), &[], pods).is_empty(),
        "without a uid nothing is owned"
    );
}

#[test]
fn a_team_may_keep_the_words_of_its_containers() {
    let crashed = crashing("a", 5);
    let silent = told(&crashed, false);
    assert_eq!(*told(&crashed, true), crashed);
    for state in ["state", "lastState"] {
        assert!(silent["status"]["containerStatuses"][0][state]["terminated"].get("message").is_none());
    }
    let causes = |pod: &Value| explain([pod]).into_iter().map(|problem| problem.cause).collect::<Vec<_>>();
    assert_eq!(causes(&silent), causes(&crashed));
}
