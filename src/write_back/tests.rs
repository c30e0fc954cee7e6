use serde_json::{Value, json};

use super::fixture::{Folders, outcome, tree, wish};
use super::*;

const BASE: &str = "# The web.\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 2 # two\n  template:\n    spec:\n      containers:\n      # The server.\n      - name: web\n        image: \"registry/web:1\"\n        args: [--fast, '--port=80']\n      - name: log\n        image: registry/log:1\n";

const APPS: [(&str, &str); 2] = [("dev", "overlays/dev/web"), ("prod", "overlays/prod/web")];

/// Two environments of one base, with what the first says.
fn world(dev: &str, more: &[(&'static str, &'static str)]) -> (Folders, crate::object::MemoryTree) {
    let mut files = vec![
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", BASE),
        ("overlays/dev/web/kustomization.yaml", dev),
        ("overlays/prod/web/kustomization.yaml", "resources: [../../../base]\nnamePrefix: p-\n"),
    ];
    files.extend(more.iter().copied());
    (Folders::new(&APPS), tree(&files))
}

const PLAIN: &str = "resources:\n- ../../../base # shared\n";

/// What is written for a field of dev's Deployment.
fn dev(
    overlay: &str,
    more: &[(&'static str, &'static str)],
    field: &str,
    live: Option<Value>,
) -> (String, Vec<String>) {
    let (folders, tree) = world(overlay, more);
    let wish = wish(&folders, &tree, ("dev", "web"), "Deployment.apps web", field, live);
    outcome(&folders, &tree, &[wish])
}

fn written(overlay: &str, more: &[(&'static str, &'static str)], field: &str, live: Option<Value>) -> String {
    let (text, refused) = dev(overlay, more, field, live);
    assert!(refused.is_empty(), "{refused:?}");
    text
}

#[test]
fn what_a_base_says_for_others_too_is_patched_in_the_overlay() {
    assert_eq!(
        written(PLAIN, &[], "spec.replicas", Some(json!(5))),
        "overlays/dev/web/kustomization.yaml\n+patches:\n+- patch: |-\n+    apiVersion: apps/v1\n+    kind: Deployment\n+    \
         metadata:\n+      name: web\n+    spec:\n+      replicas: 5\n"
    );
    // Of a list the second item keeps its place.
    assert_eq!(
        written(PLAIN, &[], "spec.template.spec.containers[name=log].image", Some(json!("registry/log:2"))),
        "overlays/dev/web/kustomization.yaml\n+patches:\n+- patch: |-\n+    - op: test\n+      path: \
         /spec/template/spec/containers/1/name\n+      value: log\n+    - op: replace\n+      path: \
         /spec/template/spec/containers/1/image\n+      value: registry/log:2\n+  target:\n+    group: apps\n+    kind: \
         Deployment\n+    name: web\n+    version: v1\n"
    );
}

#[test]
fn what_nobody_else_reads_is_changed_where_it_stands() {
    let folders = Folders::new(&APPS[..1]);
    let tree = tree(&[
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", BASE),
        ("overlays/dev/web/kustomization.yaml", PLAIN),
    ]);
    for (field, live, wanted) in [
        ("spec.replicas", json!(5), "-  replicas: 2 # two\n+  replicas: 5 # two\n"),
        (
            "spec.template.spec.containers[name=web].image",
            json!("registry/web:2"),
            "-        image: \"registry/web:1\"\n+        image: \"registry/web:2\"\n",
        ),
        (
            "spec.template.spec.containers[name=web].args",
            json!(["--slow", "a, b"]),
            "-        args: [--fast, '--port=80']\n+        args: [--slow, \"a, b\"]\n",
        ),
    ] {
        let wish = wish(&folders, &tree, ("dev", "web"), "Deployment.apps web", field, Some(live));
        let (text, refused) = outcome(&folders, &tree, &[wish]);
        assert_eq!((text, refused), (format!("base/web.yaml\n{wanted}"), Vec::new()));
    }
    let gone = wish(&folders, &tree, ("dev", "web"), "Deployment.apps web", "spec.replicas", None);
    assert_eq!(outcome(&folders, &tree, &[gone]).0, "base/web.yaml\n-  replicas: 2 # two\n");
}

