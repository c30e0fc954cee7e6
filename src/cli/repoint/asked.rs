//! What people ask of a re-point that is under way: of the agent of the region that it goes to.

use std::time::Duration;

use clap::Args;

use super::Arguments;
use crate::api::{RequestSpec, Span};
use crate::cli::ask::{Asker, Reason};
use crate::cli::failure::Failure;
use crate::cli::target::{self, Global, environment};
use crate::cli::{CliResult, Exit};
use crate::region::{Preflight, RegionName, RegionStep};

/// One thing at a time.
#[derive(Debug, Args)]
#[group(multiple = false, conflicts_with = "to")]
pub struct Asked {
    /// Pause the re-point before its next step: the old region goes on serving, if it still does
    #[arg(long)]
    pause: bool,
    /// Go on after a pause
    #[arg(long)]
    resume: bool,
    /// Do the step again that it halted at; apps that failed at it try again what was set aside of them
    #[arg(long)]
    retry: bool,
    /// Leave out the step that it is at. The fence cannot be left out
    #[arg(long, value_name = "STEP", value_parser = step)]
    skip: Option<RegionStep>,
    /// Go on without the old region's help
    #[arg(long)]
    go_on_ungracefully: bool,
    /// Go on although this is not ready here: renders, secrets, images, capacity, foundation, data, sharedPlace
    #[arg(long = "override", value_name = "CHECK", value_parser = check)]
    overridden: Option<Preflight>,
    /// Let up to so much of the data be lost, as 90s
    #[arg(long, value_name = "TIME")]
    take_loss: Option<Span>,
    /// Say by your name that this region is off, and stays off until it has read the shared place
    #[arg(long, value_name = "REGION", value_parser = RegionName::new, requires = "reason")]
    attest: Option<RegionName>,
    /// Give the re-point up; possible until writers were started
    #[arg(long)]
    abort: bool,
}

/// An agent that does nothing else answers at once.
const ANSWERED: Duration = Duration::from_secs(20);

/// What is to be asked of the agent; nothing where it is git that is to be changed.
pub(super) fn spec(arguments: &Arguments) -> Result<Option<(&'static str, RequestSpec)>, Failure> {
    let asked = &arguments.asked;
    let of_run = |action: &str, spec: RequestSpec| {
        Some(("repoint", RequestSpec { action: Some(action.to_owned()), ..spec }))
    };
    let plain = RequestSpec::default;
    if let Some(region) = &asked.attest {
        return Ok(Some(("attest", RequestSpec { region: Some(region.to_string()), ..plain() })));
    }
    if let (true, Some(to)) = (arguments.break_glass, &arguments.to) {
        let action = arguments.ungraceful.then(|| "ungraceful".to_owned());
        return Ok(Some(("breakglass", RequestSpec { region: Some(to.to_string()), action, ..plain() })));
    }
    Ok(match asked {
        Asked { pause: true, .. } => of_run("pause", plain()),
        Asked { resume: true, .. } => of_run("resume", plain()),
        Asked { retry: true, .. } => of_run("retry", plain()),
        Asked { go_on_ungracefully: true, .. } => of_run("ungraceful", plain()),
        Asked { abort: true, .. } => of_run("abort", plain()),
        Asked { skip: Some(step), .. } => {
            of_run("skip", RequestSpec { step: Some(step.as_str().to_owned()), ..plain() })
        }
        Asked { overridden: Some(check), .. } => {
            of_run("override", RequestSpec { check: Some(check.as_str().to_owned()), ..plain() })
        }
        Asked { take_loss: Some(most), .. } => {
            of_run("loss", RequestSpec { duration: Some(most.to_string()), ..plain() })
        }
        _ => None,
    })
}

pub(super) async fn run(
    global: &Global,
    arguments: &Arguments,
    (verb, mut spec): (&str, RequestSpec),
) -> CliResult {
    let cluster = global.connect().await?;
    let found = environment(&target::environments(&cluster), &arguments.env).await?;
    let status = found.status.and_then(|status| status.region);
    let Some(status) = status else {
        return Err(Failure::input(format!("{} is in no region here", arguments.env))
            .hint("ask the cluster of the region that it moves to, with --context"));
    };
    if verb == "attest" {
        // The word is about what stands in the shared place now.
        spec.epoch = Some(match &status.holder {
            Some(holder) if spec.region.as_ref() == Some(&holder.region) => holder.epoch.to_string(),
            Some(holder) => {
                return Err(Failure::input(format!(
                    "{} is held by {}, at epoch {}",
                    arguments.env, holder.region, holder.epoch
                )));
            }
            None => "0".to_owned(),
        });
    }
    let reason = Reason { reason: arguments.reason.clone() };
    let asker = Asker::new(&cluster, &arguments.env, &reason).await?;
    let asked = asker.ask(verb, spec).await?;
    let answered = asker.outcome(&[asked], ANSWERED).await?;
    Ok(answered.unwrap_or_else(|| {
        eprintln!("it is not answered yet: fairlead requests {}", arguments.env);
        Exit::Done
    }))
}

fn step(text: &str) -> Result<RegionStep, String> {
    RegionStep::named(text).ok_or_else(|| {
        let names: Vec<&str> = RegionStep::ALL.iter().map(|step| step.as_str()).collect();
        format!("not one of {}", names.join(", "))
    })
}

fn check(text: &str) -> Result<Preflight, String> {
    Preflight::named(text).ok_or_else(|| {
        let names: Vec<&str> = Preflight::ALL.iter().map(|check| check.as_str()).collect();
        format!("not one of {}", names.join(", "))
    })
}
