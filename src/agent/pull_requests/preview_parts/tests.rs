use super::*;
use crate::health::{Expression, Input};

/// The policies of a preview that an object breaks.
fn broken(kind: &str, object: &Value) -> Vec<String> {
    let more = ["cert-manager.io/cluster-issuer".to_owned(), "x') || true || ('".to_owned()];
    let policies = previews::policies(Some("{app}-{pr}.x.example"), 7, &more);
    let concerns = |matches: &crate::api::PolicyMatch| matches.kinds.iter().any(|one| one == kind);
    let of_kind = policies
        .iter()
        .filter(|policy| policy.expression.is_some() && policy.matches.as_ref().is_none_or(concerns));
    let holds = |policy: &&crate::api::PolicySpec| {
        let expression = policy.expression.as_deref().expect("an expression");
        Expression::compile(expression).expect(expression).holds(&Input::new(object)) == Ok(true)
    };
    of_kind.filter(|policy| !holds(policy)).map(|policy| policy.name.clone()).collect()
}

#[test]
fn what_reaches_beyond_a_preview_is_not_let() {
    let ingress = |hosts: &[&str]| {
        let rules: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
        json!({"metadata": {"name": "a"}, "spec": {"rules": rules}})
    };
    let kind = "Ingress.networking.k8s.io";
    assert_eq!(broken(kind, &ingress(&["web-7.x.example"])), Vec::<String>::new());
    let others: [&[&str]; 5] = [
        &["web-17.x.example"],
        &["web-7.x.example", "shop.example"],
        &["-7.x.example"],
        &[""],
        &["web-7.x.example.evil.example"],
    ];
    for hosts in others {
        assert_eq!(broken(kind, &ingress(hosts)), ["preview-hosts"], "{hosts:?}");
    }
    for wrong in [
        json!({"metadata": {}, "spec": {"rules": [{}]}}),
        json!({"metadata": {}, "spec": {"rules": [], "defaultBackend": {}}}),
        json!({"metadata": {}, "spec": {"rules": [], "tls": [{"hosts": ["web-7.x.example", "shop.example"]}]}}),
    ] {
        assert_eq!(broken(kind, &wrong), ["preview-hosts"], "{wrong}");
    }
    let route = "HTTPRoute.gateway.networking.k8s.io";
    assert_eq!(
        broken(route, &json!({"metadata": {}, "spec": {"hostnames": ["web-7.x.example"]}})),
        Vec::<String>::new()
    );
    assert_eq!(
        broken(route, &json!({"metadata": {}, "spec": {}})),
        ["preview-routes"],
        "it would be of all hosts"
    );
    for (spec, is_let) in [
        (json!({"ports": []}), true),
        (json!({"type": "ClusterIP"}), true),
        (json!({"type": "ExternalName", "externalName": "db.shop.svc"}), false),
        (json!({"type": "LoadBalancer"}), false),
        (json!({"externalIPs": ["10.0.0.1"]}), false),
    ] {
        assert_eq!(broken("Service", &json!({"metadata": {}, "spec": spec})).is_empty(), is_let, "{spec}");
    }
    let pod = |pod: Value| json!({"metadata": {}, "spec": {"template": {"spec": pod}}});
    assert!(broken("Deployment.apps", &pod(json!({"containers": []}))).is_empty());
    let first = pod(json!({"priorityClassName": "system-cluster-critical"}));
    assert_eq!(broken("Deployment.apps", &first), ["preview-priorities"]);
    assert_eq!(
        broken("CronJob.batch", &json!({"metadata": {}, "spec": {"jobTemplate": first}})),
        ["preview-job-priorities"]
    );
}

#[test]
fn annotations_by_which_controllers_take_orders_are_not_let() {
    let noted = |name: &str| json!({"metadata": {"name": "a", "annotations": {name: "shop.example"}}, "spec": {"rules": []}});
    let is_let = |name: &str| broken("Ingress.networking.k8s.io", &noted(name)).is_empty();
    for name in [
        "fairlead.dev/wave",
        "description",
        "checksum/config",
        "kubernetes.io/ingress.class",
        "cert-manager.io/cluster-issuer",
    ] {
        assert!(is_let(name), "{name}");
    }
    for name in [
        "external-dns.alpha.kubernetes.io/hostname",
        "cert-manager.io/common-name",
        "cert-manager.io/cluster-issuer-too",
        "nginx.ingress.kubernetes.io/server-alias",
        "nginx.ingress.kubernetes.io/server-snippet",
        "alb.ingress.kubernetes.io/group.name",
    ] {
        assert_eq!(broken("Ingress.networking.k8s.io", &noted(name)), ["preview-annotations"], "{name}");
        assert_eq!(broken("Service", &noted(name)), ["preview-annotations"], "{name}");
    }
    let pod = json!({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "open"}}, "spec": {}});
    let plain = json!({"name": "a"});
    let workload = json!({"metadata": plain, "spec": {"template": pod}});
    assert_eq!(broken("Deployment.apps", &workload), ["preview-pod-annotations"]);
    let cron = json!({"metadata": plain, "spec": {"jobTemplate": {"spec": workload["spec"]}}});
    assert_eq!(broken("CronJob.batch", &cron), ["preview-job-pod-annotations"]);
}

