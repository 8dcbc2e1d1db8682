//! What would this policy have refused? A line for each certificate, and nothing is changed by asking.

use softhsm_tests::{
    bank::{Bank, SoftToken},
    virtual_yubikey::{Algorithm, Profile},
};

use crate::rig::{House, NEW};

#[test]
fn a_dry_run_names_who_would_fall_out_and_changes_nothing() {
    let house = House::open("policy-dry-run");
    let profiles = [
        ("1000001", Profile { fips: true, ..Profile::new(62_000_001, NEW) }, Algorithm::P256),
        ("2000001", Profile::new(62_000_002, NEW), Algorithm::P256),
        ("3000001", Profile { fips: true, ..Profile::new(62_000_003, NEW) }, Algorithm::Rsa2048),
        ("4000001", Profile::new(62_000_004, NEW), Algorithm::P256),
    ];
    let mut serials = Vec::new();
    for (contract, profile, algorithm) in profiles {
        let user = house.contract(contract, Some(profile.serial));
        let key = format!("policy-dry-run-{}", profile.serial);
        let token = SoftToken::with_algorithm(&house.bank, profile, algorithm).expect("a token");
        let certified = house.client.enroll(&user, &token, &key).expect("an answer").expect("a certificate");
        serials.push(Bank::serial_of(&certified.certificate.0).expect("a serial"));
    }
    house.bank.operator(&["certificate", "revoke", &serials[3], "--reason", "superseded"]).expect("revoked");

    let file = house.file("fips-ec", 1, "algorithms = [\"p256\", \"p384\"]\n[yubikey]\nfips_only = true");
    // The authority's own jobs write when they will.
    let of_people = || -> Vec<String> {
        let rows = house.bank.operator(&["audit", "list"]).expect("the trail");
        let rows = rows.as_array().expect("a list").clone();
        let people = rows.into_iter().filter(|row| row["actor"] != "system");
        people.map(|row| row["action"].to_string()).collect()
    };
    let before = of_people();
    let report = house.bank.operator(&["policy", "dry-run", &file]).expect("a report");
    assert_eq!(report["judged"], 3, "what is revoked isn't judged");
    let refused: Vec<(&str, &str)> = report["refused"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| (line["serial"].as_str().expect("a serial"), line["code"].as_str().expect("a code")))
        .collect();
    let expected =
        [(serials[1].as_str(), "evidence-not-of-series"), (serials[2].as_str(), "evidence-algorithm")];
    assert_eq!(refused, expected, "in the order of issuance");
    assert_eq!(report["reasons"]["evidence-not-of-series"], 1);
    let one = house.bank.operator(&["policy", "dry-run", &file, "--contract", "1000001"]).expect("a report");
    assert_eq!((&one["judged"], &one["refused"]), (&1.into(), &serde_json::json!([])));

    // What isn't about evidence counts too: these users were bound by an assigned serial.
    let codes = house.file("codes", 1, "binding = [\"acquisition-code\"]");
    let report = house.bank.operator(&["policy", "dry-run", &codes]).expect("a report");
    assert_eq!(report["reasons"]["binding-not-accepted"], 3);
    assert_eq!(of_people(), before, "nothing was written");
    assert_eq!(house.bank.operator(&["policy", "list"]).expect("a list").as_array().map(Vec::len), Some(1));
}
