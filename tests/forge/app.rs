//! A GitHub App against a GitHub that checks its claims as GitHub does: signature, time by its own clock, and what a token
//! is asked for.

use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairlead::forge::{Keys, Kind, Place, open};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::judge::Description;

struct Key {
    folder: TempDir,
    pem: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // As GitHub hands them out: PKCS#1.
        openssl(&folder, &["genrsa", "-traditional", "-out", "key.pem", "2048"]);
        openssl(&folder, &["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
        let pem = std::fs::read(folder.path().join("key.pem")).expect("a key");
        Self { folder, pem }
    }

    /// What a claim says, if it is signed with this key.
    fn claim(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let file =
            |name: &str, bytes: &[u8]| std::fs::write(self.folder.path().join(name), bytes).expect("a file");
        file("signature", &decode(signature)?);
        file("signed", signed.as_bytes());
        openssl(
            &self.folder,
            &["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "signed"],
        );
        let (head, claims) = signed.split_once('.')?;
        let head: Value = serde_json::from_slice(&decode(head)?).ok()?;
        (head["alg"] == "RS256").then_some(())?;
        serde_json::from_slice(&decode(claims)?).ok()
    }
}

fn openssl(folder: &TempDir, arguments: &[&str]) {
    let ran = Command::new("openssl").current_dir(folder.path()).args(arguments).output().expect("openssl");
    assert!(ran.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

struct Github {
    key: Key,
    description: Description,
    /// Its clock against ours.
    ahead: SignedDuration,
    lives: SignedDuration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    tokens: u32,
    problems: Vec<String>,
    asked: Vec<Value>,
    refused: u32,
}

async fn answer(State(github): State<Arc<Github>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let now = Timestamp::now() + github.ahead;
    let mut seen = github.seen.lock().expect("no test panics with it");
    let problems =
        github.description.judge_request(method, path, parts.uri.query().unwrap_or_default(), &body);
    seen.problems.extend(problems);
    let bearer =
        parts.headers["authorization"].to_str().expect("text").trim_start_matches("Bearer ").to_owned();
    let is_app = path == "/app" || path.starts_with("/app/") || path.ends_with("/installation");
    let (code, value) = if is_app {
        let claim = github.key.claim(&bearer).expect("it is signed with the App's key");
        let time = |name: &str| claim[name].as_i64().expect("a time") - now.as_second();
        if time("iat") > 0 || time("exp") < 0 || time("exp") > 600 || claim["iss"] != "4711" {
            seen.refused += 1;
            (401, json!({"message": "A JSON web token could not be decoded"}))
        } else if path == "/app" {
            (200, json!({"slug": "fairlead-blue"}))
        } else if path.ends_with("/installation") {
            (200, json!({"id": 99}))
        } else {
            seen.tokens += 1;
            seen.asked.push(body);
            let until = (now + github.lives).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            (201, json!({"token": format!("ghs_{}", seen.tokens), "expires_at": until}))
        }
    } else if bearer == format!("ghs_{}", seen.tokens) {
        (200, json!([]))
    } else {
        (401, Value::Null)
    };
    let mut answer = Response::new(Body::from(value.to_string()));
    *answer.status_mut() = axum::http::StatusCode::from_u16(code).expect("a code");
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    answer.headers_mut().insert("date", date.parse().expect("a header"));
    answer
}

async fn start(
    ahead: SignedDuration,
    lives: SignedDuration,
) -> (Arc<Github>, Box<dyn fairlead::forge::Forge>) {
    let (key, description) = (Key::new(), Description::read());
    let github = Arc::new(Github { key, description, ahead, lives, seen: Mutex::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let routes = Router::new().fallback(answer).with_state(github.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let place =
        Place { kind: Kind::Github, url: Some(url), repository: "ada/infra".to_owned(), folder: None };
    let keys = [("appId", b"4711".to_vec()), ("appPrivateKey", github.key.pem.clone())];
    let keys = Keys(keys.map(|(name, value)| (name.to_owned(), value)).into());
    (github, open(&place, &keys, true).expect("a forge"))
}

#[tokio::test]
async fn an_app_has_tokens_of_one_repository_whatever_the_clocks_say() {
    for minutes in [0, -30, 45] {
        let (github, forge) = start(SignedDuration::from_mins(minutes), SignedDuration::from_hours(1)).await;
        assert_eq!(forge.author().await.as_deref(), Ok("fairlead-blue[bot]"), "{minutes}");
        for _ in 0..3 {
            assert_eq!(forge.pulls().await, Ok(Vec::new()), "{minutes}");
        }
        let seen = github.seen.lock().expect("no test panics with it");
        assert_eq!(seen.tokens, 1, "{minutes}: a token is used for as long as it lives");
        assert!(seen.refused <= 1, "{minutes}: the clock is looked at once");
        assert_eq!(seen.asked[0]["repositories"], json!(["infra"]));
        let permissions = json!({"contents": "read", "pull_requests": "write", "statuses": "write"});
        assert_eq!(seen.asked[0]["permissions"], permissions);
        assert!(seen.problems.is_empty(), "{:?}", seen.problems);
    }
}

#[tokio::test]
async fn a_token_that_ends_is_replaced_before_it_does() {
    let (github, forge) = start(SignedDuration::ZERO, SignedDuration::from_mins(4)).await;
    for _ in 0..2 {
        assert_eq!(forge.comments(fairlead::pull_requests::Number(7)).await, Ok(Vec::new()));
    }
    assert_eq!(github.seen.lock().expect("no test panics with it").tokens, 2);
}

#[test]
fn a_key_that_does_not_sign_is_refused_at_once() {
    let place = Place { kind: Kind::Github, url: None, repository: "ada/infra".to_owned(), folder: None };
    let folder = tempfile::tempdir().expect("a folder");
    openssl(&folder, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.pem"]);
    let ec = std::fs::read(folder.path().join("ec.pem")).expect("a key");
    for key in [b"x".to_vec(), Vec::new(), ec] {
        let keys = [("appId", b"4711".to_vec()), ("appPrivateKey", key)];
        let keys = Keys(keys.map(|(name, value)| (name.to_owned(), value)).into());
        assert!(open(&place, &keys, false).is_err());
    }
    assert!(open(&place, &Keys::default(), false).is_err(), "without a token there is no forge");
}
