//! Ledger and journal side by side after a disaster, read by the operator's own commands.

use std::{
    collections::{HashMap, HashSet},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;
use x509_cert::{certificate::TbsCertificate, der::Decode};

use super::{Outcome, town::Seen};
use crate::{bank::Bank, binaries, process::run};

/// A certificate that the signer signed.
#[derive(Clone, Debug)]
pub(super) struct Journaled {
    pub(super) serial: String,
    pub(super) intent: String,
}

/// What both remember.
#[derive(Debug)]
pub(super) struct Books {
    /// Of the ledger, by serial number: every certificate and intent as `inro-ca` prints it.
    pub(super) ledger: HashMap<String, Value>,
    ledger_rows: usize,
    /// Of the journal, in its order.
    pub(super) journal: Vec<Journaled>,
    /// Serial numbers that the journal holds revoked.
    pub(super) journal_revoked: HashSet<String>,
}

impl Books {
    /// Reads the journal first: what is signed by then has its intent in the ledger already.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub(super) fn read(bank: &Bank) -> Result<Self> {
        let (mut journal, mut journal_revoked) = (Vec::new(), HashSet::new());
        for entry in journal_entries(bank)? {
            let text = |name: &str| entry["entry"][name].as_str().unwrap_or_default().to_owned();
            match &*text("kind") {
                "certificate" => {
                    let tbs = hex::decode(text("tbs")).context("reading an entry")?;
                    let tbs = TbsCertificate::from_der(&tbs).context("reading an entry")?;
                    let serial = hex::encode(tbs.serial_number().as_bytes());
                    journal.push(Journaled { serial, intent: text("intent") });
                }
                "revocation" => {
                    journal_revoked.insert(text("serial"));
                }
                _ => {}
            }
        }
        let rows = bank.operator(&["certificate", "list"])?;
        let rows = rows.as_array().cloned().context("the ledger's list is no list")?;
        let ledger_rows = rows.len();
        let serial = |row: &Value| row["serial"].as_str().unwrap_or_default().to_owned();
        let ledger = rows.into_iter().map(|row| (serial(&row), row)).collect();
        Ok(Self { ledger, ledger_rows, journal, journal_revoked })
    }

    /// The state of a certificate in the ledger.
    pub(super) fn state(&self, serial: &str) -> Option<&str> {
        self.ledger.get(serial)?["state"].as_str()
    }

    /// No signature without an intent: what was signed was in the ledger before.
    pub(super) fn check_intents(&self, outcome: &mut Outcome) {
        for Journaled { serial, intent } in &self.journal {
            let known = self.ledger.get(serial).is_some_and(|row| row["intent"] == **intent);
            outcome.check(known, || format!("{serial} was signed without its intent {intent} in the ledger"));
        }
    }

    /// What was signed is issued, what is issued was signed, and nothing is there twice.
    pub(super) fn check_agreement(&self, outcome: &mut Outcome) {
        self.check_intents(outcome);
        let distinct: HashSet<&String> = self.journal.iter().map(|entry| &entry.serial).collect();
        outcome.check(distinct.len() == self.journal.len(), || "a serial number was signed twice".to_owned());
        outcome.check(self.ledger.len() == self.ledger_rows, || {
            "a serial number is in the ledger twice".to_owned()
        });
        for serial in &distinct {
            let state = self.state(serial);
            outcome.check(matches!(state, Some("issued" | "revoked")), || {
                format!("{serial} was signed, and in the ledger it is {state:?}")
            });
        }
        for (serial, row) in &self.ledger {
            let issued = row["state"] == "issued";
            outcome.check(!issued || distinct.contains(serial), || {
                format!("{serial} is issued, and not in the journal")
            });
        }
    }

    /// Everything that a client has is issued, to that client.
    pub(super) fn check_seen(&self, seen: &[Seen], outcome: &mut Outcome) {
        let distinct: HashSet<&String> = seen.iter().map(|seen| &seen.serial).collect();
        outcome.check(distinct.len() == seen.len(), || "two clients have the same serial number".to_owned());
        let mut lost = 0;
        for Seen { serial, user } in seen {
            let there = self.ledger.get(serial).is_some_and(|row| row["user"] == **user)
                && matches!(self.state(serial), Some("issued" | "revoked"));
            lost += u64::from(!there);
            outcome.check(there, || {
                format!("{user} has {serial}, and the ledger says {:?}", self.ledger.get(serial))
            });
        }
        outcome.figure("certificates_lost", lost);
    }
}

/// Both chains hold, and reconciliation found nothing that people have to decide.
pub(super) fn check_chains(bank: &Bank, outcome: &mut Outcome) -> Result<()> {
    if let Err(error) = bank.operator(&["audit", "verify"]) {
        outcome.violations.push(format!("the audit trail: {error:#}"));
    }
    match bank.journal() {
        Ok(report) => outcome.figure("journal_entries", report["entries"].clone()),
        Err(error) => outcome.violations.push(format!("the journal: {error:#}")),
    }
    for action in ["journal.orphan-found", "journal.unreadable", "journal.signature-wrong"] {
        let rows = bank.audit_rows(action)?;
        outcome.check(rows.is_empty(), || format!("{action}: {rows:?}"));
    }
    Ok(())
}

/// Revokes some of what the clients have, evenly spread, and looks that it sticks.
pub(super) fn check_revocable(bank: &Bank, seen: &[Seen], count: usize, outcome: &mut Outcome) -> Result<()> {
    let step = (seen.len() / count.max(1)).max(1);
    for Seen { serial, .. } in seen.iter().step_by(step).take(count) {
        match bank.operator(&["certificate", "revoke", serial, "--reason", "superseded"]) {
            Ok(_) => {
                let state = bank.operator(&["certificate", "show", serial])?["state"].clone();
                outcome.check(state == "revoked", || format!("{serial} was revoked, and is {state}"));
            }
            Err(error) => outcome.violations.push(format!("{serial} can't be revoked: {error:#}")),
        }
    }
    Ok(())
}

/// The journal's entries as `inro-hsm` prints them.
pub(super) fn journal_entries(bank: &Bank) -> Result<Vec<Value>> {
    let mut show = Command::new(binaries::find("inro-hsm")?);
    show.args(["journal", "show", "--json", "--limit", "1000000000"]).arg(bank.path("signer/journal"));
    let lines = run(&mut show).context("reading the journal")?;
    lines.lines().map(|line| serde_json::from_str(line).context("reading an entry")).collect()
}
