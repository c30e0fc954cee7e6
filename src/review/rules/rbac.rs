//! Who gets more rights: rules that the old ones do not cover, and subjects that were not bound.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Found;
use crate::review::compare::Delta;
use crate::review::risk::{RiskClass, Severity};

const GROUP: &str = "rbac.authorization.k8s.io";

pub fn judge(delta: &Delta, found: &mut Found) {
    if *delta.key.group != *GROUP || delta.after.is_none() {
        return;
    }
    match &*delta.key.kind {
        "Role" | "ClusterRole" => role(delta, found),
        "RoleBinding" | "ClusterRoleBinding" => binding(delta, found),
        _ => {}
    }
}

/// One right, of which each part may be `*`.
struct Right<'a> {
    /// A group, or a URL where there is no resource.
    group: &'a str,
    resource: &'a str,
    verb: &'a str,
    /// None where it is for all.
    name: Option<&'a str>,
}

fn texts<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The rights of a rule, one by one.
fn rights(rule: &Value) -> Vec<Right<'_>> {
    let verbs = texts(rule, "verbs");
    let mut found = Vec::new();
    let names = texts(rule, "resourceNames");
    let names: Vec<Option<&str>> =
        if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
    for group in texts(rule, "apiGroups") {
        for resource in texts(rule, "resources") {
            for &verb in &verbs {
                found.extend(names.iter().map(|&name| Right { group, resource, verb, name }));
            }
        }
    }
    for url in texts(rule, "nonResourceURLs") {
        found.extend(verbs.iter().map(|&verb| Right { group: url, resource: "", verb, name: None }));
    }
    found
}

/// Whether a rule gives a right, as the API server would judge it.
fn gives(rule: &Value, right: &Right) -> bool {
    let has = |field: &str, wanted: &str| {
        let all = texts(rule, field);
        all.contains(&"*") || all.contains(&wanted)
    };
    if !has("verbs", right.verb) {
        return false;
    }
    if right.resource.is_empty() {
        return texts(rule, "nonResourceURLs").iter().any(|url| {
            *url == right.group || url.strip_suffix('*').is_some_and(|begin| right.group.starts_with(begin))
        });
    }
    let any_of_part = right.resource.split_once('/').is_some_and(|(_, part)| {
        texts(rule, "resources").iter().any(|resource| resource.strip_prefix("*/") == Some(part))
    });
    let names = texts(rule, "resourceNames");
    has("apiGroups", right.group)
        && (has("resources", right.resource) || any_of_part)
        && (names.is_empty() || right.name.is_some_and(|name| names.contains(&name)))
}

impl Right<'_> {
    /// Why it is as good as many others.
    fn danger(&self) -> Option<&'static str> {
        let resource = self.resource.split('/').next().unwrap_or_default();
        let is_rbac = matches!(self.group, GROUP | "*")
            && matches!(resource, "roles" | "clusterroles" | "rolebindings" | "clusterrolebindings" | "*");
        let changes = matches!(self.verb, "create" | "update" | "patch" | "*");
        let reads = matches!(self.verb, "get" | "list" | "watch" | "*");
        let core = matches!(self.group, "" | "*");
        if self.resource.is_empty() {
            return (self.group == "*" || self.group == "/*").then_some("it names every URL");
        }
        Some(match () {
            () if self.verb == "*" && self.resource == "*" => "everything may be done",
            () if matches!(self.verb, "escalate" | "bind") => "who may do this can get any other right",
            () if self.verb == "impersonate" => "who may do this can act as others",
            () if self.verb == "*" => "the verb is *, so that it may do anything to them",
            () if self.resource == "*" => "the resource is *, Secrets among them",
            () if core && self.resource == "secrets" && reads => "it can read Secrets",
            () if core && matches!(self.resource, "pods/exec" | "pods/attach" | "nodes/proxy") => {
                "it can run commands in pods"
            }
            () if core && self.resource == "serviceaccounts/token" && changes => {
                "it can act as service accounts"
            }
            () if is_rbac && changes => "it can change who may do what",
            () => return None,
        })
    }
}

fn rules(object: &Value) -> &[Value] {
    object["rules"].as_array().map_or(&[], Vec::as_slice)
}

