//! `inro-hsm bench`: how many signatures a second a token makes by itself, and how many arrive through the signer.
//!
//! Nothing that is signed here is good for anything: raw signatures are over a fixed text that begins no DER structure,
//! and through the signer keys are asked to prove themselves, which it neither journals nor counts.

pub mod figures;

use std::path::Path;
use std::time::Duration;

use ca_x509::verify::verify;
use signer_protocol::client::Client;
use signer_protocol::message::KeyLabel;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::doctor::{self, Finding, Subject, SubjectKey, Tell};
use crate::token::key::PROBE;
use crate::worker::handle::{CallError, Worker};
pub use figures::{Figure, Times};

/// Signatures before it counts: sessions are opened and keys found in them.
const WARM_UP: usize = 4;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Numbers of lanes.
    pub lanes: Vec<u16>,
    /// For each key and number of lanes.
    pub time: Duration,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The token can't be opened.
    #[error("the token can't be opened:{}", crate::keys::told(.0))]
    Closed(Vec<Finding>),
    /// A key doesn't sign.
    #[error("key {0:?} doesn't sign: see `inro-hsm doctor`")]
    Key(String, #[source] CallError),
    /// What it signs doesn't verify.
    #[error("key {0:?} makes signatures that its certificate doesn't verify: see `inro-hsm doctor`")]
    Wrong(String),
    /// The signer doesn't answer.
    #[error(
        "the signer doesn't sign with key {0:?}: is it running, and is this user in socket.allowed_uids?"
    )]
    Signer(String, #[source] signer_protocol::client::ClientError),
}

/// Measures the token alone, through a worker of its own.
///
/// # Errors
/// [`BenchError`].
pub async fn raw(
    subject: &Subject,
    keys: &[&SubjectKey],
    plan: &Plan,
    tell: &mut Tell<'_>,
) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for lanes in &plan.lanes {
        let (worker, _) = doctor::open(subject, *lanes).await.map_err(BenchError::Closed)?;
        for key in keys {
            tell(&format!("raw: key {:?}, {lanes} lane(s), {} s", key.label, plan.time.as_secs_f64()));
            let measured = raw_key(subject, key, &worker, *lanes, plan.time).await;
            match measured {
                Ok(figure) => figures.push(figure),
                Err(error) => {
                    worker.stop().await;
                    return Err(error);
                }
            }
        }
        worker.stop().await;
    }
    Ok(figures)
}

async fn raw_key(
    subject: &Subject,
    key: &SubjectKey,
    worker: &Worker,
    lanes: u16,
    time: Duration,
) -> Result<Figure, BenchError> {
    let limit = subject.sign_deadline;
    for _ in 0..WARM_UP * usize::from(lanes) {
        let made = worker.sign(&key.id, key.algorithm.into(), PROBE.to_vec(), limit).await;
        let made = made.map_err(|error| BenchError::Key(key.label.clone(), error))?;
        verify(&key.public_key, key.algorithm, PROBE, &made)
            .map_err(|_| BenchError::Wrong(key.label.clone()))?;
    }
    let began = Instant::now();
    let mut callers = JoinSet::new();
    // Twice as many as lanes, so that none waits for the pipe.
    for _ in 0..lanes.saturating_mul(2) {
        let (worker, id, mechanism) = (worker.clone(), key.id.clone(), key.algorithm.into());
        callers.spawn(async move {
            let mut times = Times::default();
            while began.elapsed() < time {
                match worker.sign_timed(&id, mechanism, PROBE.to_vec(), limit).await {
                    Ok(made) => times.taken.push(made.in_lane),
                    Err(_) => times.failures += 1,
                }
                if times.failures > 0 && times.taken.is_empty() {
                    break;
                }
            }
            times
        });
    }
    let mut times = Times::default();
    while let Some(caller) = callers.join_next().await {
        times.add(caller.unwrap_or_default());
    }
    Ok(times.figure("raw", &key.label, lanes, began.elapsed()))
}

/// Measures what arrives through the running signer's socket.
///
/// # Errors
/// [`BenchError::Signer`].
pub async fn through_signer(
    socket: &Path,
    keys: &[&SubjectKey],
    plan: &Plan,
    tell: &mut Tell<'_>,
) -> Result<Vec<Figure>, BenchError> {
    let client = Client::new(socket).with_deadline(Duration::from_secs(15));
    let mut figures = Vec::new();
    for key in keys {
        let label = KeyLabel(key.label.clone());
        client.prove(&label).await.map_err(|error| BenchError::Signer(key.label.clone(), error))?;
        for lanes in &plan.lanes {
            tell(&format!(
                "signer: key {:?}, {lanes} request(s) at once, {} s",
                key.label,
                plan.time.as_secs_f64()
            ));
            let began = Instant::now();
            let mut callers = JoinSet::new();
            for _ in 0..*lanes {
                let (client, label, time) = (client.clone(), label.clone(), plan.time);
                callers.spawn(async move { prove_for(&client, &label, began, time).await });
            }
            let mut times = Times::default();
            while let Some(caller) = callers.join_next().await {
                times.add(caller.unwrap_or_default());
            }
            figures.push(times.figure("signer", &key.label, *lanes, began.elapsed()));
        }
    }
    Ok(figures)
}

async fn prove_for(client: &Client, label: &KeyLabel, began: Instant, time: Duration) -> Times {
    let mut times = Times::default();
    while began.elapsed() < time {
        let asked = Instant::now();
        match timeout(time.max(Duration::from_secs(15)), client.prove(label)).await {
            Ok(Ok(_)) => times.taken.push(asked.elapsed()),
            _ => times.failures += 1,
        }
        if times.failures > times.taken.len() + 8 {
            break;
        }
    }
    times
}
