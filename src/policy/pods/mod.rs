//! The Pod Security Standards, as Kubernetes 1.35 and newer have them: `baseline` and `restricted`.
//!
//! The rules are those of `k8s.io/pod-security-admission`, and its own fixtures are the test. They are held against what git
//! says, so an environment is told at file and line what the namespace's admission would say to a pod much later.

mod baseline;
mod restricted;

use serde_json::Value;

use super::workload::{Pod, containers, name_of};

/// How much a pod may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Baseline,
    Restricted,
}

/// What breaks a rule: the JSON pointer below the pod's spec, and what is wrong.
pub(super) type Violation = (String, String);

/// Everything in which a pod is more than a level allows.
pub(super) fn check(pod: &Pod, level: Level) -> Vec<Violation> {
    let mut found = Vec::new();
    baseline::check(pod, level, &mut found);
    if level == Level::Restricted {
        restricted::check(pod, &mut found);
    }
    found
}

/// The value of a field that is written; null is not.
fn said<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    value.pointer(pointer).filter(|value| !value.is_null())
}

/// The pod itself and its containers, as those that a security context can belong to: JSON pointer, value, and in words.
fn holders<'a>(pod: &Pod<'a>) -> Vec<(String, &'a Value, String)> {
    let each = containers(pod).map(|(at, container)| {
        let words = format!("the container {}", name_of(container));
        (at, container, words)
    });
    std::iter::once((String::new(), pod.spec, "the pod".to_owned())).chain(each).collect()
}

fn is_windows(pod: &Pod) -> bool {
    pod.spec.pointer("/os/name").is_some_and(|name| name == "windows")
}

/// Whether root in the pod is nobody on the node.
fn has_own_users(pod: &Pod) -> bool {
    pod.spec.get("hostUsers").is_some_and(|users| *users == Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `testdata/LEVEL/v1.35` of k8s.io/pod-security-admission 0.36.3 (Apache License 2.0), all of it in one file.
    fn judged(fixtures: &str, level: Level) -> Vec<String> {
        let all: Vec<Value> = serde_json::from_str(fixtures).unwrap();
        assert!(all.len() >= 49, "{}", all.len());
        let wrong = all.iter().filter_map(|fixture| {
            let object = &fixture["pod"];
            let pod = Pod { metadata: &object["metadata"], spec: &object["spec"] };
            let found = check(&pod, level);
            (found.is_empty() != (fixture["verdict"] == "pass"))
                .then(|| format!("{}: {found:?}", fixture["name"]))
        });
        wrong.collect()
    }

    #[test]
    fn every_fixture_of_the_standard_is_judged_as_it_says() {
        assert_eq!(judged(include_str!("fixtures/baseline.json"), Level::Baseline), Vec::<String>::new());
        assert_eq!(judged(include_str!("fixtures/restricted.json"), Level::Restricted), Vec::<String>::new());
    }

    fn restricted(spec: Value) -> Vec<String> {
        let metadata = Value::Null;
        check(&Pod { metadata: &metadata, spec: &spec }, Level::Restricted)
            .into_iter()
            .map(|(at, what)| format!("{at} {what}"))
            .collect()
    }

    #[test]
    fn an_ephemeral_container_is_a_container() {
        let good = serde_json::json!({
            "name": "a", "image": "a",
            "securityContext": {
                "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        });
        let mut spec = serde_json::json!({"containers": [good], "ephemeralContainers": [good]});
        assert_eq!(restricted(spec.clone()), Vec::<String>::new());
        spec["ephemeralContainers"][0]["securityContext"]["privileged"] = true.into();
        let found = restricted(spec);
        assert_eq!(
            found,
            ["/ephemeralContainers/0/securityContext/privileged the container a is privileged"]
        );
    }

    #[test]
    fn a_pod_that_says_nothing_breaks_four_rules() {
        let found = restricted(serde_json::json!({"containers": [{"name": "a", "image": "a"}]}));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().all(|found| found.starts_with("/containers/0 ")), "{found:?}");
    }
}
