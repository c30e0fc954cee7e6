//! A plan as a person would read it: counts, risks first, then field by field.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::object::{Digest, Live, Place, Problem};
use crate::plan::{Answer, Downtime, FieldChange, Plan, Proof, Reason, Refusal};
use crate::redact;

use super::{HandoverReport, HookReport, PruneReport, SharedReport};

/// The plan of an environment. The JSON of this is documented in `docs/plan.md` and kept stable.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    pub environment: String,
    pub revision: Option<String>,
    pub apps: Vec<AppPlan>,
    /// What git no longer wants; `None` where no Environment says where to look.
    pub prune: Option<PruneReport>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppPlan {
    pub app: String,
    pub digest: Option<Digest>,
    pub create: usize,
    pub update: usize,
    pub unchanged: usize,
    /// What is wrong with the app's files, so that there is no plan.
    pub problems: Vec<Problem>,
    /// What the server refused: nothing of the app would be written.
    pub refused: Vec<Refusal>,
    /// What others would hand over, whether that was agreed to or not.
    pub handovers: Vec<HandoverReport>,
    /// Objects of the app that tools deploy, too.
    pub shared: Vec<SharedReport>,
    pub risks: Vec<String>,
    /// Those of them that are about what somebody else holds, each with its object.
    #[serde(skip)]
    pub taken: Vec<(String, String)>,
    /// Where nobody would answer for a while, or might not.
    pub downtime: Vec<Downtime>,
    pub warnings: Vec<String>,
    pub notes: Vec<String>,
    pub steps: Vec<StepReport>,
    /// What runs once on the way, in order.
    pub hooks: Vec<HookReport>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    pub wave: usize,
    pub wave_name: String,
    pub action: &'static str,
    pub object: String,
    pub place: Place,
    pub reason: Reason,
    pub proof: Option<Proof>,
    pub changes: Vec<FieldChange>,
    /// What is live, for those who look further.
    #[serde(skip)]
    pub live: Option<Arc<Live>>,
}

impl AppPlan {
    /// An app whose files are wrong.
    pub fn broken(app: &str, problems: Vec<Problem>) -> Self {
        Self {
            app: app.to_owned(),
            digest: None,
            create: 0,
            update: 0,
            unchanged: 0,
            problems,
            refused: Vec::new(),
            handovers: Vec::new(),
            shared: Vec::new(),
            notes: Vec::new(),
            risks: Vec::new(),
            taken: Vec::new(),
            downtime: Vec::new(),
            warnings: Vec::new(),
            steps: Vec::new(),
            hooks: Vec::new(),
        }
    }

    /// A plan and the answer to each of its steps, with the fields that change.
    pub fn new(plan: &Plan, answers: &[Answer], changes: Vec<Vec<FieldChange>>) -> Self {
        let mut report = Self::broken(plan.app.as_str(), Vec::new());
        report.digest = Some(plan.digest.clone());
        report.unchanged = plan.unchanged;
        report.shared = plan.shared.iter().map(SharedReport::new).collect();
        let numbered = plan
            .waves
            .iter()
            .enumerate()
            .flat_map(|(n, wave)| wave.steps.iter().map(move |step| (n, wave, step)));
        for (((n, wave, step), answer), changes) in numbered.zip(answers).zip(changes) {
            let key = &step.wanted.key;
            let mut recreated = false;
            let (proof, exists) = match answer {
                Answer::Asked(asked) if asked.settled => {
                    report.unchanged += 1;
                    continue;
                }
                Answer::Asked(asked) => {
                    let taken = report.taken.len();
                    report.warnings.extend(asked.warnings.iter().map(|text| format!("{key}: {text}")));
                    for conflict in &asked.force {
                        let risk =
                            format!("{key}: takes {} back from {:?}", conflict.field, conflict.manager);
                        report.taken.push((key.to_string(), risk));
                    }
                    if let Some(handover) = &asked.adopt {
                        report.handovers.push(HandoverReport::new(key, handover, true));
                    } else if asked.exists {
                        let risk = format!(
                            "{key} exists and was not made by Fairlead; it would become part of the app"
                        );
                        report.taken.push((key.to_string(), risk));
                    }
                    report.risks.extend(report.taken.iter().skip(taken).map(|(_, risk)| risk.clone()));
                    if let Some(why) = &asked.replace {
                        report.risks.push(format!("{key} is deleted and made anew: {why}"));
                    }
                    recreated = asked.replace.is_some();
                    (Some(Proof::Accepted), asked.exists || asked.adopt.is_some())
                }
                Answer::NotYet { on } => (Some(Proof::Conditional { on: on.clone() }), false),
                Answer::Refused(refusal) => {
                    report.refused.push(refusal.clone());
                    if let Some(handover) = &refusal.handover {
                        report.handovers.push(HandoverReport::new(key, handover, false));
                    }
                    (None, refusal.handover.is_some())
                }
            };
            let action = match (recreated, exists) {
                (true, _) => "recreate",
                (false, true) => "update",
                (false, false) => step.action.verb(),
            };
            match action {
                "create" => report.create += 1,
                _ => report.update += 1,
            }
            for change in &changes {
                if change.path == ".spec.replicas" && change.after == Some(Value::from(0)) {
                    report.risks.push(format!("{key} would run no replicas"));
                }
            }
            report.steps.push(StepReport {
                wave: n + 1,
                wave_name: wave.order.to_string(),
                action,
                object: key.to_string(),
                place: step.wanted.place.clone(),
                reason: step.reason.clone(),
                proof,
                changes: redact::changes(key, changes),
                live: step.live.clone(),
            });
        }
        let handed = report.handovers.iter().filter_map(|one| Some((one.object.clone(), one.risk()?)));
        let handed: Vec<(String, String)> = handed.collect();
        report.risks.extend(handed.iter().map(|(_, risk)| risk.clone()));
        report.taken.extend(handed);
        report
    }

