//! Reads the events that EventBridge puts into a queue when a secret has changed.
//!
//! An event is believed to the extent that a name is looked up again, and no further: it carries no version and no value
//! that is used. So a forged, doubled or late one costs a call at most, and a lost one is made up for by the sweep.

use serde::Deserialize;
use serde_json::Value;

use crate::object::secret::{Pick, Provider, SecretId};

/// A secret that somebody says has changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Poke {
    pub provider: Provider,
    /// Its name or its ARN, as the event has it.
    pub name: Box<str>,
}

/// Says that a message is no event that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is no event of EventBridge")]
pub struct Unreadable;

#[derive(Deserialize)]
struct Envelope {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    detail: Value,
    #[serde(default)]
    resources: Vec<String>,
}

/// Calls after which a secret may have another current version, or may exist again, or no longer.
const CHANGES: [&str; 7] = [
    "PutSecretValue",
    "UpdateSecretVersionStage",
    "UpdateSecret",
    "RestoreSecret",
    "DeleteSecret",
    "CreateSecret",
    "ReplicateSecretToRegions",
];
const ROTATIONS: [&str; 2] = ["RotationSucceeded", "RotationFailed"];
/// The longest name that a provider knows, an ARN, in bytes.
const LONGEST_NAME: usize = 2048;
/// An event is about one secret; one that names more than this was not made by AWS.
const MOST_NAMES: usize = 10;

impl Poke {
    /// Reads a message. An event about something else pokes nothing.
    pub fn read(message: &str) -> Result<Vec<Self>, Unreadable> {
        let event: Envelope = serde_json::from_str(message).map_err(|_| Unreadable)?;
        let detail = &event.detail;
        let text = |way: &[&str]| way.iter().try_fold(detail, |at, key| at.get(key)).and_then(Value::as_str);
        let called = text(&["eventName"]).unwrap_or_default();
        // In China "Amazon API Call via CloudTrail".
        let kind = event.detail_type.split_once(' ').map_or("", |(_, rest)| rest);
        let (provider, named) = match (event.source.as_str(), event.detail_type.as_str(), kind) {
            ("aws.secretsmanager", "Secret Label Updated", _) => {
                (Provider::SecretsManager, vec![text(&["name"])])
            }
            ("aws.secretsmanager", _, "API Call via CloudTrail") if CHANGES.contains(&called) => {
                // Some events write `aRN`.
                let named = vec![
                    text(&["responseElements", "arn"]),
                    text(&["responseElements", "aRN"]),
                    text(&["responseElements", "ARN"]),
                    text(&["requestParameters", "secretId"]),
                    text(&["requestParameters", "name"]),
                ];
                (Provider::SecretsManager, named)
            }
            ("aws.secretsmanager", _, "Service Event via CloudTrail") if ROTATIONS.contains(&called) => {
                (Provider::SecretsManager, vec![text(&["additionalEventData", "SecretId"])])
            }
            ("aws.ssm", "Parameter Store Change", _) => (Provider::ParameterStore, vec![text(&["name"])]),
            _ => return Ok(Vec::new()),
        };
        let resources = event.resources.iter().map(String::as_str);
        let mut pokes: Vec<Self> = named
            .into_iter()
            .flatten()
            .chain(resources)
            .filter(|name| is_name(name))
            .take(MOST_NAMES)
            .map(|name| Self { provider, name: name.into() })
            .collect();
        pokes.sort();
        pokes.dedup();
        if pokes.is_empty() { Err(Unreadable) } else { Ok(pokes) }
    }

    /// Tells whether it may be about this secret. It says yes too often rather than too seldom.
    pub fn concerns(&self, secret: &SecretId) -> bool {
        if self.provider != secret.provider {
            return false;
        }
        let poked = SecretId { provider: self.provider, name: self.name.clone(), pick: Pick::Current };
        let (poked, wanted) = (names(&poked), names(secret));
        poked.iter().any(|name| wanted.contains(name))
    }
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-:".contains(c);
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(legal)
}

