use std::collections::HashSet;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::output::{print, print_value};
use super::repo::{Repo, RepoArguments};
use super::target::Global;
use super::{Exit, Outcome, output};
use crate::agent::charts::Charts;
use crate::agent::desired::{Scope, read_config, render_app, want};
use crate::object::{Desired, EnvironmentName, Manifest, Note, Problem, Problems};
use crate::{plan, render, schema};

#[derive(Debug, Args)]
pub struct Arguments {
    /// One environment; all of them where it is not given
    #[arg(long, value_name = "NAME")]
    env: Option<EnvironmentName>,
    #[command(flatten)]
    repo: RepoArguments,
    /// The version of Kubernetes that charts are told; the newest that is known where it is not given
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
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
    environment: String,
    #[serde(flatten)]
    problem: Problem,
}

#[derive(Debug, Default, Serialize)]
struct Findings {
    environments: usize,
    apps: usize,
    objects: usize,
    errors: Vec<Finding>,
    notes: Vec<Note>,
}

pub fn run(global: &Global, arguments: &Arguments) -> Outcome {
    let helm = global.helm();
    let charts = Charts::offline(&helm, arguments.kube_version.as_deref());
    let repo = arguments.repo.open()?;
    let environments = match &arguments.env {
        Some(name) => vec![name.clone()],
        None => repo.environments()?,
    };
    let mut findings = Findings::default();
    let cache = render::Cache::new();
    for environment in &environments {
        check(&repo, environment, &cache, &charts, &mut findings)?;
    }
    // A base that several environments share is wrong once.
    let mut seen = HashSet::new();
    findings.errors.retain(|finding| seen.insert(finding.problem.to_string()));
    let mut seen = HashSet::new();
    findings.notes.retain(|note| seen.insert(format!("{:?}{}", note.place, note.message)));
    show(&findings, arguments.output)?;
    Ok(if findings.errors.is_empty() { Exit::Done } else { Exit::Input })
}

fn check(
    repo: &Repo,
    environment: &EnvironmentName,
    cache: &render::Cache,
    charts: &Charts<'_>,
    findings: &mut Findings,
) -> Result<(), super::Failure> {
    // Offline nobody says what the environment is granted; a placeholder stands for the one namespace it has.
    let scope = Scope::unbound(environment.clone(), Some("default".to_owned()))?;
    findings.environments += 1;
    let mut found: Vec<Problem> = Vec::new();
    match read_config(&*repo.tree, &scope) {
        Err(problems) => found.extend(problems.into_vec()),
        Ok(config) => {
            let limits = render::Limits::default();
            let rendered: Vec<_> = config
                .apps
                .iter()
                .map(|app| {
                    render_app(&*repo.tree, &scope, &config, app, &limits, cache, charts)
                        .map(|(desired, _)| (app, desired))
                })
                .collect();
            // One app may bring the definition of what another one holds.
            let own: HashSet<(String, String)> = rendered
                .iter()
                .flatten()
                .flat_map(|(_, desired)| &desired.objects)
                .filter_map(defines)
                .collect();
            for rendered in rendered {
                findings.apps += 1;
                let judged = rendered.and_then(|(app, desired)| {
                    findings.objects += desired.objects.len();
                    findings.notes.extend(desired.notes.iter().cloned());
                    shapes(&desired, &own)?;
                    let (wanted, _) = want(desired, &scope, app, schema::builtin().kinds())?;
                    plan::order(&wanted.objects, &wanted.needed).map(drop)
                });
                if let Err(problems) = judged {
                    found.extend(problems.into_vec());
                }
            }
        }
    }
    let named = found.into_iter().map(|problem| Finding { environment: environment.to_string(), problem });
    findings.errors.extend(named);
    Ok(())
}

/// The group and kind that a CustomResourceDefinition brings.
fn defines(object: &Manifest) -> Option<(String, String)> {
    if &*object.gvk().kind != "CustomResourceDefinition" {
        return None;
    }
    let spec = &object.value()["spec"];
    Some((spec["group"].as_str()?.to_owned(), spec["names"]["kind"].as_str()?.to_owned()))
}

/// What the built-in schemas say of an app's objects: removed versions, unknown kinds of Kubernetes' own groups, unknown
/// fields, wrong types, missing fields. Custom resources of other groups are the cluster's to judge.
fn shapes(desired: &Desired, own: &HashSet<(String, String)>) -> Result<(), Problems> {
    let builtin = schema::builtin();
    let mut found = Vec::new();
    for object in &desired.objects {
        let gvk = object.gvk();
        let place = || object.origin.place.clone();
        if own.contains(&(gvk.group.to_string(), gvk.kind.to_string())) {
            continue;
        }
        if let Some(removed) = builtin.removed(gvk) {
            let problem =
                Problem::at(place(), format!("{gvk} was removed in Kubernetes {}", removed.release));
            found.push(match &removed.instead {
                Some(instead) => problem.hint(format!("write {instead}")),
                None => problem,
            });
        } else if builtin.kind(gvk).is_some() {
            for finding in schema::check(builtin, gvk, &object.value()) {
                found.push(Problem::at(place(), format!("{}: {finding}", object.key())));
            }
        } else if builtin.owns_group(&gvk.group) {
            let problem = Problem::at(place(), format!("Kubernetes {} has no {gvk}", builtin.release()));
            found.push(problem.hint("is the kind or the version misspelt?"));
        }
    }
    Problems::check(found)
}

fn show(findings: &Findings, format: Format) -> Result<(), super::Failure> {
    match format {
        Format::Json => print_value(findings, output::Format::Json)?,
        Format::Text => {
            let mut text = String::new();
            for note in &findings.notes {
                let place = note.place.as_ref().map_or(String::new(), |place| format!("{place}: "));
                text.push_str(&format!("note: {place}{}\n", note.message));
            }
            for finding in &findings.errors {
                text.push_str(&format!("error: {}\n", finding.problem));
            }
            let count = findings.errors.len();
            text.push_str(&format!(
                "{} environments, {} apps, {} objects: {}\n",
                findings.environments,
                findings.apps,
                findings.objects,
                if count == 0 { "nothing is wrong".to_owned() } else { format!("{count} wrong") },
            ));
            print(&text);
        }
        Format::Github => {
            let mut text = String::new();
            for finding in &findings.errors {
                text.push_str(&annotation("error", finding.problem.place.as_ref(), &told(&finding.problem)));
            }
            for note in &findings.notes {
                text.push_str(&annotation("notice", note.place.as_ref(), &note.message));
            }
            print(&text);
        }
    }
    Ok(())
}

fn told(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{} ({hint})", problem.message),
        None => problem.message.clone(),
    }
}

/// A workflow command; what would end it or its properties is escaped as GitHub's toolkit does.
fn annotation(level: &str, place: Option<&crate::object::Place>, message: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let at = place.map_or(String::new(), |place| {
        let line = if place.line > 0 { format!(",line={}", place.line) } else { String::new() };
        format!(" file={}{line}", property(place.path.as_str()))
    });
    format!("::{level}{at}::{}\n", data(message))
}
