//! Evidence that was genuine for something else: another token, another customer, another enrolment, another place in
//! the chain.

use ca_wire::{
    Base64Url,
    enrolment::{Certify, Evidence},
    problem::Code,
};
use rcgen::CustomExtension;
use softhsm_tests::{bank::SoftToken, virtual_yubikey::Profile};

use crate::rig::{House, NEW};

fn parts(token: &SoftToken) -> (Base64Url, Base64Url) {
    match token.evidence().expect("evidence") {
        Evidence::YubikeyPiv { slot, f9, .. } => (slot, f9),
        other => panic!("{other:?}"),
    }
}

#[test]
fn evidence_of_something_else_is_refused() {
    let house = House::open("elsewhere");
    let victim = house.token(Profile::new(41_000_001, NEW));
    house.user(41_000_001);
    let evidence = Code::EvidenceRefused;

    // Another token's evidence beside one's own request.
    let token = house.token(Profile::new(41_000_002, NEW));
    let user = house.user(41_000_002);
    let opened = house.opened(&user, &token, "another-tokens-evidence");
    let mut certify = token.certify(&opened).expect("evidence");
    certify.evidence = victim.evidence().expect("evidence");
    house.refused(
        "another token's evidence",
        (&user, "another-tokens-evidence"),
        &opened,
        &certify,
        (evidence, "evidence-key-mismatch"),
    );

    // Another customer's token altogether: evidence, request and signature are its own.
    let opened = house.opened(&user, &token, "another-customers-token");
    let certify = victim.certify(&opened).expect("evidence");
    house.refused(
        "another customer's token",
        (&user, "another-customers-token"),
        &opened,
        &certify,
        (Code::WrongDevice, "evidence-wrong-device"),
    );

    // The slot's certificate where f9 belongs: a leaf as an intermediate.
    let opened = house.opened(&user, &token, "a-leaf-for-a-ca-1");
    let mut certify = token.certify(&opened).expect("evidence");
    let (slot, f9) = parts(&token);
    certify.evidence =
        Evidence::YubikeyPiv { f9: slot.clone(), slot: slot.clone(), intermediates: vec![f9.clone()] };
    house.refused(
        "a leaf as intermediate",
        (&user, "a-leaf-for-a-ca-1"),
        &opened,
        &certify,
        (evidence, "evidence-slot-not-signed-by-f9"),
    );

    // A chain of ten and one of a hundred.
    let opened = house.opened(&user, &token, "a-chain-of-ten-01");
    certify.evidence =
        Evidence::YubikeyPiv { slot: slot.clone(), intermediates: vec![f9.clone(); 10], f9: f9.clone() };
    let mut of_ten = token.certify(&opened).expect("evidence");
    of_ten.evidence = certify.evidence.clone();
    house.refused(
        "a chain of ten",
        (&user, "a-chain-of-ten-01"),
        &opened,
        &of_ten,
        (evidence, "evidence-too-many-certificates"),
    );
    let before = (house.state(&user), house.signatures());
    let opened = house.opened(&user, &token, "a-chain-of-a-hundred");
    let mut of_a_hundred = token.certify(&opened).expect("evidence");
    of_a_hundred.evidence = Evidence::YubikeyPiv { slot, intermediates: vec![f9.clone(); 100], f9 };
    let answer = house.client.certify(&opened, &of_a_hundred, "a-chain-of-a-hundred").expect("an answer");
    assert_eq!(answer.expect_err("a chain of a hundred").code, Code::TooLarge);
    assert_eq!((house.state(&user), house.signatures()), before);
}

