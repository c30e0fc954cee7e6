use super::*;
use crate::object::{AppName, Origin, Place, TreePath};
use crate::region::RegionName;

const AT_3: Starts = Starts::At { epoch: Epoch(3), ends: false };

fn part(scale: Scale, writers: Option<u64>, consumers: Option<u64>, traffic: bool) -> Part {
    let region = RegionName::new("eu-west-1").unwrap();
    Part { region, scale, writers: writers.map(Epoch), consumers: consumers.map(Epoch), traffic }
}

fn standby() -> Part {
    part(Scale::Warm, None, None, false)
}

fn active() -> Part {
    part(Scale::Full, Some(3), Some(3), true)
}

fn object(api: &str, kind: &str, name: &str, marked: &str, spec: Value) -> Manifest {
    let mut value = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec});
    if !marked.is_empty() {
        value["metadata"]["annotations"] = json!({REGION_PART: marked});
    }
    Manifest::new(&value, Origin::new(Place::file(TreePath::new("web.yaml").unwrap()))).unwrap()
}

fn shaped(part: &Part, objects: Vec<Manifest>) -> Vec<Value> {
    let desired = Desired::new(AppName::new("web").unwrap(), objects, Vec::new());
    part.shape(desired).unwrap().objects.iter().map(Manifest::value).collect()
}

fn one(part: &Part, manifest: Manifest) -> Option<Value> {
    shaped(part, vec![manifest]).pop()
}

#[test]
fn what_git_says_nothing_of_runs_only_where_the_region_holds() {
    let web = || object("apps/v1", "Deployment", "web", "", json!({"replicas": 4}));
    let there = one(&standby(), web()).unwrap();
    assert_eq!(
        (&there["spec"]["replicas"], starts("apps", "Deployment", &there)),
        (&json!(0), Starts::Nothing)
    );
    let there = one(&active(), web()).unwrap();
    assert_eq!((&there["spec"]["replicas"], starts("apps", "Deployment", &there)), (&json!(4), AT_3));
    assert_eq!(starts("apps", "Deployment", &web().value()), Starts::Unknown);
    let there = one(&active(), object("apps/v1", "Deployment", "web", "", json!({}))).unwrap();
    assert_eq!(there["spec"]["replicas"], 1, "what was stopped would stay so if nobody said how many");
    for (api, kind) in [("batch/v1", "CronJob"), ("batch/v1", "Job")] {
        let there = one(&standby(), object(api, kind, "x", "", json!({}))).unwrap();
        assert_eq!(there["spec"]["suspend"], true, "{kind}");
    }
    let there = one(&standby(), object("apps/v1", "DaemonSet", "x", "", json!({}))).unwrap();
    assert_eq!(starts("apps", "DaemonSet", &there), Starts::Nothing);
    assert_eq!(one(&standby(), object("v1", "Pod", "x", "", json!({}))), None);
}

#[test]
fn what_does_not_write_runs_in_a_warm_standby_and_not_in_a_cold_one() {
    let web = |count: u64| object("apps/v1", "Deployment", "web", "reader", json!({"replicas": count}));
    let cold = part(Scale::Nothing, None, None, false);
    for (part, count, wanted) in [(standby(), 4, 1), (standby(), 0, 0), (cold, 4, 0), (active(), 4, 4)] {
        let there = one(&part, web(count)).unwrap();
        assert_eq!(there["spec"]["replicas"], wanted);
        assert_eq!(starts("apps", "Deployment", &there), Starts::Nothing, "it needs no fence");
    }
}

#[test]
fn consumers_and_traffic_come_after_the_writers() {
    let writers = part(Scale::Full, Some(3), None, false);
    let objects = || {
        vec![
            object("apps/v1", "Deployment", "web", "", json!({})),
            object("apps/v1", "Deployment", "queue", "consumer", json!({})),
            object("batch/v1", "CronJob", "nightly", "", json!({})),
            object("networking.k8s.io/v1", "Ingress", "web", "", json!({})),
            object("v1", "Service", "gate", "traffic", json!({})),
            object("v1", "Service", "web", "", json!({})),
        ]
    };
    let names = |part: &Part| -> Vec<String> {
        let runs = |object: &Value| match starts("apps", object["kind"].as_str().unwrap(), object) {
            Starts::At { epoch, .. } => {
                format!("{} at {epoch}", object["metadata"]["name"].as_str().unwrap())
            }
            _ => object["metadata"]["name"].as_str().unwrap().to_owned(),
        };
        shaped(part, objects()).iter().map(runs).collect()
    };
    assert_eq!(names(&standby()), ["web", "queue", "nightly", "web"]);
    assert_eq!(names(&writers), ["web at 3", "queue", "nightly", "web"]);
    assert_eq!(names(&active()), ["web at 3", "queue at 3", "nightly", "web", "gate", "web"]);
}

