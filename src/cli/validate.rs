mod shapes;
mod show;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::environment_file::EnvironmentFile;
use super::failure::Failure;
use super::repo::{Repo, RepoArguments, open_around};
use super::target::Global;
use super::{CliResult, Exit};
use crate::agent::charts::Charts;
use crate::agent::desired::{DesiredScope, read_config, render_app, want_unchecked};
use crate::agent::named_sources::named_sources;
use crate::agent::reads::Recording;
use crate::agent::step_jobs;
use crate::api::{AppSpec, Drift, EnvironmentConfig};
use crate::drift::Rules;
use crate::object::secret::Pins;
use crate::object::{
    Desired, EntryKind, EnvironmentName, Note, ObjectKey, Place, Problem, Problems, Tree, TreePath,
};
use crate::plan::Wanted;
use crate::schema::Definitions;
use crate::{plan, render, schema, yaml};
use shapes::Against;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Folders, as `fairlead render` takes them, in place of environments
    #[arg(value_name = "FOLDER", conflicts_with = "env")]
    folders: Vec<PathBuf>,
    /// One environment; all of them where it is not given
    #[arg(long, value_name = "NAME")]
    env: Option<EnvironmentName>,
    /// The version of Kubernetes whose kinds count, as 1.36; the newest that is known where it is not given
    #[arg(long, visible_alias = "kubernetes-version", value_name = "VERSION")]
    kube_version: Option<String>,
    #[command(flatten)]
    repo: RepoArguments,
    #[command(flatten)]
    platform: EnvironmentFile,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    /// Annotations as GitHub Actions shows them on a pull request
    Github,
}

/// What was found, with the environment it was found for.
#[derive(Debug, Serialize)]
struct Finding {
    /// None where folders were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(flatten)]
    problem: Problem,
}

#[derive(Debug, Default, Serialize)]
struct Findings {
    /// The release of Kubernetes that was looked at.
    kubernetes: String,
    environments: usize,
    apps: usize,
    objects: usize,
    errors: Vec<Finding>,
    notes: Vec<Note>,
}

/// An environment's apps, rendered. Folders that were named stand for apps of none.
struct Rendered {
    scope: DesiredScope,
    is_environment: bool,
    apps: Vec<App>,
    found: Vec<Problem>,
    notes: Vec<Note>,
    /// What holds for what others change.
    drift: Option<Drift>,
}

struct App {
    spec: AppSpec,
    desired: Result<Desired, Problems>,
}

pub fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let builtin = match &arguments.kube_version {
        Some(asked) => schema::release(asked).map_err(|error| {
            Failure::input(error.to_string())
                .hint("the nearest one that is known finds most of what there is to find")
        })?,
        None => schema::builtin(),
    };
    let helm = global.helm();
    let charts = Charts::offline(&helm, Some(builtin.release()));
    let mut findings = Findings { kubernetes: builtin.release().to_owned(), ..Findings::default() };
    let mut files = BTreeSet::new();
    let cache = render::Cache::new();
    let limits = global.limits();
    let means = Means { cache: &cache, charts: &charts, limits: &limits };
    let (repo, all) = match arguments.folders.is_empty() {
        true => of_environments(arguments, means, &mut files)?,
        false => of_folders(arguments, means, &mut files)?,
    };
    // One app may bring the definition of what another one holds, and one environment for all.
    let mut definitions = Definitions::default();
    let desired = all.iter().flat_map(|one| &one.apps).filter_map(|app| app.desired.as_ref().ok());
    for object in desired.flat_map(|desired| &desired.objects) {
        if &*object.gvk().kind == "CustomResourceDefinition" {
            definitions.add(&object.value());
        }
    }
    for environment in all {
        let against = Against { builtin, definitions: &definitions, means };
        judge(&repo, environment, &against, &mut findings);
    }
    ambiguities(&*repo.tree, &files, &limits.yaml, &mut findings.notes);
    // A base that several environments share is wrong once.
    let mut seen = HashSet::new();
    findings.errors.retain(|finding| seen.insert(finding.problem.to_string()));
    let mut seen = HashSet::new();
    findings.notes.retain(|note| seen.insert(format!("{:?}{}", note.place, note.message)));
    show::show(&findings, arguments.output)?;
    Ok(if findings.errors.is_empty() { Exit::Done } else { Exit::Input })
}

