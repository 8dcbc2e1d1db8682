//! R10: the same idempotency key fifty times in parallel.

use std::{collections::HashSet, path::Path, sync::Barrier, thread};

use anyhow::{Result, anyhow};

use super::{Outcome, Size, books::Books, kills, town};
use crate::bank::{Bank, EnrolmentClient};

const IN_PARALLEL: usize = 50;

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome =
        Outcome::new("R10", "the same idempotency key fifty times in parallel: one certificate, signed once");
    let (mut bank, customers) = town::found(directory, size.repeated_keys)?;
    town::revive(&mut bank)?;
    let (client, maker) = (EnrolmentClient::new(&bank)?, town::Maker::new(&bank)?);
    let (mut seen, mut answered, mut later) = (Vec::new(), 0, 0);
    for customer in &customers {
        let token = maker.token(customer)?;
        let (key, together) = (customer.key(), Barrier::new(IN_PARALLEL));
        let answers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..IN_PARALLEL)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        client.enroll(&customer.id, &token, &key)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a panic"))))
                .collect()
        });
        let mut certificates = HashSet::new();
        for answer in answers {
            match answer {
                Ok(Ok(certified)) => {
                    answered += 1;
                    certificates.insert(certified.certificate.0);
                }
                Ok(Err(problem)) if town::is_later(&problem) => later += 1,
                Ok(Err(problem)) => outcome.violations.push(format!("{}: {problem:?}", customer.id)),
                Err(error) => outcome.violations.push(format!("{}: {error:#}", customer.id)),
            }
        }
        outcome.check(certificates.len() == 1, || {
            format!("{} got {} certificates for one key", customer.id, certificates.len())
        });
        for certificate in certificates {
            seen.push(town::Seen { serial: Bank::serial_of(&certificate)?, user: customer.id.clone() });
        }
    }
    let signed = Books::read(&bank)?.journal.len();
    outcome.check(signed == customers.len(), || format!("{} keys, {signed} signatures", customers.len()));
    outcome.figure("keys", customers.len());
    outcome.figure("answered_with_the_certificate", answered);
    outcome.figure("told_to_come_again", later);
    kills::check(&mut bank, &seen, &mut outcome)?;
    Ok(outcome.ended())
}
