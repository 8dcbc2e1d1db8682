//! Steps 4 to 9 of an issuance, as types that consume each other:
//! [`draft`] → [`Draft`] → [`Linted`] → [`Recorded`] → [`Signed`] → [`Issued`] → [`Delivered`].
//!
//! The steps from the lint to the verified signature are every certificate's, see [`steps`]; nothing leaves that wasn't
//! stored.

pub mod steps;
#[cfg(test)]
mod tests;

use ca_x509::certificate::CertificateTemplate;
use jiff::Timestamp;
use x509_cert::builder;

use super::{
    attestation::Attested,
    certificate::{CertificateRecord, CertificateState},
    contract::Contract,
    csr::Csr,
    ids::{EnrolmentId, IssuerId, SerialNumber, SignerName},
    lint::{self, Expected},
    profile::Profile,
    receipt::IssuedReceipt,
    subject::{self, InvalidText},
    user::User,
    validity::{self, ValidityError},
};
pub use steps::{IntentRow, LintFailure, OtherBytes, SignatureError};

/// What a certificate is made of.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The enrolment, which names the intent.
    pub intent: EnrolmentId,
    /// Issuer and profile.
    pub profile: &'a Profile,
    /// The user's contract.
    pub contract: &'a Contract,
    /// The user.
    pub user: &'a User,
    /// The verified request.
    pub csr: &'a Csr,
    /// What was proven about its key.
    pub attested: &'a Attested,
    /// The intent of the certificate that it renews.
    pub renews: Option<EnrolmentId>,
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
    /// A name that may not stand in a certificate.
    #[error("the subject can't be written")]
    Subject(#[source] InvalidText),
    /// Rule 2.
    #[error(transparent)]
    Validity(#[from] ValidityError),
    /// The issuer's certificate isn't valid yet.
    #[error("the issuer's certificate is not valid before {0}")]
    IssuerNotYetValid(Timestamp),
    /// A key of the authority's own: the issuer's, the root's, another issuer's, a responder's.
    #[error("the request is for one of the authority's own keys")]
    IssuersKey,
    /// Something can't be encoded.
    #[error("the certificate can't be encoded")]
    Encoding(#[source] builder::Error),
}

impl DraftError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Subject(_) => "draft-subject",
            Self::Validity(ValidityError::IssuerExpires { .. }) => "draft-issuer-expires",
            Self::Validity(ValidityError::OutOfRange(_)) => "draft-clock-out-of-range",
            Self::IssuerNotYetValid(_) => "draft-issuer-not-yet-valid",
            Self::IssuersKey => "draft-issuers-key",
            Self::Encoding(_) => "draft-encoding",
        }
    }
}

/// A to-be-signed certificate that nobody has looked at yet.
#[derive(Debug)]
pub struct Draft {
    record: CertificateRecord,
    expected: Expected,
}

/// Step 4: writes the to-be-signed certificate.
///
/// # Errors
/// [`DraftError`].
pub fn draft(order: &Order<'_>) -> Result<Draft, DraftError> {
    let issuer = order.profile.issuer();
    if order.profile.is_own_key(order.csr.public_key()) {
        return Err(DraftError::IssuersKey);
    }
    if order.now < issuer.not_before() {
        return Err(DraftError::IssuerNotYetValid(issuer.not_before()));
    }
    let subject = subject::of(order.contract, order.user).map_err(DraftError::Subject)?;
    let validity = validity::one_year(order.now, issuer.not_after())?;
    let (device, assurance) = (&order.attested.device, order.attested.assurance);
    let extensions = order
        .profile
        .extensions(order.csr.public_key(), device, assurance)
        .map_err(|error| DraftError::Encoding(error.into()))?;
    let template = CertificateTemplate {
        serial: order.serial.as_bytes().to_vec(),
        issuer: issuer.name().clone(),
        subject: subject.clone(),
        not_before: validity.not_before,
        not_after: validity.not_after,
        public_key: order.csr.public_key().clone(),
        extensions,
        algorithm: issuer.algorithm(),
    };
    let record = CertificateRecord {
        intent: order.intent,
        issuer: issuer.id().clone(),
        signer: order.signer.clone(),
        serial: order.serial.clone(),
        user: order.user.id.clone(),
        contract: order.contract.number.clone(),
        device: device.clone(),
        assurance,
        public_key_sha256: order.csr.public_key_sha256(),
        not_before: validity.not_before,
        not_after: validity.not_after,
        renews: order.renews,
        tbs: template.to_tbs_der().map_err(DraftError::Encoding)?,
        state: CertificateState::Intended,
    };
    let expected = Expected {
        profile: order.profile.clone(),
        serial: order.serial.clone(),
        subject,
        validity,
        public_key: order.csr.public_key().clone(),
        device: device.clone(),
        assurance,
    };
    Ok(Draft { record, expected })
}

impl Draft {
    /// Step 5: holds the draft against RFC 5280 and the profile.
    ///
    /// # Errors
    /// [`LintFailure`] with every finding.
    pub fn lint(self) -> Result<Linted, LintFailure> {
        let findings = lint::check(&self.record.tbs, &self.expected);
        Linted::judged(self.record, findings)
    }
}

/// A draft that passed every lint.
pub type Linted = steps::Linted<CertificateRecord>;
/// A certificate whose intent is in the ledger: it may be signed.
pub type Recorded = steps::Recorded<CertificateRecord>;
/// A certificate with a signature that nobody has checked yet.
pub type Signed = steps::Signed<CertificateRecord>;
/// A certificate that is verified and must be stored before it leaves.
pub type Issued = steps::Issued<CertificateRecord>;

impl IntentRow for CertificateRecord {
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

impl Issued {
    /// Step 9: it is in the ledger; `None` when it was revoked while it was being signed.
    pub(crate) fn delivered(self, receipt: IssuedReceipt) -> Option<Delivered> {
        let (record, der) = self.into_parts();
        (!receipt.is_revoked).then_some(Delivered { serial: record.serial, der })
    }
}

/// A certificate that may be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    serial: SerialNumber,
    der: Vec<u8>,
}

impl Delivered {
    /// One that the ledger holds from before, for a repeat of its request; `None` when it isn't issued, or is revoked.
    pub fn from_ledger(record: &CertificateRecord) -> Option<Self> {
        match &record.state {
            CertificateState::Issued { der, .. } => {
                Some(Self { serial: record.serial.clone(), der: der.clone() })
            }
            CertificateState::Intended | CertificateState::Revoked { .. } | CertificateState::Abandoned => {
                None
            }
        }
    }

    /// Its serial number.
    pub fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}
