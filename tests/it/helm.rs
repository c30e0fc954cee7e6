//! Charts without a cluster: what helm renders, what it is held to, and what is said where it refuses. The judge is helm
//! itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fairlead::agent::charts::Charts;
use fairlead::helm::{Bounds, Helm, Stop};
use fairlead::object::{
    ChartFailure, ChartOutput, ChartRequest, ChartTarget, ChartValues, MemoryTree, Place, TreePath,
};
use fairlead::yaml::{self, Dialect};
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::{SECOND, SOON, Said, fairlead, wait_until};
use crate::tools::tool;

pub fn helm_binary() -> PathBuf {
    tool("FAIRLEAD_HELM")
}

pub const CHART: &str = "apiVersion: v2\nname: demo\nversion: 0.1.0\n";

fn configmap(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  a: {data}\n")
}

/// A repository on disk with an environment `dev` of one app, the chart `charts/demo` of these files.
pub struct Tree(TempDir);

impl Tree {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(TempDir::new().expect("a scratch folder"));
        tree.write("charts/demo/Chart.yaml", CHART);
        tree.app("");
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    /// A chart of one template.
    fn of(template: &str) -> Self {
        Self::new(&[("charts/demo/templates/a.yaml", template)])
    }

    pub fn app(&self, more: &str) {
        self.write(
            "environments/dev/environment.yaml",
            &format!(
                "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps:\n    - name: demo\n      \
                 chart: charts/demo\n{more}"
            ),
        );
    }

    pub fn write(&self, path: &str, text: &str) {
        let place = self.0.path().join(path);
        fs::create_dir_all(place.parent().expect("a file lies in a folder")).expect("the folder is made");
        fs::write(place, text).expect("the file is written");
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        let mut command = fairlead();
        command.env("FAIRLEAD_HELM", helm_binary()).args(arguments).arg("--repo").arg(self.0.path());
        command.output().expect("the binary runs").into()
    }

    fn render(&self) -> Said {
        self.run(&["render", "--env", "dev", "-n", "web"])
    }

    #[track_caller]
    fn objects(&self) -> Vec<Value> {
        documents(&self.render().ok().stdout)
    }

    /// It is refused, in these words.
    #[track_caller]
    fn refuses(&self, words: &[&str]) {
        let said = self.render();
        assert_eq!(said.code, 2, "{said:?}");
        for words in words {
            assert!(said.stderr.contains(words), "no {words:?} in:\n{}", said.stderr);
        }
    }
}

pub fn documents(text: &str) -> Vec<Value> {
    let path = TreePath::new("output.yaml").expect("a path");
    let limits = yaml::Limits { file_bytes: u64::MAX, ..yaml::Limits::default() };
    let read = yaml::read(text.as_bytes(), &path, Dialect::Kubectl, &limits).expect("helm writes YAML");
    read.into_iter().map(|document| document.into_value()).filter(|value| !value.is_null()).collect()
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let name = |object: &Value| {
        format!("{} {} {}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"])
    };
    objects.into_iter().map(|object| (name(&object), object)).collect()
}

