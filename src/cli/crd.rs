use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::output::{Format, print, print_value};
use super::{CliResult, Exit};
use crate::{api, yaml};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only that of these resources, such as `environments`
    #[arg(value_name = "PLURAL")]
    plurals: Vec<String>,
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Format,
}

pub fn run(arguments: &Arguments) -> CliResult {
    let mut crds = api::crds();
    if let Some(unknown) =
        arguments.plurals.iter().find(|name| crds.iter().all(|crd| crd.spec.names.plural != **name))
    {
        return Err(Failure::input(format!("there is no resource {unknown} of Fairlead")));
    }
    crds.retain(|crd| arguments.plurals.is_empty() || arguments.plurals.contains(&crd.spec.names.plural));
    match arguments.output {
        Format::Json => {
            print_value(&json!({"apiVersion": "v1", "kind": "List", "items": crds}), Format::Json)?;
        }
        Format::Text | Format::Yaml => {
            let values: Vec<_> = crds.iter().filter_map(|crd| serde_json::to_value(crd).ok()).collect();
            print(&yaml::write_all(&values));
        }
    }
    Ok(Exit::Done)
}
