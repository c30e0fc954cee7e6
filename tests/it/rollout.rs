//! From a commit to a healthy cluster, in order.

use crate::bed::manifests::{annotated_configmap, configmap, definition, deployment, deployment_of};
use crate::bed::{Bed, SECOND, Setup, holds_for, wait_until};

#[test]
fn a_commit_reaches_the_cluster() {
    let bed = Bed::new("reach");
    let _agent = bed.agent();
    let revision = bed.commit_web(&(configmap("settings", "1") + &deployment("web", &[])));
    bed.wait_ready(&revision);
    let web = bed.deployment("web").expect("it was made");
    assert_eq!(web["status"]["readyReplicas"], 1);
    assert_eq!(web["metadata"]["labels"]["fairlead.dev/app"], "web");
    let app = bed.app("web");
    assert_eq!(app["desired"], app["effective"]);
    assert_eq!(app["objects"], 2);
    assert_eq!(bed.status()["summary"], "1/1");
    bed.wait_events("RolledOut web: ", 1);
}

#[test]
fn a_wave_waits_until_the_one_before_is_healthy() {
    let bed = Bed::new("waves");
    let _agent = bed.agent();
    let first = deployment("first", &[("ready-after", "4s")]);
    let second = deployment_of("second", 1, "registry.example/web:1", "fairlead.dev/wave: \"1\"", &[]);
    let revision = bed.commit_web(&(first + &second));
    bed.wait_app("web", "Waiting");
    let waiting = bed.app("web");
    assert_eq!(waiting["wave"], serde_json::json!({"current": 1, "of": 2}));
    let on = waiting["waitingOn"]["what"][0].as_str().unwrap_or_default();
    assert!(on.contains("Deployment.apps") && on.contains("/first"), "{on}");
    holds_for(2 * SECOND, "nothing of the second wave is written", || bed.deployment("second").is_none());
    bed.wait_ready(&revision);
    assert!(bed.deployment("second").is_some());
}

#[test]
fn a_wave_that_never_becomes_healthy_keeps_the_next_from_being_written() {
    let bed = Bed::new("never");
    let _agent = bed.agent();
    let first = deployment("first", &[("never-ready", "true")]);
    let late = annotated_configmap("late", &[("fairlead.dev/wave", "1")]);
    bed.commit_web(&(first + &late));
    bed.wait_app("web", "Waiting");
    holds_for(3 * SECOND, "the second wave is not written", || bed.configmap("late").is_none());
}