/// What helm itself renders.
fn judge(chart: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(helm_binary())
        .env_clear()
        .env("HOME", "/nonexistent")
        .arg("template")
        .args(arguments)
        .arg(chart)
        .output()
        .expect("helm runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8_lossy(&output.stdout))
}

#[test]
fn our_own_chart_renders_as_helm_does_object_by_object() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = Tree::new(&[]);
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(root.join("charts/fairlead")).arg(tree.0.path().join("charts"));
    assert!(copy.status().expect("cp runs").success());
    tree.write(
        "environments/dev/environment.yaml",
        "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps:\n    - {name: agent, chart: \
         charts/fairlead, release: fairlead, namespace: fairlead, values: [environments/dev/one.yaml, \
         environments/dev/two.yaml]}\n",
    );
    tree.write("environments/dev/one.yaml", "replicas: 5\nlog: {level: debug}\n");
    tree.write("environments/dev/two.yaml", "replicas: 2\n");
    let ours = by_name(tree.objects());
    let values = tree.0.path().join("environments/dev");
    let theirs = judge(
        &root.join("charts/fairlead"),
        &[
            "fairlead",
            "--namespace=fairlead",
            "--include-crds",
            &format!("--values={}", values.join("one.yaml").display()),
            &format!("--values={}", values.join("two.yaml").display()),
        ],
    );
    let theirs = by_name(theirs);
    assert!(theirs.len() > 10, "{theirs:#?}");
    assert_eq!(ours, theirs);
    let replicas =
        ours.values().find(|object| object["kind"] == "Deployment").map(|object| &object["spec"]["replicas"]);
    assert_eq!(replicas, Some(&Value::from(2)), "the last values win");
}

#[test]
fn subcharts_definitions_and_hooks_are_as_helm_has_them() {
    let hook = |name: &str, events: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  annotations: {{helm.sh/hook: \"{events}\"}}\nspec: \
             {{containers: [{{name: a, image: a}}]}}\n"
        )
    };
    let tree = Tree::new(&[
        (
            "charts/demo/Chart.yaml",
            &format!(
                "{CHART}dependencies: [{{name: sub, version: \"1\", repository: \"https://example.org\", alias: other}}]\n"
            ),
        ),
        ("charts/demo/charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 1.0.0\n"),
        ("charts/demo/charts/sub/values.yaml", "word: theirs\n"),
        (
            "charts/demo/charts/sub/templates/s.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}\ndata: {word: \"{{ .Values.word }} {{ .Release.Name }} \
             {{ .Release.Namespace }} {{ .Values.global.g }}\"}\n",
        ),
        ("charts/demo/values.yaml", "other: {word: mine}\nglobal: {g: 7}\n"),
        (
            "charts/demo/crds/c.yaml",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.org}\nspec: {}\n",
        ),
        ("charts/demo/templates/NOTES.txt", "Thanks."),
        ("charts/demo/templates/gone.yaml", &hook("gone", "pre-delete, post-delete")),
        ("charts/demo/templates/back.yaml", &hook("back", "post-rollback")),
        ("charts/demo/templates/both.yaml", &hook("both", "pre-upgrade,pre-rollback")),
        ("charts/demo/templates/test.yaml", &hook("test", "test")),
        (
            "charts/demo/templates/looks.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: looks}\ndata:\n  found: {{ lookup \"v1\" \"Secret\" \"a\" \"b\" | \
             quote }}\n  on: yes\n  version: {{ .Capabilities.KubeVersion.Version }}\n  has: {{ \
             .Capabilities.APIVersions.Has \"apps/v1/Deployment\" | quote }}\n",
        ),
    ]);
    let said = tree.render().ok();
    let ours = documents(&said.stdout);
    let names: Vec<&str> = ours.iter().filter_map(|object| object["metadata"]["name"].as_str()).collect();
    assert_eq!(names[0], "as.example.org", "definitions come first");
    assert!(!names.contains(&"gone") && !names.contains(&"back"), "{names:?}");
    assert!(names.contains(&"both") && names.contains(&"test"), "{names:?}");
    for words in ["charts/demo/templates/gone.yaml", "is a hook of a deletion or a rollback, and is left out"]
    {
        assert!(said.stderr.contains(words), "{}", said.stderr);
    }
    let mut theirs = by_name(judge(
        &tree.0.path().join("charts/demo"),
        &[
            "demo",
            "--namespace=web",
            "--include-crds",
            "--kube-version=1.36.3",
            "--api-versions=apps/v1/Deployment",
        ],
    ));
    theirs.retain(|name, _| !name.contains("gone") && !name.contains("back"));
    let ours = by_name(ours);
    let sub =
        ours.values().find(|object| object["metadata"]["name"] == "sub").expect("the subchart's object");
    assert_eq!(sub["data"]["word"], "mine demo web 7");
    assert_eq!(ours, theirs);
    let other = documents(&tree.run(&["render", "--env", "dev", "--kube-version", "1.31.0"]).ok().stdout);
    let looks = other.iter().find(|object| object["metadata"]["name"] == "looks").expect("it is there");
    assert_eq!((&looks["data"]["version"], &looks["data"]["found"]), (&"v1.31.0".into(), &"map[]".into()));
}

