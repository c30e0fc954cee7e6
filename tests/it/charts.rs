//! Charts in a real cluster: an app of one rolls out and follows commits, as does an overlay over one; what is refused is
//! not written.

use fairlead::object::ObjectKey;
use serde_json::json;

use crate::bed::manifests::configmap;
use crate::bed::{Agent, Bed, SECOND, SOON, Setup, find, holds_for, wait_until};
use crate::helm::helm_binary;

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";
const TEMPLATE: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-settings}
data:
  value: {{ .Values.value | quote }}
  namespace: {{ .Release.Namespace }}
  version: {{ .Capabilities.KubeVersion.Version }}
  served: {{ .Capabilities.APIVersions.Has \"fairlead.dev/v1alpha1/Environment\" | quote }}
";

/// Commits a chart `charts/web` with one template, and an environment of one app of it.
fn commit(bed: &Bed, template: &str, values: &str) -> String {
    let values_file = format!("environments/{}/web.yaml", bed.name);
    let (path, config) = bed.config(
        &format!("{{name: web, chart: charts/web, values: [{values_file}]}}"),
        "rollout: {timeout: 60s}",
    );
    bed.commit(&[
        (&path, &config),
        (&values_file, values),
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/values.yaml", "value: own\n"),
        ("charts/web/templates/all.yaml", template),
    ])
}

fn value(bed: &Bed, name: &str) -> Option<String> {
    Some(bed.configmap(name)?["data"]["value"].as_str()?.to_owned())
}

#[test]
fn an_app_of_a_chart_rolls_out_and_follows_its_values() {
    let bed = Bed::new("chart");
    let _agent = bed.agent();
    let revision = commit(&bed, TEMPLATE, "value: one\n");
    bed.wait_ready(&revision);
    let settings = bed.configmap("web-settings").expect("it was written");
    assert_eq!(settings["data"]["value"], "one");
    assert_eq!(settings["data"]["namespace"], bed.name.as_str());
    assert_eq!(settings["data"]["served"], "true", "what the server serves is known to the chart");
    let version = bed.api().get("/version").expect("the server says it")["gitVersion"].clone();
    assert_eq!(settings["data"]["version"], version, "the server's own version");

    let revision = bed.commit(&[(&format!("environments/{}/web.yaml", bed.name), "value: two\n")]);
    bed.wait_ready(&revision);
    assert_eq!(value(&bed, "web-settings").as_deref(), Some("two"));
    let revision = bed
        .commit(&[("charts/web/templates/all.yaml", &TEMPLATE.replace("value: {{", "more: x\n  value: {{"))]);
    bed.wait_ready(&revision);
    assert_eq!(bed.configmap("web-settings").expect("it is there")["data"]["more"], "x");

    // The same by hand.
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name]);
    assert_eq!(plan.code, 0, "{plan:?}");
    bed.repo.write(format!("environments/{}/web.yaml", bed.name), b"value: three\n");
    let plan = bed.fairlead_here(&["plan", "--env", &bed.name, "-o", "json"]);
    assert_eq!(plan.code, 3, "{plan:?}");
    let step = &plan.json()["apps"][0]["steps"][0];
    assert_eq!(step["place"]["path"], "charts/web/templates/all.yaml");
    assert_eq!(step["changes"][0]["path"], ".data.value");
}

