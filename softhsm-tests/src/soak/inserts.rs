//! R2: the last step of an issuance fails, after the signature: the ledger can't be told of the certificate.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    Outcome, Size,
    books::{self, Books},
    kills, town,
};
use crate::bank::EnrolmentClient;

/// The ledger refuses what the authority writes after the signature, and nothing else.
const BREAK: &str = "CREATE TRIGGER the_final_insert_fails BEFORE UPDATE OF der ON certificates
    WHEN NEW.der IS NOT NULL BEGIN SELECT RAISE(ABORT, 'a fault of the test'); END;";
const MEND: &str = "DROP TRIGGER the_final_insert_fails;";

pub(super) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R2",
        "the final insert fails: no certificate leaves, the intent lets the serial be revoked, and the rest is adopted \
         when the ledger works again: no orphan",
    );
    let (mut bank, customers) = town::found(directory, size.failed_inserts)?;
    town::revive(&mut bank)?;
    let (client, maker) = (EnrolmentClient::new(&bank)?, town::Maker::new(&bank)?);
    town::sql(&bank, BREAK)?;
    let mut tokens = Vec::new();
    for customer in &customers {
        let token = maker.token(customer)?;
        match client.enroll(&customer.id, &token, &customer.key()) {
            Ok(Err(problem)) => {
                outcome.check(town::is_later(&problem), || format!("{}: {problem:?}", customer.id));
            }
            Ok(Ok(_)) => {
                outcome
                    .violations
                    .push(format!("{} got a certificate that isn't in the ledger", customer.id));
            }
            Err(error) => outcome.violations.push(format!("{}: {error:#}", customer.id)),
        }
        tokens.push(token);
    }
    let before = Books::read(&bank)?;
    before.check_intents(&mut outcome);
    outcome.figure("failed_inserts", customers.len());
    outcome.figure("signed", before.journal.len());
    outcome.check(before.journal.len() == customers.len(), || {
        format!("{} customers, {} signatures", customers.len(), before.journal.len())
    });
    let revoked = before.journal.first().context("nothing was signed")?.serial.clone();
    bank.operator(&["certificate", "revoke", &revoked, "--reason", "superseded"])
        .context("revoking by the intent alone")?;

    town::sql(&bank, MEND)?;
    if !size.patient {
        // The reconciliation comes every minute, and at the start.
        bank.authority = None;
        town::revive(&mut bank)?;
    }
    let began = Instant::now();
    let books = loop {
        let books = Books::read(&bank)?;
        if books.journal.iter().all(|entry| matches!(books.state(&entry.serial), Some("issued" | "revoked")))
        {
            break books;
        }
        if began.elapsed() > town::PATIENCE {
            bail!("the reconciliation hasn't taken in what was signed within {:?}", town::PATIENCE);
        }
        thread::sleep(Duration::from_millis(500));
    };
    outcome.times("adoption", &[began.elapsed()]);
    outcome.check(books.journal_revoked.contains(&revoked), || {
        format!("the journal doesn't know that {revoked} is revoked")
    });
    // The customers come back, and find the certificate that was signed for them.
    let mut seen = Vec::new();
    for (customer, token) in customers.iter().zip(&tokens) {
        let answer = client.enroll(&customer.id, token, &customer.key())?;
        let revoked_one = books.ledger.get(&revoked).is_some_and(|row| row["user"] == *customer.id);
        match answer {
            Ok(certified) => seen.push(town::Seen {
                serial: crate::bank::Bank::serial_of(&certified.certificate.0)?,
                user: customer.id.clone(),
            }),
            Err(problem) => outcome.check(revoked_one, || format!("{}: {problem:?}", customer.id)),
        }
    }
    let again = Books::read(&bank)?;
    outcome.check(again.journal.len() == before.journal.len(), || {
        "something was signed a second time".to_owned()
    });
    books::check_chains(&bank, &mut outcome)?;
    kills::check(&mut bank, &seen, &mut outcome)?;
    Ok(outcome.ended())
}
