//! A ledger that is about to be left for another engine: read table by table, with nobody else at it.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use ca_core::ports::{
    store::StoreResult,
    transfer::{Cell, Kind, LedgerSource, ReadTables, Row, Table, check_schema},
};
use jiff::Timestamp;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, Row as _, SqliteConnection,
    sqlite::{SqliteLockingMode, SqliteRow},
};

use crate::{
    failure::Failure,
    schema::{self, OpenError},
};

/// Another process has a moment to end its work.
const PATIENCE: Duration = Duration::from_secs(2);
/// Primary result code: somebody else has the database open.
const SQLITE_BUSY: i32 = 5;

/// The ledger, open to nobody else. Dropped without a mark, it is as it was.
#[derive(Debug)]
pub struct Departure {
    connection: SqliteConnection,
}

impl Departure {
    /// Takes the ledger for itself.
    ///
    /// # Errors
    /// [`OpenError`]; `InUse` when a node or an operator's command has it open.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let options = schema::connect_options(path, PATIENCE);
        schema::check(path, &options).await?;
        let refused = |source: sqlx::Error| {
            let path = path.to_owned();
            if is_busy(&source) { OpenError::InUse { path } } else { OpenError::Unreadable { path, source } }
        };
        // With WAL, whoever has a database open shares its lock as long as that lasts.
        let options = options.locking_mode(SqliteLockingMode::Exclusive);
        let mut connection = options.connect().await.map_err(refused)?;
        connection.execute("BEGIN IMMEDIATE").await.map_err(refused)?;
        let found = tables(&mut connection).await.map_err(refused)?;
        check_schema(&found).map_err(|what| {
            let source = sqlx::Error::Decode(what.into());
            OpenError::Unreadable { path: path.to_owned(), source }
        })?;
        Ok(Self { connection })
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

/// The tables of the schema with their columns.
async fn tables(connection: &mut SqliteConnection) -> Result<Vec<(String, Vec<String>)>, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' ORDER BY t.name",
    )
    .fetch_all(connection)
    .await?;
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for (table, column) in rows {
        match tables.last_mut() {
            Some((last, columns)) if *last == table => columns.push(column),
            _ => tables.push((table, vec![column])),
        }
    }
    Ok(tables)
}

#[async_trait]
impl ReadTables for Departure {
    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> StoreResult<Vec<Row>> {
        let mut query = sqlx::query(AssertSqlSafe(select(table, after.is_some(), limit)));
        for cell in after.unwrap_or_default() {
            query = match cell {
                Cell::Missing => query.bind(None::<i64>),
                Cell::Integer(number) => query.bind(*number),
                Cell::Flag(flag) => query.bind(*flag),
                Cell::Text(text) => query.bind(text.as_str()),
                Cell::Octets(octets) => query.bind(octets.as_slice()),
            };
        }
        let rows = query.fetch_all(&mut self.connection).await.map_err(Failure::from)?;
        Ok(rows
            .iter()
            .map(|row| cells(table, row))
            .collect::<Result<_, sqlx::Error>>()
            .map_err(Failure::from)?)
    }
}

#[async_trait]
impl LedgerSource for Departure {
    async fn mark_moved(&mut self, destination: &str, at: Timestamp) -> StoreResult<()> {
        let at = at.as_millisecond();
        sqlx::query("INSERT INTO moved (destination, at) VALUES ($1, $2)")
            .bind(destination)
            .bind(at)
            .execute(&mut self.connection)
            .await
            .map_err(Failure::from)?;
        self.connection.execute("COMMIT").await.map_err(Failure::from)?;
        Ok(())
    }
}

/// A page of a table; its names are the program's own.
fn select(table: &Table, goes_on: bool, limit: u32) -> String {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let (columns, key) = (names.join(", "), names[..table.key].join(", "));
    let placeholders: Vec<String> = (1..=table.key).map(|n| format!("${n}")).collect();
    let condition =
        if goes_on { format!("WHERE ({key}) > ({})", placeholders.join(", ")) } else { String::new() };
    format!("SELECT {columns} FROM {} {condition} ORDER BY {key} LIMIT {limit}", table.name)
}

fn cells(table: &Table, row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let cell = |(index, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Integer => row.try_get::<Option<i64>, _>(index)?.map(Cell::Integer),
            Kind::Flag => row.try_get::<Option<bool>, _>(index)?.map(Cell::Flag),
            Kind::Text => row.try_get::<Option<String>, _>(index)?.map(Cell::Text),
            Kind::Octets => row.try_get::<Option<Vec<u8>>, _>(index)?.map(Cell::Octets),
        }
        .unwrap_or(Cell::Missing))
    };
    table.columns.iter().enumerate().map(cell).collect()
}