#[test]
fn kinds_waves_and_depends_on_give_the_order() {
    let bed = Bed::new("order");
    let proxy = bed.proxy();
    let _agent = bed.agent_through(&proxy);
    let on_web = format!("apps/namespaces/{}/Deployment/web", bed.name);
    let manifests = [
        "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: scaler}\nspec: {minReplicas: 1, maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n".to_owned(),
        annotated_configmap("after-web", &[("config.kubernetes.io/depends-on", &on_web)]),
        deployment("web", &[]),
        annotated_configmap("early", &[("fairlead.dev/wave", "-1")]),
        configmap("settings", "1"),
        "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n".to_owned(),
    ];
    let revision = bed.commit_web(&manifests.concat());
    bed.wait_ready(&revision);
    let written = proxy.records().into_iter().filter(|record| record.class == crate::bed::Class::Write);
    let names: Vec<String> =
        written.map(|record| record.path.rsplit('/').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(names, ["runner", "early", "settings", "web", "after-web", "scaler"]);
}

#[test]
fn an_app_waits_for_those_it_depends_on() {
    let bed = Bed::new("apps");
    let _agent = bed.agent();
    let config = bed.config(
        "{name: web, path: web, dependsOn: [redis]}, {name: redis, path: redis}",
        "rollout: {timeout: 60s}",
    );
    let revision = bed.commit(&[
        (&config.0, &config.1),
        ("web/all.yaml", &configmap("web", "1")),
        ("redis/all.yaml", &deployment("redis", &[("ready-after", "3s")])),
    ]);
    let web = bed.wait_app("web", "Blocked");
    assert!(web["message"].as_str().is_some_and(|message| message.contains("redis")), "{web}");
    wait_until(10 * SECOND, "redis waits for its pod", || bed.app("redis")["phase"] == "Waiting");
    assert!(bed.configmap("web").is_none(), "web is not written before redis is ready");
    bed.wait_ready(&revision);
    assert!(bed.configmap("web").is_some());
}

#[test]
fn a_definition_a_namespace_and_objects_of_both_roll_out_in_one_commit() {
    let setup = Setup::new("both");
    let inner = format!("{}-inner", setup.name());
    let plural = format!("ropes{}", setup.name().replace('-', ""));
    let bed = setup
        .grant_namespace(&inner)
        .grant_kind("Namespace", "", "namespaces")
        .grant_kind("CustomResourceDefinition", "apiextensions.k8s.io", "customresourcedefinitions")
        .grant_everywhere("", "configmaps")
        .grant_everywhere("bed.fairlead.dev", "*")
        .make();
    let _agent = bed.agent();
    let kind = format!("Rope{}", bed.name.replace('-', ""));
    let manifests = format!(
        "
apiVersion: bed.fairlead.dev/v1
kind: {kind}
metadata: {{name: long, namespace: {inner}}}
spec: {{metres: 12}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: within, namespace: {inner}}}
data: {{a: \"1\"}}
{definition}---
apiVersion: v1
kind: Namespace
metadata: {{name: {inner}}}
",
        definition = definition(&kind, &plural),
    );
    // The plan says which of them cannot be asked about yet, and why.
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 60s}");
    bed.repo.write(path, config.as_bytes());
    bed.repo.write("web/all.yaml", manifests.as_bytes());
    let planned = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(planned.code, 3, "{planned:?}");
    assert!(planned.stdout.contains("waits for the namespace"), "{}", planned.stdout);
    assert!(planned.stdout.contains("waits for the definition of"), "{}", planned.stdout);

    let revision = bed.repo.push("main");
    bed.wait_ready(&revision);
    let rope = format!("/apis/bed.fairlead.dev/v1/namespaces/{inner}/{plural}/long");
    assert_eq!(bed.api().get(&rope).expect("the rope is there")["spec"]["metres"], 12);
    assert!(bed.api().get(&format!("/api/v1/namespaces/{inner}/configmaps/within")).is_some());
}

#[test]
fn a_refused_commit_writes_nothing_while_other_apps_and_environments_go_on() {
    let bed = Bed::new("refused");
    let neighbour = Setup::new("neighbour").over(&bed.repo).make();
    let _agent = bed.agent_of(&[&bed.name, &neighbour.name]);
    let (path, config) = neighbour.config("{name: web, path: neighbour}", "rollout: {timeout: 60s}");
    bed.repo.write(path, config.as_bytes());
    bed.repo.write("neighbour/all.yaml", configmap("settings", "1").as_bytes());
    let web = configmap("settings", "1") + &deployment("web", &[]);
    let first = bed.commit_apps(&[("web", &web), ("other", &configmap("other", "1"))]);
    bed.wait_ready(&first);
    neighbour.wait_ready(&first);
    let before = bed.configmap("settings");

    // One object that the server refuses: the ConfigMap beside it is not written either.
    let wrong = configmap("settings", "2") + &deployment("web", &[]).replace("replicas: 1", "replicas: -1");
    bed.repo.write("neighbour/all.yaml", configmap("settings", "2").as_bytes());
    let second = bed.commit_apps(&[("web", &wrong), ("other", &configmap("other", "2"))]);
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("web/all.yaml:7: Deployment.apps") && message.contains("spec.replicas"),
        "{message}"
    );
    wait_until(20 * SECOND, "the other app goes on", || {
        bed.configmap("other").is_some_and(|other| other["data"]["value"] == "2")
    });
    neighbour.wait_ready(&second);
    assert_eq!(bed.configmap("settings"), before, "nothing of the refused app was written");
    assert_eq!(bed.condition("Stalled")["status"], "True");
    bed.wait_events("Refused web: nothing was written", 1);

    // The next commit mends it.
    let third =
        bed.commit_apps(&[("web", &web.replace("\"1\"", "\"3\"")), ("other", &configmap("other", "2"))]);
    bed.wait_ready(&third);
    assert_eq!(bed.configmap("settings").expect("it is there")["data"]["value"], "3");
}

