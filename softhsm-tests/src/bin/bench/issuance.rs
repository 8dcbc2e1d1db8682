//! Load on the registration API, as a machine of the bank's: mutual TLS, kept-alive HTTP/2, so many requests in flight,
//! each for one certificate.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use ca_wire::{
    Base64Url,
    enrolment::Opened,
    machine::{
        Batch, BatchResults, CertifyEntry, CertifyResults, Confirmed, EntryResult, Issued, MAX_ENTRIES,
        OpenEntry,
    },
};
use reqwest::{Client, Identity};
use serde::{Serialize, de::DeserializeOwned};
use softhsm_tests::bank::{Bank, MachineClient, NewMachine, SoftToken, challenge};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{
    figure::count,
    population::{Population, Token},
};

/// The machine that asks: its limits are no subject of these measurements.
pub(crate) const MACHINE: NewMachine =
    NewMachine { more: "entries_per_second = 1000000", ..NewMachine::trusted("bench") };
/// Requests in flight.
pub(crate) const IN_FLIGHT: usize = 64;
/// They share so many connections.
const CONNECTIONS: usize = 4;
/// What is done in this time isn't counted: connections are made, batches begin to form.
const WARM_UP: Duration = Duration::from_millis(300);

/// How much of an enrolment is under the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clocked {
    /// Step 2, evidence in, certificate out; the enrolment was opened before.
    Certificate,
    /// All three steps, and the token's signatures between them.
    Whole,
}

/// The client side of a measurement.
pub(crate) struct Load<'a> {
    runtime: Runtime,
    clients: Vec<Client>,
    base: String,
    tokens: &'a [Token],
    /// Step 2 of those that are opened already, ready to be sent.
    ready: Vec<(Uuid, Bytes)>,
    next: AtomicUsize,
    acknowledged: Mutex<Vec<Uuid>>,
}

/// What a turn of load came to.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Done a second, the warm-up left out.
    pub(crate) rate: f64,
    /// Done in all.
    pub(crate) done: usize,
    /// How long each took, the warm-up left out.
    pub(crate) took: Vec<Duration>,
}