#[test]
fn what_differs_from_one_time_to_the_next_is_refused_with_object_and_field() {
    let cases: [(&str, &str); 12] = [
        ("{{ randAlphaNum 1 | quote }}", "data.a of ConfigMap"),
        ("{{ randInt 0 1 | quote }}", "data.a of ConfigMap"),
        ("{{ shuffle \"a\" }}", "data.a of ConfigMap"),
        ("{{ uuidv4 }}", "data.a of ConfigMap"),
        ("{{ now | quote }}", "data.a of ConfigMap"),
        ("{{ now | date \"2006\" | quote }}", "data.a of ConfigMap"),
        ("{{ dateInZone \"2006-01-02\" (now) \"UTC\" | quote }}", "data.a of ConfigMap"),
        ("{{ now | unixEpoch | quote }}", "data.a of ConfigMap"),
        ("{{ date \"2006-01-02\" \"what\" | quote }}", "data.a of ConfigMap"),
        ("{{ tpl \"{{ now | date \\\"15\\\" }}\" . | quote }}", "data.a of ConfigMap"),
        ("{{ (genSelfSignedCert \"a\" nil nil 1).Cert | b64enc }}", "data.a of ConfigMap"),
        ("{{ list \"x\" | join (randAlpha 3) }}{{ now.Year }}", "data.a of ConfigMap"),
    ];
    for (template, words) in cases {
        let tree = Tree::of(&configmap(template));
        let said = tree.render();
        assert_eq!(said.code, 2, "{template}: {said:?}");
        for words in [words, "charts/demo/templates/a.yaml", "each time the chart is rendered"] {
            assert!(said.stderr.contains(words), "{template}: no {words:?} in {}", said.stderr);
        }
    }
    let tree =
        Tree::of("apiVersion: v1\nkind: Secret\nmetadata: {name: \"a-{{ randAlphaNum 8 | lower }}\"}\n");
    tree.refuses(&["a Secret has another metadata.name each time"]);
    let order = "{{ keys .Values.map | join \"\" }}";
    let tree = Tree::of(&configmap(order));
    tree.write("charts/demo/values.yaml", "map: {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8}\n");
    tree.refuses(&["data.a of ConfigMap"]);
    tree.write("charts/demo/templates/a.yaml", &configmap("{{ keys .Values.map | sortAlpha | join \"\" }}"));
    assert_eq!(tree.objects()[0]["data"]["a"], "abcdefgh");
    // What does not count is no reason: a comment, a branch that is not taken, another zone's fixed time.
    for template in [
        "\"x\" # {{ now }} {{ uuidv4 }}",
        "{{ if .Values.none }}{{ randAlphaNum 5 }}{{ else }}x{{ end }}",
        "{{ toDate \"2006-01-02\" \"2001-09-09\" | date \"2006\" | replace \"2001\" \"x\" }}",
        "{{ \"now\" | replace \"now\" \"x\" }}",
    ] {
        assert_eq!(Tree::of(&configmap(template)).objects()[0]["data"]["a"], "x", "{template}");
    }
}

