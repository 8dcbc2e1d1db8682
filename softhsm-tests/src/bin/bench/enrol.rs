//! `enrol_full`: what the customer's whole path at the server (password, challenge, evidence, issuance, confirmation)
//! costs the machine, against the argon2id in it; both by as many at a time as keep the machine busy. And how long one
//! customer waits who is alone.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use ca_wire::{Base64Url, enrolment::Certify};
use softhsm_tests::bank::{EnrolmentClient, challenge};

use super::{
    Lab, baseline,
    figure::{Better, Figure, Latency, Round, count},
    population::{Population, Token},
};

/// The users that enrol, after those of the agent's bench.
const FIRST: usize = 200;
const ALONE: usize = 30;
const ROUNDS: usize = 4;
/// In a round.
const ENROLMENTS: usize = 150;
/// Customers at a time.
const AT_A_TIME: usize = 8;

pub(crate) fn full(lab: &Lab) -> Result<Vec<Figure>> {
    let customers = Customers { population: lab.population()?, client: EnrolmentClient::new(lab.bank()?)? };
    let mut next = FIRST;
    let mut take = |number: usize| {
        let first = next;
        next += number;
        first..next
    };
    customers.enrol(take(AT_A_TIME), AT_A_TIME)?;
    let unit = ("ms", Better::Lower);

    let alone = customers.enrol(take(ALONE), 1)?;
    let hash = baseline::argon2id(1, ALONE)?;
    let round = Round { ours: alone.each_ms, baseline: hash };
    let mut waiting = Figure::of("enrol_full_alone", unit, vec![round], "argon2id alone")
        .with_note("one customer at a time; the client's TLS and its answer to the challenge are in it");
    waiting.latency = Latency::of(alone.took);

    let (mut rounds, mut took) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let baseline = baseline::argon2id(processors, ENROLMENTS)?;
        let enrolled = customers.enrol(take(ENROLMENTS), AT_A_TIME)?;
        rounds.push(Round { ours: enrolled.each_ms, baseline });
        took.extend(enrolled.took);
    }
    let mut full = Figure::of("enrol_full", unit, rounds, "argon2id alone, on all processors")
        .reaching(1.15)
        .with_note(format!(
            "{AT_A_TIME} customers at a time; the client's TLS and its answer to the challenge are in it"
        ));
    full.latency = Latency::of(took);
    Ok(vec![full, waiting])
}

struct Customers<'a> {
    population: &'a Population,
    client: EnrolmentClient,
}

/// Enrolments that were done.
struct Enrolled {
    /// The time that all took, divided by their number.
    each_ms: f64,
    took: Vec<Duration>,
}

impl Customers<'_> {
    fn enrol(&self, users: Range<usize>, at_a_time: usize) -> Result<Enrolled> {
        let next = AtomicUsize::new(users.start);
        let number = users.len();
        let began = Instant::now();
        let took = thread::scope(|scope| {
            let lane = || {
                let mut took = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= users.end {
                        return Ok(took);
                    }
                    took.push(self.one(index)?);
                }
            };
            let lanes: Vec<_> = (0..at_a_time).map(|_| scope.spawn(lane)).collect();
            lanes.into_iter().map(|lane| lane.join().expect("a thread panicked")).collect::<Result<Vec<_>>>()
        })?
        .concat();
        Ok(Enrolled { each_ms: began.elapsed().as_secs_f64() * 1e3 / count(number), took })
    }

    /// Request and evidence are there before the clock starts; only the challenge is answered under it.
    fn one(&self, index: usize) -> Result<Duration> {
        let Token { soft, csr, evidence } =
            self.population.tokens.get(index).context("too few tokens: raise --tokens")?;
        let user = Population::user(index);
        let key = format!("bench-key-{user}-0000");
        let refused = |problem| anyhow!("{user} got no certificate: {problem:?}");
        let began = Instant::now();
        let opened = self.client.open(&user, soft, &key)?.map_err(refused)?;
        let certify = Certify {
            csr: Base64Url(csr.clone()),
            evidence: evidence.clone(),
            challenge_signature: Base64Url(soft.answer(challenge(&opened)?)?),
            predecessor_signature: None,
        };
        let certified = self.client.certify(&opened, &certify, &key)?.map_err(refused)?;
        self.client.confirm(&opened, &certified, &key)?.map_err(refused)?;
        Ok(began.elapsed())
    }
}
