//! Who and what doesn't get a signature: strangers, broken frames, digests, and structures beyond the key's bounds.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use ca_x509::{certificate::CertificateTemplate, extension, name::NameBuilder};
use const_oid::db::rfc5280::{ID_KP_OCSP_SIGNING, ID_KP_SERVER_AUTH};
use der::asn1::Null;
use jiff::SignedDuration;
use signer_protocol::{
    client::ClientError,
    codec,
    message::{KeyLabel, PROTOCOL_VERSION, RefusalCode, Reply, ReplyBody, Request, RequestBody},
};
use softhsm_tests::bank::Bank;
use uuid::Uuid;

use crate::rig::{DEADLINE, HEAD, Rig, issuing, ocsp, refusal, tbs};

fn connect(bank: &Bank) -> UnixStream {
    let stream = UnixStream::connect(bank.path("signer/socket")).expect("connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("timeout");
    stream
}

fn send(stream: &mut UnixStream, number: u64, body: RequestBody) {
    let frame = codec::encode_request(&Request { number, deadline_ms: 10_000, body }).expect("encodes");
    stream.write_all(&frame).expect("writes");
}

fn receive(stream: &mut UnixStream) -> Reply {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a reply");
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).expect("a reply");
    codec::decode(&body).expect("a reply")
}

/// The signer closed the connection, without another word.
fn is_closed(stream: &mut UnixStream) -> bool {
    !matches!(stream.read(&mut [0; 1]), Ok(read) if read > 0)
}

fn greet(stream: &mut UnixStream) {
    send(stream, 0, RequestBody::Hello { version: PROTOCOL_VERSION });
    assert!(matches!(receive(stream).body, ReplyBody::Welcome { .. }));
}

type Case<'a> = (&'a str, RefusalCode, Box<dyn Fn(&mut CertificateTemplate) + 'a>);

