//! What our comment says of a command, and remembers of it.

use std::fmt::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::parse::shown;
use crate::api::RequestState;
use crate::object::EnvironmentName;
use crate::pull_requests::words::Comment;
use crate::review::markdown::escape::{code, short, text};

/// Commands that the comment shows: the last ones.
pub const SHOWN: usize = 8;
/// Numbers of comments that were answered and are remembered.
pub const REMEMBERED: usize = 60;
/// A message is a sentence or two.
const MESSAGE: usize = 300;

/// What carrying a command out came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A Request was made, and what comes of it is followed.
    Asked,
    Done(String),
    Refused(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandLine {
    /// The comment.
    pub id: u64,
    pub by: String,
    pub said: String,
    pub at: Timestamp,
    pub state: LineState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LineState {
    /// A Request was made.
    Asked,
    /// It was taken up, and goes on.
    Going,
    Done,
    Failed,
    Overtaken,
    Refused,
}

impl CommandLine {
    pub fn new(
        comment: &Comment,
        environment: Option<&EnvironmentName>,
        outcome: Outcome,
        now: Timestamp,
    ) -> Self {
        let (state, message) = match outcome {
            Outcome::Asked => (LineState::Asked, None),
            Outcome::Done(what) => (LineState::Done, Some(what)),
            Outcome::Refused(why) => (LineState::Refused, Some(why)),
        };
        Self {
            id: comment.id.0,
            by: comment.author.clone(),
            said: shown(&comment.body),
            // The comment's own time, so that it is the same line whoever writes it.
            at: comment.at.min(now),
            state,
            environment: environment.map(ToString::to_string),
            message: message.map(|message| message.chars().take(MESSAGE).collect()),
        }
    }

    /// Whether what came of it is not known yet.
    pub fn is_asked(&self) -> bool {
        matches!(self.state, LineState::Asked | LineState::Going)
    }

    pub fn is_going(&self) -> bool {
        self.state == LineState::Going
    }

    pub fn requested(&mut self, state: RequestState, message: Option<&str>) {
        self.state = match state {
            RequestState::Pending => LineState::Asked,
            RequestState::Going => LineState::Going,
            RequestState::Done => LineState::Done,
            RequestState::Failed => LineState::Failed,
            RequestState::Overtaken => LineState::Overtaken,
            RequestState::Refused => LineState::Refused,
        };
        self.message = message.map(|message| message.chars().take(MESSAGE).collect());
    }
}

/// As a section of our comment; `None` where nobody asked for anything.
pub fn section(lines: &[CommandLine]) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    let mut out = String::from("### Commands\n\n");
    for line in lines {
        let state = match line.state {
            LineState::Asked => "asked",
            LineState::Going => "goes on",
            LineState::Done => "done",
            LineState::Failed => "failed",
            LineState::Overtaken => "overtaken",
            LineState::Refused => "refused",
        };
        let of = line.environment.as_ref().map_or_else(String::new, |name| format!(", {}", short(name)));
        let message = line.message.as_ref().map_or_else(String::new, |it| format!(": {}", text(it, MESSAGE)));
        let _ = writeln!(out, "- {} by {}{of}: **{state}**{message}", code(&line.said), short(&line.by));
    }
    Some(out)
}
