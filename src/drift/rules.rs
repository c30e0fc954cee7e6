//! The rules of an environment about what others change.

use std::cell::OnceCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::decisions::Decision;
use crate::api::{Drift, DriftPolicy, DriftRule};
use crate::health::{Expression, Input};
use crate::object::field_path::{FieldPath, Word, covers, find_field, words};
use crate::object::{Live, ObjectKey, pattern};
use crate::plan::{Lookup, Wanted};

/// What holds for a field, and which rule says so: its number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub policy: DriftPolicy,
    pub rule: Option<usize>,
}

/// What the team says, ready to be asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    policy: DriftPolicy,
    rules: Arc<[CompiledRule]>,
    /// What people decided, which goes before the rules.
    decisions: Arc<[Decision]>,
    print: u64,
}

#[derive(Clone, Debug)]
struct CompiledRule {
    rule: DriftRule,
    ends: Option<Timestamp>,
    fields: Vec<(String, Vec<Word>)>,
    when: Option<Arc<Expression>>,
}

/// What it is compiled to is the same where the words are.
impl PartialEq for CompiledRule {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule
    }
}

impl Rules {
    pub fn new(drift: &Drift) -> Self {
        let compiled = |rule: &DriftRule| CompiledRule {
            ends: rule.ends(),
            fields: rule.fields.iter().map(|field| (field.clone(), words(field))).collect(),
            // What cannot be compiled was refused where it was read.
            when: rule.when.as_deref().and_then(|when| Expression::compile(when).ok()).map(Arc::new),
            rule: rule.clone(),
        };
        let mut hasher = DefaultHasher::new();
        format!("{:?} {:?}", drift.policy, drift.rules).hash(&mut hasher);
        Self {
            policy: drift.policy,
            rules: drift.rules.iter().map(compiled).collect(),
            decisions: Arc::default(),
            print: hasher.finish(),
        }
    }

    /// What the team says, to be remembered; nothing where it says nothing.
    pub fn said(&self) -> Option<Value> {
        let rules = self.rules.iter().map(|rule| rule.rule.clone()).collect();
        let said = Drift { policy: self.policy, rules, places: Vec::new() };
        (said != Drift::default()).then(|| serde_json::to_value(said).expect("rules are JSON"))
    }

    /// What was remembered of what the team says. Where that cannot be read, as what a newer version wrote, all is only
    /// reported: nothing is taken from others that may be theirs.
    pub fn remembered(said: Option<&Value>) -> Self {
        let Some(said) = said else { return Self::default() };
        let drift =
            Drift::deserialize(said).unwrap_or(Drift { policy: DriftPolicy::Report, ..Drift::default() });
        Self::new(&drift)
    }

    /// The same rules of the team, under what people decided.
    #[must_use]
    pub fn deciding(&self, decisions: &[Decision]) -> Self {
        Self { decisions: decisions.into(), ..self.clone() }
    }

    /// Whether all is put back, whatever it is.
    pub fn heal_all(&self) -> bool {
        self.policy == DriftPolicy::Heal
            && self.rules.iter().all(|rule| rule.rule.policy == DriftPolicy::Heal || rule.rule.extra)
            && self.decisions.iter().all(|decision| decision.policy == DriftPolicy::Heal)
    }

    /// Whether a rule that holds now may ignore a field of this object.
    pub fn may_ignore(&self, key: &ObjectKey, now: Timestamp) -> bool {
        let ignores = |rule: &&CompiledRule| rule.rule.policy == DriftPolicy::Ignore && !rule.rule.extra;
        let mut decided = self.decisions.iter().filter(|decision| decision.policy == DriftPolicy::Ignore);
        self.rules.iter().filter(ignores).any(|rule| rule.is_about(key) && rule.holds(now))
            || decided.any(|decision| decision.is_about(key) && decision.holds(now))
    }

    /// A rule in words: its policy, and why.
    pub fn describe(&self, rule: usize) -> Option<String> {
        if let Some(decision) = rule.checked_sub(self.rules.len()).and_then(|at| self.decisions.get(at)) {
            return Some(decision.to_string());
        }
        let rule = &self.rules.get(rule)?.rule;
        let mut text = rule.policy.as_str().to_owned();
        for (word, said) in [("reason", &rule.reason), ("owner", &rule.owner), ("until", &rule.until)] {
            if let Some(said) = said {
                text.push_str(&format!(", {word}: {said}"));
            }
        }
        Some(text)
    }

