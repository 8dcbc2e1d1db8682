//! OCSP (RFC 6960, nonces RFC 9654): reading requests within limits, and writing answers by a delegated responder.

use ca_x509::{
    SignatureAlgorithm,
    key::KeyKind,
    ocsp::{
        CertId, CertStatus, OcspRequest, OcspResponse, ResponderId, ResponseData, ResponseStatus,
        RevokedInfo, SingleResponse, Version, nonce, nonce_extension,
    },
    signed::Signed,
    time,
    verify::{VerifyError, verify},
};
use const_oid::db::{rfc5280::ID_KP_OCSP_SIGNING, rfc6960::ID_PKIX_OCSP_NONCE};
use der::{Decode, Encode, asn1::Null};
use jiff::{SignedDuration, Timestamp};
use x509_cert::{Certificate, ext::pkix::ExtendedKeyUsage, name::Name, spki::SubjectPublicKeyInfoOwned};

use super::{crl, der_bounds, ids::SerialNumber, profile::Issuer, revocation::Revocation};

/// A request has at most so many octets.
pub const MAX_REQUEST_BYTES: usize = 8 * 1024;
/// A request asks for at most so many certificates.
pub const MAX_ENTRIES: usize = 10;
/// RFC 9654, 2.1: a nonce has 1 to 128 octets.
pub const NONCE_BYTES: std::ops::RangeInclusive<usize> = 1..=128;
/// How long an answer is valid.
pub const VALIDITY: SignedDuration = SignedDuration::from_hours(1);
/// ASN.1 nesting in a request at the most.
const MAX_DEPTH: usize = 16;

/// What the ledger says of a serial number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerStatus {
    /// Issued and not revoked.
    Good,
    /// Revoked.
    Revoked(Revocation),
    /// Never issued (an intent alone is not "good").
    Unknown,
}

/// Why a request is answered with `malformedRequest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// More than [`MAX_REQUEST_BYTES`].
    #[error("the request is larger than {MAX_REQUEST_BYTES} octets")]
    TooLarge,
    /// Not an `OCSPRequest`.
    #[error("the request is not an OCSPRequest in DER")]
    Malformed,
    /// None or more than [`MAX_ENTRIES`].
    #[error("a request must ask for 1 to {MAX_ENTRIES} certificates")]
    Entries,
    /// A nonce of 0 or more than 128 octets, or two of them.
    #[error("a nonce must be one of 1 to 128 octets")]
    Nonce,
    /// A critical extension that isn't understood.
    #[error("the request has a critical extension that is not understood")]
    CriticalExtension,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    entries: Vec<CertId>,
    /// One for each entry.
    serials: Vec<SerialNumber>,
    nonce: Option<Vec<u8>>,
    is_plain: bool,
}

impl Query {
    /// Reads a request.
    ///
    /// # Errors
    /// [`RequestError`], to be answered with [`ErrorStatus::MalformedRequest`].
    pub fn parse(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge);
        }
        der_bounds::check_depth(der, MAX_DEPTH).map_err(|_| RequestError::Malformed)?;
        let OcspRequest { tbs_request: request, optional_signature } =
            OcspRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
        if !(1..=MAX_ENTRIES).contains(&request.request_list.len()) {
            return Err(RequestError::Entries);
        }
        let is_plain = optional_signature.is_none() && request.asks_for_one_certificate_only();
        let extensions = request.request_extensions.unwrap_or_default();
        let single =
            request.request_list.iter().flat_map(|entry| entry.single_request_extensions.iter().flatten());
        let not_understood = |critical: bool, known: bool| critical && !known;
        if extensions.iter().any(|e| not_understood(e.critical, e.extn_id == ID_PKIX_OCSP_NONCE))
            || single.into_iter().any(|e| not_understood(e.critical, false))
        {
            return Err(RequestError::CriticalExtension);
        }
        let mut nonces = extensions.iter().filter(|extension| extension.extn_id == ID_PKIX_OCSP_NONCE);
        let (first, second) = (nonces.next(), nonces.next());
        let nonce = first.map(nonce).transpose().map_err(|_| RequestError::Nonce)?;
        if second.is_some() || nonce.as_ref().is_some_and(|nonce| !NONCE_BYTES.contains(&nonce.len())) {
            return Err(RequestError::Nonce);
        }
        let entries: Vec<_> = request.request_list.into_iter().map(|entry| entry.req_cert).collect();
        // RFC 5912: a hash has no parameters or NULL. They are repeated in the answer, and nobody gets anything else signed.
        let has_parameters =
            |id: &CertId| id.hash_algorithm.parameters.as_ref().is_some_and(|p| !p.is_null());
        if entries.iter().any(has_parameters) {
            return Err(RequestError::Malformed);
        }
        // RFC 5280, 4.1.2.2; the signer wouldn't repeat other numbers in an answer.
        let serials = entries.iter().map(|entry| SerialNumber::from_bytes(entry.serial_number.as_bytes()));
        let serials = serials.collect::<Result<_, _>>().map_err(|_| RequestError::Malformed)?;
        Ok(Self { entries, serials, nonce, is_plain })
    }

    /// The one issuer whose certificates are asked for; `None` when there is none among `issuers`, or several: one
    /// responder can't answer for them, which is [`ErrorStatus::Unauthorized`].
    pub fn issuer<'a>(&self, issuers: impl IntoIterator<Item = &'a Issuer>) -> Option<&'a Issuer> {
        let concerns = |issuer: &Issuer| {
            self.entries
                .iter()
                .all(|entry| matches!(entry.is_of(issuer.name(), issuer.public_key()), Ok(Some(true))))
        };
        issuers.into_iter().find(|issuer| concerns(issuer))
    }

    /// The serial numbers that are asked for, in order.
    pub fn serials(&self) -> &[SerialNumber] {
        &self.serials
    }

    /// Whether it asks for one certificate and says nothing else. There are only a few such requests for each certificate,
    /// so their answers can be kept; of others anybody can make as many as they like.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The nonce, which makes the answer one of a kind.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

