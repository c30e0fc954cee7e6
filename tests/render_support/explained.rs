//! What set each field: over all the cases, and over random trees, what is told ends where the object does.

use fairlead::object::field_path::FieldPath;
use fairlead::object::{ChartAnswers, MemoryTree, Problems, TreePath};
use fairlead::render::{Explained, Limits, Rendered, build, explain};
use serde_json::Value;

use crate::support::{case_folders, memory_tree, random};

/// The paths of all scalars, as people write them.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            leaves(value, &format!("{pointer}/{key}"), found);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(nth, item)| {
            leaves(item, &format!("{pointer}/{nth}"), found);
        }),
        _ => found.push(pointer.to_owned()),
    }
}

/// With no chart rendered: one that is needed is as good as a refusal.
fn explained(
    tree: &MemoryTree,
    folder: &TreePath,
    limits: &Limits,
) -> Result<Vec<Explained>, Option<Problems>> {
    match explain(tree, folder, limits, &ChartAnswers::new()) {
        Ok(Rendered::Done(explained)) => Ok(explained),
        Ok(Rendered::NeedCharts(_)) => Err(None),
        Err(problems) => Err(Some(problems)),
    }
}

/// Everything that is told of a folder, checked against what it renders to. Gives how many fields were looked at.
fn check(tree: &MemoryTree, folder: &TreePath, name: &str) -> usize {
    let limits = Limits::default();
    let Ok((objects, _)) = build(tree, folder, &limits) else {
        assert!(explained(tree, folder, &limits).is_err(), "{name}: refused, and yet explained");
        return 0;
    };
    let explained = explained(tree, folder, &limits).expect("what renders can be explained");
    let texts: Vec<&str> = explained.iter().map(|object| object.manifest.json()).collect();
    assert_eq!(texts, objects.iter().map(|object| object.json()).collect::<Vec<_>>(), "{name}");
    let mut count = 0;
    for object in &explained {
        let value = object.manifest.value();
        let mut pointers = Vec::new();
        leaves(&value, "", &mut pointers);
        for pointer in pointers {
            let at = format!("{name}: {} {pointer}", object.manifest.key());
            let path = object.find(&pointer).unwrap_or_else(|error| panic!("{at}: {error}"));
            let shown = path.to_string();
            assert_eq!(object.find(&shown).as_ref(), Ok(&path), "{at}: {shown} leads elsewhere");
            let settings = object.settings(tree, &limits, &path);
            let last = settings.last().unwrap_or_else(|| panic!("{at}: nothing set it"));
            let (told, wanted) = (last.value.as_ref(), value.pointer(&pointer));
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(told.map(text), wanted.map(text), "{at}: by {}", last.by);
            for setting in &settings {
                let file = fairlead::object::Tree::read(tree, &setting.place.path, 1 << 20);
                let file = file.unwrap_or_else(|error| panic!("{at}: {}: {error}", setting.place));
                let lines = file.bytes.split(|byte| *byte == b'\n').count();
                assert!(setting.place.line as usize <= lines, "{at}: {} is past the end", setting.place);
            }
            count += 1;
        }
    }
    count
}

#[test]
fn what_set_a_field_ends_where_the_object_does() {
    let mut count = 0;
    for case in case_folders() {
        let folder = TreePath::new(&case.folder).expect("a case's folder is a path");
        count += check(&memory_tree(&case.tree), &folder, &case.name);
    }
    for seed in 1..=200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let files = random::Tree::new(&mut rng).files;
        let tree = MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text)));
        let folder = TreePath::new("overlay").expect("a path");
        count += check(&tree.expect("paths are paths"), &folder, &format!("seed {seed}"));
    }
    assert!(count > 5_000, "only {count} fields were looked at");
}

/// A tree with everything in it that sets fields.
const FILES: [(&str, &str); 9] = [
    (
        "base/web.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n  template:\n    spec:\n      \
         containers:\n      - name: side\n        image: side:1\n      - name: web\n        image: nginx:1.0\n        \
         args: [$(HOST)]\n        envFrom:\n        - configMapRef:\n            name: settings\n        - secretRef:\n            \
         name: keys\n      volumes:\n      - name: old\n        emptyDir: {}\n",
    ),
    (
        "base/kustomization.yaml",
        "resources:\n- web.yaml\n- service.yaml\nconfigMapGenerator:\n- name: settings\n  literals:\n  - mode=plain\n  - level=1\n  \
         files:\n  - app.conf\n  envs:\n  - settings.env\nsecretGenerator:\n- name: keys\n  literals:\n  - key=secret\n",
    ),
    (
        "base/service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: db\nspec:\n  ports:\n  - port: 80\n",
    ),
    ("base/app.conf", "a = 1\n"),
    ("base/settings.env", "# a comment\nHOME=/srv\n"),
    (
        "overlay/kustomization.yaml",
        "resources:\n- ../base\ncomponents:\n- ../component\nnamespace: prod\nnamePrefix: p-\nnameSuffix: -s\nimages:\n- name: nginx\n  \
         newName: registry.example/nginx\n  newTag: \"2.0\"\nreplicas:\n- name: web\n  count: 3\nlabels:\n- pairs:\n    team: core\n  \
         includeTemplates: true\ncommonAnnotations:\n  note: short\nconfigMapGenerator:\n- name: settings\n  behavior: merge\n  \
         literals:\n  - level=2\npatches:\n- path: patch.yaml\n- target:\n    kind: Service\n  patch: |-\n    - op: replace\n      \
         path: /spec/ports/0\n      value:\n        port: 81\n        name: http\n- target: {kind: Deployment}\n  patch: |\n    \
         apiVersion: apps/v1\n    kind: Deployment\n    metadata:\n      name: any\n    spec:\n      paused: true\n\
         replacements:\n- source:\n    kind: Service\n    fieldPath: spec.ports.0.port\n  targets:\n  - select:\n      kind: \
         Deployment\n    fieldPaths:\n    - spec.minReadySeconds\n    options:\n      create: true\nvars:\n- name: HOST\n  \
         objref:\n    apiVersion: v1\n    kind: Service\n    name: db\n",
    ),
    (
        "overlay/patch.yaml",
        "# What production needs.\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    \
         spec:\n      containers:\n      - name: web\n        resources:\n          limits:\n            memory: 1Gi\n      \
         volumes:\n      - name: old\n        $patch: delete\n      - name: new\n        emptyDir: {}\n",
    ),
    (
        "component/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- path: strategy.yaml\n",
    ),
    (
        "component/strategy.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  strategy:\n    type: Recreate\n",
    ),
];

