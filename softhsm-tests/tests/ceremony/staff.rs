//! Certificates for administrators whose keys were made in tokens of their own.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, DnType, DnValue, KeyPair};
use softhsm_tests::openssl::{certificate_text, verify};
use softhsm_tests::virtual_yubikey::attestation::{AttestationKey, AttestationRoots, Statement};
use softhsm_tests::virtual_yubikey::{
    Algorithm, Firmware, Misbehaviour, PinPolicy, PrivateKey, Profile, TouchPolicy,
};

use super::rig::Setting;

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
