//! Where a secret is: its region, the ARN pattern that a policy would name, and whether an answer is about it.

use crate::object::secret::{Provider, SecretId};

/// The region that an ARN names. A replica has an ARN of its own region, and is read there.
pub(super) fn region_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("arn:")?;
    rest.split(':').nth(2).filter(|region| !region.is_empty())
}

/// The account that an ARN names.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(3).filter(|account| !account.is_empty())
}

fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ if region.starts_with("eusc-") => "aws-eusc",
        _ if region.starts_with("us-isob-") => "aws-iso-b",
        _ if region.starts_with("us-iso-") => "aws-iso",
        _ => "aws",
    }
}

/// The narrowest resource of a policy that covers a secret.
pub(super) fn pattern(secret: &SecretId, region: &str, account: Option<&str>) -> Box<str> {
    let account = account.unwrap_or("*");
    let partition = partition(region);
    let pattern = match (secret.provider, secret.name.starts_with("arn:")) {
        (Provider::SecretsManager, true) => secret.name.to_string(),
        // Secrets Manager adds six characters of chance.
        (Provider::SecretsManager, false) => {
            format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{}-??????", secret.name)
        }
        (Provider::ParameterStore, true) => secret.name.to_string(),
        (Provider::ParameterStore, false) => {
            let name = secret.name.trim_start_matches('/');
            format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}")
        }
    };
    pattern.into()
}

/// The ARN of the queue of a URL such as `https://sqs.eu-west-1.amazonaws.com/123456789012/name`.
pub(super) fn queue_pattern(url: &str, region: &str) -> Box<str> {
    let mut parts = url.trim_end_matches('/').rsplit('/');
    let (name, account) = (parts.next().unwrap_or("*"), parts.next().unwrap_or("*"));
    let account = if account.bytes().all(|byte| byte.is_ascii_digit()) { account } else { "*" };
    format!("arn:{}:sqs:{region}:{account}:{name}", partition(region)).into()
}

/// The region that the URL of a queue names.
pub(super) fn queue_region(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split('/').next()?;
    let mut labels = host.split('.');
    match (labels.next()?, labels.next()?) {
        ("sqs", region) => Some(region),
        // The names of before 2014.
        (region, "queue") => Some(region),
        _ => None,
    }
}

/// Tells whether what bears this name and this ARN is what was asked for by a name, an ARN, or an ARN without the six
/// characters at its end.
pub(super) fn is_it(asked: &str, name: Option<&str>, arn: Option<&str>) -> bool {
    if Some(asked) == name || Some(asked) == arn {
        return true;
    }
    let rest = arn.and_then(|arn| arn.strip_prefix(asked));
    asked.starts_with("arn:")
        && rest.and_then(|rest| rest.strip_prefix('-')).is_some_and(|random| random.len() == 6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::secret::Pick;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b-AbCdEf";

    fn secret(provider: Provider, name: &str) -> SecretId {
        SecretId { provider, name: name.into(), pick: Pick::Current }
    }

    #[test]
    fn a_policy_is_told_the_narrowest_resource() {
        let sm = |name: &str, region: &str, account| {
            pattern(&secret(Provider::SecretsManager, name), region, account)
        };
        assert_eq!(
            &*sm("a/b", "eu-west-1", Some("1")),
            "arn:aws:secretsmanager:eu-west-1:1:secret:a/b-??????"
        );
        assert_eq!(&*sm("a", "cn-north-1", None), "arn:aws-cn:secretsmanager:cn-north-1:*:secret:a-??????");
        assert_eq!(&*sm(ARN, "eu-west-1", None), ARN);
        let ps = pattern(&secret(Provider::ParameterStore, "/a/b"), "eu-west-1", Some("1"));
        assert_eq!(&*ps, "arn:aws:ssm:eu-west-1:1:parameter/a/b");
        let queue = queue_pattern("https://sqs.eu-west-1.amazonaws.com/123456789012/news", "eu-west-1");
        assert_eq!(&*queue, "arn:aws:sqs:eu-west-1:123456789012:news");
    }

    #[test]
    fn regions_are_read_where_they_stand() {
        assert_eq!(region_of(ARN), Some("eu-west-1"));
        assert_eq!(region_of("a/b"), None);
        assert_eq!(account_of("arn:aws:iam::123456789012:role/x"), Some("123456789012"));
        assert_eq!(queue_region("https://sqs.eu-west-1.amazonaws.com/1/n"), Some("eu-west-1"));
        assert_eq!(queue_region("https://eu-west-1.queue.amazonaws.com/1/n"), Some("eu-west-1"));
        assert_eq!(queue_region("http://127.0.0.1:5000/1/n"), None);
    }

    #[test]
    fn an_answer_is_taken_by_name_or_arn_alone() {
        for (asked, wanted) in [
            ("a/b", true),
            (ARN, true),
            ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b", true),
            ("a", false),
            ("a/b-AbCdEf", false),
            ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:a", false),
            ("arn:aws:secretsmanager:us-east-1:123456789012:secret:a/b-AbCdEf", false),
        ] {
            assert_eq!(is_it(asked, Some("a/b"), Some(ARN)), wanted, "{asked}");
        }
        assert!(!is_it("a/b", None, None));
    }
}
