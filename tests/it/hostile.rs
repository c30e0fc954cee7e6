//! Two teams on one agent, one of them hostile: what it commits is made up from a seed, while the other's commits are timed
//! with and without it, in one run. Nothing of the other's is read, written or deleted.
//!
//! `FAIRLEAD_SEED` tells which is made up, and `FAIRLEAD_HOSTILE` how many rounds of it.

use std::fmt::Write;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::bed::manifests::configmap;

/// What must be in nobody's hands but its owner's.
const CANARY: &str = "canary-3f9d1c";
/// Commits of the other team that are timed, in each half.
const COMMITS: usize = 5;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// One hostile commit: its files, and the lines of its `environment.yaml`.
struct Commit {
    files: Vec<(String, String)>,
    apps: Vec<String>,
    more: String,
}

impl Commit {
    fn new(random: &mut Rng, round: usize, other: &str) -> Self {
        let mut commit = Self { files: Vec::new(), apps: Vec::new(), more: String::new() };
        for n in 0..random.usize(2..5) {
            let name = format!("r{round}a{n}");
            let kind = random.u8(0..9);
            commit.app(random, &name, kind, other);
        }
        commit.more = match random.u8(0..4) {
            // Patterns and lists that take for ever, where nothing bounds them.
            0 => {
                "rollout: {health: [{kind: ConfigMap, healthy: 'data.exists(a, data.exists(b, data.exists(c, \
                  a.matches(\"(x+x+)+y\") && b != c)))'}]}"
                    .to_owned()
            }
            1 => "rollout: {prune: {max: 1000000, percent: 100}, timeout: 7d}".to_owned(),
            2 => format!("rollout: {{timeout: {}h}}", random.u32(1..u32::MAX)),
            _ => String::new(),
        };
        commit
    }

    fn app(&mut self, random: &mut Rng, name: &str, kind: u8, other: &str) {
        let mut files = Vec::new();
        let mut file = |path: &str, content: String| files.push((format!("{name}/{path}"), content));
        match kind {
            // Many files just below the limits.
            0 => {
                for n in 0..random.usize(4..12) {
                    let entries = "- {a: b}\n".repeat(random.usize(30_000..120_000));
                    file(
                        &format!("{n}.yaml"),
                        format!("{}spec:\n{entries}", object("Large", &format!("l{n}"))),
                    );
                }
            }
            // What belongs to others.
            1 => {
                for namespace in [other, "kube-system", "default", "fairlead", "fairlead-state"] {
                    let seized = configmap("seized", "1")
                        .replace("metadata: {", &format!("metadata: {{namespace: {namespace}, "));
                    file(&format!("{namespace}.yaml"), seized);
                }
            }
            // A namespace that comes by a patch.
            2 => {
                file("map.yaml", configmap("seized", "1"));
                let patch = format!("[{{op: add, path: /metadata/namespace, value: {other}}}]");
                file(
                    "kustomization.yaml",
                    format!(
                        "resources: [map.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: '{patch}'\n"
                    ),
                );
            }
            // Where nothing of ours is.
            3 => {
                let url = *random
                    .choice(&[
                        "https://169.254.169.254/latest/meta-data",
                        "http://127.0.0.1:10250/pods",
                        "../../../../../../etc",
                        "git::file:///etc",
                        "/var/run/secrets",
                    ])
                    .unwrap_or(&"/");
                file("kustomization.yaml", format!("resources: ['{url}']\n"));
            }
            // Aliases, and depth.
            4 => {
                let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
                for n in 1..12 {
                    let before = format!("*a{}, ", n - 1).repeat(8);
                    let _ = writeln!(text, "a{n}: &a{n} [{before}]");
                }
                file("bomb.yaml", object("Bomb", "bomb") + &text);
                let deep = "{a: ".repeat(random.usize(50..5_000));
                file("deep.yaml", object("Deep", "deep") + "spec: " + &deep);
            }
            // Words that mean something to others.
            5 => {
                let huge = "z".repeat(random.usize(1..260_000));
                let annotations = json!({
                    "fairlead.dev/wave": random.i64(..).to_string(),
                    "config.kubernetes.io/depends-on": format!("/namespaces/{other}/ConfigMap/web,").repeat(200),
                    "applyset.kubernetes.io/part-of": "applyset-another",
                    "x": huge,
                });
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                    "name": "words", "annotations": annotations,
                    "labels": {"fairlead.dev/environment": other, "app.kubernetes.io/managed-by": "\u{202e}"}}});
                file("words.yaml", object.to_string());
            }
            // A Secret of somebody else's.
            6 => {
                let reference = format!("${{aws-sm:{other}/production/db#password}}");
                let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stolen"},
                    "stringData": {"a": reference}});
                file("secret.yaml", object.to_string());
            }
            // A chart that looks around, and does not end.
            7 => {
                file("Chart.yaml", format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n"));
                let template = "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}\n\
                                a: {{ lookup \"v1\" \"Secret\" \"\" \"\" | toJson }}\nb: {{ env \"PATH\" }}\n";
                file("templates/a.yaml", template.to_owned());
            }
            // Bytes.
            _ => {
                let bytes: String =
                    (0..random.usize(1..20_000)).map(|_| random.char('\u{1}'..'\u{3000}')).collect();
                file("bytes.yaml", bytes);
            }
        }
        let source = if kind == 7 { "chart" } else { "path" };
        self.apps.push(format!("{{name: {name}, {source}: {name}}}"));
        self.files.append(&mut files);
    }

    fn push(&self, bed: &Bed) {
        let (path, config) = bed.config(&self.apps.join(", "), &self.more);
        let mut files = vec![(path.as_str(), config.as_str())];
        files.extend(self.files.iter().map(|(path, content)| (path.as_str(), content.as_str())));
        bed.commit(&files);
    }
}