/// A certificate that can't be a responder's.
#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    /// It doesn't parse.
    #[error("the OCSP responder's certificate is malformed")]
    Malformed(#[source] der::Error),
    /// Not signed by the issuer that it answers for (RFC 6960, 4.2.2.2).
    #[error("the OCSP responder's certificate is not signed by the issuer that it answers for")]
    OtherIssuer,
    /// Without extended key usage OCSPSigning.
    #[error("the OCSP responder's certificate lacks the extended key usage OCSPSigning")]
    NotAResponder,
    /// A key or validity that isn't usable.
    #[error("the OCSP responder's certificate has a key or validity that is not usable")]
    Unusable,
}

/// A delegated responder of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    certificate: Certificate,
    algorithm: SignatureAlgorithm,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Responder {
    /// Reads the certificate of a responder of `issuer`.
    ///
    /// # Errors
    /// [`ResponderError`] when relying parties wouldn't accept its answers.
    pub fn from_certificate(der: &[u8], issuer: &Issuer) -> Result<Self, ResponderError> {
        let certificate = Certificate::from_der(der).map_err(ResponderError::Malformed)?;
        let signed = Signed::parse(der).map_err(ResponderError::Malformed)?;
        let tbs = certificate.tbs_certificate();
        if tbs.issuer() != issuer.name() || signed.verify(issuer.public_key()).is_err() {
            return Err(ResponderError::OtherIssuer);
        }
        let usage = tbs.get_extension::<ExtendedKeyUsage>().map_err(ResponderError::Malformed)?;
        if !usage.is_some_and(|(_, usage)| usage.0.contains(&ID_KP_OCSP_SIGNING)) {
            return Err(ResponderError::NotAResponder);
        }
        let kind = KeyKind::of(tbs.subject_public_key_info()).map_err(|_| ResponderError::Unusable)?;
        let instant = |time| time::from_x509(time).map_err(|_| ResponderError::Unusable);
        let not_before = instant(&tbs.validity().not_before)?;
        let not_after = instant(&tbs.validity().not_after)?;
        Ok(Self { algorithm: SignatureAlgorithm::for_key(kind), certificate, not_before, not_after })
    }

    /// From when its certificate is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when its certificate is valid: it must be replaced before.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether its answers can be accepted now.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        self.certificate.tbs_certificate().subject()
    }

    /// Its key.
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        self.certificate.tbs_certificate().subject_public_key_info()
    }

    /// Its certificate's serial number; `None` when that has a form of its own.
    pub fn serial(&self) -> Option<SerialNumber> {
        SerialNumber::from_bytes(self.certificate.tbs_certificate().serial_number().as_bytes()).ok()
    }
}

