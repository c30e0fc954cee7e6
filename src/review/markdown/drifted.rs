//! What has drifted as a comment of a forge: first what a merge would write over, then what it leaves as it is.

use std::fmt::Write;

use super::escape::{code, html_code, short, text};
use super::fit::{Fit, Group, Item};
use super::{LEAST_LIMIT, diff, marker, objects};
use crate::object::{DriftAction, DriftClass, DriftRecord};
use crate::review::drifted::{DriftSides, Drifting, drifted};

const TAIL: &str = ". The drift verb of the command line shows all of it.\n";

/// Writes what has drifted of an environment in at most so many characters (10,000 at least).
pub fn drift_markdown(sides: &DriftSides<'_>, limit: usize) -> String {
    let report = drifted(sides);
    let count = |drifting: &[Drifting]| {
        let mut names: Vec<&str> = drifting.iter().map(|one| &*one.object).collect();
        names.dedup();
        names.len()
    };
    let (overwritten, stays) = (count(&report.overwritten), count(&report.stays));
    let verdict = match (overwritten, stays) {
        (0, 0) => "nothing has drifted".to_owned(),
        (0, _) => format!("{} drifted, and a merge leaves that as it is", have(stays)),
        _ => format!("a merge writes over what was changed of {}", objects(overwritten)),
    };
    let environment = sides.environment.as_str();
    let mut head = format!("{}\n## Fairlead: {verdict}\n\n", marker::drift(sides.cluster, environment));
    let _ = write!(head, "The environment {} beside its branch {}", short(environment), short(sides.branch));
    if let Some(cluster) = sides.cluster {
        let _ = write!(head, "; the cluster is {}", short(cluster));
    }
    head.push_str(".\n\n");
    if sides.plan.is_none() {
        head.push_str("The cluster was not asked, so what a merge would write over is not known.\n\n");
    }
    let mut fit = Fit::new(limit.max(LEAST_LIMIT), &head).ending(TAIL);
    fit.groups("### A merge writes over this\n\n", groups(&report.overwritten), |count| {
        format!("{count} of what is written over")
    });
    fit.groups("### This has drifted, and stays\n\n", groups(&report.stays), |count| {
        format!("{count} of what stays")
    });
    fit.finish()
}

fn have(count: usize) -> String {
    if count == 1 { "1 object has".to_owned() } else { format!("{count} objects have") }
}

/// What has drifted and stays, as a section of the report of a change: of one environment, or of many.
pub(super) fn staying(environment: &str, all: &[Drifting], many: bool) -> Vec<Group> {
    // What counts up would be one edit after the other.
    let once = |one: &Drifting| {
        let record = one.record.as_ref().map(|record| DriftRecord { count: 1, ..record.clone() });
        Drifting { record, ..one.clone() }
    };
    let mut groups = groups(&all.iter().map(once).collect::<Vec<_>>());
    if many {
        for group in &mut groups {
            group.summary = format!("{} {}", html_code(environment), group.summary);
            group.name = format!("{} in {}", group.name, short(environment));
        }
    }
    groups
}

fn groups(all: &[Drifting]) -> Vec<Group> {
    let mut groups: Vec<(&str, Vec<Item>)> = Vec::new();
    for drifting in all {
        if groups.last().is_none_or(|(app, _)| *app != drifting.app) {
            groups.push((&drifting.app, Vec::new()));
        }
        let Some((_, items)) = groups.last_mut() else { continue };
        items.push(item(drifting));
    }
    let group = |(app, items): (&str, Vec<Item>)| Group {
        summary: format!(
            "{}: {}",
            html_code(app),
            if items.len() == 1 { "1 field".to_owned() } else { format!("{} fields", items.len()) }
        ),
        name: short(app),
        items,
    };
    groups.into_iter().map(group).collect()
}

fn item(drifting: &Drifting) -> Item {
    let mut brief = code(&drifting.object);
    if !drifting.field.is_empty() {
        let _ = write!(brief, " {}", code(&drifting.field));
    }
    match &drifting.record {
        Some(record) => brief.push_str(&told(record)),
        None => brief.push_str(" was changed by somebody"),
    }
    brief.push_str("\n\n");
    let full = format!("{brief}{}", diff::fields(drifting.change.as_slice()));
    Item { priority: 0, brief, full }
}

/// By whom, since when, and what is done about it: as the report of a change has it, where what counts up would be one
/// edit after the other.
pub(super) fn who(record: &DriftRecord) -> String {
    told(&DriftRecord { count: 1, ..record.clone() })
}

/// The field of a record, as a plan writes it.
pub(super) fn field(record: &DriftRecord) -> String {
    crate::review::drifted::field_of(&record.path)
}

