//! Random trees from a seed: a few objects, a base and one to three overlays with whatever a kustomization can say.
//!
//! Names and values come from small sets, so that patches hit, names collide and references meet.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fastrand::Rng;

pub type Files = BTreeMap<String, String>;

const NAMES: [&str; 5] = ["web", "db", "app", "job", "cfg"];
const KINDS: [&str; 12] = [
    "Deployment",
    "Service",
    "ConfigMap",
    "Secret",
    "StatefulSet",
    "CronJob",
    "ServiceAccount",
    "Ingress",
    "RoleBinding",
    "HorizontalPodAutoscaler",
    "Thing",
    "DaemonSet",
];
const IMAGES: [&str; 5] =
    ["nginx", "nginx:1.25", "reg.local:5000/a/app:v1", "busybox@sha256:abcd", "reg.local/app:v2@sha256:ef"];
const SCALARS: [&str; 16] = [
    "x",
    "\"x\"",
    "5",
    "\"5\"",
    "true",
    "\"true\"",
    "1.10",
    "'q'",
    "yes",
    "null",
    "0644",
    "1e3",
    "plain text",
    "\"\"",
    "8080",
    "~",
];

pub struct Tree<'r> {
    rng: &'r mut Rng,
    pub files: Files,
    /// Kind and name of what there is, so that most of what is said is about something.
    made: Vec<(&'static str, &'static str)>,
    /// Field and name of what is generated.
    generated: Vec<(&'static str, &'static str)>,
}

/// Of a hundred things said, so many are about nothing that there is.
const WRONG: u32 = 3;

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

impl<'r> Tree<'r> {
    /// The tree of a seed; its top folder is `overlay`.
    pub fn new(rng: &'r mut Rng) -> Self {
        let mut tree = Self { rng, files: Files::new(), made: Vec::new(), generated: Vec::new() };
        let layers = tree.rng.usize(1..4);
        for layer in 0..layers {
            let folder = match layer {
                nth if nth + 1 == layers => "overlay".to_owned(),
                nth => format!("layer{nth}"),
            };
            tree.layer(&folder, layer);
        }
        tree
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        pick(self.rng, from)
    }

    /// Something that there is, of one of some kinds where any are given.
    fn made(&mut self, kinds: &[&str]) -> Option<(&'static str, &'static str)> {
        if self.chance(WRONG) {
            return Some((pick(self.rng, &KINDS), pick(self.rng, &NAMES)));
        }
        let fit: Vec<_> =
            self.made.iter().filter(|(kind, _)| kinds.is_empty() || kinds.contains(kind)).copied().collect();
        (!fit.is_empty()).then(|| fit[self.rng.usize(..fit.len())])
    }

    fn layer(&mut self, folder: &str, nth: usize) {
        let mut text = String::new();
        let mut resources = Vec::new();
        if nth > 0 {
            resources.push(format!("../layer{}", nth - 1));
        }
        let own = if nth == 0 { self.rng.usize(1..6) } else { self.rng.usize(..2) };
        for number in 0..own {
            let name = format!("r{number}.yaml");
            let mut content = self.object();
            if self.chance(20) {
                content = format!("{content}---\n{}", self.object());
            }
            self.files.insert(format!("{folder}/{name}"), content);
            resources.push(name);
        }
        let _ = writeln!(text, "resources: [{}]", resources.join(", "));
        if self.chance(10) {
            self.component(folder);
            text.push_str("components: [../component]\n");
        }
        self.fields(folder, &mut text);
        self.files.insert(format!("{folder}/kustomization.yaml"), text);
    }

    fn component(&mut self, _folder: &str) {
        let mut text = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n".to_owned();
        self.fields("component", &mut text);
        self.files.insert("component/kustomization.yaml".to_owned(), text);
    }

