//! What an API server's audit log tells, as far as it says who changed an object.
//!
//! An `EventList` of `audit.k8s.io/v1` is read; of its events those are kept that are finished writes of one named object.
//! All else (reads, refusals, dry runs, status, what concerns no object) is passed over.

use jiff::Timestamp;
use serde::Deserialize;

use crate::object::{MANAGER, Principal};

/// A list that is not of the audit log, or cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub enum BadEventList {
    #[error("this is no EventList: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("this is a {kind:?} of {api_version:?}, and no EventList of audit.k8s.io/v1")]
    OfAnotherKind { api_version: String, kind: String },
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    Change,
    Delete,
}

/// Names an object as requests do: by its resource and not by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourceName {
    pub group: Box<str>,
    pub resource: Box<str>,
    /// Empty where it is of the cluster.
    pub namespace: Box<str>,
    pub name: Box<str>,
}

/// A write that the API server finished.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditedWrite {
    pub kind: WriteKind,
    pub object: ResourceName,
    pub uid: Option<Box<str>>,
    pub subresource: Box<str>,
    /// The version that the object had then, where the answer was logged.
    pub version: Option<Box<str>>,
    /// The name that the server wrote down for it in `managedFields`.
    pub manager: Box<str>,
    pub received: Timestamp,
    pub done: Timestamp,
    pub by: Principal,
}

impl AuditedWrite {
    /// Whether an agent of ours wrote it.
    pub fn is_ours(&self) -> bool {
        &*self.manager == MANAGER
    }
}

/// The writes of an `EventList`, and how many events it has.
pub fn writes(body: &[u8]) -> Result<(Vec<AuditedWrite>, usize), BadEventList> {
    let list: EventList = serde_json::from_slice(body)?;
    if list.kind != "EventList" || list.api_version != "audit.k8s.io/v1" {
        return Err(BadEventList::OfAnotherKind { api_version: list.api_version, kind: list.kind });
    }
    let items = list.items.unwrap_or_default();
    let count = items.len();
    Ok((items.into_iter().filter_map(write).collect(), count))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventList {
    api_version: String,
    kind: String,
    items: Option<Vec<Event>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(default, rename = "requestURI")]
    request_uri: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default, rename = "sourceIPs")]
    source_ips: Vec<String>,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    response_object: Option<ResponseObject>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    #[serde(default)]
    resource: Box<str>,
    #[serde(default)]
    namespace: Box<str>,
    #[serde(default)]
    name: Box<str>,
    #[serde(default)]
    uid: Box<str>,
    #[serde(default)]
    api_group: Box<str>,
    #[serde(default)]
    subresource: Box<str>,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

