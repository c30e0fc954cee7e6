use clap::Args;
use serde_json::json;

use super::output::{Format, print, print_value};
use super::{Exit, Outcome};
use crate::{api, yaml};

#[derive(Debug, Args)]
pub struct Arguments {
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Format,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let crds = api::crds();
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
