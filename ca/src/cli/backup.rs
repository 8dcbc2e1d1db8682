//! `inro-ca backup`: a copy of a SQLite ledger, made while the ledger is in use. It has its name only once it is whole,
//! checked and on the disk.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::Args;
use serde::Serialize;
use store_sqlite::backup::{self, BackupError};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    exit::{CliError, Exit},
    output::Output,
};
use crate::config::{Config, Database};

/// Who watches hears so often how far it is.
const TICK: Duration = Duration::from_secs(5);
const MEBIBYTE: u64 = 1024 * 1024;

/// The copy is what the ledger was at one moment; the node goes on meanwhile. It holds password hashes and personal data,
/// and is readable by its owner alone.
#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The copy's file, which must not exist.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Serialize)]
struct Done<'a> {
    file: &'a Path,
    octets: u64,
    audit_row: u64,
    audit_hash: String,
}

impl Backup {
    pub(super) async fn run(self, config: &Config, output: Output) -> Result<(), CliError> {
        let ledger = match &config.node.database {
            Database::Sqlite(path) => path,
            Database::Postgres(_) => {
                let why =
                    "the ledger is in PostgreSQL: back it up with PostgreSQL's own tools, see backup.md";
                return Err(CliError::configuration(anyhow!(why)));
            }
        };
        let shown = self.to.display();
        if self.to.symlink_metadata().is_ok() {
            return Err(CliError::new(Exit::Refused, anyhow!("{shown} exists; a copy replaces nothing")));
        }
        let part = Part::create(&self.to)?;
        watched(backup::copy(ledger, &part.0), &part.0, "copying", output).await.map_err(failed)?;
        output.progress("checking the copy …");
        let checked = backup::check(&part.0).await.map_err(failed)?;
        let octets = part.keep_as(&self.to).with_context(|| format!("can't keep the copy as {shown}"))?;
        let done = Done {
            file: &self.to,
            octets,
            audit_row: checked.head.sequence,
            audit_hash: hex::encode(checked.head.hash),
        };
        output.result(&done, |out| {
            writeln!(
                out,
                "{shown}: {} MiB, whole, with {} rows of the audit trail; take it off this host",
                done.octets.div_ceil(MEBIBYTE),
                done.audit_row
            )
        })
    }
}

/// Says now and then how large the copy is.
async fn watched<T>(work: impl Future<Output = T>, file: &Path, what: &str, output: Output) -> T {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => {
                let octets = fs::metadata(file).map_or(0, |metadata| metadata.len());
                output.progress(&format!("{what} … {} MiB", octets / MEBIBYTE));
            }
        }
    }
}

fn failed(error: BackupError) -> CliError {
    let exit = match error {
        BackupError::NotALedger(_) => Exit::Configuration,
        BackupError::Sqlite { .. } => Exit::Unavailable,
        BackupError::Damaged(_) | BackupError::Trail(_) => Exit::CheckFailed,
    };
    CliError::new(exit, error)
}

/// A file that is gone again unless it is kept.
struct Part(PathBuf);

impl Part {
    fn create(to: &Path) -> Result<Self, CliError> {
        let mut name = to.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        let created = File::options().write(true).create_new(true).mode(0o600).open(&part);
        match created {
            Ok(_) => Ok(Self(part)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let why = anyhow!("{} is there from a copy that failed: remove it", part.display());
                Err(CliError::new(Exit::Refused, why))
            }
            Err(error) => {
                let why = format!("can't write {}", part.display());
                Err(anyhow::Error::new(error).context(why).into())
            }
        }
    }

    /// Puts it on the disk and gives it its name, if nobody else has it by now; returns its size.
    fn keep_as(self, to: &Path) -> io::Result<u64> {
        let file = File::open(&self.0)?;
        file.sync_all()?;
        fs::hard_link(&self.0, to)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may never have come to be.
        let _ = fs::remove_file(&self.0);
    }
}
