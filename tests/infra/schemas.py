"""Makes kubeconform's schemas of what an API server says of its kinds.

    schemas.py FOLDER < openapi.json     # GET /openapi/v2
"""

import json
import os
import sys


def strict(schema):
    """Refuses fields that the server does not know, as it does itself with strict validation."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get("format") == "int-or-string" or made.get("x-kubernetes-int-or-string"):
        return {"oneOf": [{"type": "string"}, {"type": "integer"}]}
    is_open = made.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in made and isinstance(made["properties"], dict) and made.get("type") == "object" and not is_open:
        made.setdefault("additionalProperties", False)
    return made


def reached(name):
    """The definitions that one needs, itself among them."""
    found, waiting = {}, [name]
    while waiting:
        if (name := waiting.pop()) not in found:
            found[name] = definitions[name]
            waiting += references(definitions[name])
    return found


def references(schema):
    if isinstance(schema, list):
        return [name for item in schema for name in references(item)]
    if not isinstance(schema, dict):
        return []
    here = schema.get("$ref")
    own = [here.removeprefix("#/definitions/")] if isinstance(here, str) else []
    return own + [name for value in schema.values() for name in references(value)]


document = json.load(sys.stdin)
definitions = {name: strict(schema) for name, schema in document["definitions"].items()}
# A quantity is text or a number.
quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"
definitions[quantity] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
written = 0
for name, schema in definitions.items():
    for kind in document["definitions"][name].get("x-kubernetes-group-version-kind", []):
        if "metadata" not in schema.get("properties", {}):
            continue
        group = kind["group"].split(".")[0]
        file = "-".join(filter(None, [kind["kind"].lower(), group, kind["version"]])) + ".json"
        with open(os.path.join(sys.argv[1], file), "w") as out:
            json.dump({"$ref": f"#/definitions/{name}", "definitions": reached(name)}, out)
        written += 1
print(f"{written} schemas")
