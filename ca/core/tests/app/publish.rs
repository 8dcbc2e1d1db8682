//! CRL and OCSP: due, numbered, verified; never "good" after a revocation.

use ca_core::{
    domain::{
        audit::AuditPosition, certificate::CertificateRecord, ids::SerialNumber, ocsp::ErrorStatus,
        revocation::RevocationReason,
    },
    ports::{signer::Signer, store::RevocationStore},
    testing::Fault,
};
use ca_x509::ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspRequest, OcspResponse, Request, ResponseData, ResponseStatus,
    TbsRequest, Version, nonce_extension,
};
use der::{Decode, Encode, asn1::OctetString};
use jiff::SignedDuration;
use sha2::{Digest, Sha256};
use x509_cert::{crl::CertificateList, spki::AlgorithmIdentifierOwned};

use crate::{
    pki::{Authority, issuer_id},
    world::{GENERAL, World},
};

pub(crate) fn question(authority: &Authority, serial: &SerialNumber, nonce: Option<&[u8]>) -> Vec<u8> {
    let issuer = &authority.issuer;
    let name = issuer.name().to_der().expect("a name");
    let hash = |bytes: &[u8]| OctetString::new(Sha256::digest(bytes).as_slice()).expect("octets");
    let cert_id = CertId {
        hash_algorithm: AlgorithmIdentifierOwned {
            oid: const_oid::db::rfc5912::ID_SHA_256,
            parameters: None,
        },
        issuer_name_hash: hash(&name),
        issuer_key_hash: hash(issuer.public_key().subject_public_key.raw_bytes()),
        serial_number: x509_cert::serial_number::SerialNumber::new(serial.as_bytes())
            .expect("a serial number"),
    };
    let request = OcspRequest {
        tbs_request: TbsRequest {
            version: Version::V1,
            requestor_name: None,
            request_list: vec![Request { req_cert: cert_id, single_request_extensions: None }],
            request_extensions: nonce.map(|nonce| vec![nonce_extension(nonce).expect("a nonce")]),
        },
        optional_signature: None,
    };
    request.to_der().expect("a request")
}

/// The response's status, and what it says of the one certificate.
fn read(der: &[u8]) -> (ResponseStatus, Option<CertStatus>) {
    let response = OcspResponse::from_der(der).expect("an OCSP response");
    let status = response.response_bytes.map(|bytes| {
        let basic = BasicOcspResponse::from_der(bytes.response.as_bytes()).expect("a basic response");
        let data: ResponseData =
            basic.tbs_response_data.to_der().and_then(|d| ResponseData::from_der(&d)).expect("data");
        data.responses[0].cert_status
    });
    (response.response_status, status)
}

async fn ask(
    world: &World,
    record: &CertificateRecord,
    nonce: Option<&[u8]>,
) -> (ResponseStatus, Option<CertStatus>) {
    let reply = world.ocsp.run(&question(&world.authority, &record.serial, nonce)).await;
    let (status, said) = read(&reply.der);
    let error = (status == ResponseStatus::TryLater).then_some(ErrorStatus::TryLater);
    assert_eq!(reply.error, error, "what is counted is what was answered");
    (status, said)
}

#[tokio::test]
async fn good_turns_into_revoked_at_once_also_in_the_cache() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    for _ in 0..3 {
        let (_, status) = ask(&world, &record, None).await;
        assert!(matches!(status, Some(CertStatus::Good(_))), "{status:?}");
    }
    assert_eq!(world.signer.ocsp_signed(), 1, "one signature for the same question");
    for nonce in [[1; 16], [2; 16]] {
        ask(&world, &record, Some(&nonce)).await;
    }
    assert_eq!(world.signer.ocsp_signed(), 3, "a nonce makes each answer one of a kind");

    world.revoke_user(GENERAL, RevocationReason::KeyCompromise).await;
    for _ in 0..2 {
        let (_, status) = ask(&world, &record, None).await;
        assert!(matches!(status, Some(CertStatus::Revoked(_))), "{status:?}");
    }
    assert_eq!(world.signer.ocsp_signed(), 4);
}

/// An answer is looked up in the ledger again when anything was revoked, and signed again only if it was this one.
#[tokio::test]
async fn while_nothing_is_revoked_the_ledger_is_not_asked_for_a_status_that_was_told() {
    let world = World::new().await;
    world.register("hokkai-02", ca_core::domain::user::Role::General, Some(1_000_002)).await;
    let (mine, other) = (world.enrol(GENERAL, 1_000_001).await, world.enrol("hokkai-02", 1_000_002).await);
    let is_good =
        |(_, status): (ResponseStatus, Option<CertStatus>)| matches!(status, Some(CertStatus::Good(_)));
    assert!(is_good(ask(&world, &mine, None).await) && is_good(ask(&world, &other, None).await));

    world.store.faults().order("status", Fault::Before);
    assert!(is_good(ask(&world, &mine, None).await), "it would have failed");
    world.revoke_user("hokkai-02", RevocationReason::KeyCompromise).await;
    assert_eq!(ask(&world, &mine, None).await.0, ResponseStatus::TryLater, "it was asked, and failed");
    assert!(is_good(ask(&world, &mine, None).await));
    assert_eq!(world.signer.ocsp_signed(), 2, "what is still true isn't signed again");
    assert!(matches!(ask(&world, &other, None).await.1, Some(CertStatus::Revoked(_))));

    world.store.faults().order("revocation_head", Fault::Before);
    world.store.faults().order("status", Fault::Before);
    assert_eq!(
        ask(&world, &other, None).await.0,
        ResponseStatus::TryLater,
        "nothing is told of a ledger out of reach"
    );
}

