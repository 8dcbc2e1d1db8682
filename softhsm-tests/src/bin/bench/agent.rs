//! `agent_enrol`: the agent's whole enrolment on a virtual YubiKey through pcscd, against the time that the card and the
//! server need for their parts of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use softhsm_tests::bank::{Desk, EnrolmentClient};

use super::{
    Lab,
    figure::{Better, Figure, Latency, Round},
    population::Population,
};

/// The users that enrol: half of them with the agent, half without.
const FIRST: usize = 100;
const ENROLMENTS: usize = 4;
/// What the agent may add.
const ALLOWED: Duration = Duration::from_millis(300);

pub(crate) fn enrol(lab: &Lab) -> Result<Vec<Figure>> {
    let (population, bank) = (lab.population()?, lab.bank()?);
    let index = |number: usize| FIRST + 2 * number;
    let profiles = (0..ENROLMENTS).map(|number| population.tokens[index(number)].soft.profile.clone());
    let desk = Desk::new(&lab.directory("desk"), bank.attestation(), profiles.collect())?;
    let (mut rounds, mut took, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for (number, yubikey) in desk.keys.iter().enumerate() {
        let server = at_the_server(lab, index(number) + 1)?;
        let before = yubikey.busy();
        let began = Instant::now();
        desk.enroll(bank, &Population::user(index(number)), yubikey.serial())?;
        let whole = began.elapsed();
        let needed = yubikey.busy().saturating_sub(before) + server;
        took.push(whole);
        added.push(whole.saturating_sub(needed));
        rounds.push(Round { ours: whole.as_secs_f64() * 1e3, baseline: needed.as_secs_f64() * 1e3 });
    }
    let mean = added.iter().sum::<Duration>().as_secs_f64() * 1e3 / super::figure::count(added.len());
    let unit = ("ms", Better::Lower);
    let figure = Figure::of("agent_enrol", unit, rounds, "time inside the card and at the server");
    let most = (figure.baseline + ALLOWED.as_secs_f64() * 1e3) / figure.baseline;
    let mut figure = figure.reaching(most);
    figure.latency = Latency::of(took);
    Ok(vec![figure.with_note(format!(
        "The agent, pcscd and the reader add {mean:.0} ms, {} at most are allowed. From exec to exit, with a new PIN \
         and management key for the token.",
        ALLOWED.as_millis()
    ))])
}

/// The same three steps by a client that has everything ready.
fn at_the_server(lab: &Lab, index: usize) -> Result<Duration> {
    let (population, bank) = (lab.population()?, lab.bank()?);
    let user = Population::user(index);
    let client = EnrolmentClient::new(bank)?;
    let began = Instant::now();
    let answer = client.enroll(&user, &population.tokens[index].soft, &format!("bench-key-{user}-0000"))?;
    answer.ok().with_context(|| format!("{user} got no certificate"))?;
    Ok(began.elapsed())
}
