//! The policies that are shipped: a platform switches them on by name.

use serde_json::Value;

use super::image::Image;
use super::pods::{self, Level};
use super::workload;
use crate::object::ObjectKey;

/// A policy that is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shipped {
    /// Every image is named by its digest.
    DigestsOnly,
    /// No image is `latest`, be it that it says nothing.
    NoLatest,
    /// Every container has limits of CPU and memory.
    LimitsSet,
    /// Every container has a limit of memory.
    MemoryLimits,
    /// Pods keep to the level `baseline` of the Pod Security Standards.
    BaselinePods,
    /// Pods keep to the level `restricted`.
    RestrictedPods,
}

impl Shipped {
    pub const ALL: [(&'static str, Self); 6] = [
        ("digests-only", Self::DigestsOnly),
        ("no-latest", Self::NoLatest),
        ("limits-set", Self::LimitsSet),
        ("memory-limits", Self::MemoryLimits),
        ("baseline-pods", Self::BaselinePods),
        ("restricted-pods", Self::RestrictedPods),
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy)
    }

    /// What of an object breaks it: JSON pointers, and what is wrong there.
    pub fn check(self, key: &ObjectKey, object: &Value) -> Vec<(String, String)> {
        match self {
            Self::DigestsOnly => images(key, object, |image| {
                image
                    .digest
                    .is_none()
                    .then(|| format!("the image {image} is not named by its digest (@sha256:…)"))
            }),
            Self::NoLatest => images(key, object, |image| {
                let is_latest = image.tag.as_deref().is_none_or(|tag| tag == "latest");
                (is_latest && image.digest.is_none())
                    .then(|| format!("the image {image} is whatever is latest"))
            }),
            Self::LimitsSet => limits(key, object, &["cpu", "memory"]),
            Self::MemoryLimits => limits(key, object, &["memory"]),
            Self::BaselinePods => pods(key, object, Level::Baseline),
            Self::RestrictedPods => pods(key, object, Level::Restricted),
        }
    }
}

fn images(
    key: &ObjectKey,
    object: &Value,
    wrong: impl Fn(&Image) -> Option<String>,
) -> Vec<(String, String)> {
    let judged = workload::images(key, object).into_iter().filter_map(|(at, text)| {
        let what = match text.as_str().and_then(Image::read) {
            Some(image) => wrong(&image)?,
            None => "the reference of an image cannot be read".to_owned(),
        };
        Some((at, what))
    });
    judged.collect()
}

/// Containers without limits, where the pod as a whole has none either. An ephemeral container cannot have any.
fn limits(key: &ObjectKey, object: &Value, resources: &[&str]) -> Vec<(String, String)> {
    let has = |holder: &Value, resource: &str| {
        let limit = holder.get("resources").and_then(|resources| resources.get("limits")?.get(resource));
        limit.is_some_and(|limit| !limit.is_null() && *limit != "" && *limit != "0" && *limit != 0)
    };
    let mut found = Vec::new();
    for (at, pod) in workload::pods(key, object) {
        let containers =
            workload::containers(&pod).filter(|(below, _)| !below.starts_with("/ephemeralContainers/"));
        for (below, container) in containers {
            let missing: Vec<&str> = resources
                .iter()
                .copied()
                .filter(|resource| !has(container, resource) && !has(pod.spec, resource))
                .collect();
            if !missing.is_empty() {
                let name = workload::name_of(container);
                let what = format!("the container {name} has no limit of {}", missing.join(" and "));
                found.push((format!("{at}{below}"), what));
            }
        }
    }
    found
}

fn pods(key: &ObjectKey, object: &Value, level: Level) -> Vec<(String, String)> {
    let all = workload::pods(key, object).into_iter();
    all.flat_map(|(at, pod)| {
        let found = pods::check(&pod, level).into_iter();
        found.map(move |(below, what)| (format!("{at}{below}"), what))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(policy: &str, containers: Value) -> Vec<String> {
        let key = ObjectKey::new("batch", "CronJob", Some("web"), "a");
        let object =
            json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": containers}}}}}});
        let found = Shipped::named(policy).unwrap().check(&key, &object);
        let at = "/spec/jobTemplate/spec/template/spec";
        found
            .into_iter()
            .map(|(pointer, what)| format!("{} {what}", pointer.strip_prefix(at).unwrap_or(&pointer)))
            .collect()
    }

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn images_are_named_by_digest_or_at_least_by_tag() {
        let with = |image: &str| json!([{"name": "a", "image": image}]);
        let by_digest = format!("registry.example/web@{DIGEST}");
        assert!(check("digests-only", with(&by_digest)).is_empty());
        assert!(check("no-latest", with(&by_digest)).is_empty());
        assert!(check("no-latest", with("web:1")).is_empty());
        let found = check("digests-only", with("registry.example/web:1"));
        assert_eq!(
            found,
            ["/containers/0/image the image registry.example/web:1 is not named by its digest (@sha256:…)"]
        );
        for latest in ["web", "web:latest", "registry.example:5000/web"] {
            assert_eq!(check("no-latest", with(latest)).len(), 1, "{latest}");
        }
        for policy in ["digests-only", "no-latest"] {
            assert!(check(policy, with("Not An Image"))[0].contains("cannot be read"));
        }
    }

    #[test]
    fn limits_are_those_of_a_container_or_of_its_pod() {
        let with = |limits: Value| json!([{"name": "a", "image": "a", "resources": {"limits": limits}}]);
        assert!(check("limits-set", with(json!({"cpu": "1", "memory": "1Gi"}))).is_empty());
        assert_eq!(
            check("limits-set", with(json!({"memory": "1Gi"}))),
            ["/containers/0 the container a has no limit of cpu"]
        );
        assert!(check("memory-limits", with(json!({"memory": "1Gi"}))).is_empty());
        assert_eq!(check("limits-set", with(json!({"cpu": 0, "memory": null}))).len(), 1);
        let key = ObjectKey::new("", "Pod", Some("web"), "a");
        let pod = json!({"spec": {
            "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}, "containers": [{"name": "a", "image": "a"}],
            "ephemeralContainers": [{"name": "debug", "image": "a"}],
        }});
        assert!(Shipped::LimitsSet.check(&key, &pod).is_empty());
    }

    #[test]
    fn the_definition_knows_the_same_names() {
        let crd = serde_json::to_string(&crate::api::crds()[0]).unwrap();
        let names: Vec<String> = Shipped::ALL.iter().map(|(name, _)| format!("'{name}'")).collect();
        assert!(crd.contains(&format!("self.name in [{}]", names.join(", "))), "{crd}");
    }
}
