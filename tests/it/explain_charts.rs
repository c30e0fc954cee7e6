//! What set a field of an object of a chart.

use serde_json::Value;

use crate::bed::{Said, fairlead};
use crate::helm::{Tree, helm_binary};

#[test]
fn explain_names_the_values_of_a_chart_that_set_a_field() {
    let tree = Tree::new(&[
        (
            "charts/demo/values.yaml",
            "replicas: 1\nimage:\n  name: example/web\n  tag: \"1.0\"\nunused: \"2.0\"\n",
        ),
        ("environments/dev/web.yaml", "image:\n  tag: \"2.0\"\n"),
        (
            "charts/demo/templates/web.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: {{ .Values.replicas }}\n  \
             revisionHistoryLimit: {{ mul .Values.replicas 7 }}\n  template:\n    spec:\n      containers:\n      - name: web\n        \
             image: \"{{ .Values.image.name }}:{{ .Values.image.tag }}\"\n",
        ),
    ]);
    tree.app("      values: [environments/dev/web.yaml]\n");
    let image = "spec.template.spec.containers[name=web].image";
    let explain = |arguments: &[&str]| {
        let said = tree.run(&[&["explain", "deploy/web", "--offline", "-o", "json"], arguments].concat());
        let said: Value = serde_json::from_str(&said.ok().stdout).expect("JSON");
        let settings = said[0]["fields"][0]["settings"].as_array().cloned().unwrap_or_default();
        let told = |setting: &Value| {
            let place = &setting["place"];
            let from = setting["from"].as_str().unwrap_or("-");
            let path = place["path"].as_str().unwrap_or_default();
            format!(
                "{} {from} {path}:{} {}",
                setting["by"].as_str().unwrap_or_default(),
                place["line"],
                setting["value"]
            )
        };
        settings.iter().map(told).collect::<Vec<_>>()
    };
    let template = "chart template - charts/demo/templates/web.yaml:0";
    // By the app, and by an overlay over the chart.
    assert_eq!(
        explain(&[image, "--env", "dev"]),
        [
            "chart value image.name charts/demo/values.yaml:3 \"example/web\"",
            "chart value image.tag charts/demo/values.yaml:4 \"1.0\"",
            "chart value image.tag environments/dev/web.yaml:2 \"2.0\"",
            &format!("{template} \"example/web:2.0\""),
        ]
    );
    assert_eq!(
        explain(&["spec.replicas", "--env", "dev"]),
        ["chart value replicas charts/demo/values.yaml:1 1", &format!("{template} 1")]
    );
    assert_eq!(explain(&["spec.revisionHistoryLimit", "--env", "dev"]), [format!("{template} 7")]);

    tree.write(
        "over/kustomization.yaml",
        "helmGlobals: {chartHome: ../charts}\nhelmCharts:\n- {name: demo, releaseName: demo, additionalValuesFiles: [own.yaml]}\n\
         replicas: [{name: web, count: 4}]\n",
    );
    tree.write("over/own.yaml", "replicas: 3\n");
    let folder = tree.path().join("over");
    let mut command = fairlead();
    command.env("FAIRLEAD_HELM", helm_binary()).args(["explain", "deploy/web", "spec.replicas", "--offline"]);
    let said: Said = command.arg("--folder").arg(folder).output().expect("it runs").into();
    let text = said.ok().stdout;
    for words in [
        "spec.replicas: 4\n    set by replicas at ",
        "3, chart value (replicas) at ",
        "1, chart value (replicas) at ",
        "charts/demo/values.yaml:1",
        "over/own.yaml:1",
        "3, chart template at ",
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
}

#[test]
fn of_two_releases_of_one_chart_each_object_is_told_by_its_own() {
    let tree = Tree::new(&[
        ("charts/demo/values.yaml", "replicas: 1\n"),
        (
            "charts/demo/templates/web.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: \"{{ .Release.Name }}\"}\nspec:\n  \
             replicas: {{ .Values.replicas }}\n",
        ),
        (
            "over/kustomization.yaml",
            "helmGlobals: {chartHome: ../charts}\nhelmCharts:\n- {name: demo, releaseName: one, additionalValuesFiles: [one.yaml]}\n\
             - {name: demo, releaseName: two, additionalValuesFiles: [two.yaml]}\nlabels: [{pairs: {team: a}}]\n",
        ),
        ("over/one.yaml", "replicas: 5\n"),
        ("over/two.yaml", "replicas: 6\n"),
    ]);
    let explain = |arguments: &[&str]| {
        let mut command = fairlead();
        command.env("FAIRLEAD_HELM", helm_binary()).args(["explain", "--offline", "--folder"]);
        let said: Said =
            command.arg(tree.path().join("over")).args(arguments).output().expect("it runs").into();
        said.ok().stdout
    };
    let (one, two) = (explain(&["deploy/one", "spec.replicas"]), explain(&["deploy/two", "spec.replicas"]));
    assert!(one.contains("5, chart value (replicas) at ") && one.contains("over/one.yaml:1"), "{one}");
    assert!(two.contains("6, chart value (replicas) at ") && two.contains("over/two.yaml:1"), "{two}");
    assert!(!one.contains("two.yaml") && !two.contains("one.yaml"), "{one}{two}");
    // Nobody waits for helm where no field is asked for.
    let all = explain(&["deploy/one"]);
    assert!(all.contains("metadata.labels.team: a") && !all.contains("chart value"), "{all}");
}
