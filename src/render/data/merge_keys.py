#!/usr/bin/env python3
"""Writes merge_keys.txt: which lists of the built-in kinds merge by key, and which kinds have no namespace.

    python3 merge_keys.py BUNDLE.json.gz KUSTOMIZE_OPENAPI.go > merge_keys.txt

BUNDLE is the published OpenAPI of Kubernetes as kustomize bundles it (kyaml, openapi/kubernetesapi/data), the second
file its table of scopes (kyaml, openapi/openapi.go). Only what leads to a merging list is kept; equal parts are shared.

    node ID [merge=KEY,KEY] [items=ID] [values=ID] [FIELD=ID ...]      0 is the node with nothing below it
    kind API-VERSION KIND ID
    cluster API-VERSION KIND
"""
import gzip
import json
import re
import sys

bundle = json.load(gzip.open(sys.argv[1]))
definitions = bundle["definitions"]
ids, lines, busy = {}, [], {}


def resolve(schema):
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    return schema


def node(schema, seen):
    """The id of what a schema says about merging; recursive types (JSONSchemaProps) hold no merging list."""
    while "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        if name in seen:
            return 0
        seen = seen | {name}
        schema = definitions[name]
    parts = []
    strategies = schema.get("x-kubernetes-patch-strategy", "").split(",")
    if schema.get("type") == "array":
        if "merge" in strategies:
            keys = schema.get("x-kubernetes-list-map-keys") or [schema.get("x-kubernetes-patch-merge-key", "")]
            parts.append("merge=" + ",".join(keys))
        below = node(schema["items"], seen) if isinstance(schema.get("items"), dict) else 0
        if below:
            parts.append(f"items={below}")
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and (below := node(values, seen)):
        parts.append(f"values={below}")
    for field, inner in sorted(schema.get("properties", {}).items()):
        if below := node(inner, seen):
            parts.append(f".{field}={below}")
    if not parts:
        return 0
    text = " ".join(parts)
    if text not in ids:
        ids[text] = len(ids) + 1
        lines.append(f"node {ids[text]} {text}")
    return ids[text]


kinds = {}
for name, definition in definitions.items():
    for gvk in definition.get("x-kubernetes-group-version-kind", []):
        api = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
        kinds[api, gvk["kind"]] = node({"$ref": "#/definitions/" + name}, frozenset())
print("# Written by merge_keys.py; do not edit.")
print("\n".join(lines))
for (api, kind), found in sorted(kinds.items()):
    print(f"kind {api} {kind} {found}")

scopes = {(r["apiVersion"], r["kind"]): r.get("scope") == "Cluster" for r in bundle["resources"] if r.get("scope")}
for api, kind, namespaced in re.findall(r'APIVersion: "([^"]+)", Kind: "([^"]+)"}:\s+(true|false)', open(sys.argv[2]).read()):
    scopes[api, kind] = namespaced == "false"
for (api, kind), cluster in sorted(scopes.items()):
    if cluster:
        print(f"cluster {api} {kind}")
