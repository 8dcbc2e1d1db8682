//! The types of OCSP (RFC 6960, 4) on the current `der`. `x509-ocsp` 0.2 stands on the one before.

#![expect(clippy::unnested_or_patterns, reason = "written by the derive of Choice")]

use aws_lc_rs::digest;
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5912::{ID_SHA_1, ID_SHA_256},
        rfc6960::{ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE},
    },
};
use der::{
    Any, Choice, Decode, Encode, Enumerated, Sequence,
    asn1::{BitString, GeneralizedTime, Null, OctetString},
};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::{
    Certificate,
    ext::{
        Extension, Extensions,
        pkix::{CrlReason, name::GeneralName},
    },
    name::Name,
    serial_number::SerialNumber,
};

use crate::{algorithm::SignatureAlgorithm, key};

/// `Version`; there is only v1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enumerated)]
#[asn1(type = "INTEGER")]
#[repr(u8)]
pub enum Version {
    /// v1
    #[default]
    V1 = 0,
}

/// `OCSPRequest`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct OcspRequest {
    /// What is asked.
    pub tbs_request: TbsRequest,
    /// The requestor's signature, which Inro ignores.
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    pub optional_signature: Option<Any>,
}

/// `TBSRequest`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TbsRequest {
    /// v1
    #[asn1(context_specific = "0", default = "Default::default", tag_mode = "EXPLICIT")]
    pub version: Version,
    /// Who asks.
    #[asn1(context_specific = "1", optional = "true", tag_mode = "EXPLICIT")]
    pub requestor_name: Option<GeneralName>,
    /// Which certificates.
    pub request_list: Vec<Request>,
    /// Such as the nonce.
    #[asn1(context_specific = "2", optional = "true", tag_mode = "EXPLICIT")]
    pub request_extensions: Option<Extensions>,
}

impl TbsRequest {
    /// Whether it is about one certificate, and has nothing that is optional.
    pub fn asks_for_one_certificate_only(&self) -> bool {
        let [request] = self.request_list.as_slice() else { return false };
        self.requestor_name.is_none()
            && self.request_extensions.is_none()
            && request.single_request_extensions.is_none()
    }
}

/// `Request`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Request {
    /// Which certificate.
    pub req_cert: CertId,
    /// Extensions for this one.
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    pub single_request_extensions: Option<Extensions>,
}

/// `CertID`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertId {
    /// How the next two were hashed.
    pub hash_algorithm: AlgorithmIdentifierOwned,
    /// Hash of the issuer's distinguished name, DER.
    pub issuer_name_hash: OctetString,
    /// Hash of the issuer's key, the BIT STRING's content.
    pub issuer_key_hash: OctetString,
    /// The certificate's serial number.
    pub serial_number: SerialNumber,
}

impl CertId {
    /// Whether this names a certificate of the issuer with this name and key; `None` when the hash algorithm is neither
    /// SHA-1 nor SHA-256.
    ///
    /// # Errors
    /// Only `der`'s.
    pub fn is_of(&self, issuer: &Name, key: &SubjectPublicKeyInfoOwned) -> der::Result<Option<bool>> {
        let algorithm = match self.hash_algorithm.oid {
            ID_SHA_1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            ID_SHA_256 => &digest::SHA256,
            _ => return Ok(None),
        };
        let name_hash = digest::digest(algorithm, &issuer.to_der()?);
        let key_hash = digest::digest(algorithm, key.subject_public_key.raw_bytes());
        Ok(Some(
            self.issuer_name_hash.as_bytes() == name_hash.as_ref()
                && self.issuer_key_hash.as_bytes() == key_hash.as_ref(),
        ))
    }
}

/// `OCSPResponseStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u32)]
pub enum ResponseStatus {
    /// An answer follows.
    Successful = 0,
    /// The request can't be read.
    MalformedRequest = 1,
    /// The responder has a fault.
    InternalError = 2,
    /// Not now.
    TryLater = 3,
    /// The request must be signed.
    SigRequired = 5,
    /// Not answered here.
    Unauthorized = 6,
}

/// `OCSPResponse`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct OcspResponse {
    /// How it went.
    pub response_status: ResponseStatus,
    /// The answer, when it went well.
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    pub response_bytes: Option<ResponseBytes>,
}

