//! `fairlead report`: what a change does, from its files alone and against a real cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bed::manifests::{configmap, deployment, deployment_of};
use crate::bed::moto::moto;
use crate::bed::{Bed, Repo, Said, fairlead};

const CANARY: &str = "c4n4ry-51f0aa";

/// A repository of two environments with two apps each.
fn repo() -> Repo {
    let repo = Repo::default();
    let config = "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: [{name: web, path: web}, {name: api, path: api}]\n";
    for environment in ["dev", "prod"] {
        repo.write(format!("environments/{environment}/environment.yaml"), config.as_bytes());
    }
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData: {{password: {CANARY}}}\n"
    );
    repo.write("web/all.yaml", (deployment("web", &[]) + &configmap("settings", "1") + &secret).as_bytes());
    repo.write("api/all.yaml", configmap("api", "1").as_bytes());
    repo.push("main");
    repo.git(&["branch", "base"]);
    repo
}

fn report(repo: &Repo, arguments: &[&str]) -> Said {
    let mut command = fairlead();
    command.arg("report").args(arguments).arg("--repo").arg(repo.work());
    command.output().expect("the binary runs").into()
}

const OFFLINE: [&str; 3] = ["--offline", "--against", "base"];

fn offline(repo: &Repo, more: &[&str]) -> Said {
    report(repo, &[&OFFLINE, more].concat())
}

/// What is told of one environment in JSON.
fn one<'a>(report: &'a Value, environment: &str) -> &'a Value {
    let all = report["environments"].as_array().expect("environments");
    all.iter().find(|one| one["environment"] == environment).expect("it is among them")
}

fn classes(environment: &Value) -> Vec<String> {
    let risks = environment["risks"].as_array().expect("risks");
    risks.iter().map(|risk| risk["class"].as_str().expect("a class").to_owned()).collect()
}

#[test]
fn the_files_alone_say_what_changes() {
    let repo = repo();
    let same = offline(&repo, &[]);
    assert_eq!(same.code, 0, "{same:?}");
    assert!(same.stdout.contains("nothing changes"), "{same:?}");

    let secret =
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: another-4711}\n";
    let web = deployment_of("web", 0, "registry.example/web:2", "", &[]) + secret;
    repo.write("web/all.yaml", web.as_bytes());
    let said = offline(&repo, &["--env", "dev"]);
    assert_eq!(said.code, 3, "{said:?}");
    for words in [
        "<!-- fairlead:report cluster= environments=dev -->",
        "**Error** `scaledToZero` `web`",
        "**Warning** `deletes` `web`: ConfigMap `default/settings` is deleted (`web/all.yaml:",
        "`imageMajor`",
        "@@ .data.password @@\n- (hidden)\n+ (hidden)",
        "@@ .spec.replicas @@\n- 1\n+ 0",
        "the files as they lie in the folder",
        "the merge base of",
    ] {
        assert!(said.stdout.contains(words), "no {words:?} in:\n{}", said.stdout);
    }
    let json = offline(&repo, &["--format", "json"]);
    let found = json.json();
    for environment in ["dev", "prod"] {
        let one = one(&found, environment);
        assert_eq!(
            (&one["counts"]["update"], &one["counts"]["delete"], &one["live"]),
            (&json!(2), &json!(1), &json!(false))
        );
        assert_eq!(one["apps"].as_array().map(Vec::len), Some(1), "the other app is as it was");
    }
    let sarif = offline(&repo, &["--format", "sarif"]);
    let results = sarif.json()["runs"][0]["results"].clone();
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "web/all.yaml");
    for said in [&said, &json, &sarif] {
        assert!(!format!("{said:?}").contains(CANARY) && !format!("{said:?}").contains("another-4711"));
    }

    // The same of commits, with and without what others merged meanwhile.
    repo.git(&["checkout", "--quiet", "-b", "change"]);
    repo.push("change");
    let committed = offline(&repo, &["--env", "dev", "--rev", "change"]);
    assert_eq!(committed.code, 3, "{committed:?}");
    repo.git(&["checkout", "--quiet", "base"]);
    repo.write("api/all.yaml", configmap("api", "2").as_bytes());
    repo.push("base");
    let parted = offline(&repo, &["--env", "dev", "--rev", "change", "--format", "json"]).json();
    assert_eq!(
        one(&parted, "dev")["apps"].as_array().map(Vec::len),
        Some(1),
        "what others merged is not told"
    );
}

