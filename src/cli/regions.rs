use clap::Args;
use kube::ResourceExt;
use serde::Serialize;

use super::output::{Format, print, print_value, table};
use super::target::{self, Global, environment};
use super::{CliResult, Exit};
use crate::api::{Environment, RegionRunStatus, RegionStatus};
use crate::object::EnvironmentName;

#[derive(Debug, Args)]
pub struct Arguments {
    /// One environment, with its re-point and what a move to this region would need; all of them in short where it is not given
    #[arg(value_name = "NAME")]
    name: Option<EnvironmentName>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: String,
    region: &'a RegionStatus,
}

/// Shows where environments stand in the region of this cluster.
pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let environments = target::environments(&cluster);
    let found = match &arguments.name {
        Some(name) => vec![environment(&environments, name).await?],
        None => environments.list().await?,
    };
    let shown: Vec<Shown> = found.iter().filter_map(shown).collect();
    match (arguments.output, shown.as_slice(), &arguments.name) {
        (Format::Text, [], Some(name)) => print(&format!("{name} is in no region here\n")),
        (Format::Text, [], None) => print("no environment of this cluster is in a region\n"),
        (Format::Text, [one], Some(_)) => print(&in_full(one)),
        (Format::Text, many, _) => print(&in_short(many)),
        (format, many, _) => print_value(&many, format)?,
    }
    Ok(Exit::Done)
}

fn shown(found: &Environment) -> Option<Shown<'_>> {
    Some(Shown { name: found.name_any(), region: found.status.as_ref()?.region.as_ref()? })
}

fn in_short(all: &[Shown]) -> String {
    let head = ["ENVIRONMENT", "HERE", "ROLE", "WRITERS", "EPOCH", "HOLDER", "MOVE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for Shown { name, region } in all {
        rows.push(vec![
            name.clone(),
            region.region.clone(),
            region.role.clone(),
            region.writers.clone(),
            region.epoch.to_string(),
            holder(region),
            region.run.as_ref().map_or_else(|| "-".to_owned(), moves),
        ]);
    }
    table(&rows)
}

fn holder(region: &RegionStatus) -> String {
    region.holder.as_ref().map_or_else(
        || "nobody".to_owned(),
        |holder| format!("{} at {} ({})", holder.region, holder.epoch, holder.hold),
    )
}

fn moves(run: &RegionRunStatus) -> String {
    match run.state.as_str() {
        "Ended" => format!("to {}: {}", run.to, run.message),
        state => format!("to {}: {state} at {}", run.to, run.step),
    }
}

fn in_full(Shown { name, region }: &Shown) -> String {
    let mut text = format!("{name} in {}: {}, writers {}\n", region.region, region.role, region.writers);
    text.push_str(&format!("  meant     {} at epoch {}\n", region.active, region.epoch));
    text.push_str(&format!("  held by   {}\n", holder(region)));
    if let Some(holder) = &region.holder {
        let silence = match holder.silence.as_deref() {
            Some("stop") => Some("its writers stop by themselves: another may take over"),
            Some("run") => {
                Some("its writers run on: only its release, or a person's word, gives it to another")
            }
            _ => None,
        };
        text.push_str(&silence.map(|what| format!("  if silent {what}\n")).unwrap_or_default());
        let claimed = holder.claimed_by.as_ref().map(|by| format!("  claimed   by {by}\n"));
        text.push_str(&claimed.unwrap_or_default());
        let drains = holder.drains.as_ref().map(|region| format!("  drains    {region}\n"));
        text.push_str(&drains.unwrap_or_default());
    }
    if region.frozen {
        text.push_str("  frozen    nothing is deployed nor deleted here\n");
    }
    if let Some(message) = &region.message {
        text.push_str(&format!("  !         {message}\n"));
    }
    text.push_str(&region.run.as_ref().map(run_in_full).unwrap_or_default());
    if !region.readiness.is_empty() {
        let looked = region.looked.as_deref().unwrap_or("never");
        text.push_str(&format!("\n  readiness of {}, looked at {looked}\n", region.region));
        for row in &region.readiness {
            let message = row.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            text.push_str(&format!("    {:<12} {}{message}\n", row.check, row.state));
        }
    }
    text
}

fn run_in_full(run: &RegionRunStatus) -> String {
    let from = run.from.as_ref().map(|from| format!("from {from} ")).unwrap_or_default();
    let mut text = format!(
        "\n  re-point {from}to {} as epoch {}, {}, by {}, since {}\n",
        run.to, run.epoch, run.mode, run.by, run.began
    );
    let message = if run.message.is_empty() { String::new() } else { format!(": {}", run.message) };
    match run.state.as_str() {
        "Ended" => {
            text.push_str(&format!("    ended {}{message}\n", run.ended.as_deref().unwrap_or_default()))
        }
        state => text.push_str(&format!("    {state} at {}{message}\n", run.step)),
    }
    for choice in &run.choices {
        text.push_str(&format!("      can be done: {choice}\n"));
    }
    for step in run.steps.iter().filter(|step| step.outcome != "not begun") {
        let time = step.seconds.map(|seconds| format!(", {seconds} s")).unwrap_or_default();
        text.push_str(&format!("    {:<16} {}{time}\n", step.step, step.outcome));
    }
    if let Some(seconds) = run.recovery_seconds {
        text.push_str(&format!("    served after {seconds} s\n"));
    }
    text
}
