//! The certificate of an OCSP responder (RFC 6960, 4.2.2.2): which one of several is in use, when it is due for renewal,
//! and its renewal as steps that consume each other, as an issuance's do:
//! [`draft`] → [`Draft`] → [`Linted`] → [`Recorded`] → [`Signed`] → [`Issued`].
//!
//! A renewed certificate has the name and the key of the one before it and nothing else from it: what it says besides is
//! fixed here. It can't be checked for revocation (id-pkix-ocsp-nocheck), so it lives briefly.

mod lint;
#[cfg(test)]
mod tests;

use ca_x509::{certificate::CertificateTemplate, extension, key};
use const_oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use der::Encode;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use x509_cert::{
    builder,
    ext::{Extension, pkix::KeyUsages},
    spki::SubjectPublicKeyInfoOwned,
};

use super::{
    certificate::CertificateState,
    ids::{EnrolmentId, IssuerId, SerialNumber, SignerName},
    issuance::steps::{self, IntentRow, LintFailure},
    ocsp::Responder,
    profile::Issuer,
};
use lint::Expected;

/// Relying parties whose clocks are behind by so much accept a new certificate at once. The signer tolerates ten minutes.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// How long a responder's certificate is valid, and when it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponderPolicy {
    validity: SignedDuration,
    renew_before: SignedDuration,
}

impl ResponderPolicy {
    /// `validity` from notBefore to notAfter, renewed `renew_before` its end; `None` unless that is at most half of it.
    pub fn new(validity: SignedDuration, renew_before: SignedDuration) -> Option<Self> {
        let fits = renew_before.is_positive() && renew_before <= validity / 2;
        fits.then_some(Self { validity, renew_before })
    }

    /// Whether a certificate is due for renewal: its end is near, and a new one would last longer, which it doesn't when the
    /// issuer's own end is as near.
    pub fn is_due(&self, current: &Responder, issuer: &Issuer, now: Timestamp) -> bool {
        let is_near = current.not_after().duration_since(now) < self.renew_before;
        is_near && self.span(issuer, now).is_some_and(|(_, not_after)| not_after > current.not_after())
    }

    /// When a certificate is to be renewed.
    pub fn renewal_of(&self, current: &Responder) -> Timestamp {
        current.not_after().saturating_sub(self.renew_before).unwrap_or(Timestamp::MIN)
    }

    /// notBefore and notAfter of a certificate that is issued now, in whole seconds and within the issuer's own; `None` at
    /// the end of that.
    fn span(&self, issuer: &Issuer, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let begin = now.checked_sub(BACKDATED).ok()?;
        let begin = Timestamp::from_second(begin.as_second()).ok()?;
        let not_after = begin.checked_add(self.validity).ok()?.min(issuer.not_after());
        (now < not_after).then_some((begin.max(issuer.not_before()), not_after))
    }
}

/// The certificate to answer with, of several with the times at which they were issued (notBefore may be earlier): of those
/// that are valid now the latest, else the one that ends last.
pub fn in_use(
    candidates: impl IntoIterator<Item = (Timestamp, Responder)>,
    now: Timestamp,
) -> Option<Responder> {
    let rank = |(issued_at, responder): &(Timestamp, Responder)| {
        let is_valid = responder.is_valid_at(now);
        (is_valid, if is_valid { *issued_at } else { responder.not_after() })
    };
    candidates.into_iter().max_by_key(rank).map(|(_, responder)| responder)
}

/// SHA-256 of a `SubjectPublicKeyInfo`, DER: what a responder is known by, whatever its certificate.
///
/// # Errors
/// Only `der`'s.
pub fn key_sha256(public_key: &SubjectPublicKeyInfoOwned) -> der::Result<[u8; 32]> {
    Ok(Sha256::digest(public_key.to_der()?).into())
}

/// A responder's certificate as the ledger knows it, from the intent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponderRecord {
    /// Its name at the signer; no enrolment belongs to it.
    pub intent: EnrolmentId,
    /// Who issues.
    pub issuer: IssuerId,
    /// Whose journal holds the signature, if there is one.
    pub signer: SignerName,
    /// The serial number, unique per issuer.
    pub serial: SerialNumber,
    /// The responder's key: [`key_sha256`].
    pub public_key_sha256: [u8; 32],
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// DER of the `TBSCertificate` that was linted.
    pub tbs: Vec<u8>,
    /// How far it got; nobody confirms it.
    pub state: CertificateState,
}

