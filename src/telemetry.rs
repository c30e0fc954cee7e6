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

/// What is never logged, whatever the filter says. hyper and kube log each failed attempt as an error of theirs; we log what
/// came of it. And an answer that kube cannot read is logged by it as it is: it may be a Secret.
const QUIET: [&str; 4] =
    ["kube_client::client::builder=off", "kube_client::client=off", "tower=warn", "hyper=warn"];

fn quiet(filter: EnvFilter) -> EnvFilter {
    QUIET.into_iter().filter_map(|text| text.parse().ok()).fold(filter, EnvFilter::add_directive)
}

/// Starts logging to stderr. `level` is a filter such as `info` or `fairlead=debug,kube=warn`.
pub fn start(level: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = quiet(filter);
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_filter_logs_the_bodies_of_answers() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let filter = quiet(EnvFilter::new("trace,kube_client=trace,kube_client::client=trace"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter).with(layer), || {
            tracing::warn!(target: "kube_client::client", "the body of an answer");
            tracing::error!(target: "kube_client::client", "the body of an answer");
            tracing::info!(target: "kube_client::config", "something else");
        });
        let logged = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("it is text");
        assert!(logged.contains("something else") && !logged.contains("the body"), "{logged}");
    }
}
