use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::output::{Format, print, print_value};
use super::repo::{RepoArguments, open_around};
use super::target::Global;
use super::{CliResult, Exit};
use crate::agent::charts::Charts;
use crate::agent::desired::{DesiredScope, read_config, render_app};
use crate::object::{AppName, EnvironmentName, Manifest, Note, Problem, Problems};
use crate::{render, yaml};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder, as `kustomize build` takes it
    #[arg(value_name = "FOLDER", conflicts_with = "env", required_unless_present = "env")]
    folder: Option<PathBuf>,
    /// An environment of the repository
    #[arg(long, value_name = "NAME")]
    env: Option<EnvironmentName>,
    /// One app of the environment
    #[arg(long, value_name = "NAME", requires = "env")]
    app: Option<AppName>,
    #[command(flatten)]
    repo: RepoArguments,
    /// The version of Kubernetes that charts are told; the newest that is known where it is not given
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Format,
}

/// Objects that are written at once.
const PIECE: usize = 256;

pub fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let limits = global.limits();
    let helm = global.helm();
    let charts = Charts::offline(&helm, arguments.kube_version.as_deref());
    let (objects, notes) = match (&arguments.folder, &arguments.env) {
        (Some(folder), _) => {
            let (repo, path) = open_around(folder)?;
            let cache = render::Cache::none();
            let built = charts.serve(&*repo.tree, |answers| {
                render::build_with(&*repo.tree, &path, &limits, &cache, answers)
            })?;
            (built.0, built.1)
        }
        (None, Some(environment)) => of_environment(global, arguments, environment, &limits, &charts)?,
        (None, None) => return Err(Failure::input("name a folder, or an environment with --env")),
    };
    for note in notes {
        let place = note.place.map_or(String::new(), |place| format!("{place}: "));
        eprintln!("note: {place}{}", note.message);
    }
    match arguments.output {
        Format::Json => print_value(&objects.iter().map(Manifest::value).collect::<Vec<_>>(), Format::Json)?,
        // Piece by piece, so that the whole output never is in memory too.
        Format::Text | Format::Yaml => {
            for (nth, some) in objects.chunks(PIECE).enumerate() {
                let written = render::on_all_cores(some, |object| {
                    let mut text = String::new();
                    yaml::write_json(object.json(), &mut text);
                    text
                });
                let between = if nth > 0 { "---\n" } else { "" };
                print(&format!("{between}{}", written.join("---\n")));
            }
        }
    }
    Ok(Exit::Done)
}

fn of_environment(
    global: &Global,
    arguments: &Arguments,
    environment: &EnvironmentName,
    limits: &render::Limits,
    charts: &Charts<'_>,
) -> Result<(Vec<Manifest>, Vec<Note>), Failure> {
    let repo = arguments.repo.open()?;
    let scope = DesiredScope::unbound(environment.clone(), global.namespace.clone())?;
    let config = read_config(&*repo.tree, &scope)?;
    let cache = render::Cache::new();
    let (mut objects, mut notes, mut problems) = (Vec::new(), Vec::new(), Vec::<Problem>::new());
    let chosen = config.apps.iter().filter(|app| arguments.app.as_ref().is_none_or(|only| *only == app.name));
    let mut any = false;
    for app in chosen {
        any = true;
        match render_app(&*repo.tree, &scope, &config, app, limits, &cache, charts) {
            Ok((desired, _)) => {
                notes.extend(desired.notes);
                objects.extend(desired.objects);
            }
            Err(found) => problems.extend(found.into_vec()),
        }
    }
    if let (false, Some(app)) = (any, &arguments.app) {
        let names: Vec<&str> = config.apps.iter().map(|app| app.name.as_str()).collect();
        return Err(Failure::input(format!("{environment} has no app {app}"))
            .hint(format!("it has {}", names.join(", "))));
    }
    Problems::check(problems)?;
    Ok((objects, notes))
}
