//! Obtaining a certificate in three steps.
//!
//! 1. `POST /api/v1/enrolments` ([`Open`] → 201 or 200 [`Opened`]): authenticates and hands out a challenge.
//! 2. `POST /api/v1/enrolments/{id}/certificate` ([`Certify`] → 201 or 200 [`Certified`]): evidence and CSR in, certificate out.
//! 3. `POST /api/v1/enrolments/{id}/confirmation` ([`Confirm`] → 204): the certificate was read back from the token.
//!
//! Every request carries `Idempotency-Key`, the same through all three steps; a repeat of any step with the same key
//! returns the first result. Steps 2 and 3 carry `Authorization: Bearer` with [`Opened::bearer`]. Refusals are
//! `application/problem+json`, see [`crate::problem`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Base64Url;

/// Begins what the token's key signs to show that key, evidence and request belong to this enrolment; see
/// [`challenge_message`].
pub const CHALLENGE_PREFIX: &[u8] = b"inro-enrolment-challenge-v1\0";

/// The message under [`Certify::challenge_signature`]: [`CHALLENGE_PREFIX`], the challenge (32 octets) and the DER of the
/// request's `SubjectPublicKeyInfo`, one after the other. It is signed like the CSR: ECDSA with SHA-256 (P-256) or
/// SHA-384 (P-384), RSASSA-PKCS1-v1_5 with SHA-256, each over the whole message.
pub fn challenge_message(challenge: &[u8], subject_public_key_info: &[u8]) -> Vec<u8> {
    [CHALLENGE_PREFIX, challenge, subject_public_key_info].concat()
}

/// Step 1. No `Debug`: it holds passwords.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// ログインID.
    pub user_id: String,
    /// ログインパスワード.
    pub password: String,
    /// The one-time code from the branch's letter, where no token serial is assigned to the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquisition_code: Option<String>,
    /// The token that the key will live on.
    pub device: DeviceClaim,
    /// `inro-agent`'s version.
    pub agent_version: String,
}

/// The device, as the agent sees it. The evidence must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceClaim {
    /// `yubikey-piv`.
    pub kind: String,
    /// The serial number as the maker prints it.
    pub serial: String,
    /// `major.minor.patch`.
    pub firmware: String,
}

/// The answer to step 1.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Opened {
    /// Names the enrolment in the paths of steps 2 and 3.
    pub enrolment_id: Uuid,
    /// For the `Authorization` header of steps 2 and 3; worthless after `expires_at`.
    pub bearer: String,
    /// 32 octets to be signed by the token's key.
    pub challenge: Base64Url,
    /// The challenge is worthless afterwards; open again with the same key for a new one.
    pub expires_at: Timestamp,
    /// What the key must be.
    pub key: KeyRequirements,
    /// The certificate, when this enrolment already led to one and only the writing or the confirmation is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified: Option<Certified>,
}

/// What the CA accepts for this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyRequirements {
    /// PIV slots in order of preference, such as `9a`.
    pub slots: Vec<String>,
    /// In order of preference: `p256`, `p384`, `rsa2048`, `rsa3072`, `rsa4096`.
    pub algorithms: Vec<String>,
    /// `once` or `always`.
    pub pin_policy: String,
    /// `never`, `always` or `cached`.
    pub touch_policy: String,
}

/// Step 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Certify {
    /// PKCS#10, DER. Its subject is ignored; the CA names the user.
    pub csr: Base64Url,
    /// Where the key was born.
    pub evidence: Evidence,
    /// The token key's signature over [`challenge_message`]: DER `ECDSA-Sig-Value`, or the octets of PKCS#1 v1.5.
    pub challenge_signature: Base64Url,
}

/// Evidence of where the key was born.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "format", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Evidence {
    /// YubiKey PIV attestation.
    YubikeyPiv {
        /// The attestation certificate of the slot, DER.
        slot: Base64Url,
        /// The certificate in f9, DER.
        f9: Base64Url,
        /// Intermediates between f9 and the root, if the agent has any, DER; the CA has its own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        intermediates: Vec<Base64Url>,
    },
}

/// The answer to step 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Certified {
    /// The certificate, DER.
    pub certificate: Base64Url,
    /// Its issuers, DER, from the issuing CA to the root.
    pub chain: Vec<Base64Url>,
}

/// Step 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// SHA-256 of the certificate as read back from the token, DER.
    pub certificate_sha256: Base64Url,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_spelling() {
        let evidence = Evidence::YubikeyPiv {
            slot: Base64Url(vec![0x30, 0xfb]),
            f9: Base64Url(vec![0xff]),
            intermediates: Vec::new(),
        };
        let certify =
            Certify { csr: Base64Url(vec![1]), evidence, challenge_signature: Base64Url(vec![2, 3]) };
        let json = serde_json::to_value(&certify).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "csr": "AQ",
                "evidence": {"format": "yubikey-piv", "slot": "MPs", "f9": "_w"},
                "challenge_signature": "AgM",
            })
        );
        assert_eq!(serde_json::from_value::<Certify>(json).expect("the same"), certify);
    }

    #[test]
    fn unknown_members_and_padding_are_refused() {
        let padded = r#"{"certificate_sha256": "AQ=="}"#;
        let unknown = r#"{"certificate_sha256": "AQ", "more": 1}"#;
        assert!(serde_json::from_str::<Confirm>(padded).is_err());
        assert!(serde_json::from_str::<Confirm>(unknown).is_err());
    }

    #[test]
    fn the_challenge_message_is_prefix_challenge_key() {
        let message = challenge_message(&[7; 32], &[0x30, 0x00]);
        assert_eq!(message.len(), CHALLENGE_PREFIX.len() + 32 + 2);
        assert!(message.starts_with(CHALLENGE_PREFIX) && message.ends_with(&[7, 0x30, 0x00]));
    }
}