/// The token of another customer isn't even offered a challenge.
#[test]
fn a_token_that_is_assigned_to_somebody_else_opens_nothing() {
    let house = House::open("assigned");
    let theirs = house.token(Profile::new(41_100_001, NEW));
    house.user(41_100_001);
    let mine = house.user(41_100_002);
    let problem = house.client.open(&mine, &theirs, "somebody-elses-token").expect("an answer");
    assert_eq!(problem.err().expect("a refusal").code, Code::AuthenticationFailed);
    let rows = house.bank.audit_rows("enrolment.refused").expect("rows");
    let row = rows.iter().find(|row| row["subject"] == mine.as_str()).expect("a row");
    assert_eq!(row["details"]["why"], "binding-other-device-assigned");
    assert_eq!(house.signatures(), 0);
}

/// A challenge serves one enrolment: its signature is worth nothing for another.
#[test]
fn a_replayed_challenge_is_refused() {
    let house = House::open("replay");
    let token = house.token(Profile::new(42_000_001, NEW));
    let user = house.user(42_000_001);
    let first = house.opened(&user, &token, "replay-key-0000001");
    let stolen = token.certify(&first).expect("evidence");
    let refused = (Code::EvidenceRefused, "evidence-challenge-signature");

    let second = house.opened(&user, &token, "replay-key-0000002");
    assert_ne!(first.challenge, second.challenge);
    house.refused("a replay", (&user, "replay-key-0000002"), &second, &stolen, refused);

    // The refusal stands, whatever is sent next.
    let honest = token.certify(&second).expect("evidence");
    let again = house.client.certify(&second, &honest, "replay-key-0000002").expect("an answer");
    assert_eq!(again.expect_err("the first refusal").code, Code::EvidenceRefused);

    let third = house.opened(&user, &token, "replay-key-0000003");
    let mut bent = token.certify(&third).expect("evidence");
    bent.challenge_signature = Base64Url(Vec::new());
    house.refused("no signature", (&user, "replay-key-0000003"), &third, &bent, refused);

    // Evidence may be shown twice, as long as its key answers: the first enrolment is still good.
    house.client.certify(&first, &stolen, "replay-key-0000001").expect("an answer").expect("a certificate");
}

/// As Yubico's tools write it: the request carries its evidence, which is judged like any other.
#[test]
fn evidence_inside_the_request_counts() {
    let house = House::open("inside");
    let token = house.token(Profile::new(42_100_001, NEW));
    let user = house.user(42_100_001);
    let (slot, f9) = parts(&token);
    let carrying = |slot: &Base64Url, f9: &Base64Url| {
        let extension = |last, der: &Base64Url| {
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 41_482, 3, last], der.0.clone())
        };
        let extensions = vec![extension(1, slot), extension(2, f9)];
        Base64Url(token.request(|asked| asked.custom_extensions = extensions).expect("a request"))
    };
    let inside = Evidence::YubikeyPivRequest {};

    let opened = house.opened(&user, &token, "nothing-inside-000001");
    let nothing = Certify { evidence: inside.clone(), ..token.certify(&opened).expect("evidence") };
    let (evidence, malformed) = (Code::EvidenceRefused, "evidence-malformed");
    house.refused(
        "a request without evidence",
        (&user, "nothing-inside-000001"),
        &opened,
        &nothing,
        (evidence, malformed),
    );

    let opened = house.opened(&user, &token, "a-leaf-inside-0000001");
    let leaf = Certify { csr: carrying(&slot, &slot), ..nothing.clone() };
    let leaf =
        Certify { challenge_signature: token.certify(&opened).expect("it").challenge_signature, ..leaf };
    house.refused(
        "a leaf for f9 inside the request",
        (&user, "a-leaf-inside-0000001"),
        &opened,
        &leaf,
        (evidence, "evidence-slot-not-signed-by-f9"),
    );

    let opened = house.opened(&user, &token, "evidence-inside-00001");
    let honest =
        Certify { csr: carrying(&slot, &f9), evidence: inside, ..token.certify(&opened).expect("it") };
    let answer = house.client.certify(&opened, &honest, "evidence-inside-00001").expect("an answer");
    answer.expect("a certificate");
    assert_eq!(house.signatures(), 1);
}
