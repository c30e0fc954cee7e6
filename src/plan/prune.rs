//! Which live objects git no longer wants, which of those may be deleted, when, and how many at once.
//!
//! Deleting is the one thing that cannot be taken back, so it needs evidence at every step, and the lack of any keeps:
//!
//! 1. Every app of the environment rendered. What one drops another may have taken, so one that is unknown keeps all.
//! 2. No app wants the object. One that moved, or whose app was renamed, is wanted, and keeps its uid.
//! 3. The object is ours by more than its labels, which anyone may copy: our Apply entry holds them, and it bears the uid
//!    that was remembered ([`SkipReason`], [`Known`]).
//! 4. It is no more than the budget (what git goes on wanting in another region is not counted: the re-point is a person's word), no app shrank to nothing, and each is remembered ([`PruneHalt`]); else a person says
//!    so.
//! 5. Its app runs what git says and has passed its gates, and so has every app that depends on it ([`PruneWait`]).
//! 6. The server takes a dry run of each delete. Only [`check_prune`] makes a [`CheckedPrune`], and `cluster` deletes
//!    nothing else.

mod budget;
mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::order::order_of;
use super::{RefusalKind, WaveOrder};
use crate::object::{AppName, Digest, Gvk, HOOK, Live, ObjectKey};
pub use budget::{Budget, Budgets};
pub use claims::{Claim, Claims};

/// What marks an object as an environment's, by name and by value.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    pub app_label: &'a str,
    pub environment_label: &'a str,
    pub environment: &'a str,
    pub part_of_label: &'a str,
    pub part_of: &'a str,
}

/// What a person allowed beyond the budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approval {
    /// The digest of the set that was shown.
    pub digest: Option<Digest>,
    /// The objects of an approved set, as [`Doomed::token`] names them: so what is left of it stays approved.
    pub tokens: BTreeSet<Box<str>>,
}

impl Approval {
    fn covers(&self, doomed: &[Doomed], digest: &Digest) -> bool {
        self.digest.as_ref() == Some(digest)
            || doomed.iter().all(|object| self.tokens.contains(&object.token()))
    }
}

/// Whether a live object is the one that was written, by what was remembered when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Same,
    /// Of this name one was written that bore another uid.
    Another,
    /// Nothing is remembered of it.
    Not,
}

/// An object that is to go.
#[derive(Clone, Debug)]
pub struct Doomed {
    pub live: Arc<Live>,
    /// Nobody remembers that it was written: only its own word says that it is ours.
    pub unrecorded: bool,
    /// The app that it says it belongs to.
    pub app: Box<str>,
    pub order: WaveOrder,
}

impl Doomed {
    /// This object and no other that may come to bear its name.
    pub fn token(&self) -> Box<str> {
        Digest::of_parts([self.live.key.to_string().as_str(), &self.live.uid]).short().into()
    }
}

