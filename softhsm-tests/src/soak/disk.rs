//! R3: the disk under the ledger or the journal is full, broken, or fails its syncs, under load.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Outcome, Size, books::Books, kills, town};
use crate::faults::{Disk, Faults};

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R3",
        "disk full or broken under ledger or journal: 429 and 5xx, no signature without an intent, recovery unaided",
    );
    let (mut bank, mut customers) =
        town::found(&directory.join("bank"), town::customers_for(size.disk_faults)?)?;
    let under_ledger = Faults::new(&directory.join("ledger-disk"), &[bank.path("ledger")])?;
    let under_journal = Faults::new(&directory.join("journal-disk"), &[bank.path("signer")])?;
    bank.authority_extra = under_ledger.environment()?;
    bank.signer_extra = under_journal.environment()?;
    town::revive(&mut bank)?;
    let mut rng = StdRng::seed_from_u64(size.seed);
    let mut recoveries = Vec::new();
    let mut during = Outcome::new("R3", "");
    let load = town::under_load(&mut bank, &mut customers, |bank, progress| {
        for fault in 0..size.disk_faults {
            progress.wait_for_more("certificates", town::Progress::certified)?;
            let disk = match (fault / 2) % 3 {
                0 => Disk::Full { room: rng.random_range(0..20_000) },
                1 => Disk::Broken,
                _ => Disk::SyncFails,
            };
            let faults = if fault % 2 == 0 { &under_ledger } else { &under_journal };
            let before = faults.refused()?;
            faults.disk(disk)?;
            let said = format!("{disk:?} under the {}", if fault % 2 == 0 { "ledger" } else { "journal" });
            progress.wait_for_more("refusals", town::Progress::refused).with_context(|| said.clone())?;
            thread::sleep(Duration::from_millis(rng.random_range(0..500)));
            during.check(faults.refused()? > before, || format!("{said} was never felt"));
            Books::read(bank)?.check_intents(&mut during);
            faults.disk(Disk::Sound)?;
            let mended = Instant::now();
            progress
                .wait_for_more("certificates", town::Progress::certified)
                .with_context(|| said.clone())?;
            town::ready(bank, town::PATIENCE).context(said)?;
            recoveries.push(mended.elapsed());
        }
        Ok(())
    })?;
    outcome.violations.extend(during.violations);
    outcome.violations.extend(load.odd);
    outcome.figure("faults", size.disk_faults);
    outcome.figure("certificates", load.seen.len());
    outcome.figure("refusals", load.refusals);
    outcome.times("recovery", &recoveries);
    kills::check(&mut bank, &load.seen, &mut outcome)?;
    Ok(outcome.ended())
}
