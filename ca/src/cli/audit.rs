//! `inro-ca audit verify`.

use clap::Subcommand;
use serde::Serialize;

use super::{exit::CliError, output::Output};
use crate::{config::Config, wiring};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read the audit trail from its first row and check that each follows from the one before.
    Verify,
}

#[derive(Serialize)]
struct Verified {
    rows: u64,
    head: String,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::desk(config).await?;
    match command {
        Command::Verify => {
            output.progress("reading the audit trail …");
            let whole = desk.audit.run().await?;
            let verified = Verified { rows: whole.rows, head: hex::encode(whole.head) };
            output.result(&verified, |out| {
                writeln!(
                    out,
                    "{} rows, none changed, lost or reordered; head {}",
                    verified.rows, verified.head
                )
            })
        }
    }
}
