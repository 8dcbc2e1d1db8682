//! Tokens after the enrolment, as `ca_wire::token` says.

use ca_wire::{
    enrolment::DeviceClaim,
    token::{Erasure, Occasion, Released, Unblocking},
};
use uuid::Uuid;

use super::ServerError;
use crate::secret::{Pin, Secret};

/// Who asks for an unblocking, and for which token.
pub(crate) struct AskRequest<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) password: &'a Secret,
    pub(crate) device: DeviceClaim,
}

/// What authorises a deposit.
#[derive(Clone)]
pub(crate) struct Authority {
    pub(crate) occasion: Occasion,
    pub(crate) bearer: String,
}

/// The custody of PUKs, and what was erased.
pub(crate) trait CustodyApi {
    /// Keeps a PUK that the token is about to get; `proven` is the deposit whose PUK it has just accepted.
    fn deposit(
        &self,
        authority: &Authority,
        deposit: Uuid,
        puk: &Pin,
        proven: Option<Uuid>,
    ) -> Result<(), ServerError>;

    /// The token has the deposited PUK.
    fn confirm_deposit(&self, authority: &Authority, deposit: Uuid) -> Result<(), ServerError>;

    /// Asks for an unblocking, or finds the request again.
    fn ask_unblocking(
        &self,
        idempotency_key: &str,
        request: &AskRequest<'_>,
    ) -> Result<Unblocking, ServerError>;

    /// How far a request got.
    fn unblocking(&self, id: Uuid, bearer: &str) -> Result<Unblocking, ServerError>;

    /// The PUK of an approved request, once.
    fn release(&self, id: Uuid, bearer: &str) -> Result<Released, ServerError>;

    /// Tells that a key was destroyed.
    fn tell_erasure(&self, erasure: &Erasure) -> Result<(), ServerError>;
}
