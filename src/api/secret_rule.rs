//! What a team says of its secrets: whether an old version still works once there is a newer one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::Problem;
use crate::object::pattern::fits_name;
use crate::object::secret::SecretId;

/// What holds for the secrets of some names. The first rule that names a secret counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRule {
    /// A name, or the beginning of one and `*`; of a parameter with `aws-ps:` before it.
    pub name: String,
    pub strategy: Strategy,
    /// What becomes of an app that fails with a newer version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_rotation_failure: Option<OnRotationFailure>,
}

/// Whether the version before the newest works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// It does, until the next rotation: of two users one is changed at a time.
    Alternating,
    /// It does not: there is one user, whose password has changed.
    #[default]
    Single,
}

/// What becomes of an app that fails with a newer version of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnRotationFailure {
    /// It goes back to the version before.
    Previous,
    /// It stays as it is, and a person looks.
    Pause,
}

impl SecretRule {
    fn names(&self, secret: &SecretId) -> bool {
        let scheme = format!("{}:", secret.provider.scheme());
        let (provider, pattern) = match self.name.split_once(':') {
            Some((scheme, rest)) if scheme.starts_with("aws-") => (format!("{scheme}:"), rest),
            _ => ("aws-sm:".to_owned(), self.name.as_str()),
        };
        let fits = |name: &str| fits_name(pattern, name);
        provider == scheme && (fits(secret.plain_name()) || fits(&secret.name))
    }

    /// What is wrong with it, at which of its fields.
    pub fn check(&self) -> Option<(&'static str, Problem)> {
        if self.name.is_empty() {
            return Some(("/name", Problem::new("the name is empty: write one, or `*` for all")));
        }
        let goes_back = self.on_rotation_failure == Some(OnRotationFailure::Previous);
        (self.strategy == Strategy::Single && goes_back).then(|| {
            let problem = Problem::new(
                "`onRotationFailure: previous` goes with `strategy: alternating`: of a single user the old password does not \
                 work any more",
            );
            ("/onRotationFailure", problem.hint("write `pause`, or leave it out"))
        })
    }
}

/// What holds for a secret.
pub fn strategy_of(rules: &[SecretRule], secret: &SecretId) -> (Strategy, OnRotationFailure) {
    let rule = rules.iter().find(|rule| rule.names(secret));
    let strategy = rule.map_or_else(Strategy::default, |rule| rule.strategy);
    let usual = match strategy {
        Strategy::Alternating => OnRotationFailure::Previous,
        Strategy::Single => OnRotationFailure::Pause,
    };
    (strategy, rule.and_then(|rule| rule.on_rotation_failure).unwrap_or(usual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::secret::Reference;

    #[test]
    fn the_first_rule_that_names_a_secret_counts() {
        let rule =
            |name: &str, strategy| SecretRule { name: name.into(), strategy, on_rotation_failure: None };
        let rules = [
            rule("db/main", Strategy::Single),
            rule("db/*", Strategy::Alternating),
            rule("aws-ps:*", Strategy::Alternating),
        ];
        let of = |text: &str| strategy_of(&rules, &Reference::parse(text).expect("a reference").secret).0;
        assert_eq!(of("aws-sm:db/main"), Strategy::Single);
        assert_eq!(of("aws-sm:db/other#key"), Strategy::Alternating);
        assert_eq!(of("aws-sm:other"), Strategy::Single, "where nobody says, the old one is not counted on");
        assert_eq!(of("aws-ps:/other"), Strategy::Alternating);
    }

    #[test]
    fn who_has_one_user_cannot_go_back() {
        let rule: SecretRule = serde_json::from_value(
            serde_json::json!({"name": "db", "strategy": "single", "onRotationFailure": "previous"}),
        )
        .expect("it can be read");
        assert_eq!(rule.check().map(|(at, _)| at), Some("/onRotationFailure"));
    }
}
