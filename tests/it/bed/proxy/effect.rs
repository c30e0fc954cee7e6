//! What may be done to a request, and to which.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::record::Class;

/// What is done to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Not sent on; answered with this status, and with Retry-After in seconds where given.
    Answer {
        status: u16,
        retry_after: Option<u32>,
    },
    /// The connection ends before the request reaches the API server.
    CutBefore,
    /// The API server does it, and the connection ends before the answer.
    CutAfter,
    /// The same two, by RST instead of an orderly end.
    ResetBefore,
    ResetAfter,
    /// The API server does it, and the answer ends in the middle of the length that its head announced.
    Truncate,
    /// The API server does it, and no answer ever comes, nor an end of the connection.
    Silence,
    /// The agent dies by SIGKILL before the request is sent on.
    KillBefore,
    /// The API server does it, and the agent dies by SIGKILL before it learns so.
    KillAfter,
    /// What was attached is called, and the request goes its way.
    Tell,
    /// Sent on after this long.
    Delay(Duration),
    /// A watch from a version that the server no longer has: HTTP 410, and again until the caller lists anew.
    Expired,
    /// A watch goes well for so many events and then ends.
    Ends {
        after: usize,
        how: End,
    },
}

/// How a watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An event ERROR with code 410 in the stream.
    Gone,
    /// The stream ends as if there were nothing more to say.
    Close,
    /// Not a byte more, and no end.
    Stall,
}

impl Effect {
    pub fn answer(status: u16) -> Self {
        Self::Answer { status, retry_after: None }
    }
}

/// Harms requests of one class: the `nth` (from 1, counted since the fault was set) and those after it, `times` in all.
#[derive(Clone, Debug)]
pub struct Fault {
    pub class: Class,
    /// Only requests whose path holds this are counted.
    pub path: &'static str,
    pub nth: usize,
    pub times: usize,
    pub effect: Effect,
}

impl Fault {
    pub fn nth(class: Class, nth: usize, effect: Effect) -> Self {
        Self { class, path: "", nth, times: 1, effect }
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub fn on(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }
}

pub const SAYS: &str = "the proxy says so";

fn status(code: u16) -> Value {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": SAYS,
    })
}

pub fn answer(code: u16, retry_after: Option<u32>) -> Response {
    let mut response = Response::new(Body::from(status(code).to_string()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// What a watch says whose version the server no longer has.
pub fn gone_event() -> String {
    json!({"type": "ERROR", "object": status(410)}).to_string() + "\n"
}
