//! Asks a forge over HTTP.
//!
//! What holds with every forge: the token goes to the host that it was given for and to no other, by TLS unless that is
//! this machine and somebody said so; redirects are followed on that host alone; an answer has an end; a list that was not
//! changed is not sent again; and who asks too often is told when to come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::BadPlace;
use crate::pull_requests::Failure;

/// Of one request, its answer included. GitHub itself gives up after ten seconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// A page of a hundred comments of 64 KiB is not larger.
const MOST_BYTES: usize = 16 << 20;
/// Redirects in a row: a repository that was renamed is one.
const REDIRECTS: usize = 3;
/// Pages of one list. More than five thousand comments are not looked through.
const PAGES: usize = 50;
/// Of a text that somebody wrote so much is kept in a list: thousands of long ones are more than the agent has room for.
const TEXT: usize = 4 << 10;
/// Texts that begin as ours do are kept whole, within this: anybody can begin one like that.
const WHOLE_TEXTS: usize = 16 << 20;
const OURS: &str = "<!-- fairlead:";
/// Answers that are kept to ask whether they changed: some for each pull request.
const KEPT: usize = 512;
const KEPT_BYTES: usize = 32 << 20;
/// Where a forge says that we ask too often and not for how long, as GitHub wants it.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// A forge's API, with the token for it.
pub struct Client {
    base: Uri,
    client: Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
    kept: Mutex<KeptAnswers>,
}

#[derive(Default)]
struct KeptAnswers {
    answers: HashMap<String, Answer>,
    bytes: usize,
}

#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::Away("the forge's answer is not JSON".to_owned()))
    }

    /// Where the next page of a list is.
    fn next(&self) -> Option<String> {
        let links = self.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
        links.flat_map(|value| value.split(',')).find_map(|link| {
            let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_next = rest.split(';').any(|part| matches!(part.trim(), "rel=\"next\"" | "rel=next"));
            is_next.then(|| target.to_owned())
        })
    }
}

