//! R18: the ledger is put back from an older backup, while the signer's journal goes on from where it was.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::{Outcome, Size, books::Books, published, town};
use crate::{
    bank::{Bank, EnrolmentClient, fetch},
    process::Process,
    wait::awaited,
};

/// As long as we look whether anything is issued or un-revoked that shouldn't be.
const WATCH: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R18",
        "the ledger restored from a backup: nothing is issued before a person accepts the loss, nothing is un-revoked, \
         no certificate is forgotten, CRL numbers rise",
    );
    let restores = u32::try_from(size.restores).context("too many restores")?;
    let (mut bank, mut customers) = town::found(directory, 2000.min(400 * restores))?;
    town::revive(&mut bank)?;
    let (mut revoked, mut recoveries) = (Vec::new(), Vec::new());
    for turn in 0..size.restores {
        let backup = bank.path(format!("backup-{turn}.sqlite3"));
        let before = a_few(&mut bank, &mut customers)?;
        bank.operator(&["backup", "--to", &backup.to_string_lossy()])?;
        let after = a_few(&mut bank, &mut customers)?;
        for seen in [&before[0], &after[0]] {
            bank.operator(&["certificate", "revoke", &seen.serial, "--reason", "keyCompromise"])?;
            revoked.push(seen.serial.clone());
        }
        let crl = wait_for_crl(&bank, &revoked)?;

        bank.authority = None;
        restore(&bank, &backup)?;
        let authority = Process::spawn("authority", &mut bank.inro_ca(&["serve"])?, &bank.path("logs"))?;
        bank.authority = Some(authority);
        nothing_happens(&bank, &mut customers, &revoked, &mut outcome)?;
        let accept =
            ["reconcile", "accept", "--issuer", "customer", "--signer", "customer-1", "--reason", "a drill"];
        bank.operator(&accept)?;
        let began = Instant::now();
        town::ready(&bank, town::PATIENCE)?;
        recoveries.push(began.elapsed());

        let number = wait_for_crl(&bank, &revoked)?;
        outcome.check(number > crl, || format!("after CRL {crl} comes {number}"));
        known_again(&bank, &after, &mut outcome)?;
        let more = a_few(&mut bank, &mut customers)?;
        Books::read(&bank)?.check_seen(&[&before[..], &more[..]].concat(), &mut outcome);
        if let Err(error) = bank.operator(&["audit", "verify"]) {
            outcome.violations.push(format!("the audit trail: {error:#}"));
        }
        bank.journal()?;
    }
    outcome.figure("restores", size.restores);
    outcome.figure("revocations", revoked.len());
    outcome.times("acceptance_to_ready", &recoveries);
    Ok(outcome.ended())
}

/// Some customers get their certificates.
fn a_few(bank: &mut Bank, customers: &mut Vec<town::Customer>) -> Result<Vec<town::Seen>> {
    let load = town::under_load(bank, customers, |_, progress| {
        for _ in 0..4 {
            progress.wait_for_more("certificates", town::Progress::certified)?;
        }
        Ok(())
    })?;
    ensure!(load.odd.is_empty(), "{:?}", load.odd);
    Ok(load.seen)
}

/// As backup.md says: with the authority down, the copy takes the place of the file and of what belongs to it.
fn restore(bank: &Bank, backup: &Path) -> Result<()> {
    let ledger = bank.path("ledger/ca.sqlite3");
    for name in ["ca.sqlite3-wal", "ca.sqlite3-shm"] {
        let path = bank.path("ledger").join(name);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    fs::copy(backup, &ledger).map(drop).context("restoring the ledger")
}

/// Waits until all of these are on the CRL; its number.
fn wait_for_crl(bank: &Bank, revoked: &[String]) -> Result<u64> {
    let shows = |crl: &Result<published::Published>| {
        crl.as_ref().map_or(true, |crl| revoked.iter().all(|serial| crl.serials.contains(serial)))
    };
    let crl = awaited(&format!("a CRL with {revoked:?}"), || published::crl(bank), shows)?;
    Ok(crl?.number)
}

/// The authority runs on a ledger that lost something, and nobody has decided yet.
fn nothing_happens(
    bank: &Bank,
    customers: &mut Vec<town::Customer>,
    revoked: &[String],
    outcome: &mut Outcome,
) -> Result<()> {
    let live = format!("{}/livez", bank.urls().ops);
    awaited("the authority's start", || fetch(&live), Result::is_ok)??;
    let signed = bank.journal()?["certificates"].clone();
    let (client, maker) = (EnrolmentClient::new(bank)?, town::Maker::new(bank)?);
    let began = Instant::now();
    while began.elapsed() < WATCH {
        let customer = customers.pop().context("a customer")?;
        match client.enroll(&customer.id, &maker.token(&customer)?, &customer.key()) {
            Ok(Ok(_)) => outcome.violations.push(format!("{} got a certificate", customer.id)),
            Ok(Err(problem)) => {
                outcome.check(town::is_later(&problem), || format!("{}: {problem:?}", customer.id));
            }
            // It is only starting.
            Err(_) => {}
        }
        for serial in revoked {
            let told = published::ocsp(bank, serial)?;
            outcome.check(told.as_ref().is_none_or(|told| told.status == "revoked"), || {
                format!("{serial} was revoked, and OCSP says {told:?}")
            });
        }
        thread::sleep(PAUSE);
    }
    let now = bank.journal()?["certificates"].clone();
    outcome.check(now == signed, || format!("{signed} certificates were signed, and now {now}"));
    let ready = fetch(&format!("{}/readyz", bank.urls().ops))?;
    outcome.check(ready.status == 503, || format!("it says that it is ready: {}", ready.text()));
    let status = status(bank)?;
    outcome.check(status["agreed"] == false, || format!("reconcile status: {status}"));
    Ok(())
}

/// What `inro-ca reconcile status` says, which may end with a failure.
fn status(bank: &Bank) -> Result<Value> {
    let output = bank.try_operator(&["reconcile", "status"])?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("reconcile status: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Certificates that only the journal still knew are before people's eyes, and can be revoked.
fn known_again(bank: &Bank, lost: &[town::Seen], outcome: &mut Outcome) -> Result<()> {
    let status = status(bank)?;
    let orphans = status["issuers"][0]["orphans"].as_array().cloned();
    let orphans = orphans.ok_or_else(|| anyhow!("reconcile status names no orphans: {status}"))?;
    let ledger = Books::read(bank)?;
    for seen in lost {
        let orphan = orphans.iter().any(|orphan| orphan["serial"] == *seen.serial);
        let known = orphan || ledger.state(&seen.serial).is_some();
        outcome.check(known, || format!("{} of {} is forgotten", seen.serial, seen.user));
    }
    let one = lost.last().context("somebody got a certificate after the backup")?;
    bank.operator(&["certificate", "revoke", &one.serial, "--reason", "superseded"])
        .map(drop)
        .context("revoking what the ledger lost")
}
