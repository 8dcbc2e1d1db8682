//! The trust store in use: bundles are staged by one officer, approved by another, and taken up by every process while it
//! runs.
//!
//! What the ledger holds is believed only with both signatures. A bundle that fails leaves what is trusted as it was.

use std::sync::Arc;

use jiff::Timestamp;

pub use super::trusted::{CrlFile, CrlsTakenUp, InUse, Trusted};
use super::{
    failure::{Failure, carries_failure},
    trail::{Details, event},
};
use crate::{
    domain::{
        attestation::{AnchorError, Anchors},
        audit::{Actor, AuditEvent},
        trust::{Bundle, BundleError, Officers, SignatureRefusal, sha256},
    },
    ports::{
        clock::Clock,
        store::{Conflict, StoreError},
        trust::{OfficerSignature, StagedTrust, TrustRecord, TrustStore},
    },
};

/// The document's form is the outside's matter.
pub trait BundleForm: Send + Sync {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(&self, document: &[u8]) -> Result<Bundle, BundleError>;
}

/// Why a bundle isn't taken up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Signatures that don't count.
    #[error("trust version {version} is refused")]
    Signatures {
        /// The version.
        version: u32,
        /// Why.
        #[source]
        source: SignatureRefusal,
    },
    /// It doesn't parse, or isn't the version that its row says.
    #[error("trust version {version} is refused")]
    Bundle {
        /// The version.
        version: u32,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// Its anchors can't be used.
    #[error("trust version {version} is refused")]
    Anchors {
        /// The version.
        version: u32,
        /// Why.
        #[source]
        source: AnchorError,
    },
    /// An older version than before, or than the configuration asks for.
    #[error("the ledger's trust has gone back: version {known} is known, the newest there is {found}")]
    WentBack {
        /// The version that was in use, or that the configuration names.
        known: u32,
        /// The newest of the ledger; 0 for none.
        found: u32,
    },
    /// There is no such version.
    #[error("there is no trust version {0}")]
    Unknown(u32),
    /// Nothing is staged, or something else than what was signed.
    #[error("this isn't what is staged")]
    NotStaged,
    /// The signature isn't one that counts.
    #[error(transparent)]
    Refused(SignatureRefusal),
    /// What was signed can't be the next version.
    #[error(transparent)]
    Unfit(BundleError),
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(TrustError);

/// Reads versions and believes them only with both signatures.
#[derive(Clone)]
pub struct ReadTrust {
    /// Versions.
    pub store: Arc<dyn TrustStore>,
    /// Who may sign.
    pub officers: Arc<Officers>,
    /// How documents look.
    pub form: Arc<dyn BundleForm>,
    /// No version below this one is taken; the configuration's defence against a ledger that was taken back.
    pub lowest: u32,
}

/// A version whose signatures hold.
#[derive(Clone, Debug)]
pub struct Verified {
    /// As it is in the ledger.
    pub record: TrustRecord,
    /// What it says.
    pub bundle: Bundle,
    /// Who signed, by their certificates.
    pub officers: [String; 2],
}

impl Verified {
    /// What it trusts.
    ///
    /// # Errors
    /// `Anchors`.
    pub fn in_use(&self) -> Result<InUse, TrustError> {
        let version = self.record.version;
        let anchors = Anchors::new(&self.bundle.standing());
        let anchors = anchors.map_err(|source| TrustError::Anchors { version, source })?;
        Ok(InUse { version, sha256: Some(sha256(&self.record.bundle)), anchors })
    }
}

impl ReadTrust {
    /// The newest version; `None` before the first.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn newest(&self) -> Result<Option<Verified>, TrustError> {
        let head = self.store.trust_head().await?;
        if head.unwrap_or(0) < self.lowest {
            return Err(TrustError::WentBack { known: self.lowest, found: head.unwrap_or(0) });
        }
        match head {
            Some(version) => Ok(Some(self.version(version).await?)),
            None => Ok(None),
        }
    }

    /// A version.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn version(&self, version: u32) -> Result<Verified, TrustError> {
        let record = self.store.trust(version).await?.ok_or(TrustError::Unknown(version))?;
        self.verify(record)
    }

    /// Takes up the newest version where it is another one than what is in use; true when it was. With `thoroughly` also
    /// the octets of the version in use are looked at again: rows that were edited by hand show.
    ///
    /// # Errors
    /// [`TrustError`]; what was trusted stays.
    pub async fn take_up(&self, trusted: &Trusted, thoroughly: bool) -> Result<bool, TrustError> {
        let current = trusted.current();
        let head = self.store.trust_head().await?.unwrap_or(0);
        if head < current.version.max(self.lowest) {
            return Err(TrustError::WentBack { known: current.version.max(self.lowest), found: head });
        }
        if head == 0 || (head == current.version && !thoroughly) {
            return Ok(false);
        }
        let newest = self.version(head).await?;
        let is_new = current.sha256 != Some(sha256(&newest.record.bundle));
        if is_new {
            trusted.replace(&newest.in_use()?);
        }
        Ok(is_new)
    }

    fn verify(&self, record: TrustRecord) -> Result<Verified, TrustError> {
        let version = record.version;
        let signed = self.officers.two(&record.bundle, &record.first.cms, &record.second.cms);
        let officers = signed.map_err(|source| TrustError::Signatures { version, source })?;
        let officers = officers.map(|officer| officer.name.clone());
        let of_bundle = |source| TrustError::Bundle { version, source };
        let bundle = self.form.read(&record.bundle).map_err(of_bundle)?;
        bundle.check().map_err(of_bundle)?;
        if bundle.version != version {
            return Err(of_bundle(BundleError::NotNext { expected: version }));
        }
        Ok(Verified { record, bundle, officers })
    }
}

