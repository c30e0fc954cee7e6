//! What patches of the wide trees say about each kind.

use super::pods::PODS;
use super::writer::{Made, Writer, header};

const POD: &str = "?60 containers:
- name: ‹main|main|side›
  ?30 image: ‹patched:1|nginx|%image›
  ?30 env:
  - name: A
    value: ‹\"9\"|nine|\"\"|null|yes›
  ?40 - name: B
    $patch: delete
  ?30 - name: NEW
    valueFrom:
      configMapKeyRef: {name: %cm, key: k}
  ?25 ports:
  - containerPort: ‹80|90|8080›
    ?50 protocol: TCP
    ?30 name: ‹http|admin›
  ?20 volumeMounts:
  - mountPath: ‹/conf|/new›
    name: ‹conf|sec›
    ?30 readOnly: true
  ?15 resources:
    ‹limits: {cpu: 2, memory: null}|$patch: replace|requests: {cpu: 100m}|limits: null›
  ?10 command: ‹[run]|null|[]›
  ?10 readinessProbe: ‹null|{httpGet: {path: /ready}}|{tcpSocket: {port: 1}, httpGet: null}›
?15 - name: ‹new|sidecar›
  image: new:1
?8 - {name: setup, $patch: delete}
?15 initContainers:
- name: ‹setup|first›
  image: ‹busybox|nginx:2›
?25 volumes:
- name: ‹conf|sec|scratch|more›
  ‹configMap: {name: %cm}|emptyDir: {}|$patch: delete|configMap: {name: %cm, items: [{key: b, path: b}]}›
?20 - name: extra
  secret: {secretName: %secret}
?12 imagePullSecrets:
- name: ‹pull|keys|more›
?8 - {name: pull2}
?12 tolerations:
- {key: c, operator: Exists}
?10 topologySpreadConstraints:
- maxSkew: 5
  topologyKey: ‹zone|host|rack›
  whenUnsatisfiable: ‹DoNotSchedule|ScheduleAnyway›
?12 hostAliases:
- ip: ‹10.0.0.1|10.0.0.2›
  hostnames: [c]
?10 serviceAccountName: ‹%sa|null›
?10 securityContext: ‹{runAsUser: null, runAsGroup: 1}|{$patch: delete}|{$patch: replace, fsGroup: 5}|{}›
?8 nodeSelector: ‹{disk: ssd}|null›
?8 affinity: ‹null|{nodeAffinity: {}}|{podAffinity: null}›
?8 dnsPolicy: Default
";

const METADATA: &str = "?30 labels:
  ‹app: %app|tier: null|new: label|new: \"7\"|new: 7|$patch: replace›
?30 annotations:
  ‹note: changed|note: null|note: 5|example.com/config: null|example.com/config: %scalar|more: \"yes\"|more: $(V1)›
?4 finalizers:
- ‹example.com/one|example.com/three›
?3 ownerReferences:
- {apiVersion: v1, kind: ConfigMap, name: settings, uid: ‹u1|u2›, controller: true}
";