    fn has_changes(&self) -> bool {
        !self.steps.is_empty() || self.hooks.iter().any(HookReport::is_due)
    }

    fn is_refused(&self) -> bool {
        !self.problems.is_empty() || !self.refused.is_empty()
    }
}

impl PlanReport {
    pub fn has_changes(&self) -> bool {
        self.apps.iter().any(AppPlan::has_changes)
            || self.prune.as_ref().is_some_and(|prune| prune.delete > 0)
    }

    pub fn is_refused(&self) -> bool {
        self.apps.iter().any(AppPlan::is_refused)
    }

    /// What others would hand over.
    pub fn handovers(&self) -> impl Iterator<Item = &HandoverReport> {
        self.apps.iter().flat_map(|app| &app.handovers)
    }

    /// For people: what matters first, then the rest.
    pub fn text(&self, colour: bool) -> String {
        let paint = Paint { colour };
        let mut out = String::new();
        let sum = |count: fn(&AppPlan) -> usize| self.apps.iter().map(count).sum::<usize>();
        let (create, update, unchanged) =
            (sum(|app| app.create), sum(|app| app.update), sum(|app| app.unchanged));
        let at = self.revision.as_deref().map_or(String::new(), |revision| format!(" at {revision}"));
        let refused = self.apps.iter().filter(|app| app.is_refused()).count();
        let _ = writeln!(
            out,
            "{}{at}: {create} to create, {update} to update, {}{unchanged} unchanged in {}{}",
            paint.bold(&self.environment),
            match &self.prune {
                Some(prune) if prune.delete > 0 => format!("{} to delete, ", prune.delete),
                _ => String::new(),
            },
            count(self.apps.len(), "app"),
            if refused > 0 { format!("; {} refused", count(refused, "app")) } else { String::new() },
        );
        for risk in self.prune.iter().flat_map(PruneReport::risks) {
            let _ = writeln!(out, "  {} {risk}", paint.yellow("!"));
        }
        for app in &self.apps {
            for problem in &app.problems {
                let _ = writeln!(out, "  {} {}: {problem}", paint.red("✗"), app.app);
            }
            for refusal in &app.refused {
                let _ = writeln!(out, "  {} {}: {refusal}", paint.red("✗"), app.app);
                if let Some(hint) = &refusal.hint {
                    let _ = writeln!(out, "      {hint}");
                }
            }
            for handover in &app.handovers {
                let _ = writeln!(out, "  {} {}: {}", paint.yellow("⇄"), app.app, handover.summary());
            }
            for risk in &app.risks {
                let _ = writeln!(out, "  {} {}: {risk}", paint.yellow("!"), app.app);
            }
            for down in &app.downtime {
                let _ =
                    writeln!(out, "  {} {}: {}: {}", paint.yellow("!"), app.app, down.object, down.message);
            }
            for warning in &app.warnings {
                let _ = writeln!(out, "  {} {}: {warning}", paint.yellow("!"), app.app);
            }
            for note in app.shared.iter().map(SharedReport::summary).chain(app.notes.iter().cloned()) {
                let _ = writeln!(out, "  · {}: {note}", app.app);
            }
        }
        for app in self.apps.iter().filter(|app| app.has_changes()) {
            let _ = writeln!(out, "\n{}", paint.bold(&app.app));
            let mut wave = 0;
            for step in &app.steps {
                if step.wave != wave {
                    wave = step.wave;
                    let _ = writeln!(out, "  wave {wave}: {}", step.wave_name);
                }
                let handover = app.handovers.iter().find(|handover| handover.object == step.object);
                write_step(&mut out, step, handover, &paint);
            }
            for hook in &app.hooks {
                let _ = writeln!(out, "  {hook}");
            }
        }
        if let Some(prune) =
            self.prune.as_ref().filter(|prune| !prune.objects.is_empty() || !prune.kept.is_empty())
        {
            let _ = writeln!(out, "\n{}", paint.bold("left git"));
            prune.list(&mut out, |sign| paint.red(sign));
        }
        out
    }
}