/// Stages, approves and withdraws.
pub struct TrustDesk {
    /// Versions.
    pub read: ReadTrust,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl TrustDesk {
    /// Stages a bundle that an officer has signed; returns the officer's name.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn stage(&self, by: Actor, document: &[u8], signature: &[u8]) -> Result<String, TrustError> {
        let now = self.clock.now();
        let bundle = self.read.form.read(document).map_err(TrustError::Unfit)?;
        let newest = self.read.newest().await?;
        let previous = newest.as_ref().map(|newest| (&newest.bundle, sha256(&newest.record.bundle)));
        bundle.follows(previous).map_err(TrustError::Unfit)?;
        Anchors::new(&bundle.standing())
            .map_err(|source| TrustError::Anchors { version: bundle.version, source })?;
        let officer = self.officer(document, signature, now)?;
        let first = OfficerSignature { officer: officer.clone(), at: now, cms: signature.to_vec() };
        let staged = StagedTrust { version: bundle.version, bundle: document.to_vec(), first };
        let row = row(now, by, "trust.staged", bundle.version, document).with("officer", &officer);
        settled(self.read.store.stage_trust(&staged, row).await)?;
        Ok(officer)
    }

    /// Approves what is staged; returns the version and the officer's name.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn approve(&self, by: Actor, signature: &[u8]) -> Result<(u32, String), TrustError> {
        let now = self.clock.now();
        let staged = self.read.store.staged_trust().await?.ok_or(TrustError::NotStaged)?;
        let officers = &self.read.officers;
        let both = officers.two(&staged.bundle, &staged.first.cms, signature).map_err(TrustError::Refused)?;
        let officer = self.officer(&staged.bundle, signature, now)?;
        tracing::debug!(first = both[0].name, second = both[1].name, "both officers' signatures hold");
        let second = OfficerSignature { officer: officer.clone(), at: now, cms: signature.to_vec() };
        let row = row(now, by, "trust.approved", staged.version, &staged.bundle).with("officer", &officer);
        settled(self.read.store.approve_trust(&staged, &second, row).await)?;
        Ok((staged.version, officer))
    }

    /// Takes back what is staged.
    ///
    /// # Errors
    /// `NotStaged`.
    pub async fn withdraw(&self, by: Actor) -> Result<u32, TrustError> {
        let staged = self.read.store.staged_trust().await?.ok_or(TrustError::NotStaged)?;
        let row = row(self.clock.now(), by, "trust.withdrawn", staged.version, &staged.bundle);
        settled(self.read.store.withdraw_trust(row).await)?;
        Ok(staged.version)
    }

    fn officer(&self, document: &[u8], signature: &[u8], now: Timestamp) -> Result<String, TrustError> {
        let officer = self.read.officers.signer(document, signature).map_err(TrustError::Refused)?;
        officer.may_sign(now).map_err(TrustError::Refused)?;
        Ok(officer.name.clone())
    }
}

fn row(at: Timestamp, by: Actor, action: &'static str, version: u32, document: &[u8]) -> AuditEvent {
    event(at, by, action, format_args!("trust-{version}")).with("sha256", hex::encode(sha256(document)))
}

fn settled(written: Result<(), StoreError>) -> Result<(), TrustError> {
    match written {
        Err(StoreError::Conflict(Conflict::Missing)) => Err(TrustError::NotStaged),
        written => Ok(written.map_err(Failure::from)?),
    }
}
