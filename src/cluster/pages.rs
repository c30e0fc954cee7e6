//! The pages of an Environment: objects of their own for what its status has no room for, which go when it goes.

use std::collections::BTreeMap;

use kube::{Resource, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, CallError, Cluster, Reply};
use super::discovery::escape;
use crate::api::{Environment, EnvironmentPage, names};
use crate::object::MANAGER;

/// Reads and writes the pages of Environments.
#[derive(Clone)]
pub struct Pages {
    cluster: Cluster,
}

/// A page as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageVersion {
    pub version: String,
    /// What stands in it, as [`names::CONTENT_ANNOTATION`] names it.
    pub content: String,
}

/// A page as it is to be.
pub struct PageContent<'a> {
    pub number: usize,
    /// Steps of a JSON Patch that bring what stands there to it.
    pub steps: Vec<Value>,
    /// All of its `spec`.
    pub spec: Value,
    /// Names what stands in it.
    pub name: &'a str,
}

impl Pages {
    pub fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone() }
    }

    /// All pages of an environment with what stands in them.
    pub async fn read(&self, environment: &str) -> Result<Vec<EnvironmentPage>, CallError> {
        let list: List<EnvironmentPage> = self.cluster.send(&Call::get(select(environment))).await?.read()?;
        Ok(list.items.unwrap_or_default())
    }

    /// Which pages there are of this Environment, by their numbers. Those of one that bore its name before are not its own.
    pub async fn list(&self, environment: &Environment) -> Result<BTreeMap<usize, PageVersion>, CallError> {
        let call = Call::get(select(&environment.name_any())).accept(METADATA_LIST);
        let list: List<kube::core::PartialObjectMeta<EnvironmentPage>> =
            self.cluster.send(&call).await?.read()?;
        let own = list.items.into_iter().flatten().filter(|page| {
            page.owner_references().iter().any(|owner| Some(&owner.uid) == environment.uid().as_ref())
        });
        let known = own.filter_map(|page| {
            let number = page.labels().get(names::PAGE_LABEL)?.parse().ok()?;
            let content = page.annotations().get(names::CONTENT_ANNOTATION).cloned().unwrap_or_default();
            Some((number, PageVersion { version: page.resource_version()?, content }))
        });
        Ok(known.collect())
    }

    /// Writes what differs, where nobody else wrote since. Answers the version that it has now.
    pub async fn patch(
        &self,
        environment: &Environment,
        page: &PageContent<'_>,
        version: &str,
    ) -> Result<String, CallError> {
        let mut steps = vec![json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version})];
        let content = format!("/metadata/annotations/{}", names::CONTENT_ANNOTATION.replace('/', "~1"));
        steps.push(json!({"op": "add", "path": content, "value": page.name}));
        steps.extend(page.steps.iter().cloned());
        self.send_patch(environment, page.number, Value::Array(steps)).await
    }

    /// Writes all of it, whatever stands there.
    pub async fn put(&self, environment: &Environment, page: &PageContent<'_>) -> Result<String, CallError> {
        let number = page.number.to_string();
        let metadata = json!({
            "name": name(environment, page.number),
            "labels": {names::ENVIRONMENT_LABEL: environment.name_any(), names::PAGE_LABEL: number},
            "annotations": {names::CONTENT_ANNOTATION: page.name},
            "ownerReferences": [{
                "apiVersion": Environment::api_version(&()), "kind": Environment::kind(&()),
                "name": environment.name_any(), "uid": environment.uid(),
            }],
        });
        let body = json!({
            "apiVersion": EnvironmentPage::api_version(&()), "kind": EnvironmentPage::kind(&()),
            "metadata": metadata, "spec": page.spec,
        });
        let path = format!("{}?fieldManager={MANAGER}", EnvironmentPage::url_path(&(), None));
        let call = Call::create(path, body.to_string().into(), None);
        match self.cluster.send(&call).await {
            Ok(reply) => version(&reply),
            Err(error) if error.is_already_there() => {
                let mut steps: Vec<Value> = ["labels", "annotations", "ownerReferences"]
                    .iter()
                    .map(|part| {
                        json!({"op": "add", "path": format!("/metadata/{part}"), "value": metadata[*part]})
                    })
                    .collect();
                steps.push(json!({"op": "add", "path": "/spec", "value": page.spec}));
                self.send_patch(environment, page.number, Value::Array(steps)).await
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a page that is not needed any more.
    pub async fn remove(&self, environment: &Environment, number: usize) -> Result<(), CallError> {
        let call = Call { method: http::Method::DELETE, ..Call::get(path(environment, number)) };
        match self.cluster.send(&call).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn send_patch(
        &self,
        environment: &Environment,
        number: usize,
        steps: Value,
    ) -> Result<String, CallError> {
        let path = format!("{}?fieldManager={MANAGER}", path(environment, number));
        version(&self.cluster.send(&Call::json_patch(path, &steps, None)).await?)
    }
}

#[derive(Deserialize)]
struct List<T> {
    /// The server writes `null` for no metadata.
    items: Option<Vec<T>>,
}

const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// The version of an object that was written.
pub(super) fn version(reply: &Reply) -> Result<String, CallError> {
    let metadata: kube::core::PartialObjectMeta<EnvironmentPage> = reply.read()?;
    Ok(metadata.resource_version().unwrap_or_default())
}

fn select(environment: &str) -> String {
    let label = escape(&format!("{}={environment}", names::ENVIRONMENT_LABEL));
    format!("{}?labelSelector={label}", EnvironmentPage::url_path(&(), None))
}

fn name(environment: &Environment, number: usize) -> String {
    format!("{}.{number}", environment.name_any())
}

fn path(environment: &Environment, number: usize) -> String {
    format!("{}/{}", EnvironmentPage::url_path(&(), None), escape(&name(environment, number)))
}
