//! YubiKey evidence from the agent's side: real pcscd, virtual YubiKeys that lie, and the authority's verdict.

use softhsm_tests::{
    bank::{Bank, Desk, Enrolment, EnrolmentClient, NewUser, Options, SoftToken},
    scratch::Scratch,
    virtual_yubikey::{Firmware, Misbehaviour, Profile},
};

use ca_wire::{Base64Url, enrolment::Evidence, problem::Code};

const NEW: Firmware = Firmware(5, 7, 2);
const NEWEST: Firmware = Firmware(5, 7, 4);
const OLD: Firmware = Firmware(5, 4, 3);

struct House {
    client: EnrolmentClient,
    bank: Bank,
    scratch: Scratch,
}

impl House {
    fn open(name: &str) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let bank = Bank::open(&scratch.join("bank"), &Options::default()).expect("a bank");
        let client = EnrolmentClient::new(&bank).expect("a client");
        Self { client, bank, scratch }
    }

    /// A user of a contract of their own, with this token assigned.
    fn user(&self, token: u32) -> String {
        let (id, contract) = (format!("user-{token}"), token.to_string());
        self.bank.register_contract(&contract, "証拠試験").expect("a contract");
        let user =
            NewUser { id: &id, contract: &contract, role: "general", name: "証拠", token: Some(token) };
        self.bank.register_user(&user).expect("a user");
        id
    }

    fn token(&self, profile: Profile) -> SoftToken {
        SoftToken::new(&self.bank, profile).expect("a token")
    }

    /// Sends this evidence and expects the refusal with a detail that names the check.
    fn refused(&self, what: &str, token: &SoftToken, evidence: Option<Evidence>) -> String {
        let user = self.user(token.profile.serial);
        let key = format!("evidence-key-{}", token.profile.serial);
        let opened = self.client.open(&user, token, &key).expect("an answer");
        let opened = opened.unwrap_or_else(|problem| panic!("{what}: {problem:?}"));
        let mut certify = token.certify(&opened).expect("evidence");
        if let Some(evidence) = evidence {
            certify.evidence = evidence;
        }
        let answer = self.client.certify(&opened, &certify, &key).expect("an answer");
        let problem = answer.err().unwrap_or_else(|| panic!("{what} was accepted"));
        assert!(
            matches!(problem.code, Code::EvidenceRefused | Code::WrongDevice | Code::CsrRefused),
            "{what}: {problem:?}"
        );
        problem.detail.unwrap_or_default()
    }
}

/// The kinds under "YubiKey evidence" in the list of attacks. Each is refused for its own reason, with the evidence
/// kept, an audit row, and no signature.
#[test]
fn lies_are_found() {
    use Misbehaviour as M;
    let house = House::open("lies");
    let lies = [
        ("look-alike root", NEW, M::LookAlikeRoot),
        ("foreign root", NEW, M::ForeignRoot),
        ("look-alike of the second hierarchy", NEWEST, M::LookAlikeRoot),
        ("somebody's own key in f9", NEW, M::AttestationKeyReplaced),
        ("slot certificate by another key than f9's", NEW, M::SlotNotSignedByAttestationKey),
        ("attestation of another key", NEW, M::AttestAnotherKey),
        ("another serial", NEW, M::AttestedSerial(1_234_567)),
        ("no serial", NEW, M::NoAttestedSerial),
        ("firmware below the floor", NEW, M::AttestedFirmware(Firmware(5, 6, 3))),
        ("PIN policy never", NEW, M::PinPolicyNever),
        ("another slot", NEW, M::AttestedSlot(0x9d)),
        ("no policy extension", NEW, M::PolicyMissing),
        ("two policy extensions", NEW, M::PolicyTwice),
    ];
    let count = lies.len();
    let mut details = Vec::new();
    for (index, (what, firmware, lie)) in lies.into_iter().enumerate() {
        let serial = 40_000_000 + u32::try_from(index).expect("small");
        let token = house.token(Profile::new(serial, firmware).misbehaving(lie));
        details.push((what, house.refused(what, &token, None)));
    }
    assert!(details.iter().all(|(_, detail)| !detail.is_empty()), "{details:?}");
    assert_eq!(house.bank.journal().expect("a journal")["certificates"], 0);
    assert_eq!(house.bank.audit_rows("certification.refused").expect("rows").len(), count);
}

