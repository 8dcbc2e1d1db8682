//! The registration API for the bank's own systems: batches with a result for each entry, clients that aren't machines,
//! limits, and connections that break.

mod clients;
#[path = "../customers/mod.rs"]
mod customers;
mod limits;
mod rig;

use std::collections::HashSet;

use ca_wire::{
    Base64Url,
    enrolment::DeviceClaim,
    machine::{Issued, OpenEntry, Stage},
    problem::Code,
};
use reqwest::Method;
use rig::{Branch, CERTIFY, OPEN, certifications, code, done, honest, key, openings};
use serde_json::{Value, json};
use softhsm_tests::{
    bank::{Answer, SoftToken},
    virtual_yubikey::Misbehaviour,
};

#[test]
fn a_batch_of_users_gets_certificates_and_repeats_get_the_same() {
    let branch = Branch::open("registration");
    let users = branch.users(20);
    let opened = branch.opened(openings(&users));
    let certify = certifications(&users, &opened);
    let results = branch.machine.certify(certify.clone()).expect("results");
    assert!(results.iter().all(|result| result.status == 201), "{results:?}");
    let issued: Vec<Issued> = results.into_iter().map(done).collect();
    let distinct: HashSet<&Vec<u8>> = issued.iter().map(|issued| &issued.certificate.0).collect();
    assert_eq!((distinct.len(), branch.journaled()), (20, 20));
    assert_eq!(branch.machine.enrolment(opened[0].enrolment_id).expect("a status").stage, Stage::Issued);

    let again = branch.machine.certify(certify).expect("results");
    assert!(again.iter().all(|result| result.status == 200));
    assert_eq!(again.into_iter().map(done).collect::<Vec<_>>(), issued);
    for (reopened, issued) in branch.machine.open(openings(&users)).expect("results").into_iter().zip(&issued)
    {
        assert_eq!(reopened.status, 200);
        assert_eq!(done(reopened).certified.expect("the certificate").certificate, issued.certificate);
    }
    assert_eq!(branch.journaled(), 20);

    let confirm = users.iter().zip(opened.iter().zip(&issued));
    let confirm = confirm.map(|((user, _), (opened, issued))| {
        SoftToken::confirm_entry(opened, &issued.certificate.0, &key(user))
    });
    let confirmed = branch.machine.confirm(confirm.collect()).expect("results");
    assert!(confirmed.results.iter().all(|result| result.status == 200), "{confirmed:?}");
    let status = branch.machine.enrolment(opened[0].enrolment_id).expect("a status");
    assert_eq!(
        (status.stage, &*status.user_id, &*status.contract),
        (Stage::Confirmed, "branch-0", "8800000")
    );
    assert_eq!(status.certified.expect("the certificate").certificate, issued[0].certificate);

    // The trail says who it was.
    for action in ["enrolment.opened", "certificate.intended", "certificate.issued", "certificate.confirmed"]
    {
        let rows = branch.house.audit(action);
        assert_eq!(rows.len(), 20, "{action}");
        assert!(rows.iter().all(|row| row["actor"] == "machine:terminals"), "{rows:?}");
    }
    branch.house.bank.operator(&["audit", "verify"]).expect("a sound trail");
}

