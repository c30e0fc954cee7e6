//! Checks of Secrets that have a type, before anything is written: what a consumer would only say when it cannot start.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

type Data<'a> = BTreeMap<&'a str, Zeroizing<Vec<u8>>>;

/// A certificate is warned of so many seconds before its end: 21 days.
pub(super) const EXPIRES_SOON: i64 = 21 * 24 * 3600;

/// Checks the content of a Secret against its type.
pub(super) fn check(kind: &str, data: &Data<'_>, now: Timestamp) -> Result<(), String> {
    match kind {
        "kubernetes.io/tls" => tls(data, now),
        "kubernetes.io/dockerconfigjson" => docker(data),
        "kubernetes.io/basic-auth" => basic_auth(data),
        "kubernetes.io/ssh-auth" => ssh_auth(data),
        _ => Ok(()),
    }
}

/// When the first certificate of a TLS Secret ends, in seconds of the epoch.
pub(super) fn expiry(data: &Data<'_>) -> Option<i64> {
    let first = CertificateDer::from_pem_slice(data.get("tls.crt")?).ok()?;
    let (_, certificate) = X509Certificate::from_der(&first).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn get<'a>(data: &'a Data<'_>, key: &str) -> Result<&'a [u8], String> {
    match data.get(key) {
        None => Err(format!("the key {key} is missing")),
        Some(value) if value.is_empty() => Err(format!("{key} is empty")),
        Some(value) => Ok(value.as_slice()),
    }
}

fn tls(data: &Data<'_>, now: Timestamp) -> Result<(), String> {
    let (chain, key) = (get(data, "tls.crt")?, get(data, "tls.key")?);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| "tls.crt is not PEM".to_owned())?;
    if chain.is_empty() {
        return Err("tls.crt holds no certificate".to_owned());
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| "tls.key holds no private key in PEM".to_owned())?;
    let mut parsed = Vec::new();
    for (n, der) in chain.iter().enumerate() {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|_| format!("certificate {} of tls.crt cannot be read", n + 1))?;
        parsed.push(certificate);
    }
    for (n, pair) in parsed.windows(2).enumerate() {
        if let [one, issuer] = pair
            && one.issuer() != issuer.subject()
        {
            return Err(format!(
                "certificate {} of tls.crt was not issued by the one behind it: the chain is out of order",
                n + 1
            ));
        }
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let loaded = provider.key_provider.load_private_key(key);
    let signing = loaded.map_err(|_| "tls.key is of a kind that cannot be used".to_owned())?;
    let first = parsed.first().map(|first| first.public_key().raw);
    let is_other = |known: rustls::pki_types::SubjectPublicKeyInfoDer<'_>| first != Some(known.as_ref());
    if signing.public_key().is_some_and(is_other) {
        return Err("tls.key is not the key of the first certificate of tls.crt".to_owned());
    }
    let validity = parsed.first().map(|first| first.validity().clone());
    if validity.is_some_and(|validity| validity.not_after.timestamp() <= now.as_second()) {
        return Err("the first certificate of tls.crt has expired".to_owned());
    }
    Ok(())
}

#[derive(Deserialize)]
struct DockerConfig<'a> {
    #[serde(borrow)]
    auths: BTreeMap<String, DockerAuth<'a>>,
}

#[derive(Deserialize)]
struct DockerAuth<'a> {
    #[serde(borrow)]
    auth: Option<&'a RawValue>,
    username: Option<IgnoredAny>,
    password: Option<IgnoredAny>,
    #[serde(rename = "identitytoken")]
    token: Option<IgnoredAny>,
}

fn docker(data: &Data<'_>) -> Result<(), String> {
    const KEY: &str = ".dockerconfigjson";
    let config: DockerConfig = serde_json::from_slice(get(data, KEY)?)
        .map_err(|_| format!("{KEY} is not the JSON of a Docker configuration with `auths`"))?;
    if config.auths.is_empty() {
        return Err(format!("{KEY} names no registry"));
    }
    for (n, auth) in config.auths.values().enumerate() {
        // base64 has nothing that JSON would escape.
        let is_pair = |auth: &RawValue| {
            let text = auth.get().trim_matches('"');
            STANDARD.decode(text).is_ok_and(|bytes| Zeroizing::new(bytes).contains(&b':'))
        };
        let has_pair = auth.username.is_some() && auth.password.is_some();
        match auth.auth {
            Some(auth) if !is_pair(auth) => {
                return Err(format!("`auth` of registry {} of {KEY} is not base64 of user:password", n + 1));
            }
            None if !has_pair && auth.token.is_none() => {
                return Err(format!("registry {} of {KEY} has no credentials", n + 1));
            }
            _ => {}
        }
    }
    Ok(())
}

fn basic_auth(data: &Data<'_>) -> Result<(), String> {
    match (get(data, "username"), get(data, "password")) {
        (Err(why), Err(_)) => Err(why),
        _ => Ok(()),
    }
}

fn ssh_auth(data: &Data<'_>) -> Result<(), String> {
    const KEY: &str = "ssh-privatekey";
    let key = std::str::from_utf8(get(data, KEY)?).map_err(|_| format!("{KEY} is not text"))?;
    let begins = key.trim_start().starts_with("-----BEGIN ") && key.contains("PRIVATE KEY-----");
    let ends = key.trim_end().ends_with("PRIVATE KEY-----") && key.matches("-----END ").count() == 1;
    // OpenSSH refuses a key whose last line has no end.
    match (begins && ends, key.ends_with('\n')) {
        (false, _) => Err(format!("{KEY} holds no private key in PEM")),
        (true, false) => Err(format!("{KEY} does not end with a line break, and OpenSSH refuses such a key")),
        (true, true) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
