//! The fields of the wide trees' kustomizations.

use super::Tree;
use super::writer::Made;

/// Fields that say all by themselves, and of how many layers in a hundred they are.
const PLAIN: &[(u32, &str)] = &[
    (
        30,
        "labels:
- pairs:
    team: ‹red|blue|\"5\"›
    ?25 app.kubernetes.io/name: ‹shop|web›
    ?30 tier: mid
  ?50 ‹includeSelectors|includeTemplates|includeVolumeClaimTemplates›: ‹true|true|false›
  ?20 fields:
  - path: ‹spec/labels|spec/template/more|metadata/annotations|spec/selector›
    create: ‹true|true|false›
    ?60 kind: ‹Widget|Deployment|Service›
    ?20 version: v1
?25 - pairs:
    part: ‹a|b›
  ?50 includeTemplates: true
",
    ),
    (10, "commonLabels:\n  owner: me\n  ?40 env: ‹prod|\"1\"›\n"),
    (
        15,
        "commonAnnotations:\n  note2: hello\n  ?20 example.com/owner: a b\n  ?40 num: \"5\"\n  ?30 note: over\n",
    ),
    (
        25,
        "images:
- name: ‹nginx|nginx|busybox|reg.local:5000/a/app›
  ‹newTag: v9|newName: other/name|digest: sha256:1234|newTag: \"1.20\"›
?50 - name: ‹reg.local/app|ghcr.io/team/api|patched|.*api›
  ?60 newName: ‹mirror.local:5000/x|other/y›
  newTag: ‹t1|\"2\"›
?20 - {name: nginx, newName: \"second/nginx\", digest: \"sha256:77\"}
",
    ),
    (
        5,
        "buildMetadata: ‹[originAnnotations]|[managedByLabel]|[transformerAnnotations]|[managedByLabel, originAnnotations]|[transformerAnnotations, originAnnotations]›\n",
    ),
    (3, "sortOptions: {order: ‹fifo|legacy›}\n"),
    (
        4,
        "sortOptions:
  order: legacy
  legacySortOptions:
    orderFirst: [‹Namespace|Deployment|Widget|ConfigMap›, Service]
    orderLast: [‹ValidatingWebhookConfiguration|Secret|Job›]
",
    ),
    (
        8,
        "generatorOptions:
  ?50 disableNameSuffixHash: ‹true|false›
  ?40 labels: {opt: \"1\"}
  ?40 annotations: {opt: a}
  ?30 immutable: true
",
    ),
];

/// Fields that name a file, and what it holds.
const FILES: &[(u32, &str, &str, &str)] = &[
    (
        5,
        "configurations: [conf.yaml]\n",
        "conf.yaml",
        "?60 nameReference:
- kind: ConfigMap
  ?50 version: v1
  fieldSpecs:
  - {path: spec/ref, kind: Widget}
  ?50 - path: spec/configRef/name
    kind: Widget
- kind: Secret
  fieldSpecs: [{path: spec/secrets/name, kind: Widget}]
?40 commonLabels:
- {path: spec/labels, create: ‹true|false›, kind: Widget}
?40 images: [{path: spec/image, kind: Widget}]
?40 namespace: [{path: spec/ns, create: true, kind: Widget}]
?30 namePrefix: [{path: spec/ref, kind: Widget}]
?30 replicas: [{path: replicas, kind: Gadget, create: true}]
?40 varReference:
- {path: spec/list, kind: Widget}
- path: spec/flag
?30 commonAnnotations: [{path: spec/notes, kind: Widget, create: true}]
",
    ),
    (
        4,
        "openapi:\n  path: schema.json\n",
        "schema.json",
        "{\"definitions\": {\"v1.Widget\": {\"type\": \"object\", \"x-kubernetes-group-version-kind\": [{\"group\": \"example.com\", \"kind\": \"Widget\", \"version\": \"v1\"}], \"properties\": {\"apiVersion\": {\"type\": \"string\"}, \"kind\": {\"type\": \"string\"}, \"spec\": {\"$ref\": \"#/definitions/v1.Spec\"}}}, \"v1.Spec\": {\"type\": \"object\", \"properties\": {\"items\": {\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"}}}, \"x-kubernetes-patch-merge-key\": \"name\", \"x-kubernetes-patch-strategy\": \"merge\"}}}}}\n",
    ),
    (
        4,
        "crds:\n- crd.json\n",
        "crd.json",
        "{\"example.com/v1.Widget\": {\"Schema\": {\"properties\": {\"apiVersion\": {\"type\": \"string\"}, \"kind\": {\"type\": \"string\"}, \"metadata\": {\"$ref\": \"x\"}, \"spec\": {\"$ref\": \"example.com/v1.WidgetSpec\"}}}, \"Dependencies\": []}, \"example.com/v1.WidgetSpec\": {\"Schema\": {\"properties\": {\"configRef\": {\"x-kubernetes-object-ref-api-version\": \"v1\", \"x-kubernetes-object-ref-kind\": \"ConfigMap\", \"$ref\": \"y\"}, \"ref\": {\"x-kubernetes-object-ref-api-version\": \"v1\", \"x-kubernetes-object-ref-kind\": \"ConfigMap\", \"type\": \"string\"}}}, \"Dependencies\": []}}\n",
    ),
];