/// One bad entry never fails the others; whom a machine vouches for must be there, bound to the token, and within rules.
#[test]
fn every_opening_of_a_mixed_batch_is_judged_by_itself() {
    let branch = Branch::open("registration-mixed");
    let users = branch.users(5);
    let strange = branch.token(honest(44_999_999));
    branch.house.bank.operator(&["user", "suspend", &users[4].0]).expect("suspended");
    let opening = |n: usize, name: &str| users[n].1.open_entry(&users[n].0, &key(name));
    let floppy = DeviceClaim { kind: "floppy".to_owned(), ..opening(2, "floppy").device };
    let entries: Vec<Value> = [
        opening(0, "good"),
        strange.open_entry(&users[1].0, &key("wrong-device")),
        users[1].1.open_entry("nobody-00", &key("nobody")),
        users[1].1.open_entry("NOT AN ID", &key("no-id")),
        opening(2, "good").clone(),
        OpenEntry { device: floppy, ..opening(2, "floppy") },
        opening(3, "good-too"),
        opening(3, "good-too"),
        opening(4, "suspended"),
        OpenEntry { idempotency_key: "short".to_owned(), ..opening(2, "x") },
    ]
    .into_iter()
    .map(|entry| serde_json::to_value(entry).expect("JSON"))
    .chain([json!(7), json!({"user_id": 5}), json!({"user_id": "x", "password": "hunter2-hunter2"})])
    .collect();
    let response = branch.machine.request(Method::POST, OPEN).json(&json!({ "entries": entries })).send();
    let text = response.expect("a response").text().expect("text");
    assert!(!text.contains("hunter2"), "{text}");
    let results: ca_wire::machine::OpenResults = serde_json::from_str(&text).expect("results");
    let results = results.results;
    let codes: Vec<Option<Code>> = results.iter().map(|r| r.problem.as_ref().map(|_| code(r))).collect();
    // One of the two with the same key for different users came first; the other lost its key.
    assert!(matches!(
        (codes[0], codes[4]),
        (None, Some(Code::IdempotencyKey)) | (Some(Code::IdempotencyKey), None)
    ));
    let expected = [Some(Code::WrongDevice), Some(Code::UserUnknown), Some(Code::UserUnknown)];
    assert_eq!(codes[1..4], expected);
    let expected = [
        Some(Code::MalformedRequest),
        None,
        None,
        Some(Code::NotPermitted),
        Some(Code::IdempotencyKey),
        Some(Code::MalformedRequest),
        Some(Code::MalformedRequest),
        Some(Code::MalformedRequest),
    ];
    assert_eq!(codes[5..], expected);
    let twice: Vec<_> = results[6..8].iter().map(|r| r.result.as_ref().expect("open").enrolment_id).collect();
    assert_eq!(twice[0], twice[1], "one enrolment for the same entry twice");
    let whys = branch.whys("enrolment.refused");
    for why in
        ["binding-other-device-assigned", "no-such-user", "policy-user-suspended", "idempotency-key-reused"]
    {
        assert!(whys.contains(why), "{why}: {whys:?}");
    }
    assert!(branch.house.audit("enrolment.refused").iter().all(|row| row["actor"] == "machine:terminals"));
    assert_eq!(branch.journaled(), 0);
}

