//! Refusals of the API as RFC 9457 problem details. Every error of a use case is mapped here, each variant by name, so
//! that a new one can't slip through unseen. What went wrong below stays in the log, under the support ID.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ca_core::{
    app::{
        certificate_status::StatusError,
        custody::{deposit::DepositError, erasure::ErasureError, unblock::UnblockError},
        enrol::{
            certify::CertifyError,
            confirm::ConfirmError,
            open::OpenError,
            refusal::{Refusal, RefusalKind},
        },
        failure::Failure,
        machines::AdmitError,
    },
    domain::{anchor::Halt, machine::MachineRefusal, policy::Reason, renewal::RenewalRefusal},
};
use ca_wire::problem::{Code, Problem};
use jiff::Timestamp;

use super::support::SupportId;
use crate::logging;

/// A refusal on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    status: StatusCode,
    detail: Option<String>,
    retry_at: Option<Timestamp>,
}

impl Refused {
    /// A refusal with the code's own status.
    pub(crate) fn new(code: Code) -> Self {
        Self { code, status: status(code), detail: None, retry_at: None }
    }

    /// What is particular to it and what to do next.
    pub(crate) fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Another status than the code's usual one.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Refused only until then.
    pub(crate) fn not_before(mut self, retry_at: Option<Timestamp>) -> Self {
        self.retry_at = retry_at;
        self
    }

    fn renewal(refusal: &RenewalRefusal) -> Self {
        match *refusal {
            RenewalRefusal::NotYet { opens_at } => Self::new(Code::RenewalNotOpen).not_before(Some(opens_at)),
            RenewalRefusal::Expired { .. } => Self::new(Code::RenewalNotOpen),
            RenewalRefusal::NotValid => Self::new(Code::PredecessorInvalid),
            RenewalRefusal::OtherDevice { .. } => Self::new(Code::WrongDevice),
            RenewalRefusal::Pending { lapses_at, .. } => {
                Self::new(Code::RenewalPending).not_before(Some(lapses_at))
            }
            RenewalRefusal::NoSlot { .. } => Self::new(Code::NotPermitted),
        }
    }

    /// The refusal as it is written.
    pub(crate) fn problem(self, support_id: SupportId) -> Problem {
        tracing::info!(code = self.code.as_str(), status = self.status.as_u16(), "refused");
        Problem {
            kind: format!("urn:inro:problem:{}", self.code.as_str()),
            title: title(self.code).to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            instance: Some(format!("urn:inro:request:{support_id}")),
            code: self.code,
            retry_at: self.retry_at,
            support_id: Some(support_id.to_string()),
        }
    }

