//! The history for an audit: all of it, and whether it is whole.

use std::io::Write;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;

use super::{Arguments, Shown, tell_unreadable};
use crate::cli::failure::Failure;
use crate::cli::output::{Format, print, print_value};
use crate::cli::{CliResult, Exit};
use crate::history::{self, Check, Place, Query, Verdict, date};
use crate::object::{Digest, day_of};

/// A day, counted from 1970, and the digest that it was sealed with.
pub(super) type SealedDay = (i64, Digest);

pub(super) fn parse_sealed(text: &str) -> Result<SealedDay, String> {
    let parsed = text.split_once('=').and_then(|(day, digest)| {
        let day: Date = day.parse().ok()?;
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let days = day.since(Date::constant(1970, 1, 1)).ok()?.get_days();
        is_digest.then(|| (i64::from(days), Digest::from(digest.to_lowercase().as_str())))
    });
    parsed.ok_or_else(|| "write DAY=DIGEST, such as 2026-11-30=0123…, with all 64 digits".to_owned())
}

/// Prints everything, as much at once as a page.
pub(super) async fn export(place: &Place, query: Query) -> CliResult {
    let failed = |error| Failure::error("the history cannot be exported", &error);
    let mut export = history::export(place, query).await.map_err(failed)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    while let Some(entry) = export.next().await.map_err(failed)? {
        let line = serde_json::to_string(&Shown::from(entry));
        let line = line.map_err(|error| Failure::error("writing a line failed", &error))?;
        if let Err(error) = writeln!(out, "{line}") {
            return cut_short(&error);
        }
    }
    if let Err(error) = out.flush() {
        return cut_short(&error);
    }
    tell_unreadable(export.unreadable());
    Ok(Exit::Done)
}

/// A reader that went away early, as `head` does, is no error; a full disk is one: half an export looks like a whole one.
fn cut_short(error: &std::io::Error) -> CliResult {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        _ => Err(Failure::error("the export cannot be written", error)),
    }
}

pub(super) async fn verify(place: &Place, arguments: &Arguments) -> CliResult {
    let now = Timestamp::now();
    let kept = arguments.keep.duration().as_secs() / (24 * 60 * 60);
    let check = Check {
        since: arguments.since.map(|since| day_of(since.at(now))),
        kept_from: day_of(now) - i64::try_from(kept).unwrap_or(i64::MAX),
        expected: arguments.sealed.clone(),
    };
    let verdict = history::verify(place, &check).await;
    let verdict = verdict.map_err(|error| Failure::error("the history cannot be verified", &error))?;
    match arguments.output {
        Format::Text => print(&text(place, &verdict)),
        format => print_value(&value(&verdict), format)?,
    }
    Ok(if verdict.wrong == 0 { Exit::Done } else { Exit::Error })
}

fn text(place: &Place, verdict: &Verdict) -> String {
    let Verdict { records, days, unsealed, newer, faults, wrong, head } = verdict;
    let mut lines: Vec<String> = faults.iter().map(|fault| fault.to_string()).collect();
    let named = faults.len() as u64;
    if *wrong > named {
        lines.push(format!("and {} more", wrong - named));
    }
    lines.push(match wrong {
        0 => format!("{place} is whole: {records} records of {days} sealed days are as they were sealed"),
        _ => format!("{place} is not whole: {wrong} faults in {records} records of {days} sealed days"),
    });
    if *unsealed > 0 {
        lines.push(format!(
            "{unsealed} records are of days that are not sealed yet: that none is gone is not known"
        ));
    }
    if *newer > 0 {
        lines.push(format!("{newer} records are of a newer version: their own hashes are not judged"));
    }
    lines.push(match head {
        Some((day, digest)) => format!("sealed last: {}={digest}", date(*day)),
        None => "no day is sealed yet".to_owned(),
    });
    lines.join("\n") + "\n"
}

fn value(verdict: &Verdict) -> serde_json::Value {
    let Verdict { records, days, unsealed, newer, faults, wrong, head } = verdict;
    let faults: Vec<_> = faults
        .iter()
        .map(|fault| json!({"day": date(fault.day).to_string(), "what": fault.to_string()}))
        .collect();
    let head = head.as_ref().map(|(day, digest)| json!({"day": date(*day).to_string(), "digest": digest}));
    json!({
        "whole": *wrong == 0,
        "records": records,
        "sealedDays": days,
        "unsealedRecords": unsealed,
        "newerRecords": newer,
        "faults": faults,
        "wrong": wrong,
        "sealedLast": head,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_day_is_a_day_and_a_whole_digest() {
        let digest = "ab".repeat(32);
        assert_eq!(
            parse_sealed(&format!("2026-11-30={digest}")).unwrap(),
            (20_787, Digest::from(digest.as_str()))
        );
        for wrong in ["2026-11-30", "2026-11-30=ab", &format!("30={digest}")] {
            assert!(parse_sealed(wrong).is_err(), "{wrong}");
        }
    }
}