    /// What holds where no rule does.
    pub fn judge_nothing(&self) -> Verdict {
        Verdict { policy: self.policy, rule: None }
    }

    /// Whether a field is theirs who set it.
    pub fn ignores(&self, wanted: &Wanted, field: &FieldPath, now: Timestamp) -> bool {
        self.judge(wanted, Some(field), now).policy == DriftPolicy::Ignore
    }

    /// What holds for a field of an object; for the object as a whole where no field is given.
    pub fn judge(&self, wanted: &Wanted, field: Option<&FieldPath>, now: Timestamp) -> Verdict {
        let decided = self.decisions.iter().position(|decision| {
            decision.holds(now) && decision.is_about(&wanted.key) && decision.names(field)
        });
        if let Some(at) = decided {
            return Verdict { policy: self.decisions[at].policy, rule: Some(self.rules.len() + at) };
        }
        let value = OnceCell::new();
        let value = || value.get_or_init(|| wanted.value());
        let found = self.rules.iter().enumerate().find(|(_, rule)| {
            !rule.rule.extra
                && rule.holds(now)
                && rule.is_about(&wanted.key)
                && rule.names_field(&value, field)
                && rule.is_when(&value)
        });
        match found {
            Some((n, rule)) => Verdict { policy: rule.rule.policy, rule: Some(n) },
            None => self.judge_nothing(),
        }
    }

    /// Whether anybody asks to be told what others add to an object.
    pub fn tells_extra(&self, wanted: &Wanted, now: Timestamp) -> bool {
        let tells = |rule: &&CompiledRule| rule.rule.extra && rule.rule.policy == DriftPolicy::Report;
        self.rules.iter().filter(tells).any(|rule| {
            let value = OnceCell::new();
            rule.holds(now)
                && rule.is_about(&wanted.key)
                && rule.is_when(&|| value.get_or_init(|| wanted.value()))
        })
    }

    /// What holds for a field that others added: it is theirs, but where a rule is about such fields.
    pub fn judge_extra(&self, wanted: &Wanted, field: &FieldPath, now: Timestamp) -> Verdict {
        let value = OnceCell::new();
        let value = || value.get_or_init(|| wanted.value());
        let found = self.rules.iter().enumerate().find(|(_, rule)| {
            rule.rule.extra
                && rule.holds(now)
                && rule.is_about(&wanted.key)
                && rule.names_field(&value, Some(field))
                && rule.is_when(&value)
        });
        match found {
            Some((n, rule)) => Verdict { policy: rule.rule.policy, rule: Some(n) },
            None => Verdict { policy: DriftPolicy::Ignore, rule: None },
        }
    }

    /// The rules that are about none of these objects, which are all of their environment, by their numbers. What is over is told
    /// as that.
    pub fn unused(&self, objects: &[Arc<Wanted>], now: Timestamp) -> Vec<usize> {
        let is_used = |rule: &CompiledRule| {
            objects.iter().any(|wanted| {
                let value = OnceCell::new();
                rule.is_about(&wanted.key) && rule.is_when(&|| value.get_or_init(|| wanted.value()))
            })
        };
        let rules = self.rules.iter().enumerate();
        rules.filter(|(_, rule)| rule.holds(now) && !is_used(rule)).map(|(n, _)| n).collect()
    }

    /// What a team is to know of its rules: those that are over, and those that are about nothing.
    pub fn idle(&self, objects: &[Arc<Wanted>], now: Timestamp) -> Vec<String> {
        let name = |n: usize| format!("drift rule {} ({})", n + 1, self.describe(n).unwrap_or_default());
        let over = self.rules.iter().enumerate().filter(|(_, rule)| !rule.holds(now));
        let over =
            over.map(|(n, _)| format!("{} is over, and what it excused is put back: take it out", name(n)));
        let unused = self.unused(objects, now).into_iter();
        over.chain(unused.map(|n| format!("{} is about no object that git has", name(n)))).collect()
    }

