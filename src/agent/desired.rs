//! From the files of a revision to what each app wants. Pure but for the tree it reads, and remembers what it read: an
//! app none of whose files changed is not rendered again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::api::{AppSpec, EnvironmentConfig, names};
use crate::object::{
    AppName, Blob, Desired, Digest, Entry, EntryKind, EnvironmentName, Kinds, Place, Problem, Problems,
    RenderContext, Tree, TreeError, TreePath,
};
use crate::plan::{Stamp, WantedApp, stamp};
use crate::policy::{Grant, granted};
use crate::render::{self, AppSource, Rendered};
use crate::yaml;

pub const CONFIG_FILE: &str = "environment.yaml";
/// A team's own file is short; what is longer is a mistake.
const CONFIG_LIMIT: u64 = 1 << 20;

/// For whom is rendered, and what the platform grants them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    pub environment: EnvironmentName,
    /// The folder that holds `environment.yaml`.
    pub path: TreePath,
    /// `None` where no Environment exists, as when a person plans from a folder: then rights are the person's own.
    pub grants: Option<Grants>,
    /// Where objects go that name no namespace, if the grants do not say.
    pub default_namespace: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Grants {
    pub namespaces: Vec<String>,
    pub cluster_kinds: Vec<String>,
    pub regions: Vec<String>,
}

impl Scope {
    /// An environment as it is found in a repository, with no cluster to say what it is granted.
    pub fn unbound(
        environment: EnvironmentName,
        default_namespace: Option<String>,
    ) -> Result<Self, TreeError> {
        let path = TreePath::new(&format!("environments/{environment}"))?;
        Ok(Self { environment, path, grants: None, default_namespace })
    }

    fn namespace(&self) -> Option<&str> {
        match &self.grants {
            Some(grants) => match grants.namespaces.as_slice() {
                [only] => Some(only),
                _ => None,
            },
            None => self.default_namespace.as_deref(),
        }
    }
}

/// Reads the team's word. Every problem names the line.
pub fn read_config(tree: &dyn Tree, scope: &Scope) -> Result<EnvironmentConfig, Problems> {
    let path = scope.path.child(CONFIG_FILE);
    let blob = tree.read(&path, CONFIG_LIMIT).map_err(|error| match error {
        TreeError::Missing { .. } => Problem::new(format!("there is no {path}")).hint(
            "it lists the apps of the environment; spec.source.path of the Environment says where it is",
        ),
        other => Problem::new(other.to_string()),
    })?;
    let documents = yaml::read(&blob.bytes, &path, yaml::Dialect::Config, &yaml::Limits::default())?;
    let [document] = documents.as_slice() else {
        let message = format!("{path} holds {} documents, and one is wanted", documents.len());
        return Err(Problem::at(Place::file(path), message).into());
    };
    let root = document.value();
    let expect = |field: &str, wanted: &str| match root[field].as_str() {
        Some(found) if found == wanted => Ok(()),
        _ => Err(Problem::at(document.place_of(&format!("/{field}")), format!("`{field}` must be {wanted}"))),
    };
    expect("apiVersion", "fairlead.dev/v1alpha1")?;
    expect("kind", "EnvironmentConfig")?;
    let unknown: Vec<Problem> = root
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "spec"))
        .map(|(name, _)| {
            Problem::at(document.place_of(&format!("/{name}")), format!("there is no field {name:?} here"))
        })
        .collect();
    Problems::check(unknown)?;
    let config: EnvironmentConfig = serde_path_to_error::deserialize(&root["spec"]).map_err(|error| {
        let pointer = format!("/spec{}", pointer(error.path()));
        Problem::at(
            document.place_of(&pointer),
            format!("{}: {}", pointer.trim_start_matches('/'), error.inner()),
        )
    })?;
    let mut found: Vec<Problem> = config
        .check()
        .into_iter()
        .map(|(pointer, problem)| Problem { place: Some(document.place_of(&pointer)), ..problem })
        .collect();
    if let (Some(region), Some(grants)) = (&config.region, &scope.grants) {
        let asked = std::iter::once(("/spec/region/active".to_owned(), &region.active)).chain(
            region.standby.iter().enumerate().map(|(n, name)| (format!("/spec/region/standby/{n}"), name)),
        );
        for (pointer, name) in asked.filter(|(_, name)| !grants.regions.contains(name)) {
            let message = format!("the Environment {} does not grant the region {name}", scope.environment);
            found.push(
                Problem::at(document.place_of(&pointer), message).hint("spec.regions lists what it may use"),
            );
        }
    }
    Problems::check(found)?;
    Ok(config)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{key}"),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// Renders one app, as the agent does.
pub fn render_app(
    tree: &dyn Tree,
    scope: &Scope,
    config: &EnvironmentConfig,
    app: &AppSpec,
    limits: &render::Limits,
    cache: &render::Cache,
) -> Result<Desired, Problems> {
    let context = RenderContext {
        environment: scope.environment.clone(),
        app: app.name.clone(),
        cluster: None,
        region: config.region.as_ref().map(|region| region.active.clone()),
        role: None,
    };
    let path = |text: &str| {
        let here = || Place::file(scope.path.child(CONFIG_FILE));
        TreePath::new(text).map_err(|error| Problem::at(here(), format!("app {}: {error}", app.name)))
    };
    let source = match (&app.path, &app.chart) {
        (Some(folder), _) => AppSource::Folder(path(folder)?),
        (None, Some(chart)) => AppSource::Chart {
            chart: path(chart)?,
            values: app.values.iter().map(|file| path(file)).collect::<Result<_, _>>()?,
        },
        (None, None) => {
            return Err(Problem::new(format!("the app {} has neither `path` nor `chart`", app.name)).into());
        }
    };
    match render::render(tree, &source, &context, limits, cache)? {
        Rendered::Done(desired) => Ok(desired),
        Rendered::NeedChart(_) => {
            let problem =
                Problem::new(format!("the app {} is a chart, and charts are not rendered yet", app.name));
            Err(problem.hint("give it as a folder of manifests for now").into())
        }
    }
}

