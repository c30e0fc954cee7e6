use crate::object::{AppName, Digest, Problem};
use crate::policy::{Finding, Severity as Word};
use crate::report::{AppPlan, PlanReport, PruneReport};
use crate::review::fixtures::{app, change, report};
use crate::review::{Change, LiveSide, Quota, RiskClass, Severity, Stop};

/// What is told of a change, as `class severity`, the gravest first.
fn told(change: Change<'_>) -> Vec<String> {
    let report = report(&[change]);
    report.risks().map(|risk| format!("{} {}", risk.class.as_str(), risk.severity.as_str())).collect()
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
        readinessProbe: {httpGet: {path: /, port: 80}}
        securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true}
";

/// The Deployment with one text in the place of another.
fn with(from: &str, to: &str) -> String {
    assert!(DEPLOYMENT.contains(from), "{from}");
    DEPLOYMENT.replace(from, to)
}

fn image(name: &str) -> String {
    let at = DEPLOYMENT.find("image: ").unwrap();
    let end = DEPLOYMENT[at..].find('\n').unwrap() + at;
    format!("{}image: {name}{}", &DEPLOYMENT[..at], &DEPLOYMENT[end..])
}

fn plain(api_version: &str, kind: &str, more: &str) -> String {
    format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n{more}\n")
}

fn role(rules: &str) -> String {
    plain("rbac.authorization.k8s.io/v1", "Role", &format!("rules: [{rules}]"))
}

fn binding(kind: &str, role: &str, subjects: &str) -> String {
    let role = format!("{{apiGroup: rbac.authorization.k8s.io, kind: {role}}}");
    plain("rbac.authorization.k8s.io/v1", kind, &format!("roleRef: {role}\nsubjects: [{subjects}]"))
}

const READ: &str = "{apiGroups: [''], resources: [configmaps], verbs: [get, list]}";

