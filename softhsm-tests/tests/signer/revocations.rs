//! What was revoked stays revoked, in every CRL and OCSP response, whoever asks.

use ca_x509::{
    SignatureAlgorithm,
    ocsp::{CertStatus, RevokedInfo},
    time,
    verify::verify,
};
use der::asn1::Null;
use jiff::Timestamp;
use signer_protocol::message::{EntryBody, RefusalCode, RevocationEntry};
use uuid::Uuid;

use crate::rig::{DEADLINE, HEAD, Rig, issuing, ocsp, refusal, tbs};

/// Has a certificate signed and returns what revokes it now.
async fn issued(rig: &Rig) -> RevocationEntry {
    let template = rig.certificate();
    rig.client().sign_certificate(&issuing(), Uuid::new_v4(), HEAD, tbs(&template)).await.expect("signed");
    RevocationEntry {
        serial: template.serial,
        revoked_at: Timestamp::from_second(Timestamp::now().as_second()).expect("a time"),
        reason: 1,
        not_after: Timestamp::from_second(template.not_after.as_second()).expect("a time"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_revocation_is_never_denied() {
    let mut rig = Rig::start();
    let client = rig.client();
    let (kept, revoked) = (issued(&rig).await, issued(&rig).await);
    let good = |entry: &RevocationEntry| rig.response(&entry.serial, CertStatus::Good(Null));

    let signature = client.sign_ocsp(&ocsp(), good(&revoked)).await;
    signature.expect("good, before");
    let first = rig.crl(1, &[]);
    let signed = client.sign_crl(&issuing(), HEAD, first.clone()).await.expect("an empty CRL");
    assert!(rig.is_issuers(&first, &signed.signature));
    let repeated = client.sign_crl(&issuing(), HEAD, first.clone()).await.expect("the reply was lost");
    assert_eq!((repeated.signature, repeated.position), (signed.signature, signed.position));

    let early = RevocationEntry { not_after: revoked.revoked_at, ..revoked.clone() };
    assert_eq!(refusal(client.revoke(&issuing(), HEAD, vec![early]).await), RefusalCode::OutsideValidity);
    let held = RevocationEntry { reason: 6, ..revoked.clone() };
    assert_eq!(refusal(client.revoke(&issuing(), HEAD, vec![held]).await), RefusalCode::OutsideProfile);
    let position = client.revoke(&issuing(), HEAD, vec![revoked.clone()]).await.expect("recorded");
    let again = client.revoke(&issuing(), HEAD, vec![revoked.clone()]).await.expect("found");
    assert_eq!(position, again, "idempotent");

    // Also after a restart, from the journal alone.
    rig.bank.signer.as_mut().expect("runs").kill().expect("killed");
    rig.bank.start_signer().expect("started again");
    let client = rig.client();
    let good = |entry: &RevocationEntry| rig.response(&entry.serial, CertStatus::Good(Null));
    assert_eq!(refusal(client.sign_ocsp(&ocsp(), good(&revoked)).await), RefusalCode::DeniesRevocation);
    assert_eq!(
        refusal(client.sign_crl(&issuing(), HEAD, rig.crl(2, &[])).await),
        RefusalCode::DeniesRevocation
    );
    let same_number = rig.crl(1, std::slice::from_ref(&revoked));
    assert_eq!(refusal(client.sign_crl(&issuing(), HEAD, same_number).await), RefusalCode::CrlNumber);
    let full = rig.crl(2, std::slice::from_ref(&revoked));
    let signed = client.sign_crl(&issuing(), HEAD, full.clone()).await.expect("signed");
    assert!(rig.is_issuers(&full, &signed.signature));

    let never_signed = rig.response(&[0x31; 10], CertStatus::Good(Null));
    assert_eq!(refusal(client.sign_ocsp(&ocsp(), never_signed).await), RefusalCode::DeniesRevocation);
    let revocation_time = time::to_generalized(revoked.revoked_at).expect("a time");
    let status = CertStatus::Revoked(RevokedInfo { revocation_time, revocation_reason: None });
    for response in [good(&kept), rig.response(&revoked.serial, status)] {
        let signature = client.sign_ocsp(&ocsp(), response.clone()).await.expect("signed");
        let key = rig.orders.responder.tbs_certificate().subject_public_key_info();
        verify(key, SignatureAlgorithm::EcdsaSha256, &response, &signature).expect("the responder's");
    }

    rig.bank.signer.as_mut().expect("runs").terminate(DEADLINE).expect("ended");
    let report = rig.verify_journal();
    assert_eq!(
        (&report["certificates"], &report["crls"], &report["revocations"]),
        (&2.into(), &2.into(), &1.into())
    );
    assert_eq!(report["ocsp_responses"], 2, "counted when it stopped; the first signer was killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_and_crls_at_once_never_leave_the_journal_contradicting_itself() {
    let rig = Rig::start();
    let client = rig.client();
    let mut certificates = Vec::new();
    for _ in 0..12 {
        certificates.push(issued(&rig).await);
    }
    let revoking = {
        let (client, certificates) = (client.clone(), certificates.clone());
        tokio::spawn(async move {
            for entry in certificates {
                client.revoke(&issuing(), HEAD, vec![entry]).await.expect("recorded");
            }
        })
    };
    let mut listed = 0;
    for number in 1..200 {
        let crl = rig.crl(number, &certificates[..listed]);
        match client.sign_crl(&issuing(), HEAD, crl).await {
            Ok(_) if listed == certificates.len() => break,
            Ok(_) => {}
            refused => {
                assert_eq!(refusal(refused), RefusalCode::DeniesRevocation);
                listed += 1;
            }
        }
    }
    revoking.await.expect("ran");
    // In the journal's order, each CRL has every revocation before it.
    let mut revoked = 0;
    let entries = client.entries(0, 1000).await.expect("entries");
    let shown = rig.inro_hsm(&["journal", "show", "--json", &rig.journal().display().to_string()]);
    for line in String::from_utf8(shown.stdout).expect("text").lines() {
        let shown: serde_json::Value = serde_json::from_str(line).expect("JSON");
        match shown["entry"]["kind"].as_str() {
            Some("revocation") => revoked += 1,
            Some("crl") => {
                let tbs = hex::decode(shown["entry"]["tbs"].as_str().expect("whole")).expect("hexadecimal");
                let list = <x509_cert::crl::TbsCertList as der::Decode>::from_der(&tbs).expect("a CRL");
                assert!(list.revoked_certificates.map_or(0, |entries| entries.len()) >= revoked);
                // Over the socket goes its number only.
                let entry = entries.iter().find(|entry| shown["sequence"] == entry.position.sequence);
                assert!(matches!(entry.expect("there").body, EntryBody::CrlDigest { .. }), "{entry:?}");
            }
            _ => {}
        }
    }
    assert_eq!(revoked, certificates.len());
}
