//! The ledger as tables, to be moved from one engine to another: rows as they are kept, whatever they mean.

mod tables;

use async_trait::async_trait;
use jiff::Timestamp;

pub use tables::{NOT_MOVED, TABLES};

use super::store::StoreResult;

/// What a column holds. All may be missing where the schema lets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signed number of 64 bits.
    Integer,
    /// Yes or no.
    Flag,
    /// Text without NUL.
    Text,
    /// Octets.
    Octets,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// None.
    Missing,
    /// Of [`Kind::Integer`].
    Integer(i64),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Text`].
    Text(String),
    /// Of [`Kind::Octets`].
    Octets(Vec<u8>),
}

/// A table of the ledger, the same in every engine.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How many columns, from the first, make its primary key.
    pub key: usize,
    /// Its columns with what they hold, the key's first.
    pub columns: &'static [(&'static str, Kind)],
}

/// A table's values in the order of its columns.
pub type Row = Vec<Cell>;

/// Rows in the order of their keys.
#[async_trait]
pub trait ReadTables: Send {
    /// At most `limit` rows with a key after `after`, which has a cell for each column of the key.
    async fn page(
        &mut self,
        table: &'static Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> StoreResult<Vec<Row>>;
}

/// A ledger that is left. Nobody else can use it while this lives.
#[async_trait]
pub trait LedgerSource: ReadTables {
    /// From now on no node starts on it: it says where the ledger went.
    async fn mark_moved(&mut self, destination: &str, at: Timestamp) -> StoreResult<()>;
}

/// A ledger that is filled, in one transaction: dropped before its commit, nothing was written.
#[async_trait]
pub trait LedgerTarget: ReadTables {
    /// Adds rows.
    async fn insert(&mut self, table: &'static Table, rows: &[Row]) -> StoreResult<()>;
    /// Makes all of it durable.
    async fn commit(&mut self) -> StoreResult<()>;
}

/// Says what a schema with these tables and columns has that [`TABLES`] lacks, or the other way round.
///
/// # Errors
/// With the name of the table.
pub fn check_schema(found: &[(String, Vec<String>)]) -> Result<(), String> {
    for (name, columns) in found.iter().filter(|(name, _)| !NOT_MOVED.contains(&name.as_str())) {
        let known = TABLES.iter().find(|table| table.name == name);
        let known = known.ok_or_else(|| format!("the table {name} isn't one that is moved"))?;
        let mut expected: Vec<&str> = known.columns.iter().map(|(column, _)| *column).collect();
        let mut columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        expected.sort_unstable();
        columns.sort_unstable();
        if columns != expected {
            return Err(format!("the table {name} has other columns than those that are moved"));
        }
    }
    match TABLES.iter().find(|table| !found.iter().any(|(name, _)| name == table.name)) {
        Some(table) => Err(format!("the table {} isn't there", table.name)),
        None => Ok(()),
    }
}
