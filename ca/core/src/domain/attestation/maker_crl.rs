//! What makers of devices took back: their certificate revocation lists (RFC 5280, 5), got by the operator and put into a
//! folder. Nothing is fetched here, and no list is believed for being there: an anchor must have signed it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ca_x509::signed::Signed;
use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{ID_CE_CRL_NUMBER, ID_CE_ISSUING_DISTRIBUTION_POINT},
};
use der::{Decode, Encode};
use jiff::{SignedDuration, Timestamp};
use x509_cert::{
    certificate::Raw,
    crl::TbsCertList,
    ext::{Extension, pkix::IssuingDistributionPoint},
    name::Name,
    time::Time,
};

use super::{certificate::DeviceCertificate, chain_error::ChainError, set_order};

/// A CRL has at most so many octets; makers' have a few KiB, some a few hundred.
pub const MAX_CRL_BYTES: usize = 16 * 1024 * 1024;

/// After so long a CRL that names no next one is due.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// A maker's CRL, read, and not believed yet.
#[derive(Clone, Debug)]
pub struct MakerCrl {
    der: Vec<u8>,
    issuer: Name,
    /// Of which part of its issuer's certificates it is, as DER; `None` for all.
    part: Option<Vec<u8>>,
    this_update: u64,
    next_update: Option<u64>,
    serials: Serials,
}

/// Why a CRL counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlRefusal {
    /// More octets than any maker's.
    #[error("it is larger than {MAX_CRL_BYTES} octets")]
    TooLarge,
    /// Not a CRL.
    #[error("it isn't a CRL that can be read: {0}")]
    Malformed(der::Error),
    /// A delta CRL, one that speaks of other issuers' certificates, or one with an unknown critical extension.
    #[error("it has the critical extension {0}, which is not understood: a full CRL of one issuer is wanted")]
    Critical(ObjectIdentifier),
    /// No anchor has its issuer's name.
    #[error("no standing anchor is its issuer: import the issuer's certificate first")]
    UnknownIssuer,
    /// An anchor has its issuer's name, but didn't sign it.
    #[error("the anchor with its issuer's name didn't sign it")]
    Signature,
    /// Signed by an algorithm that isn't accepted.
    #[error("its signature algorithm is not accepted")]
    Algorithm,
    /// The anchor's key may not sign CRLs.
    #[error("its issuer's key usage doesn't let it sign CRLs")]
    KeyUsage,
}

impl MakerCrl {
    /// Reads a CRL, DER.
    ///
    /// # Errors
    /// [`CrlRefusal`].
    pub fn read(der: &[u8]) -> Result<Self, CrlRefusal> {
        if der.len() > MAX_CRL_BYTES {
            return Err(CrlRefusal::TooLarge);
        }
        let signed = Signed::parse(der).map_err(CrlRefusal::Malformed)?;
        let tbs = set_order::sorted(signed.tbs).map_err(CrlRefusal::Malformed)?;
        let list = TbsCertList::<Raw>::from_der(&tbs).map_err(CrlRefusal::Malformed)?;
        if list.signature != signed.algorithm {
            return Err(CrlRefusal::Malformed(der::ErrorKind::Failed.into()));
        }
        let extensions = list.crl_extensions.unwrap_or_default();
        extensions.iter().try_for_each(understood)?;
        let part = extensions.iter().find(|e| e.extn_id == ID_CE_ISSUING_DISTRIBUTION_POINT);
        let mut serials = HashSet::new();
        for entry in list.revoked_certificates.into_iter().flatten() {
            // A critical one names another issuer, or says what nobody here knows (RFC 5280, 5.3).
            if let Some(critical) = entry.crl_entry_extensions.iter().flatten().find(|e| e.critical) {
                return Err(CrlRefusal::Critical(critical.extn_id));
            }
            serials.insert(entry.serial_number.as_bytes().to_vec());
        }
        Ok(Self {
            der: der.to_vec(),
            issuer: list.issuer,
            part: part.map(|part| part.extn_value.as_bytes().to_vec()),
            this_update: seconds(list.this_update),
            next_update: list.next_update.map(seconds),
            serials: Arc::new(serials),
        })
    }

