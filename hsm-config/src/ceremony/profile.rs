//! The extensions of a ceremony's certificates (RFC 5280, 4.2; RFC 6960, 4.2.2.2).

use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING};
use der::asn1::OctetString;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::attestation::Attested;
use super::spec::{Issued, Profile, Subject};
use ca_x509::extension::{self, YUBICO_PIV};
use ca_x509::key;
use ca_x509::name::NameBuilder;

/// The extensions of a certificate, given its issuer's subject key identifier (its own for the root).
pub(super) fn extensions(
    profile: Profile,
    issued: &Issued,
    public_key: &SubjectPublicKeyInfoOwned,
    authority: OctetString,
    attested: Option<&Attested>,
) -> der::Result<Vec<Extension>> {
    let mut extensions = Vec::new();
    if profile.is_authority() {
        extensions.push(extension::certificate_authority(profile.path_length())?);
        extensions.push(extension::key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)?);
    } else {
        extensions.push(extension::key_usage(KeyUsages::DigitalSignature)?);
    }
    match profile {
        Profile::OcspResponder => {
            extensions.push(extension::extended_key_usage(&[ID_KP_OCSP_SIGNING])?);
            extensions.push(extension::ocsp_no_check()?);
        }
        Profile::Administrator => {
            extensions.insert(0, extension::end_entity()?);
            extensions.push(extension::extended_key_usage(&[ID_KP_CLIENT_AUTH])?);
        }
        _ => {}
    }
    extensions.push(extension::subject_key_identifier(key::identifier(public_key)?)?);
    if profile != Profile::Root {
        extensions.push(extension::authority_key_identifier(authority)?);
    }
    if !issued.policies.is_empty() {
        extensions.push(extension::certificate_policies(&issued.policies)?);
    }
    if let Some(attested) = attested {
        extensions.push(extension::hardware_module_name(YUBICO_PIV, attested.serial.as_bytes())?);
    }
    if let Some(url) = &issued.crl_url {
        extensions.push(extension::crl_distribution_point(url)?);
    }
    if issued.ocsp_url.is_some() || issued.ca_issuers_url.is_some() {
        let (ocsp, ca_issuers) = (issued.ocsp_url.as_deref(), issued.ca_issuers_url.as_deref());
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
    if let Some(user_id) = &subject.user_id {
        name = name.user_id(user_id);
    }
    name.common_name(&subject.common_name).build()
}
