use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::environment_file::EnvironmentFile;
use super::failure::Failure;
use super::output::{Format, print, print_value};
use super::repo::{Repo, RepoArguments};
use super::target::Global;
use super::{CliResult, Exit};
use crate::agent::charts::Charts;
use crate::agent::desired::{DesiredScope, read_config, render_app, want};
use crate::agent::step_jobs;
use crate::api::{Environment, EnvironmentConfig, names};
use crate::cluster::Session;
use crate::object::secret::Pins;
use crate::object::{EnvironmentName, KindInfo, KindScope, Kinds, Problem, Problems, TreePath};
use crate::plan::WantedApp;
use crate::policy::{Rights, Rule};
use crate::region::Part;
use crate::{render, schema, yaml};

#[derive(Debug, Args)]
pub struct Arguments {
    /// An environment of the repository
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    #[command(flatten)]
    repo: RepoArguments,
    #[command(flatten)]
    platform: EnvironmentFile,
    /// A file with CustomResourceDefinitions, for kinds that are neither Kubernetes' own nor defined by the environment, where
    /// no cluster is asked; may be given more than once
    #[arg(long, value_name = "FILE", requires = "environment_file")]
    definitions: Vec<PathBuf>,
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Format,
}

/// For whom, and what is known of the kinds.
struct Known {
    scope: DesiredScope,
    environment: Environment,
    kinds: Kinds,
}

/// Prints the Roles. Where a file holds the Environment, no cluster is asked.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let repo = arguments.repo.open()?;
    let platform = arguments.platform.read()?;
    let unbound = DesiredScope::unbound(arguments.env.clone(), None)?;
    let mut known = match platform.find(&arguments.env)? {
        Some(environment) => Known {
            scope: platform.bind(unbound)?,
            environment: environment.clone(),
            kinds: with_definitions(schema::builtin().kinds().clone(), &arguments.definitions)?,
        },
        None => ask(global, &arguments.env).await?,
    };
    let rights = rights(global, &repo, &mut known)?;
    let account = &known.environment.spec.service_account;
    let objects: Vec<Value> = rights
        .rules()
        .into_iter()
        .flat_map(|(namespace, rules)| roles(&account.name, &account.namespace, namespace.as_deref(), &rules))
        .collect();
    match arguments.output {
        Format::Json => print_value(&objects, Format::Json)?,
        Format::Text | Format::Yaml => print(&written(&arguments.env, &objects)),
    }
    Ok(Exit::Done)
}

/// Of a cluster: its Environment of this name, and its kinds.
async fn ask(global: &Global, name: &EnvironmentName) -> Result<Known, Failure> {
    let cluster = global.connect().await?;
    let (scope, environment) = global.scope(&cluster, name).await?;
    let environment = environment.ok_or_else(|| {
        Failure::input(format!("the cluster has no Environment {name}, which says whose rights they are"))
            .hint("--environment-file names a file that holds it")
    })?;
    let session = Session::open(cluster)
        .await
        .map_err(|error| Failure::error("what the cluster serves cannot be read", &error))?;
    let kinds = (*session.kinds()).clone();
    Ok(Known { scope, environment, kinds })
}

