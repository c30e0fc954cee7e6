//! From the files of a revision to what each app wants. Pure but for the tree it reads, and remembers what it read: an
//! app none of whose files changed is not rendered again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::charts::Charts;
use super::reads::{Difference, ReadSet, Recording};
use crate::api::{Adopt, AppPlaces, AppSpec, EnvironmentConfig, names};
use crate::object::{
    AppName, ChartRequest, ChartValues, Desired, EnvironmentName, Kinds, Place, Problem, Problems,
    RenderContext, Tool, Tree, TreeError, TreePath,
};
use crate::plan::{Basis, Stamp, WantedApp, restamp, stamp};
use crate::policy::{Grant, Grants, granted};
use crate::render::{self, AppSource};
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

impl Scope {
    /// An environment as it is found in a repository, with no cluster to say what it is granted.
    pub fn unbound(
        environment: EnvironmentName,
        default_namespace: Option<String>,
    ) -> Result<Self, TreeError> {
        let path = TreePath::new(&format!("environments/{environment}"))?;
        Ok(Self { environment, path, grants: None, default_namespace })
    }

    /// What marks this environment's objects.
    fn marks<'a>(&'a self, app: &'a AppSpec) -> Stamp<'a> {
        Stamp {
            environment: &self.environment,
            environment_label: names::ENVIRONMENT_LABEL,
            app_label: names::APP_LABEL,
            part_of_label: names::APPLYSET_PART_OF,
            wave_annotation: names::WAVE_ANNOTATION,
            depends_on_annotation: names::DEPENDS_ON_ANNOTATION,
            default_namespace: app.namespace.as_deref().or(self.namespace()),
        }
    }

    /// Whether this environment is granted all that is wanted.
    pub(super) fn check(&self, wanted: &WantedApp, kinds: &Kinds) -> Result<(), Problems> {
        let Some(grants) = &self.grants else { return Ok(()) };
        let grant = Grant {
            environment: self.environment.as_str(),
            namespaces: &grants.namespaces,
            cluster_kinds: &grants.cluster_kinds,
            regions: &grants.regions,
        };
        granted(wanted, &grant, kinds)
    }

    /// What a chart is told to be its namespace; objects that name none go there too.
    fn release_namespace(&self, app: &AppSpec) -> Result<String, String> {
        match (app.namespace.as_deref().or(self.namespace()), &self.grants) {
            (Some(namespace), _) => Ok(namespace.to_owned()),
            // As helm has it where nobody says.
            (None, None) => Ok("default".to_owned()),
            (None, Some(_)) => Err(format!(
                "the Environment {} does not have just one namespace, so the app {} must say its own: `namespace: …`",
                self.environment, app.name
            )),
        }
    }