/// What renders.
#[derive(Clone, Copy)]
struct Means<'a> {
    cache: &'a render::Cache,
    charts: &'a Charts<'a>,
    limits: &'a render::Limits,
}

fn of_environments(
    arguments: &Arguments,
    means: Means<'_>,
    files: &mut BTreeSet<TreePath>,
) -> Result<(Repo, Vec<Rendered>), Failure> {
    let repo = arguments.repo.open()?;
    let names = match &arguments.env {
        Some(name) => vec![name.clone()],
        None => repo.environments()?,
    };
    if names.is_empty() {
        return Err(Failure::input(format!("{} has no environments", repo.root.display())).hint(
            "each is a folder environments/NAME with an environment.yaml; or name folders to look at",
        ));
    }
    let Means { cache, charts, limits } = means;
    let platform = arguments.platform.read()?;
    platform.names_some(&names)?;
    let mut all = Vec::new();
    for name in names {
        // Where nobody says what the environment is granted, a placeholder stands for the one namespace it has.
        let scope = platform.bind(DesiredScope::unbound(name, Some("default".to_owned()))?)?;
        let mut one = Rendered {
            scope,
            is_environment: true,
            apps: Vec::new(),
            found: Vec::new(),
            notes: Vec::new(),
            drift: None,
        };
        match read_config(&*repo.tree, &one.scope) {
            Err(problems) => one.found = problems.into_vec(),
            Ok(config) => {
                one.notes.extend(rules_over(&config));
                one.drift = Some(config.drift.clone());
                let kinds = schema::builtin().kinds();
                let jobs =
                    config.region.as_ref().map(|region| step_jobs(&*repo.tree, &one.scope, kinds, region));
                one.found.extend(jobs.and_then(Result::err).map(Problems::into_vec).unwrap_or_default());
                for spec in &config.apps {
                    let tree = Recording::new(&*repo.tree);
                    let desired = render_app(&tree, &one.scope, &config, spec, limits, cache, charts);
                    let reads = tree.into_reads();
                    let named = || named_sources(&*repo.tree, reads.contents(), &limits.yaml);
                    if let Err(problems) = one.scope.check_sources(named) {
                        one.found.extend(problems.into_vec());
                    }
                    // Of a chart, files are templates.
                    if spec.path.is_some() {
                        files.extend(reads.contents().cloned());
                    }
                    let desired = desired.map(|(desired, _)| desired);
                    one.apps.push(App { spec: spec.clone(), desired });
                }
            }
        }
        all.push(one);
    }
    Ok((repo, all))
}

/// The rules about what others change whose time is over.
fn rules_over(config: &EnvironmentConfig) -> Vec<Note> {
    let over = config.drift.ended(Timestamp::now()).into_iter();
    let note = |(n, end): (usize, Timestamp)| Note {
        place: config.drift.places.get(n).cloned(),
        message: format!("this rule was over on {end}, and what it excused is put back: take it out"),
    };
    over.map(note).collect()
}

fn of_folders(
    arguments: &Arguments,
    means: Means<'_>,
    files: &mut BTreeSet<TreePath>,
) -> Result<(Repo, Vec<Rendered>), Failure> {
    let Means { cache, charts, limits } = means;
    let platform = arguments.platform.read()?;
    let mut found: Option<(Repo, Vec<Rendered>)> = None;
    for (nth, folder) in arguments.folders.iter().enumerate() {
        let (repo, path) = open_around(folder)?;
        // An app and an environment of no name, for there is none.
        let name = |word: &str| format!("{word}-{}", nth + 1);
        let failed = |error: crate::object::InvalidName| Failure::input(error.to_string());
        let scope = DesiredScope::unbound(
            EnvironmentName::new(&name("folder")).map_err(failed)?,
            Some("default".to_owned()),
        )?;
        let scope = platform.bind_only(scope)?;
        let spec =
            AppSpec::folder(crate::object::AppName::new(&name("folder")).map_err(failed)?, path.as_str());
        let tree = Recording::new(&*repo.tree);
        let made = charts.serve(&tree, |answers| render::build_with(&tree, &path, limits, cache, answers));
        let desired = made.map(|(objects, notes, _)| Desired::new(spec.name.clone(), objects, notes));
        let reads = tree.into_reads();
        let named = scope.check_sources(|| named_sources(&*repo.tree, reads.contents(), &limits.yaml));
        let wrong = named.err().map(Problems::into_vec).unwrap_or_default();
        files.extend(reads.contents().cloned());
        let one = Rendered {
            scope,
            is_environment: false,
            apps: vec![App { spec, desired }],
            found: wrong,
            notes: Vec::new(),
            drift: None,
        };
        match &mut found {
            None => found = Some((repo, vec![one])),
            Some((first, _)) if first.root != repo.root => {
                return Err(Failure::input("the folders lie in different repositories")
                    .hint("look at each repository by itself"));
            }
            Some((_, all)) => all.push(one),
        }
    }
    found.ok_or_else(|| Failure::input("name a folder"))
}

