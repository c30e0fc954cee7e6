//! `fairlead validate`: the whole tree, offline, everything at once, each with the line where it stands.

use crate::bed::{Repo, Said, fairlead};

const CONFIG: &str = "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps:\n";

fn config(apps: &[&str]) -> String {
    let entries: Vec<String> = apps.iter().map(|app| format!("  - {{name: {app}, path: {app}}}\n")).collect();
    format!("{CONFIG}{}", entries.concat())
}

fn configmap(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: b\n")
}

fn repo() -> Repo {
    let repo = Repo::default();
    repo.write("environments/dev/environment.yaml", config(&["web", "other"]).as_bytes());
    repo.write("environments/platform/environment.yaml", config(&["definitions"]).as_bytes());
    repo.write("web/base.yaml", configmap("shared").as_bytes());
    repo.write("other/all.yaml", configmap("shared").as_bytes());
    repo.write(
        "web/widget.yaml",
        b"apiVersion: example.org/v1\nkind: Widget\nmetadata:\n  name: w\nspec:\n  mode: a\n",
    );
    repo.write(
        "web/pods.yaml",
        b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels:\n    debug: on\nspec:\n  containers:\n  - name: c\n    imag: x\n",
    );
    repo.write(
        "web/kustomization.yaml",
        b"resources: [base.yaml, widget.yaml, pods.yaml]\npatchesStrategicMerge:\n- patch.yaml\n",
    );
    repo.write(
        "web/patch.yaml",
        b"apiVersion: example.org/v1\nkind: Widget\nmetadata:\n  name: w\nspec:\n  # Not one of them.\n  mode: c\n  colour: red\n",
    );
    repo.write(
        "definitions/crd.yaml",
        b"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.org}\nspec:\n  group: example.org\n  \
          scope: Namespaced\n  names: {kind: Widget, plural: widgets}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    \
          schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {mode: {type: string, enum: [a, b]}}}}}}\n",
    );
    repo
}

fn validate(repo: &Repo, arguments: &[&str]) -> Said {
    let mut command = fairlead();
    command.arg("validate").args(arguments).arg("--repo").arg(repo.work());
    command.output().expect("the binary runs").into()
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_line() {
    let repo = repo();
    let said = validate(&repo, &[]);
    assert_eq!(said.code, 2, "{said:?}");
    for line in [
        "note: web/kustomization.yaml:2: `patchesStrategicMerge` is old; write `patches`",
        "note: web/pods.yaml:6: metadata.labels.debug: kustomize reads text here, kubectl a boolean; write true or false for a \
         boolean, or put it in quotes for text",
        "error: web/patch.yaml:7: Widget.example.org w: spec.mode must be one of \"a\", \"b\"",
        "error: web/patch.yaml:8: Widget.example.org w: spec.colour: there is no field \"colour\" here",
        "error: web/pods.yaml:10: Pod p: spec.containers[0].imag: there is no field \"imag\" here; did you mean \"image\"?",
        "error: other/all.yaml:1: ConfigMap default/shared is in the app web too, at web/base.yaml:1 (an object belongs to one app)",
        "2 environments, 3 apps, 5 objects, Kubernetes 1.36.3: 4 wrong",
    ] {
        assert!(said.stdout.lines().any(|found| found == line), "no {line:?} in:\n{}", said.stdout);
    }
    assert_eq!(said.stdout.lines().count(), 7, "{}", said.stdout);
    let github = validate(&repo, &["-o", "github"]).stdout;
    assert!(
        github.contains("::error file=web/patch.yaml,line=7::Widget.example.org w: spec.mode must"),
        "{github}"
    );
    assert!(github.contains("::notice file=web/kustomization.yaml,line=2::"), "{github}");
    let json = validate(&repo, &["-o", "json"]).json();
    assert_eq!(json["errors"].as_array().map(Vec::len), Some(4), "{json:#}");
    assert_eq!(json["errors"][0]["environment"], "dev", "{json:#}");
    // Alone, an environment knows the definitions that it has.
    let said = validate(&repo, &["--env", "dev"]);
    assert!(!said.stdout.contains("colour"), "{said:?}");
}

#[test]
fn folders_and_releases_are_looked_at_by_name() {
    let repo = repo();
    repo.write("plain/cron.yaml", b"apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c}\n");
    repo.write(
        "plain/claim.yaml",
        b"apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: {name: c}\nspec: {}\n",
    );
    let folder = repo.work().join("plain");
    let ask = |more: &[&str]| -> Said {
        let mut command = fairlead();
        command.arg("validate").arg(&folder).args(more);
        command.output().expect("the binary runs").into()
    };
    let said = ask(&[]);
    assert_eq!(said.code, 2);
    assert!(
        said.stdout.contains("plain/cron.yaml:1: batch/v1beta1, kind CronJob was removed in Kubernetes 1.25"),
        "{said:?}"
    );
    assert!(
        said.stdout.contains("0 environments, 1 apps, 2 objects, Kubernetes 1.36.3: 1 wrong"),
        "{said:?}"
    );
    let said = ask(&["--kube-version", "v1.33.4"]);
    assert!(
        said.stdout
            .contains("Kubernetes 1.33.13 has no resource.k8s.io/v1, kind ResourceClaim (Kubernetes 1.34."),
        "{said:?}"
    );
    let said = ask(&["--kubernetes-version", "1.21"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("Kubernetes 1.21 are not known here; known are 1.36, 1.35"), "{said:?}");
    assert_eq!(ask(&["--env", "dev"]).code, 2, "folders or environments, not both");
}

#[test]
fn rules_about_drift_that_do_nothing_are_named_with_their_line() {
    let repo = Repo::default();
    let rules = "  drift:\n    rules:\n    - {policy: report, kinds: [ConfigMap]}\n    - {policy: report, kinds: [Deployment.app]}\n    - {policy: report, until: 2020-01-01}\n";
    repo.write("environments/dev/environment.yaml", format!("{}{rules}", config(&["web"])).as_bytes());
    repo.write("web/base.yaml", configmap("one").as_bytes());
    let said = validate(&repo, &[]);
    let told: Vec<&str> = said.stdout.lines().filter(|line| line.contains("this rule")).collect();
    let [unused, over] = told[..] else { panic!("{said:?}") };
    let (unused, over) = if unused.contains("is over") || unused.contains("was over") {
        (over, unused)
    } else {
        (unused, over)
    };
    assert!(
        unused.contains("environments/dev/environment.yaml:9: this rule is about no object that git has"),
        "{said:?}"
    );
    assert!(
        over.contains("environments/dev/environment.yaml:10: this rule was over on 2020-01-01"),
        "{said:?}"
    );
    assert_eq!(said.code, 0, "{said:?}");
    // Of what cannot be rendered it is not known what it has.
    repo.write("web/base.yaml", b"{ this is no YAML: [");
    let said = validate(&repo, &[]);
    assert!(!said.stdout.contains("about no object") && !said.stderr.contains("about no object"), "{said:?}");
}