    pub fn namespace(&self) -> Option<&str> {
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
    let mut config: EnvironmentConfig = serde_path_to_error::deserialize(&root["spec"]).map_err(|error| {
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
    found.extend(
        resolve_adoption(&mut config, scope)
            .into_iter()
            .map(|(pointer, problem)| Problem { place: Some(document.place_of(&pointer)), ..problem }),
    );
    Problems::check(found)?;
    let place = |(n, app): (usize, &AppSpec)| {
        let field = if app.path.is_some() { "path" } else { "chart" };
        let at = |field: &str| document.place_of(&format!("/spec/apps/{n}/{field}"));
        let values = (0..app.values.len()).map(|nth| at(&format!("values/{nth}"))).collect();
        (app.name.clone(), AppPlaces { source: at(field), values })
    };
    config.places = config.apps.iter().enumerate().map(place).collect();
    Ok(config)
}

/// From whom each app may take over, by name. What the platform does not grant is a problem, with where it is asked for.
fn resolve_adoption(config: &mut EnvironmentConfig, scope: &Scope) -> Vec<(String, Problem)> {
    let mut found = Vec::new();
    for (n, app) in config.apps.iter_mut().enumerate() {
        let Some(adopt) = &app.adopt else { continue };
        let all: Vec<String> = Tool::ALL.iter().map(|tool| tool.as_str().to_owned()).collect();
        let granted = scope.grants.as_ref().map_or(&all, |grants| &grants.adopt);
        let names = adopt.resolve(granted);
        if let Some(grants) = &scope.grants {
            let from_all =
                (*adopt == Adopt::All(true) && grants.adopt.is_empty()).then(|| "anybody".to_owned());
            let beyond = names.iter().filter(|name| !grants.adopt.contains(name)).cloned().chain(from_all);
            for name in beyond {
                let message =
                    format!("the Environment {} does not let git take over from {name}", scope.environment);
                let hint = format!(
                    "spec.adopt lists whom it may take over from; without it, `fairlead adopt --env {}` does",
                    scope.environment
                );
                found.push((format!("/spec/apps/{n}/adopt"), Problem::new(message).hint(hint)));
            }
        }
        app.adopt = Some(Adopt::From(names));
    }
    found
}

/// The JSON pointer of the field that a file went wrong at.
pub fn pointer(path: &serde_path_to_error::Path) -> String {
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

/// What an app is rendered from, as its environment's configuration says.
pub fn source_of(
    tree: &dyn Tree,
    scope: &Scope,
    config: &EnvironmentConfig,
    app: &AppSpec,
) -> Result<AppSource, Problems> {
    let places = config.places.get(&app.name);
    let here =
        places.map_or_else(|| Place::file(scope.path.child(CONFIG_FILE)), |places| places.source.clone());
    let path = |text: &str, here: &Place| {
        let wrong = |error: TreeError| Problem::at(here.clone(), format!("app {}: {error}", app.name));
        let path = TreePath::new(text).map_err(wrong)?;
        match tree.entry(&path) {
            Ok(None) => Err(wrong(TreeError::Missing { path })),
            _ => Ok(path),
        }
    };
    Ok(match (&app.path, &app.chart) {
        (Some(folder), _) => AppSource::Folder(path(folder, &here)?),
        (None, Some(chart)) => {
            let named = |nth: usize| {
                places.and_then(|places| places.values.get(nth)).cloned().unwrap_or_else(|| here.clone())
            };
            let mut values = Vec::with_capacity(app.values.len());
            for (nth, file) in app.values.iter().enumerate() {
                values.push(ChartValues::File(path(file, &named(nth))?, named(nth)));
            }
            AppSource::Chart(Box::new(ChartRequest {
                chart: path(chart, &here)?,
                values,
                release: app.release.clone().unwrap_or_else(|| app.name.as_str().to_owned()),
                namespace: scope
                    .release_namespace(app)
                    .map_err(|problem| Problem::at(here.clone(), problem))?,
                place: here,
                crds: true,
                hooks: true,
                tests: true,
                kube_version: None,
                api_versions: Vec::new(),
            }))
        }
        (None, None) => {
            return Err(Problem::new(format!("the app {} has neither `path` nor `chart`", app.name)).into());
        }
    })
}

/// Renders one app, as the agent does.
pub fn render_app(
    tree: &dyn Tree,
    scope: &Scope,
    config: &EnvironmentConfig,
    app: &AppSpec,
    limits: &render::Limits,
    cache: &render::Cache,
    charts: &Charts<'_>,
) -> Result<(Desired, render::Kept), Problems> {
    let context = RenderContext {
        environment: scope.environment.clone(),
        app: app.name.clone(),
        cluster: None,
        region: config.region.as_ref().map(|region| region.active.clone()),
        role: None,
    };
    let source = source_of(tree, scope, config, app)?;
    charts.serve(tree, |answers| render::render(tree, &source, &context, limits, cache, answers))
}

/// Makes what an app rendered to what will be sent, if its environment is granted all of it.
pub fn want(
    desired: Desired,
    scope: &Scope,
    app: &AppSpec,
    kinds: &Kinds,
) -> Result<(WantedApp, Basis), Problems> {
    let (wanted, basis) = stamp(desired, &scope.marks(app), kinds)?;
    scope.check(&wanted, kinds)?;
    Ok((wanted, basis))
}

/// One app of a revision: what it wants, or what is wrong with its files.
pub type AppDesire = (AppSpec, Result<Arc<WantedApp>, Problems>);

/// What a revision says for an environment.
pub struct Desire {
    pub config: EnvironmentConfig,
    pub apps: Vec<AppDesire>,
    /// After how long to ask again, where something could not be rendered for a reason that may pass.
    pub again: Option<std::time::Duration>,
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
    kept: render::Kept,
    basis: Basis,
    wanted: Arc<WantedApp>,
}

impl Remembered {
    /// Goes on to a newer revision, where that can be done without rendering all of the app; false where it cannot.
    fn move_to(&mut self, tree: &dyn Tree, limits: &render::Limits) -> bool {
        let changed = match self.reads.compare(tree) {
            Difference::None => return true,
            Difference::Content(changed) => changed,
            Difference::Other => return false,
        };
        let Some(objects) = render::again(tree, &self.kept, &changed, limits) else { return false };
        let (wanted, basis) = (&self.wanted, &mut self.basis);
        let Some((all, only)) = restamp(wanted, basis, objects, &self.scope.marks(&self.spec), &self.kinds)
        else {
            return false;
        };
        if self.scope.check(&only, &self.kinds).is_err() || self.reads.move_to(tree, &changed).is_err() {
            return false;
        }
        self.wanted = Arc::new(all);
        true
    }
}

/// What took too long is rendered again after this: the machine may have been busy with something else.
const LATE_AGAIN: std::time::Duration = std::time::Duration::from_mins(5);

/// Everything a revision says for an environment. An app whose files are wrong harms only itself.
pub fn desire(
    tree: &dyn Tree,
    scope: &Scope,
    kinds: &Arc<Kinds>,
    memo: &mut Memo,
    limits: &render::Limits,
    charts: &Charts<'_>,
) -> Result<Desire, Problems> {
    let config = read_config(tree, scope)?;
    let region = config.region.as_ref().map(|region| region.active.clone());
    let mut apps = Vec::with_capacity(config.apps.len());
    let (mut fresh, mut is_late) = (BTreeMap::new(), false);
    // Shared by the apps of one revision, which have bases in common; kept no longer, for parsed files are large.
    let cache = render::Cache::new();
    for app in &config.apps {
        let mut old = memo.apps.remove(&app.name);
        let is_for_the_same = |known: &Remembered| {
            known.spec == *app
                && known.region == region
                && known.scope == *scope
                && (Arc::ptr_eq(&known.kinds, kinds) || *known.kinds == **kinds)
        };
        if let Some(known) = old.as_mut().filter(|known| is_for_the_same(known))
            && known.move_to(tree, limits)
        {
            apps.push((app.clone(), Ok(known.wanted.clone())));
            fresh.extend(old.map(|known| (app.name.clone(), known)));
            continue;
        }
        let recording = Recording::new(tree);
        let began = (limits.clock)();
        let made = render_app(&recording, scope, &config, app, limits, &cache, charts)
            .and_then(|(desired, kept)| Ok((want(desired, scope, app, kinds)?, kept)));
        let made = made.map(|((wanted, basis), kept)| {
            let wanted = Arc::new(match &old {
                Some(old) => wanted.sharing(&old.wanted),
                None => wanted,
            });
            let (spec, region, scope, kinds) = (app.clone(), region.clone(), scope.clone(), kinds.clone());
            let (reads, made) = (recording.into_reads(), wanted.clone());
            let known = Remembered { spec, region, scope, kinds, reads, kept, basis, wanted };
            fresh.insert(app.name.clone(), known);
            made
        });
        is_late |= made.is_err() && (limits.clock)().saturating_sub(began) >= limits.time;
        apps.push((app.clone(), made));
    }
    memo.apps = fresh;
    let again = charts.again().into_iter().chain(is_late.then_some(LATE_AGAIN)).min();
    Ok(Desire { config, apps, again })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::{Bounds, Helm};
    use crate::object::{EnvironmentName, MemoryTree};
    use crate::schema;

    const DEPLOYMENT: &str =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n";
    const HPA: &str = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\n\
                       spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n";
    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n";

    struct Bed {
        files: BTreeMap<&'static str, String>,
        memo: Memo,
        kinds: Arc<Kinds>,
    }

    impl Bed {
        fn new() -> Self {
            let config = "apiVersion: fairlead.dev/v1alpha1\nkind: EnvironmentConfig\nspec:\n  apps:\n  \
                          - {name: over, path: over}\n  - {name: plain, path: plain}\n";
            let files = [
                ("environments/dev/environment.yaml", config),
                ("base/kustomization.yaml", "resources: [web.yaml, map.yaml]\n"),
                ("base/web.yaml", DEPLOYMENT),
                ("base/map.yaml", MAP),
                ("over/kustomization.yaml", "resources: [../base]\nnamePrefix: x-\n"),
                ("plain/web.yaml", DEPLOYMENT),
                ("plain/map.yaml", MAP),
                ("plain/hpa.yaml", HPA),
            ];
            let files = files.into_iter().map(|(path, text)| (path, text.to_owned())).collect();
            Self { files, memo: Memo::default(), kinds: Arc::new(schema::builtin().kinds().clone()) }
        }

        fn render(&mut self) -> Vec<Arc<WantedApp>> {
            let tree = MemoryTree::new(self.files.iter().map(|(path, text)| (*path, text))).unwrap();
            let name = EnvironmentName::new("dev").unwrap();
            let scope = Scope::unbound(name, Some("default".to_owned())).unwrap();
            let limits = render::Limits::default();
            let helm = Helm::new(None, std::path::Path::new(""), Bounds::default());
            let charts = Charts::offline(&helm, None);
            let desire = |memo: &mut Memo| {
                let desire = desire(&tree, &scope, &self.kinds, memo, &limits, &charts).unwrap();
                desire.apps.into_iter().map(|(_, app)| app.unwrap()).collect::<Vec<_>>()
            };
            let (kept, anew) = (desire(&mut self.memo), desire(&mut Memo::default()));
            for (kept, anew) in kept.iter().zip(&anew) {
                assert_eq!(kept.objects, anew.objects, "what is kept is what a whole render gives");
                assert_eq!(kept.digest, anew.digest);
            }
            kept
        }
    }

    #[test]
    fn a_change_of_one_file_touches_the_objects_of_that_file() {
        let mut bed = Bed::new();
        let before = bed.render();
        assert!(bed.render().iter().zip(&before).all(|(now, before)| Arc::ptr_eq(now, before)));
        bed.files.insert("base/map.yaml", MAP.replace("a: b", "a: c"));
        let now = bed.render();
        assert!(Arc::ptr_eq(&now[1], &before[1]), "the other app does not read that file");
        assert_ne!(now[0].digest, before[0].digest);
        let same =
            now[0].objects.iter().zip(&before[0].objects).filter(|(now, before)| Arc::ptr_eq(now, before));
        assert_eq!(same.count(), 1);
        bed.files.insert("plain/map.yaml", MAP.replace("a: b", "a: d"));
        let last = bed.render();
        assert!(Arc::ptr_eq(&last[0], &now[0]));
        let same =
            last[1].objects.iter().zip(&now[1].objects).filter(|(now, before)| Arc::ptr_eq(now, before));
        assert_eq!(same.count(), 2);
    }

    #[test]
    fn what_decides_about_others_is_not_changed_alone() {
        let mut bed = Bed::new();
        bed.render();
        // Now it scales another, and the replicas of web are ours again.
        bed.files.insert("plain/hpa.yaml", HPA.replace("Deployment, name: web", "Deployment, name: other"));
        bed.render();
        // An object that becomes another, one more, one less.
        bed.files.insert("base/map.yaml", MAP.replace("name: m", "name: n"));
        bed.render();
        bed.files.insert("base/map.yaml", format!("{MAP}---\n{}", MAP.replace("name: m", "name: n")));
        bed.render();
        bed.files.remove("plain/map.yaml");
        bed.render();
        bed.files.insert("over/kustomization.yaml", "resources: [../base]\nnamePrefix: y-\n".to_owned());
        bed.render();
    }
}
