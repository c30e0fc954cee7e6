//! Replicas go from git to an autoscaler and back, and none is lost on the way.
//!
//! The autoscaler is a real object; what its controller does is done here through the scale subresource, as it does it.

use http::Method;
use serde_json::{Value, json};

use crate::bed::manifests::deployment_of;
use crate::bed::{Bed, Class, Effect, Fault, SECOND, SOON, Seen, holds_for, wait_until};

/// Every number of replicas that was ever stored, each change once, up to this one.
fn numbers(seen: &Seen, last: u64) -> Vec<u64> {
    seen.until(&last.to_string()).iter().map(|value| value.trim().parse().expect("a number")).collect()
}

fn watch(bed: &Bed) -> Seen {
    Seen::of(bed, "deployment/web", ".spec.replicas")
}

fn web(replicas: u32) -> String {
    deployment_of("web", replicas, "registry.example/web:1", "", &[])
}

fn without_replicas(image: &str) -> String {
    let text = deployment_of("web", 1, image, "", &[]);
    text.replace("  replicas: 1\n", "")
}

fn autoscaler() -> &'static str {
    "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {minReplicas: 2, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n"
}

/// As the controller of autoscalers does.
fn scale(bed: &Bed, replicas: u32) {
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments/web/scale?fieldManager=kube-controller-manager",
        bed.name
    );
    let patch = json!({"spec": {"replicas": replicas}});
    let (code, answer) =
        bed.api().request(Method::PATCH, &path, "application/merge-patch+json", Some(&patch));
    assert_eq!(code, 200, "{answer}");
}

fn replicas(bed: &Bed) -> Value {
    bed.deployment("web").map(|web| web["spec"]["replicas"].clone()).unwrap_or_default()
}

#[test]
fn replicas_go_to_an_autoscaler_and_back_without_a_dip() {
    // Whether git goes on saying a number beside the autoscaler, or says none.
    for git_says in [true, false] {
        let bed = Bed::new("both-ways");
        let _agent = bed.agent();
        bed.wait_ready(&bed.commit_web(&web(3)));
        let seen = watch(&bed);

        let with = if git_says { web(3) } else { without_replicas("registry.example/web:1") };
        bed.wait_ready(&bed.commit_web(&(with.clone() + autoscaler())));
        assert_eq!(numbers(&seen, 3), [3], "it comes to an autoscaler as it was");
        scale(&bed, 7);
        let other = with.replace("registry.example/web:1", "registry.example/web:2");
        bed.wait_ready(&bed.commit_web(&(other + autoscaler())));
        assert_eq!(numbers(&seen, 7), [3, 7], "what the autoscaler says stands beside a change of git");

        // It goes; git says how many again. While it is there it scales, and git's number comes when it is gone.
        let last = bed.commit_web(&web(4));
        wait_until(SOON, "the autoscaler is deleted", || {
            bed.get("autoscaling/v2", "horizontalpodautoscalers", "web").is_none()
        });
        wait_until(SOON, "the replicas are git's", || replicas(&bed) == 4);
        bed.wait_ready(&last);
        assert_eq!(numbers(&seen, 4), [3, 7, 4], "in one step from what ran to what git says");
        bed.wait_events("Unscaled", 1);

        // They are git's again: what others change is put back.
        scale(&bed, 6);
        wait_until(SOON, "it is put back", || replicas(&bed) == 4);
    }
}

#[test]
fn replicas_that_leave_git_stay_as_they_are() {
    let bed = Bed::new("let-go");
    let _agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&web(3)));
    let seen = watch(&bed);
    bed.wait_ready(&bed.commit_web(&without_replicas("registry.example/web:1")));
    // Nobody took them meanwhile, so git may say again how many.
    bed.wait_ready(&bed.commit_web(&web(4)));
    bed.wait_ready(&bed.commit_web(&without_replicas("registry.example/web:1")));
    bed.kubectl(&["scale", "deployment/web", "--replicas=5"]).ok();
    bed.wait_ready(&bed.commit_web(&without_replicas("registry.example/web:2")));
    assert_eq!(numbers(&seen, 5), [3, 4, 5]);
}

