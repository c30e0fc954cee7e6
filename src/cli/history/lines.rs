//! The time line as a table for people.

use jiff::{Timestamp, Unit};

use super::Shown;
use crate::api::RecordStatus;
use crate::cli::output::table;
use crate::object::{AppName, DriftRecord, EventKind, TimelineEvent};

/// Longer values are cut: `-o json` has them.
const VALUE_WIDTH: usize = 32;

pub(super) fn table_of(shown: &[Shown]) -> String {
    let only_rollouts = shown.iter().all(|one| matches!(one, Shown::Rollout { .. }));
    let mut rows = Vec::with_capacity(shown.len() + 1);
    if only_rollouts {
        rows.push(
            ["ENDED", "APP", "OUTCOME", "DIGEST", "COMMIT", "BY", "SUBJECT"].map(str::to_owned).to_vec(),
        );
    } else {
        rows.push(["TIME", "WHAT", "ENV", "APP", "OUTCOME", "BY", "DETAILS"].map(str::to_owned).to_vec());
    }
    rows.extend(shown.iter().map(|one| match one {
        Shown::Rollout { app, record, .. } if only_rollouts => rollout_alone(app, record),
        Shown::Rollout { environment, app, record, .. } => rollout(environment.as_str(), app, record),
        Shown::Drift(drift) => drifted(drift),
        Shown::Event(event) => happened(event),
    }));
    table(&rows)
}

fn dash() -> String {
    "-".to_owned()
}

fn rollout_alone(app: &AppName, record: &RecordStatus) -> Vec<String> {
    vec![
        record.ended.clone(),
        app.to_string(),
        record.outcome.as_str().to_owned(),
        record.digest.short().to_owned(),
        record.revision.as_ref().map_or_else(dash, |revision| revision.short().to_owned()),
        by(record),
        said(record),
    ]
}

fn rollout(environment: &str, app: &AppName, record: &RecordStatus) -> Vec<String> {
    let revision = record.revision.as_ref().map_or_else(dash, |revision| revision.short().to_owned());
    vec![
        record.ended.clone(),
        "rollout".to_owned(),
        environment.to_owned(),
        app.to_string(),
        record.outcome.as_str().to_owned(),
        by(record),
        format!("{revision} {}", said(record)),
    ]
}

fn by(record: &RecordStatus) -> String {
    record.by.clone().or_else(|| record.author.clone()).unwrap_or_else(dash)
}

fn said(record: &RecordStatus) -> String {
    record.why.clone().or_else(|| record.subject.clone()).unwrap_or_default()
}

fn drifted(drift: &DriftRecord) -> Vec<String> {
    let who = drift.principal.as_ref().map(|principal| principal.user.clone());
    let manager = Some(drift.manager.clone()).filter(|manager| !manager.is_empty());
    let mut details = drift.object.to_string();
    if !drift.path.is_empty() {
        details += &format!(" {}", drift.path);
    }
    if drift.desired.is_some() || drift.live.is_some() {
        details += &format!(": {} → {}", value(drift.desired.as_deref()), value(drift.live.as_deref()));
    }
    if drift.count > 1 {
        details += &format!(" ({} times)", drift.count);
    }
    vec![
        time(drift.first_seen),
        format!("drift {}", drift.class.as_str()),
        drift.environment.to_string(),
        drift.app.as_ref().map_or_else(dash, ToString::to_string),
        drift.action.as_str().to_owned(),
        who.or(manager).unwrap_or_else(dash),
        details,
    ]
}

fn happened(event: &TimelineEvent) -> Vec<String> {
    let object = event.object.as_ref().map(ToString::to_string);
    let verb = (event.kind == EventKind::Request).then(|| event.details["verb"].as_str()).flatten();
    let details: Vec<String> =
        [verb.map(str::to_owned), object, event.why.clone()].into_iter().flatten().collect();
    vec![
        time(event.at),
        event.kind.as_str().to_owned(),
        event.environment.to_string(),
        event.app.as_ref().map_or_else(dash, ToString::to_string),
        outcome(event),
        event.who.clone().unwrap_or_else(dash),
        details.join(": "),
    ]
}

/// What came of it, where its kind has such a thing and the details name it.
fn outcome(event: &TimelineEvent) -> String {
    match event.kind {
        EventKind::Request | EventKind::Restore | EventKind::Rotation | EventKind::Region => {
            event.details["outcome"].as_str().map_or_else(dash, str::to_owned)
        }
        EventKind::Hold | EventKind::Release => dash(),
    }
}

fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

fn value(value: Option<&str>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let line = value.lines().next().unwrap_or_default();
    let is_cut = line.chars().count() > VALUE_WIDTH || value.lines().count() > 1;
    let start: String = line.chars().take(VALUE_WIDTH).collect();
    if is_cut { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::{EnvironmentName, ObjectKey, RecordId};

    fn drift() -> DriftRecord {
        serde_json::from_value(json!({
            "id": "a", "environment": "dev", "app": "web",
            "object": {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web"},
            "path": "/spec/replicas", "desired": "2", "live": "5", "class": "changed", "manager": "kubectl-scale",
            "firstSeen": "2026-11-30T08:00:00.123Z", "lastSeen": "2026-11-30T08:10:00Z", "count": 3,
            "action": "healed",
        }))
        .unwrap()
    }

    #[test]
    fn the_time_line_is_a_table() {
        let event = TimelineEvent {
            id: RecordId::known("b"),
            kind: EventKind::Hold,
            cluster: String::new(),
            environment: EnvironmentName::new("dev").unwrap(),
            app: None,
            object: Some(ObjectKey::new("", "ConfigMap", Some("shop"), "settings")),
            who: Some("ada".to_owned()),
            why: Some("I look into it".to_owned()),
            at: "2026-11-30T09:00:00Z".parse().unwrap(),
            details: serde_json::Value::Null,
        };
        let text = table_of(&[Shown::Event(Box::new(event)), Shown::Drift(Box::new(drift()))]);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("   ").map(str::trim).filter(|word| !word.is_empty()).collect())
            .collect();
        assert_eq!(lines[0], ["TIME", "WHAT", "ENV", "APP", "OUTCOME", "BY", "DETAILS"]);
        assert_eq!(
            lines[1],
            [
                "2026-11-30T09:00:00Z",
                "hold",
                "dev",
                "-",
                "-",
                "ada",
                "ConfigMap shop/settings: I look into it"
            ]
        );
        assert_eq!(
            lines[2],
            [
                "2026-11-30T08:00:00Z",
                "drift changed",
                "dev",
                "web",
                "healed",
                "kubectl-scale",
                "Deployment.apps shop/web /spec/replicas: 2 → 5 (3 times)"
            ]
        );
    }

    #[test]
    fn who_is_known_is_named_and_long_values_are_cut() {
        let mut drift = drift();
        drift.principal = Some(crate::object::Principal { user: "ada".to_owned(), ..Default::default() });
        drift.live = Some("x".repeat(100));
        let text = table_of(&[Shown::Drift(Box::new(drift))]);
        assert!(text.contains("ada") && !text.contains("kubectl-scale"), "{text}");
        assert!(
            text.contains(&format!("{}…", "x".repeat(VALUE_WIDTH))) && !text.contains(&"x".repeat(33)),
            "{text}"
        );
    }
}
