use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;
use crate::{config, yaml};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
    Yaml,
}

/// Prints text; a reader that went away early, as `head` does, is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a value as JSON or YAML.
pub fn print_value(value: &impl Serialize, format: Format) -> Result<(), Failure> {
    let value =
        serde_json::to_value(value).map_err(|error| Failure::error("writing the answer failed", &error))?;
    match format {
        Format::Yaml => print(&yaml::write(&value)),
        Format::Json | Format::Text => print(&format!("{value:#}\n")),
    }
    Ok(())
}

/// Whether colours are welcome on stdout.
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && !config::no_color()
}

/// Prints long text through the user's pager, if there is one and somebody reads.
pub fn page(text: &str) {
    let long = text.lines().count() > 40;
    if long
        && std::io::stdout().is_terminal()
        && let Some(pager) = config::pager()
        && run_pager(&pager, text).is_some()
    {
        return;
    }
    print(text);
}

fn run_pager(pager: &str, text: &str) -> Option<()> {
    use std::process::{Command, Stdio};
    // As git does: the words of $PAGER are the shell's to read.
    let mut child =
        Command::new("sh").args(["-c", pager]).env("LESS", "FRX").stdin(Stdio::piped()).spawn().ok()?;
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().ok().map(drop)
}

/// Columns as wide as what stands in them.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| {
        rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}   "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