#[test]
fn an_autoscaler_that_is_not_in_git_has_its_way_while_it_is_there() {
    let bed = Bed::new("by-hand");
    let _agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&web(3)));
    let path = bed.cache().with_file_name("autoscaler.yaml");
    std::fs::write(&path, autoscaler()).expect("a file");
    bed.kubectl(&["apply", "-f", path.to_str().expect("UTF-8")]).ok();
    std::thread::sleep(SECOND); // The agent hears of it by its watch.
    let seen = watch(&bed);
    scale(&bed, 7);
    holds_for(3 * SECOND, "nobody takes it back", || replicas(&bed) == 7);
    // A change of git goes out beside it.
    bed.wait_ready(&bed.commit_web(&web(3).replace("web:1\"", "web:2\"")));
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.stdout.contains("replicas in git are not applied while an autoscaler"), "{plan:?}");
    bed.kubectl(&["delete", "horizontalpodautoscaler/web"]).ok();
    wait_until(SOON, "git's replicas come back", || replicas(&bed) == 3);
    assert_eq!(numbers(&seen, 3), [3, 7, 3]);
}

#[test]
fn an_autoscaler_that_came_after_a_version_was_gone_has_its_way() {
    let bed = Bed::new("expired-scaler");
    let proxy = bed.proxy();
    // In place of the watch, and again until the agent lists anew.
    proxy.set(Fault::nth(Class::Watch, 1, Effect::Expired).on("/horizontalpodautoscalers"));
    let _agent = bed.agent_through(&proxy);
    bed.wait_ready(&bed.commit_web(&web(3)));
    wait_until(SOON, "the watch is refused", || proxy.harmed() > 0);
    let path = bed.cache().with_file_name("autoscaler.yaml");
    std::fs::write(&path, autoscaler()).expect("a file");
    bed.kubectl(&["apply", "-f", path.to_str().expect("UTF-8")]).ok();
    std::thread::sleep(3 * SECOND); // Longer than it pauses before it lists anew.
    scale(&bed, 7);
    holds_for(3 * SECOND, "it scales", || replicas(&bed) == 7);
}

#[test]
fn a_plan_says_that_replicas_beside_an_autoscaler_are_not_applied() {
    let bed = Bed::new("told");
    bed.commit_web(&(web(3) + autoscaler()));
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name, "-o", "json"]).json();
    let notes = plan["apps"][0]["notes"].to_string();
    assert!(notes.contains("its replicas in git are not applied"), "{plan:#}");
}

#[test]
fn a_workload_that_is_adopted_with_its_autoscaler_keeps_its_replicas() {
    let bed = Bed::new("scaled-adopted");
    let path = bed.cache().with_file_name("all.yaml");
    std::fs::write(&path, web(3) + autoscaler()).expect("a file");
    bed.kubectl(&["apply", "-f", path.to_str().expect("UTF-8")]).ok();
    let seen = watch(&bed);
    let _agent = bed.agent();
    let revision = bed.commit_web(&(without_replicas("registry.example/web:1") + autoscaler()));
    bed.wait_app("web", "Refused");
    bed.fairlead(&["adopt", "--env", &bed.name]).ok();
    bed.wait_ready(&revision);
    assert_eq!(numbers(&seen, 3), [3], "kubectl held them, and the autoscaler has not scaled yet");
    scale(&bed, 7);
    holds_for(2 * SECOND, "it scales", || replicas(&bed) == 7);
}

#[test]
fn killed_while_it_lets_go_of_replicas_none_is_lost() {
    for n in 1..=2 {
        for effect in [Effect::KillBefore, Effect::KillAfter] {
            let bed = Bed::new("let-go-killed");
            let proxy = bed.proxy();
            let agent = bed.agent_through(&proxy);
            bed.wait_ready(&bed.commit_web(&web(3)));
            let seen = watch(&bed);
            proxy.set(Fault::nth(Class::Write, n, effect.clone()));
            let revision = bed.commit_web(&(web(3) + autoscaler()));
            let _ = agent.wait(SOON);
            drop(agent);
            let _agent = bed.agent_through(&proxy);
            bed.wait_ready(&revision);
            assert_eq!(numbers(&seen, 3), [3], "write {n}, {effect:?}");
        }
    }
}