fn judge(repo: &Repo, environment: Rendered, against: &Against<'_>, findings: &mut Findings) {
    let Rendered { scope, is_environment, apps, mut found, notes, drift } = environment;
    let (mut all, mut is_whole) = (Vec::new(), true);
    findings.notes.extend(notes);
    findings.environments += usize::from(is_environment);
    let mut owners: HashMap<ObjectKey, (String, Place)> = HashMap::new();
    for App { spec, desired } in apps {
        findings.apps += 1;
        let judged = desired.and_then(|desired| {
            findings.objects += desired.objects.len();
            findings.notes.extend(desired.notes.iter().cloned());
            let mut wrong = shapes::check(&*repo.tree, &spec, &desired, against);
            match want_unchecked(desired, &scope, &spec, against.builtin.kinds(), &Pins::offline()) {
                Err(problems) => wrong.extend(problems.into_vec()),
                Ok((wanted, _)) => {
                    all.extend(wanted.objects.iter().cloned());
                    let broken = scope.findings(&wanted, against.builtin.kinds());
                    let (refused, warned) = shapes::placed(&*repo.tree, &spec, broken, against);
                    wrong.extend(refused);
                    findings.notes.extend(warned);
                    if let Err(problems) = plan::order(&wanted.objects, &wanted.needed) {
                        wrong.extend(problems.into_vec());
                    }
                    for object in &wanted.objects {
                        let mine = (spec.name.to_string(), object.place.clone());
                        if let Some((other, first)) = owners.insert(object.key.clone(), mine) {
                            let message = format!("{} is in the app {other} too, at {first}", object.key);
                            let problem = Problem::at(object.place.clone(), message);
                            wrong.push(problem.hint("an object belongs to one app"));
                        }
                    }
                }
            }
            Problems::check(wrong)
        });
        if let Err(problems) = judged {
            is_whole = false;
            found.extend(problems.into_vec());
        }
    }
    // Of what could not be rendered it is not known what it has.
    if let Some(drift) = drift.filter(|_| is_whole) {
        findings.notes.extend(rules_unused(&drift, &all));
    }
    let environment = is_environment.then(|| scope.environment.to_string());
    let named = found.into_iter().map(|problem| Finding { environment: environment.clone(), problem });
    findings.errors.extend(named);
}

/// The rules about what others change that are about none of the objects.
fn rules_unused(drift: &Drift, objects: &[Arc<Wanted>]) -> Vec<Note> {
    let unused = Rules::new(drift).unused(objects, Timestamp::now()).into_iter();
    let note = |n: usize| Note {
        place: drift.places.get(n).cloned(),
        message: "this rule is about no object that git has: is a kind or a name misspelt?".to_owned(),
    };
    unused.map(note).collect()
}

/// Notes what kustomize and kubectl would read differently in the files that were looked at.
fn ambiguities(tree: &dyn Tree, files: &BTreeSet<TreePath>, limits: &yaml::Limits, notes: &mut Vec<Note>) {
    for file in files {
        let name = file.file_name();
        let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        // What kustomize reads with kubectl's library is read alike.
        let is_typed = matches!(name, "kustomization.yaml" | "kustomization.yml");
        if !is_yaml || is_typed || !matches!(tree.kind(file), Ok(Some(EntryKind::File))) {
            continue;
        }
        // What cannot be read has been told as an error.
        let Ok(blob) = tree.read(file, limits.file_bytes) else { continue };
        notes.extend(yaml::ambiguous(&blob.bytes, file, limits).unwrap_or_default());
    }
}
