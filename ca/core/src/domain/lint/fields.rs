//! Lints of the fixed fields.

use ca_x509::{SignatureAlgorithm, key, time};
use der::Encode;
use x509_cert::{certificate::Version, time::Time};

use super::{Lint, Subject, Verdict, demand};

pub(super) const LINTS: &[Lint] = &[
    Lint { name: "canonical", reference: "X.690, 10 and 11", check: canonical },
    Lint { name: "version", reference: "RFC 5280, 4.1.2.1", check: version },
    Lint { name: "serial-form", reference: "RFC 5280, 4.1.2.2", check: serial_form },
    Lint { name: "serial-ordered", reference: "profile", check: serial_ordered },
    Lint { name: "signature-algorithm", reference: "RFC 5280, 4.1.2.3", check: signature_algorithm },
    Lint { name: "issuer", reference: "RFC 5280, 4.1.2.4", check: issuer },
    Lint { name: "validity-encoding", reference: "RFC 5280, 4.1.2.5", check: validity_encoding },
    Lint { name: "validity-ordered", reference: "rule 2", check: validity_ordered },
    Lint { name: "validity-within-issuer", reference: "rule 2", check: validity_within_issuer },
    Lint { name: "subject", reference: "RFC 5280, 4.1.2.6", check: subject },
    Lint { name: "public-key", reference: "RFC 5280, 4.1.2.7", check: public_key },
    Lint { name: "not-the-issuers-key", reference: "profile", check: not_the_issuers_key },
    Lint { name: "no-unique-identifiers", reference: "RFC 5280, 4.1.2.8", check: no_unique_identifiers },
];

fn canonical(subject: &Subject<'_>) -> Verdict {
    let again = subject.tbs.to_der().map_err(|error| format!("it can't be encoded again: {error}"))?;
    demand(again == subject.der, "it is not the DER encoding of what it says")
}

fn version(subject: &Subject<'_>) -> Verdict {
    demand(subject.tbs.version() == Version::V3, "a certificate with extensions must be version 3")
}

fn serial_form(subject: &Subject<'_>) -> Verdict {
    let bytes = subject.tbs.serial_number().as_bytes();
    demand(
        (9..=20).contains(&bytes.len()) && matches!(bytes[0], 1..=0x7f),
        "the serial number must be positive, at most 20 octets, with at least 64 random bits",
    )
}

fn serial_ordered(subject: &Subject<'_>) -> Verdict {
    let found = subject.tbs.serial_number().as_bytes();
    demand(found == subject.expected.serial.as_bytes(), "the serial number is not the one that was drawn")
}

fn signature_algorithm(subject: &Subject<'_>) -> Verdict {
    let wanted = subject.expected.profile.issuer().algorithm();
    demand(
        SignatureAlgorithm::from_identifier(subject.tbs.signature()) == Ok(wanted)
            && *subject.tbs.signature() == wanted.identifier(),
        "the signature algorithm is not the one of the issuer's key",
    )
}

fn issuer(subject: &Subject<'_>) -> Verdict {
    let encoded = (subject.tbs.issuer().to_der(), subject.expected.profile.issuer().name().to_der());
    demand(
        matches!(&encoded, (Ok(found), Ok(own)) if found == own) && !subject.tbs.issuer().is_empty(),
        "the issuer is not byte for byte the subject of the issuer's certificate",
    )
}

/// UTCTime through 2049, GeneralizedTime after.
fn validity_encoding(subject: &Subject<'_>) -> Verdict {
    let validity = subject.tbs.validity();
    let right = |time: &Time| match time {
        Time::UtcTime(_) => true,
        Time::GeneralTime(time) => time.to_date_time().year() >= 2050,
    };
    demand(
        right(&validity.not_before) && right(&validity.not_after),
        "dates through 2049 must be UTCTime, later ones GeneralizedTime",
    )
}

fn validity_ordered(subject: &Subject<'_>) -> Verdict {
    let (found, ordered) = (subject.tbs.validity(), subject.expected.validity);
    demand(
        time::from_x509(&found.not_before).is_ok_and(|found| found == ordered.not_before)
            && time::from_x509(&found.not_after).is_ok_and(|found| found == ordered.not_after),
        "the validity is not the one that was ordered",
    )
}

fn validity_within_issuer(subject: &Subject<'_>) -> Verdict {
    let (found, issuer) = (subject.tbs.validity(), subject.expected.profile.issuer());
    demand(
        time::from_x509(&found.not_before).is_ok_and(|found| found >= issuer.not_before())
            && time::from_x509(&found.not_after).is_ok_and(|found| found <= issuer.not_after()),
        "the validity is not within the issuer's own",
    )
}

fn subject(subject: &Subject<'_>) -> Verdict {
    let found = subject.tbs.subject();
    demand(!found.is_empty() && *found == subject.expected.subject, "the subject is not the user's")
}

fn public_key(subject: &Subject<'_>) -> Verdict {
    let found = subject.tbs.subject_public_key_info();
    demand(*found == subject.expected.public_key, "the key is not the one that was requested")?;
    key::KeyKind::of(found).map(drop).map_err(|error| error.to_string())
}

fn not_the_issuers_key(subject: &Subject<'_>) -> Verdict {
    let own = subject.expected.profile.issuer().public_key();
    demand(subject.tbs.subject_public_key_info() != own, "the key is the issuer's own")
}

fn no_unique_identifiers(subject: &Subject<'_>) -> Verdict {
    demand(
        subject.tbs.issuer_unique_id().is_none() && subject.tbs.subject_unique_id().is_none(),
        "unique identifiers must not be used",
    )
}
