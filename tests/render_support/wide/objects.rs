//! Objects of the wide trees as people write them: block style, comments, anchors, block scalars.

/// Kind, apiVersion, whether it is of the whole cluster, and what follows its metadata.
pub struct Kind {
    pub kind: &'static str,
    pub api: &'static str,
    pub is_of_cluster: bool,
    pub body: &'static str,
}

const fn own(kind: &'static str, api: &'static str, body: &'static str) -> Kind {
    Kind { kind, api, is_of_cluster: false, body }
}

const fn wide(kind: &'static str, api: &'static str, body: &'static str) -> Kind {
    Kind { kind, api, is_of_cluster: true, body }
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const RULES: &str = "rules:
- apiGroups: [‹\"\"|apps›]
  resources: [‹secrets|configmaps|\"*\"›]
  ?50 resourceNames:
  - %secret
  - %cm
  verbs: [get, list]
?40 aggregationRule:
  clusterRoleSelectors: [{matchLabels: {app: %app}}]
";
const BINDING: &str = "roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ‹Role|ClusterRole›
  name: %role
subjects:
- kind: ServiceAccount
  name: ‹default|web|api|db›
  ?60 namespace: ‹prod|dev|default›
?40 - kind: ServiceAccount
  name: %sa
  ?60 namespace: ‹prod|dev|default|other›
?30 - kind: User
  name: ‹web|jane›
  apiGroup: rbac.authorization.k8s.io
?30 - kind: Group
  name: ‹default|ops›
  apiGroup: rbac.authorization.k8s.io
";
const WEBHOOKS: &str = "webhooks:
- name: one.example.com
  clientConfig:
    ?80 service:
      name: %svc
      namespace: ‹prod|dev|default|other›
      path: /check
    ?20 url: https://x/y
    caBundle: \"\"
  rules:
  - apiGroups: [\"apps\"]
    operations: [CREATE]
  ?40 namespaceSelector:
    matchLabels:
      team: x
?40 - name: two.example.com
  clientConfig:
    service: {name: %svc, namespace: ‹prod|dev|default›, port: 443}
";
const WORKLOAD: &str = "spec:
  ?60 replicas: ‹1|2|0›
  selector:
    matchLabels:
      app: %app
    ?15 matchExpressions:
    - {key: app, operator: In, values: [%app]}
  ?20 strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: ‹1|25%|\"25%\"›}
  template:
    metadata:
      labels:
        app: %app
      ?20 annotations: {checksum: \"0123\"}
    spec:
      %%pod
";

pub const KINDS: &[Kind] = &[
    own("Deployment", "apps/v1", WORKLOAD),
    own(
        "Deployment",
        "apps/v1",
        "spec:
  selector: {matchLabels: &app {app: %app}}
  template:
    metadata:
      labels: *app
    spec:
      containers:
      - &main
        name: main
        image: &image %image
        env: &env
        - {name: A, value: \"1\"}
        ?30 - {name: Q, value: %scalar}
      - <<: *main
        name: side
        ?50 image: *image
      initContainers:
      - name: setup
        image: *image
        env: *env
",
    ),
    own("ReplicaSet", "apps/v1", WORKLOAD),
    own("Rollout", "argoproj.io/v1alpha1", WORKLOAD),
    own("DaemonSet", "apps/v1", WORKLOAD),
    own(
        "StatefulSet",
        "apps/v1",
        "spec:
  serviceName: ‹web|db›
  ?70 replicas: 3
  selector:
    matchLabels: {app: %app}
  template:
    metadata:
      labels: {app: %app}
    spec:
      %%pod
  ?70 volumeClaimTemplates:
  - metadata:
      name: data
      ?30 labels: {app: %app}
    ?50 kind: PersistentVolumeClaim
    ?50 apiVersion: v1
    spec:
      accessModes: [ReadWriteOnce]
      ?30 storageClassName: %name
      resources:
        requests:
          storage: 1Gi
  ?50 - metadata:
      name: logs
    spec:
      resources: {requests: {storage: 2Gi}}
",
    ),
    own(
        "ReplicationController",
        "v1",
        "spec:
  ?50 replicas: 1
  selector:
    app: %app
  template:
    metadata:
      labels:
        app: %app
    spec:
      %%pod
",
    ),
    own(
        "Job",
        "batch/v1",
        "spec:
  ?50 backoffLimit: 3
  template:
    ?40 metadata:
      labels: {app: %app}
    spec:
      restartPolicy: Never
      %%pod
",
    ),
    own(
        "CronJob",
        "batch/v1",
        "spec:
  schedule: ‹\"*/5 * * * *\"|'@hourly'›
  ?30 suspend: ‹true|false|yes›
  jobTemplate:
    ?20 metadata:
      labels: {app: %app}
    spec:
      template:
        ?50 metadata:
          labels:
            app: %app
        spec:
          %%pod
",
    ),
    own(
        "Pod",
        "v1",
        "spec:
  %%pod
",
    ),
    own(
        "PodTemplate",
        "v1",
        "template:
  metadata:
    labels: {app: %app}
  spec:
    %%pod
",
    ),
    own(
        "Service",
        "v1",
        "spec:
  ?40 type: ‹ClusterIP|NodePort|LoadBalancer›
  ?80 selector:
    app: %app
  ports:
  - port: 80
    ?60 protocol: TCP
    ?70 name: http
    targetPort: ‹http|8080|\"8080\"›
  ?40 - port: ‹443|8443›
    name: tls
    protocol: ‹TCP|UDP›
  ?10 clusterIP: None
  ?10 externalName: $(V1).example.com
",
    ),
    own(
        "ConfigMap",
        "v1",
        "data:
  k: %scalar
  ?60 a: ‹x|\"x\"|a-b-c|a:b:c›
  ?50 conf.json: |
    {\"host\": \"db\", \"port\": 5432, \"list\": [1, 2]}
  ?40 text: |-
    # not a comment
    one: two
      three
  ?30 folded: >-
    several
    lines
  ?20 number: \"42\"
  ?15 empty: \"\"
?10 binaryData:
  b: AAEC
?10 immutable: true
",
    ),
    own(
        "Secret",
        "v1",
        "type: ‹Opaque|kubernetes.io/tls|kubernetes.io/dockerconfigjson›
?50 stringData:
  s: %scalar
data:
  k: YQ==
  ?40 a: eDp5Ono=
",
    ),
    own(
        "ServiceAccount",
        "v1",
        "?50 secrets:
- name: %secret
?40 imagePullSecrets:
- name: %secret
?20 automountServiceAccountToken: ‹false|no›
",
    ),
    own(
        "PersistentVolumeClaim",
        "v1",
        "spec:
  accessModes:
  - ReadWriteOnce
  ?50 storageClassName: %name
  ?40 volumeName: %name
  ?30 selector: {matchLabels: {app: %app}}
  resources:
    requests:
      storage: ‹1Gi|10|\"10\"›
",
    ),
    own(
        "Ingress",
        "networking.k8s.io/v1",
        "spec:
  ?50 ingressClassName: %name
  ?40 defaultBackend:
    service:
      name: %svc
      port: {number: 80}
  ?50 tls:
  - hosts: [a.example.com]
    secretName: %secret
  rules:
  - host: ‹a.example.com|\"*.example.com\"|$(V2).example.com›
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: %svc
            port: {‹number: 80|name: http›}
      ?50 - path: /api
        pathType: Prefix
        backend: {service: {name: %svc, port: {number: 81}}}
  ?20 - host: b.example.com
",
    ),
    own(
        "NetworkPolicy",
        "networking.k8s.io/v1",
        "spec:
  podSelector:
    ‹matchLabels: {app: web}|matchLabels: {}|matchExpressions: []›
  policyTypes: [Ingress, Egress]
  ?60 ingress:
  - from:
    - podSelector:
        matchLabels:
          app: %app
    ?50 - namespaceSelector: {matchLabels: {app: x}}
      podSelector: {matchLabels: {app: y}}
    ?40 - ipBlock: {cidr: 10.0.0.0/8}
    ports: [{port: 80, protocol: TCP}]
  ?40 egress:
  - to:
    - podSelector: {matchLabels: {app: %app}}
",
    ),
    own(
        "PodDisruptionBudget",
        "policy/v1",
        "spec:
  ‹minAvailable: 1|maxUnavailable: 50%|maxUnavailable: \"50%\"›
  selector:
    matchLabels:
      app: %app
",
    ),
    own(
        "HorizontalPodAutoscaler",
        "autoscaling/v1",
        "spec:
  maxReplicas: 4
  scaleTargetRef:
    apiVersion: apps/v1
    kind: ‹Deployment|StatefulSet|ReplicaSet›
    name: %workload
  targetCPUUtilizationPercentage: 80
",
    ),
    own(
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        "spec:
  minReplicas: 1
  maxReplicas: 4
  scaleTargetRef: {kind: ‹Deployment|StatefulSet|Widget›, name: %workload, apiVersion: apps/v1}
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}
  ?40 - type: Object
    object:
      describedObject: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: %name}
      metric: {name: hits}
",
    ),
    own(
        "Ingress",
        "networking.k8s.io/v1beta1",
        "spec:
  ?50 backend: {serviceName: %svc, servicePort: 80}
  rules:
  - http:
      paths:
      - path: /
        backend:
          serviceName: %svc
          servicePort: ‹80|http›
",
    ),
    own(
        "CronJob",
        "batch/v1beta1",
        "spec:
  schedule: \"@daily\"
  jobTemplate:
    spec:
      template:
        spec:
          %%pod
",
    ),
    own("PodDisruptionBudget", "policy/v1beta1", "spec: {selector: {matchLabels: {app: %app}}}\n"),
    own(
        "Certificate",
        "cert-manager.io/v1",
        "spec:
  secretName: %secret
  issuerRef: {name: %name, kind: Issuer}
  dnsNames:
  - a.example.com
  - \"*.example.com\"
",
    ),
    own("Role", RBAC, RULES),
    own("RoleBinding", RBAC, BINDING),
    own(
        "ResourceQuota",
        "v1",
        "spec:
  hard:
    pods: ‹\"10\"|10›
    requests.cpu: ‹1|\"1\"|500m›
  ?40 scopeSelector:
    matchExpressions:
    - {operator: In, scopeName: PriorityClass, values: [%name]}
",
    ),
    own(
        "LimitRange",
        "v1",
        "spec:
  limits:
  - type: Container
    default: {cpu: ‹1|0.5|500m›}
",
    ),
    own(
        "Endpoints",
        "v1",
        "subsets:
- addresses:
  - ip: 10.0.0.1
  ports:
  - {name: http, port: 80}
",
    ),
    own(
        "Widget",
        "example.com/v1",
        "spec:
  ref: %cm
  ?50 configRef:
    name: %cm
  ?30 secrets:
  - name: %secret
  list:
  - a
  - ‹$(V1)|\"b c\"|7|null›
  ?60 items:
  - name: one
    value: %scalar
  - name: two
    ?30 nested: [[1, 2], [3]]
  map:
    a: %scalar
    ?40 b:
    ?40 e: {}
    ?30 \"key with space\": x
    ?30 on: %scalar
  ?50 flag: %scalar
  ?40 image: %image
  ?40 size: ‹3|3.5|\"3\"|1.0|12345678901›
  ?40 containers:
  - name: main
    image: %image
  ?30 empty: []
  ?30 selector: {app: %app}
?20 status: {}
",
    ),
    own(
        "Gadget",
        "shop.example.com/v1alpha1",
        "replicas: 2
?50 items:
- x
- y
?50 config: |
  host = %name
  port = 5432
?40 template:
  metadata: {labels: {app: %app}}
  spec:
    containers:
    - {name: main, image: %image}
",
    ),
    wide(
        "Gizmo",
        "example.com/v1",
        "?60 spec:
  secretRef: {name: %secret, namespace: ‹prod|default›}
  list: []
?40 data: {k: %scalar, \"yes\": no}
",
    ),
    wide(
        "Namespace",
        "v1",
        "?30 spec:
  finalizers: [kubernetes]
",
    ),
    wide("ClusterRole", RBAC, RULES),
    wide("ClusterRoleBinding", RBAC, BINDING),
    wide(
        "PersistentVolume",
        "v1",
        "spec:
  capacity: {storage: 5Gi}
  ?50 storageClassName: %name
  ?50 claimRef:
    name: %name
    namespace: ‹prod|default›
  ?40 csi:
    driver: x
    volumeHandle: h
    nodePublishSecretRef: {name: %secret, namespace: ‹prod|dev|default›}
    controllerExpandSecretRef:
      name: %secret
  ?20 cephfs: {monitors: [a], secretRef: {name: %secret}}
",
    ),
    wide(
        "StorageClass",
        "storage.k8s.io/v1",
        "provisioner: x
parameters:
  type: gp3
  ?40 adminSecretName: %secret
  ?20 csi.storage.k8s.io/provisioner-secret-name: %secret
",
    ),
    wide(
        "IngressClass",
        "networking.k8s.io/v1",
        "spec:
  controller: example.com/c
",
    ),
    wide(
        "PriorityClass",
        "scheduling.k8s.io/v1",
        "value: ‹1000|1e3›
globalDefault: false
",
    ),
    wide("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1", WEBHOOKS),
    wide("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", WEBHOOKS),
    wide(
        "APIService",
        "apiregistration.k8s.io/v1",
        "spec:
  group: x
  version: v1
  service:
    name: %svc
    namespace: ‹prod|dev|default|other›
",
    ),
    wide(
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        "spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  ?60 conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig:
        service:
          name: %svc
          namespace: ‹prod|dev|default›
  versions:
  - name: v1
    served: true
    schema:
      openAPIV3Schema:
        type: object
        ?50 description: >
          Some words
          about it.
        ?50 properties:
          spec:
            type: object
            properties:
              containers: {type: array, items: {type: object}}
              image: {type: string, default: nginx}
",
    ),
];