#[test]
fn exit_codes_say_what_ci_asks_for() {
    let repo = repo();
    repo.write("web/all.yaml", deployment_of("web", 0, "registry.example/web:1", "", &[]).as_bytes());
    for (fail_on, code) in
        [("scaledToZero", 4), ("error", 4), ("note", 4), ("widensRbac", 3), ("immutable", 3)]
    {
        let said = offline(&repo, &["--env", "dev", "--fail-on", fail_on]);
        assert_eq!(said.code, code, "{fail_on}: {said:?}");
    }
    let wrong = offline(&repo, &["--fail-on", "nothing"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("scaledToZero"), "{wrong:?}");

    repo.write("web/all.yaml", b"apiVersion: v1\nkind: [\n");
    let broken = offline(&repo, &["--env", "dev"]);
    assert_eq!(broken.code, 2, "{broken:?}");
    assert!(
        broken.stdout.contains("`broken`") && broken.stdout.contains("web/all.yaml:"),
        "{}",
        broken.stdout
    );
    assert!(broken.stdout.contains("| `dev` | 0 | 0 | 0 | 0 |"), "nothing is deleted:\n{}", broken.stdout);

    for (arguments, words) in [
        (&["--offline", "--against", "nowhere"][..], "nowhere"),
        (&["--offline", "--against", "base", "--limit", "10"], "10000"),
        (&["--offline"], "--against"),
    ] {
        let said = report(&repo, arguments);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains(words), "{said:?}");
    }
    let none = offline(&repo, &["--env", "nowhere", "--format", "json"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.stdout.contains("environments/nowhere/environment.yaml"), "{none:?}");
}

#[test]
fn limits_of_the_platform_count_without_a_cluster() {
    let repo = repo();
    repo.write(
        "platform.yaml",
        b"apiVersion: fairlead.dev/v1alpha1\nkind: Environment\nmetadata: {name: dev}\nspec:\n  source: {url: 'https://git.example/x', branch: main}\n  \
          serviceAccount: {namespace: a, name: b}\n  namespaces: [web]\n  registries: [registry.example]\n",
    );
    let file = repo.work().join("platform.yaml");
    let file = file.to_str().expect("UTF-8");
    repo.write("web/all.yaml", deployment_of("web", 1, "other.example/web:1", "", &[]).as_bytes());
    let said = offline(&repo, &["--env", "dev", "--environment-file", file, "--format", "json"]);
    assert_eq!(said.code, 2, "{said:?}");
    let found = said.json();
    let dev = one(&found, "dev");
    let policy = dev["risks"].as_array().expect("risks").iter().find(|risk| risk["class"] == "policy");
    let policy = policy.expect("the registry is not allowed");
    assert_eq!(
        (&policy["place"]["path"], &policy["object"]),
        (&json!("web/all.yaml"), &json!("Deployment.apps web/web"))
    );
    assert_eq!(dev["apps"][0]["state"], "broken");
    assert!(
        dev["apps"][0]["objects"].as_array().is_some_and(|objects| !objects.is_empty()),
        "it is shown all the same"
    );
}

#[test]
fn a_change_is_compared_with_the_cluster_and_drift_is_told_apart() {
    let bed = Bed::new("report");
    let web = configmap("settings", "1") + &configmap("old", "1") + &deployment("web", &[]);
    let agent = bed.agent();
    let revision = bed.commit_apps(&[("web", &web), ("other", &configmap("other", "1"))]);
    bed.wait_ready(&revision);
    drop(agent);
    bed.repo.git(&["branch", "base"]);
    // Somebody changes what git has: in what the change touches, and beside it in the same app and in another.
    bed.api().merge(
        &format!("/api/v1/namespaces/{}/configmaps/settings", bed.name),
        &json!({"data": {"value": "by hand"}}),
    );
    bed.api().merge(
        &format!("/apis/apps/v1/namespaces/{}/deployments/web", bed.name),
        &json!({"spec": {"replicas": 3}}),
    );
    bed.api().create(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all", "namespace": bed.name},
        "spec": {"hard": {"configmaps": "4"}},
    }));
    crate::bed::wait_until(crate::bed::SOON, "the quota is counted", || {
        let quota = bed.get("v1", "resourcequotas", "all").unwrap_or_default();
        quota["status"]["used"]["configmaps"].is_string()
    });
    let more = (0..4).map(|n| configmap(&format!("more-{n}"), "1")).collect::<String>();
    let needs = deployment("web", &[]).replace("image: ", "envFrom: [{secretRef: {name: nowhere}}], image: ");
    bed.repo.write("web/all.yaml", (configmap("settings", "2") + &needs + &more).as_bytes());
    let arguments =
        ["report", "--env", &bed.name, "--against", "base", "--cluster", "bed", "--format", "json"];
    let said = bed.fairlead_here(&arguments);
    // What the quota does not let is refused by the server, too, or found by the rule.
    assert!(matches!(said.code, 2 | 3), "{said:?}");
    let found = said.json();
    let one = one(&found, &bed.name);
    assert_eq!((&one["live"], &found["cluster"]), (&json!(true), &json!("bed")));
    let told = classes(one);
    for class in ["deletes", "quotaExceeded", "secretMissing"] {
        assert!(told.iter().any(|told| told == class), "no {class} in {told:?}");
    }
    let drift: BTreeMap<&str, &Value> = one["drift"]
        .as_array()
        .expect("drift")
        .iter()
        .map(|drift| (drift["object"].as_str().expect("an object"), drift))
        .collect();
    let settings = drift[&*format!("ConfigMap {}/settings", bed.name)];
    assert_eq!(
        (&settings["cause"], &settings["changes"][0]["before"]),
        (&json!("changed"), &json!("by hand"))
    );
    let deployment = drift[&*format!("Deployment.apps {}/web", bed.name)];
    let paths: Vec<&Value> =
        deployment["changes"].as_array().expect("changes").iter().map(|change| &change["path"]).collect();
    assert_eq!(paths, [&json!(".spec.replicas")], "{deployment:#}");
    assert!(!drift.keys().any(|object| object.ends_with("/other")), "of another app nothing is asked");
    let gone = format!("ConfigMap {}/old", bed.name);
    assert!(
        one["prune"]["objects"].as_array().is_some_and(|all| all.iter().any(|one| one["object"] == gone)),
        "{one:#}"
    );
    assert_eq!(
        bed.configmap("settings").expect("it is there")["data"]["value"],
        "by hand",
        "nothing is written"
    );

    let text = bed.fairlead_here(&["report", "--env", &bed.name, "--against", "base"]).stdout;
    assert!(text.contains("### Otherwise in the cluster") && text.contains("- by hand\n"), "{text}");
    let offline = bed.fairlead_here(&["report", "--env", &bed.name, "--against", "base", "--offline"]).stdout;
    assert!(!offline.contains("by hand") && !offline.contains("Otherwise in the cluster"), "{offline}");

    bed.patch_environment(&json!({"spec": {"suspended": true}}));
    let suspended = bed.fairlead_here(&arguments).json();
    assert!(classes(self::one(&suspended, &bed.name)).iter().any(|told| told == "willNotRollOut"));

    // A cluster that does not answer is an error, and not a report without it.
    let mut away = fairlead();
    let kubeconfig = bed.repo.work().join("../away.kubeconfig");
    std::fs::write(
        &kubeconfig,
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n\
         users: [{name: a, user: {}}]\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}]\n",
    )
    .expect("it is written");
    away.args(["report", "--against", "base", "--env", &bed.name, "--kubeconfig"])
        .arg(&kubeconfig)
        .arg("--repo");
    let away: Said = away.arg(bed.repo.work()).output().expect("the binary runs").into();
    assert_eq!(away.code, 1, "{away:?}");
    assert!(away.stderr.contains("--offline"), "{away:?}");
}

