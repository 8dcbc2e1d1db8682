//! YubiKeys, against Yubico's own roots and intermediates.
//!
//! Two exceptions to RFC 5280 are known among genuine devices. The one that is made: f9 of firmware 4.3.7 to 5.2.4
//! without `basicConstraints`, directly below the PIV root. The one that isn't: f9 of the earliest firmware below the
//! U2F root, which vouches for nothing else here.

use std::path::Path;

use ca_core::domain::attestation::{
    Anchor, Anchors, Purpose, Refusal, Trust,
    yubikey::{Firmware, Statement, YubiKeyEvidence, YubiKeyRules, examine},
};
use ca_x509::{KeyKind, signed::Signed};
use der::Decode;
use x509_cert::{Certificate, request::CertReqInfo};

use crate::index::{Row, evidence, now, pem, rows};

/// The columns of the table of devices.
const COLUMNS: [&str; 6] =
    ["name", "fw / serial / slot", "PIN / touch", "form factor", "f9", "expected verdict"];
/// What a row's verdict says where the exception that is made applies.
const WITH_EXCEPTION: &str = "accept only with the documented f9 exception";

/// What is expected of an item.
enum Expected {
    /// It is a genuine device that says what the row says.
    Genuine,
    /// It is refused.
    Refused,
}

fn expected(row: &Row) -> Expected {
    let verdict = row.cell("expected verdict").trim_matches('*');
    if verdict.starts_with("ACCEPT") || verdict.contains(WITH_EXCEPTION) {
        return Expected::Genuine;
    }
    assert!(verdict.starts_with("REJECT"), "an unknown verdict: {verdict}");
    Expected::Refused
}

/// The evidence of an item: from its files, else out of its request; what is missing is empty.
fn of_item(folder: &Path, name: &str) -> YubiKeyEvidence {
    let [slot, f9, csr] = ["slot", "f9", "csr"].map(|part| try_part(folder, name, part));
    match (slot, f9, csr) {
        (None, None, Some(csr)) => YubiKeyEvidence::in_request(&csr).unwrap_or_default(),
        (slot, f9, _) => YubiKeyEvidence {
            slot: slot.unwrap_or_default(),
            f9: f9.unwrap_or_default(),
            intermediates: Vec::new(),
        },
    }
}

fn try_part(folder: &Path, name: &str, part: &str) -> Option<Vec<u8>> {
    let path = folder.join("yubikey").join(format!("{name}.{part}.pem"));
    path.exists().then(|| pem(&path).remove(0))
}

fn part(folder: &Path, name: &str, part: &str) -> Vec<u8> {
    try_part(folder, name, part).unwrap_or_else(|| panic!("{name} has no {part}"))
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

fn trusted(folder: &Path) -> Anchors {
    Anchors::new(&both_hierarchies(folder)).expect("anchors")
}

/// The words of `INDEX.md` as Inro spells them: `USB-A keychain FIPS` is `usb-a-keychain`.
fn spelled(words: &str) -> String {
    words.to_lowercase().replace(" fips", "").trim().replace(' ', "-")
}

/// Holds what was decoded against the row, column by column.
fn assert_says(row: &Row, statement: &Statement) {
    let name = row.cell("name");
    let [firmware, serial, slot] = row.parts("fw / serial / slot");
    let [pin, touch] = row.parts("PIN / touch");
    let said = [
        (firmware, statement.firmware.to_string()),
        (serial, statement.device.serial.to_string()),
        (slot, statement.slot.to_string()),
        (pin, statement.pin_policy.to_string()),
        (touch, statement.touch_policy.to_string()),
    ];
    for (expected, found) in said {
        let expected = expected.map(spelled);
        assert_eq!(expected.as_deref(), Some(found.as_str()), "{name}");
    }
    let shape = Some(row.cell("form factor")).filter(|shape| !shape.is_empty()).map(spelled);
    assert_eq!(shape, statement.form_factor.map(|form| form.to_string()), "{name}");
    let marks = format!("{} {}", row.cell("f9"), row.cell("form factor"));
    let has = |mark| marks.split_whitespace().any(|word| word == mark);
    assert_eq!((statement.fips, statement.cspn), (has("FIPS"), has("CSPN")), "{name}");
}

#[test]
fn every_item_gets_its_verdict_and_says_what_its_row_says() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    for row in rows(&folder, &COLUMNS) {
        let name = row.cell("name");
        let found = examine(&of_item(&folder, name), &anchors, now());
        match (expected(&row), found) {
            (Expected::Genuine, Ok(statement)) => assert_says(&row, &statement),
            (Expected::Refused, Err(_)) => {}
            (_, found) => panic!("{name}: {} but {found:?}", row.cell("expected verdict")),
        }
    }
}

