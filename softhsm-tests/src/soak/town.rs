//! A bank with many customers, and the load that they make: eight clients that enrol one customer after the other, each
//! insisting on its idempotency key until it has its certificate, as the agent does.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use ca_wire::problem::Problem;

use crate::{
    bank::{Bank, EnrolmentClient, NewUser, Options, SoftToken, fetch},
    process::run,
    virtual_yubikey::{Firmware, Profile, attestation::AttestationKey},
};

/// Clients at a time.
pub(super) const CLIENTS: usize = 8;
const CONTRACT: &str = "1234567";
const FIRST_TOKEN: u32 = 30_000_000;
const FIRMWARE: Firmware = Firmware(5, 7, 2);
const RETRY: Duration = Duration::from_millis(40);
/// Nothing heals later than this.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// A customer who has no certificate yet.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) id: String,
    serial: u32,
}

impl Customer {
    pub(super) fn key(&self) -> String {
        format!("{}-idempotency-key", self.id)
    }
}

/// Makes tokens that share an attestation key.
#[derive(Debug)]
pub(super) struct Maker(AttestationKey);

impl Maker {
    pub(super) fn new(bank: &Bank) -> Result<Self> {
        let profile = Profile::new(FIRST_TOKEN, FIRMWARE);
        let key = bank.attestation().authority(FIRMWARE).attestation_key(&profile);
        Ok(Self(key.context("making an attestation key")?))
    }

    pub(super) fn token(&self, customer: &Customer) -> Result<SoftToken> {
        SoftToken::of_batch(&self.0, Profile::new(customer.serial, FIRMWARE))
    }
}

/// A certificate that a client holds in its hands.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) serial: String,
    pub(super) user: String,
}

/// The ledger stands in a folder of its own, so that faults can be aimed at it. Passwords are cheap: they aren't what is
/// tested, and cost more than all the rest.
fn adjust(table: &mut toml::Table) {
    let mut set = |section: &str, key: &str, value: toml::Value| {
        if let Some(toml::Value::Table(section)) = table.get_mut(section) {
            section.insert(key.to_owned(), value);
        }
    };
    set("node", "database", "ledger/ca.sqlite3".into());
    set("passwords", "memory_kib", 7168.into());
    set("passwords", "iterations", 1.into());
}

/// More customers than are enrolled around so many disturbances, on a fast machine too.
pub(super) fn customers_for(disturbances: usize) -> Result<u32> {
    const EACH: usize = 400;
    const MOST: usize = 60_000;
    u32::try_from((disturbances * EACH).min(MOST)).context("too many customers")
}

/// A bank after its ceremony, with this many customers. Nothing runs yet.
pub(super) fn found(directory: &Path, customers: u32) -> Result<(Bank, Vec<Customer>)> {
    let bank = Bank::prepare(directory, &Options { adjust: Some(adjust), ..Options::default() })?;
    fs::create_dir_all(bank.path("ledger")).context("making the ledger's folder")?;
    bank.hold_ceremony()?;
    bank.migrate()?;
    let seats = u16::try_from(customers + 1).context("too many customers for a contract")?;
    let contract = ["contract", "add", CONTRACT, "--name", "負荷試験", "--general-users", &seats.to_string()];
    bank.operator(&contract)?;
    let pattern = NewUser {
        id: "load-00000",
        contract: CONTRACT,
        role: "general",
        name: "負荷",
        token: Some(FIRST_TOKEN),
    };
    bank.register_user(&pattern)?;
    multiply(&bank, customers)?;
    let customers = (1..=customers)
        .map(|number| Customer { id: format!("load-{number:05}"), serial: FIRST_TOKEN + number })
        .collect();
    Ok((bank, customers))
}

/// Copies the first user: thousands at the command line would take longer than what they are for.
fn multiply(bank: &Bank, customers: u32) -> Result<()> {
    let numbers =
        format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {customers})");
    let statements = format!(
        "BEGIN;
         {numbers} INSERT INTO users (id, contract, role, display_name, state, device_kind, device_serial, registered_at)
         SELECT printf('load-%05d', i), contract, role, display_name, state, device_kind,
                CAST({FIRST_TOKEN} + i AS TEXT), registered_at
         FROM users, n WHERE id = 'load-00000';
         {numbers} INSERT INTO passwords (user_id, kind, phc)
         SELECT printf('load-%05d', i), kind, phc FROM passwords, n WHERE user_id = 'load-00000';
         COMMIT;"
    );
    sql(bank, &statements).map(drop).context("registering customers")
}

/// Runs statements in the ledger, beside the authority.
pub(super) fn sql(bank: &Bank, statements: &str) -> Result<String> {
    let mut command = Command::new("sqlite3");
    command.args(["-bail", "-cmd", ".timeout 10000"]).arg(bank.path("ledger/ca.sqlite3")).arg(statements);
    run(&mut command)
}