#[test]
fn a_policy_is_short_enough_to_be_written() {
    let most: Vec<String> = (0..10).map(|n| format!("{}{n}", "a".repeat(99))).collect();
    for policy in previews::policies(Some("{app}-{pr}.x.example"), u64::MAX, &most) {
        let length = policy.expression.as_deref().unwrap_or_default().len();
        assert!(length <= 2048, "{}: {length}", policy.name);
    }
}

#[test]
fn nothing_of_a_preview_stays_for_ever_or_holds_a_node_up() {
    let spec = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
    let stuck = json!({"metadata": {"finalizers": ["example.org/never"]}, "spec": {"rules": [], "maxUnavailable": 1}});
    for kind in ["ConfigMap", "Service", "Ingress.networking.k8s.io"] {
        assert_eq!(broken(kind, &stuck), ["preview-finalizers"], "{kind}");
    }
    let template = |pod: Value| json!({"template": pod});
    let slow = template(json!({"spec": {"terminationGracePeriodSeconds": 86_400}}));
    let held = template(json!({"metadata": {"finalizers": ["x/y"]}, "spec": {}}));
    let fine =
        template(json!({"metadata": {"finalizers": []}, "spec": {"terminationGracePeriodSeconds": 600}}));
    for (wrong, is_let) in [(slow, false), (held, false), (fine, true)] {
        for kind in ["Deployment.apps", "StatefulSet.apps", "Job.batch"] {
            assert_eq!(broken(kind, &spec(wrong.clone())).is_empty(), is_let, "{kind} {wrong}");
        }
        let cron = spec(json!({"jobTemplate": {"spec": wrong}}));
        assert_eq!(broken("CronJob.batch", &cron).is_empty(), is_let, "{cron}");
    }
    for (budget, is_let) in [
        (json!({"maxUnavailable": 1}), true),
        (json!({"maxUnavailable": "50%"}), true),
        (json!({"maxUnavailable": 0}), false),
        (json!({"maxUnavailable": "0%"}), false),
        (json!({"minAvailable": 1}), false),
    ] {
        let kind = "PodDisruptionBudget.policy";
        assert_eq!(broken(kind, &spec(budget.clone())).is_empty(), is_let, "{budget}");
    }
}

#[test]
fn a_claim_is_for_a_new_volume() {
    let metadata = json!({"name": "a"});
    for (claim, is_let) in [
        (json!({"resources": {}}), true),
        (json!({"storageClassName": "fast"}), true),
        (json!({"storageClassName": ""}), false),
        (json!({"volumeName": "pv-of-production"}), false),
        (json!({"selector": {"matchLabels": {"app": "db"}}}), false),
    ] {
        let of =
            |kind: &str, spec: Value| broken(kind, &json!({"metadata": metadata, "spec": spec})).is_empty();
        assert_eq!(of("PersistentVolumeClaim", claim.clone()), is_let, "{claim}");
        let template = json!({"spec": {"volumes": []}});
        let set = json!({"template": template, "volumeClaimTemplates": [{"spec": claim}]});
        assert_eq!(of("StatefulSet.apps", set), is_let, "{claim}");
        let volume = json!([{"name": "v", "emptyDir": {}}, {"name": "w", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}}]);
        let pod = json!({"template": {"spec": {"volumes": volume}}});
        assert_eq!(of("Deployment.apps", pod.clone()), is_let, "{claim}");
        assert_eq!(of("CronJob.batch", json!({"jobTemplate": {"spec": pod}})), is_let, "{claim}");
    }
}

#[test]
fn the_chart_lets_the_agent_ask_for_the_same_kinds() {
    let chart = include_str!("../../../../charts/fairlead/templates/_names.tpl");
    let list = chart.split_once("\"fairlead.previewKinds\" -}}\n").expect("it is there").1;
    let list: Vec<String> = serde_json::from_str(list.lines().next().expect("a line")).expect("a list");
    assert_eq!(list, previews::kinds(Some("{app}-{pr}.x.example")));
    assert!(previews::kinds(None).iter().all(|kind| !kind.contains("Ingress") && !kind.contains("Route")));
}
