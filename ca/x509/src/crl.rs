//! To-be-signed CRLs (RFC 5280, 5).
//!
//! `x509-cert`'s own builder puts the issuer's *authority* key identifier where its *subject* key identifier belongs,
//! and takes no further extensions; so the structure is filled in here.

use der::{Decode, Encode, asn1::OctetString};
use jiff::Timestamp;
use x509_cert::{
    certificate::Version,
    crl::{RevokedCert, TbsCertList},
    ext::{
        Extension,
        pkix::{CrlNumber, CrlReason},
    },
    name::Name,
    serial_number::SerialNumber,
};

use crate::{algorithm::SignatureAlgorithm, extension, time};

/// Everything that a full CRL says.
#[derive(Clone, Debug)]
pub struct CrlTemplate {
    /// The issuer's subject name, byte for byte.
    pub issuer: Name,
    /// The issuer's subject key identifier.
    pub issuer_key_identifier: OctetString,
    /// thisUpdate, whole seconds.
    pub this_update: Timestamp,
    /// nextUpdate, whole seconds.
    pub next_update: Timestamp,
    /// `cRLNumber`.
    pub number: u64,
    /// The revoked certificates, in this order.
    pub entries: Vec<CrlEntry>,
    /// What the issuer signs with.
    pub algorithm: SignatureAlgorithm,
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlEntry {
    /// The serial number's content octets.
    pub serial: Vec<u8>,
    /// revocationDate, whole seconds.
    pub revoked_at: Timestamp,
    /// reasonCode; left out when `None`, as for unspecified (RFC 5280, 5.3.1).
    pub reason: Option<CrlReason>,
}

impl CrlTemplate {
    /// DER of the `TBSCertList`, version 2.
    ///
    /// # Errors
    /// A `der` error when something can't be encoded.
    pub fn to_tbs_der(&self) -> der::Result<Vec<u8>> {
        let entries = self.entries.iter().map(entry).collect::<der::Result<Vec<_>>>()?;
        TbsCertList {
            version: Version::V2,
            signature: self.algorithm.identifier(),
            issuer: self.issuer.clone(),
            this_update: time::to_x509(self.this_update)?,
            next_update: Some(time::to_x509(self.next_update)?),
            // An empty list must be absent (RFC 5280, 5.1.2.6).
            revoked_certificates: Some(entries).filter(|entries: &Vec<RevokedCert>| !entries.is_empty()),
            crl_extensions: Some(vec![
                extension::authority_key_identifier(self.issuer_key_identifier.clone())?,
                extension::crl_number(self.number)?,
            ]),
        }
        .to_der()
    }
}

fn entry(entry: &CrlEntry) -> der::Result<RevokedCert> {
    let reason = entry.reason.map(extension::crl_reason).transpose()?;
    Ok(RevokedCert {
        serial_number: SerialNumber::new(&entry.serial)?,
        revocation_date: time::to_x509(entry.revoked_at)?,
        crl_entry_extensions: reason.map(|reason| vec![reason]),
    })
}

/// The `cRLNumber` among extensions, when there is exactly one that fits 64 bits.
pub fn number(extensions: &[Extension]) -> Option<u64> {
    let mut found =
        extensions.iter().filter(|extension| extension.extn_id == const_oid::db::rfc5280::ID_CE_CRL_NUMBER);
    let (first, second) = (found.next()?, found.next());
    let number = CrlNumber::from_der(first.extn_value.as_bytes()).ok()?;
    let bytes = number.0.as_bytes();
    let fits = second.is_none() && bytes.len() <= 8;
    fits.then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
