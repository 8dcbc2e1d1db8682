//! Obtaining and renewing a certificate in three steps.
//!
//! 1. `POST /api/v1/enrolments` ([`Open`] → 201 or 200 [`Opened`]): authenticates and hands out a challenge.
//! 2. `POST /api/v1/enrolments/{id}/certificate` ([`Certify`] → 201 or 200 [`Certified`]): evidence and CSR in, certificate out.
//! 3. `POST /api/v1/enrolments/{id}/confirmation` ([`Confirm`] → 204): the certificate was read back from the token.
//!
//! Every request carries `Idempotency-Key`, the same through all three steps; a repeat of any step with the same key
//! returns the first result. Steps 2 and 3 carry `Authorization: Bearer` with [`Opened::bearer`]. Refusals are
//! `application/problem+json`, see [`crate::problem`].
//!
//! A renewal (更新) goes the same way: [`Open::renews`] names the certificate that is still valid, and
//! [`Certify::predecessor_signature`] is by its key. The new key lives on the same device, beside the old one, which works
//! until step 3 (or the first login with the new certificate) and is superseded with it.

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

/// Begins what the key of the certificate that is being renewed signs; see [`renewal_message`].
pub const RENEWAL_PREFIX: &[u8] = b"inro-renewal-v1\0";

/// The message under [`Certify::predecessor_signature`]: [`RENEWAL_PREFIX`], the challenge (32 octets; a TPM's as
/// `TPM2_ActivateCredential` gave it) and the DER of the *new* key's `SubjectPublicKeyInfo`, one after the other. The *old*
/// key signs it by the rules of [`challenge_message`].
pub fn renewal_message(challenge: &[u8], new_subject_public_key_info: &[u8]) -> Vec<u8> {
    [RENEWAL_PREFIX, challenge, new_subject_public_key_info].concat()
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
    /// The keys of a TPM: where `device.kind` is `tpm`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<TpmIdentity>,
    /// For a renewal (更新): the serial number of the user's certificate that is still valid, on this device; lower-case
    /// hexadecimal digits in pairs, the content of the INTEGER in its shortest form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
    /// `inro-agent`'s version.
    pub agent_version: String,
}

/// The device, as the agent sees it. The evidence must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceClaim {
    /// `yubikey-piv`, `tpm`, `piv` (another maker's PIV card) or `pkcs11` (a vendor's module).
    pub kind: String,
    /// The serial number as the maker prints it. A TPM's: SHA-256 over the `SubjectPublicKeyInfo` (DER) of its endorsement
    /// key, 64 lower-case hexadecimal digits.
    pub serial: String,
    /// A YubiKey's, as `major.minor.patch`; of other devices whatever they call it, which nothing depends on.
    pub firmware: String,
}

/// The keys by which a TPM is known. Public areas are the octets of `TPMT_PUBLIC` (TPM 2.0 Part 2, 12.2.4), without
/// TPM2B's length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TpmIdentity {
    /// The endorsement key's public area: template L-1 (RSA-2048) or L-2 (P-256) of the TCG EK Credential Profile.
    pub ek_public: Base64Url,
    /// Its maker's certificate, DER; missing where the TPM holds none. What the bank doesn't take is refused here, before a key
    /// is made; it is judged again with the evidence, in step 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek_certificate: Option<Base64Url>,
    /// Certificates between it and the maker's root, if the agent has any, DER; the CA has its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ek_intermediates: Vec<Base64Url>,
    /// The attestation key's public area: a restricted signing key.
    pub ak_public: Base64Url,
    /// The attestation key's certificate and those above it, DER, where a maker certified that key itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ak_certificates: Vec<Base64Url>,
}

/// The challenge for a TPM, made by `MakeCredential` (TPM 2.0 Part 1, 24) for the endorsement key and the attestation key's
/// Name. `TPM2_ActivateCredential` gives the 32 octets, to the one TPM that holds both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TpmCredential {
    /// `TPM2B_ID_OBJECT`'s content: `TPMS_ID_OBJECT`, which is the integrity HMAC as `TPM2B_DIGEST` and the encrypted identity.
    pub credential_blob: Base64Url,
    /// `TPM2B_ENCRYPTED_SECRET`'s content.
    pub encrypted_secret: Base64Url,
}