/// `ResponseBytes`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ResponseBytes {
    /// id-pkix-ocsp-basic
    pub response_type: ObjectIdentifier,
    /// DER of the `BasicOCSPResponse`.
    pub response: OctetString,
}

impl OcspResponse {
    /// A response without an answer.
    pub fn error(status: ResponseStatus) -> Self {
        Self { response_status: status, response_bytes: None }
    }

    /// A successful response: `data` stands in it byte for byte, `responder` is sent along.
    ///
    /// # Errors
    /// A `der` error when `data` isn't one DER value.
    pub fn successful(
        data: &[u8],
        algorithm: SignatureAlgorithm,
        signature: &[u8],
        responder: &Certificate,
    ) -> der::Result<Self> {
        let basic = BasicOcspResponse {
            tbs_response_data: Any::from_der(data)?,
            signature_algorithm: algorithm.identifier(),
            signature: BitString::from_bytes(signature)?,
            certs: Some(vec![responder.clone()]),
        };
        Ok(Self {
            response_status: ResponseStatus::Successful,
            response_bytes: Some(ResponseBytes {
                response_type: ID_PKIX_OCSP_BASIC,
                response: OctetString::new(basic.to_der()?)?,
            }),
        })
    }
}

/// `BasicOCSPResponse`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct BasicOcspResponse {
    /// [`ResponseData`], kept as the bytes that were signed.
    pub tbs_response_data: Any,
    /// How it was signed.
    pub signature_algorithm: AlgorithmIdentifierOwned,
    /// The signature.
    pub signature: BitString,
    /// The responder's certificate.
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    pub certs: Option<Vec<Certificate>>,
}

/// `ResponseData`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ResponseData {
    /// v1
    #[asn1(context_specific = "0", default = "Default::default", tag_mode = "EXPLICIT")]
    pub version: Version,
    /// Who answers.
    pub responder_id: ResponderId,
    /// When this was signed.
    pub produced_at: GeneralizedTime,
    /// The answers.
    pub responses: Vec<SingleResponse>,
    /// Such as the nonce.
    #[asn1(context_specific = "1", optional = "true", tag_mode = "EXPLICIT")]
    pub response_extensions: Option<Extensions>,
}

/// `ResponderID`.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum ResponderId {
    /// The responder certificate's subject.
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", constructed = "true")]
    ByName(Name),
    /// SHA-1 of the responder's key.
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    ByKey(OctetString),
}

impl ResponderId {
    /// The responder by its key.
    ///
    /// # Errors
    /// Only `der`'s.
    pub fn by_key(responder: &SubjectPublicKeyInfoOwned) -> der::Result<Self> {
        Ok(Self::ByKey(OctetString::new(key::ocsp_key_hash(responder))?))
    }
}

/// `SingleResponse`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SingleResponse {
    /// Which certificate, as it was asked.
    pub cert_id: CertId,
    /// How it is.
    pub cert_status: CertStatus,
    /// Known to be so at this time.
    pub this_update: GeneralizedTime,
    /// Newer information comes no later.
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    pub next_update: Option<GeneralizedTime>,
    /// Extensions for this one.
    #[asn1(context_specific = "1", optional = "true", tag_mode = "EXPLICIT")]
    pub single_extensions: Option<Extensions>,
}

/// `CertStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub enum CertStatus {
    /// Not revoked.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    /// Revoked.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(RevokedInfo),
    /// Not known to the responder.
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

/// `RevokedInfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub struct RevokedInfo {
    /// Since when.
    pub revocation_time: GeneralizedTime,
    /// Why.
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    pub revocation_reason: Option<CrlReason>,
}

/// The nonce's extension (RFC 9654, 2.1).
///
/// # Errors
/// Only `der`'s.
pub fn nonce_extension(nonce: &[u8]) -> der::Result<Extension> {
    let value = OctetString::new(OctetString::new(nonce)?.to_der()?)?;
    Ok(Extension { extn_id: ID_PKIX_OCSP_NONCE, critical: false, extn_value: value })
}

/// Reads the nonce out of a nonce extension; the caller judges its length.
///
/// # Errors
/// A `der` error when it isn't an OCTET STRING.
pub fn nonce(extension: &Extension) -> der::Result<Vec<u8>> {
    Ok(OctetString::from_der(extension.extn_value.as_bytes())?.into_bytes().into())
}
