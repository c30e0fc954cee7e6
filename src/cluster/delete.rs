//! Builds and follows deletes. A delete names one object by its uid, perhaps in one version, and never whatever bears its
//! name by then; it also says what becomes of what the object owns.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::call::{Call, CallError, Cluster, JSON, METADATA};
use crate::api::Identity;
use crate::object::ObjectKey;

/// Between two looks at an object that is going.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What becomes of what a deleted object owns, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    /// The object is gone only when what it owns is.
    Foreground,
    /// What it owns is collected afterwards.
    Background,
    /// What it owns stays.
    Orphan,
}

impl Propagation {
    /// Makes a workload be gone only when its pods are: what it uses goes in a later wave and must outlive them, and the
    /// pods of two Jobs of one name never run at once.
    pub fn of(key: &ObjectKey) -> Self {
        match &*key.group {
            "apps" | "batch" => Self::Foreground,
            _ => Self::Background,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Foreground => "Foreground",
            Self::Background => "Background",
            Self::Orphan => "Orphan",
        }
    }
}

/// A delete of one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delete<'a> {
    pub uid: &'a str,
    /// The version that was looked at, where any other has to be looked at anew.
    pub version: Option<&'a str>,
    pub propagation: Propagation,
    pub dry_run: bool,
}

impl Delete<'_> {
    /// Builds the request for the object at a path.
    pub fn call<'i>(self, path: &str, identity: Option<&'i Identity>) -> Call<'i> {
        let mut options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": self.uid},
            "propagationPolicy": self.propagation.as_str(),
        });
        if let Some(version) = self.version {
            options["preconditions"]["resourceVersion"] = version.into();
        }
        // The server reads the options of a delete from its body or from its query, and from the body where there is
        // one. The query only tells our own counters what kind of request it was.
        let mut path = path.to_owned();
        if self.dry_run {
            options["dryRun"] = json!(["All"]);
            path.push_str("?dryRun=All");
        }
        Call {
            method: Method::DELETE,
            path,
            body: Some(options.to_string().into()),
            content_type: JSON,
            accept: JSON,
            identity,
            person: None,
        }
    }
}

/// Reads the uid at a path from the server itself, not from what is watched; `None` where nothing is there.
pub(super) async fn uid_at(cluster: &Cluster, path: &str) -> Result<Option<Box<str>>, CallError> {
    match cluster.send(&Call::get(path).accept(METADATA)).await {
        Ok(reply) => Ok(reply.json()?["metadata"]["uid"].as_str().map(Into::into)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until the object of this uid is gone; `false` where it takes longer than that.
pub(super) async fn goes_within(
    limit: Duration,
    cluster: &Cluster,
    path: &str,
    uid: &str,
) -> Result<bool, CallError> {
    let began = Instant::now();
    while began.elapsed() < limit {
        if uid_at(cluster, path).await?.as_deref() != Some(uid) {
            return Ok(true);
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn built(delete: Delete<'_>) -> (String, Value) {
        let call = delete.call("/path", None);
        let body = call.body.expect("a delete says what it means");
        (call.path, serde_json::from_slice(&body).expect("it is JSON"))
    }

    const DELETE: Delete<'_> =
        Delete { uid: "u-1", version: Some("42"), propagation: Propagation::Background, dry_run: false };

    #[test]
    fn a_delete_is_of_one_object_in_one_version() {
        let (path, options) = built(DELETE);
        assert_eq!(path, "/path");
        assert_eq!(options["preconditions"], json!({"uid": "u-1", "resourceVersion": "42"}));
        assert_eq!(options["propagationPolicy"], "Background");
        assert!(options.get("dryRun").is_none());
    }

    #[test]
    fn a_delete_may_be_of_one_object_in_any_version() {
        let (_, options) = built(Delete { version: None, ..DELETE });
        assert_eq!(options["preconditions"], json!({"uid": "u-1"}));
    }

    #[test]
    fn a_dry_run_says_so_where_the_server_reads_it() {
        let (path, options) = built(Delete { dry_run: true, ..DELETE });
        assert_eq!((options["dryRun"].clone(), path.as_str()), (json!(["All"]), "/path?dryRun=All"));
    }

    #[test]
    fn a_workload_is_gone_when_its_pods_are() {
        let of = |group, kind| Propagation::of(&ObjectKey::new(group, kind, Some("web"), "a"));
        assert_eq!(of("apps", "Deployment"), Propagation::Foreground);
        assert_eq!(of("batch", "Job"), Propagation::Foreground);
        assert_eq!(of("", "ConfigMap"), Propagation::Background);
    }
}
