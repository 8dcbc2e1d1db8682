//! What every certificate goes through from its lint to its verified signature, as types that consume each other:
//! [`Linted`] → [`Recorded`] → [`Signed`] → [`Issued`]. `R` is the ledger's row, one for each kind of certificate.
//!
//! Nothing unlinted is recorded, nothing unrecorded is signed, nothing is signed twice, and nothing goes on that wasn't
//! verified: the other order doesn't compile. Only `ca-core` turns receipts into the next type.

use ca_x509::signed;

use crate::domain::{
    anchor::MayIssue,
    audit::AuditPosition,
    certificate::CertificateState,
    ids::{EnrolmentId, IssuerId},
    lint::Finding,
    profile::Issuer,
    receipt::{IntentReceipt, JournalPosition, JournaledSignature},
};

/// A row of the ledger that begins as an intent.
pub trait IntentRow {
    /// Its name at the signer.
    fn intent(&self) -> EnrolmentId;
    /// Whose key signs.
    fn issuer(&self) -> &IssuerId;
    /// DER of the `TBSCertificate` that was linted.
    fn tbs(&self) -> &[u8];
    /// How far it got.
    fn state(&self) -> &CertificateState;
}

/// A draft that a lint found fault with: a defect in Inro or its configuration, never the customer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the drafted certificate fails {} of the lints, first {}", .0.len(), first(.0))]
pub struct LintFailure(pub Vec<Finding>);

fn first(findings: &[Finding]) -> String {
    findings.first().map_or_else(String::new, ToString::to_string)
}

/// A draft that passed every lint.
#[derive(Debug)]
pub struct Linted<R> {
    row: R,
}

impl<R> Linted<R> {
    /// What the lints of its kind found in the draft of `row` decides.
    ///
    /// # Errors
    /// [`LintFailure`] with every finding.
    pub(in crate::domain) fn judged(row: R, findings: Vec<Finding>) -> Result<Self, LintFailure> {
        if findings.is_empty() { Ok(Self { row }) } else { Err(LintFailure(findings)) }
    }

    /// The row to be committed as intent (step 6), for whoever may issue.
    pub fn record(&self, _may_issue: MayIssue) -> &R {
        &self.row
    }

    /// The intent is durable.
    pub(crate) fn recorded(self, receipt: IntentReceipt) -> Recorded<R> {
        Recorded { row: self.row, audit_head: receipt.audit_head }
    }
}

/// A certificate whose intent is in the ledger: it may be signed.
#[derive(Debug)]
pub struct Recorded<R> {
    row: R,
    audit_head: AuditPosition,
}

impl<R: IntentRow> Recorded<R> {
    /// An intent that is in the ledger from before, after a crash or a repeat; `None` when it is no mere intent any
    /// more. `audit_head` is the chain's present head.
    pub(crate) fn resumed(row: R, audit_head: AuditPosition, _may_issue: MayIssue) -> Option<Self> {
        (*row.state() == CertificateState::Intended).then_some(Self { row, audit_head })
    }

    /// The row as it was committed as intent.
    pub fn record(&self) -> &R {
        &self.row
    }

    /// What goes into the journal beside it.
    pub fn audit_head(&self) -> AuditPosition {
        self.audit_head
    }

    /// Step 7: the signer has signed.
    pub(crate) fn signed(self, signature: JournaledSignature) -> Signed<R> {
        Signed { row: self.row, signature }
    }
}

/// A certificate with a signature that nobody has checked yet.
#[derive(Debug)]
pub struct Signed<R> {
    row: R,
    signature: JournaledSignature,
}

/// The journal holds other bytes for this intent than the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signer's journal holds another certificate for intent {0} than the ledger")]
pub struct OtherBytes(pub EnrolmentId);

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

impl<R: IntentRow> Signed<R> {
    /// The journal holds a signature from before: taken over when it is over the very bytes of the intent. Nothing is
    /// signed, so this needs no right to issue.
    pub(crate) fn adopted(row: R, tbs: &[u8], signature: JournaledSignature) -> Result<Self, OtherBytes> {
        if row.tbs() == tbs { Ok(Self { row, signature }) } else { Err(OtherBytes(row.intent())) }
    }

    /// Step 8: checks the signature with the issuer's key, over the bytes that were linted as they stand in the
    /// assembled certificate.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(self, issuer: &Issuer) -> Result<Issued<R>, SignatureError> {
        let Self { row, signature } = self;
        if issuer.id() != row.issuer() {
            return Err(SignatureError::OtherIssuer(row.issuer().clone()));
        }
        let der = signed::assemble(row.tbs(), issuer.algorithm(), &signature.signature)
            .map_err(SignatureError::Assembly)?;
        let assembled = signed::Signed::parse(&der).map_err(SignatureError::Assembly)?;
        if assembled.tbs != row.tbs() {
            return Err(SignatureError::Assembly(der::ErrorKind::Failed.into()));
        }
        assembled.verify(issuer.public_key()).map_err(SignatureError::Wrong)?;
        Ok(Issued { row, der, position: signature.position })
    }
}

/// A certificate that is verified and must be stored before it is used.
#[derive(Debug)]
pub struct Issued<R> {
    row: R,
    der: Vec<u8>,
    position: JournalPosition,
}

impl<R> Issued<R> {
    /// The row as it was committed as intent.
    pub fn record(&self) -> &R {
        &self.row
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Where the signer's journal keeps it.
    pub fn position(&self) -> JournalPosition {
        self.position
    }

    /// Row and certificate.
    pub(in crate::domain) fn into_parts(self) -> (R, Vec<u8>) {
        (self.row, self.der)
    }
}
