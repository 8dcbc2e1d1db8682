//! argon2id off the async threads: a bounded number at a time, a bounded queue before it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use argon2::{
    Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};
use async_trait::async_trait;
use ca_core::{
    domain::user::PasswordHash,
    ports::password::{Passwords, PasswordsBusy},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, oneshot};

use super::argon2id::{InMemory, Memory};
use crate::{config, metrics::PasswordLoad};

/// Longer passwords are refused before they cost anything.
const LONGEST: usize = 1024;

/// argon2id with the configured cost.
pub(crate) struct Argon2Passwords {
    inner: Arc<Inner>,
    /// One permit for each hash that is computed or waits for its turn.
    admitted: Arc<Semaphore>,
    /// One permit for each hash that is computed.
    computing: Arc<Semaphore>,
    at_a_time: usize,
    queue: usize,
    refused: AtomicU64,
}

struct Inner {
    params: Params,
    /// As many as hashes were computed at the same time so far.
    memories: Mutex<Vec<Memory>>,
    /// Verified against when there is no hash, so that time tells nothing.
    decoy: PasswordHash,
}

impl Argon2Passwords {
    /// Checks the parameters and makes the decoy, which costs one hash.
    ///
    /// # Errors
    /// When argon2 doesn't take the parameters.
    pub(crate) fn new(config: &config::Passwords) -> anyhow::Result<Self> {
        let params = Params::new(config.memory_kib, config.iterations, config.parallelism, None)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("passwords: argon2 doesn't take these parameters; choose others")?;
        let decoy = hash(&InMemory::new(&params, &mut Memory::default()), b"a password that nobody has")?;
        Ok(Self {
            inner: Arc::new(Inner { params, memories: Mutex::default(), decoy }),
            admitted: Arc::new(Semaphore::new(config.at_a_time + config.queue)),
            computing: Arc::new(Semaphore::new(config.at_a_time)),
            at_a_time: config.at_a_time,
            queue: config.queue,
            refused: AtomicU64::new(0),
        })
    }

    /// How busy it is.
    pub(crate) fn load(&self) -> PasswordLoad {
        let computing = self.at_a_time.saturating_sub(self.computing.available_permits());
        let admitted = (self.at_a_time + self.queue).saturating_sub(self.admitted.available_permits());
        PasswordLoad {
            computing,
            computing_limit: self.at_a_time,
            waiting: admitted.saturating_sub(computing),
            waiting_limit: self.queue,
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &InMemory<'_>) -> T + Send + 'static,
    ) -> Result<T, PasswordsBusy> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            PasswordsBusy
        })?;
        let computing = self.computing.clone().acquire_owned().await.map_err(|_| PasswordsBusy)?;
        let inner = self.inner.clone();
        // Everybody who is in beyond the queue's length computes: with fewer permits left somebody waits.
        let (turns, queue) = (self.admitted.clone(), self.queue);
        let (reply, computed) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            // The permits go when the work is done, also when nobody waits for it any more.
            let _permits = (admitted, computing);
            let mut memory = inner.take();
            let _ = reply.send(work(&inner, &InMemory::new(&inner.params, &mut memory)));
            inner.give(memory, turns.available_permits() < queue);
        });
        computed.await.map_err(|_| PasswordsBusy)
    }
}

impl Inner {
    fn take(&self) -> Memory {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps it, unless a hash with other parameters has blown it up. It is wiped unless somebody is `waiting`, whose
    /// hash overwrites it at once.
    fn give(&self, mut memory: Memory, waiting: bool) {
        if !memory.is_larger_than(&self.params) {
            if !waiting {
                memory.wipe();
            }
            self.memories.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        }
    }
}

fn hash(argon2: &InMemory<'_>, password: &[u8]) -> anyhow::Result<PasswordHash> {
    let phc = argon2.hash_password(password).map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
    Ok(PasswordHash::from_phc(phc.to_string()))
}

fn is_right(argon2: &InMemory<'_>, password: &[u8], hash: &PasswordHash) -> bool {
    let hash = phc::PasswordHash::new(hash.expose_phc());
    hash.is_ok_and(|hash| argon2.verify_password(password, &hash).is_ok())
}

#[async_trait]
impl Passwords for Argon2Passwords {
    async fn hash(&self, password: SecretString) -> Result<PasswordHash, PasswordsBusy> {
        if password.expose_secret().len() > LONGEST {
            return Err(PasswordsBusy);
        }
        let hashed = self.compute(move |_, argon2| hash(argon2, password.expose_secret().as_bytes()));
        hashed.await?.map_err(|error| {
            tracing::error!(%error, "a password couldn't be hashed");
            PasswordsBusy
        })
    }

    async fn verify(
        &self,
        password: SecretString,
        hash: Option<PasswordHash>,
    ) -> Result<bool, PasswordsBusy> {
        if password.expose_secret().len() > LONGEST {
            return Ok(false);
        }
        self.compute(move |inner, argon2| {
            let known = hash.is_some();
            let hash = hash.as_ref().unwrap_or(&inner.decoy);
            let matched = is_right(argon2, password.expose_secret().as_bytes(), hash);
            known && matched
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap(at_a_time: usize, queue: usize) -> Argon2Passwords {
        let cost = config::Passwords { memory_kib: 64, iterations: 1, parallelism: 1, at_a_time, queue };
        Argon2Passwords::new(&cost).expect("parameters")
    }

    #[tokio::test]
    async fn a_password_fits_only_its_own_hash_and_a_missing_hash_fits_none() {
        let passwords = cheap(2, 8);
        let hash = passwords.hash("正しい pass".into()).await.expect("a hash");
        assert!(hash.expose_phc().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
        assert!(passwords.verify("正しい pass".into(), Some(hash.clone())).await.expect("an answer"));
        assert!(!passwords.verify("wrong".into(), Some(hash)).await.expect("an answer"));
        let decoy = "a password that nobody has";
        assert!(!passwords.verify(decoy.into(), None).await.expect("an answer"));
    }

    #[tokio::test]
    async fn beyond_the_queue_people_are_told_to_come_again() {
        let passwords = Arc::new(cheap(1, 1));
        let blocker = passwords.computing.clone().acquire_owned().await.expect("the only permit");
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.hash("x".into()).await })
            })
            .collect();
        while passwords.admitted.available_permits() > 0
            || !tasks.iter().any(tokio::task::JoinHandle::is_finished)
        {
            tokio::task::yield_now().await;
        }
        drop(blocker);
        let mut busy = 0;
        for task in tasks {
            busy += usize::from(task.await.expect("no panic").is_err());
        }
        assert_eq!(busy, 1);
    }
}