impl<'a> Load<'a> {
    /// Opens an enrolment for the first `opened` tokens of the population, so that their requests are ready.
    pub(crate) fn new(bank: &Bank, population: &'a Population, opened: usize) -> Result<Self> {
        let read = |path: &str| std::fs::read(bank.path(path)).with_context(|| format!("reading {path}"));
        let authority = reqwest::Certificate::from_pem(&read("tls/ca.pem")?)?;
        let pair = [read("machines/bench.key")?, read("machines/bench.pem")?].concat();
        let client = || {
            let identity = Identity::from_pem(&pair).context("reading the machine's identity")?;
            let client = Client::builder().tls_certs_only([authority.clone()]).identity(identity);
            client.timeout(Duration::from_secs(30)).no_proxy().build().context("building a client")
        };
        let machine = MachineClient::new(bank, MACHINE.name)?;
        let tokens = &population.tokens;
        let mut ready = Vec::with_capacity(opened);
        for first in (0..opened.min(tokens.len())).step_by(MAX_ENTRIES) {
            let batch = first..(first + MAX_ENTRIES).min(tokens.len());
            let entries = batch.clone().map(|index| open_entry(index, &tokens[index])).collect();
            for (index, answer) in batch.zip(machine.open(entries)?) {
                ready.push(step_two(index, &tokens[index], &result(answer)?)?);
            }
        }
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            clients: (0..CONNECTIONS).map(|_| client()).collect::<Result<_>>()?,
            base: format!("{}/machine/v1/enrolments", bank.urls().client),
            tokens,
            ready,
            next: AtomicUsize::new(0),
            acknowledged: Mutex::default(),
        })
    }

    /// The enrolments whose certificates arrived.
    pub(crate) fn acknowledged(&self) -> Vec<Uuid> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends for so long, or until nothing is left to send.
    pub(crate) fn run(&self, clocked: Clocked, length: Duration) -> Result<Turn> {
        let began = Instant::now();
        let (from, to) = (began + WARM_UP, began + length);
        let lanes = (0..IN_FLIGHT).map(|lane| self.lane(&self.clients[lane % CONNECTIONS], clocked, to));
        let done = self.runtime.block_on(futures::future::try_join_all(lanes))?.concat();
        let last = done.iter().map(|one| one.1).max().unwrap_or(to);
        let end = if last < to { last } else { to };
        let counted: Vec<_> = done.iter().filter(|one| (from..=end).contains(&one.1)).collect();
        Ok(Turn {
            rate: count(counted.len()) / end.saturating_duration_since(from).as_secs_f64(),
            done: done.len(),
            took: counted.iter().map(|one| one.1 - one.0).collect(),
        })
    }

    /// One after the other: when each was begun and had.
    async fn lane(&self, client: &Client, clocked: Clocked, end: Instant) -> Result<Vec<(Instant, Instant)>> {
        let mut done = Vec::new();
        loop {
            let began = Instant::now();
            if began >= end {
                return Ok(done);
            }
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let intent = match (clocked, self.ready.get(index), self.tokens.get(index)) {
                (Clocked::Certificate, Some((intent, body)), _) => {
                    self.certify(client, body.clone()).await.map(|_| *intent)
                }
                (Clocked::Whole, None, Some(token)) => self.whole(client, index, token).await,
                (Clocked::Whole, Some(_), _) => continue,
                (Clocked::Certificate, None, _) | (Clocked::Whole, None, None) => return Ok(done),
            }
            .with_context(|| format!("enrolment {index}"))?;
            done.push((began, Instant::now()));
            self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(intent);
        }
    }

    async fn certify(&self, client: &Client, body: Bytes) -> Result<Issued> {
        let answer: CertifyResults = self.post(client, "/certificates", body).await?;
        only(answer.results)
    }

    async fn whole(&self, client: &Client, index: usize, token: &Token) -> Result<Uuid> {
        let answer: BatchResults<Opened> = self.post(client, "", batch(open_entry(index, token))?).await?;
        let opened = only(answer.results)?;
        let (intent, body) = step_two(index, token, &opened)?;
        let issued = self.certify(client, body).await?;
        let confirm = SoftToken::confirm_entry(&opened, &issued.certificate.0, &key(index));
        let answer: BatchResults<Confirmed> = self.post(client, "/confirmations", batch(confirm)?).await?;
        only(answer.results).map(|_| intent)
    }

    async fn post<T: DeserializeOwned>(&self, client: &Client, path: &str, body: Bytes) -> Result<T> {
        let post = client.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        let response = post.body(body).send().await.context("no answer")?;
        let status = response.status();
        let body = response.bytes().await.context("an answer that ends early")?;
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).context("reading an answer")
    }
}

fn key(index: usize) -> String {
    format!("bench-idempotency-{index:06}")
}

fn open_entry(index: usize, token: &Token) -> OpenEntry {
    token.soft.open_entry(&Population::user(index), &key(index))
}

fn step_two(index: usize, token: &Token, opened: &Opened) -> Result<(Uuid, Bytes)> {
    let entry = CertifyEntry {
        idempotency_key: key(index),
        enrolment_id: opened.enrolment_id,
        bearer: opened.bearer.clone(),
        csr: Base64Url(token.csr.clone()),
        evidence: token.evidence.clone(),
        challenge_signature: Base64Url(token.soft.answer(challenge(opened)?)?),
        predecessor_signature: None,
    };
    Ok((opened.enrolment_id, batch(entry)?))
}

fn batch<T: Serialize>(entry: T) -> Result<Bytes> {
    Ok(serde_json::to_vec(&Batch { entries: vec![entry] }).context("writing a request")?.into())
}

fn only<T>(results: Vec<EntryResult<T>>) -> Result<T> {
    let [one] = <[_; 1]>::try_from(results).map_err(|all| anyhow::anyhow!("{} results", all.len()))?;
    result(one)
}

fn result<T>(answer: EntryResult<T>) -> Result<T> {
    match answer {
        EntryResult { status: 201 | 200, result: Some(result), .. } => Ok(result),
        EntryResult { status, problem, .. } => bail!("{status}: {problem:?}"),
    }
}
