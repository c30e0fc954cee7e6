//! The stream of a file: events to documents, and the parser's errors in words of our own.

use granit_parser::{ErrorKind, Event, Parser, ScanError};

use super::build::Builder;
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
    build(text, path, limits, Builder::new(text, path, dialect, limits), take).map(drop)
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
    let mut builder = Builder::new(text, path, Dialect::Kubectl, limits);
    builder.watch();
    Ok(build(text, path, limits, builder, |_, _| ())?.notes())
}

fn text_of<'a>(bytes: &'a [u8], path: &TreePath, limits: &Limits) -> Result<&'a str, Problem> {
    let (size, limit) = (bytes.len() as u64, limits.file_bytes);
    if size > limit {
        let message = format!("this file holds {size} bytes; the limit is {limit}");
        return Err(Problem::at(Place::file(path.clone()), message).hint("split it"));
    }
    decode(bytes, path)
}

fn build<'a>(
    text: &str,
    path: &TreePath,
    limits: &Limits,
    mut builder: Builder<'a>,
    mut take: impl FnMut(Node, Spans),
) -> Result<Builder<'a>, Problem> {
    let options = granit_parser::options! {
        emit_comments: false,
        // One more than ours, so that the message is ours wherever the parser gets that far.
        flow_nesting_limit: limits.depth + 1,
        block_nesting_limit: limits.depth + 1,
    };
    let mut count = 0;
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| refused(&error, path, limits))?;
        if !matches!(event, Event::DocumentEnd) {
            builder.event(event, &span)?;
            continue;
        }
        let Some((node, spans)) = content(&mut builder) else { continue };
        count += 1;
        if count > limits.documents {
            let place = Place::at(path.clone(), number(span.start.line()), 1);
            let limit = limits.documents;
            return Err(
                Problem::at(place, format!("more than {limit} documents in one file")).hint("split it")
            );
        }
        take(node, spans);
    }
    Ok(builder)
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

pub(super) fn too_deep(place: Place, limits: &Limits) -> Problem {
    Problem::at(place, format!("lists and maps are nested more than {} deep", limits.depth))
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
    let new = || Builder::new(text, &path, dialect, limits);
    let (mut quick, mut whole) = (Vec::new(), Vec::new());
    let mut ended = |builder: &mut Builder<'_>| {
        quick.extend(content(builder));
        Ok(())
    };
    let went = quick::read(text, &mut new(), &mut ended).is_ok();
    let read = build(text, &path, limits, new(), |node, spans| whole.push((node, spans))).map(drop);
    (went.then_some(quick), read.map(|()| whole))
}
