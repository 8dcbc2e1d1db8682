//! R1: CA, signer or both are killed at random moments under load.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Outcome, Size,
    books::{self, Books},
    town,
};
use crate::{
    bank::Bank,
    process::{Process, Signal},
};

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R1",
        "CA, signer or both killed under load: what a client or the journal saw is in the ledger and revocable, no \
         serial twice, the chains hold",
    );
    let (mut bank, mut customers) = town::found(directory, town::customers_for(size.kills)?)?;
    town::revive(&mut bank)?;
    let mut rng = StdRng::seed_from_u64(size.seed);
    let mut recoveries = Vec::new();
    let load = town::under_load(&mut bank, &mut customers, |bank, progress| {
        for kill in 0..size.kills {
            progress.wait_for_more("certificates", town::Progress::certified)?;
            thread::sleep(Duration::from_millis(rng.random_range(0..400)));
            match kill % 4 {
                0 => end(&mut bank.authority)?,
                1 => end(&mut bank.signer)?,
                2 => {
                    end(&mut bank.authority)?;
                    end(&mut bank.signer)?;
                }
                _ => {
                    end(&mut bank.signer)?;
                    thread::sleep(Duration::from_millis(rng.random_range(0..50)));
                    end(&mut bank.authority)?;
                }
            }
            recoveries.push(town::revive(bank)?);
        }
        Ok(())
    })?;
    outcome.figure("kills", size.kills);
    outcome.figure("certificates", load.seen.len());
    outcome.figure("refusals", load.refusals);
    outcome.times("recovery", &recoveries);
    outcome.violations.extend(load.odd);
    check(&mut bank, &load.seen, &mut outcome)?;
    Ok(outcome.ended())
}

/// Kills the program alone: what it started has to notice by itself.
fn end(process: &mut Option<Process>) -> Result<()> {
    let mut process = process.take().context("it runs")?;
    process.signal(Signal::KILL)?;
    process.wait(town::PATIENCE).map(drop)
}

/// Everything that must hold after any disaster, when all is up again.
pub(super) fn check(bank: &mut Bank, seen: &[town::Seen], outcome: &mut Outcome) -> Result<()> {
    // The reconciliation at the start takes in what was signed and not recorded.
    bank.authority = None;
    town::revive(bank)?;
    let books = Books::read(bank)?;
    books.check_agreement(outcome);
    books.check_seen(seen, outcome);
    books::check_chains(bank, outcome)?;
    books::check_revocable(bank, seen, 5, outcome)
}