/// The answer to step 1.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Opened {
    /// Names the enrolment in the paths of steps 2 and 3.
    pub enrolment_id: Uuid,
    /// For the `Authorization` header of steps 2 and 3; worthless after `expires_at`.
    pub bearer: String,
    /// 32 octets to be signed by the token's key. Missing for a TPM, which gets them by `tpm_credential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Base64Url>,
    /// The challenge for a TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm_credential: Option<TpmCredential>,
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
    /// PIV slots in order of preference, such as `9a`; for a renewal without the one that its predecessor's key is in.
    pub slots: Vec<String>,
    /// In order of preference: `p256`, `p384`, `rsa2048`, `rsa3072`, `rsa4096`.
    pub algorithms: Vec<String>,
    /// `once` or `always`.
    pub pin_policy: String,
    /// `never`, `always` or `cached`.
    pub touch_policy: String,
    /// What becomes of the PUK where it is still the factory's: `forgotten`, or `kept` by deposit (see [`crate::token`]).
    #[serde(default = "forgotten")]
    pub puk: String,
}

fn forgotten() -> String {
    "forgotten".to_owned()
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
    /// For a renewal, and only there: the signature of the predecessor's key over [`renewal_message`], encoded likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor_signature: Option<Base64Url>,
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
    /// YubiKey PIV attestation inside the request, as Yubico's tools write it: among the extensions that it asks for, the
    /// slot's certificate as 1.3.6.1.4.1.41482.3.1 (of older tools .11) and f9's as .2.
    YubikeyPivRequest {},
    /// TPM 2.0 key attestation. Public areas are `TPMT_PUBLIC` octets. The qualifying data of `TPM2_Certify` is SHA-256 of
    /// [`challenge_message`] for the activated challenge and the user's key.
    Tpm {
        /// The endorsement key's public area, as in step 1.
        ek_public: Base64Url,
        /// Its maker's certificate, DER; missing where the TPM holds none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ek_certificate: Option<Base64Url>,
        /// Certificates between it and the maker's root, if the agent has any, DER.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ek_intermediates: Vec<Base64Url>,
        /// The attestation key's public area, as in step 1.
        ak_public: Base64Url,
        /// Where a maker certified the attestation key itself: its certificate and those above it, DER.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ak_certificates: Vec<Base64Url>,
        /// The user's key's public area.
        key_public: Base64Url,
        /// `TPMS_ATTEST` of `TPM2_Certify` (Part 2, 10.12.12), as signed.
        certify_info: Base64Url,
        /// `TPMT_SIGNATURE` of the attestation key over it (Part 2, 11.3.4).
        certify_signature: Base64Url,
    },
    /// Nothing: where the key lives is only claimed. For the device kinds `piv` and `pkcs11`.
    Asserted {},
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
        let certify = Certify {
            csr: Base64Url(vec![1]),
            evidence,
            challenge_signature: Base64Url(vec![2, 3]),
            predecessor_signature: None,
        };
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
        let renewal = Certify { predecessor_signature: Some(Base64Url(vec![4])), ..certify };
        assert_eq!(serde_json::to_value(&renewal).expect("JSON")["predecessor_signature"], "BA");
    }

    #[test]
    fn a_tpms_messages_keep_their_spelling() {
        let octets = |octet: u8| Base64Url(vec![octet]);
        let identity = TpmIdentity {
            ek_public: octets(1),
            ek_certificate: None,
            ek_intermediates: Vec::new(),
            ak_public: octets(2),
            ak_certificates: Vec::new(),
        };
        assert_eq!(
            serde_json::to_value(&identity).expect("JSON"),
            serde_json::json!({"ek_public": "AQ", "ak_public": "Ag"})
        );
        let evidence = Evidence::Tpm {
            ek_public: octets(1),
            ek_certificate: Some(octets(3)),
            ek_intermediates: Vec::new(),
            ak_public: octets(2),
            ak_certificates: Vec::new(),
            key_public: octets(4),
            certify_info: octets(5),
            certify_signature: octets(6),
        };
        let json = serde_json::to_value(&evidence).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "format": "tpm", "ek_public": "AQ", "ek_certificate": "Aw", "ak_public": "Ag", "key_public": "BA",
                "certify_info": "BQ", "certify_signature": "Bg",
            })
        );
        assert_eq!(serde_json::from_value::<Evidence>(json).expect("the same"), evidence);
        let asserted = serde_json::json!({"format": "asserted"});
        assert_eq!(serde_json::to_value(Evidence::Asserted {}).expect("JSON"), asserted);
        assert_eq!(serde_json::from_value::<Evidence>(asserted).expect("the same"), Evidence::Asserted {});
        let more = serde_json::json!({"format": "asserted", "slot": "AQ"});
        assert!(serde_json::from_value::<Evidence>(more).is_err(), "an assertion has no members");
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
        let renewal = renewal_message(&[7; 32], &[0x30, 0x00]);
        assert!(renewal.starts_with(RENEWAL_PREFIX) && renewal.ends_with(&[7, 0x30, 0x00]));
        assert_eq!(renewal.len(), RENEWAL_PREFIX.len() + 32 + 2);
    }
}
