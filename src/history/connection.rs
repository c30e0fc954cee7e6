//! One way to ask either database: texts of SQL that both understand, and cells.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, SqliteConnection};

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Bytes,
}

impl Cell {
    /// A text, but for the NUL characters that PostgreSQL refuses: a container's last words may have them.
    pub fn text(text: &str) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() })
    }

    pub fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }
}

impl From<Option<i64>> for Cell {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Number)
    }
}

/// A connection that somebody else keeps.
pub(super) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// Binds cells in their order. A macro, for the two kinds of query have no trait in common.
macro_rules! bind {
    ($query:expr, $cells:expr) => {{
        let mut query = $query;
        for cell in $cells {
            query = match cell {
                Cell::Null => query.bind(None::<String>),
                Cell::Number(number) => query.bind(*number),
                Cell::Text(text) => query.bind(text.as_str()),
                Cell::Bytes(bytes) => query.bind(bytes.as_slice()),
            };
        }
        query
    }};
}

macro_rules! cells {
    ($row:expr, $kinds:expr) => {{
        let mut cells = Vec::with_capacity($kinds.len());
        for (at, kind) in $kinds.iter().enumerate() {
            cells.push(match kind {
                Kind::Number => $row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Number),
                Kind::Text => $row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
                Kind::Bytes => $row.try_get::<Option<Vec<u8>>, _>(at)?.map_or(Cell::Null, Cell::Bytes),
            });
        }
        Ok(cells)
    }};
}

impl Connection<'_> {
    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Executes a statement and says how many rows it changed. The text is made of our own words; values are arguments.
    pub async fn execute(&mut self, sql: &str, arguments: &[Cell]) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                let query = bind!(sqlx::query::<sqlx::Sqlite>(AssertSqlSafe(sql)), arguments);
                query.execute(&mut **connection).await.map(|done| done.rows_affected())
            }
            Self::Postgres(connection) => {
                let query = bind!(sqlx::query::<sqlx::Postgres>(AssertSqlSafe(sql)), arguments);
                query.execute(&mut **connection).await.map(|done| done.rows_affected())
            }
        }
    }

    /// Fetches rows, of which each column is of the kind that is said.
    pub async fn fetch(
        &mut self,
        sql: &str,
        arguments: &[Cell],
        kinds: &[Kind],
    ) -> Result<Vec<Vec<Cell>>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                let query = bind!(sqlx::query::<sqlx::Sqlite>(AssertSqlSafe(sql)), arguments);
                let rows = query.fetch_all(&mut **connection).await?;
                rows.iter().map(|row| of_sqlite(row, kinds)).collect()
            }
            Self::Postgres(connection) => {
                let query = bind!(sqlx::query::<sqlx::Postgres>(AssertSqlSafe(sql)), arguments);
                let rows = query.fetch_all(&mut **connection).await?;
                rows.iter().map(|row| of_postgres(row, kinds)).collect()
            }
        }
    }

    /// The one number that a statement asks for, if there is one.
    pub async fn number(&mut self, sql: &str, arguments: &[Cell]) -> Result<Option<i64>, sqlx::Error> {
        let rows = self.fetch(sql, arguments, &[Kind::Number]).await?;
        Ok(rows.first().and_then(|row| row[0].number()))
    }
}

pub(super) fn of_sqlite(row: &SqliteRow, kinds: &[Kind]) -> Result<Vec<Cell>, sqlx::Error> {
    cells!(row, kinds)
}

pub(super) fn of_postgres(row: &PgRow, kinds: &[Kind]) -> Result<Vec<Cell>, sqlx::Error> {
    cells!(row, kinds)
}
