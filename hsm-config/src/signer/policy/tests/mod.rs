//! Every refusal, as a table: a structure that is allowed, spoiled in one way, and the code that must come back.

mod certificate;
mod crl;
mod ocsp;

use const_oid::ObjectIdentifier;
use der::asn1::OctetString;
use jiff::SignedDuration;
use signer_protocol::message::{AuditPosition, EntryBody, RefusalCode, RevocationEntry};
use uuid::Uuid;
use x509_cert::ext::Extension;

use super::{
    fixtures::{House, hours, house, now, serial},
    revocation,
};
use crate::journal::Index;

use RefusalCode::{ClockBehind, Malformed, OutsideProfile, OutsideValidity};

/// A past: certificates 1 to 3 signed, 2 revoked an hour ago, CRL number 5.
fn past(house: &House) -> Index {
    let key = house.issuing.label.clone();
    let mut index = Index::empty();
    for number in 1..=3 {
        let tbs = house.certificate(number).to_tbs_der().expect("DER");
        let intent = Uuid::from_u128(number.into());
        index.take(
            now() - hours(2),
            &EntryBody::Certificate {
                key: key.clone(),
                intent,
                audit_head: AuditPosition::START,
                tbs,
                signature: vec![],
            },
        );
    }
    let revocation = revoked(2);
    index.take(
        now() - hours(1),
        &EntryBody::Revocation { key: key.clone(), audit_head: AuditPosition::START, revocation },
    );
    let tbs = house.crl(5, &[2]).to_tbs_der().expect("DER");
    index.take(
        now() - hours(1),
        &EntryBody::Crl { key, audit_head: AuditPosition::START, tbs, signature: vec![] },
    );
    index
}

fn revoked(number: u64) -> RevocationEntry {
    RevocationEntry {
        serial: serial(number),
        revoked_at: now() - hours(1),
        reason: 1,
        not_after: now() + hours(365 * 24),
    }
}

fn unknown(critical: bool) -> Extension {
    let extn_value = OctetString::new([5, 0]).expect("octets");
    Extension { extn_id: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.7"), critical, extn_value }
}

#[test]
fn what_is_recorded_as_revoked_can_be_listed_later() {
    let not_after = now() + hours(365 * 24);
    let judged = |spoil: fn(&mut RevocationEntry)| {
        let mut entry = revoked(2);
        spoil(&mut entry);
        revocation::judge(&entry, Some(not_after)).map(drop).map_err(|refusal| refusal.code)
    };
    assert_eq!(judged(|_| {}), Ok(()));
    for reason in [6, 7, 8, 11, 255] {
        let entry = RevocationEntry { reason, ..revoked(2) };
        assert_eq!(revocation::judge(&entry, None).expect_err("refused").code, OutsideProfile, "{reason}");
    }
    assert_eq!(judged(|entry| entry.serial = vec![0, 1]), Err(Malformed), "leading zeros");
    assert_eq!(judged(|entry| entry.serial = vec![0xff; 9]), Err(Malformed), "a sign");
    // A clock that was ahead.
    assert_eq!(judged(|entry| entry.revoked_at = now() + hours(24)), Ok(()));
    assert_eq!(
        judged(|entry| entry.not_after = now()),
        Err(OutsideValidity),
        "it would leave the CRL too early"
    );
}

#[test]
fn a_clock_behind_the_journal_signs_nothing() {
    let index = past(&house());
    assert!(super::clock(now(), &index).is_ok());
    assert!(super::clock(now() - hours(1), &index).is_ok(), "the same time");
    let corrected = super::clock(now() - hours(1) - SignedDuration::from_millis(5), &index);
    assert_eq!(corrected, Ok(now() - hours(1)), "it stands still");
    let refused = super::clock(now() - hours(1) - SignedDuration::from_secs(1), &index).expect_err("behind");
    assert_eq!(refused.code, ClockBehind);
}
