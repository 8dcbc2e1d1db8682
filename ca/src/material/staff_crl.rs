//! The staff CA's CRL, a file from its ceremonies. A file can be put back to an older one; a certificate that was revoked
//! must not seem to be good again.

use std::{collections::HashSet, path::Path};

use anyhow::{Context, ensure};
use ca_core::domain::ids::SerialNumber;
use ca_x509::{crl::number, signed::Signed};
use der::Decode;
use jiff::Timestamp;
use x509_cert::{Certificate, certificate::Rfc5280, crl::CertificateList};

use super::crl;

const KEY: &str = "staff.crl";

/// A CRL of the staff CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StaffCrl {
    number: u64,
    revoked: HashSet<SerialNumber>,
    /// After it, a newer one should be there.
    pub(crate) next_update: Timestamp,
}

impl StaffCrl {
    /// Reads it.
    ///
    /// # Errors
    /// When it can't be read or isn't a complete CRL that the staff CA signed.
    pub(crate) fn read(path: &Path, issuer: &[u8]) -> anyhow::Result<Self> {
        let der = crl(KEY, path)?;
        let issuer = Certificate::from_der(issuer).context("the staff CA's certificate isn't valid DER")?;
        Signed::parse(&der)
            .with_context(|| format!("{KEY}: {} is neither PEM nor DER of a CRL", path.display()))?
            .verify(issuer.tbs_certificate().subject_public_key_info())
            .with_context(|| {
                format!("{KEY}: the staff CA didn't sign {}; take its own CRL", path.display())
            })?;
        Self::parse(&der).with_context(|| format!("{KEY}: {} can't be used", path.display()))
    }

    fn parse(der: &[u8]) -> anyhow::Result<Self> {
        let list = CertificateList::<Rfc5280>::from_der(der).context("it isn't valid DER")?.tbs_cert_list;
        let extensions = list.crl_extensions.as_deref().unwrap_or_default();
        // RFC 5280, 5.2: one with a critical extension that isn't understood (a delta, a part) doesn't say it all.
        ensure!(extensions.iter().all(|extension| !extension.critical), "it isn't a complete CRL");
        let number = number(extensions).context("it has no number")?;
        let next = list.next_update.context("it doesn't say until when it holds")?;
        let seconds = i64::try_from(next.to_unix_duration().as_secs())?;
        let serials = list.revoked_certificates.iter().flatten();
        let serials = serials.map(|entry| SerialNumber::from_bytes(entry.serial_number.as_bytes()));
        Ok(Self {
            number,
            revoked: serials.collect::<Result<_, _>>().context("a serial number in it can't be read")?,
            next_update: Timestamp::from_second(seconds)?,
        })
    }

    /// Whether it lists this certificate of the staff CA.
    pub(crate) fn lists(&self, serial: &SerialNumber) -> bool {
        self.revoked.contains(serial)
    }

    /// Whether this one may take the place of `before`: its number isn't lower (RFC 5280, 5.2.3), and it lists every
    /// certificate that `before` lists.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn succeeds(&self, before: &Self) -> anyhow::Result<()> {
        ensure!(
            self.number >= before.number,
            "its number {} is lower than {} of the one in use",
            self.number,
            before.number
        );
        let missing = before.revoked.difference(&self.revoked).next();
        ensure!(missing.is_none(), "it leaves out a certificate that the one in use lists");
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod,
        KeyPair, RevokedCertParams, SerialNumber as Number, date_time_ymd,
    };

    /// A CA and its certificate, DER.
    pub(crate) fn authority() -> (Issuer<'static, KeyPair>, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        (Issuer::new(params, key), der)
    }

    /// Its CRL of 2026-04-01, DER, until 2027-04-01.
    pub(crate) fn staff_crl(issuer: &Issuer<'_, KeyPair>, number: u64, serials: &[u8]) -> Vec<u8> {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: Number::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2026, 4, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 4, 1),
            next_update: date_time_ymd(2027, 4, 1),
            crl_number: Number::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(issuer).expect("a CRL").der().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        testing::{authority, staff_crl},
        *,
    };

    #[test]
    fn the_staff_cas_own_list_is_read_and_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("staff.crl");
        let ((ours, certificate), (theirs, _)) = (authority(), authority());
        std::fs::write(&path, staff_crl(&ours, 3, &[5, 9])).expect("a file");
        let read = StaffCrl::read(&path, &certificate).expect("a CRL");
        for (serial, listed) in [(5_u8, true), (9, true), (6, false)] {
            let serial = SerialNumber::from_bytes(&[serial]).expect("a number");
            assert_eq!(read.lists(&serial), listed);
        }
        std::fs::write(&path, staff_crl(&theirs, 4, &[5])).expect("a file");
        let error = StaffCrl::read(&path, &certificate).expect_err("refused");
        assert!(error.to_string().contains("didn't sign"), "{error:#}");
    }

    #[test]
    fn what_was_revoked_never_seems_good_again() {
        let (ours, _) = authority();
        let parsed =
            |number, serials: &[u8]| StaffCrl::parse(&staff_crl(&ours, number, serials)).expect("a CRL");
        let before = parsed(7, &[1, 2]);
        parsed(8, &[1, 2, 3]).succeeds(&before).expect("one more");
        before.succeeds(&before).expect("the same");
        assert!(parsed(6, &[1, 2]).succeeds(&before).is_err());
        assert!(parsed(8, &[1]).succeeds(&before).is_err());
    }
}
