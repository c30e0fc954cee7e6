//! Manifests as people write them, in short.

pub fn configmap(name: &str, value: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value:?}}}\n")
}

/// With annotations of the object.
pub fn annotated_configmap(name: &str, annotations: &[(&str, &str)]) -> String {
    let annotations = flow(annotations);
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\ndata: {{value: \"1\"}}\n"
    )
}

/// A Deployment of one replica. The annotations are the pod's: they tell the simulated node what to do with it.
pub fn deployment(name: &str, pod_annotations: &[(&str, &str)]) -> String {
    deployment_of(name, 1, "registry.example/web:1", "", pod_annotations)
}

/// With everything that tests vary; `annotations` are the object's own, in flow style.
pub fn deployment_of(
    name: &str,
    replicas: u32,
    image: &str,
    annotations: &str,
    pod: &[(&str, &str)],
) -> String {
    let pod: Vec<(String, &str)> =
        pod.iter().map(|(key, value)| (format!("sim.fairlead.dev/{key}"), *value)).collect();
    let pod: Vec<(&str, &str)> = pod.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let pod = flow(&pod);
    format!(
        "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, annotations: {{{annotations}}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}, annotations: {{{pod}}}}}
    spec:
      containers: [{{name: main, image: {image:?}}}]
"
    )
}

/// The definition of a kind whose objects have a length in metres.
pub fn definition(kind: &str, plural: &str) -> String {
    let singular = kind.to_lowercase();
    format!(
        "---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.bed.fairlead.dev}}
spec:
  group: bed.fairlead.dev
  scope: Namespaced
  names: {{plural: {plural}, singular: {singular}, kind: {kind}, listKind: {kind}List}}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{metres: {{type: integer}}}}}}}}}}}}
"
    )
}

fn flow(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key}: {value:?}")).collect::<Vec<_>>().join(", ")
}
