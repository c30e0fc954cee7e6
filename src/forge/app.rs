//! The tokens of a GitHub App: a signed claim to be the App, and for it a token of its installation, narrowed to one
//! repository and to what we do there. Neither lives longer than an hour, and neither is kept anywhere but here.

use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde_json::{Value, json};

use super::BadPlace;
use super::answers::{number, text, time};
use super::client::{Client, refuse, sensitive};
use crate::pull_requests::Failure;

/// GitHub takes claims of at most ten minutes by its own clock; ours may be ahead of it, and is asked about.
const CLAIM: SignedDuration = SignedDuration::from_mins(8);
const BACKDATED: SignedDuration = SignedDuration::from_secs(60);
/// A token that ends sooner is replaced before it is used.
const SPARE: SignedDuration = SignedDuration::from_mins(5);

pub struct App {
    id: String,
    installation: Option<u64>,
    key: std::sync::Arc<dyn SigningKey>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How far GitHub's clock is ahead of ours.
    ahead: SignedDuration,
    installation: Option<u64>,
    token: Option<(HeaderValue, Timestamp)>,
}

impl App {
    pub fn new(id: &str, installation: Option<&str>, key: &[u8]) -> Result<Self, BadPlace> {
        let bad = |why: &str| BadPlace::BadKey { key: "appPrivateKey", why: why.to_owned() };
        let installation = match installation.map(str::parse) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                let why = "it is not a number".to_owned();
                return Err(BadPlace::BadKey { key: "appInstallation", why });
            }
        };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| bad("it is not a private key in PEM"))?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|_| bad("it is no key that signs"))?;
        if key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).is_none() {
            return Err(bad("it is not an RSA key"));
        }
        Ok(Self { id: id.to_owned(), installation, key, state: Mutex::default() })
    }

    /// The claim to be this App, at that time of GitHub's.
    fn claim(&self, now: Timestamp) -> Result<String, Failure> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(&json!({"alg": "RS256", "typ": "JWT"}));
        let claims = part(&json!({
            "iat": (now - BACKDATED).as_second(),
            "exp": (now + CLAIM).as_second(),
            "iss": self.id,
        }));
        let unsigned = format!("{head}.{claims}");
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signature = signer.and_then(|signer| signer.sign(unsigned.as_bytes()).ok());
        let signature =
            signature.ok_or_else(|| Failure::Refused("the App's key does not sign".to_owned()))?;
        Ok(format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks something as the App itself. Where its claim is refused, GitHub's clock is looked at once.
    async fn as_app(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        for retried in [false, true] {
            let now = Timestamp::now() + self.lock().ahead;
            let answer = client.write(method.clone(), path, &bearer(&self.claim(now)?)?, body).await?;
            let date = answer.headers.get(header::DATE).and_then(|value| value.to_str().ok());
            let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
            if answer.status.as_u16() == 401
                && !retried
                && let Some(theirs) = theirs
            {
                self.lock().ahead = theirs.timestamp().duration_since(Timestamp::now());
                continue;
            }
            refuse(&answer)?;
            return answer.json();
        }
        Err(Failure::Refused("it does not take the App's claim".to_owned()))
    }

    /// The name under which the App comments.
    pub async fn author(&self, client: &Client) -> Result<String, Failure> {
        let app = self.as_app(client, Method::GET, "/app", None).await?;
        Ok(format!("{}[bot]", text(&app, "slug")?))
    }

    /// A token of the installation, for this repository alone.
    pub async fn token(&self, client: &Client, repository: &str) -> Result<HeaderMap, Failure> {
        {
            let state = self.lock();
            let now = Timestamp::now() + state.ahead;
            if let Some((token, until)) = &state.token
                && now + SPARE < *until
            {
                return Ok(HeaderMap::from_iter([(header::AUTHORIZATION, token.clone())]));
            }
        }
        let known = self.installation.or(self.lock().installation);
        let installation = match known {
            Some(installation) => installation,
            None => {
                let path = format!("/repos/{repository}/installation");
                number(&self.as_app(client, Method::GET, &path, None).await?, "id")?
            }
        };
        self.lock().installation = Some(installation);
        let name = repository.rsplit('/').next().unwrap_or(repository);
        let wanted = json!({
            "repositories": [name],
            "permissions": {"contents": "read", "pull_requests": "write", "statuses": "write"},
        });
        let path = format!("/app/installations/{installation}/access_tokens");
        let made = self.as_app(client, Method::POST, &path, Some(&wanted)).await?;
        let until = time(&made, "expires_at")?.unwrap_or_else(Timestamp::now);
        let headers = bearer(text(&made, "token")?)?;
        let token = headers.get(header::AUTHORIZATION).cloned();
        self.lock().token = token.map(|token| (token, until));
        Ok(headers)
    }

    /// A token that was refused is not used again.
    pub fn forget(&self) {
        self.lock().token = None;
    }
}

fn bearer(token: &str) -> Result<HeaderMap, Failure> {
    let value = sensitive(&format!("Bearer {token}"))
        .map_err(|_| Failure::Away("the forge gives a token that no header can hold".to_owned()))?;
    Ok(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}
