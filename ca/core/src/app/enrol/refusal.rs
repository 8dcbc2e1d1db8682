//! Refusals that end an enrolment: kept in the ledger by their stable code, so that a repeat gets the same answer.

/// A final refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The stable code, such as `evidence-wrong-slot`.
    pub code: String,
    /// What it says to people.
    pub detail: String,
}

/// What kind of refusal a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The certification request.
    Csr,
    /// The evidence.
    Evidence,
    /// The evidence is of another device than the claimed one.
    WrongDevice,
    /// The key or token is in use.
    DeviceInUse,
    /// The user has a certificate already.
    AlreadyCertified,
    /// The signature by the key of the certificate to be renewed isn't right.
    PredecessorSignature,
    /// The certificate to be renewed isn't the user's valid one.
    PredecessorInvalid,
    /// The certificate to be renewed has expired.
    RenewalClosed,
    /// Anything else that the bank's policy doesn't allow.
    Policy,
}

/// The key was certified before, or the token serves another user.
pub(super) const DEVICE_IN_USE: &str = "device-in-use";
/// The user has a certificate already, found at the commit.
pub(super) const ALREADY_CERTIFIED: &str = "policy-already-certified";

impl Refusal {
    pub(super) fn new(code: &str, detail: impl std::fmt::Display) -> Self {
        Self { code: code.to_owned(), detail: detail.to_string() }
    }

    /// Its kind.
    pub fn kind(&self) -> RefusalKind {
        match self.code.as_str() {
            DEVICE_IN_USE => RefusalKind::DeviceInUse,
            "evidence-wrong-device" | "renewal-other-device" => RefusalKind::WrongDevice,
            "renewal-predecessor-invalid" => RefusalKind::PredecessorInvalid,
            "renewal-expired" => RefusalKind::RenewalClosed,
            ALREADY_CERTIFIED | "policy-expired-not-revoked" => RefusalKind::AlreadyCertified,
            "draft-issuers-key" => RefusalKind::Csr,
            code if code.starts_with("predecessor-signature-") => RefusalKind::PredecessorSignature,
            code if code.starts_with("csr-") => RefusalKind::Csr,
            code if code.starts_with("evidence-") => RefusalKind::Evidence,
            _ => RefusalKind::Policy,
        }
    }
}
