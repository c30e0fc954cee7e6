use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AdoptionStatus, AppStatus, EnvironmentStatus, RecordStatus};
use crate::object::AppName;

/// A page of an Environment: what its status has no room for. Written by the agent, and gone with its Environment.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "fairlead.dev",
    version = "v1alpha1",
    kind = "EnvironmentPage",
    plural = "environmentpages",
    shortname = "envpage",
    category = "fairlead",
    derive = "PartialEq",
    printcolumn(
        name = "Environment",
        type_ = "string",
        json_path = ".metadata.labels.fairlead\\.dev/environment"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentPageSpec {
    /// The apps of this page, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub apps: Vec<AppDetails>,
}

/// What the status of an Environment leaves out of one app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppDetails {
    #[schemars(with = "String")]
    pub name: AppName,
    /// Where it stands, where the Environment only counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands: Option<AppStatus>,
    /// The whole message, where the Environment cuts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What became of its last rollouts, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<RecordStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionStatus>,
}

impl EnvironmentStatus {
    /// Whether some of its apps are only counted here, and stand in the pages.
    pub fn counts_apps(&self) -> bool {
        self.unlisted.is_some_and(|count| count > 0)
    }

    /// Puts what stands in the pages back in its place, and what a short line leaves out.
    pub fn complete(&mut self, pages: impl IntoIterator<Item = EnvironmentPage>) {
        let counts = self.counts_apps();
        let details = pages.into_iter().flat_map(|page| page.spec.apps);
        let mut details: BTreeMap<AppName, AppDetails> =
            details.map(|details| (details.name.clone(), details)).collect();
        for app in &mut self.apps {
            let Some(details) = details.remove(&app.name) else { continue };
            app.history = details.history;
            app.message = app.message.take().map(|short| details.message.unwrap_or(short));
            if let (Some(app), Some(whole)) = (&mut app.adoption, details.adoption) {
                app.objects = whole.objects;
            }
        }
        if counts {
            // Where all are listed, one that is not has gone since.
            let rest = details.into_values();
            self.apps.extend(
                rest.filter_map(|details| Some(AppStatus { history: details.history, ..details.stands? })),
            );
        }
        self.apps.sort_by(|a, b| a.name.cmp(&b.name));
        for app in &mut self.apps {
            app.effective = app.running().cloned();
        }
    }
}
