//! What may be wrong with a change: classes, each with a rule in `rules`.

use std::str::FromStr;

use serde::Serialize;

use crate::object::Place;

/// How grave a risk is. The names are those of SARIF's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Somebody should look at it before it is merged.
    Warning,
    /// It fails, loses something, or gives away rights.
    Error,
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl FromStr for Severity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == text).ok_or(())
    }
}

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $about:literal;)*) => {
        /// One way in which a change is risky.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub enum RiskClass {
            $(#[doc = $about] $name,)*
        }

        impl RiskClass {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in JSON, SARIF and `--fail-on`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it is, in one sentence.
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

// In the order in which people should read them.
classes! {
    Broken = "broken", "The files of an app or an environment are wrong, so that nothing of it would be applied.";
    Refused = "refused", "The API server refuses an object, so that nothing of its app would be applied.";
    Policy = "policy", "A limit or a policy of the platform is violated.";
    RemovedApi = "removedApi", "An object is of an API version that the server does not serve, or that a release removed.";
    Immutable = "immutable", "A field changes that cannot change.";
    WillNotRollOut = "willNotRollOut", "After the merge an app or an environment does not roll out.";
    RemovesNamespace = "removesNamespace", "A Namespace goes, with all that is in it.";
    RemovesDefinition = "removesDefinition", "A custom resource definition goes, with all objects of its kind.";
    RemovesVolume = "removesVolume", "A PersistentVolumeClaim or PersistentVolume goes, and maybe the data in it.";
    RemovesStorageClass = "removesStorageClass", "A StorageClass goes, which claims may name.";
    RemovesStatefulSet = "removesStatefulSet", "A StatefulSet goes, and its pods in no order.";
    RemovesNetworkPolicy = "removesNetworkPolicy", "A NetworkPolicy goes, and what it forbade is allowed.";
    RemovesDisruptionBudget = "removesDisruptionBudget", "A PodDisruptionBudget goes, and nothing keeps pods from being evicted.";
    PruneOverBudget = "pruneOverBudget", "More would be deleted than may be without a person's word.";
    Deletes = "deletes", "Objects leave git and are deleted.";
    Recreates = "recreates", "An object is deleted and made anew.";
    WidensRbac = "widensRbac", "Somebody gets more rights.";
    GainsPrivileges = "gainsPrivileges", "Containers get more privileges.";
    GainsHostAccess = "gainsHostAccess", "Pods get access to their node.";
    ScaledToZero = "scaledToZero", "A workload would run no replicas.";
    BelowDisruptionBudget = "belowDisruptionBudget", "Fewer replicas than their PodDisruptionBudget wants available.";
    Downtime = "downtime", "Nobody would answer for a while, or might not.";
    SecretMissing = "secretMissing", "Pods need a Secret or ConfigMap that is neither in git nor in the cluster.";
    SecretUnreadable = "secretUnreadable", "A secret that git refers to cannot be read or used.";
    QuotaExceeded = "quotaExceeded", "More is requested than a ResourceQuota lets.";
    Selector = "selector", "A selector selects other pods than before, or none.";
    TakesOver = "takesOver", "Something changes hands that somebody else holds.";
    ImageLatest = "imageLatest", "An image is whatever is latest.";
    ImageRegistry = "imageRegistry", "An image comes from another registry.";
    ImageMajor = "imageMajor", "An image jumps to another major version.";
    ChartMajor = "chartMajor", "A chart jumps to another major version.";
    ImageByTag = "imageByTag", "An image is named by its tag only, which can be moved.";
    ImageChanged = "imageChanged", "An image changes.";
}

/// One risk, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Risk {
    pub class: RiskClass,
    pub severity: Severity,
    /// None where it is about the environment.
    pub app: Option<String>,
    pub object: Option<String>,
    /// The file and line that the object comes from. Of what goes: where it was.
    pub place: Option<Place>,
    /// The field that it is about, as in the changes of an object.
    pub field: Option<String>,
    pub message: String,
}

impl Risk {
    pub fn new(class: RiskClass, severity: Severity, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { class, severity, app: None, object: None, place: None, field: None, message }
    }

    /// Graver ones first, then by class, app and object.
    pub(super) fn order(&self) -> impl Ord + '_ {
        (std::cmp::Reverse(self.severity), self.class, &self.app, &self.object, &self.field, &self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_the_name_that_its_json_has() {
        for class in RiskClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
            assert!(class.about().ends_with('.'), "{class:?}");
        }
        for severity in Severity::ALL {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.as_str());
        }
    }
}
