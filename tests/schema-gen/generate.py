#!/usr/bin/env python3
"""Writes src/schema/releases/1.36.json: the built-in kinds of one Kubernetes release, their types, and the APIs removed.

    go mod download k8s.io/kubernetes@v1.36.3 k8s.io/api@v0.36.3
    tests/schema-gen/generate.py "$(go env GOMODCACHE)/k8s.io" 1.36.3 > src/schema/releases/1.36.json

Everything comes from what the release publishes: api/openapi-spec/swagger.json, api/discovery, and the
prerelease-lifecycle functions of k8s.io/api. What left k8s.io/api altogether stands in GONE below.

A type is a map of its fields; a field is one string, `type|attribute|…`:

    s text   i integer   n number   b boolean   o any map   a anything   x integer or text   q quantity
    t time   y base64    #N the type with that number      [T list of T  {T map of T
    r required      p=STRATEGY patch strategy, m=KEY its merge key
    l=KEY,KEY list that is a map by these keys      l list that is a set      A atomic
"""
import glob
import json
import os
import re
import sys

root, version = sys.argv[1], sys.argv[2]
api = f"{root}/kubernetes@v{version}/api"
swagger = json.load(open(f"{api}/openapi-spec/swagger.json"))["definitions"]

# Removed APIs whose types are no longer in k8s.io/api: release, group, version, kinds, what to use instead.
GONE = [
    ("1.16", "extensions", "v1beta1", "PodSecurityPolicy", None),
    ("1.19", "auditregistration.k8s.io", "v1alpha1", "AuditSink", None),
    ("1.20", "settings.k8s.io", "v1alpha1", "PodPreset", None),
    ("1.21", "batch", "v2alpha1", "CronJob", "batch/v1"),
    ("1.22", "apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition", "apiextensions.k8s.io/v1"),
    ("1.22", "apiregistration.k8s.io", "v1beta1", "APIService", "apiregistration.k8s.io/v1"),
    ("1.22", "rbac.authorization.k8s.io", "v1alpha1", "Role RoleBinding ClusterRole ClusterRoleBinding",
     "rbac.authorization.k8s.io/v1"),
    ("1.25", "autoscaling", "v2beta1", "HorizontalPodAutoscaler", "autoscaling/v2"),
    ("1.25", "policy", "v1beta1", "PodSecurityPolicy", None),
    ("1.26", "autoscaling", "v2beta2", "HorizontalPodAutoscaler", "autoscaling/v2"),
]

# Asked or answered, never kept: none of them stands in a manifest.
NO_OBJECTS = {"APIGroupDiscovery", "AdmissionReview", "DeploymentRollback", "Eviction", "Scale"}

# The plain text of these types is richer than their schema says.
SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "q",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "x",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "t",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "t",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "o",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "o",
}
# Marked as required, and taken by the server where they are absent.
DEFAULTED = {("Event", "eventTime"), ("RoleRef", "apiGroup"), ("EndpointSlice", "endpoints"), ("HTTPHeader", "value"), ("Sysctl", "value")}
# Absent means 0 or false to the server, whatever the schema says.
ZERO = {"i", "n", "b"}
TEXT = {"byte": "y", "int-or-string": "x", "date-time": "t"}

numbers = {}
types = []


def type_of(schema):
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        definition = swagger[name]
        if name in SPECIAL:
            return SPECIAL[name]
        if "properties" in definition:
            return f"#{number(name)}"
        # Aliases: maps of quantities, JSON of any shape.
        return type_of(definition)
    kind = schema.get("type")
    if kind == "array":
        return "[" + type_of(schema["items"])
    if kind == "object":
        values = schema.get("additionalProperties")
        return "{" + type_of(values) if isinstance(values, dict) else "o"
    if kind == "string":
        return TEXT.get(schema.get("format"), "s")
    return {"integer": "i", "number": "n", "boolean": "b"}.get(kind, "a")


