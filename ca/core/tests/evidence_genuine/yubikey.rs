//! YubiKeys, against Yubico's own roots and intermediates.

use std::{fs, path::Path};

use ca_core::domain::attestation::{
    Anchor, Anchors, Purpose, Refusal, Trust,
    yubikey::{YubiKeyRules, Statement, YubiKeyEvidence, examine},
};
use ca_x509::{KeyKind, signed::Signed};
use der::{Decode, Encode};
use x509_cert::{Certificate, ext::Extension, request::CertReqInfo};

use crate::index::{evidence, now, pem};

/// What the devices say: firmware, serial, slot, PIN and touch policy, form factor, FIPS.
type Said = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, bool);
/// Name, what is said or the refusal's code, and the default policy's verdict: `approve` or the refusal's code.
type Row = (&'static str, Result<Said, &'static str>, &'static str);

const ROWS: &[Row] = &[
    // f9 is issued by the U2F root, which doesn't vouch for PIV.
    ("fw4.3.7-nosn-9a-p256", Err("evidence-unknown-issuer"), ""),
    // f9 without basicConstraints: the one exception; the default policy refuses such firmware.
    (
        "fw4.4.5-sn10231423-9a-rsa-f9noBC",
        Ok(("4.4.5", "10231423", "9a", "once", "never", "-", false)),
        "evidence-firmware-too-old",
    ),
    (
        "fw4.4.5fips-sn10550341-9c-p256",
        Ok(("4.4.5", "10550341", "9c", "always", "always", "-", true)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.1.2-sn10944016-9a-rsa",
        Ok(("5.1.2", "10944016", "9a", "once", "never", "usb-a-keychain", false)),
        "approve",
    ),
    (
        "fw5.2.6-sn13078778-9c-p256",
        Ok(("5.2.6", "13078778", "9c", "always", "always", "usb-c-keychain", false)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.2.7-sn14454335-9c-p256",
        Ok(("5.2.7", "14454335", "9c", "always", "always", "usb-c-keychain", false)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.2.7-sn15724862-9c-p256-keyA",
        Ok(("5.2.7", "15724862", "9c", "always", "always", "usb-c-nano", false)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.2.7-sn15724862-9c-p256-keyB",
        Ok(("5.2.7", "15724862", "9c", "always", "always", "usb-c-nano", false)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.2.7-sn15890263-9a-rsa-CSR",
        Ok(("5.2.7", "15890263", "9a", "once", "never", "usb-a-keychain", false)),
        "approve",
    ),
    (
        "fw5.4.3-sn14833186-9c-p256",
        Ok(("5.4.3", "14833186", "9c", "always", "always", "usb-a-keychain", false)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.4.3-sn19661687-9a-p384-CSRlegacy3",
        Ok(("5.4.3", "19661687", "9a", "once", "never", "usb-a-keychain", false)),
        "evidence-firmware-too-old",
    ),
    (
        "fw5.4.3-sn19661687-9a-p384-CSRstd",
        Ok(("5.4.3", "19661687", "9a", "once", "cached", "usb-a-keychain", false)),
        "evidence-firmware-too-old",
    ),
    (
        "fw5.4.3-sn19661687-9a-p384-CSRstd2",
        Ok(("5.4.3", "19661687", "9a", "once", "cached", "usb-a-keychain", false)),
        "evidence-firmware-too-old",
    ),
    (
        "fw5.4.3fips-sn25515003-9c-p384",
        Ok(("5.4.3", "25515003", "9c", "always", "never", "usb-c-keychain", true)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.4.3fips-sn25515137-9c-p384",
        Ok(("5.4.3", "25515137", "9c", "always", "never", "usb-c-keychain", true)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.4.3fips-sn28751258-9c-p384",
        Ok(("5.4.3", "28751258", "9c", "always", "never", "usb-c-keychain", true)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.4.3fips-sn28989702-9a-p256",
        Ok(("5.4.3", "28989702", "9a", "never", "always", "usb-a-keychain", true)),
        "evidence-pin-policy",
    ),
    (
        "fw5.7.1-sn30041834-9c-p384-CSR",
        Ok(("5.7.1", "30041834", "9c", "always", "always", "usb-c-keychain", false)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.7.4-sn33064031-9a-p384-CSR",
        Ok(("5.7.4", "33064031", "9a", "once", "cached", "usb-c-keychain", false)),
        "approve",
    ),
    (
        "fw5.7.4fips-sn38165538-9c-ed25519",
        Ok(("5.7.4", "38165538", "9c", "once", "always", "usb-c-keychain", true)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.7.4fips-sn38165563-9c-ed25519",
        Ok(("5.7.4", "38165563", "9c", "once", "always", "usb-c-keychain", true)),
        "evidence-wrong-slot",
    ),
    (
        "fw5.7.4fips-sn38165850-9c-ed25519",
        Ok(("5.7.4", "38165850", "9c", "once", "always", "usb-c-keychain", true)),
        "evidence-wrong-slot",
    ),
];

fn part(folder: &Path, name: &str, part: &str) -> Vec<u8> {
    pem(&folder.join("yubikey").join(format!("{name}.{part}.pem"))).remove(0)
}

fn of_device(folder: &Path, name: &str) -> YubiKeyEvidence {
    YubiKeyEvidence {
        slot: part(folder, name, "slot"),
        f9: part(folder, name, "f9"),
        intermediates: Vec::new(),
    }
}

fn root(folder: &Path, file: &str, purpose: Purpose) -> Anchor {
    Anchor { der: pem(&folder.join("roots/yubikey").join(file)).remove(0), trust: Trust::Root, purpose }
}

/// Yubico's intermediates whose subject contains `word`.
fn intermediates(folder: &Path, word: &str, purpose: Purpose) -> Vec<Anchor> {
    let all = pem(&folder.join("roots/yubikey/yubico-intermediate.pem"));
    let named = all.into_iter().filter(|der| {
        Certificate::from_der(der)
            .expect("a certificate")
            .tbs_certificate()
            .subject()
            .to_string()
            .contains(word)
    });
    named.map(|der| Anchor { der, trust: Trust::Intermediate, purpose }).collect()
}

/// Both hierarchies as an operator configures them.
fn both_hierarchies(folder: &Path) -> Vec<Anchor> {
    let mut anchors = vec![
        root(folder, "yubico-piv-ca-1.pem", Purpose::PivIssuer),
        root(folder, "yubico-ca-1.pem", Purpose::Link),
    ];
    anchors.extend(intermediates(folder, "Attestation Intermediate", Purpose::Link));
    anchors.extend(intermediates(folder, "PIV Attestation", Purpose::PivIssuer));
    assert_eq!(anchors.len(), 7, "two roots, two links, three PIV issuers");
    anchors
}

fn said(statement: &Statement) -> [String; 7] {
    [
        statement.firmware.to_string(),
        statement.device.serial.to_string(),
        statement.slot.to_string(),
        statement.pin_policy.to_string(),
        statement.touch_policy.to_string(),
        statement.form_factor.map_or_else(|| "-".to_owned(), |form| form.to_string()),
        statement.fips.to_string(),
    ]
}

#[test]
fn every_genuine_device_gets_its_verdict() {
    let Some(folder) = evidence() else { return };
    let anchors = Anchors::new(&both_hierarchies(&folder)).expect("anchors");
    for (name, expected, verdict) in ROWS {
        let found = examine(&of_device(&folder, name), &anchors, now());
        match (found, expected) {
            (Err(refusal), Err(code)) => assert_eq!(refusal.code(), *code, "{name}"),
            (Ok(statement), Ok(expected)) => {
                let (firmware, serial, slot, pin, touch, form, fips) = *expected;
                let fips = fips.to_string();
                assert_eq!(said(&statement), [firmware, serial, slot, pin, touch, form, &fips], "{name}");
                // Ed25519 keys aren't certified at all; any kind does to see the other verdicts.
                let kind = KeyKind::of(&statement.public_key).unwrap_or(KeyKind::P256);
                let judged = statement.judge(kind, &YubiKeyRules::default());
                assert_eq!(judged.map_or_else(|refusal| refusal.code(), |_| "approve"), *verdict, "{name}");
            }
            (found, expected) => panic!("{name}: {found:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn the_table_names_every_chain_of_the_folder() {
    let Some(folder) = evidence() else { return };
    let mut found: Vec<String> = fs::read_dir(folder.join("yubikey"))
        .expect("the folder")
        .filter_map(|entry| {
            entry.expect("an entry").file_name().to_str()?.strip_suffix(".f9.pem").map(str::to_owned)
        })
        .collect();
    found.sort();
    let mut named: Vec<&str> = ROWS.iter().map(|(name, ..)| *name).collect();
    named.sort_unstable();
    assert_eq!(found, named);
}

#[test]
fn requests_that_came_with_evidence_are_signed_by_the_attested_key() {
    let Some(folder) = evidence() else { return };
    let anchors = Anchors::new(&both_hierarchies(&folder)).expect("anchors");
    for (name, ..) in ROWS.iter().filter(|(name, ..)| name.contains("-CSR")) {
        let csr = part(&folder, name, "csr");
        let signed = Signed::parse(&csr).expect("a request");
        let info = CertReqInfo::from_der(signed.tbs).expect("a request");
        signed.verify(&info.public_key).expect("proof of possession");
        let statement = examine(&of_device(&folder, name), &anchors, now()).expect("a statement");
        assert_eq!(statement.public_key, info.public_key, "{name}");
    }
}

#[test]
fn a_leaf_without_its_f9_and_another_makers_leaf_are_refused() {
    let Some(folder) = evidence() else { return };
    let anchors = Anchors::new(&both_hierarchies(&folder)).expect("anchors");
    let other = part(&folder, "fw5.4.3-sn14833186-9c-p256", "f9");
    for name in ["fw5.3.1-sn10989680-9d-rsa-NOF9", "neg-token2-pivapplet-9c"] {
        let slot = part(&folder, name, "slot");
        let evidence = YubiKeyEvidence { slot, f9: other.clone(), intermediates: Vec::new() };
        assert_eq!(examine(&evidence, &anchors, now()), Err(Refusal::SlotNotSignedByF9), "{name}");
    }
}

#[test]
fn one_devices_certificate_vouches_for_one_key_only() {
    let Some(folder) = evidence() else { return };
    let anchors = Anchors::new(&both_hierarchies(&folder)).expect("anchors");
    let statement = |name| examine(&of_device(&folder, name), &anchors, now()).expect("a statement");
    let (a, b) = (statement("fw5.2.7-sn15724862-9c-p256-keyA"), statement("fw5.2.7-sn15724862-9c-p256-keyB"));
    assert_eq!(a.device, b.device);
    assert_ne!(a.public_key, b.public_key);
}

#[test]
fn evidence_inside_requests_is_refused_where_it_is_no_certificate() {
    let Some(folder) = evidence() else { return };
    let anchors = Anchors::new(&both_hierarchies(&folder)).expect("anchors");
    for name in ["CSR-attestation-extension-garbage", "fw5.4.3-sn19661687-9a-p384-CSRboth-BROKEN"] {
        let csr = part(&folder, name, "csr");
        let info = CertReqInfo::from_der(Signed::parse(&csr).expect("a request").tbs).expect("a request");
        let requested: Vec<Extension> = info
            .attributes
            .iter()
            .filter(|attribute| attribute.oid == const_oid::db::rfc5912::ID_EXTENSION_REQ)
            .flat_map(|attribute| attribute.values.iter())
            .flat_map(|value| Vec::<Extension>::from_der(&value.to_der().expect("DER")).expect("extensions"))
            .collect();
        let of_yubico =
            requested.iter().filter(|e| e.extn_id.to_string().starts_with("1.3.6.1.4.1.41482.3."));
        let mut parts: Vec<Vec<u8>> = of_yubico.map(|e| e.extn_value.as_bytes().to_vec()).collect();
        parts.resize(2, Vec::new());
        let evidence =
            YubiKeyEvidence { slot: parts[0].clone(), f9: parts[1].clone(), intermediates: Vec::new() };
        let refusal = examine(&evidence, &anchors, now()).expect_err("garbage");
        assert_eq!(refusal.code(), "evidence-malformed", "{name}");
    }
}

#[test]
fn only_the_right_anchors_vouch() {
    let Some(folder) = evidence() else { return };
    let (old, new) = ("fw5.2.7-sn15890263-9a-rsa-CSR", "fw5.7.4-sn33064031-9a-p384-CSR");
    let code = |anchors: &[Anchor], name: &str| {
        let anchors = Anchors::new(anchors).expect("anchors");
        examine(&of_device(&folder, name), &anchors, now()).map_or_else(|refusal| refusal.code(), |_| "ok")
    };

    // The certificate of the PIV root from before 2018: same name, same key, path length 0.
    let before_2018 = root(&folder, "piv-attestation-ca-old.pem", Purpose::PivIssuer);
    let current = root(&folder, "yubico-piv-ca-1.pem", Purpose::PivIssuer);
    assert_eq!(code(std::slice::from_ref(&before_2018), old), "evidence-chain-path-length");
    assert_eq!(
        code(&[before_2018, current.clone()], old),
        "ok",
        "the other certificate of the same root is found"
    );

    // Devices of 5.7.4 don't chain to the old root.
    assert_eq!(code(std::slice::from_ref(&current), new), "evidence-unknown-issuer");

    // Issuers that are known only as links, as FIDO's and OpenPGP's would be, vouch for nothing.
    let mut links = vec![current, root(&folder, "yubico-ca-1.pem", Purpose::Link)];
    links.extend(intermediates(&folder, "Attestation", Purpose::Link));
    assert_eq!(code(&links, new), "evidence-chain-purpose");

    // Links from the evidence are taken, PIV issuers are not.
    let configured: Vec<Anchor> = both_hierarchies(&folder)
        .into_iter()
        .filter(|anchor| anchor.purpose == Purpose::PivIssuer || anchor.trust == Trust::Root)
        .collect();
    assert_eq!(code(&configured, new), "evidence-unknown-issuer");
    let mut evidence = of_device(&folder, new);
    evidence.intermediates = intermediates(&folder, "Attestation Intermediate", Purpose::Link)
        .into_iter()
        .map(|a| a.der)
        .collect();
    let anchors = Anchors::new(&configured).expect("anchors");
    assert!(examine(&evidence, &anchors, now()).is_ok());
}
