//! The platform's policies: expressions of its own, and those that are shipped. Each must hold of every object that it is
//! about; one that gives no answer does not hold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::shipped::Shipped;
use crate::api::{PolicySpec, Severity};
use crate::health::{Expression, Input};
use crate::object::{ObjectKey, pattern};

/// Policies, which are compiled when the first object is judged.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    specs: Vec<PolicySpec>,
    compiled: Arc<OnceLock<Vec<Compiled>>>,
}

impl PartialEq for Policies {
    fn eq(&self, other: &Self) -> bool {
        self.specs == other.specs
    }
}

#[derive(Debug)]
struct Compiled {
    name: String,
    severity: Severity,
    kinds: Vec<String>,
    rule: Result<Rule, String>,
}

#[derive(Debug)]
enum Rule {
    Shipped(Shipped),
    Own { expression: Expression, message: String },
}

/// In what an object breaks a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub policy: String,
    pub severity: Severity,
    /// A JSON pointer; the object as a whole where it is empty.
    pub pointer: String,
    pub what: String,
}

impl Policies {
    pub fn new(specs: Vec<PolicySpec>) -> Self {
        Self { specs, compiled: Arc::default() }
    }

    fn compiled(&self) -> &[Compiled] {
        self.compiled.get_or_init(|| self.specs.iter().map(Compiled::new).collect())
    }

    /// What is wrong with the policies themselves.
    pub(super) fn problems(&self) -> Vec<String> {
        let broken = self.compiled().iter().filter_map(|policy| Some((policy, policy.rule.as_ref().err()?)));
        broken.map(|(policy, why)| format!("{}: {why}", policy.name)).collect()
    }

    /// Whether any only warns.
    pub(super) fn warn(&self) -> bool {
        self.specs.iter().any(|spec| spec.severity == Severity::Warn)
    }

    /// Whether any is about objects of this kind.
    pub(super) fn concern(&self, key: &ObjectKey) -> bool {
        self.compiled().iter().any(|policy| policy.concerns(key))
    }

    /// In what an object breaks any of them.
    pub(super) fn broken(&self, key: &ObjectKey, object: &Value) -> Vec<Broken> {
        let mut input = None;
        let mut found = Vec::new();
        for policy in self.compiled().iter().filter(|policy| policy.concerns(key)) {
            let broken = match &policy.rule {
                Ok(Rule::Shipped(shipped)) => shipped.check(key, object),
                Ok(Rule::Own { expression, message }) => {
                    let input = input.get_or_insert_with(|| Input::new(object));
                    holds(expression, input, message)
                        .err()
                        .map(|what| (String::new(), what))
                        .into_iter()
                        .collect()
                }
                // It was told as a problem of the limits, and nothing is written.
                Err(_) => Vec::new(),
            };
            found.extend(broken.into_iter().map(|(pointer, what)| Broken {
                policy: policy.name.clone(),
                severity: policy.severity,
                pointer,
                what,
            }));
        }
        found
    }
}

impl Compiled {
    fn new(spec: &PolicySpec) -> Self {
        let kinds = spec.matches.iter().flat_map(|matches| matches.kinds.clone()).collect::<Vec<_>>();
        let rule = match (&spec.expression, &spec.message, Shipped::named(&spec.name)) {
            (Some(_), _, Some(_)) => {
                Err("a policy of this name is shipped; give your own another".to_owned())
            }
            (Some(source), message, None) => Expression::compile(source)
                .map(|expression| Rule::Own { expression, message: message.clone().unwrap_or_default() })
                .map_err(|why| format!("expression: {why}")),
            (None, _, Some(shipped)) => Ok(Rule::Shipped(shipped)),
            (None, _, None) => {
                let names = Shipped::ALL.map(|(name, _)| name).join(", ");
                Err(format!("it has no expression, and shipped are only {names}"))
            }
        };
        let rule = match kinds.iter().find_map(|kind| pattern::kind_problem(kind)) {
            Some(why) => Err(format!("match.kinds: {why}")),
            None => rule,
        };
        Self { name: spec.name.clone(), severity: spec.severity, kinds, rule }
    }

    fn concerns(&self, key: &ObjectKey) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|kind| pattern::names_kind(kind, key))
    }
}

/// An expression that cannot be evaluated on an object does not hold of it.
fn holds(expression: &Expression, input: &Input, message: &str) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| expression.holds(input))) {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(message.to_owned()),
        Ok(Err(why)) => Err(format!("{message} (the expression gives no answer: {why})")),
        Err(_) => Err(format!("{message} (the expression cannot be evaluated on it)")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policies(specs: Value) -> Policies {
        Policies::new(serde_json::from_value(specs).unwrap())
    }

    fn broken(policies: &Policies, kind: &str, object: &Value) -> Vec<String> {
        let key = ObjectKey::new("", kind, Some("web"), "a");
        let found = policies.broken(&key, object).into_iter();
        found.map(|broken| format!("{:?} {}: {}", broken.severity, broken.policy, broken.what)).collect()
    }

    #[test]
    fn an_expression_has_to_be_true() {
        let policies = policies(json!([{
            "name": "owner", "expression": "metadata.labels.owner != ''", "message": "say who owns it",
            "match": {"kinds": ["Service"]},
        }]));
        assert_eq!(policies.problems(), Vec::<String>::new());
        let with = |labels: Value| json!({"metadata": {"name": "a", "labels": labels}});
        assert!(broken(&policies, "Service", &with(json!({"owner": "ada"}))).is_empty());
        assert!(broken(&policies, "ConfigMap", &with(json!({}))).is_empty(), "it is about Services");
        let told = ["Deny owner: say who owns it"];
        assert_eq!(broken(&policies, "Service", &with(json!({"owner": ""}))), told);
        assert_eq!(broken(&policies, "Service", &with(json!({}))), told, "a field that is not there");
    }

    #[test]
    fn what_gives_no_answer_does_not_hold() {
        let policies = policies(json!([
            {"name": "text", "expression": "spec.a", "message": "no", "severity": "warn"},
            {"name": "dear", "expression": "spec.b.all(x, spec.b.all(y, spec.b.all(z, x + y + z > 0)))", "message": "too dear"},
        ]));
        let found = broken(&policies, "Service", &json!({"spec": {"a": "x", "b": vec![1; 1000]}}));
        assert!(found[0].starts_with("Warn text: no (the expression gives no answer: it gave"), "{found:?}");
        assert!(
            found[1].starts_with("Deny dear: too dear (the expression gives no answer: it would take more"),
            "{found:?}"
        );
    }

    #[test]
    fn policies_that_cannot_be_used_are_named() {
        let policies = policies(json!([
            {"name": "odd", "expression": "spec.", "message": "no"},
            {"name": "nothing-like-that"},
            {"name": "no-latest", "expression": "true", "message": "no"},
            {"name": "restricted-pods", "match": {"kinds": ["pods"]}},
        ]));
        let found = policies.problems();
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("odd: expression: it is not CEL"), "{found:?}");
        assert!(found[1].contains("shipped are only digests-only"), "{found:?}");
        assert!(found[2].contains("give your own another"), "{found:?}");
        assert!(found[3].contains("match.kinds"), "{found:?}");
    }
}