#[test]
fn a_chart_that_differs_each_time_writes_nothing_and_harms_only_its_app() {
    let bed = Bed::new("random");
    let _agent = bed.agent();
    let good = commit(&bed, TEMPLATE, "value: one\n");
    bed.wait_ready(&good);
    let random =
        TEMPLATE.replace("value: {{ .Values.value | quote }}", "value: {{ randAlphaNum 4 | quote }}");
    let (path, config) = bed.config(
        &format!(
            "{{name: web, chart: charts/web, values: [environments/{}/web.yaml]}}, {{name: other, path: other}}",
            bed.name
        ),
        "",
    );
    let revision = bed.commit(&[
        (&path, &config),
        ("charts/web/templates/all.yaml", &random),
        ("charts/web/templates/new.yaml", &configmap("new", "1")),
        ("other/all.yaml", &configmap("other", "1")),
    ]);
    bed.wait_seen(&revision);
    bed.wait_app("other", "Ready");
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    let named = format!("data.value of {}", ObjectKey::new("", "ConfigMap", None, "web-settings"));
    for words in
        ["charts/web/templates/all.yaml", "data.value of ConfigMap", "each time the chart is rendered"]
    {
        assert!(message.contains(words), "no {words:?} ({named}) in {message}");
    }
    holds_for(2 * SECOND, "nothing of it is written", || {
        value(&bed, "web-settings").as_deref() == Some("one") && bed.configmap("new").is_none()
    });
}

#[test]
fn without_helm_the_app_says_so_and_helm_that_comes_later_is_used() {
    let bed = Bed::new("nohelm");
    let program = bed.cache().with_file_name("helm");
    let agent = Agent::with_helm(&bed.control_plane().agent_kubeconfig, &bed.cache(), &[&bed.name], &program);
    let values = format!("environments/{}/web.yaml", bed.name);
    let (path, config) = bed.config(
        &format!("{{name: web, chart: charts/web, values: [{values}]}}, {{name: other, path: other}}"),
        "rollout: {timeout: 60s}",
    );
    let revision = bed.commit(&[
        (&path, &config),
        (&values, "value: one\n"),
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/templates/all.yaml", TEMPLATE),
        ("other/all.yaml", &configmap("other", "1")),
    ]);
    bed.wait_seen(&revision);
    bed.wait_app("other", "Ready");
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    for words in [&*format!("{path}:4"), "the chart charts/web cannot be rendered", "helm cannot be run"] {
        assert!(message.contains(words), "no {words:?} in {message}");
    }
    let ready = find(&bed.status()["conditions"], "type", "Ready");
    assert_eq!(ready["status"], "False", "{ready:#}");
    std::os::unix::fs::symlink(helm_binary(), &program).expect("helm is put there");
    bed.wait_ready(&revision);
    assert_eq!(value(&bed, "web-settings").as_deref(), Some("one"));
    drop(agent);
}

#[test]
fn an_overlay_over_a_chart_is_patched_and_rolls_out() {
    let bed = Bed::new("overchart");
    let _agent = bed.agent();
    let (path, config) = bed.config("{name: web, path: overlays/web}", "rollout: {timeout: 60s}");
    let kustomization = |value: &str| {
        format!(
            "helmGlobals: {{chartHome: ../../charts}}\nhelmCharts: [{{name: web, releaseName: r, namespace: {0}, valuesInline: \
             {{value: {value}}}}}]\npatches:\n  - patch: '{{apiVersion: v1, kind: ConfigMap, metadata: {{name: r-settings, \
             namespace: {0}}}, data: {{patched: here}}}}'\n",
            bed.name
        )
    };
    let template = TEMPLATE.replace("-settings}", "-settings, namespace: {{ .Release.Namespace }}}");
    let revision = bed.commit(&[
        (&path, &config),
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/values.yaml", "value: own\n"),
        ("charts/web/templates/all.yaml", &template),
        ("overlays/web/kustomization.yaml", &kustomization("inline")),
    ]);
    bed.wait_ready(&revision);
    let settings = bed.configmap("r-settings").expect("it was written");
    assert_eq!(
        (&settings["data"]["value"], &settings["data"]["patched"]),
        (&json!("inline"), &json!("here"))
    );
    assert_eq!(settings["data"]["served"], "true");
    let revision = bed.commit(&[("overlays/web/kustomization.yaml", &kustomization("changed"))]);
    bed.wait_ready(&revision);
    assert_eq!(value(&bed, "r-settings").as_deref(), Some("changed"));
    // A file of the chart, which the overlay does not name.
    let revision = bed
        .commit(&[("charts/web/templates/all.yaml", &template.replace("\ndata:", "\ndata:\n  chart: new"))]);
    bed.wait_ready(&revision);
    assert_eq!(bed.configmap("r-settings").expect("it is there")["data"]["chart"], "new");
}