#[test]
fn what_helm_refuses_is_told_at_its_place() {
    Tree::of("a: b\n{{ required \"say .Values.foo\" .Values.foo }}")
        .refuses(&["charts/demo/templates/a.yaml:2: say .Values.foo"]);
    Tree::of("{{ fail \"not like this\" }}").refuses(&["charts/demo/templates/a.yaml:1: not like this"]);
    Tree::of("a:\n{{ if }}").refuses(&["charts/demo/templates/a.yaml:2: missing value for if"]);
    Tree::of("{{ .Values.a.b.c }}").refuses(&["charts/demo/templates/a.yaml:1: ", "nil pointer"]);
    Tree::of("a:\n  b\n c: d: e")
        .refuses(&["charts/demo/templates/a.yaml: what this template renders to is no YAML"]);
    Tree::of("kind: A\nmetadata: {name: a}\n").refuses(&[
        "charts/demo/templates/a.yaml: in what this template renders to: the object has no apiVersion",
    ]);
    Tree::of("{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}")
        .refuses(&["charts/demo/templates/a.yaml:1: ", "include"]);

    let tree = Tree::of(&configmap("{{ .Values.port | quote }}"));
    tree.app("      values: [environments/dev/demo.yaml]\n");
    tree.refuses(&[
        "environments/dev/environment.yaml:7",
        "there is no file or folder environments/dev/demo.yaml",
    ]);
    tree.write("environments/dev/demo.yaml", "# mine\nport: [");
    tree.refuses(&["environments/dev/demo.yaml:2", "these values cannot be read"]);
    tree.write("environments/dev/demo.yaml", "# mine\nport: eighty-secret\n");
    tree.write(
        "charts/demo/values.schema.json",
        r#"{"properties": {"port": {"type": "string", "pattern": "^[0-9]+$"}}}"#,
    );
    tree.refuses(&["environments/dev/demo.yaml:2: the value port: it does not match pattern '^[0-9]+$'"]);
    assert!(!tree.render().stderr.contains("eighty"), "a value may be a secret");
    tree.write("environments/dev/demo.yaml", "port: \"80\"\n");
    assert_eq!(tree.objects()[0]["data"]["a"], "80");

    let needs = format!(
        "{CHART}dependencies: [{{name: redis, version: \"1\", repository: \"https://example.org\"}}]\n"
    );
    tree.write("charts/demo/Chart.yaml", &needs);
    tree.refuses(&[
        "charts/demo/Chart.yaml: the chart needs redis, which its folder charts/ does not hold",
        "helm dependency build charts/demo",
    ]);
    tree.write("charts/demo/Chart.yaml", &format!("{CHART}type: library\n"));
    tree.refuses(&["environments/dev/environment.yaml:6", "library charts are not installable"]);
    fs::remove_file(tree.0.path().join("charts/demo/Chart.yaml")).expect("it goes");
    tree.refuses(&["environments/dev/environment.yaml:6: charts/demo is no chart: it has no Chart.yaml"]);
    tree.write("environments/dev/environment.yaml", "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: [{name: a, chart: charts/none}]\n");
    tree.refuses(&["there is no file or folder charts/none"]);
    tree.write("environments/dev/environment.yaml", "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: [{name: a, path: charts, release: x}]\n");
    tree.refuses(&["`release` goes with `chart`"]);
}

#[test]
fn validate_judges_what_a_chart_renders_to() {
    let tree = Tree::new(&[
        (
            "charts/demo/templates/a.yaml",
            "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}\nspec: {}\n",
        ),
        (
            "charts/demo/templates/b.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}\nspec: {replicas: many}\n",
        ),
    ]);
    let said = tree.run(&["validate"]);
    assert_eq!(said.code, 2, "{said:?}");
    for words in [
        "charts/demo/templates/a.yaml: policy/v1beta1",
        "was removed in Kubernetes 1.25",
        "charts/demo/templates/b.yaml: Deployment.apps b: spec.replicas",
    ] {
        assert!(said.stdout.contains(words), "no {words:?} in:\n{}", said.stdout);
    }
}

