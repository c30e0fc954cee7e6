//! What would be deleted, as a person would read it.

use std::fmt::Write;

use serde::Serialize;

use crate::object::Digest;
use crate::plan::PrunePlan;

/// The deletes of an environment's plan.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneReport {
    pub delete: usize,
    /// Names the set, as `fairlead approve --digest` takes it.
    pub digest: Option<Digest>,
    /// Why a person would be asked first.
    pub halts: Vec<String>,
    /// What has to happen first, or why nobody can say.
    pub waits: Vec<String>,
    pub objects: Vec<DeleteReport>,
    pub kept: Vec<KeptReport>,
}

#[derive(Clone, Debug, Serialize)]
pub struct DeleteReport {
    pub object: String,
    /// The app that it belonged to.
    pub app: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct KeptReport {
    pub object: String,
    pub why: String,
}

impl PruneReport {
    /// Of the whole environment, or of what one app left.
    pub fn new(plan: &PrunePlan, only: Option<&str>) -> Self {
        let doomed = plan.doomed.iter().filter(|object| only.is_none_or(|app| app == &*object.app));
        let objects: Vec<DeleteReport> = doomed
            .map(|object| DeleteReport { object: object.live.key.to_string(), app: object.app.to_string() })
            .collect();
        let kept = plan
            .kept
            .iter()
            .map(|kept| KeptReport { object: kept.key.to_string(), why: kept.why.to_string() });
        Self {
            delete: objects.len(),
            digest: (!plan.is_empty()).then(|| plan.digest.clone()),
            halts: plan.halts.iter().map(ToString::to_string).collect(),
            waits: plan.waits.iter().map(ToString::to_string).collect(),
            objects,
            kept: kept.collect(),
        }
    }

    /// Where it cannot be said what would be deleted.
    pub fn unknown(why: String) -> Self {
        Self { waits: vec![why], ..Self::default() }
    }

    /// What comes first in a plan, one line each.
    pub(super) fn risks(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .halts
            .iter()
            .map(|halt| format!("{halt}: nothing is deleted until `fairlead approve`"))
            .collect();
        lines.extend(self.waits.iter().map(|wait| format!("deletes: {wait}")));
        lines
    }

    pub(super) fn list(&self, out: &mut String, paint: impl Fn(&str) -> String) {
        for object in &self.objects {
            let _ = writeln!(out, "    {} delete {} (of {})", paint("-"), object.object, object.app);
        }
        for kept in &self.kept {
            let _ = writeln!(out, "      keep {}: {}", kept.object, kept.why);
        }
    }
}
