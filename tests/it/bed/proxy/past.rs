//! A server that is behind: what it is asked for is answered as it was, and what is new is not told.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, Request};
use tokio::sync::watch;

/// An answer as it is sent again: its headers and its body.
pub type Answer = (HeaderMap, Bytes);

/// How a question is known again: path, query, and what form of answer it takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question(String, String);

impl Question {
    fn of(path_and_query: &str, headers: &HeaderMap) -> Self {
        let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
        Self(path_and_query.to_owned(), accept.unwrap_or_default().to_owned())
    }
}

#[derive(Default)]
struct State {
    asked: HashMap<Question, HeaderMap>,
    /// What is answered while the server is behind.
    answers: HashMap<Question, Answer>,
}

/// How far a server is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// With everything.
    All,
    /// Not with who lives and who has what.
    ButLeases,
}

pub struct Past {
    state: Mutex<State>,
    objects: watch::Sender<bool>,
    leases: watch::Sender<bool>,
}

impl Default for Past {
    fn default() -> Self {
        Self { state: Mutex::default(), objects: watch::channel(false).0, leases: watch::channel(false).0 }
    }
}

impl Past {
    /// Notes a question, so that it can be asked at the moment from which on the server is behind; and answers it from
    /// then on.
    pub fn ask(&self, path_and_query: &str, headers: &HeaderMap) -> Option<Answer> {
        let mut state = self.state.lock().expect("a lock");
        let question = Question::of(path_and_query, headers);
        if *self.held(path_and_query).borrow() {
            return state.answers.get(&question).cloned();
        }
        state.asked.insert(question, headers.clone());
        None
    }

    /// The questions that were asked so far.
    pub fn questions(&self) -> Vec<Request<()>> {
        let state = self.state.lock().expect("a lock");
        let request = |(question, headers): (&Question, &HeaderMap)| {
            let mut request = Request::get(question.0.as_str()).body(()).expect("a request");
            *request.headers_mut() = headers.clone();
            request
        };
        state.asked.iter().map(request).collect()
    }

    /// From now on these are the answers, and no watch tells anything.
    pub fn hold(&self, answers: Vec<(Request<()>, Answer)>, behind: Behind) {
        let question = |request: &Request<()>| {
            Question::of(request.uri().path_and_query().expect("a path").as_str(), request.headers())
        };
        let answers = answers.into_iter().map(|(request, answer)| (question(&request), answer)).collect();
        self.state.lock().expect("a lock").answers = answers;
        self.objects.send_replace(true);
        self.leases.send_replace(behind == Behind::All);
    }

    pub fn let_go(&self) {
        self.objects.send_replace(false);
        self.leases.send_replace(false);
    }

    /// Whether the watch of a path is held back.
    pub fn watches(&self, path: &str) -> watch::Receiver<bool> {
        self.held(path).subscribe()
    }

    fn held(&self, path: &str) -> &watch::Sender<bool> {
        if path.contains("/leases") { &self.leases } else { &self.objects }
    }
}