    /// The response; `now` turns `retry_at` into seconds.
    pub(crate) fn respond(self, support_id: SupportId, now: Timestamp) -> Response {
        let (code, status, retry_at) = (self.code, self.status, self.retry_at);
        let mut response = (status, axum::Json(self.problem(support_id))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            let scheme = if code == Code::BearerInvalid { "Bearer" } else { "InroPassword" };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        let seconds = match retry_at {
            Some(at) => Some(at.as_second().saturating_sub(now.as_second()).max(1)),
            None if status == StatusCode::SERVICE_UNAVAILABLE => Some(5),
            None => None,
        };
        if let Some(seconds) = seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::MalformedRequest | Code::IdempotencyKey => StatusCode::BAD_REQUEST,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::NotFound | Code::UserUnknown | Code::CertificateUnknown => StatusCode::NOT_FOUND,
        Code::AuthenticationFailed | Code::BearerInvalid => StatusCode::UNAUTHORIZED,
        Code::Throttled | Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::OutsideHours
        | Code::RenewalNotOpen
        | Code::NotPermitted
        | Code::AgentTooOld
        | Code::MachineUnknown
        | Code::MachineNotValid
        | Code::MachineRole => StatusCode::FORBIDDEN,
        Code::PukNotKept
        | Code::UnblockingNotApproved
        | Code::AlreadyCertified
        | Code::PredecessorInvalid
        | Code::RenewalPending
        | Code::ChallengeExpired
        | Code::DeviceInUse
        | Code::ConfirmationMismatch => StatusCode::CONFLICT,
        Code::CsrRefused | Code::EvidenceRefused | Code::WrongDevice | Code::PredecessorSignature => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Code::IssuerExpires | Code::IssuingHalted | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn title(code: Code) -> &'static str {
    match code {
        Code::MalformedRequest => "The request can't be read",
        Code::TooLarge => "The request is too large",
        Code::NotFound => "There is nothing here",
        Code::AuthenticationFailed => "ID, password, acquisition code or token assignment is wrong",
        Code::BearerInvalid => "The bearer is wrong or has expired",
        Code::Throttled => "Too many attempts",
        Code::OutsideHours => "Certificates are not issued at this hour",
        Code::AlreadyCertified => "The user already has a certificate",
        Code::RenewalNotOpen => "The certificate can't be renewed at this time",
        Code::PredecessorInvalid => "The certificate to be renewed isn't valid",
        Code::PredecessorSignature => "The signature by the certificate to be renewed is not right",
        Code::RenewalPending => "Another renewal awaits its confirmation",
        Code::NotPermitted => "The account doesn't permit it",
        Code::AgentTooOld => "This agent is too old",
        Code::IdempotencyKey => "The idempotency key can't be used",
        Code::ChallengeExpired => "The challenge has expired",
        Code::CsrRefused => "The certification request is refused",
        Code::EvidenceRefused => "The evidence is refused",
        Code::WrongDevice => "This isn't the token that was claimed or assigned",
        Code::DeviceInUse => "The key or token is in use already",
        Code::IssuerExpires => "The issuer can't issue for this long any more",
        Code::ConfirmationMismatch => "The confirmation doesn't match",
        Code::MachineUnknown => "This isn't a registered machine's certificate",
        Code::MachineNotValid => "The machine's certificate isn't valid at this time",
        Code::MachineRole => "The machine isn't registered for this",
        Code::RateLimited => "Too many entries",
        Code::UserUnknown => "There is no such user",
        Code::CertificateUnknown => "No such certificate was issued here",
        Code::PukNotKept => "The bank doesn't keep this token's PUK",
        Code::UnblockingNotApproved => "There is nothing to be fetched for this request",
        Code::IssuingHalted => "No certificates are issued at the moment",
        Code::Unavailable => "Not possible at the moment",
        Code::Internal => "A defect; nothing was issued",
    }
}

const HALTED: &str = "The bank is checking its records. Certificates stay valid; try again later.";

/// What went wrong below is for the log alone.
impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let error = logging::chain(&failure);
        if matches!(failure, Failure::Halted(Halt::Diverged(_))) {
            tracing::warn!(%error, "nothing is issued");
            return Self::new(Code::IssuingHalted).because(HALTED);
        }
        if failure.is_transient() {
            tracing::warn!(%error, "not possible at the moment");
            return Self::new(Code::Unavailable).because("Try again in a little while.");
        }
        tracing::error!(%error, "a defect");
        Self::new(Code::Internal).because("Tell the help desk the support ID.")
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind() {
            RefusalKind::Csr => Code::CsrRefused,
            RefusalKind::Evidence => Code::EvidenceRefused,
            RefusalKind::WrongDevice => Code::WrongDevice,
            RefusalKind::DeviceInUse => Code::DeviceInUse,
            RefusalKind::AlreadyCertified => Code::AlreadyCertified,
            RefusalKind::PredecessorSignature => Code::PredecessorSignature,
            RefusalKind::PredecessorInvalid => Code::PredecessorInvalid,
            RefusalKind::RenewalClosed => Code::RenewalNotOpen,
            RefusalKind::Policy => Code::NotPermitted,
        };
        Self::new(code).because(refusal.to_string())
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        let detail = reason.to_string();
        match reason {
            Reason::OutsideHours { opens_at } => {
                Self::new(Code::OutsideHours).because(detail).not_before(opens_at)
            }
            Reason::AlreadyCertified { .. } | Reason::ExpiredNotRevoked { .. } => {
                Self::new(Code::AlreadyCertified).because(detail)
            }
            Reason::Renewal(refusal) => Self::renewal(&refusal).because(detail),
            Reason::TokenNotAssigned => Self::new(Code::WrongDevice).because(detail),
            Reason::UserSuspended
            | Reason::UserRemoved
            | Reason::UserLocked
            | Reason::OtherContract
            | Reason::Quota
            | Reason::DeviceKind { .. }
            | Reason::Token(_)
            | Reason::Assurance { .. } => Self::new(Code::NotPermitted).because(detail),
        }
    }
}

/// The key belongs to something else: not the fault of its form.
fn reused(detail: &str) -> Refused {
    Refused::new(Code::IdempotencyKey).with_status(StatusCode::UNPROCESSABLE_ENTITY).because(detail)
}

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        let detail = error.to_string();
        match error {
            OpenError::Throttled { retry_at } => {
                Self::new(Code::Throttled).because(detail).not_before(Some(retry_at))
            }
            OpenError::Authentication => Self::new(Code::AuthenticationFailed),
            OpenError::NoSuchUser => Self::new(Code::UserUnknown).because(detail),
            OpenError::NotAssigned => Self::new(Code::WrongDevice).because(detail),
            OpenError::IdempotencyKey | OpenError::Ended => reused(&detail),
            OpenError::Refused(refusal) => refusal.into(),
            OpenError::Policy(reason) => reason.into(),
            OpenError::Held => Self::new(Code::NotPermitted).because(detail),
            OpenError::Failure(failure) => failure.into(),
        }
    }
}