#[test]
fn each_way_to_set_a_field_is_changed_at_its_line() {
    let file = "overlays/dev/web/kustomization.yaml\n";
    for (overlay, field, live, wanted) in [
        (
            "resources: [../../../base]\nreplicas:\n- name: web\n  count: 3 # three\n",
            "spec.replicas",
            json!(7),
            "-  count: 3 # three\n+  count: 7 # three\n",
        ),
        (
            "resources: [../../../base]\nimages:\n- {name: registry/web, newTag: \"2\"}\n",
            "spec.template.spec.containers[name=web].image",
            json!("registry/web:1.10"),
            "-- {name: registry/web, newTag: \"2\"}\n+- {name: registry/web, newTag: \"1.10\"}\n",
        ),
        (
            "resources: [../../../base]\nimages:\n- name: registry/web\n  newTag: v2\n  # Why.\n",
            "spec.template.spec.containers[name=web].image",
            json!("registry/web@sha256:0011"),
            "-  newTag: v2\n+  digest: sha256:0011\n",
        ),
        (
            "resources: [../../../base]\nimages:\n- name: registry/web\n  newTag: v2\n",
            "spec.template.spec.containers[name=web].image",
            json!("mirror/web:v3"),
            "-  newTag: v2\n+  newTag: v3\n+  newName: mirror/web\n",
        ),
        (
            "resources: [../../../base]\npatches:\n- patch: |-\n    # Ours.\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    spec:\n      replicas: 4 # four\n",
            "spec.replicas",
            json!(6),
            "-      replicas: 4 # four\n+      replicas: 6 # four\n",
        ),
        (
            "resources: [../../../base]\npatches:\n- target: {kind: Deployment}\n  patch: |\n    - op: replace\n      path: /spec/replicas\n      value: 4 # four\n",
            "spec.replicas",
            json!(6),
            "-      value: 4 # four\n+      value: 6 # four\n",
        ),
        (
            "resources: [../../../base]\npatches:\n- target: {kind: Deployment}\n  patch: '[{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 4}]'\n",
            "spec.replicas",
            json!(6),
            // It is not known where in a quoted text something stands.
            "+- patch: |-\n+    apiVersion: apps/v1\n+    kind: Deployment\n+    metadata:\n+      name: web\n+    spec:\n+      replicas: 6\n",
        ),
    ] {
        let text = written(overlay, &[], field, Some(live));
        assert_eq!(text, format!("{file}{wanted}"), "{overlay}");
    }
}

#[test]
fn a_patch_that_is_there_says_the_next_field_too() {
    let patch =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  # More.\n  replicas: 4\n";
    let overlay = "resources: [../../../base]\npatches:\n- path: more.yaml\n";
    assert_eq!(
        written(
            overlay,
            &[("overlays/dev/web/more.yaml", patch)],
            "spec.template.spec.containers[name=web].image",
            Some(json!("x"))
        ),
        "overlays/dev/web/more.yaml\n+  template:\n+    spec:\n+      containers:\n+      - image: x\n+        name: web\n"
    );
}

#[test]
fn what_generators_make_is_changed_where_it_is_given() {
    let overlay = "resources: [../../../base]\nconfigMapGenerator:\n- name: settings\n  literals:\n  - COLOR=blue # why\n  - \"QUOTED='x'\"\n  files: [page.html]\n  envs: [more.env]\n";
    let more = [
        ("overlays/dev/web/page.html", "<p>\n"),
        ("overlays/dev/web/more.env", "# Sizes.\nSIZE=1\nOTHER=2\n"),
    ];
    let (folders, tree) = world(overlay, &more);
    for (field, live, wanted) in [
        (
            "data.COLOR",
            "green",
            "overlays/dev/web/kustomization.yaml\n-  - COLOR=blue # why\n+  - COLOR=green # why\n",
        ),
        (
            "data.QUOTED",
            "\"y\"",
            "overlays/dev/web/kustomization.yaml\n-  - \"QUOTED='x'\"\n+  - \"QUOTED='\\\"y\\\"'\"\n",
        ),
        ("data.SIZE", "3", "overlays/dev/web/more.env\n-SIZE=1\n+SIZE=3\n"),
        ("data[page.html]", "<b>\n</b>\n", "overlays/dev/web/page.html\n-<p>\n+<b>\n+</b>\n"),
    ] {
        let wish = wish(&folders, &tree, ("dev", "web"), "ConfigMap settings", field, Some(json!(live)));
        assert_eq!(outcome(&folders, &tree, &[wish]), (wanted.to_owned(), Vec::new()), "{field}");
    }
}

