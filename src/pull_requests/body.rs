//! A comment's text, in parts: marker, record, what became of the merge, the report, one line of history.
//!
//! The parts are told apart by comments of HTML on lines of their own, which text of manifests cannot hold
//! ([`escape`](crate::review::markdown::escape)).

use crate::object::Digest;
use crate::review::Marker;
use crate::review::markdown::escape::code;

use super::record::CommentRecord;

/// A preview is a line; each environment that shares the comment may have one.
const PREVIEWS: usize = 2_000;

const OUTCOME: &str = "<!-- fairlead:outcome -->";
const PLAN: &str = "<!-- fairlead:plan -->";
const COMMANDS: &str = "<!-- fairlead:commands -->";
const HISTORY: &str = "<!-- fairlead:history -->";

/// What a comment says. Two of the same content need no edit, whenever they were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub marker: String,
    /// The commit that it is about. Two commits that come to the same are two contents all the same: whoever reads the
    /// comment wants to know which of them was looked at.
    pub head: String,
    pub outcome: Option<String>,
    pub plan: String,
    /// What people asked for in comments.
    pub commands: Option<String>,
}

impl Content {
    /// Names what is said.
    pub fn digest(&self) -> Digest {
        let outcome = self.outcome.as_deref().map(plain).unwrap_or_default();
        let commands = self.commands.as_deref().map(plain).unwrap_or_default();
        Digest::of_parts([&*self.marker, &*self.head, &*outcome, &*plain(&self.plan), &*commands])
    }
}

/// As forges keep a text: some change the ends of lines, and some take away the spaces before them.
fn plain(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Writes a comment.
pub fn write(content: &Content, record: &CommentRecord) -> String {
    let mut out = format!("{}\n{}\n", content.marker, record.line());
    if let Some(outcome) = &content.outcome {
        out.push_str(&format!("{OUTCOME}\n{}\n\n", outcome.trim_end()));
    }
    out.push_str(&format!("{PLAN}\n{}\n\n", content.plan.trim_end()));
    if let Some(commands) = &content.commands {
        out.push_str(&format!("{COMMANDS}\n{}\n\n", commands.trim_end()));
    }
    out.push_str(&format!("{HISTORY}\n{}", history(record)));
    out
}

fn history(record: &CommentRecord) -> String {
    let short = |head: &str| code(head.get(..10).unwrap_or(head));
    let at = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let now = format!("Report of {} for {}.", at(record.at), short(&record.head));
    let before = record.before.as_ref().map_or_else(String::new, |before| {
        let head = short(&before.head);
        format!(
            " Before, at {head} ({}): {}.",
            at(before.at),
            crate::review::markdown::escape::text(&before.short, 200)
        )
    });
    format!("<sub>{now}{before}</sub>\n")
}

/// Whole lines of what is said of previews, as many as there is room for.
pub fn lines_within(text: &str) -> String {
    let mut out = String::new();
    for (n, line) in text.lines().enumerate() {
        if out.len() + line.len() > PREVIEWS {
            out.push_str(&format!("- and {} more\n", text.lines().count() - n));
            break;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Reads a comment of ours; `None` where its parts cannot be told apart any more.
pub fn read(body: &str) -> Option<(Content, CommentRecord)> {
    let body = body.replace("\r\n", "\n");
    Marker::find(&body)?;
    let (marker, rest) = body.split_once('\n')?;
    let (record, rest) = rest.split_once('\n')?;
    let record = CommentRecord::read(record)?;
    let (before, rest) = rest.split_once(&format!("{PLAN}\n"))?;
    let outcome = match before.trim() {
        "" => None,
        outcome => Some(outcome.strip_prefix(OUTCOME)?.trim().to_owned()),
    };
    let (rest, _) = rest.rsplit_once(HISTORY)?;
    let (plan, commands) = match rest.rsplit_once(COMMANDS) {
        Some((plan, commands)) => (plan, Some(commands.trim().to_owned())),
        None => (rest, None),
    };
    let content = Content {
        marker: marker.trim_end().to_owned(),
        head: record.head.clone(),
        outcome,
        plan: plan.trim().to_owned(),
        commands,
    };
    Some((content, record))
}