/// Built-in plugins; the part in capitals is a patch, or a target.
const TRANSFORMERS: &[&str] = &[
    "kind: PrefixTransformer\nmetadata: {name: t}\nprefix: ‹t-|u-›\nfieldSpecs:\n- path: metadata/name\n  ?30 kind: ‹Service|ConfigMap|Deployment›\n",
    "kind: SuffixTransformer\nmetadata: {name: t}\nsuffix: -t\nfieldSpecs: [{path: metadata/name}, {path: spec/ref, kind: Widget}]\n",
    "kind: NamespaceTransformer\nmetadata: {name: t, namespace: ‹prod|test›}\n?40 unsetOnly: ‹true|false›\n?50 setRoleBindingSubjects: ‹none|allServiceAccounts|defaultOnly›\n?40 fieldSpecs:\n- path: metadata/name\n  kind: Namespace\n  create: true\n",
    "kind: LabelTransformer\nmetadata: {name: t}\nlabels: {plug: in}\nfieldSpecs:\n- path: metadata/labels\n  create: true\n?40 - {path: spec/selector/matchLabels, kind: Deployment, group: apps}\n?40 - {path: spec/template/metadata/labels, create: true, kind: ‹Deployment|StatefulSet›}\n",
    "kind: AnnotationsTransformer\nmetadata: {name: t}\nannotations: {plug: ‹in|\"1\"›}\nfieldSpecs: [{path: metadata/annotations, create: ‹true|true|false›}]\n",
    "kind: ImageTagTransformer\nmetadata: {name: t}\nimageTag: {name: nginx, newTag: ‹p1|\"3\"›}\n?40 fieldSpecs:\n- path: spec/image\n",
    "kind: ReplicaCountTransformer\nmetadata: {name: t}\nreplica: {name: NAME, count: 6}\nfieldSpecs:\n- {path: spec/replicas, create: true, kind: Deployment}\n- {path: spec/replicas, create: true, kind: StatefulSet}\n",
    "kind: PatchTransformer\nmetadata: {name: t}\ntarget: TARGET\npatch: |-\n  [{\"op\": \"add\", \"path\": \"/metadata/annotations/plug.in~1x\", \"value\": \"y\"}]\n",
    "kind: PatchTransformer\nmetadata: {name: t}\npatch: |-\n  PATCH\n",
    "kind: PatchStrategicMergeTransformer\nmetadata: {name: t}\npatches: |-\n  PATCH\n",
    "kind: PatchJson6902Transformer\nmetadata: {name: t}\ntarget: TARGET\njsonOp: |-\n  - op: add\n    path: /metadata/labels\n    value: {json: op}\n",
    "kind: ReplacementTransformer\nmetadata: {name: t}\nreplacements:\n- source: SOURCE\n  targets:\n  - select: {kind: ‹Deployment|Widget|ConfigMap|Service›}\n    fieldPaths: [metadata.annotations.from]\n    options: {create: true}\n",
];

