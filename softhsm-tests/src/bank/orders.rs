//! What an authority asks its signer for, made without one: tests take its place at the signer's socket.

use std::fs;

use anyhow::{Context, Result};
use ca_x509::{
    SignatureAlgorithm,
    certificate::CertificateTemplate,
    crl::{CrlEntry, CrlTemplate},
    extension, key,
    name::NameBuilder,
    ocsp::{CertId, CertStatus, ResponderId, ResponseData, SingleResponse, Version},
    time,
    verify::verify,
};
use const_oid::{
    ObjectIdentifier,
    db::{rfc5280::ID_KP_CLIENT_AUTH, rfc5912::ID_SHA_256},
};
use der::{Decode, DecodePem, Encode, asn1::OctetString};
use jiff::{SignedDuration, Timestamp};
use rcgen::PublicKeyData;
use signer_protocol::message::{AuditPosition, KeyLabel, RevocationEntry};
use uuid::Uuid;
use x509_cert::{
    Certificate,
    ext::pkix::{KeyUsages, SubjectKeyIdentifier},
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

use super::Bank;

/// Where the authority's audit trail would have ended.
pub const AUDIT_HEAD: AuditPosition = AuditPosition { sequence: 1, hash: [0x5a; 32] };

/// The bank's issuing certificate and that of its OCSP responder, and what they can be asked for.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The issuing certificate.
    pub issuer: Certificate,
    /// The OCSP responder's.
    pub responder: Certificate,
}

impl Orders {
    /// The label of the issuing key.
    pub fn issuing() -> KeyLabel {
        KeyLabel("customer-issuing".to_owned())
    }

    /// The label of the OCSP responder's key.
    pub fn ocsp() -> KeyLabel {
        KeyLabel("customer-ocsp".to_owned())
    }

    /// Of a bank after its ceremony.
    ///
    /// # Errors
    /// When a certificate can't be read.
    pub fn of(bank: &Bank) -> Result<Self> {
        let read = |name: &str| {
            let pem = fs::read(bank.path(name)).with_context(|| format!("reading {name}"))?;
            Certificate::from_pem(pem).with_context(|| format!("reading {name}"))
        };
        Ok(Self { issuer: read("ceremony/issuing.pem")?, responder: read("ceremony/ocsp.pem")? })
    }

    /// A customer's certificate with a new key and serial number.
    ///
    /// # Errors
    /// When it can't be composed.
    pub fn certificate(&self) -> Result<CertificateTemplate> {
        self.certificate_with(&[&[1], Uuid::new_v4().as_bytes().as_slice()].concat())
    }

    /// The same with this serial number.
    ///
    /// # Errors
    /// When it can't be composed.
    pub fn certificate_with(&self, serial: &[u8]) -> Result<CertificateTemplate> {
        let pair = rcgen::KeyPair::generate()?;
        let public_key = SubjectPublicKeyInfoOwned::from_der(&pair.subject_public_key_info())?;
        let policy = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.1");
        let extensions = [
            extension::key_usage(KeyUsages::DigitalSignature),
            extension::extended_key_usage(&[ID_KP_CLIENT_AUTH]),
            extension::certificate_policies(&[policy]),
            extension::authority_key_identifier(self.key_identifier()?),
            extension::subject_key_identifier(key::identifier(&public_key)?),
        ];
        Ok(CertificateTemplate {
            serial: serial.to_vec(),
            issuer: self.issuer.tbs_certificate().subject().clone(),
            subject: NameBuilder::new().country("JP").common_name("北洋 太郎").build()?,
            not_before: Timestamp::now(),
            not_after: Timestamp::now() + SignedDuration::from_hours(365 * 24),
            public_key,
            extensions: extensions.into_iter().collect::<Result<_, _>>()?,
            algorithm: SignatureAlgorithm::EcdsaSha256,
        })
    }

    /// A CRL that revokes these, DER of its `TBSCertList`.
    ///
    /// # Errors
    /// When it can't be composed.
    pub fn crl(&self, number: u64, revoked: &[RevocationEntry]) -> Result<Vec<u8>> {
        let entry = |entry: &RevocationEntry| CrlEntry {
            serial: entry.serial.clone(),
            revoked_at: entry.revoked_at,
            reason: None,
        };
        let template = CrlTemplate {
            issuer: self.issuer.tbs_certificate().subject().clone(),
            issuer_key_identifier: self.key_identifier()?,
            this_update: Timestamp::now(),
            next_update: Timestamp::now() + SignedDuration::from_hours(24),
            number,
            entries: revoked.iter().map(entry).collect(),
            algorithm: SignatureAlgorithm::EcdsaSha256,
        };
        Ok(template.to_tbs_der()?)
    }

    /// An OCSP response about a serial number, DER of its `ResponseData`.
    ///
    /// # Errors
    /// When it can't be composed.
    pub fn response(&self, serial: &[u8], status: CertStatus) -> Result<Vec<u8>> {
        let sha256 = |octets: &[u8]| {
            OctetString::new(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets).as_ref())
        };
        let now = time::to_generalized(Timestamp::now())?;
        let next = time::to_generalized(Timestamp::now() + SignedDuration::from_mins(30))?;
        let issuer = self.issuer.tbs_certificate();
        let responder = self.responder.tbs_certificate().subject_public_key_info();
        let data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::by_key(responder)?,
            produced_at: now,
            responses: vec![SingleResponse {
                cert_id: CertId {
                    hash_algorithm: AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: None },
                    issuer_name_hash: sha256(&issuer.subject().to_der()?)?,
                    issuer_key_hash: sha256(issuer.subject_public_key_info().subject_public_key.raw_bytes())?,
                    serial_number: SerialNumber::new(serial)?,
                },
                cert_status: status,
                this_update: now,
                next_update: Some(next),
                single_extensions: None,
            }],
            response_extensions: None,
        };
        Ok(data.to_der()?)
    }

    /// Whether the issuing key made this signature.
    pub fn is_issuers(&self, tbs: &[u8], signature: &[u8]) -> bool {
        let spki = self.issuer.tbs_certificate().subject_public_key_info();
        verify(spki, SignatureAlgorithm::EcdsaSha256, tbs, signature).is_ok()
    }

    /// Whether the responder's key made it.
    pub fn is_responders(&self, data: &[u8], signature: &[u8]) -> bool {
        let spki = self.responder.tbs_certificate().subject_public_key_info();
        verify(spki, SignatureAlgorithm::EcdsaSha256, data, signature).is_ok()
    }

    fn key_identifier(&self) -> Result<OctetString> {
        let identifier = self.issuer.tbs_certificate().get_extension::<SubjectKeyIdentifier>()?;
        Ok(identifier.context("the issuing certificate has no key identifier")?.1.0)
    }
}
