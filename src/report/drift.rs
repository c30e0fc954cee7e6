//! What others changed, as a person would read it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::api::{DriftPolicy, DriftReportSpec, UNKNOWN};
use crate::drift::{Cause, Drifted, Member, causes};
use crate::object::field_path::FieldPath;
use crate::object::{AppName, FieldHolder};

/// An object that is not as it was applied. The JSON of this is documented in `docs/drift.md` and kept stable.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftedObject {
    pub environment: String,
    pub app: AppName,
    pub object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The object is not there.
    pub is_gone: bool,
    /// What is done about it, where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<DriftPolicy>,
    pub fields: Vec<DriftedFieldReport>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftedFieldReport {
    pub path: FieldPath,
    /// As git says it; values of Secrets are hidden.
    pub desired: Option<Value>,
    /// Nothing where it was taken away.
    pub live: Option<Value>,
    /// Who holds it now, the latest first.
    pub by: Vec<FieldHolder>,
    /// The person or account, where an audit log named them to the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    pub policy: DriftPolicy,
    /// The rule that says so, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// A kind of which it is not known whether its objects are as git says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnknownDrift {
    pub environment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    pub kind: String,
    /// When it was known last, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_verified: Option<String>,
    /// Why it is not known.
    pub unknown: String,
}

impl UnknownDrift {
    pub fn text(&self) -> String {
        let Self { environment, app, kind, last_verified, unknown } = self;
        let of = app.as_ref().map_or_else(|| environment.clone(), |app| format!("{environment}/{app}"));
        let since = last_verified.as_ref().map_or_else(String::new, |at| format!(", verified last at {at}"));
        format!("{of}  {kind}: unknown{since}: {unknown}\n")
    }
}

/// What is done about something, and the rule that says so.
type Judged = (DriftPolicy, Option<String>);

impl DriftedObject {
    /// `judge` says what is done about a field, or about the whole object, and by which rule.
    pub fn new(
        environment: &str,
        app: &AppName,
        drifted: &Drifted,
        judge: &dyn Fn(Option<&FieldPath>) -> Judged,
    ) -> Self {
        let fields = drifted.fields.iter().map(|field| {
            let (policy, rule) = judge(Some(&field.path));
            DriftedFieldReport {
                path: field.path.clone(),
                desired: field.desired.clone(),
                live: field.live.clone(),
                by: field.by.clone(),
                who: None,
                policy,
                rule,
            }
        });
        Self {
            environment: environment.to_owned(),
            app: app.clone(),
            object: drifted.key.to_string(),
            uid: drifted.uid.as_deref().map(str::to_owned),
            is_gone: drifted.is_gone(),
            policy: drifted.is_gone().then(|| judge(None).0),
            fields: fields.collect(),
        }
    }

    /// Leaves out what is theirs by a rule. Nothing where that is all.
    pub fn without_ignored(mut self) -> Option<Self> {
        self.fields.retain(|field| field.policy != DriftPolicy::Ignore);
        let is_told = self.policy.is_some_and(|policy| policy != DriftPolicy::Ignore);
        (is_told || !self.fields.is_empty()).then_some(self)
    }

    /// Adds who it was, where a report of the agent names them for the same field and manager.
    pub fn add_names(&mut self, report: &DriftReportSpec) {
        for field in &mut self.fields {
            let pointer = field.path.pointer();
            let manager = field.by.first().map_or("", |holder| &*holder.manager);
            let rows = report.open.iter().chain(&report.put_back);
            let of = rows
                .filter(|row| row.object == self.object && row.field == pointer && row.manager == manager);
            field.who = of.map(|row| row.who.clone()).find(|who| who != UNKNOWN);
        }
    }

    /// Whether a field of it belongs to a cause, as [`cause_name`] names it or by its manager alone.
    pub fn has_cause(&self, cause: &str) -> bool {
        self.fields.iter().any(|field| field.has_cause(cause))
    }

    pub fn text(&self) -> String {
        let Self { environment, app, object, .. } = self;
        let gone = if self.is_gone { ": gone" } else { "" };
        let mut text = format!("{environment}/{app}  {object}{gone}\n");
        for field in &self.fields {
            let rule = field.rule.as_ref().map_or(field.policy.as_str(), String::as_str);
            match difference(field.desired.as_ref(), field.live.as_ref()) {
                Some(lines) => text.push_str(&format!("    .{}: ({rule})\n{lines}", field.path)),
                None => {
                    let value = |value: &Option<Value>| match value {
                        None => "nothing".to_owned(),
                        Some(value) => cut(&value.to_string()),
                    };
                    let (desired, live) = (value(&field.desired), value(&field.live));
                    text.push_str(&format!("    .{}: {desired} in git, {live} live ({rule})\n", field.path));
                }
            }
            match field.by.first() {
                Some(holder) => text.push_str(&format!("        held by {holder}\n")),
                None => text.push_str("        nobody holds it: who took it away is not known\n"),
            }
            if let Some(who) = &field.who {
                text.push_str(&format!("        changed by {who}\n"));
            }
        }
        text
    }

