//! The built-in schema against a real API server of the same release.
//!
//! `FAIRLEAD_CONTROLPLANE` names the binary that `tests/controlplane/build.sh` builds.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use fairlead::object::{Gvk, KindScope};
use fairlead::schema::{builtin, check};
use serde_json::{Value, json};

use crate::tools::tool;

struct Server {
    binary: PathBuf,
    kubeconfig: String,
    child: Child,
}

impl Server {
    fn start() -> Self {
        let binary = tool("FAIRLEAD_CONTROLPLANE");
        let mut child = Command::new(&binary)
            .args(["serve", "--nodes", "1", "--stop-on-stdin-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("one JSON line when ready");
        Self { binary, kubeconfig: ready["kubeconfig"].as_str().unwrap().to_owned(), child }
    }

    fn kubectl(&self, args: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(&self.binary)
            .args(["kubectl", "--kubeconfig", &self.kubeconfig])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", "--raw", path], "").unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn the_built_in_schema_is_that_of_the_server() {
    let server = Server::start();
    let groups = server.get("/apis");
    let mut paths = vec![("v1".to_owned(), "/api/v1".to_owned())];
    for version in
        groups["groups"].as_array().unwrap().iter().flat_map(|group| group["versions"].as_array().unwrap())
    {
        let api = version["groupVersion"].as_str().unwrap().to_owned();
        let path = format!("/apis/{api}");
        paths.push((api, path));
    }
    let (mut kinds, mut objects, mut wrong) = (0, 0, Vec::new());
    for (api, path) in paths {
        let served = server.get(&path);
        for resource in served["resources"].as_array().unwrap() {
            let name = resource["name"].as_str().unwrap();
            if name.contains('/') {
                continue;
            }
            kinds += 1;
            let gvk = Gvk::from_api_version(&api, resource["kind"].as_str().unwrap());
            let scope =
                if resource["namespaced"] == true { KindScope::Namespaced } else { KindScope::Cluster };
            let known = builtin().kind(&gvk);
            if known.is_none_or(|known| known.plural != name || known.scope != scope) {
                wrong.push(format!("{gvk}: the server says {name} {scope:?}, we {known:?}"));
            }
            if !resource["verbs"].as_array().unwrap().contains(&json!("list")) {
                continue;
            }
            // Whatever the server holds has the right shape.
            for mut object in
                server.get(&format!("{path}/{name}"))["items"].as_array().unwrap().iter().cloned()
            {
                objects += 1;
                object["apiVersion"] = json!(api);
                object["kind"] = json!(&*gvk.kind);
                wrong.extend(
                    check(builtin(), &gvk, &object).iter().map(|finding| format!("{gvk}: {finding}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "of {kinds} kinds and {objects} objects:\n{}", wrong.join("\n"));
    eprintln!("{kinds} kinds and {objects} objects agree");

    for (name, object) in crooked() {
        let gvk =
            Gvk::from_api_version(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let ours = !check(builtin(), &gvk, &object).is_empty();
        let args = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
        let theirs = server.kubectl(&args, &object.to_string());
        assert_eq!(ours, theirs.is_err(), "{name}: the server says {theirs:?}");
    }
}

/// Objects that are sound, and the same with one thing wrong.
fn crooked() -> Vec<(&'static str, Value)> {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {
                    "containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 80}], "env": [{"name": "A"}]}],
                },
            },
        },
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "a", "namespace": "default"},
        "roleRef": {"kind": "Role", "name": "a"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "default"}],
    });
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}});
    let class =
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "a"}});
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a", "namespace": "default"},
        "spec": {"minAvailable": "50%", "selector": {}},
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "default"},
        "spec": {"ports": [{"port": 80, "targetPort": "http"}], "selector": {"app": "a"}},
    });
    let with = |object: &Value, pointer: &str, value: Value| {
        let mut object = object.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap();
        match value {
            // Null takes the field away.
            Value::Null => drop(parent.as_object_mut().unwrap().remove(key)),
            value => parent[key] = value,
        }
        object
    };
    const CONTAINER: &str = "/spec/template/spec/containers/0";
    let container = |field: &str, value: Value| with(&deployment, &format!("{CONTAINER}/{field}"), value);
    vec![
        ("deployment", deployment.clone()),
        ("binding without apiGroup", binding.clone()),
        ("empty config map", map.clone()),
        ("class without value", class),
        ("budget", budget.clone()),
        ("service", service.clone()),
        ("limits as numbers", container("resources", json!({"limits": {"cpu": 1, "memory": 1000}}))),
        ("limits as booleans", container("resources", json!({"limits": {"cpu": true}}))),
        ("unknown in a container", container("imagee", json!("a"))),
        ("another case", container("Image", json!("a"))),
        ("no name", container("name", Value::Null)),
        ("args as text", container("args", json!("a"))),
        ("args as numbers", container("args", json!([1]))),
        ("env value as a number", container("env", json!([{"name": "A", "value": 1}]))),
        ("env value as a boolean", container("env", json!([{"name": "A", "value": true}]))),
        ("port as text", container("ports", json!([{"containerPort": "80"}]))),
        ("port as a fraction", container("ports", json!([{"containerPort": 80.5}]))),
        ("probe port as text", container("livenessProbe", json!({"httpGet": {"port": "http"}}))),
        ("probe port as a boolean", container("livenessProbe", json!({"httpGet": {"port": true}}))),
        ("replicas as text", with(&deployment, "/spec/replicas", json!("2"))),
        ("paused as text", with(&deployment, "/spec/paused", json!("true"))),
        ("no selector", with(&deployment, "/spec/selector", Value::Null)),
        ("no template", with(&deployment, "/spec/template", Value::Null)),
        ("unknown in spec", with(&deployment, "/spec/replica", json!(1))),
        ("unknown at the root", with(&deployment, "/specs", json!({}))),
        ("unknown in metadata", with(&deployment, "/metadata/label", json!({}))),
        ("label as a number", with(&deployment, "/metadata/labels", json!({"a": 1}))),
        ("annotation as a boolean", with(&deployment, "/metadata/annotations", json!({"a": true}))),
        ("data as a number", with(&map, "/data", json!({"a": 1}))),
        ("data as a list", with(&map, "/data", json!(["a"]))),
        ("immutable as text", with(&map, "/immutable", json!("yes"))),
        ("subjects as a map", with(&binding, "/subjects", json!({}))),
        ("role without a name", with(&binding, "/roleRef/name", Value::Null)),
        ("minAvailable as a number", with(&budget, "/spec/minAvailable", json!(1))),
        ("minAvailable as a fraction", with(&budget, "/spec/minAvailable", json!(0.5))),
        ("service port as text", with(&service, "/spec/ports/0/port", json!("80"))),
        ("target port as a number", with(&service, "/spec/ports/0/targetPort", json!(80))),
        ("selector of a service as a list", with(&service, "/spec/selector", json!([]))),
    ]
}

