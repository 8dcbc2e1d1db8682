//! A device maker's certificate, read once, and what it says of itself.
//!
//! Genuine device certificates lack much that RFC 5280 asks for (no key identifiers, `basicConstraints` not critical,
//! notAfter in the year 9999), so this checks what protects: who signed, that a CA may be one, path lengths, validity,
//! unknown critical extensions. Signatures are checked over the octets as they came.

use aws_lc_rs::digest::{SHA256, digest};
use ca_x509::signed::{Signed, SignedError};
use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE},
};
use der::Decode;
use jiff::Timestamp;
use x509_cert::{
    certificate::{Raw, TbsCertificateInner, Version},
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage},
    },
    spki::SubjectPublicKeyInfoOwned,
};

use super::{chain_error::ChainError, set_order};

/// A device certificate has at most so many octets; genuine ones have under 1,200.
pub(super) const MAX_CERTIFICATE_BYTES: usize = 4096;

/// What any CA certificate may mark critical.
pub(super) const CA_CRITICALS: [ObjectIdentifier; 2] = [ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE];

/// A certificate that was read once: the bytes that were signed, and what they say.
#[derive(Clone, Debug)]
pub(super) struct DeviceCertificate {
    der: Vec<u8>,
    tbs: TbsCertificateInner<Raw>,
}

impl DeviceCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// A `der` error when it isn't one, when something follows it, or when its two algorithm fields differ.
    pub(super) fn parse(der: &[u8]) -> der::Result<Self> {
        let signed = Signed::parse(der)?;
        Self::new(der, &signed, signed.tbs)
    }

    /// Reads a certificate whose names may have the elements of a SET out of DER's order, as some genuine TPMs' have.
    /// Signatures are checked over the octets as they came.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(super) fn parse_unsorted(der: &[u8]) -> der::Result<Self> {
        let signed = Signed::parse(der)?;
        Self::new(der, &signed, &set_order::sorted(signed.tbs)?)
    }

    fn new(der: &[u8], signed: &Signed<'_>, tbs: &[u8]) -> der::Result<Self> {
        let tbs = TbsCertificateInner::<Raw>::from_der(tbs)?;
        if *tbs.signature() != signed.algorithm {
            return Err(der::ErrorKind::Failed.into());
        }
        Ok(Self { der: der.to_vec(), tbs })
    }

    /// What it says.
    pub(super) fn tbs(&self) -> &TbsCertificateInner<Raw> {
        &self.tbs
    }

    /// Its key.
    pub(super) fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        self.tbs.subject_public_key_info()
    }

    /// Its extensions with this identifier.
    pub(super) fn extensions(&self, oid: ObjectIdentifier) -> impl Iterator<Item = &Extension> {
        self.all_extensions().iter().filter(move |extension| extension.extn_id == oid)
    }

    fn all_extensions(&self) -> &[Extension] {
        self.tbs.extensions().map_or(&[], Vec::as_slice)
    }

    /// Its DER, as it came.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether `issuer`'s key signed it, over the original bytes.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> Result<(), ChainError> {
        issuer.has_signed(&Signed::parse(&self.der).map_err(|_| ChainError::Signature)?)
    }

    /// Whether its key signed this.
    pub(super) fn has_signed(&self, signed: &Signed<'_>) -> Result<(), ChainError> {
        signed.verify_of_maker(self.public_key()).map_err(|error| match error {
            SignedError::Algorithm(_) => ChainError::Algorithm,
            SignedError::Malformed(_) | SignedError::Signature(_) => ChainError::Signature,
        })
    }

    /// Valid at `now` and without critical extensions other than `understood`.
    pub(super) fn check_time_and_criticals(
        &self,
        now: Timestamp,
        understood: &[ObjectIdentifier],
    ) -> Result<(), ChainError> {
        self.check_time(now, false)?;
        self.check_criticals(understood)
    }

    /// Valid at `now`, or past its notAfter where that doesn't matter.
    pub(super) fn check_time(&self, now: Timestamp, after_expiry: bool) -> Result<(), ChainError> {
        let validity = self.tbs.validity();
        // Not as jiff timestamps: 9999-12-31T23:59:59Z, which makers use, is beyond their range.
        let now = u64::try_from(now.as_second()).map_err(|_| ChainError::NotValidNow)?;
        let (from, to) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
        let is_valid = from.as_secs() <= now && (after_expiry || now <= to.as_secs());
        if is_valid { Ok(()) } else { Err(ChainError::NotValidNow) }
    }

    /// No critical extensions other than `understood`.
    pub(super) fn check_criticals(&self, understood: &[ObjectIdentifier]) -> Result<(), ChainError> {
        let stranger = self.all_extensions().iter().find(|e| e.critical && !understood.contains(&e.extn_id));
        stranger.map_or(Ok(()), |extension| Err(ChainError::CriticalExtension(extension.extn_id)))
    }

    /// `basicConstraints` and `keyUsage` of a CA with `below` CA certificates between it and the leaf.
    pub(super) fn check_ca(&self, below: usize) -> Result<(), ChainError> {
        let constraints: Option<BasicConstraints> = self.decoded(ID_CE_BASIC_CONSTRAINTS)?;
        let constraints = constraints.filter(|constraints| constraints.ca).ok_or(ChainError::NotCa)?;
        if self.tbs.version() != Version::V3 {
            return Err(ChainError::NotCa);
        }
        self.check_key_usage()?;
        match constraints.path_len_constraint {
            Some(allowed) if usize::from(allowed) < below => Err(ChainError::PathLength),
            _ => Ok(()),
        }
    }

    /// A `keyUsage`, where there is one, permits signing certificates.
    pub(super) fn check_key_usage(&self) -> Result<(), ChainError> {
        match self.decoded::<KeyUsage>(ID_CE_KEY_USAGE)? {
            Some(usage) if !usage.key_cert_sign() => Err(ChainError::NotCa),
            _ => Ok(()),
        }
    }

    /// A `keyUsage`, where there is one, permits signing CRLs.
    pub(super) fn may_sign_crls(&self) -> bool {
        let usage = self.decoded::<KeyUsage>(ID_CE_KEY_USAGE);
        usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.crl_sign()))
    }

    /// The one extension with this identifier; malformed or twice makes no CA.
    pub(super) fn decoded<'a, T: Decode<'a, Error = der::Error>>(
        &'a self,
        oid: ObjectIdentifier,
    ) -> Result<Option<T>, ChainError> {
        let mut found = self.extensions(oid);
        let first = found.next();
        if found.next().is_some() {
            return Err(ChainError::NotCa);
        }
        first.map(|e| T::from_der(e.extn_value.as_bytes())).transpose().map_err(|_| ChainError::NotCa)
    }

    /// SHA-256 of its DER.
    pub(super) fn sha256(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, &self.der).as_ref());
        out
    }
}
