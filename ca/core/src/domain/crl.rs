//! CRLs (失効リスト, RFC 5280, 5): what stands in one, and when the next is due.

use ca_x509::{
    crl::{CrlEntry, CrlTemplate},
    signed::{self, SignedError},
};
use jiff::{SignedDuration, Timestamp};
use x509_cert::ext::pkix::CrlReason;

use super::{
    profile::Issuer,
    receipt::JournaledSignature,
    revocation::{Revocation, RevocationReason},
};

/// nextUpdate is never further away.
pub const LONGEST_LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long CRLs live and how often they are refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlPolicy {
    lifetime: SignedDuration,
    refresh: SignedDuration,
}

/// A policy under which CRLs would lapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CRLs must live at most 7 days and be refreshed before half of their life is over")]
pub struct InvalidCrlPolicy;

impl CrlPolicy {
    /// CRLs that live for `lifetime` and are replaced after `refresh`, revocations or not.
    ///
    /// # Errors
    /// [`InvalidCrlPolicy`] beyond 7 days, or when a failed refresh leaves no time to act.
    pub fn new(lifetime: SignedDuration, refresh: SignedDuration) -> Result<Self, InvalidCrlPolicy> {
        let sound = refresh > SignedDuration::ZERO && refresh * 2 <= lifetime && lifetime <= LONGEST_LIFETIME;
        sound.then_some(Self { lifetime, refresh }).ok_or(InvalidCrlPolicy)
    }
}

impl Default for CrlPolicy {
    /// Refreshed daily, valid for 7 days.
    fn default() -> Self {
        Self { lifetime: LONGEST_LIFETIME, refresh: SignedDuration::from_hours(24) }
    }
}

/// A CRL that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedCrl {
    /// `CRLNumber`.
    pub number: u64,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// Its entries are of certificates with this notAfter or a later one.
    pub listed_from: Timestamp,
    /// How many entries.
    pub entries: u64,
    /// The `CertificateList`, DER.
    pub der: Vec<u8>,
}

/// Why a new CRL is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// There is none yet.
    First,
    /// So many revocations aren't in the current one.
    Revocations(u64),
    /// The current one is a refresh period old.
    Schedule,
}

/// Whether a new CRL is due: `current` is the standing one, `missing` how many revocations it lacks.
pub fn due(policy: &CrlPolicy, current: Option<&PublishedCrl>, missing: u64, now: Timestamp) -> Option<Due> {
    let Some(current) = current else { return Some(Due::First) };
    if missing > 0 {
        return Some(Due::Revocations(missing));
    }
    (now.duration_since(current.this_update) >= policy.refresh).then_some(Due::Schedule)
}

