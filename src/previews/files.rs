//! The files of a preview: those of the pull request's merge, and beside them a folder of ours that puts every app into the
//! preview's namespace, under its host, and without what would bound it otherwise than we do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names::host;
use crate::api::EnvironmentConfig;
use crate::object::{AppName, EntryKind, Tree, TreeError, TreePath};

/// No file of a repository can be meant by it: it is written over what is there.
pub const FOLDER: &str = ".fairlead-preview";
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// What bounds a namespace is ours alone; policies of networks add up, so that one more opens what ours closes.
/// A budget could hold the drain of a node up, and what is only looked at need not be there all the time.
const LEFT_OUT: [&str; 5] =
    ["Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget"];
/// Folders in folders.
const DEPTH: usize = 16;

/// What the tree of a preview has beside that of the merge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Composed {
    pub files: BTreeMap<TreePath, Vec<u8>>,
}

/// Composes a preview of an environment whose file, as the merge has it, says `config`. `apps` and `pattern` are those of
/// the base branch. Of one that is asleep no pod is wanted, but for those of charts and of Jobs.
pub fn compose(
    tree: &dyn Tree,
    config: &EnvironmentConfig,
    (name, number): (&str, u64),
    apps: Option<&[AppName]>,
    pattern: Option<&str>,
    is_asleep: bool,
) -> Result<Composed, String> {
    let folder = TreePath::root().child(FOLDER);
    let mut files = BTreeMap::new();
    let mut listed = Vec::new();
    let is_wanted = |app: &AppName| apps.is_none_or(|apps| apps.contains(app));
    for app in config.apps.iter().filter(|app| is_wanted(&app.name)) {
        let depends: Vec<&AppName> = app.depends_on.iter().filter(|on| is_wanted(on)).collect();
        let mut spec = json!({"name": app.name, "dependsOn": depends});
        match (&app.path, &app.chart) {
            (Some(path), _) => {
                let source = TreePath::new(path).map_err(|error| error.to_string())?;
                if let Some((file, text)) = gathered(tree, &source).map_err(|error| error.to_string())? {
                    files.insert(file, text);
                }
                let own = folder.child(app.name.as_str());
                let host = pattern.map(|pattern| host(pattern, &app.name, number)).transpose()?;
                let text = kustomization(name, &source, host.as_deref(), is_asleep);
                files.insert(own.child("kustomization.yaml"), text.to_string().into_bytes());
                spec["path"] = json!(own);
            }
            (None, chart) => {
                spec["chart"] = json!(chart);
                spec["values"] = json!(app.values);
                spec["release"] = json!(app.release.clone().unwrap_or_else(|| app.name.to_string()));
                spec["namespace"] = json!(name);
            }
        }
        listed.push(spec);
    }
    if listed.is_empty() {
        return Err("it has no app of which there is a preview".to_owned());
    }
    let mut rollout = json!(config.rollout);
    // Nothing of it is worth a person's word.
    rollout["prune"] = json!({"max": 10_000, "percent": 100});
    let environment = json!({
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "EnvironmentConfig",
        "spec": {"apps": listed, "rollout": rollout, "production": false},
    });
    files.insert(folder.child("environment.yaml"), environment.to_string().into_bytes());
    Ok(Composed { files })
}

/// JSON is YAML.
fn kustomization(namespace: &str, source: &TreePath, host: Option<&str>, is_asleep: bool) -> Value {
    let remove = |kind: &&str| {
        let patch =
            json!({"$patch": "delete", "apiVersion": "v1", "kind": kind, "metadata": {"name": "any"}});
        json!({"target": {"kind": kind}, "patch": patch.to_string()})
    };
    let set = |kind: &str, path: &str, value: Value| {
        let patch = json!([{"op": "add", "path": path, "value": value}]);
        json!({"target": {"kind": kind}, "patch": patch.to_string()})
    };
    let mut patches: Vec<Value> = LEFT_OUT.iter().map(remove).collect();
    if is_asleep {
        // An autoscaler would want one pod at least.
        patches.push(remove(&"HorizontalPodAutoscaler"));
        patches.push(set("Deployment", "/spec/replicas", json!(0)));
        patches.push(set("StatefulSet", "/spec/replicas", json!(0)));
        patches.push(set("CronJob", "/spec/suspend", json!(true)));
    }
    if let Some(host) = host {
        patches.push(set("Ingress", "/spec/rules/0/host", json!(host)));
        patches.push(set("HTTPRoute", "/spec/hostnames", json!([host])));
    }
    json!({"namespace": namespace, "resources": [format!("../../{source}")], "patches": patches})
}

/// A kustomization for a folder that has none and stands for all its manifests.
fn gathered(tree: &dyn Tree, folder: &TreePath) -> Result<Option<(TreePath, Vec<u8>)>, TreeError> {
    for name in KUSTOMIZATIONS {
        if tree.kind(&folder.child(name))?.is_some() {
            return Ok(None);
        }
    }
    let mut found = Vec::new();
    gather(tree, folder, "", 0, &mut found)?;
    let text = json!({"resources": found}).to_string();
    Ok(Some((folder.child("kustomization.yaml"), text.into_bytes())))
}

fn gather(
    tree: &dyn Tree,
    folder: &TreePath,
    within: &str,
    depth: usize,
    found: &mut Vec<String>,
) -> Result<(), TreeError> {
    for entry in tree.list(folder)? {
        let name = format!("{within}{}", entry.name);
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| entry.name.ends_with(end));
        match entry.kind {
            _ if entry.name.starts_with('.') => {}
            EntryKind::Folder if depth < DEPTH => {
                gather(tree, &folder.child(&entry.name), &format!("{name}/"), depth + 1, found)?;
            }
            EntryKind::File if is_manifest => found.push(name),
            _ => {}
        }
    }
    Ok(())
}
