//! The remotes that the files of an app name: repositories of charts, in kustomizations and in charts themselves. Nothing is
//! ever fetched from them; they say where what is committed came from, and the platform may limit that.

use serde_json::Value;

use crate::object::{EntryKind, Tree, TreePath};
use crate::policy::{Source, SourceKind};
use crate::yaml::{self, Dialect, Document, Limits};

const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// What a chart says of those that it stands on; the second is of old charts.
const CHART_FILES: [&str; 2] = ["Chart.yaml", "requirements.yaml"];
/// Charts within charts.
const DEEPEST: usize = 8;

/// Reads what the files and folders that an app is made of name. A file that cannot be read was told as a problem before.
pub fn named_sources<'a>(
    tree: &dyn Tree,
    contents: impl Iterator<Item = &'a TreePath>,
    limits: &Limits,
) -> Vec<Source> {
    let mut found = Vec::new();
    for path in contents {
        let name = path.file_name();
        if KUSTOMIZATIONS.contains(&name) {
            of_kustomization(tree, path, limits, &mut found);
        } else if CHART_FILES.contains(&name) {
            of_chart_file(tree, path, limits, &mut found);
        } else if matches!(tree.kind(path), Ok(Some(EntryKind::Folder))) {
            of_chart(tree, path, limits, 0, &mut found);
        }
    }
    found.sort_by(|a, b| a.place.cmp(&b.place));
    found.dedup();
    found
}

fn documents(tree: &dyn Tree, path: &TreePath, dialect: Dialect, limits: &Limits) -> Vec<Document> {
    let Ok(blob) = tree.read(path, limits.file_bytes) else { return Vec::new() };
    yaml::read(&blob.bytes, path, dialect, limits).unwrap_or_default()
}

fn of_kustomization(tree: &dyn Tree, path: &TreePath, limits: &Limits, found: &mut Vec<Source>) {
    for document in documents(tree, path, Dialect::Kustomize, limits) {
        for (list, field) in [("helmCharts", "repo"), ("helmChartInflationGenerator", "chartRepoUrl")] {
            name_each(&document, list, field, found);
        }
    }
}

fn of_chart_file(tree: &dyn Tree, path: &TreePath, limits: &Limits, found: &mut Vec<Source>) {
    for document in documents(tree, path, Dialect::Config, limits) {
        name_each(&document, "dependencies", "repository", found);
    }
}

/// A chart is read as a whole folder, and so are the charts in it.
fn of_chart(tree: &dyn Tree, folder: &TreePath, limits: &Limits, depth: usize, found: &mut Vec<Source>) {
    let files = CHART_FILES.map(|name| folder.child(name));
    if !matches!(tree.kind(&files[0]), Ok(Some(EntryKind::File))) {
        return;
    }
    files.iter().for_each(|path| of_chart_file(tree, path, limits, found));
    if depth < DEEPEST {
        let charts = folder.child("charts");
        for entry in tree.list(&charts).unwrap_or_default() {
            of_chart(tree, &charts.child(&entry.name), limits, depth + 1, found);
        }
    }
}

fn name_each(document: &Document, list: &str, field: &str, found: &mut Vec<Source>) {
    let items = document.value().get(list).and_then(Value::as_array).into_iter().flatten();
    for (n, item) in items.enumerate() {
        if let Some(url) = item.get(field).and_then(Value::as_str).filter(|url| !url.is_empty()) {
            let place = document.place_of(&format!("/{list}/{n}/{field}"));
            found.push(Source { kind: SourceKind::Chart, url: url.to_owned(), place });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::MemoryTree;

    #[test]
    fn repositories_of_charts_are_found_with_their_lines() {
        let tree = MemoryTree::new([
            ("web/kustomization.yaml", "helmCharts:\n- name: redis\n  repo: https://a.example/x\n"),
            (
                "charts/app/Chart.yaml",
                "name: app\ndependencies:\n- name: db\n  repository: oci://b.example\n- {name: own}\n",
            ),
            (
                "charts/app/charts/db/Chart.yaml",
                "name: db\ndependencies: [{name: c, repository: https://c.example}]\n",
            ),
            ("charts/app/charts/notes.txt", "x\n"),
            ("web/all.yaml", "repo: https://d.example\n"),
        ])
        .unwrap();
        let paths =
            ["web/kustomization.yaml", "web/all.yaml", "charts/app"].map(|path| TreePath::new(path).unwrap());
        let found = named_sources(&tree, paths.iter(), &Limits::default());
        let told: Vec<String> =
            found.iter().map(|source| format!("{} {}", source.place, source.url)).collect();
        assert_eq!(
            told,
            [
                "charts/app/Chart.yaml:4 oci://b.example",
                "charts/app/charts/db/Chart.yaml:2 https://c.example",
                "web/kustomization.yaml:3 https://a.example/x",
            ]
        );
    }
}