/// Why an object that git does not want is kept all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "camelCase")]
pub enum SkipReason {
    /// It says that it belongs to the environment, and not to our ApplySet.
    NotPartOf,
    /// It bears no Apply entry of ours, or one that does not hold this label: so we did not put it there.
    NotApplied {
        lacks: String,
    },
    /// It bears the digest of another object: whoever made it copied that one.
    Copy {
        of: ObjectKey,
    },
    /// Another object bore its name when it was written: someone deleted that one and made this.
    Replaced,
    Controlled {
        by: String,
    },
    BeingDeleted,
    /// Deleting one deletes what people keep in it.
    Protected {
        kind: String,
    },
    /// `fairlead.dev/prune: never`.
    Never,
    /// The annotation says something that we do not know.
    UnknownWord {
        word: String,
    },
    /// The environment may not touch it: its place or its kind is not granted.
    NotGranted,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPartOf => {
                f.write_str("it bears the environment's label and is not part of its ApplySet")
            }
            Self::NotApplied { lacks } => write!(f, "Fairlead did not apply it: it lacks {lacks}"),
            Self::Copy { of } => write!(f, "it is a copy of {of}"),
            Self::Replaced => {
                f.write_str("it is not the object that Fairlead wrote: that one had another uid")
            }
            Self::Controlled { by } => write!(f, "{by} controls it"),
            Self::BeingDeleted => f.write_str("it is being deleted already"),
            Self::Protected { kind } => {
                write!(f, "a {kind} is deleted only where it says `{}: allowed`", crate::object::PRUNE)
            }
            Self::Never => write!(f, "it says `{}: never`", crate::object::PRUNE),
            Self::UnknownWord { word } => {
                write!(
                    f,
                    "it says `{}: {word}`, and only `never` and `allowed` are known",
                    crate::object::PRUNE
                )
            }
            Self::NotGranted => f.write_str("the Environment does not grant its place or its kind"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptObject {
    pub key: ObjectKey,
    pub why: SkipReason,
}

/// What else holds a budget down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Bound {
    /// Nothing: it is git's own.
    #[default]
    Git,
    /// The commit that drops the objects raises the budget too.
    NextCommit,
    /// The platform lets less than git says.
    Platform,
}

/// Why a person is asked first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "halt", rename_all = "camelCase")]
pub enum PruneHalt {
    OverBudget {
        count: usize,
        allowed: usize,
        total: usize,
        budget: Budget,
        bound: Bound,
    },
    /// The app is still there and wants nothing any more.
    Emptied {
        app: String,
        count: usize,
    },
    /// The configuration lists no apps at all.
    NoApps,
    /// The Environment itself is being deleted, and says that what it made goes with it.
    Leaving {
        count: usize,
    },
    /// Nothing is remembered of these: they were written before anything was, or what was remembered is lost.
    Unrecorded {
        count: usize,
    },
}

impl fmt::Display for PruneHalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverBudget { count, allowed, total, budget, bound } => {
                let more = match bound {
                    Bound::Git => "",
                    Bound::NextCommit => "; the budget that this commit raises counts from the next one on",
                    Bound::Platform => ", by spec.prune of the Environment",
                };
                write!(
                    f,
                    "{count} of {total} objects would be deleted, and {allowed} may be (at most {}, and {} %{more})",
                    budget.max, budget.percent
                )
            }
            Self::Emptied { app, count } => {
                write!(f, "the app {app} renders to nothing, and its {count} objects would be deleted")
            }
            Self::NoApps => f.write_str("the configuration lists no apps, and everything would be deleted"),
            Self::Leaving { count } => {
                write!(f, "the Environment is being deleted, and with it would be all of its {count} objects")
            }
            Self::Unrecorded { count } => {
                write!(f, "nobody remembers having written {count} of the objects that would be deleted")
            }
        }
    }
}

/// What has to happen first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "wait", rename_all = "camelCase")]
pub enum PruneWait {
    /// Nobody knows what these apps want.
    Unrendered { apps: Vec<AppName> },
    /// These apps have not passed their gates.
    NotReady { apps: Vec<AppName> },
}

impl fmt::Display for PruneWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |apps: &[AppName]| apps.iter().map(AppName::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Unrendered { apps } => {
                write!(f, "nothing is deleted while nobody knows what {} wants", list(apps))
            }
            Self::NotReady { apps } => write!(f, "waits for the gates of {}", list(apps)),
        }
    }
}

/// Deletes that may begin now, all of one app's name. Made by [`prune`] only.
#[derive(Clone, Debug)]
pub struct Due {
    app: Box<str>,
    objects: Vec<Doomed>,
}

impl Due {
    pub fn app(&self) -> &str {
        &self.app
    }

    pub fn objects(&self) -> &[Doomed] {
        &self.objects
    }
}

/// What git no longer wants, and what is to be done about it now.
#[derive(Clone, Debug)]
pub struct PrunePlan {
    /// Everything that would go, in the order in which it would.
    pub doomed: Vec<Doomed>,
    pub kept: Vec<KeptObject>,
    /// How many objects the environment has.
    pub total: usize,
    /// Names the set of `doomed`, for whoever approves it.
    pub digest: Digest,
    pub halts: Vec<PruneHalt>,
    pub waits: Vec<PruneWait>,
    due: Vec<Due>,
    approved: bool,
}

impl PrunePlan {
    /// What may begin now; nothing while anything halts it.
    pub fn due(&self) -> &[Due] {
        &self.due
    }

    pub fn is_empty(&self) -> bool {
        self.doomed.is_empty()
    }

    /// More than the budget, and a person has allowed it.
    pub fn is_approved(&self) -> bool {
        self.approved
    }
}

/// What is known when it is decided.
pub struct PruneView<'a> {
    pub marks: Marks<'a>,
    pub claims: &'a Claims,
    /// How many objects bear the environment's label, wanted or not.
    pub total: usize,
    pub budget: Budget,
    pub bound: Bound,
    pub approval: &'a Approval,
    /// What is remembered of an object.
    pub known: &'a dyn Fn(&Live) -> Known,
    /// Whether the environment may touch this object.
    pub granted: &'a dyn Fn(&Live) -> bool,
    /// Whether an app runs what git says, passed its gates, and has nothing under way.
    pub ready: &'a dyn Fn(&AppName) -> bool,
}

