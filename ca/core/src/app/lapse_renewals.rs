//! Rule 1: a renewal that nobody confirmed within 72 hours is revoked, and the certificate before it stays.
//!
//! Nothing waits for this: a renewal that has lapsed is confirmed by nobody, whether or not it is revoked yet. A confirmation
//! by a node whose clock is behind is decided by the ledger: either the renewal is the user's certificate by then and stays, or
//! it is revoked and the confirmation comes too late. The user has a certificate that works either way.

use std::sync::Arc;

use super::{
    failure::Failure,
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        certificate::CertificateRecord,
        renewal::{UNCONFIRMED_LIFETIME, lapses_at},
    },
    ports::{clock::Clock, store::CertificateStore},
};

/// Renewals that are looked at at a time.
const PAGE: u32 = 100;

/// The use case.
pub struct LapseRenewals {
    /// Renewals.
    pub certificates: Arc<dyn CertificateStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl LapseRenewals {
    /// Revokes what has lapsed; returns how many that were. Doing it twice, or on two nodes at once, does no harm.
    ///
    /// # Errors
    /// [`Failure`]; what was revoked before it stays so.
    pub async fn run(&self) -> Result<usize, Failure> {
        let mut lapsed = 0;
        loop {
            let before = self.clock.now().checked_sub(UNCONFIRMED_LIFETIME).map_err(Failure::defect)?;
            let renewals = self.certificates.unconfirmed_renewals(before, PAGE).await?;
            for renewal in &renewals {
                lapsed += usize::from(self.lapse(renewal).await?);
            }
            if renewals.len() < PAGE as usize {
                return Ok(lapsed);
            }
        }
    }

    async fn lapse(&self, renewal: &CertificateRecord) -> Result<bool, Failure> {
        let now = self.clock.now();
        let row = event(now, Actor::System, "certificate.renewal-lapsed", &renewal.serial)
            .with("issuer", &renewal.issuer)
            .with("user", &renewal.user)
            .with("lapsed", lapses_at(renewal));
        Ok(self.certificates.lapse_renewal(&renewal.issuer, &renewal.serial, now, row).await?)
    }
}