/// A database that was put back under a running node may give a revocation the number that another one had.
#[tokio::test]
async fn no_answer_stands_for_long_without_a_look_into_the_ledger() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    assert_eq!(ask(&world, &record, None).await.0, ResponseStatus::Successful);
    world.store.faults().order("status", Fault::Before);
    world.clock.advance(SignedDuration::from_millis(1_900));
    assert_eq!(ask(&world, &record, None).await.0, ResponseStatus::Successful, "it would have failed");
    world.clock.advance(SignedDuration::from_millis(200));
    assert_eq!(ask(&world, &record, None).await.0, ResponseStatus::TryLater, "it was asked, and failed");
    assert_eq!(ask(&world, &record, None).await.0, ResponseStatus::Successful);
    assert_eq!(world.signer.ocsp_signed(), 1);
}

#[tokio::test]
async fn good_is_only_what_was_issued() {
    let world = World::new().await;
    let unknown = SerialNumber::from_bytes(&[0x42; 16]).expect("a number");
    let (status, of) = read(&world.ocsp.run(&question(&world.authority, &unknown, None)).await.der);
    assert_eq!(status, ResponseStatus::Successful);
    assert!(matches!(of, Some(CertStatus::Unknown(_))), "{of:?}");

    let opened = world.opened(GENERAL, 1_000_001, "a").await;
    let token = world.maker.token(&crate::device::Statement::of(1_000_001));
    world.store.faults().order("record_issued", Fault::Before);
    world.certified(&opened, &token).await.expect_err("a fault");
    let (_, status) = ask(&world, &world.record(&opened).await, None).await;
    assert!(matches!(status, Some(CertStatus::Unknown(_))), "an intent alone isn't good: {status:?}");
}

#[tokio::test]
async fn what_cannot_be_answered_has_its_own_status() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    let status_of = |der: Vec<u8>| read(&der).0;
    for bad in [b"garbage".to_vec(), vec![0x30; 9000], question(&world.authority, &record.serial, Some(&[]))]
    {
        assert_eq!(status_of(world.ocsp.run(&bad).await.der), ResponseStatus::MalformedRequest);
    }
    let stranger = question(&Authority::until(2036), &record.serial, None);
    assert_eq!(status_of(world.ocsp.run(&stranger).await.der), ResponseStatus::Unauthorized);
    assert_eq!(world.rows("ocsp.refused"), 4, "one row for each kind");
    world.ocsp.run(b"garbage").await;
    assert_eq!(world.rows("ocsp.refused"), 4, "and not one for each request");
    assert_eq!(world.signer.ocsp_signed(), 0);

    world.store.faults().order("status", Fault::Before);
    assert_eq!(ask(&world, &record, None).await.0, ResponseStatus::TryLater);
    world.signer.faults().order("sign_ocsp", Fault::Before);
    assert_eq!(ask(&world, &record, None).await.0, ResponseStatus::TryLater);
    assert_eq!(ask(&world, &record, None).await.0, ResponseStatus::Successful);
}

#[tokio::test]
async fn a_crl_is_published_first_then_for_revocations_then_on_schedule() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    let first = world.publish.run().await.expect("a CRL").expect("the first");
    assert_eq!((first.number, first.entries), (1, 0));
    assert!(world.publish.run().await.expect("nothing").is_none(), "not due");

    world.revoke_user(GENERAL, RevocationReason::KeyCompromise).await;
    let second = world.publish.run().await.expect("a CRL").expect("due for the revocation");
    assert_eq!((second.number, second.entries), (2, 1));
    assert!(world.publish.run().await.expect("nothing").is_none());
    let parsed = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&second.der).expect("a CRL");
    let listed = parsed.tbs_cert_list.revoked_certificates.expect("an entry");
    assert_eq!(listed[0].serial_number.as_bytes(), record.serial.as_bytes());

    world.clock.advance(SignedDuration::from_hours(24));
    let third = world.publish.run().await.expect("a CRL").expect("due by schedule");
    assert_eq!(third.number, 3);
    assert_eq!(world.rows("crl.published"), 3);
    world.clock.advance(SignedDuration::from_hours(-30));
    assert!(world.publish.run().await.is_ok_and(|crl| crl.is_none()), "an older clock publishes nothing");
}