    /// One row for each field, for a table: environment, app, object, field, by, since, what is done.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let row = |field: String, by: String, since: String, policy: &DriftPolicy| {
            let app = self.app.to_string();
            vec![
                self.environment.clone(),
                app,
                self.object.clone(),
                field,
                by,
                since,
                policy.as_str().to_owned(),
            ]
        };
        if let Some(policy) = &self.policy {
            return vec![row("gone".to_owned(), UNKNOWN.to_owned(), "-".to_owned(), policy)];
        }
        let of = |field: &DriftedFieldReport| {
            let holder = field.by.first();
            let manager = holder.map_or("nobody", |holder| &*holder.manager);
            let by =
                field.who.as_ref().map_or_else(|| manager.to_owned(), |who| format!("{who} ({manager})"));
            let since = holder.and_then(|holder| holder.time.clone()).unwrap_or_else(|| "-".to_owned());
            row(format!(".{}", field.path), by, since, &field.policy)
        };
        self.fields.iter().map(of).collect()
    }
}

impl DriftedFieldReport {
    /// Whether it belongs to a cause, as [`cause_name`] names it or by its manager alone.
    pub fn has_cause(&self, cause: &str) -> bool {
        self.by.first().is_some_and(|holder| {
            holder.manager == cause || cause_name(&holder.manager, &self.path.to_string()) == cause
        })
    }
}

/// How a cause is named on a command line: `kubectl:spec.replicas`.
pub fn cause_name(manager: &str, field: &str) -> String {
    format!("{manager}:{field}")
}

/// What differs between two values by lines, where they have several, or are long; nothing where a line says it.
fn difference(desired: Option<&Value>, live: Option<&Value>) -> Option<String> {
    let text = |value: Option<&Value>| match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => format!("{value:#}"),
    };
    let (desired, live) = (text(desired), text(live));
    let is_long = |text: &str| text.contains('\n') || text.chars().count() > LONG;
    if !is_long(&desired) && !is_long(&live) {
        return None;
    }
    let mut lines = String::new();
    let mut left = LINES;
    for change in similar::TextDiff::from_lines(&desired, &live).iter_all_changes() {
        let sign = match change.tag() {
            similar::ChangeTag::Equal => continue,
            similar::ChangeTag::Delete => '-',
            similar::ChangeTag::Insert => '+',
        };
        if left == 0 {
            lines.push_str("        …\n");
            break;
        }
        left -= 1;
        lines.push_str(&format!("        {sign} {}\n", cut(change.value().trim_end_matches('\n'))));
    }
    Some(lines)
}

/// Longer values are shown by lines, and so many of them.
const LONG: usize = 60;
const LINES: usize = 20;

/// What of this has one cause, where several things do, for people.
///
/// What bears no time, as what `kubectl scale` sets, is taken to have happened now.
pub fn common_causes(objects: &[DriftedObject], now: Timestamp) -> String {
    let members = objects.iter().flat_map(|object| {
        object.fields.iter().filter_map(|field| {
            let holder = field.by.first()?;
            Some(Member {
                environment: object.environment.clone(),
                kind: object.object.split(' ').next().unwrap_or_default().to_owned(),
                field: field.path.to_string(),
                manager: holder.manager.clone(),
                at: holder.time.as_ref().and_then(|time| time.parse().ok()).unwrap_or(now),
            })
        })
    });
    let members: Vec<Member> = members.collect();
    let mut text = String::new();
    for cause in causes(&members).iter().filter(|cause| cause.members.len() > 1) {
        let Cause { kind, field, manager, first, environments, members } = cause;
        let places =
            if *environments > 1 { format!(" in {environments} environments") } else { String::new() };
        let since = if *first < now { format!(" since {first}") } else { String::new() };
        text.push_str(&format!(
            "{} objects have one cause: {manager:?} changed .{field} of {kind}{places}{since} (--cause {})\n",
            members.len(),
            cause_name(manager, field)
        ));
    }
    text
}

