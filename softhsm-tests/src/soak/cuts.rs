//! R4: the power fails under load. Ledger, journal, latch and the token's files run on the durable image; a write that
//! wasn't synced is gone, or torn.

use std::{collections::HashSet, fs, path::Path, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Outcome, Size,
    books::{self, Books},
    kills, published, town,
};
use crate::{
    bank::Bank,
    faults::{Faults, Power, Tear},
    process::Environment,
};

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    cut(directory, size, Power::On)
}

/// The same on a disk whose syncs do nothing: what must not hold then, for the scenario to mean anything.
pub(super) fn on_a_lying_disk(directory: &Path, size: &Size) -> Result<Outcome> {
    cut(directory, size, Power::Lies)
}

fn cut(directory: &Path, size: &Size, power: Power) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R4",
        "power cuts that drop or tear what wasn't synced: nothing acknowledged is lost, nothing un-revoked, CRL numbers \
         rise, the chains hold",
    );
    let (mut bank, mut customers) =
        town::found(&directory.join("bank"), town::customers_for(size.power_cuts)?)?;
    let folders = [bank.path("ledger"), bank.path("signer"), bank.path("hsm/online")];
    let faults = Faults::with_power_cuts(&directory.join("disk"), &folders)?;
    let environment = faults.environment()?;
    preload_into_the_worker(&bank, &environment)?;
    bank.authority_extra.clone_from(&environment);
    bank.signer_extra = environment;
    town::revive(&mut bank)?;
    faults.power(power)?;
    let before = faults.synced()?;
    let mut rng = StdRng::seed_from_u64(size.seed);
    let (mut recoveries, mut all, mut revoked, mut crl) = (Vec::new(), Vec::new(), HashSet::new(), 0);
    for cut in 0..size.power_cuts {
        let load = town::under_load(&mut bank, &mut customers, |bank, progress| {
            progress.wait_for_more("certificates", town::Progress::certified)?;
            if let Some(seen) = all.get(rng.random_range(0..=all.len())) {
                let town::Seen { serial, .. } = seen;
                bank.operator(&["certificate", "revoke", serial, "--reason", "superseded"])?;
                revoked.insert(serial.clone());
            }
            crl = published::crl(bank)?.number;
            thread::sleep(Duration::from_millis(rng.random_range(0..300)));
            faults.power(Power::Off)?;
            (bank.authority, bank.signer) = (None, None);
            let seed = rng.random();
            let tear = &mut StdRng::seed_from_u64(seed);
            faults
                .after_the_cut(if cut % 3 == 0 { Tear::AllLost } else { Tear::Some(tear) })
                .with_context(|| format!("cut {cut}, torn by {seed}"))?;
            recoveries.push(town::revive(bank)?);
            Ok(())
        })
        .with_context(|| format!("cut {cut}"))?;
        all.extend(load.seen);
        outcome.violations.extend(load.odd.into_iter().map(|odd| format!("cut {cut}: {odd}")));
        let books = Books::read(&bank)?;
        books.check_agreement(&mut outcome);
        books.check_seen(&all, &mut outcome);
        check_revocations(&bank, &books, &revoked, crl, &mut outcome)?;
        books::check_chains(&bank, &mut outcome)?;
        if !outcome.violations.is_empty() {
            break;
        }
    }
    ensure!(faults.synced()? > before, "nothing was ever synced: the shim isn't in the programs");
    outcome.figure("cuts", size.power_cuts);
    outcome.figure("certificates", all.len());
    outcome.figure("revocations", revoked.len());
    outcome.times("recovery", &recoveries);
    kills::check(&mut bank, &all, &mut outcome)?;
    Ok(outcome.ended())
}

/// The worker inherits nothing of the signer's environment; it has a table of its own in the signer's configuration.
fn preload_into_the_worker(bank: &Bank, environment: &Environment) -> Result<()> {
    let path = bank.path("signer.toml");
    let text = fs::read_to_string(&path).context("reading signer.toml")?;
    let mut table: toml::Table = toml::from_str(&text).context("reading signer.toml")?;
    let worker = table.get_mut("token").and_then(|token| token.get_mut("environment"));
    let worker =
        worker.and_then(toml::Value::as_table_mut).context("signer.toml has no token.environment")?;
    worker.extend(environment.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    fs::write(&path, toml::to_string(&table).context("composing signer.toml")?).context("writing signer.toml")
}

fn check_revocations(
    bank: &Bank,
    books: &Books,
    revoked: &HashSet<String>,
    crl_before: u64,
    outcome: &mut Outcome,
) -> Result<()> {
    for serial in revoked {
        let state = books.state(serial);
        outcome.check(state == Some("revoked"), || format!("{serial} was revoked, and is {state:?}"));
    }
    let number = published::crl(bank)?.number;
    outcome.check(number >= crl_before, || format!("after CRL {crl_before} comes {number}"));
    Ok(())
}
