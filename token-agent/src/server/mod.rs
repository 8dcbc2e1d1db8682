//! The bank's server as the enrolment sees it: four questions, with typed refusals. [`https`] asks them for real.

mod answer;
mod classify;
pub(crate) mod custody;
mod error;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod https;
pub(crate) mod trust;
pub(crate) mod tunnel;
mod version;

use ca_wire::{
    enrolment::{Certified, Certify, Confirm, DeviceClaim, Opened, TpmIdentity},
    version::AgentVersions,
};
use uuid::Uuid;

pub(crate) use error::{BadCertificate, Hop, Refusal, ServerError};
pub(crate) use version::Version;

use crate::secret::Secret;

/// What step 1 says.
pub(crate) struct OpenRequest<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) password: &'a Secret,
    pub(crate) acquisition_code: Option<&'a Secret>,
    pub(crate) device: DeviceClaim,
    /// Of a TPM only.
    pub(crate) tpm: Option<TpmIdentity>,
    /// The serial number of the certificate that is renewed.
    pub(crate) renews: Option<&'a str>,
}

/// What names the enrolment in steps 2 and 3.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) idempotency_key: String,
    pub(crate) enrolment_id: Uuid,
    pub(crate) bearer: String,
}

/// The enrolment API (`ca_wire::enrolment`).
pub(crate) trait EnrolmentApi: custody::CustodyApi {
    /// The server's origin, such as `https://bank.example`, as it names an enrolment in the records.
    fn origin(&self) -> &str;

    fn versions(&self) -> Result<AgentVersions, ServerError>;

    fn open(&self, idempotency_key: &str, request: &OpenRequest<'_>) -> Result<Opened, ServerError>;

    fn certify(&self, session: &Session, request: &Certify) -> Result<Certified, ServerError>;

    fn confirm(&self, session: &Session, request: &Confirm) -> Result<(), ServerError>;
}
