//! The issuers of a certificate on a token, fetched from where the certificates themselves say (AIA, caIssuers; RFC 5280,
//! 4.2.2.1), up to the root. What is fetched is believed no further than its signatures go.

use ca_x509::signed::Signed;
use const_oid::db::rfc5280::ID_AD_CA_ISSUERS;
use der::Decode;
use jiff::Timestamp;
use x509_cert::{
    Certificate,
    ext::pkix::{AuthorityInfoAccessSyntax, name::GeneralName},
};

use super::fact::Chain;
use crate::{certificate::CertificateDetails, server::https::HttpsApi};

/// More issuers than any hierarchy of the bank's has.
const LONGEST: usize = 4;

/// The chain, and the certificate of the issuer, where it is the one.
pub(super) fn examine(api: &HttpsApi, der: &[u8], now: Timestamp) -> (Chain, Option<Vec<u8>>) {
    let mut issuer = None;
    let chain = climb(der, now, &mut issuer, |url| api.fetch(url, None));
    (chain, issuer)
}

fn climb(
    der: &[u8],
    now: Timestamp,
    first: &mut Option<Vec<u8>>,
    fetch: impl Fn(&str) -> Option<Vec<u8>>,
) -> Chain {
    let mut present = der.to_vec();
    let mut issuers = Vec::new();
    loop {
        let Ok(certificate) = Certificate::from_der(&present) else {
            return Chain::Unknown { url: None };
        };
        let tbs = certificate.tbs_certificate();
        let itself = tbs.issuer() == tbs.subject();
        if itself || issuers.len() == LONGEST {
            return match CertificateDetails::read(&present) {
                Ok(details) if itself && is_signed_by(&present, &present) => {
                    Chain::Good { issuers, root_sha256: details.sha256 }
                }
                _ => Chain::Broken { subject: ca_x509::name::shown(tbs.subject()) },
            };
        }
        let Some(url) = issuer_s_address(&certificate) else {
            return Chain::Unknown { url: None };
        };
        let Some(issuer) = fetch(&url) else {
            return Chain::Unknown { url: Some(url) };
        };
        let details = CertificateDetails::read(&issuer).ok();
        let fits = details.filter(|details| {
            details.not_before <= now && now <= details.not_after && is_signed_by(&present, &issuer)
        });
        let Some(details) = fits else {
            return Chain::Broken { subject: ca_x509::name::shown(tbs.subject()) };
        };
        issuers.push(details.subject);
        first.get_or_insert_with(|| issuer.clone());
        present = issuer;
    }
}

fn is_signed_by(der: &[u8], issuer: &[u8]) -> bool {
    let Ok(issuer) = Certificate::from_der(issuer) else { return false };
    let key = issuer.tbs_certificate().subject_public_key_info();
    Signed::parse(der).is_ok_and(|signed| signed.verify(key).is_ok())
}

/// The first over plain HTTP, as relying parties fetch it.
fn issuer_s_address(certificate: &Certificate) -> Option<String> {
    let access = certificate.tbs_certificate().get_extension::<AuthorityInfoAccessSyntax>().ok()??.1;
    access.0.into_iter().find_map(|description| match description.access_location {
        GeneralName::UniformResourceIdentifier(url) if description.access_method == ID_AD_CA_ISSUERS => {
            Some(url.as_str().to_owned()).filter(|url| url.starts_with("http://"))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn a_root_stands_for_itself_and_strangers_for_nothing() {
        let named = |name: &str| {
            let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
            parameters.distinguished_name = rcgen::DistinguishedName::new();
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters
        };
        let mut root = named("Root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root_der = root.self_signed(&key).expect("a certificate").der().to_vec();
        let now = Timestamp::now();
        let nothing = |_: &str| None;
        assert!(matches!(climb(&root_der, now, &mut None, nothing), Chain::Good { .. }));

        // The subject is the issuer's name, the signature isn't the issuer's.
        let issuer = Issuer::new(named("Root"), key);
        let other = KeyPair::generate().expect("a key");
        let forged = named("Root").signed_by(&other, &issuer).expect("a certificate").der().to_vec();
        assert!(matches!(climb(&forged, now, &mut None, nothing), Chain::Broken { .. }));

        let leaf = named("User").signed_by(&other, &issuer).expect("a certificate").der().to_vec();
        assert!(matches!(climb(&leaf, now, &mut None, nothing), Chain::Unknown { url: None }));
        assert!(matches!(climb(b"rubbish", now, &mut None, nothing), Chain::Unknown { url: None }));
    }
}