/// A CRL fails after each of its steps: the next run publishes one with a higher number.
#[tokio::test]
async fn a_crl_that_failed_half_way_is_made_good_with_a_higher_number() {
    for (method, fault) in [
        ("next_crl_number", Fault::After),
        ("publish_crl", Fault::Before),
        ("publish_crl", Fault::After),
        ("revoked", Fault::Before),
    ] {
        let world = World::new().await;
        world.store.faults().order(method, fault);
        assert!(world.publish.run().await.is_err(), "{method} {fault:?}");
        let _ = world.publish.run().await.expect("no fault");
        let current = world.store.current_crl(&issuer_id()).await.expect("the store").expect("a CRL");
        assert!(current.number >= 1, "{method} {fault:?}");
        assert!(world.publish.run().await.expect("nothing").is_none(), "{method} {fault:?}");
    }
    let world = World::new().await;
    world.signer.corrupt_next();
    assert!(world.publish.run().await.is_err(), "a corrupt signature is never published");
    assert!(world.store.current_crl(&issuer_id()).await.expect("the store").is_none());
}

/// The ledger's numbers are behind the signer's, as after a restored backup: it catches up by itself.
/// Of several nodes the one that leads may know nothing of what another's signer signed before the ledger was restored.
#[tokio::test]
async fn a_crl_that_is_lost_is_followed_at_once() {
    let world = World::new().await;
    world.publish.run().await.expect("a CRL").expect("the first");
    assert_eq!(world.publish.run().await.expect("no fault"), None);
    world.store.raise_crl_number(&issuer_id(), 7).await.expect("another's journal has it");
    let crl = world.publish.run().await.expect("a CRL").expect("due");
    assert_eq!(crl.number, 8);
    assert_eq!(world.publish.run().await.expect("no fault"), None);
}

#[tokio::test]
async fn a_ledger_whose_crl_number_is_behind_catches_up() {
    let world = World::new().await;
    world.publish.run().await.expect("a CRL").expect("the first");
    let current = world.store.current_crl(&issuer_id()).await.expect("the store").expect("a CRL");
    let draft = ca_core::domain::crl::draft(
        &world.authority.issuer,
        &ca_core::domain::crl::CrlPolicy::default(),
        4,
        &[],
        Some(&current),
        ca_core::ports::clock::Clock::now(&*world.clock),
    )
    .expect("a draft");
    world
        .signer
        .sign_crl(&issuer_id(), AuditPosition::GENESIS, draft.tbs().to_vec())
        .await
        .expect("signed elsewhere");
    world.clock.advance(SignedDuration::from_hours(24));
    let crl = world.publish.run().await.expect("a CRL").expect("due");
    assert_eq!(crl.number, 5);
}

#[tokio::test]
async fn the_ceremonys_crl_is_adopted_once_and_only_if_it_is_this_issuers() {
    let ceremony = World::new().await;
    let crl = ceremony.publish.run().await.expect("a CRL").expect("the first");
    assert!(World::new().await.publish.adopt_first(&crl.der).await.is_err(), "another issuer's");

    let world = World::empty(ceremony.authority);
    let adopted = world.publish.adopt_first(&crl.der).await.expect("a CRL").expect("adopted");
    assert_eq!(adopted, crl);
    assert!(world.publish.adopt_first(&crl.der).await.expect("the store").is_none());
    assert!(world.publish.run().await.expect("nothing").is_none(), "it stands");
    world.clock.advance(SignedDuration::from_hours(24));
    assert_eq!(world.publish.run().await.expect("a CRL").expect("due").number, 2);
}

/// A revocation that the signer won't record holds up neither the others nor the CRL, which lists it all the same.
#[tokio::test]
async fn a_revocation_that_the_signer_refuses_holds_up_no_other() {
    let world = World::new().await;
    world.register("hokkai-02", ca_core::domain::user::Role::General, Some(1_000_002)).await;
    let first = world.enrol(GENERAL, 1_000_001).await;
    let second = world.enrol("hokkai-02", 1_000_002).await;
    world.signer.refuse_revocation(Some(first.serial.clone()));
    world.revoke_user(GENERAL, RevocationReason::KeyCompromise).await;
    world.revoke_user("hokkai-02", RevocationReason::Superseded).await;
    let journaled: Vec<_> = world.signer.revocations().into_iter().map(|r| r.serial).collect();
    assert_eq!(journaled, [second.serial]);
    assert_eq!(world.publish.run().await.expect("a CRL").expect("due").entries, 2);

    world.signer.refuse_revocation(None);
    world.publish.run().await.expect("nothing is due");
    assert_eq!(world.signer.revocations().len(), 2, "it is offered again");
}

/// A certificate is valid up to and including its notAfter: its revocation stands on a CRL of that very second, and the
/// signer signs no other; it stands on one more (RFC 5280, 3.3).
#[tokio::test]
async fn a_crl_of_a_certificates_last_second_still_lists_it() {
    let world = World::new().await;
    let record = world.enrol(GENERAL, 1_000_001).await;
    world.revoke_user(GENERAL, RevocationReason::KeyCompromise).await;
    for (day, entries) in [(0, 1), (1, 1), (2, 0)] {
        world.clock.set(record.not_after + SignedDuration::from_hours(24 * day));
        assert_eq!(world.publish.run().await.expect("a CRL").expect("due").entries, entries);
        assert_eq!(world.publish.run().await.expect("a CRL"), None, "nothing is lacking");
    }
}