/// What a certificate is made of.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Its name at the signer.
    pub intent: EnrolmentId,
    /// Who issues.
    pub issuer: &'a Issuer,
    /// The certificate in use: its name and key stay.
    pub current: &'a Responder,
    /// For how long.
    pub policy: &'a ResponderPolicy,
    /// Who will sign.
    pub signer: &'a SignerName,
    /// The serial number.
    pub serial: &'a SerialNumber,
    /// Now.
    pub now: Timestamp,
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The issuer's own end is reached.
    #[error("the issuer's certificate ends at {0}: no responder's certificate can begin now")]
    IssuerExpires(Timestamp),
    /// Something can't be encoded.
    #[error("the certificate can't be encoded")]
    Encoding(#[source] builder::Error),
}

/// A to-be-signed certificate that nobody has looked at yet.
#[derive(Debug)]
pub struct Draft {
    record: ResponderRecord,
    expected: Expected,
}

/// Writes the to-be-signed certificate.
///
/// # Errors
/// [`DraftError`].
pub fn draft(order: &Order<'_>) -> Result<Draft, DraftError> {
    let Order { issuer, current, .. } = *order;
    let span = order.policy.span(issuer, order.now);
    let (not_before, not_after) = span.ok_or_else(|| DraftError::IssuerExpires(issuer.not_after()))?;
    let encoding = |error: der::Error| DraftError::Encoding(error.into());
    let template = CertificateTemplate {
        serial: order.serial.as_bytes().to_vec(),
        issuer: issuer.name().clone(),
        subject: current.name().clone(),
        not_before,
        not_after,
        public_key: current.public_key().clone(),
        extensions: extensions(issuer, current.public_key()).map_err(encoding)?,
        algorithm: issuer.algorithm(),
    };
    let record = ResponderRecord {
        intent: order.intent,
        issuer: issuer.id().clone(),
        signer: order.signer.clone(),
        serial: order.serial.clone(),
        public_key_sha256: key_sha256(current.public_key()).map_err(encoding)?,
        not_before,
        not_after,
        tbs: template.to_tbs_der().map_err(DraftError::Encoding)?,
        state: CertificateState::Intended,
    };
    let expected = Expected {
        issuer: issuer.clone(),
        serial: order.serial.clone(),
        subject: current.name().clone(),
        public_key: current.public_key().clone(),
        not_before,
        not_after,
    };
    Ok(Draft { record, expected })
}

fn extensions(issuer: &Issuer, public_key: &SubjectPublicKeyInfoOwned) -> der::Result<Vec<Extension>> {
    Ok(vec![
        extension::key_usage(KeyUsages::DigitalSignature)?,
        extension::extended_key_usage(&[ID_KP_OCSP_SIGNING])?,
        extension::ocsp_no_check()?,
        extension::subject_key_identifier(key::identifier(public_key)?)?,
        extension::authority_key_identifier(issuer.key_identifier().clone())?,
    ])
}

impl Draft {
    /// Holds the draft against RFC 5280, RFC 6960 and what was ordered.
    ///
    /// # Errors
    /// [`LintFailure`] with every finding.
    pub fn lint(self) -> Result<Linted, LintFailure> {
        let findings = lint::check(&self.record.tbs, &self.expected);
        Linted::judged(self.record, findings)
    }
}

/// A draft that passed every lint.
pub type Linted = steps::Linted<ResponderRecord>;
/// A certificate whose intent is in the ledger: it may be signed.
pub type Recorded = steps::Recorded<ResponderRecord>;
/// A certificate with a signature that nobody has checked yet.
pub type Signed = steps::Signed<ResponderRecord>;
/// A certificate that is verified and must be stored before it is used.
pub type Issued = steps::Issued<ResponderRecord>;

impl IntentRow for ResponderRecord {
    fn intent(&self) -> EnrolmentId {
        self.intent
    }

    fn issuer(&self) -> &IssuerId {
        &self.issuer
    }

    fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    fn state(&self) -> &CertificateState {
        &self.state
    }
}
