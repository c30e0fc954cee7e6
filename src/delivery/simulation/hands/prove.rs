//! Asks the server about each step of a plan.

use std::sync::Arc;

use super::{Progress, Reach, Work, look_at, unreachable, withheld};
use crate::delivery::Event;
use crate::delivery::simulation::chance::Luck;
use crate::delivery::simulation::content::{Fate, Field, fate_of};
use crate::object::{AUTOSCALER, ObjectKey};
use crate::plan::{
    Action, Answer, Asked, Before, Conflict, Plan, Reason, Refusal, RefusalKind, Step, Wanted, check,
    forcible,
};

pub struct Prove {
    plan: Option<Plan>,
    before: Arc<Before>,
    sent: bool,
}

impl Prove {
    pub fn new(plan: Plan, before: Arc<Before>) -> Self {
        Self { plan: Some(plan), before, sent: false }
    }
}

impl Work for Prove {
    fn go_on(&mut self, reach: &mut Reach, awaited: bool) -> Progress {
        if !awaited {
            return Progress::Ended(Event::Stopped);
        }
        if !std::mem::replace(&mut self.sent, true) {
            return Progress::Until(reach.chance.way());
        }
        if reach.chance.luck() != Luck::Good {
            return Progress::Ended(Event::Failed(unreachable()));
        }
        let plan = self.plan.take().expect("it is asked once");
        let good = reach.view.memory.apps.get(&plan.app).and_then(|known| known.last_good.clone());
        let good = good.and_then(|good| reach.store.good(&plan.app, &good.digest));
        let remembered =
            |key: &ObjectKey| good.as_ref()?.objects.iter().find(|object| object.key == *key).cloned();
        let before = |key: &ObjectKey| self.before.get(key).cloned().or_else(|| remembered(key));
        let answers =
            plan.steps().map(|step| answer(reach, step, before(&step.wanted.key).as_deref())).collect();
        let drifting = plan.steps().filter_map(|step| match &step.reason {
            Reason::Drifted { fields } => Some(look_at(reach, &step.wanted, fields)),
            _ => None,
        });
        let drifted = drifting.collect();
        Progress::Ended(Event::Proved { result: check(plan, answers), drifted })
    }
}

fn answer(reach: &Reach, step: &Step, before: Option<&Wanted>) -> Answer {
    let refuse = |kind, message| Answer::Refused(Refusal::new(kind, &step.wanted, message));
    if fate_of(&step.wanted) == Fate::Denied {
        return refuse(RefusalKind::Invalid, "a webhook denied it");
    }
    let Some(found) = reach.server.objects.get(&step.wanted.key) else {
        return match step.action {
            Action::Create => Answer::Asked(Asked::default()),
            Action::Update { .. } => refuse(RefusalKind::Conflict, "it is not there any more"),
        };
    };
    if found.live.deleting {
        return refuse(RefusalKind::BeingDeleted, "it is being deleted");
    }
    if let Action::Update { uid } = &step.action
        && *uid != found.live.uid
    {
        return refuse(RefusalKind::Conflict, "it is another object");
    }
    let exists = step.action == Action::Create;
    let mut conflicts = Vec::new();
    let withheld = withheld(&step.withheld);
    for field in Field::ALL.into_iter().filter(|field| found.taken.has(*field) && !withheld.has(*field)) {
        let name = match (field, found.pods.is_some()) {
            (Field::Content, true) => ".spec.template",
            (Field::Content, false) => ".data.version",
            (Field::Side, true) => ".spec.revisionHistoryLimit",
            (Field::Side, false) => ".data.side",
        };
        conflicts.push(Conflict { field: name.into(), manager: "kubectl-edit".into() });
    }
    if found.taken.all {
        let field = if found.pods.is_some() { ".spec.template" } else { ".data.version" };
        conflicts.push(Conflict { field: field.into(), manager: "kubectl-edit".into() });
    }
    if found.taken.replicas && !step.replicas.withheld() {
        conflicts.push(Conflict { field: ".spec.replicas".into(), manager: AUTOSCALER.into() });
    }
    if conflicts.is_empty() {
        return Answer::Asked(Asked { exists, ..Asked::default() });
    }
    match forcible(&conflicts, step, before) {
        true => Answer::Asked(Asked { exists, force: conflicts, ..Asked::default() }),
        false => refuse(RefusalKind::Conflict, "kubectl-edit holds its fields"),
    }
}
