//! The extensions of a `TBSCertificate`: a closed list. An extension that isn't known here is refused, critical or
//! not, because nobody here can tell what it would grant.

use ca_x509::extension::{HARDWARE_MODULE_NAME, HardwareModuleName};
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5280::{
            ID_AD_CA_ISSUERS, ID_AD_OCSP, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS,
            ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
            ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_OCSP_SIGNING,
            ID_PE_AUTHORITY_INFO_ACCESS,
        },
        rfc6960::ID_PKIX_OCSP_NOCHECK,
    },
};
use der::{Encode, asn1::Null};
use signer_protocol::message::{Refusal, RefusalCode};
use x509_cert::{
    certificate::TbsCertificate,
    ext::{
        Extension,
        pkix::{
            AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies,
            CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
            SubjectKeyIdentifier,
            crl::dp::DistributionPoint,
            name::{DistributionPointName, GeneralName},
        },
    },
};

use super::{key::IssuingKey, refuse, structure};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A customer's or a member of staff's.
    EndEntity,
    /// An OCSP responder's.
    Responder,
}

pub(super) fn judge(
    extensions: &[Extension],
    certificate: &TbsCertificate,
    key: &IssuingKey,
) -> Result<Kind, Refusal> {
    structure::without_duplicates(extensions)?;
    let kind = extended_key_usage(extensions, key)?;
    if structure::find(extensions, ID_CE_KEY_USAGE).is_none() {
        return refuse(RefusalCode::OutsideProfile, "keyUsage is missing");
    }
    if structure::find(extensions, ID_CE_AUTHORITY_KEY_IDENTIFIER).is_none() {
        return refuse(RefusalCode::OutsideProfile, "authorityKeyIdentifier is missing");
    }
    if structure::find(extensions, ID_CE_SUBJECT_KEY_IDENTIFIER).is_none() {
        return refuse(RefusalCode::OutsideProfile, "subjectKeyIdentifier is missing");
    }
    if kind == Kind::EndEntity
        && !key.profile.policies.is_empty()
        && structure::find(extensions, ID_CE_CERTIFICATE_POLICIES).is_none()
    {
        return refuse(RefusalCode::OutsideProfile, "certificatePolicies is missing");
    }
    if kind == Kind::Responder && structure::find(extensions, ID_PKIX_OCSP_NOCHECK).is_none() {
        return refuse(RefusalCode::OutsideProfile, "id-pkix-ocsp-nocheck is missing");
    }
    for extension in extensions {
        one(extension, certificate, key, kind)?;
    }
    Ok(kind)
}

fn one(
    extension: &Extension,
    certificate: &TbsCertificate,
    key: &IssuingKey,
    kind: Kind,
) -> Result<(), Refusal> {
    match extension.extn_id {
        ID_CE_BASIC_CONSTRAINTS => basic_constraints(extension),
        ID_CE_KEY_USAGE => key_usage(extension),
        // Judged first: it decides what the certificate is.
        ID_CE_EXT_KEY_USAGE => Ok(()),
        ID_CE_SUBJECT_KEY_IDENTIFIER => subject_key_identifier(extension, certificate),
        ID_CE_AUTHORITY_KEY_IDENTIFIER => authority_key_identifier(extension, &key.key_identifier),
        ID_CE_CERTIFICATE_POLICIES => policies(extension, &key.profile.policies),
        ID_CE_SUBJECT_ALT_NAME if kind == Kind::EndEntity => subject_alt_name(extension),
        ID_CE_CRL_DISTRIBUTION_POINTS => distribution_points(extension),
        ID_PE_AUTHORITY_INFO_ACCESS => information_access(extension),
        ID_PKIX_OCSP_NOCHECK if kind == Kind::Responder => {
            structure::value::<Null>("id-pkix-ocsp-nocheck", extension).map(|_| ())
        }
        other => refuse(RefusalCode::OutsideProfile, format!("extension {other} is not in the profile")),
    }
}

fn extended_key_usage(extensions: &[Extension], key: &IssuingKey) -> Result<Kind, Refusal> {
    let Some(extension) = structure::find(extensions, ID_CE_EXT_KEY_USAGE) else {
        return refuse(RefusalCode::OutsideProfile, "extKeyUsage is missing");
    };
    let usages: ExtendedKeyUsage = structure::value("extKeyUsage", extension)?;
    if usages.0 == [ID_KP_OCSP_SIGNING] {
        return Ok(Kind::Responder);
    }
    if usages.0.is_empty() {
        return refuse(RefusalCode::OutsideProfile, "extKeyUsage is empty");
    }
    within("extended key usage", &usages.0, &key.profile.extended_key_usages)?;
    Ok(Kind::EndEntity)
}

/// Each of a list is allowed, and none stands twice.
fn within(what: &str, list: &[ObjectIdentifier], allowed: &[ObjectIdentifier]) -> Result<(), Refusal> {
    for (position, oid) in list.iter().enumerate() {
        if !allowed.contains(oid) {
            return refuse(RefusalCode::OutsideProfile, format!("{what} {oid} is not in the profile"));
        }
        if list[..position].contains(oid) {
            return refuse(RefusalCode::OutsideProfile, format!("{what} {oid} stands twice"));
        }
    }
    Ok(())
}

