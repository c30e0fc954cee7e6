//! Holds what is about to be written against today's Environment: what was granted when it was rendered, or when it was
//! proven, may not be any more.

use super::action::Action;
use super::hook_work::HookWork;
use crate::object::ObjectKey;
use crate::policy::Grants;

/// The objects that an action would write and the environment may not touch, each with the reason.
pub(super) fn withheld(action: &Action, grants: Option<&Grants>) -> Vec<String> {
    let Some(grants) = grants else { return Vec::new() };
    let keys: Vec<&ObjectKey> = match action {
        Action::Write { plan, wave, .. } => {
            let wave = plan.waves().get(*wave).into_iter();
            wave.flat_map(|wave| wave.steps()).map(|step| &step.wanted().key).collect()
        }
        Action::Hook { work: HookWork::Make { hook, .. }, .. } => vec![&hook.job.key],
        _ => Vec::new(),
    };
    let refused = keys.into_iter().filter_map(|key| Some(format!("{key} {}", grants.may_touch(key).err()?)));
    refused.collect()
}
