"""What is asked of alerts and dashboards, over the rendered objects of all environments.

    rules.py extract FOLDER < objects.json      writes NAME.rules.yaml for each PrometheusRule, without annotations
    rules.py tested FOLDER TESTS...             every alert of the folder is expected to fire somewhere, and to stay quiet
    rules.py metrics METRICS < objects.json     every metric of a rule or a dashboard is served by somebody
    rules.py runbooks < objects.json            every alert leads to a heading that there is
"""

import json
import os
import re
import sys

import yaml

NOT_METRICS = {"and", "or", "unless", "by", "on", "ignoring", "group_left", "group_right", "offset", "bool", "without", "time", "vector"}


def rules_of(objects):
    seen = {}
    for item in objects:
        if item["kind"] == "PrometheusRule":
            name = item["metadata"]["name"]
            spec = item["spec"]
            if seen.setdefault(name, spec) != spec:
                sys.exit(f"PrometheusRule {name} differs between environments")
    return seen


def dashboards_of(objects):
    for item in objects:
        if item["kind"] == "ConfigMap" and item["metadata"].get("labels", {}).get("grafana_dashboard") == "1":
            for key, text in item["data"].items():
                yield key, json.loads(text)


def metrics_of(expression):
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\boffset\s+\w+", " ", text)
    names = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b", text)
    calls = set(re.findall(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\(", text))
    return {name for name in names if name not in NOT_METRICS and name not in calls}


def extract(folder):
    for name, spec in rules_of(json.load(sys.stdin)).items():
        for group in spec["groups"]:
            for rule in group["rules"]:
                rule.pop("annotations", None)
        with open(os.path.join(folder, f"{name}.rules.yaml"), "w") as out:
            yaml.safe_dump(spec, out)


def tested(folder, tests):
    alerts = set()
    for file in os.listdir(folder):
        if file.endswith(".rules.yaml"):
            with open(os.path.join(folder, file)) as text:
                for group in yaml.safe_load(text)["groups"]:
                    alerts |= {rule["alert"] for rule in group["rules"] if "alert" in rule}
    fires, quiet = set(), set()
    for file in tests:
        with open(file) as text:
            for test in yaml.safe_load(text)["tests"]:
                for case in test.get("alert_rule_test", []):
                    (fires if case["exp_alerts"] else quiet).add(case["alertname"])
    # One alert is there to fire always.
    wrong = [f"{name} is not seen firing" for name in alerts - fires]
    wrong += [f"{name} is not seen staying quiet" for name in alerts - quiet - {"Watchdog"}]
    wrong += [f"there is no alert {name}" for name in (fires | quiet) - alerts]
    print(f"{len(alerts)} alerts")
    sys.exit("\n".join(wrong) or 0)


def metrics(listed):
    objects = json.load(sys.stdin)
    with open(listed) as text:
        served = {line.strip() for line in text if line.strip() and not line.startswith("#")}
    wrong, used = [], set()
    expressions = []
    for name, spec in rules_of(objects).items():
        for group in spec["groups"]:
            for rule in group["rules"]:
                expressions.append((rule.get("alert") or rule["record"], rule["expr"]))
                if "record" in rule:
                    served.add(rule["record"])
    for name, dashboard in dashboards_of(objects):
        if not (dashboard["title"] and dashboard["uid"] and dashboard["panels"]):
            wrong.append(f"{name} has no title, uid or panels")
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expressions.append((f"{name}, {panel['title']}", target["expr"].replace("$namespace", "n")))
    for where, expression in expressions:
        used |= metrics_of(expression)
        wrong += [f"{where}: nobody serves {metric}" for metric in sorted(metrics_of(expression) - served)]
    print(f"{len(expressions)} expressions, {len(used)} metrics")
    sys.exit("\n".join(wrong) or 0)


def runbooks():
    wrong = []
    for spec in rules_of(json.load(sys.stdin)).values():
        for group in spec["groups"]:
            for rule in group["rules"]:
                if "alert" not in rule:
                    continue
                file, _, heading = rule["annotations"]["runbook"].partition("#")
                headings = set()
                if os.path.exists(file):
                    with open(file) as text:
                        headings = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").strip().lower()).replace(" ", "-")
                                    for line in text if line.startswith("#")}
                if heading not in headings:
                    wrong.append(f"{rule['alert']}: there is no {file}#{heading}")
                else:
                    with open(file) as text:
                        if f"`{rule['alert']}`" not in text.read():
                            wrong.append(f"{rule['alert']}: {file} does not say what to do")
    sys.exit("\n".join(wrong) or 0)


command = sys.argv[1]
if command == "extract":
    extract(sys.argv[2])
elif command == "tested":
    tested(sys.argv[2], sys.argv[3:])
elif command == "metrics":
    metrics(sys.argv[2])
else:
    runbooks()