#[tokio::test(flavor = "multi_thread")]
async fn structures_beyond_the_keys_bounds_are_refused_and_leave_no_trace() {
    let rig = Rig::start();
    let client = rig.client();
    let other = NameBuilder::new().common_name("Example Root CA").build().expect("a name");
    let day = SignedDuration::from_hours(24);
    let cases: Vec<Case<'_>> = vec![
        (
            "CA:TRUE",
            RefusalCode::OutsideProfile,
            Box::new(|t| {
                t.extensions.push(extension::certificate_authority(Some(0)).expect("an extension"));
            }),
        ),
        ("another issuer", RefusalCode::WrongIssuer, Box::new(|t| t.issuer = other.clone())),
        ("past the issuer's end", RefusalCode::OutsideValidity, Box::new(|t| t.not_after += day * 366 * 11)),
        ("longer than the profile", RefusalCode::OutsideValidity, Box::new(|t| t.not_after += day * 60)),
        ("backdated", RefusalCode::OutsideValidity, Box::new(|t| t.not_before -= day)),
        (
            "serverAuth",
            RefusalCode::OutsideProfile,
            Box::new(|t| {
                t.extensions[1] = extension::extended_key_usage(&[ID_KP_SERVER_AUTH]).expect("an extension");
            }),
        ),
        (
            "OCSPSigning for another key",
            RefusalCode::OutsideProfile,
            Box::new(|t| {
                t.extensions[1] = extension::extended_key_usage(&[ID_KP_OCSP_SIGNING]).expect("an extension");
                t.extensions.push(extension::ocsp_no_check().expect("an extension"));
            }),
        ),
        (
            "the CA's own key",
            RefusalCode::OutsideProfile,
            Box::new(|t| {
                t.public_key = rig.orders.issuer.tbs_certificate().subject_public_key_info().clone();
                let identifier = ca_x509::key::identifier(&t.public_key).expect("an identifier");
                t.extensions[4] = extension::subject_key_identifier(identifier).expect("an extension");
            }),
        ),
    ];
    let mut told = Vec::new();
    for (what, code, spoil) in &cases {
        let (mut template, intent) = (rig.certificate(), Uuid::new_v4());
        spoil(&mut template);
        let refused = client.sign_certificate(&issuing(), intent, HEAD, tbs(&template)).await;
        assert_eq!(refusal(refused), *code, "{what}");
        told.push((*what, intent, format!("{code:?}")));
    }
    drop(cases);

    let structure = tbs(&rig.certificate());
    let sign = |key: KeyLabel, octets: Vec<u8>| {
        let client = client.clone();
        async move { refusal(client.sign_certificate(&key, Uuid::new_v4(), HEAD, octets).await) }
    };
    for algorithm in [&aws_lc_rs::digest::SHA256, &aws_lc_rs::digest::SHA384, &aws_lc_rs::digest::SHA512] {
        let digest = aws_lc_rs::digest::digest(algorithm, &structure).as_ref().to_vec();
        assert_eq!(sign(issuing(), digest.clone()).await, RefusalCode::Malformed, "a digest");
        // RFC 8017, 9.2: what an RSA key would pad and sign.
        let info = [&[0x30, 0x31, 0x30, 0x0d][..], &digest].concat();
        assert_eq!(sign(issuing(), info).await, RefusalCode::Malformed, "a digest in its clothes");
        assert_eq!(refusal(client.sign_ocsp(&ocsp(), digest.clone()).await), RefusalCode::Malformed);
        assert_eq!(refusal(client.sign_crl(&issuing(), HEAD, digest).await), RefusalCode::Malformed);
    }
    assert_eq!(sign(issuing(), vec![0x30; 20_000]).await, RefusalCode::TooLarge);
    assert_eq!(sign(issuing(), vec![0x30; 100_000]).await, RefusalCode::TooLarge, "larger than a frame");
    assert_eq!(sign(KeyLabel("root".to_owned()), structure.clone()).await, RefusalCode::WrongKey);
    assert_eq!(sign(ocsp(), structure.clone()).await, RefusalCode::WrongKey, "a certificate by the OCSP key");
    assert_eq!(refusal(client.sign_ocsp(&ocsp(), structure.clone()).await), RefusalCode::Malformed);
    assert_eq!(refusal(client.sign_crl(&issuing(), HEAD, structure.clone()).await), RefusalCode::Malformed);
    let response = rig.response(&[1; 17], ca_x509::ocsp::CertStatus::Unknown(Null));
    assert_eq!(refusal(client.sign_ocsp(&issuing(), response).await), RefusalCode::WrongKey);

    assert_eq!(rig.verify_journal()["entries"], 0, "no refusal left a signature");
    let signed =
        client.sign_certificate(&issuing(), Uuid::new_v4(), HEAD, structure.clone()).await.expect("signed");
    assert!(rig.is_issuers(&structure, &signed.signature));
    // Nobody else hears of a refusal: the log says of each who asked for what, and why not.
    let log = rig.bank.signer.as_ref().expect("runs").log();
    let uid = rustix::process::getuid().as_raw();
    for (what, intent, code) in told {
        let line = log.lines().find(|line| line.contains(&intent.to_string()));
        let line = line.unwrap_or_else(|| panic!("{what} isn't logged: {log}"));
        for needed in ["refused", "SignCertificate", &code, &uid.to_string()] {
            assert!(line.contains(needed), "{what}: no {needed} in {line}");
        }
    }
    for code in ["Malformed", "TooLarge", "WrongKey"] {
        assert!(log.contains(code), "{code}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_local_user_is_not_served() {
    let mut rig = Rig::prepare();
    let uid = rustix::process::getuid().as_raw();
    rig.edit(&format!("allowed_uids = [{uid}]"), &format!("allowed_uids = [{}]", uid + 1));
    rig.bank.start_signer().expect("the signer");
    let refused = rig.client().status().await.expect_err("not allowed");
    assert!(matches!(refused, ClientError::Unavailable { .. }), "{refused:?}");
    // Nor by speaking first, as if it had been greeted.
    let mut stream = connect(&rig.bank);
    let frame = codec::encode_request(&Request { number: 0, deadline_ms: 1_000, body: RequestBody::Journal });
    let _ = stream.write_all(&frame.expect("encodes"));
    assert!(is_closed(&mut stream), "it was answered");
    let signer = rig.bank.signer.as_mut().expect("runs");
    signer.wait_for_log("this user may not use the signer", DEADLINE).expect("logged");
    let log = signer.log();
    let line = log.lines().find(|line| line.contains("this user may not use the signer")).expect("a line");
    assert!(line.contains(&uid.to_string()), "who it was: {line}");
    assert_eq!(rig.verify_journal()["entries"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_conversations_end_alone() {
    let rig = Rig::start();
    let client = rig.client();
    client.welcome().await.expect("greeted");
    let memory = || {
        let id = rig.bank.signer.as_ref().expect("runs").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("its memory");
        let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("VmHWM").to_owned();
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("kibibytes")
    };
    let before = memory();

    for claimed in [u32::MAX, 0x0500_0000, 70_000] {
        let mut four_gigabytes = connect(&rig.bank);
        greet(&mut four_gigabytes);
        four_gigabytes.write_all(&claimed.to_be_bytes()).expect("writes");
        let _ = four_gigabytes.write_all(&[0; 4096]);
        assert!(is_closed(&mut four_gigabytes), "{claimed}");
    }
    assert!(memory() < before + 32 * 1024, "nothing was allocated on a claim");

    let mut silent_about_itself = connect(&rig.bank);
    send(&mut silent_about_itself, 3, RequestBody::Status);
    let reply = receive(&mut silent_about_itself);
    assert!(matches!(reply.body, ReplyBody::Refused(refusal) if refusal.code == RefusalCode::Protocol));
    assert!(is_closed(&mut silent_about_itself));

    let mut of_another_time = connect(&rig.bank);
    send(&mut of_another_time, 0, RequestBody::Hello { version: PROTOCOL_VERSION + 1 });
    let reply = receive(&mut of_another_time);
    assert!(matches!(reply.body, ReplyBody::Refused(refusal) if refusal.code == RefusalCode::Protocol));

    let mut babbling = connect(&rig.bank);
    greet(&mut babbling);
    babbling.write_all(&[0, 0, 0, 3, 0xff, 0xff, 0xff]).expect("writes");
    assert!(is_closed(&mut babbling));

    let mut greeting_twice = connect(&rig.bank);
    greet(&mut greeting_twice);
    send(&mut greeting_twice, 7, RequestBody::Hello { version: PROTOCOL_VERSION });
    let reply = receive(&mut greeting_twice);
    assert_eq!(reply.number, 7);
    assert!(matches!(reply.body, ReplyBody::Refused(refusal) if refusal.code == RefusalCode::Protocol));

    assert!(client.status().await.expect("still served").healthy);
    assert_eq!(rig.verify_journal()["entries"], 0, "nothing was signed or changed");
    let log = rig.bank.signer.as_ref().expect("runs").log();
    let of = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(of("a peer broke the protocol"), 4, "three claims and one babble: {log}");
    assert_eq!(of("greeted wrongly"), 2, "one silent about itself, one of another time: {log}");
    assert!(of("refused") >= 3, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded() {
    let mut rig = Rig::prepare();
    rig.edit("allowed_uids", "max_connections = 3\nallowed_uids");
    rig.bank.start_signer().expect("the signer");
    let mut held: Vec<UnixStream> = (0..3).map(|_| connect(&rig.bank)).collect();
    held.iter_mut().for_each(greet);
    assert!(is_closed(&mut connect(&rig.bank)), "one too many");
    for stream in &mut held {
        send(stream, 1, RequestBody::Certificates);
        assert!(matches!(receive(stream).body, ReplyBody::Certificates(keys) if keys.len() == 2));
    }
    drop(held);
    let client = rig.client();
    let served = async {
        while client.welcome().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, served).await.expect("a place is free again");
}

#[test]
fn a_root_is_never_configured() {
    let rig = Rig::prepare();
    let check = || rig.inro_hsm(&["signer", "--check", "--config", "signer.toml"]);
    assert!(check().status.success());
    rig.edit("ceremony/issuing.pem", "ceremony/root.pem");
    let output = check();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(words.contains("self-signed") && words.contains("ceremonies only"), "{words}");
    let started = rig.inro_hsm(&["signer", "--config", "signer.toml"]);
    assert!(!started.status.success(), "nor does it start");
    assert!(!rig.journal().exists());
}

#[test]
fn mistakes_in_the_configuration_are_told_together_with_remedies() {
    let rig = Rig::prepare();
    rig.edit("secrets/online-pin", "secrets/no-pin");
    rig.edit("id = \"21\"", "id = \"11\"");
    let output = rig.inro_hsm(&["signer", "--check", "--config", "signer.toml"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(words.contains("token: pin_file") && words.contains("0600"), "{words}");
    assert!(words.contains("each key has its own"), "{words}");
    rig.edit("name = \"customer-1\"", "name = \"customer-1\"\nroot = true");
    let output = rig.inro_hsm(&["signer", "--check", "--config", "signer.toml"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown field `root`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_its_certificates_is_never_used() {
    let rig = Rig::prepare();
    rig.edit("id = \"11\"", "id = \"12\"");
    let mut signer = rig.spawn("mismatch");
    signer.wait_for_log("is not the one in its certificate", DEADLINE).expect("noticed");
    signer
        .wait_until("its socket", DEADLINE, |_| Ok(rig.bank.path("signer/socket").exists()))
        .expect("listens");
    let template = rig.certificate();
    let refused = rig.client().sign_certificate(&issuing(), Uuid::new_v4(), HEAD, tbs(&template)).await;
    assert!(matches!(refused, Err(ClientError::Unavailable { .. })), "{refused:?}");
    assert!(!signer.log().contains("signer ready"));
}
