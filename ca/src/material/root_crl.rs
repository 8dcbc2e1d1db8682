//! The root's CRL, a file from its last ceremony. A file can be put back to an older one; what the root revoked must not
//! seem to be good again.

use std::{collections::HashSet, path::Path};

use anyhow::{Context, bail, ensure};
use ca_x509::{crl::number, signed::Signed};
use der::Decode;
use x509_cert::{
    Certificate,
    certificate::Rfc5280,
    crl::{CertificateList, TbsCertList},
};

use super::crl;

/// The root's CRL as DER.
///
/// # Errors
/// When it can't be read or isn't a CRL that the root signed.
pub(crate) fn root_crl(path: &Path, root: &[u8]) -> anyhow::Result<Vec<u8>> {
    const KEY: &str = "validation.root_crl";
    let der = crl(KEY, path)?;
    let root = Certificate::from_der(root).context("the root certificate isn't valid DER")?;
    Signed::parse(&der)
        .with_context(|| format!("{KEY}: {} is neither PEM nor DER of a CRL", path.display()))?
        .verify(root.tbs_certificate().subject_public_key_info())
        .with_context(|| format!("{KEY}: the root didn't sign {}; take its own CRL", path.display()))?;
    Ok(der)
}

/// Whether `next` may take the place of `served`: its number is higher (RFC 5280, 5.2.3), and it lists every certificate
/// that `served` lists.
///
/// # Errors
/// Why not.
pub(crate) fn succeeds(served: &[u8], next: &[u8]) -> anyhow::Result<()> {
    let (served, next) = (parse(served)?, parse(next)?);
    let numbers = [&served, &next].map(|list| number(list.crl_extensions.as_deref().unwrap_or_default()));
    let [Some(before), Some(after)] = numbers else {
        bail!("a root CRL has no number");
    };
    ensure!(
        after > before,
        "its number {after} isn't higher than {before} of the one that is served; hold the next CRL ceremony with the \
         served one as the previous"
    );
    let listed: HashSet<&[u8]> = serials(&next).collect();
    if let Some(missing) = serials(&served).find(|serial| !listed.contains(serial)) {
        bail!("it leaves out serial number {}, which the served one lists", hex::encode(missing));
    }
    Ok(())
}

fn parse(der: &[u8]) -> anyhow::Result<TbsCertList<Rfc5280>> {
    Ok(CertificateList::from_der(der).context("a root CRL isn't valid DER")?.tbs_cert_list)
}

fn serials(list: &TbsCertList<Rfc5280>) -> impl Iterator<Item = &[u8]> {
    list.revoked_certificates.iter().flatten().map(|entry| entry.serial_number.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use ca_x509::{
        algorithm::SignatureAlgorithm,
        crl::{CrlEntry, CrlTemplate},
        signed::assemble,
    };
    use jiff::Timestamp;
    use x509_cert::{der::asn1::OctetString, name::Name};

    use super::*;

    fn list(number: u64, serials: &[u8]) -> Vec<u8> {
        let at = Timestamp::from_second(1_790_000_000).expect("a time");
        let entry = |serial: &u8| CrlEntry { serial: vec![*serial], revoked_at: at, reason: None };
        let template = CrlTemplate {
            issuer: Name::from_str("CN=Root").expect("a name"),
            issuer_key_identifier: OctetString::new([1; 20]).expect("octets"),
            this_update: at,
            next_update: at,
            number,
            entries: serials.iter().map(entry).collect(),
            algorithm: SignatureAlgorithm::EcdsaSha256,
        };
        assemble(&template.to_tbs_der().expect("a list"), template.algorithm, b"unsigned").expect("a list")
    }

    #[test]
    fn nothing_that_the_root_revoked_seems_good_again() {
        let served = list(7, &[1, 2]);
        succeeds(&served, &list(8, &[1, 2])).expect("the next year's");
        succeeds(&served, &list(9, &[3, 2, 1])).expect("one more");
        let refused = |next: &[u8]| succeeds(&served, next).expect_err("refused").to_string();
        assert!(refused(&list(6, &[1, 2])).contains("isn't higher than 7"));
        assert!(refused(&list(7, &[1, 2, 3])).contains("isn't higher than 7"));
        assert!(refused(&list(8, &[1])).contains("leaves out serial number 02"));
        assert!(refused(b"no list").contains("valid DER"));
    }
}
