//! What the operator does with the custody keys: see what is kept under which, and encrypt it anew under the newest.

use std::sync::Arc;

use super::seal::{CustodyKeys, Unsealable};
use crate::{
    app::{
        failure::{Failure, carries_failure},
        trail::{Details, event},
    },
    domain::audit::Actor,
    ports::{
        clock::Clock,
        custody::CustodyStore,
        rng::Rng,
        store::{Conflict, StoreError},
    },
};

/// PUKs that are read at a time.
const PAGE: u32 = 500;

/// The use cases.
pub struct Reseal {
    /// PUKs.
    pub custody: Arc<dyn CustodyStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Nonces.
    pub rng: Arc<dyn Rng>,
    /// The keys, old and new.
    pub keys: Arc<CustodyKeys>,
}

/// Why it stopped. What was encrypted anew stays so; running again goes on.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// A PUK can't be had any more.
    #[error("the PUK of token {serial} can't be decrypted")]
    Unsealable {
        /// The token's serial number.
        serial: String,
        /// Why.
        #[source]
        source: Unsealable,
    },
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(ResealError: store::StoreError);

impl Reseal {
    /// How many PUKs are kept under each version of the key.
    ///
    /// # Errors
    /// Only `Failure`.
    pub async fn census(&self) -> Result<Vec<(u32, u64)>, ResealError> {
        Ok(self.custody.puk_census().await?)
    }

    /// Encrypts everything under the newest key that isn't yet; returns how many that were.
    ///
    /// # Errors
    /// [`ResealError`].
    pub async fn run(&self, by: &Actor, tell: &mut (dyn FnMut(u64) + Send)) -> Result<u64, ResealError> {
        let newest = self.keys.newest();
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.custody.puks_not_under(newest, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(done) };
            after = Some(last.deposit);
            for kept in &page {
                let serial = kept.device.serial.to_string();
                let puk = self
                    .keys
                    .open(kept)
                    .map_err(|source| ResealError::Unsealable { serial: serial.clone(), source })?;
                let sealed = self.keys.seal(&puk, kept, &*self.rng);
                let sealed = sealed.ok_or_else(|| Failure::defect("a PUK can't be encrypted"))?;
                let row = event(self.clock.now(), by.clone(), "puk.resealed", serial)
                    .with("deposit", kept.deposit)
                    .with("key_version", sealed.key_version);
                match self.custody.reseal_puk(kept.deposit, &sealed, row).await {
                    Ok(()) => done += 1,
                    // The token got another one meanwhile.
                    Err(StoreError::Conflict(Conflict::Missing)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            tell(done);
        }
    }
}
