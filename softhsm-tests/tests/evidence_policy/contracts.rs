//! Contracts with different policies: who fits is certified under the name and version of the policy, who doesn't is
//! refused by its own code, and a change is followed without restart.

use ca_wire::{
    Base64Url,
    enrolment::{Certify, DeviceClaim, Evidence, Opened},
    problem::Code,
};
use softhsm_tests::{
    bank::{Desk, EnrolmentClient, SoftToken, challenge},
    virtual_yubikey::{Algorithm, Profile},
};

use crate::rig::{House, NEW, once_in_force};

fn algorithms(opened: &Opened) -> &[String] {
    &opened.key.algorithms
}

#[test]
fn each_contract_is_judged_by_its_own_policy() {
    let house = House::open("policy-contracts");
    let fips = house.contract("1000001", Some(60_000_001));
    let rsa = house.contract("2000001", Some(60_000_002));
    let plain = house.contract("3000001", Some(60_000_003));
    house.set("fips-only", 1, "algorithms = [\"p256\"]\n[yubikey]\nfips_only = true");
    house.set("rsa-only", 1, "algorithms = [\"rsa2048\"]");
    house.assign("1000001", "fips-only");
    house.assign("2000001", "rsa-only");

    // A device that isn't of the FIPS series, and one that is.
    let token = house.token(Profile::new(60_000_001, NEW));
    let opened = house.opened_when(&fips, &token, |opened| algorithms(opened) == ["p256"]);
    house.refuses(&opened, (&fips, &token), (Code::EvidenceRefused, "evidence-not-of-series"));
    house.bank.operator(&["user", "assign-token", &fips, "--serial", "60000011"]).expect("another token");
    let token = house.token(Profile { fips: true, ..Profile::new(60_000_011, NEW) });
    let opened = house.opened_when(&fips, &token, |_| true);
    let shown = house.shown(&house.certify(&opened, &token).expect("a certificate"));
    assert_eq!(
        (&shown["evidence"]["policy"], &shown["evidence"]["policy_version"]),
        (&"fips-only".into(), &1.into())
    );

    // The agent is told what to generate, and what it generates in spite of that isn't certified.
    let token = house.token(Profile::new(60_000_002, NEW));
    let opened = house.opened_when(&rsa, &token, |opened| algorithms(opened) == ["rsa2048"]);
    house.refuses(&opened, (&rsa, &token), (Code::EvidenceRefused, "evidence-algorithm"));
    house.bank.operator(&["user", "assign-token", &rsa, "--serial", "60000012"]).expect("another token");
    let profile = Profile::new(60_000_012, NEW);
    let token = SoftToken::with_algorithm(&house.bank, profile, Algorithm::Rsa2048).expect("a token");
    let opened = house.opened_when(&rsa, &token, |_| true);
    let shown = house.shown(&house.certify(&opened, &token).expect("a certificate"));
    assert_eq!(shown["evidence"]["policy"], "rsa-only");

    // Nobody else is touched.
    let token = house.token(Profile::new(60_000_003, NEW));
    let opened = house.opened_when(&plain, &token, |opened| algorithms(opened).len() == 5);
    let shown = house.shown(&house.certify(&opened, &token).expect("a certificate"));
    assert_eq!(shown["evidence"]["policy"], "bank");
}

