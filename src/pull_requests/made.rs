//! What a report came to, as far as a forge is told of it.

use std::collections::BTreeMap;

use crate::object::Digest;
use crate::review::markdown::escape;
use crate::review::{Counts, EnvironmentReport, Marker, Report, Severity, Verdict, markdown};

use super::words::{Status, StatusState};

/// Kept free for what is written around the report: the record, what became of a merge, the line of history.
pub const AROUND: usize = 20_000;

/// A report as it goes to a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub marker: Marker,
    /// The report without the line of its marker.
    pub text: String,
    /// The short of it, for the line of history: plain words of ours.
    pub short: String,
    pub environments: Vec<MadeEnvironment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeEnvironment {
    pub name: String,
    pub status: StatusState,
    /// One line of our own words and numbers.
    pub short: String,
    /// What each app that changes would render to; `None` for one that goes.
    pub previewed: BTreeMap<String, Option<Digest>>,
}

impl Made {
    /// Writes a report within so many characters, all that stands around it included.
    pub fn of(report: &Report, limit: usize) -> Self {
        let names: Vec<&str> = report.environments.iter().map(|one| &*one.environment).collect();
        let whole = markdown(report, limit.saturating_sub(AROUND));
        let text = whole.split_once('\n').map_or("", |(_, text)| text).to_owned();
        let environments: Vec<MadeEnvironment> = report.environments.iter().map(environment).collect();
        let short = match environments.as_slice() {
            [] => "no environment is concerned".to_owned(),
            [only] => only.short.clone(),
            all => {
                let changes = report.environments.iter().filter(|one| one.has_changes()).count();
                format!("{}, in {changes} of {} environments", verdict_words(report.verdict), all.len())
            }
        };
        Self { marker: Marker::new(report.cluster.as_deref(), &names), text, short, environments }
    }

    /// A report that cannot be made because of what the pull request is: that is said in its place.
    pub fn refused(cluster: Option<&str>, names: &[&str], what: &str) -> Self {
        let environment = |name: &&str| MadeEnvironment {
            name: (*name).to_owned(),
            status: StatusState::Failure,
            short: "it cannot be merged as it is".to_owned(),
            previewed: BTreeMap::new(),
        };
        Self {
            marker: Marker::new(cluster, names),
            text: format!("## Fairlead: this cannot be merged as it is\n\n{}\n", escape::text(what, 2_000)),
            short: "it could not be merged".to_owned(),
            environments: names.iter().map(environment).collect(),
        }
    }

    /// What the head's commit is told, by environment.
    pub fn statuses(&self) -> impl Iterator<Item = Status> {
        let of = |one: &MadeEnvironment| Status {
            context: context(self.marker.cluster.as_deref(), &one.name),
            state: one.status,
            description: one.short.clone(),
        };
        self.environments.iter().map(of)
    }
}

/// The name of an environment's status. It stays the same for as long as the environment is called so, as branch
/// protection asks for it by name.
pub fn context(cluster: Option<&str>, environment: &str) -> String {
    match cluster {
        Some(cluster) => format!("fairlead/{cluster}/{environment}"),
        None => format!("fairlead/{environment}"),
    }
}

fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Nothing => "nothing changes",
        Verdict::Changes => "changes without risks",
        Verdict::Risky => "changes with risks",
        Verdict::Refused => "part would not be applied",
    }
}

fn environment(report: &EnvironmentReport) -> MadeEnvironment {
    let status = match report.verdict {
        Verdict::Refused => StatusState::Failure,
        // Compared with git alone it may well be refused by the server.
        _ if report.unseen.is_some() => StatusState::Error,
        _ => StatusState::Success,
    };
    let previewed = report.apps.iter().map(|app| (app.app.clone(), app.digest.clone())).collect();
    MadeEnvironment { name: report.environment.clone(), status, short: short(report), previewed }
}

fn short(report: &EnvironmentReport) -> String {
    let Counts { create, update, recreate, delete, restart, unchanged: _ } = report.counts;
    let mut parts = vec![verdict_words(report.verdict).to_owned()];
    let counts = [
        (create, "create"),
        (update, "update"),
        (recreate, "recreate"),
        (delete, "delete"),
        (restart, "restart"),
    ];
    parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} to {what}")));
    for (severity, what) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
        let n = report.risks.iter().filter(|risk| risk.severity == severity).count();
        if n > 0 {
            parts.push(format!("{n} {what}{}", if n == 1 { "" } else { "s" }));
        }
    }
    if report.unseen.is_some() {
        parts.push("the cluster was not asked".to_owned());
    }
    parts.join(", ")
}
