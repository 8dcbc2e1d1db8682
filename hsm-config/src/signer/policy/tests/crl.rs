//! `TBSCertList`.

use aws_lc_rs::digest;
use ca_x509::{SignatureAlgorithm, crl::CrlTemplate};
use const_oid::ObjectIdentifier;
use der::{Decode, Encode, asn1::OctetString};
use jiff::SignedDuration;
use signer_protocol::message::{AuditPosition, EntryBody, RefusalCode, RevocationEntry};
use x509_cert::ext::{Extension, pkix::CrlReason};

use super::{past, revoked};
use crate::signer::policy::{
    crl,
    fixtures::{House, hours, house, name, now, serial},
};

use RefusalCode::{CrlNumber, DeniesRevocation, Malformed, OutsideProfile, OutsideValidity, WrongIssuer};

type SpoilCrl = (&'static str, RefusalCode, fn(&mut CrlTemplate));

fn judge_crl(house: &House, tbs: &[u8]) -> Result<(), RefusalCode> {
    let index = past(house);
    crl::parse(tbs, &house.issuing, now())
        .and_then(|parsed| crl::judge(&parsed, index.key(&house.issuing.label)))
        .map_err(|refusal| refusal.code)
}

#[test]
fn crls_rise_and_deny_nothing() {
    let house = house();
    let judged = |template: &CrlTemplate| judge_crl(&house, &template.to_tbs_der().expect("DER"));
    assert_eq!(judged(&house.crl(6, &[2])), Ok(()));
    assert_eq!(judged(&house.crl(6, &[1, 2, 77])), Ok(()), "more than the journal knows");
    assert_eq!(judged(&house.crl(1 << 32, &[2])), Ok(()), "others signed some in between");
    let cases: &[SpoilCrl] = &[
        ("the same number", CrlNumber, |t| t.number = 5),
        ("a lower number", CrlNumber, |t| t.number = 4),
        ("a number that leaves none for others", CrlNumber, |t| t.number = u64::MAX),
        ("a revocation left out", DeniesRevocation, |t| t.entries.clear()),
        ("a revocation replaced", DeniesRevocation, |t| t.entries[0].serial = serial(3)),
        ("a later date", DeniesRevocation, |t| t.entries[0].revoked_at = now()),
        ("an entry twice", Malformed, |t| {
            let first = t.entries[0].clone();
            t.entries.push(first);
        }),
        ("another issuer", WrongIssuer, |t| t.issuer = name("Root CA")),
        ("another key identifier", WrongIssuer, |t| {
            t.issuer_key_identifier = OctetString::new([1; 20]).expect("octets");
        }),
        ("another algorithm", OutsideProfile, |t| t.algorithm = SignatureAlgorithm::RsaSha256),
        ("from the past", OutsideValidity, |t| t.this_update = now() - SignedDuration::from_secs(601)),
        ("from the future", OutsideValidity, |t| t.this_update = now() + SignedDuration::from_secs(61)),
        ("too long", OutsideValidity, |t| t.next_update = now() + hours(7 * 24 + 1)),
        ("no time at all", OutsideValidity, |t| t.next_update = t.this_update),
        ("removeFromCRL", OutsideProfile, |t| t.entries[0].reason = Some(CrlReason::RemoveFromCRL)),
        ("certificateHold", OutsideProfile, |t| t.entries[0].reason = Some(CrlReason::CertificateHold)),
        ("a revocation to come", OutsideValidity, |t| {
            t.entries.push(ca_x509::crl::CrlEntry {
                serial: serial(8),
                revoked_at: now() + hours(1),
                reason: None,
            });
        }),
    ];
    for (what, code, spoil) in cases {
        let mut template = house.crl(6, &[2]);
        spoil(&mut template);
        assert_eq!(judged(&template), Err(*code), "{what}");
    }
}

#[test]
fn an_expired_certificate_may_leave_the_crl() {
    let house = house();
    let key = house.issuing.label.clone();
    let mut index = past(&house);
    let expired = RevocationEntry { not_after: now() - SignedDuration::from_secs(1), ..revoked(3) };
    index.take(
        now(),
        &EntryBody::Revocation { key: key.clone(), audit_head: AuditPosition::START, revocation: expired },
    );
    let without =
        crl::parse(&house.crl(6, &[2]).to_tbs_der().expect("DER"), &house.issuing, now()).expect("parses");
    let with =
        crl::parse(&house.crl(6, &[2, 3]).to_tbs_der().expect("DER"), &house.issuing, now()).expect("parses");
    // The expired one may stand in the list, but doesn't stand in for another.
    let instead =
        crl::parse(&house.crl(6, &[3]).to_tbs_der().expect("DER"), &house.issuing, now()).expect("parses");
    assert!(crl::judge(&without, index.key(&key)).is_ok());
    assert!(crl::judge(&with, index.key(&key)).is_ok());
    assert_eq!(crl::judge(&instead, index.key(&key)).expect_err("2 is missing").code, DeniesRevocation);
}

#[test]
fn deltas_partitions_and_missing_parts_of_a_crl_are_refused() {
    let house = house();
    let tbs = house.crl(6, &[2]).to_tbs_der().expect("DER");
    let judged = |spoil: &dyn Fn(&mut x509_cert::crl::TbsCertList)| {
        let mut list = x509_cert::crl::TbsCertList::from_der(&tbs).expect("parses");
        spoil(&mut list);
        judge_crl(&house, &list.to_der().expect("DER"))
    };
    let with = |oid: &str, critical| {
        let extension = Extension {
            extn_id: ObjectIdentifier::new_unwrap(oid),
            critical,
            extn_value: OctetString::new([2, 1, 5]).expect("octets"),
        };
        judged(&move |list| list.crl_extensions.get_or_insert_default().push(extension.clone()))
    };
    assert_eq!(with("2.5.29.27", true), Err(OutsideProfile), "delta");
    assert_eq!(with("2.5.29.28", true), Err(OutsideProfile), "issuing distribution point");
    assert_eq!(with("1.2.3.4", false), Err(OutsideProfile), "unknown");
    assert_eq!(judged(&|list| list.next_update = None), Err(OutsideValidity));
    assert_eq!(judged(&|list| list.crl_extensions = None), Err(OutsideProfile));
    assert_eq!(judged(&|list| list.revoked_certificates = Some(Vec::new())), Err(Malformed));
    let digest = digest::digest(&digest::SHA256, &tbs);
    assert_eq!(judge_crl(&house, digest.as_ref()), Err(Malformed), "a digest");
}
