//! `fairlead rbac`: the rights that it prints are enough for an environment to come up, change, be put back and be pruned, and
//! each of them was needed for that.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment_of};
use crate::bed::{Bed, Proxy, Record, SOON, Setup, rbac, wait_until};

/// Group, resource, the object where it is of no namespace, and verb.
type Right = (String, String, Option<String>, String);

/// A Role that lets read, and its binding.
fn role(name: &str) -> String {
    format!(
        "---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}}}
rules: [{{apiGroups: [\"\"], resources: [endpoints], verbs: [get]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}
subjects: [{{kind: ServiceAccount, name: default, namespace: elsewhere}}]
"
    )
}

fn priority(name: &str) -> String {
    format!(
        "---\napiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {{name: {name}}}\nvalue: 1\n"
    )
}

fn hook(name: &str, marks: &str, image: &str) -> String {
    format!(
        "---
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, annotations: {{{marks}}}}}
spec:
  ttlSecondsAfterFinished: 600
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: main, image: {image:?}}}]
"
    )
}

const CLAIM: &str = "---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
";

/// What stays, in a version.
fn kept(bed: &str, version: &str) -> String {
    let image = format!("registry.example/web:{version}");
    configmap("a", version)
        + &deployment_of("web", 1, &image, "", &[])
        + &role("reads")
        + &priority(&format!("{bed}-a"))
        + &hook("migrate", "fairlead.dev/hook: before", &image)
        + &hook(
            "tidy",
            "helm.sh/hook: \"pre-install,pre-upgrade\", helm.sh/hook-delete-policy: hook-succeeded",
            &image,
        )
}

/// What leaves git in the end.
fn leaves(bed: &str) -> String {
    let second = deployment_of("second", 1, "registry.example/web:1", "", &[]);
    configmap("b", "1") + &second + &role("second") + &priority(&format!("{bed}-b"))
}

fn commit(bed: &Bed, manifests: &str) -> String {
    let (path, config) = bed.config(
        "{name: web, path: web}, {name: data, path: data}",
        "rollout: {timeout: 60s, prune: {max: 20, percent: 100}}",
    );
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests), ("data/all.yaml", CLAIM)])
}

/// The rights of Roles, one by one; but for what is never sent, and only lets the account write Roles and bindings: what these
/// grant, and that they may be bound.
fn said(roles: &Value) -> BTreeSet<Right> {
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    let rules =
        roles.as_array().unwrap().iter().flat_map(|role| role["rules"].as_array().into_iter().flatten());
    for rule in rules.filter(|rule| rule["resources"] != json!(["endpoints"])) {
        let names = list(&rule["resourceNames"]);
        let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
        for verb in list(&rule["verbs"]).into_iter().filter(|verb| verb != "bind") {
            for resource in list(&rule["resources"]) {
                for name in &names {
                    let group = list(&rule["apiGroups"])[0].clone();
                    all.insert((group, resource.clone(), name.clone(), verb.clone()));
                }
            }
        }
    }
    all
}

/// The rights that a request took.
fn taken(record: &Record) -> Vec<Right> {
    let parts: Vec<&str> = record.path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        other => panic!("{other:?}"),
    };
    let (resource, name) = match rest {
        ["namespaces", _, resource, ..] => (*resource, None),
        [resource, name] => (*resource, Some((*name).to_owned())),
        other => panic!("{other:?}"),
    };
    let verbs: &[&str] = match (record.method.as_str(), record.status) {
        // What an apply makes takes both.
        ("PATCH", Some(201)) => &["patch", "create"],
        ("PATCH", _) => &["patch"],
        ("POST", _) => &["create"],
        ("DELETE", _) => &["delete"],
        other => panic!("{other:?}"),
    };
    verbs.iter().map(|&verb| (group.to_owned(), resource.to_owned(), name.clone(), verb.to_owned())).collect()
}

/// What was written as the account.
fn writes(bed: &Bed, proxy: &Proxy) -> Vec<Record> {
    let account = format!("system:serviceaccount:{}:deployer", bed.deployers);
    let mut records = proxy.records();
    records.retain(|record| record.identity.as_deref() == Some(&account) && record.method != "GET");
    records
}

fn image(bed: &Bed) -> Value {
    bed.deployment("web").unwrap_or_default()["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

#[test]
fn the_rights_that_are_printed_are_enough_and_each_is_needed() {
    let bed = Setup::new("rights")
        .grant_kind("PriorityClass", "scheduling.k8s.io", "priorityclasses")
        .without_rights();
    let bed = bed.make();
    let all = kept(&bed.name, "1") + &leaves(&bed.name);
    let first = commit(&bed, &all);
    let printed = bed.fairlead_here(&["rbac", "--env", &bed.name]).ok().stdout;
    let rights = bed.fairlead_here(&["rbac", "--env", &bed.name, "-o", "json"]).ok().json();

    // The same where no cluster is asked.
    let environment = bed.cache().with_file_name("environment.yaml");
    std::fs::write(&environment, bed.kubectl(&["get", "environment", &bed.name, "-o", "yaml"]).ok().stdout)
        .unwrap();
    let environment = environment.to_str().unwrap();
    let offline =
        bed.fairlead_here(&["rbac", "--env", &bed.name, "--environment-file", environment]).ok().stdout;
    assert_eq!(offline, printed);

    let file = bed.cache().with_file_name("rights.yaml");
    std::fs::write(&file, &printed).unwrap();
    bed.kubectl(&["apply", "--server-side", "-f", file.to_str().unwrap()]).ok();
    rbac::allowed(
        bed.api(),
        (&bed.deployers, "deployer"),
        &json!({"verb": "patch", "group": "rbac.authorization.k8s.io", "resource": "roles", "namespace": bed.name}),
    );
    let class = format!("{}-b", bed.name);
    rbac::allowed(
        bed.api(),
        (&bed.deployers, "deployer"),
        &json!({"verb": "create", "group": "scheduling.k8s.io", "resource": "priorityclasses", "name": class}),
    );

    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    bed.wait_ready(&first);
    bed.wait_ready(&commit(&bed, &(kept(&bed.name, "2") + &leaves(&bed.name))));
    assert_eq!(image(&bed), "registry.example/web:2");
    bed.set_by_hand("a");
    wait_until(SOON, "it is put back", || bed.configmap("a").unwrap()["data"]["value"] == "2");
    bed.wait_ready(&commit(&bed, &kept(&bed.name, "2")));
    wait_until(SOON, "what left git is gone", || {
        let class = bed.api().get(&format!("/apis/scheduling.k8s.io/v1/priorityclasses/{class}"));
        let role = bed.get("rbac.authorization.k8s.io/v1", "roles", "second");
        class.is_none()
            && role.is_none()
            && bed.configmap("b").is_none()
            && bed.deployment("second").is_none()
    });

    let writes = writes(&bed, &proxy);
    let refused: Vec<String> =
        writes.iter().filter(|record| record.status == Some(403)).map(ToString::to_string).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<Right> = writes.iter().flat_map(taken).collect();
    let said = said(&rights);
    let gone = |right: &Right| right.2.as_deref() == Some(&*format!("{}-a", bed.name)) && right.3 == "delete";
    let unused: Vec<&Right> = said.difference(&used).filter(|right| !gone(right)).collect();
    assert!(unused.is_empty(), "nothing took {unused:?} of\n{printed}");
    let unsaid: Vec<&Right> = used.difference(&said).collect();
    assert!(unsaid.is_empty(), "{unsaid:?} is not in\n{printed}");
}