#[test]
fn without_helm_a_chart_says_so_and_all_else_goes_on() {
    let tree = Tree::of(&configmap("b"));
    let mut command = fairlead();
    command
        .env_remove("FAIRLEAD_HELM")
        .env("PATH", "/nonexistent")
        .args(["validate", "--repo"])
        .arg(tree.0.path());
    let said = Said::from(command.output().expect("it runs"));
    assert_eq!(said.code, 2);
    for words in [
        "environments/dev/environment.yaml:6: the chart charts/demo cannot be rendered: there is no helm",
        "--helm",
    ] {
        assert!(said.stdout.contains(words), "{said:?}");
    }
    let said = tree.run(&["validate", "--helm", "/bin/true"]);
    assert!(said.stdout.contains("not helm 3 or 4"), "{said:?}");
}

/// A chart in memory and a helm of our own bounds.
fn lab(
    template: &str,
    bounds: Bounds,
    program: Option<PathBuf>,
) -> (MemoryTree, ChartRequest, Helm, TempDir) {
    let tree =
        MemoryTree::new([("charts/demo/Chart.yaml", CHART), ("charts/demo/templates/a.yaml", template)]);
    let place = Place::at(TreePath::new("environment.yaml").expect("a path"), 3, 1);
    let request = ChartRequest {
        place,
        chart: TreePath::new("charts/demo").expect("a path"),
        values: vec![ChartValues::Inline("{\"a\": 1}".to_owned())],
        release: "demo".to_owned(),
        namespace: "web".to_owned(),
        crds: true,
        hooks: true,
        tests: true,
        kube_version: None,
        api_versions: Vec::new(),
    };
    let scratch = TempDir::new().expect("a scratch folder");
    let helm = Helm::new(Some(program.unwrap_or_else(helm_binary)), scratch.path(), bounds);
    (tree.expect("a tree"), request, helm, scratch)
}

fn unable(result: Result<std::sync::Arc<ChartOutput>, ChartFailure>) -> String {
    match result {
        Err(ChartFailure::Exhausted(problem) | ChartFailure::Unable(problem)) => problem.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chart_has_so_much_time_memory_and_output() {
    let target = ChartTarget::default();
    let endless = "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}";
    let bounds = Bounds { time: 2 * SECOND, ..Bounds::default() };
    let (tree, request, helm, scratch) = lab(endless, bounds, None);
    let began = Instant::now();
    let said = unable(helm.render(&tree, &request, &target, &Stop::default()));
    assert!(said.contains("environment.yaml:3: helm did not render charts/demo within 2 seconds"), "{said}");
    assert!(began.elapsed() < 20 * SECOND);
    assert_eq!(fs::read_dir(scratch.path()).expect("it is there").count(), 0, "nothing is left behind");

    let large = "a: {{ range until 100000 }}{{ range until 1000 }}{{ repeat 10000 \"x\" }}{{ end }}{{ end }}";
    let bounds = Bounds { memory: 300 << 20, ..Bounds::default() };
    let (tree, request, helm, _scratch) = lab(large, bounds, None);
    let said = unable(helm.render(&tree, &request, &target, &Stop::default()));
    assert!(said.contains("helm took more than 300 MiB of memory"), "{said}");

    let long = "a: {{ repeat 3000000 \"x\" }}";
    let bounds = Bounds { output: 2 << 20, ..Bounds::default() };
    let (tree, request, helm, _scratch) = lab(long, bounds, None);
    let said = unable(helm.render(&tree, &request, &target, &Stop::default()));
    assert!(said.contains("helm wrote more than 2 MiB"), "{said}");

    let (tree, request, helm, _scratch) = lab(endless, Bounds::default(), None);
    let stop = Stop::default();
    let stops = stop.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        stops.set();
    });
    let began = Instant::now();
    unable(helm.render(&tree, &request, &target, &stop));
    assert!(began.elapsed() < 10 * SECOND, "a newer commit does not wait");
    stopper.join().expect("it stops");
}