/// Decides about the objects that bear an environment's label. The index that they come from was listed completely.
pub fn prune(view: &PruneView, live: &[Arc<Live>]) -> PrunePlan {
    let mut plan = PrunePlan {
        doomed: Vec::new(),
        kept: Vec::new(),
        total: view.total,
        digest: Digest::of_parts([]),
        halts: Vec::new(),
        waits: Vec::new(),
        due: Vec::new(),
        approved: false,
    };
    if !view.claims.unrendered.is_empty() {
        plan.waits.push(PruneWait::Unrendered { apps: view.claims.unrendered.clone() });
        return plan;
    }
    for object in live {
        if view.claims.wants(&object.key)
            || object.labels.get(view.marks.environment_label).map(String::as_str)
                != Some(view.marks.environment)
        {
            continue;
        }
        if is_hook(object) && !view.claims.leaving && view.claims.has(object.labels.get(view.marks.app_label))
        {
            continue; // The app looks after the Jobs of its hooks itself.
        }
        match skip(view, object) {
            Some(why) => plan.kept.push(KeptObject { key: object.key.clone(), why }),
            None => plan.doomed.push(Doomed {
                app: object.labels.get(view.marks.app_label).map_or("", String::as_str).into(),
                order: order_of(&object.gvk, object.wave),
                unrecorded: (view.known)(object) == Known::Not,
                live: object.clone(),
            }),
        }
    }
    // What was written last goes first.
    plan.doomed.sort_by(|a, b| b.order.cmp(&a.order).then_with(|| a.live.key.cmp(&b.live.key)));
    plan.kept.sort_by(|a, b| a.key.cmp(&b.key));
    let tokens: BTreeSet<Box<str>> = plan.doomed.iter().map(Doomed::token).collect();
    plan.digest = Digest::of_parts(tokens.iter().map(|token| &**token));
    if plan.doomed.is_empty() {
        return plan;
    }
    plan.halts = halts(view, &plan.doomed);
    if !plan.halts.is_empty() && view.approval.covers(&plan.doomed, &plan.digest) {
        plan.approved = true;
        plan.halts.clear();
    }
    let mut by_app: BTreeMap<&str, Vec<&Doomed>> = BTreeMap::new();
    for object in &plan.doomed {
        by_app.entry(&object.app).or_default().push(object);
    }
    let still_there: BTreeSet<&str> = by_app.keys().copied().chain(leaving(view, live)).collect();
    let mut unsettled = BTreeSet::new();
    let mut due = Vec::new();
    for (app, objects) in by_app {
        let mut waits = view.claims.before_deleting(app);
        if view.claims.leaving {
            // Nothing is rolled out any more: what depends on an app goes before it.
            waits.retain(|name| name.as_str() != app && still_there.contains(name.as_str()));
        } else {
            waits.retain(|name| !(view.ready)(name));
        }
        if waits.is_empty() {
            due.push(Due { app: app.into(), objects: objects.into_iter().cloned().collect() });
        }
        unsettled.extend(waits.into_iter().cloned());
    }
    if !unsettled.is_empty() {
        plan.waits.push(PruneWait::NotReady { apps: unsettled.into_iter().collect() });
    }
    if plan.halts.is_empty() {
        plan.due = due;
    }
    plan
}

/// The apps of which something is being deleted and is not gone yet.
fn leaving<'a>(view: &'a PruneView, live: &'a [Arc<Live>]) -> impl Iterator<Item = &'a str> {
    let deleting = live.iter().filter(|object| object.deleting);
    deleting.filter_map(|object| object.labels.get(view.marks.app_label).map(String::as_str))
}

fn skip(view: &PruneView, live: &Live) -> Option<SkipReason> {
    let marks = &view.marks;
    if live.deleting {
        return Some(SkipReason::BeingDeleted);
    }
    if live.labels.get(marks.part_of_label).map(String::as_str) != Some(marks.part_of) {
        return Some(SkipReason::NotPartOf);
    }
    if is_hook(live) && (view.known)(live) == Known::Same {
        // It was made and never applied: that its uid was remembered then is the evidence.
        return (!(view.granted)(live)).then_some(SkipReason::NotGranted);
    }
    if live.owned.is_none() {
        return Some(SkipReason::NotApplied { lacks: "our entry in managedFields".to_owned() });
    }
    for label in [marks.environment_label, marks.app_label, marks.part_of_label] {
        if !live.owns_label(label) {
            return Some(SkipReason::NotApplied {
                lacks: format!("the label {label} in our entry of managedFields"),
            });
        }
    }
    let Some(applied) = &live.applied else {
        return Some(SkipReason::NotApplied { lacks: format!("the annotation {}", crate::object::APPLIED) });
    };
    if let Some(of) = view.claims.digests.get(applied) {
        return Some(SkipReason::Copy { of: of.clone() });
    }
    if (view.known)(live) == Known::Another {
        return Some(SkipReason::Replaced);
    }
    if let Some(by) = &live.controller {
        return Some(SkipReason::Controlled { by: by.to_string() });
    }
    match live.prune.as_deref() {
        Some("never") => return Some(SkipReason::Never),
        Some("allowed") => {}
        Some(word) => return Some(SkipReason::UnknownWord { word: word.to_owned() }),
        None if is_protected(&live.gvk) => {
            return Some(SkipReason::Protected { kind: live.gvk.kind.to_string() });
        }
        None => {}
    }
    (!(view.granted)(live)).then_some(SkipReason::NotGranted)
}

