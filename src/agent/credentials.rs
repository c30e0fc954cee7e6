//! What an Environment's Secret says about how its remote is reached.

use super::Context;
use super::environment::trouble;
use crate::api::SourceSpec;
use crate::git::{Credentials, Remote};
use crate::object::chain;
use crate::report::Trouble;

/// Makes of a source the remote that git is asked at.
pub(super) async fn remote(context: &Context, spec: &SourceSpec) -> Result<Remote, Trouble> {
    let (credentials, ca) = credentials(context, spec).await?;
    let remote = Remote::new(&spec.url, credentials)
        .map_err(|error| trouble(error.reason(), &chain(&error), false))?;
    Ok(match ca {
        Some(pem) => remote.ca(pem),
        None => remote,
    })
}

/// What the remote is opened with, and the certificates that its own has to lead to.
async fn credentials(context: &Context, spec: &SourceSpec) -> Result<(Credentials, Option<String>), Trouble> {
    let Some(name) = &spec.secret_ref else { return Ok((Credentials::None, None)) };
    let namespace = &context.own.namespace;
    let secret = match context.environments.secret(namespace, &name.0).await {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            return Err(trouble(
                "NoCredentials",
                &format!("there is no Secret {namespace}/{}", name.0),
                true,
            ));
        }
        Err(error) => {
            let why = chain(&error);
            return Err(trouble(
                "NoCredentials",
                &format!("the Secret {namespace}/{} cannot be read: {why}", name.0),
                true,
            ));
        }
    };
    let field = |key: &str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .map(|value| String::from_utf8_lossy(&value.0).into_owned())
    };
    if let Some(private_key) = field("identity").or_else(|| field("ssh-privatekey")) {
        let Some(known_hosts) = field("known_hosts") else {
            let message = format!("the Secret {namespace}/{} has a key but no known_hosts", name.0);
            return Err(trouble("NoCredentials", &message, true));
        };
        let key = Credentials::Ssh { private_key, passphrase: field("passphrase"), known_hosts };
        return Ok((key, None));
    }
    let ca = field("ca.crt");
    match field("password").or_else(|| field("token")) {
        Some(token) => {
            let username = field("username").unwrap_or_else(|| "git".to_owned());
            Ok((Credentials::Token { username, token }, ca))
        }
        None if ca.is_some() => Ok((Credentials::None, ca)),
        None => {
            let message = format!(
                "the Secret {namespace}/{} has none of `password`, `identity` with `known_hosts`, and `ca.crt`",
                name.0
            );
            Err(trouble("NoCredentials", &message, true))
        }
    }
}
