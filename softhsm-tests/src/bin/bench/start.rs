//! `start`: signer and authority from exec to ready, with a ledger and a journal full of certificates.
//!
//! One certificate is issued; copies of its rows, with numbers of their own, fill the ledger by SQL, and copies of its
//! journal entry the journal, through the journal's own code. Their signatures are the first one's: nothing at the start
//! looks at those. The first start, which is not measured, reconciles; the measured ones find its checkpoint.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hsm_config::journal::Journal;
use jiff::Timestamp;
use signer_protocol::message::{AuditPosition, EntryBody, JournalPosition, KeyLabel};
use softhsm_tests::bank::{Bank, EnrolmentClient, Options};
use uuid::Uuid;
use x509_cert::der::{Decode as _, Encode as _};

use super::{
    Lab,
    figure::{Better, Figure, Latency, Round},
    ledger::Ledger,
    population::Population,
};

const ALLOWED: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
/// Entries that are synced together.
const GROUP: usize = 500;
/// Users of a contract.
const SEATS: usize = 50;
/// Added to an enrolment's number.
const FIRST_INTENT: u128 = 0x57a7_0000_0000_4000_0000_0000_0000_0000;
const DEADLINE: Duration = Duration::from_mins(1);

/// A certificate to copy.
struct Template {
    user: String,
    tbs: Vec<u8>,
    signature: Vec<u8>,
    /// Where its serial number's last eight octets are in the TBS.
    serial: usize,
}

pub(crate) fn start(lab: &Lab) -> Result<Vec<Figure>> {
    let population = lab.population()?;
    let mut bank = Bank::prepare(&lab.directory("start"), &Options::default())?;
    bank.trust(population.roots.clone())?;
    bank.hold_ceremony()?;
    bank.migrate()?;
    population.register(&Ledger::sqlite(&bank))?;
    serve(&mut bank)?;
    let user = Population::user(0);
    let answer =
        EnrolmentClient::new(&bank)?.enroll(&user, &population.tokens[0].soft, "bench-key-for-start")?;
    let certificate = answer.ok().context("no certificate")?.certificate.0;
    stop(&mut bank)?;
    let empty = serve(&mut bank)?;
    stop(&mut bank)?;

    let began = Instant::now();
    let template = Template::of(user, &certificate)?;
    let positions = fill_journal(&bank, &template, lab.certificates())?;
    fill_ledger(&bank, &template, &positions)?;
    lab.say(&format!(
        "  {} certificates filled in within {:.0} s",
        positions.len(),
        began.elapsed().as_secs_f64()
    ));
    let first = catch_up(&mut bank)?;
    lab.say(&format!("  the first start took {:.1} s", first.as_secs_f64()));
    stop(&mut bank)?;
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        took.push(serve(&mut bank)?);
        stop(&mut bank)?;
    }
    let rounds = took.iter().map(|took| Round { ours: took.as_secs_f64(), baseline: ALLOWED.as_secs_f64() });
    let mut figure =
        Figure::of("start", ("s", Better::Lower), rounds.collect(), "the 2 s that are allowed").reaching(1.0);
    figure.latency = Latency::of(took);
    Ok(vec![figure.with_note(format!(
        "{} certificates in ledger (SQLite) and journal; signer, then authority, from exec to ready. With one \
         certificate: {:.2} s. The first start after filling them in: {:.1} s.",
        positions.len(),
        empty.as_secs_f64(),
        first.as_secs_f64()
    ))])
}

/// From exec to ready.
fn serve(bank: &mut Bank) -> Result<Duration> {
    let began = Instant::now();
    bank.start_signer()?;
    bank.start_authority()?;
    Ok(began.elapsed())
}

/// The first start with everything in place: the authority reads the whole journal once before it is ready, which may
/// take longer than a start is waited for. It carries on where it was.
fn catch_up(bank: &mut Bank) -> Result<Duration> {
    const GOES: usize = 10;
    let began = Instant::now();
    bank.start_signer()?;
    for _ in 1..GOES {
        if bank.start_authority().is_ok() {
            return Ok(began.elapsed());
        }
    }
    bank.start_authority()?;
    Ok(began.elapsed())
}

/// As an operator would: asked, not killed.
fn stop(bank: &mut Bank) -> Result<()> {
    for process in [bank.authority.take(), bank.signer.take()] {
        process.context("a process is gone")?.terminate(DEADLINE)?;
    }
    Ok(())
}

impl Template {
    fn of(user: String, certificate: &[u8]) -> Result<Self> {
        let certificate = x509_cert::Certificate::from_der(certificate).context("reading the certificate")?;
        let tbs = certificate.tbs_certificate().to_der()?;
        let serial = certificate.tbs_certificate().serial_number().as_bytes();
        ensure!(serial.len() > 8, "a serial number of {} octets", serial.len());
        let at = tbs.windows(serial.len()).position(|some| some == serial).context("no serial number")?;
        let signature = certificate.signature().raw_bytes().to_vec();
        Ok(Self { user, serial: at + serial.len() - 8, tbs, signature })
    }

