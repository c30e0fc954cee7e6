//! The team's own word: `environment.yaml`, and what each app of it is rendered from. Every problem names the line.

use super::scope::DesiredScope;
use crate::api::{Adopt, AppPlaces, AppSpec, DriftRule, EnvironmentConfig};
use crate::object::{ChartRequest, ChartValues, Place, Problem, Problems, Tool, Tree, TreeError, TreePath};
use crate::render::AppSource;
use crate::yaml;

pub const CONFIG_FILE: &str = "environment.yaml";
/// A team's own file is short; what is longer is a mistake.
const CONFIG_LIMIT: u64 = 1 << 20;

/// Reads the team's word. Every problem names the line.
pub fn read_config(tree: &dyn Tree, scope: &DesiredScope) -> Result<EnvironmentConfig, Problems> {
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
        let is_granted = |name: &str| grants.regions.iter().any(|granted| granted == name);
        for (pointer, name) in region.regions().filter(|(_, name)| !is_granted(name.as_str())) {
            let message = format!("the Environment {} does not grant the region {name}", scope.environment);
            found.push(
                Problem::at(document.place_of(&pointer), message).hint("spec.regions lists what it may use"),
            );
        }
    }
    found.extend(not_to_ignore(&config, scope).into_iter().map(|(n, problem)| Problem {
        place: Some(document.place_of(&format!("/spec/drift/rules/{n}"))),
        ..problem
    }));
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
    config.drift.places =
        (0..config.drift.rules.len()).map(|n| document.place_of(&format!("/spec/drift/rules/{n}"))).collect();
    config.places = config.apps.iter().enumerate().map(place).collect();
    Ok(config)
}

/// The rules that ignore what the platform does not let git ignore.
fn not_to_ignore(config: &EnvironmentConfig, scope: &DesiredScope) -> Vec<(usize, Problem)> {
    let Some(grants) = &scope.grants else { return Vec::new() };
    let wrong = |(n, rule): (usize, &DriftRule)| {
        let kind = rule.ignores_of(&grants.never_ignore)?;
        let message = format!(
            "the Environment {} does not let git ignore what others change of {kind}",
            scope.environment
        );
        let hint = match rule.kinds.is_empty() {
            true => "name the kinds that the rule is about; spec.drift.neverIgnore lists what may not be",
            false => "report it, or leave the kind out; spec.drift.neverIgnore lists what may not be ignored",
        };
        Some((n, Problem::new(message).hint(hint)))
    };
    config.drift.rules.iter().enumerate().filter_map(wrong).collect()
}

/// From whom each app may take over, by name. What the platform does not grant is a problem, with where it is asked for.
fn resolve_adoption(config: &mut EnvironmentConfig, scope: &DesiredScope) -> Vec<(String, Problem)> {
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
    scope: &DesiredScope,
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