fn write_step(out: &mut String, step: &StepReport, handover: Option<&HandoverReport>, paint: &Paint) {
    let sign = match step.action {
        "create" => paint.green("+"),
        "recreate" => paint.red("±"),
        _ => paint.yellow("~"),
    };
    let why = match &step.reason {
        Reason::Drifted { fields } => format!(
            ", changed by someone else: {}",
            fields.iter().map(|field| format!(".{field}")).collect::<Vec<_>>().join(", ")
        ),
        Reason::NeverApplied => ", not yet applied by Fairlead".to_owned(),
        Reason::BeingDeleted => ", after its deletion".to_owned(),
        Reason::Unscaled => ", its autoscaler is gone".to_owned(),
        Reason::Shared { with } => format!(", which {} deploy too", with.join(", ")),
        Reason::Missing | Reason::Changed { .. } => String::new(),
    };
    let proof = match &step.proof {
        Some(Proof::Accepted) => String::new(),
        Some(Proof::Conditional { on }) => format!(" [asked again before its wave: waits for {on}]"),
        None => " [refused]".to_owned(),
    };
    let _ = writeln!(out, "    {sign} {} {}{why}{proof}", step.action, step.object);
    if let Some(handover) = handover {
        handover.list(out);
    }
    if step.action == "create" {
        return;
    }
    for change in &step.changes {
        match (&change.before, &change.after) {
            (Some(before), Some(after)) if is_long(before) || is_long(after) => {
                let _ = writeln!(out, "        {}", change.path);
                write_lines(out, &text(before), &text(after), paint);
            }
            (Some(before), Some(after)) => {
                let _ = writeln!(
                    out,
                    "        {}: {} → {}",
                    change.path,
                    paint.red(&text(before)),
                    paint.green(&text(after))
                );
            }
            (None, Some(after)) => {
                let _ = writeln!(out, "        {}: {}", change.path, paint.green(&text(after)));
            }
            (Some(before), None) => {
                let _ = writeln!(out, "        {}: {} → (removed)", change.path, paint.red(&text(before)));
            }
            (None, None) => {}
        }
    }
}

/// A value that is better read line by line.
fn is_long(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains('\n'))
}

fn write_lines(out: &mut String, before: &str, after: &str, paint: &Paint) {
    let diff = similar::TextDiff::from_lines(before, after);
    for hunk in diff.unified_diff().context_radius(1).iter_hunks() {
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            let line = match change.tag() {
                similar::ChangeTag::Delete => paint.red(&format!("- {line}")),
                similar::ChangeTag::Insert => paint.green(&format!("+ {line}")),
                similar::ChangeTag::Equal => format!("  {line}"),
            };
            let _ = writeln!(out, "          {line}");
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

struct Paint {
    colour: bool,
}

impl Paint {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }

    fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    fn yellow(&self, text: &str) -> String {
        self.paint("33", text)
    }
}
