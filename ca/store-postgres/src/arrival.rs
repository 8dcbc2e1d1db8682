//! An empty ledger that another engine's content comes into, in one transaction.

use std::fmt::Write as _;

use async_trait::async_trait;
use ca_core::ports::{
    store::StoreResult,
    transfer::{Cell, Kind, LedgerTarget, ReadTables, Row, Table, check_schema},
};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row as _, postgres::PgRow};

use crate::{
    failure::Failure,
    schema::{self, OpenError},
    server::{Server, Use},
    writer::BEGIN,
};

/// Tables whose rows the database numbers.
const NUMBERED: [&str; 4] = ["certificates", "logins", "approvals", "outbox"];

/// The ledger while it is filled. Nodes that were started on it already can't write meanwhile. Dropped before its commit,
/// it is empty again.
#[derive(Debug)]
pub struct Arrival {
    connection: PgConnection,
}

impl Arrival {
    /// Begins.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(server: &Server) -> Result<Self, OpenError> {
        schema::check(server).await?;
        let unusable = |source| OpenError::Unusable { server: server.clone(), source };
        let mut connection = schema::connect(server, Use::Maintenance).await.map_err(unusable)?;
        if let Some(role) = lacking(&mut connection).await.map_err(unusable)? {
            return Err(OpenError::NotOwner { server: server.clone(), role });
        }
        // Not sqlx's transaction: the connection is all that this has, and it is committed or dropped.
        connection.execute(BEGIN).await.map_err(unusable)?;
        let found = tables(&mut connection).await.map_err(unusable)?;
        check_schema(&found).map_err(|what| unusable(sqlx::Error::Decode(what.into())))?;
        Ok(Self { connection })
    }
}

/// The role that is connected, where it may add rows and not set from which number on they are numbered: a node's.
async fn lacking(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT current_user::text WHERE NOT
         (SELECT bool_and(has_sequence_privilege(pg_get_serial_sequence(name, 'id'), 'UPDATE')) FROM unnest($1) name)",
    )
    .bind(NUMBERED.as_slice())
    .fetch_optional(connection)
    .await
}

/// The tables of the schema with their columns.
async fn tables(connection: &mut PgConnection) -> Result<Vec<(String, Vec<String>)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT table_name::text, array_agg(column_name::text) FROM information_schema.columns
         WHERE table_schema = current_schema() GROUP BY table_name",
    )
    .fetch_all(connection)
    .await
}

#[async_trait]
impl ReadTables for Arrival {
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
impl LedgerTarget for Arrival {
    async fn insert(&mut self, table: &'static Table, rows: &[Row]) -> StoreResult<()> {
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let statement = format!("COPY {} ({}) FROM STDIN", table.name, names.join(", "));
        let mut copy = self.connection.copy_in_raw(&statement).await.map_err(Failure::from)?;
        copy.send(text(rows).into_bytes()).await.map_err(Failure::from)?;
        copy.finish().await.map_err(Failure::from)?;
        Ok(())
    }

    async fn commit(&mut self) -> StoreResult<()> {
        // Numbers that the database gives out go on after those that came.
        for table in NUMBERED {
            let statement = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce(max(id), 0) + 1, false) FROM {table}"
            );
            self.connection.execute(AssertSqlSafe(statement)).await.map_err(Failure::from)?;
        }
        self.connection.execute("COMMIT").await.map_err(Failure::from)?;
        // Without statistics the first queries would be planned for empty tables.
        if let Err(error) = self.connection.execute("ANALYZE").await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the new tables couldn't be analysed");
        }
        Ok(())
    }
}

/// A page of a table; its names are the program's own.
fn select(table: &Table, goes_on: bool, limit: u32) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(
            |(name, kind)| {
                if *kind == Kind::Integer { format!("{name}::bigint") } else { (*name).to_owned() }
            },
        )
        .collect();
    let key: Vec<&str> = table.columns[..table.key].iter().map(|(name, _)| *name).collect();
    let placeholders: Vec<String> = (1..=table.key).map(|n| format!("${n}")).collect();
    let (columns, key) = (columns.join(", "), key.join(", "));
    let condition =
        if goes_on { format!("WHERE ({key}) > ({})", placeholders.join(", ")) } else { String::new() };
    format!("SELECT {columns} FROM {} {condition} ORDER BY {key} LIMIT {limit}", table.name)
}

fn cells(table: &Table, row: &PgRow) -> Result<Row, sqlx::Error> {
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

/// Rows as COPY takes them: a line each, tabs in between, backslashes before what would be mistaken.
fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                text.push('\t');
            }
            put(&mut text, cell);
        }
        text.push('\n');
    }
    text
}

fn put(text: &mut String, cell: &Cell) {
    // Writing to a String doesn't fail.
    let _ = match cell {
        Cell::Missing => text.write_str("\\N"),
        Cell::Integer(number) => write!(text, "{number}"),
        Cell::Flag(flag) => text.write_char(if *flag { 't' } else { 'f' }),
        Cell::Octets(octets) => {
            text.push_str("\\\\x");
            octets.iter().try_for_each(|octet| write!(text, "{octet:02x}"))
        }
        Cell::Text(value) => value.chars().try_for_each(|character| match character {
            '\\' => text.write_str("\\\\"),
            '\n' => text.write_str("\\n"),
            '\r' => text.write_str("\\r"),
            '\t' => text.write_str("\\t"),
            other => text.write_char(other),
        }),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn awkward_values_are_escaped_for_copy() {
        let row = vec![
            Cell::Text("a\tb\\c\nd\re".to_owned()),
            Cell::Octets(vec![0, 0x5c, 0xff]),
            Cell::Missing,
            Cell::Flag(true),
            Cell::Integer(-1),
        ];
        assert_eq!(text(&[row]), "a\\tb\\\\c\\nd\\re\t\\\\x005cff\t\\N\tt\t-1\n");
    }
}