fn object(kind: &str, name: &str) -> String {
    format!("apiVersion: example.org/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
}

/// How long a commit of the other team takes until it runs.
fn timed(bed: &Bed, value: &str) -> Duration {
    let began = Instant::now();
    bed.wait_ready(&bed.commit_web(&configmap("web", value)));
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn objects(bed: &Bed, namespace: &str) -> Value {
    let mut all = Vec::new();
    for plural in ["configmaps", "secrets"] {
        let list = bed.api().get(&format!("/api/v1/namespaces/{namespace}/{plural}")).expect("a list");
        for item in list["items"].as_array().expect("items") {
            let metadata = &item["metadata"];
            all.push(json!([plural, metadata["name"], metadata["uid"], metadata["resourceVersion"]]));
        }
    }
    json!(all)
}

#[test]
fn a_hostile_team_takes_nothing_of_the_others_and_little_of_their_time() {
    let seed = number("FAIRLEAD_SEED", 1);
    let rounds = usize::try_from(number("FAIRLEAD_HOSTILE", 6)).expect("it fits");
    let mut random = Rng::with_seed(seed);
    let (hostile, other) = (Bed::new("villain"), Bed::new("victim"));
    let _agent = hostile.agent_of(&[&hostile.name, &other.name]);
    timed(&other, "first");
    let namespace = other.name.as_str();
    other.api().create(&json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": CANARY},
        "metadata": {"name": "canary", "namespace": namespace}}));
    let quiet = median((0..COMMITS).map(|n| timed(&other, &format!("quiet-{n}"))).collect());
    let before = objects(&other, namespace);

    let mut times = Vec::new();
    for round in 0..rounds.max(COMMITS) {
        Commit::new(&mut random, round, namespace).push(&hostile);
        times.push(timed(&other, &format!("round-{round}")));
    }
    let beside = median(times);
    let ratio = beside.as_secs_f64() / quiet.as_secs_f64();
    println!("seed {seed}: {quiet:?} alone, {beside:?} beside a hostile team: {ratio:.2} times");
    // Wanted are 1.5 times on a quiet machine; one that runs other tests as well needs more.
    assert!(beside < quiet * 4 + Duration::from_secs(5), "seed {seed}: {quiet:?} and {beside:?}");

    let after = objects(&other, namespace);
    let names = |all: &Value| {
        let all = all.as_array().expect("a list");
        all.iter().map(|one| (one[0].clone(), one[1].clone(), one[2].clone())).collect::<Vec<_>>()
    };
    assert_eq!(
        names(&before),
        names(&after),
        "seed {seed}: nothing came, nothing went, nothing was made anew"
    );
    let canary =
        |all: &Value| all.as_array().and_then(|all| all.iter().find(|one| one[1] == "canary")).cloned();
    assert_eq!(canary(&before), canary(&after), "seed {seed}");
    for namespace in [namespace, "kube-system", "default"] {
        let seized = other.api().get(&format!("/api/v1/namespaces/{namespace}/configmaps/seized"));
        assert!(seized.is_none(), "seed {seed}: {seized:?}");
    }
    let told = format!("{} {}", hostile.environment(), hostile.events().join(" "));
    assert!(!told.contains(CANARY), "seed {seed}: {told}");
    assert!(hostile.status().to_string().len() < 256 << 10, "seed {seed}");
}
