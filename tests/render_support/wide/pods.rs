//! Pods, wherever they stand, and what metadata there is.

/// The kinds that have pods, and where their pod's spec is.
pub const PODS: &[(&str, &[&str])] = &[
    ("Deployment", &["spec", "template", "spec"]),
    ("StatefulSet", &["spec", "template", "spec"]),
    ("DaemonSet", &["spec", "template", "spec"]),
    ("ReplicaSet", &["spec", "template", "spec"]),
    ("ReplicationController", &["spec", "template", "spec"]),
    ("Job", &["spec", "template", "spec"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
    ("Rollout", &["spec", "template", "spec"]),
    ("Pod", &["spec"]),
    ("PodTemplate", &["template", "spec"]),
];

pub const POD: &str = "containers:
- name: main
  image: %image
  ?30 command: [\"sh\", \"-c\", 'echo $(V1)']
  ?25 args:
  - --listen=:8080
  - \"$(V2)\"
  ?60 env:
  - name: A
    value: ‹\"1\"|one|$(V1)|\"$(V2):80\"|''|\"yes\"›
  ?50 - name: B
    valueFrom:
      configMapKeyRef:
        name: %cm
        key: k
  ?40 - name: C
    valueFrom:
      secretKeyRef: {name: %secret, key: k, optional: true}
  ?30 - name: D
    valueFrom:
      fieldRef: {fieldPath: metadata.name}
  ?20 - name: E
    valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: ‹1|\"1\"›}}
  ?35 envFrom:
  - configMapRef:
      name: %cm
  ?50 - prefix: P_
    secretRef: {name: %secret}
  ?50 ports:
  - containerPort: 80
    ?50 name: http
    ?40 protocol: TCP
  ?30 - containerPort: 8080
    protocol: TCP
  ?40 volumeMounts:
  - name: conf
    mountPath: /conf
  ?30 - {name: conf, mountPath: /other, subPath: x, readOnly: true}
  ?30 resources:
    limits: {cpu: ‹1|0.5|500m|\"1\"›, memory: 64Mi}
  ?20 readinessProbe:
    httpGet: {path: /, port: ‹80|http›}
?35 - name: side
  image: %image
  ?30 imagePullPolicy: Always
?30 initContainers:
- name: setup
  image: %image
  ?50 env:
  - {name: A, valueFrom: {configMapKeyRef: {name: %cm, key: a}}}
  ?30 restartPolicy: Always
?8 ephemeralContainers:
- name: debug
  image: %image
  ?50 envFrom: [{secretRef: {name: %secret}}]
?60 volumes:
- name: conf
  configMap:
    name: %cm
    ?30 items: [{key: a, path: a}]
?40 - name: sec
  secret: {secretName: %secret, defaultMode: ‹0400|256›}
?30 - name: all
  projected:
    sources:
    - configMap:
        name: %cm
    - secret: {name: %secret}
    ?50 - serviceAccountToken: {path: token}
?25 - name: claim
  persistentVolumeClaim:
    claimName: %name
?15 - name: driver
  csi:
    driver: secrets-store.csi.k8s.io
    nodePublishSecretRef: {name: %secret}
?15 - name: scratch
  emptyDir: {}
?10 - name: oci
  image: {reference: %image}
?10 - name: own
  ephemeral:
    volumeClaimTemplate:
      spec: {storageClassName: %name}
?35 serviceAccountName: %sa
?20 imagePullSecrets:
- name: %secret
?40 - name: pull
?20 tolerations:
- key: a
  operator: Exists
?40 - {key: b, effect: NoSchedule}
?20 topologySpreadConstraints:
- maxSkew: 1
  topologyKey: zone
  whenUnsatisfiable: ‹DoNotSchedule|ScheduleAnyway›
  labelSelector:
    matchLabels:
      app: %app
?40 - maxSkew: 2
  topologyKey: host
  whenUnsatisfiable: DoNotSchedule
?20 affinity:
  ‹podAffinity|podAntiAffinity›:
    ?60 requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: zone
      labelSelector:
        matchLabels: {app: %app}
    ?60 preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 1
      podAffinityTerm:
        topologyKey: host
        labelSelector: {matchLabels: {app: %app}}
?15 hostAliases:
- ip: 10.0.0.1
  hostnames: [a, b]
?15 securityContext: {runAsUser: 1000, fsGroup: 0o17}
?10 priorityClassName: %name
?10 nodeSelector: {zone: %scalar}
";

pub const METADATA: &str = "?40 labels:
  app: %app
  ?25 app.kubernetes.io/name: ‹web|\"web\"|db›
  ?30 tier: ‹front|\"back\"|\"5\"|\"yes\"›
?30 annotations:
  note: %scalar
  ?20 example.com/config: '{\"a\": [1, true]}'
  ?15 nginx.ingress.kubernetes.io/auth-secret: %secret
  ?30 var: ‹$(V1)|\"$(V2)-s\"|pre-$(V3)›
  ?20 long: |
    two
    lines
?4 finalizers:
- example.com/one
- example.com/two
?4 ownerReferences:
- {apiVersion: v1, kind: ConfigMap, name: settings, uid: u1}
";
