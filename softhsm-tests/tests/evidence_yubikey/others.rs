//! Tokens that nobody vouches for: another maker's PIV card behind a real pcscd, and SoftHSM as a vendor's PKCS#11
//! token. They are certified where the bank's policy takes their word, and their certificates say so.

use std::{path::Path, process::Output};

use serde_json::Value;
use softhsm_tests::{
    bank::{Desk, Options, TOKEN_PIN},
    softhsm::{MODULE, SoftHsm},
    virtual_yubikey::{Firmware, Misbehaviour, Profile},
};
use x509_cert::{Certificate, der::DecodePem, ext::pkix::CertificatePolicies};

use crate::rig::House;

pub(crate) const CARD: u32 = 45_000_001;

/// A bank that takes a token's word.
pub(crate) fn trusting() -> Options {
    fn adjust(configuration: &mut toml::Table) {
        let policy = configuration.entry("policy").or_insert_with(|| toml::Table::new().into());
        let policy = policy.as_table_mut().expect("a table");
        policy.insert("devices".into(), vec!["yubikey-piv", "piv", "pkcs11"].into());
        policy.insert("lowest_assurance".into(), "asserted".into());
    }
    Options { adjust: Some(adjust), ..Options::default() }
}

/// A desk with another maker's card, and a vendor's token.
pub(crate) struct Room {
    pub(crate) desk: Desk,
    pub(crate) vendor: SoftHsm,
}

impl Room {
    fn new(house: &House) -> Self {
        Self::with(house, Profile::foreign(CARD))
    }

    pub(crate) fn with(house: &House, card: Profile) -> Self {
        let desk = Desk::new(&house.scratch.join("desk"), house.bank.attestation(), vec![card]);
        let desk = desk.expect("a desk");
        let folder = house.scratch.directory("vendor").expect("a folder");
        let vendor = SoftHsm::new(&folder).expect("SoftHSM");
        vendor.init_token("a vendor's token", "87654321", TOKEN_PIN).expect("a token");
        Self { desk, vendor }
    }

