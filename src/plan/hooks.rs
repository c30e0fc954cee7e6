//! What runs once on the way of a rollout: Jobs that git marks, by our own annotation or by Helm's.
//!
//! A hook is no object that is kept: its Job is *created*, never applied, and its name bears the digest of what it does. So
//! whoever begins it again finds what was begun before, and what ended well is never begun again ([`Hook::identity`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Wanted;
use crate::object::{
    APPLIED, Digest, Gvk, HOOK, HOOK_IDENTITY, INTERRUPTIBLE, Manifest, ObjectKey, Place, Problem, Problems,
    REVERSIBLE, WAVE,
};

const HELM_HOOK: &str = "helm.sh/hook";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";
const HELM_DELETE: &str = "helm.sh/hook-delete-policy";

/// The name of a Job is a label of its pods, and labels take 63 characters: so many are left beside `-` and the digits.
const NAME_LIMIT: usize = 63 - 1 - DIGITS;
/// Digits of the identity in the name. The whole of it stands in an annotation and is compared.
const DIGITS: usize = 8;

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    /// Before the app itself changes: after what others stand on, and what the hook reads.
    Before,
    /// After the last gate.
    After,
    /// Last of all. What it finds wrong fails the rollout.
    Verify,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Verify => "verify",
        })
    }
}

/// A Job that runs once.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// As git has it: without the digits in its name.
    pub key: ObjectKey,
    pub place: Place,
    /// When it runs in the first rollout of an app, and when in the others; `None` where it does not.
    pub install: Option<Moment>,
    pub upgrade: Option<Moment>,
    /// Orders it among those of its moment; those of one weight go by name.
    pub weight: i32,
    /// The digest of what it does: its kind, name and spec. What verifies is of what it verifies, too.
    pub identity: Digest,
    /// The Job that is made, but for its time limit.
    pub job: Arc<Wanted>,
    /// `activeDeadlineSeconds`, where git says it.
    pub deadline: Option<i64>,
    /// `ttlSecondsAfterFinished`: it begins when the end is remembered, so that none is missed.
    pub ttl: Option<i64>,
    /// It is deleted when it ended well.
    pub delete: bool,
    /// A newer commit need not wait for it.
    pub interruptible: bool,
    /// What it did is no obstacle to what ran before.
    pub reversible: bool,
    /// What its pod cannot start without.
    pub(super) pod: Value,
}

impl Hook {
    pub fn moment(&self, first: bool) -> Option<Moment> {
        if first { self.install } else { self.upgrade }
    }

    /// The bytes of its Job. It has `seconds` to end where git does not say: then the cluster ends it, whoever watches.
    pub fn body(&self, seconds: i64) -> Vec<u8> {
        let mut job = self.job.value();
        if self.deadline.is_none() {
            job["spec"]["activeDeadlineSeconds"] = seconds.into();
        }
        job.to_string().into_bytes()
    }
}

/// What people should know about the Jobs of an app that are no hooks.
pub fn repeated(objects: &[Arc<Wanted>]) -> Vec<String> {
    let jobs = objects.iter().filter(|object| (&*object.key.group, &*object.key.kind) == ("batch", "Job"));
    let leave = jobs.filter(|job| job.value()["spec"]["ttlSecondsAfterFinished"].is_number());
    let say = |job: &Arc<Wanted>| {
        format!(
            "{}: it runs again each time that its ttlSecondsAfterFinished has removed it; a Job that is to run once is marked \
             {HOOK}",
            job.key
        )
    };
    leave.map(say).collect()
}

/// Whether an object may be a hook, without reading it whole: an app of ten thousand has few.
pub(super) fn is_hook(manifest: &Manifest) -> bool {
    manifest.json().contains(HOOK) || manifest.json().contains(HELM_HOOK)
}

/// What an object is, by its annotations.
enum Role {
    Ordinary,
    /// Helm's hooks may be of any kind; what is no Job is there for those that are.
    Early,
    Never(String),
    Runs {
        install: Option<Moment>,
        upgrade: Option<Moment>,
    },
}

/// The hooks of an app, while its objects are stamped.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) hooks: Vec<Arc<Hook>>,
    /// What is there for hooks by Helm's word.
    pub(super) early: BTreeSet<ObjectKey>,
    /// What is not made at all, and why.
    pub(super) left: Vec<String>,
}

