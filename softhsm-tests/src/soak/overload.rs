//! R20: many times more requests than the machine can answer, at all doors at once.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ca_x509::ocsp::{OcspRequest, nonce_extension};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use x509_cert::der::{Decode, Encode};

use super::{Outcome, Size, kills, town};
use crate::{
    bank::{Bank, EnrolmentClient},
    openssl::openssl,
};

/// Enrolments asked for at a time. The authority computes two passwords at a time and lets 64 wait: five times that.
const OPENING: usize = 330;
/// On so many connections.
const CONNECTIONS: usize = 66;
/// OCSP requests with a nonce, each to be signed, at a time. A signer has four lanes.
const ASKING: usize = 60;
/// As long as a client is told to wait before it comes again.
const AGAIN: Duration = Duration::from_millis(100);
/// Growth of the memory that counts as flat, in percent, over long times; a few seconds say less.
const FLAT: f64 = 5.0;
const SETTLING: f64 = 25.0;
const LONG: Duration = Duration::from_mins(5);

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R20",
        "five times more load than can be served: 429 and 503, never a time-out; memory stays flat, nothing panics, and \
         it is forgotten when it is over",
    );
    let (mut bank, mut customers) = town::found(directory, 2000)?;
    town::revive(&mut bank)?;
    let openers: Vec<_> = customers.split_off(customers.len() - OPENING);
    let counts = Counts::default();
    let mut memory = Memory::default();
    let load = town::under_load(&mut bank, &mut customers, |bank, progress| {
        progress.wait_for_more("certificates", town::Progress::certified)?;
        let crowd = Crowd::of(bank)?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for (opener, client) in openers.iter().zip(crowd.enrolment.iter().cycle()) {
                let (crowd, over, counts) = (&crowd, &over, &counts);
                scope.spawn(move || crowd.open(client, opener, over, counts));
            }
            for _ in 0..ASKING {
                scope.spawn(|| crowd.ask(&over, &counts));
            }
            let watched = memory.watch(bank, size.overload);
            over.store(true, Ordering::SeqCst);
            watched
        })
    })?;
    outcome.violations.extend(load.odd);
    counts.report(size.overload, &mut outcome);
    memory.report(size.overload, &mut outcome);
    outcome.figure("certificates", load.seen.len());
    for log in ["authority", "signer"] {
        let text = fs::read_to_string(bank.path(format!("logs/{log}.log"))).context("reading a log")?;
        outcome.check(!text.contains("panicked"), || format!("a panic, see {log}.log"));
    }
    kills::check(&mut bank, &load.seen, &mut outcome)?;
    Ok(outcome.ended())
}

/// Those who all come at once.
struct Crowd {
    enrolment: Vec<EnrolmentClient>,
    maker: town::Maker,
    plain: Client,
    ocsp: String,
    request: OcspRequest,
}

impl Crowd {
    fn of(bank: &Bank) -> Result<Self> {
        let path = bank.path("overload-request.der");
        let issuing = bank.path("ceremony/issuing.pem");
        let arguments = ["ocsp", "-no_nonce", "-issuer", &issuing.to_string_lossy(), "-serial", "0x4001"];
        openssl(&[&arguments[..], &["-reqout", &path.to_string_lossy()]].concat())?;
        let request = OcspRequest::from_der(&fs::read(&path).context("reading a request")?)?;
        let plain = Client::builder().timeout(Duration::from_secs(35)).no_proxy().build()?;
        let enrolment = (0..CONNECTIONS).map(|_| EnrolmentClient::new(bank)).collect::<Result<_>>()?;
        let maker = town::Maker::new(bank)?;
        Ok(Self { enrolment, maker, plain, ocsp: format!("{}/ocsp", bank.urls().validation), request })
    }

    /// Opens the same enrolment again and again, which costs a password each time.
    fn open(&self, client: &EnrolmentClient, customer: &town::Customer, over: &AtomicBool, counts: &Counts) {
        let Ok(token) = self.maker.token(customer) else { return counts.failed("a token can't be made") };
        while !over.load(Ordering::SeqCst) {
            let began = Instant::now();
            match client.open(&customer.id, &token, &customer.key()) {
                Ok(Ok(_)) => counts.answered("enrolment", 201, began),
                Ok(Err(problem)) => counts.answered("enrolment", problem.status, began),
                Err(error) => counts.failed(&format!("enrolment: {error:#}")),
            }
        }
    }

