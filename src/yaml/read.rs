//! The stream of a file: events to documents, and the parser's errors in words of our own.

use granit_parser::{ErrorKind, Event, Parser, ScanError};
use serde_json::Value;

use super::build::Builder;
use super::text::{decode, number};
use super::{Dialect, Document, Limits};
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
    let builder = Builder::new(text, path, dialect, limits);
    build(text, path, limits, builder, |document| documents.push(document))?;
    Ok(documents)
}

/// Names what kustomize and kubectl would read differently in this file, with its place and how to write it instead.
pub fn ambiguous(bytes: &[u8], path: &TreePath, limits: &Limits) -> Result<Vec<Note>, Problem> {
    let text = text_of(bytes, path, limits)?;
    let mut builder = Builder::new(text, path, Dialect::Kubectl, limits);
    builder.watch();
    Ok(build(text, path, limits, builder, drop)?.notes())
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
    mut take: impl FnMut(Document),
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
        let Some((value, spans)) = builder.finish() else { continue };
        if value == Value::Null {
            continue;
        }
        count += 1;
        if count > limits.documents {
            let place = Place::at(path.clone(), number(span.start.line()), 1);
            let limit = limits.documents;
            return Err(
                Problem::at(place, format!("more than {limit} documents in one file")).hint("split it")
            );
        }
        take(Document { path: path.clone(), value, spans });
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
