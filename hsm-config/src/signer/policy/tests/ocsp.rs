//! OCSP `ResponseData`.

use ca_x509::{
    ocsp::{self, CertStatus, ResponderId, ResponseData, RevokedInfo},
    time,
};
use der::{
    Encode,
    asn1::{Null, OctetString},
};
use jiff::{SignedDuration, Timestamp};
use signer_protocol::message::RefusalCode;
use x509_cert::ext::{Extension, pkix::CrlReason};

use super::{past, unknown};
use crate::signer::policy::{
    fixtures::{House, good, hours, house, name, now},
    ocsp as ocsp_policy,
};

use RefusalCode::{DeniesRevocation, Malformed, OutsideProfile, OutsideValidity, TooLarge, WrongIssuer};

fn judge_ocsp(house: &House, data: &ResponseData) -> Result<(), RefusalCode> {
    let index = past(house);
    ocsp_policy::parse(&data.to_der().expect("DER"), &house.responder, now())
        .and_then(|parsed| ocsp_policy::judge(&parsed, index.key(&house.issuing.label)))
        .map_err(|refusal| refusal.code)
}

fn revoked_since(at: Timestamp) -> CertStatus {
    let revocation_time = time::to_generalized(at).expect("a time");
    CertStatus::Revoked(RevokedInfo { revocation_time, revocation_reason: None })
}

#[test]
fn ocsp_says_good_only_of_what_was_signed_and_is_not_revoked() {
    let house = house();
    let unknown = CertStatus::Unknown(Null);
    let cases = [
        ("good of a good one", 1, good(), Ok(())),
        ("revoked of the revoked one", 2, revoked_since(now() - hours(1)), Ok(())),
        ("revoked even earlier", 2, revoked_since(now() - hours(2)), Ok(())),
        ("revoked of a good one", 1, revoked_since(now()), Ok(())),
        ("unknown of an unknown one", 99, unknown, Ok(())),
        ("good of the revoked one", 2, good(), Err(DeniesRevocation)),
        ("unknown of the revoked one", 2, unknown, Err(DeniesRevocation)),
        ("revoked only later", 2, revoked_since(now()), Err(DeniesRevocation)),
        ("good of one never signed", 99, good(), Err(DeniesRevocation)),
        ("revoked in the future", 1, revoked_since(now() + hours(1)), Err(OutsideValidity)),
    ];
    for (what, number, status, expected) in cases {
        assert_eq!(judge_ocsp(&house, &house.response(number, status)), expected, "{what}");
    }
}

/// Several nodes issue with one key, each with its own journal.
#[test]
fn where_others_sign_with_the_key_only_what_is_revoked_here_is_never_good() {
    let mut house = house();
    house.responder.issued_elsewhere = true;
    assert_eq!(judge_ocsp(&house, &house.response(99, good())), Ok(()));
    assert_eq!(judge_ocsp(&house, &house.response(2, good())), Err(DeniesRevocation));
}

#[test]
fn ocsp_responses_outside_the_profile_are_refused() {
    let house = house();
    let later = |minutes| time::to_generalized(now() + SignedDuration::from_mins(minutes)).expect("a time");
    let judged = |spoil: &dyn Fn(&mut ResponseData)| {
        let mut data = house.response(1, good());
        spoil(&mut data);
        judge_ocsp(&house, &data)
    };
    let single = unknown(false);
    assert_eq!(judged(&|d| d.response_extensions = Some(vec![nonce(32)])), Ok(()));
    assert_eq!(
        judged(&|d| d.responder_id = ResponderId::ByName(house.responder.identity.name.clone())),
        Ok(())
    );
    assert_eq!(judged(&|d| d.responder_id = ResponderId::ByName(name("Other"))), Err(WrongIssuer));
    assert_eq!(
        judged(&|d| d.responder_id = ResponderId::by_key(&house.customer).expect("an identifier")),
        Err(WrongIssuer)
    );
    let other_issuer = |d: &mut ResponseData| {
        d.responses[0].cert_id.issuer_key_hash = OctetString::new([0; 20]).expect("octets");
    };
    assert_eq!(judged(&other_issuer), Err(WrongIssuer));
    assert_eq!(judged(&|d| d.produced_at = later(-11)), Err(OutsideValidity));
    assert_eq!(judged(&|d| d.produced_at = later(1)), Ok(()));
    assert_eq!(judged(&|d| d.produced_at = later(2)), Err(OutsideValidity));
    assert_eq!(judged(&|d| d.responses[0].this_update = later(2)), Err(OutsideValidity));
    assert_eq!(judged(&|d| d.responses[0].this_update = later(-11)), Err(OutsideValidity));
    assert_eq!(judged(&|d| d.responses[0].next_update = Some(later(61))), Err(OutsideValidity));
    assert_eq!(judged(&|d| d.responses[0].next_update = None), Err(OutsideValidity));
    assert_eq!(
        judged(&|d| d.responses[0].single_extensions = Some(vec![single.clone()])),
        Err(OutsideProfile)
    );
    assert_eq!(judged(&|d| d.response_extensions = Some(vec![unknown(true)])), Err(OutsideProfile));
    assert_eq!(judged(&|d| d.response_extensions = Some(vec![nonce(0)])), Err(Malformed));
    assert_eq!(judged(&|d| d.response_extensions = Some(vec![nonce(129)])), Err(Malformed));
    assert_eq!(judged(&|d| d.response_extensions = Some(vec![nonce(8), nonce(8)])), Err(Malformed));
    assert_eq!(judged(&|d| d.responses.clear()), Err(TooLarge));
    assert_eq!(judged(&|d| d.responses = vec![d.responses[0].clone(); 65]), Err(TooLarge));
    let tbs = house.certificate(9).to_tbs_der().expect("DER");
    let certificate = ocsp_policy::parse(&tbs, &house.responder, now()).expect_err("a certificate");
    assert_eq!(certificate.code, Malformed);
}

#[test]
fn a_revocation_is_never_said_to_be_temporary() {
    let house = house();
    let revocation_time = time::to_generalized(now() - hours(1)).expect("a time");
    for (reason, expected) in [
        (CrlReason::KeyCompromise, Ok(())),
        (CrlReason::CertificateHold, Err(OutsideProfile)),
        (CrlReason::RemoveFromCRL, Err(OutsideProfile)),
    ] {
        let status = CertStatus::Revoked(RevokedInfo { revocation_time, revocation_reason: Some(reason) });
        assert_eq!(judge_ocsp(&house, &house.response(2, status)), expected, "{reason:?}");
    }
}

fn nonce(octets: usize) -> Extension {
    ocsp::nonce_extension(&vec![7; octets]).expect("an extension")
}
