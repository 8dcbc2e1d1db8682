//! Password hashing without the cost, counting how often it was asked.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::{
    domain::user::PasswordHash,
    ports::password::{Passwords, PasswordsBusy},
};

/// An unsalted SHA-256. For tests only.
#[derive(Debug, Default)]
pub struct PlainPasswords {
    verified: AtomicU32,
}

impl PlainPasswords {
    /// How many passwords were verified, those against no hash included: constant shape shows here.
    pub fn verified(&self) -> u32 {
        self.verified.load(Ordering::Relaxed)
    }
}

fn digest(password: &SecretString) -> String {
    format!("$plain${}", hex::encode(Sha256::digest(password.expose_secret())))
}

#[async_trait]
impl Passwords for PlainPasswords {
    async fn hash(&self, password: SecretString) -> Result<PasswordHash, PasswordsBusy> {
        Ok(PasswordHash::from_phc(digest(&password)))
    }

    async fn verify(
        &self,
        password: SecretString,
        hash: Option<PasswordHash>,
    ) -> Result<bool, PasswordsBusy> {
        self.verified.fetch_add(1, Ordering::Relaxed);
        Ok(hash.is_some_and(|hash| hash.expose_phc() == digest(&password)))
    }
}