impl From<CertifyError> for Refused {
    fn from(error: CertifyError) -> Self {
        let detail = error.to_string();
        match error {
            CertifyError::Bearer => Self::new(Code::BearerInvalid).because(detail),
            CertifyError::OutOfReach => Self::new(Code::UserUnknown).because(detail),
            CertifyError::ChallengeExpired => Self::new(Code::ChallengeExpired).because(detail),
            CertifyError::IdempotencyKey | CertifyError::Ended => reused(&detail),
            CertifyError::Refused(refusal) => refusal.into(),
            CertifyError::Policy(reason) => reason.into(),
            CertifyError::Held => Self::new(Code::NotPermitted).because(detail),
            CertifyError::Validity(_) => Self::new(Code::IssuerExpires).because(detail),
            CertifyError::Failure(failure) => failure.into(),
        }
    }
}

impl From<ConfirmError> for Refused {
    fn from(error: ConfirmError) -> Self {
        let detail = error.to_string();
        match error {
            ConfirmError::Bearer | ConfirmError::Expired => Self::new(Code::BearerInvalid).because(detail),
            ConfirmError::IdempotencyKey => reused(&detail),
            ConfirmError::Mismatch | ConfirmError::NothingToConfirm => {
                Self::new(Code::ConfirmationMismatch).because(detail)
            }
            ConfirmError::Failure(failure) => failure.into(),
        }
    }
}

impl From<DepositError> for Refused {
    fn from(error: DepositError) -> Self {
        let detail = error.to_string();
        match error {
            DepositError::NoCustody => Self::new(Code::NotPermitted).because(detail),
            DepositError::Bearer => Self::new(Code::BearerInvalid).because(detail),
            DepositError::Puk => Self::new(Code::MalformedRequest).because(detail),
            DepositError::Taken => reused(&detail),
            DepositError::Unknown => Self::new(Code::NotFound).because(detail),
            DepositError::Failure(failure) => failure.into(),
        }
    }
}

impl From<UnblockError> for Refused {
    fn from(error: UnblockError) -> Self {
        let detail = error.to_string();
        match error {
            UnblockError::Throttled { retry_at } | UnblockError::TooOften { retry_at } => {
                Self::new(Code::Throttled).because(detail).not_before(Some(retry_at))
            }
            UnblockError::Authentication => Self::new(Code::AuthenticationFailed),
            UnblockError::NotPermitted => Self::new(Code::NotPermitted).because(detail),
            UnblockError::NotKept => Self::new(Code::PukNotKept).because(detail),
            UnblockError::IdempotencyKey => reused(&detail),
            UnblockError::Bearer => Self::new(Code::BearerInvalid).because(detail),
            UnblockError::NotApproved { .. } => Self::new(Code::UnblockingNotApproved).because(detail),
            UnblockError::Failure(failure) => failure.into(),
        }
    }
}

impl From<ErasureError> for Refused {
    fn from(error: ErasureError) -> Self {
        let detail = error.to_string();
        match error {
            ErasureError::Unknown => Self::new(Code::CertificateUnknown).because(detail),
            ErasureError::Signature => Self::new(Code::EvidenceRefused).because(detail),
            ErasureError::Time => Self::new(Code::MalformedRequest).because(detail),
            ErasureError::Failure(failure) => failure.into(),
        }
    }
}

impl From<AdmitError> for Refused {
    fn from(error: AdmitError) -> Self {
        let detail = error.to_string();
        match error {
            AdmitError::Refused(MachineRefusal::NoMachine | MachineRefusal::Unknown) => {
                Self::new(Code::MachineUnknown).because(detail)
            }
            AdmitError::Refused(MachineRefusal::NotValidNow) => {
                Self::new(Code::MachineNotValid).because(detail)
            }
            AdmitError::Refused(MachineRefusal::Role(_)) => Self::new(Code::MachineRole).because(detail),
            AdmitError::Throttled => Self::new(Code::RateLimited).because(detail),
            AdmitError::NotForMachines => Self::new(Code::NotPermitted).because(detail),
            AdmitError::Failure(failure) => failure.into(),
        }
    }
}

impl From<StatusError> for Refused {
    fn from(error: StatusError) -> Self {
        let detail = error.to_string();
        match error {
            StatusError::NotACertificate => Self::new(Code::MalformedRequest).because(detail),
            StatusError::Unknown => Self::new(Code::CertificateUnknown).because(detail),
            StatusError::Failure(failure) => failure.into(),
        }
    }
}
