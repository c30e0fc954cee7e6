//! Has one workload go first where an app goes on to newer versions of its secrets: a version that does not work stops there.

use super::{Action, Plan, Step, Wave};
use crate::object::SHARED_CONFIG;

/// Divides the waves of a plan that changes Secrets with references and rolls their readers, and does nothing else: the first
/// of the readers has a wave of its own, and so a gate, before the others.
pub(super) fn one_first(plan: &mut Plan) {
    let is_secret = |plan: &Plan| {
        let is_of_another =
            |step: &Step| step.template_digests().iter().any(|(name, _)| *name == SHARED_CONFIG);
        plan.steps().any(|step| step.wanted.sealed().is_some() || is_of_another(step))
    };
    let is_rotation = plan.steps().all(|step| {
        matches!(step.action, Action::Update { .. }) && (step.rolls() || step.wanted.sealed().is_some())
    });
    let readers = plan.steps().filter(|step| step.rolls()).count();
    if readers < 2 || !is_rotation || !is_secret(plan) {
        return;
    }
    let Some(at) = plan.waves.iter().position(|wave| wave.steps.iter().any(|step| step.rolls())) else {
        return;
    };
    let Some(wave) = plan.waves.get_mut(at) else { return };
    if wave.steps.len() > 1 {
        let others = wave.steps.split_off(1);
        let order = wave.order;
        plan.waves.insert(at + 1, Wave { order, steps: others });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::plan as plan_of;
    use super::super::sealing::tests::{pins, reader, secret};
    use super::super::stamp::tests::wanted_with as wanted;
    use crate::object::{CONFIG, Live, ObjectKey};
    use crate::plan::WantedApp;

    fn app(version: &str, others: &[Value]) -> WantedApp {
        let named = |name: &str| {
            let mut reader = reader();
            reader["metadata"]["name"] = json!(name);
            reader
        };
        let mut objects = vec![secret(), named("a"), named("b"), named("c")];
        objects.extend(others.iter().cloned());
        wanted(objects, &pins(&[("aws-sm:db", version, &[])])).expect("it can be stamped")
    }

    /// What is live once an app was applied.
    fn live(app: &WantedApp) -> BTreeMap<ObjectKey, Arc<Live>> {
        let live = |wanted: &Arc<crate::plan::Wanted>| {
            let mut object = wanted.value();
            object["metadata"]["uid"] = json!("u");
            object["metadata"]["resourceVersion"] = json!("1");
            let field = format!("f:{CONFIG}");
            let owned = json!({"f:metadata": {"f:annotations": {field: {}}}});
            object["metadata"]["managedFields"] = json!([{"manager": "fairlead", "operation": "Apply",
                "apiVersion": wanted.gvk.api_version(), "fieldsType": "FieldsV1", "fieldsV1": owned}]);
            (wanted.key.clone(), Arc::new(Live::read(&object).expect("it can be read")))
        };
        app.objects.iter().map(live).collect()
    }

    fn waves(newer: &WantedApp, live: &BTreeMap<ObjectKey, Arc<Live>>) -> Vec<String> {
        let plan = plan_of(newer, live).expect("there is a plan");
        let names = |wave: &crate::plan::Wave| {
            wave.steps.iter().map(|step| &*step.wanted.key.name).collect::<Vec<_>>().join(" ")
        };
        plan.waves.iter().map(names).collect()
    }

    #[test]
    fn of_several_readers_one_goes_first() {
        let live = live(&app("v1", &[]));
        assert_eq!(waves(&app("v2", &[]), &live), ["db", "a", "b c"]);
    }

    #[test]
    fn a_commit_goes_as_ever() {
        let map = |value: &str| {
            let mut map = super::super::stamp::tests::object("v1", "ConfigMap", "map");
            map["data"] = json!({"a": value});
            map
        };
        let live = live(&app("v1", &[map("1")]));
        assert_eq!(waves(&app("v2", &[map("2")]), &live), ["map db", "a b c"]);
    }
}
