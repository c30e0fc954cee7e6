//! A gate opens on health, and says why it does not.

use crate::bed::manifests::{configmap, deployment, deployment_of};
use crate::bed::{Bed, SECOND, SOON, wait_until};

/// Commits one app that its gates give six seconds.
fn commit_in_haste(bed: &Bed, manifests: &str) -> String {
    let (path, config) = bed.config("{name: web, path: web}", "rollout: {timeout: 6s}");
    bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
}

#[test]
fn a_crash_loop_halts_and_its_last_words_are_told() {
    let bed = Bed::new("crash");
    let _agent = bed.agent();
    let words = "fatal: the database said no";
    let revision =
        commit_in_haste(&bed, &deployment("web", &[("crash", "always"), ("exit-code", "7"), ("log", words)]));
    let app = bed.wait_app("web", "Halted");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(message.contains("not healthy in time") && message.contains("CrashLoopBackOff"), "{message}");
    assert!(message.contains("pod web-") && message.contains(words), "{message}");
    bed.wait_events("Halted web: ", 1);

    let waited =
        bed.fairlead(&["wait", "--env", &bed.name, "--revision", &revision[..10], "--timeout", "30s"]);
    assert_eq!(waited.code, 4, "{waited:?}");
    assert!(waited.stderr.contains("CrashLoopBackOff"), "{}", waited.stderr);
    let status = bed.fairlead(&["status", &bed.name]).ok();
    assert!(status.stdout.contains("web Halted") && status.stdout.contains(words), "{}", status.stdout);

    // A newer commit that works goes on from there.
    let revision = commit_in_haste(&bed, &deployment("web", &[]));
    bed.wait_ready(&revision);
    let waited = bed.fairlead(&["wait", "--env", &bed.name, "--revision", &revision, "--timeout", "30s"]);
    assert_eq!(waited.code, 0, "{waited:?}");
}

#[test]
fn an_image_that_cannot_be_pulled_halts_and_is_named() {
    let bed = Bed::new("pull");
    let _agent = bed.agent();
    commit_in_haste(&bed, &deployment_of("web", 1, "registry.example/does-not-exist:1", "", &[]));
    let app = bed.wait_app("web", "Halted");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(message.contains("ImagePullBackOff") || message.contains("ErrImagePull"), "{message}");
    assert!(message.contains("does-not-exist"), "{message}");
}

#[test]
fn a_pod_that_crashes_twice_and_then_runs_passes() {
    let bed = Bed::new("twice");
    let _agent = bed.agent();
    let revision = bed.commit_web(&deployment("web", &[("crash", "2")]));
    bed.wait_ready(&revision);
    let events = bed.events();
    assert!(!events.iter().any(|event| event.starts_with("Halted")), "{events:?}");
}

#[test]
fn jobs_sets_and_claims_are_waited_for() {
    let bed = Bed::new("kinds");
    let _agent = bed.agent();
    let pod = "metadata: {labels: {app: NAME}}, spec: {restartPolicy: POLICY, containers: [{name: main, image: registry.example/x:1}]}";
    let pod = |name: &str, policy: &str| pod.replace("NAME", name).replace("POLICY", policy);
    let manifests = [
        format!("---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: store}}\nspec: {{replicas: 2, serviceName: store, selector: {{matchLabels: {{app: store}}}}, template: {{{}}}}}\n", pod("store", "Always")),
        format!("---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: each}}\nspec: {{selector: {{matchLabels: {{app: each}}}}, template: {{{}}}}}\n", pod("each", "Always")),
        format!("---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: once}}\nspec: {{template: {{{}}}}}\n", pod("once", "Never")),
        "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: disk}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n".to_owned(),
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: store}\nspec: {selector: {app: store}, ports: [{port: 80}]}\n".to_owned(),
        "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: store}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: store}}}\n".to_owned(),
    ];
    let revision = bed.commit_web(&manifests.concat());
    bed.wait_ready(&revision);
    let store = bed.get("apps/v1", "statefulsets", "store").expect("it was made");
    assert_eq!(store["status"]["readyReplicas"], 2);
    let job = bed.get("batch/v1", "jobs", "once").expect("it was made");
    assert_eq!(job["status"]["succeeded"], 1);
    let disk = bed.get("v1", "persistentvolumeclaims", "disk").expect("it was made");
    assert_eq!(disk["status"]["phase"], "Bound");
}