/// Items with their own request: the attested key signed it, and where it carries the evidence, that is the same.
#[test]
fn requests_are_signed_by_the_attested_key_and_carry_its_evidence() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    let mut carried = 0;
    for row in rows(&folder, &COLUMNS) {
        let name = row.cell("name");
        let Some(csr) = try_part(&folder, name, "csr") else { continue };
        let signed = Signed::parse(&csr).expect("a request");
        let info = CertReqInfo::from_der(signed.tbs).expect("a request");
        signed.verify(&info.public_key).expect("proof of possession");
        if matches!(expected(&row), Expected::Refused) {
            continue;
        }
        let evidence = of_item(&folder, name);
        let statement = examine(&evidence, &anchors, now()).expect("a statement");
        assert_eq!(statement.public_key, info.public_key, "{name}");
        if let Ok(inside) = YubiKeyEvidence::in_request(&csr) {
            assert_eq!(inside, evidence, "{name}: what the request carries");
            carried += 1;
        }
    }
    assert!(carried > 0, "no request carries evidence");
}

/// Where the recommended policy draws its lines, for the kinds that the folder has.
#[test]
fn the_recommended_policy_judges_genuine_devices() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    for (name, verdict) in [
        ("fw4.4.5-sn10231423-9a-rsa-f9noBC", "evidence-firmware-too-old"),
        ("fw5.1.2-sn10944016-9a-rsa", "approve"),
        ("fw5.2.7-sn14454335-9c-p256", "evidence-firmware-too-old"),
        ("fw5.2.7-sn15890263-9a-rsa-CSR", "approve"),
        ("fw5.4.3-sn19661687-9a-p384-CSRstd", "evidence-firmware-too-old"),
        ("fw5.4.3fips-sn28989702-9a-p256", "evidence-pin-policy"),
        ("fw5.7.4-sn33064031-9a-p384-CSR", "approve"),
    ] {
        let statement = examine(&of_item(&folder, name), &anchors, now()).expect("a statement");
        let kind = KeyKind::of(&statement.public_key).expect("a kind that is certified");
        let judged = statement.judge(kind, &YubiKeyRules::default());
        assert_eq!(judged.map_or_else(|refusal| refusal.code(), |_| "approve"), verdict, "{name}");
    }
}

/// Their evidence is read like any other; that they can't be certified is for the request's check to say.
#[test]
fn keys_of_other_kinds_are_decoded() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    let items = rows(&folder, &COLUMNS);
    let of_edwards = items.iter().filter(|row| row.cell("name").ends_with("ed25519"));
    let mut found = 0;
    for row in of_edwards {
        let statement = examine(&of_item(&folder, row.cell("name")), &anchors, now()).expect("a statement");
        assert!(statement.firmware >= Firmware::new(5, 7, 0));
        assert_eq!(statement.public_key.algorithm.oid.to_string(), "1.3.101.112");
        assert!(KeyKind::of(&statement.public_key).is_err(), "no kind that is certified");
        found += 1;
    }
    assert!(found > 0, "no such item");
}

#[test]
fn a_leaf_without_its_f9_and_another_makers_leaf_are_refused() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
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
    let anchors = trusted(&folder);
    let statement = |name| examine(&of_item(&folder, name), &anchors, now()).expect("a statement");
    let (a, b) = (statement("fw5.2.7-sn15724862-9c-p256-keyA"), statement("fw5.2.7-sn15724862-9c-p256-keyB"));
    assert_eq!(a.device, b.device);
    assert_ne!(a.public_key, b.public_key);
}

/// Requests whose evidence is broken: what is wrong is said, by the reader or by the judge.
#[test]
fn broken_evidence_inside_requests_is_named() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    let code = |name| {
        YubiKeyEvidence::in_request(&part(&folder, name, "csr"))
            .and_then(|evidence| examine(&evidence, &anchors, now()))
            .expect_err("broken")
            .code()
    };
    assert_eq!(code("CSR-attestation-extension-garbage"), "evidence-malformed");
    assert_eq!(code("fw5.4.3-sn19661687-9a-p384-CSRboth-BROKEN"), "evidence-extension-missing");
}

#[test]
fn only_the_right_anchors_vouch() {
    let Some(folder) = evidence() else { return };
    let (old, new) = ("fw5.2.7-sn15890263-9a-rsa-CSR", "fw5.7.4-sn33064031-9a-p384-CSR");
    let code = |anchors: &[Anchor], name: &str| {
        let anchors = Anchors::new(anchors).expect("anchors");
        examine(&of_item(&folder, name), &anchors, now()).map_or_else(|refusal| refusal.code(), |_| "ok")
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

    // Not even as a PIV issuer does the U2F root vouch for the f9 of the earliest firmware: its path length is 0.
    let earliest = "fw4.3.7-nosn-9a-p256";
    assert_eq!(code(std::slice::from_ref(&current), earliest), "evidence-unknown-issuer");
    let u2f = root(&folder, "yubico-fido-ca-1.pem", Purpose::PivIssuer);
    assert_eq!(code(&[current.clone(), u2f], earliest), "evidence-chain-path-length");

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
    let mut evidence = of_item(&folder, new);
    evidence.intermediates = intermediates(&folder, "Attestation Intermediate", Purpose::Link)
        .into_iter()
        .map(|a| a.der)
        .collect();
    let anchors = Anchors::new(&configured).expect("anchors");
    assert!(examine(&evidence, &anchors, now()).is_ok());
}
