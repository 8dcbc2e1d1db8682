//! Certificates of TPMs' endorsement keys, against their makers' roots and intermediates.

use std::{fs, path::Path};

use ca_core::domain::attestation::{
    Anchor, AnchorError, Anchors, Purpose, Refusal, Trust,
    tpm::{AttestationKey, Signature, TpmRefusal, Vouched, certified_key, key_of, of_endorsement_key},
};
use jiff::Timestamp;

use crate::index::{evidence, now, pem, rows};

/// The columns of the table of endorsement certificates.
const ENDORSEMENT: [&str; 4] = ["file", "device", "key", "expected verdict"];

/// Who made what, as the table says it and as the certificate does. Google's names no maker, or one.
const MAKERS: [(&str, &str); 4] =
    [("Infineon", "IFX"), ("STMicro", "STM"), ("Nuvoton", "NTC"), ("Google", "GOOG")];

/// The anchors of a file, each by itself: what isn't fit to be one stays out, as in a maker's bundle.
pub(crate) fn anchors(folder: &Path, file: &str, trust: Trust) -> Vec<Anchor> {
    let all = pem(&folder.join("roots/tpm").join(file)).into_iter();
    all.map(|der| Anchor { der, trust, purpose: Purpose::TpmMaker }).filter(is_fit).collect()
}

fn is_fit(anchor: &Anchor) -> bool {
    let alone = Anchors::new(std::slice::from_ref(anchor));
    !matches!(alone, Err(AnchorError::Unfit { .. }))
}

fn trusted(folder: &Path) -> Anchors {
    let mut all = anchors(folder, "pool.roots.pem", Trust::Root);
    all.extend(anchors(folder, "pool.intermediates.pem", Trust::Intermediate));
    Anchors::new(&all).expect("anchors")
}

fn judged(der: &[u8], anchors: &Anchors, at: Timestamp) -> Result<Vouched, Refusal> {
    of_endorsement_key(der, &[], &key_of(der)?, anchors, at)
}

#[test]
fn every_listed_endorsement_certificate_gets_its_verdict() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    for row in rows(&folder, &ENDORSEMENT) {
        let (file, device, verdict) = (row.cell("file"), row.cell("device"), row.cell("expected verdict"));
        let der = fs::read(folder.join("tpm").join(file)).expect("a certificate");
        let found = judged(&der, &anchors, now());
        if !verdict.contains("ACCEPT") {
            assert!(verdict.contains("REJECT"), "{verdict}");
            found.expect_err(file);
            continue;
        }
        if verdict.contains("not an EK") {
            let refusal = found.expect_err(file);
            assert!(matches!(refusal, Refusal::Tpm(TpmRefusal::EkCertificate { .. })), "{file}: {refusal:?}");
            continue;
        }
        let vouched = found.unwrap_or_else(|refusal| panic!("{file}: {refusal:?}"));
        assert!(!vouched.is_expired, "{file}");
        let (_, maker) = MAKERS.iter().find(|(name, _)| device.contains(name)).expect(device);
        if let Some(found) = vouched.make.manufacturer {
            assert_eq!(found.to_string(), *maker, "{file}");
            let model = vouched.make.model.expect("a model");
            let part = model.split(' ').next_back().filter(|_| *maker == "IFX").unwrap_or(&model);
            let part = if part.starts_with("TPM") { "9670" } else { part };
            assert!(device.contains(part), "{file}: {model}");
        } else {
            assert_eq!(*maker, "GOOG", "{file}");
        }
        assert!(
            judged(&der, &anchors, "2015-01-01T00:00:00Z".parse().expect("a time")).is_err(),
            "{file}: not yet"
        );
    }
}

/// Certificates outlive no machine: what has expired says so, and is for the policy.
#[test]
fn an_expired_genuine_certificate_says_so() {
    let Some(folder) = evidence() else { return };
    let anchors = trusted(&folder);
    let later = "2034-01-01T00:00:00Z".parse().expect("a time");
    let der = fs::read(folder.join("tpm/ek-infineon-SLB9670-rsa.der")).expect("a certificate");
    assert!(judged(&der, &anchors, later).expect("vouched for").is_expired);
}

/// Makers of TPMs vouch for no YubiKey, nor their roots by another purpose for a TPM.
#[test]
fn the_purpose_of_a_root_is_kept() {
    let Some(folder) = evidence() else { return };
    let mut all = anchors(&folder, "pool.roots.pem", Trust::Root);
    all.extend(anchors(&folder, "pool.intermediates.pem", Trust::Intermediate));
    for anchor in &mut all {
        anchor.purpose = if anchor.trust == Trust::Root { Purpose::PivIssuer } else { Purpose::TpmMaker };
    }
    all.retain(is_fit);
    let anchors = Anchors::new(&all).expect("anchors");
    let der = fs::read(folder.join("tpm/ek-infineon-SLB9670-rsa.der")).expect("a certificate");
    assert_eq!(judged(&der, &anchors, now()).expect_err("PIV roots").code(), "evidence-chain-purpose");
}

/// A virtual TPM's own words: an attestation key that is read, a creation and a quote that certify no key.
#[test]
fn a_genuine_quote_certifies_no_key() {
    let Some(folder) = evidence() else { return };
    let text =
        fs::read_to_string(folder.join("tpm/goattestation-windows-gcp-shielded-vm.json")).expect("JSON");
    let field = |name: &str| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let (_, rest) = text.split_once(&format!("\"{name}\":\"")).expect(name);
        STANDARD.decode(rest.split('"').next().expect("a string")).expect("base64")
    };
    let ak = AttestationKey::parse(&field("Public")).expect("an attestation key");
    for (info, signature) in [("CreateAttestation", "CreateSignature"), ("Quote", "Signature")] {
        let signature = Signature::parse(&field(signature), ak.public_key()).expect("a signature");
        let refusal = certified_key(ak.public_key(), &signature, &field(info), &[], |_| None);
        assert_eq!(refusal.expect_err(info), TpmRefusal::Type);
    }
}
