//! `issue_*`: certificates a second through the issuing API, durable, 64 requests in flight; against the raw rate of the
//! same module in the same run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use softhsm_tests::{
    bank::{Bank, Options},
    simulated_hsm::{Settings, SimulatedHsm},
};

use super::{
    Lab,
    baseline::RawKey,
    cpu::Cpu,
    figure::{Better, Figure, Latency, Round, count},
    issuance::{Clocked, IN_FLIGHT, Load, MACHINE},
    ledger::Ledger,
    peer::Cfssl,
};

/// The network HSM of `issue_offbox`.
const NETWORK: Settings = Settings { latency_us: 8_000, lanes: Some(16) };
/// More than the HSM has, so that it never waits for the next signature to be sent.
const SIGNER_LANES: u16 = 24;
const ROUNDS: u32 = 3;

/// A variant.
struct Issue {
    bench: &'static str,
    algorithm: &'static str,
    network: Option<Settings>,
    reach: f64,
    postgres: bool,
    with_peer: bool,
}

/// P-256 on SoftHSM and SQLite.
const PLAIN: Issue = Issue {
    bench: "issue_softhsm_p256",
    algorithm: "p256",
    network: None,
    reach: 0.15,
    postgres: false,
    with_peer: false,
};

pub(crate) fn offbox(lab: &Lab) -> Result<Vec<Figure>> {
    issue(lab, &Issue { bench: "issue_offbox", network: Some(NETWORK), reach: 0.95, ..PLAIN })
}

pub(crate) fn p256(lab: &Lab) -> Result<Vec<Figure>> {
    issue(lab, &Issue { with_peer: true, ..PLAIN })
}

pub(crate) fn p256_postgres(lab: &Lab) -> Result<Vec<Figure>> {
    issue(lab, &Issue { bench: "issue_softhsm_p256_postgres", postgres: true, ..PLAIN })
}

pub(crate) fn p384(lab: &Lab) -> Result<Vec<Figure>> {
    issue(lab, &Issue { bench: "issue_softhsm_p384", algorithm: "p384", reach: 0.45, ..PLAIN })
}

pub(crate) fn rsa3072(lab: &Lab) -> Result<Vec<Figure>> {
    issue(lab, &Issue { bench: "issue_softhsm_rsa3072", algorithm: "rsa3072", reach: 0.70, ..PLAIN })
}

