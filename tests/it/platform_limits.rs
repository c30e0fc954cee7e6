//! The platform's limits, with two teams of which one is hostile: nothing that today's Environment does not let is written,
//! healed, put back or deleted, and the other team does not notice.

use serde_json::{Value, json};

use crate::bed::manifests::{annotated_configmap, configmap, deployment, deployment_of};
use crate::bed::rbac::{NAMESPACE, STATE_NAMESPACE};
use crate::bed::{Bed, SECOND, SOON, Setup, fairlead, holds_for, wait_until};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn configmaps(count: usize) -> String {
    (0..count).map(|n| configmap(&format!("c{n:02}"), "1")).collect()
}

/// A namespace beside that of an environment, in which its account may write as in its own.
fn namespace(bed: &Bed, name: &str) {
    let api = bed.api();
    api.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    open(bed, name);
}

fn open(bed: &Bed, namespace: &str) {
    let api = bed.api();
    let role = format!("{}-writes", bed.name);
    let metadata = json!({"name": role, "namespace": namespace});
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch", "delete"]}],
    }));
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": bed.deployers}],
    }));
}

fn configmap_in(namespace: &str, name: &str, value: &str) -> String {
    configmap(name, value).replace("metadata: {", &format!("metadata: {{namespace: {namespace}, "))
}

fn value_in(bed: &Bed, namespace: &str, name: &str) -> Option<String> {
    let found = bed.api().get(&format!("/api/v1/namespaces/{namespace}/configmaps/{name}"))?;
    Some(found["data"]["value"].as_str().unwrap_or_default().to_owned())
}

fn set_in(bed: &Bed, namespace: &str, name: &str, value: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    bed.api().merge(&path, &json!({"data": {"value": value}}));
}

fn left(bed: &Bed) -> usize {
    let all = bed.api().get(&format!("/api/v1/namespaces/{}/configmaps", bed.name)).expect("a list");
    let ours = |item: &&Value| item["metadata"]["name"].as_str().is_some_and(|name| name.starts_with('c'));
    all["items"].as_array().expect("items").iter().filter(ours).count()
}