/// The rights for all that the environment renders to, in each region that it may be active in.
fn rights(global: &Global, repo: &Repo, known: &mut Known) -> Result<Rights, Failure> {
    let helm = global.helm();
    let (charts, limits, cache) = (Charts::offline(&helm, None), global.limits(), render::Cache::new());
    let config = read_config(&*repo.tree, &known.scope)?;
    let (mut rights, mut problems) = (Rights::default(), Vec::<Problem>::new());
    for scope in scopes(&known.scope, &config) {
        for app in &config.apps {
            let desired = render_app(&*repo.tree, &scope, &config, app, &limits, &cache, &charts);
            let wanted = desired.and_then(|(desired, _)| {
                for definition in desired.objects.iter().filter(|object| is_definition(&object.value())) {
                    define(&mut known.kinds, &definition.value());
                }
                want(desired, &scope, app, &known.kinds, &Pins::offline())
            });
            match wanted.and_then(|(wanted, _)| add(&mut rights, &wanted, &config, &known.kinds)) {
                Ok(()) => {}
                Err(found) => problems.extend(found.into_vec()),
            }
        }
    }
    if let Some(region) = &config.region {
        match step_jobs(&*repo.tree, &known.scope, &known.kinds, region) {
            Ok(jobs) => jobs.values().for_each(|namespace| rights.add_step_job(namespace)),
            Err(found) => problems.extend(found.into_vec()),
        }
    }
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.to_string()));
    Problems::check(problems)?;
    add_leftovers(&mut rights, known);
    Ok(rights)
}

/// One for each region that the environment may be active in; one where it has none.
fn scopes(scope: &DesiredScope, config: &EnvironmentConfig) -> Vec<DesiredScope> {
    let Some(region) = &config.region else { return vec![scope.clone()] };
    let part = |name: &crate::region::RegionName| Some(Part::whole(name.clone()));
    region.regions().map(|(_, name)| DesiredScope { part: part(name), ..scope.clone() }).collect()
}

fn add(
    rights: &mut Rights,
    wanted: &WantedApp,
    config: &EnvironmentConfig,
    kinds: &Kinds,
) -> Result<(), Problems> {
    let objects: Vec<_> = wanted.all().map(Arc::as_ref).collect();
    if config.region.is_some() {
        rights.add_stopping(objects.iter().copied());
    }
    rights.add(objects, kinds)
}

/// What the cluster has of the environment, by the Environment's own word, and git has no more.
fn add_leftovers(rights: &mut Rights, known: &Known) {
    let annotations = known.environment.annotations();
    let list = |name: &str| -> BTreeSet<String> {
        let text = annotations.get(name).map_or("", String::as_str);
        text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let namespaces = list(names::APPLYSET_NAMESPACES);
    for kind in list(names::APPLYSET_KINDS) {
        if !rights.writes(&kind) && !rights.add_leftover(&kind, &namespaces, &known.kinds) {
            eprintln!(
                "note: the cluster has objects of the kind {kind} that git has no more; no right to delete them is printed, because \
                 it would be one to delete all of that kind"
            );
        }
    }
}

fn with_definitions(mut kinds: Kinds, files: &[PathBuf]) -> Result<Kinds, Failure> {
    for file in files {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|error| Failure::input(format!("{name}: {error}")))?;
        let path =
            TreePath::new(file.file_name().and_then(|name| name.to_str()).unwrap_or("definitions.yaml"))?;
        let documents = yaml::read(&bytes, &path, yaml::Dialect::Kubectl, &yaml::Limits::default())?;
        let definitions: Vec<_> =
            documents.iter().map(yaml::Document::value).filter(|value| is_definition(value)).collect();
        if definitions.is_empty() {
            return Err(Failure::input(format!("{name} holds no CustomResourceDefinition")));
        }
        definitions.into_iter().for_each(|definition| define(&mut kinds, definition));
    }
    Ok(kinds)
}

fn is_definition(object: &Value) -> bool {
    object["kind"] == "CustomResourceDefinition"
}

/// Makes known the kind that a definition brings.
fn define(kinds: &mut Kinds, definition: &Value) {
    let spec = &definition["spec"];
    let (group, names) = (&spec["group"], &spec["names"]);
    let (Some(group), Some(kind), Some(plural)) =
        (group.as_str(), names["kind"].as_str(), names["plural"].as_str())
    else {
        return;
    };
    let scope = match spec["scope"].as_str() {
        Some("Cluster") => KindScope::Cluster,
        _ => KindScope::Namespaced,
    };
    let versions = spec["versions"].as_array().into_iter().flatten();
    let versions = versions.filter(|version| version["served"] != false);
    let versions = versions.filter_map(|version| version["name"].as_str().map(str::to_owned)).collect();
    kinds.insert(group, kind, KindInfo { plural: plural.to_owned(), scope, versions });
}

