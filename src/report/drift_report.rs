//! What a DriftReport says: where the drift of an environment stands, within what one object may hold.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::api::{CauseRow, DriftCounts, DriftReportSpec, DriftRow, FightRow, UnknownKind};
use crate::drift::{Fight, Member, Observation, OpenDrift, Standing, causes, records};
use crate::object::{DriftAction, DriftRecord, EnvironmentName, Revision};

/// Bytes of a report, as JSON. What stands beside the rows takes less than [`ROOM_BESIDE`].
const LARGEST: usize = 32 << 10;
const ROOM_BESIDE: usize = 3 << 10;
/// Bytes that what is put back may take where there is more that is open: who looks wants to see that first.
const ROOM_PUT_BACK: usize = 8 << 10;
/// Rows of what was put back: more is in the history.
const PUT_BACK: usize = 50;
/// Bytes of one text of a row, such as a reason or a field: each row has to fit.
const TEXT: usize = 512;

/// Tells where an environment stands. `before` is what an earlier agent said was put back.
///
/// Where there is more than has room, kinds that are unknown come first, then fights, causes, what is open, and what was
/// put back; what is left out is counted.
pub fn drift_report(
    environment: &EnvironmentName,
    standing: &Standing,
    unknown: &[UnknownKind],
    revision: Option<&Revision>,
    before: &[DriftRow],
) -> DriftReportSpec {
    let mut open = open_records(environment, standing);
    open.sort_by(|a, b| {
        (urgency(a.action), a.first_seen, &a.object, &a.path).cmp(&(
            urgency(b.action),
            b.first_seen,
            &b.object,
            &b.path,
        ))
    });
    let causes = cause_rows(&open);
    let fights: Vec<FightRow> = standing.fights.iter().map(fight_row).collect();
    let mut put_back: Vec<DriftRow> = standing.lately.put_back().map(row).collect();
    let known: BTreeSet<(String, String, String)> = put_back.iter().map(name_of).collect();
    put_back.extend(before.iter().filter(|row| !known.contains(&name_of(row))).cloned());
    put_back.truncate(PUT_BACK);
    let open: Vec<DriftRow> = open.iter().map(row).collect();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let counts = DriftCounts {
        open: count(open.len()),
        fights: count(fights.len()),
        causes: count(causes.len()),
        put_back: count(put_back.len()),
        unknown: count(unknown.len()),
    };
    let mut room = LARGEST - ROOM_BESIDE;
    let unknown = fit(unknown.iter().map(short_unknown), &mut room);
    let fights = fit(fights, &mut room);
    let causes = fit(causes, &mut room);
    let reserved = bytes_of(&put_back).min(ROOM_PUT_BACK);
    let mut for_open = room.saturating_sub(reserved);
    room -= for_open;
    let open = fit(open, &mut for_open);
    room += for_open;
    let put_back = fit(put_back, &mut room);
    let left_out = DriftCounts {
        open: counts.open - count(open.len()),
        fights: counts.fights - count(fights.len()),
        causes: counts.causes - count(causes.len()),
        put_back: counts.put_back - count(put_back.len()),
        unknown: counts.unknown - count(unknown.len()),
    };
    DriftReportSpec {
        summary: summary(&counts),
        changed: None,
        revision: revision.map(|revision| revision.as_str().to_owned()),
        counts,
        left_out,
        unknown,
        fights,
        causes,
        open,
        put_back,
    }
}

/// `2 fields are not as git says, 1 fight`; that all is as git says where nothing is to be told.
fn summary(counts: &DriftCounts) -> String {
    let some = |count: u32, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let told = [
        some(counts.unknown, "kind could not be verified", "kinds could not be verified"),
        some(counts.open, "field is not as git says", "fields are not as git says"),
        some(counts.fights, "fight", "fights"),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    if told.is_empty() { "as git says".to_owned() } else { told.join(", ") }
}

/// What a person has to decide about comes first.
fn urgency(action: DriftAction) -> u8 {
    match action {
        DriftAction::Fought => 0,
        DriftAction::Reported => 1,
        DriftAction::Held => 2,
        _ => 3,
    }
}

/// One record for each field that is open, with what was seen of it before.
fn open_records(environment: &EnvironmentName, standing: &Standing) -> Vec<DriftRecord> {
    let of = |open: &OpenDrift| {
        let seen = Observation {
            environment: environment.clone(),
            app: Some(open.app.clone()),
            revision: None,
            action: open.action,
            at: open.since,
            over: None,
        };
        let mut found = records(std::slice::from_ref(&open.drifted), &seen, &mut || 0);
        for record in &mut found {
            if let Some(known) = standing.lately.of(&record.object, &record.path) {
                let is_unseen = record.manager.is_empty() && record.live.is_none();
                if is_unseen {
                    record.manager.clone_from(&known.manager);
                    record.desired.clone_from(&known.desired);
                    record.live.clone_from(&known.live);
                    record.class = known.class;
                }
                if record.manager == known.manager {
                    record.principal.clone_from(&known.principal);
                    record.count = record.count.max(known.count);
                }
            }
            record.rule = open.hold.clone().or(record.rule.take());
        }
        found
    };
    standing.open.iter().flat_map(of).collect()
}

fn name_of(row: &DriftRow) -> (String, String, String) {
    (row.object.clone(), row.field.clone(), row.since.clone())
}

fn row(record: &DriftRecord) -> DriftRow {
    let mut row = DriftRow::of(record);
    for text in [&mut row.object, &mut row.field, &mut row.manager, &mut row.who] {
        shorten(text);
    }
    row.rule.iter_mut().for_each(shorten);
    row
}

fn shorten(text: &mut String) {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push('…');
    }
}