#[test]
fn secrets_show_versions_and_no_values() {
    let bed = Bed::new("report-secrets");
    let (name, moto) = (bed.name.clone(), moto());
    bed.patch_environment(&json!({"spec": {"secrets": [format!("{name}/*")]}}));
    let version = moto.put(&format!("{name}/db"), CANARY);
    let secret = |reference: &str, more: &str| {
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData: {{password: '${{aws-sm:{name}/{reference}}}'{more}}}\n"
        )
    };
    let environment = moto.environment();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let agent = bed.agent_with(&environment);
    let revision = bed.commit_web(&secret("db", ""));
    bed.wait_ready(&revision);
    drop(agent);
    bed.repo.git(&["branch", "base"]);
    let after =
        secret("other", &format!(", plain: {CANARY}-2")) + &configmap("copy", &format!("x {CANARY}-2 y"));
    bed.repo.write("web/all.yaml", after.as_bytes());
    let mut all = String::new();
    for format in ["markdown", "json", "sarif"] {
        let mut command = fairlead();
        command.env("KUBECONFIG", &bed.control_plane().kubeconfig).envs(environment.iter().copied());
        command.args(["report", "--env", &name, "--against", "base", "--check-secrets", "--format", format]);
        let said: Said = command.arg("--repo").arg(bed.repo.work()).output().expect("the binary runs").into();
        assert_eq!(said.code, 3, "{said:?}");
        if format == "json" {
            let found = said.json();
            let one = one(&found, &name);
            let objects = one["apps"][0]["objects"].as_array().expect("objects");
            let secret = objects
                .iter()
                .find(|one| one["object"] == format!("Secret {name}/db"))
                .expect("it is changed");
            let used = secret["secrets"].as_array().expect("secrets");
            assert!(
                used.iter()
                    .any(|one| one["before"] == format!("version {version}") && one["after"].is_null()),
                "{secret:#}"
            );
            assert!(used.iter().any(|one| one["after"] == "referred to"), "{secret:#}");
            assert!(classes(one).iter().any(|class| class == "secretUnreadable"), "{one:#}");
        }
        all.push_str(&format!("{said:?}"));
    }
    for hidden in [CANARY.to_owned(), STANDARD.encode(CANARY), STANDARD.encode(format!("{CANARY}-2"))] {
        assert!(!all.contains(&hidden), "{hidden}: {all}");
    }
}