fn told(object: &Explained, tree: &MemoryTree, field: &FieldPath) -> String {
    let settings = object.settings(tree, &Limits::default(), field);
    let words: Vec<String> = settings
        .iter()
        .map(|setting| {
            let from = setting.from.as_ref().map_or(String::new(), |from| format!(" ({from})"));
            format!("{}{from} {}", setting.by, setting.place)
        })
        .collect();
    words.join(" < ")
}

#[test]
fn each_way_to_set_a_field_names_the_line_that_it_stands_on() {
    let tree = MemoryTree::new(FILES.iter().copied()).expect("paths are paths");
    let folder = TreePath::new("overlay").expect("a path");
    let objects = explained(&tree, &folder, &Limits::default()).expect("it renders");
    let mut failures = Vec::new();
    for (kind, field, wanted) in [
        ("Deployment", "kind", "resource base/web.yaml:2"),
        ("Deployment", "spec.replicas", "resource base/web.yaml:6 < replicas overlay/kustomization.yaml:14"),
        (
            "Deployment",
            "spec.template.spec.containers[web].image",
            "resource base/web.yaml:13 < images overlay/kustomization.yaml:11",
        ),
        ("Deployment", "spec.template.spec.containers[name=side].image", "resource base/web.yaml:11"),
        (
            "Deployment",
            "spec.template.spec.containers[web].resources.limits.memory",
            "patch overlay/patch.yaml:13",
        ),
        ("Deployment", "spec.template.spec.volumes[new]", "patch overlay/patch.yaml:17"),
        (
            "Deployment",
            "spec.template.spec.volumes[old]",
            "resource base/web.yaml:21 < patch overlay/patch.yaml:15",
        ),
        ("Deployment", "spec.strategy.type", "patch component/strategy.yaml:7"),
        ("Deployment", "spec.paused", "patch overlay/kustomization.yaml:43"),
        (
            "Deployment",
            "metadata.name",
            "resource base/web.yaml:4 < namePrefix overlay/kustomization.yaml:6 < nameSuffix overlay/kustomization.yaml:7",
        ),
        ("Deployment", "metadata.namespace", "namespace overlay/kustomization.yaml:5"),
        ("Deployment", "metadata.labels.team", "labels overlay/kustomization.yaml:17"),
        ("Deployment", "spec.template.metadata.labels.team", "labels overlay/kustomization.yaml:17"),
        ("Deployment", "metadata.annotations.note", "annotations overlay/kustomization.yaml:20"),
        (
            "Deployment",
            "spec.minReadySeconds",
            "replacement (spec.ports.0.port of Service) overlay/kustomization.yaml:45",
        ),
        (
            "Deployment",
            "spec.template.spec.containers[web].args[0]",
            "resource base/web.yaml:14 < vars (metadata.name of Service db) overlay/kustomization.yaml:56",
        ),
        ("Service", "spec.ports[81].port", "JSON patch overlay/kustomization.yaml:34"),
        ("Service", "/spec/ports/0/name", "JSON patch overlay/kustomization.yaml:35"),
        ("ConfigMap", "data.mode", "literal base/kustomization.yaml:7"),
        (
            "ConfigMap",
            "data.level",
            "literal base/kustomization.yaml:8 < generator merge overlay/kustomization.yaml:25",
        ),
        ("ConfigMap", "data[app.conf]", "file base/app.conf:1"),
        ("ConfigMap", "data.app.conf", "file base/app.conf:1"),
        ("ConfigMap", "data.HOME", "env file base/settings.env:2"),
        ("Secret", "data.key", "literal base/kustomization.yaml:16"),
    ] {
        let object = objects.iter().find(|object| &*object.manifest.gvk().kind == kind).expect("it is there");
        let told = match object.find(field) {
            Ok(path) => told(object, &tree, &path),
            Err(error) => error.to_string(),
        };
        if told != wanted {
            failures.push(format!("{kind} {field}\n  told   {told}\n  wanted {wanted}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let web = &objects.iter().find(|object| object.manifest.name() == "p-web-s").expect("it is there");
    assert_eq!(web.names(), ["web", "p-web", "p-web-s"]);
    let settings =
        objects.iter().find(|object| object.names().contains(&"settings".to_owned())).expect("it is there");
    let name = settings.find("metadata.name").expect("it has a name");
    assert!(
        told(settings, &tree, &name).ends_with("content hash base/kustomization.yaml:5"),
        "{}",
        told(settings, &tree, &name)
    );
    let referred =
        web.find("spec.template.spec.containers[web].envFrom[0].configMapRef.name").expect("it is there");
    let told = told(web, &tree, &referred);
    assert!(told.contains("name reference (the name of ConfigMap p-settings-s-"), "{told}");
    assert!(web.find("spec.replicaz").is_err_and(|error| error.known == "spec"));
}
