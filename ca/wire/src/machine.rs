//! What the bank's own systems and the CA say to each other: registration in batches, and what certificates are worth.
//!
//! A machine is known by its client certificate (mutual TLS at the client-certificate listener). Registration goes the
//! agent's way in three steps, each for up to [`MAX_ENTRIES`] entries with a result for each, in order:
//!
//! 1. `POST /machine/v1/enrolments` ([`OpenEntry`] → [`Opened`]): the machine vouches for the user; the token must be
//!    assigned to that user.
//! 2. `POST /machine/v1/enrolments/certificates` ([`CertifyEntry`] → [`Issued`]): evidence and CSR in, certificate out.
//! 3. `POST /machine/v1/enrolments/confirmations` ([`ConfirmEntry`] → [`Confirmed`]): it was read back from the token.
//!
//! Each entry has its own idempotency key, the same through all three steps; a repeat returns the first result. An entry
//! that is refused, or can't even be read, has no influence on the others.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Base64Url,
    enrolment::{Certified, DeviceClaim, Evidence, Opened, TpmIdentity},
    problem::Problem,
};

/// Entries in a batch at the most.
pub const MAX_ENTRIES: usize = 100;

/// A request with many entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Batch<T> {
    /// 1 to 100 of them.
    pub entries: Vec<T>,
}

/// What became of each entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchResults<T> {
    /// In the order of the entries.
    pub results: Vec<EntryResult<T>>,
}

/// What became of one entry: a result or a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EntryResult<T> {
    /// As HTTP would say it of a request by itself: 201 for what is new, 200 for a repeat or an answer, else the
    /// problem's.
    pub status: u16,
    /// The result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<T>,
    /// The refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Step 1 of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenEntry {
    /// 16 to 64 of `0-9 A-Z a-z - _`, the same through all three steps.
    pub idempotency_key: String,
    /// ログインID.
    pub user_id: String,
    /// The token that the key will live on; it must be assigned to the user.
    pub device: DeviceClaim,
    /// The keys of a TPM: where `device.kind` is `tpm`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<TpmIdentity>,
    /// For a renewal: the certificate that is still valid, as [`crate::enrolment::Open::renews`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
}

/// What became of step 1.
pub type OpenResults = BatchResults<Opened>;

/// Step 2 of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CertifyEntry {
    /// As in step 1.
    pub idempotency_key: String,
    /// [`Opened::enrolment_id`].
    pub enrolment_id: Uuid,
    /// [`Opened::bearer`].
    pub bearer: String,
    /// PKCS#10, DER. Its subject is ignored; the CA names the user.
    pub csr: Base64Url,
    /// Where the key was born.
    pub evidence: Evidence,
    /// The token key's signature over [`crate::enrolment::challenge_message`].
    pub challenge_signature: Base64Url,
    /// For a renewal: the predecessor's key's signature over [`crate::enrolment::renewal_message`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor_signature: Option<Base64Url>,
}

/// What became of step 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertifyResults {
    /// The issuers of all the certificates, DER, from the issuing CA to the root.
    pub chain: Vec<Base64Url>,
    /// In the order of the entries.
    pub results: Vec<EntryResult<Issued>>,
}

/// A certificate of step 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Issued {
    /// The certificate, DER.
    pub certificate: Base64Url,
}

/// Step 3 of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmEntry {
    /// As in step 1.
    pub idempotency_key: String,
    /// [`Opened::enrolment_id`].
    pub enrolment_id: Uuid,
    /// [`Opened::bearer`].
    pub bearer: String,
    /// SHA-256 of the certificate as read back from the token, DER.
    pub certificate_sha256: Base64Url,
}

/// The certificate of step 3 is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirmed {
    /// Which enrolment.
    pub enrolment_id: Uuid,
}

/// What became of step 3.
pub type ConfirmResults = BatchResults<Confirmed>;

