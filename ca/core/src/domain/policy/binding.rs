//! Binding (rule 12): what shows that this token is this user's.
//!
//! Attestation proves *a* genuine token, not the customer's. A token that is assigned binds before anything else; a
//! one-time acquisition code binds where none is; that the first token to come is taken must be allowed expressly.

use jiff::Timestamp;
use subtle::ConstantTimeEq;

use crate::domain::{
    certificate::{CertificateRecord, CertificateState},
    device::Device,
    enrolment::{AcquisitionCode, Binding},
    user::User,
};

/// What may bind a user to a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRules(Vec<Binding>);

impl Default for BindingRules {
    /// Rule 12: an assigned serial, or an acquisition code.
    fn default() -> Self {
        Self(vec![Binding::AssignedSerial, Binding::AcquisitionCode])
    }
}

impl BindingRules {
    /// These. `None` where there is none: then nobody could ever obtain a certificate.
    pub fn of(accepted: Vec<Binding>) -> Option<Self> {
        (!accepted.is_empty()).then_some(Self(accepted))
    }

    /// Whether this one counts.
    pub fn accept(&self, binding: Binding) -> bool {
        self.0.contains(&binding)
    }

    /// All that count.
    pub fn accepted(&self) -> &[Binding] {
        &self.0
    }

    /// The same for a machine, to which nobody can hand a letter: only an assigned serial, if even that.
    #[must_use]
    pub fn without_people(&self) -> Self {
        Self(self.0.iter().copied().filter(|binding| *binding == Binding::AssignedSerial).collect())
    }
}

/// What became of an acquisition code that was, or wasn't, presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeCheck {
    /// None came with the request.
    NotPresented,
    /// There is none for the user, or another.
    Wrong,
    /// It is the one, past its 取得期限.
    Expired,
    /// Too many wrong attempts burnt it (rule 13).
    Burnt,
    /// It is the one.
    Right,
}

/// Compares the SHA-256 of a presented acquisition code with the stored one, in constant time.
pub fn check_code(
    stored: Option<&AcquisitionCode>,
    presented_sha256: Option<&[u8; 32]>,
    now: Timestamp,
) -> CodeCheck {
    let Some(presented) = presented_sha256 else { return CodeCheck::NotPresented };
    let Some(stored) = stored else { return CodeCheck::Wrong };
    if stored.attempts_left == 0 {
        return CodeCheck::Burnt;
    }
    if !bool::from(stored.sha256.ct_eq(presented)) {
        return CodeCheck::Wrong;
    }
    if now >= stored.expires_at { CodeCheck::Expired } else { CodeCheck::Right }
}

/// Why a user isn't bound to a token. Outside there is one answer for all of them and for a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingRefusal {
    /// Another token is assigned to the user.
    #[error("another token is assigned to the user")]
    OtherDeviceAssigned,
    /// No token is assigned and no code came.
    #[error("no token is assigned to the user and no acquisition code was given")]
    NothingAssigned,
    /// The contract's policy doesn't accept what was given.
    #[error("the contract's policy doesn't accept this way of binding")]
    NotAccepted,
    /// "First come" is for a user's first certificate.
    #[error("the user has had a certificate, so the first token to come isn't taken")]
    NotFirst,
    /// The code isn't right.
    #[error("the acquisition code is not valid")]
    Code(CodeCheck),
}

impl BindingRefusal {
    /// The stable code, for the audit trail.
    pub fn code(self) -> &'static str {
        match self {
            Self::OtherDeviceAssigned => "binding-other-device-assigned",
            Self::NothingAssigned => "binding-nothing-assigned",
            Self::NotAccepted => "binding-not-accepted",
            Self::NotFirst => "binding-not-first",
            Self::Code(CodeCheck::Expired) => "binding-code-expired",
            Self::Code(CodeCheck::Burnt) => "binding-code-burnt",
            Self::Code(_) => "binding-code-wrong",
        }
    }
}

/// Rule 12, Binding: a token that the bank or the master assigned, or a one-time acquisition code. An assignment is
/// not overridden by a code, and a wrong code is never passed over because the first token to come would be taken.
///
/// # Errors
/// [`BindingRefusal`] for the audit trail.
pub fn bind(
    rules: &BindingRules,
    user: &User,
    device: &Device,
    code: CodeCheck,
) -> Result<Binding, BindingRefusal> {
    let is_assigned = match &user.assigned_device {
        Some(assigned) if assigned != device => return Err(BindingRefusal::OtherDeviceAssigned),
        assigned => assigned.is_some(),
    };
    if is_assigned && rules.accept(Binding::AssignedSerial) {
        return Ok(Binding::AssignedSerial);
    }
    match code {
        CodeCheck::Right if rules.accept(Binding::AcquisitionCode) => Ok(Binding::AcquisitionCode),
        CodeCheck::Right => Err(BindingRefusal::NotAccepted),
        CodeCheck::NotPresented if rules.accept(Binding::FirstCome) => Ok(Binding::FirstCome),
        CodeCheck::NotPresented if is_assigned => Err(BindingRefusal::NotAccepted),
        CodeCheck::NotPresented => Err(BindingRefusal::NothingAssigned),
        check => Err(BindingRefusal::Code(check)),
    }
}

/// Whether "first come" can still bind the user of these certificates: only the first one is obtained that way. Whoever
/// had a certificate needs an assigned token or a code for the next, or a stolen password would be enough after each
/// revocation.
pub fn is_first(certificates: &[CertificateRecord]) -> bool {
    certificates.iter().all(|certificate| certificate.state == CertificateState::Abandoned)
}

/// Rule 12, once more when the certificate is issued: what bound the user to the token when the enrolment was opened
/// may have been taken away since, or not be accepted any more.
pub fn is_still_bound(rules: &BindingRules, user: &User, device: &Device, binding: Binding) -> bool {
    match (&user.assigned_device, binding) {
        (Some(assigned), _) if assigned != device => false,
        // The valid certificate's key signs; no rule takes that away.
        (_, Binding::Renewal) => true,
        (Some(_), _) if rules.accept(Binding::AssignedSerial) => true,
        (None, Binding::AssignedSerial) => false,
        (_, binding) => rules.accept(binding),
    }
}