/// Of the answer nothing but this is read.
#[derive(Deserialize)]
struct ResponseObject {
    metadata: Option<ResponseMetadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseMetadata {
    uid: Option<Box<str>>,
    name: Option<Box<str>>,
    resource_version: Option<Box<str>>,
}

/// Of these fields that git sets may be written.
const SUBRESOURCES: [&str; 4] = ["", "scale", "resize", "ephemeralcontainers"];

fn write(event: Event) -> Option<AuditedWrite> {
    let code = event.response_status.and_then(|status| status.code)?;
    let kind = match &*event.verb {
        "create" | "update" | "patch" => WriteKind::Change,
        "delete" => WriteKind::Delete,
        _ => return None,
    };
    let object = event.object_ref?;
    let answer = event.response_object.and_then(|answer| answer.metadata);
    let (uid, name, version) = match answer {
        Some(answer) => (answer.uid, answer.name, answer.resource_version),
        None => (None, None, None),
    };
    let name = Some(object.name).filter(|name| !name.is_empty()).or(name)?;
    let is_done = event.stage == "ResponseComplete" && (200..300).contains(&code);
    let query = event.request_uri.split_once('?').map_or("", |(_, query)| query);
    let is_told = is_done
        && !object.resource.is_empty()
        && SUBRESOURCES.contains(&&*object.subresource)
        && parameter(query, "dryRun").is_none();
    if !is_told {
        return None;
    }
    let manager = parameter(query, "fieldManager").unwrap_or_else(|| default_manager(&event.user_agent));
    let (user, groups) = match event.impersonated_user {
        Some(as_whom) => {
            (format!("{}, impersonated by {}", as_whom.username, event.user.username), as_whom.groups)
        }
        None => (event.user.username, event.user.groups),
    };
    Some(AuditedWrite {
        kind,
        object: ResourceName {
            group: object.api_group,
            resource: object.resource,
            namespace: object.namespace,
            name,
        },
        uid: uid.or(Some(object.uid)).filter(|uid| !uid.is_empty()),
        subresource: object.subresource,
        version: version.filter(|version| !version.is_empty()),
        manager: manager.into(),
        received: event.request_received_timestamp,
        done: event.stage_timestamp,
        by: Principal {
            user,
            groups,
            user_agent: Some(event.user_agent).filter(|agent| !agent.is_empty()),
            source_address: event.source_ips.into_iter().next(),
        },
    })
}

/// Whoever names no manager is called by what stands before the first `/` of its user agent, as the API server does it.
fn default_manager(user_agent: &str) -> String {
    let name = user_agent.split('/').next().unwrap_or_default();
    name.chars().filter(|letter| !letter.is_control()).take(128).collect()
}

/// A parameter of a query, with its escapes undone.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let hex =
            |digit: Option<u8>| char::from(digit?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(match byte {
            b'%' => hex(rest.next())? * 16 + hex(rest.next())?,
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An event as an API server of 1.36 sends it, at level Metadata.
    fn event() -> Value {
        json!({
            "level": "Metadata", "auditID": "a", "stage": "ResponseComplete", "verb": "patch",
            "requestURI": "/apis/apps/v1/namespaces/web/deployments/web?fieldManager=kubectl-edit&fieldValidation=Strict",
            "user": {"username": "ada", "uid": "1", "groups": ["developers", "system:authenticated"]},
            "sourceIPs": ["10.0.0.7", "10.0.0.1"], "userAgent": "kubectl/v1.36.3 (linux/amd64) kubernetes/abc",
            "objectRef": {"resource": "deployments", "namespace": "web", "name": "web", "apiGroup": "apps",
                          "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": "2026-11-30T12:00:00.100000Z",
            "stageTimestamp": "2026-11-30T12:00:00.150000Z",
            "annotations": {"authorization.k8s.io/decision": "allow"},
        })
    }

    fn read(items: &[Value]) -> Vec<AuditedWrite> {
        let list =
            json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items});
        let (writes, count) = writes(list.to_string().as_bytes()).expect("a list");
        assert_eq!(count, items.len());
        writes
    }

    fn with(path: &str, value: Value) -> Value {
        let mut event = event();
        let (parent, field) = path.rsplit_once('/').expect("a pointer");
        event.pointer_mut(parent).expect("it is there")[field] = value;
        event
    }

    #[test]
    fn a_write_is_told_with_who_and_from_where() {
        let write = read(&[event()]).remove(0);
        assert_eq!(
            (&*write.object.group, &*write.object.resource, &*write.object.name),
            ("apps", "deployments", "web")
        );
        assert_eq!(
            (write.kind, &*write.manager, write.version, write.uid),
            (WriteKind::Change, "kubectl-edit", None, None)
        );
        assert_eq!((&*write.by.user, write.by.groups.len()), ("ada", 2));
        assert_eq!(write.by.source_address.as_deref(), Some("10.0.0.7"));
        assert!(write.by.user_agent.is_some_and(|agent| agent.starts_with("kubectl/")));
    }

    #[test]
    fn the_answer_names_version_and_uid_where_it_was_logged() {
        let answer = json!({"kind": "Deployment", "metadata": {"uid": "u", "name": "web", "resourceVersion": "42"}, "spec": {}});
        let write = read(&[with("/responseObject", answer)]).remove(0);
        assert_eq!((write.version.as_deref(), write.uid.as_deref()), (Some("42"), Some("u")));
        let write = read(&[with("/objectRef/uid", json!("other"))]).remove(0);
        assert_eq!(write.uid.as_deref(), Some("other"));
    }

    #[test]
    fn who_is_impersonated_is_named_with_who_did_it() {
        let whom = json!({"username": "bob", "groups": ["operators"]});
        let by = read(&[with("/impersonatedUser", whom)]).remove(0).by;
        assert_eq!((&*by.user, by.groups), ("bob, impersonated by ada", vec!["operators".to_owned()]));
    }

    #[test]
    fn whoever_names_no_manager_is_called_by_its_user_agent() {
        let uri = "/apis/apps/v1/namespaces/web/deployments/web/scale";
        assert_eq!(&*read(&[with("/requestURI", json!(uri))]).remove(0).manager, "kubectl");
        let uri = "/x?pretty=true&fieldManager=my%20tool%2Fv2";
        assert_eq!(&*read(&[with("/requestURI", json!(uri))]).remove(0).manager, "my tool/v2");
        let ours = read(&[with("/requestURI", json!("/x?fieldManager=fairlead&force=true"))]).remove(0);
        assert!(ours.is_ours());
    }

    #[test]
    fn what_is_no_finished_write_of_an_object_is_passed_over() {
        for (path, value) in [
            ("/verb", json!("get")),
            ("/verb", json!("watch")),
            ("/verb", json!("deletecollection")),
            ("/stage", json!("RequestReceived")),
            ("/stage", json!("Panic")),
            ("/responseStatus", json!({"code": 409})),
            ("/responseStatus", json!(null)),
            ("/objectRef", json!(null)),
            ("/objectRef/name", json!("")),
            ("/objectRef/subresource", json!("status")),
            ("/objectRef/subresource", json!("exec")),
            ("/requestURI", json!("/x?dryRun=All")),
        ] {
            assert_eq!(read(&[with(path, value.clone())]), [], "{path}: {value}");
        }
        assert_eq!(read(&[with("/verb", json!("delete"))]).remove(0).kind, WriteKind::Delete);
        assert_eq!(read(&[]), []);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for body in [
            "",
            "{}",
            "[]",
            "\u{0}",
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","items":[]}"#,
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1"}"#,
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"verb":7}]}"#,
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{}]}"#,
        ] {
            assert!(writes(body.as_bytes()).is_err(), "{body}");
        }
        let deep = format!("{{\"items\":{}", "[".repeat(100_000));
        assert!(writes(deep.as_bytes()).is_err());
    }
}