fn issue(lab: &Lab, issue: &Issue) -> Result<Vec<Figure>> {
    let population = lab.population()?;
    let options =
        Options { issuing_algorithm: issue.algorithm, machines: vec![MACHINE], ..Options::default() };
    let mut bank = Bank::prepare(&lab.directory(issue.bench), &options)?;
    bank.trust(population.roots.clone())?;
    bank.hold_ceremony()?;
    let ledger = if issue.postgres { Ledger::postgres(&bank)? } else { Ledger::sqlite(&bank) };
    bank.migrate()?;
    let hsm =
        issue.network.map(|network| SimulatedHsm::in_front_of(&bank, network, SIGNER_LANES)).transpose()?;
    population.register(&ledger)?;
    bank.start_signer()?;
    bank.start_authority()?;
    // The last eighth is for enrolments that are whole under the clock.
    let load = Load::new(&bank, population, population.tokens.len() / 8 * 7)?;

    let key = RawKey::issuing(&bank, hsm.as_ref());
    let threads = if hsm.is_some() { SIGNER_LANES } else { key.best_threads()? };
    let length = Duration::from_secs_f64(lab.seconds());
    let (mut rounds, mut took, mut done, mut parts) = (Vec::new(), Vec::new(), 0, Vec::new());
    let processes = processes(&bank);
    let mut turn = |clocked| -> Result<_> {
        let baseline = key.signatures_per_second(threads, lab.seconds())?;
        let before = Cpu::used(&processes);
        let turn = load.run(clocked, length)?;
        ensure!(turn.done > 0, "no token is left to issue to: give more with --tokens, or fewer --seconds");
        done += turn.done;
        let parts = Cpu::used(&processes).since(&before, count(turn.done));
        Ok((Round { ours: turn.rate, baseline }, turn.took, parts))
    };
    for _ in 0..ROUNDS {
        let (round, latencies, used) = turn(Clocked::Certificate)?;
        rounds.push(round);
        took.extend(latencies);
        parts = used;
    }
    let (whole, whole_took, whole_parts) = turn(Clocked::Whole)?;
    let by_one_thread = key.note_of_one_thread(lab.seconds())?;
    let peer = if issue.with_peer { beside_cfssl(lab, &bank, &rounds)? } else { None };
    kill(&mut bank)?;
    check(&bank, &ledger, &load, done)?;

    let name = match issue.network {
        Some(_) => "raw C_Sign of the simulated HSM (8 ms, 16 lanes: at most 2000/s)".to_owned(),
        None => format!("raw C_Sign, {}, one process, {threads} threads", issue.algorithm),
    };
    let unit = ("certificates/s", Better::Higher);
    let mut figure = Figure::of(issue.bench, unit, rounds, &name).reaching(issue.reach);
    (figure.latency, figure.parts) = (Latency::of(took), parts);
    let mut with_all_steps = Figure::of(format!("{}_whole", issue.bench), unit, vec![whole], &name);
    (with_all_steps.latency, with_all_steps.parts) = (Latency::of(whole_took), whole_parts);
    let mut figures = vec![
        figure.with_note(format!(
            "Step 2 of the registration API, evidence in, certificate out, {IN_FLIGHT} requests in flight, {}; the \
             enrolments were opened before. {done} certificates in all; after kill -9 of both processes each \
             acknowledged one was in the ledger, and the journal verified. {by_one_thread}",
            ledger.name()
        )),
        with_all_steps.with_note("All three steps under the clock, and the tokens' signatures between them."),
    ];
    figures.extend(peer);
    Ok(figures)
}

/// The same rounds against cfssl, which is measured now.
fn beside_cfssl(lab: &Lab, bank: &Bank, rounds: &[Round]) -> Result<Option<Figure>> {
    let Some(cfssl) = Cfssl::start(&bank.path("cfssl"))? else { return Ok(None) };
    let baseline = cfssl.certificates_per_second(lab.seconds())?;
    let rounds = rounds.iter().map(|round| Round { ours: round.ours, baseline }).collect();
    let unit = ("certificates/s", Better::Higher);
    let figure = Figure::of("issue_softhsm_p256_cfssl", unit, rounds, "cfssl with a P-256 key in a file");
    Ok(Some(figure.with_note(
        "cfssl signs the same request again and again over plain HTTP: no HSM, no ledger, no evidence, no mutual TLS.",
    )))
}

/// Processes whose time is told.
fn processes(bank: &Bank) -> Vec<(&'static str, u32)> {
    let mut processes = vec![("load", std::process::id())];
    processes.extend(bank.authority.iter().map(|process| ("authority", process.id())));
    processes.extend(bank.signer.iter().map(|process| ("signer", process.id())));
    processes
}

fn kill(bank: &mut Bank) -> Result<()> {
    for process in [bank.authority.take(), bank.signer.take()] {
        process.context("a process has ended under load")?.kill()?;
    }
    Ok(())
}

/// Every acknowledged certificate is in the ledger, and the journal has as many.
fn check(bank: &Bank, ledger: &Ledger, load: &Load<'_>, done: usize) -> Result<()> {
    let (acknowledged, certified) = (load.acknowledged(), ledger.certified()?);
    ensure!(acknowledged.len() == done, "{} of {done} were acknowledged", acknowledged.len());
    let lost = acknowledged.iter().filter(|intent| !certified.contains(intent)).count();
    ensure!(lost == 0, "{lost} of {done} acknowledged certificates are not in the ledger");
    let journal = bank.journal()?;
    let journaled = journal.pointer("/certificates").and_then(serde_json::Value::as_u64);
    ensure!(
        journaled
            .is_some_and(|journaled| usize::try_from(journaled).is_ok_and(|journaled| journaled >= done)),
        "{done} certificates were acknowledged; the journal says {journal}"
    );
    Ok(())
}
