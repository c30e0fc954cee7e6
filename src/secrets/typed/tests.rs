use jiff::SignedDuration;

use super::*;

const LEAF: &str = include_str!("fixtures/leaf.crt");
const CA: &str = include_str!("fixtures/ca.crt");
const KEY: &str = include_str!("fixtures/leaf.key");
const OTHER_KEY: &str = include_str!("fixtures/other.key");
/// It ended a day after it was made, in November 2026.
const SHORT: &str = include_str!("fixtures/short.crt");

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn checked(kind: &str, data: &[(&'static str, &str)]) -> Result<(), String> {
    let data: Data =
        data.iter().map(|(key, value)| (*key, Zeroizing::new(value.as_bytes().to_vec()))).collect();
    let result = check(&format!("kubernetes.io/{kind}"), &data, at("2027-06-01T00:00:00Z"));
    if let Err(why) = &result {
        for (key, value) in &data {
            let value = String::from_utf8_lossy(value);
            assert!(value.len() < 4 || !why.contains(&*value), "{key}: {why}");
        }
    }
    result
}

fn refused(kind: &str, data: &[(&'static str, &str)], with: &str) {
    let why = checked(kind, data).expect_err(with);
    assert!(why.contains(with), "{why}");
}

#[test]
fn a_certificate_comes_with_its_chain_and_its_key() {
    let tls = |crt: &str, key: &str, with: &str| refused("tls", &[("tls.crt", crt), ("tls.key", key)], with);
    let chain = format!("{LEAF}{CA}");
    assert_eq!(checked("tls", &[("tls.crt", &chain), ("tls.key", KEY)]), Ok(()));
    assert_eq!(checked("tls", &[("tls.crt", LEAF), ("tls.key", KEY), ("ca.crt", "x")]), Ok(()));
    tls(LEAF, OTHER_KEY, "tls.key is not the key of the first certificate");
    tls(&format!("{CA}{LEAF}"), KEY, "the chain is out of order");
    tls("hidden", KEY, "tls.crt holds no certificate");
    tls(&LEAF.replace("MII", "!!!"), KEY, "tls.crt");
    tls(LEAF, "hidden", "tls.key holds no private key");
    tls(SHORT, KEY, "has expired");
    refused("tls", &[("tls.key", KEY)], "the key tls.crt is missing");
    refused("tls", &[("tls.crt", LEAF), ("tls.key", "")], "tls.key is empty");
}

#[test]
fn the_end_of_a_certificate_is_known() {
    let data: Data = [("tls.crt", Zeroizing::new(SHORT.as_bytes().to_vec()))].into();
    let end = Timestamp::from_second(expiry(&data).expect("it has one")).expect("a time");
    let made = at("2026-11-30T00:00:00Z");
    assert!(end > made && end < made + SignedDuration::from_hours(48), "{end}");
}

#[test]
fn a_docker_configuration_names_registries_with_credentials() {
    const KEY: &str = ".dockerconfigjson";
    let good = [
        r#"{"auths": {"r.example": {"auth": "dXNlcjpwYXNz"}}}"#,
        r#"{"auths": {"r.example": {"username": "user", "password": "hidden"}}}"#,
        r#"{"auths": {"r.example": {"identitytoken": "hidden"}}, "credHelpers": {}}"#,
    ];
    for config in good {
        assert_eq!(checked("dockerconfigjson", &[(KEY, config)]), Ok(()), "{config}");
    }
    for (config, with) in [
        ("hidden", "is not the JSON"),
        ("[]", "is not the JSON"),
        (r#"{"auths": {}}"#, "names no registry"),
        (r#"{"auths": {"r.example": {"auth": "hidden"}}}"#, "`auth` of registry 1"),
        (
            r#"{"auths": {"r.example": {"username": "user"}}}"#,
            "registry 1 of .dockerconfigjson has no credentials",
        ),
    ] {
        refused("dockerconfigjson", &[(KEY, config)], with);
    }
    refused("dockerconfigjson", &[("config.json", "{}")], "the key .dockerconfigjson is missing");
}

#[test]
fn other_types_have_what_they_are_read_for() {
    assert_eq!(checked("basic-auth", &[("password", "hidden")]), Ok(()));
    refused("basic-auth", &[("user", "hidden")], "the key username is missing");
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
    assert_eq!(checked("ssh-auth", &[("ssh-privatekey", &format!("{key}\n"))]), Ok(()));
    refused("ssh-auth", &[("ssh-privatekey", key)], "does not end with a line break");
    refused("ssh-auth", &[("ssh-privatekey", "ssh-ed25519 hidden")], "holds no private key");
    assert_eq!(checked("Opaque", &[]), Ok(()));
}
