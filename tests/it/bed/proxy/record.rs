//! What went through the proxy, and what each request was about.

use std::time::Instant;

use http::Method;

use crate::bed::rbac::STATE_NAMESPACE;

/// What a request is about, so far as tests count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// What is served, versions, health.
    Discovery,
    Watch,
    List,
    /// One object is read.
    Get,
    DryRun,
    /// An object of an app is written.
    Write,
    /// The status of an Environment is written, a page of it, or what the agent says in its metadata.
    Status,
    Event,
    /// A heartbeat, or who has which environment.
    Lease,
    /// What environments remember, read or written.
    State,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    pub at: Instant,
    pub method: Method,
    pub path: String,
    pub query: String,
    pub class: Class,
    /// As whom, where that is not the agent itself.
    pub identity: Option<String>,
    /// Which program asked, as it says itself.
    pub user_agent: String,
    /// How large its body was.
    pub bytes: usize,
    /// `None` while it is under way, and where its connection was cut before an answer.
    pub status: Option<u16>,
    /// Whether it was sent on to the API server.
    pub forwarded: bool,
    /// What was done to it, in short.
    pub harmed: Option<String>,
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let as_whom = self.identity.as_deref().unwrap_or("itself");
        write!(f, "{:?} {} {}?{} as {as_whom} → ", self.class, self.method, self.path, self.query)?;
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => write!(f, "nothing")?,
        }
        match &self.harmed {
            Some(how) => write!(f, " ({how})"),
            None => Ok(()),
        }
    }
}

pub fn classify(method: &Method, path: &str, query: &str) -> Class {
    let read = *method == Method::GET;
    if path.starts_with(&format!("/api/v1/namespaces/{STATE_NAMESPACE}/")) {
        return Class::State;
    }
    if read && (query.contains("watch=true") || query.contains("watch=1")) {
        return Class::Watch;
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    // After /api/v1 or /apis/group/version, and after a namespace.
    let rest = match parts.first() {
        Some(&"api") => parts.get(2..).unwrap_or_default(),
        Some(&"apis") => parts.get(3..).unwrap_or_default(),
        _ => return Class::Discovery,
    };
    let rest = if rest.len() > 2 && rest[0] == "namespaces" { &rest[2..] } else { rest };
    match (read, rest) {
        (_, []) => Class::Discovery,
        (true, [_]) => Class::List,
        (true, _) => Class::Get,
        (false, ["events", ..]) => Class::Event,
        (false, ["leases", ..]) => Class::Lease,
        (false, ["driftreports" | "environments" | "environmentpages" | "requests", ..]) => Class::Status,
        (false, _) if query.contains("dryRun=All") => Class::DryRun,
        (false, _) => Class::Write,
    }
}
