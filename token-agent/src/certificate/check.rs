//! The last look at an issued certificate before it is written to the token: it is for our key, for this user, usable
//! now, and its chain holds together up to a self-signed root. That the server is the bank's is TLS's word.

use ca_x509::signed::{Signed, SignedError};
use const_oid::db::{rfc4519::UID, rfc5280::ID_KP_CLIENT_AUTH};
use der::{Decode, Encode};
use jiff::{Timestamp, ToSpan};
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage},
};

/// More issuers than any hierarchy of the bank's has.
const LONGEST_CHAIN: usize = 4;
/// No certificate is larger, in octets.
const LARGEST: usize = 8 * 1024;

/// Why an issued certificate isn't written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("certificate {0} of the answer can't be read")]
    Malformed(usize),
    #[error("the answer has no issuer, or more than {LONGEST_CHAIN}")]
    ChainLength,
    #[error("the certificate is for another key")]
    OtherKey,
    #[error("the certificate is not for this user")]
    OtherUser,
    #[error("the certificate is not one for clients")]
    OtherPurpose,
    #[error("the certificate is not valid now")]
    NotValidNow,
    #[error("certificate {0} of the chain is not that of an authority")]
    NotAnAuthority(usize),
    #[error("certificate {0} of the chain was not issued by the next one")]
    OtherIssuer(usize),
    #[error("the signature of certificate {0} is wrong")]
    Signature(usize, #[source] SignedError),
}

/// Checks a certificate and its issuers, all DER, against the DER of our key's `SubjectPublicKeyInfo`.
pub(crate) fn check_issued(
    certificate: &[u8],
    issuers: &[Vec<u8>],
    public_key: &[u8],
    user_id: &str,
    now: Timestamp,
) -> Result<(), Rejection> {
    if !(1..=LONGEST_CHAIN).contains(&issuers.len()) {
        return Err(Rejection::ChainLength);
    }
    let ders: Vec<&[u8]> = [certificate].into_iter().chain(issuers.iter().map(Vec::as_slice)).collect();
    let chain = ders.iter().enumerate().map(|(place, der)| read(place, der));
    let chain = chain.collect::<Result<Vec<_>, _>>()?;
    check_leaf(&chain[0], public_key, user_id, now)?;
    for place in 0..chain.len() {
        // The root is its own issuer.
        let issuer = &chain[(place + 1).min(chain.len() - 1)];
        if place > 0 {
            check_authority(place, &chain[place], now)?;
        }
        if chain[place].tbs_certificate().issuer() != issuer.tbs_certificate().subject() {
            return Err(Rejection::OtherIssuer(place));
        }
        Signed::parse(ders[place])
            .map_err(|_| Rejection::Malformed(place))?
            .verify(issuer.tbs_certificate().subject_public_key_info())
            .map_err(|source| Rejection::Signature(place, source))?;
    }
    Ok(())
}

fn read(place: usize, der: &[u8]) -> Result<Certificate, Rejection> {
    let certificate = Certificate::from_der(der).ok().filter(|_| der.len() <= LARGEST);
    certificate.ok_or(Rejection::Malformed(place))
}

fn check_leaf(leaf: &Certificate, public_key: &[u8], user_id: &str, now: Timestamp) -> Result<(), Rejection> {
    let tbs = leaf.tbs_certificate();
    let key = tbs.subject_public_key_info().to_der().map_err(|_| Rejection::Malformed(0))?;
    if key != public_key {
        return Err(Rejection::OtherKey);
    }
    if ca_x509::name::text(tbs.subject(), UID).as_deref() != Some(user_id) {
        return Err(Rejection::OtherUser);
    }
    let authority = extension::<BasicConstraints>(leaf, 0)?.is_some_and(|constraints| constraints.ca);
    let usage = extension::<KeyUsage>(leaf, 0)?.is_some_and(|usage| usage.digital_signature());
    let clients =
        extension::<ExtendedKeyUsage>(leaf, 0)?.is_some_and(|eku| eku.0.contains(&ID_KP_CLIENT_AUTH));
    if authority || !usage || !clients {
        return Err(Rejection::OtherPurpose);
    }
    if !covers(leaf, now) {
        return Err(Rejection::NotValidNow);
    }
    Ok(())
}

fn check_authority(place: usize, issuer: &Certificate, now: Timestamp) -> Result<(), Rejection> {
    let authority = extension::<BasicConstraints>(issuer, place)?.is_some_and(|constraints| constraints.ca);
    let signs = extension::<KeyUsage>(issuer, place)?.is_none_or(|usage| usage.key_cert_sign());
    if !authority || !signs || !covers(issuer, now) {
        return Err(Rejection::NotAnAuthority(place));
    }
    Ok(())
}

fn extension<'a, T>(certificate: &'a Certificate, place: usize) -> Result<Option<T>, Rejection>
where
    T: Decode<'a, Error = der::Error> + const_oid::AssociatedOid,
{
    let found = certificate.tbs_certificate().get_extension::<T>();
    Ok(found.map_err(|_| Rejection::Malformed(place))?.map(|(_, value)| value))
}

