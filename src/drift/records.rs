//! What the history keeps of what others changed: one record for each field.

use jiff::Timestamp;

use super::{Drifted, DriftedField};
use crate::object::{
    AppName, DriftAction, DriftClass, DriftOperation, DriftRecord, EnvironmentName, RecordId, Revision,
};

/// How drift ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftEnd {
    PutBack,
    /// A rollout wrote what git says.
    Overwritten,
    /// Somebody else set it to something else.
    Replaced,
    /// By the rules that hold now it is not reported any more.
    Ruled,
    /// Git does not say it any more, or whoever changed it undid that.
    Gone,
}

impl DriftEnd {
    /// The action that a record is closed with.
    pub fn action(self) -> DriftAction {
        match self {
            Self::PutBack => DriftAction::Healed,
            Self::Overwritten => DriftAction::Overwritten,
            Self::Replaced | Self::Ruled | Self::Gone => DriftAction::Reported,
        }
    }

    /// What a record says came of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PutBack => "as git says again",
            Self::Overwritten => "a rollout wrote what git says",
            Self::Replaced => "somebody else set it to something else",
            Self::Ruled => "another rule decides about it",
            Self::Gone => "it does not differ from git any more",
        }
    }
}

/// Where and when something was seen, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Observation {
    pub environment: EnvironmentName,
    pub app: Option<AppName>,
    pub revision: Option<Revision>,
    pub action: DriftAction,
    pub at: Timestamp,
    /// When it was seen first and how it ended, where this says that it is over.
    pub over: Option<(Timestamp, DriftEnd)>,
}

/// The records of what was seen. Each asks once for the chance in its id.
pub fn records(
    objects: &[Drifted],
    seen: &Observation,
    chance: &mut dyn FnMut() -> u128,
) -> Vec<DriftRecord> {
    let of = |object: &Drifted| {
        let parts = object.parts();
        parts.into_iter().map(|field| (object.clone(), field)).collect::<Vec<_>>()
    };
    objects.iter().flat_map(of).map(|(object, field)| record(&object, field, seen, chance())).collect()
}

fn record(object: &Drifted, field: DriftedField, seen: &Observation, chance: u128) -> DriftRecord {
    let class = match (&field.live, object.is_gone()) {
        (_, true) => DriftClass::Deleted,
        _ if field.is_extra => DriftClass::Extra,
        // Nothing is known of what could not be looked at but that it is not ours any more.
        (None, false) if field.desired.is_some() => DriftClass::Missing,
        _ => DriftClass::Changed,
    };
    let holder = field.by.into_iter().next();
    let is_over = seen.over.is_some();
    let first = seen.over.map_or(seen.at, |(since, _)| since);
    // Where a clock went back meanwhile, the end is not before the beginning.
    let at = seen.at.max(first);
    DriftRecord {
        id: RecordId::new(first, chance),
        cluster: String::new(),
        environment: seen.environment.clone(),
        app: seen.app.clone(),
        revision: seen.revision.clone(),
        object: object.key.clone(),
        uid: object.uid.as_deref().unwrap_or_default().to_owned(),
        path: field.path.pointer(),
        desired: field.desired.map(|value| value.to_string()),
        live: field.live.map(|value| value.to_string()),
        class,
        cause: None,
        manager: holder.as_ref().map(|holder| holder.manager.clone()).unwrap_or_default(),
        operation: holder.as_ref().and_then(|holder| match &*holder.operation {
            "Apply" => Some(DriftOperation::Apply),
            "Update" => Some(DriftOperation::Update),
            _ => None,
        }),
        subresource: holder.map(|holder| holder.subresource).filter(|name| !name.is_empty()),
        principal: None,
        first_seen: first,
        last_seen: at,
        count: u64::from(!is_over),
        action: seen.action,
        rule: field.rule,
        result: seen.over.map(|(_, end)| end.as_str().to_owned()),
        latency_ms: seen
            .over
            .and_then(|(since, _)| u64::try_from(at.as_millisecond() - since.as_millisecond()).ok()),
        closed: is_over.then_some(at),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::field_path::FieldPath;
    use crate::object::{FieldHolder, ObjectKey};

    fn seen(over: Option<Timestamp>) -> Observation {
        Observation {
            environment: EnvironmentName::new("dev").unwrap(),
            app: None,
            revision: None,
            action: DriftAction::Healed,
            at: Timestamp::from_second(100).unwrap(),
            over: over.map(|since| (since, DriftEnd::PutBack)),
        }
    }

    fn scaled() -> Drifted {
        let by = FieldHolder {
            manager: "kubectl".into(),
            operation: "Update".into(),
            subresource: "scale".into(),
            time: None,
        };
        let field = DriftedField {
            path: FieldPath::of(&["spec", "replicas"]),
            desired: Some(json!(1)),
            live: Some(json!(3)),
            by: vec![by],
            rule: None,
            is_extra: false,
        };
        let key = ObjectKey::new("apps", "Deployment", Some("web"), "web");
        Drifted { key, uid: Some("u".into()), version: None, fields: vec![field] }
    }

    #[test]
    fn what_is_over_belongs_to_the_record_of_what_was_seen() {
        let mut chance = 0;
        let mut next = || {
            chance += 1;
            chance
        };
        let began = records(&[scaled()], &seen(None), &mut next).remove(0);
        let since = Timestamp::from_second(100).unwrap();
        let mut later = seen(Some(since));
        later.at = Timestamp::from_millisecond(100_250).unwrap();
        let over = records(&[scaled()], &later, &mut next).remove(0);
        assert!(began.continues_with(&over));
        let mut whole = began.clone();
        whole.absorb(over);
        assert_eq!((whole.count, whole.latency_ms, &*whole.path), (1, Some(250), "/spec/replicas"));
        assert_eq!((&*whole.manager, whole.subresource.as_deref()), ("kubectl", Some("scale")));
        assert_eq!((began.closed, whole.closed), (None, Some(later.at)));
    }

    #[test]
    fn each_class_is_told_from_the_others() {
        let class = |object: Drifted| records(&[object], &seen(None), &mut || 0).remove(0).class;
        let key = scaled().key;
        assert_eq!(class(scaled()), DriftClass::Changed);
        assert_eq!(class(Drifted::gone(key.clone())), DriftClass::Deleted);
        let mut taken = scaled();
        taken.fields[0].live = None;
        assert_eq!(class(taken), DriftClass::Missing);
        assert_eq!(class(Drifted::unseen(key, None, &[FieldPath::of(&["spec"])])), DriftClass::Changed);
    }
}