#[test]
fn an_autoscaler_comes_when_what_it_scales_runs() {
    let objects = || {
        let target = json!({"minReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}});
        vec![
            object("apps/v1", "Deployment", "web", "", json!({})),
            object("autoscaling/v2", "HorizontalPodAutoscaler", "web", "", target),
        ]
    };
    let there = shaped(&standby(), objects());
    assert_eq!((there.len(), &there[0]["spec"]["replicas"]), (1, &json!(0)));
    let there = shaped(&part(Scale::Full, Some(3), None, false), objects());
    assert_eq!(
        (there.len(), &there[0]["spec"]["replicas"]),
        (1, &json!(3)),
        "as many as it would see to at least"
    );
    let there = shaped(&active(), objects());
    assert_eq!((there.len(), &there[0]["spec"]["replicas"]), (2, &Value::Null));
}

#[test]
fn a_hook_writes_and_so_runs_with_the_writers() {
    let hook = || {
        let mut value = object("batch/v1", "Job", "migrate", "", json!({})).value();
        value["metadata"]["annotations"] = json!({HOOK: "before"});
        Manifest::new(&value, Origin::new(Place::file(TreePath::root()))).unwrap()
    };
    assert_eq!(one(&standby(), hook()), None);
    assert_eq!(starts("batch", "Job", &one(&active(), hook()).unwrap()), AT_3);
}

#[test]
fn what_runs_is_stopped_by_a_patch_and_what_does_not_is_left_alone() {
    let web = object("apps/v1", "Deployment", "web", "", json!({"replicas": 4})).value();
    assert_eq!(stop("apps", "Deployment", &web), Some(json!({"spec": {"replicas": 0}})));
    let stopped = object("apps/v1", "Deployment", "web", "", json!({"replicas": 0})).value();
    assert_eq!(stop("apps", "Deployment", &stopped), None);
    assert!(is_fenced("apps", "Deployment", &stopped));
    let reader = object("apps/v1", "Deployment", "web", "reader", json!({"replicas": 4})).value();
    assert_eq!(stop("apps", "Deployment", &reader), None);
    assert!(!is_fenced("apps", "Deployment", &reader));
}

#[test]
fn a_custom_resource_that_writes_is_there_where_it_may_run_and_is_stopped_by_going() {
    let database = || object("db.example.com/v1", "Cluster", "main", "writer", json!({"replicas": 3}));
    assert_eq!(one(&standby(), database()), None);
    let there = one(&active(), database()).unwrap();
    assert_eq!(starts("db.example.com", "Cluster", &there), AT_3);
    assert_eq!(there["spec"], json!({"replicas": 3}));
    assert!(stops_by_going("db.example.com", "Cluster", &there));
    assert_eq!(stop("db.example.com", "Cluster", &there), None, "nobody knows how to stop it");
    let unmarked = object("db.example.com/v1", "Cluster", "main", "", json!({}));
    assert!(!stops_by_going("db.example.com", "Cluster", &one(&standby(), unmarked).unwrap()));
    let scaler = object("keda.sh/v1alpha1", "ScaledObject", "x", "writer", json!({})).value();
    assert_eq!(starts("keda.sh", "ScaledObject", &scaler), Starts::Nothing);
    assert!(is_custom("jobset.x-k8s.io") && !is_custom("gateway.networking.k8s.io") && !is_custom("apps"));
}

#[test]
fn what_is_not_here_is_named_as_being_elsewhere() {
    let objects = vec![
        object("networking.k8s.io/v1", "Ingress", "web", "", json!({})),
        object("v1", "ConfigMap", "web", "", json!({})),
    ];
    let elsewhere = |part: Part| {
        let shaped =
            part.shape(Desired::new(AppName::new("web").unwrap(), objects.clone(), Vec::new())).unwrap();
        shaped.elsewhere.iter().map(|object| object.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((elsewhere(standby()), elsewhere(active())), (vec!["web".to_owned()], Vec::new()));
}

#[test]
fn a_word_that_nobody_knows_is_refused_with_its_file() {
    let desired = vec![object("apps/v1", "Deployment", "web", "writes", json!({}))];
    let desired = Desired::new(AppName::new("web").unwrap(), desired, Vec::new());
    let error = standby().shape(desired).unwrap_err();
    let error = error.as_slice()[0].to_string();
    assert!(error.contains("web.yaml") && error.contains("not one of writer, consumer"), "{error}");
}
