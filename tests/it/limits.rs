//! What a tree may cost is the platform's to say, and not the tree's.

use std::fs;

use tempfile::TempDir;

use crate::bed::manifests::configmap;
use crate::bed::{Bed, SOON, Said, fairlead, wait_until};

fn render(files: &[(&str, &str)], arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let folder = TempDir::new().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder is made");
        fs::write(path, text).expect("it is written");
    }
    let mut command = fairlead();
    command.arg("render").arg(folder.path().join("app")).args(arguments).envs(variables.iter().copied());
    Said::from(command.output().expect("it runs"))
}

#[test]
fn each_limit_is_a_flag_and_a_variable_and_is_refused_with_its_place() {
    let two = configmap("a", "1") + &configmap("b", "1");
    let aliased = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: &a some text that is long\n  b: *a\n";
    let deep = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {a: {b: {c: d}}}}\n";
    for (text, flag, value, enough, words) in [
        (&*two, "max-file-bytes", "40", "1Ki", "app/all.yaml"),
        (&two, "max-documents", "1", "2", "app/all.yaml"),
        (deep, "max-depth", "3", "20", "app/all.yaml:3"),
        (&two, "max-nodes", "5", "100", "app/all.yaml"),
        (aliased, "max-alias-bytes", "10", "1Ki", "app/all.yaml:5"),
        (&two, "max-objects", "1", "2", "more than 1 objects"),
        (&two, "max-object-bytes", "30", "1Ki", "and the limit is 30"),
        (&two, "max-total-bytes", "60", "1Ki", "all objects are"),
        (&two, "max-render-time", "0s", "30s", "took longer than 0 s"),
    ] {
        let files = [("app/all.yaml", text)];
        let refused = render(&files, &[&format!("--{flag}"), value], &[]);
        assert_eq!(refused.code, 2, "{flag}: {refused:?}");
        assert!(refused.stderr.contains(words) && refused.stdout.is_empty(), "{flag}: {refused:?}");
        let variable = format!("FAIRLEAD_{}", flag.to_uppercase().replace('-', "_"));
        assert_eq!(render(&files, &[], &[(&variable, value)]).code, 2, "{variable}");
        let taken = render(&files, &[&format!("--{flag}={enough}")], &[]);
        assert_eq!(taken.code, 0, "{flag}: {taken:?}");
    }
}

#[test]
fn a_tree_that_would_never_end_is_ended_and_named() {
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n";
    let mut files = vec![("app/kustomization.yaml".to_owned(), "components: [../c1, ../c1]\n".to_owned())];
    for n in 1..60 {
        let text = format!("{component}components: [../c{0}, ../c{0}]\n", n + 1);
        files.push((format!("c{n}/kustomization.yaml"), text));
    }
    files.push(("c60/kustomization.yaml".to_owned(), format!("{component}commonAnnotations: {{a: b}}\n")));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let said = render(&files, &["--max-render-time", "1s"], &[]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("rendering this took longer than 1 s"), "{said:?}");
    assert!(said.stderr.contains("/kustomization.yaml:"), "{said:?}");
}

#[test]
fn what_a_patch_nests_too_deep_is_refused_with_its_place() {
    let nested = |inner: &str| format!("{}{inner}{}", "{a: ".repeat(90), "}".repeat(90));
    let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\nx: {}\n", nested("1"));
    let patch = format!("- {{op: replace, path: /x{}, value: {}}}\n", "/a".repeat(90), nested("1"));
    let kustomization = "resources: [a.yaml]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]\n";
    let files = [("app/a.yaml", &*object), ("app/p.yaml", &patch), ("app/kustomization.yaml", kustomization)];
    for arguments in [&["-o", "yaml"][..], &["-o", "json"]] {
        let said = render(&files, arguments, &[]);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(
            said.stderr.contains("app/a.yaml:1: lists and maps of the object are nested more"),
            "{said:?}"
        );
    }
}

#[test]
fn an_agent_has_limits_of_its_own_and_an_app_beyond_them_harms_only_itself() {
    let bed = Bed::new("limits");
    let _agent = bed.agent_with(&[("FAIRLEAD_MAX_OBJECTS", "2")]);
    let three: String = ["a", "b", "c"].iter().map(|name| configmap(name, "1")).collect();
    bed.commit_apps(&[("large", &three), ("small", &configmap("small", "1"))]);
    bed.wait_app("small", "Ready");
    wait_until(SOON, "it is refused", || {
        bed.app("large")["message"].as_str().is_some_and(|text| text.contains("more than 2 objects"))
    });
    assert!(bed.configmap("a").is_none(), "nothing of it is written");
}