#[test]
fn every_class_that_git_alone_shows_has_its_rule() {
    let pvc = |class: &str| {
        plain(
            "v1",
            "PersistentVolumeClaim",
            &format!("spec: {{storageClassName: {class}, resources: {{requests: {{storage: 1Gi}}}}}}"),
        )
    };
    let statefulset = DEPLOYMENT.replace("kind: Deployment", "kind: StatefulSet");
    let budget = |least: &str| {
        plain(
            "policy/v1",
            "PodDisruptionBudget",
            &format!("spec: {{minAvailable: {least}, selector: {{matchLabels: {{app: web}}}}}}"),
        )
    };
    let service = |app: &str| {
        plain("v1", "Service", &format!("spec: {{selector: {{app: {app}}}, ports: [{{port: 80}}]}}"))
    };
    let both = |a: &str, b: &str| format!("{a}\n---\n{b}");
    let sa = "{kind: ServiceAccount, name: web}";
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: canary-4711}\n";
    let reads =
        with("        readinessProbe", "        envFrom: [{secretRef: {name: db}}]\n        readinessProbe");
    let quota =
        |cpu: &str| plain("v1", "ResourceQuota", &format!("spec: {{hard: {{requests.cpu: '{cpu}'}}}}"));
    let asks = |cpu: &str| {
        with(
            "        readinessProbe",
            &format!("        resources: {{requests: {{cpu: {cpu}}}}}\n        readinessProbe"),
        )
    };
    let job = |text: &str| {
        plain(
            "batch/v1",
            "Job",
            &format!(
                "spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: registry.example/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, args: [{text}]}}]}}}}}}"
            ),
        )
    };
    let definition = |versions: &str| {
        let spec = format!(
            "spec: {{group: x.example, scope: Namespaced, names: {{kind: A, plural: as}}, versions: [{versions}]}}"
        );
        plain("apiextensions.k8s.io/v1", "CustomResourceDefinition", &spec)
            .replace("name: a", "name: as.x.example")
    };
    let chart = |version: &str| {
        plain("v1", "ConfigMap", "")
            .replace("{name: a}", &format!("{{name: a, labels: {{helm.sh/chart: web-ui-{version}}}}}"))
    };
    let network = |app: &str| {
        plain(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            &format!("spec: {{podSelector: {{matchLabels: {{app: {app}}}}}}}"),
        )
    };
    #[rustfmt::skip]
    let cases: Vec<(&str, String, String, Vec<&str>)> = vec![
        ("a delete", plain("v1", "ConfigMap", ""), String::new(), vec!["deletes warning"]),
        ("a generated name", plain("v1", "ConfigMap", "").replace("name: a", "name: a-0123456789"), plain("v1", "ConfigMap", "").replace("name: a", "name: a-bcdfghkmtt"), vec!["deletes note"]),
        ("a generated name of another", plain("v1", "ConfigMap", "").replace("name: a", "name: a-0123456789"), plain("v1", "ConfigMap", "").replace("name: a", "name: b-bcdfghkmtt"), vec!["deletes warning"]),
        ("a delete that stays", plain("v1", "ConfigMap", "").replace("{name: a}", "{name: a, annotations: {fairlead.dev/prune: never}}"), String::new(), vec!["deletes warning"]),
        ("a namespace stays", plain("v1", "Namespace", ""), String::new(), vec!["removesNamespace warning"]),
        ("a namespace goes", plain("v1", "Namespace", "").replace("{name: a}", "{name: a, annotations: {fairlead.dev/prune: allowed}}"), String::new(), vec!["removesNamespace error"]),
        ("a definition", definition(""), String::new(), vec!["removesDefinition warning"]),
        ("a volume", pvc("a"), String::new(), vec!["removesVolume warning"]),
        ("a storage class", plain("storage.k8s.io/v1", "StorageClass", "provisioner: x"), String::new(), vec!["removesStorageClass error"]),
        ("a stateful set", statefulset.clone(), String::new(), vec!["removesStatefulSet error"]),
        ("a network policy", network("web"), String::new(), vec!["removesNetworkPolicy error"]),
        ("a budget", budget("1"), String::new(), vec!["removesDisruptionBudget error"]),
        ("a new role", String::new(), role(READ), vec!["widensRbac note"]),
        ("a role that lets more", role(READ), role("{apiGroups: [''], resources: [configmaps], verbs: [get, list, update]}"), vec!["widensRbac warning"]),
        ("a role that lets less", role(READ), role("{apiGroups: [''], resources: [configmaps], verbs: [get]}"), vec![]),
        ("the same in other words", role(READ), role("{apiGroups: [''], resources: [configmaps], verbs: [list]}, {apiGroups: [''], resources: [configmaps], verbs: [get]}"), vec![]),
        ("names fall away", role("{apiGroups: [''], resources: [configmaps], resourceNames: [a], verbs: [get]}"), role("{apiGroups: [''], resources: [configmaps], verbs: [get]}"), vec!["widensRbac warning"]),
        ("a wildcard was there", role("{apiGroups: ['*'], resources: ['*'], verbs: ['*']}"), role("{apiGroups: [''], resources: [secrets], verbs: [get]}"), vec![]),
        ("secrets", role(READ), role("{apiGroups: [''], resources: [configmaps, secrets], verbs: [get, list]}"), vec!["widensRbac error"]),
        ("all of a kind's verbs", role(READ), role("{apiGroups: [''], resources: [configmaps], verbs: ['*']}"), vec!["widensRbac error"]),
        ("impersonate", role(READ), role("{apiGroups: [''], resources: [users], verbs: [impersonate]}"), vec!["widensRbac error"]),
        ("bind", role(READ), role("{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [bind]}"), vec!["widensRbac error"]),
        ("commands in pods", role(READ), role("{apiGroups: [''], resources: [pods/exec], verbs: [create]}"), vec!["widensRbac error"]),
        ("a label that adds to a role", role(READ), role(READ).replace("{name: a}", "{name: a, labels: {rbac.authorization.k8s.io/aggregate-to-edit: 'true'}}"), vec!["widensRbac warning"]),
        ("a new binding", String::new(), binding("RoleBinding", "Role, name: a", sa), vec!["widensRbac warning"]),
        ("one more subject", binding("RoleBinding", "Role, name: a", sa), binding("RoleBinding", "Role, name: a", "{kind: ServiceAccount, name: web}, {kind: User, name: ada}"), vec!["widensRbac warning"]),
        ("everybody", binding("RoleBinding", "Role, name: a", sa), binding("RoleBinding", "Role, name: a", "{kind: Group, name: 'system:authenticated'}"), vec!["widensRbac error"]),
        ("an administrator", String::new(), binding("ClusterRoleBinding", "ClusterRole, name: cluster-admin", sa), vec!["widensRbac error"]),
        ("another role", binding("RoleBinding", "Role, name: a", sa), binding("RoleBinding", "Role, name: b", sa), vec!["immutable error", "widensRbac warning"]),
        ("privileged", DEPLOYMENT.to_owned(), with("runAsNonRoot: true", "runAsNonRoot: true, privileged: true"), vec!["gainsPrivileges error"]),
        ("a capability", DEPLOYMENT.to_owned(), with("runAsNonRoot: true", "runAsNonRoot: true, capabilities: {add: [SYS_ADMIN]}"), vec!["gainsPrivileges error"]),
        ("escalation", DEPLOYMENT.to_owned(), with("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"), vec!["gainsPrivileges warning", "gainsPrivileges warning"]),
        ("a fence less", DEPLOYMENT.to_owned(), with("allowPrivilegeEscalation: false, ", ""), vec!["gainsPrivileges warning"]),
        ("root", DEPLOYMENT.to_owned(), with("runAsNonRoot: true", "runAsUser: 0"), vec!["gainsPrivileges warning", "gainsPrivileges warning"]),
        ("the node's network", DEPLOYMENT.to_owned(), with("      containers:", "      hostNetwork: true\n      containers:"), vec!["gainsHostAccess error"]),
        ("the node's processes", DEPLOYMENT.to_owned(), with("      containers:", "      hostPID: true\n      containers:"), vec!["gainsHostAccess error"]),
        ("the node's memory", DEPLOYMENT.to_owned(), with("      containers:", "      hostIPC: true\n      containers:"), vec!["gainsHostAccess error"]),
        ("the node's files", DEPLOYMENT.to_owned(), with("      containers:", "      volumes: [{name: a, hostPath: {path: /etc}}]\n      containers:"), vec!["gainsHostAccess error"]),
        ("the node's port", DEPLOYMENT.to_owned(), with("        readinessProbe", "        ports: [{containerPort: 80, hostPort: 80}]\n        readinessProbe"), vec!["gainsHostAccess warning"]),
        ("no replicas", DEPLOYMENT.to_owned(), with("replicas: 3", "replicas: 0"), vec!["scaledToZero error"]),
        ("fewer than a budget wants", both(DEPLOYMENT, &budget("3")), both(&with("replicas: 3", "replicas: 2"), &budget("3")), vec!["belowDisruptionBudget warning"]),
        ("a budget that wants more", both(DEPLOYMENT, &budget("1")), both(DEPLOYMENT, &budget("4")), vec!["belowDisruptionBudget warning", "downtime warning"]),
        ("one replica", DEPLOYMENT.to_owned(), with("replicas: 3", "replicas: 1"), vec!["downtime warning"]),
        ("all at once", DEPLOYMENT.to_owned(), with("  replicas: 3", "  replicas: 3\n  strategy: {type: Recreate}"), vec!["downtime warning"]),
        ("all at once, as before", with("  replicas: 3", "  replicas: 3\n  strategy: {type: Recreate}"), with("  replicas: 3", "  replicas: 3\n  strategy: {type: Recreate}").replace("path: /,", "path: /ready,"), vec!["downtime note"]),
        ("an image by digest", DEPLOYMENT.to_owned(), with("sha256:0123", "sha256:3210"), vec!["imageChanged note"]),
        ("an image by tag", DEPLOYMENT.to_owned(), image("registry.example/web:1"), vec!["imageByTag warning", "imageChanged note"]),
        ("another tag", image("registry.example/web:1.2"), image("registry.example/web:1.3"), vec!["imageChanged note"]),
        ("a major version", image("registry.example/web:v1.2"), image("registry.example/web:v2.0"), vec!["imageMajor warning", "imageChanged note"]),
        ("latest", image("registry.example/web:1"), image("registry.example/web"), vec!["imageLatest warning", "imageChanged note"]),
        ("another registry", image("registry.example/web:1"), image("other.example/web:1"), vec!["imageRegistry warning", "imageChanged note"]),
        ("the first image from there", DEPLOYMENT.to_owned(), with("      containers:", "      initContainers: [{name: b, image: 'other.example/b:1'}]\n      containers:"), vec!["imageRegistry warning", "imageByTag note"]),
        ("a chart", chart("1.9.0"), chart("2.0.0"), vec!["chartMajor warning"]),
        ("a chart a little newer", chart("1.9.0"), chart("1.10.0"), vec![]),
        ("a selector of a workload", DEPLOYMENT.to_owned(), DEPLOYMENT.replace("app: web}", "app: web, b: c}"), vec!["immutable error", "selector warning"]),
        ("a selector of a service", both(&service("web"), DEPLOYMENT), both(&service("other"), DEPLOYMENT), vec!["selector warning", "selector warning"]),
        ("pods that a service selected", both(&service("web"), DEPLOYMENT), both(&service("web"), &DEPLOYMENT.replace("app: web}", "app: new}")), vec!["immutable error", "selector warning", "selector warning"]),
        ("a selector of a network policy", network("web"), network("all"), vec!["selector warning"]),
        ("a claim's class", pvc("a"), pvc("b"), vec!["immutable error"]),
        ("a claim's size", pvc("a"), pvc("a").replace("1Gi", "2Gi"), vec![]),
        ("a job", job("a"), job("b"), vec!["recreates warning"]),
        ("a stateful set's storage", statefulset.clone(), statefulset.replace("  replicas: 3", "  replicas: 3\n  serviceName: b"), vec!["immutable error"]),
        ("a removed version", String::new(), plain("policy/v1beta1", "PodDisruptionBudget", "spec: {}"), vec!["removedApi error"]),
        ("a version of Kubernetes that is none", String::new(), plain("networking.k8s.io/v7", "Ingress", "spec: {}"), vec!["removedApi error"]),
        ("a version of a definition", definition("{name: v1, served: true}, {name: v1alpha1, served: true}"), definition("{name: v1, served: true}, {name: v1alpha1, served: false}"), vec!["removedApi warning"]),
        ("a Secret that pods need", both(secret, &reads), reads.clone(), vec!["secretMissing error", "deletes warning"]),
        ("a Secret that pods begin to need and that goes", both(secret, DEPLOYMENT), reads.clone(), vec!["secretMissing error", "deletes warning"]),
        ("a quota", both(&quota("3"), &asks("1")), both(&quota("3"), &asks("2")), vec!["quotaExceeded error"]),
        ("a quota that shrinks", both(&quota("3"), &asks("1")), both(&quota("2"), &asks("1")), vec!["quotaExceeded error"]),
        ("an app that cannot be made", DEPLOYMENT.to_owned(), "a: [".to_owned(), vec!["broken error"]),
    ];
    for (name, before, after, expected) in cases {
        assert_eq!(told(change(&before, &after)), expected, "{name}");
        if !after.contains("a: [") {
            assert_eq!(
                told(change(&after, &after)),
                Vec::<String>::new(),
                "{name}: what was so before is no news"
            );
        }
    }
}