/// The names that a secret may have. The end of an ARN may be the six characters that Secrets Manager adds, or, where it is
/// written without them, six of the name's own.
fn names(secret: &SecretId) -> [&str; 2] {
    let plain = secret.plain_name();
    let whole = match (secret.provider, secret.name.strip_prefix("arn:")) {
        (Provider::SecretsManager, Some(rest)) => rest.splitn(6, ':').nth(5).unwrap_or(plain),
        _ => plain,
    };
    // A parameter at the top may be written with or without its slash.
    match secret.provider {
        Provider::SecretsManager => [plain, whole],
        Provider::ParameterStore => {
            let bare = plain.strip_prefix('/').filter(|bare| !bare.contains('/')).unwrap_or(plain);
            [bare, bare]
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:us-west-2:123456789012:secret:prod/db-a1B2c3";

    fn read(source: &str, kind: &str, detail: Value, resources: Value) -> Result<String, Unreadable> {
        let event = json!({
            "version": "0", "id": "1", "account": "123456789012", "time": "2026-11-30T00:00:00Z", "region": "us-west-2",
            "source": source, "detail-type": kind, "resources": resources, "detail": detail,
        });
        let pokes = Poke::read(&event.to_string())?;
        let shown: Vec<String> =
            pokes.iter().map(|poke| format!("{}:{}", poke.provider.scheme(), poke.name)).collect();
        Ok(shown.join(" "))
    }

    fn called(name: &str, request: Value, answer: Value) -> Value {
        json!({"eventSource": "secretsmanager.amazonaws.com", "eventName": name, "requestParameters": request,
               "responseElements": answer})
    }

    #[test]
    fn each_event_of_a_change_names_what_changed() {
        let sm = "aws.secretsmanager";
        let (call, service) = ("AWS API Call via CloudTrail", "AWS Service Event via CloudTrail");
        let none = json!([]);
        for (source, kind, detail, resources, wanted) in [
            (
                sm,
                "Secret Label Updated",
                json!({"name": "prod/db", "labelUpdated": "AWSCURRENT", "versionId": "v"}),
                json!([ARN]),
                format!("aws-sm:{ARN} aws-sm:prod/db"),
            ),
            (
                sm,
                call,
                called("PutSecretValue", json!({"secretId": "prod/db"}), json!({"arn": ARN})),
                none.clone(),
                format!("aws-sm:{ARN} aws-sm:prod/db"),
            ),
            (
                sm,
                call,
                called("UpdateSecretVersionStage", json!({"secretId": ARN}), json!({"aRN": ARN})),
                none.clone(),
                format!("aws-sm:{ARN}"),
            ),
            (
                sm,
                call,
                called("CreateSecret", json!({"name": "new"}), Value::Null),
                none.clone(),
                "aws-sm:new".into(),
            ),
            (
                sm,
                "Amazon API Call via CloudTrail",
                called("DeleteSecret", json!({"secretId": "prod/db"}), Value::Null),
                none.clone(),
                "aws-sm:prod/db".into(),
            ),
            (
                sm,
                service,
                json!({"eventName": "RotationSucceeded", "additionalEventData": {"SecretId": ARN}}),
                none.clone(),
                format!("aws-sm:{ARN}"),
            ),
            (
                sm,
                service,
                json!({"eventName": "RotationFailed", "additionalEventData": {"SecretId": ARN}}),
                none.clone(),
                format!("aws-sm:{ARN}"),
            ),
            (
                "aws.ssm",
                "Parameter Store Change",
                json!({"name": "/prod/db", "operation": "Update", "type": "SecureString"}),
                json!(["arn:aws:ssm:us-west-2:123456789012:parameter/prod/db"]),
                "aws-ps:/prod/db aws-ps:arn:aws:ssm:us-west-2:123456789012:parameter/prod/db".into(),
            ),
        ] {
            assert_eq!(read(source, kind, detail.clone(), resources), Ok(wanted), "{kind} {detail}");
        }
    }

    #[test]
    fn an_event_about_something_else_pokes_nothing() {
        let get = called("GetSecretValue", json!({"secretId": "prod/db"}), Value::Null);
        let none = || json!([]);
        assert_eq!(read("aws.secretsmanager", "AWS API Call via CloudTrail", get, none()), Ok(String::new()));
        assert_eq!(read("aws.s3", "Object Created", json!({"name": "x"}), none()), Ok(String::new()));
        let forged = json!({"name": "prod/db"});
        assert_eq!(read("me", "Secret Label Updated", forged, none()), Ok(String::new()));
    }

    #[test]
    fn what_cannot_be_read_is_said_to_be_unreadable() {
        for message in
            ["", "{}", "null", "[]", "hello", r#"{"source": 1}"#, &"[".repeat(10_000), "{\"source\": \"a"]
        {
            assert_eq!(Poke::read(message), Err(Unreadable), "{message:.40}");
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        for name in [json!(null), json!(7), json!(""), json!("a b"), json!("a\nb"), json!(long)] {
            let detail = json!({"name": name});
            let found = read("aws.secretsmanager", "Secret Label Updated", detail, json!([]));
            assert_eq!(found, Err(Unreadable), "{name:.40}");
        }
    }

    #[test]
    fn a_poke_finds_every_way_to_write_its_secret() {
        let ids = |text: &str| crate::object::secret::Reference::parse(text).expect("a reference").secret;
        let poke = |name: &str| Poke { provider: ids(&format!("aws-sm:{name}")).provider, name: name.into() };
        for (poked, reference, wanted) in [
            ("prod/db", "aws-sm:prod/db#password", true),
            ("prod/db", "aws-sm:prod/db@AWSPREVIOUS", true),
            (ARN, "aws-sm:prod/db", true),
            ("prod/db", &format!("aws-sm:{ARN}"), true),
            // A partial ARN whose own last part has six characters.
            (
                "arn:aws:secretsmanager:eu-west-1:1:secret:my-secret-a1B2c3",
                "aws-sm:arn:aws:secretsmanager:eu-west-1:1:secret:my-secret",
                true,
            ),
            ("my-secret", "aws-sm:arn:aws:secretsmanager:eu-west-1:1:secret:my-secret", true),
            ("prod/other", "aws-sm:prod/db", false),
            ("prod/db", "aws-ps:prod/db", false),
        ] {
            assert_eq!(poke(poked).concerns(&ids(reference)), wanted, "{poked} {reference}");
        }
        let parameter = Poke { provider: Provider::ParameterStore, name: "db".into() };
        assert!(parameter.concerns(&ids("aws-ps:/db")));
        assert!(parameter.concerns(&ids("aws-ps:arn:aws:ssm:eu-west-1:1:parameter/db")));
        assert!(!parameter.concerns(&ids("aws-ps:/a/db")));
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_makes_it_fall(message in "\\PC{0,60}") {
            let _ = Poke::read(&message);
        }
    }
}
