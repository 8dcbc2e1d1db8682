//! Steps 4 to 9 of an issuance, as types that consume each other:
//! [`draft`] → [`Draft`] → [`Linted`] → [`Recorded`] → [`Signed`] → [`Issued`] → [`Delivered`].
//!
//! Nothing unlinted is recorded, nothing unrecorded is signed, nothing is signed twice, and nothing leaves that wasn't
//! verified and stored: the other order doesn't compile. Only `ca-core` turns receipts into the next type.

use ca_x509::{certificate::CertificateTemplate, signed};
use jiff::Timestamp;
use x509_cert::builder;

use super::{
    anchor::MayIssue,
    attestation::Attested,
    audit::AuditPosition,
    certificate::{CertificateRecord, CertificateState},
    contract::Contract,
    csr::Csr,
    ids::{EnrolmentId, IssuerId, SerialNumber, SignerName},
    lint::{self, Expected, Finding},
    profile::{Issuer, Profile},
    receipt::{IntentReceipt, IssuedReceipt, JournalPosition, JournaledSignature},
    subject::{self, InvalidText},
    user::User,
    validity::{self, ValidityError},
};

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
    /// The authority's own key.
    #[error("the request is for the issuer's own key")]
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
    if order.csr.public_key() == issuer.public_key() {
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

/// A draft that a lint found fault with: a defect in Inro or its configuration, never the customer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the drafted certificate fails {} of the lints, first {}", .0.len(), first(.0))]
pub struct LintFailure(pub Vec<Finding>);

fn first(findings: &[Finding]) -> String {
    findings.first().map_or_else(String::new, ToString::to_string)
}

impl Draft {
    /// Step 5: holds the draft against RFC 5280 and the profile.
    ///
    /// # Errors
    /// [`LintFailure`] with every finding.
    pub fn lint(self) -> Result<Linted, LintFailure> {
        let findings = lint::check(&self.record.tbs, &self.expected);
        if findings.is_empty() { Ok(Linted { record: self.record }) } else { Err(LintFailure(findings)) }
    }
}

/// A draft that passed every lint.
#[derive(Debug)]
pub struct Linted {
    record: CertificateRecord,
}

impl Linted {
    /// The row to be committed as intent (step 6), for whoever may issue.
    pub fn record(&self, _may_issue: MayIssue) -> &CertificateRecord {
        &self.record
    }

    /// The intent is durable.
    pub(crate) fn recorded(self, receipt: IntentReceipt) -> Recorded {
        Recorded { record: self.record, audit_head: receipt.audit_head }
    }
}

/// A certificate whose intent is in the ledger: it may be signed.
#[derive(Debug)]
pub struct Recorded {
    record: CertificateRecord,
    audit_head: AuditPosition,
}

/// The journal holds other bytes for this intent than the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signer's journal holds another certificate for intent {0} than the ledger")]
pub struct OtherBytes(pub EnrolmentId);

impl Recorded {
    /// An intent that is in the ledger from before, after a crash or a repeat; `None` when it is no mere intent any
    /// more. `audit_head` is the chain's present head.
    pub(crate) fn resumed(
        record: CertificateRecord,
        audit_head: AuditPosition,
        _may_issue: MayIssue,
    ) -> Option<Self> {
        (record.state == CertificateState::Intended).then_some(Self { record, audit_head })
    }

    /// Its name at the signer.
    pub fn intent(&self) -> EnrolmentId {
        self.record.intent
    }

    /// Whose journal has the signature, if there is one.
    pub fn signer(&self) -> &SignerName {
        &self.record.signer
    }

    /// Whose key signs.
    pub fn issuer(&self) -> &IssuerId {
        &self.record.issuer
    }

    /// What goes into the journal beside it.
    pub fn audit_head(&self) -> AuditPosition {
        self.audit_head
    }

    /// What is to be signed, DER.
    pub fn tbs(&self) -> &[u8] {
        &self.record.tbs
    }

    /// Step 7: the signer has signed.
    pub(crate) fn signed(self, signature: JournaledSignature) -> Signed {
        Signed { record: self.record, signature }
    }
}

/// A certificate with a signature that nobody has checked yet.
#[derive(Debug)]
pub struct Signed {
    record: CertificateRecord,
    signature: JournaledSignature,
}

/// Why a signature isn't the issuer's. The signer, its module or its configuration is broken; nothing leaves.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Not by the issuer's key over these bytes.
    #[error("the signer returned a signature that is not the issuer's over this certificate")]
    Wrong(#[source] signed::SignedError),
    /// Not the issuer that the certificate was drafted for.
    #[error("the certificate was drafted for the issuer {0}")]
    OtherIssuer(IssuerId),
    /// It can't be assembled.
    #[error("certificate and signature can't be put together")]
    Assembly(#[source] der::Error),
}

impl Signed {
    /// The journal holds a signature from before: taken over when it is over the very bytes of the intent. Nothing is
    /// signed, so this needs no right to issue.
    pub(crate) fn adopted(
        record: CertificateRecord,
        tbs: &[u8],
        signature: JournaledSignature,
    ) -> Result<Self, OtherBytes> {
        if record.tbs == tbs { Ok(Self { record, signature }) } else { Err(OtherBytes(record.intent)) }
    }

    /// Step 8: checks the signature with the issuer's key, over the bytes that were linted as they stand in the
    /// assembled certificate.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(self, issuer: &Issuer) -> Result<Issued, SignatureError> {
        let Self { record, signature } = self;
        if *issuer.id() != record.issuer {
            return Err(SignatureError::OtherIssuer(record.issuer));
        }
        let der = signed::assemble(&record.tbs, issuer.algorithm(), &signature.signature)
            .map_err(SignatureError::Assembly)?;
        let assembled = signed::Signed::parse(&der).map_err(SignatureError::Assembly)?;
        if assembled.tbs != record.tbs {
            return Err(SignatureError::Assembly(der::ErrorKind::Failed.into()));
        }
        assembled.verify(issuer.public_key()).map_err(SignatureError::Wrong)?;
        Ok(Issued { record, der, position: signature.position })
    }
}

/// A certificate that is verified and must be stored before it leaves.
#[derive(Debug)]
pub struct Issued {
    record: CertificateRecord,
    der: Vec<u8>,
    position: JournalPosition,
}

impl Issued {
    /// The row as it was committed as intent.
    pub fn record(&self) -> &CertificateRecord {
        &self.record
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Where the signer's journal keeps it.
    pub fn position(&self) -> JournalPosition {
        self.position
    }

    /// Step 9: it is in the ledger; `None` when it was revoked while it was being signed.
    pub(crate) fn delivered(self, receipt: IssuedReceipt) -> Option<Delivered> {
        (!receipt.is_revoked).then_some(Delivered { serial: self.record.serial, der: self.der })
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

#[cfg(test)]
mod tests;