#[test]
fn an_app_that_is_broken_deletes_nothing() {
    let report = report(&[change(DEPLOYMENT, "a: [")]);
    assert_eq!(report.environments[0].counts.delete, 0);
    assert_eq!(report.verdict, crate::review::Verdict::Refused);
    let place = report.risks().next().unwrap().place.clone().unwrap();
    assert_eq!(place.to_string(), "web/all.yaml:1");
}

#[test]
fn an_object_that_moves_to_another_app_is_not_deleted() {
    let map = plain("v1", "ConfigMap", "data: {a: b}");
    let mut moved = change(&map, "");
    moved.after = Ok(vec![app("web", ""), app("other", &map)]);
    let report = report(&[moved]);
    assert_eq!(report.risks().count(), 0);
    let changed = &report.environments[0].apps[0].objects[0];
    assert_eq!(changed.moved_from.as_deref(), Some("web"));
}

fn live<'a>(change: &'a mut Change<'static>) -> &'a mut LiveSide {
    change.live.get_or_insert_with(|| LiveSide {
        plan: PlanReport { environment: "dev".to_owned(), revision: None, apps: Vec::new(), prune: None },
        quotas: Vec::new(),
        missing: std::collections::BTreeSet::new(),
        unreadable: Vec::new(),
    })
}