/// A role with these rules, and its binding to the account.
fn roles(account: &str, home: &str, namespace: Option<&str>, rules: &[Rule]) -> [Value; 2] {
    let (role, binding, metadata) = match namespace {
        Some(namespace) => ("Role", "RoleBinding", json!({"name": account, "namespace": namespace})),
        None => ("ClusterRole", "ClusterRoleBinding", json!({"name": account})),
    };
    let api = "rbac.authorization.k8s.io";
    [
        json!({"apiVersion": format!("{api}/v1"), "kind": role, "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": format!("{api}/v1"), "kind": binding, "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": role, "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}],
        }),
    ]
}

/// As a file to keep, a list on each line as people write them; with where it came from, which is the same for the same files.
fn written(environment: &EnvironmentName, objects: &[Value]) -> String {
    let documents: Vec<String> = objects.iter().map(document).collect();
    format!(
        "# What the account of the environment {environment} may do: made by `fairlead rbac --env {environment}`.\n{}",
        documents.join("---\n")
    )
}

fn document(object: &Value) -> String {
    let rules = object["rules"].as_array().into_iter().flatten();
    let rules: String = rules.map(|rule| lines(rule, "  - ", "    ")).collect();
    let mut plain = object.clone();
    if let Some(fields) = plain.as_object_mut().filter(|fields| fields.contains_key("rules")) {
        fields.remove("rules");
        return format!("{}rules:\n{rules}", yaml::write(&plain));
    }
    yaml::write(&plain)
}

/// The lists of a rule, in the order in which rules are read.
fn lines(rule: &Value, first: &str, next: &str) -> String {
    const FIELDS: [&str; 5] = ["apiGroups", "resources", "resourceNames", "nonResourceURLs", "verbs"];
    let mut text = String::new();
    for field in FIELDS.into_iter().filter(|field| rule[*field].is_array()) {
        let items: Vec<String> =
            rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(scalar).collect();
        let indent = if text.is_empty() { first } else { next };
        text.push_str(&format!("{indent}{field}: [{}]\n", items.join(", ")));
    }
    text
}

/// Plain where no reader of YAML could take it for anything but text.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.contains(['/', '.', '-'])
        && text
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-./".contains(char));
    // No word that YAML knows is as long as five letters, but for `false`.
    let is_word = text.len() > 2
        && text.chars().all(|char| char.is_ascii_lowercase())
        && !matches!(text, "true" | "false" | "null" | "yes" | "off" | "nan" | "inf");
    if is_plain || is_word { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_written_as_people_write_one_and_says_the_same() {
        let rule = Rule {
            api_groups: [String::new(), "apps".to_owned()].into(),
            resources: ["deployments".to_owned(), "pods/log".to_owned()].into(),
            resource_names: ["true", "1e3", "a:b", "on", "web-1"].map(str::to_owned).into(),
            verbs: ["*".to_owned(), "get".to_owned()].into(),
            ..Rule::default()
        };
        let roles = roles("deploy-dev", "fairlead", Some("web"), &[rule]);
        let text = written(&EnvironmentName::new("dev").unwrap(), &roles);
        assert!(
            text.contains("  - apiGroups: [\"\", apps]\n    resources: [deployments, pods/log]\n"),
            "{text}"
        );
        let path = TreePath::new("role.yaml").unwrap();
        let limits = yaml::Limits::default();
        let read = yaml::read(text.as_bytes(), &path, yaml::Dialect::Kubectl, &limits).unwrap();
        let read: Vec<&Value> = read.iter().map(yaml::Document::value).collect();
        assert_eq!(read, [&roles[0], &roles[1]]);
    }
}