    fn fields(&mut self, folder: &str, text: &mut String) {
        for (field, percent) in [("namespace", 30), ("namePrefix", 25), ("nameSuffix", 15)] {
            if self.chance(percent) {
                let value = match field {
                    "namespace" => self.pick(&["prod", "dev", "default"]),
                    "namePrefix" => self.pick(&["a-", "b-"]),
                    _ => self.pick(&["-x", "-v1"]),
                };
                let _ = writeln!(text, "{field}: {value}");
            }
        }
        if self.chance(20) {
            let flag =
                self.pick(&["includeSelectors: true", "includeTemplates: true", "includeSelectors: false"]);
            let _ = writeln!(
                text,
                "labels:\n  - pairs: {{team: {}, \"n1\": \"5\"}}\n    {flag}",
                self.pick(&["red", "blue"])
            );
        }
        if self.chance(12) {
            text.push_str("commonLabels: {owner: me}\n");
        }
        if self.chance(15) {
            text.push_str("commonAnnotations: {note: hello, num: \"5\"}\n");
        }
        if self.chance(25) {
            text.push_str("images:\n");
            for _ in 0..self.rng.usize(1..3) {
                let name = self.pick(&["nginx", "reg.local:5000/a/app", "busybox", "reg.local/app", ".*app"]);
                let change = self.pick(&[
                    "newTag: v9",
                    "newName: other/name",
                    "digest: \"sha256:1234\"",
                    "newName: \"h:1/n\", newTag: \"2\"",
                    "newTag: t, digest: \"sha256:99\"",
                ]);
                let _ = writeln!(text, "  - {{name: \"{name}\", {change}}}");
            }
        }
        if self.chance(15)
            && let Some((_, name)) = self.made(&["Deployment", "StatefulSet"])
        {
            let _ = writeln!(text, "replicas: [{{name: {name}, count: 4}}]");
        }
        self.generators(folder, text);
        self.patches(folder, text);
        if self.chance(12) {
            self.replacements(text);
        }
        if self.chance(12)
            && let Some((_, name)) = self.made(&["Service"])
        {
            let _ = writeln!(
                text,
                "vars:\n  - {{name: V{}, objref: {{apiVersion: v1, kind: Service, name: {name}}}{}}}",
                self.rng.usize(1..5),
                self.pick(&[
                    "",
                    ", fieldref: {fieldPath: 'spec.ports[0].port'}",
                    ", fieldref: {fieldPath: spec.type}"
                ])
            );
        }
        if self.chance(6) {
            let _ = writeln!(text, "sortOptions: {{order: {}}}", self.pick(&["fifo", "legacy"]));
        }
        if self.chance(6) {
            text.push_str("configurations: [conf.yaml]\n");
            let conf = "nameReference:\n  - kind: ConfigMap\n    fieldSpecs: [{path: spec/ref, kind: Thing}]\ncommonLabels: [{path: spec/labels, create: true, kind: Thing}]\nvarReference: [{path: spec/list, kind: Thing}]\n";
            self.files.insert(format!("{folder}/conf.yaml"), conf.to_owned());
        }
    }

    fn generators(&mut self, folder: &str, text: &mut String) {
        for (field, percent) in [("configMapGenerator", 30), ("secretGenerator", 15)] {
            if !self.chance(percent) {
                continue;
            }
            let _ = writeln!(text, "{field}:");
            let known: Vec<_> =
                self.generated.iter().filter(|(of, _)| *of == field).map(|(_, name)| *name).collect();
            let (name, behavior) = match known.as_slice() {
                [name, ..] if self.chance(60) => (*name, Some(self.pick(&["merge", "replace"]))),
                _ => (
                    self.pick(&["g1", "g2", "web", "cfg"]),
                    self.chance(WRONG).then(|| self.pick(&["merge", "create"])),
                ),
            };
            let _ = writeln!(text, "  - name: {name}");
            if let Some(behavior) = behavior {
                let _ = writeln!(text, "    behavior: {behavior}");
            }
            self.generated.push((field, name));
            if self.chance(80) {
                let literal = self.pick(&[
                    "a=b",
                    "n=5",
                    "q=\"x y\"",
                    "long=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                    "b=true",
                    "h=<&>",
                ]);
                let _ = writeln!(text, "    literals: ['{literal}']");
            }
            if self.chance(30) {
                let _ = writeln!(text, "    files: [data.txt]");
                self.files.insert(format!("{folder}/data.txt"), self_text(self.rng));
            }
            if self.chance(20) {
                let _ = writeln!(text, "    envs: [data.env]");
                self.files.insert(format!("{folder}/data.env"), "# c\nENV=1\n  E2=a=b\nE3\n".to_owned());
            }
            if self.chance(20) {
                let option = self.pick(&[
                    "disableNameSuffixHash: true",
                    "immutable: true",
                    "labels: {gen: l}",
                    "annotations: {gen: a}",
                ]);
                let _ = writeln!(text, "    options: {{{option}}}");
            }
        }
        if self.chance(8) {
            let option = self.pick(&[
                "disableNameSuffixHash: true",
                "immutable: true",
                "labels: {opt: l}",
                "annotations: {opt: a}",
            ]);
            let _ = writeln!(text, "generatorOptions: {{{option}}}");
        }
    }

