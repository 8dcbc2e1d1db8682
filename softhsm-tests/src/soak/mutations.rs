//! R17: somebody changes the ledger's audit trail or the signer's journal behind our back, as far as a file can be
//! changed; each change is named by the check that is there for it. A chain alone can't tell of its own end, nor of one
//! that was hashed anew: ledger and journal, anchored in each other, can.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use ca_core::domain::audit::AuditRow;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Outcome, Size, books, town};
use crate::{
    bank::Bank,
    binaries,
    process::{self, output_of},
};

/// Octets before the journal's first frame, and of a frame before its body: length 4, check 4, hash 32.
const HEADER: usize = 56;
const FRAME_HEAD: usize = 40;
const CUSTOMERS: u32 = 200;
/// The columns of an audit row that say something.
const COLUMNS: [&str; 6] = ["at", "actor", "action", "subject", "details", "hash"];

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R17",
        "any audit row or journal entry changed, deleted, doubled or reordered: the verifier names the first",
    );
    let (mut bank, mut customers) = town::found(directory, CUSTOMERS)?;
    town::revive(&mut bank)?;
    let load = town::under_load(&mut bank, &mut customers, |_, progress| {
        while progress.certified() < 8 {
            progress.wait_for_more("certificates", town::Progress::certified)?;
        }
        Ok(())
    })?;
    for seen in load.seen.iter().take(2) {
        bank.operator(&["certificate", "revoke", &seen.serial, "--reason", "superseded"])?;
    }
    bank.authority = None;
    let mut rng = StdRng::seed_from_u64(size.seed);
    let (trail, journal) = (TrailUnderAttack::new(&bank)?, JournalUnderAttack::new(&bank)?);
    outcome.check(trail.verdict("")?.is_none(), || "the unchanged audit trail isn't sound".to_owned());
    outcome.check(journal.verdict(&journal.octets)?.is_none(), || {
        "the unchanged journal isn't sound".to_owned()
    });
    for turn in 0..size.mutations {
        let (what, named, verdict) =
            if turn % 2 == 0 { trail.attack(&mut rng)? } else { journal.attack(&mut rng)? };
        match verdict {
            None => outcome.violations.push(format!("{what}: the verifier noticed nothing")),
            Some(said) => outcome.check(said.contains(&named), || {
                format!("{what}: the verifier doesn't name {named:?}: {said}")
            }),
        }
    }
    outcome.figure("mutations", size.mutations);
    outcome.figure("audit_rows", trail.rows);
    outcome.figure("journal_entries", journal.frames.len());
    let (octets, frames) = (journal.octets, journal.frames);
    let cuts = size.mutations.div_ceil(40);
    for _ in 0..cuts {
        // The last of them at least is a signature that the ledger knows.
        let kept = &frames[..rng.random_range(1..frames.len() - 2)];
        let end = kept.last().context("a frame")?.end;
        cut_journal(&mut bank, &octets, end, &mut outcome)?;
    }
    outcome.figure("journals_cut", cuts);
    Ok(outcome.ended())
}

/// Whoever reads the journal next notices: the signer itself, or the authority that it answers.
fn cut_journal(bank: &mut Bank, octets: &[u8], end: usize, outcome: &mut Outcome) -> Result<()> {
    bank.signer = None;
    let path = bank.path("signer/journal");
    fs::write(&path, &octets[..end]).context("cutting the journal")?;
    let said = match bank.start_signer() {
        Err(error) => Some(format!("{error:#}")),
        Ok(()) => verdict(bank.inro_ca(&["audit", "verify"])?.arg("--json"))?,
    };
    let noticed = said.as_ref().is_some_and(|said| said.contains("journal"));
    outcome.check(noticed, || format!("the journal was cut at octet {end}, and it is said: {said:?}"));
    bank.signer = None;
    fs::write(&path, octets).context("mending the journal")
}

/// What was done, what must be in the verifier's words, and the verifier's words if it found something.
type Attacked = (String, String, Option<String>);

/// A copy of the ledger without the triggers that would hold us up, and beside it the one that is changed.
struct TrailUnderAttack {
    folder: PathBuf,
    rows: u64,
    /// The last row that an entry of the journal names.
    anchored: u64,
}

