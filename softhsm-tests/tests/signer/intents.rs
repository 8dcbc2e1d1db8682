//! An intent is signed once: repeated, in parallel, across restarts.

use signer_protocol::message::{EntryBody, RefusalCode};
use uuid::Uuid;

use crate::rig::{DEADLINE, HEAD, Rig, issuing, refusal, tbs};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_intent_and_bytes_give_the_recorded_signature_for_ever() {
    let mut rig = Rig::start();
    let intent = Uuid::new_v4();
    let octets = tbs(&rig.certificate());
    let client = rig.client();
    let parallel = (0..50).map(|_| {
        let (client, octets) = (client.clone(), octets.clone());
        tokio::spawn(async move { client.sign_certificate(&issuing(), intent, HEAD, octets).await })
    });
    let mut signatures = Vec::new();
    for task in parallel.collect::<Vec<_>>() {
        signatures.push(task.await.expect("ran").expect("signed"));
    }
    let first = signatures[0].clone();
    assert!(rig.is_issuers(&octets, &first.signature));
    // ECDSA signatures differ each time, so equal ones are the same one.
    assert!(signatures.iter().all(|s| s.signature == first.signature && s.position == first.position));
    assert_eq!(rig.verify_journal()["certificates"], 1);

    let mut other = rig.certificate();
    other.serial = Uuid::new_v4().as_bytes()[..8].to_vec();
    other.serial[0] &= 0x7f;
    other.serial[0] |= 1;
    let reused = client.sign_certificate(&issuing(), intent, HEAD, tbs(&other)).await;
    assert_eq!(refusal(reused), RefusalCode::IntentReused);

    let ended = rig.bank.signer.as_mut().expect("runs").terminate(DEADLINE).expect("ended");
    assert!(ended.success(), "{ended}");
    assert!(!rig.bank.path("signer/socket").exists(), "its socket is gone");
    rig.bank.start_signer().expect("started again");
    let again =
        rig.client().sign_certificate(&issuing(), intent, HEAD, octets.clone()).await.expect("recorded");
    assert_eq!((again.signature, again.position), (first.signature.clone(), first.position));
    let entry = rig.client().recorded(intent).await.expect("answered").expect("recorded");
    assert_eq!(Some(entry.position), first.position);
    let expected = EntryBody::Certificate {
        key: issuing(),
        intent,
        audit_head: HEAD,
        tbs: octets,
        signature: first.signature,
    };
    assert_eq!(entry.body, expected);
    assert!(rig.client().recorded(Uuid::new_v4()).await.expect("answered").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_rivals_for_one_intent_or_serial_number_one_is_signed() {
    let rig = Rig::start();
    let client = rig.client();
    let intent = Uuid::new_v4();
    let rivals = (0..20).map(|_| {
        let (client, octets) = (client.clone(), tbs(&rig.certificate()));
        tokio::spawn(async move { client.sign_certificate(&issuing(), intent, HEAD, octets).await })
    });
    let mut signed = 0;
    for rival in rivals.collect::<Vec<_>>() {
        match rival.await.expect("ran") {
            Ok(_) => signed += 1,
            refused => assert_eq!(refusal(refused), RefusalCode::IntentReused),
        }
    }
    assert_eq!(signed, 1, "one intent");

    let serial = [0x21; 12];
    let rivals = (0..20).map(|_| {
        let (client, octets) = (client.clone(), tbs(&rig.certificate_with(&serial)));
        tokio::spawn(async move { client.sign_certificate(&issuing(), Uuid::new_v4(), HEAD, octets).await })
    });
    let mut signed = 0;
    for rival in rivals.collect::<Vec<_>>() {
        match rival.await.expect("ran") {
            Ok(_) => signed += 1,
            refused => assert_eq!(refusal(refused), RefusalCode::SerialReused),
        }
    }
    assert_eq!(signed, 1, "one serial number");
    assert_eq!(rig.verify_journal()["certificates"], 2);

    let entries = client.entries(0, 10).await.expect("entries");
    assert_eq!(entries.iter().map(|entry| entry.position.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(client.entries(1, 10).await.expect("entries").len(), 1);
    assert_eq!(client.entries(0, 1).await.expect("entries").len(), 1);
    assert!(client.entries(2, 10).await.expect("entries").is_empty());
    let status = client.status().await.expect("status");
    assert!(status.healthy, "{status:?}");
    assert_eq!(status.journal, Some(entries[1].position));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_belongs_to_one_signer() {
    let rig = Rig::start();
    let mut second = rig.spawn("second");
    let ended = second.wait(DEADLINE).expect("ended");
    assert!(!ended.success());
    assert!(second.log().contains("in use by another process"), "{}", second.log());
    assert!(rig.client().status().await.expect("the first still serves").healthy);
}
