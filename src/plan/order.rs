//! In which order the objects of an app are written.
//!
//! 1. By stage: what other objects stand on (namespaces, CRDs, RBAC, quotas, policies) before everything else; then what
//!    hooks need that run before the app changes, and those hooks; then the rest.
//! 2. Within a stage by `fairlead.dev/wave`, a whole number, 0 where absent.
//! 3. Within a wave by kind: what is read (ConfigMaps, Secrets, Services, claims, disruption budgets) before what runs
//!    (workloads and every kind we do not know), then what points at it (autoscalers, routes, API services), and the
//!    webhooks last, because they can stop everything else.
//! 4. What names another object in `config.kubernetes.io/depends-on` comes after it, whatever 1 to 3 say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::Wanted;
use crate::object::{Gvk, ObjectKey, Problem, Problems};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    Foundation,
    /// What hooks need that run before the app changes.
    Needed,
    Main,
}

/// The place of a wave among the others; objects with equal ones are written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WaveOrder {
    pub stage: Stage,
    pub wave: i32,
    pub rank: u8,
    /// How many objects of the same rank it has to come after.
    pub depth: u16,
}

impl fmt::Display for WaveOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.stage, self.rank) {
            (Stage::Foundation, 0) => "namespaces",
            (Stage::Foundation, 1) => "custom resource definitions",
            (Stage::Foundation, _) => "access and policy",
            (Stage::Needed, 0) => "configuration that hooks read",
            (Stage::Needed, _) => "what hooks need",
            (Stage::Main, 0) => "configuration",
            (Stage::Main, 1) => "workloads",
            (Stage::Main, 2) => "scaling and routes",
            (Stage::Main, _) => "webhooks",
        })?;
        if self.wave != 0 {
            write!(f, ", wave {}", self.wave)?;
        }
        if self.depth > 0 {
            write!(f, ", after {} others", self.depth)?;
        }
        Ok(())
    }
}

/// The place of an object of which only this is known, as of one that git no longer holds.
pub fn order_of(gvk: &Gvk, wave: i32) -> WaveOrder {
    let (stage, rank) = by_kind(gvk);
    WaveOrder { stage, wave, rank, depth: 0 }
}

fn by_kind(gvk: &Gvk) -> (Stage, u8) {
    use Stage::{Foundation, Main};
    match (&*gvk.group, &*gvk.kind) {
        ("", "Namespace") => (Foundation, 0),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => (Foundation, 1),
        (
            "rbac.authorization.k8s.io"
            | "policy.networking.k8s.io"
            | "storage.k8s.io"
            | "scheduling.k8s.io"
            | "node.k8s.io",
            _,
        )
        | ("", "ServiceAccount" | "ResourceQuota" | "LimitRange" | "PersistentVolume")
        | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
        | ("gateway.networking.k8s.io", "GatewayClass")
        | ("flowcontrol.apiserver.k8s.io", _)
        | (
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicy"
            | "ValidatingAdmissionPolicyBinding"
            | "MutatingAdmissionPolicy"
            | "MutatingAdmissionPolicyBinding",
        ) => (Foundation, 2),
        ("", "ConfigMap" | "Secret" | "Service" | "Endpoints" | "PersistentVolumeClaim")
        | ("discovery.k8s.io", _)
        | ("policy", _) => (Main, 0),
        ("autoscaling" | "autoscaling.k8s.io" | "keda.sh" | "apiregistration.k8s.io", _)
        | ("networking.k8s.io", "Ingress")
        | ("gateway.networking.k8s.io", _) => (Main, 2),
        ("admissionregistration.k8s.io", _) => (Main, 3),
        _ => (Main, 1),
    }
}

/// The order of each object of an app. Fails where they wait for each other, or for something that is not there.
pub fn order(
    objects: &[Arc<Wanted>],
    needed: &BTreeSet<ObjectKey>,
) -> Result<BTreeMap<ObjectKey, WaveOrder>, Problems> {
    let index: HashMap<&ObjectKey, usize> =
        objects.iter().enumerate().map(|(n, object)| (&object.key, n)).collect();
    let mut problems = Vec::new();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); objects.len()];
    for (n, object) in objects.iter().enumerate() {
        for on in &object.depends_on {
            match index.get(on) {
                Some(&m) => after[n].push(m),
                None => {
                    let message = format!("{} depends on {on}, which this app does not hold", object.key);
                    let problem = Problem::at(object.place.clone(), message);
                    problems.push(problem.hint("order whole apps by `dependsOn` in environment.yaml"));
                }
            }
        }
    }
    Problems::check(problems)?;

    let mut orders: Vec<WaveOrder> =
        objects.iter().map(|object| order_of(&object.gvk, object.wave)).collect();
    for (order, object) in orders.iter_mut().zip(objects) {
        if order.stage == Stage::Main && needed.contains(&object.key) {
            order.stage = Stage::Needed;
        }
    }
    // 0 not seen, 1 on the path, 2 done. An explicit path, because chains may be as long as the app is large.
    let mut mark = vec![0u8; objects.len()];
    for start in 0..objects.len() {
        if mark[start] != 0 || after[start].is_empty() {
            continue;
        }
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        mark[start] = 1;
        while let Some((n, next)) = path.last_mut() {
            let n = *n;
            if let Some(&on) = after[n].get(*next) {
                *next += 1;
                match mark[on] {
                    0 => {
                        mark[on] = 1;
                        path.push((on, 0));
                    }
                    1 => return Err(cycle(objects, &path, on).into()),
                    _ => {}
                }
            } else {
                for &on in &after[n] {
                    let at_least = WaveOrder { depth: orders[on].depth + 1, ..orders[on] };
                    orders[n] = orders[n].max(at_least);
                }
                mark[n] = 2;
                path.pop();
            }
        }
    }
    Ok(objects.iter().map(|object| object.key.clone()).zip(orders).collect())
}