fn short_unknown(kind: &UnknownKind) -> UnknownKind {
    let mut kind = kind.clone();
    shorten(&mut kind.why);
    kind
}

fn fight_row(fight: &Fight) -> FightRow {
    let mut row = FightRow {
        object: fight.key.to_string(),
        field: fight.field.clone(),
        managers: fight.managers.iter().take(8).cloned().collect(),
        times: fight.times,
        since: second(fight.since),
    };
    row.managers.iter_mut().for_each(shorten);
    shorten(&mut row.field);
    row
}

/// What changed more than one object.
fn cause_rows(open: &[DriftRecord]) -> Vec<CauseRow> {
    let member = |record: &DriftRecord| Member {
        environment: record.environment.as_str().to_owned(),
        kind: kind_of(record),
        field: record.path.clone(),
        manager: record.manager.clone(),
        at: record.first_seen,
    };
    let known: Vec<&DriftRecord> = open.iter().filter(|record| !record.manager.is_empty()).collect();
    let members: Vec<Member> = known.iter().map(|record| member(record)).collect();
    let mut rows: Vec<CauseRow> = Vec::new();
    for cause in causes(&members) {
        let objects: BTreeMap<_, _> =
            cause.members.iter().filter_map(|n| known.get(*n)).map(|record| (&record.object, ())).collect();
        if objects.len() > 1 {
            let (mut manager, mut field) = (cause.manager, cause.field);
            shorten(&mut manager);
            shorten(&mut field);
            let objects = u32::try_from(objects.len()).unwrap_or(u32::MAX);
            rows.push(CauseRow { manager, kind: cause.kind, field, first: second(cause.first), objects });
        }
    }
    rows
}

fn kind_of(record: &DriftRecord) -> String {
    match &*record.object.group {
        "" => record.object.kind.to_string(),
        group => format!("{}.{group}", record.object.kind),
    }
}

fn second(at: Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}

/// Takes as many from the front as have room.
fn fit<Row: Serialize>(rows: impl IntoIterator<Item = Row>, room: &mut usize) -> Vec<Row> {
    let mut taken = Vec::new();
    for row in rows {
        let bytes = size(&row);
        let Some(left) = room.checked_sub(bytes) else { break };
        *room = left;
        taken.push(row);
    }
    taken
}

fn bytes_of<Row: Serialize>(rows: &[Row]) -> usize {
    rows.iter().map(size).sum()
}

