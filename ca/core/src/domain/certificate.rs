//! Certificates as the ledger knows them.

use jiff::Timestamp;

use super::{
    device::{Assurance, Device},
    ids::{ContractNumber, EnrolmentId, IssuerId, SerialNumber, SignerName, UserId},
    revocation::RevocationReason,
};

/// A certificate row. It exists from the intent on, before anything is signed, so that whatever may have been signed
/// can be found and revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// The enrolment, which names the intent.
    pub intent: EnrolmentId,
    /// Who issues.
    pub issuer: IssuerId,
    /// Whose journal holds the signature, if there is one: a retry goes nowhere else.
    pub signer: SignerName,
    /// The serial number, unique per issuer.
    pub serial: SerialNumber,
    /// Whose it is.
    pub user: UserId,
    /// The user's contract.
    pub contract: ContractNumber,
    /// Where its key lives.
    pub device: Device,
    /// What was proven about the key.
    pub assurance: Assurance,
    /// SHA-256 of the `SubjectPublicKeyInfo` DER.
    pub public_key_sha256: [u8; 32],
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// The intent of the certificate that this one renews, when it is a renewal (更新).
    pub renews: Option<EnrolmentId>,
    /// DER of the `TBSCertificate` that was linted.
    pub tbs: Vec<u8>,
    /// How far it got.
    pub state: CertificateState,
}

/// How far a certificate got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateState {
    /// The intent is committed; a signature may or may not exist.
    Intended,
    /// Signed, verified and in the ledger; the certificate of its user.
    Issued {
        /// The certificate, DER.
        der: Vec<u8>,
        /// When the row was committed.
        at: Timestamp,
        /// When the agent or the first login confirmed that it is on the token.
        confirmed_at: Option<Timestamp>,
    },
    /// Revoked, from whichever state. `der` is `None` when no signature was ever seen.
    Revoked {
        /// The certificate, DER.
        der: Option<Vec<u8>>,
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: RevocationReason,
    },
    /// The intent was given up before anything was signed.
    Abandoned,
}

impl CertificateState {
    /// The certificate's DER, when it was issued.
    pub fn der(&self) -> Option<&[u8]> {
        match self {
            Self::Issued { der, .. } => Some(der),
            Self::Revoked { der, .. } => der.as_deref(),
            Self::Intended | Self::Abandoned => None,
        }
    }
}

impl CertificateRecord {
    /// The certificate's DER, when it was issued.
    pub fn der(&self) -> Option<&[u8]> {
        self.state.der()
    }

    /// Rule 1: a renewal that neither the agent nor a login has confirmed. Its predecessor is the user's certificate still.
    pub fn is_unconfirmed_renewal(&self) -> bool {
        self.renews.is_some()
            && matches!(
                self.state,
                CertificateState::Intended | CertificateState::Issued { confirmed_at: None, .. }
            )
    }
}
