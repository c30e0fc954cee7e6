//! What the tables hold: their columns, records as rows of cells and back, and the hash of a row.

use std::collections::BTreeMap;
use std::vec::IntoIter;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::connection::{Cell, Kind};
use crate::object::{
    AppName, Commit, Digest, DriftAction, DriftClass, DriftOperation, DriftRecord, EnvironmentName,
    EventKind, Hash, ObjectKey, Outcome, Principal, RecordId, Revision, RolloutRecord, TimelineEvent, day_of,
};

/// Which columns the hash of a row is of. A version that adds one to the hash raises this; older ones leave such rows be.
pub(super) const FORM: i64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Drift,
    Events,
    Rollouts,
}

type Columns = &'static [(&'static str, Kind)];

const ROLLOUTS: Columns = &[
    ("id", Kind::Text),
    ("environment", Kind::Text),
    ("app", Kind::Text),
    ("digest", Kind::Text),
    ("from_digest", Kind::Text),
    ("revision", Kind::Text),
    ("author", Kind::Text),
    ("subject", Kind::Text),
    ("outcome", Kind::Text),
    ("started", Kind::Number),
    ("ended", Kind::Number),
    ("objects", Kind::Number),
    ("by_whom", Kind::Text),
    ("why", Kind::Text),
    ("secrets", Kind::Text),
    ("cluster", Kind::Text),
];

const DRIFT: Columns = &[
    ("id", Kind::Text),
    ("field", Kind::Number),
    ("cluster", Kind::Text),
    ("environment", Kind::Text),
    ("app", Kind::Text),
    ("revision", Kind::Text),
    ("api_group", Kind::Text),
    ("kind", Kind::Text),
    ("namespace", Kind::Text),
    ("name", Kind::Text),
    ("uid", Kind::Text),
    ("path", Kind::Text),
    ("desired", Kind::Text),
    ("live", Kind::Text),
    ("class", Kind::Text),
    ("cause", Kind::Text),
    ("manager", Kind::Text),
    ("operation", Kind::Text),
    ("subresource", Kind::Text),
    ("who", Kind::Text),
    ("who_groups", Kind::Text),
    ("user_agent", Kind::Text),
    ("source_address", Kind::Text),
    ("first_seen", Kind::Number),
    ("last_seen", Kind::Number),
    ("seen", Kind::Number),
    ("action", Kind::Text),
    ("rule", Kind::Text),
    ("result", Kind::Text),
    ("latency_ms", Kind::Number),
    ("closed", Kind::Number),
];

const EVENTS: Columns = &[
    ("id", Kind::Text),
    ("kind", Kind::Text),
    ("cluster", Kind::Text),
    ("environment", Kind::Text),
    ("app", Kind::Text),
    ("api_group", Kind::Text),
    ("object_kind", Kind::Text),
    ("namespace", Kind::Text),
    ("name", Kind::Text),
    ("who", Kind::Text),
    ("why", Kind::Text),
    ("happened", Kind::Number),
    ("details", Kind::Text),
];

impl Table {
    pub const ALL: [Self; 3] = [Self::Drift, Self::Events, Self::Rollouts];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rollouts => "rollouts",
            Self::Drift => "drift",
            Self::Events => "events",
        }
    }

    /// The column by which its rows are on the time line.
    pub fn time(self) -> &'static str {
        match self {
            Self::Rollouts => "ended",
            Self::Drift => "first_seen",
            Self::Events => "happened",
        }
    }

    /// What a row says, the id first; beside these each has `day`, `form` and `hash`.
    pub fn columns(self) -> Columns {
        match self {
            Self::Rollouts => ROLLOUTS,
            Self::Drift => DRIFT,
            Self::Events => EVENTS,
        }
    }

    pub fn kinds(self) -> Vec<Kind> {
        self.columns().iter().map(|(_, kind)| *kind).collect()
    }

    pub fn names(self) -> Vec<&'static str> {
        self.columns().iter().map(|(name, _)| *name).collect()
    }

    /// The hash of a row, whatever of it is empty: a column that is added later changes no hash of before.
    pub fn hash(self, cells: &[Cell]) -> Digest {
        let mut parts = vec![self.name().to_owned()];
        for ((name, _), cell) in self.columns().iter().zip(cells) {
            let value = match cell {
                Cell::Null | Cell::Bytes(_) => continue,
                Cell::Number(number) => number.to_string(),
                Cell::Text(text) => text.clone(),
            };
            parts.extend([(*name).to_owned(), value]);
        }
        Digest::of_parts(parts.iter().map(String::as_str))
    }
}