fn role(delta: &Delta, found: &mut Found) {
    let is_new = delta.before.is_none();
    let (before, after) = (rules(delta.before()), rules(delta.after()));
    for (n, rule) in after.iter().enumerate() {
        let gained: Vec<Right> =
            rights(rule).into_iter().filter(|right| !before.iter().any(|rule| gives(rule, right))).collect();
        if gained.is_empty() {
            continue;
        }
        let danger = gained.iter().find_map(Right::danger);
        let severity = match (danger, is_new) {
            (Some(_), _) => Severity::Error,
            (None, false) => Severity::Warning,
            // It gives nobody anything until it is bound, which is told.
            (None, true) => Severity::Note,
        };
        let mut message =
            format!("{} {} {}", delta.key, if is_new { "lets" } else { "lets more:" }, words(&gained));
        if let Some(danger) = danger {
            message.push_str(": ");
            message.push_str(danger);
        }
        found.at(delta, (RiskClass::WidensRbac, severity), Some(format!(".rules[{n}]")), message);
    }
    let label = |object: &Value| -> Vec<String> {
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        let adds = labels.filter_map(|(name, value)| {
            let role = name.strip_prefix("rbac.authorization.k8s.io/aggregate-to-")?;
            (value == "true").then(|| role.to_owned())
        });
        adds.collect()
    };
    let old = label(delta.before());
    for role in label(delta.after()).into_iter().filter(|role| !old.contains(role)) {
        let message =
            format!("{} adds its rights to the ClusterRole {role}, and to all who have that", delta.key);
        found.say(delta, (RiskClass::WidensRbac, Severity::Warning), message);
    }
}

/// Rights in words: verbs and resources, no more than a few.
fn words(rights: &[Right]) -> String {
    const MOST: usize = 6;
    let mut verbs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for right in rights {
        let group = if right.group.is_empty() || right.resource.is_empty() {
            String::new()
        } else {
            format!(".{}", right.group)
        };
        let name = right.name.map_or(String::new(), |name| format!(" {name}"));
        let what = if right.resource.is_empty() { right.group } else { right.resource };
        verbs.entry(format!("{what}{group}{name}")).or_default().push(right.verb);
    }
    let count = verbs.len();
    let mut parts: Vec<String> =
        verbs.iter().take(MOST).map(|(what, verbs)| format!("{} {what}", verbs.join(", "))).collect();
    if count > MOST {
        parts.push(format!("and {} more", count - MOST));
    }
    parts.join("; ")
}

/// A subject as people name it.
fn subject(subject: &Value, binding: &Delta) -> String {
    let text = |field: &str| subject[field].as_str().unwrap_or_default();
    let namespace = subject["namespace"].as_str().or(binding.key.namespace.as_deref()).unwrap_or_default();
    match text("kind") {
        "ServiceAccount" => format!("ServiceAccount {namespace}/{}", text("name")),
        kind => format!("{kind} {}", text("name")),
    }
}

fn binding(delta: &Delta, found: &mut Found) {
    const EVERYBODY: [&str; 4] =
        ["system:authenticated", "system:unauthenticated", "system:anonymous", "system:serviceaccounts"];
    let subjects = |object: &Value| -> Vec<String> {
        object["subjects"].as_array().into_iter().flatten().map(|one| subject(one, delta)).collect()
    };
    let role = |object: &Value| {
        let role = &object["roleRef"];
        format!("{} {}", role["kind"].as_str().unwrap_or_default(), role["name"].as_str().unwrap_or_default())
    };
    let same_role = delta.before.is_some() && role(delta.before()) == role(delta.after());
    let old = if same_role { subjects(delta.before()) } else { Vec::new() };
    let to = role(delta.after());
    for gained in subjects(delta.after()).into_iter().filter(|one| !old.contains(one)) {
        let name = gained.split_once(' ').map_or(gained.as_str(), |(_, name)| name);
        let everywhere = &*delta.key.kind == "ClusterRoleBinding";
        let grave = EVERYBODY.iter().any(|group| name.starts_with(group))
            || name == "system:masters"
            || to == "ClusterRole cluster-admin"
            || to == "ClusterRole admin" && everywhere;
        let severity = if grave { Severity::Error } else { Severity::Warning };
        let range = match &delta.key.namespace {
            Some(namespace) => format!("in the namespace {namespace}"),
            None => "in the whole cluster".to_owned(),
        };
        let message = format!("{} gives {gained} the rights of {to} {range}", delta.key);
        found.at(delta, (RiskClass::WidensRbac, severity), Some(".subjects".to_owned()), message);
    }
}