#[test]
fn two_environments_that_wish_the_same_change_what_they_share() {
    let (folders, tree) = world(PLAIN, &[]);
    let wishes: Vec<Wish> = [("dev", "web"), ("prod", "p-web")]
        .into_iter()
        .map(|(environment, name)| {
            wish(
                &folders,
                &tree,
                (environment, "web"),
                &format!("Deployment.apps {name}"),
                "spec.replicas",
                Some(json!(9)),
            )
        })
        .collect();
    let wanted = "base/web.yaml\n-  replicas: 2 # two\n+  replicas: 9 # two\n";
    assert_eq!(outcome(&folders, &tree, &wishes), (wanted.to_owned(), Vec::new()));
    // What prod wants otherwise is no reason to change it for dev.
    let mut other = wishes;
    other[1].live = Some(json!(3));
    let (text, refused) = outcome(&folders, &tree, &other);
    assert!(refused.is_empty() && text.contains("+      replicas: 9\n"), "{text}{refused:?}");
}

#[test]
fn a_plain_folder_of_one_environment_is_changed_and_that_of_two_is_not() {
    let files = [("shared/web/web.yaml", BASE)];
    let one = Folders::new(&[("dev", "shared/web")]);
    let wish = |folders: &Folders| {
        wish(folders, &tree(&files), ("dev", "web"), "Deployment.apps web", "spec.replicas", Some(json!(3)))
    };
    let (text, _) = outcome(&one, &tree(&files), &[wish(&one)]);
    assert_eq!(text, "shared/web/web.yaml\n-  replicas: 2 # two\n+  replicas: 3 # two\n");
    let two = Folders::new(&[("dev", "shared/web"), ("prod", "shared/web")]);
    let (text, refused) = outcome(&two, &tree(&files), &[wish(&two)]);
    assert_eq!(text, "");
    assert_eq!(
        refused,
        [
            "dev/web Deployment.apps web .spec.replicas: shared/web/web.yaml:7 (resource): that would change Deployment.apps web \
          .spec.replicas of prod/web, too"
        ]
    );
}

#[test]
fn what_git_does_not_say_alone_is_refused_with_the_reason() {
    let replacement = "resources: [../../../base, name.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: from, fieldPath: data.x}\n  targets:\n  - select: {kind: Deployment}\n    fieldPaths: [spec.template.spec.containers.0.image]\n";
    let name = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from}\ndata: {x: 'a:1'}\n";
    let (text, refused) = dev(
        replacement,
        &[("overlays/dev/web/name.yaml", name)],
        "spec.template.spec.containers[name=web].image",
        Some(json!("b:1")),
    );
    assert_eq!(text, "");
    assert!(refused[0].contains("(replacement"), "{refused:?}");
    let (folders, tree) =
        world("resources: [../../../base]\nsecretGenerator:\n- name: key\n  literals: [PASSWORD=old]\n", &[]);
    let secret = wish(&folders, &tree, ("dev", "web"), "Secret key", "data.PASSWORD", Some(json!("bmV3")));
    let (text, refused) = outcome(&folders, &tree, &[secret]);
    assert_eq!((text.as_str(), refused[0].contains("never written into git")), ("", true));
    let gone = Wish {
        path: FieldPath::default(),
        ..wish(&folders, &tree, ("dev", "web"), "Deployment.apps web", "spec.replicas", None)
    };
    assert!(outcome(&folders, &tree, &[gone]).1[0].contains("the object is gone"));
}

#[test]
fn what_stands_in_an_anchor_that_others_use_is_not_changed_there() {
    let overlay = "resources: [web.yaml]\n";
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: &x one\n  b: *x\n  c: &alone two\n";
    let (folders, tree) = world(overlay, &[("overlays/dev/web/web.yaml", object)]);
    let set = |field: &str| {
        let wish = wish(&folders, &tree, ("dev", "web"), "ConfigMap m", field, Some(json!("new")));
        outcome(&folders, &tree, &[wish]).0
    };
    assert!(!set("data.a").contains("web.yaml\n-"), "both would change");
    assert_eq!(set("data.b"), "overlays/dev/web/web.yaml\n-  b: *x\n+  b: new\n");
    assert_eq!(set("data.c"), "overlays/dev/web/web.yaml\n-  c: &alone two\n+  c: &alone new\n");
}
