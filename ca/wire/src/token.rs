//! Tokens after the enrolment: their PUKs in the bank's custody, the way back from a blocked PIN, and what was erased.
//!
//! **Deposit.** `PUT /api/v1/tokens/puks/{deposit}` ([`Deposit`] → 204) before a token's PUK is set, and
//! `POST /api/v1/tokens/puks/{deposit}/confirmation` ([`Confirm`] → 204) after. The agent makes up the deposit's name, so
//! that a repeat is the same deposit. Between the two the bank keeps the PUK before it as well: whichever of both the
//! token has, it is kept.
//!
//! **Unblocking.** `POST /api/v1/tokens/unblockings` ([`Ask`] with `Idempotency-Key` → 201 or 200 [`Unblocking`]) asks
//! for it, `GET /api/v1/tokens/unblockings/{id}` (→ [`Unblocking`]) says whether somebody approved it, and
//! `POST /api/v1/tokens/unblockings/{id}/release` (→ [`Released`]) hands the PUK out, once.
//!
//! **Erasure.** `POST /api/v1/tokens/erasures` ([`Erasure`] → 204): a key signed, before it was destroyed, that it is.
//!
//! Deposits carry `Authorization: Bearer` of the enrolment or unblocking that they belong to, the last two calls of an
//! unblocking its own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Base64Url, enrolment::DeviceClaim};

/// Begins what a key signs before it is destroyed; see [`erasure_message`].
pub const ERASURE_PREFIX: &[u8] = b"inro-token-erased-v1\0";

/// The message under [`Erasure::signature`]: [`ERASURE_PREFIX`], the time as [`Erasure::erased_at`] is written in JSON, a
/// NUL, and the certificate's DER. It is signed as a CSR of that key would be.
pub fn erasure_message(certificate: &[u8], erased_at: Timestamp) -> Vec<u8> {
    [ERASURE_PREFIX, erased_at.to_string().as_bytes(), b"\0", certificate].concat()
}

/// What a deposit belongs to; its bearer authorises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// An enrolment: the token had the factory's PUK.
    Enrolment(Uuid),
    /// An unblocking: the token took the PUK that was released.
    Unblocking(Uuid),
}

/// A PUK that a token is about to get. No `Debug`: it holds the PUK.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    /// What it belongs to.
    pub occasion: Occasion,
    /// 6 to 8 ASCII characters.
    pub puk: String,
    /// The deposit whose PUK the token has just accepted; missing when it has the factory's. Any other is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<Uuid>,
}

/// The token has the deposited PUK: those before it are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// What the deposit belongs to.
    pub occasion: Occasion,
}

/// Asks for a blocked PIN to be unblocked. No `Debug`: it holds the password.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// ログインID.
    pub user_id: String,
    /// ログインパスワード.
    pub password: String,
    /// The token whose PIN is blocked.
    pub device: DeviceClaim,
    /// `inro-agent`'s version.
    pub agent_version: String,
}

/// A request to unblock a PIN.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unblocking {
    /// Names it in paths.
    pub id: Uuid,
    /// 受付番号, by which people speak of it.
    pub number: String,
    /// For the `Authorization` header of what follows; only in the answer to the request itself, the last one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<String>,
    /// How far it got.
    pub state: UnblockState,
    /// What is possible in this state is possible until then.
    pub expires_at: Timestamp,
    /// Who can approve it.
    pub approvers: Approvers,
}

/// How far an unblocking got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UnblockState {
    /// Nobody has decided yet.
    Waiting,
    /// The PUK can be fetched.
    Approved,
    /// The PUK was fetched.
    Released,
    /// The token's new PUK is kept; it is over.
    Done,
    /// Somebody declined.
    Declined,
    /// Another request took its place.
    Withdrawn,
    /// Too late; ask again.
    Expired,
}

/// Who can approve an unblocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Approvers {
    /// The contract's master user, or the branch.
    MasterOrBranch,
    /// The branch alone: it is the master's own token.
    Branch,
}

/// What was released. No `Debug`: it holds PUKs.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Released {
    /// One, or two when the last unblocking was interrupted; the one that the token probably has comes first.
    pub puks: Vec<KeptPuk>,
}

/// A PUK out of custody.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeptPuk {
    /// The deposit that it was.
    pub deposit: Uuid,
    /// The PUK.
    pub puk: String,
}

/// A certificate's key was destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The certificate, DER.
    pub certificate: Base64Url,
    /// When it was signed, just before.
    pub erased_at: Timestamp,
    /// The key's signature over [`erasure_message`]: DER `ECDSA-Sig-Value`, or the octets of PKCS#1 v1.5.
    pub signature: Base64Url,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_spelling() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let deposit =
            Deposit { occasion: Occasion::Unblocking(one), puk: "abcdefgh".to_owned(), proven: Some(two) };
        assert_eq!(
            serde_json::to_value(&deposit).expect("JSON"),
            serde_json::json!({
                "occasion": {"unblocking": one.to_string()}, "puk": "abcdefgh", "proven": two.to_string(),
            })
        );
        let first = serde_json::json!({"occasion": {"enrolment": one.to_string()}, "puk": "abcdefgh"});
        assert_eq!(serde_json::from_value::<Deposit>(first).expect("a deposit").proven, None);
        assert_eq!(serde_json::to_value(UnblockState::Waiting).expect("JSON"), "waiting");
        assert_eq!(serde_json::to_value(Approvers::MasterOrBranch).expect("JSON"), "master-or-branch");
    }

    #[test]
    fn an_erasure_names_its_time_and_certificate() {
        let message = erasure_message(&[0x30, 0], Timestamp::UNIX_EPOCH);
        assert_eq!(message, b"inro-token-erased-v1\x001970-01-01T00:00:00Z\x00\x30\x00");
    }
}
