//! The CRL that the next one follows: its number and its entries go on.

use der::{Decode, Encode};
use jiff::Timestamp;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::name::Name;

use super::super::spec::CrlSpec;
use ca_x509::crl::CrlTemplate;
use ca_x509::time;

/// A CRL that another goes on from.
pub(in super::super) struct Previous {
    pub(in super::super) issuer: Name,
    pub(in super::super) number: u64,
    pub(in super::super) this_update: Timestamp,
    pub(in super::super) next_update: Timestamp,
    /// As they are, with all that is said of each.
    pub(in super::super) entries: Vec<RevokedCert>,
}

impl Previous {
    /// The one that a CRL follows, if it follows one.
    pub(super) fn of(crl: &CrlSpec) -> Result<Option<Self>, String> {
        crl.previous.as_ref().map(|previous| Self::read(&previous.der)).transpose()
    }

    /// Reads a CRL.
    pub(in super::super) fn read(der: &[u8]) -> Result<Self, String> {
        let list: CertificateList = CertificateList::from_der(der).map_err(|e| e.to_string())?;
        let tbs = list.tbs_cert_list;
        let number = tbs.crl_extensions.as_deref().and_then(ca_x509::crl::number);
        let at = |time| time::from_x509(time).map_err(|e| e.to_string());
        let entries = tbs.revoked_certificates.unwrap_or_default();
        Ok(Self {
            number: number.ok_or("the previous CRL has no number")?,
            this_update: at(&tbs.this_update)?,
            next_update: at(tbs.next_update.as_ref().ok_or("the previous CRL has no nextUpdate")?)?,
            entries: carried_over(entries)?,
            issuer: tbs.issuer,
        })
    }
}

/// A CRL to be signed: its template's entries after those of the CRL before it, which stay as they are.
pub(in super::super) fn after(template: &CrlTemplate, earlier: Vec<RevokedCert>) -> der::Result<Vec<u8>> {
    let tbs = template.to_tbs_der()?;
    let mut list: TbsCertList = TbsCertList::from_der(&tbs)?;
    let new = list.revoked_certificates.take().unwrap_or_default();
    let all: Vec<RevokedCert> = earlier.into_iter().chain(new).collect();
    // An empty list must be absent (RFC 5280, 5.1.2.6).
    list.revoked_certificates = Some(all).filter(|all| !all.is_empty());
    list.to_der()
}

/// Entries that mean the same on the next CRL. A critical extension may say something of the entries that follow, as the
/// certificate issuer does (RFC 5280, 5.3.3).
fn carried_over(entries: Vec<RevokedCert>) -> Result<Vec<RevokedCert>, String> {
    for entry in &entries {
        let critical = entry.crl_entry_extensions.iter().flatten().find(|extension| extension.critical);
        if let Some(extension) = critical {
            return Err(format!(
                "its entry {} has the critical extension {}, which can't be carried over to the next CRL",
                hex::encode(entry.serial_number.as_bytes()),
                extension.extn_id
            ));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use ca_x509::SignatureAlgorithm;
    use ca_x509::crl::CrlEntry;
    use const_oid::ObjectIdentifier;
    use der::asn1::OctetString;
    use x509_cert::ext::Extension;
    use x509_cert::ext::pkix::CrlReason;
    use x509_cert::serial_number::SerialNumber;

    use super::*;

    const INVALIDITY_DATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.24");
    const CERTIFICATE_ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.29");

    fn revoked(extension: ObjectIdentifier, critical: bool) -> RevokedCert {
        let date = OctetString::new(*b"\x18\x0f20260101000000Z").expect("octets");
        RevokedCert {
            serial_number: SerialNumber::new(&[0x40, 1]).expect("a serial number"),
            revocation_date: time::to_x509(Timestamp::UNIX_EPOCH).expect("a time"),
            crl_entry_extensions: Some(vec![Extension { extn_id: extension, critical, extn_value: date }]),
        }
    }

    #[test]
    fn an_entry_keeps_all_that_was_said_of_it() {
        let template = CrlTemplate {
            issuer: Name::default(),
            issuer_key_identifier: OctetString::new([7]).expect("octets"),
            this_update: Timestamp::UNIX_EPOCH,
            next_update: Timestamp::UNIX_EPOCH,
            number: 2,
            entries: vec![CrlEntry {
                serial: vec![0x40, 2],
                revoked_at: Timestamp::UNIX_EPOCH,
                reason: Some(CrlReason::KeyCompromise),
            }],
            algorithm: SignatureAlgorithm::EcdsaSha256,
        };
        let earlier = carried_over(vec![revoked(INVALIDITY_DATE, false)]).expect("nothing critical");
        let der = after(&template, earlier.clone()).expect("a CRL");
        let list: TbsCertList = TbsCertList::from_der(&der).expect("a CRL");
        let entries = list.revoked_certificates.expect("entries");
        assert_eq!((entries.len(), &entries[..1]), (2, &earlier[..]));
        let none = CrlTemplate { entries: Vec::new(), ..template };
        let list: TbsCertList =
            TbsCertList::from_der(&after(&none, Vec::new()).expect("a CRL")).expect("a CRL");
        assert!(list.revoked_certificates.is_none());
    }

    #[test]
    fn an_entry_that_speaks_of_those_after_it_is_refused() {
        let refused = carried_over(vec![revoked(CERTIFICATE_ISSUER, true)]).expect_err("critical");
        assert!(refused.contains("entry 4001") && refused.contains("2.5.29.29"), "{refused}");
    }
}
