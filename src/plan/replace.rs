//! What is done where a field changes that cannot: deleted and made anew, if that is a Job's, or if a person lets it.

use super::prune::is_protected;
use super::{Action, Refusal, Step};
use crate::object::REPLACE;

/// Whether the object of a step that the server refused because of such a field may be deleted for it; else the refusal,
/// with what to do.
pub fn may_replace(step: &Step, refused: Refusal) -> Result<(), Refusal> {
    let (Action::Update { uid }, Some(live)) = (&step.action, &step.live) else { return Err(refused) };
    if live.owned.is_none() {
        return Err(refused); // We never applied it.
    }
    let gvk = &step.wanted.gvk;
    if is_protected(gvk) {
        let hint =
            "the field cannot change, and with the object would go what is kept in it: give it a new name";
        return Err(refused.hint(hint));
    }
    if live.prune.as_deref() == Some("never") {
        return Err(refused.hint("the field cannot change, and the object says that it is never deleted"));
    }
    let approved = step.wanted.value()["metadata"]["annotations"][REPLACE].clone();
    if (&*gvk.group, &*gvk.kind) == ("batch", "Job") || approved == **uid {
        return Ok(());
    }
    // The uid, so that it is said once and of this object, and is spent when it is gone.
    let hint = format!(
        "the field cannot change: give the object a new name, or let this one be deleted and made anew by the annotation {REPLACE}: {uid}"
    );
    Err(refused.hint(hint))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::stamp::tests::{object, wanted};
    use super::*;
    use crate::object::{Live, MANAGER};
    use crate::plan::{RefusalKind, plan};

    /// Whether an object that changed may be replaced, with what is said on it in git and in the cluster.
    fn may(api_version: &str, kind: &str, git: Value, live: Value, manager: &str) -> Result<(), Refusal> {
        let mut now = object(api_version, kind, "a");
        now["metadata"]["annotations"] = git;
        let app = wanted(vec![now]).unwrap();
        let mut annotations = live;
        annotations["fairlead.dev/applied"] = json!("older");
        let found = json!({"apiVersion": api_version, "kind": kind, "metadata": {
            "name": "a", "namespace": "web", "uid": "u-1", "resourceVersion": "1", "annotations": annotations,
            "managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {}}}],
        }});
        let found = Arc::new(Live::read(&found).unwrap());
        let live: BTreeMap<_, _> = std::iter::once((app.objects[0].key.clone(), found)).collect();
        let plan = plan(&app, &live).unwrap();
        let step = plan.steps().next().unwrap();
        may_replace(step, Refusal::new(RefusalKind::Immutable, &step.wanted, "no"))
    }

    #[test]
    fn a_job_is_replaced_and_others_where_a_person_names_their_uid() {
        let none = || json!({});
        assert!(may("batch/v1", "Job", none(), none(), MANAGER).is_ok());
        let refused = may("apps/v1", "Deployment", none(), none(), MANAGER).unwrap_err();
        assert!(refused.hint.unwrap().contains("fairlead.dev/replace: u-1"));
        assert!(may("apps/v1", "Deployment", json!({REPLACE: "u-1"}), none(), MANAGER).is_ok());
        for word in ["true", "u-2", ""] {
            assert!(may("apps/v1", "Deployment", json!({REPLACE: word}), none(), MANAGER).is_err(), "{word}");
        }
    }

    #[test]
    fn what_is_not_ours_or_holds_what_people_keep_is_not_replaced() {
        let approved = || json!({REPLACE: "u-1"});
        assert!(may("v1", "PersistentVolumeClaim", approved(), json!({}), MANAGER).is_err());
        assert!(may("batch/v1", "Job", approved(), json!({"fairlead.dev/prune": "never"}), MANAGER).is_err());
        assert!(may("batch/v1", "Job", approved(), json!({}), "helm").is_err());
    }
}
