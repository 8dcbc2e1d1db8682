//! The proof of a TPM's key: exported, checked by somebody else, judged again, and taken back by the TPM's maker.

use std::process::Output;

use serde_json::{Value, json};
use softhsm_tests::{openssl::openssl_with_input, process::run};

use crate::house::{Computer, House, json};

fn sha256_of(pem: &std::path::Path) -> String {
    let fingerprint = openssl_with_input(
        &["x509", "-noout", "-fingerprint", "-sha256"],
        &std::fs::read(pem).expect("a certificate"),
    );
    let text = String::from_utf8(fingerprint.expect("a fingerprint")).expect("text");
    text.trim().rsplit('=').next().expect("a fingerprint").replace(':', "").to_lowercase()
}

/// The serial number in a certificate's DER (base64), hexadecimal.
fn serial_of(der: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let der = STANDARD.decode(der).expect("base64");
    let text = openssl_with_input(&["x509", "-inform", "DER", "-noout", "-serial"], &der).expect("a serial");
    String::from_utf8(text).expect("text").trim().trim_start_matches("serial=").to_owned()
}

fn verify(house: &House, computer: &Computer, document: &Value, more: &[&str]) -> (Option<i32>, Value) {
    let file = house.secret_file("checked.json", &document.to_string());
    let root = house.bank.path("ceremony/root.pem").display().to_string();
    let output = computer.agent(&[&["verify-evidence", &file, "--root", &root], more].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn export(house: &House, enrolled: &Value) -> (String, Value) {
    let serial =
        enrolled["certificate"]["serial"].as_str().expect("a number").replace(':', "").to_lowercase();
    let path = house.bank.path("evidence.json").display().to_string();
    let mut command = house.bank.inro_ca(&["evidence", "export", &serial, "-o", &path]).expect("inro-ca");
    run(&mut command).expect("exported");
    (serial, serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON"))
}

/// Serial numbers and codes of those who fell out.
fn fallen(report: &Value) -> Vec<(&str, &str)> {
    let fallen = report["fallen"].as_array().expect("a list").iter();
    fallen
        .map(|one| (one["serial"].as_str().expect("a number"), one["code"].as_str().expect("a code")))
        .collect()
}

#[test]
fn a_tpms_proof_leaves_the_bank_and_is_judged_again() {
    let house = House::open("tpm-export");
    let computer = house.computer("desk");
    house.user("tpm-user-20", &computer);
    let (serial, document) = export(&house, &house.enroll(&computer, "tpm-user-20"));

    // Who trusts the TPM's maker has a proof of the device; who doesn't has the bank's word.
    let anchor = sha256_of(&house.maker.root());
    let (status, said) = verify(&house, &computer, &document, &["--anchor", &anchor]);
    assert_eq!((status, &said["verdict"]), (Some(0), &json!("proven")), "{said:#}");
    for word in ["by the word of its maker", "voucher=ek-certificate", "names entry", "by its hash"] {
        assert!(said["proven"].to_string().contains(word), "{word}: {said:#}");
    }
    assert!(said["claimed"].to_string().contains("nothing here proves it"), "a TPM's PIN: {said:#}");
    let (status, said) = verify(&house, &computer, &document, &[]);
    assert_eq!((status, &said["verdict"]), (Some(5), &json!("only-claimed")), "{said:#}");

    // Every part of it is held together by signatures: none can be bent, left out or taken from elsewhere.
    let parts = document["evidence"]["parts"].as_array().expect("parts").len();
    for part in 0..parts {
        let mut bent = document.clone();
        let octets = bent["evidence"]["parts"][part].as_str().expect("base64").to_owned();
        let cut =
            if octets.len() > 8 { octets[..octets.len() / 8 * 4].to_owned() } else { "/w==".to_owned() };
        bent["evidence"]["parts"][part] = json!(cut);
        let (status, said) = verify(&house, &computer, &bent, &["--anchor", &anchor]);
        assert_eq!((status, &said["verdict"]), (Some(5), &json!("refused")), "part {part}: {said:#}");
    }
    let mut other = document.clone();
    other["request"]["ak_name"] = json!("AAsA");
    assert_eq!(verify(&house, &computer, &other, &["--anchor", &anchor]).1["verdict"], "refused");

    // Judged again: it stands, and falls with its maker.
    let rejudge =
        |more: &[&str]| house.bank.operator(&[&["evidence", "rejudge"], more].concat()).expect("a report");
    let stands = rejudge(&[]);
    assert_eq!((stands["judged"].as_u64(), fallen(&stands).len()), (Some(1), 0), "{stands}");
    let falls = rejudge(&["--without", &anchor]);
    assert_eq!(fallen(&falls), [(serial.as_str(), "evidence-unknown-issuer")], "{falls}");
}

/// The maker revokes a TPM's certificate: taken up while everything runs, told, refused at the first step, and found in what
/// was issued before.
#[test]
fn what_the_maker_took_back_is_refused_before_a_key_is_made() {
    let house = House::open("tpm-revoked");
    let computer = house.computer("desk");
    house.user("tpm-user-21", &computer);
    let (serial, document) = export(&house, &house.enroll(&computer, "tpm-user-21"));
    let crls = || house.bank.operator(&["trust", "crls"]).expect("a list");
    assert_eq!(crls(), json!([]));

    let revoked = serial_of(document["evidence"]["parts"][5].as_str().expect("the EK's certificate"));
    let crl = house.maker.crl(&[&revoked]).expect("a CRL");
    let folder = house.bank.path("maker-crls");
    std::fs::write(folder.join(".new"), &crl).expect("a file");
    std::fs::rename(folder.join(".new"), folder.join("maker.crl")).expect("in place");
    assert_eq!((&crls()[0]["state"], &crls()[0]["revoked"]), (&json!("counts"), &json!(1)));
    taken_up(&house, "\"in_use\":1");

    let rejudged = house.bank.operator(&["evidence", "rejudge"]).expect("a report");
    assert_eq!(fallen(&rejudged), [(serial.as_str(), "evidence-chain-revoked")]);
    let file = folder.join("maker.crl").display().to_string();
    let anchor = sha256_of(&house.maker.root());
    let (_, said) = verify(&house, &computer, &document, &["--anchor", &anchor, "--maker-crl", &file]);
    assert_eq!(said["verdict"], "refused", "{said:#}");
    assert!(said["wrong"].to_string().contains("revoked by its maker"), "{said:#}");

    // A new key in that TPM: refused at the first step, with nothing made and no PIN asked for.
    house.bank.operator(&["certificate", "revoke", &serial, "--reason", "superseded"]).expect("revoked");
    json(&computer.agent(&["erase", "--token", "tpm", "--yes"]), 0);
    let refused: Output = house.try_enroll(&computer, "tpm-user-21", &[]);
    json(&refused, 5);
    let handles = computer.tpm.tool("tpm2_getcap", &["handles-persistent"]).expect("a list");
    assert!(!handles.contains("0x810149"), "a key was made: {handles}");
    let rows = house.bank.audit_rows("enrolment.refused").expect("the trail");
    assert_eq!(rows[0]["details"]["why"], "evidence-chain-revoked", "{rows:?}");

    // Another TPM of the same maker is none of that.
    let other = house.computer("other");
    house.user("tpm-user-22", &other);
    house.enroll(&other, "tpm-user-22");

    // Rubbish in the folder is told and stops nothing; a CRL that vanished goes on counting, and that is told too.
    std::fs::write(folder.join("rubbish.crl"), "no CRL").expect("a file");
    std::fs::remove_file(folder.join("maker.crl")).expect("removed");
    let output = house.bank.try_operator(&["trust", "crls"]).expect("inro-ca runs");
    assert_eq!(output.status.code(), Some(7), "something wants a look");
    house.bank.logs(&["it has gone, or was put back"]);
    json(&house.try_enroll(&computer, "tpm-user-21", &[]), 5);
}

fn taken_up(house: &House, words: &str) {
    house.bank.logs(&["the makers' CRLs were taken up", words]);
}