/// One rollout of an app of an environment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    pub environment: EnvironmentName,
    #[serde(flatten)]
    pub record: RolloutRecord,
}

/// Whatever stands on the time line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Entry {
    Rollout(Box<Row>),
    Drift(Box<DriftRecord>),
    Event(Box<TimelineEvent>),
}

/// A row with words that this version does not know, or that somebody spoiled.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown(pub String);

impl Entry {
    pub(super) fn table(&self) -> Table {
        match self {
            Self::Rollout(_) => Table::Rollouts,
            Self::Drift(_) => Table::Drift,
            Self::Event(_) => Table::Events,
        }
    }

    pub fn environment(&self) -> &EnvironmentName {
        match self {
            Self::Rollout(row) => &row.environment,
            Self::Drift(drift) => &drift.environment,
            Self::Event(event) => &event.environment,
        }
    }

    /// Where it stands on the time line.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Rollout(row) => row.record.ended,
            Self::Drift(drift) => drift.first_seen,
            Self::Event(event) => event.at,
        }
    }

    pub(super) fn day(&self) -> i64 {
        day_of(self.time())
    }

    /// What it takes while it waits to be written, about.
    pub(super) fn weight(&self) -> usize {
        let long = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        512 + match self {
            Self::Rollout(row) => long(&row.record.why) + 64 * row.record.secrets.len(),
            Self::Drift(drift) => drift.path.len() + long(&drift.desired) + long(&drift.live),
            Self::Event(event) => long(&event.why) + event.details.to_string().len(),
        }
    }

    pub(super) fn cells(&self) -> Vec<Cell> {
        match self {
            Self::Rollout(row) => rollout_cells(row),
            Self::Drift(drift) => drift_cells(drift),
            Self::Event(event) => event_cells(event),
        }
    }

    pub(super) fn read(table: Table, cells: Vec<Cell>) -> Result<Self, Unknown> {
        let cells = Cells(cells.into_iter());
        Ok(match table {
            Table::Rollouts => Self::Rollout(Box::new(rollout(cells)?)),
            Table::Drift => Self::Drift(Box::new(drift(cells)?)),
            Table::Events => Self::Event(Box::new(event(cells)?)),
        })
    }
}

/// The number by which records of one field and manager are found. Two fields may share one; they are compared then.
pub(super) fn field(drift: &DriftRecord) -> i64 {
    let DriftRecord { cluster, environment, object, uid, path, manager, .. } = drift;
    let parts = [cluster, environment.as_str(), &object.kind, &object.name, uid, path, manager];
    let hash = Hash::of(parts.join("\0").as_bytes());
    i64::from_le_bytes(hash.first_eight())
}

fn rollout_cells(row: &Row) -> Vec<Cell> {
    let RolloutRecord { app, digest, from, commit, outcome, started, ended, objects, by, why, secrets } =
        &row.record;
    let (began, at) = (started.as_millisecond(), ended.as_millisecond());
    let (began_text, at_text) = (began.to_string(), at.to_string());
    let mut parts = vec![
        row.environment.as_str(),
        app.as_str(),
        digest.as_str(),
        outcome.as_str(),
        &began_text,
        &at_text,
    ];
    // Older agents know no clusters, and have to give the same id.
    if !row.cluster.is_empty() {
        parts.push(&row.cluster);
    }
    let id = Digest::of_parts(parts);
    let commit = commit.as_ref();
    let secrets = Some(secrets).filter(|secrets| !secrets.is_empty());
    vec![
        Cell::text(id.as_str()),
        Cell::text(row.environment.as_str()),
        Cell::text(app.as_str()),
        Cell::text(digest.as_str()),
        from.as_ref().map(Digest::as_str).into(),
        commit.map(|commit| commit.revision.as_str()).into(),
        commit.map(|commit| commit.author.as_str()).into(),
        commit.map(|commit| commit.subject.as_str()).into(),
        Cell::text(outcome.as_str()),
        Cell::Number(began),
        Cell::Number(at),
        Cell::Number(i64::from(*objects)),
        by.as_deref().into(),
        why.as_deref().into(),
        secrets.and_then(|secrets| serde_json::to_string(secrets).ok()).as_deref().into(),
        Some(row.cluster.as_str()).filter(|cluster| !cluster.is_empty()).into(),
    ]
}

