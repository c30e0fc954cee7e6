//! What a memory says otherwise than an older one, as lines that are appended to the journal.
//!
//! A patch says what is, not what was done: applying it twice is applying it once, two in a row make one, and it is read
//! the same by a version that decides otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ledger::Evidence;
use super::pack::Damage;
use super::{AppMemory, Memory};
use crate::object::{AppName, ObjectKey};

/// The difference between two memories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    apps: BTreeMap<AppName, AppPatch>,
    ledger: BTreeMap<ObjectKey, Option<Evidence>>,
}

/// The difference for one app.
#[derive(Clone, Debug, PartialEq)]
enum AppPatch {
    Gone,
    /// These fields and no others.
    Anew(Map<String, Value>),
    /// These fields otherwise; `null` is none.
    Fields(Map<String, Value>),
}

/// One line of a patch, as it is stored.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    app: Option<AppName>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    anew: Option<Map<String, Value>>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    fields: Option<Map<String, Value>>,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    key: Option<ObjectKey>,
    #[serde(flatten)]
    evidence: Option<Evidence>,
}

impl Patch {
    /// Compares two memories. What they share is not looked at.
    pub fn between(old: &Memory, new: &Memory) -> Self {
        let mut apps = BTreeMap::new();
        for name in old.apps.keys().filter(|name| !new.apps.contains_key(name)) {
            apps.insert(name.clone(), AppPatch::Gone);
        }
        for (name, app) in &new.apps {
            let patch = match old.apps.get(name) {
                Some(old) if Arc::ptr_eq(old, app) || old == app => continue,
                Some(old) => AppPatch::Fields(changed(fields(old), fields(app))),
                None => AppPatch::Anew(fields(app)),
            };
            apps.insert(name.clone(), patch);
        }
        Self { apps, ledger: old.ledger.changes(&new.ledger).into_iter().collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.apps.is_empty() && self.ledger.is_empty()
    }

    /// Joins this patch and a newer one into one.
    #[must_use]
    pub fn then(mut self, newer: Self) -> Self {
        for (name, patch) in newer.apps {
            let patch = match (self.apps.remove(&name), patch) {
                (Some(older), AppPatch::Fields(fields)) => older.then(fields),
                (_, patch) => patch,
            };
            self.apps.insert(name, patch);
        }
        self.ledger.extend(newer.ledger);
        self
    }

    /// Turns the older memory into the newer one.
    pub fn apply(&self, memory: &mut Memory) -> Result<(), Damage> {
        for (name, patch) in &self.apps {
            let fields = match patch {
                AppPatch::Gone => {
                    memory.apps.remove(name);
                    continue;
                }
                AppPatch::Anew(new) => new.clone(),
                AppPatch::Fields(changed) => {
                    let mut all = memory.apps.get(name).map(|app| fields(app)).unwrap_or_default();
                    merge(&mut all, changed.clone(), false);
                    all
                }
            };
            let app: AppMemory = serde_json::from_value(Value::Object(fields))
                .map_err(|error| Damage::Unreadable(format!("{name}: {error}")))?;
            memory.apps.insert(name.clone(), Arc::new(app));
        }
        for (key, evidence) in &self.ledger {
            memory.ledger.set(key, evidence.clone());
        }
        Ok(())
    }

    /// Writes one line for each app and object, in a stable order.
    pub fn lines(&self) -> impl Iterator<Item = Vec<u8>> {
        let apps = self.apps.iter().map(|(name, patch)| app_line(name, patch.clone()));
        let ledger = self.ledger.iter().map(|(key, evidence)| {
            write(&Line {
                app: None,
                anew: None,
                fields: None,
                key: Some(key.clone()),
                evidence: evidence.clone(),
            })
        });
        apps.chain(ledger)
    }

    /// Reads one of [`Self::lines`].
    pub fn read_line(&mut self, line: &[u8]) -> Result<(), Damage> {
        let line: Line =
            serde_json::from_slice(line).map_err(|error| Damage::Unreadable(error.to_string()))?;
        match line {
            Line { app: Some(app), anew: Some(fields), .. } => {
                self.apps.insert(app, AppPatch::Anew(fields));
            }
            Line { app: Some(app), fields: Some(fields), .. } => {
                self.apps.insert(app, AppPatch::Fields(fields));
            }
            Line { app: Some(app), .. } => drop(self.apps.insert(app, AppPatch::Gone)),
            Line { key: Some(key), evidence, .. } => drop(self.ledger.insert(key, evidence)),
            Line { .. } => return Err(Damage::Unreadable("a line names no app and no object".to_owned())),
        }
        Ok(())
    }
}

/// Writes the line that says everything about an app.
pub(super) fn whole_line(name: &AppName, app: &AppMemory) -> Vec<u8> {
    app_line(name, AppPatch::Anew(fields(app)))
}

fn app_line(name: &AppName, patch: AppPatch) -> Vec<u8> {
    let (anew, fields) = match patch {
        AppPatch::Gone => (None, None),
        AppPatch::Anew(fields) => (Some(fields), None),
        AppPatch::Fields(fields) => (None, Some(fields)),
    };
    write(&Line { app: Some(name.clone()), anew, fields, key: None, evidence: None })
}

fn write(line: &Line) -> Vec<u8> {
    serde_json::to_vec(line).expect("a line of the journal is JSON")
}

impl AppPatch {
    fn then(self, newer: Map<String, Value>) -> Self {
        match self {
            Self::Gone => Self::Anew(newer.into_iter().filter(|(_, value)| !value.is_null()).collect()),
            Self::Anew(mut fields) => {
                merge(&mut fields, newer, false);
                Self::Anew(fields)
            }
            Self::Fields(mut fields) => {
                merge(&mut fields, newer, true);
                Self::Fields(fields)
            }
        }
    }
}

/// Takes over newer fields. A removed field is left out, or stays as `null` where the result is a difference itself.
fn merge(fields: &mut Map<String, Value>, newer: Map<String, Value>, keep_null: bool) {
    for (name, value) in newer {
        if value.is_null() && !keep_null {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
}

fn fields(app: &AppMemory) -> Map<String, Value> {
    match serde_json::to_value(app).expect("what is remembered of an app is JSON") {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn changed(old: Map<String, Value>, mut new: Map<String, Value>) -> Map<String, Value> {
    let mut changed = Map::new();
    for (name, old) in old {
        match new.remove(&name) {
            Some(value) if value == old => {}
            value => drop(changed.insert(name, value.unwrap_or(Value::Null))),
        }
    }
    changed.extend(new);
    changed
}
