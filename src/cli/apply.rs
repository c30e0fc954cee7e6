use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::ask::{Asker, Reason};
use super::failure::Failure;
use super::repo::RepoArguments;
use super::target::{self, Global, parse_identity};
use super::{CliResult, Exit, wait};
use crate::agent::{Once, Progress};
use crate::api::{AppPhase, AppStatus, Identity, RequestSpec, Span};
use crate::cluster::Cluster;
use crate::object::{AppName, EnvironmentName, Tree};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The environment
    #[arg(long, value_name = "NAME")]
    env: EnvironmentName,
    /// One app of it; only where no agent owns the environment
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    #[command(flatten)]
    repo: RepoArguments,
    /// Write as this service account instead of as yourself
    #[arg(long = "as", value_name = "NAMESPACE/NAME", value_parser = parse_identity)]
    identity: Option<Identity>,
    /// Ask the agent and do not wait for what comes of it
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the agent
    #[arg(long, value_name = "TIME", default_value = "15m")]
    timeout: Span,
    #[command(flatten)]
    reason: Reason,
}

pub async fn run(global: &Global, arguments: &Arguments) -> CliResult {
    let cluster = global.connect().await?;
    let (scope, environment) = global.scope(&cluster, &arguments.env).await?;
    if environment.is_some() {
        return ask_the_agent(&cluster, arguments).await;
    }
    let repo = arguments.repo.open()?;
    let mut once = Once::open(cluster, scope, arguments.identity.clone(), global.means()).await?;
    once.only = arguments.app.clone();
    roll_out(&once, &*repo.tree).await
}

/// Rolls out what a tree says, as the caller, and tells how it goes.
pub async fn roll_out(once: &Once, tree: &dyn Tree) -> CliResult {
    let mut shown = Shown::new();
    let apps = once
        .apply(tree, |progress| {
            shown.show(progress);
            true
        })
        .await?;
    shown.end();
    let stuck: Vec<&AppStatus> = apps.iter().filter(|app| app.phase != AppPhase::Ready).collect();
    for app in &stuck {
        let why = app.message.as_deref().unwrap_or("it did not become ready");
        eprintln!("error: {} is {}: {why}", app.name, app.phase.as_str().to_lowercase());
    }
    Ok(if stuck.is_empty() {
        Exit::Done
    } else if stuck.iter().any(|app| matches!(app.phase, AppPhase::Halted | AppPhase::Restored)) {
        Exit::GateFailed
    } else {
        Exit::Input
    })
}

/// Where an agent owns the environment, a request is left for it: two writers are one too many.
async fn ask_the_agent(cluster: &Cluster, arguments: &Arguments) -> CliResult {
    if arguments.repo.rev.is_some() || arguments.identity.is_some() || arguments.app.is_some() {
        return Err(Failure::input(format!(
            "an agent owns {}: it applies what its branch says",
            arguments.env
        ))
        .hint("leave out --rev, --as and --app, or push what you want to its branch"));
    }
    let asker = Asker::new(cluster, &arguments.env, &arguments.reason).await?;
    let asked = asker.ask("apply", RequestSpec::default()).await?;
    eprintln!("asked the agent to look at {} now", arguments.env);
    if arguments.no_wait {
        return Ok(Exit::Done);
    }
    let (began, limit) = (Instant::now(), arguments.timeout.duration());
    match asker.outcome(&[asked], limit).await? {
        Some(Exit::Done) => {
            let left = limit.saturating_sub(began.elapsed());
            wait::until_ready(&target::environments(cluster), &arguments.env, None, left).await
        }
        Some(exit) => Ok(exit),
        None => {
            eprintln!("error: no agent looked at it within {} s", limit.as_secs());
            Ok(Exit::Error)
        }
    }
}

/// Progress: a spinner on a terminal, a line for each event elsewhere.
struct Shown {
    bar: Option<ProgressBar>,
    phases: BTreeMap<AppName, String>,
}

impl Shown {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {elapsed} {msg}")
                    .unwrap_or(ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, phases: BTreeMap::new() }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn show(&mut self, progress: &Progress) {
        for news in &progress.news {
            self.line(&format!("{} {}", if news.warning { "!" } else { "·" }, news.note));
        }
        let mut now = Vec::new();
        for app in &progress.apps {
            let mut words = app.phase.as_str().to_lowercase();
            if let Some(wave) = &app.wave {
                words.push_str(&format!(" wave {} of {}", wave.current, wave.of));
            }
            if let Some(waiting) = app.waiting_on.as_ref().and_then(|waiting| waiting.what.first()) {
                words.push_str(&format!(", on {waiting}"));
            }
            now.push(format!("{} {words}", app.name));
            let before = self.phases.insert(app.name.clone(), words.clone());
            if self.bar.is_none() && before.as_ref() != Some(&words) {
                self.line(&format!("{}: {words}", app.name));
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_message(now.join(" · "));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
