//! `enrol_full`: the customer's whole path at the server (password, challenge, evidence, issuance, confirmation), one at
//! a time, against the argon2id in it.

use std::time::Instant;

use anyhow::{Context, Result};
use softhsm_tests::bank::EnrolmentClient;

use super::{
    Lab, baseline,
    figure::{Better, Figure, Latency, Round, count},
    population::Population,
};

const ENROLMENTS: usize = 60;

pub(crate) fn full(lab: &Lab) -> Result<Vec<Figure>> {
    let (population, bank) = (lab.population()?, lab.bank()?);
    let client = EnrolmentClient::new(bank)?;
    let mut took = Vec::new();
    let mut rounds = Vec::new();
    for (index, token) in population.tokens.iter().enumerate().take(ENROLMENTS) {
        let hash = baseline::argon2id()?;
        let user = Population::user(index);
        let began = Instant::now();
        let answer = client.enroll(&user, &token.soft, &format!("bench-key-{user}-0000"))?;
        answer.ok().with_context(|| format!("{user} got no certificate"))?;
        let ours = began.elapsed();
        took.push(ours);
        rounds.push(Round { ours: ours.as_secs_f64() * 1e3, baseline: hash.as_secs_f64() * 1e3 });
    }
    // Ten at a time, as single ones waver.
    let rounds = rounds.chunks(10).map(|some| {
        let mean = |of: fn(&Round) -> f64| some.iter().map(of).sum::<f64>() / count(some.len());
        Round { ours: mean(|round| round.ours), baseline: mean(|round| round.baseline) }
    });
    let mut figure =
        Figure::of("enrol_full", ("ms", Better::Lower), rounds.collect(), "argon2id alone").reaching(1.15);
    figure.latency = Latency::of(took);
    Ok(vec![figure.with_note("one customer at a time; the client's own signatures are in it")])
}