impl TrailUnderAttack {
    fn new(bank: &Bank) -> Result<Self> {
        town::sql(bank, &format!("VACUUM INTO '{}'", bank.path("ledger/unguarded.sqlite3").display()))?;
        let entries = books::journal_entries(bank)?;
        let anchors = entries.iter().filter_map(|entry| entry["entry"]["audit"]["sequence"].as_u64());
        let anchored = anchors.max().context("no entry of the journal names a row of the trail")?;
        let trail = Self { folder: bank.path(""), rows: 0, anchored };
        let triggers = trail.sql(
            "unguarded",
            "SELECT 'DROP TRIGGER ' || name || ';' FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'",
        )?;
        trail.sql("unguarded", &triggers)?;
        let rows = trail.sql("unguarded", "SELECT max(sequence) FROM audit")?;
        let configuration = fs::read_to_string(bank.path("inro.toml")).context("reading inro.toml")?;
        fs::write(bank.path("mutant.toml"), configuration.replace("ca.sqlite3", "mutant.sqlite3"))
            .context("writing mutant.toml")?;
        Ok(Self { rows: rows.trim().parse().context("counting rows")?, ..trail })
    }

    fn sql(&self, name: &str, statements: &str) -> Result<String> {
        let mut command = Command::new("sqlite3");
        process::run(
            command.arg("-bail").arg(self.folder.join(format!("ledger/{name}.sqlite3"))).arg(statements),
        )
    }

    /// What the verifier says of a copy after these statements; `None` when it is content.
    fn verdict(&self, statements: &str) -> Result<Option<String>> {
        let copy = self.folder.join("ledger/mutant.sqlite3");
        fs::copy(self.folder.join("ledger/unguarded.sqlite3"), copy).context("copying the ledger")?;
        if !statements.is_empty() {
            self.sql("mutant", statements)?;
        }
        let mut verify = Command::new(binaries::find("inro-ca")?);
        verify.arg("--config").arg(self.folder.join("mutant.toml")).args(["audit", "verify"]);
        verdict(&mut verify)
    }

    /// A chain that holds, and tells another story from this row on.
    fn hashed_anew(&self, from: u64) -> Result<String> {
        let query = format!(
            "SELECT json_object('sequence', sequence, 'at', at, 'actor', actor, 'action', action, 'subject', subject,
                'details', details, 'hash', lower(hex(hash)))
             FROM audit WHERE sequence >= {from} - 1 ORDER BY sequence"
        );
        let (mut statements, mut previous) = (String::from("BEGIN;"), [0; 32]);
        for line in self.sql("unguarded", &query)?.lines() {
            let row: serde_json::Value = serde_json::from_str(line).context("reading a row")?;
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let sequence = row["sequence"].as_u64().context("reading a row")?;
            let mut row = AuditRow {
                sequence,
                at_ms: row["at"].as_i64().context("reading a row")?,
                actor: text("actor"),
                action: text("action"),
                subject: text("subject"),
                details: text("details"),
                hash: [0; 32],
            };
            if sequence < from {
                hex::decode_to_slice(text("hash"), &mut previous).context("reading a hash")?;
                continue;
            }
            row.at_ms += i64::from(sequence == from);
            previous = row.chained(&previous);
            let hash = hex::encode(previous);
            let at = row.at_ms;
            write!(statements, "UPDATE audit SET at = {at}, hash = x'{hash}' WHERE sequence = {sequence};")?;
        }
        Ok(statements + "COMMIT;")
    }

    fn attack(&self, rng: &mut StdRng) -> Result<Attacked> {
        // Not the last: what nothing follows only an anchor can miss.
        let row = rng.random_range(1..self.rows);
        let name = |row: u64| format!("row {row} ");
        let (what, named, statements) = match rng.random_range(0..6) {
            0 => {
                let column = COLUMNS[rng.random_range(0..COLUMNS.len())];
                let value = match column {
                    "at" => "at + 1",
                    "hash" => "randomblob(32)",
                    _ => &format!("{column} || 'x'"),
                };
                let change = format!("UPDATE audit SET {column} = {value} WHERE sequence = {row}");
                (format!("{column} of row {row} changed"), name(row), change)
            }
            1 => {
                let change = format!("DELETE FROM audit WHERE sequence = {row}");
                (format!("row {row} deleted"), name(row), change)
            }
            2 => {
                let change = format!(
                    "DELETE FROM audit WHERE sequence = {row}; UPDATE audit SET sequence = -sequence WHERE sequence > {row};
                     UPDATE audit SET sequence = -sequence - 1 WHERE sequence < 0"
                );
                (format!("row {row} deleted, and the later ones moved up"), name(row), change)
            }
            3 => {
                let change = format!(
                    "UPDATE audit SET sequence = -1 WHERE sequence = {row};
                     UPDATE audit SET sequence = {row} WHERE sequence = {row} + 1;
                     UPDATE audit SET sequence = {row} + 1 WHERE sequence = -1"
                );
                (format!("rows {row} and {} exchanged", row + 1), name(row), change)
            }
            4 => {
                let row = rng.random_range(1..=self.anchored);
                let change = format!("DELETE FROM audit WHERE sequence >= {row}");
                (format!("everything from row {row} on cut off"), "lost rows".to_owned(), change)
            }
            _ => {
                let row = rng.random_range(1..=self.anchored);
                let change = self.hashed_anew(row)?;
                (
                    format!("row {row} changed, and all hashes computed anew"),
                    "rewrote rows".to_owned(),
                    change,
                )
            }
        };
        let verdict = self.verdict(&statements)?;
        Ok((what, named, verdict))
    }
}

