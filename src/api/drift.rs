//! What a team says of fields that others change.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::health::Expression;
use crate::object::field_path::{Word, words};
use crate::object::{Place, Problem, pattern};

/// What is done about what others change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drift {
    #[serde(default)]
    pub policy: DriftPolicy,
    /// Exceptions. The first rule that names a field counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<DriftRule>,
    /// Where each rule is written down.
    #[serde(skip)]
    pub places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DriftPolicy {
    /// It is put back.
    #[default]
    Heal,
    /// It is told, and stays until a commit changes the object.
    Report,
    /// It is theirs: neither told nor written.
    Ignore,
}

impl DriftPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heal => "heal",
            Self::Report => "report",
            Self::Ignore => "ignore",
        }
    }
}

/// What holds for some objects, or for some of their fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriftRule {
    pub policy: DriftPolicy,
    /// `Kind.group`, `Kind` of the core group, `*.group`; all where nothing stands here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Names, or the beginning of one and `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// `spec.replicas`, `spec.template.spec.containers[name=web].image`, `/spec/replicas`, with all that is below; the whole
    /// object where nothing stands here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// CEL over the object as git has it: the rule is about those of which it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// It is about fields that others add under what git sets, and not about those that git sets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extra: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The day or the moment at which it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl DriftRule {
    /// When it ends; a day ends where it begins, in UTC.
    pub fn ends(&self) -> Option<Timestamp> {
        self.until.as_deref().and_then(|text| end(text).ok())
    }

    /// The first of these kinds that it may ignore something of.
    pub fn ignores_of<'a>(&self, kinds: &'a [String]) -> Option<&'a str> {
        let names = |kind: &&String| {
            self.kinds.is_empty() || self.kinds.iter().any(|own| pattern::kinds_overlap(own, kind))
        };
        let ignores = self.policy == DriftPolicy::Ignore && !self.extra;
        kinds.iter().filter(|_| ignores).find(names).map(String::as_str)
    }

    fn check(&self) -> Vec<(String, Problem)> {
        let mut found = Vec::new();
        for (n, kind) in self.kinds.iter().enumerate() {
            found.extend(pattern::kind_problem(kind).map(|what| (format!("/kinds/{n}"), Problem::new(what))));
        }
        for (name, patterns) in [("namespaces", &self.namespaces), ("names", &self.names)] {
            for (n, text) in patterns.iter().enumerate() {
                let begin = text.strip_suffix('*').unwrap_or(text);
                if text.is_empty() || begin.contains('*') {
                    let what =
                        format!("{text:?} names nothing: write a name, or the beginning of one and `*`");
                    found.push((format!("/{name}/{n}"), Problem::new(what)));
                }
            }
        }
        for (n, field) in self.fields.iter().enumerate() {
            found.extend(field_problem(field).map(|what| (format!("/fields/{n}"), Problem::new(what))));
        }
        if self.extra && self.policy == DriftPolicy::Heal {
            let problem = Problem::new("what others add is theirs: it is told, and not taken away");
            found.push(("/policy".to_owned(), problem.hint("write `report`, or take `extra` out")));
        }
        if self.policy == DriftPolicy::Ignore
            && self.reason.as_deref().is_none_or(|why| why.trim().is_empty())
        {
            let problem = Problem::new("a rule that ignores what others change says why");
            found.push((String::new(), problem.hint("add `reason: …`")));
        }
        if let Some(Err(why)) = self.when.as_deref().map(Expression::compile) {
            found.push(("/when".to_owned(), Problem::new(format!("`when` cannot be used: {why}"))));
        }
        if let Some(text) = &self.until
            && let Err(problem) = end(text)
        {
            found.push(("/until".to_owned(), problem));
        }
        found
    }
}

/// Rules of one team: they are remembered, and each is asked about each field that others change.
const RULE_LIMIT: usize = 256;

impl Drift {
    /// The rules that are over, by their numbers.
    pub fn ended(&self, now: Timestamp) -> Vec<(usize, Timestamp)> {
        let ends = self.rules.iter().enumerate().filter_map(|(n, rule)| Some((n, rule.ends()?)));
        ends.filter(|(_, end)| *end <= now).collect()
    }

    /// What is wrong with it, at which of its fields.
    pub(super) fn check(&self) -> Vec<(String, Problem)> {
        let mut found = Vec::new();
        if self.policy == DriftPolicy::Ignore {
            let problem = Problem::new("an environment cannot ignore all that others change");
            found.push(("/policy".to_owned(), problem.hint("write `report`, or a rule for what is theirs")));
        }
        if self.rules.len() > RULE_LIMIT {
            let what = format!("{} rules; at most {RULE_LIMIT} are allowed", self.rules.len());
            found.push(("/rules".to_owned(), Problem::new(what)));
        }
        for (n, rule) in self.rules.iter().enumerate() {
            found.extend(rule.check().into_iter().map(|(field, what)| (format!("/rules/{n}{field}"), what)));
        }
        found
    }
}

