//! Reads what forges answer: what is missing or of another type is an error, and never taken for "there is none".

use jiff::Timestamp;
use serde_json::Value;

use crate::object::Revision;
use crate::pull_requests::{Comment, CommentId, Failure};

fn odd(what: &str) -> Failure {
    Failure::Away(format!("the forge's answer has no {what} that can be read"))
}

pub fn number(value: &Value, name: &str) -> Result<u64, Failure> {
    value[name].as_u64().ok_or_else(|| odd(name))
}

pub fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failure> {
    value[name].as_str().ok_or_else(|| odd(name))
}

/// A time; `None` where there is none.
pub fn time(value: &Value, name: &str) -> Result<Option<Timestamp>, Failure> {
    match &value[name] {
        Value::Null => Ok(None),
        value => value.as_str().and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| odd(name)),
    }
}

/// A comment, of which the forge names the author by this word.
pub fn comment(value: &Value, author: &str, login: &str) -> Result<Comment, Failure> {
    // Of an account that is no more there is none.
    let author = &value[author];
    let at = time(value, "created_at")?.ok_or_else(|| odd("created_at"))?;
    Ok(Comment {
        id: CommentId(number(value, "id")?),
        author: author[login].as_str().unwrap_or_default().to_owned(),
        account: author["id"].as_u64(),
        body: value["body"].as_str().unwrap_or_default().to_owned(),
        at,
        // What does not say is as if it were.
        edited: time(value, "updated_at")? != Some(at),
    })
}

/// The names of labels: objects with a name, or names.
pub fn labels(value: &Value) -> Vec<String> {
    let name = |label: &Value| label.as_str().or_else(|| label["name"].as_str()).map(str::to_owned);
    value["labels"].as_array().into_iter().flatten().filter_map(name).collect()
}

/// Whether what is to be merged is of another repository than the branch. A repository that is no more was another one.
pub fn is_fork(value: &Value) -> bool {
    let repository = |side: &str| value[side]["repo"]["full_name"].as_str();
    repository("head").is_none() || repository("head") != repository("base")
}

/// The id of a commit, and nothing that git could read otherwise.
pub fn revision(value: &Value, name: &str) -> Result<Option<Revision>, Failure> {
    match value[name].as_str() {
        None | Some("") => Ok(None),
        Some(id) if matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(Some(Revision::new(id.to_ascii_lowercase())))
        }
        Some(_) => Err(odd(name)),
    }
}

pub fn needed(value: &Value, name: &str) -> Result<Revision, Failure> {
    revision(value, name)?.ok_or_else(|| odd(name))
}