/// Commits one app of these manifests, and a budget.
fn commit_with_budget(bed: &Bed, manifests: &str, budget: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", &format!("rollout: {{prune: {budget}}}"));
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

fn message(bed: &Bed) -> String {
    bed.status()["prune"]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_commit_that_raises_its_budget_deletes_nothing_by_itself() {
    let bed = Bed::new("raise");
    let agent = bed.agent();
    bed.wait_ready(&bed.commit_web(&configmaps(40)));
    let all = "{max: 100000, percent: 100}";
    let raising = commit_with_budget(&bed, &configmaps(1), all);
    bed.wait_ready(&raising);
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    assert!(message(&bed).contains("counts from the next one on"), "{}", message(&bed));
    holds_for(3 * SECOND, "nothing goes", || left(&bed) == 40);
    // Nor after a restart, which has to remember that the commit raised it.
    agent.terminate();
    agent.wait(SOON);
    let _agent = bed.agent();
    wait_until(SOON, "it asks again", || bed.status()["prune"]["halted"] == true);
    holds_for(3 * SECOND, "nothing goes", || left(&bed) == 40);
    commit_with_budget(&bed, &configmap("c00", "2"), all);
    wait_until(SOON, "the next commit may", || left(&bed) == 1);
}

#[test]
fn git_narrows_the_budget_of_the_platform_and_never_widens_it() {
    let bed = Setup::new("budget").limits(json!({"prune": {"max": 5, "percent": 50}})).make();
    let _agent = bed.agent();
    let all = "{max: 100000, percent: 100}";
    bed.wait_ready(&commit_with_budget(&bed, &configmaps(40), all));
    bed.wait_ready(&commit_with_budget(&bed, &configmaps(34), all));
    wait_until(SOON, "it asks", || bed.status()["prune"]["halted"] == true);
    assert!(message(&bed).contains("5 may be") && message(&bed).contains("spec.prune"), "{}", message(&bed));
    holds_for(3 * SECOND, "nothing goes", || left(&bed) == 40);
    bed.wait_ready(&commit_with_budget(&bed, &configmaps(36), all));
    wait_until(SOON, "four may go", || left(&bed) == 36);
    bed.wait_ready(&commit_with_budget(&bed, &configmaps(34), "{max: 1, percent: 100}"));
    wait_until(SOON, "git asks for less", || message(&bed).contains("1 may be"));
    assert_eq!(left(&bed), 36);
    bed.fairlead(&["approve", "--env", &bed.name]).ok();
    wait_until(SOON, "a person's word goes beyond", || left(&bed) == 34);
}

#[test]
fn what_the_platform_forbids_is_refused_at_its_line_by_validate_plan_and_agent() {
    let limits = json!({
        "kinds": {"denied": ["RoleBinding.rbac.authorization.k8s.io", "*.networking.k8s.io"]},
        "registries": ["registry.example/team"], "chartHosts": ["charts.example"],
        "policies": [
            {"name": "digests-only"}, {"name": "limits-set", "severity": "warn"},
            {"name": "owner", "expression": "metadata.labels.owner != ''", "message": "say who owns it",
             "match": {"kinds": ["ConfigMap"]}},
        ],
    });
    let hostile = Setup::new("hostile").limits(limits).make();
    let other = Bed::new("peaceful");
    let _agent = hostile.agent_of(&[&hostile.name, &other.name]);
    let image = format!("registry.example/team/web@{DIGEST}");
    let good = deployment_of("web", 1, &image, "", &[]);
    let owned = configmap("settings", "1").replace("metadata: {", "metadata: {labels: {owner: ada}, ");
    hostile.wait_ready(&hostile.commit_web(&(good.clone() + &owned)));
    hostile.wait_events("PolicyWarning", 1);

    let binding = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: all}\n\
                   roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n\
                   subjects: [{kind: ServiceAccount, name: default}]\n";
    let cron = "---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: night}\nspec:\n  schedule: '0 0 * * *'\n  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: registry.example/team-evil/x:1}]}}}}\n";
    let initial = good.replace(
        "      containers:",
        "      initContainers: [{name: first, image: busybox}]\n      containers:",
    );
    let bad = owned.clone() + binding + cron + &initial + &configmap("unowned", "1");
    hostile.commit_web(&bad);
    hostile.wait_app("web", "Refused");
    let told = hostile.app("web").to_string();
    let found = [
        (
            "web/all.yaml:7",
            "RoleBinding.rbac.authorization.k8s.io",
            "denied (RoleBinding.rbac.authorization.k8s.io)",
        ),
        ("web/all.yaml:13", "CronJob.batch", "registry.example/team-evil/x:1 from a registry"),
        ("web/all.yaml:20", "Deployment.apps", "docker.io/library/busybox from a registry"),
        ("web/all.yaml:20", "Deployment.apps", "breaks the policy digests-only"),
        ("web/all.yaml:", "ConfigMap", "breaks the policy owner: say who owns it"),
    ];
    for (place, _, words) in found {
        assert!(told.contains(place) && told.contains(words), "{place} {words}: {told}");
    }
    let planned = hostile.fairlead_here(&["plan", "--env", &hostile.name]);
    assert_eq!(planned.code, 2, "{planned:?}");
    for (place, _, words) in found {
        assert!(
            planned.stdout.contains(place) && planned.stdout.contains(words),
            "{place} {words}: {planned:?}"
        );
    }
    // Without a cluster, from a file; there each field is named by its own line.
    let file = hostile.repo.work().join("platform.yaml");
    let mut environment = hostile.environment();
    environment.as_object_mut().expect("a map").remove("status");
    std::fs::write(&file, serde_json::to_string(&environment).expect("JSON")).expect("it is written");
    let file = file.to_str().expect("UTF-8");
    let said = hostile.fairlead_here(&[
        "validate",
        "--env",
        &hostile.name,
        "--environment-file",
        file,
        "-o",
        "json",
    ]);
    assert_eq!(said.code, 2, "{said:?}");
    let errors = said.json()["errors"].to_string();
    for (_, kind, words) in found {
        assert!(errors.contains(kind) && errors.contains(words), "{kind} {words}: {errors}");
    }
    let of_image = said.json()["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .find(|found| found.to_string().contains("team-evil"))
        .cloned();
    assert_eq!(of_image.expect("it is found")["place"]["line"], 18, "the line of the field");
    assert!(said.json()["notes"].to_string().contains("limits-set"), "{said:?}");
    let unlimited = hostile.fairlead_here(&["validate", "--env", &hostile.name]);
    assert_eq!(unlimited.code, 0, "{unlimited:?}");
    // A chart from elsewhere is named, though it lies in the repository.
    let chart = [
        (
            "web/kustomization.yaml",
            "resources: [all.yaml]\nhelmCharts:\n- name: c\n  releaseName: c\n  repo: https://evil.example/charts\n",
        ),
        ("web/charts/c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        (
            "web/charts/c/templates/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-chart, labels: {owner: ada}}\n",
        ),
        ("web/all.yaml", &owned),
    ];
    hostile.commit(&chart);
    wait_until(SOON, "the host is refused", || {
        hostile
            .app("web")
            .to_string()
            .contains("web/kustomization.yaml:5: this names the chart host evil.example")
    });

    // Nothing of all that was written, what ran goes on, and the other team does not notice.
    assert_eq!(
        hostile.deployment("web").expect("it runs")["spec"]["template"]["spec"]["containers"][0]["image"],
        image.as_str()
    );
    for (group, plural, name) in [
        ("rbac.authorization.k8s.io/v1", "rolebindings", "all"),
        ("batch/v1", "cronjobs", "night"),
        ("v1", "configmaps", "unowned"),
        ("v1", "configmaps", "of-chart"),
    ] {
        assert!(hostile.get(group, plural, name).is_none(), "{name} was written");
    }
    other.wait_ready(&other.commit_web(&(configmap("settings", "1") + &deployment("web", &[]))));
    // The platform lets it, and nobody has to commit again.
    hostile.patch_environment(&json!({"spec": {"chartHosts": ["charts.example", "evil.example"]}}));
    wait_until(SOON, "it is rolled out", || hostile.configmap("of-chart").is_some());
}

#[test]
fn pods_that_may_too_much_are_refused() {
    let bed = Setup::new("pods")
        .limits(json!({"policies": [{"name": "restricted-pods"}, {"name": "no-latest"}]}))
        .make();
    let _agent = bed.agent();
    let privileged = deployment_of("web", 1, "registry.example/web", "", &[])
        .replace("    spec:\n      containers", "    spec:\n      hostNetwork: true\n      containers");
    bed.commit_web(&privileged);
    bed.wait_app("web", "Refused");
    let told = bed.app("web").to_string();
    for words in [
        "hostNetwork",
        "runAsNonRoot",
        "seccompProfile",
        "allowPrivilegeEscalation",
        "drop: [ALL]",
        "whatever is latest",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let secure = "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}, runAsNonRoot: true}";
    let hardened = deployment_of("web", 1, "registry.example/web:1", "", &[])
        .replace("{name: main,", &format!("{{name: main, {secure},"));
    bed.wait_ready(&bed.commit_web(&hardened));
}

#[test]
fn a_namespace_that_was_taken_away_is_neither_written_healed_put_back_nor_emptied() {
    let beside = format!("taken-{}", std::process::id());
    let bed = Setup::new("taken").grant_namespace(&beside).make();
    namespace(&bed, &beside);
    let _agent = bed.agent();
    let both = |value: &str| configmap_in(&bed.name, "own", value) + &configmap_in(&beside, "beside", value);
    bed.wait_ready(&bed.commit_web(&both("1")));
    let second = bed.commit_web(&both("2"));
    bed.wait_ready(&second);
    bed.patch_environment(&json!({"spec": {"namespaces": [bed.name]}}));
    bed.wait_app("web", "Refused");
    // Somebody else has it now.
    set_in(&bed, &beside, "beside", "theirs");
    let stays = |what: &str| {
        holds_for(3 * SECOND, what, || value_in(&bed, &beside, "beside").as_deref() == Some("theirs"))
    };
    stays("it is not healed");
    bed.commit_web(&configmap_in(&bed.name, "own", "3"));
    wait_until(SOON, "the rest rolls out", || value_in(&bed, &bed.name, "own").as_deref() == Some("3"));
    stays("it is not deleted");
    assert!(
        bed.status()["prune"]["kept"].to_string().contains("does not grant"),
        "{:#}",
        bed.status()["prune"]
    );
    // What ran before had it as well.
    let desired = bed.app("web")["desired"].clone();
    bed.ask(&json!({"verb": "rollback", "app": "web", "digest": desired, "to": second}));
    wait_until(SOON, "it is refused", || bed.app("web").to_string().contains("not granted"));
    stays("it is not put back");
    assert_eq!(value_in(&bed, &bed.name, "own").as_deref(), Some("3"), "nothing of that is written");
}

#[test]
fn a_namespace_that_is_taken_away_while_a_rollout_waits_is_not_written_by_its_next_wave() {
    let beside = format!("midway-{}", std::process::id());
    let bed = Setup::new("midway").grant_namespace(&beside).make();
    namespace(&bed, &beside);
    let _agent = bed.agent();
    let late = annotated_configmap("late", &[("fairlead.dev/wave", "1")])
        .replace("metadata: {", &format!("metadata: {{namespace: {beside}, "));
    let first = deployment("web", &[("never-ready", "true")])
        .replace("metadata: {name: web,", &format!("metadata: {{name: web, namespace: {},", bed.name));
    bed.commit_web(&(first + &late));
    bed.wait_app("web", "Waiting");
    bed.patch_environment(&json!({"spec": {"namespaces": [bed.name]}}));
    bed.kubectl(&["annotate", "pods", "--all", "--overwrite", "sim.fairlead.dev/never-ready=false"]).ok();
    wait_until(SOON, "its pod is ready", || {
        bed.deployment("web").is_some_and(|found| found["status"]["readyReplicas"] == 1)
    });
    holds_for(3 * SECOND, "the next wave is not written", || value_in(&bed, &beside, "late").is_none());
    bed.patch_environment(&json!({"spec": {"namespaces": [bed.name, beside]}}));
    wait_until(SOON, "it is, once it is granted again", || value_in(&bed, &beside, "late").is_some());
}

#[test]
fn what_was_given_to_another_team_is_not_deleted_by_its_old_one() {
    let beside = format!("given-{}", std::process::id());
    let old = Setup::new("old").grant_namespace(&beside).make();
    let new = Setup::new("new").grant_namespace(&beside).make();
    namespace(&old, &beside);
    open(&new, &beside);
    old.patch_environment(&json!({"spec": {"onDelete": "remove"}}));
    let _agent = old.agent_of(&[&old.name, &new.name]);
    old.wait_ready(
        &old.commit_web(&(configmap_in(&old.name, "own", "1") + &configmap_in(&beside, "given", "1"))),
    );
    old.patch_environment(&json!({"spec": {"namespaces": [old.name]}}));
    old.wait_app("web", "Refused");
    // It goes with all that it made; a person lets it.
    old.kubectl(&["delete", "environment", &old.name, "--wait=false"]).ok();
    wait_until(SOON, "it asks", || old.status()["prune"]["halted"] == true);
    assert_eq!(old.status()["prune"]["count"], 1, "{:#}", old.status()["prune"]);
    old.fairlead(&["approve", "--env", &old.name]).ok();
    wait_until(SOON, "it is gone", || old.environment().is_null());
    assert!(value_in(&old, &old.name, "own").is_none());
    assert_eq!(value_in(&old, &beside, "given").as_deref(), Some("1"));
    // The new team has it now.
    new.wait_ready(
        &new.commit_web(&(configmap_in(&new.name, "own", "1") + &configmap_in(&beside, "given", "2"))),
    );
    assert_eq!(value_in(&new, &beside, "given").as_deref(), Some("2"));
}

#[test]
fn the_namespaces_of_the_agents_are_never_granted() {
    let bed = Bed::new("reserved");
    let path = format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name);
    for namespace in [NAMESPACE, STATE_NAMESPACE] {
        let patch = json!({"spec": {"namespaces": [bed.name, namespace]}});
        let (status, answer) =
            bed.api().request(http::Method::PATCH, &path, "application/merge-patch+json", Some(&patch));
        assert!(
            status == 403 && answer["message"].to_string().contains("never granted"),
            "{status} {answer}"
        );
    }
}

#[test]
fn limits_that_cannot_be_used_are_refused_by_the_server_or_stop_the_environment() {
    let bed = Setup::new("unusable")
        .limits(json!({"policies": [{"name": "odd", "expression": "spec.", "message": "no"}]}))
        .make();
    let path = format!("/apis/fairlead.dev/v1alpha1/environments/{}", bed.name);
    for (limits, words) in [
        (json!({"policies": [{"name": "unheard-of"}]}), "shipped are"),
        (json!({"policies": [{"name": "mine", "expression": "true"}]}), "a message"),
        (
            json!({"policies": [{"name": "mine", "expression": "true", "message": "no", "severity": "shout"}]}),
            "severity",
        ),
        (json!({"prune": {"percent": 101}}), "percent"),
        (json!({"kinds": {"denied": [""]}}), "denied"),
    ] {
        let patch = json!({"spec": limits});
        let (status, answer) =
            bed.api().request(http::Method::PATCH, &path, "application/merge-patch+json", Some(&patch));
        assert!(
            status == 422 && answer["message"].to_string().contains(words),
            "{limits}: {status} {answer}"
        );
    }
    let _agent = bed.agent();
    bed.commit_web(&configmap("settings", "1"));
    bed.wait_app("web", "Refused");
    let told = bed.app("web").to_string();
    assert!(told.contains("spec.policies: odd: expression: it is not CEL"), "{told}");
    assert!(bed.configmap("settings").is_none());
    bed.patch_environment(&json!({"spec": {"policies": []}}));
    wait_until(SOON, "it is rolled out", || bed.configmap("settings").is_some());
}

#[test]
fn a_file_of_the_platform_that_cannot_be_read_is_told_with_its_line() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        std::fs::write(&path, text).expect("it is written");
        path.to_str().expect("UTF-8").to_owned()
    };
    write("web/all.yaml", &configmap("settings", "1"));
    let web = folder.path().join("web");
    let head = "apiVersion: fairlead.dev/v1alpha1\nkind: Environment\nmetadata: {name: dev}\nspec:\n";
    let body = "  source: {url: 'https://git.example/x.git', branch: main}\n  serviceAccount: {namespace: a, name: b}\n  namespaces: [web]\n";
    let validate = |file: &str| {
        let mut command = fairlead();
        command.args(["validate", web.to_str().expect("UTF-8"), "--environment-file", file]);
        crate::bed::Said::from(command.output().expect("the binary runs"))
    };
    for (name, text, words) in [
        ("field.yaml", format!("{head}{body}  registry: [a]\n"), "field.yaml:8"),
        ("type.yaml", format!("{head}{body}  prune: {{max: many}}\n"), "type.yaml:8"),
        ("none.yaml", configmap("a", "1"), "holds no Environment"),
        ("pattern.yaml", format!("{head}{body}  kinds: {{denied: [configmaps]}}\n"), "names no kinds"),
        (
            "denied.yaml",
            format!("{head}{body}  kinds: {{denied: [ConfigMap]}}\n"),
            "web/all.yaml:2: ConfigMap web/settings is of a kind",
        ),
    ] {
        let said = validate(&write(name, &text));
        assert!(said.code == 2 && (said.stdout.clone() + &said.stderr).contains(words), "{name}: {said:?}");
    }
    let said = validate(&write("good.yaml", &format!("{head}{body}  kinds: {{allowed: [ConfigMap]}}\n")));
    assert_eq!(said.code, 0, "{said:?}");
}