/// Makes what an app rendered to what will be sent, if its environment is granted all of it.
pub fn want(desired: Desired, scope: &Scope, kinds: &Kinds) -> Result<WantedApp, Problems> {
    let marks = Stamp {
        environment: &scope.environment,
        environment_label: names::ENVIRONMENT_LABEL,
        app_label: names::APP_LABEL,
        part_of_label: names::APPLYSET_PART_OF,
        wave_annotation: names::WAVE_ANNOTATION,
        depends_on_annotation: names::DEPENDS_ON_ANNOTATION,
        default_namespace: scope.namespace(),
    };
    let wanted = stamp(desired, &marks, kinds)?;
    if let Some(grants) = &scope.grants {
        let grant = Grant {
            environment: scope.environment.as_str(),
            namespaces: &grants.namespaces,
            cluster_kinds: &grants.cluster_kinds,
            regions: &grants.regions,
        };
        granted(&wanted, &grant, kinds)?;
    }
    Ok(wanted)
}

/// One app of a revision: what it wants, or what is wrong with its files.
pub type AppDesire = (AppSpec, Result<Arc<WantedApp>, Problems>);

/// What a revision says for an environment.
pub struct Desire {
    pub config: EnvironmentConfig,
    pub apps: Vec<AppDesire>,
}

/// What was rendered before, by app, with what it was made of.
#[derive(Default)]
pub struct Memo {
    apps: BTreeMap<AppName, Remembered>,
}

struct Remembered {
    spec: AppSpec,
    region: Option<String>,
    scope: Scope,
    kinds: Arc<Kinds>,
    reads: ReadSet,
    wanted: Arc<WantedApp>,
}

/// Everything a revision says for an environment. An app whose files are wrong harms only itself.
pub fn desire(
    tree: &dyn Tree,
    scope: &Scope,
    kinds: &Arc<Kinds>,
    memo: &mut Memo,
    limits: &render::Limits,
) -> Result<Desire, Problems> {
    let config = read_config(tree, scope)?;
    let region = config.region.as_ref().map(|region| region.active.clone());
    let mut apps = Vec::with_capacity(config.apps.len());
    let mut fresh = BTreeMap::new();
    // Shared by the apps of one revision, which have bases in common; kept no longer, for parsed files are large.
    let cache = render::Cache::new();
    for app in &config.apps {
        let old = memo.apps.remove(&app.name);
        let still_holds = |known: &Remembered| {
            known.spec == *app
                && known.region == region
                && known.scope == *scope
                && (Arc::ptr_eq(&known.kinds, kinds) || *known.kinds == **kinds)
                && known.reads.still_holds(tree)
        };
        if let Some(known) = old.as_ref().filter(|known| still_holds(known)) {
            apps.push((app.clone(), Ok(known.wanted.clone())));
            fresh.extend(old.map(|known| (app.name.clone(), known)));
            continue;
        }
        let recording = Recording { tree, reads: Mutex::default() };
        let made = render_app(&recording, scope, &config, app, limits, &cache)
            .and_then(|desired| want(desired, scope, kinds))
            .map(|wanted| {
                Arc::new(match &old {
                    Some(old) => wanted.sharing(&old.wanted),
                    None => wanted,
                })
            });
        if let Ok(wanted) = &made {
            let reads = recording.reads.into_inner().unwrap_or_default();
            let (spec, region, scope, kinds) = (app.clone(), region.clone(), scope.clone(), kinds.clone());
            fresh.insert(
                app.name.clone(),
                Remembered { spec, region, scope, kinds, reads, wanted: wanted.clone() },
            );
        }
        apps.push((app.clone(), made));
    }
    memo.apps = fresh;
    Ok(Desire { config, apps })
}

/// What was looked at, and the id of what was there.
#[derive(Default)]
struct ReadSet(BTreeMap<TreePath, Option<Digest>>);

impl ReadSet {
    fn still_holds(&self, tree: &dyn Tree) -> bool {
        self.0.iter().all(|(path, id)| match tree.entry(path) {
            Ok(entry) => entry.map(|entry| entry.id) == *id,
            Err(_) => false,
        })
    }
}

/// A tree that notes what is asked of it.
struct Recording<'a> {
    tree: &'a dyn Tree,
    reads: Mutex<ReadSet>,
}

impl Recording<'_> {
    fn note(&self, path: &TreePath, id: Option<Digest>) {
        if let Ok(mut reads) = self.reads.lock() {
            reads.0.insert(path.clone(), id);
        }
    }
}

impl Tree for Recording<'_> {
    fn entry(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let entry = self.tree.entry(path)?;
        self.note(path, entry.as_ref().map(|entry| entry.id.clone()));
        Ok(entry)
    }

    fn kind(&self, path: &TreePath) -> Result<Option<EntryKind>, TreeError> {
        Ok(self.entry(path)?.map(|entry| entry.kind))
    }

    fn list(&self, folder: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let id = self.tree.entry(folder)?.map(|entry| entry.id);
        self.note(folder, id);
        self.tree.list(folder)
    }

    fn read(&self, path: &TreePath, limit: u64) -> Result<Blob, TreeError> {
        let blob = self.tree.read(path, limit)?;
        // The id of the entry, which a link to the file has too.
        let id = self.tree.entry(path)?.map(|entry| entry.id);
        self.note(path, id);
        Ok(blob)
    }
}