/// The journal's octets and where its frames are.
struct JournalUnderAttack {
    mutant: PathBuf,
    octets: Vec<u8>,
    frames: Vec<std::ops::Range<usize>>,
}

impl JournalUnderAttack {
    fn new(bank: &Bank) -> Result<Self> {
        let octets = fs::read(bank.path("signer/journal")).context("reading the journal")?;
        let (mut frames, mut start) = (Vec::new(), HEADER);
        while let Some(length) = octets.get(start..start + 4) {
            let length = u32::from_be_bytes(length.try_into().context("a length")?);
            let end = start + FRAME_HEAD + usize::try_from(length).context("a length")?;
            ensure!(end <= octets.len(), "the journal ends within a frame");
            frames.push(start..end);
            start = end;
        }
        ensure!(frames.len() >= 4, "only {} journal entries", frames.len());
        Ok(Self { mutant: bank.path("mutant-journal"), octets, frames })
    }

    fn verdict(&self, octets: &[u8]) -> Result<Option<String>> {
        fs::write(&self.mutant, octets).context("writing a journal")?;
        let mut verify = Command::new(binaries::find("inro-hsm")?);
        verdict(verify.args(["journal", "verify"]).arg(&self.mutant))
    }

    fn attack(&self, rng: &mut StdRng) -> Result<Attacked> {
        // Not the last: what nothing follows only an anchor can miss.
        let entry = rng.random_range(0..self.frames.len() - 1);
        let (frame, next) = (self.frames[entry].clone(), self.frames[entry + 1].clone());
        let mut octets = self.octets.clone();
        let name = |entry: usize| format!("entry {} ", entry + 1);
        let (what, named) = match rng.random_range(0..5) {
            0 => {
                let (at, bit) = (rng.random_range(frame), rng.random_range(0..8));
                octets[at] ^= 1 << bit;
                (format!("bit {bit} of octet {at} flipped"), name(entry))
            }
            1 => {
                octets.drain(frame);
                (format!("{}deleted", name(entry)), name(entry))
            }
            2 => {
                let doubled = octets[frame.clone()].to_vec();
                octets.splice(frame.end..frame.end, doubled);
                (format!("{}doubled", name(entry)), name(entry + 1))
            }
            3 => {
                let exchanged = [&self.octets[next.clone()], &self.octets[frame.clone()]].concat();
                octets.splice(frame.start..next.end, exchanged);
                (format!("{}exchanged with the next", name(entry)), name(entry))
            }
            _ => {
                let at = rng.random_range(0..HEADER);
                octets[at] ^= 1 << rng.random_range(0..8);
                (format!("octet {at} of the header changed"), "is not a journal".to_owned())
            }
        };
        let verdict = self.verdict(&octets)?;
        Ok((what, named, verdict))
    }
}

/// A verifier's words when it ends with a failure; `None` when it is content.
fn verdict(command: &mut Command) -> Result<Option<String>> {
    let output = output_of(command, b"")?;
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    Ok((!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned()))
}