impl Hooks {
    /// Takes an object; gives it back where it is one to apply.
    pub(super) fn take(
        &mut self,
        manifest: &Manifest,
        wanted: Wanted,
        app: &Digest,
    ) -> Result<Option<Wanted>, Problem> {
        if !is_hook(manifest) {
            return Ok(Some(wanted));
        }
        let value = wanted.value();
        match role(&wanted, &value)? {
            Role::Ordinary => Ok(Some(wanted)),
            Role::Early => {
                self.early.insert(wanted.key.clone());
                Ok(Some(wanted))
            }
            Role::Never(why) => {
                self.left.push(why);
                Ok(None)
            }
            Role::Runs { install, upgrade } => {
                self.hooks.push(Arc::new(hook(&wanted, value, install, upgrade, app)?));
                Ok(None)
            }
        }
    }

    /// Puts the hooks in their order, when all objects were seen.
    pub(super) fn finish(mut self) -> Result<Self, Problems> {
        let mut seen: BTreeMap<&ObjectKey, &Place> = BTreeMap::new();
        let mut problems = Vec::new();
        for hook in &self.hooks {
            if let Some(first) = seen.insert(&hook.key, &hook.place) {
                let message = format!("the hook {} is written twice; the first is at {first}", hook.key);
                problems.push(Problem::at(hook.place.clone(), message));
            }
        }
        Problems::check(problems)?;
        self.hooks.sort_by(|a, b| (a.weight, &a.key).cmp(&(b.weight, &b.key)));
        Ok(self)
    }
}

fn role(wanted: &Wanted, value: &Value) -> Result<Role, Problem> {
    let annotations = &value["metadata"]["annotations"];
    let runs = matches!((&*wanted.key.group, &*wanted.key.kind), ("batch", "Job") | ("", "Pod"));
    if let Some(word) = annotations.get(HOOK) {
        let moment = match word.as_str().map(str::trim) {
            Some("before") => Moment::Before,
            Some("after") => Moment::After,
            Some("verify") => Moment::Verify,
            Some("never") => return Ok(Role::Never(format!("{} says `{HOOK}: never`", wanted.key))),
            _ => {
                let message = format!("{HOOK} of {} is {word}", wanted.key);
                return Err(
                    Problem::at(wanted.place.clone(), message).hint("write before, after, verify, or never")
                );
            }
        };
        if !runs {
            let message = format!("{} says `{HOOK}`, and only Jobs and Pods can be hooks", wanted.key);
            return Err(
                Problem::at(wanted.place.clone(), message).hint(format!("`{WAVE}` orders other objects"))
            );
        }
        return Ok(Role::Runs { install: Some(moment), upgrade: Some(moment) });
    }
    let Some(words) = annotations.get(HELM_HOOK).and_then(Value::as_str) else { return Ok(Role::Ordinary) };
    let (mut install, mut upgrade) = (BTreeSet::new(), BTreeSet::new());
    for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "crd-install" => return Ok(Role::Ordinary),
            "pre-install" => drop(install.insert(Moment::Before)),
            "pre-upgrade" => drop(upgrade.insert(Moment::Before)),
            "post-install" => drop(install.insert(Moment::After)),
            "post-upgrade" => drop(upgrade.insert(Moment::After)),
            "test" | "test-success" => {
                install.insert(Moment::Verify);
                upgrade.insert(Moment::Verify);
            }
            "pre-delete" | "post-delete" | "pre-rollback" | "post-rollback" | "test-failure" => {}
            unknown => {
                let message = format!("{HELM_HOOK} of {} names {unknown:?}, which is no hook", wanted.key);
                return Err(Problem::at(wanted.place.clone(), message));
            }
        }
    }
    if install.is_empty() && upgrade.is_empty() {
        let why = format!("{} is a hook of Helm's {words}, which Fairlead does not run", wanted.key);
        return Ok(Role::Never(why));
    }
    if !runs {
        return Ok(Role::Early);
    }
    if install.len() > 1 || upgrade.len() > 1 {
        let message = format!("{} would run twice in one rollout: {HELM_HOOK} says {words:?}", wanted.key);
        return Err(Problem::at(wanted.place.clone(), message)
            .hint(format!("say when it runs: `{HOOK}: before`, `after` or `verify`")));
    }
    Ok(Role::Runs { install: install.pop_first(), upgrade: upgrade.pop_first() })
}