impl Tree<'_> {
    pub(super) fn fields(&mut self, folder: &str, has_names: bool, text: &mut String) {
        if has_names {
            for (percent, field) in [
                (25, "namespace: ‹prod|dev|default|prod # of ours›\n"),
                (18, "namePrefix: ‹a-|b-|\"team-\"›\n"),
                (12, "nameSuffix: ‹-x|-v1›\n"),
            ] {
                if self.writer.chance(percent) {
                    text.push_str(&self.writer.write(field));
                }
            }
        }
        for (percent, field) in PLAIN {
            let is_there = text.contains(&field[..field.find(':').map_or(0, |at| at + 1)]);
            if !is_there && self.writer.chance(*percent) {
                text.push_str(&self.writer.write(field));
            }
        }
        for (percent, field, name, content) in FILES {
            if self.writer.chance(*percent) {
                text.push_str(field);
                let content = self.writer.write(content);
                let content = if content.is_empty() { "commonLabels: []\n".to_owned() } else { content };
                self.files.insert(format!("{folder}/{name}"), content);
            }
        }
        if self.writer.chance(12)
            && let Some(made) =
                self.writer.some(&["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"])
        {
            text.push_str(&self.writer.write(&format!("replicas:\n- name: {}\n  count: ‹4|0›\n", made.name)));
        }
        self.patches(folder, text);
        if self.writer.chance(15) {
            self.replacements(folder, text);
        }
        if self.writer.chance(6) {
            self.variables(text);
        }
        if self.writer.chance(12) {
            self.transformers(folder, text);
        }
    }

    pub(super) fn generators(&mut self, folder: &str, text: &mut String) {
        for (field, percent) in [("configMapGenerator", 35), ("secretGenerator", 20)] {
            if !self.writer.chance(percent) {
                continue;
            }
            text.push_str(&format!("{field}:\n"));
            for _ in 0..self.writer.rng.usize(1..3) {
                let entry = self.generator(folder, field);
                for (nth, line) in entry.lines().enumerate() {
                    text.push_str(&format!("{}{line}\n", if nth == 0 { "- " } else { "  " }));
                }
            }
        }
        if self.writer.chance(3) {
            let kind = self.writer.pick(&["ConfigMap", "Secret"]);
            let entry = self.writer.write(&format!("apiVersion: builtin\nkind: {kind}Generator\nmetadata:\n  name: plugin\n  ?30 namespace: %ns\nliterals: [a=b]\n?30 behavior: create\n?30 options: {{labels: {{a: b}}}}\n"));
            self.files.insert(format!("{folder}/gen.yaml"), entry);
            text.push_str("generators: [gen.yaml]\n");
        }
    }

    fn generator(&mut self, folder: &str, field: &'static str) -> String {
        let known: Vec<String> =
            self.generated.iter().filter(|(of, _)| *of == field).map(|(_, name)| name.clone()).collect();
        let names = if field == "secretGenerator" { ["keys", "tls"] } else { ["settings", "web"] };
        let mut name = self.writer.pick(&names).to_owned();
        let mut behavior = String::new();
        let kind = if field == "secretGenerator" { "Secret" } else { "ConfigMap" };
        let is_plain = self.writer.made.iter().any(|made| made.kind == kind && made.name == name);
        if known.contains(&name) || is_plain {
            if self.is_ambiguous || self.writer.chance(30) {
                name = format!("more{}", self.writer.rng.u32(..1000));
            } else {
                behavior = self.writer.write("behavior: ‹merge|merge|replace›\n");
            }
        } else if self.writer.chance(1) {
            behavior = self.writer.write("behavior: ‹create|merge|\"\"›\n");
        }
        let is_elsewhere = behavior.is_empty() && self.writer.chance(6);
        if is_elsewhere {
            name = format!("more{}", self.writer.rng.u32(..1000));
            behavior = self.writer.write("namespace: ‹prod|dev›\n");
        }
        self.generated.push((field, name.clone()));
        let mut entry = format!("name: {name}\n{behavior}");
        entry.push_str(
            &self
                .writer
                .write(
                    "?80 literals:
- ‹a=b|k=v|n=5|'q=\"x y\"'|b=true|h=<&>|a=|url=http://x?a=b|\"multi=a\\nb\"›
?40 - ‹k2=one|z=two words|e='single'›
?25 options:
  ?40 disableNameSuffixHash: ‹true|false›
  ?30 immutable: true
  ?40 labels: {gen: l, ?: x}
  ?30 annotations: {gen: \"5\"}
",
                )
                .replace(", ?: x", ""),
        );
        if field == "secretGenerator" {
            entry.push_str(&self.writer.write("?40 type: ‹Opaque|kubernetes.io/tls|example.com/x›\n"));
        }
        if self.writer.chance(35) {
            let list = self.writer.pick(&[
                "[data.txt]",
                "[named=data.txt]",
                "[data.txt, my.key=sub/data.txt]",
                "[data.bin]",
            ]);
            entry.push_str(&format!("files: {list}\n"));
            for (path, content) in
                [("data.txt", "one\ntwo\n"), ("sub/data.txt", "{\"a\": 1}"), ("data.bin", "a\u{0}b")]
            {
                self.files.insert(format!("{folder}/{path}"), content.to_owned());
            }
        }
        if self.writer.chance(20) {
            entry.push_str(self.writer.pick(&[
                "envs: [data.env]\n",
                "envs:\n- data.env\n",
                "env: data.env\n",
            ]));
            self.files.insert(
                format!("{folder}/data.env"),
                "# comment\nENV_A=1\n\n  ENV_B=a=b c\nENV_C=\"q\"\n".to_owned(),
            );
        }
        entry
    }

    fn target(&mut self, made: &Made) -> String {
        let name = match self.writer.rng.u32(..6) {
            0 => format!("{}.*", &made.name[..1]),
            1 => format!("({}|other)", made.name),
            2 => "web|db|api".to_owned(),
            _ => made.name.clone(),
        };
        let (group, version) = made.api.split_once('/').unwrap_or(("", made.api));
        let template = match self.writer.rng.u32(..8) {
            0 | 1 => format!("kind: {}", made.kind),
            2 | 3 => format!("kind: {}, name: {name}", made.kind),
            4 => format!("version: {version}, kind: {}, group: \"{group}\"", made.kind),
            5 => {
                format!("kind: {}, labelSelector: ‹app=web|\"app in (web, db)\"|\"app!=web\"|app›", made.kind)
            }
            6 => format!("kind: {}, annotationSelector: ‹note=plain|\"!note\"|note›", made.kind),
            _ => format!("kind: {}, name: {name}, namespace: ‹prod|dev|default|\".*\"›", made.kind),
        };
        self.writer.write(&template).trim_end().to_owned()
    }

    fn patches(&mut self, folder: &str, text: &mut String) {
        if self.writer.chance(55) {
            let mut entries = String::new();
            for number in 0..self.writer.rng.usize(1..4) {
                let Some(made) = self.writer.some(&[]) else { continue };
                let is_json = self.writer.chance(35);
                let mut body = match is_json {
                    true => self.writer.operations(&made),
                    false => self.writer.strategic(&made),
                };
                if body.contains("\n$patch: delete") && !self.is_ambiguous {
                    self.writer.made.retain(|other| other.kind != made.kind || other.name != made.name);
                }
                let has_target = is_json || self.is_ambiguous || self.writer.chance(30);
                let (kind_change, name_change) = (self.writer.chance(3), self.writer.chance(5));
                if name_change && !is_json {
                    body = body.replacen(&format!("name: {}", made.name), "name: renamed", 1);
                }
                if !is_json
                    && !has_target
                    && !name_change
                    && self.writer.chance(8)
                    && let Some(other) = self.writer.some(&[])
                {
                    body = format!("{body}---\n{}", self.writer.strategic(&other));
                }
                if self.writer.chance(40) {
                    entries.push_str(&format!("- path: p{number}.yaml\n"));
                    let lead = self.writer.write("?30 ---\n?20 # a patch\n");
                    self.files.insert(format!("{folder}/p{number}.yaml"), format!("{lead}{body}"));
                } else {
                    entries.push_str(self.writer.pick(&[
                        "- patch: |\n",
                        "- patch: |-\n",
                        "- patch: |- # why\n",
                    ]));
                    entries.extend(body.lines().map(|line| format!("    {line}\n")));
                }
                if has_target || name_change {
                    let target = self.target(&made);
                    entries.push_str(&format!("  target: {{{target}}}\n"));
                }
                if name_change || kind_change {
                    entries.push_str(&format!(
                        "  options: {{allowNameChange: {name_change}, allowKindChange: {kind_change}}}\n"
                    ));
                }
            }
            if !entries.is_empty() {
                text.push_str("patches:\n");
                text.push_str(&entries);
            }
        }
        if !self.is_ambiguous
            && self.writer.chance(8)
            && let Some(made) = self.writer.some(&[])
        {
            let body = self.writer.strategic(&made);
            if self.writer.chance(50) {
                text.push_str("patchesStrategicMerge:\n- |-\n");
                text.extend(body.lines().map(|line| format!("  {line}\n")));
            } else {
                text.push_str("patchesStrategicMerge:\n- merge.yaml\n");
                self.files.insert(format!("{folder}/merge.yaml"), body);
            }
        }
        if self.writer.chance(8)
            && let Some(made) = self.writer.some(&[])
        {
            let body = self.writer.operations(&made);
            let (group, version) = made.api.split_once('/').unwrap_or(("", made.api));
            text.push_str(&format!("patchesJson6902:\n- target: {{group: \"{group}\", version: {version}, kind: {}, name: {}}}\n", made.kind, made.name));
            if self.writer.chance(50) {
                text.push_str("  patch: |-\n");
                text.extend(body.lines().map(|line| format!("    {line}\n")));
            } else {
                text.push_str("  path: json.yaml\n");
                self.files.insert(format!("{folder}/json.yaml"), body);
            }
        }
    }

    /// A source that is there, and the path of a field in it.
    fn source(&mut self) -> Option<String> {
        let made = self.writer.some(&[
            "Service",
            "ConfigMap",
            "Widget",
            "Deployment",
            "Ingress",
            "HorizontalPodAutoscaler",
        ])?;
        let path = match made.kind {
            "Service" => {
                "‹spec.ports.0.port|spec.ports.0.targetPort|metadata.name|spec.ports.[port=80].port›"
            }
            "ConfigMap" => "‹data.k|metadata.name|data.a›",
            "Widget" => "‹spec.ref|spec.list.0|spec.map.a|spec.list›",
            "Ingress" => "‹spec.rules.0.host|spec.rules.0.http.paths.0.backend.service.name›",
            "HorizontalPodAutoscaler" => "spec.maxReplicas",
            _ => {
                "‹spec.template.spec.containers.0.image|spec.template.spec.containers.[name=main].image|metadata.name›"
            }
        };
        let options = "‹|||, options: {delimiter: \":\", index: 0}|, options: {delimiter: \"-\"}›";
        let template =
            format!("{{kind: {}, name: {}, fieldPath: \"{path}\"{options}}}\n", made.kind, made.name);
        Some(self.writer.write(&template).trim_end().to_owned())
    }

    fn replacements(&mut self, folder: &str, text: &mut String) {
        let Some(source) = self.source() else { return };
        if self.is_ambiguous && !self.writer.chance(10) {
            return;
        }
        let mut body = match self.writer.chance(10) {
            true => self.writer.write("- sourceValue: ‹fixed|\"5\"›\n  targets:\n"),
            false => format!("- source: {source}\n  targets:\n"),
        };
        for _ in 0..self.writer.rng.usize(1..3) {
            let Some(made) = self.writer.some(&[]) else { continue };
            let pod = super::pods::PODS.iter().find(|(kind, _)| *kind == made.kind);
            let paths = match (made.kind, pod) {
                (_, Some((_, pod))) => "‹POD.containers.[name=main].image|POD.containers.*.image|POD.containers.0.args.0|POD.containers.[name=main].env.[name=R].value|POD.containers.*.env.[name=A].value|POD.serviceAccountName|metadata.labels.rep|metadata.annotations.example\\.com/x|POD.nodeSelector.[a.b/c]›"
                    .replace("POD", &pod.join(".")),
                ("ConfigMap", _) => "‹data.a|data.new|data.[x.y]›".to_owned(),
                ("Service", _) => "‹spec.externalName|spec.ports.0.name|spec.selector.app|spec.ports.*.name›".to_owned(),
                ("Ingress", _) => "‹spec.rules.0.host|spec.rules.*.host|spec.tls.0.hosts.0|spec.rules.0.http.paths.*.backend.service.name›".to_owned(),
                ("Widget", _) => "‹spec.list.0|spec.list.1|spec.list.-|spec.map.new.deep|spec.flag|spec.items.[name=one].value|spec.items.[name=new].value|spec.items.*.value|spec.made.0.x›".to_owned(),
                _ => "‹metadata.annotations.rep|metadata.labels.rep|spec.rep›".to_owned(),
            };
            let select = self.writer.write(&format!(
                "‹kind: {0}|kind: {0}, name: {1}|name: {1}|kind: {0}, labelSelector: app=web›\n",
                made.kind, made.name
            ));
            let path = self.writer.write(&paths);
            body.push_str(&format!("  - select: {{{}}}\n", select.trim_end()));
            body.push_str(&self.writer.write("    ?10 reject: [{name: ‹db|web|d.*›}]\n"));
            let second = self.writer.write(&paths);
            let second =
                if self.writer.chance(25) { format!(", '{}'", second.trim_end()) } else { String::new() };
            body.push_str(&format!("    fieldPaths: ['{}'{second}]\n", path.trim_end()));
            body.push_str(&self.writer.write("    ?93 options:\n      create: true\n      ?15 delimiter: ‹\":\"|\"-\"|\".\"|/›\n      ?20 index: ‹0|1|-1|5›\n"));
        }
        if self.writer.chance(30) {
            text.push_str("replacements:\n- path: repl.yaml\n");
            self.files.insert(format!("{folder}/repl.yaml"), body);
        } else {
            text.push_str("replacements:\n");
            text.push_str(&body);
        }
    }

    fn variables(&mut self, text: &mut String) {
        if self.is_ambiguous {
            return;
        }
        let mut body = String::new();
        for _ in 0..self.writer.rng.usize(1..3) {
            let Some(made) = self.writer.some(&["Service", "ConfigMap", "Deployment", "Secret", "Widget"])
            else {
                continue;
            };
            self.variables += 1;
            let path = match made.kind {
                "Service" => "‹spec.ports[0].port|metadata.name›",
                "ConfigMap" => "‹data.k|metadata.name›",
                "Deployment" => "‹spec.template.spec.containers[0].image|metadata.labels.app›",
                "Widget" => "‹spec.list[0]|spec.ref›",
                _ => "metadata.name",
            };
            let template = format!(
                "- name: V{}\n  objref:\n    apiVersion: {}\n    kind: {}\n    name: {}\n  ?60 fieldref:\n    fieldpath: {path}\n",
                self.variables, made.api, made.kind, made.name
            );
            body.push_str(&self.writer.write(&template));
        }
        if !body.is_empty() {
            text.push_str("vars:\n");
            text.push_str(&body);
        }
    }

    fn transformers(&mut self, folder: &str, text: &mut String) {
        let mut documents = Vec::new();
        for _ in 0..self.writer.rng.usize(1..3) {
            let template = self.writer.pick(TRANSFORMERS);
            let mut config = format!("apiVersion: builtin\n{}", self.writer.write(template));
            let Some(made) = self.writer.some(&[]) else { continue };
            if config.contains("SOURCE") {
                let Some(source) = self.source().filter(|_| !self.is_ambiguous) else { continue };
                config = config.replace("SOURCE", &source);
            }
            if config.contains("PATCH") {
                if self.is_ambiguous {
                    continue;
                }
                let patch = self.writer.strategic(&made);
                config = config.replace("PATCH", patch.trim_end().replace('\n', "\n  ").as_str());
            }
            if config.contains("NAME") {
                let Some(made) = self.writer.some(&["Deployment", "StatefulSet"]) else { continue };
                config = config.replace("NAME", &made.name);
            }
            config = config.replace(
                "TARGET",
                &format!(
                    "{{kind: {}, name: {}, version: {}}}",
                    made.kind,
                    made.name,
                    made.api.rsplit('/').next().unwrap_or("v1")
                ),
            );
            documents.push(config);
        }
        if documents.is_empty() {
            return;
        }
        if self.writer.chance(60) {
            text.push_str("transformers:\n- trans.yaml\n");
            self.files.insert(format!("{folder}/trans.yaml"), documents.join("---\n"));
        } else {
            text.push_str("transformers:\n");
            for document in documents {
                text.push_str("- |-\n");
                text.extend(document.lines().map(|line| format!("  {line}\n")));
            }
        }
    }
}
