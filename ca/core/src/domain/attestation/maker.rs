//! A maker's certificate by itself, outside of any chain: what whoever imports it needs to know.

use jiff::Timestamp;

use super::{ChainError, Trust, certificate::DeviceCertificate};

/// A certificate that might become an anchor. DER that only some strict parsers refuse is read, as in chains.
#[derive(Clone, Debug)]
pub struct MakerCertificate(DeviceCertificate);

impl MakerCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// A `der` error when it isn't one.
    pub fn read(der: &[u8]) -> der::Result<Self> {
        DeviceCertificate::parse(der).or_else(|_| DeviceCertificate::parse_unsorted(der)).map(Self)
    }

    /// Its subject, for people.
    pub fn subject(&self) -> String {
        ca_x509::name::shown(self.0.tbs().subject())
    }

    /// Its issuer, for people.
    pub fn issuer(&self) -> String {
        ca_x509::name::shown(self.0.tbs().issuer())
    }

    /// A root is its own issuer.
    pub fn trust(&self) -> Trust {
        if self.0.tbs().subject() == self.0.tbs().issuer() { Trust::Root } else { Trust::Intermediate }
    }

    /// The end of its validity in seconds since 1970; makers use the year 9999.
    pub fn not_after(&self) -> u64 {
        self.0.tbs().validity().not_after.to_unix_duration().as_secs()
    }

    /// That it may issue certificates, and, where it is a root, signed itself.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn check_ca(&self) -> Result<(), ChainError> {
        self.0.check_ca(0)?;
        if self.trust() == Trust::Root { self.0.is_signed_by(&self.0) } else { Ok(()) }
    }

    /// That it is valid at this time.
    ///
    /// # Errors
    /// [`ChainError::NotValidNow`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), ChainError> {
        self.0.check_time(now, false)
    }

    /// Whether `issuer` signed it, by name and by key.
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        self.0.tbs().issuer() == issuer.0.tbs().subject() && self.0.is_signed_by(&issuer.0).is_ok()
    }
}