    /// Its TBS with another serial number.
    fn copy(&self, number: u64) -> Vec<u8> {
        let mut tbs = self.tbs.clone();
        tbs[self.serial..self.serial + 8].copy_from_slice(&number.to_be_bytes());
        tbs
    }
}

/// Appends an entry for each; returns where they are.
fn fill_journal(bank: &Bank, template: &Template, certificates: usize) -> Result<Vec<JournalPosition>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let journal =
            Journal::open(&bank.path("signer/journal"), Timestamp::now).context("opening the journal")?;
        let mut positions = Vec::with_capacity(certificates);
        for first in (0..certificates).step_by(GROUP) {
            let group = first..(first + GROUP).min(certificates);
            let entries = group.map(|number| EntryBody::Certificate {
                key: KeyLabel("customer-issuing".to_owned()),
                intent: Uuid::from_u128(FIRST_INTENT + number as u128),
                audit_head: AuditPosition::START,
                tbs: template.copy(number as u64),
                signature: template.signature.clone(),
            });
            positions.extend(journal.append(entries.collect()).await.context("appending to the journal")?);
        }
        Ok(positions)
    })
}

/// Copies the rows of the template's user, enrolment and certificate.
fn fill_ledger(bank: &Bank, template: &Template, positions: &[JournalPosition]) -> Result<()> {
    // Octets are joined as text, which is what SQLite's `||` makes, and keep their value.
    let with_serial = |column: &str, at: &str| {
        format!("CAST(substr(t.{column}, 1, {at}) || p.serial || substr(t.{column}, {at} + 9) AS BLOB)")
    };
    let tbs = with_serial("tbs", &template.serial.to_string());
    let der = with_serial("der", "(instr(t.der, t.serial) + length(t.serial) - 9)");
    let serial = with_serial("serial", "(length(t.serial) - 8)");
    let (user, contract) = ("printf('start-%07d', p.i)", format!("printf('7%06d', p.i / {SEATS})"));
    let device = "CAST(100000000 + p.i AS TEXT)";
    let template_user = &template.user;
    let of_user = format!("t.user_id = '{template_user}'");
    let one_of_each =
        format!("p.i % {SEATS} = 0 AND t.number = (SELECT contract FROM users WHERE id = '{template_user}')");
    let statements = [
        copy(bank, "contracts", &one_of_each, &[("number", &contract)])?,
        copy(
            bank,
            "users",
            &format!("t.id = '{template_user}'"),
            &[("id", user), ("contract", &contract), ("device_serial", device)],
        )?,
        copy(
            bank,
            "enrolments",
            &of_user,
            &[
                ("id", "p.intent"),
                ("idempotency_key", "printf('start-%020d', p.i)"),
                ("user_id", user),
                ("device_serial", device),
            ],
        )?,
        copy(
            bank,
            "certificates",
            &of_user,
            &[
                ("id", "1000 + p.i"),
                ("intent", "p.intent"),
                ("serial", &serial),
                ("user_id", user),
                ("contract", &contract),
                ("device_serial", device),
                ("public_key_sha256", "p.hash"),
                ("journal_sequence", "p.sequence"),
                ("journal_hash", "p.hash"),
                ("tbs", &tbs),
                ("der", &der),
            ],
        )?,
    ];
    let mut script = String::from(
        "CREATE TEMP TABLE positions (i INTEGER PRIMARY KEY, sequence INTEGER, hash BLOB, serial BLOB, intent BLOB);\n\
         BEGIN;\n",
    );
    for (number, position) in positions.iter().enumerate() {
        writeln!(
            script,
            "INSERT INTO positions VALUES ({number}, {}, x'{}', x'{number:016x}', x'{:032x}');",
            position.sequence,
            hex::encode(position.hash),
            FIRST_INTENT + number as u128,
        )?;
    }
    script.extend(statements);
    script.push_str("COMMIT;\n");
    Ledger::sqlite(bank).execute(&script).map(drop).context("filling the ledger")
}

/// A statement that copies the rows of `table` that `which` chooses, once for each position, with other values in some
/// columns; those that the table doesn't have are passed over.
fn copy(bank: &Bank, table: &str, which: &str, values: &[(&str, &str)]) -> Result<String> {
    let columns = Ledger::sqlite(bank).execute(&format!("SELECT name FROM pragma_table_info('{table}');"))?;
    let columns: Vec<&str> = columns.lines().collect();
    let value = |column: &str| match values.iter().find(|(name, _)| *name == column) {
        Some((_, value)) => (*value).to_owned(),
        None => format!("t.{column}"),
    };
    let expressions: Vec<String> = columns.iter().map(|column| value(column)).collect();
    Ok(format!(
        "INSERT INTO {table} ({}) SELECT {} FROM {table} t, positions p WHERE {which} ORDER BY p.i;\n",
        columns.join(", "),
        expressions.join(", ")
    ))
}
