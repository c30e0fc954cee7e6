//! What was found, as people, scripts and GitHub read it.

use super::{Findings, Format};
use crate::cli::failure::Failure;
use crate::cli::output::{self, print, print_value};
use crate::object::{Place, Problem};

pub fn show(findings: &Findings, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_value(findings, output::Format::Json)?,
        Format::Text => {
            let mut text = String::new();
            for note in &findings.notes {
                let place = note.place.as_ref().map_or(String::new(), |place| format!("{place}: "));
                text.push_str(&format!("note: {place}{}\n", note.message));
            }
            for finding in &findings.errors {
                text.push_str(&format!("error: {}\n", finding.problem));
            }
            let count = findings.errors.len();
            text.push_str(&format!(
                "{} environments, {} apps, {} objects, Kubernetes {}: {}\n",
                findings.environments,
                findings.apps,
                findings.objects,
                findings.kubernetes,
                if count == 0 { "nothing is wrong".to_owned() } else { format!("{count} wrong") },
            ));
            print(&text);
        }
        Format::Github => {
            let mut text = String::new();
            for finding in &findings.errors {
                text.push_str(&annotation("error", finding.problem.place.as_ref(), &told(&finding.problem)));
            }
            for note in &findings.notes {
                text.push_str(&annotation("notice", note.place.as_ref(), &note.message));
            }
            print(&text);
        }
    }
    Ok(())
}

fn told(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{} ({hint})", problem.message),
        None => problem.message.clone(),
    }
}

/// A workflow command; what would end it or its properties is escaped as GitHub's toolkit does.
fn annotation(level: &str, place: Option<&Place>, message: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let at = place.map_or(String::new(), |place| {
        let line = if place.line > 0 { format!(",line={}", place.line) } else { String::new() };
        format!(" file={}{line}", property(place.path.as_str()))
    });
    format!("::{level}{at}::{}\n", data(message))
}