/// Why there is no CRL.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The clock went back: thisUpdate would fall behind the current CRL's.
    #[error("the clock says {now}, but the current CRL is from {current}")]
    ClockBehind {
        /// The clock.
        now: Timestamp,
        /// The current CRL's thisUpdate.
        current: Timestamp,
    },
    /// The number doesn't rise.
    #[error("the CRL number {number} is not above the current {current}")]
    Number {
        /// The new number.
        number: u64,
        /// The current one.
        current: u64,
    },
    /// The issuer's certificate has expired.
    #[error("the issuer's certificate expired at {0}")]
    IssuerExpired(Timestamp),
    /// A revocation of another issuer.
    #[error("a revocation of the issuer {0} doesn't belong into this CRL")]
    OtherIssuer(String),
    /// The clock is outside the years that CRLs can express.
    #[error("{0} is not a time at which CRLs can be issued")]
    OutOfRange(Timestamp),
    /// Something can't be encoded.
    #[error("the CRL can't be encoded")]
    Encoding(#[source] der::Error),
    /// The signature isn't the issuer's.
    #[error("the signer returned a signature that is not the issuer's over this CRL")]
    Signature(#[source] SignedError),
}

/// A CRL to be signed.
#[derive(Clone, Debug)]
pub struct CrlDraft {
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    listed_from: Timestamp,
    entries: u64,
    tbs: Vec<u8>,
}

/// The earliest notAfter that a CRL of `this_update` lists after `current`: an entry stays until it has stood in one
/// CRL from beyond its certificate's life (RFC 5280, 3.3).
pub fn listed_from(current: Option<&PublishedCrl>, this_update: Timestamp) -> Timestamp {
    current.map_or(this_update, |current| current.this_update.min(this_update))
}

/// Writes the CRL with `number`, which must be above `current`'s. `revocations` are all of the issuer's from
/// [`listed_from`] on, in the order in which they are to stand.
///
/// # Errors
/// [`CrlError`].
pub fn draft(
    issuer: &Issuer,
    policy: &CrlPolicy,
    number: u64,
    revocations: &[Revocation],
    current: Option<&PublishedCrl>,
    now: Timestamp,
) -> Result<CrlDraft, CrlError> {
    let out_of_range = |_| CrlError::OutOfRange(now);
    let this_update = Timestamp::from_second(now.as_second()).map_err(out_of_range)?;
    if let Some(current) = current {
        if this_update < current.this_update {
            return Err(CrlError::ClockBehind { now, current: current.this_update });
        }
        if number <= current.number {
            return Err(CrlError::Number { number, current: current.number });
        }
    }
    if this_update > issuer.not_after() {
        return Err(CrlError::IssuerExpired(issuer.not_after()));
    }
    let next_update = this_update.checked_add(policy.lifetime).map_err(out_of_range)?;
    let entries = revocations
        .iter()
        .map(|revocation| entry(issuer, revocation, this_update))
        .collect::<Result<Vec<_>, _>>()?;
    let count = entries.len() as u64;
    let template = CrlTemplate {
        issuer: issuer.name().clone(),
        issuer_key_identifier: issuer.key_identifier().clone(),
        this_update,
        next_update,
        number,
        entries,
        algorithm: issuer.algorithm(),
    };
    let tbs = template.to_tbs_der().map_err(CrlError::Encoding)?;
    let listed_from = listed_from(current, this_update);
    Ok(CrlDraft { number, this_update, next_update, listed_from, entries: count, tbs })
}

fn entry(issuer: &Issuer, revocation: &Revocation, this_update: Timestamp) -> Result<CrlEntry, CrlError> {
    if revocation.issuer != *issuer.id() {
        return Err(CrlError::OtherIssuer(revocation.issuer.to_string()));
    }
    Ok(CrlEntry {
        serial: revocation.serial.as_bytes().to_vec(),
        revoked_at: revocation.told_at(this_update),
        reason: reason(revocation.reason),
    })
}

/// The reason as CRLs and OCSP responses say it: unspecified is left out (RFC 5280, 5.3.1).
pub fn reason(reason: RevocationReason) -> Option<CrlReason> {
    match reason {
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(CrlReason::KeyCompromise),
        RevocationReason::AffiliationChanged => Some(CrlReason::AffiliationChanged),
        RevocationReason::Superseded => Some(CrlReason::Superseded),
        RevocationReason::CessationOfOperation => Some(CrlReason::CessationOfOperation),
        RevocationReason::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
    }
}

impl CrlDraft {
    /// What is to be signed, DER.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// Puts the signature on and checks it.
    ///
    /// # Errors
    /// [`CrlError::Signature`] when it isn't the issuer's.
    pub fn signed(self, signature: &JournaledSignature, issuer: &Issuer) -> Result<PublishedCrl, CrlError> {
        let der = signed::assemble(&self.tbs, issuer.algorithm(), &signature.signature)
            .map_err(CrlError::Encoding)?;
        let parsed = signed::Signed::parse(&der).map_err(CrlError::Encoding)?;
        parsed.verify(issuer.public_key()).map_err(CrlError::Signature)?;
        let Self { number, this_update, next_update, listed_from, entries, .. } = self;
        Ok(PublishedCrl { number, this_update, next_update, listed_from, entries, der })
    }
}

#[cfg(test)]
mod tests;