/// Where an enrolment stands: `GET /machine/v1/enrolments/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrolmentStatus {
    /// Which enrolment.
    pub enrolment_id: Uuid,
    /// ログインID.
    pub user_id: String,
    /// 契約番号.
    pub contract: String,
    /// The token.
    pub device: DeviceStatus,
    /// How far it got.
    pub stage: Stage,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Challenge and bearer are worthless afterwards.
    pub expires_at: Timestamp,
    /// The certificate, when it was issued and stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified: Option<Certified>,
    /// The refusal, when it was refused for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How far an enrolment got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The challenge is out.
    Challenged,
    /// A certificate is under way; repeat step 2 for it.
    Intended,
    /// The certificate was issued; its confirmation is missing.
    Issued,
    /// The certificate is on the token.
    Confirmed,
    /// Refused for good.
    Refused,
    /// Its certificate was revoked, or never came about.
    Ended,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceStatus {
    /// As in the claim: `yubikey-piv`, `tpm`, `piv`, `pkcs11`.
    pub kind: String,
    /// The serial number as the maker prints it.
    pub serial: String,
}

/// Which certificate: `POST /machine/v1/certificates/query`. Either `issuer` and `serial`, or `certificate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StatusQuery {
    /// The issuer by its name here, such as `customer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The serial number: lower-case hexadecimal digits in pairs, the content of the INTEGER in its shortest form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The certificate itself, DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Base64Url>,
}

/// What a certificate is worth: `GET /machine/v1/certificates/{issuer}/{serial}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificateStatus {
    /// The issuer by its name here.
    pub issuer: String,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// Whether its owner may act by it at `as_of`: it is active, and the account is neither suspended, removed nor
    /// locked. Rely on nothing else alone.
    pub usable: bool,
    /// The moment that all of this is true of.
    pub as_of: Timestamp,
    /// Its own state.
    pub state: CertificateState,
    /// When and why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<RevocationStatus>,
    /// When it was confirmed that it is on the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// ログインID.
    pub user_id: String,
    /// 契約番号.
    pub contract: String,
    /// The user's account.
    pub account: AccountStatus,
    /// What was proven about its key.
    pub assurance: AssuranceStatus,
    /// Where its key lives.
    pub device: DeviceStatus,
}

/// The state of a certificate. Only `active` is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// Only intended; it may or may not have been signed.
    Intended,
    /// Given up before it was signed.
    Abandoned,
    /// Before its notBefore.
    NotYetValid,
    /// A renewal that is issued, but neither the agent nor a login confirmed it yet: the one before is active.
    Unconfirmed,
    /// Issued and within its validity.
    Active,
    /// Past its notAfter.
    Expired,
    /// Its renewal took its place.
    Superseded,
    /// Revoked.
    Revoked,
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevocationStatus {
    /// Since when.
    pub at: Timestamp,
    /// Why, as RFC 5280 names it, such as `keyCompromise`.
    pub reason: String,
}

/// A user's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountStatus {
    /// `active`, `suspended` (利用停止) or `removed`.
    pub state: String,
    /// IDロック.
    pub locked: bool,
}

/// What was proven about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssuranceStatus {
    /// `asserted`, `attested` or `attested-pin`.
    pub level: String,
    /// The certificate policy that says so in the certificate.
    pub policy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_a_result_or_a_problem() {
        let done = EntryResult {
            status: 201,
            result: Some(Issued { certificate: Base64Url(vec![0x30]) }),
            problem: None,
        };
        let json = serde_json::to_value(&done).expect("JSON");
        assert_eq!(json, serde_json::json!({"status": 201, "result": {"certificate": "MA"}}));
        assert_eq!(serde_json::from_value::<EntryResult<Issued>>(json).expect("the same"), done);
    }

    #[test]
    fn entries_take_nothing_unknown() {
        let with_code = r#"{"idempotency_key": "k", "user_id": "u", "acquisition_code": "c",
                            "device": {"kind": "yubikey-piv", "serial": "1", "firmware": "5.7.2"}}"#;
        assert!(serde_json::from_str::<OpenEntry>(with_code).is_err());
        assert!(serde_json::from_str::<StatusQuery>(r#"{"serial": "4a", "number": 1}"#).is_err());
    }
}
