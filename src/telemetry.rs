//! Logs: lines of JSON for machines, of words for a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Words on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Text,
    Json,
}

/// Starts logging to stderr. `level` is a filter such as `info` or `fairlead=debug,kube=warn`.
pub fn start(level: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    // hyper and kube log each failed attempt as an error of theirs; we log what came of it.
    let quiet = ["kube_client::client::builder=off", "tower=warn", "hyper=warn"];
    let filter =
        quiet.into_iter().filter_map(|text| text.parse().ok()).fold(filter, EnvFilter::add_directive);
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let registry = tracing_subscriber::registry().with(filter);
    // A second start, as in tests, keeps the first.
    let _ = if json {
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
        registry.with(layer).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        registry.with(layer).try_init()
    };
}