/// So many letters of a value are shown.
const SHOWN: usize = 120;

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::DriftRow;
    use crate::drift::DriftedField;
    use crate::object::ObjectKey;

    fn scaled() -> Drifted {
        let by = FieldHolder {
            manager: "kubectl".into(),
            operation: "Update".into(),
            subresource: "scale".into(),
            time: None,
        };
        let field = |name: &str, live, by| DriftedField {
            path: FieldPath::of(&["spec", name]),
            desired: Some(json!(1)),
            live,
            by,
            rule: None,
            is_extra: false,
        };
        Drifted {
            key: ObjectKey::new("apps", "Deployment", Some("web"), "web"),
            uid: Some("u".into()),
            version: None,
            fields: vec![field("replicas", Some(json!(3)), vec![by]), field("paused", None, Vec::new())],
        }
    }

    #[test]
    fn what_has_one_cause_is_told_once() {
        let app = AppName::new("web").unwrap();
        let object = |environment: &str, name: &str, time: &str| {
            let mut drifted = scaled();
            drifted.key = ObjectKey::new("apps", "Deployment", Some("web"), name);
            drifted.fields[0].by[0].time = Some(time.to_owned());
            DriftedObject::new(environment, &app, &drifted, &|_| (DriftPolicy::Heal, None))
        };
        let one = object("dev", "a", "2026-01-01T12:00:00Z");
        let now = "2026-01-01T14:00:00Z".parse().unwrap();
        assert_eq!(common_causes(std::slice::from_ref(&one), now), "");
        let more =
            [one, object("prod", "b", "2026-01-01T12:30:00Z"), object("prod", "c", "2026-01-01T13:30:00Z")];
        assert_eq!(
            common_causes(&more, now),
            "2 objects have one cause: \"kubectl\" changed .spec.replicas of Deployment.apps in 2 environments since \
             2026-01-01T12:00:00Z (--cause kubectl:spec.replicas)\n"
        );
        assert!(
            more.iter()
                .all(|object| object.has_cause("kubectl:spec.replicas") && object.has_cause("kubectl"))
        );
        assert!(!more[0].has_cause("kubectl:spec.paused") && !more[0].has_cause("robot"));
    }

    #[test]
    fn long_values_are_told_by_the_lines_that_differ() {
        let app = AppName::new("web").unwrap();
        let mut drifted = scaled();
        drifted.fields.truncate(1);
        drifted.fields[0].desired = Some(json!("one\ntwo\nthree\n"));
        drifted.fields[0].live = Some(json!("one\nother\nthree\n"));
        let object = DriftedObject::new("dev", &app, &drifted, &|_| (DriftPolicy::Report, None));
        let text = object.text();
        assert!(
            text.contains("    .spec.replicas: (report)\n        - two\n        + other\n        held by"),
            "{text}"
        );
        drifted.fields[0].live = Some(Value::from((0..500).collect::<Vec<_>>()));
        let text = DriftedObject::new("dev", &app, &drifted, &|_| (DriftPolicy::Report, None)).text();
        assert!(text.lines().count() < LINES + 6 && text.contains("        …\n"), "{text}");
    }

    #[test]
    fn who_it_was_is_added_for_the_same_field_and_manager() {
        let app = AppName::new("web").unwrap();
        let mut object = DriftedObject::new("dev", &app, &scaled(), &|_| (DriftPolicy::Heal, None));
        let row = |field: &str, manager: &str, who: &str| DriftRow {
            app: None,
            object: "Deployment.apps web/web".into(),
            field: field.into(),
            class: crate::object::DriftClass::Changed,
            desired: None,
            live: None,
            manager: manager.into(),
            who: who.into(),
            action: crate::object::DriftAction::Reported,
            rule: None,
            since: "2026-01-01T00:00:00Z".into(),
            times: None,
            over: None,
            latency_ms: None,
        };
        let mut report =
            DriftReportSpec { open: vec![row("/spec/replicas", "robot", "bob")], ..Default::default() };
        object.add_names(&report);
        assert_eq!(object.fields[0].who, None);
        report.put_back =
            vec![row("/spec/replicas", "kubectl", "unknown"), row("/spec/replicas", "kubectl", "ada")];
        object.add_names(&report);
        assert_eq!(object.fields[0].who.as_deref(), Some("ada"));
        assert!(object.text().contains("        changed by ada\n"));
        assert_eq!(object.rows()[0][4], "ada (kubectl)");
    }

    #[test]
    fn a_field_is_told_with_both_values_its_holder_and_its_policy() {
        let app = AppName::new("web").unwrap();
        let judge = |field: Option<&FieldPath>| match field {
            Some(field) if field.is(&["spec", "replicas"]) => {
                (DriftPolicy::Ignore, Some("ignore, by hand".into()))
            }
            _ => (DriftPolicy::Heal, None),
        };
        let object = DriftedObject::new("dev", &app, &scaled(), &judge);
        assert_eq!(
            object.text(),
            "dev/web  Deployment.apps web/web\n    .spec.replicas: 1 in git, 3 live (ignore, by hand)\n        held by \
             kubectl (Update through scale)\n    .spec.paused: 1 in git, nothing live (heal)\n        nobody holds it: who \
             took it away is not known\n"
        );
        let told = object.without_ignored().unwrap();
        assert_eq!(told.fields.len(), 1);
        let gone = Drifted::gone(scaled().key);
        let gone = DriftedObject::new("dev", &app, &gone, &judge).without_ignored().unwrap();
        assert_eq!(gone.text(), "dev/web  Deployment.apps web/web: gone\n");
        let ignored =
            DriftedObject::new("dev", &app, &Drifted::gone(scaled().key), &|_| (DriftPolicy::Ignore, None));
        assert_eq!(ignored.without_ignored(), None);
    }
}
