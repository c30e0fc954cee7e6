//! The report as a comment of a forge: verdict, counts, risks first, then folded diffs by app, then drift.
//!
//! A forge takes comments up to a length. What does not fit is left out by its importance, whole risks and whole
//! objects at a time, and the end says how many of which apps. The length of that is kept free beforehand, so it always
//! fits.

mod diff;
mod drifted;
pub mod escape;
mod fit;
mod marker;

use std::fmt::Write;

use super::report::{
    Action, AppReport, AppState, Counts, Drift, DriftCause, EnvironmentReport, ObjectChange, Report, Verdict,
};
use super::risk::{Risk, Severity};
use escape::{code, html_code, short, text};
use fit::{Fit, Group, Item};

pub use drifted::drift_markdown;
pub use marker::Marker;

/// What GitHub takes is 65,536.
pub const LIMIT: usize = 60_000;
/// Less has no room for what is always there, however long the names are.
pub const LEAST_LIMIT: usize = 10_000;

/// A risk is one line; what a server says can be longer.
const LONGEST_MESSAGE: usize = 600;

/// Writes the report in at most so many characters (10,000 at least).
pub fn markdown(report: &Report, limit: usize) -> String {
    let limit = limit.max(LEAST_LIMIT);
    let names: Vec<&str> = report.environments.iter().map(|one| &*one.environment).collect();
    let many = names.len() > 1;
    let mut head = format!(
        "{}
",
        Marker::new(report.cluster.as_deref(), &names)
    );
    write_head(&mut head, report, limit / 5);

    let mut risks: Vec<(&str, &Risk)> = report
        .environments
        .iter()
        .flat_map(|one| one.risks.iter().map(move |risk| (&*one.environment, risk)))
        .collect();
    // Those of one environment are in their order already.
    risks.sort_by_key(|(_, risk)| std::cmp::Reverse(risk.severity));
    let mut fit = Fit::new(limit, &head);
    fit.lines("### Risks\n\n", risks.iter().map(|(environment, risk)| risk_line(environment, risk, many)));

    let mut groups = Vec::new();
    for environment in &report.environments {
        for app in &environment.apps {
            groups.push(app_group(environment, app, many));
        }
    }
    fit.groups("### Changes\n\n", groups, |count| format!("the fields of {}", objects(count)));

    let mut groups: Vec<Group> = Vec::new();
    for environment in &report.environments {
        let mut apps: Vec<&str> = environment.drift.iter().map(|drift| &*drift.app).collect();
        apps.dedup();
        for app in apps {
            let of_app: Vec<&Drift> = environment.drift.iter().filter(|drift| drift.app == app).collect();
            groups.push(drift_group(environment, app, &of_app, many));
        }
    }
    let heading = "### Otherwise in the cluster\n\nThis was so before the change, and a rollout would overwrite it.\n\n";
    fit.groups(heading, groups, |count| format!("{} that differ in the cluster", objects(count)));
    let staying = report
        .environments
        .iter()
        .flat_map(|one| drifted::staying(&one.environment, &one.stays, many))
        .collect();
    let heading = "### Otherwise in the cluster, and left as it is\n\nThis has drifted, and the change does not touch it.\n\n";
    fit.groups(heading, staying, |count| format!("{count} of what has drifted and stays"));
    fit.finish()
}

fn write_head(head: &mut String, report: &Report, most: usize) {
    let verdict = match report.verdict {
        Verdict::Nothing => "nothing changes",
        Verdict::Changes => "changes without risks",
        Verdict::Risky => "look at the risks before this is merged",
        Verdict::Refused => "part of this would not be applied",
    };
    let _ = writeln!(head, "## Fairlead: {verdict}\n");
    let mut about = format!("Compared with {}", side(&report.base));
    if report.head.revision.is_some() || !report.head.what.is_empty() {
        let _ = write!(about, "; the change is {}", side(&report.head));
    }
    if let Some(cluster) = &report.cluster {
        let _ = write!(about, "; the cluster is {}", short(cluster));
    }
    let _ = writeln!(head, "{about}.\n");
    head.push_str("| Environment | Create | Update | Recreate | Delete | Restart | Unchanged | Errors | Warnings | Notes |\n");
    head.push_str("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n");
    let begin = head.chars().count();
    for (n, environment) in report.environments.iter().enumerate() {
        let row = row(environment);
        if head.chars().count() - begin + row.chars().count() > most {
            let _ = writeln!(head, "| and {} more | | | | | | | | | |", report.environments.len() - n);
            break;
        }
        head.push_str(&row);
    }
    head.push('\n');
    let mut unseen = 0;
    for environment in &report.environments {
        let Some(why) = &environment.unseen else { continue };
        unseen += 1;
        if unseen <= 3 {
            let name = short(&environment.environment);
            let _ = writeln!(head, "{name} was compared with git alone: {}\n", text(why, 100));
        }
    }
    if unseen > 3 {
        let _ = writeln!(head, "So were {} more environments.\n", unseen - 3);
    }
}