fn cycle(objects: &[Arc<Wanted>], path: &[(usize, usize)], to: usize) -> Problem {
    let start = path.iter().position(|&(n, _)| n == to).unwrap_or(0);
    let mut names: Vec<String> = path[start..].iter().map(|&(n, _)| objects[n].key.to_string()).collect();
    names.push(objects[to].key.to_string());
    let message = format!("objects wait for each other by depends-on: {}", names.join(" → "));
    Problem::at(objects[to].place.clone(), message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stamp::tests::{object, wanted};
    use super::*;

    fn names(objects: Vec<Value>) -> Vec<String> {
        let app = wanted(objects).unwrap();
        let mut orders: Vec<(WaveOrder, String)> = order(&app.objects, &BTreeSet::new())
            .unwrap()
            .into_iter()
            .map(|(key, order)| (order, key.name.to_string()))
            .collect();
        orders.sort();
        orders.into_iter().map(|(_, name)| name).collect()
    }

    fn with(mut object: Value, annotation: &str, value: &str) -> Value {
        object["metadata"]["annotations"] = json!({annotation: value});
        object
    }

    #[test]
    fn what_others_stand_on_comes_first() {
        let order = names(vec![
            object("autoscaling/v2", "HorizontalPodAutoscaler", "d-hpa"),
            object("apps/v1", "Deployment", "c-web"),
            object("v1", "ConfigMap", "b-config"),
            object("v1", "Namespace", "a-web"),
        ]);
        assert_eq!(order, ["a-web", "b-config", "c-web", "d-hpa"]);
    }

    #[test]
    fn a_wave_refines_the_order_within_its_stage() {
        let order = names(vec![
            with(object("v1", "ConfigMap", "late"), "fairlead.dev/wave", "2"),
            object("apps/v1", "Deployment", "web"),
            with(object("apps/v1", "Deployment", "first"), "fairlead.dev/wave", "-1"),
            object("v1", "Namespace", "ns"),
        ]);
        assert_eq!(order, ["ns", "first", "web", "late"]);
    }

    #[test]
    fn what_depends_comes_after_even_against_its_kind() {
        let config = with(
            object("v1", "ConfigMap", "config"),
            "config.kubernetes.io/depends-on",
            "apps/namespaces/web/Deployment/web",
        );
        assert_eq!(names(vec![config, object("apps/v1", "Deployment", "web")]), ["web", "config"]);
    }

    #[test]
    fn a_circle_is_shown() {
        let on = |name: &str, other: &str| {
            let text = format!("/namespaces/web/ConfigMap/{other}");
            with(object("v1", "ConfigMap", name), "config.kubernetes.io/depends-on", &text)
        };
        let app = wanted(vec![on("a", "b"), on("b", "c"), on("c", "a")]).unwrap();
        let shown = order(&app.objects, &BTreeSet::new()).unwrap_err().to_string();
        assert!(
            shown.contains("ConfigMap web/a → ConfigMap web/b → ConfigMap web/c → ConfigMap web/a"),
            "{shown}"
        );
    }

    #[test]
    fn a_chain_as_long_as_the_app_is_no_trouble() {
        let objects = (0..3000)
            .map(|n| match n {
                0 => object("v1", "ConfigMap", "c0"),
                n => {
                    let text = format!("/namespaces/web/ConfigMap/c{}", n - 1);
                    with(
                        object("v1", "ConfigMap", &format!("c{n}")),
                        "config.kubernetes.io/depends-on",
                        &text,
                    )
                }
            })
            .rev()
            .collect();
        assert_eq!(
            order(&wanted(objects).unwrap().objects, &BTreeSet::new()).unwrap().values().max().unwrap().depth,
            2999
        );
    }

    #[test]
    fn depending_on_what_is_not_there_is_refused() {
        let lonely = with(
            object("v1", "ConfigMap", "a"),
            "config.kubernetes.io/depends-on",
            "apps/namespaces/x/Deployment/y",
        );
        assert!(
            order(&wanted(vec![lonely]).unwrap().objects, &BTreeSet::new())
                .unwrap_err()
                .to_string()
                .contains("Deployment.apps x/y")
        );
    }
}
