//! A database that is open: SQLite by one connection, PostgreSQL by a small pool. What differs between the two is here and
//! in `partitions`; the rest asks both by the same texts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{
    ConnectOptions, Connection as _, Executor, PgConnection, Postgres, SqlSafeStr, Sqlite, SqliteConnection,
    Transaction,
};

use super::connection::{Cell, Connection, Kind};
use super::place::{self, Place};
use super::rows::Table;

/// Somebody who reads holds up a writer for no longer.
const BUSY: Duration = Duration::from_secs(5);
/// No statement and no wait for a lock takes longer in the server, which ends it and what it locked.
const SESSION: &str = "SET statement_timeout = '15s'; SET lock_timeout = '5s'; \
                       SET idle_in_transaction_session_timeout = '30s'; SET timezone = 'UTC'";
/// A server that does not answer is given up after this long.
const ACQUIRE: Duration = Duration::from_secs(10);
/// A connection that nobody uses goes.
const IDLE: Duration = Duration::from_secs(600);
const LIFETIME: Duration = Duration::from_secs(1800);
/// Two processes that make the same file at once get into each other's way; SQLite has no lock for it.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// Of our own, so that another program in the same database is not in the way.
const POSTGRES_MIGRATIONS: &str = "fairlead_history_migrations";
const SQLITE_MIGRATIONS: &str = "_sqlx_migrations";

/// Keys of advisory locks, of two numbers: the first is ours.
pub(super) const LOCKS: i32 = 0x4641_4952;
/// Whoever writes holds it shared, whoever closes a day alone.
pub(super) const LOCK_DAYS: i32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the history {place} cannot be opened")]
    Open { place: Place, source: sqlx::Error },
    #[error("the password file of the history {place} cannot be read")]
    Password { place: Place, source: io::Error },
    #[error("the history {place} cannot be brought to this version's form")]
    Migrate { place: Place, source: MigrateError },
    #[error("the history {place} cannot be written")]
    Write { place: Place, source: sqlx::Error },
    #[error("the history {place} did not answer in time")]
    Time { place: Place },
    #[error("the history {place} cannot be read")]
    Read { place: Place, source: sqlx::Error },
}

pub(super) struct Store {
    pub place: Place,
    backend: Backend,
    /// The version of its schema, where that is newer than the one that is known here.
    pub newer: Option<i64>,
    /// The months, by their first days, of which the partitions are known to be there.
    pub months: BTreeSet<i64>,
    /// The columns that its tables have, where it was opened to be read, and may be older.
    has: Option<BTreeMap<&'static str, Vec<String>>>,
}

enum Backend {
    Sqlite(Box<SqliteConnection>),
    Postgres(PgPool),
}

/// A connection as long as somebody needs it.
pub(super) enum Lent<'s> {
    Sqlite(&'s mut SqliteConnection),
    Postgres(PoolConnection<Postgres>),
}

impl Lent<'_> {
    pub fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            Self::Postgres(connection) => Connection::Postgres(connection),
        }
    }
}

/// What is not committed is rolled back.
pub(super) enum Changes<'s> {
    Sqlite(Transaction<'s, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Changes<'_> {
    pub fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(transaction) => Connection::Sqlite(transaction),
            Self::Postgres(transaction) => Connection::Postgres(transaction),
        }
    }

    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

impl Store {
    /// Opens it, or makes it, and brings it to this version's form.
    pub async fn open(place: &Place) -> Result<Self, HistoryError> {
        let open = |source| HistoryError::Open { place: place.clone(), source };
        let migrate = |source| HistoryError::Migrate { place: place.clone(), source };
        let migrator = migrations(place);
        let (backend, newest) = match place.kind() {
            place::Kind::File(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(BUSY)
                    .disable_statement_logging();
                let mut connection = SqliteConnection::connect_with(&options).await.map_err(open)?;
                let newest = migrate_file(&mut connection, &migrator).await.map_err(migrate)?;
                (Backend::Sqlite(Box::new(connection)), newest)
            }
            place::Kind::Server(server) => {
                let options = server.options();
                let options =
                    options.map_err(|source| HistoryError::Password { place: place.clone(), source })?;
                let pool = pool(options).await.map_err(open)?;
                let mut connection = pool.acquire().await.map_err(open)?;
                let newest = migrate_server(&mut connection, &migrator).await.map_err(migrate)?;
                (Backend::Postgres(pool), newest)
            }
        };
        let newer = newest.filter(|newest| !migrator.version_exists(*newest));
        Ok(Self { place: place.clone(), backend, newer, months: BTreeSet::new(), has: None })
    }

    /// Opens one that there is, and changes nothing.
    pub async fn open_to_read(place: &Place) -> Result<Self, HistoryError> {
        let open = |source| HistoryError::Open { place: place.clone(), source };
        let backend = match place.kind() {
            place::Kind::File(path) => {
                let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
                let options = options.disable_statement_logging();
                Backend::Sqlite(Box::new(SqliteConnection::connect_with(&options).await.map_err(open)?))
            }
            place::Kind::Server(server) => {
                let options = server.options();
                let options =
                    options.map_err(|source| HistoryError::Password { place: place.clone(), source })?;
                Backend::Postgres(pool(options).await.map_err(open)?)
            }
        };
        let mut store =
            Self { place: place.clone(), backend, newer: None, months: BTreeSet::new(), has: None };
        let has = store.columns().await;
        store.has = Some(has.map_err(|source| HistoryError::Read { place: place.clone(), source })?);
        Ok(store)
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    pub async fn lend(&mut self) -> Result<Lent<'_>, sqlx::Error> {
        Ok(match &mut self.backend {
            Backend::Sqlite(connection) => Lent::Sqlite(connection),
            Backend::Postgres(pool) => Lent::Postgres(pool.acquire().await?),
        })
    }