fn rollout(mut cells: Cells) -> Result<Row, Unknown> {
    cells.text()?;
    let environment = cells.environment()?;
    let (app, digest, from) = (cells.app()?, cells.text()?, cells.maybe());
    let (revision, author, subject) = (cells.maybe(), cells.maybe(), cells.maybe());
    let commit = revision.map(|revision| Commit {
        revision: Revision::new(revision),
        author: author.unwrap_or_default(),
        subject: subject.unwrap_or_default(),
    });
    let outcome = cells.text()?;
    let known = Outcome::ALL.into_iter().find(|known| known.as_str() == outcome);
    let record = RolloutRecord {
        app,
        digest: Digest::from(digest.as_str()),
        from: from.map(|digest| Digest::from(digest.as_str())),
        commit,
        outcome: known.ok_or_else(|| Unknown(format!("the outcome {outcome:?}")))?,
        started: cells.time()?,
        ended: cells.time()?,
        objects: u32::try_from(cells.number()?).unwrap_or(u32::MAX),
        by: cells.maybe(),
        why: cells.maybe(),
        secrets: cells.json::<BTreeMap<String, Box<str>>>()?.unwrap_or_default(),
    };
    Ok(Row { cluster: cells.maybe().unwrap_or_default(), environment, record })
}

fn drift_cells(drift: &DriftRecord) -> Vec<Cell> {
    let DriftRecord {
        id,
        cluster,
        environment,
        app,
        revision,
        object,
        uid,
        path,
        desired,
        live,
        class,
        cause,
        manager,
        operation,
        subresource,
        principal,
        first_seen,
        last_seen,
        count,
        action,
        rule,
        result,
        latency_ms,
        closed,
    } = drift;
    let who = principal.as_ref();
    let groups = who.filter(|who| !who.groups.is_empty());
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    vec![
        Cell::text(id.as_str()),
        Cell::Number(field(drift)),
        Cell::text(cluster),
        Cell::text(environment.as_str()),
        app.as_ref().map(AppName::as_str).into(),
        revision.as_ref().map(Revision::as_str).into(),
        Cell::text(&object.group),
        Cell::text(&object.kind),
        object.namespace.as_deref().into(),
        Cell::text(&object.name),
        Cell::text(uid),
        Cell::text(path),
        desired.as_deref().into(),
        live.as_deref().into(),
        Cell::text(class.as_str()),
        cause.as_deref().into(),
        Cell::text(manager),
        operation.map(DriftOperation::as_str).into(),
        subresource.as_deref().into(),
        who.map(|who| who.user.as_str()).into(),
        groups.and_then(|who| serde_json::to_string(&who.groups).ok()).as_deref().into(),
        who.and_then(|who| who.user_agent.as_deref()).into(),
        who.and_then(|who| who.source_address.as_deref()).into(),
        Cell::Number(first_seen.as_millisecond()),
        Cell::Number(last_seen.as_millisecond()),
        Cell::Number(number(*count)),
        Cell::text(action.as_str()),
        rule.as_deref().into(),
        result.as_deref().into(),
        latency_ms.map(number).into(),
        closed.map(Timestamp::as_millisecond).into(),
    ]
}

fn drift(mut cells: Cells) -> Result<DriftRecord, Unknown> {
    let id = RecordId::known(&cells.text()?);
    cells.number()?;
    let (cluster, environment, app) = (cells.text()?, cells.environment()?, cells.maybe_app()?);
    let revision = cells.maybe().map(Revision::new);
    let (group, kind, namespace, name) = (cells.text()?, cells.text()?, cells.maybe(), cells.text()?);
    Ok(DriftRecord {
        id,
        cluster,
        environment,
        app,
        revision,
        object: ObjectKey::new(&group, &kind, namespace.as_deref(), &name),
        uid: cells.text()?,
        path: cells.text()?,
        desired: cells.maybe(),
        live: cells.maybe(),
        class: cells.word("class", DriftClass::of)?,
        cause: cells.maybe(),
        manager: cells.text()?,
        operation: match cells.maybe() {
            Some(word) => {
                Some(DriftOperation::of(&word).ok_or_else(|| Unknown(format!("the operation {word:?}")))?)
            }
            None => None,
        },
        subresource: cells.maybe(),
        principal: {
            let (user, groups) = (cells.maybe(), cells.json()?);
            let (user_agent, source_address) = (cells.maybe(), cells.maybe());
            user.map(|user| Principal {
                user,
                groups: groups.unwrap_or_default(),
                user_agent,
                source_address,
            })
        },
        first_seen: cells.time()?,
        last_seen: cells.time()?,
        count: u64::try_from(cells.number()?).unwrap_or(0),
        action: cells.word("action", DriftAction::of)?,
        rule: cells.maybe(),
        result: cells.maybe(),
        latency_ms: cells.maybe_number().and_then(|latency| u64::try_from(latency).ok()),
        closed: cells.maybe_number().and_then(|closed| Timestamp::from_millisecond(closed).ok()),
    })
}