/// Strategic merges of kinds without pods, below the metadata.
const BODIES: &[(&str, &[&str])] = &[
    (
        "Service",
        &[
            "spec:\n  type: ‹NodePort|ClusterIP›",
            "spec:\n  ports:\n  - port: ‹80|443|9090›\n    ?60 protocol: TCP\n    name: ‹http|metrics›\n    ?40 targetPort: ‹http|81|\"82\"›",
            "spec:\n  ports:\n  - {port: 80, $patch: delete}",
            "spec:\n  ports:\n  - {port: 80, protocol: TCP, nodePort: 30080}\n  - {port: 81, protocol: TCP}",
            "spec:\n  ports:\n  - $patch: replace\n  - {port: 1, name: only}",
            "spec:\n  selector: ‹null|{app: null}|{role: x}|{$patch: replace, role: y}›",
            "spec: ‹{}|{clusterIP: null}|{$patch: replace, clusterIP: None}›",
        ],
    ),
    (
        "ConfigMap",
        &[
            "data:\n  k: %scalar",
            "data:\n  a: null\n  new: |\n    some\n    lines",
            "data: ‹null|{}|{$patch: replace, only: this}|{$patch: delete}›",
            "binaryData: {c: AAEC}\nimmutable: ‹true|null›",
            "data: {a: patched, n: %scalar}",
        ],
    ),
    ("Secret", &["stringData: {s: patched}", "data: {k: null, n: Yg==}", "type: ‹Opaque|x/y›\ndata: {}"]),
    (
        "ServiceAccount",
        &[
            "secrets:\n- name: %secret\n- name: more",
            "imagePullSecrets:\n- {name: pull}\n- {name: %secret}",
            "automountServiceAccountToken: ‹true|null›",
        ],
    ),
    (
        "Ingress",
        &[
            "spec:\n  ingressClassName: ‹nginx|null›",
            "spec:\n  rules:\n  - host: new.example.com\n    http: {paths: [{path: /, pathType: Exact, backend: {service: {name: %svc, port: {number: 1}}}}]}",
            "spec:\n  tls: ‹null|[]|[{secretName: %secret}]›",
            "spec:\n  defaultBackend: ‹null|{service: {name: %svc, port: {name: x, number: null}}}›",
        ],
    ),
    (
        "NetworkPolicy",
        &[
            "spec:\n  podSelector: {matchLabels: {app: %app}}",
            "spec:\n  ingress: ‹[]|null|[{from: []}]|[{}]›",
            "spec:\n  policyTypes: [Egress]",
        ],
    ),
    (
        "HorizontalPodAutoscaler",
        &[
            "spec: {maxReplicas: 9}",
            "spec:\n  minReplicas: ‹null|2|\"2\"›",
            "spec:\n  scaleTargetRef: {name: %workload}",
        ],
    ),
    (
        "PodDisruptionBudget",
        &[
            "spec: {minAvailable: null, maxUnavailable: 1}",
            "spec:\n  selector: {$patch: replace, matchLabels: {x: y}}",
        ],
    ),
    (
        "RoleBinding",
        &["subjects:\n- {kind: User, name: jane}", "roleRef: {name: ‹web|db›}", "subjects: null"],
    ),
    ("ClusterRoleBinding", &["subjects:\n- kind: ServiceAccount\n  name: %sa\n  namespace: prod"]),
    ("Role", &["rules:\n- {apiGroups: [\"\"], resources: [pods], verbs: [get]}", "rules: ‹[]|null›"]),
    ("ClusterRole", &["rules:\n- {nonResourceURLs: [/x], verbs: [get]}", "aggregationRule: null"]),
    (
        "Widget",
        &[
            "spec:\n  list: [z, ‹5|null›]",
            "spec:\n  map: {a: %scalar, b: ‹null|{}|x›, c: {d: null, e: 1}}",
            "spec:\n  items:\n  - name: ‹one|three›\n    value: %scalar",
            "spec: {flag: %scalar, size: %scalar}",
            "spec:\n  containers:\n  - {name: main, image: other}",
            "spec: {map: {$patch: ‹delete|replace›}}",
            "status: null\nspec: {empty: [x], map: {on: 1}}",
        ],
    ),
    (
        "Gadget",
        &[
            "items: [%scalar, b]",
            "replicas: ‹null|5|\"5\"›\nconfig: other",
            "template:\n  spec: {containers: [{name: x}]}",
        ],
    ),
    (
        "ValidatingWebhookConfiguration",
        &[
            "webhooks:\n- name: one.example.com\n  failurePolicy: Ignore\n  ?50 clientConfig: {caBundle: AA==}",
            "webhooks:\n- {name: two.example.com, $patch: delete}",
        ],
    ),
    (
        "MutatingWebhookConfiguration",
        &[
            "webhooks:\n- name: three.example.com\n  failurePolicy: Fail",
            "webhooks:\n- name: one.example.com\n  namespaceSelector: null",
        ],
    ),
    (
        "CustomResourceDefinition",
        &[
            "spec: {scope: Cluster, preserveUnknownFields: ‹null|false›}",
            "spec:\n  conversion: ‹null|{strategy: None}|{webhook: {clientConfig: {service: {path: /c}}}}›",
        ],
    ),
    ("APIService", &["spec: {service: ‹null|{port: 8443}|{name: %svc}›, insecureSkipTLSVerify: ‹yes|true›}"]),
    ("PersistentVolume", &["spec: {claimRef: null, capacity: {storage: ‹10Gi|1›}}"]),
    (
        "PersistentVolumeClaim",
        &[
            "spec:\n  resources: {requests: {storage: 3Gi}}",
            "spec: {accessModes: [ReadWriteMany], storageClassName: null}",
        ],
    ),
    ("ResourceQuota", &["spec:\n  hard: {pods: ‹\"20\"|20|null›, secrets: 5}"]),
    ("Endpoints", &["subsets:\n- addresses: [{ip: 10.0.0.9}]"]),
    ("StorageClass", &["parameters: {type: ‹io1|null›}\nreclaimPolicy: Retain"]),
    ("PriorityClass", &["value: 5\nglobalDefault: ‹yes|true|null›"]),
];

