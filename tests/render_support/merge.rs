//! Patches by tables: the appendix of RFC 7386, and each kind of list with each directive.

use std::path::Path;

use fairlead::object::{MemoryTree, TreePath};
use fairlead::render::{Limits, build};
use serde_json::{Value, json};

use crate::support::{Verdict, compare, judge};
use crate::tools::tool;

const KUSTOMIZATION: &str = "resources: [object.yaml]\npatches: [{path: patch.yaml}]\n";

fn render(object: &Value, patch: &Value) -> Verdict {
    let (object, patch) = (object.to_string(), patch.to_string());
    let files = [("kustomization.yaml", KUSTOMIZATION), ("object.yaml", &object), ("patch.yaml", &patch)];
    let tree = MemoryTree::new(files).expect("paths are paths");
    match build(&tree, &TreePath::root(), &Limits::default()) {
        Ok((objects, _)) => Verdict::Objects(objects.into_iter().map(|object| object.value()).collect()),
        Err(problems) => Verdict::Refused(problems.to_string()),
    }
}

fn by_the_judge(kustomize: &Path, object: &Value, patch: &Value) -> Verdict {
    let root = tempfile::tempdir().expect("a scratch folder");
    let write = |name: &str, text: String| {
        std::fs::write(Path::new(root.path()).join(name), text).expect("it is written")
    };
    write("kustomization.yaml", KUSTOMIZATION.to_owned());
    write("object.yaml", object.to_string());
    write("patch.yaml", patch.to_string());
    judge(kustomize, root.path(), "")
}

/// What no schema is known of merges as RFC 7386 says, but that a value does not become one of another kind.
#[test]
fn custom_resources_merge_as_rfc_7386_says() {
    let wrap = |x: Value| json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"x": x, "keep": 1}});
    let kustomize = tool("FAIRLEAD_KUSTOMIZE");
    // The rows of appendix A that have a map to stand in.
    for (object, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), Some(json!({"a": "c"}))),
        (json!({"a": "b"}), json!({"b": "c"}), Some(json!({"a": "b", "b": "c"}))),
        (json!({"a": "b"}), json!({"a": null}), Some(json!({}))),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), Some(json!({"b": "c"}))),
        (json!({"a": ["b"]}), json!({"a": "c"}), None),
        (json!({"a": "c"}), json!({"a": ["b"]}), None),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), Some(json!({"a": {"b": "d"}}))),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), Some(json!({"a": [1]}))),
        (json!(["a", "b"]), json!(["c", "d"]), Some(json!(["c", "d"]))),
        (json!({"a": "b"}), json!(["c"]), None),
        (json!({"a": "foo"}), json!("bar"), None),
        (json!({"e": null}), json!({"a": 1}), Some(json!({"e": null, "a": 1}))),
        (json!([1, 2]), json!({"a": "b", "c": null}), None),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), Some(json!({"a": {"bb": {}}}))),
    ] {
        let (object, patch) = (wrap(object), wrap(patch));
        let ours = render(&object, &patch);
        let wanted = match result {
            Some(result) => Verdict::Objects(vec![wrap(result)]),
            None => Verdict::Refused("another kind of value".to_owned()),
        };
        compare(&ours, &wanted).unwrap_or_else(|difference| panic!("{patch} on {object}: {difference}"));
        let theirs = by_the_judge(&kustomize, &object, &patch);
        compare(&ours, &theirs)
            .unwrap_or_else(|difference| panic!("{patch} on {object}: the judge: {difference}"));
    }
}