fn end(text: &str) -> Result<Timestamp, Problem> {
    if let Ok(at) = Timestamp::from_str(text) {
        return Ok(at);
    }
    let day = Date::from_str(text).ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    day.map(|day| day.timestamp()).ok_or_else(|| {
        Problem::new(format!("{text:?} is neither a day nor a moment"))
            .hint("write 2027-01-31, or 2027-01-31T12:00:00Z")
    })
}

/// What is wrong with a field of a rule.
fn field_problem(text: &str) -> Option<String> {
    let words = words(text);
    let first = words.first().map(|word: &Word| word.text.as_str());
    match first {
        None | Some("") => Some(format!("{text:?} names no field: write spec.replicas, or /spec/replicas")),
        Some("status") => Some("the status is nobody's to apply, and is never compared".to_owned()),
        Some("apiVersion" | "kind") => Some(format!("{text:?} names the object, and is no field of it")),
        Some(_) if words.iter().any(|word| word.text.is_empty()) => {
            Some(format!("{text:?} has a part that is empty"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(drift: serde_json::Value) -> Vec<String> {
        let drift: Drift = serde_json::from_value(drift).expect("a drift");
        drift.check().into_iter().map(|(at, what)| format!("{at}: {what}")).collect()
    }

    #[test]
    fn what_a_rule_says_is_checked_with_its_place() {
        let rule = json!({"policy": "report", "kinds": ["Deployment.apps"], "names": ["web-*"], "namespaces": ["web"],
            "fields": ["spec.replicas", "/spec/replicas", "spec.template.spec.containers[name=web].image",
                "metadata.annotations[example.org/note]", "data.*"], "until": "2027-01-31",
            "when": "metadata.labels.tier == 'cache'"});
        assert_eq!(problems(json!({"policy": "report", "rules": [rule]})), [""; 0]);
        for (rule, at) in [
            (json!({"policy": "ignore"}), "/rules/0: "),
            (json!({"policy": "heal", "extra": true}), "/rules/0/policy: "),
            (json!({"policy": "ignore", "reason": " "}), "/rules/0: "),
            (json!({"policy": "heal", "kinds": ["deployments"]}), "/rules/0/kinds/0: "),
            (json!({"policy": "heal", "names": ["*-web"]}), "/rules/0/names/0: "),
            (json!({"policy": "heal", "namespaces": [""]}), "/rules/0/namespaces/0: "),
            (json!({"policy": "heal", "fields": ["status.x"]}), "/rules/0/fields/0: "),
            (json!({"policy": "heal", "fields": [""]}), "/rules/0/fields/0: "),
            (json!({"policy": "heal", "fields": ["/spec//x"]}), "/rules/0/fields/0: "),
            (json!({"policy": "heal", "fields": ["kind"]}), "/rules/0/fields/0: "),
            (json!({"policy": "heal", "when": "metadata.labels.tier =="}), "/rules/0/when: "),
            (json!({"policy": "heal", "when": "labels.tier == 'a'"}), "/rules/0/when: "),
            (json!({"policy": "heal", "until": "tomorrow"}), "/rules/0/until: "),
        ] {
            let found = problems(json!({"rules": [rule]}));
            assert!(found.len() == 1 && found[0].starts_with(at), "{rule}: {found:?}");
        }
        assert!(problems(json!({"policy": "ignore"}))[0].starts_with("/policy: "));
    }

    #[test]
    fn a_rule_says_whether_it_may_ignore_something_of_a_kind() {
        let of = |rule: serde_json::Value| {
            let rule: DriftRule = serde_json::from_value(rule).expect("a rule");
            rule.ignores_of(&["Secret".to_owned(), "*.rbac.authorization.k8s.io".to_owned()])
                .map(str::to_owned)
        };
        assert_eq!(of(json!({"policy": "ignore"})).as_deref(), Some("Secret"), "it is about all kinds");
        assert_eq!(of(json!({"policy": "ignore", "kinds": ["Deployment.apps"]})), None);
        let role = json!({"policy": "ignore", "kinds": ["Role.rbac.authorization.k8s.io"]});
        assert_eq!(of(role).as_deref(), Some("*.rbac.authorization.k8s.io"));
        assert_eq!(of(json!({"policy": "report"})), None);
    }

    #[test]
    fn a_rule_ends_at_the_beginning_of_a_day_or_at_a_moment() {
        let ends = |until: &str| {
            let rule = json!({"policy": "heal", "until": until});
            serde_json::from_value::<DriftRule>(rule).expect("a rule").ends().map(|at| at.to_string())
        };
        assert_eq!(ends("2027-01-31").as_deref(), Some("2027-01-31T00:00:00Z"));
        assert_eq!(ends("2027-01-31T12:00:00+02:00").as_deref(), Some("2027-01-31T10:00:00Z"));
    }
}