const WORKLOADS: [&str; 6] =
    ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout"];

/// Paths that every object of a kind has, for JSON patches; then values for them.
const PATHS: &[(&str, &[&str], &[&str])] = &[
    ("Service", &["/spec/ports/0/port", "/spec/ports/0"], &["81", "{port: 82}", "\"83\""]),
    ("ConfigMap", &["/data/k", "/data/new~1key", "/data/x~0y"], &["text", "\"5\"", "5", "null", "\"a\\nb\""]),
    ("Secret", &["/data/k", "/type"], &["Yg==", "Opaque"]),
    (
        "Ingress",
        &["/spec/rules/0/host", "/spec/rules/0/http/paths/0/backend/service/name"],
        &["h.example.com", "web"],
    ),
    ("Role", &["/rules/0/verbs/0", "/rules/0/resources/0"], &["list", "\"*\""]),
    ("ClusterRole", &["/rules/0/verbs/0"], &["watch"]),
    ("RoleBinding", &["/subjects/0/name", "/roleRef/name"], &["web", "api"]),
    ("ClusterRoleBinding", &["/subjects/0/namespace", "/subjects/0"], &["prod", "{kind: User, name: u}"]),
    ("HorizontalPodAutoscaler", &["/spec/maxReplicas", "/spec/scaleTargetRef/name"], &["8", "web"]),
    (
        "Widget",
        &["/spec/list/0", "/spec/list/1", "/spec/map/a", "/spec/ref"],
        &["x", "{a: [1, null]}", "5", "1.50", "yes", "[]"],
    ),
    ("Gadget", &["/replicas"], &["3", "null", "{a: b}"]),
    ("CustomResourceDefinition", &["/spec/versions/0/served", "/spec/names/kind"], &["false", "Gear"]),
    ("NetworkPolicy", &["/spec/policyTypes/0", "/spec/podSelector"], &["Egress", "{}"]),
    ("ValidatingWebhookConfiguration", &["/webhooks/0/clientConfig/caBundle"], &["QQ=="]),
    ("PersistentVolume", &["/spec/capacity/storage"], &["1Ti"]),
    ("APIService", &["/spec/service/name", "/spec/service/namespace"], &["web", "dev"]),
];

