//! What does not roll out after the merge, and why: wrong files, refusals of the server, what holds things up.

use super::{Found, Scene};
use crate::object::Problem;
use crate::plan::{Refusal, RefusalKind};
use crate::report::AppPlan;
use crate::review::input::LiveSide;
use crate::review::risk::{Risk, RiskClass, Severity};

pub fn judge(scene: &Scene<'_>, found: &mut Found) {
    match &scene.change.after {
        Err(problems) => {
            for problem in problems.as_slice() {
                found.push(broken(None, problem, false));
            }
        }
        Ok(apps) => {
            for side in apps {
                let old = scene.change.before.iter().find(|old| old.app == side.app);
                let old = old.and_then(|old| old.wanted.as_ref().err()).map_or(&[][..], |old| old.as_slice());
                for problem in side.wanted.as_ref().err().into_iter().flat_map(|problems| problems.as_slice())
                {
                    let as_before = old.iter().any(|old| old.message == problem.message);
                    found.push(broken(Some(side.app.as_str()), problem, as_before));
                }
            }
        }
    }
    for stop in &scene.change.stops {
        let app = stop.app.as_ref().map(ToString::to_string);
        found.push(Risk { app, ..Risk::new(RiskClass::WillNotRollOut, Severity::Warning, &*stop.why) });
    }
    if let Some(live) = &scene.change.live {
        of_cluster(live, found);
    }
}

fn broken(app: Option<&str>, problem: &Problem, as_before: bool) -> Risk {
    let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    let (severity, more) = match as_before {
        true => (Severity::Warning, " (as before this change)"),
        false => (Severity::Error, ""),
    };
    Risk {
        app: app.map(str::to_owned),
        place: problem.place.clone(),
        ..Risk::new(RiskClass::Broken, severity, format!("{}{hint}{more}", problem.message))
    }
}

fn of_cluster(live: &LiveSide, found: &mut Found) {
    for plan in &live.plan.apps {
        of_plan(plan, found);
    }
    if let Some(prune) = &live.plan.prune {
        for halt in &prune.halts {
            let message = format!("{halt}: nothing is deleted until somebody approves it");
            found.push(Risk::new(RiskClass::PruneOverBudget, Severity::Error, message));
        }
        for wait in &prune.waits {
            let message = format!("what leaves git is not deleted: {wait}");
            found.push(Risk::new(RiskClass::WillNotRollOut, Severity::Warning, message));
        }
    }
    for (app, why) in &live.unreadable {
        let app = Some(app.to_string());
        found.push(Risk { app, ..Risk::new(RiskClass::SecretUnreadable, Severity::Error, why) });
    }
}

fn of_plan(plan: &AppPlan, found: &mut Found) {
    let app = || Some(plan.app.clone());
    for problem in &plan.problems {
        found.push(broken(Some(&plan.app), problem, false));
    }
    for refusal in &plan.refused {
        let Refusal { key, place, message, hint, .. } = refusal;
        let hint = hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        let class = match refusal.kind {
            RefusalKind::Immutable => RiskClass::Immutable,
            RefusalKind::UnknownKind => RiskClass::RemovedApi,
            _ if refusal.handover.is_some() => RiskClass::TakesOver,
            // In these words the server says it, and by no reason of its own.
            RefusalKind::Forbidden if message.contains("exceeded quota") => RiskClass::QuotaExceeded,
            _ => RiskClass::Refused,
        };
        found.push(Risk {
            app: app(),
            object: Some(key.to_string()),
            place: Some(place.clone()),
            ..Risk::new(class, Severity::Error, format!("{key}: {message}{hint}"))
        });
    }
    for step in plan.steps.iter().filter(|step| step.action == "recreate") {
        found.push(Risk {
            app: app(),
            object: Some(step.object.clone()),
            place: Some(step.place.clone()),
            ..Risk::new(
                RiskClass::Recreates,
                Severity::Warning,
                format!("{} is deleted and made anew: a field changes that cannot", step.object),
            )
        });
    }
    for (object, message) in &plan.taken {
        found.push(Risk {
            app: app(),
            object: Some(object.clone()),
            ..Risk::new(RiskClass::TakesOver, Severity::Warning, &**message)
        });
    }
    for warning in &plan.warnings {
        let message = format!("the server warns: {warning}");
        found.push(Risk { app: app(), ..Risk::new(RiskClass::Policy, Severity::Warning, message) });
    }
}
