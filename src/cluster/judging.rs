//! Whose rules judge an object: those of the environment that it bears the label of.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use serde_json::Value;

use crate::health::{self, Health, Rule, Rules};
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
}

/// What changed: the rules before and after. A kind that neither names is judged as it was.
pub struct Changed {
    before: Option<Arc<Rules>>,
    after: Arc<Rules>,
}

impl Changed {
    pub fn concerns(&self, group: &str, kind: &str) -> bool {
        self.after.concern(group, kind)
            || self.before.as_ref().is_some_and(|rules| rules.concern(group, kind))
    }
}

impl Judges {
    /// Takes the rules of an environment; `None` where they are the same as before. They were found good when its file
    /// was read: one that is not leaves the others without force as well, so that nobody relies on half of them.
    pub fn set(&self, environment: &str, written: &[Rule]) -> Option<Changed> {
        let mut of = self.of.write().expect("no one panics while holding this lock");
        let old = of.get(environment);
        if old.map_or(&[][..], |old| &old.written) == written {
            return None;
        }
        let before = old.map(|old| old.compiled.clone());
        let after = Arc::new(Rules::compile(written).unwrap_or_default());
        of.insert(environment.to_owned(), Judge { written: written.to_vec(), compiled: after.clone() });
        Some(Changed { before, after })
    }

    pub fn forget(&self, environment: &str) {
        self.of.write().expect("no one panics while holding this lock").remove(environment);
    }

    pub fn assess(&self, live: &Live, selector: &str, value: &Value) -> Health {
        let of = self.of.read().expect("no one panics while holding this lock");
        match live.labels.get(selector).and_then(|environment| of.get(environment.as_str())) {
            Some(judge) => health::assess_with(value, &judge.compiled),
            None => health::assess(value),
        }
    }
}