/// The objects of a folder, as kustomize builds them.
fn built(repo: &Repo, revision: &str, folder: &str) -> BTreeMap<String, Value> {
    let kustomize = std::env::var_os("FAIRLEAD_KUSTOMIZE")
        .expect("FAIRLEAD_KUSTOMIZE is not set: `source make/tools.sh` says where it is");
    let place = tempfile::TempDir::new().expect("a temporary folder");
    let place = place.path().join("tree");
    repo.git(&["worktree", "add", "--quiet", "--detach", place.to_str().expect("UTF-8"), revision]);
    let output =
        Command::new(kustomize).arg("build").arg(place.join(folder)).output().expect("kustomize runs");
    repo.git(&["worktree", "remove", "--force", place.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = fairlead::object::TreePath::root();
    let limits = fairlead::yaml::Limits::default();
    let documents = fairlead::yaml::read(&output.stdout, &path, fairlead::yaml::Dialect::Kubectl, &limits);
    let key = |object: &Value| {
        let gvk = fairlead::object::Gvk::from_api_version(
            object["apiVersion"].as_str().unwrap_or_default(),
            object["kind"].as_str().unwrap_or_default(),
        );
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or("default");
        let name = metadata["name"].as_str().unwrap_or_default();
        fairlead::object::ObjectKey::new(&gvk.group, &gvk.kind, Some(namespace), name).to_string()
    };
    let documents = documents.expect("kustomize writes YAML");
    documents.iter().map(|document| (key(document.value()), document.value().clone())).collect()
}

#[test]
fn what_a_history_changes_is_what_differs_in_kustomizes_builds() {
    let repo = Repo::default();
    let config = "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: [{name: web, path: overlays/dev}]\n";
    repo.write("environments/dev/environment.yaml", config.as_bytes());
    let base = |resources: &str| format!("resources: [{resources}]\nlabels: [{{pairs: {{team: a}}}}]\n");
    let overlay = |more: &str| format!("resources: [../../base]\nnamePrefix: dev-\n{more}");
    repo.write("base/kustomization.yaml", base("web.yaml, map.yaml").as_bytes());
    repo.write(
        "base/web.yaml",
        deployment("web", &[])
            .replace("image: ", "envFrom: [{configMapRef: {name: settings}}], image: ")
            .as_bytes(),
    );
    repo.write("base/map.yaml", (configmap("settings", "1") + &configmap("other", "1")).as_bytes());
    repo.write("overlays/dev/kustomization.yaml", overlay("").as_bytes());
    repo.push("main");
    let generator = "configMapGenerator: [{name: made, literals: [a=1]}]\n";
    let steps: Vec<Vec<(&str, String)>> = vec![
        vec![("base/map.yaml", configmap("settings", "2") + &configmap("other", "1"))],
        vec![("overlays/dev/kustomization.yaml", overlay(generator))],
        vec![("overlays/dev/kustomization.yaml", overlay(&generator.replace("a=1", "a=2")))],
        vec![(
            "overlays/dev/kustomization.yaml",
            overlay(&format!("{generator}images: [{{name: registry.example/web, newTag: '2'}}]\n")),
        )],
        vec![("base/kustomization.yaml", base("web.yaml, map.yaml").replace("team: a", "team: b"))],
        vec![("base/map.yaml", configmap("other", "1"))],
        vec![("README.md", "nothing of an app".to_owned())],
        vec![("overlays/dev/kustomization.yaml", overlay("namespace: elsewhere\n"))],
        vec![
            ("base/kustomization.yaml", base("web.yaml")),
            ("base/web.yaml", deployment("web", &[]).replace("replicas: 1", "replicas: 2")),
        ],
    ];
    let mut seen = 0;
    for files in steps {
        let parent = repo.git(&["rev-parse", "HEAD"]);
        for (path, content) in &files {
            repo.write(path, content.as_bytes());
        }
        let child = repo.push("main");
        let found =
            report(&repo, &["--offline", "--against", &parent, "--rev", &child, "--format", "json"]).json();
        let told: BTreeSet<String> = one(&found, "dev")["apps"]
            .as_array()
            .expect("apps")
            .iter()
            .flat_map(|app| app["objects"].as_array().cloned().unwrap_or_default())
            .filter(|object| object["action"] != "restart")
            .map(|object| object["object"].as_str().expect("an object").to_owned())
            .collect();
        let (before, after) = (built(&repo, &parent, "overlays/dev"), built(&repo, &child, "overlays/dev"));
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let differ: BTreeSet<String> =
            all.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect();
        assert_eq!(told, differ, "{files:?}");
        seen += differ.len();
    }
    assert!(seen > 10, "{seen}");
}