#[test]
fn a_newer_commit_does_not_wait_for_a_chart_that_never_ends() {
    let bed = Bed::new("endless");
    let agent = bed.agent();
    let endless = "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}";
    let first = commit(&bed, endless, "value: one\n");
    wait_until(SOON, "helm runs", || {
        bed.cache().join("helm").read_dir().is_ok_and(|entries| entries.count() > 0)
    });
    let second = commit(&bed, TEMPLATE, "value: two\n");
    let began = std::time::Instant::now();
    bed.wait_ready(&second);
    assert!(began.elapsed() < 25 * SECOND, "after {:?}", began.elapsed());
    assert_ne!(first, second);
    assert_eq!(value(&bed, "web-settings").as_deref(), Some("two"));
    wait_until(SOON, "nothing is left behind", || {
        bed.cache().join("helm").read_dir().is_ok_and(|entries| entries.count() == 0)
    });
    // Told to end, it does not wait for helm either.
    commit(&bed, endless, "value: three\n");
    wait_until(SOON, "helm runs", || {
        bed.cache().join("helm").read_dir().is_ok_and(|entries| entries.count() > 0)
    });
    agent.terminate();
    assert!(agent.wait(15 * SECOND).success());
}

#[test]
fn with_several_namespaces_a_chart_must_be_told_its_own() {
    let name = "manyspaces";
    let bed = Setup::new(name).grant_namespace("manyspaces-more").make();
    let _agent = bed.agent();
    let revision = commit(&bed, TEMPLATE, "value: one\n");
    bed.wait_seen(&revision);
    let app = bed.wait_app("web", "Refused");
    let message = app["message"].as_str().unwrap_or_default();
    assert!(message.contains("must say its own: `namespace: …`"), "{message}");
    let (path, config) = bed.config(
        &format!("{{name: web, chart: charts/web, release: mine, namespace: {}}}", bed.name),
        "rollout: {timeout: 60s}",
    );
    let revision = bed.commit(&[(&path, &config)]);
    bed.wait_ready(&revision);
    assert_eq!(
        bed.configmap("mine-settings").expect("it was written")["data"]["namespace"],
        bed.name.as_str()
    );
}

#[test]
fn a_hook_of_a_chart_runs_before_what_it_is_for() {
    let bed = Bed::new("charthook");
    let _agent = bed.agent();
    let hook = "apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-migrate
  annotations: {helm.sh/hook: 'pre-install,pre-upgrade', helm.sh/hook-weight: '-1'}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: {{ .Values.value | quote }}}]
";
    bed.repo.write("charts/web/templates/migrate.yaml", hook.as_bytes());
    bed.repo.write(
        "charts/web/templates/leave.yaml",
        hook.replace("pre-install,pre-upgrade", "pre-delete").replace("-migrate", "-leave").as_bytes(),
    );
    let revision = commit(&bed, TEMPLATE, "value: one\n");
    bed.wait_ready(&revision);
    assert_eq!(value(&bed, "web-settings").as_deref(), Some("one"));
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", bed.name);
    let jobs = bed.api().get(&path).unwrap_or_default()["items"].as_array().cloned().unwrap_or_default();
    let hooks: Vec<_> = jobs.iter().map(|job| &job["metadata"]["labels"]["fairlead.dev/hook"]).collect();
    assert_eq!(hooks, [&json!("web-migrate")], "it ran, and what is for a deletion did not: {jobs:#?}");
    let (made, written) = (&jobs[0]["metadata"], bed.configmap("web-settings").expect("it was written"));
    let time =
        |metadata: &serde_json::Value| metadata["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    assert!(time(made) <= time(&written["metadata"]), "it ran first");
}