fn side(side: &super::report::Side) -> String {
    match &side.revision {
        Some(revision) if side.what.is_empty() => short(revision),
        Some(revision) => format!("{} ({})", short(revision), text(&side.what, 100)),
        None => text(&side.what, 100),
    }
}

fn row(environment: &EnvironmentReport) -> String {
    let Counts { create, update, recreate, delete, restart, unchanged } = environment.counts;
    let risks = |severity| environment.risks.iter().filter(|risk| risk.severity == severity).count();
    let counts = [
        create,
        update,
        recreate,
        delete,
        restart,
        unchanged,
        risks(Severity::Error),
        risks(Severity::Warning),
        risks(Severity::Note),
    ];
    let cells: Vec<String> = counts.iter().map(ToString::to_string).collect();
    format!("| {} | {} |\n", short(&environment.environment), cells.join(" | "))
}

fn risk_line(environment: &str, risk: &Risk, many: bool) -> String {
    let severity = match risk.severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
        Severity::Note => "Note",
    };
    let mut line = format!("- **{severity}** {}", code(risk.class.as_str()));
    if many {
        let _ = write!(line, " {}", code(environment));
    }
    if let Some(app) = &risk.app {
        let _ = write!(line, " {}", code(app));
    }
    let _ = write!(line, ": {}", text(&risk.message, LONGEST_MESSAGE));
    if let Some(place) = &risk.place {
        let _ = write!(line, " ({})", code(&place.to_string()));
    }
    line.push('\n');
    line
}

fn objects(count: usize) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}

fn title(environment: &str, app: &str, many: bool) -> String {
    if many { format!("{} {}", html_code(environment), html_code(app)) } else { html_code(app) }
}

fn name(environment: &str, app: &str, many: bool) -> String {
    if many { format!("{} in {}", short(app), short(environment)) } else { short(app) }
}

fn app_group(environment: &EnvironmentReport, app: &AppReport, many: bool) -> Group {
    let state = match app.state {
        AppState::Added => "new",
        AppState::Changed => "changed",
        AppState::Removed => "removed",
        AppState::Broken => "would not be applied",
    };
    let mut counts = Vec::new();
    for action in [Action::Delete, Action::Recreate, Action::Update, Action::Create, Action::Restart] {
        let count = app.objects.iter().filter(|object| object.action == action).count();
        if count > 0 {
            counts.push(format!("{count} to {}", action.as_str()));
        }
    }
    let counts = if counts.is_empty() { "nothing in its objects".to_owned() } else { counts.join(", ") };
    let gravest = |object: &ObjectChange| {
        let risks = environment.risks.iter().filter(|risk| risk.object.as_deref() == Some(&object.object));
        risks.map(|risk| risk.severity).max()
    };
    let items = app.objects.iter().map(|object| {
        let (brief, full) = diff::object(object);
        Item { priority: gravest(object).map_or(0, |severity| 1 + severity as u8), brief, full }
    });
    Group {
        summary: format!("{}: {state}, {counts}", title(&environment.environment, &app.app, many)),
        name: name(&environment.environment, &app.app, many),
        items: items.collect(),
    }
}

fn drift_group(environment: &EnvironmentReport, app: &str, drift: &[&Drift], many: bool) -> Group {
    let items = drift.iter().map(|drift| {
        let what = match drift.cause {
            DriftCause::Changed => "was changed by somebody",
            DriftCause::Missing => "is not there",
            DriftCause::Behind => "is older than git had it",
            DriftCause::LeftOver => "left git before, and is still there",
        };
        let mut brief = format!("{} {what}\n\n", code(&drift.object));
        for record in &drift.records {
            let field = drifted::field(record);
            let field = if field.is_empty() { "It".to_owned() } else { code(&field) };
            let _ = write!(brief, "- {field}{}\n\n", drifted::who(record));
        }
        let full = format!("{brief}{}", diff::fields(&drift.changes));
        Item { priority: 0, brief, full }
    });
    Group {
        summary: format!("{}: {}", title(&environment.environment, app, many), objects(drift.len())),
        name: name(&environment.environment, app, many),
        items: items.collect(),
    }
}

#[cfg(test)]
mod tests;
