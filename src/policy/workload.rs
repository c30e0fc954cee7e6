//! Where pods are described in an object: in workloads of Kubernetes, and in whatever else holds containers, for operators
//! make pods as well.

use serde_json::Value;

use crate::object::ObjectKey;

/// The lists of containers that a pod has.
pub(super) const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The description of a pod: where it stands, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    pub metadata: &'a Value,
    pub spec: &'a Value,
}

/// Finds each description of a pod, with the JSON pointer of its `spec`.
pub fn pods<'a>(key: &ObjectKey, object: &'a Value) -> Vec<(String, Pod<'a>)> {
    // What these hold is text, or the schema of a kind.
    if matches!(
        (&*key.group, &*key.kind),
        ("", "ConfigMap" | "Secret") | ("apiextensions.k8s.io", "CustomResourceDefinition")
    ) {
        return Vec::new();
    }
    let mut found = Vec::new();
    walk(object, &Value::Null, String::new(), &mut found);
    found
}

/// A map with a list of containers is the spec of a pod, and the `metadata` beside it is the pod's.
fn walk<'a>(value: &'a Value, metadata: &'a Value, pointer: String, found: &mut Vec<(String, Pod<'a>)>) {
    match value {
        Value::Object(map) => {
            if LISTS.iter().any(|list| map.get(*list).is_some_and(holds_containers)) {
                found.push((pointer.clone(), Pod { metadata, spec: value }));
            }
            let metadata = map.get("metadata").unwrap_or(&Value::Null);
            for (name, child) in map.iter().filter(|(name, _)| !LISTS.contains(&name.as_str())) {
                walk(
                    child,
                    metadata,
                    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                walk(item, &Value::Null, format!("{pointer}/{n}"), found);
            }
        }
        _ => {}
    }
}

fn holds_containers(list: &Value) -> bool {
    list.as_array().is_some_and(|items| {
        items.iter().any(|item| item.get("image").is_some() || item.get("name").is_some())
    })
}

/// The containers of a pod, each with its JSON pointer below that of the spec.
pub fn containers<'a>(pod: &Pod<'a>) -> impl Iterator<Item = (String, &'a Value)> + use<'a> {
    let spec = pod.spec;
    LISTS.into_iter().flat_map(move |list| {
        let items = spec.get(list).and_then(Value::as_array).into_iter().flatten();
        items.enumerate().map(move |(n, container)| (format!("/{list}/{n}"), container))
    })
}

/// What a container is called, or where it stands.
pub fn name_of(container: &Value) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or("without a name")
}

/// Every image of an object: of containers and of volumes, each with its JSON pointer.
pub(super) fn images<'a>(key: &ObjectKey, object: &'a Value) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    for (at, pod) in pods(key, object) {
        for (below, container) in containers(&pod) {
            if let Some(image) = container.get("image").filter(|image| !image.is_null()) {
                found.push((format!("{at}{below}/image"), image));
            }
        }
        let volumes = pod.spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
        for (n, volume) in volumes.enumerate() {
            if let Some(image) = volume.pointer("/image/reference").filter(|image| !image.is_null()) {
                found.push((format!("{at}/volumes/{n}/image/reference"), image));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(group: &str, kind: &str, object: &Value) -> Vec<String> {
        let key = ObjectKey::new(group, kind, Some("web"), "a");
        images(&key, object)
            .into_iter()
            .map(|(at, image)| format!("{at} {}", image.as_str().unwrap_or("?")))
            .collect()
    }

    #[test]
    fn images_are_found_in_every_kind_that_makes_pods() {
        let pod = json!({
            "initContainers": [{"name": "i", "image": "i:1"}],
            "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}],
            "ephemeralContainers": [{"name": "e", "image": "e:1"}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "image": {"reference": "v:1"}}],
        });
        let below = |at: &str| {
            vec![
                format!("{at}/initContainers/0/image i:1"),
                format!("{at}/containers/0/image a:1"),
                format!("{at}/containers/1/image b:1"),
                format!("{at}/ephemeralContainers/0/image e:1"),
                format!("{at}/volumes/1/image/reference v:1"),
            ]
        };
        let template = json!({"spec": {"template": {"metadata": {}, "spec": pod}}});
        assert_eq!(places("", "Pod", &json!({"spec": pod})), below("/spec"));
        for (group, kind) in [
            ("apps", "Deployment"),
            ("apps", "StatefulSet"),
            ("apps", "DaemonSet"),
            ("apps", "ReplicaSet"),
            ("", "ReplicationController"),
            ("batch", "Job"),
            ("argoproj.io", "Rollout"),
            ("serving.knative.dev", "Service"),
        ] {
            assert_eq!(places(group, kind, &template), below("/spec/template/spec"), "{kind}");
        }
        let cron = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}});
        assert_eq!(places("batch", "CronJob", &cron), below("/spec/jobTemplate/spec/template/spec"));
        assert_eq!(places("", "PodTemplate", &json!({"template": {"spec": pod}})), below("/template/spec"));
        let many = json!({"spec": {"workers": [{"template": {"spec": pod}}]}});
        assert_eq!(places("ray.io", "RayCluster", &many), below("/spec/workers/0/template/spec"));
    }

    #[test]
    fn an_image_that_is_no_text_is_found_as_well() {
        let object = json!({"spec": {"containers": [{"name": "a", "image": 1}]}});
        assert_eq!(places("", "Pod", &object), ["/spec/containers/0/image ?"]);
        assert!(places("", "ConfigMap", &object).is_empty());
    }
}