    pub(crate) fn agent(&self, arguments: &[&str]) -> Value {
        let mut command = self.desk.agent_command().expect("inro-agent");
        command.envs(self.vendor.environment()).args(["--pkcs11-module", MODULE, "--json"]);
        let output = command.args(arguments).output().expect("inro-agent runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The serials by kind, as the agent shows them.
    fn serial(&self, kind: &str) -> String {
        let shown = self.agent(&["tokens"]);
        let readers = shown["readers"].as_array().expect("readers");
        let token = readers.iter().map(|reader| &reader["token"]).find(|token| token["kind"] == kind);
        token.unwrap_or_else(|| panic!("no {kind} in {shown}"))["serial"]
            .as_str()
            .expect("a serial")
            .to_owned()
    }

    pub(crate) fn enroll(
        &self,
        house: &House,
        user: &str,
        serial: &str,
        pin: &Path,
        more: &[&str],
    ) -> Output {
        let file = |path: &Path| path.to_string_lossy().into_owned();
        let (url, trust) = (house.bank.urls().public, file(&house.bank.path("tls/ca.pem")));
        let (login, pin) = (file(&house.bank.secret("login")), file(pin));
        let new_pin = file(&house.bank.secret("token-pin"));
        let mut command = self.desk.agent_command().expect("inro-agent");
        command.envs(self.vendor.environment()).args(["--pkcs11-module", MODULE, "--json", "enroll"]);
        command.args(["--server", &url, "--ca-file", &trust, "--user", user, "--token", serial]);
        command.args(["--password-file", &login, "--pin-file", &pin, "--new-pin-file", &new_pin]).args(more);
        command.output().expect("inro-agent runs")
    }

    /// Both tokens: user, kind, serial and PIN file.
    pub(crate) fn tokens(&self, house: &House) -> Vec<(String, &'static str, String, std::path::PathBuf)> {
        let factory = house.scratch.join("factory-pin");
        std::fs::write(&factory, "123456\n").expect("a PIN file");
        [("piv", factory), ("pkcs11", house.bank.secret("token-pin"))]
            .into_iter()
            .map(|(kind, pin)| {
                let serial = self.serial(kind);
                (house.user_with(&format!("user-{kind}"), kind, &serial), kind, serial, pin)
            })
            .collect()
    }
}

/// The certificate policies that a certificate names.
fn policies(pem: &str) -> Vec<String> {
    let certificate = Certificate::from_pem(pem).expect("a certificate");
    let policies = certificate.tbs_certificate().get_extension::<CertificatePolicies>();
    let (_, policies) = policies.expect("readable").expect("certificate policies");
    policies.0.iter().map(|policy| policy.policy_identifier.to_string()).collect()
}

/// The OID that the bank gives to an assurance.
fn oid(house: &House, assurance: &str) -> String {
    let text = std::fs::read_to_string(house.bank.path("inro.toml")).expect("inro.toml");
    let configuration: toml::Table = text.parse().expect("TOML");
    configuration["issuer"][0]["policies"][assurance].as_str().expect("an OID").to_owned()
}

#[test]
fn their_keys_are_certified_as_asserted_where_the_policy_says_so() {
    let house = House::with("asserted", &trusting());
    let room = Room::new(&house);
    let asserted = oid(&house, "asserted");
    assert_ne!(asserted, oid(&house, "attested"));
    for (user, kind, serial, pin) in room.tokens(&house) {
        let output = room.enroll(&house, &user, &serial, &pin, &["--algorithm", "p256"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{kind}: {text}{}", String::from_utf8_lossy(&output.stderr));
        let enrolled: Value = serde_json::from_str(&text).expect("JSON");
        let pem = enrolled["pem"].as_str().expect("a certificate");
        assert_eq!(policies(pem), [asserted.as_str()], "{kind}");

        // It is on the token, beside its key.
        let listed = room.agent(&["list", "--token", &serial]);
        assert_eq!(listed["certificates"][0]["pem"].as_str(), Some(pem), "{kind}: {listed}");
        let again = room.enroll(&house, &user, &serial, &house.bank.secret("token-pin"), &[]);
        assert_eq!(again.status.code(), Some(5), "{kind}: a second certificate beside a valid one");
    }
    assert_eq!(house.signatures(), 2);
}

/// Such a card shows a public key only once: the agent remembers it, and takes the enrolment up with the same key.
#[test]
fn an_enrolment_on_another_makers_card_is_resumed() {
    const PUT_DATA: u8 = 0xdb;
    let house = House::with("pulled", &trusting());
    let room = Room::with(&house, Profile::foreign(CARD).misbehaving(Misbehaviour::EjectAt(PUT_DATA)));
    let (user, _, serial, pin) = room.tokens(&house).remove(0);
    let first = room.enroll(&house, &user, &serial, &pin, &[]);
    assert_eq!(first.status.code(), Some(7), "{}", String::from_utf8_lossy(&first.stdout));
    let key = room.desk.keys[0].state().slots[&0x9a].key.public_template();

    room.desk.keys[0].wait_ejected().expect("gone");
    room.desk.keys[0].insert().expect("put back in");
    let second = room.enroll(&house, &user, &serial, &house.bank.secret("token-pin"), &[]);
    let said: Value = serde_json::from_slice(&second.stdout).expect("JSON");
    assert!(second.status.success() && said["resumed"] == true, "{said}");
    assert_eq!(room.desk.keys[0].state().slots[&0x9a].key.public_template(), key, "the same key");
    assert_eq!(house.signatures(), 1, "one certificate");
}

/// The recommended policy: nothing but what makers vouch for. It says so before anything happens on the token.
#[test]
fn their_keys_are_refused_elsewhere() {
    let house = House::open("attested-only");
    let room = Room::new(&house);
    for (user, kind, serial, pin) in room.tokens(&house) {
        let before = house.state(&user);
        let output = room.enroll(&house, &user, &serial, &pin, &[]);
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.code(), Some(5), "{kind}: {said}");
        assert_eq!(said["error"]["code"], "not-permitted", "{kind}: {said}");
        let message = said["error"]["message"].as_str().expect("a message");
        assert!(message.contains(&format!("devices of the kind {kind} are not accepted")), "{message}");
        let rows = house.bank.audit_rows("enrolment.refused").expect("rows");
        let row = rows.iter().find(|row| row["subject"] == user.as_str()).expect("a row");
        assert_eq!(row["details"]["why"], "policy-device-kind", "{kind}");
        assert_eq!(house.state(&user), before, "{kind}");
    }
    assert_eq!(house.signatures(), 0);
    let card = room.desk.keys[0].state();
    assert!(card.slots.is_empty() && card.pin.is_factory(), "the card was touched");
    let vendors = room.agent(&["list", "--token", &room.serial("pkcs11")]);
    assert_eq!(vendors["certificates"], serde_json::json!([]));
}

/// Another maker's card with an applet that answers Yubico's own instructions (`PivApplet` and its like) says that it is a
/// YubiKey: its attestation is refused as a YubiKey's, and it isn't taken as a card of which nothing is proven.
#[test]
fn a_card_that_passes_itself_off_as_a_yubikey_is_refused_even_where_asserted_keys_are_taken() {
    const PRETENDER: u32 = 45_000_009;
    let house = House::with("pretender", &trusting());
    let card = Profile::new(PRETENDER, Firmware(5, 7, 2)).misbehaving(Misbehaviour::ForeignRoot);
    let room = Room::with(&house, card);
    let user = house.user(PRETENDER);
    let factory = house.scratch.join("factory-pin");
    std::fs::write(&factory, "123456\n").expect("a PIN file");
    let output = room.enroll(&house, &user, &PRETENDER.to_string(), &factory, &[]);
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(house.why(&user), "evidence-unknown-issuer");
    assert_eq!(house.signatures(), 0);
}
