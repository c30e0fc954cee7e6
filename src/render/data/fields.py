#!/usr/bin/env python3
"""Writes fields.txt: where names, namespaces, labels, images and the like stand in the built-in kinds.

    python3 fields.py DIR > fields.txt

DIR is kustomize's api/internal/konfig/builtinpluginconsts, whose constants hold its default configuration as YAML.
A `-` means "any". Order is kept: it decides which of two rules for one field comes first.

    SECTION GROUP VERSION KIND CREATE PATH
    ref TARGET-GROUP TARGET-VERSION TARGET-KIND GROUP VERSION KIND PATH
"""
import pathlib
import re
import sys

consts = {}
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.go")):
    for name, parts in re.findall(r"(\w+)\s*=\s*((?:`[^`]*`|\w+)(?:\s*\+\s*(?:`[^`]*`|\w+))*)", file.read_text()):
        if "`" in parts:
            consts[name] = parts


def text(name):
    return "".join(
        part.strip("`") if part.startswith("`") else text(part)
        for part in re.findall(r"`[^`]*`|\w+", consts[name])
    )


def rows(lines):
    """The items of a YAML list of flat maps, without needing a YAML parser."""
    item = {}
    for line in lines:
        found = re.match(r"\s*(- )?\s*(\w+):\s*(.*)", line)
        if not found:
            continue
        if found[1]:
            if item:
                yield item
            item = {}
        item[found[2]] = found[3].strip()
    if item:
        yield item


def gvk(item):
    return " ".join(item.get(key) or "-" for key in ("group", "version", "kind"))


print("# Written by fields.py; do not edit.")
for name in ("namePrefix", "nameSuffix", "commonLabel", "templateLabel", "volumeClaimTemplateLabel",
             "commonAnnotation", "namespace", "varReference", "images", "replicas"):
    body = text(name + "FieldSpecs").strip().splitlines()
    section = body[0].strip().rstrip(":")
    for item in rows(body[1:]):
        print(section, gvk(item), "yes" if item.get("create") == "true" else "no", item["path"])
for block in re.split(r"\n(?=- kind)", text("nameReferenceFieldSpecs")):
    head, _, tail = block.partition("fieldSpecs:")
    for target in rows(head.splitlines()):
        if "kind" in target:
            for item in rows(tail.splitlines()):
                print("ref", gvk(target), gvk(item), item["path"])
