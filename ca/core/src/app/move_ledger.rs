//! Moves a whole ledger from one engine to another, and proves that all of it arrived before the old one is given up.
//!
//! All or nothing: the target's one transaction is committed after every row was read back from it, and the source is
//! marked after that. Whatever stops the move in between, doing it again is right.

use sha2::{Digest, Sha256};

use super::failure::{Failure, carries_failure};
use crate::{
    domain::audit::{self, AuditPosition, AuditRow, BrokenChain},
    ports::{
        clock::Clock,
        store::StoreError,
        transfer::{Cell, LedgerSource, LedgerTarget, ReadTables, Row, TABLES, Table},
    },
};

/// Rows that are read and written at a time.
const PAGE: u32 = 1000;

/// What was moved of a table, and by what both sides were compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTable {
    /// Its name.
    pub name: &'static str,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over all of them in the order of their keys.
    pub sha256: [u8; 32],
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Each table.
    pub tables: Vec<MovedTable>,
    /// The last row of the audit chain.
    pub audit_head: AuditPosition,
    /// Whether an earlier run had copied it all and only the mark on the source was missing.
    pub was_copied: bool,
}

/// Why the ledger wasn't moved. The source is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The target has a ledger already.
    #[error("the target isn't empty: its table {table} has rows that aren't the source's")]
    NotEmpty {
        /// The table.
        table: &'static str,
    },
    /// The two sides differ after copying.
    #[error("the copy of the table {table} differs from it: {source_rows} rows became {target_rows}")]
    Differs {
        /// The table.
        table: &'static str,
        /// Rows of the source.
        source_rows: u64,
        /// Rows of the target.
        target_rows: u64,
    },
    /// The audit chain doesn't verify.
    #[error("the audit trail is broken")]
    Audit(#[from] BrokenChain),
    /// One of the databases failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(MoveError);

/// Where the move is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The table.
    pub table: &'static str,
    /// Its rows so far.
    pub rows: u64,
    /// Whether they are being compared, after all tables were copied.
    pub comparing: bool,
}

/// Moves the ledger. `destination` is told to whoever starts a node on the source afterwards.
///
/// # Errors
/// [`MoveError`].
pub async fn move_ledger(
    source: &mut dyn LedgerSource,
    target: &mut dyn LedgerTarget,
    destination: &str,
    clock: &dyn Clock,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<Moved, MoveError> {
    let occupied = first_occupied(target).await?;
    let mut tables = Vec::new();
    for table in TABLES {
        let mut sum = Sum::new(table);
        let mut pages = Pages::new(table);
        while let Some(rows) = pages.next(source).await? {
            if occupied.is_none() {
                target.insert(table, &rows).await?;
            }
            sum.add(&rows);
            tell(Progress { table: table.name, rows: sum.rows, comparing: false });
        }
        tables.push(sum.end());
    }
    let audit_head = compare(target, &tables, tell).await.map_err(|error| match (error, occupied) {
        (MoveError::Differs { table, .. }, Some(_)) => MoveError::NotEmpty { table },
        (error, _) => error,
    })?;
    target.commit().await?;
    source.mark_moved(destination, clock.now()).await?;
    Ok(Moved { tables, audit_head, was_copied: occupied.is_some() })
}

async fn first_occupied(target: &mut dyn LedgerTarget) -> Result<Option<&'static str>, MoveError> {
    for table in TABLES {
        if !target.page(table, None, 1).await?.is_empty() {
            return Ok(Some(table.name));
        }
    }
    Ok(None)
}

/// Reads all of the target back and holds it against the source's sums; verifies the audit chain on the way.
async fn compare(
    target: &mut dyn LedgerTarget,
    tables: &[MovedTable],
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<AuditPosition, MoveError> {
    let mut head = AuditPosition::GENESIS;
    for (table, moved) in TABLES.iter().zip(tables) {
        let mut sum = Sum::new(table);
        let mut pages = Pages::new(table);
        while let Some(rows) = pages.next(target).await? {
            sum.add(&rows);
            if table.name == "audit" {
                for row in &rows {
                    head = audit::verify(head, &audit_row(row)?)?;
                }
            }
            tell(Progress { table: table.name, rows: sum.rows, comparing: true });
        }
        let copied = sum.end();
        if copied != *moved {
            return Err(MoveError::Differs {
                table: table.name,
                source_rows: moved.rows,
                target_rows: copied.rows,
            });
        }
    }
    Ok(head)
}

/// A row of the table `audit`.
fn audit_row(row: &Row) -> Result<AuditRow, Failure> {
    let [
        Cell::Integer(sequence),
        Cell::Integer(at_ms),
        Cell::Text(actor),
        Cell::Text(action),
        Cell::Text(subject),
        Cell::Text(details),
        Cell::Octets(hash),
    ] = row.as_slice()
    else {
        return Err(StoreError::Corrupt { what: "a row of the audit trail".to_owned() }.into());
    };
    let corrupt = || StoreError::Corrupt { what: format!("row {sequence} of the audit trail") };
    Ok(AuditRow {
        sequence: u64::try_from(*sequence).map_err(|_| corrupt())?,
        at_ms: *at_ms,
        actor: actor.clone(),
        action: action.clone(),
        subject: subject.clone(),
        details: details.clone(),
        hash: hash.as_slice().try_into().map_err(|_| corrupt())?,
    })
}

/// A table, page by page.
struct Pages {
    table: &'static Table,
    after: Option<Vec<Cell>>,
}

impl Pages {
    fn new(table: &'static Table) -> Self {
        Self { table, after: None }
    }

    async fn next<R: ReadTables + ?Sized>(&mut self, from: &mut R) -> Result<Option<Vec<Row>>, StoreError> {
        let rows = from.page(self.table, self.after.as_deref(), PAGE).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = Some(last[..self.table.key].to_vec());
        Ok(Some(rows))
    }
}

/// A table's count and hash. Each value is hashed with its kind and length, so that no two tables look alike.
struct Sum {
    table: &'static Table,
    rows: u64,
    hash: Sha256,
}

impl Sum {
    fn new(table: &'static Table) -> Self {
        Self { table, rows: 0, hash: Sha256::new() }
    }

    fn add(&mut self, rows: &[Row]) {
        for row in rows {
            self.rows += 1;
            for cell in row {
                match cell {
                    Cell::Missing => self.value(0, &[]),
                    Cell::Integer(number) => self.value(1, &number.to_be_bytes()),
                    Cell::Flag(flag) => self.value(2, &[u8::from(*flag)]),
                    Cell::Text(text) => self.value(3, text.as_bytes()),
                    Cell::Octets(octets) => self.value(4, octets),
                }
            }
        }
    }

    fn value(&mut self, kind: u8, octets: &[u8]) {
        self.hash.update([kind]);
        self.hash.update((octets.len() as u64).to_be_bytes());
        self.hash.update(octets);
    }

    fn end(self) -> MovedTable {
        MovedTable { name: self.table.name, rows: self.rows, sha256: self.hash.finalize().into() }
    }
}
