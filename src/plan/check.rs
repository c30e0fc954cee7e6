//! From a plan and the server's answers to a plan that may be applied.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::{
    Action, Conflict, Handover, Plan, Reason, Replicas, Step, Wanted, WaveOrder, left_by_autoscaler,
};
use crate::object::field_path::FieldPath;
use crate::object::{AppName, Digest, Live, ObjectKey, Place};

/// What came of asking the server about a step, without writing.
#[derive(Clone, Debug)]
pub enum Answer {
    Asked(Asked),
    /// It cannot be asked yet: what it needs comes in the same change.
    NotYet {
        on: String,
    },
    Refused(Refusal),
}

/// The server took the dry run.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The object is already as wanted: there is nothing to write.
    pub settled: bool,
    /// An object of that name exists that we did not know of.
    pub exists: bool,
    /// The fields are held by others; they were ours before and are taken back.
    pub force: Vec<Conflict>,
    /// What others hand over first. It was agreed to.
    pub adopt: Option<Arc<Handover>>,
    /// A field changes that cannot: the object is deleted and made anew, and the server took both. It says which field.
    pub replace: Option<Box<str>>,
    pub warnings: Vec<String>,
}

/// How far a step was tried before any write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "proof", rename_all = "camelCase")]
pub enum Proof {
    /// The server accepted a dry run as the environment's identity.
    Accepted,
    /// What it needs is created by an earlier wave of this plan; it is asked before its own wave.
    Conditional { on: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalKind {
    /// The API server or one of its webhooks says no.
    Invalid,
    Immutable,
    Forbidden,
    Conflict,
    UnknownKind,
    NoNamespace,
    /// An object of that name is still being deleted.
    BeingDeleted,
    NotGranted,
    /// Another Environment applied it, and has not let go.
    OwnedElsewhere,
    TooLarge,
    /// The value of a secret that it refers to is not there.
    Secret,
    /// It could not be asked: the server or the way to it failed.
    Unreachable,
}

/// A typed no, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{place}: {key}: {message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub key: ObjectKey,
    pub place: Place,
    pub message: String,
    pub hint: Option<String>,
    /// What others would hand over, if somebody agreed to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<Box<Handover>>,
}

impl Refusal {
    pub fn new(kind: RefusalKind, wanted: &Wanted, message: impl Into<String>) -> Self {
        Self {
            kind,
            key: wanted.key.clone(),
            place: wanted.place.clone(),
            message: message.into(),
            hint: None,
            handover: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what others would hand over.
    #[must_use]
    pub fn with_handover(mut self, handover: Handover) -> Self {
        self.handover = Some(Box::new(handover));
        self
    }

    /// Whether asking again later may bring another answer although git did not change.
    pub fn may_pass(&self) -> bool {
        !matches!(self.kind, RefusalKind::TooLarge | RefusalKind::Immutable)
    }
}

/// Why nothing of an app is written; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of {app}'s objects were refused; nothing of it is written", .refusals.len())]
pub struct Refused {
    pub app: AppName,
    pub digest: Digest,
    pub refusals: Vec<Refusal>,
}

/// A step that may be done. Made by [`check`] only.
#[derive(Clone, Debug)]
pub struct CheckedStep {
    wanted: Arc<Wanted>,
    action: Action,
    reason: Reason,
    live: Option<Arc<Live>>,
    replicas: Replicas,
    withheld: Arc<[FieldPath]>,
    proof: Proof,
    force: Vec<Conflict>,
    adopt: Option<Arc<Handover>>,
    replace: bool,
}

impl CheckedStep {
    pub fn wanted(&self) -> &Arc<Wanted> {
        &self.wanted
    }

    pub fn action(&self) -> &Action {
        &self.action
    }

    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// What was known of the object when it was planned.
    pub fn live(&self) -> Option<&Live> {
        self.live.as_deref()
    }

    /// The step as it was planned, to be asked about again.
    pub fn planned(&self) -> Step {
        Step {
            wanted: self.wanted.clone(),
            action: self.action.clone(),
            reason: self.reason.clone(),
            live: self.live.clone(),
            replicas: self.replicas,
            withheld: self.withheld.clone(),
        }
    }

    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The fields that are taken back from others.
    pub fn force(&self) -> &[Conflict] {
        &self.force
    }

    pub fn replicas(&self) -> Replicas {
        self.replicas
    }

    /// The object is deleted and made anew.
    pub fn replaces(&self) -> bool {
        self.replace
    }

    /// What others hand over before it is written.
    pub fn adopt(&self) -> Option<&Arc<Handover>> {
        self.adopt.as_ref()
    }
}

#[derive(Clone, Debug)]
pub struct CheckedWave {
    pub order: WaveOrder,
    steps: Vec<CheckedStep>,
}

impl CheckedWave {
    pub fn steps(&self) -> &[CheckedStep] {
        &self.steps
    }
}

/// A plan whose every step was asked about, or will be before its own wave. `cluster` applies nothing else.
#[derive(Clone, Debug)]
pub struct CheckedPlan {
    app: AppName,
    digest: Digest,
    waves: Vec<CheckedWave>,
    settled: Vec<(Arc<Wanted>, Option<Arc<Live>>)>,
    warnings: Vec<String>,
}

impl CheckedPlan {
    pub fn app(&self) -> &AppName {
        &self.app
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    pub fn waves(&self) -> &[CheckedWave] {
        &self.waves
    }

    /// What the server showed to be as wanted already, each with what was live when it was asked about: by now it may be
    /// another.
    pub fn settled(&self) -> &[(Arc<Wanted>, Option<Arc<Live>>)] {
        &self.settled
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub fn steps(&self) -> impl Iterator<Item = &CheckedStep> {
        self.waves.iter().flat_map(|wave| &wave.steps)
    }
}

/// Whether conflicts may be decided by force: only where we applied every one of the fields before, and for what an
/// autoscaler left that is gone.
///
/// Where nothing but drift makes the step, what is wanted *is* what we applied. Where git changed, `before` is the
/// manifest that we applied last; without it nobody knows, and a first claim is refused with the manager's name.
pub fn forcible(conflicts: &[Conflict], step: &Step, before: Option<&Wanted>) -> bool {
    let mut conflicts =
        conflicts.iter().filter(|conflict| !left_by_autoscaler(conflict, step.replicas)).peekable();
    if conflicts.peek().is_none() {
        return true;
    }
    let before = match &step.reason {
        Reason::Drifted { .. } | Reason::Unscaled | Reason::Shared { .. } => &*step.wanted,
        Reason::Changed { from, .. } => match before {
            Some(before) if before.digest == *from => before,
            _ => return false,
        },
        Reason::Missing | Reason::BeingDeleted | Reason::NeverApplied => return false,
    };
    let value = before.value();
    conflicts.all(|conflict| holds_field(&value, &conflict.field))
}

/// Whether a value has the field that a path of structured-merge-diff names: `.a.b`, `[name="web"]`, `[="v"]`, `[0]`.
fn holds_field(value: &Value, path: &str) -> bool {
    let Some(rest) = path.strip_prefix('.') else {
        let Some((keys, rest)) = path.strip_prefix('[').and_then(split_bracket) else {
            return path.is_empty();
        };
        let Some(items) = value.as_array() else {
            return false;
        };
        if let Ok(index) = keys.parse::<usize>() {
            return items.get(index).is_some_and(|item| holds_field(item, rest));
        }
        if let Some(text) = keys.strip_prefix('=') {
            let wanted: Value = serde_json::from_str(text).unwrap_or(Value::Null);
            return items.contains(&wanted);
        }
        let keys: Vec<(&str, Value)> = split_keys(keys);
        let fits = |item: &Value| {
            keys.iter().all(|(key, wanted)| item.get(*key).is_none_or(|given| given == wanted))
                && keys.iter().any(|(key, _)| item.get(*key).is_some())
        };
        return items.iter().any(|item| fits(item) && holds_field(item, rest));
    };
    // A name may hold dots (annotations do), so the longest name that the map has wins.
    let Some(map) = value.as_object() else {
        return false;
    };
    map.iter().any(|(name, below)| {
        rest.strip_prefix(name.as_str())
            .is_some_and(|rest| (rest.is_empty() || rest.starts_with(['.', '['])) && holds_field(below, rest))
    })
}

/// Splits `name="a]b"].rest` at the bracket that closes, which is not one inside quotes.
fn split_bracket(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn split_keys(text: &str) -> Vec<(&str, Value)> {
    text.split(',')
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key, serde_json::from_str(value).unwrap_or_else(|_| value.into())))
        })
        .collect()
}

/// Makes a checked plan of a plan and one answer for each of its steps, in the order of [`Plan::steps`].
///
/// One refusal is enough: then nothing of this app is written.
pub fn check(plan: Plan, answers: Vec<Answer>) -> Result<CheckedPlan, Refused> {
    assert_eq!(plan.count(), answers.len(), "every step has an answer");
    let Plan { app, digest, waves, .. } = plan;
    let mut answers = answers.into_iter();
    let (mut refusals, mut settled, mut warnings, mut checked) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for wave in waves {
        let mut steps = Vec::new();
        for Step { wanted, action, reason, live, replicas, withheld } in wave.steps {
            match answers.next() {
                Some(Answer::Asked(asked)) => {
                    warnings.extend(asked.warnings.iter().map(|text| format!("{}: {text}", wanted.key)));
                    if asked.settled {
                        settled.push((wanted, live));
                    } else {
                        steps.push(CheckedStep {
                            wanted,
                            action,
                            reason,
                            live,
                            replicas,
                            withheld,
                            proof: Proof::Accepted,
                            force: asked.force,
                            adopt: asked.adopt,
                            replace: asked.replace.is_some(),
                        });
                    }
                }
                Some(Answer::NotYet { on }) => {
                    steps.push(CheckedStep {
                        wanted,
                        action,
                        reason,
                        live,
                        replicas,
                        withheld,
                        proof: Proof::Conditional { on },
                        force: Vec::new(),
                        adopt: None,
                        replace: false,
                    });
                }
                Some(Answer::Refused(refusal)) => refusals.push(refusal),
                None => unreachable!("the counts were compared above"),
            }
        }
        if !steps.is_empty() {
            checked.push(CheckedWave { order: wave.order, steps });
        }
    }
    warnings.sort();
    warnings.dedup();
    if refusals.is_empty() {
        Ok(CheckedPlan { app, digest, waves: checked, settled, warnings })
    } else {
        Err(Refused { app, digest, refusals })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::stamp::tests::{object, wanted};
    use super::*;
    use crate::plan::plan;

    fn two() -> Plan {
        let app = wanted(vec![object("v1", "ConfigMap", "a"), object("apps/v1", "Deployment", "b")]).unwrap();
        plan(&app, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn one_refusal_refuses_the_app() {
        let plan = two();
        let refusal = Refusal::new(RefusalKind::Invalid, &plan.waves[1].steps[0].wanted, "no");
        let refused =
            check(plan, vec![Answer::Asked(Asked::default()), Answer::Refused(refusal)]).unwrap_err();
        assert_eq!(refused.refusals.len(), 1);
    }

    #[test]
    fn what_is_settled_is_not_written() {
        let settled = Asked { settled: true, ..Asked::default() };
        let checked = check(two(), vec![Answer::Asked(settled), Answer::Asked(Asked::default())]).unwrap();
        assert_eq!(checked.waves().len(), 1);
        assert_eq!(checked.settled().len(), 1);
    }

    #[test]
    fn only_what_was_ours_is_forced() {
        let mut before = object("apps/v1", "Deployment", "b");
        before["spec"] = json!({"replicas": 1, "template": {"spec": {"containers": [
            {"name": "web", "image": "w:1", "ports": [{"containerPort": 80}]}]}}});
        let before = wanted(vec![before]).unwrap().objects[0].clone();
        let now = wanted(vec![object("apps/v1", "Deployment", "b")]).unwrap().objects[0].clone();
        let step = |reason: Reason| Step {
            wanted: now.clone(),
            action: Action::Create,
            reason,
            live: None,
            replicas: Replicas::Git,
            withheld: Arc::default(),
        };
        let changed = || Reason::Changed { from: before.digest.clone(), to: now.digest.clone() };
        let conflict = |field: &str| [Conflict { field: field.into(), manager: "kubectl-edit".into() }];
        for (field, ours) in [
            (".spec.replicas", true),
            (".spec.paused", false),
            (".spec.template.spec.containers[name=\"web\"].image", true),
            (
                ".spec.template.spec.containers[name=\"web\"].ports[containerPort=80,protocol=\"TCP\"].containerPort",
                true,
            ),
            (".spec.template.spec.containers[name=\"other\"].image", false),
            (".metadata.labels.fairlead.dev/app", true),
        ] {
            assert_eq!(forcible(&conflict(field), &step(changed()), Some(&before)), ours, "{field}");
            assert!(!forcible(&conflict(field), &step(changed()), None), "{field} without memory");
            assert!(!forcible(&conflict(field), &step(Reason::NeverApplied), Some(&before)), "{field}");
        }
    }
}
