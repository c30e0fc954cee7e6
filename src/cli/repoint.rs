//! Moves an environment to another region: writes the change into its `environment.yaml`, and shows what it begins; or asks the
//! agent about a re-point that is under way.

mod asked;
mod edit;

use std::fmt::Write as _;

use clap::Args;
use similar::TextDiff;

use super::failure::Failure;
use super::output::print;
use super::repo::RepoArguments;
use super::target::Global;
use super::{CliResult, Exit};
use crate::agent::desired::{CONFIG_FILE, DesiredScope, read_config};
use crate::object::EnvironmentName;
use crate::region::{Epoch, Mode, RegionName, RegionStep, Role, Settings};
use edit::{Change, by_hand, edit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(value_name = "ENV")]
    env: EnvironmentName,
    /// The region that is to be active; one of its standbys
    #[arg(long, value_name = "REGION", value_parser = RegionName::new)]
    to: Option<RegionName>,
    /// Do not wait for the old region's help: what it did not copy in time may be lost
    #[arg(long, requires = "to")]
    ungraceful: bool,
    /// Say it to this cluster and not to git, while git cannot be asked: it holds until git says a higher epoch. Each region
    /// has to be told
    #[arg(long, requires = "to", requires = "reason")]
    break_glass: bool,
    #[command(flatten)]
    asked: asked::Asked,
    /// Why, for the message of the commit, or for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show the change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// The infra repository, or a folder of it
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: std::path::PathBuf,
}

/// A file of a team is short.
const FILE_LIMIT: u64 = 1 << 20;

pub fn run(global: &Global, arguments: &Arguments) -> CliResult {
    if let Some(spec) = asked::spec(arguments)? {
        return super::block_on(asked::run(global, arguments, spec));
    }
    let Some(to) = &arguments.to else {
        return Err(Failure::input("nothing is asked for").hint("say where to, with --to, or see --help"));
    };
    let repo = RepoArguments { repo: arguments.repo.clone(), rev: None }.open()?;
    let scope = DesiredScope::unbound(arguments.env.clone(), Some("default".to_owned()))?;
    let config = read_config(&*repo.tree, &scope)?;
    let path = scope.path.child(CONFIG_FILE);
    let Some(spec) = &config.region else {
        return Err(Failure::input(format!("{path} says nothing of regions"))
            .hint("`region: {active: REGION, standby: [REGION]}`: docs/environment.md"));
    };
    let settings = spec.settings();
    check(&settings, &arguments.env, to)?;
    let mode = if arguments.ungraceful { Mode::Ungraceful } else { Mode::Graceful };
    // Epoch 1 is the first, be it written or not.
    let epoch = settings.epoch.max(Epoch(1)).next();
    let change = Change { active: to.as_str(), epoch: epoch.0, mode: mode.as_str() };
    let blob = repo.tree.read(&path, FILE_LIMIT)?;
    let text =
        String::from_utf8(blob.bytes.to_vec()).map_err(|_| Failure::input(format!("{path} is not UTF-8")))?;
    let Some(edited) = edit(&text, &path, &change)? else {
        let hint = by_hand(&change, settings.active.as_str());
        return Err(Failure::input(format!(
            "{path} is written in a way that cannot be changed with certainty"
        ))
        .hint(hint));
    };
    if !arguments.dry_run {
        let file = repo.root.join(path.as_str());
        std::fs::write(&file, &edited)
            .map_err(|error| Failure::error(&format!("writing {} failed", file.display()), &error))?;
    }
    let name = format!("{path}");
    let diff = TextDiff::from_lines(&text, &edited).unified_diff().header(&name, &name).to_string();
    print(&format!("{diff}\n{}", told(arguments, to, &settings, epoch, mode)));
    Ok(Exit::Done)
}

fn check(settings: &Settings, env: &EnvironmentName, to: &RegionName) -> Result<(), Failure> {
    match settings.role(to) {
        Role::Standby(_) => Ok(()),
        Role::Active => Err(Failure::input(format!("{env} is active in {to} already"))),
        Role::None => {
            let standby: Vec<&str> = settings.standby.keys().map(RegionName::as_str).collect();
            let known = if standby.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", standby.join(", "))
            };
            Err(Failure::input(format!("{to} is no standby of {env}")).hint(known))
        }
    }
}

/// What the commit will begin.
fn told(arguments: &Arguments, to: &RegionName, settings: &Settings, epoch: Epoch, mode: Mode) -> String {
    let (env, from) = (&arguments.env, &settings.active);
    let mut text = format!("{env} moves from {from} to {to}, {}, as epoch {epoch}:\n\n", mode.as_str());
    for (n, step) in RegionStep::ALL.into_iter().enumerate() {
        let minutes = settings.timeout(step).as_secs().div_ceil(60);
        let job = settings.steps.get(&step).and_then(|step| step.job.as_deref());
        let by = job.map(|job| format!(", by {job}")).unwrap_or_default();
        let waits = match (mode, step) {
            (Mode::Ungraceful, RegionStep::Freeze | RegionStep::Drain) => " (not waited for)",
            _ => "",
        };
        let _ = writeln!(text, "{:>4}. {step}{by}: {minutes} min at most{waits}", n + 1);
    }
    if mode == Mode::Ungraceful {
        let most = settings.max_data_loss.as_secs();
        let _ = writeln!(text, "\nUp to {most} s of data may be lost; more takes a person's word.");
    }
    let reason = arguments.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let message = format!("Move {env} to {to}{reason}").replace('\'', "'\\''");
    let _ = match arguments.dry_run {
        true => writeln!(text, "\nNothing was written."),
        false => {
            writeln!(text, "\nNothing moves before it is committed and pushed: git commit -am '{message}'")
        }
    };
    text
}