    /// Asks for a status that nobody has asked for yet.
    fn ask(&self, over: &AtomicBool, counts: &Counts) {
        let mut request = self.request.clone();
        while !over.load(Ordering::SeqCst) {
            let began = Instant::now();
            let body = nonce_extension(&rand::random::<[u8; 16]>()).and_then(|nonce| {
                request.tbs_request.request_extensions = Some(vec![nonce]);
                request.to_der()
            });
            let Ok(body) = body else { return counts.failed("a request can't be built") };
            let post = self.plain.post(&self.ocsp).header("content-type", "application/ocsp-request");
            match post.body(body).send().and_then(|response| Ok((response.status(), response.bytes()?))) {
                Ok((status, _)) => counts.answered("ocsp", status.as_u16(), began),
                Err(error) => counts.failed(&format!("ocsp: {error:?}")),
            }
        }
    }
}

/// Answers by door and status, and the longest that anybody waited.
#[derive(Default)]
struct Counts(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    answers: BTreeMap<String, u64>,
    longest: BTreeMap<&'static str, Duration>,
    odd: BTreeMap<String, u64>,
}

impl Counts {
    fn answered(&self, door: &'static str, status: u16, began: Instant) {
        let took = began.elapsed();
        {
            let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counted.answers.entry(format!("{door}_{status}")).or_default() += 1;
            let longest = counted.longest.entry(door).or_default();
            *longest = took.max(*longest);
            if !matches!(status, 200 | 201 | 429 | 503) {
                *counted.odd.entry(format!("{door} answered {status}")).or_default() += 1;
            }
        }
        if matches!(status, 429 | 503) {
            thread::sleep(AGAIN);
        }
    }

    fn failed(&self, why: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).odd.entry(why.to_owned()).or_default() += 1;
        thread::sleep(AGAIN);
    }

    fn report(self, lasted: Duration, outcome: &mut Outcome) {
        let counted = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (why, times) in counted.odd {
            outcome.violations.push(format!("{why}, {times} times"));
        }
        outcome.figure("overload_seconds", lasted.as_secs());
        outcome.figure("answers", json!(counted.answers));
        let longest =
            counted.longest.iter().map(|(door, took)| ((*door).to_owned(), json!(took.as_millis())));
        outcome.figure("longest_ms", Value::Object(longest.collect()));
    }
}

/// Resident octets of authority and signer over time.
#[derive(Default)]
struct Memory {
    authority: Vec<u64>,
    signer: Vec<u64>,
}

impl Memory {
    fn watch(&mut self, bank: &Bank, lasting: Duration) -> Result<()> {
        let every = (lasting / 200).max(Duration::from_millis(200));
        let (authority, signer) = (bank.authority.as_ref(), bank.signer.as_ref());
        let (authority, signer) = (authority.context("it runs")?.id(), signer.context("it runs")?.id());
        let began = Instant::now();
        while began.elapsed() < lasting {
            self.authority.push(resident(authority)?);
            self.signer.push(resident(signer)?);
            thread::sleep(every);
        }
        Ok(())
    }

    fn report(&self, lasted: Duration, outcome: &mut Outcome) {
        let bound = if lasted >= LONG { FLAT } else { SETTLING };
        for (name, samples) in [("authority", &self.authority), ("signer", &self.signer)] {
            let quarter = samples.len() / 4;
            let (second, last) = (mean(&samples[quarter..2 * quarter]), mean(&samples[3 * quarter..]));
            let growth = (last / second - 1.0) * 100.0;
            outcome.figure(&format!("{name}_memory_growth_percent"), (growth * 10.0).round() / 10.0);
            outcome
                .check(growth < bound, || format!("{name}: memory grew by {growth:.1}% from {second} KiB"));
            let step = (samples.len() / 24).max(1);
            let curve: Vec<u64> = samples.iter().step_by(step).map(|kib| kib / 1024).collect();
            outcome.figure(&format!("{name}_memory_mib"), json!(curve));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes and counts are far below 2^52")]
fn mean(samples: &[u64]) -> f64 {
    samples.iter().sum::<u64>() as f64 / samples.len().max(1) as f64
}

/// `VmRSS` in KiB.
fn resident(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("a program has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.trim().trim_end_matches("kB").trim().parse().context("reading VmRSS")
}