/// Lists of every kind: by one key, by two, of plain values that merge, of plain values and of maps that do not, and of
/// kinds that nobody knows; and what a patch can say to each.
#[test]
fn every_kind_of_list_takes_each_directive_as_the_judge_says() {
    let kustomize = tool("FAIRLEAD_KUSTOMIZE");
    let pod = |key: &str, list: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {key: list}});
    let container = |key: &str, list: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "c", key: list}]}})
    };
    let service = |list: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": list}});
    let finalizers = |list: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": list}});
    let thing = |list: Value| json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"list": list}});
    type Make<'a> = Box<dyn Fn(Value) -> Value + 'a>;
    // How to make the object, two items, one that is the first with a change, and a new one.
    let lists: Vec<(&str, Make<'_>, [Value; 4])> = vec![
        (
            "containers",
            Box::new(|list| pod("containers", list)),
            [
                json!({"name": "a", "image": "a:1", "tty": true}),
                json!({"name": "b", "image": "b:1"}),
                json!({"name": "a", "image": "a:2"}),
                json!({"name": "n", "image": "n:1"}),
            ],
        ),
        (
            "volumes",
            Box::new(|list| pod("volumes", list)),
            [
                json!({"name": "a", "emptyDir": {}}),
                json!({"name": "b", "configMap": {"name": "x"}}),
                json!({"name": "a", "emptyDir": {"medium": "Memory"}}),
                json!({"name": "n", "secret": {"secretName": "s"}}),
            ],
        ),
        (
            "env",
            Box::new(|list| container("env", list)),
            [
                json!({"name": "A", "value": "1"}),
                json!({"name": "B", "value": "2"}),
                json!({"name": "A", "value": "3"}),
                json!({"name": "N", "value": "4"}),
            ],
        ),
        (
            "volumeMounts",
            Box::new(|list| container("volumeMounts", list)),
            [
                json!({"mountPath": "/a", "name": "v"}),
                json!({"mountPath": "/b", "name": "v"}),
                json!({"mountPath": "/a", "name": "w"}),
                json!({"mountPath": "/n", "name": "v"}),
            ],
        ),
        (
            "containerPorts",
            Box::new(|list| container("ports", list)),
            [
                json!({"containerPort": 80, "protocol": "TCP", "name": "a"}),
                json!({"containerPort": 80, "protocol": "UDP", "name": "b"}),
                json!({"containerPort": 80, "protocol": "TCP", "name": "c"}),
                json!({"containerPort": 81, "protocol": "TCP", "name": "n"}),
            ],
        ),
        (
            "servicePorts",
            Box::new(service),
            [
                json!({"port": 80, "protocol": "TCP", "name": "a"}),
                json!({"port": 81, "protocol": "TCP", "name": "b"}),
                json!({"port": 80, "protocol": "TCP", "name": "c"}),
                json!({"port": 82, "protocol": "TCP", "name": "n"}),
            ],
        ),
        (
            "tolerations",
            Box::new(|list| pod("tolerations", list)),
            [
                json!({"key": "a", "operator": "Exists"}),
                json!({"key": "b", "operator": "Exists"}),
                json!({"key": "a", "operator": "Equal", "value": "x"}),
                json!({"key": "n"}),
            ],
        ),
        (
            "imagePullSecrets",
            Box::new(|list| pod("imagePullSecrets", list)),
            [json!({"name": "a"}), json!({"name": "b"}), json!({"name": "a"}), json!({"name": "n"})],
        ),
        ("finalizers", Box::new(finalizers), [json!("a"), json!("b"), json!("a"), json!("n")]),
        ("args", Box::new(|list| container("args", list)), [json!("a"), json!("b"), json!("a"), json!("n")]),
        (
            "custom",
            Box::new(thing),
            [
                json!({"name": "a", "x": 1, "y": 2}),
                json!({"name": "b", "x": 1}),
                json!({"name": "a", "x": 3}),
                json!({"name": "n"}),
            ],
        ),
        ("custom plain", Box::new(thing), [json!("a"), json!(2), json!("a"), json!("n")]),
    ];
    let (mut agree, mut chosen, mut failures) = (0, 0, Vec::new());
    for (name, make, [one, two, changed, new]) in &lists {
        let object = make(json!([one, two]));
        let with = |item: &Value, directive: &str| {
            let mut item = item.clone();
            if let Value::Object(map) = &mut item {
                map.insert("$patch".to_owned(), json!(directive));
            }
            item
        };
        for (what, list) in [
            ("a change", json!([changed])),
            ("a new item", json!([new])),
            ("both", json!([new, changed])),
            ("all in another order", json!([two, one])),
            ("nothing", json!([])),
            ("null", json!(null)),
            ("delete an item", json!([with(one, "delete")])),
            ("delete one that is not there", json!([with(new, "delete")])),
            ("delete and add", json!([with(one, "delete"), new])),
            ("merge an item", json!([with(changed, "merge")])),
            ("replace an item", json!([with(changed, "replace")])),
            ("replace the list", json!([{"$patch": "replace"}, new])),
            ("replace the list by nothing", json!([{"$patch": "replace"}])),
            ("delete the list", json!([{"$patch": "delete"}])),
            ("another kind of value", json!({"a": 1})),
        ] {
            let patch = make(list);
            let (mine, theirs) = (render(&object, &patch), by_the_judge(&kustomize, &object, &patch));
            match compare(&mine, &theirs) {
                Ok(()) => agree += 1,
                // What docs/overlays.md lists.
                Err(_) if crate::is_chosen(&mine, &theirs) => chosen += 1,
                Err(difference) => failures.push(format!("{name}, {what}: {difference}")),
            }
        }
    }
    println!("{agree} agree, {chosen} by our choice only, {} differ", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(agree > 100, "only {agree} agree");
}