    fn patches(&mut self, folder: &str, text: &mut String) {
        if self.chance(60) {
            text.push_str("patches:\n");
            for number in 0..self.rng.usize(1..4) {
                let is_json = self.chance(35);
                let has_target = is_json || self.chance(30);
                let (kind, _) = self.made(&[]).unwrap_or(("Deployment", "web"));
                let body = if is_json { self.json_patch(kind) } else { self.strategic() };
                if self.chance(40) {
                    let name = format!("p{number}.yaml");
                    let _ = writeln!(text, "  - path: {name}");
                    self.files.insert(format!("{folder}/{name}"), body);
                } else {
                    text.push_str("  - patch: |-\n");
                    for line in body.lines() {
                        let _ = writeln!(text, "      {line}");
                    }
                }
                if has_target {
                    let target = if is_json { format!("kind: {kind}") } else { self.target() };
                    let _ = writeln!(text, "    target: {{{target}}}");
                }
            }
        }
        if self.chance(10) {
            text.push_str("patchesStrategicMerge: [psm.yaml]\n");
            let body = self.strategic();
            self.files.insert(format!("{folder}/psm.yaml"), body);
        }
    }

    fn target(&mut self) -> String {
        let kind = self.pick(&KINDS);
        let name = self.pick(&["web", "db", ".*", "app|web", "a-web", "w.b"]);
        match self.rng.u32(..6) {
            0 => format!("kind: {kind}"),
            1 => format!("kind: {kind}, name: \"{name}\""),
            2 => "labelSelector: \"app=web\"".to_owned(),
            3 => format!("name: \"{name}\""),
            4 => format!("group: apps, version: v1, kind: {kind}"),
            _ => "annotationSelector: \"!x\", kind: Deployment".to_owned(),
        }
    }