    /// Tells these rules, as far as they hold now, from others.
    pub fn print(&self, now: Timestamp) -> u64 {
        let holding = self.rules.iter().filter(|rule| rule.holds(now)).count();
        let mut hasher = DefaultHasher::new();
        for decision in self.decisions.iter().filter(|decision| decision.holds(now)) {
            format!("{decision:?}").hash(&mut hasher);
        }
        self.print.wrapping_add(holding as u64).wrapping_add(hasher.finish())
    }

    /// The next end of a rule.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let decided = self.decisions.iter().map(|decision| decision.until);
        self.rules.iter().filter_map(|rule| rule.ends).chain(decided).filter(|end| *end > now).min()
    }
}

/// What is live, under rules: what is theirs is not compared.
pub struct Ruled<'a> {
    pub lookup: &'a dyn Lookup,
    pub rules: &'a Rules,
    pub now: Timestamp,
}

impl Lookup for Ruled<'_> {
    fn live(&self, key: &ObjectKey) -> Option<Arc<Live>> {
        self.lookup.live(key)
    }

    fn known_settled(&self, wanted: &Wanted, live: &Live) -> bool {
        self.lookup.known_settled(wanted, live)
    }

    fn autoscaled(&self, key: &ObjectKey) -> Option<bool> {
        self.lookup.autoscaled(key)
    }

    fn may_ignore(&self, key: &ObjectKey) -> bool {
        self.rules.may_ignore(key, self.now)
    }

    fn ignores(&self, wanted: &Wanted, field: &FieldPath) -> bool {
        self.rules.ignores(wanted, field, self.now)
    }
}

impl CompiledRule {
    fn holds(&self, now: Timestamp) -> bool {
        self.ends.is_none_or(|end| now < end)
    }

