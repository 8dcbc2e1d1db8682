//! Refusals as RFC 9457 problem details.

use serde::{Deserialize, Serialize};

/// `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:inro:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short sentence, the same for each code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is particular to this refusal and what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// This refusal and no other (RFC 9457, 3.1.5): `urn:inro:request:` and the support ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The stable code.
    pub code: Code,
    /// When it may succeed: an RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<jiff::Timestamp>,
    /// For the help desk; it finds the log lines and audit rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_id: Option<String>,
}

/// The stable codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request doesn't parse.
    MalformedRequest,
    /// The body is too large.
    TooLarge,
    /// No such thing here.
    NotFound,
    /// ID, password, acquisition code or token assignment is wrong: one code for all, so that nothing can be guessed.
    AuthenticationFailed,
    /// The bearer is wrong or has expired: open the enrolment again.
    BearerInvalid,
    /// Too many attempts; `retry_at` says when the next is looked at.
    Throttled,
    /// Outside the hours in which certificates are issued (rule 3); `retry_at` says when they begin.
    OutsideHours,
    /// The user already has a certificate (rules 1 and 4).
    AlreadyCertified,
    /// The renewal isn't open (rule 5): too early, where `retry_at` says when it opens, or past notAfter.
    RenewalNotOpen,
    /// The certificate to be renewed isn't the user's valid one: revoked, superseded, or a renewal itself that isn't
    /// confirmed yet.
    PredecessorInvalid,
    /// The signature by the key of the certificate to be renewed is missing, isn't by that key, or isn't asked for.
    PredecessorSignature,
    /// Another renewal of the user's awaits its confirmation (rule 1): go on with that one's idempotency key, or wait until
    /// `retry_at`, when it lapses.
    RenewalPending,
    /// The account doesn't permit it.
    NotPermitted,
    /// This agent is too old.
    AgentTooOld,
    /// The idempotency key is missing, malformed, or was used for something else.
    IdempotencyKey,
    /// The challenge has expired: open the enrolment again.
    ChallengeExpired,
    /// The certification request is refused.
    CsrRefused,
    /// The evidence is refused; `detail` names the check.
    EvidenceRefused,
    /// The token isn't the one that was claimed or assigned.
    WrongDevice,
    /// The key or token is in use already.
    DeviceInUse,
    /// The issuer's own certificate expires before the new one would.
    IssuerExpires,
    /// The confirmation doesn't match.
    ConfirmationMismatch,
    /// This isn't a registered machine's certificate.
    MachineUnknown,
    /// The machine's certificate isn't valid at this time.
    MachineNotValid,
    /// The machine isn't registered for this.
    MachineRole,
    /// The machine asks for more than it is allowed; `retry_at` says when it may again.
    RateLimited,
    /// There is no such user among those that the machine may register.
    UserUnknown,
    /// No such certificate was issued here.
    CertificateUnknown,
    /// The bank doesn't keep the token's PUK: reset the token, or replace it.
    PukNotKept,
    /// Nobody approved the unblocking, or its time ran out, or the PUK was fetched before: ask again.
    UnblockingNotApproved,
    /// Nothing is issued until the bank has checked its records, which may take hours; what was issued stays as it is.
    IssuingHalted,
    /// Try again later: signer or database.
    Unavailable,
    /// A defect; nothing was issued.
    Internal,
}

impl Code {
    /// The code as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed-request",
            Self::TooLarge => "too-large",
            Self::NotFound => "not-found",
            Self::AuthenticationFailed => "authentication-failed",
            Self::BearerInvalid => "bearer-invalid",
            Self::Throttled => "throttled",
            Self::OutsideHours => "outside-hours",
            Self::AlreadyCertified => "already-certified",
            Self::RenewalNotOpen => "renewal-not-open",
            Self::PredecessorInvalid => "predecessor-invalid",
            Self::PredecessorSignature => "predecessor-signature",
            Self::RenewalPending => "renewal-pending",
            Self::NotPermitted => "not-permitted",
            Self::AgentTooOld => "agent-too-old",
            Self::IdempotencyKey => "idempotency-key",
            Self::ChallengeExpired => "challenge-expired",
            Self::CsrRefused => "csr-refused",
            Self::EvidenceRefused => "evidence-refused",
            Self::WrongDevice => "wrong-device",
            Self::DeviceInUse => "device-in-use",
            Self::IssuerExpires => "issuer-expires",
            Self::ConfirmationMismatch => "confirmation-mismatch",
            Self::MachineUnknown => "machine-unknown",
            Self::MachineNotValid => "machine-not-valid",
            Self::MachineRole => "machine-role",
            Self::RateLimited => "rate-limited",
            Self::UserUnknown => "user-unknown",
            Self::CertificateUnknown => "certificate-unknown",
            Self::PukNotKept => "puk-not-kept",
            Self::UnblockingNotApproved => "unblocking-not-approved",
            Self::IssuingHalted => "issuing-halted",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_spellings_of_a_code_agree() {
        for code in [
            Code::MalformedRequest,
            Code::AlreadyCertified,
            Code::RenewalNotOpen,
            Code::PredecessorInvalid,
            Code::PredecessorSignature,
            Code::RenewalPending,
            Code::CsrRefused,
            Code::IssuerExpires,
            Code::IssuingHalted,
            Code::MachineNotValid,
            Code::CertificateUnknown,
        ] {
            assert_eq!(serde_json::to_value(code).expect("a code"), code.as_str());
        }
    }
}
