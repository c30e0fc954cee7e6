//! The Environments and namespaces of previews. Their namespaces are made and deleted as the account that the platform gives
//! previews; the Environments as the agent itself, which the policies of the chart let have no others.

use serde_json::{Value, json};

use super::call::{Call, CallError, Cluster, JSON};
use super::delete::{Delete, Propagation};
use super::discovery::escape;
use crate::api::{Environment, Identity};
use crate::object::MANAGER;
use kube::Resource;

#[derive(Clone)]
pub struct Previews {
    cluster: Cluster,
}

/// A namespace, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundNamespace {
    pub uid: String,
    pub labels: Value,
    pub is_going: bool,
    /// Why it does not go, in the words of the server.
    pub stuck: Vec<String>,
}

impl Previews {
    pub fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone() }
    }

    /// Makes an Environment, unless there is one of its name.
    pub async fn make(&self, environment: &Environment) -> Result<(), CallError> {
        let body = serde_json::to_vec(environment).map_err(CallError::Unreadable)?;
        let path = format!("{}?fieldManager={MANAGER}", Environment::url_path(&(), None));
        match self.cluster.send(&Call::create(path, body.into(), None)).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_already_there() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes the spec of this one, and of no other that may come to bear its name.
    pub async fn change(&self, name: &str, uid: &str, spec: &Value) -> Result<(), CallError> {
        let path = format!("{}?fieldManager={MANAGER}", path(name));
        let patch = json!({"metadata": {"uid": uid}, "spec": spec});
        self.cluster.send(&Call::merge_patch(path, &patch, None)).await.map(drop)
    }

    pub async fn remove(&self, name: &str, uid: &str) -> Result<(), CallError> {
        self.delete(&path(name), uid, None).await
    }

    /// `None` where the server says that there is no such namespace.
    pub async fn namespace(&self, name: &str) -> Result<Option<FoundNamespace>, CallError> {
        let path = format!("/api/v1/namespaces/{}", escape(name));
        let found: Value = match self.cluster.send(&Call::get(path)).await {
            Ok(reply) => reply.json()?,
            Err(error) if error.is_not_found() && !error.is_unserved() => return Ok(None),
            Err(error) => return Err(error),
        };
        let conditions = found["status"]["conditions"].as_array().into_iter().flatten();
        let is_true = |condition: &&Value| condition["status"] == "True";
        let message = |condition: &Value| condition["message"].as_str().unwrap_or_default().to_owned();
        Ok(Some(FoundNamespace {
            uid: found["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            labels: found["metadata"]["labels"].clone(),
            is_going: found["metadata"]["deletionTimestamp"].is_string(),
            stuck: conditions.filter(is_true).map(message).collect(),
        }))
    }

    /// The names of all namespaces with a label.
    pub async fn namespaces_with(&self, label: &str) -> Result<Vec<String>, CallError> {
        let path = format!("/api/v1/namespaces?labelSelector={}", escape(label));
        let found: Value = self.cluster.send(&Call::get(path)).await?.json()?;
        let items = found["items"].as_array().ok_or_else(|| {
            CallError::Unreadable(serde::de::Error::custom("the list of namespaces has no items"))
        })?;
        let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
        Ok(items.iter().filter_map(name).collect())
    }

    /// Applies an object as the account of previews.
    pub async fn apply(&self, object: &Value, identity: &Identity) -> Result<(), CallError> {
        let (kind, namespace) = (object["kind"].as_str(), object["metadata"]["namespace"].as_str());
        let within = namespace.map_or_else(String::new, |name| format!("/namespaces/{}", escape(name)));
        let at = match kind {
            Some("Namespace") => "/api/v1/namespaces".to_owned(),
            Some("ResourceQuota") => format!("/api/v1{within}/resourcequotas"),
            Some("LimitRange") => format!("/api/v1{within}/limitranges"),
            _ => format!("/apis/networking.k8s.io/v1{within}/networkpolicies"),
        };
        let name = escape(object["metadata"]["name"].as_str().unwrap_or_default());
        let path = format!("{at}/{name}?fieldManager={MANAGER}&force=true");
        let body = object.to_string().into();
        self.cluster.send(&Call::apply(path, body, Some(identity))).await.map(drop)
    }

    /// Begins to delete a namespace: this one, and no other that may come to bear its name.
    pub async fn clear(&self, name: &str, uid: &str, identity: &Identity) -> Result<(), CallError> {
        self.delete(&format!("/api/v1/namespaces/{}", escape(name)), uid, Some(identity)).await
    }

    async fn delete(&self, path: &str, uid: &str, identity: Option<&Identity>) -> Result<(), CallError> {
        let delete = Delete { uid, version: None, propagation: Propagation::Background, dry_run: false };
        match self.cluster.send(&delete.call(path, identity).accept(JSON)).await {
            Ok(_) => Ok(()),
            // It is gone, or another bears its name, or it goes already.
            Err(error) if matches!(error.status().map(|status| status.as_u16()), Some(404 | 409)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn path(name: &str) -> String {
    format!("{}/{}", Environment::url_path(&(), None), escape(name))
}
