//! Where a tree says that charts and manifests come from: in its kustomizations and charts, and in objects that have other
//! tools fetch them.

use serde_json::Value;

use crate::object::{ObjectKey, Place};

/// A remote that a file of the tree names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub kind: SourceKind,
    pub url: String,
    pub place: Place,
}

/// What comes from a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    Chart,
    Git,
}

impl SourceKind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Chart => "chart",
            Self::Git => "git",
        }
    }
}

/// The remotes that an object names, each with its JSON pointer.
pub(super) fn of_object<'a>(key: &ObjectKey, object: &'a Value) -> Vec<(String, SourceKind, &'a str)> {
    use SourceKind::{Chart, Git};
    let places: &[(&str, SourceKind)] = match (&*key.group, &*key.kind) {
        ("fairlead.dev", "Environment") => &[("/spec/source/url", Git)],
        ("source.toolkit.fluxcd.io", "GitRepository") => &[("/spec/url", Git)],
        ("source.toolkit.fluxcd.io", "HelmRepository" | "OCIRepository") => &[("/spec/url", Chart)],
        ("configsync.gke.io", "RootSync" | "RepoSync") => {
            &[("/spec/git/repo", Git), ("/spec/helm/repo", Chart)]
        }
        ("fleet.cattle.io", "GitRepo") => &[("/spec/repo", Git)],
        ("fleet.cattle.io", "HelmOp") => &[("/spec/helm/repo", Chart)],
        ("helm.cattle.io", "HelmChart") => &[("/spec/repo", Chart)],
        ("helm.crossplane.io", "Release") => &[("/spec/forProvider/chart/repository", Chart)],
        ("argoproj.io", "Application" | "ApplicationSet") => {
            let mut found = Vec::new();
            of_argo(object, String::new(), &mut found);
            return found;
        }
        _ => &[],
    };
    let named =
        places.iter().filter_map(|(at, kind)| Some(((*at).to_owned(), *kind, object.pointer(at)?.as_str()?)));
    named.collect()
}

/// Argo names remotes in sources, templates of them and generators, and calls all of them `repoURL`.
fn of_argo<'a>(value: &'a Value, pointer: String, found: &mut Vec<(String, SourceKind, &'a str)>) {
    match value {
        Value::Object(map) => {
            if let Some(url) = map.get("repoURL").and_then(Value::as_str) {
                let is_chart =
                    map.get("chart").and_then(Value::as_str).is_some_and(|chart| !chart.is_empty());
                let kind = if is_chart { SourceKind::Chart } else { SourceKind::Git };
                found.push((format!("{pointer}/repoURL"), kind, url));
            }
            map.iter().for_each(|(name, child)| of_argo(child, format!("{pointer}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| of_argo(item, format!("{pointer}/{n}"), found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_of_other_tools_name_what_they_fetch() {
        let named = |group: &str, kind: &str, object: Value| {
            let key = ObjectKey::new(group, kind, Some("web"), "a");
            of_object(&key, &object)
                .into_iter()
                .map(|(at, kind, url)| format!("{} {at} {url}", kind.word()))
                .collect::<Vec<_>>()
        };
        let flux = json!({"spec": {"url": "https://x"}});
        assert_eq!(
            named("source.toolkit.fluxcd.io", "GitRepository", flux.clone()),
            ["git /spec/url https://x"]
        );
        assert_eq!(
            named("source.toolkit.fluxcd.io", "HelmRepository", flux.clone()),
            ["chart /spec/url https://x"]
        );
        assert!(named("", "ConfigMap", flux).is_empty());
        let argo =
            json!({"spec": {"sources": [{"repoURL": "https://a"}, {"repoURL": "https://b", "chart": "c"}]}});
        assert_eq!(
            named("argoproj.io", "Application", argo),
            ["git /spec/sources/0/repoURL https://a", "chart /spec/sources/1/repoURL https://b"]
        );
        let set = json!({"spec": {"template": {"spec": {"source": {"repoURL": "https://a"}}}}});
        assert_eq!(
            named("argoproj.io", "ApplicationSet", set),
            ["git /spec/template/spec/source/repoURL https://a"]
        );
    }
}
