//! What stands in CRLs and when they are due.

use ca_x509::crl::number;
use der::Decode;
use x509_cert::{crl::CertificateList, ext::pkix::AuthorityKeyIdentifier};

use super::*;
use crate::domain::{
    fixtures::{TestKey, at, issuer, issuer_id, issuer_until, now},
    ids::{IssuerId, SerialNumber},
    receipt::JournalPosition,
};

fn revocation(serial: u8, reason: RevocationReason) -> Revocation {
    Revocation {
        issuer: issuer_id(),
        serial: SerialNumber::from_bytes(&[serial]).expect("a serial"),
        at: at("2026-11-24T09:59:58.7+09:00"),
        reason,
        not_after: at("2027-11-24T14:59:59Z"),
    }
}

fn signed(key: &TestKey, draft: CrlDraft, issuer: &Issuer) -> Result<PublishedCrl, CrlError> {
    let position = JournalPosition { sequence: 1, hash: [0; 32] };
    let signature = JournaledSignature { signature: key.sign(draft.tbs()), position };
    draft.signed(&signature, issuer)
}

#[test]
fn a_crl_says_who_what_and_until_when() {
    let key = TestKey::p256();
    let issuer = issuer(&key);
    let all: Vec<Revocation> =
        RevocationReason::ALL.iter().zip(1..).map(|(reason, n)| revocation(n, *reason)).collect();
    let crl = draft(&issuer, &CrlPolicy::default(), 300, &all, None, now()).expect("a draft");
    let crl = signed(&key, crl, &issuer).expect("a CRL");
    assert_eq!((crl.number, crl.entries), (300, 6));
    assert_eq!(crl.next_update.duration_since(crl.this_update), LONGEST_LIFETIME);

    let list =
        CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&crl.der).expect("a CRL").tbs_cert_list;
    let extensions = list.crl_extensions.expect("extensions");
    assert_eq!(number(&extensions), Some(300));
    let authority =
        extensions.iter().find(|e| e.extn_id == const_oid::db::rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER);
    let authority =
        AuthorityKeyIdentifier::from_der(authority.expect("an AKI").extn_value.as_bytes()).expect("an AKI");
    assert_eq!(authority.key_identifier.as_ref(), Some(issuer.key_identifier()));
    let entries = list.revoked_certificates.expect("entries");
    // Unspecified is left out; the others have one extension, their reason.
    let reasons: Vec<Option<usize>> =
        entries.iter().map(|entry| entry.crl_entry_extensions.as_ref().map(Vec::len)).collect();
    assert_eq!(reasons, [None, Some(1), Some(1), Some(1), Some(1), Some(1)]);
}

#[test]
fn an_empty_crl_has_no_list() {
    let key = TestKey::p256();
    let issuer = issuer(&key);
    let crl = draft(&issuer, &CrlPolicy::default(), 1, &[], None, now()).expect("a draft");
    let crl = signed(&key, crl, &issuer).expect("a CRL");
    let list =
        CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&crl.der).expect("a CRL").tbs_cert_list;
    assert!(list.revoked_certificates.is_none(), "RFC 5280, 5.1.2.6");
}

fn standing(number: u64, this_update: &str) -> PublishedCrl {
    let this_update = at(this_update);
    PublishedCrl {
        number,
        this_update,
        next_update: this_update + LONGEST_LIFETIME,
        listed_from: this_update,
        entries: 0,
        der: Vec::new(),
    }
}

/// "CRL ≤ 60 s" after a revocation, "refreshed at least every 24 h".
#[test]
fn a_crl_is_due_after_revocations_and_daily() {
    let policy = CrlPolicy::default();
    let current = standing(1, "2026-11-24T10:00:00+09:00");
    assert_eq!(due(&policy, None, 0, now()), Some(Due::First));
    assert_eq!(due(&policy, Some(&current), 0, now()), None);
    assert_eq!(due(&policy, Some(&current), 3, now()), Some(Due::Revocations(3)));
    assert_eq!(due(&policy, Some(&current), 0, at("2026-11-25T09:59:59+09:00")), None);
    assert_eq!(due(&policy, Some(&current), 0, at("2026-11-25T10:00:00+09:00")), Some(Due::Schedule));
}

#[test]
fn policies_under_which_crls_lapse_are_refused() {
    let hours = SignedDuration::from_hours;
    assert!(CrlPolicy::new(hours(168), hours(24)).is_ok());
    for (lifetime, refresh) in [(169, 24), (24, 24), (24, 13), (24, 0), (0, 0), (-48, -24)] {
        assert_eq!(
            CrlPolicy::new(hours(lifetime), hours(refresh)),
            Err(InvalidCrlPolicy),
            "{lifetime} h, {refresh} h"
        );
    }
}

/// A clock that was ahead put it into the ledger.
#[test]
fn a_revocation_of_tomorrow_is_listed_today_and_dated_today() {
    let key = TestKey::p256();
    let own = issuer(&key);
    let tomorrow =
        Revocation { at: at("2026-11-25T10:00:00+09:00"), ..revocation(9, RevocationReason::KeyCompromise) };
    let draft = draft(&own, &CrlPolicy::default(), 2, &[tomorrow], None, now()).expect("a draft");
    let published = signed(&key, draft, &own).expect("a CRL");
    let list: CertificateList = CertificateList::from_der(&published.der).expect("a CRL");
    let entries = list.tbs_cert_list.revoked_certificates.expect("entries");
    let listed = ca_x509::time::from_x509(&entries[0].revocation_date).expect("a time");
    assert_eq!(listed, published.this_update);
}

#[test]
fn time_and_number_only_rise_and_foreign_entries_stay_out() {
    let key = TestKey::p256();
    let own = issuer(&key);
    let policy = CrlPolicy::default();
    let make = |issuer: &Issuer, number, entries: &[Revocation], current: Option<&PublishedCrl>| {
        draft(issuer, &policy, number, entries, current, now()).map(drop)
    };
    let later = standing(5, "2026-11-24T10:00:01+09:00");
    assert!(matches!(make(&own, 6, &[], Some(&later)), Err(CrlError::ClockBehind { .. })));
    let same = standing(5, "2026-11-24T10:00:00+09:00");
    assert!(make(&own, 6, &[], Some(&same)).is_ok());
    assert!(matches!(make(&own, 5, &[], Some(&same)), Err(CrlError::Number { number: 5, current: 5 })));
    let expired = issuer_until(&key, "2026-11-24T00:00:00Z");
    assert!(matches!(make(&expired, 6, &[], None), Err(CrlError::IssuerExpired(_))));
    let mut foreign = revocation(1, RevocationReason::Superseded);
    foreign.issuer = IssuerId::parse("staff").expect("an issuer name");
    assert!(matches!(make(&own, 6, &[foreign], None), Err(CrlError::OtherIssuer(_))));
}

#[test]
fn another_keys_signature_is_refused() {
    let issuer = issuer(&TestKey::p256());
    let crl = draft(&issuer, &CrlPolicy::default(), 1, &[], None, now()).expect("a draft");
    assert!(matches!(signed(&TestKey::p256(), crl, &issuer), Err(CrlError::Signature(_))));
}