    fn json_patch(&mut self, kind: &str) -> String {
        let mut text = String::new();
        let mut paths = vec!["/metadata/annotations/p", "/metadata/annotations/p", "/metadata/name"];
        match kind {
            "ConfigMap" => paths.extend(["/data/a", "/data/new", "/data/k"]),
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                paths.extend([
                    "/spec/replicas",
                    "/spec/template/spec/containers/0/image",
                    "/spec/template/spec/containers/0/tty",
                ]);
            }
            "Service" => paths.extend(["/spec/type", "/spec/ports/0/port", "/spec/ports/-"]),
            "Thing" => paths.extend(["/spec/map/a", "/spec/list/0", "/spec/list/-", "/spec/flag"]),
            _ => paths.push("/metadata/labels"),
        }
        for _ in 0..self.rng.usize(1..3) {
            let path = pick(self.rng, &paths);
            let op = self.pick(&["add", "add", "add", "replace", "replace"]);
            let op = if self.chance(WRONG) { self.pick(&["remove", "test"]) } else { op };
            let value = match path {
                "/metadata/labels" => "{l: m}",
                "/metadata/name" => "web",
                path if path.ends_with("ports/-") => "{port: 99}",
                _ => self.pick(&SCALARS),
            };
            let op = if path == "/metadata/name" {
                "test"
            } else if path.ends_with('-') {
                "add"
            } else {
                op
            };
            let op = if path == "/metadata/name" { "copy" } else { op };
            match op {
                "remove" => {
                    let _ = writeln!(text, "- {{op: remove, path: {path}}}");
                }
                "copy" => {
                    let _ =
                        writeln!(text, "- {{op: copy, from: {path}, path: /metadata/annotations/copied}}");
                }
                op => {
                    let _ = writeln!(text, "- op: {op}\n  path: {path}\n  value: {value}");
                }
            }
        }
        text
    }

    fn strategic(&mut self) -> String {
        let (kind, name) = self.made(&[]).unwrap_or(("Deployment", "web"));
        let mut text = header(kind, name);
        if self.chance(5) {
            return format!("$patch: delete\n{text}");
        }
        if self.chance(40) {
            let (one, other) = (self.pick(&SCALARS), self.pick(&SCALARS));
            let _ = writeln!(text, "  labels: {{app: {one}}}\n  annotations: {{x: {other}}}");
        }
        match kind {
            "ConfigMap" | "Secret" => {
                let _ = writeln!(text, "data: {{a: {}, k: {}}}", self.pick(&SCALARS), self.pick(&SCALARS));
            }
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                text.push_str("spec:\n");
                if self.chance(40) {
                    let _ = writeln!(text, "  replicas: {}", self.pick(&["3", "\"3\"", "null"]));
                }
                text.push_str("  template:\n    spec:\n");
                if self.chance(70) {
                    text.push_str("      containers:\n");
                    for container in ["main", "side", "new"] {
                        if self.chance(45) {
                            self.patch_container(container, &mut text);
                        }
                    }
                    text.push_str("        - {name: last, image: last}\n");
                }
                let volume = self.pick(&[
                    "      volumes: [{name: v, configMap: {name: web}}]",
                    "      volumes: [{name: v, $patch: delete}]",
                    "      volumes: [{$patch: replace}, {name: only, emptyDir: {}}]",
                    "      volumes: null",
                    "      serviceAccountName: web",
                    "      hostAliases: [{ip: 1.1.1.1, hostnames: [a]}]",
                ]);
                let _ = writeln!(text, "{volume}");
            }
            "Service" => {
                let spec = self.pick(&[
                    "{type: NodePort}",
                    "{ports: [{port: 80, targetPort: 8080}, {port: 81, name: n}]}",
                    "{selector: {app: null, b: c}}",
                    "{ports: [{$patch: delete, port: 80}]}",
                    "{$patch: replace, type: X}",
                    "{ports: [{port: 80, protocol: UDP}]}",
                ]);
                let _ = writeln!(text, "spec: {spec}");
            }
            "Thing" => {
                let _ = writeln!(
                    text,
                    "spec: {{list: [z], map: {{a: {}, deep: {{b: null, c: 1}}}}, flag: {}}}",
                    self.pick(&SCALARS),
                    self.pick(&SCALARS)
                );
            }
            _ => {
                let _ = writeln!(text, "spec: {{added: {}}}", self.pick(&SCALARS));
            }
        }
        text
    }

    fn patch_container(&mut self, name: &str, text: &mut String) {
        let _ = writeln!(text, "        - name: {name}");
        let line = self.pick(&[
            "image: patched:1",
            "env: [{name: A, value: \"9\"}, {name: N, value: n}]",
            "env: [{name: B, $patch: delete}]",
            "$patch: delete",
            "ports: [{containerPort: 90}]",
            "ports: [{containerPort: 80, name: other}]",
            "command: [a, b]",
            "args: null",
            "resources: {limits: {cpu: 1, memory: 1Gi}}",
            "volumeMounts: [{mountPath: /v, name: v}, {mountPath: /w, name: v}]",
            "env: [{$patch: replace}, {name: ONLY, value: x}]",
        ]);
        let _ = writeln!(text, "          {line}");
    }

    fn replacements(&mut self, text: &mut String) {
        let Some((kind, name)) = self.made(&["Service", "ConfigMap", "Thing", "Deployment"]) else {
            return;
        };
        let path = match kind {
            "Service" => self.pick(&["metadata.name", "spec.ports.0.port", "spec.type", "spec.ports"]),
            "ConfigMap" => self.pick(&["data.b", "data.k", "metadata.name"]),
            "Thing" => self.pick(&["spec.map", "spec.list.0", "spec.flag", "spec.[list].1"]),
            _ => self.pick(&[
                "spec.template.spec.containers.0.image",
                "spec.template.spec.containers.[name=main].image",
            ]),
        };
        let part = self.pick(&["", "", ", options: {delimiter: ':', index: 0}"]);
        let _ = writeln!(
            text,
            "replacements:\n  - source: {{kind: {kind}, name: {name}, fieldPath: '{path}'{part}}}\n    targets:"
        );
        let Some((kind, name)) = self.made(&[]) else {
            return;
        };
        let (path, create) = match kind {
            "ConfigMap" => (self.pick(&["data.a", "data.new", "metadata.labels.r"]), true),
            "Deployment" | "StatefulSet" => (
                self.pick(&[
                    "spec.template.spec.containers.[name=main].image",
                    "spec.template.spec.containers.*.image",
                    "spec.template.spec.containers.[name=main].env.[name=Q].value",
                    "spec.replicas",
                    "metadata.annotations.r",
                ]),
                true,
            ),
            "Service" => (self.pick(&["spec.ports.0.port", "spec.type", "spec.ports.0.targetPort"]), false),
            "Thing" => (
                self.pick(&["spec.list.1", "spec.map.deep.er", "spec.map.n", "spec.flag", "spec.list.2"]),
                true,
            ),
            _ => ("metadata.annotations.r", true),
        };
        let mut options = format!("create: {}", create || self.chance(50));
        if self.chance(20) {
            options.push_str(self.pick(&[
                ", delimiter: '-', index: 0",
                ", delimiter: ':', index: 1",
                ", delimiter: '/', index: -1",
                ", delimiter: 'e', index: 9",
            ]));
        }
        let select = self.pick(&["", "name"]);
        let select =
            if select.is_empty() { format!("kind: {kind}") } else { format!("kind: {kind}, name: {name}") };
        let reject = if self.chance(15) { "\n        reject: [{name: db}]" } else { "" };
        let _ = writeln!(
            text,
            "      - select: {{{select}}}{reject}\n        fieldPaths: ['{path}']\n        options: {{{options}}}"
        );
    }

    fn object(&mut self) -> String {
        let kind = self.pick(&KINDS);
        let name = self.pick(&NAMES);
        self.made.push((kind, name));
        let mut text = header(kind, name);
        if self.chance(12) {
            let _ = writeln!(text, "  namespace: {}", self.pick(&["prod", "dev", "default"]));
        }
        if self.chance(50) {
            let _ =
                writeln!(text, "  labels: {{app: {}}}", self.pick(&["web", "\"web\"", "db", "5", "\"5\""]));
        }
        if self.chance(30) {
            let _ = writeln!(
                text,
                "  annotations: {{x: {}, y: {}}}",
                self.pick(&SCALARS),
                self.pick(&["v", "$(V1)", "\"$(V2)-s\""])
            );
        }
        match kind {
            "ConfigMap" => {
                let _ = writeln!(
                    text,
                    "data:\n  a: {}\n  b: |\n    two\n    lines\n  k: {}",
                    self.pick(&SCALARS),
                    self.pick(&SCALARS)
                );
            }
            "Secret" => text.push_str("stringData: {s: t}\ndata: {a: YQ==}\n"),
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                let app = self.pick(&["web", "db"]);
                let _ = writeln!(text, "spec:");
                if self.chance(60) {
                    text.push_str("  replicas: 1\n");
                }
                let _ = writeln!(
                    text,
                    "  selector: {{matchLabels: {{app: {app}}}}}\n  template:\n    metadata: {{labels: {{app: {app}}}}}"
                );
                self.pod("    ", &mut text);
            }
            "CronJob" => {
                text.push_str(
                    "spec:\n  schedule: \"* * * * *\"\n  jobTemplate:\n    spec:\n      template:\n",
                );
                self.pod("        ", &mut text);
            }
            "Service" => {
                let _ = writeln!(
                    text,
                    "spec:\n  type: {}\n  selector: {{app: web}}\n  ports:\n    - {{port: 80, targetPort: http{}}}",
                    self.pick(&["ClusterIP", "NodePort"]),
                    self.pick(&["", ", name: http"])
                );
            }
            "Ingress" => {
                let service = self.pick(&NAMES);
                let _ = writeln!(
                    text,
                    "spec:\n  tls: [{{secretName: {service}}}]\n  rules: [{{host: h, http: {{paths: [{{path: /, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]"
                );
            }
            "RoleBinding" => {
                let subject = self.pick(&["web", "default", "db"]);
                let _ = writeln!(
                    text,
                    "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}}\nsubjects: [{{kind: ServiceAccount, name: {subject}{}}}]",
                    self.pick(&["", ", namespace: prod", ", namespace: default"])
                );
            }
            "HorizontalPodAutoscaler" => {
                let target = self.pick(&NAMES);
                let _ = writeln!(
                    text,
                    "spec: {{scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}, maxReplicas: 3}}"
                );
            }
            "Thing" => {
                let _ = writeln!(
                    text,
                    "spec:\n  ref: {}\n  list: [a, \"$(V3)\"]\n  map: {{a: {}, n: null, e: }}\n  flag: {}",
                    self.pick(&NAMES),
                    self.pick(&SCALARS),
                    self.pick(&SCALARS)
                );
            }
            _ => {}
        }
        text
    }

    fn pod(&mut self, indent: &str, text: &mut String) {
        let image = self.pick(&IMAGES);
        let name = self.pick(&NAMES);
        let mut lines = vec![
            "spec:".to_owned(),
            "  containers:".to_owned(),
            "    - name: main".to_owned(),
            format!("      image: {image}"),
        ];
        if self.chance(50) {
            lines.push(format!("      env: [{{name: A, value: {}}}, {{name: B, valueFrom: {{configMapKeyRef: {{name: {name}, key: a}}}}}}]", self.pick(&["\"1\"", "x", "$(V1)", "\"a $(V4)\""])));
        }
        if self.chance(40) {
            lines.push(format!("      ports: [{{containerPort: 80{}}}]", self.pick(&["", ", name: http"])));
        }
        if self.chance(30) {
            lines.push(format!(
                "      envFrom: [{{configMapRef: {{name: {name}}}}}, {{secretRef: {{name: {name}}}}}]"
            ));
        }
        if self.chance(30) {
            lines.push("      args: [\"--x\", \"$(V2)\"]".to_owned());
        }
        if self.chance(30) {
            lines.push(format!("    - {{name: side, image: \"{}\"}}", self.pick(&IMAGES)));
        }
        if self.chance(40) {
            lines.push(format!("  volumes: [{{name: v, configMap: {{name: {name}}}}}, {{name: s, secret: {{secretName: {name}}}}}]"));
        }
        if self.chance(30) {
            lines.push(format!("  serviceAccountName: {name}"));
        }
        for line in lines {
            let _ = writeln!(text, "{indent}{line}");
        }
    }
}

fn self_text(rng: &mut Rng) -> String {
    pick(rng, &["one\ntwo\n", "text", "", "{\"a\": 1}\n", "a: b\n"]).to_owned()
}

fn header(kind: &str, name: &str) -> String {
    let api_version = match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" => "apps/v1",
        "CronJob" => "batch/v1",
        "Ingress" => "networking.k8s.io/v1",
        "RoleBinding" => "rbac.authorization.k8s.io/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "Thing" => "example.com/v1",
        _ => "v1",
    };
    format!("apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: {name}\n")
}
