//! What the region of an environment sees of it: what people are told of its apps.

use super::Report;
use crate::agent::regions::Seen;
use crate::api::{AppPhase, AppStatus};

/// What is seen of the environment by what people are told of it.
pub(super) fn seen(report: &Report) -> Seen {
    let behind = report.apps.iter().filter(|app| app.phase != AppPhase::Ready);
    let failed = report.apps.iter().filter(|app| matches!(app.phase, AppPhase::Halted | AppPhase::Restored));
    let digests = |app: &AppStatus| app.quarantined.iter().chain(&app.desired).cloned().collect();
    Seen {
        orders: report.region.orders.clone(),
        revision: report.revision.clone(),
        is_guarded: report.region.is_guarded,
        knows_apps: report.knows_apps,
        behind: behind.map(|app| (app.name.to_string(), (is_stuck(app), words(app)))).collect(),
        set_aside: failed
            .filter_map(|app| {
                Some((app.name.clone(), app.quarantined.clone().or_else(|| app.desired.clone())?))
            })
            .collect(),
        digests: report.apps.iter().map(|app| (app.name.clone(), digests(app))).collect(),
        retried: report.replies.retry.as_ref().map(|retried| retried.nonce.clone()),
        is_pruning: report.prune.as_ref().is_some_and(|prune| prune.count > 0),
        trouble: report.trouble.as_ref().map(|trouble| trouble.message.clone()),
        secrets: report
            .secrets
            .iter()
            .filter_map(|secret| Some(format!("{}: {}", secret.name, secret.trouble.as_ref()?)))
            .collect(),
    }
}

fn is_stuck(app: &AppStatus) -> bool {
    matches!(
        app.phase,
        AppPhase::Refused
            | AppPhase::Halted
            | AppPhase::Restored
            | AppPhase::RolledBack
            | AppPhase::Suspended
    )
}

fn words(app: &AppStatus) -> String {
    let waits = app.waiting_on.as_ref().map(|waiting| format!(" (waits for {})", waiting.what.join(", ")));
    let message = app.message.as_deref().map(|message| format!(": {message}"));
    format!("{}{}{}", app.phase.as_str(), message.unwrap_or_default(), waits.unwrap_or_default())
}
