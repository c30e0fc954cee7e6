//! The stream of a file: events to documents, and the parser's errors in words of our own.

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError};

use super::build::{Builder, too_deep};
use super::outdented::{self, Moved};
use super::quick;
use super::spans::Spans;
use super::text::{decode, number};
use super::{Dialect, Document, Limits, Node};
use crate::object::{Note, Place, Problem, TreePath};

/// Reads all documents of a file. Documents without content are left out.
pub fn read(
    bytes: &[u8],
    path: &TreePath,
    dialect: Dialect,
    limits: &Limits,
) -> Result<Vec<Document>, Problem> {
    let text = text_of(bytes, path, limits)?;
    let mut documents = Vec::new();
    each(text, path, dialect, limits, |node, mut spans| {
        spans.finish();
        documents.push(Document { path: path.clone(), value: node.into_value(), spans });
    })?;
    Ok(documents)
}

/// The same as [`read`], each document as it is written and with the place of its first line.
pub fn nodes(
    bytes: &[u8],
    path: &TreePath,
    dialect: Dialect,
    limits: &Limits,
) -> Result<Vec<(Node, Place)>, Problem> {
    let text = text_of(bytes, path, limits)?;
    let mut nodes = Vec::new();
    each(text, path, dialect, limits, |node, spans| {
        let (line, column) = spans.find("");
        nodes.push((node, Place::at(path.clone(), line, column)));
    })?;
    Ok(nodes)
}

fn each(
    text: &str,
    path: &TreePath,
    dialect: Dialect,
    limits: &Limits,
    mut take: impl FnMut(Node, Spans),
) -> Result<(), Problem> {
    let mut quick = Vec::new();
    let mut ended = |builder: &mut Builder<'_>| {
        quick.extend(content(builder));
        if quick.len() > limits.documents { Err(quick::GiveUp) } else { Ok(()) }
    };
    if quick::read(text, &mut Builder::new(text, path, dialect, limits), &mut ended).is_ok() {
        quick.into_iter().for_each(|(node, spans)| take(node, spans));
        return Ok(());
    }
    drop(quick);
    let new = |text: &str| Builder::new(text, path, dialect, limits);
    whole(text, path, limits, new)?.documents.into_iter().for_each(|(node, spans)| take(node, spans));
    Ok(())
}

/// The document that just ended, unless there is nothing in it.
fn content(builder: &mut Builder<'_>) -> Option<(Node, Spans)> {
    builder.finish().filter(|(node, _)| match node {
        Node::Null => false,
        Node::Odd(odd) => !odd.value.is_null(),
        _ => true,
    })
}

/// Names what kustomize and kubectl would read differently in this file, with its place and how to write it instead.
pub fn ambiguous(bytes: &[u8], path: &TreePath, limits: &Limits) -> Result<Vec<Note>, Problem> {
    let text = text_of(bytes, path, limits)?;
    let new = |text: &str| {
        let mut builder = Builder::new(text, path, Dialect::Kubectl, limits);
        builder.watch();
        builder
    };
    Ok(whole(text, path, limits, new)?.builder.notes())
}

fn text_of<'a>(bytes: &'a [u8], path: &TreePath, limits: &Limits) -> Result<&'a str, Problem> {
    let (size, limit) = (bytes.len() as u64, limits.file_bytes);
    if size > limit {
        let message = format!("this file holds {size} bytes; the limit is {limit}");
        return Err(Problem::at(Place::file(path.clone()), message).hint("split it"));
    }
    decode(bytes, path)
}

/// What the whole parser makes of a text.
struct Built<'a> {
    builder: Builder<'a>,
    documents: Vec<(Node, Spans)>,
}