fn basic_constraints(extension: &Extension) -> Result<(), Refusal> {
    let constraints: BasicConstraints = structure::value("basicConstraints", extension)?;
    if constraints.ca || constraints.path_len_constraint.is_some() {
        return refuse(RefusalCode::OutsideProfile, "this key signs no CA certificates");
    }
    Ok(())
}

fn key_usage(extension: &Extension) -> Result<(), Refusal> {
    structure::criticality("keyUsage", extension, true)?;
    let usage: KeyUsage = structure::value("keyUsage", extension)?;
    if usage.0 != KeyUsages::DigitalSignature {
        return refuse(RefusalCode::OutsideProfile, "keyUsage must be digitalSignature and nothing else");
    }
    Ok(())
}

fn subject_key_identifier(extension: &Extension, certificate: &TbsCertificate) -> Result<(), Refusal> {
    structure::criticality("subjectKeyIdentifier", extension, false)?;
    let identifier: SubjectKeyIdentifier = structure::value("subjectKeyIdentifier", extension)?;
    match ca_x509::key::identifier(certificate.subject_public_key_info()) {
        Ok(expected) if expected == identifier.0 => Ok(()),
        _ => refuse(RefusalCode::OutsideProfile, "subjectKeyIdentifier is not this subject key's"),
    }
}

/// The issuer's key identifier and nothing else; also for CRLs.
pub(super) fn authority_key_identifier(extension: &Extension, own: &[u8]) -> Result<(), Refusal> {
    structure::criticality("authorityKeyIdentifier", extension, false)?;
    let identifier: AuthorityKeyIdentifier = structure::value("authorityKeyIdentifier", extension)?;
    let same = identifier.key_identifier.is_some_and(|octets| octets.as_bytes() == own);
    let more =
        identifier.authority_cert_issuer.is_some() || identifier.authority_cert_serial_number.is_some();
    if same && !more {
        Ok(())
    } else {
        refuse(RefusalCode::WrongIssuer, "authorityKeyIdentifier is not this key's identifier alone")
    }
}

fn policies(extension: &Extension, allowed: &[ObjectIdentifier]) -> Result<(), Refusal> {
    let policies: CertificatePolicies = structure::value("certificatePolicies", extension)?;
    if policies.0.is_empty() || policies.0.iter().any(|policy| policy.policy_qualifiers.is_some()) {
        return refuse(RefusalCode::OutsideProfile, "certificatePolicies is empty or has qualifiers");
    }
    let oids: Vec<_> = policies.0.iter().map(|policy| policy.policy_identifier).collect();
    within("policy", &oids, allowed)
}

/// The device, and no name by which somebody could be taken for another: no e-mail, DNS or user principal name.
fn subject_alt_name(extension: &Extension) -> Result<(), Refusal> {
    structure::criticality("subjectAltName", extension, false)?;
    let names: SubjectAltName = structure::value("subjectAltName", extension)?;
    let is_device = |name: &GeneralName| match name {
        GeneralName::OtherName(other) if other.type_id == HARDWARE_MODULE_NAME => {
            let decoded: der::Result<HardwareModuleName> = other.value.decode_as();
            decoded.and_then(|device| device.to_der()).ok() == other.value.to_der().ok()
        }
        _ => false,
    };
    if names.0.is_empty() || !names.0.iter().all(is_device) {
        return refuse(RefusalCode::OutsideProfile, "subjectAltName may only have hardwareModuleName");
    }
    Ok(())
}

fn is_http(name: &GeneralName) -> bool {
    matches!(name, GeneralName::UniformResourceIdentifier(uri) if uri.as_str().starts_with("http://"))
}

fn distribution_points(extension: &Extension) -> Result<(), Refusal> {
    structure::criticality("cRLDistributionPoints", extension, false)?;
    let points: CrlDistributionPoints = structure::value("cRLDistributionPoints", extension)?;
    let is_plain = |point: &DistributionPoint| {
        point.reasons.is_none()
            && point.crl_issuer.is_none()
            && matches!(&point.distribution_point, Some(DistributionPointName::FullName(names))
                if !names.is_empty() && names.iter().all(is_http))
    };
    if points.0.is_empty() || !points.0.iter().all(is_plain) {
        return refuse(RefusalCode::OutsideProfile, "cRLDistributionPoints may only have http URLs");
    }
    Ok(())
}

fn information_access(extension: &Extension) -> Result<(), Refusal> {
    structure::criticality("authorityInfoAccess", extension, false)?;
    let access: AuthorityInfoAccessSyntax = structure::value("authorityInfoAccess", extension)?;
    let allowed = access.0.iter().all(|description| {
        [ID_AD_OCSP, ID_AD_CA_ISSUERS].contains(&description.access_method)
            && is_http(&description.access_location)
    });
    if access.0.is_empty() || !allowed {
        return refuse(
            RefusalCode::OutsideProfile,
            "authorityInfoAccess may only have OCSP and caIssuers with http URLs",
        );
    }
    Ok(())
}
