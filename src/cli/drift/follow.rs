//! Goes on looking, and says what comes and what goes.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::{Arguments, Looks, exit, unknown_of};
use crate::agent::Changes;
use crate::api::DriftReportSpec;
use crate::cli::CliResult;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, print};
use crate::report::{DriftedObject, UnknownDrift};

/// What is live is watched; how often it is compared with what git says.
const EVERY: Duration = Duration::from_millis(500);

/// A line of `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    at: &'a str,
    /// `drift`, or `over` where it is as git says again.
    what: &'static str,
    #[serde(flatten)]
    object: &'a DriftedObject,
}

pub(super) async fn follow(
    arguments: &Arguments,
    looks: &Looks,
    reports: &[Option<DriftReportSpec>],
) -> CliResult {
    let mut unknown = Vec::new();
    for ((name, look), report) in looks.iter().zip(reports) {
        unknown.extend(unknown_of(name, look, report.as_ref()));
    }
    for kind in unknown.iter().map(UnknownDrift::text) {
        eprint!("{kind}");
    }
    let mut known: BTreeMap<(String, String), DriftedObject> = BTreeMap::new();
    let mut before = vec![Changes::default(); looks.len()];
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One for all of the time: what comes while it is looked would be lost by another.
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = &mut interrupted => return Ok(exit(!known.is_empty(), !unknown.is_empty())),
        }
        for (((name, look), report), before) in looks.iter().zip(reports).zip(&mut before) {
            let changes = look.changes()?;
            if changes == *before {
                continue;
            }
            let found = arguments.select(look.look(&changes).await, report.as_ref());
            *before = changes;
            let mut gone: Vec<_> = known.keys().filter(|(of, _)| of == name.as_str()).cloned().collect();
            for object in found {
                let key = (name.to_string(), object.object.clone());
                gone.retain(|known| *known != key);
                if known.get(&key) != Some(&object) {
                    tell(arguments.output, "drift", &object)?;
                    known.insert(key, object);
                }
            }
            for object in gone.into_iter().filter_map(|key| known.remove(&key)) {
                tell(arguments.output, "over", &object)?;
            }
        }
    }
}

fn tell(output: Format, what: &'static str, object: &DriftedObject) -> Result<(), Failure> {
    let now = Timestamp::now();
    let at = now.round(Unit::Second).unwrap_or(now).to_string();
    match (output, what) {
        (Format::Text, "over") => {
            print(&format!("{at}  {}/{}  {}: as git says\n", object.environment, object.app, object.object));
        }
        (Format::Text, _) => print(&format!("{at}  {}", object.text())),
        _ => {
            let line = serde_json::to_string(&Line { at: &at, what, object })
                .map_err(|error| Failure::error("writing the answer failed", &error))?;
            print(&(line + "\n"));
        }
    }
    Ok(())
}
