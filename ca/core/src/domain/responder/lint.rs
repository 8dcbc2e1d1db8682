//! Lints of a responder's certificate: the DER is read back with a parser instead of trusting the builder, and compared
//! with what was ordered.

use ca_x509::{SignatureAlgorithm, key, time};
use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::{
        rfc5280::{
            ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
            ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_OCSP_SIGNING,
        },
        rfc6960::ID_PKIX_OCSP_NOCHECK,
    },
};
use der::{Decode, Encode, asn1::Null};
use jiff::Timestamp;
use x509_cert::{
    certificate::{TbsCertificate, Version},
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    name::Name,
    spki::SubjectPublicKeyInfoOwned,
};

use crate::domain::{ids::SerialNumber, lint::Finding, profile::Issuer};

/// What was ordered.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) issuer: Issuer,
    pub(super) serial: SerialNumber,
    pub(super) subject: Name,
    pub(super) public_key: SubjectPublicKeyInfoOwned,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// A certificate and what it should say.
struct Subject<'a> {
    der: &'a [u8],
    tbs: TbsCertificate,
    expected: &'a Expected,
}

struct Lint {
    name: &'static str,
    reference: &'static str,
    holds: fn(&Subject<'_>) -> bool,
    otherwise: &'static str,
}

const LINTS: &[Lint] = &[
    Lint {
        name: "canonical",
        reference: "X.690, 10 and 11",
        holds: |subject| subject.tbs.to_der().is_ok_and(|again| again == subject.der),
        otherwise: "it is not the DER encoding of what it says",
    },
    Lint {
        name: "version",
        reference: "RFC 5280, 4.1.2.1 and 4.1.2.8",
        holds: |subject| {
            subject.tbs.version() == Version::V3
                && subject.tbs.issuer_unique_id().is_none()
                && subject.tbs.subject_unique_id().is_none()
        },
        otherwise: "it is not of version 3, or has unique identifiers",
    },
    Lint {
        name: "serial",
        reference: "RFC 5280, 4.1.2.2",
        holds: |subject| {
            let octets = subject.tbs.serial_number().as_bytes();
            octets == subject.expected.serial.as_bytes()
                && (9..=20).contains(&octets.len())
                && matches!(octets[0], 1..=0x7f)
        },
        otherwise: "the serial number is not the one that was drawn, positive and with 64 random bits",
    },
    Lint {
        name: "signature-algorithm",
        reference: "RFC 5280, 4.1.2.3",
        holds: |subject| {
            let wanted = subject.expected.issuer.algorithm();
            SignatureAlgorithm::from_identifier(subject.tbs.signature()) == Ok(wanted)
                && *subject.tbs.signature() == wanted.identifier()
        },
        otherwise: "the signature algorithm is not the one of the issuer's key",
    },
    Lint {
        name: "issuer",
        reference: "RFC 5280, 4.1.2.4; RFC 6960, 4.2.2.2",
        holds: |subject| same(subject.tbs.issuer(), subject.expected.issuer.name()),
        otherwise: "the issuer is not byte for byte the one that it answers for",
    },
    Lint {
        name: "subject",
        reference: "RFC 5280, 4.1.2.6",
        holds: |subject| {
            !subject.tbs.subject().is_empty() && same(subject.tbs.subject(), &subject.expected.subject)
        },
        otherwise: "the subject is not the responder's",
    },
    Lint {
        name: "public-key",
        reference: "RFC 5280, 4.1.2.7",
        holds: |subject| {
            let found = subject.tbs.subject_public_key_info();
            *found == subject.expected.public_key && found != subject.expected.issuer.public_key()
        },
        otherwise: "the key is not the responder's, or the issuer's own",
    },
    Lint {
        name: "validity",
        reference: "RFC 5280, 4.1.2.5",
        holds: |subject| {
            let (found, expected) = (subject.tbs.validity(), subject.expected);
            let is = |found, ordered| time::from_x509(found).is_ok_and(|found| found == ordered);
            is(&found.not_before, expected.not_before)
                && is(&found.not_after, expected.not_after)
                && expected.issuer.not_before() <= expected.not_before
                && expected.not_after <= expected.issuer.not_after()
        },
        otherwise: "the validity is not the one that was ordered, within the issuer's own",
    },
    Lint {
        name: "extensions",
        reference: "RFC 5280, 4.2; RFC 6960, 4.2.2.2",
        holds: |subject| {
            let found: Vec<_> = extensions(subject).iter().map(|extension| extension.extn_id).collect();
            found == EXTENSIONS
        },
        otherwise: "it has not just the extensions of a responder's certificate",
    },
    Lint {
        name: "key-usage",
        reference: "RFC 5280, 4.2.1.3",
        holds: |subject| {
            read::<KeyUsage>(subject, true).is_some_and(|usage| usage.0 == KeyUsages::DigitalSignature)
        },
        otherwise: "keyUsage is not digitalSignature alone",
    },
    Lint {
        name: "extended-key-usage",
        reference: "RFC 6960, 4.2.2.2",
        holds: |subject| {
            read::<ExtendedKeyUsage>(subject, false).is_some_and(|usage| usage.0 == [ID_KP_OCSP_SIGNING])
        },
        otherwise: "extKeyUsage is not OCSPSigning alone",
    },
    Lint {
        name: "no-check",
        reference: "RFC 6960, 4.2.2.2.1",
        holds: |subject| {
            let mut all = extensions(subject).iter();
            let found = all.find(|extension| extension.extn_id == ID_PKIX_OCSP_NOCHECK);
            found.is_some_and(|found| !found.critical && Null::from_der(found.extn_value.as_bytes()).is_ok())
        },
        otherwise: "id-pkix-ocsp-nocheck is not a plain NULL",
    },
    Lint {
        name: "key-identifiers",
        reference: "RFC 5280, 4.2.1.1 and 4.2.1.2",
        holds: |subject| {
            let expected = subject.expected;
            let own = key::identifier(&expected.public_key).ok();
            let subjects = read::<SubjectKeyIdentifier>(subject, false).map(|found| found.0);
            let authority = read::<AuthorityKeyIdentifier>(subject, false);
            own.is_some()
                && subjects == own
                && authority.is_some_and(|found| {
                    found.key_identifier.as_ref() == Some(expected.issuer.key_identifier())
                        && found.authority_cert_issuer.is_none()
                        && found.authority_cert_serial_number.is_none()
                })
        },
        otherwise: "the key identifiers are not the responder's and the issuer's",
    },
];

const EXTENSIONS: [ObjectIdentifier; 5] = [
    ID_CE_KEY_USAGE,
    ID_CE_EXT_KEY_USAGE,
    ID_PKIX_OCSP_NOCHECK,
    ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_CE_AUTHORITY_KEY_IDENTIFIER,
];

fn same(one: &Name, other: &Name) -> bool {
    matches!((one.to_der(), other.to_der()), (Ok(one), Ok(other)) if one == other)
}

fn extensions<'a>(subject: &'a Subject<'_>) -> &'a [Extension] {
    subject.tbs.extensions().map_or(&[], Vec::as_slice)
}

/// An extension with this criticality.
fn read<'a, T>(subject: &'a Subject<'_>, critical: bool) -> Option<T>
where
    T: Decode<'a, Error = der::Error> + AssociatedOid,
{
    let found = extensions(subject).iter().find(|extension| extension.extn_id == T::OID)?;
    T::from_der(found.extn_value.as_bytes()).ok().filter(|_| found.critical == critical)
}

/// Runs every lint over the DER of a `TBSCertificate`. An empty result is a pass.
pub(super) fn check(der: &[u8], expected: &Expected) -> Vec<Finding> {
    let tbs = match TbsCertificate::from_der(der) {
        Ok(tbs) => tbs,
        Err(error) => {
            let problem = format!("it is not a TBSCertificate: {error}");
            return vec![Finding { lint: "parses", reference: "RFC 5280, 4.1", problem }];
        }
    };
    let subject = Subject { der, tbs, expected };
    let broken = LINTS.iter().filter(|lint| !(lint.holds)(&subject));
    let finding = |lint: &Lint| Finding {
        lint: lint.name,
        reference: lint.reference,
        problem: lint.otherwise.to_owned(),
    };
    broken.map(finding).collect()
}
