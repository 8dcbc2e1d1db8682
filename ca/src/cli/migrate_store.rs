//! `inro-ca migrate-store`: moves the whole ledger from SQLite to PostgreSQL, once, with no node at either.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use ca_core::app::move_ledger::{MoveError, Progress};
use clap::Args;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::{Output, table},
};
use crate::{
    config::Config,
    wiring::{self, Route},
};

/// Moves the ledger to a PostgreSQL database that `inro-ca migrate` has prepared and nobody has used. All of it or
/// nothing; the SQLite file is kept, and says from then on where its ledger went. End every node before.
#[derive(Args, Debug)]
pub(super) struct MigrateStore {
    /// The SQLite file; left out, it is node.database.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The PostgreSQL database's URL, without a password; left out, it is node.postgres.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// A file with the password for --to.
    #[arg(long, value_name = "FILE", requires = "to")]
    to_password_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Moved<'a> {
    from: String,
    to: &'a str,
    was_copied: bool,
    tables: Vec<MovedTable>,
    audit_rows: u64,
    audit_head: String,
}

#[derive(Serialize)]
struct MovedTable {
    name: &'static str,
    rows: u64,
    sha256: String,
}

/// Who watches hears so often how far it is.
const TICK: Duration = Duration::from_secs(5);

impl MigrateStore {
    pub(super) async fn run(self, config: &Config, output: Output) -> Result<(), CliError> {
        let asked = (self.from, self.to, self.to_password_file);
        let route = Route::of(config, asked).map_err(CliError::configuration)?;
        output.progress(&format!(
            "moving the ledger from {} to {}",
            route.source.display(),
            route.destination()
        ));
        let mut told: Option<(Instant, Progress)> = None;
        let mut tell = move |progress: Progress| {
            let news = told.is_none_or(|(at, last)| {
                at.elapsed() >= TICK || last.table != progress.table || last.comparing != progress.comparing
            });
            if news {
                let what = if progress.comparing { "comparing" } else { "copying" };
                output.progress(&format!("{what} {}: {} rows", progress.table, progress.rows));
                told = Some((Instant::now(), progress));
            }
        };
        let moved = wiring::move_ledger(&route, operator(), &mut tell).await.map_err(failed)?;
        let tables: Vec<MovedTable> = moved
            .tables
            .iter()
            .map(|table| MovedTable { name: table.name, rows: table.rows, sha256: hex::encode(table.sha256) })
            .collect();
        let shown = Moved {
            from: route.source.display().to_string(),
            to: route.destination(),
            was_copied: moved.was_copied,
            tables,
            audit_rows: moved.audit_head.sequence,
            audit_head: hex::encode(moved.audit_head.hash),
        };
        output.result(&shown, |out| {
            let row = |moved: &MovedTable| {
                vec![moved.name.to_owned(), moved.rows.to_string(), moved.sha256.clone()]
            };
            let heading = ["TABLE", "ROWS", "SHA-256, ALIKE ON BOTH SIDES"].map(str::to_owned).to_vec();
            table(out, &std::iter::once(heading).chain(shown.tables.iter().map(row)).collect::<Vec<_>>())?;
            writeln!(out, "the ledger is moved; its audit trail verifies to row {}", shown.audit_rows)?;
            writeln!(out, "put [node.postgres] into the configuration, in the place of node.database")
        })
    }
}

fn failed(error: anyhow::Error) -> CliError {
    let exit = match error.downcast_ref::<MoveError>() {
        Some(MoveError::NotEmpty { .. }) => Exit::Refused,
        Some(MoveError::Differs { .. } | MoveError::Audit(_)) => Exit::CheckFailed,
        Some(MoveError::Failure(_)) => Exit::Unavailable,
        None => Exit::Configuration,
    };
    CliError { exit, error }
}
