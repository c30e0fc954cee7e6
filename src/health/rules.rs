//! Rules in CEL: those of a team (`rollout.health`), and those that are shipped for operators whose words the general
//! reading would misunderstand.
//!
//! A rule is a claim for each status. They are tried in the order failed, suspended, progressing, healthy; the first
//! that holds decides. A field that is not there makes a claim false. Where none holds, a team's rule that says what
//! healthy is means "not yet"; a shipped one leaves the object to the next rule of its kind, then to the general
//! reading.

mod expression;
mod patterns;
mod shipped;
mod tree;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use expression::{BadExpression, Expression, Input, NoAnswer};

use super::read::{text, unobserved};
use super::{Health, Status};

/// What a team writes under `rollout.health`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `*` at its begin stands for any group that ends so: `*.crossplane.io`.
    #[serde(default)]
    pub group: String,
    /// One kind, or several with commas; `*` for all kinds of the group.
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<String>,
    /// CEL that gives the text to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The status where no claim holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Status>,
}

/// A rule that cannot be used: which, and why. `at` is its place in the list, as a JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the health rule for {kind} of {group:?}: {what}")]
pub struct RuleError {
    pub at: String,
    pub group: String,
    pub kind: String,
    pub what: RuleProblem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleProblem {
    #[error("{claim}: {why}")]
    Expression { claim: &'static str, why: BadExpression },
    #[error("it claims nothing: write at least one of healthy, progressing, failed, suspended")]
    NoClaim,
    #[error("it has no kind")]
    NoKind,
    #[error("{0} rules; at most {RULE_LIMIT} are allowed")]
    TooMany(usize),
}

impl RuleProblem {
    /// The field that it is about, as the end of a JSON pointer.
    fn field(&self) -> String {
        match self {
            Self::Expression { claim, .. } => format!("/{claim}"),
            Self::NoKind => "/kind".to_owned(),
            Self::NoClaim | Self::TooMany(_) => String::new(),
        }
    }
}

/// Rules of one team. Each is compiled; ten times what the largest known set of checks has.
const RULE_LIMIT: usize = 256;

#[derive(Debug)]
struct Compiled {
    claims: Vec<(Status, Expression)>,
    message: Option<Expression>,
    otherwise: Option<Status>,
    /// A team is told where its rule gave no answer. A shipped one then claims nothing: an object in a form that its
    /// author did not know must not pass a gate as `unknown`.
    shipped: bool,
}

/// Compiled rules, by group and kind.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    exact: HashMap<(String, String), Vec<Arc<Compiled>>>,
    /// Rules whose group or kind is a pattern, in the order written.
    patterns: Vec<(String, String, Arc<Compiled>)>,
}

impl Rules {
    /// Compiles a team's rules; all that is wrong with them is said at once.
    pub fn compile(rules: &[Rule]) -> Result<Self, Vec<RuleError>> {
        if rules.len() > RULE_LIMIT {
            let what = RuleProblem::TooMany(rules.len());
            return Err(vec![RuleError {
                at: String::new(),
                group: String::new(),
                kind: "all kinds".to_owned(),
                what,
            }]);
        }
        let (mut compiled, mut errors) = (Self::default(), Vec::new());
        for (n, rule) in rules.iter().enumerate() {
            match Compiled::new(rule, Some(Status::Progressing)) {
                Ok(made) => compiled.add(rule, made),
                Err(what) => {
                    let (group, kind) = (rule.group.clone(), rule.kind.clone());
                    errors.extend(what.into_iter().map(|what| RuleError {
                        at: format!("/{n}{}", what.field()),
                        group: group.clone(),
                        kind: kind.clone(),
                        what,
                    }));
                }
            }
        }
        if errors.is_empty() { Ok(compiled) } else { Err(errors) }
    }

    /// The rules for operators, from the files beside this one.
    pub(super) fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<Rules> = LazyLock::new(|| {
            let mut rules = Rules::default();
            // A file that cannot be read is a fault of the build: `every_shipped_rule_compiles` is its test.
            for (_, text) in shipped::FILES {
                for rule in serde_saphyr::from_str::<Vec<Rule>>(text).unwrap_or_default() {
                    if let Ok(compiled) = Compiled::new(&rule, None) {
                        rules.add(&rule, compiled);
                    }
                }
            }
            rules
        });
        &SHIPPED
    }

    #[cfg(test)]
    pub(super) fn groups(&self) -> std::collections::BTreeSet<&str> {
        let patterns = self.patterns.iter().map(|(group, _, _)| group.as_str());
        self.exact.keys().map(|(group, _)| group.as_str()).chain(patterns).collect()
    }

