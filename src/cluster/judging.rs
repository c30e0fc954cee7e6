//! Which rules judge an object: those of the environment that it bears the label of.
//!
//! Rules are what teams wrote, tried on what operators wrote. Those of an environment are tried on a thread of its own, and a
//! panic in one is the verdict on that object and nothing more.

mod thread;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

pub use thread::{JudgeThread, Tell, Told};

use crate::health::{self, Health, Rule, Rules, Status};
use crate::object::Live;

/// The rules of each environment that has some.
#[derive(Clone, Default)]
pub struct Judges {
    of: Arc<RwLock<HashMap<String, Judge>>>,
}

#[derive(Clone)]
struct Judge {
    written: Vec<Rule>,
    compiled: Arc<Rules>,
    thread: Arc<JudgeThread>,
}

/// The rules before and after. A kind that neither names is judged as it was.
pub struct Changed {
    before: Option<Arc<Rules>>,
    after: Option<Arc<Rules>>,
}

impl Changed {
    pub fn concerns(&self, group: &str, kind: &str) -> bool {
        [&self.before, &self.after].into_iter().flatten().any(|rules| rules.concern(group, kind))
    }
}

impl Judges {
    /// Takes the rules of an environment; `None` where they are the same as before. They were found good when its file
    /// was read: one that is not leaves the others without force as well, so that no one relies on half of them.
    pub fn set(
        &self,
        environment: &str,
        written: &[Rule],
        tell: impl FnOnce(&Arc<Rules>) -> Tell,
    ) -> Option<Changed> {
        // Compiled before the lock is taken, for what compiles them is not ours.
        let after = (!written.is_empty()).then(|| Arc::new(Rules::compile(written).unwrap_or_default()));
        let mut of = self.of.write().unwrap_or_else(PoisonError::into_inner);
        let old = of.get(environment);
        if old.map_or(&[][..], |old| &old.written) == written {
            return None;
        }
        let before = old.map(|old| old.compiled.clone());
        match &after {
            Some(compiled) => {
                let thread = JudgeThread::begin(environment, compiled.clone(), tell(compiled));
                let (written, compiled) = (written.to_vec(), compiled.clone());
                of.insert(environment.to_owned(), Judge { written, compiled, thread: Arc::new(thread) });
            }
            None => drop(of.remove(environment)),
        }
        Some(Changed { before, after })
    }

    /// Drops the rules of an environment.
    pub fn forget(&self, environment: &str) {
        self.of.write().unwrap_or_else(PoisonError::into_inner).remove(environment);
    }

    /// Judges an object, or has it judged by the rules of the environment whose name its label `selector` bears, where these
    /// are about its kind: then the verdict is told later.
    pub fn assess(&self, live: &Arc<Live>, selector: &str, value: Value) -> Option<Health> {
        let thread = live.labels.get(selector).and_then(|environment| {
            let of = self.of.read().unwrap_or_else(PoisonError::into_inner);
            let judge = of.get(environment)?;
            judge.compiled.concern(&live.key.group, &live.key.kind).then(|| judge.thread.clone())
        });
        match thread {
            Some(thread) => thread.ask(live, value),
            None => Some(guarded(|| health::assess(&value))),
        }
    }

    /// Counts the environments that have rules.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.of.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Tells that an object cannot be judged where judging it panics: others of its kind are judged all the same. It must not
/// pass a gate for that, so it is on its way for ever.
fn guarded(judge: impl FnOnce() -> Health) -> Health {
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_| {
        let message = "judging its health panicked, which is a fault of fairlead";
        Health::new(Status::Progressing, "CannotBeJudged", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str) -> Rule {
        Rule { kind: kind.to_owned(), healthy: Some("true".to_owned()), ..Rule::default() }
    }

    #[test]
    fn a_panic_in_a_rule_is_the_verdict_on_one_object() {
        let health = guarded(|| panic!("a rule that its author did not try"));
        assert_eq!((health.status, health.reason.as_str()), (Status::Progressing, "CannotBeJudged"));
    }

    #[test]
    fn rules_that_are_gone_change_what_they_judged() {
        let judges = Judges::default();
        let set = |rules: &[Rule]| judges.set("a", rules, |_| Box::new(|_, _| {}));
        assert!(set(&[]).is_none(), "there were none");
        assert!(set(&[rule("Thing")]).is_some_and(|changed| changed.concerns("", "Thing")));
        assert!(set(&[rule("Thing")]).is_none(), "the same as before");
        assert!(set(&[]).is_some_and(|changed| changed.concerns("", "Thing")));
        assert_eq!(judges.count(), 0);
    }
}
