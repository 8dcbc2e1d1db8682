//! R7: the module hangs or crashes while a customer waits, with a whole bank around it.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{DEADLINE, LANES};
use crate::{
    bank::{Bank, EnrolmentClient, fetch},
    openssl::openssl,
    simulated_hsm::{Fault, Settings, SimulatedHsm},
    soak::{
        Outcome, Size, kills,
        town::{self, Customer, Maker, Seen},
    },
};

/// A response from the cache is there long before a hanging module is found out.
const FROM_CACHE: Duration = Duration::from_secs(1);

pub(in crate::soak) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R7",
        "the module hangs or crashes: a clear answer within 10 s, OCSP from the cache meanwhile, one certificate when the \
         customer tries again",
    );
    let customers = u32::try_from(size.module_hangs + 1).context("too many hangs")?;
    let (mut bank, mut customers) = town::found(&directory.join("bank"), customers)?;
    let hsm = SimulatedHsm::in_front_of(&bank, Settings::AT_ONCE, LANES)?;
    town::revive(&mut bank)?;
    let (maker, client) = (Maker::new(&bank)?, EnrolmentClient::new(&bank)?);
    let mut next = || customers.pop().context("no customers are left");

    let first = enrol(&client, &maker, &next()?)?;
    let mut seen = vec![first.clone()];
    let ocsp = ocsp_url(&bank, &first)?;
    let (mut answers, mut recoveries) = (Vec::new(), Vec::new());
    for round in 0..size.module_hangs {
        let (said, fault) = fault(round);
        let customer = next()?;
        is_cached(&ocsp).with_context(|| format!("{said}: before"))?;
        hsm.fault(&fault)?;
        let token = maker.token(&customer)?;
        let began = Instant::now();
        let answer = thread::scope(|scope| -> Result<_> {
            let asking = scope.spawn(|| {
                let answer = client.enroll(&customer.id, &token, &customer.key());
                (answer, began.elapsed())
            });
            while !asking.is_finished() {
                match is_cached(&ocsp) {
                    Ok(took) => outcome.check(took <= FROM_CACHE, || format!("{said}: OCSP took {took:?}")),
                    Err(error) => outcome.violations.push(format!("{said}: OCSP: {error:#}")),
                }
                thread::sleep(Duration::from_millis(100));
            }
            asking.join().map_err(|_| anyhow::anyhow!("the customer panicked"))
        })?;
        let (answer, took) = answer;
        answers.push(took);
        let answer = answer.with_context(|| format!("{said}: no answer"))?;
        let clear = matches!(&answer, Err(problem) if town::is_later(problem));
        outcome.check(clear, || format!("{said}: {answer:?}"));
        // Password, evidence and two commits are in it as well.
        outcome.check(took <= DEADLINE, || format!("{said}: {took:?} to an answer"));

        hsm.clear()?;
        let mended = Instant::now();
        seen.push(enrol(&client, &maker, &customer).with_context(|| said.clone())?);
        recoveries.push(mended.elapsed());
        town::ready(&bank, town::PATIENCE).context(said)?;
    }
    outcome.figure("faults", size.module_hangs);
    outcome.times("answer", &answers);
    outcome.times("recovery", &recoveries);
    kills::check(&mut bank, &seen, &mut outcome)?;
    Ok(outcome.ended())
}

/// It hangs before or after it has signed, or dies.
fn fault(round: usize) -> (String, Fault) {
    let minute = Some(Duration::from_mins(1));
    match round % 4 {
        0 => ("hangs before it signs".to_owned(), Fault::hangs("C_Sign", minute)),
        1 => ("dies of SIGSEGV".to_owned(), Fault::segfault("C_Sign")),
        2 => ("hangs when it has signed".to_owned(), Fault::hangs("C_Sign", minute).when_done()),
        _ => ("aborts when it has signed".to_owned(), Fault::abort("C_Sign").when_done()),
    }
}

/// Enrols a customer, trying again as the agent does.
fn enrol(client: &EnrolmentClient, maker: &Maker, customer: &Customer) -> Result<Seen> {
    let (began, token) = (Instant::now(), maker.token(customer)?);
    loop {
        match client.enroll(&customer.id, &token, &customer.key())? {
            Ok(certified) => {
                let serial = Bank::serial_of(&certified.certificate.0)?;
                return Ok(Seen { serial, user: customer.id.clone() });
            }
            Err(problem) => {
                ensure!(town::is_later(&problem), "{} was refused for good: {problem:?}", customer.id);
                ensure!(began.elapsed() < town::PATIENCE, "{} was never certified: {problem:?}", customer.id);
            }
        }
        thread::sleep(Duration::from_millis(40));
    }
}

/// Where to ask for a certificate's status by GET, as relying parties do.
fn ocsp_url(bank: &Bank, of: &Seen) -> Result<String> {
    let request = bank.path("ocsp-request.der");
    let issuer = bank.path("ceremony/issuing.pem");
    let serial = format!("0x{}", of.serial);
    let (issuer, path) = (issuer.to_string_lossy(), request.to_string_lossy());
    openssl(&["ocsp", "-issuer", &issuer, "-serial", &serial, "-no_nonce", "-reqout", &path])?;
    let der = fs::read(&request).context("reading an OCSP request")?;
    let path = BASE64_STANDARD.encode(der).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    Ok(format!("{}/ocsp/{path}", bank.urls().validation))
}

/// A successful response (RFC 6960, 4.2.1: its first field is responseStatus 0), and how long it took.
fn is_cached(url: &str) -> Result<Duration> {
    let began = Instant::now();
    let response = fetch(url)?;
    ensure!(response.status == 200, "status {}", response.status);
    let status = response.body.windows(3).position(|octets| octets == [0x0a, 0x01, 0x00]);
    ensure!(status.is_some_and(|place| place < 6), "it isn't successful");
    Ok(began.elapsed())
}
