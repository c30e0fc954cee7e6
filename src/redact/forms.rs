//! Takes out of a text what looks like a secret. An application that cannot start may print what it was given, and whoever
//! reads its last words does not know that value: all that can be known is its form.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::HIDDEN;

/// A name that says that what follows is secret: `DB_PASSWORD=`, `"apiKey": "`, `--token `.
const NAMES: &str = r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|account[_-]?key|shared[_-]?access[_-]?key|signing[_-]?key|encryption[_-]?key|client[_-]?secret|credentials?|authorization|cookie|session[_-]?id|sig|signature|otp|pin[_-]?code|dsn|connection[_-]?string";

/// Forms that are secret whatever stands around them.
const FORMS: [&str; 9] = [
    // A key in PEM; lines may have been joined.
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)",
    // A JSON web token.
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*",
    // Keys of AWS, GitHub, GitLab, Slack, Google, Stripe, npm and others, which say whose they are.
    r"\b(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{12,}\b",
    r"\b(?:gh[pousr]_|github_pat_|glpat-|gldt-|npm_|pypi-|dop_v1_|shpat_|hvs\.|hvb\.|dckr_pat_)[A-Za-z0-9_.-]{16,}",
    r"\bxox[a-z]-[A-Za-z0-9-]{8,}",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\b(?:(?:sk|pk|rk)_(?:live|test)_|whsec_|sk-proj-|sk-ant-)[A-Za-z0-9_-]{16,}|\bsk-[A-Za-z0-9]{32,}",
    // Hashes of passwords.
    r"\$(?:2[abxy]?|5|6|argon2(?:id|i|d)|pbkdf2[a-z0-9-]*|scrypt|y)\$[./A-Za-z0-9$=,+-]{16,}",
    // Sealed by age, or by PGP.
    r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}",
];

/// What is said of a secret, and is none: `the password is wrong`, `token: invalid`.
const SAID: [&str; 38] = [
    "wrong",
    "not",
    "missing",
    "invalid",
    "expired",
    "required",
    "empty",
    "too",
    "incorrect",
    "unset",
    "undefined",
    "null",
    "nil",
    "none",
    "set",
    "no",
    "malformed",
    "unknown",
    "denied",
    "rejected",
    "stale",
    "revoked",
    "weak",
    "being",
    "a",
    "an",
    "the",
    "unexpected",
    "expected",
    "must",
    "cannot",
    "could",
    "failed",
    "true",
    "false",
    "unauthorized",
    "mismatch",
    "only",
];

static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    // The value ends with its quotation mark, or where a bare word ends.
    let value = r#""(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s"',;&|}\])]+"#;
    let name =
        format!(r#"(?:\b|[A-Za-z0-9]+[_.-]|[a-z0-9])(?:{NAMES})(?:[_-]?(?:file|hash|value|base64))?["']?"#);
    let between = r"\s*(?:=>|:=|=|:)\s*|\s+(?:is|was)\s+";
    regex(&format!(r"(?i)({name})({between})((?:bearer|basic|digest|negotiate)\s+)?({value})"))
});
/// `--password swordfish`: what is no sentence.
static FLAG: LazyLock<Regex> =
    LazyLock::new(|| regex(&format!(r#"(?i)(--?[a-z0-9_-]*(?:{NAMES})[= ])("[^"]*"?|'[^']*'?|[^\s"']+)"#)));
/// `https://user:password@host`, and what has a password without a user.
static USERINFO: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\b([a-z][a-z0-9+.-]*://)([^\s/?#@:]*):?[^\s/?#]*@"));
/// `user:password@tcp(host)`, as Go's driver for MySQL has it, and `user/password@host`, as Oracle's.
static BARE_USERINFO: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(^|[\s'\x22(=])([A-Za-z0-9_.-]+)[:/]([^\s:/@]{1,128})@((?:tcp|unix)\(|//|[a-z0-9.-]+[:/])")
});
static SCHEME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\b(bearer|basic|digest|negotiate)\s+([A-Za-z0-9+/_.=~-]{8,})"));
static ANY_FORM: LazyLock<Regex> = LazyLock::new(|| regex(&format!("(?s){}", FORMS.join("|"))));
/// What may be the coded form of something. Whether it is, is asked of what it is made of.
static CODED: LazyLock<Regex> = LazyLock::new(|| regex(r"(sha(?:1|256|384|512)[:-])?[A-Za-z0-9+/_=-]{32,}"));

fn regex(pattern: &str) -> Regex {
    // A pattern of ours that cannot be compiled is found by the tests of this file.
    Regex::new(pattern).unwrap_or_else(|error| panic!("{error}"))
}

/// The same text with `(hidden)` in place of all that has the form of a secret.
pub fn mask(text: &str) -> String {
    let text = ANY_FORM.replace_all(text, HIDDEN);
    let text = USERINFO.replace_all(&text, format!("${{1}}${{2}}:{HIDDEN}@").as_str());
    let text = BARE_USERINFO.replace_all(&text, format!("${{1}}${{2}}:{HIDDEN}@${{4}}").as_str());
    let text = SCHEME.replace_all(&text, |found: &Captures<'_>| {
        // `basic auth`, `bearer token`: words.
        match found[2].chars().any(|sign| sign.is_ascii_digit() || sign.is_ascii_uppercase() || sign == '=') {
            true => format!("{} {HIDDEN}", &found[1]),
            false => found[0].to_owned(),
        }
    });
    let text = ASSIGNED.replace_all(&text, |found: &Captures<'_>| match &found[4] {
        word if SAID.contains(&word.to_ascii_lowercase().as_str()) => found[0].to_owned(),
        // `token: (hidden)`, and `authorization: Basic (hidden)`.
        value if HIDDEN.starts_with(value) => found[0].to_owned(),
        _ => {
            format!("{}{}{}{HIDDEN}", &found[1], &found[2], found.get(3).map_or("", |scheme| scheme.as_str()))
        }
    });
    let text = FLAG.replace_all(&text, |found: &Captures<'_>| match &found[2] {
        value if HIDDEN.starts_with(value) => found[0].to_owned(),
        _ => format!("{}{HIDDEN}", &found[1]),
    });
    let text = CODED.replace_all(&text, |found: &Captures<'_>| {
        match is_coded(&found[0]) && found.get(1).is_none() {
            true => HIDDEN.to_owned(),
            false => found[0].to_owned(),
        }
    });
    text.into_owned()
}

