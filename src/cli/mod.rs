//! The command line: one file for each verb, each its arguments and one call inward.

mod adopt;
mod agent;
mod apply;
mod approve;
mod ask;
mod completions;
mod crd;
mod decide;
mod drift;
mod environment_file;
mod explain;
mod failure;
mod follow;
mod guard;
mod health;
mod history;
mod hold;
mod limits;
mod output;
mod plan;
mod rbac;
mod regions;
mod render;
mod repo;
mod repoint;
mod report;
mod requests;
mod retry;
mod rollback;
mod secrets;
mod status;
mod target;
mod times;
mod validate;
mod wait;
mod write_back;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::object::secret::wipe_what_this_thread_frees;
use failure::Failure;

/// What every verb answers with. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Error = 1,
    /// Bad usage or bad input: it is the caller's to change.
    Input = 2,
    /// There are changes.
    Changes = 3,
    GateFailed = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

type CliResult = Result<Exit, Failure>;

/// Keeps a Kubernetes cluster true to an infra repository.
#[derive(Debug, Parser)]
#[command(name = "fairlead", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: target::Global,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 error, 2 bad usage or input, 3 there are changes, 4 a gate failed";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the loop that keeps environments true to git
    Agent(Box<agent::Arguments>),
    /// Print what a folder or an environment renders to
    Render(render::Arguments),
    /// Check the whole tree, offline, and tell everything that is wrong
    Validate(validate::Arguments),
    /// Print the Roles that an environment's account needs for what the environment renders to, and nothing more
    Rbac(rbac::Arguments),
    /// Tell what set a field of an object: file, line and commit; and what a cluster has, and who holds it
    Explain(explain::Arguments),
    /// Show what would change in the cluster, as its API server sees it
    #[command(visible_alias = "diff")]
    Plan(plan::Arguments),
    /// Show what others changed of what was applied, and who holds it now
    Drift(drift::Arguments),
    /// Have nothing put back for a while: of an object, an app, or an environment
    Hold(hold::Arguments),
    /// End a hold before its time
    Release(hold::ReleaseArguments),
    /// Say what a change of the repository does: risks first, then field by field; for reviews and CI
    Report(report::Arguments),
    /// Roll out an environment; where an agent owns it, ask the agent to do so now
    Apply(apply::Arguments),
    /// Let an environment delete what it halted on: exactly what it shows
    Approve(approve::Arguments),
    /// Try again what failed its gates and was taken back
    Retry(retry::Arguments),
    /// Put back what ran before, until git says something new
    Rollback(rollback::Arguments),
    /// Move an environment to another region: write the change, and show what it begins; or pause, resume, skip a step, …
    Repoint(Box<repoint::Arguments>),
    /// Show in which region environments are active, who holds them, how far a move is, and whether a standby is ready
    Regions(regions::Arguments),
    /// Run a writer while the agent of its region says that it may, and end it when nobody says so any more
    Guard(guard::Arguments),
    /// List what people asked for, and what came of it
    Requests(requests::Arguments),
    /// Show which secrets apps refer to, in which version each runs, and whether the old one may be revoked
    Secrets(secrets::Arguments),
    /// Show what happened, the newest first: rollouts, and with --history drift, holds and requests
    History(history::Arguments),
    /// Let an environment take over what kubectl, Helm, Flux or Argo CD deployed: exactly what it shows
    Adopt(adopt::Arguments),
    /// Show where environments stand and what they wait for
    Status(status::Arguments),
    /// Wait until an environment runs what git says
    Wait(wait::Arguments),
    /// Say of each object of a file whether it is healthy, and why
    Health(health::Arguments),
    /// Print the custom resource definitions
    Crd(crd::Arguments),
    /// Print the completions for a shell
    Completions(completions::Arguments),
}

/// Reads the arguments, does what they say, prints what went wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Input } else { Exit::Done };
            return exit.into();
        }
    };
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}

fn dispatch(cli: Cli) -> CliResult {
    let global = cli.global;
    match cli.verb {
        Verb::Agent(arguments) => agent::run(&global, *arguments),
        Verb::Render(arguments) => render::run(&global, &arguments),
        Verb::Validate(arguments) => validate::run(&global, &arguments),
        Verb::Rbac(arguments) => block_on(rbac::run(&global, &arguments)),
        Verb::Explain(arguments) => block_on(explain::run(&global, &arguments)),
        Verb::Plan(arguments) => block_on(plan::run(&global, &arguments)),
        Verb::Drift(arguments) => block_on(drift::run(&global, &arguments)),
        Verb::Hold(arguments) => block_on(hold::run(&global, &arguments)),
        Verb::Release(arguments) => block_on(hold::release(&global, &arguments)),
        Verb::Report(arguments) => block_on(report::run(&global, &arguments)),
        Verb::Apply(arguments) => block_on(apply::run(&global, &arguments)),
        Verb::Approve(arguments) => block_on(approve::run(&global, &arguments)),
        Verb::Retry(arguments) => block_on(retry::run(&global, &arguments)),
        Verb::Rollback(arguments) => block_on(rollback::run(&global, &arguments)),
        Verb::Repoint(arguments) => repoint::run(&global, &arguments),
        Verb::Guard(arguments) => block_on(guard::run(arguments)),
        Verb::Regions(arguments) => block_on(regions::run(&global, &arguments)),
        Verb::Requests(arguments) => block_on(requests::run(&global, &arguments)),
        Verb::Secrets(arguments) => block_on(secrets::run(&global, &arguments)),
        Verb::History(arguments) => block_on(history::run(&global, &arguments)),
        Verb::Adopt(arguments) => block_on(adopt::run(&global, &arguments)),
        Verb::Status(arguments) => block_on(status::run(&global, &arguments)),
        Verb::Wait(arguments) => block_on(wait::run(&global, &arguments)),
        Verb::Health(arguments) => health::run(&arguments),
        Verb::Crd(arguments) => crd::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
    }
}

/// The same, of what handles secrets: whatever its threads free is wiped.
fn block_on_and_wipe(work: impl Future<Output = CliResult>) -> CliResult {
    wipe_what_this_thread_frees();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().on_thread_start(wipe_what_this_thread_frees).build();
    runtime.map_err(|error| Failure::error("starting threads failed", &error))?.block_on(work)
}

fn block_on(work: impl Future<Output = CliResult>) -> CliResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Failure::error("starting threads failed", &error))?.block_on(work)
}
