//! What the history keeps about drift, and what else stands on its time line.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AppName, EnvironmentName, ObjectKey, Revision};

/// Bytes of a value that are kept: enough to see what differed, and no copy of a whole ConfigMap.
const VALUE_LIMIT: usize = 4096;
/// Bytes of a field path.
const PATH_LIMIT: usize = 1024;
/// Bytes of a name, a reason or an address.
const WORD_LIMIT: usize = 512;
/// Bytes of the details of an event, as JSON.
const DETAILS_LIMIT: usize = 8192;
/// Groups of a principal.
const GROUP_LIMIT: usize = 32;
/// Drift that comes back within this time after it was closed is the same drift.
const REOPENS_WITHIN: SignedDuration = SignedDuration::from_hours(1);

const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// The id of a record: a UUID of version 7, so that ids sort by time.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(Box<str>);

impl RecordId {
    /// Makes an id of a time and of chance, of which 74 bits are used.
    pub fn new(at: Timestamp, chance: u128) -> Self {
        let milliseconds = u128::try_from(at.as_millisecond()).unwrap_or(0) & ((1 << 48) - 1);
        let (high, low) = ((chance >> 64) & 0xfff, chance & ((1 << 62) - 1));
        let all = (milliseconds << 80) | (7 << 76) | (high << 64) | (2 << 62) | low;
        let hex = format!("{all:032x}");
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Self(parts.join("-").into())
    }

    /// Takes an id that was written down before.
    pub fn known(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({})", self.0)
    }
}

/// One field of one object that was not as git says, from when it was first seen until it was over.
///
/// Whoever records drift fills in what one observation knows, with a new id and a count of 1. Records of the same field
/// and manager are coalesced by [`DriftRecord::absorb`]. Values are redacted by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftRecord {
    pub id: RecordId,
    /// The name of the cluster, where the agent was given one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    pub environment: EnvironmentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// What git said at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    pub object: ObjectKey,
    /// Empty where the object did not exist.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The field, as a JSON pointer or a path with list keys; empty for the whole object.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    pub class: DriftClass,
    /// The id of the cause that this is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The field manager, as the object names it; empty where none is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manager: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<DriftOperation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// Who it was, where an audit log says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// How often it was seen. 0 adds what is known later, such as the principal, and no observation.
    pub count: u64,
    pub action: DriftAction,
    /// The rule of the policy that decided the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What came of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// From the change to the end of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// When the field was again as git says; none while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
}

/// How a field differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftClass {
    /// The field has another value.
    Changed,
    /// The field is gone.
    Missing,
    /// Another manager added a field below one of ours.
    Extra,
    /// The object is gone.
    Deleted,
}

/// What was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftAction {
    Healed,
    Reported,
    Ignored,
    Held,
    /// Healed ever more rarely, because somebody sets it again and again.
    Fought,
    /// A deploy wrote over it.
    Overwritten,
}

/// How the field was written, as managed fields say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftOperation {
    Apply,
    Update,
}

/// The person or account behind a request, as the audit log of the API server names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    pub user: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
}

/// Something else that people want to find on the time line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEvent {
    pub id: RecordId,
    pub kind: EventKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    pub environment: EnvironmentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The object that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
    pub who: Option<String>,
    pub why: Option<String>,
    pub at: Timestamp,
    /// What belongs to this kind of event, without values of secrets.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// A hold began.
    Hold,
    /// A hold ended.
    Release,
    /// Somebody asked for something by a Request.
    Request,
    /// What ran before was put back.
    Restore,
    /// A workload went on to another version of a secret.
    Rotation,
    /// A re-point to another region ended.
    Region,
}