/// From the agent's first question to the verdict: the card generates what the contract's policy wants, and the policy's
/// second version holds without restart.
#[test]
fn an_agent_follows_the_contracts_policy_as_it_changes() {
    let house = House::open("policy-agent");
    let user = house.contract("1000001", Some(60_100_001));
    house.set("touched", 1, "[yubikey]\ntouch = [\"always\"]");
    house.assign("1000001", "touched");
    let token = house.token(Profile::new(60_100_001, NEW));
    let opened = house.opened_when(&user, &token, |opened| opened.key.touch_policy == "always");
    house.refuses(&opened, (&user, &token), (Code::EvidenceRefused, "evidence-touch-policy"));

    let profiles = vec![Profile::new(60_100_001, NEW)];
    let desk = Desk::new(&house.scratch.join("desk"), house.bank.attestation(), profiles).expect("a desk");
    let enrolled = desk.enroll(&house.bank, &user, 60_100_001).expect("a certificate");
    let serial = enrolled["certificate"]["serial"].as_str().expect("a serial").to_lowercase();
    let shown = house.bank.operator(&["certificate", "show", &serial]).expect("the certificate");
    let decoded = shown["evidence"]["decoded"].as_array().expect("lines");
    assert!(decoded.iter().any(|line| line == "touch_policy=always"), "{decoded:?}");
    assert_eq!(shown["evidence"]["policy"], "touched");

    // The bank lets it go again: the next version is in force within seconds, under the same process.
    house.bank.operator(&["certificate", "revoke", &serial, "--reason", "superseded"]).expect("revoked");
    house.set("touched", 2, "[yubikey]\ntouch = [\"never\", \"always\"]");
    let token = house.token(Profile::new(60_100_001, NEW));
    let key = "policy-test-second-version";
    let opening = EnrolmentClient::opening(&user, &token);
    let open = || house.client.open_with(&opening, key).expect("an answer").expect("an enrolment");
    let opened = once_in_force(open, |opened| opened.key.touch_policy == "never");
    let certified = house.certify(&(opened, key.to_owned()), &token).expect("a certificate");
    let shown = house.shown(&certified);
    let evidence = &shown["evidence"];
    assert_eq!((&evidence["policy"], &evidence["policy_version"]), (&"touched".into(), &2.into()));
}

/// Keys that are only claimed to live in a token, where the contract's policy takes the claim; the certificate says so.
#[test]
fn asserted_keys_are_for_contracts_that_allow_them() {
    let house = House::open("policy-asserted");
    let users = [house.contract("1000001", None), house.contract("2000001", None)];
    house.set(
        "claimed",
        1,
        "devices = [\"yubikey-piv\", \"pkcs11\"]\nlowest_assurance = \"asserted\"\nalgorithms = [\"p256\"]",
    );
    house.assign("1000001", "claimed");
    let open = |user: &str, serial: &str| {
        let arguments = ["user", "assign-token", user, "--kind", "pkcs11", "--serial", serial];
        house.bank.operator(&arguments).expect("a token");
        let stand_in = house.token(Profile::new(60_200_001, NEW));
        let device =
            DeviceClaim { kind: "pkcs11".to_owned(), serial: serial.to_owned(), firmware: String::new() };
        let opening = ca_wire::enrolment::Open { device, ..EnrolmentClient::opening(user, &stand_in) };
        (opening, stand_in)
    };
    let (opening, token) = open(&users[0], "SC-0001");
    // The other contract's user first: when this one is refused for good, nobody waited for a policy.
    let (refused, _) = open(&users[1], "SC-0002");
    let problem = house
        .client
        .open_with(&refused, "policy-asserted-no")
        .expect("an answer")
        .err()
        .expect("it was opened");
    assert_eq!(problem.code, Code::NotPermitted);
    assert_eq!(house.why("enrolment.refused", &users[1]), "policy-device-kind");

    house.in_force("1000001", 60_200_009, |opened| algorithms(opened) == ["p256"]);
    let opened: Opened =
        house.client.open_with(&opening, "policy-asserted-yes").expect("an answer").expect("an enrolment");
    let certify = Certify {
        csr: Base64Url(token.request(|_| {}).expect("a request")),
        evidence: Evidence::Asserted {},
        challenge_signature: Base64Url(
            token.answer(challenge(&opened).expect("in clear")).expect("an answer"),
        ),
        predecessor_signature: None,
    };
    let certified = house.client.certify(&opened, &certify, "policy-asserted-yes").expect("an answer");
    let shown = house.shown(&certified.expect("a certificate"));
    assert_eq!(shown["assurance"], "asserted");
    assert_eq!(shown["evidence"]["policy"], "claimed");
}