def number(name):
    if name not in numbers:
        numbers[name] = len(types)
        types.append(None)
        definition = swagger[name]
        required = set(definition.get("required", []))
        fields = {}
        for field, schema in sorted(definition["properties"].items()):
            words = [type_of(schema)]
            if field in required and (name.rsplit(".", 2)[-1], field) not in DEFAULTED and words[0] not in ZERO:
                words.append("r")
            if "x-kubernetes-patch-strategy" in schema:
                words.append("p=" + schema["x-kubernetes-patch-strategy"])
            if "x-kubernetes-patch-merge-key" in schema:
                words.append("m=" + schema["x-kubernetes-patch-merge-key"])
            kind = schema.get("x-kubernetes-list-type")
            if kind == "map":
                words.append("l=" + ",".join(schema["x-kubernetes-list-map-keys"]))
            elif kind == "set":
                words.append("l")
            elif kind == "atomic" or schema.get("x-kubernetes-map-type") == "atomic":
                words.append("A")
            ref = swagger.get(schema.get("$ref", "").rsplit("/", 1)[-1], {})
            if ref.get("x-kubernetes-map-type") == "atomic" and "A" not in words:
                words.append("A")
            fields[field] = "|".join(words)
        types[numbers[name]] = [name.split(".pkg.apis.")[-1].removeprefix("io.k8s.api."), fields]
    return numbers[name]


definitions = {}
for name, definition in swagger.items():
    for gvk in definition.get("x-kubernetes-group-version-kind", []):
        definitions.setdefault((gvk["group"], gvk["version"], gvk["kind"]), name)

versions = {"": ["v1"]}
for path in glob.glob(f"{api}/discovery/apis__*.json"):
    group = json.load(open(path))
    if group["kind"] == "APIGroup":
        preferred = group["preferredVersion"]["version"]
        names = [entry["version"] for entry in group["versions"]]
        versions[group["name"]] = [preferred] + [name for name in names if name != preferred]

kinds = []
for group in sorted(versions):
    found = {}
    for served in versions[group]:
        prefix = f"apis__{group}__{served}" if group else f"api__{served}"
        for resource in json.load(open(f"{api}/discovery/{prefix}.json"))["resources"]:
            if "/" in resource["name"]:
                continue
            kind = found.setdefault(resource["kind"], [resource["name"], resource["namespaced"], {}])
            kind[2][served] = number(definitions[group, served, resource["kind"]])
    for kind, (plural, namespaced, by_version) in sorted(found.items()):
        kinds.append([group, kind, plural, namespaced, [[name, at] for name, at in by_version.items()]])

served = {(group, kind, name) for group, kind, _, _, each in kinds for name, _ in each}
minor = int(version.split(".")[1])
removed = {}
for path in glob.glob(f"{root}/api@v0.{minor}.*/*/*/zz_generated.prerelease-lifecycle.go"):
    folder = os.path.dirname(path)
    register = open(f"{folder}/register.go").read()
    group = re.search(r'GroupName = "(.*?)"', register)[1]
    served_as = os.path.basename(folder)
    text = open(path).read()
    functions = r"func \(in \*(\w+)\) APILifecycle{}\(\)[^\n]*\n\s*return ([^\n]*)"
    replaced = dict(re.findall(functions.format("Replacement"), text))
    for kind, release in re.findall(functions.format("Removed"), text):
        release = tuple(int(part) for part in release.split(","))
        if kind in NO_OBJECTS or kind.endswith("List") or kind.endswith("Options") or release > (1, minor) or (group, kind, served_as) in served:
            continue
        instead = None
        if kind in replaced:
            to = re.search(r'Group: "(.*?)", Version: "(.*?)", Kind: "(.*?)"', replaced[kind])
            instead = to[1] + "/" + to[2] if to[1] else to[2]
            # k8s.io/api names IngressClassList as what follows IngressClass.
            if to[3] not in (kind, kind + "List"):
                instead += " " + to[3]
        removed[group, served_as, kind] = ["%d.%d" % release, instead]
for release, group, name, names, instead in GONE:
    for kind in names.split():
        removed[group, name, kind] = [release, instead]
# Where the lifecycle names no successor, or one that is gone too, the kind's own group may have one by now.
stable = {(group, kind): each[0][0] for group, kind, _, _, each in kinds}
for (group, name, kind), entry in removed.items():
    gone = entry[1] and "/" in entry[1] and (*entry[1].split("/"), kind) in removed
    if (entry[1] is None or gone) and (group, kind) in stable:
        entry[1] = f"{group}/{stable[group, kind]}"


def lines(items):
    return "[\n" + ",\n".join(json.dumps(item, separators=(",", ":")) for item in items) + "\n]"


removed_lines = [[*key, *value] for key, value in sorted(removed.items())]
print(f'{{"version":"{version}",\n"kinds":{lines(kinds)},\n"removed":{lines(removed_lines)},\n"types":{lines(types)}}}')
