//! R9: what comes back from the module is no signature of what was asked: a bit of it is wrong, or another key made it.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use ca_x509::ocsp::CertStatus;
use futures::future::join_all;
use signer_protocol::{client::ClientError, message::EntryBody};

use super::{Order, Ward};
use crate::{
    bank::{AUDIT_HEAD, Orders},
    simulated_hsm::Fault,
    soak::{Outcome, Size},
};

/// The staff's issuing key, which is on the same token.
const ANOTHER_KEY: &str = "12";
/// Lies at a time, and callers that are lied to.
const AT_ONCE: u64 = 8;
const PATIENCE: Duration = Duration::from_mins(1);
const RETRY: Duration = Duration::from_millis(20);

pub(in crate::soak) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R9",
        "corrupt signatures, and signatures by another key: every one is caught before it is journaled or leaves",
    );
    let ward = Ward::open(directory)?;
    let (mut lies, mut crl, mut signed, mut refused) = (0, 0, 0, 0);
    while lies < size.wrong_signatures {
        let (corrupt, by_another) = (AT_ONCE / 2, AT_ONCE - AT_ONCE / 2);
        ward.hsm.fault(&Fault::corrupt_signature().times(corrupt))?;
        ward.hsm.fault(&Fault::other_key(ANOTHER_KEY).times(by_another))?;
        crl += 1;
        let heard = ward.runtime.block_on(all_at_once(&ward, crl))?;
        signed += heard.certificates;
        refused += heard.refused;
        outcome.violations.extend(heard.violations);
        // What the callers were spared, the worker's proofs were told.
        let left = ward.hsm.status()?.faults.len();
        outcome.check(left == 0, || format!("{left} of the faults never came to pass"));
        ward.hsm.clear()?;
        lies += AT_ONCE;
    }
    check_journal(&ward, signed, &mut outcome)?;
    outcome.figure("wrong_signatures", lies);
    outcome.figure("certificates", signed);
    outcome.figure("requests_that_had_to_come_again", refused);
    Ok(outcome.ended())
}

#[derive(Default)]
struct Heard {
    certificates: u64,
    refused: u64,
    violations: Vec<String>,
}

/// Certificates, OCSP responses and a CRL, each asked for until it is there.
async fn all_at_once(ward: &Ward, number: u64) -> Result<Heard> {
    let (issuing, responder) = (Orders::issuing(), Orders::ocsp());
    let orders: Vec<Order> = (0..AT_ONCE).map(|_| ward.order()).collect::<Result<_>>()?;
    let certificates = orders.iter().map(|order| {
        insist(|| ward.client.sign_certificate(&issuing, order.intent, AUDIT_HEAD, order.tbs.clone()))
    });
    let response =
        ward.orders.response(&[1, 2, 3, 4, 5, 6, 7, 8, 9], CertStatus::Unknown(der::asn1::Null))?;
    let responses = (0..AT_ONCE / 2).map(|_| insist(|| ward.client.sign_ocsp(&responder, response.clone())));
    let list = ward.orders.crl(number, &[])?;
    let crl = insist(|| ward.client.sign_crl(&issuing, AUDIT_HEAD, list.clone()));
    let (certificates, responses, crl) = tokio::join!(join_all(certificates), join_all(responses), crl);

    let mut heard = Heard::default();
    for (order, answer) in orders.iter().zip(certificates) {
        let (made, refused) = answer?;
        heard.certificates += 1;
        heard.refused += refused;
        if !ward.is_right(order, &made) {
            heard.violations.push(format!("a wrong signature left for intent {}", order.intent));
        }
    }
    for answer in responses {
        let (made, refused) = answer?;
        heard.refused += refused;
        if !ward.orders.is_responders(&response, &made) {
            heard.violations.push("a wrong signature left for an OCSP response".to_owned());
        }
    }
    let (made, refused) = crl?;
    heard.refused += refused;
    if !ward.orders.is_issuers(&list, &made.signature) {
        heard.violations.push(format!("a wrong signature left for CRL {number}"));
    }
    Ok(heard)
}

/// Asks until there is an answer; how often there was none.
async fn insist<T, A: Future<Output = Result<T, ClientError>>>(ask: impl Fn() -> A) -> Result<(T, u64)> {
    let began = tokio::time::Instant::now();
    let mut refused = 0;
    loop {
        match ask().await {
            Ok(made) => return Ok((made, refused)),
            Err(ClientError::Unavailable { .. }) if began.elapsed() < PATIENCE => refused += 1,
            Err(error) => return Err(error).context("no signature"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Everything in the journal was signed by the issuing key, and nothing that nobody asked for.
fn check_journal(ward: &Ward, signed: u64, outcome: &mut Outcome) -> Result<()> {
    let (mut after, mut certificates) = (0, 0);
    loop {
        let entries = ward.runtime.block_on(ward.client.entries(after, 500))?;
        let Some(last) = entries.last() else { break };
        after = last.position.sequence;
        for entry in &entries {
            if let EntryBody::Certificate { tbs, signature, .. } = &entry.body {
                certificates += 1;
                outcome.check(ward.orders.is_issuers(tbs, signature), || {
                    format!("journal entry {} has a wrong signature", entry.position.sequence)
                });
            }
        }
    }
    outcome.check(certificates == signed, || format!("{signed} certificates, {certificates} in the journal"));
    ward.journaled().map(drop)
}