/// Stands in for helm and tells what it sees.
#[test]
fn helm_sees_no_network_and_nothing_of_ours() {
    let folder = TempDir::new().expect("a folder");
    let script = folder.path().join("helm");
    // A process of its own in the background is left behind, as a plugin might.
    fs::write(
        &script,
        "#!/bin/sh\n[ \"$1\" = version ] && echo v4.0.0 && exit\n/bin/sleep 300 &\necho \"# $!\" >&2\n\
         echo 'kind: Seen'\n/usr/bin/env | /usr/bin/sort | /bin/sed 's/^/# /'\n\
         /bin/cat /proc/self/net/dev | /bin/sed 's/^/#dev /'\n/usr/bin/find . -type f | /bin/sed 's/^/#file /'\n\
         echo \"level=WARN msg=\\\"pid $!\\\"\" >&2\nulimit -a | /bin/sed 's/^/#limit /'\n",
    )
    .expect("it is written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is made a program");
    let (tree, request, helm, _scratch) = lab("a: b", Bounds::default(), Some(script));
    let output = helm.render(&tree, &request, &ChartTarget::default(), &Stop::default()).expect("it renders");
    let seen = |prefix: &str| -> Vec<&str> {
        output.text.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::trim).collect()
    };
    let environment = seen("# ");
    for name in ["PATH=", "FAIRLEAD_", "USER=", "CARGO"] {
        let ours = environment.iter().find(|line| line.starts_with(name) && !line.starts_with("PATH=/usr"));
        assert_eq!(ours, None, "{environment:?}");
    }
    assert!(
        environment.iter().any(|line| line.starts_with("HTTPS_PROXY=http://127.0.0.1:9")),
        "{environment:?}"
    );
    let files = seen("#file ");
    for file in ["./chart/Chart.yaml", "./chart/templates/a.yaml", "./values/0.yaml"] {
        assert!(files.contains(&file), "{files:?}");
    }
    let may_unshare =
        Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|status| status.success());
    if may_unshare {
        let devices: Vec<&str> = seen("#dev ").into_iter().skip(2).collect();
        assert!(devices.iter().all(|device| device.starts_with("lo:")), "{devices:?}");
    }
    let pid = output.warnings[0].strip_prefix("pid ").expect("the pid of what it left behind");
    wait_until(SOON, "what it left behind is ended", || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z")
    });
}

#[test]
fn what_was_rendered_before_is_not_rendered_again() {
    let folder = TempDir::new().expect("a folder");
    let (script, count) = (folder.path().join("helm"), folder.path().join("count"));
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = template ] && echo x >> {}\nexec {} \"$@\"\n",
        count.display(),
        helm_binary().display()
    );
    fs::write(&script, text).expect("it is written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is made a program");
    // The script counts in a file that helm would not see.
    let bounds = Bounds { confined: false, ..Bounds::default() };
    let (tree, request, helm, _scratch) = lab("kind: A", bounds, Some(script));
    let runs = || fs::read_to_string(&count).unwrap_or_default().lines().count();
    let target = ChartTarget { kubernetes: "1.36.0".to_owned(), apis: vec!["v1".to_owned()] };
    let render = |tree: &MemoryTree, request: &ChartRequest, target: &ChartTarget| {
        helm.render(tree, request, target, &Stop::default()).expect("it renders");
        runs()
    };
    assert_eq!(render(&tree, &request, &target), 2, "twice, to compare");
    assert_eq!(render(&tree, &request, &target), 2);
    let elsewhere = ChartRequest { place: Place { line: 9, ..request.place.clone() }, ..request.clone() };
    assert_eq!(render(&tree, &elsewhere, &target), 2);
    let renamed = ChartRequest { release: "other".to_owned(), ..request.clone() };
    assert_eq!(render(&tree, &renamed, &target), 4);
    assert_eq!(
        render(&tree, &request, &ChartTarget { kubernetes: "1.35.0".to_owned(), ..target.clone() }),
        6
    );
    assert_eq!(render(&tree, &request, &ChartTarget { apis: vec!["v2".to_owned()], ..target.clone() }), 8);
    let values = ChartRequest { values: vec![ChartValues::Inline("{}".to_owned())], ..request.clone() };
    assert_eq!(render(&tree, &values, &target), 10);
    let (changed, ..) = lab("kind: B", Bounds::default(), None);
    assert_eq!(render(&changed, &request, &target), 12);
    assert_eq!(render(&tree, &request, &target), 12);
}

