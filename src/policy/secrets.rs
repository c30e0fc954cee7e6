//! Which secrets an environment may read: those that its Environment names.

use crate::object::secret::{Provider, Sealed, SecretId};
use crate::object::{Manifest, Problem};

/// Whether one of these patterns names a secret. A pattern is a name, or the beginning of one and `*`; one of another provider
/// than Secrets Manager begins with its scheme (`aws-ps:/notejam/*`). An ARN is named by an ARN, or by the name in it.
pub fn may_read(patterns: &[String], secret: &SecretId) -> bool {
    let fits = |name: &str| patterns.iter().any(|pattern| is_named(pattern, secret.provider, name));
    if fits(&secret.name) {
        return true;
    }
    // What follows the last `-` of an ARN may be six characters that Secrets Manager added, or the end of the name: it is
    // named only where both are.
    secret.name.starts_with("arn:") && fits(secret.plain_name()) && fits(name_in_arn(secret))
}

fn name_in_arn(secret: &SecretId) -> &str {
    match secret.provider {
        Provider::SecretsManager => secret.name.splitn(7, ':').nth(6).unwrap_or(&secret.name),
        Provider::ParameterStore => secret.plain_name(),
    }
}

fn is_named(pattern: &str, provider: Provider, name: &str) -> bool {
    let of = Provider::ALL.into_iter().find_map(|of| {
        let rest = pattern.strip_prefix(of.scheme())?.strip_prefix(':')?;
        Some((of, rest))
    });
    let (of, pattern) = of.unwrap_or((Provider::SecretsManager, pattern));
    of == provider
        && match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == pattern,
        }
}

/// What an app refers to and its environment may not read, at the Secret that does.
pub fn refused(objects: &[Manifest], patterns: &[String], environment: &str) -> Vec<Problem> {
    let secrets = objects.iter().filter(|object| object.is_secret());
    let mut found = Vec::new();
    for object in secrets {
        let mut value = object.value();
        let Some(sealed) = value.as_object_mut().and_then(|root| Sealed::seal(root).ok()).flatten() else {
            continue; // What cannot be read is told when it is stamped.
        };
        for secret in sealed.secrets().into_iter().filter(|secret| !may_read(patterns, secret)) {
            let message = format!(
                "{} refers to {secret}, which the Environment {environment} may not read",
                object.key()
            );
            let problem = Problem::at(object.origin.place.clone(), message);
            found.push(problem.hint("spec.secrets of the Environment names what it may read"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::secret::Reference;

    fn may(patterns: &[&str], text: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        may_read(&patterns, &Reference::parse(text).expect("a reference").secret)
    }

    #[test]
    fn a_secret_is_read_where_a_pattern_names_it() {
        assert!(may(&["notejam/*"], "aws-sm:notejam/production/db"));
        assert!(may(&["notejam/db"], "aws-sm:notejam/db#key@AWSPREVIOUS"));
        assert!(may(&["aws-sm:notejam/db"], "aws-sm:notejam/db"));
        for (patterns, text) in [
            (&[][..], "aws-sm:notejam/db"),
            (&["notejam/db"], "aws-sm:notejam/db2"),
            (&["notejam/*"], "aws-sm:notejam"),
            (&["*"], "aws-ps:/notejam/db"),
            (&["aws-ps:*"], "aws-sm:notejam/db"),
        ] {
            assert!(!may(patterns, text), "{patterns:?} {text}");
        }
        assert!(may(&["aws-ps:/notejam/*"], "aws-ps:/notejam/db"));
    }

    #[test]
    fn an_arn_names_no_other_secret() {
        let arn = |name: &str| format!("aws-sm:arn:aws:secretsmanager:eu-west-1:1:secret:{name}");
        assert!(may(&["notejam/*"], &arn("notejam/db-AbCdEf")));
        assert!(may(&["arn:aws:secretsmanager:eu-west-1:1:secret:notejam/*"], &arn("notejam/db-AbCdEf")));
        // `db-secret` may be a secret of that name, and not `db` with six characters behind it.
        assert!(!may(&["db"], &arn("db-secret")));
        assert!(!may(&["other/*"], &arn("notejam/db-AbCdEf")));
    }
}