fn hook(
    wanted: &Wanted,
    value: Value,
    install: Option<Moment>,
    upgrade: Option<Moment>,
    app: &Digest,
) -> Result<Hook, Problem> {
    let (key, place) = (&wanted.key, &wanted.place);
    let annotations = value["metadata"]["annotations"].clone();
    let flag = |name: &str, default: bool| match annotations.get(name).and_then(Value::as_str).map(str::trim)
    {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(word) => {
            let message = format!("{name} of {key} is {word:?}");
            Err(Problem::at(place.clone(), message).hint("write \"true\" or \"false\""))
        }
    };
    let policies = annotations.get(HELM_DELETE).and_then(Value::as_str).unwrap_or_default();
    let mut job = as_job(wanted, value)?;
    let spec = job["spec"].clone();
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let mut identity =
        Digest::of_json(&json!({"kind": "Job", "namespace": namespace, "name": &*key.name, "spec": spec}));
    if install.or(upgrade) == Some(Moment::Verify) {
        identity = Digest::of_parts([identity.as_str(), app.as_str()]);
    }
    let name = trimmed(&key.name, NAME_LIMIT);
    let name = format!("{name}-{}", &identity.as_str()[..DIGITS]);
    let interruptible = flag(INTERRUPTIBLE, true)?;
    let seconds = |field: &str| spec.get(field).and_then(Value::as_i64);
    if let Some(spec) = job["spec"].as_object_mut() {
        spec.remove("ttlSecondsAfterFinished");
    }
    let metadata = &mut job["metadata"];
    metadata["name"] = name.as_str().into();
    metadata["labels"][HOOK] = trimmed(&key.name, 63).into();
    if !interruptible {
        metadata["labels"][INTERRUPTIBLE] = "false".into();
    }
    metadata["annotations"][HOOK_IDENTITY] = identity.as_str().into();
    let job_key = ObjectKey::new("batch", "Job", key.namespace.as_deref(), &name);
    let gvk = Gvk::new("batch", "v1", "Job");
    let digest = Digest::of_json(&job);
    let pod = spec["template"]["spec"].clone();
    let depends_on = wanted.depends_on.clone();
    let made = Wanted::stored(job_key, gvk, place.clone(), digest, wanted.wave, depends_on, job);
    Ok(Hook {
        key: key.clone(),
        place: place.clone(),
        install,
        upgrade,
        weight: weight(wanted, &annotations)?,
        job: Arc::new(made.expect("it has metadata")),
        identity,
        deadline: seconds("activeDeadlineSeconds"),
        ttl: seconds("ttlSecondsAfterFinished"),
        delete: policies.split(',').any(|policy| policy.trim() == "hook-succeeded"),
        interruptible,
        reversible: flag(REVERSIBLE, false)?,
        pod,
    })
}

/// Ours, or Helm's where it does not say ours.
fn weight(wanted: &Wanted, annotations: &Value) -> Result<i32, Problem> {
    if annotations.get(WAVE).is_some() {
        return Ok(wanted.wave);
    }
    let Some(weight) = annotations.get(HELM_WEIGHT) else { return Ok(0) };
    weight.as_str().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
        let message = format!("{HELM_WEIGHT} of {} is {weight}", wanted.key);
        Problem::at(wanted.place.clone(), message).hint("write a quoted whole number, such as \"-5\"")
    })
}

/// The Job as git has it, or one around a Pod: what Helm's tests usually are.
fn as_job(wanted: &Wanted, mut value: Value) -> Result<Value, Problem> {
    if let Some(Value::Object(annotations)) = value["metadata"].get_mut("annotations") {
        annotations.remove(APPLIED);
    }
    if &*wanted.key.kind == "Job" {
        if value["spec"]["template"]["spec"].is_object() {
            return Ok(value);
        }
        return Err(Problem::at(wanted.place.clone(), format!("{} has no spec.template.spec", wanted.key)));
    }
    let policy = value["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    if !matches!(policy, "Never" | "OnFailure") {
        let message = format!("the hook {} never ends: its restartPolicy is {policy}", wanted.key);
        return Err(
            Problem::at(wanted.place.clone(), message).hint("write `restartPolicy: Never`, or make it a Job")
        );
    }
    let metadata = value["metadata"].as_object().cloned().unwrap_or_default();
    // What marks the object as ours and as a hook is not the pod's.
    let own = |name: &String| !name.contains("fairlead.dev/") && !name.contains("helm.sh/hook");
    let kept = |field: &str| -> Map<String, Value> {
        let all = metadata.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
        all.into_iter().filter(|(name, _)| own(name) && !name.contains("applyset.kubernetes.io/")).collect()
    };
    let pod = json!({"metadata": {"labels": kept("labels"), "annotations": kept("annotations")}, "spec": value["spec"]});
    Ok(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
        "spec": {"backoffLimit": 0, "template": pod},
    }))
}

/// As much of a name as fits, ending as a name may.
fn trimmed(name: &str, limit: usize) -> &str {
    name[..name.floor_char_boundary(limit)].trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests;
