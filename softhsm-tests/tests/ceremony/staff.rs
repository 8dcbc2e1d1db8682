//! Certificates for administrators whose keys were made in tokens of their own.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, DnType, DnValue, KeyPair};
use softhsm_tests::bank::{Bank, Desk, Officer, Options, Portal, hidden};
use softhsm_tests::hsm::Kind;
use softhsm_tests::openssl::{certificate_text, verify};
use softhsm_tests::scratch::Scratch;
use softhsm_tests::virtual_yubikey::attestation::{AttestationKey, AttestationRoots, Statement};
use softhsm_tests::virtual_yubikey::{
    Algorithm, Firmware, Misbehaviour, PinPolicy, PrivateKey, Profile, TouchPolicy,
};

use super::rig::{Setting, verified};

const SERIAL: u32 = 25_000_077;

fn pem(label: &str, der: &[u8]) -> String {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).expect("PEM")
}

/// What comes from an administrator's token, in the files that the example names.
fn evidence(
    setting: &Setting,
    roots: &AttestationRoots,
    misbehaviour: Option<Misbehaviour>,
    pin_policy: PinPolicy,
) {
    let mut profile = Profile::new(SERIAL, Firmware(5, 7, 4));
    if let Some(misbehaviour) = misbehaviour {
        profile = profile.misbehaving(misbehaviour);
    }
    let authority = roots.authority(profile.firmware);
    let attestation = authority.attestation_key(&profile).expect("an attestation key");
    let key = PrivateKey::generate(Algorithm::P256).expect("a key");
    write(&setting.pki(), roots, &attestation, &profile, &key, pin_policy);
}

fn write(
    pki: &Path,
    roots: &AttestationRoots,
    attestation: &AttestationKey,
    profile: &Profile,
    key: &PrivateKey,
    pin_policy: PinPolicy,
) {
    let statement = Statement { slot: 0x9a, key, pin_policy, touch_policy: TouchPolicy::Never };
    let slot = attestation.attest(&statement, profile).expect("attested");
    let (_, device) = attestation.to_parts().expect("f9");
    let pair = KeyPair::try_from(key.to_pkcs8().expect("a key")).expect("a key");
    let mut request = CertificateParams::new(Vec::new()).expect("a request");
    request.distinguished_name = rcgen::DistinguishedName::new();
    let name = &mut request.distinguished_name;
    name.push(DnType::CountryName, DnValue::PrintableString("JP".try_into().expect("printable")));
    name.push(DnType::OrganizationName, "Inro Example Bank");
    name.push(DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]), "hanako");
    name.push(DnType::CommonName, "Sato Hanako");
    let request = request.serialize_request(&pair).expect("signed").pem().expect("PEM");
    fs::write(pki.join("hanako.csr"), request).expect("written");
    fs::write(pki.join("hanako-slot.pem"), pem("CERTIFICATE", &slot)).expect("written");
    fs::write(pki.join("hanako-device.pem"), pem("CERTIFICATE", &device)).expect("written");
    let makers = roots.first.root_pem().expect("PEM")
        + &roots.second.root_pem().expect("PEM")
        + &roots.second.intermediates_pem().expect("PEM");
    fs::write(pki.join("makers.pem"), makers).expect("written");
}

#[test]
fn an_administrator_is_certified_by_the_word_of_their_tokens_maker() {
    let setting = Setting::established();
    let pki = setting.pki();
    let roots = AttestationRoots::create().expect("makers");
    evidence(&setting, &roots, None, PinPolicy::Once);
    let spec = setting.example("ceremony-staff");
    let command = format!(
        "openssl req -in '{}' -outform DER | sha256sum | cut -c1-64",
        pki.join("hanako.csr").display()
    );
    let shell = std::process::Command::new("sh").args(["-c", &command]).output().expect("a fingerprint");
    let fingerprint = String::from_utf8_lossy(&shell.stdout).trim().to_owned();
    let out = spec.holds(&["--confirm", &format!("hanako={fingerprint}")]);
    let certificate = out.join("hanako.pem");
    verify(
        &["-x509_strict", "-purpose", "sslclient"],
        &pki.join("root.pem"),
        &[&pki.join("staff-issuing.pem")],
        &certificate,
    )
    .expect("a client's certificate");
    let said = certificate_text(&certificate).expect("a certificate");
    for needed in [
        "CA:FALSE",
        "TLS Web Client Authentication",
        "UID = hanako",
        "1.3.6.1.4.1.32473.1.1",
        "OCSP - URI:http://ocsp.inro.example/staff",
    ] {
        assert!(said.contains(needed), "{needed}: {said}");
    }
    let transcript = fs::read_to_string(out.join("transcript.txt")).expect("transcript");
    assert!(transcript.contains(&format!("key made in the token with serial {SERIAL}")), "{transcript}");
}