/// Why there is no answer; relying parties are told [`ErrorStatus::TryLater`].
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not as many statuses as questions.
    #[error("{statuses} statuses for {entries} entries")]
    Count {
        /// Statuses given.
        statuses: usize,
        /// Entries asked.
        entries: usize,
    },
    /// The responder's certificate isn't valid now.
    #[error("the OCSP responder's certificate is valid from {not_before} to {not_after}")]
    ResponderNotValid {
        /// From.
        not_before: Timestamp,
        /// To.
        not_after: Timestamp,
    },
    /// Something can't be encoded.
    #[error("the OCSP response can't be encoded")]
    Encoding(#[source] der::Error),
    /// The signature isn't the responder's.
    #[error("the signer returned a signature that is not the OCSP responder's")]
    Signature(#[source] VerifyError),
}

/// An answer to be signed.
#[derive(Clone, Debug)]
pub struct Answer {
    data: Vec<u8>,
    this_update: Timestamp,
    next_update: Timestamp,
}

/// Writes the answer to a query: `statuses` are the ledger's, in the order of [`Query::serials`].
///
/// # Errors
/// [`AnswerError`].
pub fn answer(
    query: &Query,
    statuses: &[LedgerStatus],
    responder: &Responder,
    now: Timestamp,
) -> Result<Answer, AnswerError> {
    if statuses.len() != query.entries.len() {
        return Err(AnswerError::Count { statuses: statuses.len(), entries: query.entries.len() });
    }
    let Responder { not_before, not_after, .. } = *responder;
    if !responder.is_valid_at(now) {
        return Err(AnswerError::ResponderNotValid { not_before, not_after });
    }
    // Beyond the responder's own life nobody could accept the answer.
    let next_update = now.saturating_add(VALIDITY).unwrap_or(not_after).min(not_after);
    let data = response_data(query, statuses, responder, now, next_update).map_err(AnswerError::Encoding)?;
    Ok(Answer { data, this_update: now, next_update })
}

fn response_data(
    query: &Query,
    statuses: &[LedgerStatus],
    responder: &Responder,
    now: Timestamp,
    next_update: Timestamp,
) -> der::Result<Vec<u8>> {
    let single = |(cert_id, status): (&CertId, &LedgerStatus)| {
        Ok(SingleResponse {
            cert_id: cert_id.clone(),
            cert_status: cert_status(status, now)?,
            this_update: time::to_generalized(now)?,
            next_update: Some(time::to_generalized(next_update)?),
            single_extensions: None,
        })
    };
    let responses = query.entries.iter().zip(statuses).map(single).collect::<der::Result<Vec<_>>>()?;
    let nonce = query.nonce.as_deref().map(nonce_extension).transpose()?;
    ResponseData {
        version: Version::V1,
        responder_id: ResponderId::by_key(responder.public_key())?,
        produced_at: time::to_generalized(now)?,
        responses,
        response_extensions: nonce.map(|nonce| vec![nonce]),
    }
    .to_der()
}

fn cert_status(status: &LedgerStatus, now: Timestamp) -> der::Result<CertStatus> {
    Ok(match status {
        LedgerStatus::Good => CertStatus::Good(Null),
        LedgerStatus::Unknown => CertStatus::Unknown(Null),
        LedgerStatus::Revoked(revocation) => CertStatus::Revoked(RevokedInfo {
            revocation_time: time::to_generalized(revocation.told_at(now))?,
            revocation_reason: crl::reason(revocation.reason),
        }),
    })
}

impl Answer {
    /// The `ResponseData` to be signed, DER.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// thisUpdate of its answers.
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// nextUpdate of its answers: it must not be sent afterwards.
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// Puts the signature on and checks it. Returns the `OCSPResponse`, DER.
    ///
    /// # Errors
    /// [`AnswerError::Signature`] when it isn't the responder's.
    pub fn signed(&self, signature: &[u8], responder: &Responder) -> Result<Vec<u8>, AnswerError> {
        verify(responder.public_key(), responder.algorithm, &self.data, signature)
            .map_err(AnswerError::Signature)?;
        OcspResponse::successful(&self.data, responder.algorithm, signature, &responder.certificate)
            .and_then(|response| response.to_der())
            .map_err(AnswerError::Encoding)
    }
}

/// Answers without a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorStatus {
    /// The request can't be read or is beyond the limits.
    MalformedRequest,
    /// Not now.
    TryLater,
    /// Certificates of an issuer that isn't served here.
    Unauthorized,
}

/// An unsigned `OCSPResponse`, DER.
pub fn error_response(status: ErrorStatus) -> Vec<u8> {
    let status = match status {
        ErrorStatus::MalformedRequest => ResponseStatus::MalformedRequest,
        ErrorStatus::TryLater => ResponseStatus::TryLater,
        ErrorStatus::Unauthorized => ResponseStatus::Unauthorized,
    };
    // SEQUENCE { ENUMERATED status }, which is also the response should the encoder ever fail.
    OcspResponse::error(status).to_der().unwrap_or_else(|_| vec![0x30, 3, 0x0a, 1, 2])
}

#[cfg(test)]
mod tests;