#[test]
fn a_definition_refuses_what_a_strict_server_refuses_by_it() {
    let server = Server::start();
    let schema = json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "required": ["mode", "filled"],
        "properties": {
            "mode": {"type": "string", "enum": ["a", "b"]},
            "filled": {"type": "string", "default": "x"},
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "ratio": {"type": "number", "exclusiveMinimum": true, "minimum": 0},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
            "on": {"type": "boolean"},
            "either": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
                "minItems": 1,
                "items": {"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}}}},
            "maybe": {"type": "string", "nullable": true},
            "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": true,
                "properties": {"spec": {"type": "object", "properties": {"x": {"type": "string"}}}}},
        },
    }}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    });
    server.kubectl(&["apply", "-f", "-"], &definition.to_string()).unwrap();
    server.kubectl(&["wait", "--for=condition=Established", "crd/widgets.example.org"], "").unwrap();
    let mut definitions = fairlead::schema::Definitions::default();
    definitions.add(&definition);
    let gvk = Gvk::new("example.org", "v1", "Widget");
    let mut wrong = Vec::new();
    for spec in [
        json!({"mode": "a"}),
        json!({}),
        json!({"mode": "c"}),
        json!({"mode": null}),
        json!({"mode": "a", "filled": null}),
        json!({"mode": "a", "extra": 1}),
        json!({"mode": "a", "size": 1}),
        json!({"mode": "a", "size": 0}),
        json!({"mode": "a", "size": 10}),
        json!({"mode": "a", "size": 2.0}),
        json!({"mode": "a", "size": 2.5}),
        json!({"mode": "a", "size": "2"}),
        json!({"mode": "a", "size": null}),
        json!({"mode": "a", "ratio": 0.5}),
        json!({"mode": "a", "ratio": 0}),
        json!({"mode": "a", "name": "abc"}),
        json!({"mode": "a", "name": "abcd"}),
        json!({"mode": "a", "name": "A"}),
        json!({"mode": "a", "on": "true"}),
        json!({"mode": "a", "either": "25%"}),
        json!({"mode": "a", "either": 25}),
        json!({"mode": "a", "either": true}),
        json!({"mode": "a", "free": {"x": {"y": 1}}}),
        json!({"mode": "a", "free": []}),
        json!({"mode": "a", "labels": {"a": "b"}}),
        json!({"mode": "a", "labels": {"a": 1}}),
        json!({"mode": "a", "labels": {"a": "1", "b": "2", "c": "3"}}),
        json!({"mode": "a", "set": ["x", "y"]}),
        json!({"mode": "a", "set": ["x", "x"]}),
        json!({"mode": "a", "set": [1]}),
        json!({"mode": "a", "set": [null]}),
        json!({"mode": "a", "ports": [{"port": 1}, {"port": 2}]}),
        json!({"mode": "a", "ports": [{"port": 1}, {"port": 1}]}),
        json!({"mode": "a", "ports": [{}]}),
        json!({"mode": "a", "ports": []}),
        json!({"mode": "a", "maybe": null}),
        json!({"mode": "a", "one": {"a": "x"}}),
        json!({"mode": "a", "one": {}}),
        json!({"mode": "a", "one": {"a": "x", "b": "x"}}),
        json!({"mode": "a", "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"x": "y"}}}),
        json!({"mode": "a", "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"z": "y"}}}),
    ] {
        let object = json!({"apiVersion": "example.org/v1", "kind": "Widget",
            "metadata": {"name": "w", "namespace": "default"}, "spec": spec});
        let asked = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
        let said = server.kubectl(&asked, &object.to_string());
        let found = definitions.check(&gvk, &object);
        if said.is_err() == found.is_empty() {
            wrong.push(format!("{spec}: the server says {said:?}, we find {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
