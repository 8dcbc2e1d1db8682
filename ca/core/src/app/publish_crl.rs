//! The full CRL of an issuer: on schedule, and whenever there are revocations that the current one lacks.
//!
//! Revocations go into the signer's journal first; the signer then refuses a CRL that omits one of them. What a CRL lists is
//! settled with its number: several may be made at once, and none lacks what one with a lower number lists.

pub mod root;

use std::sync::Arc;

use ca_x509::{signed::Signed, time};
use der::Decode;
use x509_cert::crl::TbsCertList;

use super::{
    accord::Accords,
    failure::{Failure, carries_failure},
    journal::{push_revocations, whole_second},
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        crl::{self, CrlError, CrlPolicy, Due},
        profile::Issuer,
    },
    ports::{
        clock::Clock,
        signer::{Signer, SignerError},
        store::{AuditStore, Conflict, NextCrl, PublishedCrl, RevocationStore, SignerStore, StoreError},
    },
};

/// Attempts when the signer refuses: a revocation reached the journal meanwhile, or the ledger's number is behind.
const ATTEMPTS: u32 = 8;

/// The use case.
pub struct PublishCrl {
    /// Revocations and CRLs.
    pub revocations: Arc<dyn RevocationStore>,
    /// The head of the trail.
    pub audit: Arc<dyn AuditStore>,
    /// Who signs.
    pub signer: Arc<dyn Signer>,
    /// Which journal it should be.
    pub signers: Arc<dyn SignerStore>,
    /// Whether it is.
    pub accords: Accords,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whose CRL.
    pub issuer: Arc<Issuer>,
    /// When, and for how long.
    pub policy: CrlPolicy,
}

/// Why there is no new CRL.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It can't be built, or isn't signed right.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// A CRL that was brought from elsewhere isn't this issuer's.
    #[error("the CRL is not one of this issuer's: {0}")]
    Foreign(String),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(PublishError);

impl PublishCrl {
    /// Publishes a CRL if one is due; `None` if not, or if another node was faster.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn run(&self) -> Result<Option<PublishedCrl>, PublishError> {
        self.push().await?;
        let current = self.revocations.current_crl(self.issuer.id()).await?;
        let missing = self.revocations.revoked_since_crl(self.issuer.id()).await?;
        let Some(due) = crl::due(&self.policy, current.as_ref(), missing, self.clock.now()) else {
            return Ok(None);
        };
        for _ in 1..ATTEMPTS {
            match self.publish(current.as_ref(), due).await {
                Err(PublishError::Failure(Failure::Signer(SignerError::Refused { code, detail }))) => {
                    tracing::warn!(%code, %detail, "the signer refused a CRL; trying again with a newer one");
                    self.push().await?;
                }
                result => return result,
            }
        }
        self.publish(current.as_ref(), due).await
    }

    /// Only brings the revocations into the signer's journal, where another node publishes.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn push(&self) -> Result<(), PublishError> {
        let (issuer, accord) = (self.issuer.id(), self.accords.of(self.issuer.id()));
        let (revocations, signers) = (&*self.revocations, &*self.signers);
        Ok(push_revocations(revocations, signers, &*self.signer, issuer, accord.as_deref()).await?)
    }

    async fn publish(
        &self,
        current: Option<&PublishedCrl>,
        due: Due,
    ) -> Result<Option<PublishedCrl>, PublishError> {
        let issuer = self.issuer.id();
        let NextCrl { number, head } = self.revocations.next_crl_number(issuer).await?;
        let now = self.clock.now();
        let from = crl::listed_from(current, whole_second(now));
        let revoked = self.revocations.revoked(issuer, from, head).await?;
        let draft = crl::draft(&self.issuer, &self.policy, number, &revoked, current, now)?;
        let audit_head = self.audit.head().await?;
        let signature = self.signer.sign_crl(issuer, audit_head, draft.tbs().to_vec()).await?;
        let published = draft.signed(&signature, &self.issuer)?;
        let row = event(now, Actor::System, "crl.published", number)
            .with("issuer", issuer)
            .with("entries", published.entries)
            .with("due", why(due));
        match self.revocations.publish_crl(issuer, &published, row).await {
            Ok(()) => Ok(Some(published)),
            Err(StoreError::Conflict(Conflict::CrlNumber)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over the CRL of the key ceremony as the first, so that numbers rise from there. `None` when there is one
    /// already.
    ///
    /// # Errors
    /// `Foreign` when it isn't this issuer's.
    pub async fn adopt_first(&self, der: &[u8]) -> Result<Option<PublishedCrl>, PublishError> {
        let issuer = self.issuer.id();
        if self.revocations.current_crl(issuer).await?.is_some() {
            return Ok(None);
        }
        let adopted = read_foreign(der, &self.issuer).map_err(PublishError::Foreign)?;
        let row =
            event(self.clock.now(), Actor::System, "crl.adopted", adopted.number).with("issuer", issuer);
        match self.revocations.publish_crl(issuer, &adopted, row).await {
            Ok(()) => Ok(Some(adopted)),
            Err(StoreError::Conflict(Conflict::CrlNumber)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A CRL that was made elsewhere, in a ceremony.
fn read_foreign(der: &[u8], issuer: &Issuer) -> Result<PublishedCrl, String> {
    let signed = Signed::parse(der).map_err(|error| error.to_string())?;
    signed.verify(issuer.public_key()).map_err(|error| error.to_string())?;
    let list: TbsCertList = TbsCertList::from_der(signed.tbs).map_err(|error| error.to_string())?;
    if list.issuer != *issuer.name() {
        return Err("it names another issuer".to_owned());
    }
    let next_update = list.next_update.ok_or("it has no nextUpdate")?;
    let this_update = time::from_x509(&list.this_update).map_err(|error| error.to_string())?;
    Ok(PublishedCrl {
        number: list.crl_extensions.as_deref().and_then(ca_x509::crl::number).ok_or("it has no number")?,
        this_update,
        next_update: time::from_x509(&next_update).map_err(|error| error.to_string())?,
        listed_from: this_update,
        entries: list.revoked_certificates.map_or(0, |entries| entries.len() as u64),
        der: der.to_vec(),
    })
}

fn why(due: Due) -> String {
    match due {
        Due::First => "first".to_owned(),
        Due::Revocations(count) => format!("{count} revocations"),
        Due::Schedule => "schedule".to_owned(),
    }
}