/// By whom, since when, how often, and what is done about it.
fn told(record: &DriftRecord) -> String {
    let mut words = match record.class {
        DriftClass::Changed => " was changed".to_owned(),
        DriftClass::Missing => " was taken away".to_owned(),
        DriftClass::Extra => " was added".to_owned(),
        DriftClass::Deleted => " was deleted".to_owned(),
    };
    let principal = record.principal.as_ref().map(|principal| principal.user.as_str());
    match (principal, record.manager.as_str()) {
        (Some(user), "") => drop(write!(words, " by {}", code(user))),
        (Some(user), manager) => drop(write!(words, " by {} with {}", code(user), code(manager))),
        (None, "") => words.push_str(" by nobody knows whom"),
        (None, manager) => drop(write!(words, " by {}", code(manager))),
    }
    let first = record.first_seen.round(jiff::Unit::Second).unwrap_or(record.first_seen);
    let _ = write!(words, ", first seen {}", code(&first.to_string()));
    if record.count > 1 {
        let _ = write!(words, ", {} times", record.count);
    }
    words.push_str(match record.action {
        DriftAction::Healed | DriftAction::Overwritten => "; it is put back",
        DriftAction::Reported | DriftAction::Ignored => "; it is only reported",
        DriftAction::Held => "; it is held",
        DriftAction::Fought => "; it is put back ever later, because it comes back",
    });
    if let Some(rule) = &record.rule {
        let _ = write!(words, " ({})", text(rule, 200));
    }
    words
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::object::{AppName, EnvironmentName, ObjectKey, Place, RecordId, TreePath};
    use crate::plan::{FieldChange, Reason};
    use crate::report::{AppPlan, PlanReport, StepReport};

    pub fn record(name: &str, path: &str, live: &str) -> DriftRecord {
        let at: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        DriftRecord {
            id: RecordId::new(at, 1),
            cluster: String::new(),
            environment: EnvironmentName::new("dev").unwrap(),
            app: AppName::new("web").ok(),
            revision: None,
            object: ObjectKey::new("apps", "Deployment", Some("web"), name),
            uid: "u".into(),
            path: path.into(),
            desired: Some("1".into()),
            live: Some(live.into()),
            class: DriftClass::Changed,
            cause: None,
            manager: "kubectl".into(),
            operation: None,
            subresource: None,
            principal: None,
            first_seen: at,
            last_seen: at,
            count: 3,
            action: DriftAction::Reported,
            rule: None,
            result: None,
            latency_ms: None,
            closed: None,
        }
    }

    fn plan(
        object: &str,
        reason: Reason,
        changes: &[(&str, serde_json::Value, serde_json::Value)],
    ) -> PlanReport {
        let changes = changes.iter().map(|(path, before, after)| FieldChange {
            path: (*path).to_owned(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        });
        let step = StepReport {
            wave: 0,
            wave_name: String::new(),
            action: "update",
            object: object.to_owned(),
            place: Place::file(TreePath::root()),
            reason,
            proof: None,
            changes: changes.collect(),
            live: None,
        };
        let app = AppPlan { steps: vec![step], ..AppPlan::broken("web", Vec::new()) };
        PlanReport { environment: "dev".into(), revision: None, apps: vec![app], prune: None }
    }

    fn written(records: &[DriftRecord], plan: Option<&PlanReport>) -> String {
        let environment = EnvironmentName::new("dev").unwrap();
        let sides = DriftSides { cluster: None, environment: &environment, branch: "env/dev", records, plan };
        drift_markdown(&sides, super::super::LIMIT)
    }

    #[test]
    fn what_a_merge_writes_over_is_told_apart_from_what_stays() {
        let records = [
            record("web", "/spec/replicas", "3"),
            record("web", "/spec/template/spec/containers/name=web/image", "\"web:2\""),
        ];
        let plan =
            plan("Deployment.apps web/web", Reason::NeverApplied, &[(".spec.replicas", json!(3), json!(2))]);
        assert_eq!(
            written(&records, Some(&plan)),
            "<!-- fairlead:drift cluster= environments=dev -->\n## Fairlead: a merge writes over what was changed of 1 object\n\n\
             The environment `dev` beside its branch `env/dev`.\n\n### A merge writes over this\n\n\
             <details><summary><code>web</code>: 1 field</summary>\n\n`Deployment.apps web/web` `.spec.replicas` was changed by \
             `kubectl`, first seen `2026-11-30T12:00:00Z`, 3 times; it is only reported\n\n```diff\n@@ .spec.replicas @@\n- 3\n+ \
             2\n```\n\n</details>\n\n### This has drifted, and stays\n\n<details><summary><code>web</code>: 1 \
             field</summary>\n\n`Deployment.apps web/web` `.spec.template.spec.containers[name=web].image` was changed by \
             `kubectl`, first seen `2026-11-30T12:00:00Z`, 3 times; it is only reported\n\n```diff\n@@ \
             .spec.template.spec.containers[name=web].image @@\n- 1\n+ web:2\n```\n\n</details>\n\n"
        );
    }

    #[test]
    fn only_what_is_open_and_of_this_environment_counts() {
        let over = DriftRecord { closed: Some(Timestamp::UNIX_EPOCH), ..record("a", "/spec/replicas", "3") };
        let ignored = DriftRecord { action: DriftAction::Ignored, ..record("b", "/spec/replicas", "3") };
        let other = DriftRecord {
            environment: EnvironmentName::new("prod").unwrap(),
            ..record("c", "/spec/replicas", "3")
        };
        let text = written(&[over, ignored, other], None);
        assert!(
            text.contains("## Fairlead: nothing has drifted") && text.contains("was not asked"),
            "{text}"
        );
        let gone = DriftRecord { class: DriftClass::Deleted, path: String::new(), ..record("d", "", "3") };
        let anew = plan("Deployment.apps web/d", Reason::Missing, &[]);
        let text = written(std::slice::from_ref(&gone), Some(&anew));
        assert!(text.contains("writes over this") && text.contains("web/d` was deleted"), "{text}");
        let text = written(&[gone], None);
        assert!(text.contains("1 object has drifted, and a merge leaves that"), "{text}");
    }

    #[test]
    fn what_no_record_knows_is_told_by_the_plan() {
        let fields = vec![crate::object::field_path::FieldPath::of(&["data", "a.yaml"])];
        let plan =
            plan("ConfigMap web/m", Reason::Drifted { fields }, &[(".data.a.yaml", json!("x"), json!("y"))]);
        let text = written(&[], Some(&plan));
        assert!(text.contains("`ConfigMap web/m` `.data[a.yaml]` was changed by somebody"), "{text}");
        assert!(text.contains("- x\n+ y\n"), "{text}");
    }
}
