//! A forge of each kind that remembers what was written, lists it in pages, answers conditional requests, and fails when it
//! is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use fairlead::forge::{Forge, Keys, Kind, Place, open};
use fairlead::object::Digest;
use serde_json::{Value, json};

use crate::judge::Description;

pub const ME: &str = "fairlead";
pub const TOKEN: &str = "s3cret-token";

#[derive(Clone, Debug)]
pub struct Pull {
    pub number: u64,
    pub head: String,
    pub base: String,
    /// `open`, `closed` or `merged`.
    pub state: &'static str,
    pub merged_at: Option<String>,
    pub labels: Vec<&'static str>,
    /// The change is in another repository.
    pub fork: bool,
}

#[derive(Clone, Debug)]
pub struct Note {
    pub id: u64,
    pub author: String,
    pub body: String,
    pub edited: bool,
    /// How it was answered.
    pub signs: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers this, and does nothing.
    Answer(u16, Vec<(&'static str, String)>, &'static str),
    /// Does it, and cuts the answer off.
    CutAfter,
    /// Cuts the answer off, and does nothing.
    CutBefore,
    /// Answers without an end.
    Endless,
}

#[derive(Default)]
pub struct State {
    pub pulls: BTreeMap<u64, Pull>,
    pub notes: BTreeMap<u64, Vec<Note>>,
    pub statuses: Vec<(String, Value)>,
    /// What accounts may do, in the words of this forge.
    pub members: BTreeMap<String, Value>,
    pub requests: Vec<String>,
    /// Requests that were answered with 304.
    pub unchanged: usize,
    pub faults: VecDeque<Fault>,
    /// What was not as it is described.
    pub problems: Vec<String>,
    /// Nothing is seen any more by this token.
    pub blind: bool,
    /// Where the next pages are said to be, if not here.
    pub next_host: Option<String>,
    pub page: usize,
    last: u64,
}

pub struct Fake {
    pub kind: Kind,
    pub url: String,
    state: Arc<Mutex<State>>,
}

type All = Arc<(Kind, Option<Description>, String, Arc<Mutex<State>>)>;

impl Fake {
    pub async fn start(kind: Kind) -> Self {
        let state = Arc::new(Mutex::new(State { page: 2, last: 100, ..State::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let description = (kind == Kind::Github).then(Description::read);
        let all: All = Arc::new((kind, description, url.clone(), state.clone()));
        let routes = Router::new().fallback(answer).with_state(all);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { kind, url, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }

    pub fn place(&self) -> Place {
        let repository = if self.kind == Kind::Gitlab { "team/sub/infra" } else { "ada/infra" };
        Place {
            kind: self.kind,
            url: Some(self.url.clone()),
            repository: repository.to_owned(),
            folder: None,
        }
    }

    pub fn open(&self) -> Box<dyn Forge> {
        let keys = Keys([("token".to_owned(), format!("{TOKEN}\n").into_bytes())].into());
        open(&self.place(), &keys, true).expect("a forge")
    }

    pub fn pull(&self, number: u64, state: &'static str, merged_at: Option<&str>) {
        let merged_at = merged_at.map(str::to_owned);
        let (head, base) = (format!("{number:040x}"), "main".to_owned());
        let pull = Pull { number, head, base, state, merged_at, labels: Vec::new(), fork: false };
        self.state().pulls.insert(number, pull);
    }

    pub fn note(&self, number: u64, author: &str, body: &str) -> u64 {
        self.state().note(number, author, body)
    }

    pub fn fail(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// Nothing was asked or answered otherwise than it is described.
    pub fn check(&self) {
        let problems = self.state().problems.clone();
        assert!(problems.is_empty(), "{problems:#?}");
    }
}

impl State {
    fn note(&mut self, number: u64, author: &str, body: &str) -> u64 {
        self.last += 1;
        let id = self.last;
        self.notes.entry(number).or_default().push(Note {
            id,
            author: author.to_owned(),
            body: body.to_owned(),
            edited: false,
            signs: Vec::new(),
        });
        id
    }

    pub fn find(&mut self, id: u64) -> Option<&mut Note> {
        self.notes.values_mut().flatten().find(|note| note.id == id)
    }
}

async fn answer(Shared(all): Shared<All>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (method, path) = (parts.method.as_str().to_owned(), parts.uri.path().to_owned());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let (kind, description, url, state) = &*all;
    let mut state = state.lock().expect("no test panics with it");
    state.requests.push(format!("{method} {path}{}{query}", if query.is_empty() { "" } else { "?" }));
    let name = match kind {
        Kind::Gitlab => ("private-token", TOKEN.to_owned()),
        Kind::Gitea => ("authorization", format!("token {TOKEN}")),
        _ => ("authorization", format!("Bearer {TOKEN}")),
    };
    if parts.headers.get(name.0).and_then(|value| value.to_str().ok()) != Some(&*name.1) {
        return plain(401, "who are you?");
    }
    if let Some(description) = description {
        let found = description.judge_request(&method, &path, &query, &body);
        state.problems.extend(found);
    }
    let fault = state.faults.pop_front();
    match &fault {
        Some(Fault::Answer(code, headers, text)) => {
            let mut answer = plain(*code, text);
            for (name, value) in headers {
                answer.headers_mut().insert(*name, value.parse().expect("a header"));
            }
            return answer;
        }
        Some(Fault::CutBefore) => return cut(),
        Some(Fault::Endless) => {
            let piece = axum::body::Bytes::from(vec![b' '; 1 << 20]);
            let endless = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
            return Response::new(Body::from_stream(endless));
        }
        _ => {}
    }
    let (code, value) = act(*kind, description.as_ref(), &mut state, &method, &path, &query, &body);
    if let Some(description) = description {
        let found = description.judge_answer(&method, &path, code, &value);
        state.problems.extend(found);
    }
    if matches!(fault, Some(Fault::CutAfter)) {
        return cut();
    }
    show(&mut state, url, (&path, &query), &parts.headers, code, value)
}

fn plain(code: u16, text: &str) -> Response {
    let mut answer = Response::new(Body::from(text.to_owned()));
    *answer.status_mut() = StatusCode::from_u16(code).expect("a code");
    answer
}

fn cut() -> Response {
    let broken =
        futures::stream::iter([Ok(axum::body::Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(broken))
}

/// One page of a list, or what else there is, with what conditional requests need.
fn show(
    state: &mut State,
    url: &str,
    (path, query): (&str, &str),
    asked: &HeaderMap,
    code: u16,
    value: Value,
) -> Response {
    let mut link = None;
    let value = match value {
        Value::Array(items) => {
            let number = |name: &str| {
                let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                pair.and_then(|value| value.parse::<usize>().ok())
            };
            let page = number("page").unwrap_or(1).max(1);
            let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("page=")).collect();
            if items.len() > page * state.page {
                let host = state.next_host.as_deref().unwrap_or(url);
                let next = format!("{host}{path}?{}&page={}", rest.join("&"), page + 1);
                link = Some(format!("<{next}>; rel=\"next\", <{next}>; rel=\"last\""));
            }
            Value::Array(items.into_iter().skip((page - 1) * state.page).take(state.page).collect())
        }
        value => value,
    };
    let text = if value.is_null() { String::new() } else { value.to_string() };
    let tag = format!("\"{}\"", Digest::of(text.as_bytes()).short());
    let mut answer = plain(code, &text);
    if code == 200 {
        if asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) == Some(&*tag) {
            state.unchanged += 1;
            answer = plain(304, "");
        }
        answer.headers_mut().insert(header::ETAG, tag.parse().expect("a header"));
    }
    if let Some(link) = link {
        answer.headers_mut().insert(header::LINK, link.parse().expect("a header"));
    }
    answer
}

fn act(
    kind: Kind,
    description: Option<&Description>,
    state: &mut State,
    method: &str,
    path: &str,
    query: &str,
    body: &Value,
) -> (u16, Value) {
    let root = match kind {
        Kind::Gitlab => "/api/v4",
        Kind::Gitea => "/api/v1",
        _ => "",
    };
    let Some(rest) = path.strip_prefix(root) else { return (404, Value::Null) };
    if rest == "/user" {
        let user = json!({"login": ME, "username": ME, "id": 1});
        return (200, whole(description, "GET", path, 200, user));
    }
    let repository = if kind == Kind::Gitlab { "/projects/team%2Fsub%2Finfra/" } else { "/repos/ada/infra/" };
    let Some(rest) = rest.strip_prefix(repository).filter(|_| !state.blind) else {
        return (404, json!({"message": "Not Found"}));
    };
    let rest = rest.replace("merge_requests/", "pulls/").replace("merge_requests", "pulls");
    let parts: Vec<&str> = rest.split('/').collect();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let tell = |note: &Note| {
        let (login, account) = (&note.author, account(&note.author));
        let changed = if note.edited { "2026-01-02T00:00:00Z" } else { WRITTEN };
        json!({
            "id": note.id, "body": note.body, "system": false, "created_at": WRITTEN, "updated_at": changed,
            "user": {"login": login, "id": account}, "author": {"username": login, "id": account},
        })
    };
    match (method, parts.as_slice()) {
        ("GET", ["pulls"]) => {
            let wanted = |pull: &&Pull| match pull.state {
                "open" => query.contains("state=open"),
                "merged" => query.contains("state=closed") || query.contains("state=merged"),
                _ => query.contains("state=closed"),
            };
            let all = state
                .pulls
                .values()
                .filter(wanted)
                .map(|pull| whole(description, "GET", path, 200, show_pull(kind, pull)));
            (200, all.collect())
        }
        ("GET", ["pulls", n]) => match state.pulls.get(&number(n)) {
            Some(pull) => (200, whole(description, "GET", path, 200, show_pull(kind, pull))),
            None => (404, Value::Null),
        },
        ("GET", ["issues", n, "comments"] | ["pulls", n, "notes"]) => {
            let notes = state.notes.get(&number(n)).cloned().unwrap_or_default();
            (200, notes.iter().map(|note| whole(description, "GET", path, 200, tell(note))).collect())
        }
        ("POST", ["issues", n, "comments"] | ["pulls", n, "notes"]) => {
            let id = state.note(number(n), ME, body["body"].as_str().unwrap_or_default());
            let made = tell(state.find(id).expect("it was made"));
            (201, whole(description, "POST", path, 201, made))
        }
        ("GET", ["issues", "comments", id] | ["pulls", _, "notes", id]) => match state.find(number(id)) {
            Some(note) => (200, whole(description, "GET", path, 200, tell(note))),
            None => (404, json!({"message": "Not Found"})),
        },
        ("PATCH", ["issues", "comments", id]) | ("PUT", ["pulls", _, "notes", id]) => {
            match state.find(number(id)) {
                Some(note) => {
                    note.body = body["body"].as_str().unwrap_or_default().to_owned();
                    (200, whole(description, method, path, 200, tell(note)))
                }
                None => (404, json!({"message": "Not Found"})),
            }
        }
        ("DELETE", ["issues", "comments", id] | ["pulls", _, "notes", id]) => {
            let id = number(id);
            state.notes.values_mut().for_each(|notes| notes.retain(|note| note.id != id));
            (204, Value::Null)
        }
        ("GET", ["collaborators", login, "permission"]) => match state.members.get(*login) {
            Some(may) => {
                let user = json!({"login": login, "id": account(login)});
                let answer = json!({"permission": may, "role_name": may, "user": user});
                (200, whole(description, "GET", path, 200, answer))
            }
            None => (404, json!({"message": "Not Found"})),
        },
        ("GET", ["members", "all", id]) => {
            let found = state.members.iter().find(|(login, _)| account(login) == number(id));
            match found {
                Some((login, may)) => {
                    let mut member = may.clone();
                    (member["id"], member["username"]) = (json!(number(id)), json!(login));
                    (200, member)
                }
                None => (404, json!({"message": "404 Not found"})),
            }
        }
        ("POST", ["issues", "comments", id, "reactions"]) => {
            sign(state, number(id), &body["content"], |sign| {
                whole(description, "POST", path, 201, json!({"content": sign}))
            })
        }
        ("POST", ["pulls", _, "notes", id, "award_emoji"]) => {
            sign(state, number(id), &body["name"], |sign| json!({"name": sign}))
        }
        ("POST", ["statuses", sha]) => {
            let name = body["context"].as_str().or(body["name"].as_str()).unwrap_or_default();
            let same = state
                .statuses
                .iter()
                .rev()
                .find(|(of, told)| of == sha && (told["context"] == name || told["name"] == name));
            if kind == Kind::Gitlab && same.is_some_and(|(_, told)| told["state"] == body["state"]) {
                return (400, json!({"message": "Cannot transition status via :enqueue from :success"}));
            }
            state.statuses.push(((*sha).to_owned(), body.clone()));
            (201, whole(description, "POST", path, 201, json!({"state": body["state"]})))
        }
        _ => (405, Value::Null),
    }
}

pub const WRITTEN: &str = "2026-01-01T00:00:00Z";

/// The number of an account.
pub fn account(login: &str) -> u64 {
    login.bytes().map(u64::from).sum()
}

/// Answers a comment by a sign. One that is there already is answered in the way of each forge.
fn sign(state: &mut State, id: u64, sign: &Value, tell: impl Fn(&str) -> Value) -> (u16, Value) {
    let sign = sign.as_str().unwrap_or_default();
    let Some(note) = state.find(id) else { return (404, json!({"message": "Not Found"})) };
    if note.signs.iter().any(|known| known == sign) {
        return match sign {
            "thumbsup" => (404, json!({"message": "404 Award Emoji Name has already been taken Not Found"})),
            sign => (200, tell(sign)),
        };
    }
    note.signs.push(sign.to_owned());
    (201, tell(sign))
}

/// With all that the description promises.
fn whole(description: Option<&Description>, method: &str, path: &str, code: u16, value: Value) -> Value {
    let Some(description) = description else { return value };
    let mut whole = description.answer(method, path, code);
    merge(&mut whole, value);
    // What the description has of other forges' words is no part of it.
    for name in ["username", "author", "system"] {
        if let Some(fields) = whole.as_object_mut() {
            fields.remove(name);
        }
    }
    whole
}

fn merge(into: &mut Value, value: Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(fields)) => {
            fields
                .into_iter()
                .for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value));
        }
        (into, value) => *into = value,
    }
}

fn label(name: &str) -> Value {
    json!({
        "id": 1, "node_id": "x", "url": "https://forge.example/l", "name": name, "description": name,
        "color": "ffffff", "default": false,
    })
}

fn show_pull(kind: Kind, pull: &Pull) -> Value {
    let is_merged = pull.state == "merged";
    let commit = is_merged.then(|| format!("{:040x}", pull.number + 1000));
    let changed = pull.merged_at.as_deref().unwrap_or("2026-01-01T00:00:00Z");
    match kind {
        Kind::Gitlab => json!({
            "iid": pull.number, "sha": pull.head, "target_branch": pull.base, "updated_at": changed,
            "state": if pull.state == "open" { "opened" } else { pull.state },
            "merged_at": pull.merged_at, "merge_commit_sha": null, "squash_commit_sha": commit,
            "labels": pull.labels, "source_project_id": if pull.fork { 2 } else { 1 }, "target_project_id": 1,
        }),
        kind => {
            let mut value = json!({
                "number": pull.number, "state": if pull.state == "open" { "open" } else { "closed" },
                "head": {"sha": pull.head, "repo": {"full_name": if pull.fork { "eve/infra" } else { "ada/infra" }}},
                "base": {"ref": pull.base, "repo": {"full_name": "ada/infra"}}, "updated_at": changed,
                "labels": pull.labels.iter().map(|name| label(name)).collect::<Value>(),
                "merged_at": pull.merged_at, "merge_commit_sha": commit,
            });
            if kind == Kind::Gitea {
                value["merged"] = json!(is_merged);
            }
            value
        }
    }
}
