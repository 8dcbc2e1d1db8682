//! Who vouches for a TPM, and whether the policy takes their word. Asked twice: before a key is made in it, and of the
//! evidence.

use jiff::Timestamp;

use super::{
    Manufacturer, TpmRefusal, TpmRules, Voucher,
    certificate::{self, Vouched},
    identity::Identity,
};
use crate::domain::attestation::{Anchors, Refusal};

/// What may show that a TPM is genuine; certificates are DER.
#[derive(Clone, Copy, Debug)]
pub struct Vouchers<'a> {
    /// The maker's certificate of its endorsement key.
    pub ek_certificate: Option<&'a [u8]>,
    /// Certificates between that and the root.
    pub ek_intermediates: &'a [Vec<u8>],
    /// A certificate of its attestation key, and those above it.
    pub ak_certificates: &'a [Vec<u8>],
    /// Whether the bank itself knows it.
    pub is_inventoried: bool,
}

/// Somebody's word for a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Whose.
    pub voucher: Voucher,
    /// What a certificate says, where it is one's.
    pub vouched: Option<Vouched>,
}

impl Word {
    /// The maker's by a certificate of the endorsement key, else an authority's by one of the attestation key, else the
    /// bank's own.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn of(
        identity: &Identity,
        vouchers: Vouchers<'_>,
        anchors: &Anchors,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        if let Some(der) = vouchers.ek_certificate {
            let (above, key) = (vouchers.ek_intermediates, identity.ek.public_key());
            let vouched = certificate::of_endorsement_key(der, above, key, anchors, now)?;
            return Ok(Self { voucher: Voucher::EkCertificate, vouched: Some(vouched) });
        }
        if !vouchers.ak_certificates.is_empty() {
            let (key, vouched) = certificate::of_attestation_key(vouchers.ak_certificates, anchors, now)?;
            if key != *identity.ak.public_key() {
                return Err(TpmRefusal::AkCertificateKey.into());
            }
            return Ok(Self { voucher: Voucher::AkCertificate, vouched: Some(vouched) });
        }
        if vouchers.is_inventoried {
            return Ok(Self { voucher: Voucher::Inventory, vouched: None });
        }
        Err(TpmRefusal::EkUnknown.into())
    }

    /// Holds it against the policy.
    ///
    /// # Errors
    /// The first [`TpmRefusal`].
    pub fn judge(&self, rules: &TpmRules) -> Result<(), TpmRefusal> {
        let Some(vouched) = &self.vouched else {
            // The bank vouches for what is in its inventory, whoever made it.
            return if rules.accept_ek_by_inventory { Ok(()) } else { Err(TpmRefusal::EkUnknown) };
        };
        if vouched.is_expired && !rules.accept_expired_ek_certificates {
            return Err(TpmRefusal::EkExpired);
        }
        let found = vouched.make.manufacturer;
        let is_listed = |makers: &Vec<Manufacturer>| found.is_some_and(|found| makers.contains(&found));
        if rules.manufacturers.as_ref().is_none_or(is_listed) {
            Ok(())
        } else {
            Err(TpmRefusal::Manufacturer { found })
        }
    }
}