/// Whether a long word is what a machine made: of a path, a name or a sentence with underscores it is not.
fn is_coded(word: &str) -> bool {
    let count = |is: fn(&char) -> bool| word.chars().filter(is).count();
    let (upper, lower) = (count(char::is_ascii_uppercase), count(char::is_ascii_lowercase));
    let (digits, hex) = (count(char::is_ascii_digit), count(char::is_ascii_hexdigit));
    let apart = count(|sign| matches!(sign, '/' | '_' | '-'));
    // A UUID names something; it opens nothing.
    let is_uuid = word.len() == 36 && apart == 4 && hex == 32;
    if is_uuid {
        return false;
    }
    if hex == word.len() {
        return digits >= 4 && hex - digits >= 4;
    }
    apart * 10 <= word.len() && digits >= 3 && upper >= 3 && lower >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is secret in each of these is the word `swordfish`, or ends in it.
    #[test]
    fn what_has_the_form_of_a_secret_is_hidden() {
        for said in [
            "cannot connect to postgres://app:swordfish@db:5432/app?sslmode=require",
            "redis://:swordfish@cache:6379",
            "amqp://guest:p@ss:swordfish@mq/vhost",
            "password=swordfish",
            "DB_PASSWORD=swordfish",
            "PGPASSWORD: swordfish",
            "spring.datasource.password = 'sword swordfish'",
            r#"{"user": "app", "password": "a \" swordfish"}"#,
            "Server=db;Uid=app;Pwd=swordfish;Database=app",
            "Password=swordfish;",
            "AccountKey=swordfish==",
            "client_secret=swordfish&grant_type=code",
            "the password is swordfish",
            "Authorization: Bearer swordfish1",
            "authorization: Basic YXBwOnN3b3JkZmlzaA==swordfish",
            "sent bearer abc123.swordfish",
            "mysqld --user app --password swordfish --port 3306",
            "tool -token=swordfish",
            "app:swordfish@tcp(db:3306)/app",
            "scott/swordfish@db.example:1521/orcl",
            "X-Api-Key: swordfish",
            "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=swordfish&x=1",
            "Set-Cookie: id=1swordfish",
            "secret: \"swordfish",
            "apiKey => 'swordfish'",
            "-----BEGIN RSA PRIVATE KEY----- | MIIEow swordfish | -----END RSA PRIVATE KEY-----",
            "-----BEGIN OPENSSH PRIVATE KEY----- | cut off: swordfish",
        ] {
            let told = mask(said);
            assert!(!told.contains("swordfish") && told.contains(HIDDEN), "{said}: {told}");
        }
        for secret in [
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "xoxb-123456789012-abcdefABCDEF",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1234",
            "c3VwZXJzZWNyZXRwYXNzd29yZDEyMzQ1Njc4OTA0",
            "9f86d081884c7d659a2feaa0c55ad015",
            "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW",
            "sk-proj-abcDEF123456abcDEF123456",
        ] {
            let told = mask(&format!("it was given {secret} and ended"));
            assert_eq!(told, format!("it was given {HIDDEN} and ended"), "{secret}");
        }
    }

    #[test]
    fn what_helps_to_find_a_fault_stays() {
        for said in [
            "cannot open the database",
            "column users.name is gone",
            "image ghcr.io/example/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 not found",
            "pod web-7d9f8b6c5d-abcde (main) CrashLoopBackOff, 4 restarts",
            "at Module._compile (/usr/src/app/node_modules/express/lib/router/layer.js:95:5)",
            "connect ECONNREFUSED 10.96.0.12:5432",
            "uid 3f2504e0-4f89-11d3-9a0c-0305e82c3301 is gone",
            "GET https://api.example.com/v1/things?limit=50 answered 503",
            "missing token in line 3",
            "basic authentication is not enabled",
            "wrong password for user app",
            "secrets \"db\" not found",
            "MountVolume.SetUp failed for volume \"kube-api-access-x7k2p\"",
            "java.lang.IllegalStateException: Failed to load ApplicationContext",
            "write to person@example.com",
            "the password is wrong",
            "invalid token: unexpected EOF",
            "secret was not found",
            "password: required",
            "pod sk-frontend-of-the-shop-7d9f8 is not ready",
        ] {
            assert_eq!(mask(said), said);
        }
    }

    #[test]
    fn it_takes_any_text_and_masks_nothing_twice() {
        let mut random = fastrand::Rng::with_seed(7);
        let parts = [
            "password",
            "=",
            ":",
            " ",
            "\"",
            "'",
            "://",
            "@",
            "x",
            "é",
            "\u{202e}",
            "|",
            "Bearer ",
            "-----BEGIN PRIVATE KEY-----",
            "A1b2C3",
            "\n",
        ];
        for _ in 0..2000 {
            let said: String =
                (0..random.usize(0..30)).map(|_| parts[random.usize(0..parts.len())]).collect();
            let once = mask(&said);
            assert_eq!(mask(&once), once, "{said:?}");
        }
    }
}
