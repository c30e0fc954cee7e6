//! The DriftReports: one object for each Environment, which goes when it goes.

use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::call::{Call, CallError, Cluster};
use super::discovery::escape;
use super::pages;
use crate::api::{DriftReport, DriftReportSpec, Environment, names};
use crate::object::MANAGER;

/// Reads and writes the DriftReports of Environments.
#[derive(Clone)]
pub struct DriftReports {
    cluster: Cluster,
}

/// A report as the server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredReport {
    pub version: String,
    pub spec: DriftReportSpec,
}

impl DriftReports {
    pub fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone() }
    }

    /// The report of an environment, whichever Environment of that name it was of.
    pub async fn get(&self, environment: &str) -> Result<Option<DriftReport>, CallError> {
        match self.cluster.send(&Call::get(path(environment))).await {
            Ok(reply) => reply.read().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All reports.
    pub async fn list(&self) -> Result<Vec<DriftReport>, CallError> {
        #[derive(serde::Deserialize)]
        struct List {
            items: Vec<DriftReport>,
        }
        let list: List = self.cluster.send(&Call::get(DriftReport::url_path(&(), None))).await?.read()?;
        Ok(list.items)
    }

    /// The report of this Environment. One of an Environment that bore its name before is not its own.
    pub async fn read(&self, environment: &Environment) -> Result<Option<StoredReport>, CallError> {
        let found = self.get(&environment.name_any()).await?;
        let own = found.filter(|report| {
            report.owner_references().iter().any(|owner| Some(&owner.uid) == environment.uid().as_ref())
        });
        Ok(own
            .and_then(|report| Some(StoredReport { version: report.resource_version()?, spec: report.spec })))
    }

    /// Writes a report; where a version is given only if nobody wrote since, and else whatever stands there. Answers the
    /// version that it has now.
    pub async fn write(
        &self,
        environment: &Environment,
        spec: &DriftReportSpec,
        version: Option<&str>,
    ) -> Result<String, CallError> {
        let spec = json!(spec);
        let Some(version) = version else { return self.put(environment, &spec).await };
        let steps = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/spec", "value": spec},
        ]);
        self.patch(environment, &steps).await
    }

    async fn put(&self, environment: &Environment, spec: &Value) -> Result<String, CallError> {
        let metadata = json!({
            "name": environment.name_any(),
            "labels": {names::ENVIRONMENT_LABEL: environment.name_any()},
            "ownerReferences": [{
                "apiVersion": Environment::api_version(&()), "kind": Environment::kind(&()),
                "name": environment.name_any(), "uid": environment.uid(),
            }],
        });
        let body = json!({
            "apiVersion": DriftReport::api_version(&()), "kind": DriftReport::kind(&()),
            "metadata": metadata, "spec": spec,
        });
        let path = format!("{}?fieldManager={MANAGER}", DriftReport::url_path(&(), None));
        match self.cluster.send(&Call::create(path, body.to_string().into(), None)).await {
            Ok(reply) => pages::version(&reply),
            Err(error) if error.is_already_there() => {
                let steps = json!([
                    {"op": "add", "path": "/metadata/labels", "value": metadata["labels"]},
                    {"op": "add", "path": "/metadata/ownerReferences", "value": metadata["ownerReferences"]},
                    {"op": "add", "path": "/spec", "value": spec},
                ]);
                self.patch(environment, &steps).await
            }
            Err(error) => Err(error),
        }
    }

    async fn patch(&self, environment: &Environment, steps: &Value) -> Result<String, CallError> {
        let path = format!("{}?fieldManager={MANAGER}", path(&environment.name_any()));
        pages::version(&self.cluster.send(&Call::json_patch(path, steps, None)).await?)
    }
}

fn path(environment: &str) -> String {
    format!("{}/{}", DriftReport::url_path(&(), None), escape(environment))
}
