//! The extensions of a ceremony's certificates (RFC 5280, 4.2; RFC 6960, 4.2.2.2).

use const_oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use der::asn1::OctetString;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::spec::{CertificateSpec, Profile, Subject};
use ca_x509::extension;
use ca_x509::key;
use ca_x509::name::NameBuilder;

/// The extensions of a certificate, given its issuer's subject key identifier (its own for the root).
pub(super) fn extensions(
    certificate: &CertificateSpec,
    public_key: &SubjectPublicKeyInfoOwned,
    issuer: OctetString,
) -> der::Result<Vec<Extension>> {
    let mut extensions = Vec::new();
    if certificate.profile.is_authority() {
        extensions.push(extension::certificate_authority(certificate.path_length)?);
        extensions.push(extension::key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)?);
    } else {
        extensions.push(extension::key_usage(KeyUsages::DigitalSignature)?);
        extensions.push(extension::extended_key_usage(&[ID_KP_OCSP_SIGNING])?);
        extensions.push(extension::ocsp_no_check()?);
    }
    extensions.push(extension::subject_key_identifier(key::identifier(public_key)?)?);
    if certificate.profile != Profile::Root {
        extensions.push(extension::authority_key_identifier(issuer)?);
    }
    if !certificate.policies.is_empty() {
        extensions.push(extension::certificate_policies(&certificate.policies)?);
    }
    if let Some(url) = &certificate.crl_url {
        extensions.push(extension::crl_distribution_point(url)?);
    }
    if certificate.ocsp_url.is_some() || certificate.ca_issuers_url.is_some() {
        let (ocsp, ca_issuers) = (certificate.ocsp_url.as_deref(), certificate.ca_issuers_url.as_deref());
        extensions.push(extension::authority_info_access(ocsp, ca_issuers)?);
    }
    Ok(extensions)
}

/// A subject as distinguished name.
pub(super) fn name(subject: &Subject) -> der::Result<Name> {
    let mut name = NameBuilder::new().country(&subject.country).organization(&subject.organization);
    if let Some(unit) = &subject.organizational_unit {
        name = name.organizational_unit(unit);
    }
    name.common_name(&subject.common_name).build()
}
