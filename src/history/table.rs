use std::time::Duration;

use jiff::Timestamp;
use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row as _, SqlSafeStr, SqliteConnection};

use super::Place;
use crate::object::{AppName, Commit, Digest, EnvironmentName, Outcome, Record, Revision};

/// Somebody who reads holds up a writer for no longer.
const BUSY: Duration = Duration::from_secs(5);
/// "Over a year" is what an audit asks for.
const KEPT_DAYS: i64 = 400;
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// One rollout of an app of an environment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    pub environment: EnvironmentName,
    #[serde(flatten)]
    pub record: Record,
}

/// Which rows are wanted.
#[derive(Clone, Debug)]
pub struct Query {
    pub environment: EnvironmentName,
    pub app: Option<AppName>,
    pub limit: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the history {place} cannot be opened")]
    Open { place: Place, source: sqlx::Error },
    #[error("the history {place} cannot be brought to this version's form")]
    Migrate { place: Place, source: MigrateError },
    #[error("the history {place} cannot be written")]
    Write { place: Place, source: sqlx::Error },
    #[error("the history {place} cannot be read")]
    Read { place: Place, source: sqlx::Error },
}

pub(super) struct Table {
    place: Place,
    connection: SqliteConnection,
}

impl Table {
    /// Opens it, or makes it; what is older than it is kept goes.
    pub async fn open(place: &Place) -> Result<Self, HistoryError> {
        let options = SqliteConnectOptions::new()
            .filename(place.path())
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY);
        let mut table = Self::connect(place, options).await?;
        let migrated = migrations().run_direct(None, &mut table.connection, false).await;
        migrated.map_err(|source| HistoryError::Migrate { place: place.clone(), source })?;
        let oldest = Timestamp::now().as_millisecond() - KEPT_DAYS * DAY_MILLISECONDS;
        let dropped = sqlx::query("DELETE FROM rollouts WHERE ended < $1").bind(oldest);
        let dropped = dropped.execute(&mut table.connection).await;
        dropped.map_err(|source| HistoryError::Write { place: place.clone(), source })?;
        Ok(table)
    }

    /// Opens one that there is, and changes nothing.
    pub async fn open_to_read(place: &Place) -> Result<Self, HistoryError> {
        let options = SqliteConnectOptions::new().filename(place.path()).read_only(true).busy_timeout(BUSY);
        Self::connect(place, options).await
    }

    async fn connect(place: &Place, options: SqliteConnectOptions) -> Result<Self, HistoryError> {
        let options = options.disable_statement_logging();
        match SqliteConnection::connect_with(&options).await {
            Ok(connection) => Ok(Self { place: place.clone(), connection }),
            Err(source) => Err(HistoryError::Open { place: place.clone(), source }),
        }
    }

    /// Writes rows, all or none. One that is there already is not written twice.
    pub async fn put(&mut self, rows: &[Row]) -> Result<(), HistoryError> {
        let place = self.place.clone();
        let written = async {
            let mut transaction = self.connection.begin().await?;
            for row in rows {
                insert(&mut transaction, row).await?;
            }
            transaction.commit().await
        };
        written.await.map_err(|source| HistoryError::Write { place, source })
    }

    pub async fn rows(&mut self, query: &Query) -> Result<Vec<Row>, HistoryError> {
        let found = sqlx::query(
            "SELECT * FROM rollouts WHERE environment = $1 AND ($2 IS NULL OR app = $2) \
             ORDER BY ended DESC, id LIMIT $3",
        )
        .bind(query.environment.as_str())
        .bind(query.app.as_ref().map(AppName::as_str))
        .bind(i64::from(query.limit))
        .fetch_all(&mut self.connection)
        .await;
        let rows = found.and_then(|found| found.iter().map(read).collect());
        rows.map_err(|source| HistoryError::Read { place: self.place.clone(), source })
    }
}

fn migrations() -> Migrator {
    let first = include_str!("migrations/0001_rollouts.sql");
    let second = include_str!("migrations/0002_secrets.sql");
    let simple = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    let mut migrator =
        Migrator::with_migrations(vec![simple(1, "rollouts", first), simple(2, "secrets", second)]);
    // A newer agent may have written here before.
    migrator.set_ignore_missing(true);
    migrator
}

async fn insert(connection: &mut SqliteConnection, row: &Row) -> Result<(), sqlx::Error> {
    let Record { app, digest, from, commit, outcome, started, ended, objects, by, why, secrets } =
        &row.record;
    let (began, at) = (started.as_millisecond(), ended.as_millisecond());
    let id = Digest::of_parts([
        row.environment.as_str(),
        app.as_str(),
        digest.as_str(),
        outcome.as_str(),
        &began.to_string(),
        &at.to_string(),
    ]);
    let commit = commit.as_ref();
    sqlx::query(
        "INSERT INTO rollouts (id, environment, app, digest, from_digest, revision, author, subject, outcome, \
         started, ended, objects, by_whom, why, secrets) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(row.environment.as_str())
    .bind(app.as_str())
    .bind(digest.as_str())
    .bind(from.as_ref().map(Digest::as_str))
    .bind(commit.map(|commit| commit.revision.as_str()))
    .bind(commit.map(|commit| commit.author.as_str()))
    .bind(commit.map(|commit| commit.subject.as_str()))
    .bind(outcome.as_str())
    .bind(began)
    .bind(at)
    .bind(i64::from(*objects))
    .bind(by.as_deref())
    .bind(why.as_deref())
    .bind(Some(secrets).filter(|secrets| !secrets.is_empty()).and_then(|secrets| serde_json::to_string(secrets).ok()))
    .execute(connection)
    .await
    .map(drop)
}

fn read(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let odd = |what: String| sqlx::Error::Decode(what.into());
    let name = |column: &str| row.try_get::<String, _>(column);
    let time = |column: &str| {
        let milliseconds = row.try_get::<i64, _>(column)?;
        Timestamp::from_millisecond(milliseconds).map_err(|error| odd(error.to_string()))
    };
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let outcome = name("outcome")?;
    let known = Outcome::ALL.into_iter().find(|known| known.as_str() == outcome);
    let commit = match text("revision")? {
        Some(revision) => Some(Commit {
            revision: Revision::new(revision),
            author: text("author")?.unwrap_or_default(),
            subject: text("subject")?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(Row {
        environment: EnvironmentName::new(&name("environment")?).map_err(|error| odd(error.to_string()))?,
        record: Record {
            app: AppName::new(&name("app")?).map_err(|error| odd(error.to_string()))?,
            digest: Digest::from(name("digest")?.as_str()),
            from: text("from_digest")?.map(|digest| Digest::from(digest.as_str())),
            commit,
            outcome: known.ok_or_else(|| odd(format!("a newer Fairlead wrote the outcome {outcome:?}")))?,
            started: time("started")?,
            ended: time("ended")?,
            objects: u32::try_from(row.try_get::<i64, _>("objects")?).unwrap_or(u32::MAX),
            by: text("by_whom")?,
            why: text("why")?,
            // An older agent made this table, where the column is not there.
            secrets: match text("secrets") {
                Ok(secrets) => serde_json::from_str(&secrets.unwrap_or_default()).unwrap_or_default(),
                Err(sqlx::Error::ColumnNotFound(_)) => BTreeMap::new(),
                Err(error) => return Err(error),
            },
        },
    })
}
