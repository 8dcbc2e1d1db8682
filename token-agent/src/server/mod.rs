//! The bank's server as the enrolment sees it: four questions, with typed refusals. [`https`] asks them for real.

mod error;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod https;
mod version;

use ca_wire::{
    enrolment::{Certified, Certify, Confirm, DeviceClaim, Opened, TpmIdentity},
    version::AgentVersions,
};
use uuid::Uuid;

pub(crate) use error::{Refusal, ServerError};
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
}

/// What names the enrolment in steps 2 and 3.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) idempotency_key: String,
    pub(crate) enrolment_id: Uuid,
    pub(crate) bearer: String,
}

/// The enrolment API (`ca_wire::enrolment`).
pub(crate) trait EnrolmentApi {
    /// The server's origin, such as `https://bank.example`, as it names an enrolment in the records.
    fn origin(&self) -> &str;

    fn versions(&self) -> Result<AgentVersions, ServerError>;

    fn open(&self, idempotency_key: &str, request: &OpenRequest<'_>) -> Result<Opened, ServerError>;

    fn certify(&self, session: &Session, request: &Certify) -> Result<Certified, ServerError>;

    fn confirm(&self, session: &Session, request: &Confirm) -> Result<(), ServerError>;
}