/// Reads a text by the whole parser; once more, where lines of quoted text stand too far to the left for it.
fn whole<'a>(
    text: &str,
    path: &TreePath,
    limits: &Limits,
    new: impl Fn(&str) -> Builder<'a>,
) -> Result<Built<'a>, Problem> {
    match build(text, path, limits, new(text), None) {
        Ok(built) => Ok(built),
        Err(Stop::Problem(problem)) => Err(problem),
        Err(Stop::Outdented(problem)) => {
            let mut moved = outdented::moved(text);
            let text = std::mem::take(&mut moved.text);
            let built = build(&text, path, limits, new(&text), Some(&mut moved)).ok();
            // What was taken for quoted text and was none is told as the parser told it.
            built.filter(|_| moved.is_all_quoted()).ok_or(problem)
        }
    }
}

/// Why a text was not read to its end.
enum Stop {
    Problem(Problem),
    /// A line of quoted text stands too far to the left.
    Outdented(Problem),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

fn build<'a>(
    text: &str,
    path: &TreePath,
    limits: &Limits,
    mut builder: Builder<'a>,
    mut moved: Option<&mut Moved>,
) -> Result<Built<'a>, Stop> {
    let options = granit_parser::options! {
        emit_comments: false,
        // One more than ours, so that the message is ours wherever the parser gets that far.
        flow_nesting_limit: limits.depth + 1,
        block_nesting_limit: limits.depth + 1,
    };
    let mut documents = Vec::new();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| match error.kind() {
            ErrorKind::InvalidQuotedScalarIndent => Stop::Outdented(refused(&error, path, limits)),
            _ => Stop::Problem(refused(&error, path, limits)),
        })?;
        if let (Some(moved), Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, ..)) =
            (&mut moved, &event)
        {
            moved.saw(span.start.line(), span.end.line());
        }
        if !matches!(event, Event::DocumentEnd) {
            builder.event(event, &span)?;
            continue;
        }
        let Some((node, spans)) = content(&mut builder) else { continue };
        documents.push((node, spans));
        if documents.len() > limits.documents {
            let place = Place::at(path.clone(), number(span.start.line()), 1);
            let limit = limits.documents;
            let problem = Problem::at(place, format!("more than {limit} documents in one file"));
            return Err(problem.hint("split it").into());
        }
    }
    Ok(Built { builder, documents })
}

/// The parser's message never quotes more than a bracket; the few kinds that would are reworded.
fn refused(error: &ScanError, path: &TreePath, limits: &Limits) -> Problem {
    let marker = error.marker();
    let place = Place::at(path.clone(), number(marker.line()), number(marker.col() + 1));
    let problem = |message: &str| Problem::at(place.clone(), format!("this is not YAML: {message}"));
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(place, limits),
        ErrorKind::UnexpectedCharacter { .. } => {
            problem("a character that cannot begin a value").hint("put the value in quotes")
        }
        ErrorKind::UnknownAnchor => {
            Problem::at(place, "this alias names an anchor that is not in this document")
        }
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => {
            problem("a tab stands where only spaces may").hint("indent with spaces")
        }
        ErrorKind::InputIo { .. } | ErrorKind::InputDecoding { .. } | ErrorKind::Custom(_) => {
            problem("it cannot be read")
        }
        kind => problem(&kind.to_string()),
    }
}

/// What the short way makes of a text, and what the whole parser does.
#[cfg(test)]
#[allow(clippy::type_complexity, reason = "a pair of answers, for one test")]
pub(super) fn ways(
    text: &str,
    dialect: Dialect,
    limits: &Limits,
) -> (Option<Vec<(Node, Spans)>>, Result<Vec<(Node, Spans)>, Problem>) {
    let path = TreePath::default();
    let text = match decode(text.as_bytes(), &path) {
        Ok(text) => text,
        Err(problem) => return (None, Err(problem)),
    };
    let new = |text: &str| Builder::new(text, &path, dialect, limits);
    let mut quick = Vec::new();
    let mut ended = |builder: &mut Builder<'_>| {
        quick.extend(content(builder));
        Ok(())
    };
    let went = quick::read(text, &mut new(text), &mut ended).is_ok();
    (went.then_some(quick), whole(text, &path, limits, new).map(|built| built.documents))
}