impl Client {
    /// `base` is the URL of the API, with which every path begins.
    pub fn new(base: &str, ca: Option<&[u8]>, plain: bool) -> Result<Self, BadPlace> {
        let base: Uri = base.trim().trim_end_matches('/').parse().map_err(|_| BadPlace::Url)?;
        let host = base.host().filter(|host| !host.is_empty()).ok_or(BadPlace::Url)?;
        // What stands before the host would be a password.
        if base.authority().is_none_or(|authority| authority.as_str().contains('@')) || base.query().is_some()
        {
            return Err(BadPlace::Url);
        }
        let loopback =
            host.trim_matches(['[', ']']).parse().is_ok_and(|host: std::net::IpAddr| host.is_loopback());
        match base.scheme_str() {
            Some("https") => {}
            Some("http") if plain && (loopback || host == "localhost") => {}
            Some("http") => return Err(BadPlace::Plain),
            _ => return Err(BadPlace::Url),
        }
        let builder = hyper_rustls::HttpsConnectorBuilder::new();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = match ca {
            Some(pem) => builder.with_tls_config(trusting(pem, provider)?),
            None => builder.with_provider_and_native_roots(provider).map_err(BadPlace::Roots)?,
        };
        let connector =
            if plain { builder.https_or_http() } else { builder.https_only() }.enable_http1().build();
        let client = Hyper::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let mut headers = HeaderMap::new();
        let agent = concat!("fairlead/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        Ok(Self { base, client, headers, kept: Mutex::default() })
    }

    /// Sends this header with each request; a token among others.
    pub fn with(mut self, name: HeaderName, value: &str) -> Result<Self, BadPlace> {
        self.headers.insert(name, sensitive(value)?);
        Ok(self)
    }

    /// Reads something. A kept answer is given where the forge says that it did not change.
    pub async fn get(&self, path: &str, more: &HeaderMap) -> Result<Answer, Failure> {
        let kept = self.lock().answers.get(path).cloned();
        let mut headers = more.clone();
        if let Some(tag) = kept.as_ref().and_then(|kept| kept.headers.get(header::ETAG)) {
            headers.insert(header::IF_NONE_MATCH, tag.clone());
        }
        let answer = self.send(Method::GET, path, &headers, None).await?;
        match (answer.status, kept) {
            (StatusCode::NOT_MODIFIED, Some(kept)) => Ok(kept),
            (StatusCode::NOT_MODIFIED, None) => Err(Failure::Away(
                "the forge says that nothing changed, of what it was never asked".to_owned(),
            )),
            (StatusCode::OK, _) => {
                self.keep(path, &answer);
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    /// Reads the whole of a list.
    pub async fn list(&self, path: &str, more: &HeaderMap) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        let mut room = WHOLE_TEXTS;
        for _ in 0..PAGES {
            let Some(path) = next.take() else { return Ok(all) };
            let answer = self.get(&path, more).await?;
            refuse(&answer)?;
            match answer.json()? {
                Value::Array(mut items) => {
                    items.iter_mut().for_each(|item| shorten(item, &mut room));
                    all.extend(items);
                }
                _ => return Err(Failure::Away("the forge's answer is not a list".to_owned())),
            }
            next = answer.next().map(|target| self.path_of(&target)).transpose()?;
        }
        match next {
            None => Ok(all),
            Some(_) => Err(Failure::Refused(format!("a list has more than {PAGES} pages"))),
        }
    }

    /// Writes something. Where it is not known whether that was done, it says so.
    pub async fn write(
        &self,
        method: Method,
        path: &str,
        more: &HeaderMap,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        self.send(method, path, more, body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        more: &HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Answer, Failure> {
        let mut path = path.to_owned();
        for _ in 0..=REDIRECTS {
            let answer = self.send_once(&method, &path, more, body.clone()).await?;
            let keeps_method = matches!(answer.status.as_u16(), 307 | 308);
            match answer.status.as_u16() {
                301 | 302 | 307 | 308 if method == Method::GET || keeps_method => {
                    let target = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
                    path = self.path_of(target.unwrap_or_default())?;
                }
                300..=303 | 305..=399 => {
                    return Err(Failure::Refused("it answers with a redirect to elsewhere".to_owned()));
                }
                _ => return judge(answer, &method),
            }
        }
        Err(Failure::Refused("it redirects in circles".to_owned()))
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        more: &HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Answer, Failure> {
        let uri: Uri = format!("{}{path}", self.base.to_string().trim_end_matches('/'))
            .parse()
            .map_err(|_| Failure::Refused("it cannot be asked that: the path is no URL".to_owned()))?;
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            headers.extend(more.clone());
            if body.is_some() {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|_| Failure::Refused("it cannot be asked that".to_owned()))?;
        // What was sent may have been done; what only reads is not done in any case.
        let lost = |what: &str| match *method {
            Method::GET => Failure::Away(what.to_owned()),
            _ => Failure::Unknown(what.to_owned()),
        };
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| match error.is_connect() {
                true => Failure::Away(format!("the forge cannot be reached: {}", innermost(&error))),
                false => lost("the forge broke the connection off"),
            })?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await;
            let body = body.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
                true => lost("the forge's answer is too large"),
                false => lost("the forge broke off in the middle of its answer"),
            })?;
            Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        match tokio::time::timeout(ANSWERS_WITHIN, exchange).await {
            Ok(result) => result,
            Err(_) => Err(lost("the forge does not answer in time")),
        }
    }

    /// The path of a URL that the forge gave, which has to be one of its own.
    fn path_of(&self, target: &str) -> Result<String, Failure> {
        let elsewhere = || Failure::Refused("it leads to another host, which is not followed".to_owned());
        let target: Uri = target.parse().map_err(|_| elsewhere())?;
        let port = |uri: &Uri| {
            uri.port_u16().or(if uri.scheme_str() == Some("https") { Some(443) } else { Some(80) })
        };
        let is_own = target.host().is_none()
            || (target.host(), target.scheme_str(), port(&target))
                == (self.base.host(), self.base.scheme_str(), port(&self.base));
        let root = self.base.path().trim_end_matches('/');
        let path = target.path_and_query().map_or("", |path| path.as_str());
        match path.strip_prefix(root) {
            Some(path) if is_own && path.starts_with('/') => Ok(path.to_owned()),
            _ => Err(elsewhere()),
        }
    }

    fn keep(&self, path: &str, answer: &Answer) {
        let mut kept = self.lock();
        if let Some(old) = kept.answers.remove(path) {
            kept.bytes = kept.bytes.saturating_sub(old.body.len());
        }
        if answer.headers.get(header::ETAG).is_none() {
            return;
        }
        kept.bytes += answer.body.len();
        if kept.answers.len() >= KEPT || kept.bytes > KEPT_BYTES {
            // What is asked for again is kept again.
            *kept = KeptAnswers { answers: HashMap::new(), bytes: answer.body.len() };
        }
        kept.answers.insert(path.to_owned(), answer.clone());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, KeptAnswers> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it comes down to: a name that nobody knows, a connection that is refused, a certificate that is not trusted. What is
/// around that may quote the URL.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn trusting(pem: &[u8], provider: rustls::crypto::CryptoProvider) -> Result<rustls::ClientConfig, BadPlace> {
    let bad = |why: String| BadPlace::BadKey { key: "ca.crt", why };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| bad("it is not PEM".to_owned()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("it holds no certificate".to_owned()));
    }
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let config = config.map_err(|error| bad(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The value of a header that is never shown.
pub fn sensitive(value: &str) -> Result<HeaderValue, BadPlace> {
    let bad =
        |_| BadPlace::BadKey { key: "token", why: "it has characters that no header may have".to_owned() };
    let mut value = HeaderValue::from_str(value).map_err(bad)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What an answer means that is no success, where that is the same with every forge.
fn judge(answer: Answer, method: &Method) -> Result<Answer, Failure> {
    let code = answer.status.as_u16();
    if let Some(until) = limit(&answer, Timestamp::now()) {
        return Err(Failure::Limited { until });
    }
    match code {
        408 | 500..=599 if method == Method::GET => Err(Failure::Away(format!("the forge answers {code}"))),
        // A gateway does not know what became of what it passed on.
        408 | 500..=599 => Err(Failure::Unknown(format!("the forge answers {code}"))),
        _ => Ok(answer),
    }
}

/// Until when nothing is to be asked, where the answer says that we ask too often. A forge's clock is not ours: times
/// that it names are read against its own `Date`.
fn limit(answer: &Answer, now: Timestamp) -> Option<Timestamp> {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let code = answer.status.as_u16();
    let is_empty = header("x-ratelimit-remaining") == Some("0") || header("ratelimit-remaining") == Some("0");
    let names_limit = || {
        let text =
            String::from_utf8_lossy(answer.body.get(..answer.body.len().min(4_096)).unwrap_or_default())
                .to_lowercase();
        text.contains("rate limit") || text.contains("abuse detection")
    };
    let is_limit = match code {
        429 => true,
        403 => header("retry-after").is_some() || is_empty || names_limit(),
        503 => header("retry-after").is_some(),
        _ => false,
    };
    if !is_limit {
        return None;
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp());
    let skew =
        header("date").and_then(date).map_or(SignedDuration::ZERO, |theirs| now.duration_since(theirs));
    let after = header("retry-after").and_then(|text| match text.parse::<i64>() {
        Ok(seconds) => Some(now + SignedDuration::from_secs(seconds.clamp(0, 24 * 3600))),
        Err(_) => date(text).map(|at| at + skew),
    });
    let reset = || {
        let reset = header("x-ratelimit-reset").or_else(|| header("ratelimit-reset"))?;
        let at = Timestamp::from_second(reset.parse().ok()?).ok()?;
        is_empty.then_some(at + skew)
    };
    let until = after.or_else(reset).unwrap_or(now + PAUSE);
    // A second, because they count whole ones; a day, because a header may say anything.
    Some(until.clamp(now, now + SignedDuration::from_hours(24)) + SignedDuration::from_secs(1))
}

/// Fails on what was not done.
pub fn refuse(answer: &Answer) -> Result<(), Failure> {
    match answer.status.as_u16() {
        200..=299 => Ok(()),
        401 => Err(Failure::Refused("it does not take the token (401)".to_owned())),
        403 => Err(Failure::Refused("the token may not do this (403)".to_owned())),
        404 => Err(Failure::Refused("there is no such thing, or the token may not see it (404)".to_owned())),
        code => Err(Failure::Refused(format!("it answers {code}"))),
    }
}

/// Cuts what people wrote in an item of a list.
fn shorten(item: &mut Value, room: &mut usize) {
    for name in ["body", "description"] {
        let Some(Value::String(text)) = item.get_mut(name) else { continue };
        if text.len() <= TEXT {
            continue;
        }
        if text.starts_with(OURS) && text.len() <= *room {
            *room -= text.len();
            continue;
        }
        text.truncate(text.floor_char_boundary(TEXT));
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header"));
        }
        Answer {
            status: StatusCode::from_u16(code).expect("a code"),
            headers: map,
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn long_texts_of_others_are_cut_and_ours_is_kept_whole() {
        let long = "é".repeat(40_000);
        let ours = format!("{OURS}report cluster= environments=dev -->\n{long}");
        let mut room = ours.len() + 10;
        let cut = |body: &str, room: &mut usize| {
            let mut item = serde_json::json!({"id": 1, "body": body, "description": null});
            shorten(&mut item, room);
            item["body"].as_str().map(str::len)
        };
        assert_eq!(cut("short", &mut room), Some(5));
        assert_eq!(cut(&long, &mut room), Some(TEXT));
        assert_eq!(cut(&ours, &mut room), Some(ours.len()));
        assert!(cut(&ours, &mut room) < Some(TEXT + 1), "anybody can begin a text as ours begins");
    }

    #[test]
    fn limits_are_read_in_all_the_ways_in_which_they_are_told() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let until = |code, headers: &[(&'static str, &str)], body| {
            limit(&answer(code, headers, body), now).map(|until| until.duration_since(now).as_secs())
        };
        for (code, headers, body, expected) in [
            (429, &[("retry-after", "7")][..], "", Some(8)),
            (429, &[], "", Some(61)),
            (403, &[], "You have exceeded a secondary rate limit", Some(61)),
            (403, &[("retry-after", "120")], "", Some(121)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000300")], "", Some(301)),
            // Their clock is 100 s ahead of ours, and so is what they name.
            (
                403,
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1000300"),
                    ("date", "Mon, 12 Jan 1970 13:48:20 GMT"),
                ],
                "",
                Some(201),
            ),
            (429, &[("retry-after", "Mon, 12 Jan 1970 13:47:40 GMT")], "", Some(61)),
            (429, &[("retry-after", "99999999999")], "", Some(24 * 3600 + 1)),
            (429, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "1")], "", Some(1)),
            (403, &[("x-ratelimit-remaining", "12")], "Resource not accessible by integration", None),
            (200, &[("x-ratelimit-remaining", "0")], "", None),
            (502, &[], "", None),
        ] {
            assert_eq!(until(code, headers, body), expected, "{code} {headers:?} {body}");
        }
    }

    #[test]
    fn a_token_goes_by_tls_and_to_its_own_host() {
        let bad = |url: &str, plain| Client::new(url, None, plain).err();
        for url in ["http://forge.example", "http://127.0.0.1", "http://10.0.0.1"] {
            assert!(matches!(bad(url, false), Some(BadPlace::Plain)), "{url}");
        }
        assert!(matches!(bad("http://10.0.0.1", true), Some(BadPlace::Plain)));
        for url in
            ["ftp://forge.example", "forge.example", "https://", "https://a:b@forge.example", "https://x/?y"]
        {
            assert!(matches!(bad(url, true), Some(BadPlace::Url)), "{url}");
        }
        for url in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(bad(url, true).is_none(), "{url}");
        }
        let client = Client::new("https://forge.example/api/v3", None, false).expect("a client");
        for (target, expected) in [
            ("https://forge.example/api/v3/x?page=2", Some("/x?page=2")),
            ("https://forge.example:443/api/v3/x", Some("/x")),
            ("/api/v3/x", Some("/x")),
            ("https://evil.example/api/v3/x", None),
            ("http://forge.example/api/v3/x", None),
            ("https://forge.example:444/api/v3/x", None),
            ("https://forge.example/other", None),
            ("https://forge.example.evil.example/api/v3/x", None),
            ("//evil.example/api/v3/x", None),
            ("", None),
        ] {
            assert_eq!(client.path_of(target).ok().as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn the_next_page_is_where_the_link_says() {
        let link = |value: &str| answer(200, &[("link", value)], "").next();
        assert_eq!(
            link("<https://x/a?page=1>; rel=\"prev\", <https://x/a?page=3>; rel=\"next\""),
            Some("https://x/a?page=3".to_owned())
        );
        assert_eq!(link("<https://x/a>; rel=\"last\""), None);
        assert_eq!(link("nonsense, <, rel=next"), None);
    }
}
