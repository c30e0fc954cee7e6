//! An object belongs to one environment. A second one that wants it is refused, naming the first, until the first lets go.

use super::{Refusal, RefusalKind, Step};
use crate::object::Live;

/// The other environment that applied this object. A label that our Apply entry does not hold was put there by someone
/// else, and makes nobody an owner.
pub fn other_owner<'a>(live: &'a Live, environment_label: &str, environment: &str) -> Option<&'a str> {
    let owner = live.labels.get(environment_label)?;
    (owner != environment && live.owns_label(environment_label)).then_some(owner)
}

pub fn owned_elsewhere(step: &Step, owner: &str) -> Refusal {
    Refusal::new(RefusalKind::OwnedElsewhere, &step.wanted, format!("it belongs to the Environment {owner}")).hint(
        format!(
            "one object has one environment: leave it out here, or let {owner} delete it or drop the labels from it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LABEL: &str = "fairlead.dev/environment";

    fn live(owner: &str, manager: &str) -> Live {
        Live::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "a", "namespace": "web", "uid": "u", "resourceVersion": "1", "labels": {LABEL: owner},
            "managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": {
                "f:metadata": {"f:labels": {format!("f:{LABEL}"): {}}}}}],
        }}))
        .unwrap()
    }

    #[test]
    fn an_object_that_another_environment_applied_is_its_own() {
        assert_eq!(other_owner(&live("staging", "fairlead"), LABEL, "dev"), Some("staging"));
        assert_eq!(other_owner(&live("dev", "fairlead"), LABEL, "dev"), None);
    }

    #[test]
    fn a_label_that_anyone_put_there_makes_no_owner() {
        assert_eq!(other_owner(&live("staging", "kubectl"), LABEL, "dev"), None);
    }
}