/// The Job of a hook.
fn is_hook(live: &Live) -> bool {
    let job = (&*live.key.group, &*live.key.kind) == ("batch", "Job");
    job && live.owned.is_none() && live.labels.contains_key(HOOK)
}

/// Kinds that hold what cannot be made again from git: deleting one deletes that too.
pub fn is_protected(gvk: &Gvk) -> bool {
    matches!(
        (&*gvk.group, &*gvk.kind),
        ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("", "Namespace" | "PersistentVolume" | "PersistentVolumeClaim")
    )
}

fn halts(view: &PruneView, doomed: &[Doomed]) -> Vec<PruneHalt> {
    let mut found = Vec::new();
    if view.claims.leaving {
        return vec![PruneHalt::Leaving { count: doomed.len() }];
    }
    if view.claims.apps.is_empty() {
        found.push(PruneHalt::NoApps);
    }
    for (name, _) in view.claims.apps.iter().filter(|(_, app)| app.objects == 0) {
        let of_it = doomed.iter().filter(|object| *object.app == *name.as_str());
        let count = of_it.filter(|object| !view.claims.wants_elsewhere(&object.live.key)).count();
        if count > 0 {
            found.push(PruneHalt::Emptied { app: name.to_string(), count });
        }
    }
    let count = doomed.iter().filter(|object| object.unrecorded).count();
    if count > 0 {
        found.push(PruneHalt::Unrecorded { count });
    }
    let allowed = view.budget.allows(view.total);
    // What git wants in another region goes for a person's word, the re-point, and comes back with the next one.
    let count = doomed.iter().filter(|object| !view.claims.wants_elsewhere(&object.live.key)).count();
    if count > allowed {
        let (total, budget, bound) = (view.total, view.budget, view.bound);
        found.push(PruneHalt::OverBudget { count, allowed, total, budget, bound });
    }
    found
}

/// What the server said to a dry run of a delete.
#[derive(Clone, Debug)]
pub enum PruneAnswer {
    Accepted,
    /// It is not there any more.
    Gone,
    Refused(PruneRefusal),
}

/// A typed no to a delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{key} cannot be deleted: {message}")]
pub struct PruneRefusal {
    pub key: ObjectKey,
    pub kind: RefusalKind,
    pub message: String,
}

/// Deletes that the server took a dry run of, in the order in which they are done. Made by [`check_prune`] only.
#[derive(Clone, Debug)]
pub struct CheckedPrune {
    app: Box<str>,
    waves: Vec<Vec<Doomed>>,
}

impl CheckedPrune {
    pub fn app(&self) -> &str {
        &self.app
    }

    pub fn waves(&self) -> &[Vec<Doomed>] {
        &self.waves
    }
}

/// One refusal is enough: then nothing of this app is deleted.
pub fn check_prune(due: Due, answers: Vec<PruneAnswer>) -> Result<CheckedPrune, Vec<PruneRefusal>> {
    assert_eq!(due.objects.len(), answers.len(), "every delete has an answer");
    let mut refusals = Vec::new();
    let mut waves: Vec<Vec<Doomed>> = Vec::new();
    for (object, answer) in due.objects.into_iter().zip(answers) {
        match answer {
            PruneAnswer::Gone => {}
            PruneAnswer::Refused(refusal) => refusals.push(refusal),
            PruneAnswer::Accepted => match waves.last_mut() {
                Some(wave) if wave[0].order == object.order => wave.push(object),
                _ => waves.push(vec![object]),
            },
        }
    }
    if refusals.is_empty() { Ok(CheckedPrune { app: due.app, waves }) } else { Err(refusals) }
}

#[cfg(test)]
mod tests;
