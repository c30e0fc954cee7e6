//! Sends the dry run of one object, and says what is known before and after it.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use super::call::{Call, CallError, Reply};
use super::discovery::Session;
use crate::api::Identity;
use crate::object::MANAGER;
use crate::plan::{Answer, Before, Consent};

/// Whether the objects that would come of it are wanted too, for people to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Metadata,
    Objects,
}

/// A step's answer, and with [`Detail::Objects`] the object before and after.
pub struct Proven {
    pub answer: Answer,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Shows of an object only whether it is there: it may be a Secret, and this may end in a log.
impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_there = |object: &Option<Value>| object.as_ref().map(|_| "an object");
        f.debug_struct("Proven")
            .field("answer", &self.answer)
            .field("before", &is_there(&self.before))
            .field("after", &is_there(&self.after))
            .finish()
    }
}

impl From<Answer> for Proven {
    fn from(answer: Answer) -> Self {
        Self { answer, before: None, after: None }
    }
}

/// As whom is asked, and what is known beside the plan.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub identity: Option<&'a Identity>,
    pub before: &'a Before,
    pub consent: &'a Consent,
    pub detail: Detail,
}

pub async fn dry_run(
    session: &Session,
    path: &str,
    body: Bytes,
    identity: Option<&Identity>,
    accept: &'static str,
    force: bool,
) -> Result<Reply, CallError> {
    let path = format!("{path}?fieldManager={MANAGER}&force={force}&dryRun=All&fieldValidation=Strict");
    session.cluster.send(&Call::apply(path, body, identity).accept(accept)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_not_shown() {
        let object = Some(json!({"kind": "Secret", "data": {"password": "hunter2"}}));
        let answer = Answer::NotYet { on: "its namespace".to_owned() };
        let shown = format!("{:?}", Proven { answer, before: object.clone(), after: object });
        assert!(shown.contains("its namespace") && !shown.contains("hunter2"), "{shown}");
    }
}
