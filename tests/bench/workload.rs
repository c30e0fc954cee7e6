//! What is applied: objects of a median of 3 KiB, in files of twenty.

use serde::Serialize;
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Workload {
    pub name: &'static str,
    pub count: usize,
    kind: &'static str,
    /// How often the first apply of each subject is measured.
    pub rounds: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Phase {
    First,
    OnePercent,
    Nothing,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first apply",
            Self::OnePercent => "1 % changed",
            Self::Nothing => "no change",
        }
    }

    /// Which round an object carries: 1 % of them move on in the second phase.
    fn round(self, n: usize) -> u32 {
        match self {
            Self::First => 1,
            Self::OnePercent | Self::Nothing => {
                if n.is_multiple_of(100) {
                    2
                } else {
                    1
                }
            }
        }
    }
}

impl Workload {
    pub fn all() -> Vec<Self> {
        vec![
            Self { name: "configmaps-1k", count: 1_000, kind: "ConfigMap", rounds: 3 },
            Self { name: "deployments-1k", count: 1_000, kind: "Deployment", rounds: 3 },
            Self { name: "configmaps-10k", count: 10_000, kind: "ConfigMap", rounds: 1 },
        ]
    }

    /// ConfigMaps alone, under a name of its own.
    pub fn configmaps(name: &'static str, count: usize) -> Self {
        Self { name, count, kind: "ConfigMap", rounds: 1 }
    }

    /// What is asked for by name alone: enough to see that all of it can be measured.
    pub fn smoke() -> Self {
        Self { name: "smoke", count: 60, kind: "ConfigMap", rounds: 1 }
    }

    pub fn objects(&self, namespace: &str, phase: Phase) -> Vec<Value> {
        (0..self.count).map(|n| self.object(namespace, n, phase.round(n))).collect()
    }

    pub fn changed(&self, phase: Phase) -> usize {
        match phase {
            Phase::First => self.count,
            Phase::OnePercent => self.count.div_ceil(100),
            Phase::Nothing => 0,
        }
    }

    pub fn resource(&self) -> (&'static str, &'static str) {
        if self.kind == "ConfigMap" { ("api/v1", "configmaps") } else { ("apis/apps/v1", "deployments") }
    }

    fn object(&self, namespace: &str, n: usize, round: u32) -> Value {
        let name = format!("object-{n:05}");
        let metadata = json!({"name": name, "namespace": namespace, "labels": {"app": "bench", "part": format!("p{}", n % 10)}});
        if self.kind == "ConfigMap" {
            // 2 to 4 KiB, 3 in the median.
            let size = 2048 + (n * 7919) % 2049;
            let line = format!("setting-{n} = value of some length that a team would write here\n");
            let text: String = line.chars().cycle().take(size).collect();
            return json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                "data": {"round": round.to_string(), "settings.conf": text}});
        }
        let environment: Vec<Value> =
            (0..24).map(|k| json!({"name": format!("SETTING_{k}"), "value": format!("value {k} of object {n}, long enough")})).collect();
        let container = json!({
            "name": "web", "image": format!("example/web:{round}"), "env": environment,
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        });
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": format!("bench-{n}")}},
            "template": {"metadata": {"labels": {"app": format!("bench-{n}")}}, "spec": {"containers": [container]}}}})
    }

    /// The same as files of a repository.
    pub fn files(&self, namespace: &str, phase: Phase) -> Vec<(String, String)> {
        self.objects(namespace, phase)
            .chunks(20)
            .enumerate()
            .map(|(n, objects)| {
                let text: Vec<String> = objects.iter().map(Value::to_string).collect();
                (format!("objects-{n:04}.yaml"), text.join("\n---\n"))
            })
            .collect()
    }
}
