//! Whether a request comes from the forge. What it says is never believed: it only has us look, so that one that is sent
//! again does no harm.

use hmac::{Hmac, Mac};
use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::Kind;

/// Says whether a request was sent by one that knows the secret: GitHub and Gitea sign the body, GitLab sends the secret
/// itself. Takes as long for a wrong one as for the right one. An empty secret is nobody's.
pub fn is_genuine(kind: Kind, secret: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    if secret.is_empty() {
        return false;
    }
    let header = |name: &str| {
        let mut all = headers.get_all(name).iter();
        // Two of them are for somebody who reads another one than we do.
        all.next().filter(|_| all.next().is_none()).and_then(|value| value.to_str().ok())
    };
    match kind {
        Kind::Github => header("x-hub-signature-256")
            .and_then(|value| value.strip_prefix("sha256="))
            .is_some_and(|hex| is_signed(secret, body, hex)),
        Kind::Gitea => header("x-gitea-signature").is_some_and(|hex| is_signed(secret, body, hex)),
        Kind::Gitlab => header("x-gitlab-token").is_some_and(|token| is_equal(secret, token.as_bytes())),
        Kind::Files => false,
    }
}

fn is_signed(secret: &[u8], body: &[u8], hex: &str) -> bool {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(body);
    bytes.is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

/// Compares digests, so that neither the length nor the first difference shows in the time.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.iter().zip(&other).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(*name, value.parse().expect("a header"));
        }
        map
    }

    /// The example of GitHub's documentation.
    const BODY: &[u8] = b"Hello, World!";
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const SIGNED: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn a_signature_is_of_this_body_and_this_secret() {
        let signed = format!("sha256={SIGNED}");
        let github = headers(&[("x-hub-signature-256", &signed)]);
        assert!(is_genuine(Kind::Github, SECRET, &github, BODY));
        assert!(is_genuine(Kind::Gitea, SECRET, &headers(&[("x-gitea-signature", SIGNED)]), BODY));
        for (secret, headers, body) in [
            (SECRET, github.clone(), &b"Hello, World"[..]),
            (b"other", github.clone(), BODY),
            (b"", github.clone(), BODY),
            (SECRET, headers(&[]), BODY),
            (SECRET, headers(&[("x-hub-signature-256", SIGNED)]), BODY),
            (SECRET, headers(&[("x-hub-signature-256", &signed[..signed.len() - 2])]), BODY),
            (SECRET, headers(&[("x-hub-signature-256", &signed[..signed.len() - 1])]), BODY),
            (SECRET, headers(&[("x-hub-signature-256", "sha256=")]), BODY),
            (SECRET, headers(&[("x-hub-signature-256", "sha256=zz")]), BODY),
            (
                SECRET,
                headers(&[("x-hub-signature-256", &signed), ("x-hub-signature-256", "sha256=00")]),
                BODY,
            ),
            (SECRET, headers(&[("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")]), BODY),
            (SECRET, headers(&[("x-gitlab-token", "It's a Secret to Everybody")]), BODY),
        ] {
            assert!(!is_genuine(Kind::Github, secret, &headers, body), "{headers:?}");
        }
    }

    #[test]
    fn gitlab_sends_the_secret_itself() {
        let token = |value: &str| headers(&[("x-gitlab-token", value)]);
        assert!(is_genuine(Kind::Gitlab, SECRET, &token("It's a Secret to Everybody"), b"any"));
        for wrong in ["", "It's a Secret to Everybod", "It's a Secret to Everybody!"] {
            assert!(!is_genuine(Kind::Gitlab, SECRET, &token(wrong), b"any"), "{wrong}");
        }
        assert!(!is_genuine(Kind::Gitlab, b"", &token(""), b"any"), "no secret is nobody's secret");
        assert!(!is_genuine(Kind::Files, SECRET, &token("It's a Secret to Everybody"), b"any"));
    }
}