#[test]
fn offline_a_chart_is_told_the_newest_version_that_is_known() {
    let (tree, request, helm, _scratch) =
        lab(&configmap("{{ .Capabilities.KubeVersion.Version }}"), Bounds::default(), None);
    let charts = Charts::offline(&helm, None);
    let (limits, cache) = (fairlead::render::Limits::default(), fairlead::render::Cache::none());
    let source = fairlead::render::AppSource::Chart(Box::new(request));
    let context = fairlead::object::RenderContext {
        environment: fairlead::object::EnvironmentName::new("dev").expect("a name"),
        app: fairlead::object::AppName::new("demo").expect("a name"),
        cluster: None,
        region: None,
        role: None,
    };
    let rendered = charts
        .serve(&tree, |answers| fairlead::render::render(&tree, &source, &context, &limits, &cache, answers));
    let (desired, _) = rendered.expect("it renders");
    let version = format!("v{}", fairlead::schema::builtin().release());
    assert_eq!(desired.objects[0].value()["data"]["a"], version.as_str());
    assert_eq!(desired.objects[0].origin.place.to_string(), "charts/demo/templates/a.yaml");
}

#[test]
fn links_and_packages_are_charts_too() {
    let tree = Tree::of(&configmap("b"));
    let link = |to: &str, path: &str| {
        std::os::unix::fs::symlink(to, tree.0.path().join(path)).expect("the link is made");
    };
    tree.write("shared/c.yaml", &configmap("linked").replace("name: a", "name: c"));
    link("../../../shared/c.yaml", "charts/demo/templates/c.yaml");
    let by_link = by_name(tree.objects());
    assert_eq!(by_link.len(), 2, "{by_link:?}");
    link("../../../../../etc/passwd", "charts/demo/templates/d.yaml");
    tree.refuses(&["charts/demo/templates/d.yaml is a symbolic link that leaves the repository"]);
    fs::remove_file(tree.0.path().join("charts/demo/templates/d.yaml")).expect("it goes");

    // A package of it, as an app and below another chart.
    let package = |chart: &str, to: &str| {
        let mut helm = Command::new(helm_binary());
        helm.env_clear().env("HOME", tree.0.path()).current_dir(tree.0.path());
        let said = helm.args(["package", chart, "--destination", to]).output().expect("helm runs");
        assert!(said.status.success(), "{said:?}");
    };
    package("charts/demo", "packed");
    let config = |chart: &str| {
        format!(
            "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps: [{{name: demo, chart: {chart}}}]\n"
        )
    };
    tree.write("environments/dev/environment.yaml", &config("packed/demo-0.1.0.tgz"));
    assert_eq!(by_name(tree.objects()), by_link);
    // What stands in a package is not rewritten; the second run is in another time zone.
    tree.write("charts/demo/templates/a.yaml", &configmap("{{ now | date \"2006-01-02\" | quote }}"));
    package("charts/demo", "above/charts");
    tree.write(
        "above/Chart.yaml",
        "apiVersion: v2\nname: above\nversion: 0.1.0\ndependencies: [{name: demo, version: 0.1.0, repository: \
         \"https://example.org\"}]\n",
    );
    tree.write("environments/dev/environment.yaml", &config("above"));
    tree.refuses(&["above/charts/demo-0.1.0.tgz: data.a of ConfigMap"]);
    tree.write("environments/dev/environment.yaml", &config("shared/c.yaml"));
    tree.refuses(&["shared/c.yaml is no chart", "a .tgz of one"]);
}