#[test]
fn a_secret_is_written_and_watched_under_rights_that_name_its_namespace() {
    let bed = Bed::new("secret");
    let _agent = bed.agent();
    let secret =
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {token: in-plain-words}\n";
    let revision = bed.commit_web(&(configmap("settings", "1") + secret));
    bed.wait_ready(&revision);
    let found = bed.get("v1", "secrets", "token").expect("it was made");
    assert_eq!(found["data"]["token"], "aW4tcGxhaW4td29yZHM=");
    bed.kubectl(&["delete", "secret/token"]).ok();
    wait_until(10 * SECOND, "what was deleted is made anew", || bed.get("v1", "secrets", "token").is_some());
}

#[test]
fn a_field_that_cannot_change_is_foreseen() {
    let bed = Bed::new("immutable");
    let _agent = bed.agent();
    let web = configmap("settings", "1") + &deployment("web", &[]);
    let revision = bed.commit_web(&web);
    bed.wait_ready(&revision);
    let renamed = web.replace("app: web}", "app: other}").replace("value: \"1\"", "value: \"2\"");
    bed.commit_web(&renamed);
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(message.contains("spec.selector") && message.contains("immutable"), "{message}");
    assert!(message.contains("give the object a new name"), "{message}");
    assert_eq!(bed.configmap("settings").expect("it stays")["data"]["value"], "1");
    let planned = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(planned.code, 2, "{planned:?}");
}

#[test]
fn an_object_that_is_still_being_deleted_is_made_anew_when_it_is_gone() {
    let bed = Bed::new("deleting");
    let _agent = bed.agent();
    let settings = configmap("settings", "1");
    let revision = bed.commit_web(&settings);
    bed.wait_ready(&revision);
    let path = format!("/api/v1/namespaces/{}/configmaps/settings", bed.name);
    bed.api().merge(&path, &serde_json::json!({"metadata": {"finalizers": ["bed.fairlead.dev/hold"]}}));
    let first = bed.configmap("settings").expect("it is there");
    bed.api().delete(&path);
    let app = bed.wait_app("web", "Refused");
    assert!(app["message"].as_str().is_some_and(|message| message.contains("still being deleted")), "{app}");
    bed.api().merge(&path, &serde_json::json!({"metadata": {"finalizers": null}}));
    wait_until(20 * SECOND, "it is made anew", || {
        bed.configmap("settings").is_some_and(|found| found["metadata"]["uid"] != first["metadata"]["uid"])
    });
    bed.wait_app("web", "Ready");
}

#[test]
fn what_can_only_be_asked_later_is_asked_before_its_own_wave() {
    let setup = Setup::new("later");
    let inner = format!("{}-inner", setup.name());
    let bed = setup
        .grant_namespace(&inner)
        .grant_kind("Namespace", "", "namespaces")
        .grant_everywhere("", "configmaps")
        .grant_everywhere("apps", "deployments")
        .make();
    let _agent = bed.agent();
    let within =
        |text: String| text.replace("metadata: {name: ", &format!("metadata: {{namespace: {inner}, name: "));
    let namespace = format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {inner}}}\n");
    let wrong = deployment("web", &[]).replace("replicas: 1", "replicas: -1");
    bed.commit_web(
        &(namespace.clone()
            + &within(wrong)
            + &within(deployment("beside", &[]))
            + &within(configmap("settings", "1"))),
    );
    let app = bed.wait_app("web", "Halted");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(message.contains("refused on the way") && message.contains("spec.replicas"), "{message}");
    let beside = format!("/apis/apps/v1/namespaces/{inner}/deployments/beside");
    assert!(bed.api().get(&beside).is_none(), "nothing of the wave is written");

    let revision =
        bed.commit_web(&(namespace + &within(deployment("web", &[])) + &within(configmap("settings", "1"))));
    bed.wait_ready(&revision);
}