/// Implements what an enum of words needs: all of them, and the word of each.
macro_rules! words {
    ($name:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// The one that is written so, if this version knows it.
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words!(DriftClass { Changed => "changed", Missing => "missing", Extra => "extra", Deleted => "deleted" });
words!(DriftAction {
    Healed => "healed",
    Reported => "reported",
    Ignored => "ignored",
    Held => "held",
    Fought => "fought",
    Overwritten => "overwritten",
});
words!(DriftOperation { Apply => "Apply", Update => "Update" });
words!(EventKind {
    Hold => "hold",
    Release => "release",
    Request => "request",
    Restore => "restore",
    Rotation => "rotation",
    Region => "region",
});

impl DriftRecord {
    /// Says whether an observation belongs to this record, or begins a new one.
    ///
    /// It belongs here while the drift is open, and within an hour after it was closed. No record goes on into the next
    /// day (of UTC): so a day that is over can be sealed, and drift that lasts has a record on each day that it is seen.
    pub fn continues_with(&self, seen: &DriftRecord) -> bool {
        let is_same = self.cluster == seen.cluster
            && self.environment == seen.environment
            && self.uid == seen.uid
            && self.path == seen.path
            && self.manager == seen.manager
            // Objects that are gone have no uid; what has one has the same key.
            && self.object == seen.object;
        let is_alive = self.closed.is_none_or(|closed| seen.first_seen <= closed + REOPENS_WITHIN);
        is_same && is_alive && day_of(self.first_seen) == day_of(seen.first_seen)
    }

    /// Takes an observation in. The newer of the two says how things stand; what only one knows is kept.
    pub fn absorb(&mut self, seen: DriftRecord) {
        let is_newer = seen.last_seen >= self.last_seen;
        let (older, newer) = if is_newer { (self.clone(), seen) } else { (seen, self.clone()) };
        *self = Self {
            id: self.id.clone(),
            first_seen: older.first_seen.min(newer.first_seen),
            count: older.count.saturating_add(newer.count),
            app: newer.app.or(older.app),
            revision: newer.revision.or(older.revision),
            cause: newer.cause.or(older.cause),
            operation: newer.operation.or(older.operation),
            subresource: newer.subresource.or(older.subresource),
            principal: newer.principal.or(older.principal),
            rule: newer.rule.or(older.rule),
            result: newer.result.or(older.result),
            latency_ms: newer.latency_ms.or(older.latency_ms),
            ..newer
        };
    }

    /// With every text as long as a record may hold it, and without what a database does not take.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for value in [&mut self.desired, &mut self.live].into_iter().flatten() {
            bound(value, VALUE_LIMIT);
        }
        bound(&mut self.path, PATH_LIMIT);
        for word in [&mut self.cluster, &mut self.uid, &mut self.manager] {
            bound(word, WORD_LIMIT);
        }
        for word in [&mut self.cause, &mut self.subresource, &mut self.rule, &mut self.result] {
            bound_some(word);
        }
        if let Some(principal) = &mut self.principal {
            bound(&mut principal.user, WORD_LIMIT);
            principal.groups.truncate(GROUP_LIMIT);
            principal.groups.iter_mut().for_each(|group| bound(group, WORD_LIMIT));
            bound_some(&mut principal.user_agent);
            bound_some(&mut principal.source_address);
        }
        self
    }
}

impl TimelineEvent {
    /// With every text as long as a record may hold it, and without what a database does not take.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        bound(&mut self.cluster, WORD_LIMIT);
        bound_some(&mut self.who);
        bound_some(&mut self.why);
        // JSON has no form that is cut: what is too long is left out, and said to be.
        if self.details.to_string().len() > DETAILS_LIMIT {
            self.details = Value::from("(too long to be kept)");
        }
        self
    }
}

/// The day of a time, counted from 1970, in UTC.
pub fn day_of(at: Timestamp) -> i64 {
    at.as_millisecond().div_euclid(DAY_MILLISECONDS)
}

fn bound_some(text: &mut Option<String>) {
    if let Some(text) = text {
        bound(text, WORD_LIMIT);
    }
}