/// The same evidence path as everybody's: a machine's word replaces the password, never the proof.
#[test]
fn every_certification_of_a_mixed_batch_is_judged_by_itself() {
    let branch = Branch::open("registration-evidence");
    let mut users = branch.users(7);
    for (user, lie) in [(1, Misbehaviour::AttestationKeyReplaced), (2, Misbehaviour::PinPolicyNever)] {
        users[user].1 =
            branch.token(honest(44_000_000 + u32::try_from(user).expect("small")).misbehaving(lie));
    }
    let opened = branch.opened(openings(&users));
    let mut entries = certifications(&users, &opened);
    // Evidence and answer of another enrolment; a key born elsewhere, without evidence of its own; a forged bearer.
    let (evidence, answer) = (entries[0].evidence.clone(), entries[0].challenge_signature.clone());
    (entries[3].evidence, entries[3].challenge_signature) = (evidence, answer);
    let imported = branch.token(honest(44_000_004));
    entries[4].csr = Base64Url(imported.request(|_| {}).expect("a request"));
    entries[5].bearer = "A".repeat(43);
    branch.house.bank.operator(&["user", "assign-token", &users[6].0, "--remove"]).expect("taken away");
    let mut broken = serde_json::to_value(&entries[0]).expect("JSON");
    broken["csr"] = json!("not base64!");
    let mut unknown = serde_json::to_value(&entries[0]).expect("JSON");
    unknown["evidence"]["format"] = json!("a-promise");
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| serde_json::to_value(entry).expect("JSON"))
        .chain([broken, unknown])
        .collect();
    let response = branch.machine.request(Method::POST, CERTIFY).json(&json!({ "entries": entries })).send();
    let results: ca_wire::machine::CertifyResults = response.expect("a response").json().expect("results");
    let results = results.results;
    assert_eq!(results[0].status, 201, "{:?}", results[0]);
    let codes: Vec<Code> = results[1..].iter().map(code).collect();
    let expected = [
        Code::EvidenceRefused,
        Code::EvidenceRefused,
        Code::EvidenceRefused,
        Code::EvidenceRefused,
        Code::BearerInvalid,
        Code::WrongDevice,
        Code::MalformedRequest,
        Code::MalformedRequest,
    ];
    assert_eq!(codes, expected);
    assert_eq!(branch.journaled(), 1, "something else was signed");
    let whys = branch.whys("certification.refused");
    for why in ["evidence-pin-policy", "evidence-key-mismatch", "bearer-invalid", "policy-token-not-assigned"]
    {
        assert!(whys.contains(why), "{why}: {whys:?}");
    }
    let refused = branch.machine.enrolment(opened[2].enrolment_id).expect("a status");
    assert_eq!(
        (refused.stage, refused.problem.expect("a refusal").code),
        (Stage::Refused, Code::EvidenceRefused)
    );
    assert!(refused.certified.is_none());
}

/// Rule 1 under one batch: one certificate per user, and never more than the plan has.
#[test]
fn rule_1_holds_within_a_batch() {
    let branch = Branch::open("registration-quota");
    branch.house.bank.register_contract("9900000", "満員商事").expect("a contract");
    let users: Vec<(String, SoftToken)> = (0..9)
        .map(|number| {
            let (id, token) = (format!("full-{number}"), 45_000_000 + number);
            branch.user(&id, "9900000", token);
            (id, branch.token(honest(token)))
        })
        .collect();
    let opened = branch.opened(openings(&users));
    // The same user once more, with another key and enrolment.
    let (user, token) = &users[0];
    let second = branch.opened(vec![token.open_entry(user, &key("second"))]).remove(0);
    let mut entries = certifications(&users, &opened);
    entries.push(token.certify_entry(&second, &key("second")).expect("evidence"));
    let results = branch.machine.certify(entries).expect("results");
    assert_eq!(results.iter().filter(|result| result.status == 201).count(), 9);
    let refused: Vec<Code> = results.iter().filter(|r| r.problem.is_some()).map(code).collect();
    assert_eq!(refused, [Code::AlreadyCertified]);
    let late = branch.machine.open(vec![token.open_entry(user, &key("third"))]).expect("results");
    assert_eq!(code(&late[0]), Code::AlreadyCertified);
    assert_eq!(branch.journaled(), 9);
}

/// An agent and a machine are two ways to one enrolment: neither gets a second certificate beside the other's.
#[test]
fn agent_and_machine_meet_in_one_enrolment() {
    let branch = Branch::open("registration-agent");
    let users = branch.users(1);
    let (user, token) = &users[0];
    let by_machine = branch.opened(openings(&users)).remove(0);
    let by_agent = branch.house.client.open(user, token, &key(user)).expect("an answer").expect("the same");
    assert_eq!((by_agent.enrolment_id, &by_agent.bearer), (by_machine.enrolment_id, &by_machine.bearer));
    let certify = token.certify(&by_agent).expect("evidence");
    let agents: Answer<_> = branch.house.client.certify(&by_agent, &certify, &key(user)).expect("an answer");
    let results = branch.machine.certify(certifications(&users, &[by_machine])).expect("results");
    assert_eq!(results[0].status, 200);
    assert_eq!(
        done(results.into_iter().next().expect("one")).certificate,
        agents.expect("a certificate").certificate
    );
    assert_eq!(branch.journaled(), 1);
}