/// Evidence that was genuine for something else.
#[test]
fn genuine_evidence_for_something_else_is_refused() {
    let house = House::open("elsewhere");
    let victim = house.token(Profile::new(41_000_001, NEW));
    let token = house.token(Profile::new(41_000_002, NEW));
    house.refused("another token's evidence", &token, Some(victim.evidence().expect("evidence")));

    // The slot certificate where f9 belongs: a leaf used as an intermediate.
    let token = house.token(Profile::new(41_000_003, NEW));
    let Evidence::YubikeyPiv { slot, .. } = token.evidence().expect("evidence") else {
        panic!("a YubiKey's evidence")
    };
    let leaf = Evidence::YubikeyPiv { f9: slot.clone(), slot, intermediates: Vec::new() };
    house.refused("a leaf as intermediate", &token, Some(leaf));

    let token = house.token(Profile::new(41_000_004, NEW));
    let Evidence::YubikeyPiv { slot, f9, .. } = token.evidence().expect("evidence") else {
        panic!("a YubiKey's evidence")
    };
    let long = Evidence::YubikeyPiv { slot, intermediates: vec![f9.clone(); 100], f9 };
    let user = house.user(41_000_004);
    let opened =
        house.client.open(&user, &token, "a-long-chain-key-1").expect("an answer").expect("a challenge");
    let mut certify = token.certify(&opened).expect("evidence");
    certify.evidence = long;
    let problem = house.client.certify(&opened, &certify, "a-long-chain-key-1").expect("an answer");
    let problem = problem.expect_err("a chain of a hundred");
    assert!(matches!(problem.code, Code::EvidenceRefused | Code::TooLarge), "{problem:?}");
}

/// A challenge serves one enrolment: its signature is worth nothing for another.
#[test]
fn a_replayed_challenge_is_refused() {
    let house = House::open("replay");
    let token = house.token(Profile::new(42_000_001, NEW));
    let user = house.user(42_000_001);
    let first =
        house.client.open(&user, &token, "replay-key-0000001").expect("an answer").expect("a challenge");
    let stolen = token.certify(&first).expect("evidence");
    let second = house.client.open(&user, &token, "replay-key-0000002").expect("an answer");
    let second = second.expect("a challenge of its own");
    assert_ne!(first.challenge, second.challenge);
    let problem = house.client.certify(&second, &stolen, "replay-key-0000002").expect("an answer");
    assert_eq!(problem.expect_err("a replay").code, Code::EvidenceRefused);
    let mut bent = token.certify(&second).expect("evidence");
    bent.challenge_signature = Base64Url(Vec::new());
    let problem = house.client.certify(&second, &bent, "replay-key-0000002").expect("an answer");
    assert_eq!(problem.expect_err("no signature").code, Code::EvidenceRefused);
}

/// Both of Yubico's hierarchies, through the agent and real pcscd; a lying card is told apart at the desk.
#[test]
fn both_hierarchies_enrol_and_a_liar_does_not() {
    let house = House::open("desk");
    let lie = Misbehaviour::AttestedSerial(43_999_999);
    let profiles = vec![
        Profile::new(43_000_001, OLD),
        Profile::new(43_000_002, NEWEST),
        Profile::new(43_000_003, NEW).misbehaving(lie),
    ];
    let desk = Desk::new(&house.scratch.join("desk"), house.bank.attestation(), profiles).expect("a desk");
    for token in [43_000_001, 43_000_002] {
        let user = house.user(token);
        desk.enroll(&house.bank, &user, token).expect("a certificate");
    }
    let user = house.user(43_000_003);
    let attempt = Enrolment { user: &user, token: 43_000_003, more: &[] };
    let output = desk.try_enroll(&house.bank, &attempt).expect("inro-agent runs");
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(house.bank.journal().expect("a journal")["certificates"], 2);
}