#[test]
fn what_the_cluster_says_has_its_classes() {
    let changed = || change(DEPLOYMENT, &with("path: /,", "path: /ready,"));
    let app = || AppName::new("web").unwrap();

    let mut stopped = changed();
    stopped.stops.push(Stop { app: None, why: "it is suspended".to_owned() });
    assert_eq!(told(stopped), ["willNotRollOut warning"]);
    let mut idle = change(DEPLOYMENT, DEPLOYMENT);
    idle.stops.push(Stop { app: None, why: "it is suspended".to_owned() });
    assert_eq!(told(idle), Vec::<String>::new(), "nothing would roll out anyway");

    let mut over = changed();
    live(&mut over).plan.prune =
        Some(PruneReport { halts: vec!["too many".to_owned()], ..PruneReport::default() });
    assert_eq!(told(over), ["pruneOverBudget error"]);

    let mut unreadable = changed();
    live(&mut unreadable).unreadable.push((app(), "aws-sm:a is not there".to_owned()));
    assert_eq!(told(unreadable), ["secretUnreadable error"]);

    let needs =
        with("        readinessProbe", "        envFrom: [{secretRef: {name: db}}]\n        readinessProbe");
    let mut missing = change(DEPLOYMENT, &needs);
    let wanted = super::outside(&missing.before, missing.after.as_ref().unwrap());
    assert_eq!(wanted.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Secret web/db"]);
    live(&mut missing);
    assert_eq!(told(change(DEPLOYMENT, &needs)), Vec::<String>::new(), "nobody looked");
    live(&mut missing).missing = wanted;
    assert_eq!(told(missing), ["secretMissing error"]);

    let mut taken = changed();
    let mut plan = AppPlan::broken("web", Vec::new());
    plan.digest = Some(Digest::of(b"a"));
    plan.taken.push(("Deployment.apps web/web".to_owned(), "it was not made by Fairlead".to_owned()));
    plan.warnings.push("it is deprecated".to_owned());
    live(&mut taken).plan.apps.push(plan);
    assert_eq!(told(taken), ["policy warning", "takesOver warning"]);

    let mut wrong = changed();
    live(&mut wrong).plan.apps.push(AppPlan::broken("web", vec![Problem::new("a circle")]));
    assert_eq!(told(wrong), ["broken error"]);
}

#[test]
fn a_quota_of_the_cluster_counts_what_is_used() {
    let asks = |cpu: &str| {
        with(
            "        readinessProbe",
            &format!("        resources: {{requests: {{cpu: {cpu}}}}}\n        readinessProbe"),
        )
    };
    let quota = |used: &str| Quota {
        namespace: "web".to_owned(),
        name: "all".to_owned(),
        hard: serde_json::json!({"requests.cpu": "10", "pods": "3"}),
        used: serde_json::json!({"requests.cpu": used, "pods": "3"}),
    };
    for (used, expected) in
        [("6", vec![]), ("8", vec!["quotaExceeded error"]), ("7500m", vec!["quotaExceeded error"])]
    {
        // Three replicas ask for one more each.
        let mut change = change(&asks("1"), &asks("2"));
        live(&mut change).quotas.push(quota(used));
        assert_eq!(told(change), expected, "{used}");
    }
    let mut less = change(&asks("2"), &asks("1"));
    live(&mut less).quotas.push(quota("12"));
    assert_eq!(told(less), Vec::<String>::new(), "who asks for less is not to blame");
}

#[test]
fn policies_are_told_where_they_are_new() {
    let finding = |severity, message: &str| Finding {
        key: None,
        place: None,
        pointer: "/spec".to_owned(),
        severity,
        message: message.to_owned(),
        hint: None,
    };
    let mut broken = change(DEPLOYMENT, &with("path: /,", "path: /ready,"));
    broken.before[0].findings = vec![finding(Word::Warn, "old")];
    broken.after.as_mut().unwrap()[0].findings =
        vec![finding(Word::Warn, "old"), finding(Word::Warn, "new"), finding(Word::Deny, "worse")];
    let report = report(&[broken]);
    let told: Vec<_> = report.risks().map(|risk| (risk.class, risk.severity, &*risk.message)).collect();
    assert_eq!(
        told,
        [(RiskClass::Policy, Severity::Error, "worse"), (RiskClass::Policy, Severity::Warning, "new")]
    );
    assert_eq!(report.verdict, crate::review::Verdict::Refused);
}

#[test]
fn a_chart_of_an_app_jumps() {
    let mut jump = change(DEPLOYMENT, DEPLOYMENT);
    jump.before[0].chart = Some(("web".to_owned(), "1.2.3".to_owned()));
    jump.after.as_mut().unwrap()[0].chart = Some(("web".to_owned(), "2.0.0".to_owned()));
    assert_eq!(told(jump), ["chartMajor warning"]);
}

#[test]
fn digits_of_a_commit_are_no_version() {
    use super::images::major;
    for (tag, expected) in [
        ("1.2.3", Some(1)),
        ("v12", Some(12)),
        ("16-alpine", Some(16)),
        ("20261130", None),
        ("3f2a1bc", None),
        ("latest", None),
        ("", None),
    ] {
        assert_eq!(major(tag), expected, "{tag}");
    }
}
