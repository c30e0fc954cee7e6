mod blame;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use super::output::{Format, page, print_value};
use super::repo::{Repo, RepoArguments, open_around};
use super::target::Global;
use super::{CliResult, Exit};
use crate::agent::charted::Charted;
use crate::agent::charts::Charts;
use crate::agent::desired::{DesiredScope, read_config, source_of};
use crate::cluster::{Call, Cluster, ConnectOptions, Session};
use crate::object::field_path::{FieldPath, find_field};
use crate::object::{AppName, EnvironmentName, KindScope, Kinds, ObjectKey, Problem, TreePath, chain};
pub use crate::render::Asked;
use crate::render::{self, AppSource, Explained};
use crate::report::explain::{Explanation, Field, SetBy, Spot};
use blame::Blame;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The object, as deployment/web or Deployment.apps/web; by the name it has in git, or by the one it gets
    #[arg(value_name = "OBJECT")]
    object: Asked,
    /// The field, as spec.replicas, spec.template.spec.containers[name=web].image or /spec/replicas; all that something
    /// other than the object's first file has set where it is not given
    #[arg(value_name = "FIELD")]
    field: Option<String>,
    /// One environment; all of them where it is not given
    #[arg(long, value_name = "NAME", conflicts_with = "folder")]
    env: Option<EnvironmentName>,
    /// One app of the environment
    #[arg(long, value_name = "NAME", requires = "env")]
    app: Option<AppName>,
    /// A folder, as `fairlead render` takes it, in place of environments
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    repo: RepoArguments,
    /// Ask no cluster
    #[arg(long)]
    offline: bool,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// One folder or chart to look in, and for whom it is rendered.
struct Place {
    environment: Option<EnvironmentName>,
    app: Option<AppName>,
    source: AppSource,
}

/// A cluster that says nothing for so long is not there; the answer from git is.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let (repo, places, mut broken) = places(arguments)?;
    let limits = global.limits();
    let blame = Blame::of(&repo, arguments.repo.rev.as_deref());
    let (mut explanations, mut others) = (Vec::new(), Vec::new());
    let mut missing = None;
    let mut session = None;
    let helm = global.helm();
    let charts = Charts::offline(&helm, None);
    for place in &places {
        let (tree, mut requests) = (&*repo.tree, Vec::new());
        let rendered = match &place.source {
            AppSource::Folder(folder) => charts.serve(tree, |made| {
                requests = made.keys().cloned().collect();
                render::explain(tree, folder, &limits, made)
            }),
            AppSource::Chart(request) => {
                requests.push((**request).clone());
                let charted = Charted { tree, charts: &charts, limits: &limits, requests: requests.clone() };
                charted.render(request).map(|all| all.into_iter().map(Explained::as_it_is).collect())
            }
        };
        let charted = Charted { tree, charts: &charts, limits: &limits, requests };
        let objects = match rendered {
            Ok(objects) => objects,
            Err(problems) => {
                broken.extend(problems.into_vec());
                continue;
            }
        };
        for object in objects {
            if !arguments.object.is(&object, global.namespace.as_deref()) {
                others.push(object.manifest.key());
                continue;
            }
            let (fields, unknown) = match arguments.field.as_deref().map(|field| object.find(field)) {
                None => (object.changed(), None),
                Some(Ok(field)) => {
                    let below = object.changed_below(&field);
                    (std::iter::once(field).chain(below).collect(), None)
                }
                Some(Err(error)) => (Vec::new(), Some(error)),
            };
            let mut explanation =
                explain(&repo, place, &object, (fields, arguments.field.is_some()), &blame, &charted);
            if !arguments.offline {
                let asked = tokio::time::timeout(PATIENCE, ask(global, place, &object, &mut session)).await;
                match asked {
                    Ok(Ok((key, found))) => {
                        // What git does not say may be there nevertheless.
                        let only_there = unknown.as_ref().and(arguments.field.as_deref());
                        explanation.compare(
                            &key,
                            &found,
                            only_there.and_then(|text| find_field(&found, text)),
                        );
                    }
                    Ok(Err(why)) => explanation.cluster = Some(why),
                    Err(_) => {
                        explanation.cluster = Some(format!("did not answer within {} s", PATIENCE.as_secs()));
                    }
                }
            }
            if let Some(error) = unknown.filter(|_| explanation.fields.is_empty()) {
                missing = Some((object.manifest.key(), error));
                continue;
            }
            explanations.push(explanation);
        }
    }
    if explanations.is_empty() {
        return Err(nothing(arguments, missing, &others, broken));
    }
    for problem in &broken {
        eprintln!("note: not looked at: {problem}");
    }
    match arguments.output {
        Format::Text => {
            let texts: Vec<String> = explanations.iter().map(Explanation::text).collect();
            page(&texts.join("\n"));
        }
        format => print_value(&explanations, format)?,
    }
    Ok(Exit::Done)
}

