//! Password hashing, which is slow on purpose and so has a port of its own.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::domain::user::PasswordHash;

/// Hashes and verifies passwords with argon2id, off the async threads, a bounded number at a time.
#[async_trait]
pub trait Passwords: Send + Sync {
    /// A fresh salted hash.
    async fn hash(&self, password: SecretString) -> Result<PasswordHash, PasswordsBusy>;

    /// Whether `password` is the one behind `hash`. With `None` (no such user, no password set) it takes as long and
    /// is false, so that time tells nothing.
    async fn verify(&self, password: SecretString, hash: Option<PasswordHash>)
    -> Result<bool, PasswordsBusy>;
}

/// Too many passwords are being verified; try again.
#[derive(Debug, thiserror::Error)]
#[error("too many passwords are being verified at this moment")]
pub struct PasswordsBusy;
