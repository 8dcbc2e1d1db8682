//! Files that somebody sent, bent in every way.

use base64::{Engine, engine::general_purpose::STANDARD};
use ca_core::domain::trust::sha256;
use ca_wire::trust::TRUST_BUNDLE;
use ca_x509::cms;
use ciborium::cbor;
use der::pem::{LineEnding, encode_string};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair, SigningKey,
};
use serde_json::{Value, json};

use super::*;
use crate::hostile::bombard_json;

const TIME: &str = "2026-11-22T09:00:00Z";

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn pem(der: &[u8]) -> String {
    encode_string("CERTIFICATE", LineEnding::LF, der).expect("PEM")
}

/// A YubiKey's attestation of this key under a maker's root: slot and f9.
fn attestation(maker: &CertifiedIssuer<'_, KeyPair>, key: &KeyPair) -> [Vec<u8>; 2] {
    let extension = |arc: u64, content: &[u8]| {
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 41482, 3, arc], content.to_vec())
    };
    let mut device = named("Device");
    device.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let f9 = CertifiedIssuer::signed_by(device, KeyPair::generate().expect("a key"), maker).expect("f9");
    let mut slot = named("YubiKey PIV Attestation 9a");
    slot.custom_extensions =
        vec![extension(3, &[5, 7, 4]), extension(7, &[2, 4, 1, 0xf8, 0x84, 0x5f]), extension(8, &[2, 1])];
    [slot.signed_by(key, &f9).expect("a slot").der().to_vec(), f9.der().to_vec()]
}

/// A trust bundle with the maker's root, and one officer's signature, twice.
fn trust(maker: &CertifiedIssuer<'_, KeyPair>) -> Value {
    let root = maker.der().to_vec();
    let anchor = json!({
        "sha256": hex::encode(sha256(&root)), "purpose": "piv-issuer", "trust": "root", "source": "maker", "note": "",
        "added_at": TIME, "certificate": STANDARD.encode(&root),
    });
    let bundle = json!({"format": TRUST_BUNDLE, "version": 1, "comment": "", "anchors": [anchor]});
    let bundle = serde_json::to_vec(&bundle).expect("JSON");
    let key = KeyPair::generate().expect("a key");
    let officer = named("Officer").self_signed(&key).expect("an officer").der().to_vec();
    let unsigned = cms::Unsigned::new(&officer, &[], &bundle).expect("a signature to be");
    let signature = key.sign(&unsigned.to_be_signed().expect("DER")).expect("signed");
    let signature = STANDARD.encode(unsigned.signed(&signature).expect("a signature"));
    json!({
        "version": 1, "bundle": STANDARD.encode(&bundle), "signatures": [signature, signature],
        "anchors": [pem(&root)],
    })
}

/// The entry of the signer's journal, and its octets.
fn journal(tbs: &[u8]) -> Value {
    let entry = cbor!({
        "at" => 1_795_338_000_000_000_i64,
        "body" => {"Certificate" => {
            "tbs" => ciborium::Value::Bytes(tbs.to_vec()), "signature" => ciborium::Value::Bytes(vec![1; 70]),
            "intent" => ciborium::Value::Bytes(vec![7; 16]),
            "audit_head" => {"sequence" => 8, "hash" => ciborium::Value::Bytes(vec![9; 32])},
        }},
    });
    let mut octets = Vec::new();
    ciborium::into_writer(&entry.expect("CBOR"), &mut octets).expect("CBOR");
    json!({
        "signer": "customer", "sequence": 9, "hash": "00".repeat(32), "previous_hash": "11".repeat(32),
        "entry": {
            "at": TIME, "intent": "07070707-0707-0707-0707-070707070707", "tbs": STANDARD.encode(tbs),
            "signature": STANDARD.encode([1; 70]), "audit_sequence": 8, "audit_hash": "09".repeat(32),
            "octets": STANDARD.encode(&octets),
        },
    })
}

/// A file that is whole in form; what it says doesn't all fit.
fn export() -> Value {
    let (bank, maker) = (authority("Bank"), authority("Maker PIV Root"));
    let key = KeyPair::generate().expect("a key");
    let mut leaf = named("hokkai-01");
    leaf.distinguished_name.push(DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]), "hokkai-01");
    let leaf = leaf.signed_by(&key, &bank).expect("a certificate").der().to_vec();
    let csr = named("hokkai-01").serialize_request(&key).expect("a request").der().to_vec();
    let [slot, f9] = attestation(&maker, &key);
    let row = |sequence: u64, action: &str| {
        json!({
            "sequence": sequence, "at_ms": 1, "actor": "agent", "action": action, "subject": "hokkai-01",
            "details": "evidence=00\njournal=9\njournal_sha256=00", "previous_hash": "22".repeat(32), "hash": "33".repeat(32),
        })
    };
    json!({
        "format": EVIDENCE_EXPORT,
        "exported_at": TIME,
        "certificate": {
            "pem": pem(&leaf), "chain": [pem(bank.der())], "issuer": "customer", "serial": "01",
            "intent": "07070707-0707-0707-0707-070707070707", "user": "hokkai-01", "contract": "1234567",
            "device_kind": "yubikey-piv", "device_serial": "33064031", "assurance": "attested-with-pin",
        },
        "request": {
            "csr": STANDARD.encode(&csr), "challenge": STANDARD.encode([5; 32]),
            "challenge_signature": STANDARD.encode(key.sign(&[5; 32]).expect("signed")), "binding": "serial",
        },
        "evidence": {"format": "yubikey-piv", "parts": [STANDARD.encode(slot), STANDARD.encode(f9)]},
        "verdict": {"verdict": "accepted", "decoded": ["serial"], "judged_at": TIME, "record_sha256": "44".repeat(32)},
        "policy": {"name": "bank", "version": 1, "note": ""},
        "trust": trust(&maker),
        "audit": [row(8, "certificate.intended"), row(9, "certificate.issued")],
        "journal": journal(&leaf),
    })
}

#[test]
fn hostile_files_are_refused_without_a_panic() {
    let export = export();
    let read = |file: &[u8]| verify(file, &Trusted::default());
    let (verdict, findings, parsed) = read(&serde_json::to_vec(&export).expect("JSON"));
    assert!(parsed.is_some() && verdict == Verdict::Refused, "the sample is one in form: {findings:?}");
    assert!(findings.wrong.iter().all(|told| !told.english.contains("isn't of a form")), "{findings:?}");
    let mut last = export.clone();
    last["audit"][0]["sequence"] = json!(u64::MAX);
    let mut tpm = export.clone();
    tpm["certificate"]["device_kind"] = json!("tpm");
    tpm["evidence"] = json!({"format": "tpm", "parts": vec![STANDARD.encode([0; 400]); 6]});
    bombard_json(&[export, last, tpm], |file| drop(read(file)));
}