impl Writer<'_> {
    /// A strategic merge for an object; its name and kind, too, are part of the patch.
    pub fn strategic(&mut self, made: &Made) -> String {
        let mut text = header(made.kind, made.api, &made.name, made.namespace);
        if self.chance(3) {
            return format!("{text}$patch: delete\n");
        }
        for line in self.write(METADATA).lines() {
            text.push_str(&format!("  {line}\n"));
        }
        if let Some((_, path)) = PODS.iter().find(|(kind, _)| *kind == made.kind) {
            let mut indent = 0;
            for part in *path {
                text.push_str(&format!("{:indent$}{part}:\n", ""));
                indent += 2;
                if *part == "spec" && indent == 2 && WORKLOADS.contains(&made.kind) && self.chance(30) {
                    let replicas = self.pick(&["3", "\"3\"", "null", "0"]);
                    text.push_str(&format!("  replicas: {replicas}\n"));
                }
            }
            let pod = self.write(POD);
            for line in pod.lines().chain(pod.is_empty().then_some("terminationGracePeriodSeconds: 5")) {
                text.push_str(&format!("{:indent$}{line}\n", ""));
            }
            return text;
        }
        match BODIES.iter().find(|(kind, _)| *kind == made.kind) {
            Some((_, bodies)) => {
                let body = self.pick(bodies);
                text.push_str(&self.write(body));
            }
            None => text.push_str("addition: {to: it}\n"),
        }
        text
    }

    /// Operations of a JSON patch for objects of a kind.
    pub fn operations(&mut self, made: &Made) -> String {
        let kind = made.kind;
        let mut text = String::new();
        let pod = PODS.iter().find(|(of, _)| *of == kind).map(|(_, path)| format!("/{}", path.join("/")));
        let paths = PATHS.iter().find(|(of, ..)| *of == kind);
        for _ in 0..self.rng.usize(1..4) {
            let template = match (&pod, paths) {
                _ if self.chance(15) => self
                    .pick(&[
                        "- {op: add, path: /metadata/labels, value: {app: json}}",
                        "- {op: test, path: /metadata/name, value: ANY}",
                        "- op: copy\n  from: /metadata/name\n  path: /metadata/uid",
                        "- {op: replace, path: /metadata/name, value: ‹web|other›}",
                        "- op: add\n  path: /metadata/annotations\n  value: {note: json, num: \"5\"}",
                        "- op: add\n  path: /metadata/annotations/example.com~1x\n  value: %scalar",
                        "- {op: move, from: /metadata/name, path: /metadata/name}",
                        "- {op: add, path: /metadata/namespace, value: ‹prod|dev›}",
                    ])
                    .to_owned(),
                (Some(pod), _) => self
                    .pick(&[
                        "- op: ‹add|replace›\n  path: POD/containers/0/image\n  value: ‹%image|json:1›",
                        "- op: add\n  path: POD/containers/-\n  value: {name: added, image: %image}",
                        "- op: add\n  path: POD/containers/0/env\n  value:\n  - {name: J, value: \"1\"}",
                        "- op: add\n  path: POD/containers/0\n  value:\n    name: first\n    image: %image",
                        "- op: add\n  path: POD/volumes\n  value: [{name: j, secret: {secretName: %secret}}]",
                        "- op: add\n  path: POD/serviceAccountName\n  value: %sa",
                        "- {op: move, from: POD/containers/0/image, path: POD/containers/0/was}\n- {op: copy, from: POD/containers/0/was, path: POD/containers/0/image}",
                        "- op: add\n  path: POD/containers/0/securityContext\n  value: {runAsUser: ‹1|0o17|010|\"5\"›}",
                        "- {op: test, path: POD/containers/0/name, value: main}",
                        "- {op: remove, path: POD/containers/0/image}",
                    ])
                    .replace("POD", pod),
                (None, Some((_, paths, values))) => {
                    let (path, value) = (self.pick(paths), self.pick(values));
                    let op = self.pick(&["add", "replace", "replace"]);
                    format!("- op: {op}\n  path: {path}\n  value: {value}")
                }
                (None, None) => "- {op: add, path: /added, value: [1, %scalar]}".to_owned(),
            };
            let template = template.replace("value: ANY", &format!("value: {}", made.name));
            text.push_str(&self.write(&template));
        }
        text
    }
}