/// Starts what doesn't run, and waits until all of it is ready; says how long that took.
pub(super) fn revive(bank: &mut Bank) -> Result<Duration> {
    let began = Instant::now();
    if bank.signer.is_none() {
        bank.start_signer()?;
    }
    if bank.authority.is_none() {
        bank.start_authority()?;
    }
    ready(bank, PATIENCE)?;
    Ok(began.elapsed())
}

/// Waits for readiness.
pub(super) fn ready(bank: &Bank, patience: Duration) -> Result<()> {
    let (began, url) = (Instant::now(), format!("{}/readyz", bank.urls().ops));
    loop {
        let answer = fetch(&url);
        if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
            return Ok(());
        }
        if began.elapsed() > patience {
            let said = answer.map_or_else(|error| format!("{error:#}"), |answer| answer.text());
            bail!("not ready within {patience:?}: {said}");
        }
        thread::sleep(RETRY);
    }
}

/// What the clients have come to, for whoever disturbs them.
#[derive(Debug, Default)]
pub(super) struct Progress {
    certified: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
    dry: AtomicBool,
}

impl Progress {
    /// Certificates handed out so far.
    pub(super) fn certified(&self) -> u64 {
        self.certified.load(Ordering::SeqCst)
    }

    /// Answers 429 and 5xx so far.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// Waits until a count has grown by one; fails when it doesn't.
    pub(super) fn wait_for_more(&self, what: &str, count: impl Fn(&Self) -> u64) -> Result<()> {
        let (began, before) = (Instant::now(), count(self));
        while count(self) == before {
            ensure!(!self.dry.load(Ordering::SeqCst), "the customers ran out: there was no load any more");
            ensure!(began.elapsed() < PATIENCE, "no more {what} within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Certificates that the clients have.
    pub(super) seen: Vec<Seen>,
    /// Answers that no client should have got.
    pub(super) odd: Vec<String>,
    /// 429 and 5xx.
    pub(super) refusals: u64,
}

/// Lets eight clients enrol customers while `disturb` does its worst. Afterwards the bank is revived and every client
/// finishes what it began.
pub(super) fn under_load(
    bank: &mut Bank,
    customers: &mut Vec<Customer>,
    disturb: impl FnOnce(&mut Bank, &Progress) -> Result<()>,
) -> Result<Load> {
    // Each has a connection of its own.
    let clients = (0..CLIENTS).map(|_| EnrolmentClient::new(bank)).collect::<Result<Vec<_>>>()?;
    let (maker, progress) = (Maker::new(bank)?, Progress::default());
    let (queue, load) = (Mutex::new(customers), Mutex::new(Load::default()));
    let disturbed = thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| enrol_one_after_the_other(client, &maker, &queue, &load, &progress));
        }
        let disturbed = disturb(bank, &progress).and_then(|()| revive(bank).map(drop));
        progress.over.store(true, Ordering::SeqCst);
        disturbed
    });
    disturbed?;
    let mut load = load.into_inner().unwrap_or_else(PoisonError::into_inner);
    load.refusals = progress.refused();
    Ok(load)
}

fn enrol_one_after_the_other(
    client: &EnrolmentClient,
    maker: &Maker,
    queue: &Mutex<&mut Vec<Customer>>,
    load: &Mutex<Load>,
    progress: &Progress,
) {
    while !progress.over.load(Ordering::SeqCst) {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(customer) = next else { return progress.dry.store(true, Ordering::SeqCst) };
        let outcome = maker.token(&customer).and_then(|token| insist(client, &customer, &token, progress));
        let mut load = load.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(seen) => load.seen.push(seen),
            Err(error) => load.odd.push(format!("{}: {error:#}", customer.id)),
        }
    }
}

/// Enrols a customer, whatever it takes. Fails on an answer that isn't "later", and when it takes beyond all measure.
fn insist(
    client: &EnrolmentClient,
    customer: &Customer,
    token: &SoftToken,
    progress: &Progress,
) -> Result<Seen> {
    let mut over_since: Option<Instant> = None;
    loop {
        match client.enroll(&customer.id, token, &customer.key()) {
            Ok(Ok(certified)) => {
                progress.certified.fetch_add(1, Ordering::SeqCst);
                let serial = Bank::serial_of(&certified.certificate.0)?;
                return Ok(Seen { serial, user: customer.id.clone() });
            }
            Ok(Err(problem)) if is_later(&problem) => {
                progress.refused.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Err(problem)) => bail!("refused for good: {problem:?}"),
            // Nobody there, or gone in the middle of an answer.
            Err(_) => {}
        }
        if progress.over.load(Ordering::SeqCst) {
            let since = *over_since.get_or_insert_with(Instant::now);
            ensure!(since.elapsed() < PATIENCE, "no certificate within {PATIENCE:?} of the last fault");
        }
        thread::sleep(RETRY);
    }
}

/// Whether it asks to come again, rather than not to.
pub(super) fn is_later(problem: &Problem) -> bool {
    problem.status == 429 || problem.status >= 500
}