#[test]
fn evidence_that_does_not_hold_is_a_mistake() {
    let setting = Setting::established();
    let roots = AttestationRoots::create().expect("makers");
    let spec = setting.example("ceremony-staff");
    let cases = [
        (Some(Misbehaviour::AttestAnotherKey), PinPolicy::Once, "speaks of another key"),
        (Some(Misbehaviour::SlotNotSignedByAttestationKey), PinPolicy::Once, "isn't signed by the device"),
        (Some(Misbehaviour::ForeignRoot), PinPolicy::Once, "doesn't lead to a root"),
        (Some(Misbehaviour::LookAlikeRoot), PinPolicy::Once, "doesn't lead to a root"),
        (Some(Misbehaviour::PolicyMissing), PinPolicy::Once, "doesn't have the extension"),
        (None, PinPolicy::Never, "used without the PIN"),
    ];
    for (misbehaviour, pin_policy, needed) in cases {
        evidence(&setting, &roots, misbehaviour.clone(), pin_policy);
        let told = spec.does("lint", &[]).expect(3).stderr;
        assert!(
            told.contains("certificate.hanako.attestation") && told.contains(needed),
            "{misbehaviour:?}: {told}"
        );
    }
    fs::write(setting.pki().join("makers.pem"), "no certificates\n").expect("written");
    let told = spec.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("makers"), "{told}");
}

/// Both administrators' tokens are lost. Two successors make keys on tokens of their own, the ceremony is held again, and
/// they log in to the console, where they withdraw those who are gone.
#[test]
fn two_administrators_take_over_with_tokens_of_their_own() {
    const fn administrator(id: &'static str, name: &'static str, token: u32) -> Officer {
        Officer { id, name, role: "administrator", token }
    }
    let first =
        [administrator("hanako", "Sato Hanako", 15_000_081), administrator("jiro", "Ito Jiro", 15_000_082)];
    let next =
        [administrator("yuki", "Tanaka Yuki", 15_000_083), administrator("ken", "Mori Ken", 15_000_084)];
    let scratch = Scratch::new("break-glass").expect("scratch");
    let token = Kind::of_target(env!("CARGO_CRATE_NAME"));
    let mut bank =
        Bank::prepare(&scratch.join("bank"), &Options { token, ..Options::default() }).expect("a bank");
    bank.hold_ceremony().expect("the ceremony");
    bank.migrate().expect("a ledger");
    bank.start_signer().expect("the signer");
    bank.start_authority().expect("the authority");
    let profiles = first.iter().chain(&next).map(|officer| Profile::new(officer.token, Firmware(5, 4, 3)));
    let desk = Desk::new(&scratch.join("desk"), bank.attestation(), profiles.collect()).expect("four tokens");
    bank.certify_staff(&desk, &first).expect("certified");
    bank.admit_staff(&desk, &first).expect("they log in");
    desk.keys[..2].iter().for_each(|key| key.eject().expect("lost"));

    bank.certify_staff_into(&desk, &next, "break-glass").expect("certified again");
    let import = |officer: &Officer, more: &[&str]| {
        let certificate = bank.path(format!("break-glass/{}.pem", officer.id)).display().to_string();
        let import = ["staff", "import", officer.id, "--name", officer.name, "--certificate", &certificate];
        bank.operator(&[&import[..], more].concat()).map_err(|error| format!("{error:#}"))
    };
    for officer in &next {
        let refused = import(officer, &[]).expect_err("two administrators are active");
        assert!(refused.contains("--break-glass"), "{refused}");
        import(officer, &["--break-glass", "both tokens were lost in the fire"]).expect("let in");
    }
    let [yuki, ken] =
        next.map(|officer| Portal::console(&bank, &desk, officer.token).expect("at the console"));
    for (console, gone) in [(&yuki, "hanako"), (&ken, "jiro")] {
        let home = console.get("/home").expect("a page");
        let csrf = hidden(&home, "csrf").expect("a session");
        let fields = [("csrf", csrf.as_str()), ("reason", "the token was lost")];
        let answer = console.post(&format!("/staff/{gone}/withdraw"), &fields).expect("an answer");
        assert_eq!(answer.status, 303, "{}", answer.text());
    }
    // Whoever finds a token in the ashes, and knows its PIN, is nobody.
    desk.keys[0].insert().expect("found");
    let refused = Portal::console(&bank, &desk, first[0].token).expect_err("withdrawn");
    assert!(format!("{refused:#}").contains("登録が取り消されています"), "{refused:#}");
    let rows = bank.audit_rows("staff.imported").expect("rows");
    let reasons: Vec<_> = rows.iter().map(|row| row["details"]["break_glass"].as_str()).collect();
    let why = Some("both tokens were lost in the fire");
    assert_eq!(reasons, [None, None, why, why]);
    verified(&bank.path("break-glass"));
}
