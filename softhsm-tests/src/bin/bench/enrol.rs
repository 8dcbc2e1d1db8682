//! `enrol_full`: the customer's whole path at the server (password, challenge, evidence, issuance), one at a time.

use std::time::Instant;

use anyhow::{Context, Result};
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, NewUser, SoftToken},
    virtual_yubikey::{Firmware, Profile},
};

use super::{Figure, baseline};

const CONTRACTS: u32 = 5;
const SEATS: u32 = 9;

/// A user with a token and, once enrolled, a certificate.
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: SoftToken,
}

/// Contracts full of general users, a token assigned to each.
pub(crate) fn register(bank: &Bank) -> Result<Vec<User>> {
    let mut users = Vec::new();
    for contract in 0..CONTRACTS {
        let number = format!("90000{contract}");
        bank.register_contract(&number, "性能試験")?;
        for seat in 0..SEATS {
            let (id, serial) = (format!("bench-{contract}-{seat}"), 50_000_000 + contract * 100 + seat);
            let user =
                NewUser { id: &id, contract: &number, role: "general", name: "性能", token: Some(serial) };
            bank.register_user(&user)?;
            let token = SoftToken::new(bank, Profile::new(serial, Firmware(5, 7, 2)))?;
            users.push(User { id, token });
        }
    }
    Ok(users)
}

/// Seconds a whole enrolment takes, against the argon2id in it.
pub(crate) fn full(bank: &Bank, users: &[User]) -> Result<Figure> {
    let client = EnrolmentClient::new(bank)?;
    let mut took = Vec::new();
    for user in users {
        let began = Instant::now();
        let answer = client.enroll(&user.id, &user.token, &format!("bench-key-{}-00000", user.id))?;
        answer.ok().with_context(|| format!("{} got no certificate", user.id))?;
        took.push(began.elapsed().as_secs_f64());
    }
    let mean = took.iter().sum::<f64>() / f64::from(CONTRACTS * SEATS);
    let hash = baseline::argon2id_seconds()?;
    Ok(Figure::new("enrol_full", "ms", mean * 1e3, ("argon2id alone", hash * 1e3)))
}