/// Cuts a text, and takes out the NUL characters that PostgreSQL refuses.
fn bound(text: &mut String, limit: usize) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn record(seen: &str) -> DriftRecord {
        let seen = at(seen);
        DriftRecord {
            id: RecordId::new(seen, 1),
            cluster: "c".into(),
            environment: EnvironmentName::new("dev").unwrap(),
            app: None,
            revision: None,
            object: ObjectKey::new("apps", "Deployment", Some("shop"), "web"),
            uid: "u".into(),
            path: "/spec/replicas".into(),
            desired: Some("2".into()),
            live: Some("3".into()),
            class: DriftClass::Changed,
            cause: None,
            manager: "kubectl-edit".into(),
            operation: Some(DriftOperation::Update),
            subresource: None,
            principal: None,
            first_seen: seen,
            last_seen: seen,
            count: 1,
            action: DriftAction::Reported,
            rule: None,
            result: None,
            latency_ms: None,
            closed: None,
        }
    }

    fn closed(seen: &str, closed: &str) -> DriftRecord {
        DriftRecord { closed: Some(at(closed)), ..record(seen) }
    }

    #[test]
    fn an_id_is_a_uuid_of_version_7_and_sorts_by_time() {
        let id = RecordId::new(at("2026-11-30T12:00:00Z"), u128::MAX);
        let text = id.as_str();
        assert_eq!((text.len(), &text[14..15], &text[19..20]), (36, "7", "b"), "{text}");
        let first = RecordId::new(at("2026-11-30T12:00:00Z"), u128::MAX);
        assert!(first < RecordId::new(at("2026-11-30T12:00:00.001Z"), 0));
        assert_ne!(
            RecordId::new(at("2026-11-30T12:00:00Z"), 1),
            RecordId::new(at("2026-11-30T12:00:00Z"), 2)
        );
    }

    #[test]
    fn open_drift_goes_on_and_closed_drift_within_an_hour() {
        let open = record("2026-11-30T08:00:00Z");
        assert!(open.continues_with(&record("2026-11-30T20:00:00Z")));
        let healed = closed("2026-11-30T08:00:00Z", "2026-11-30T08:00:01Z");
        assert!(healed.continues_with(&record("2026-11-30T09:00:01Z")));
        assert!(!healed.continues_with(&record("2026-11-30T09:00:02Z")));
    }

    #[test]
    fn no_record_goes_on_into_the_next_day() {
        let late = record("2026-11-30T23:59:59.999Z");
        assert!(!late.continues_with(&record("2026-12-01T00:00:00Z")));
        assert!(late.continues_with(&record("2026-11-30T23:59:59.999Z")));
    }

    #[test]
    fn another_field_manager_or_object_is_another_record() {
        let first = record("2026-11-30T08:00:00Z");
        let same = || record("2026-11-30T08:00:01Z");
        assert!(first.continues_with(&same()));
        for other in [
            DriftRecord { path: "/spec/paused".into(), ..same() },
            DriftRecord { manager: "hpa".into(), ..same() },
            DriftRecord { uid: "v".into(), ..same() },
            DriftRecord { cluster: "d".into(), ..same() },
            DriftRecord { environment: EnvironmentName::new("prod").unwrap(), ..same() },
            DriftRecord { object: ObjectKey::new("apps", "Deployment", Some("shop"), "api"), ..same() },
        ] {
            assert!(!first.continues_with(&other), "{other:?}");
        }
    }

    #[test]
    fn the_newer_says_how_things_stand_and_nothing_known_is_lost() {
        let first = DriftRecord {
            principal: Some(Principal { user: "ada".into(), ..Principal::default() }),
            ..record("2026-11-30T08:00:00Z")
        };
        let second = DriftRecord {
            live: Some("5".into()),
            action: DriftAction::Healed,
            closed: Some(at("2026-11-30T09:00:01Z")),
            latency_ms: Some(12),
            ..record("2026-11-30T09:00:00Z")
        };
        let mut forward = first.clone();
        forward.absorb(second.clone());
        assert_eq!((forward.count, &forward.id), (2, &first.id));
        assert_eq!((forward.live.as_deref(), forward.action), (Some("5"), DriftAction::Healed));
        assert_eq!((forward.first_seen, forward.last_seen), (first.first_seen, second.last_seen));
        assert_eq!(forward.principal, first.principal);
        // What comes late changes nothing but what it alone knows.
        let mut backward = second.clone();
        backward.absorb(first);
        assert_eq!(backward, DriftRecord { id: second.id, ..forward });
    }

    #[test]
    fn texts_are_cut_between_letters_and_hold_no_nul() {
        let long = DriftRecord {
            live: Some("ä".repeat(VALUE_LIMIT)),
            manager: "a\0b".into(),
            ..record("2026-11-30T08:00:00Z")
        };
        let bounded = long.bounded();
        let live = bounded.live.unwrap();
        assert!(live.len() <= VALUE_LIMIT + '…'.len_utf8() && live.ends_with("ä…"), "{}", live.len());
        assert_eq!(bounded.manager, "a\u{fffd}b");
    }

    #[test]
    fn each_word_is_the_same_everywhere() {
        for class in DriftClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
            assert_eq!(DriftClass::of(class.as_str()), Some(*class));
        }
        for action in DriftAction::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        for operation in DriftOperation::ALL {
            assert_eq!(serde_json::to_value(operation).unwrap(), operation.as_str());
        }
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(DriftClass::of("twisted"), None);
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record =
            DriftRecord { app: Some(AppName::new("web").unwrap()), ..record("2026-11-30T08:00:00Z") };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<DriftRecord>(&text).unwrap(), record);
    }
}
