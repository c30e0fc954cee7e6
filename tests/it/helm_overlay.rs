//! Charts in a kustomization, judged by kustomize with helm.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::bed::{Said, fairlead};
use crate::helm::{CHART, documents, helm_binary};
use crate::tools::tool;

/// Trees with `helmCharts`, judged by kustomize with helm.
#[test]
fn charts_in_a_kustomization_render_as_kustomize_does() {
    let kustomize = tool("FAIRLEAD_KUSTOMIZE");
    let chart: &[(&str, &str)] = &[
        ("charts/demo/Chart.yaml", CHART),
        ("charts/demo/values.yaml", "a: chart\nb: {c: 1, d: 2}\nlist: [1, 2]\n"),
        (
            "charts/demo/templates/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-a\n  namespace: {{ .Release.Namespace \
             }}\ndata:\n  all: {{ toJson .Values | quote }}\n  on: \"yes\"\n",
        ),
        (
            "charts/demo/templates/b.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n  selector: {matchLabels: \
             {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers:\n        - {name: web, image: \
             web:1, envFrom: [{configMapRef: {name: {{ .Release.Name }}-a}}]}\n",
        ),
        (
            "charts/demo/templates/t.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: test, annotations: {helm.sh/hook: test}}\nspec: {containers: \
             [{name: a, image: a}]}\n",
        ),
        (
            "charts/demo/templates/h.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-install}}\nspec: {containers: \
             [{name: a, image: a}]}\n",
        ),
        (
            "charts/demo/crds/c.yaml",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.org}\nspec: \
             {group: example.org, names: {kind: A, plural: as}, scope: Namespaced}\n",
        ),
        ("more.yaml", "a: more\nb: {d: 9}\n"),
        ("mine.yaml", "a: mine\nb: {e: 5}\n"),
        ("own.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n"),
    ];
    let base = "helmCharts: [{name: demo, releaseName: r";
    let cases = [
        format!("{base}}}]\n"),
        format!("{base}, namespace: space, includeCRDs: true}}]\nresources: [own.yaml]\nnamespace: other\n"),
        format!("{base}, valuesFile: mine.yaml}}]\nnamePrefix: p-\n"),
        format!("{base}, valuesInline: {{a: inline, b: {{c: null}}, list: [3]}}}}]\n"),
        format!("{base}, valuesFile: mine.yaml, valuesInline: {{a: inline, more: {{most: z}}}}, valuesMerge: merge}}]\n"),
        format!("{base}, valuesInline: {{b: {{c: 7}}}}, valuesMerge: replace, additionalValuesFiles: [more.yaml]}}]\n"),
        format!("{base}, skipHooks: true}}]\ncommonLabels: {{l: m}}\n"),
        format!("{base}, skipTests: true}}]\nimages: [{{name: web, newTag: \"2\"}}]\nreplicas: [{{name: web, count: 4}}]\n"),
        format!("{base}, kubeVersion: 1.30.0, apiVersions: [a/v1]}}]\nnameSuffix: -s\n"),
        format!(
            "{base}}}]\npatches: [{{patch: '{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: \
             {{replicas: 7}}}}'}}]\nconfigMapGenerator: [{{name: g, literals: [a=b]}}]\n"
        ),
        "helmGlobals: {chartHome: elsewhere}\nhelmCharts: [{name: demo, releaseName: r}]\n".to_owned(),
        "helmChartInflationGenerator: [{chartName: demo, releaseName: r, values: mine.yaml, valuesLocal: {a: local}}]\n".to_owned(),
        "helmCharts: [{name: demo, nameTemplate: said}]\n".to_owned(),
        "generators: [g.yaml]\n".to_owned(),
        "resources: [below]\nnamespace: top\n".to_owned(),
    ];
    let refused = [
        format!("{base}}}, {{name: demo, releaseName: r}}]\n"),
        format!("{base}, valuesFile: none.yaml}}]\n"),
        format!("{base}, valuesMerge: other}}]\n"),
        format!("{base}, nonsense: 1}}]\n"),
        format!("{base}, nameTemplate: said}}]\n"),
        "helmCharts: [{releaseName: r}]\n".to_owned(),
        "helmCharts: [{name: none, releaseName: r}]\n".to_owned(),
    ];
    let mut failures = Vec::new();
    let all = cases.iter().map(|case| (case, true)).chain(refused.iter().map(|case| (case, false)));
    for (case, is_taken) in all {
        let folder = TempDir::new().expect("a folder");
        let write = |path: &str, text: &str| {
            let place = folder.path().join(path);
            fs::create_dir_all(place.parent().expect("a folder")).expect("it is made");
            fs::write(place, text).expect("it is written");
        };
        for (path, text) in chart {
            write(path, text);
            write(&format!("below/{path}"), text);
            if let Some(path) = path.strip_prefix("charts/") {
                write(&format!("elsewhere/{path}"), text);
            }
        }
        write(
            "below/kustomization.yaml",
            "helmCharts: [{name: demo, releaseName: r, namespace: space}]\nnamespace: low\nresources: [own.yaml]\n",
        );
        write(
            "g.yaml",
            "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nname: demo\nreleaseName: r\nchartHome: \
             elsewhere\nvaluesInline: {a: plugin}\n",
        );
        write("kustomization.yaml", case);
        let theirs = Command::new(&kustomize)
            .args(["build", "--enable-helm", "--helm-command"])
            .arg(helm_binary())
            .arg(folder.path())
            .output()
            .expect("kustomize runs");
        let ours = fairlead()
            .env("FAIRLEAD_HELM", helm_binary())
            // What helm takes itself to be for, where nobody says.
            .args(["render", "--kube-version", "1.37.0"])
            .arg(folder.path())
            .output()
            .expect("it runs");
        let (our_words, their_words) =
            (String::from_utf8_lossy(&ours.stderr), String::from_utf8_lossy(&theirs.stderr));
        match (ours.status.success(), theirs.status.success()) {
            (true, true) => {
                let (ours, theirs) = (
                    documents(&String::from_utf8_lossy(&ours.stdout)),
                    documents(&String::from_utf8_lossy(&theirs.stdout)),
                );
                if ours != theirs {
                    failures.push(format!("{case}\nours:\n{ours:#?}\ntheirs:\n{theirs:#?}"));
                }
            }
            (false, false) if !is_taken && !our_words.is_empty() => {}
            (false, false) => failures.push(format!("{case}\nboth refuse: {our_words}{their_words}")),
            (true, false) => failures.push(format!("{case}\nthey refuse: {their_words}")),
            (false, true) => failures.push(format!("{case}\nwe refuse: {our_words}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        cases.len() + refused.len(),
        failures.join("\n")
    );
}

#[test]
fn a_chart_of_an_overlay_names_what_is_missing() {
    let render = |kustomization: &str| {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("kustomization.yaml"), kustomization).expect("it is written");
        let mut command = fairlead();
        command.env("FAIRLEAD_HELM", helm_binary()).arg("render").arg(folder.path());
        Said::from(command.output().expect("it runs"))
    };
    for (entry, words) in [
        (
            "{name: redis, releaseName: r, repo: \"https://charts.example.org\", version: 1.2.3}",
            "commit the chart as the folder",
        ),
        ("{name: redis}", "the chart redis has no `releaseName`"),
        ("{name: redis, nameTemplate: \"a{{ 1 }}\"}", "a `nameTemplate` that makes a name is not taken"),
        ("{name: redis, releaseName: -x}", "must not begin with `-`"),
    ] {
        let said = render(&format!("resources: []\nhelmCharts:\n  - {entry}\n"));
        assert_eq!(said.code, 2, "{said:?}");
        assert!(
            said.stderr.contains(words) && said.stderr.contains("kustomization.yaml:3"),
            "{entry}: {}",
            said.stderr
        );
    }
}

#[test]
fn what_set_a_field_is_told_of_objects_of_charts_and_of_those_beside_them() {
    let root = TempDir::new().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("charts/demo/Chart.yaml", CHART);
    write(
        "charts/demo/templates/a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {x: \"1\"}\n",
    );
    write("app/beside.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: beside}\n");
    let patch = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {key: NAME}}";
    let patches = ["made", "beside"].map(|name| format!("- patch: '{}'\n", patch.replace("NAME", name)));
    let head = "helmGlobals: {chartHome: ../charts}\nhelmCharts: [{name: demo, releaseName: r}]\nresources: [beside.yaml]\n";
    write("app/kustomization.yaml", &format!("{head}patches:\n{}", patches.concat()));
    for (name, file, line) in [("made", "charts/demo/templates/a.yaml", 5), ("beside", "app/beside.yaml", 6)]
    {
        let mut command = fairlead();
        command.current_dir(root.path()).env("FAIRLEAD_HELM", helm_binary());
        command.args(["explain", &format!("configmap/{name}"), "data.key", "--folder", "app", "--offline"]);
        let said = Said::from(command.output().expect("it runs")).ok();
        let expected = [
            format!("ConfigMap {name}\n"),
            file.to_owned(),
            format!("data.key: {name}\n    set by patch at "),
        ];
        for part in expected.iter().chain([&format!("app/kustomization.yaml:{line}\n")]) {
            assert!(said.stdout.contains(part), "{part} is not in {}", said.stdout);
        }
    }
}