fn event_cells(event: &TimelineEvent) -> Vec<Cell> {
    let TimelineEvent { id, kind, cluster, environment, app, object, who, why, at, details } = event;
    let object = object.as_ref();
    let details = Some(details).filter(|details| !details.is_null());
    vec![
        Cell::text(id.as_str()),
        Cell::text(kind.as_str()),
        Cell::text(cluster),
        Cell::text(environment.as_str()),
        app.as_ref().map(AppName::as_str).into(),
        object.map(|object| &*object.group).into(),
        object.map(|object| &*object.kind).into(),
        object.and_then(|object| object.namespace.as_deref()).into(),
        object.map(|object| &*object.name).into(),
        who.as_deref().into(),
        why.as_deref().into(),
        Cell::Number(at.as_millisecond()),
        details.map(ToString::to_string).as_deref().into(),
    ]
}

fn event(mut cells: Cells) -> Result<TimelineEvent, Unknown> {
    Ok(TimelineEvent {
        id: RecordId::known(&cells.text()?),
        kind: cells.word("event", EventKind::of)?,
        cluster: cells.text()?,
        environment: cells.environment()?,
        app: cells.maybe_app()?,
        object: {
            let (group, kind) = (cells.maybe(), cells.maybe());
            let (namespace, name) = (cells.maybe(), cells.maybe());
            kind.zip(name).map(|(kind, name)| {
                ObjectKey::new(&group.unwrap_or_default(), &kind, namespace.as_deref(), &name)
            })
        },
        who: cells.maybe(),
        why: cells.maybe(),
        at: cells.time()?,
        details: cells.json()?.unwrap_or_default(),
    })
}

/// The cells of a row, taken one after the other in the order of the columns.
struct Cells(IntoIter<Cell>);

impl Cells {
    fn maybe(&mut self) -> Option<String> {
        if let Some(Cell::Text(text)) = self.0.next() { Some(text) } else { None }
    }

    fn maybe_number(&mut self) -> Option<i64> {
        self.0.next().and_then(|cell| cell.number())
    }

    fn text(&mut self) -> Result<String, Unknown> {
        self.maybe().ok_or_else(|| Unknown("nothing where a text belongs".to_owned()))
    }

    fn number(&mut self) -> Result<i64, Unknown> {
        self.maybe_number().ok_or_else(|| Unknown("nothing where a number belongs".to_owned()))
    }

    fn time(&mut self) -> Result<Timestamp, Unknown> {
        let milliseconds = self.number()?;
        Timestamp::from_millisecond(milliseconds).map_err(|error| Unknown(error.to_string()))
    }

    fn environment(&mut self) -> Result<EnvironmentName, Unknown> {
        EnvironmentName::new(&self.text()?).map_err(|error| Unknown(error.to_string()))
    }

    fn app(&mut self) -> Result<AppName, Unknown> {
        AppName::new(&self.text()?).map_err(|error| Unknown(error.to_string()))
    }

    fn maybe_app(&mut self) -> Result<Option<AppName>, Unknown> {
        let app = self.maybe().map(|app| AppName::new(&app)).transpose();
        app.map_err(|error| Unknown(error.to_string()))
    }

    fn word<T>(&mut self, what: &str, of: impl Fn(&str) -> Option<T>) -> Result<T, Unknown> {
        let word = self.text()?;
        of(&word).ok_or_else(|| Unknown(format!("the {what} {word:?}")))
    }

    fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Unknown> {
        let read = self.maybe().map(|text| serde_json::from_str(&text)).transpose();
        read.map_err(|_| Unknown("JSON that cannot be read".to_owned()))
    }
}
