use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use super::output::{Format, print, print_value, table};
use super::{Exit, Outcome};
use crate::health::report;
use crate::object::TreePath;
use crate::yaml;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A file of objects as the cluster holds them (YAML or JSON, also a List); `-` for standard input
    #[arg(short, long, value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut objects = Vec::new();
    for file in &arguments.file {
        objects.extend(read(file)?);
    }
    let verdicts = report(&objects);
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

fn read(file: &std::path::Path) -> Result<Vec<Value>, Failure> {
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