    /// Who issued it.
    pub(super) fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Who issued it, for people.
    pub fn issuer_name(&self) -> String {
        ca_x509::name::shown(&self.issuer)
    }

    /// When it was issued; `None` beyond the year 9999.
    pub fn this_update(&self) -> Option<Timestamp> {
        timestamp(self.this_update)
    }

    /// When its issuer meant to issue the next, where it says so.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.next_update.and_then(timestamp)
    }

    /// Whether a newer one should be there by now: by its issuer's word, or where that says nothing, after [`MAX_AGE`].
    pub fn is_due(&self, now: Timestamp) -> bool {
        let due = self.next_update().or_else(|| self.this_update()?.checked_add(MAX_AGE).ok());
        due.is_some_and(|due| due < now)
    }

    /// How many certificates it revokes.
    pub fn count(&self) -> usize {
        self.serials.len()
    }

    /// Whether it takes the place of `earlier`: of the same part of the same issuer's certificates, issued no earlier.
    pub fn succeeds(&self, earlier: &Self) -> bool {
        (&self.issuer, &self.part) == (&earlier.issuer, &earlier.part)
            && self.this_update >= earlier.this_update
    }

    /// Which of the certificates with its issuer's name signed it.
    pub(super) fn signer<'a>(
        &self,
        with_its_name: &[&'a DeviceCertificate],
    ) -> Result<&'a DeviceCertificate, CrlRefusal> {
        let signed = Signed::parse(&self.der).map_err(CrlRefusal::Malformed)?;
        let mut refusal = CrlRefusal::UnknownIssuer;
        for certificate in with_its_name {
            match certificate.has_signed(&signed) {
                Ok(()) if certificate.may_sign_crls() => return Ok(certificate),
                Ok(()) => refusal = CrlRefusal::KeyUsage,
                Err(ChainError::Algorithm) => refusal = CrlRefusal::Algorithm,
                Err(_) => refusal = CrlRefusal::Signature,
            }
        }
        Err(refusal)
    }
}

/// A CRL may be of a part of its issuer's certificates, not of others' (RFC 5280, 5.2.5); a delta (5.2.4) says too little.
fn understood(extension: &Extension) -> Result<(), CrlRefusal> {
    let unknown = || CrlRefusal::Critical(extension.extn_id);
    match extension.extn_id {
        ID_CE_ISSUING_DISTRIBUTION_POINT => {
            let point = IssuingDistributionPoint::from_der(extension.extn_value.as_bytes());
            let point = point.map_err(CrlRefusal::Malformed)?;
            if point.indirect_crl { Err(unknown()) } else { Ok(()) }
        }
        ID_CE_CRL_NUMBER => Ok(()),
        _ if extension.critical => Err(unknown()),
        _ => Ok(()),
    }
}

fn seconds(time: Time) -> u64 {
    time.to_unix_duration().as_secs()
}

fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

/// The serial numbers of a CRL.
type Serials = Arc<HashSet<Vec<u8>>>;

/// What CRLs revoke, by their issuer's name and key.
#[derive(Debug, Default)]
pub(super) struct Revocations(HashMap<Vec<u8>, Vec<Serials>>);

impl Revocations {
    /// Adds what a CRL says that this certificate's key signed.
    pub(super) fn add(&mut self, signer: &DeviceCertificate, crl: &MakerCrl) {
        if let Some(issuer) = name_and_key(signer) {
            self.0.entry(issuer).or_default().push(crl.serials.clone());
        }
    }

    /// Whether `issuer` revoked `certificate`, which its key signed.
    pub(super) fn name(&self, issuer: &DeviceCertificate, certificate: &DeviceCertificate) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let lists = name_and_key(issuer).and_then(|issuer| self.0.get(&issuer));
        let serial = certificate.tbs().serial_number().as_bytes();
        lists.is_some_and(|lists| lists.iter().any(|serials| serials.contains(serial)))
    }
}

/// Several certificates may be of one issuer.
fn name_and_key(certificate: &DeviceCertificate) -> Option<Vec<u8>> {
    let name = certificate.tbs().subject().to_der().ok()?;
    Some([name, certificate.public_key().to_der().ok()?].concat())
}
