use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use super::output::{Format, print, print_value, table};
use super::repo::RepoArguments;
use super::{CliResult, Exit};
use crate::agent::desired::{DesiredScope, pointer, read_config};
use crate::health::{Rule, Rules, report_with};
use crate::object::{EnvironmentName, Problem, Problems, TreePath};
use crate::yaml;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A file of objects as the cluster holds them (YAML or JSON, also a List); `-` for standard input
    #[arg(short, long, value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    /// Judge by the rules of this environment: `rollout.health` of its environment.yaml
    #[arg(long, value_name = "NAME", conflicts_with = "rules")]
    env: Option<EnvironmentName>,
    #[command(flatten)]
    repo: RepoArguments,
    /// Judge by the rules of this file: a list of rules, or an environment.yaml
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub fn run(arguments: &Arguments) -> CliResult {
    let rules = rules(arguments)?;
    let mut objects = Vec::new();
    for file in &arguments.file {
        objects.extend(read(file)?);
    }
    let verdicts = report_with(&objects, &rules);
    match arguments.output {
        Format::Text => {
            let mut rows = vec![["STATUS", "OBJECT", "REASON", "MESSAGE"].map(str::to_owned).to_vec()];
            for verdict in &verdicts {
                let value = serde_json::to_value(verdict).unwrap_or_default();
                let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                let namespace = match field("namespace") {
                    none if none.is_empty() => String::new(),
                    namespace => format!("{namespace}/"),
                };
                let object = format!("{} {namespace}{}", field("kind"), field("name"));
                rows.push(vec![field("status"), object, field("reason"), field("message")]);
            }
            print(&table(&rows));
        }
        format => print_value(&verdicts, format)?,
    }
    Ok(Exit::Done)
}

fn rules(arguments: &Arguments) -> Result<Rules, Failure> {
    if let Some(name) = &arguments.env {
        let repo = arguments.repo.open()?;
        let scope = DesiredScope::unbound(name.clone(), Some("default".to_owned()))?;
        let config = read_config(&*repo.tree, &scope)?;
        // They were checked with the rest of the file.
        return Ok(Rules::compile(&config.rollout.health).unwrap_or_default());
    }
    arguments.rules.as_deref().map_or_else(|| Ok(Rules::default()), read_rules)
}

/// Reads a list of rules, or those of an environment.yaml. Every problem names the line.
fn read_rules(file: &Path) -> Result<Rules, Failure> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|error| Failure::input(format!("{name}: {error}")))?;
    let path = TreePath::new(file.file_name().and_then(|name| name.to_str()).unwrap_or("rules"))?;
    let documents = yaml::read(&bytes, &path, yaml::Dialect::Config, &yaml::Limits::default())?;
    let [document] = documents.as_slice() else {
        return Err(Failure::input(format!("{name} holds {} documents, and one is wanted", documents.len())));
    };
    let (root, at) = match document.value() {
        list @ Value::Array(_) => (list, ""),
        root if root["kind"] == "EnvironmentConfig" => {
            (&root["spec"]["rollout"]["health"], "/spec/rollout/health")
        }
        _ => {
            return Err(Failure::input(format!("{name} is neither a list of rules nor an environment.yaml")));
        }
    };
    if root.is_null() {
        return Ok(Rules::default());
    }
    let written: Vec<Rule> = serde_path_to_error::deserialize(root).map_err(|error| {
        let at = format!("{at}{}", pointer(error.path()));
        Problems::from(Problem::at(document.place_of(&at), error.inner().to_string()))
    })?;
    let refused = |errors: Vec<crate::health::RuleError>| {
        let place = |error: &crate::health::RuleError| document.place_of(&format!("{at}{}", error.at));
        Problems::check(errors.iter().map(|error| Problem::at(place(error), error.to_string())).collect())
    };
    match Rules::compile(&written) {
        Ok(rules) => Ok(rules),
        Err(errors) => refused(errors).map(|()| Rules::default()).map_err(Failure::from),
    }
}

fn read(file: &Path) -> Result<Vec<Value>, Failure> {
    let name = file.display().to_string();
    let failed = |error: std::io::Error| Failure::input(format!("{name}: {error}"));
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        bytes
    } else {
        std::fs::read(file).map_err(failed)?
    };
    let path = TreePath::new(file.file_name().and_then(|name| name.to_str()).unwrap_or("stdin"))?;
    // What a cluster printed may be far longer than what people write.
    let limits = yaml::Limits { file_bytes: 1 << 30, documents: 1_000_000, ..yaml::Limits::default() };
    let documents = yaml::read(&bytes, &path, yaml::Dialect::Kubectl, &limits)?;
    let mut objects = Vec::new();
    for document in documents {
        let place = document.place();
        match document.into_value() {
            Value::Object(mut map) if map.get("items").is_some_and(Value::is_array) && is_list(&map) => {
                if let Some(Value::Array(items)) = map.remove("items") {
                    objects.extend(items);
                }
            }
            Value::Array(items) => objects.extend(items),
            value @ Value::Object(_) => objects.push(value),
            _ => return Err(Failure::input(format!("{place}: this is not an object"))),
        }
    }
    Ok(objects)
}

fn is_list(map: &serde_json::Map<String, Value>) -> bool {
    map.get("kind").and_then(Value::as_str).is_none_or(|kind| kind.ends_with("List"))
}
