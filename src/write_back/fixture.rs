//! Trees in memory, and their apps: folders without charts.

use similar::{ChangeTag, TextDiff};

use super::{App, Links, Renderer, Wish, WrittenBack, write_back};
use crate::object::field_path::FieldPath;
use crate::object::{
    AppName, ChartAnswers, EnvironmentName, Manifest, MemoryTree, ObjectKey, Problem, Problems,
    RenderContext, Tree, TreePath,
};
use crate::render::{self, AppSource, Cache, Explained, Limits, Rendered, Setting};

pub(super) struct Folders {
    apps: Vec<App>,
    limits: Limits,
}

impl Folders {
    /// Apps by environment and folder; each has the name of its folder.
    pub fn new(apps: &[(&str, &str)]) -> Self {
        let app = |(environment, folder): &(&str, &str)| App {
            environment: EnvironmentName::new(environment).unwrap(),
            name: AppName::new(folder.rsplit('/').next().unwrap()).unwrap(),
            source: Ok(AppSource::Folder(TreePath::new(folder).unwrap())),
        };
        Self { apps: apps.iter().map(app).collect(), limits: Limits::default() }
    }

    fn folder<'a>(&self, app: &'a App) -> &'a TreePath {
        match &app.source {
            Ok(AppSource::Folder(folder)) => folder,
            _ => panic!("all apps are folders"),
        }
    }
}

impl Links for Folders {
    fn real(&self, path: &TreePath) -> TreePath {
        path.clone()
    }
}

fn done<T>(rendered: Rendered<T>) -> Result<T, Problems> {
    match rendered {
        Rendered::Done(done) => Ok(done),
        Rendered::NeedCharts(_) => Err(Problem::new("there is no helm").into()),
    }
}

impl Renderer for Folders {
    fn apps(&self) -> &[App] {
        &self.apps
    }

    fn objects(&self, tree: &dyn Tree, app: &App) -> Result<Vec<Manifest>, Problems> {
        let source = AppSource::Folder(self.folder(app).clone());
        let context = RenderContext {
            environment: app.environment.clone(),
            app: app.name.clone(),
            cluster: None,
            region: None,
            role: None,
        };
        let rendered =
            render::render(tree, &source, &context, &self.limits, &Cache::none(), &ChartAnswers::new())?;
        done(rendered).map(|(desired, _)| desired.objects)
    }

    fn explain(&self, tree: &dyn Tree, app: &App) -> Result<Vec<Explained>, Problems> {
        done(render::explain(tree, self.folder(app), &self.limits, &ChartAnswers::new())?)
    }

    fn settings(&self, tree: &dyn Tree, _: &App, object: &Explained, path: &FieldPath) -> Vec<Setting> {
        object.settings(tree, &self.limits, path)
    }
}

pub(super) fn tree(files: &[(&str, &str)]) -> MemoryTree {
    MemoryTree::new(files.iter().copied()).unwrap()
}

/// A wish for a field of an object as it is shown. Nothing is what `live` stands for where the field was taken away.
pub(super) fn wish(
    folders: &Folders,
    tree: &MemoryTree,
    (environment, app): (&str, &str),
    object: &str,
    field: &str,
    live: Option<serde_json::Value>,
) -> Wish {
    let app = folders
        .apps
        .iter()
        .find(|it| it.environment.as_str() == environment && it.name.as_str() == app)
        .unwrap();
    let object: ObjectKey = object.parse().unwrap();
    let objects = folders.explain(tree, app).unwrap();
    let found = objects.iter().find(|it| {
        let key = it.manifest.key();
        key == object || (key.kind == object.kind && it.names().iter().any(|name| **name == *object.name))
    });
    let found = found.unwrap_or_else(|| panic!("no {object}"));
    Wish {
        environment: app.environment.clone(),
        app: app.name.clone(),
        path: found.find(field).unwrap(),
        object: found.manifest.key(),
        live,
    }
}

/// The lines that go and come, by file.
pub(super) fn changed(outcome: &WrittenBack) -> String {
    let mut text = String::new();
    for (path, (before, after)) in &outcome.files {
        text.push_str(&format!("{path}\n"));
        for change in TextDiff::from_lines(before, after).iter_all_changes() {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => continue,
            };
            text.push_str(&format!("{sign}{}\n", change.value().trim_end_matches('\n')));
        }
    }
    text
}

/// What comes of wishes, and what is refused of them.
pub(super) fn outcome(folders: &Folders, tree: &MemoryTree, wishes: &[Wish]) -> (String, Vec<String>) {
    let outcome = write_back(tree, wishes, folders);
    assert_eq!(outcome.done.len() + outcome.refused.len(), wishes.len(), "each wish has an answer");
    (changed(&outcome), outcome.refused.iter().map(ToString::to_string).collect())
}
