//! R16: the clock of the authority, of the signer, or of both jumps by a day and comes back.

use std::{
    collections::HashMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use jiff::{SignedDuration, Timestamp};
use x509_cert::{Certificate, der::Decode};

use super::{
    Outcome, Size, kills,
    published::{self, Published},
    town::{self, Customer, Seen},
};
use crate::{
    bank::{Bank, EnrolmentClient},
    faults::Faults,
};

/// How far times may lie in the future: what the signer bears.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(10);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// As long as it takes the authority to publish a CRL and to fail at it.
const WATCH: Duration = Duration::from_millis(1500);
/// Everything works again as soon after the clock is right.
const RECOVERY: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// Whose clock jumps: what to call it, the authority's, the signer's, and by how much.
const JUMPS: [(&str, bool, bool, SignedDuration); 6] = [
    ("the authority's clock a day ahead", true, false, DAY),
    ("the signer's clock a day ahead", false, true, DAY),
    ("the authority's clock a day behind", true, false, SignedDuration::from_hours(-24)),
    ("the signer's clock a day behind", false, true, SignedDuration::from_hours(-24)),
    ("both clocks a day behind", true, true, SignedDuration::from_hours(-24)),
    ("both clocks a day ahead", true, true, DAY),
];

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R16",
        "clocks jump by a day and back: refused, or right all the same; nothing is dated into the future, CRL numbers \
         never shrink, recovery as soon as the clock is right",
    );
    let count = u32::try_from(size.clock_jumps).context("too many jumps")?;
    let (mut bank, mut customers) = town::found(&directory.join("bank"), 2 + 2 * count)?;
    let authority = Faults::new(&directory.join("authority-clock"), &[])?;
    let signer = Faults::new(&directory.join("signer-clock"), &[])?;
    bank.authority_extra = authority.environment()?;
    bank.signer_extra = signer.environment()?;
    town::revive(&mut bank)?;
    let mut agents = Agents::new(&bank)?;
    for _ in 0..2 {
        let customer = customers.pop().context("a customer")?;
        agents.attempt(&customer)?.map_err(|problem| anyhow!("{problem}"))?;
    }
    let (mut last, mut recoveries, mut refused) = (published::crl(&bank)?, Vec::new(), 0);
    for turn in 0..size.clock_jumps {
        let (what, of_authority, of_signer, by) = JUMPS[turn % JUMPS.len()];
        for faults in [of_authority.then_some(&authority), of_signer.then_some(&signer)].into_iter().flatten()
        {
            faults.clock(by)?;
        }
        let (hit, late) = (customers.pop().context("a customer")?, customers.pop().context("a customer")?);
        match agents.attempt(&hit)? {
            Ok(certificate) => check_dates(&certificate, what, &mut outcome)?,
            Err(_) => refused += 1,
        }
        // A reason for a new CRL, by an operator whose clock is the authority's.
        let victim = agents.seen[turn % agents.seen.len()].serial.clone();
        let revoked = bank.try_operator(&["certificate", "revoke", &victim, "--reason", "superseded"])?;
        last = watch(&bank, &victim, last, what, &mut outcome)?;

        authority.clock(SignedDuration::ZERO)?;
        signer.clock(SignedDuration::ZERO)?;
        let began = Instant::now();
        for customer in [&hit, &late] {
            agents.insist(customer, what, &mut outcome)?;
        }
        if revoked.status.success() {
            until(&format!("{what}: {victim}, revoked meanwhile, on the CRL"), &mut outcome, || {
                Ok(published::crl(&bank)?.serials.contains(&victim))
            })?;
        }
        town::ready(&bank, RECOVERY).with_context(|| format!("after {what}"))?;
        recoveries.push(began.elapsed());
        last = watch(&bank, &victim, last, what, &mut outcome)?;
        if !outcome.violations.is_empty() {
            return Ok(outcome.ended());
        }
    }
    outcome.figure("jumps", size.clock_jumps);
    outcome.figure("refused_while_wrong", refused);
    outcome.times("recovery", &recoveries);
    kills::check(&mut bank, &agents.seen, &mut outcome)?;
    Ok(outcome.ended())
}

/// The customers' agents.
struct Agents {
    client: EnrolmentClient,
    maker: town::Maker,
    /// How many enrolments of a customer have come to nothing.
    given_up: HashMap<String, u32>,
    seen: Vec<Seen>,
}

impl Agents {
    fn new(bank: &Bank) -> Result<Self> {
        let (client, maker) = (EnrolmentClient::new(bank)?, town::Maker::new(bank)?);
        Ok(Self { client, maker, given_up: HashMap::new(), seen: Vec::new() })
    }

    /// One attempt: the certificate, or what was said instead. What is refused for good is begun anew the next time.
    fn attempt(&mut self, customer: &Customer) -> Result<std::result::Result<Vec<u8>, String>> {
        let token = self.maker.token(customer)?;
        let given_up = self.given_up.entry(customer.id.clone()).or_default();
        let key = format!("{}-{given_up}", customer.key());
        Ok(match self.client.enroll(&customer.id, &token, &key) {
            Ok(Ok(certified)) => {
                let serial = Bank::serial_of(&certified.certificate.0)?;
                self.seen.push(Seen { serial, user: customer.id.clone() });
                Ok(certified.certificate.0)
            }
            Ok(Err(problem)) => {
                *given_up += u32::from(!town::is_later(&problem));
                Err(format!("{problem:?}"))
            }
            Err(error) => Err(format!("{error:#}")),
        })
    }

    fn insist(&mut self, customer: &Customer, what: &str, outcome: &mut Outcome) -> Result<()> {
        if self.seen.iter().any(|seen| seen.user == customer.id) {
            return Ok(());
        }
        let began = Instant::now();
        loop {
            match self.attempt(customer)? {
                Ok(certificate) => return check_dates(&certificate, what, outcome),
                Err(problem) if began.elapsed() > RECOVERY => {
                    outcome
                        .violations
                        .push(format!("{what}, and right again: {} hears {problem}", customer.id));
                    return Ok(());
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }
}

fn check_dates(certificate: &[u8], what: &str, outcome: &mut Outcome) -> Result<()> {
    let certificate = Certificate::from_der(certificate).context("reading a certificate")?;
    let not_before = ca_x509::time::from_x509(&certificate.tbs_certificate().validity().not_before)?;
    let wrong_by = not_before.duration_since(Timestamp::now()).abs();
    outcome.check(wrong_by <= TOLERANCE, || format!("{what}: a certificate valid from {not_before}"));
    Ok(())
}

fn until(what: &str, outcome: &mut Outcome, mut reached: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !reached()? {
        if began.elapsed() > RECOVERY {
            outcome.violations.push(format!("{what}: not within {RECOVERY:?}"));
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Looks at what relying parties get while the authority tries.
fn watch(
    bank: &Bank,
    serial: &str,
    mut last: Published,
    what: &str,
    outcome: &mut Outcome,
) -> Result<Published> {
    let began = Instant::now();
    while began.elapsed() < WATCH {
        let crl = published::crl(bank)?;
        let latest = Timestamp::now() + TOLERANCE;
        outcome
            .check(crl.number >= last.number, || format!("{what}: CRL {} after {}", crl.number, last.number));
        outcome.check(crl.this_update <= latest, || {
            format!("{what}: CRL {} of {}", crl.number, crl.this_update)
        });
        if let Some(told) = published::ocsp(bank, serial)? {
            let this_update = told.this_update;
            outcome.check(this_update <= latest, || format!("{what}: an OCSP response of {this_update}"));
        }
        last = crl;
        thread::sleep(PAUSE);
    }
    Ok(last)
}
