//! Renders the apps of the folder, charts among them, as the agent would.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::agent::charted::Charted;
use crate::agent::charts::Charts;
use crate::agent::desired::{DesiredScope, read_config, source_of};
use crate::cli::failure::Failure;
use crate::cli::repo::{Repo, environments};
use crate::object::field_path::FieldPath;
use crate::object::{
    AppName, ChartRequest, EnvironmentName, Manifest, Problems, RenderContext, Tree, TreePath,
};
use crate::render::{self, AppSource, Cache, Explained, Limits, Setting};
use crate::write_back::{App, Links, Renderer};

type Id = (EnvironmentName, AppName);

/// Renders a tree that lies in a folder.
pub struct TreeRenderer<'a> {
    root: PathBuf,
    charts: &'a Charts<'a>,
    limits: Limits,
    apps: Vec<App>,
    contexts: BTreeMap<Id, Context>,
    /// Where paths lead to, as far as somebody asked.
    links: Mutex<HashMap<TreePath, TreePath>>,
    /// The charts of each app, as they were needed last.
    requests: Mutex<BTreeMap<Id, Vec<ChartRequest>>>,
}

struct Context {
    render: RenderContext,
    namespace: Option<String>,
}

impl<'a> TreeRenderer<'a> {
    /// Of all environments of the tree; of those that are known to the cluster as their Environments say.
    pub fn open(
        repo: &Repo,
        scopes: &[DesiredScope],
        charts: &'a Charts<'a>,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let tree = &*repo.tree;
        let mut all: Vec<DesiredScope> = scopes.to_vec();
        for name in environments(tree)?.unwrap_or_default() {
            if !all.iter().any(|scope| scope.environment == name) {
                all.push(DesiredScope::unbound(name, Some("default".to_owned()))?);
            }
        }
        let (mut apps, mut contexts) = (Vec::new(), BTreeMap::new());
        for scope in &all {
            // An environment that is broken for itself is nobody else's trouble: none of it is rendered by anybody.
            let config = match read_config(tree, scope) {
                Ok(config) => config,
                Err(problems) => {
                    eprintln!("note: not looked at: {problems}");
                    continue;
                }
            };
            for app in &config.apps {
                let source = source_of(tree, scope, &config, app).map_err(|problems| problems.to_string());
                let (environment, name) = (scope.environment.clone(), app.name.clone());
                let render = RenderContext {
                    environment: environment.clone(),
                    app: name.clone(),
                    cluster: None,
                    region: config.region.as_ref().map(|region| region.active.to_string()),
                    role: None,
                };
                let context = Context { render, namespace: app.namespace.clone() };
                contexts.insert((environment.clone(), name.clone()), context);
                apps.push(App { environment, name, source });
            }
        }
        let root = repo.root.canonicalize().unwrap_or_else(|_| repo.root.clone());
        Ok(Self { root, charts, limits, apps, contexts, links: Mutex::default(), requests: Mutex::default() })
    }

    /// The namespace of an app's objects that name none, where the app says one.
    pub fn namespace(&self, app: &App) -> Option<String> {
        self.contexts.get(&id(app))?.namespace.clone()
    }

    fn charted<'b>(&'b self, tree: &'b dyn Tree, requests: Vec<ChartRequest>) -> Charted<'b> {
        Charted { tree, charts: self.charts, limits: &self.limits, requests }
    }
}

fn id(app: &App) -> Id {
    (app.environment.clone(), app.name.clone())
}

fn source(app: &App) -> Result<&AppSource, Problems> {
    app.source.as_ref().map_err(|problem| crate::object::Problem::new(problem.clone()).into())
}

impl Links for TreeRenderer<'_> {
    fn real(&self, path: &TreePath) -> TreePath {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let found = links.entry(path.clone()).or_insert_with(|| {
            let real = self.root.join(path.as_str()).canonicalize().ok();
            let within = real.and_then(|real| Some(real.strip_prefix(&self.root).ok()?.to_str()?.to_owned()));
            within.and_then(|text| TreePath::new(&text).ok()).unwrap_or_else(|| path.clone())
        });
        found.clone()
    }
}

impl Renderer for TreeRenderer<'_> {
    fn apps(&self) -> &[App] {
        &self.apps
    }

    fn objects(&self, tree: &dyn Tree, app: &App) -> Result<Vec<Manifest>, Problems> {
        let (source, cache) = (source(app)?, Cache::none());
        let Some(context) = self.contexts.get(&id(app)) else { return Ok(Vec::new()) };
        let rendered = self.charts.serve(tree, |answers| {
            render::render(tree, source, &context.render, &self.limits, &cache, answers)
        });
        rendered.map(|(desired, _)| desired.objects)
    }

    fn explain(&self, tree: &dyn Tree, app: &App) -> Result<Vec<Explained>, Problems> {
        let mut requests = Vec::new();
        let explained = match source(app)? {
            AppSource::Folder(folder) => self.charts.serve(tree, |made| {
                requests = made.keys().cloned().collect();
                render::explain(tree, folder, &self.limits, made)
            })?,
            AppSource::Chart(request) => {
                requests.push((**request).clone());
                let objects = self.charted(tree, requests.clone()).render(request)?;
                objects.into_iter().map(Explained::as_it_is).collect()
            }
        };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).insert(id(app), requests);
        Ok(explained)
    }

    fn settings(&self, tree: &dyn Tree, app: &App, object: &Explained, path: &FieldPath) -> Vec<Setting> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).get(&id(app)).cloned();
        let charted = self.charted(tree, requests.unwrap_or_default());
        let mut settings = object.settings(tree, &self.limits, path);
        charted.name_template(object, &mut settings);
        charted.name_values(object, path, &mut settings);
        settings
    }
}
