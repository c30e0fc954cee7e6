//! Turns a step into the bytes that are sent, and the server's answer into what is kept of it.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::Value;

use super::discovery::Session;
use super::filling::filled;
use crate::object::Live;
use crate::object::field_path::FieldPath;
use crate::plan::{Action, GitReplicas, Refusal, Step, Wanted};

/// The bytes of a step: bound to the object that was planned for, where there was one.
pub fn body(session: &Session, step: &Step) -> Result<Bytes, Refusal> {
    let bytes = match &step.action {
        _ if !withheld(step).is_empty() || step.rolls() => {
            let in_template = step.template_digests();
            let uid = match &step.action {
                Action::Create => None,
                Action::Update { uid } => Some(&**uid),
            };
            step.wanted.body_but(&withheld(step), &in_template, uid, None)
        }
        Action::Create => step.wanted.body(),
        Action::Update { uid } => step.wanted.body_for(uid),
    };
    filled(&session.filling, &step.wanted, bytes)
}

/// The same, bound to one version of the object.
pub fn body_for(session: &Session, step: &Step, uid: &str, version: &str) -> Result<Bytes, Refusal> {
    let (withheld, in_template) = (withheld(step), step.template_digests());
    let bytes = match withheld.is_empty() && in_template.is_empty() {
        true => step.wanted.body_for_version(uid, version),
        false => step.wanted.body_but(&withheld, &in_template, Some(uid), Some(version)),
    };
    filled(&session.filling, &step.wanted, bytes)
}

/// What others set, whatever git says: the replicas that an autoscaler sets, and what is theirs by a rule.
fn withheld(step: &Step) -> Vec<&FieldPath> {
    static REPLICAS: LazyLock<FieldPath> = LazyLock::new(|| FieldPath::of(&["spec", "replicas"]));
    let replicas = step.replicas.withheld() && step.wanted.replicas == GitReplicas::Said;
    replicas.then(|| &*REPLICAS).into_iter().chain(&*step.withheld).collect()
}

/// Metadata-only answers call themselves PartialObjectMetadata; they are read as what was asked for.
pub fn with_type(mut object: Value, wanted: &Wanted) -> Option<Value> {
    let root = object.as_object_mut()?;
    root.insert("apiVersion".into(), wanted.gvk.api_version().into());
    root.insert("kind".into(), wanted.gvk.kind.as_ref().into());
    Some(object)
}

/// What is kept of an object that the server answered with.
pub(super) fn read(object: Value, wanted: &Wanted) -> Option<Live> {
    with_type(object, wanted).and_then(|object| Live::read(&object))
}