/// Where to look, and what is wrong with other places.
fn places(arguments: &Arguments) -> Result<(Repo, Vec<Place>, Vec<Problem>), Failure> {
    if let Some(folder) = &arguments.folder {
        let (repo, path) = match &arguments.repo.rev {
            None => open_around(folder)?,
            Some(_) => {
                let text = folder.to_str().ok_or_else(|| Failure::input("the folder is not UTF-8"))?;
                (arguments.repo.open()?, TreePath::new(text)?)
            }
        };
        return Ok((
            repo,
            vec![Place { environment: None, app: None, source: AppSource::Folder(path) }],
            Vec::new(),
        ));
    }
    let repo = arguments.repo.open()?;
    let environments = match &arguments.env {
        Some(name) => vec![name.clone()],
        None => repo.environments()?,
    };
    let (mut places, mut broken) = (Vec::new(), Vec::new());
    for environment in environments {
        let scope = DesiredScope::unbound(environment.clone(), None)?;
        let config = read_config(&*repo.tree, &scope)?;
        let count = places.len() + broken.len();
        for app in &config.apps {
            let is_asked = arguments.app.as_ref().is_none_or(|only| *only == app.name);
            if !is_asked {
                continue;
            }
            match source_of(&*repo.tree, &scope, &config, app) {
                Ok(source) => places.push(Place {
                    environment: Some(environment.clone()),
                    app: Some(app.name.clone()),
                    source,
                }),
                Err(problems) => broken.extend(problems.into_vec()),
            }
        }
        if let (true, Some(app)) = (places.len() + broken.len() == count, &arguments.app) {
            let names: Vec<&str> = config.apps.iter().map(|app| app.name.as_str()).collect();
            return Err(Failure::input(format!("{environment} has no app {app}"))
                .hint(format!("it has {}", names.join(", "))));
        }
    }
    Ok((repo, places, broken))
}

fn explain(
    repo: &Repo,
    place: &Place,
    object: &Explained,
    (fields, is_asked): (Vec<FieldPath>, bool),
    blame: &Blame,
    charted: &Charted<'_>,
) -> Explanation {
    let key = object.manifest.key();
    let spot = |place: &crate::object::Place| Spot { place: place.clone(), commit: blame.line(repo, place) };
    let fields = fields.into_iter().enumerate().map(|(nth, path)| {
        let mut settings = object.settings(&*repo.tree, charted.limits, &path);
        charted.name_template(object, &mut settings);
        // The one that is asked for comes first; for all of them helm would run for minutes.
        if is_asked && nth == 0 {
            charted.name_values(object, &path, &mut settings);
        }
        let settings = settings.into_iter().map(|setting| {
            let commit = blame.line(repo, &setting.place);
            SetBy::new(&key, &path, setting, commit)
        });
        Field {
            value: object.value(&path).map(|value| crate::redact::value(&key, &path.to_string(), &value)),
            settings: settings.collect(),
            live: None,
            path,
        }
    });
    Explanation {
        environment: place.environment.as_ref().map(ToString::to_string),
        app: place.app.as_ref().map(ToString::to_string),
        origin: spot(&object.manifest.origin.place),
        cluster: None,
        fields: fields.collect(),
        object: key,
    }
}

/// Asks the cluster for the object; `Err` says why there is nothing to compare with.
async fn ask(
    global: &Global,
    place: &Place,
    object: &Explained,
    session: &mut Option<(Session, Option<DesiredScope>)>,
) -> Result<(ObjectKey, Value), String> {
    let failed = |error: &dyn std::error::Error| format!("could not be asked: {}", chain(error));
    let (opened, known) = match session {
        Some(known) => known,
        None => {
            let options =
                ConnectOptions { kubeconfig: global.kubeconfig.clone(), context: global.context.clone() };
            // Where it was looked for in vain says less than that there is none.
            let cluster = Cluster::connect(&options).await;
            let cluster = cluster.map_err(|error| format!("could not be asked: {error}"))?;
            session.insert((Session::open(cluster).await.map_err(|error| failed(&error))?, None))
        }
    };
    if let Some(name) = &place.environment
        && known.as_ref().is_none_or(|scope| scope.environment != *name)
    {
        let scope = global.scope(&opened.cluster, name).await;
        *known = Some(scope.map_err(|failure| format!("could not be asked: {}", failure.message))?.0);
    }
    let default = match known {
        Some(scope) if place.environment.is_some() => scope.namespace().map(str::to_owned),
        _ => global.namespace.clone().or_else(|| Some(opened.cluster.default_namespace().to_owned())),
    };
    let gvk = object.manifest.gvk();
    let key = in_namespace(&object.manifest.key(), default.as_deref(), &opened.kinds());
    let path = opened.path(gvk, &key).ok_or_else(|| format!("does not serve {gvk}"))?;
    match opened.cluster.send(&Call::get(path)).await {
        Ok(reply) => Ok((key, reply.json().map_err(|error| failed(&error))?)),
        Err(error) if error.is_not_found() => Err(format!("has no {key}")),
        Err(error) => Err(failed(&error)),
    }
}

/// What names no namespace gets the one of its environment.
pub fn in_namespace(key: &ObjectKey, default: Option<&str>, kinds: &Kinds) -> ObjectKey {
    let is_namespaced =
        kinds.get(&key.group, &key.kind).is_some_and(|info| info.scope == KindScope::Namespaced);
    match (&key.namespace, default) {
        (None, Some(default)) if is_namespaced => {
            ObjectKey::new(&key.group, &key.kind, Some(default), &key.name)
        }
        _ => key.clone(),
    }
}

fn nothing(
    arguments: &Arguments,
    missing: Option<(ObjectKey, render::NoSuchField)>,
    others: &[ObjectKey],
    broken: Vec<Problem>,
) -> Failure {
    if let Some((key, error)) = missing {
        return Failure::input(format!("{key}: {error}"));
    }
    let mut near: Vec<String> =
        others.iter().filter(|key| arguments.object.is_near(key)).map(ToString::to_string).collect();
    near.sort();
    near.dedup();
    let failure = match crate::object::Problems::check(broken) {
        Err(problems) => {
            let words =
                format!("no object here is {}; and not everything could be rendered", arguments.object);
            Failure::input(format!("{words}\nerror: {}", problems.to_string().replace('\n', "\nerror: ")))
        }
        Ok(()) => Failure::input(format!("no object here is {}", arguments.object)),
    };
    match near.is_empty() {
        true => failure,
        false => failure.hint(format!("there is {}", near.join(", "))),
    }
}