    fn is_about(&self, key: &ObjectKey) -> bool {
        let DriftRule { kinds, namespaces, names, .. } = &self.rule;
        let any = |patterns: &[String], fits: &dyn Fn(&str) -> bool| {
            patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern))
        };
        any(kinds, &|kind| pattern::names_kind(kind, key))
            && any(names, &|name| pattern::fits_name(name, &key.name))
            && any(namespaces, &|name| {
                key.namespace.as_deref().is_some_and(|namespace| pattern::fits_name(name, namespace))
            })
    }

    /// Whether its expression holds of an object. Where it gives no answer, the rule is not about that object.
    fn is_when<'a>(&self, value: &dyn Fn() -> &'a Value) -> bool {
        match (&self.rule.when, &self.when) {
            (None, _) => true,
            (Some(_), Some(when)) => when.holds(&Input::new(value())).unwrap_or(false),
            (Some(_), None) => false,
        }
    }

    /// Whether it names a field, or something that the field is part of.
    fn names_field<'a>(&self, value: &dyn Fn() -> &'a Value, field: Option<&FieldPath>) -> bool {
        if self.fields.is_empty() {
            return true;
        }
        let Some(field) = field else { return false };
        self.fields.iter().any(|(text, words)| {
            covers(words, &field.0) || {
                // A number in a pointer is a place in the list as git has it.
                find_field(value(), text).is_some_and(|named| field.0.starts_with(&named.0))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::{Digest, Gvk, Place, TreePath};

    fn deployment() -> Wanted {
        let body = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "annotations": {"example.org/a": "x"}},
            "spec": {"replicas": 3, "template": {"spec": {"containers": [
                {"name": "web", "image": "web:1"}, {"name": "side", "image": "side:1"}]}}},
        });
        let key = ObjectKey::new("apps", "Deployment", Some("web"), "web");
        let gvk = Gvk::from_api_version("apps/v1", "Deployment");
        let place = Place::file(TreePath::root());
        Wanted::stored(key, gvk, place, Digest::from("d"), 0, Vec::new(), body).expect("it has metadata")
    }

    fn rules(rules: Value) -> Rules {
        Rules::new(&serde_json::from_value(json!({"rules": rules})).expect("rules"))
    }

    #[test]
    fn a_rule_names_a_field_by_path_pointer_key_or_wildcard_with_all_below() {
        use DriftPolicy::{Heal, Ignore};
        let wanted = deployment();
        let image = find_field(&wanted.value(), "spec.template.spec.containers[name=side].image").unwrap();
        let replicas = FieldPath::of(&["spec", "replicas"]);
        let note = FieldPath::of(&["metadata", "annotations", "example.org/a"]);
        for (field, of_image, of_replicas, of_note) in [
            ("spec.replicas", Heal, Ignore, Heal),
            ("/spec/replicas", Heal, Ignore, Heal),
            (".spec.replicas", Heal, Ignore, Heal),
            ("spec", Ignore, Ignore, Heal),
            ("spec.template.spec.containers[name=side].image", Ignore, Heal, Heal),
            ("spec.template.spec.containers[side]", Ignore, Heal, Heal),
            ("/spec/template/spec/containers/1/image", Ignore, Heal, Heal),
            ("/spec/template/spec/containers/0/image", Heal, Heal, Heal),
            ("spec.template.spec.containers[*].image", Ignore, Heal, Heal),
            ("metadata.annotations[example.org/a]", Heal, Heal, Ignore),
            ("metadata.annotations.example.org/a", Heal, Heal, Ignore),
            ("/metadata/annotations/example.org~1a", Heal, Heal, Ignore),
            ("spec.replicas.more", Heal, Heal, Heal),
            ("spec.repl", Heal, Heal, Heal),
        ] {
            let rules = rules(json!([{"policy": "ignore", "fields": [field]}]));
            let judged = |field| rules.judge(&wanted, Some(field), Timestamp::UNIX_EPOCH).policy;
            let found = (judged(&image), judged(&replicas), judged(&note));
            assert_eq!(found, (of_image, of_replicas, of_note), "{field}");
            assert_eq!(rules.judge(&wanted, None, Timestamp::UNIX_EPOCH).policy, Heal, "{field}");
        }
    }

    #[test]
    fn a_rule_is_about_the_objects_of_which_its_expression_holds() {
        let ignores = |when: &str| {
            let rules = rules(json!([{"policy": "ignore", "when": when}]));
            rules.judge(&deployment(), None, Timestamp::UNIX_EPOCH).policy == DriftPolicy::Ignore
        };
        assert!(ignores("spec.replicas > 2 && metadata.name.startsWith('we')"));
        assert!(!ignores("spec.replicas > 3"));
        assert!(!ignores("metadata.labels.tier == 'cache'"), "what is not there holds of nothing");
        assert!(!ignores("spec.replicas"), "this is neither true nor false");
        assert!(!ignores("spec.replicas =="), "this was refused where it was read");
    }

    #[test]
    fn what_is_remembered_of_rules_makes_the_same_rules() {
        let said = rules(json!([{"policy": "ignore", "fields": ["spec.replicas"], "reason": "theirs"}]));
        assert_eq!(Rules::remembered(said.said().as_ref()), said);
        assert_eq!(Rules::default().said(), None);
        assert!(Rules::remembered(None).heal_all());
        let newer = json!({"rules": [{"policy": "ask"}]});
        let found = Rules::remembered(Some(&newer)).judge(&deployment(), None, Timestamp::UNIX_EPOCH);
        assert_eq!(found.policy, DriftPolicy::Report, "what cannot be read may be theirs");
    }

    #[test]
    fn rules_that_are_over_or_about_nothing_are_named() {
        let all = rules(json!([
            {"policy": "ignore", "kinds": ["Deployment.apps"], "reason": "theirs"},
            {"policy": "report", "kinds": ["StatefulSet.apps"], "owner": "team-db"},
            {"policy": "report", "when": "spec.replicas == 1000"},
            {"policy": "report", "until": "2026-06-01"},
        ]));
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let objects = [Arc::new(deployment())];
        assert_eq!(all.unused(&objects, now), [1, 2]);
        assert_eq!(
            all.idle(&objects, now),
            [
                "drift rule 4 (report, until: 2026-06-01) is over, and what it excused is put back: take it out",
                "drift rule 2 (report, owner: team-db) is about no object that git has",
                "drift rule 3 (report) is about no object that git has",
            ]
        );
        assert_eq!(all.unused(&[], Timestamp::UNIX_EPOCH), [0, 1, 2, 3]);
    }

    #[test]
    fn what_a_person_decided_goes_before_the_rules_until_it_ends() {
        let wanted = deployment();
        let (now, until): (Timestamp, Timestamp) =
            ("2026-06-01T00:00:00Z".parse().unwrap(), "2026-06-02T00:00:00Z".parse().unwrap());
        let said = rules(json!([{"policy": "report"}]));
        let decision = |policy, field: &str| {
            let by = ("ada".to_owned(), Some("an incident".to_owned()));
            Decision::new(policy, [wanted.key.clone()], field, until, by)
        };
        let replicas = FieldPath::of(&["spec", "replicas"]);
        let image = find_field(&wanted.value(), "spec.template.spec.containers[name=side].image").unwrap();
        let rules = said.deciding(&[
            decision(DriftPolicy::Ignore, "spec.replicas"),
            decision(DriftPolicy::Heal, &image.to_string()),
        ]);
        let judged = |field: Option<&FieldPath>, at| rules.judge(&wanted, field, at);
        assert_eq!(judged(Some(&replicas), now), Verdict { policy: DriftPolicy::Ignore, rule: Some(1) });
        assert_eq!(judged(Some(&image), now), Verdict { policy: DriftPolicy::Heal, rule: Some(2) });
        assert_eq!(judged(None, now).policy, DriftPolicy::Report);
        assert_eq!(judged(Some(&replicas), until).policy, DriftPolicy::Report);
        assert_eq!(rules.describe(1).unwrap(), "ignore, by ada until 2026-06-02T00:00:00Z (an incident)");
        assert!(rules.may_ignore(&wanted.key, now) && !rules.may_ignore(&wanted.key, until));
        assert_eq!(rules.next_end(now), Some(until));
        assert_ne!(rules.print(now), said.print(now));
        assert_eq!(rules.deciding(&[]), said);
        let gone = said.deciding(&[decision(DriftPolicy::Ignore, "")]);
        assert_eq!(gone.judge(&wanted, None, now).policy, DriftPolicy::Ignore);
    }

    #[test]
    fn what_others_add_is_told_where_a_rule_says_so_and_is_theirs_otherwise() {
        let (wanted, now) = (deployment(), Timestamp::UNIX_EPOCH);
        let said = rules(json!([
            {"policy": "ignore", "extra": true, "fields": ["metadata.annotations"], "reason": "anybody's"},
            {"policy": "report", "extra": true, "kinds": ["Deployment.apps"]},
        ]));
        let (note, paused) =
            (FieldPath::of(&["metadata", "annotations", "note"]), FieldPath::of(&["spec", "paused"]));
        assert!(
            said.tells_extra(&wanted, now) && !rules(json!([{"policy": "report"}])).tells_extra(&wanted, now)
        );
        assert_eq!(
            said.judge_extra(&wanted, &note, now),
            Verdict { policy: DriftPolicy::Ignore, rule: Some(0) }
        );
        assert_eq!(
            said.judge_extra(&wanted, &paused, now),
            Verdict { policy: DriftPolicy::Report, rule: Some(1) }
        );
        assert_eq!(Rules::default().judge_extra(&wanted, &paused, now).policy, DriftPolicy::Ignore);
        // What git sets is another matter.
        let replicas = FieldPath::of(&["spec", "replicas"]);
        assert_eq!(
            said.judge(&wanted, Some(&replicas), now),
            Verdict { policy: DriftPolicy::Heal, rule: None }
        );
        assert!(said.heal_all() && !said.may_ignore(&wanted.key, now));
    }

    #[test]
    fn the_first_rule_that_is_about_the_object_and_has_not_ended_counts() {
        let wanted = deployment();
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let judge = |list: Value| {
            let found = rules(list).judge(&wanted, None, now);
            (found.policy.as_str(), found.rule)
        };
        let report = json!({"policy": "report"});
        for (rule, counts) in [
            (json!({"policy": "ignore", "kinds": ["Deployment.apps"]}), true),
            (json!({"policy": "ignore", "kinds": ["Deployment"]}), false),
            (json!({"policy": "ignore", "names": ["we*"], "namespaces": ["web"]}), true),
            (json!({"policy": "ignore", "namespaces": ["other"]}), false),
            (json!({"policy": "ignore", "until": "2026-06-01"}), false),
            (json!({"policy": "ignore", "until": "2026-06-02"}), true),
        ] {
            let expected = if counts { ("ignore", Some(0)) } else { ("report", Some(1)) };
            assert_eq!(judge(json!([rule, report])), expected, "{rule}");
        }
        assert_eq!(judge(json!([])), ("heal", None));
    }
}