#[test]
fn a_job_that_fails_halts_before_the_time_is_over() {
    let bed = Bed::new("job");
    let _agent = bed.agent();
    let job = "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec: {backoffLimit: 0, template: {metadata: {annotations: {sim.fairlead.dev/job: fail, sim.fairlead.dev/log: no such table}}, spec: {restartPolicy: Never, containers: [{name: main, image: registry.example/x:1}]}}}\n";
    let began = std::time::Instant::now();
    let late = configmap("late", "1")
        .replace("{name: late}", "{name: late, annotations: {fairlead.dev/wave: \"1\"}}");
    bed.commit_web(&(job.to_owned() + &late));
    let app = bed.wait_app("web", "Halted");
    assert!(began.elapsed() < 40 * SECOND, "its own word counts, not the minute of the gate");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(message.contains("Job.batch") && message.contains("no such table"), "{message}");
    assert!(bed.configmap("late").is_none());
}

/// A rule of the team's own: a Deployment counts as healthy once somebody says that it is `WORD`.
fn rules_of(word: &str) -> String {
    format!(
        "rollout:
    timeout: 60s
    health:
      - group: apps
        kind: Deployment
        healthy: metadata.annotations['warm'] == '{word}'
        message: \"'it is not {word} yet'\""
    )
}

#[test]
fn a_team_says_in_its_own_rules_what_healthy_is() {
    let bed = Bed::new("rules");
    let _agent = bed.agent();
    let commit = |rules: &str, manifests: &str| {
        let (path, config) = bed.config("{name: web, path: web}", rules);
        bed.commit(&[(&path, &config), ("web/all.yaml", manifests)])
    };
    let warm = |word: &str| {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", bed.name);
        bed.api().merge(&path, &serde_json::json!({"metadata": {"annotations": {"warm": word}}}));
    };
    let waits_for = |word: &str| {
        wait_until(SOON, "the gate waits by the team's rule", || {
            bed.app("web")["waitingOn"].to_string().contains(&format!("it is not {word} yet"))
        });
    };

    // By all others it is healthy as soon as its pod is ready.
    let revision = commit(&rules_of("hot"), &deployment("web", &[]));
    waits_for("hot");
    wait_until(SOON, "its pod is ready", || bed.deployment("web").unwrap()["status"]["readyReplicas"] == 1);
    assert_eq!(bed.app("web")["phase"], "Waiting");
    warm("hot");
    bed.wait_ready(&revision);

    // A rule that changes alone counts from then on, of objects that were seen long before.
    commit(&rules_of("hotter"), &deployment("web", &[("log", "2")]));
    waits_for("hotter");
    let revision = commit(&rules_of("hot"), &deployment("web", &[("log", "2")]));
    bed.wait_ready(&revision);

    // One that is wrong is refused with its line, and what runs goes on.
    let wrong = rules_of("hot").replace("metadata.annotations", "meta.annotations");
    commit(&wrong, &deployment("web", &[("log", "3")]));
    wait_until(SOON, "the rule is refused", || bed.condition("Ready")["reason"] == "InvalidConfig");
    let message = bed.condition("Ready")["message"].to_string();
    assert!(
        message.contains("environment.yaml:10: ") && message.contains("it names \\\"meta\\\""),
        "{message}"
    );
    let validated = bed.fairlead_here(&["validate", "--env", &bed.name]);
    assert_eq!(validated.code, 2, "{validated:?}");
    assert!(validated.stdout.contains("environment.yaml:10: "), "{}", validated.stdout);
}

#[test]
fn people_try_rules_on_what_the_cluster_says() {
    let bed = Bed::new("try-rules");
    let folder = bed.repo.work();
    let widget = "{apiVersion: example.org/v1, kind: Widget, metadata: {name: w}, status: {color: blue}}";
    bed.repo.write("widget.yaml", widget.as_bytes());
    bed.repo
        .write("rules.yaml", b"- group: example.org\n  kind: Widget\n  healthy: status.color == 'blue'\n");
    bed.repo.write("bad.yaml", b"- group: example.org\n  kind: Widget\n  healthy: state.color == 'blue'\n");
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let status = |arguments: &[&str]| {
        let widget = file("widget.yaml");
        let all = [&["health", "-f", &widget, "-o", "json"], arguments].concat();
        bed.fairlead(&all).ok().json()[0]["status"].as_str().map(str::to_owned)
    };
    assert_eq!(status(&[]).as_deref(), Some("unknown"));
    assert_eq!(status(&["--rules", &file("rules.yaml")]).as_deref(), Some("healthy"));
    let rules = "rollout: {health: [{group: example.org, kind: Widget, failed: status.color == 'blue'}]}";
    let (path, config) = bed.config("", rules);
    bed.repo.write(path.clone(), config.as_bytes());
    let repo = folder.to_str().expect("UTF-8");
    assert_eq!(status(&["--env", &bed.name, "--repo", repo]).as_deref(), Some("failed"));
    assert_eq!(status(&["--rules", &file(&path)]).as_deref(), Some("failed"));

    let refused = bed.fairlead(&["health", "-f", &file("widget.yaml"), "--rules", &file("bad.yaml")]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("bad.yaml:3: ") && refused.stderr.contains("healthy"), "{refused:?}");
}
