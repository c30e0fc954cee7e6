use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CliResult, Exit, output};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "fairlead", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
