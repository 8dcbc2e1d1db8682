//! The main job, from an empty directory to a revocation that everybody hears of, and what it leaves behind.

use std::{fs, process::Command};

use serde_json::Value;
use softhsm_tests::{
    bank::Bank,
    binaries,
    demo::{self, Narrator, PEOPLE},
    openssl::{certificate_text, openssl},
    ports,
    process::run,
    scratch::Scratch,
};

#[test]
fn the_whole_line() {
    let scratch = Scratch::new("line").expect("a scratch directory");
    let scene = demo::tell(&scratch.join("bank"), &mut Narrator::silent()).expect("the story");
    artefacts_are_complete(&scene.bank);
    certificates_name_user_and_device(&scene.bank);
    key_is_the_cards_own(&scene);
    both_memories_are_sound(&scene.bank);
    nothing_listens_outside_loopback(&scene);
}

fn artefacts_are_complete(bank: &Bank) {
    let summary: Value =
        serde_json::from_slice(&fs::read(bank.path("summary.json")).expect("summary.json")).expect("JSON");
    assert_eq!(summary["good"], serde_json::json!(["hanako", "ichiro"]));
    assert_eq!(summary["revoked"], serde_json::json!(["yuki"]));
    for listener in ["public", "client", "staff", "validation", "ops"] {
        assert!(summary["urls"][listener].is_string(), "{listener} is missing");
    }
    for name in ["root.pem", "issuing.pem", "root.crl", "issuing.crl", "transcript.json", "inro.toml"] {
        assert!(bank.path(name).exists(), "{name} is missing");
    }
    for person in &PEOPLE {
        assert!(bank.path(format!("ocsp-{}.der", person.id)).exists(), "no OCSP response for {}", person.id);
    }
}

fn certificates_name_user_and_device(bank: &Bank) {
    for person in &PEOPLE {
        let path = bank.path(format!("users/{}.pem", person.id));
        let subject = ["x509", "-noout", "-subject", "-nameopt", "utf8,sep_comma_plus", "-in"];
        let subject = openssl(&[&subject[..], &[&path.to_string_lossy()]].concat()).expect("a subject");
        let expected = format!(
            "subject=C=JP,O=株式会社 北洋商事,OU={},UID={},CN={}",
            demo::CONTRACT,
            person.id,
            person.name
        );
        assert_eq!(subject.trim(), expected);

        let text = certificate_text(&path).expect("a certificate");
        for expected in
            ["CA:FALSE", "TLS Web Client Authentication", "1.3.6.1.4.1.32473.1.1", "crl/customer-0.crl"]
        {
            assert!(text.contains(expected), "{expected} is missing in {text}");
        }
        let parsed = openssl(&["asn1parse", "-in", &path.to_string_lossy()]).expect("ASN.1");
        let san = parsed.split("X509v3 Subject Alternative Name").nth(1).expect("a subjectAltName");
        let serial = hex::encode_upper(person.token.to_string());
        assert!(san.lines().any(|line| line.contains(&serial)), "the token's serial is not in {san}");
    }
}

/// The certificate's public key is the one in slot 9a, and the agent lists it there.
fn key_is_the_cards_own(scene: &demo::Scene) {
    let output = scene.desk.agent(&["list"]).expect("inro-agent runs");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{listed}{}", String::from_utf8_lossy(&output.stderr));
    for person in &PEOPLE {
        assert!(listed.contains(&person.token.to_string()), "{} is missing in {listed}", person.token);
        assert!(listed.contains(person.id), "{} is missing in {listed}", person.id);
    }
}

/// The ledger's audit trail and the signer's journal hold, and agree on what was issued.
fn both_memories_are_sound(bank: &Bank) {
    let audit = bank.operator(&["audit", "verify"]).expect("a sound audit trail");
    assert!(audit.to_string().contains("rows"), "{audit}");
    let mut verify = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    verify.args(["journal", "verify", "--json"]).arg(bank.path("signer/journal"));
    let journal: Value = serde_json::from_str(&run(&mut verify).expect("a sound journal")).expect("JSON");
    assert_eq!(journal["certificates"], 3, "{journal}");
    assert_eq!(journal["revocations"], 1, "{journal}");
}

fn nothing_listens_outside_loopback(scene: &demo::Scene) {
    let signer = scene.bank.signer.as_ref().expect("a signer").id();
    let authority = scene.bank.authority.as_ref().expect("an authority").id();
    for (process, expected) in [(signer, 0), (authority, 4), (scene.desk.pcscd.id(), 3)] {
        let listeners = ports::listeners(process).expect("a list");
        assert!(listeners.len() >= expected, "{listeners:?}");
        assert!(listeners.iter().all(|address| address.ip().is_loopback()), "{listeners:?}");
    }
}