/// With the comma behind it.
fn size<Row: Serialize>(row: &Row) -> usize {
    serde_json::to_vec(row).map_or(usize::MAX / 2, |text| text.len() + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::drift::{DriftEnd, Drifted, DriftedField, Lately};
    use crate::object::field_path::FieldPath;
    use crate::object::{AppName, FieldHolder, ObjectKey, Principal};

    fn dev() -> EnvironmentName {
        EnvironmentName::new("dev").unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn scaled(name: &str, live: serde_json::Value) -> Drifted {
        let by = FieldHolder {
            manager: "kubectl".into(),
            operation: "Update".into(),
            subresource: "scale".into(),
            time: None,
        };
        let field = DriftedField {
            path: FieldPath::of(&["spec", "replicas"]),
            desired: Some(json!(1)),
            live: Some(live),
            by: vec![by],
            rule: None,
            is_extra: false,
        };
        let key = ObjectKey::new("apps", "Deployment", Some("web"), name);
        Drifted { key, uid: Some("u".into()), version: None, fields: vec![field] }
    }

    fn open(name: &str, action: DriftAction, second: i64) -> OpenDrift {
        let drifted = scaled(name, json!(3));
        OpenDrift { app: AppName::new("web").unwrap(), drifted, action, since: at(second), hold: None }
    }

    fn was_put_back(lately: &mut Lately, name: &str, second: i64) {
        let seen = Observation {
            environment: dev(),
            app: None,
            revision: None,
            action: DriftAction::Healed,
            at: at(second),
            over: Some((at(second - 1), DriftEnd::PutBack)),
        };
        for record in records(&[scaled(name, json!(3))], &seen, &mut || 0) {
            lately.take(&record);
        }
    }

    #[test]
    fn a_report_says_what_is_open_what_was_put_back_and_who() {
        let mut standing = Standing {
            open: vec![open("b", DriftAction::Held, 10), open("a", DriftAction::Reported, 20)],
            ..Standing::default()
        };
        standing.open[0].hold = Some("by ada until noon".into());
        was_put_back(&mut standing.lately, "c", 5);
        was_put_back(&mut standing.lately, "d", 7);
        let found = drift_report(&dev(), &standing, &[], None, &[]);
        let told: Vec<_> =
            found.open.iter().map(|row| (&*row.object, row.rule.as_deref(), &*row.who)).collect();
        assert_eq!(
            told,
            [
                ("Deployment.apps web/a", None, "unknown"),
                ("Deployment.apps web/b", Some("by ada until noon"), "unknown")
            ]
        );
        let told: Vec<_> = found.put_back.iter().map(|row| &*row.object).collect();
        assert_eq!(told, ["Deployment.apps web/d", "Deployment.apps web/c"]);
        assert_eq!(found.causes.len(), 1);
        assert_eq!((found.causes[0].objects, &*found.causes[0].field), (2, "/spec/replicas"));
        assert_eq!(found.summary, "2 fields are not as git says");
        assert!(found.left_out.is_nothing());
        // Whoever comes next knows what was put back before.
        let next = drift_report(&dev(), &Standing::default(), &[], None, &found.put_back);
        assert_eq!((next.put_back, &*next.summary), (found.put_back, "as git says"));
    }

    #[test]
    fn what_an_audit_log_said_of_the_same_field_and_manager_is_told() {
        let mut standing =
            Standing { open: vec![open("a", DriftAction::Reported, 20)], ..Standing::default() };
        let seen = Observation {
            environment: dev(),
            app: None,
            revision: None,
            action: DriftAction::Reported,
            at: at(20),
            over: None,
        };
        let mut record = records(&[scaled("a", json!(3))], &seen, &mut || 0).remove(0);
        record.principal = Some(Principal { user: "ada".into(), ..Principal::default() });
        standing.lately.take(&record);
        assert_eq!(drift_report(&dev(), &standing, &[], None, &[]).open[0].who, "ada");
        standing.open[0].drifted.fields[0].by[0].manager = "robot".into();
        assert_eq!(drift_report(&dev(), &standing, &[], None, &[]).open[0].who, "unknown");
        // Of what waits or is held nothing is looked at: it is as it was seen last.
        standing.open[0].drifted =
            Drifted::unseen(record.object.clone(), None, &[FieldPath::of(&["spec", "replicas"])]);
        let row = drift_report(&dev(), &standing, &[], None, &[]).open.remove(0);
        assert_eq!((row.live.as_deref(), &*row.manager, &*row.who), (Some("3"), "kubectl", "ada"));
    }

    #[test]
    fn a_report_keeps_to_its_size_and_counts_what_it_leaves_out() {
        let mut standing = Standing::default();
        for n in 0..2_000 {
            let mut one = open(&format!("{n:04}-{}", "x".repeat(200)), DriftAction::Reported, n);
            one.drifted.fields[0].live = Some(json!("é".repeat(5_000)));
            standing.open.push(one);
            was_put_back(&mut standing.lately, &format!("back-{n}"), n);
        }
        standing.fights = (0..500)
            .map(|n| Fight {
                key: ObjectKey::new("apps", "Deployment", Some("web"), &format!("f{n}")),
                field: "spec.replicas".into(),
                managers: vec!["\"".repeat(5_000)],
                times: 4,
                since: at(n),
            })
            .collect();
        let unknown =
            UnknownKind { kind: "Deployment.apps".into(), last_verified: None, why: "w".repeat(9_000) };
        let found = drift_report(&dev(), &standing, &[unknown], None, &[]);
        let bytes = serde_json::to_vec(&found).unwrap().len();
        assert!(bytes <= LARGEST, "{bytes}");
        assert!(bytes > LARGEST / 2, "{bytes}: there is room");
        assert_eq!((found.counts.open, found.counts.fights, found.unknown.len()), (2_000, 500, 1));
        assert_eq!(found.left_out.open as usize + found.open.len(), 2_000);
        assert_eq!(found.left_out.fights as usize + found.fights.len(), 500);
        standing.fights.clear();
        let found = drift_report(&dev(), &standing, &[], None, &[]);
        assert!(serde_json::to_vec(&found).unwrap().len() <= LARGEST);
        assert!(found.open.len() > 20 && found.put_back.len() > 20, "both have some room");
        assert!(found.open[0].object.starts_with("Deployment.apps web/0000"), "the oldest first");
    }
}
