//! A bank's ledger by SQL: for filling it in bulk, and for counting what is in it without asking the authority.

use std::{collections::HashSet, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use softhsm_tests::{
    bank::Bank,
    postgres::{self, Postgres},
    process::output_of,
};
use uuid::Uuid;

/// A ledger on either engine.
pub(crate) enum Ledger {
    /// The bank's own file.
    Sqlite(PathBuf),
    /// A database of a cluster that ends with this.
    Postgres(Box<Postgres>, String),
}

impl Ledger {
    /// A bank's SQLite file, as its configuration has it.
    pub(crate) fn sqlite(bank: &Bank) -> Self {
        Self::Sqlite(bank.path("ca.sqlite3"))
    }

    /// A new PostgreSQL that syncs its commits, entered into the bank's configuration.
    pub(crate) fn postgres(bank: &Bank) -> Result<Self> {
        let cluster = Postgres::start(postgres::Options { fsync: true })?;
        let database = cluster.create_database()?;
        bank.use_postgres(&cluster.url(&database))?;
        Ok(Self::Postgres(Box::new(cluster), database))
    }

    /// The engine's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(..) => "PostgreSQL",
        }
    }

    /// Runs SQL and returns what it prints, columns parted by `|`.
    pub(crate) fn execute(&self, sql: &str) -> Result<String> {
        match self {
            Self::Sqlite(file) => {
                let mut command = Command::new("sqlite3");
                let output = output_of(command.arg("-bail").arg(file), sql.as_bytes())?;
                let errors = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "sqlite3 ended with {}: {errors}", output.status);
                String::from_utf8(output.stdout).context("reading what sqlite3 printed")
            }
            Self::Postgres(cluster, database) => cluster.execute(database, sql),
        }
    }

    /// SQL for a number with so many digits.
    pub(crate) fn padded(&self, number: &str, digits: u8) -> String {
        match self {
            Self::Sqlite(_) => format!("printf('%0{digits}d', {number})"),
            Self::Postgres(..) => format!("lpad(({number})::text, {digits}, '0')"),
        }
    }

    /// The enrolments whose certificates are in it.
    pub(crate) fn certified(&self) -> Result<HashSet<Uuid>> {
        let intent = match self {
            Self::Sqlite(_) => "hex(intent)",
            Self::Postgres(..) => "encode(intent, 'hex')",
        };
        let list = self.execute(&format!("SELECT {intent} FROM certificates WHERE der IS NOT NULL;"))?;
        list.lines()
            .map(|line| Uuid::parse_str(line).with_context(|| format!("an intent {line:?}")))
            .collect()
    }
}