    pub async fn begin(&mut self) -> Result<Changes<'_>, sqlx::Error> {
        Ok(match &mut self.backend {
            // One that begins as a reader cannot become a writer when somebody else wrote meanwhile.
            Backend::Sqlite(connection) => Changes::Sqlite(connection.begin_with("BEGIN IMMEDIATE").await?),
            Backend::Postgres(pool) => Changes::Postgres(pool.begin().await?),
        })
    }

    pub async fn close(self) {
        match self.backend {
            Backend::Sqlite(connection) => drop(connection.close().await),
            Backend::Postgres(pool) => pool.close().await,
        }
    }

    /// Whether there is such a table; one that an older agent made may lack it.
    pub fn has_table(&self, table: Table) -> bool {
        self.has.as_ref().is_none_or(|has| has.get(table.name()).is_some_and(|columns| !columns.is_empty()))
    }

    /// What to select so that a row has all columns that are known here, whoever made the table.
    pub fn selection(&self, table: Table) -> String {
        let has = |name: &str| {
            let columns = self.has.as_ref().and_then(|has| has.get(table.name()));
            columns.is_none_or(|columns| columns.iter().any(|column| column == name))
        };
        let names = table.names();
        let mut selected = Vec::with_capacity(names.len());
        for name in names {
            selected.push(if has(name) { name } else { "NULL" });
        }
        selected.join(", ")
    }

    async fn columns(&mut self) -> Result<BTreeMap<&'static str, Vec<String>>, sqlx::Error> {
        let mut lent = self.lend().await?;
        let mut connection = lent.connection();
        let sql = if connection.is_postgres() {
            "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
        } else {
            "SELECT name FROM pragma_table_info($1)"
        };
        let mut has = BTreeMap::new();
        for table in Table::ALL {
            let rows = connection.fetch(sql, &[Cell::text(table.name())], &[Kind::Text]).await?;
            let names = rows.iter().filter_map(|row| row[0].as_text().map(str::to_owned));
            has.insert(table.name(), names.collect());
        }
        Ok(has)
    }
}

async fn pool(options: PgConnectOptions) -> Result<PgPool, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(IDLE)
        .max_lifetime(LIFETIME)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(SESSION).await.map(drop) }));
    // What is wrong with the server is told as it is, and not as a pool that has no connection to give.
    let first = tokio::time::timeout(ACQUIRE, PgConnection::connect_with(&options)).await;
    first.map_err(|_| sqlx::Error::PoolTimedOut)??.close().await?;
    Ok(pool.connect_lazy_with(options))
}

fn migrations(place: &Place) -> Migrator {
    let list: &[(i64, &'static str, &'static str)] = match place.kind() {
        place::Kind::File(_) => &[
            (1, "rollouts", include_str!("migrations/sqlite/0001_rollouts.sql")),
            (2, "secrets", include_str!("migrations/sqlite/0002_secrets.sql")),
            (3, "time line", include_str!("migrations/sqlite/0003_time_line.sql")),
        ],
        place::Kind::Server(_) => &[(1, "time line", include_str!("migrations/postgres/0001_time_line.sql"))],
    };
    let simple = |(version, name, text): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(list.iter().map(simple).collect());
    // A newer agent may have written here before.
    migrator.set_ignore_missing(true);
    if let place::Kind::Server(_) = place.kind() {
        migrator.dangerous_set_table_name(POSTGRES_MIGRATIONS);
    }
    migrator
}

/// Brings a file to this version's form, and says which version it has then.
async fn migrate_file(
    connection: &mut SqliteConnection,
    migrator: &Migrator,
) -> Result<Option<i64>, MigrateError> {
    let mut tries = 1;
    while let Err(error) = migrator.run_direct(None, connection, false).await {
        if tries == TRIES {
            return Err(error);
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(newest(Connection::Sqlite(connection), SQLITE_MIGRATIONS).await?)
}

/// Brings a server to this version's form, and says which version it has then. Several may do so at once: they wait for
/// each other by an advisory lock. Where nothing is to be done nothing is locked, and no right to make tables is needed.
async fn migrate_server(
    connection: &mut PgConnection,
    migrator: &Migrator,
) -> Result<Option<i64>, MigrateError> {
    let exists = "SELECT count(*) FROM pg_class WHERE oid = to_regclass($1)";
    let table = [Cell::text(POSTGRES_MIGRATIONS)];
    let mut applied = Vec::new();
    if Connection::Postgres(connection).number(exists, &table).await? == Some(1) {
        let list = format!("SELECT version FROM {POSTGRES_MIGRATIONS} WHERE success");
        let rows = Connection::Postgres(connection).fetch(&list, &[], &[Kind::Number]).await?;
        applied = rows.iter().filter_map(|row| row[0].number()).collect();
    }
    if !migrator.iter().all(|migration| applied.contains(&migration.version)) {
        migrator.run_direct(None, connection, false).await?;
    }
    Ok(newest(Connection::Postgres(connection), POSTGRES_MIGRATIONS).await?)
}

async fn newest(mut connection: Connection<'_>, table: &str) -> Result<Option<i64>, sqlx::Error> {
    connection.number(&format!("SELECT MAX(version) FROM {table}"), &[]).await
}