    fn add(&mut self, rule: &Rule, compiled: Compiled) {
        let compiled = Arc::new(compiled);
        for kind in rule.kind.split(',').map(str::trim) {
            if kind == "*" || rule.group.starts_with('*') {
                self.patterns.push((rule.group.clone(), kind.to_owned(), Arc::clone(&compiled)));
            } else {
                let key = (rule.group.clone(), kind.to_owned());
                self.exact.entry(key).or_default().push(Arc::clone(&compiled));
            }
        }
    }

    /// Whether any of them is about this kind.
    pub fn concern(&self, group: &str, kind: &str) -> bool {
        self.find(group, kind).next().is_some()
    }

    fn find(&self, group: &str, kind: &str) -> impl Iterator<Item = &Compiled> {
        let exact =
            if self.exact.is_empty() { None } else { self.exact.get(&(group.to_owned(), kind.to_owned())) };
        let fits = move |pattern: &str, name: &str| match pattern.strip_prefix('*') {
            Some(end) => name.ends_with(end),
            None => pattern == name,
        };
        let patterns = self.patterns.iter().filter(move |(in_group, of_kind, _)| {
            fits(in_group, group) && (of_kind == "*" || of_kind == kind)
        });
        exact.into_iter().flatten().map(|rule| &**rule).chain(patterns.map(|(_, _, rule)| &**rule))
    }

    /// What the rules say of this object, where they say anything.
    pub(super) fn judge(&self, group: &str, kind: &str, object: &Value) -> Option<Health> {
        let mut rules = self.find(group, kind).peekable();
        rules.peek()?;
        if let Some(health) = unobserved(object) {
            return Some(health);
        }
        let input = Input::new(object);
        rules.find_map(|rule| rule.judge(&input, object))
    }
}

impl Compiled {
    /// `not_yet`: what it means that no claim holds where the rule says what healthy is.
    fn new(rule: &Rule, not_yet: Option<Status>) -> Result<Self, Vec<RuleProblem>> {
        let mut problems = Vec::new();
        let mut compile = |claim: &'static str, source: &Option<String>| {
            let made = Expression::compile(source.as_deref()?);
            made.map_err(|why| problems.push(RuleProblem::Expression { claim, why })).ok()
        };
        let claims: Vec<_> = [
            (Status::Failed, compile("failed", &rule.failed)),
            (Status::Suspended, compile("suspended", &rule.suspended)),
            (Status::Progressing, compile("progressing", &rule.progressing)),
            (Status::Healthy, compile("healthy", &rule.healthy)),
        ]
        .into_iter()
        .filter_map(|(status, expression)| Some((status, expression?)))
        .collect();
        let message = compile("message", &rule.message);
        if rule.kind.trim().is_empty() {
            problems.push(RuleProblem::NoKind);
        }
        if claims.is_empty() && rule.otherwise.is_none() && problems.is_empty() {
            problems.push(RuleProblem::NoClaim);
        }
        let otherwise = rule.otherwise.or(not_yet.filter(|_| rule.healthy.is_some()));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { claims, message, otherwise, shipped: not_yet.is_none() })
    }

    fn judge(&self, input: &Input, object: &Value) -> Option<Health> {
        for (status, claim) in &self.claims {
            match claim.holds(input) {
                Ok(true) => {
                    return Some(Health::new(
                        *status,
                        reason(object, *status),
                        self.words(input, object, *status),
                    ));
                }
                Ok(false) => {}
                Err(_) if self.shipped => {}
                Err(why) => return Some(no_answer(claim, &why)),
            }
        }
        let status = self.otherwise?;
        Some(Health::new(status, reason(object, status), self.words(input, object, status)))
    }

    fn words(&self, input: &Input, object: &Value, status: Status) -> String {
        let own = self.message.as_ref().and_then(|message| message.text(input).ok().flatten());
        own.filter(|text| !text.is_empty()).unwrap_or_else(|| super::general::words(object, status))
    }
}

fn no_answer(claim: &Expression, why: &NoAnswer) -> Health {
    let reason = match why {
        NoAnswer::TooCostly | NoAnswer::TooCostlyTogether => "RuleTooCostly",
        NoAnswer::WrongType { .. } | NoAnswer::Failed(_) => "RuleFailed",
    };
    Health::unknown(reason, format!("the health rule `{}` gave no answer: {why}", claim.source()))
}

fn reason(object: &Value, status: Status) -> String {
    super::general::reason(object, status).unwrap_or_else(|| {
        let mut name = status.as_str().to_owned();
        name[..1].make_ascii_uppercase();
        match text(&object["status"]["phase"]) {
            phase if !phase.is_empty() && phase.chars().all(char::is_alphanumeric) => phase.to_owned(),
            _ => name,
        }
    })
}

#[cfg(test)]
mod tests;
