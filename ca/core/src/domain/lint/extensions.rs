//! Lints of the extensions.

use ca_x509::{extension, key};
use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::rfc5280::{
        ID_AD_CA_ISSUERS, ID_AD_OCSP, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS,
        ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
        ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH, ID_PE_AUTHORITY_INFO_ACCESS,
    },
};
use der::Decode;
use x509_cert::ext::{
    Extension,
    pkix::{
        AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies,
        CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier,
        name::{DistributionPointName, GeneralName},
    },
};

use super::{Lint, Subject, Verdict, demand};
use crate::domain::profile::hardware_module_name;

pub(super) const LINTS: &[Lint] = &[
    Lint { name: "no-duplicate-extensions", reference: "RFC 5280, 4.2", check: no_duplicates },
    Lint { name: "no-other-extensions", reference: "profile", check: no_others },
    Lint { name: "authority-key-identifier", reference: "RFC 5280, 4.2.1.1", check: authority_key },
    Lint { name: "subject-key-identifier", reference: "RFC 5280, 4.2.1.2", check: subject_key },
    Lint { name: "key-usage", reference: "RFC 5280, 4.2.1.3", check: key_usage },
    Lint { name: "certificate-policies", reference: "RFC 5280, 4.2.1.4", check: policies },
    Lint { name: "subject-alt-name", reference: "RFC 5280, 4.2.1.6; RFC 4108, 5", check: alternative_name },
    Lint { name: "basic-constraints", reference: "RFC 5280, 4.2.1.9", check: basic_constraints },
    Lint { name: "extended-key-usage", reference: "RFC 5280, 4.2.1.12", check: extended_key_usage },
    Lint { name: "crl-distribution-points", reference: "RFC 5280, 4.2.1.13", check: distribution_points },
    Lint { name: "authority-info-access", reference: "RFC 5280, 4.2.2.1", check: info_access },
];

const PROFILE: [ObjectIdentifier; 9] = [
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_KEY_USAGE,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_CE_AUTHORITY_KEY_IDENTIFIER,
    ID_CE_CERTIFICATE_POLICIES,
    ID_CE_SUBJECT_ALT_NAME,
    ID_CE_CRL_DISTRIBUTION_POINTS,
    ID_PE_AUTHORITY_INFO_ACCESS,
];

fn all<'a>(subject: &'a Subject<'_>) -> &'a [Extension] {
    subject.tbs.extensions().map_or(&[], Vec::as_slice)
}

/// Reads an extension that must be there with this criticality.
fn present<'a, T>(subject: &'a Subject<'_>, critical: bool) -> Result<T, String>
where
    T: Decode<'a, Error = der::Error> + AssociatedOid,
{
    let found = all(subject).iter().find(|extension| extension.extn_id == T::OID).ok_or("it is missing")?;
    demand(
        found.critical == critical,
        if critical { "it must be critical" } else { "it must not be critical" },
    )?;
    T::from_der(found.extn_value.as_bytes()).map_err(|error| format!("it is malformed: {error}"))
}

fn no_duplicates(subject: &Subject<'_>) -> Verdict {
    let extensions = all(subject);
    let repeated = extensions.iter().enumerate().find(|(index, extension)| {
        extensions[..*index].iter().any(|earlier| earlier.extn_id == extension.extn_id)
    });
    repeated.map_or(Ok(()), |(_, extension)| Err(format!("{} is there twice", extension.extn_id)))
}

fn no_others(subject: &Subject<'_>) -> Verdict {
    let stranger = all(subject).iter().find(|extension| !PROFILE.contains(&extension.extn_id));
    stranger.map_or(Ok(()), |extension| Err(format!("{} doesn't belong to the profile", extension.extn_id)))
}

fn authority_key(subject: &Subject<'_>) -> Verdict {
    let found: AuthorityKeyIdentifier = present(subject, false)?;
    let own = subject.expected.profile.issuer().key_identifier();
    demand(
        found.key_identifier.as_ref() == Some(own)
            && found.authority_cert_issuer.is_none()
            && found.authority_cert_serial_number.is_none(),
        "it is not just the issuer's subject key identifier",
    )
}

fn subject_key(subject: &Subject<'_>) -> Verdict {
    let SubjectKeyIdentifier(found) = present(subject, false)?;
    let wanted = key::identifier(&subject.expected.public_key).map_err(|error| error.to_string())?;
    demand(found == wanted, "it is not that of the key")
}

fn key_usage(subject: &Subject<'_>) -> Verdict {
    let KeyUsage(found) = present(subject, true)?;
    demand(found == KeyUsages::DigitalSignature, "it is not digitalSignature alone")
}

fn policies(subject: &Subject<'_>) -> Verdict {
    let CertificatePolicies(found) = present(subject, false)?;
    let wanted = subject.expected.profile.policies().of(subject.expected.assurance);
    demand(
        matches!(found.as_slice(), [one] if one.policy_identifier == wanted && one.policy_qualifiers.is_none()),
        "it is not the one policy of what was proven, without qualifiers",
    )
}

fn alternative_name(subject: &Subject<'_>) -> Verdict {
    let SubjectAltName(names) = present(subject, false)?;
    let found = extension::find_hardware_module_name(all(subject));
    let (hw_type, serial) = hardware_module_name(&subject.expected.device);
    demand(
        names.len() == 1
            && found
                .is_some_and(|found| found.hw_type == hw_type && found.hw_serial_num.as_bytes() == serial),
        "it is not the one hardwareModuleName of the device",
    )
}

fn basic_constraints(subject: &Subject<'_>) -> Verdict {
    let found: BasicConstraints = present(subject, true)?;
    demand(!found.ca && found.path_len_constraint.is_none(), "a user is no CA")
}

fn extended_key_usage(subject: &Subject<'_>) -> Verdict {
    let ExtendedKeyUsage(found) = present(subject, false)?;
    demand(found == [ID_KP_CLIENT_AUTH], "it is not clientAuth alone")
}

fn distribution_points(subject: &Subject<'_>) -> Verdict {
    let CrlDistributionPoints(found) = present(subject, false)?;
    let [point] = found.as_slice() else { return Err("it is not one distribution point".to_owned()) };
    let Some(DistributionPointName::FullName(names)) = &point.distribution_point else {
        return Err("the distribution point has no full name".to_owned());
    };
    let wanted = subject.expected.profile.publication().crl_url();
    demand(
        matches!(names.as_slice(), [name] if is_uri(name, &wanted))
            && point.reasons.is_none()
            && point.crl_issuer.is_none(),
        "it is not the URL of the issuer's CRL alone",
    )
}

fn info_access(subject: &Subject<'_>) -> Verdict {
    let AuthorityInfoAccessSyntax(found) = present(subject, false)?;
    let urls = subject.expected.profile.publication();
    demand(
        matches!(found.as_slice(), [ocsp, ca_issuers]
            if ocsp.access_method == ID_AD_OCSP && is_uri(&ocsp.access_location, &urls.ocsp_url)
                && ca_issuers.access_method == ID_AD_CA_ISSUERS
                && is_uri(&ca_issuers.access_location, &urls.ca_issuers_url)),
        "it is not the OCSP responder and the issuer's certificate",
    )
}

fn is_uri(name: &GeneralName, wanted: &str) -> bool {
    matches!(name, GeneralName::UniformResourceIdentifier(found) if found.as_str() == wanted)
}
