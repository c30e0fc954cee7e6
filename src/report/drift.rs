//! What others changed, as a person would read it.

use serde::Serialize;
use serde_json::Value;

use crate::api::DriftPolicy;
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
    pub policy: DriftPolicy,
    /// The rule that says so, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
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

    pub fn text(&self) -> String {
        let Self { environment, app, object, .. } = self;
        let gone = if self.is_gone { ": gone" } else { "" };
        let mut text = format!("{environment}/{app}  {object}{gone}\n");
        for field in &self.fields {
            let value = |value: &Option<Value>| match value {
                None => "nothing".to_owned(),
                Some(value) => cut(&value.to_string()),
            };
            let rule = field.rule.as_ref().map_or(field.policy.as_str(), String::as_str);
            let (desired, live) = (value(&field.desired), value(&field.live));
            text.push_str(&format!("    .{}: {desired} in git, {live} live ({rule})\n", field.path));
            match field.by.first() {
                Some(holder) => text.push_str(&format!("        held by {holder}\n")),
                None => text.push_str("        nobody holds it: who took it away is not known\n"),
            }
        }
        text
    }
}

/// What of this has one cause, where several things do, for people.
pub fn common_causes(objects: &[DriftedObject]) -> String {
    let members = objects.iter().flat_map(|object| {
        object.fields.iter().filter_map(|field| {
            let holder = field.by.first()?;
            Some(Member {
                environment: object.environment.clone(),
                kind: object.object.split(' ').next().unwrap_or_default().to_owned(),
                field: field.path.to_string(),
                manager: holder.manager.clone(),
                at: holder.time.as_ref()?.parse().ok()?,
            })
        })
    });
    let members: Vec<Member> = members.collect();
    let mut text = String::new();
    for cause in causes(&members).iter().filter(|cause| cause.members.len() > 1) {
        let Cause { kind, field, manager, first, environments, members } = cause;
        let places =
            if *environments > 1 { format!(" in {environments} environments") } else { String::new() };
        text.push_str(&format!(
            "{} objects have one cause: {manager:?} changed .{field} of {kind}{places} since {first}\n",
            members.len()
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
        };
        Drifted {
            key: ObjectKey::new("apps", "Deployment", Some("web"), "web"),
            uid: Some("u".into()),
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
        assert_eq!(common_causes(std::slice::from_ref(&one)), "");
        let more =
            [one, object("prod", "b", "2026-01-01T12:30:00Z"), object("prod", "c", "2026-01-01T13:30:00Z")];
        assert_eq!(
            common_causes(&more),
            "2 objects have one cause: \"kubectl\" changed .spec.replicas of Deployment.apps in 2 environments since \
             2026-01-01T12:00:00Z\n"
        );
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