/// The machine's clock may be behind the CA's by a day; a certificate that just began is no reason to stop.
fn covers(certificate: &Certificate, now: Timestamp) -> bool {
    let validity = certificate.tbs_certificate().validity();
    let begins = ca_x509::time::from_x509(&validity.not_before).map(|begin| begin - 24.hours());
    let ends = ca_x509::time::from_x509(&validity.not_after);
    matches!((begins, ends), (Ok(begin), Ok(end)) if begin <= now && now <= end)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints as Basic, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        KeyUsagePurpose, PublicKeyData,
    };

    use super::*;

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    }

    fn leaf(user_id: &str) -> CertificateParams {
        let mut leaf = parameters("Hokkai Taro");
        leaf.distinguished_name.push(DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]), user_id);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        leaf
    }

    fn authority(name: &str) -> CertificateParams {
        let mut authority = parameters(name);
        authority.is_ca = IsCa::Ca(Basic::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority
    }

    struct Chain {
        root: Vec<u8>,
        issuing: Vec<u8>,
        issuer: Issuer<'static, KeyPair>,
        key: KeyPair,
    }

    impl Chain {
        fn new() -> Self {
            let (root_key, issuing_key) =
                (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
            let root = authority("Root").self_signed(&root_key).expect("a root");
            let root_issuer = Issuer::new(authority("Root"), root_key);
            let issuing = authority("Issuing").signed_by(&issuing_key, &root_issuer).expect("an authority");
            Self {
                root: root.der().to_vec(),
                issuing: issuing.der().to_vec(),
                issuer: Issuer::new(authority("Issuing"), issuing_key),
                key: KeyPair::generate().expect("a key"),
            }
        }

        fn check(&self, leaf: &CertificateParams) -> Result<(), Rejection> {
            let leaf = leaf.signed_by(&self.key, &self.issuer).expect("a certificate");
            self.check_with(leaf.der(), &[self.issuing.clone(), self.root.clone()])
        }

        fn check_with(&self, leaf: &[u8], issuers: &[Vec<u8>]) -> Result<(), Rejection> {
            check_issued(leaf, issuers, &self.key.subject_public_key_info(), "hokkai-01", Timestamp::now())
        }
    }

    #[test]
    fn the_right_certificate_passes() {
        let chain = Chain::new();
        chain.check(&leaf("hokkai-01")).expect("accepted");
    }

    #[test]
    fn certificates_for_others_are_rejected() {
        let chain = Chain::new();
        assert!(matches!(chain.check(&leaf("hokkai-02")), Err(Rejection::OtherUser)));
        assert!(matches!(chain.check(&parameters("nobody")), Err(Rejection::OtherUser)));
        let stranger = KeyPair::generate().expect("a key");
        let other = leaf("hokkai-01").signed_by(&stranger, &chain.issuer).expect("a certificate");
        let result = chain.check_with(other.der(), &[chain.issuing.clone(), chain.root.clone()]);
        assert!(matches!(result, Err(Rejection::OtherKey)));
    }

    #[test]
    fn certificates_for_other_purposes_and_times_are_rejected() {
        let chain = Chain::new();
        let mut server = leaf("hokkai-01");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        assert!(matches!(chain.check(&server), Err(Rejection::OtherPurpose)));
        let mut authority = leaf("hokkai-01");
        authority.is_ca = IsCa::Ca(Basic::Unconstrained);
        assert!(matches!(chain.check(&authority), Err(Rejection::OtherPurpose)));
        let mut expired = leaf("hokkai-01");
        expired.not_before = rcgen::date_time_ymd(2019, 1, 1);
        expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
        assert!(matches!(chain.check(&expired), Err(Rejection::NotValidNow)));
    }

    #[test]
    fn hostile_certificates_are_read_without_a_panic() {
        use crate::{
            certificate::CertificateDetails,
            messages::{Lang, as_text, table},
        };

        let (chain, now) = (Chain::new(), Timestamp::now());
        let genuine = leaf("hokkai-01").signed_by(&chain.key, &chain.issuer).expect("a certificate");
        let samples = [genuine.der().to_vec(), chain.issuing.clone(), chain.root.clone()];
        crate::hostile::bombard(&samples, |der| {
            let _ = chain.check_with(der, &[chain.issuing.clone(), chain.root.clone()]);
            let _ = chain.check_with(genuine.der(), &[der.to_vec(), chain.root.clone()]);
            let _ = chain.check_with(genuine.der(), &[chain.issuing.clone(), der.to_vec()]);
            if let Ok(details) = CertificateDetails::read(der) {
                let _ = (details.days_left(now), details.state(now));
                let _ = (table(&details, Lang::Ja), as_text(der, Lang::En));
            }
        });
    }

    #[test]
    fn broken_chains_are_rejected() {
        let chain = Chain::new();
        let leaf = leaf("hokkai-01").signed_by(&chain.key, &chain.issuer).expect("a certificate");
        let leaf = leaf.der();
        let (issuing, root) = (chain.issuing.clone(), chain.root.clone());
        assert!(matches!(chain.check_with(leaf, &[]), Err(Rejection::ChainLength)));
        assert!(matches!(chain.check_with(leaf, &vec![root.clone(); 100]), Err(Rejection::ChainLength)));
        let result = chain.check_with(leaf, std::slice::from_ref(&issuing));
        assert!(matches!(result, Err(Rejection::OtherIssuer(1))), "no root: {result:?}");
        let result = chain.check_with(leaf, std::slice::from_ref(&root));
        assert!(matches!(result, Err(Rejection::OtherIssuer(0))), "a gap: {result:?}");
        let look_alike = Chain::new();
        let result = chain.check_with(leaf, &[look_alike.issuing, look_alike.root]);
        assert!(matches!(result, Err(Rejection::Signature(0, _))), "a look-alike: {result:?}");
        let result = chain.check_with(leaf, &[leaf.to_vec(), root.clone()]);
        assert!(matches!(result, Err(Rejection::OtherIssuer(0) | Rejection::NotAnAuthority(1))));
        assert!(matches!(chain.check_with(b"rubbish", &[issuing, root]), Err(Rejection::Malformed(0))));
    }
}
