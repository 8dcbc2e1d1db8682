//! Whether a token is fit for what the specification wants of it.

use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::super::super::spec::{Free, KeySpec};
use crate::token::{KeyAlgorithm, TokenDescription};

/// The slot that will be initialised, or why there is none.
pub(super) fn free_slot(present: &[TokenDescription], label: &str, wanted: &Free) -> Result<u64, String> {
    if let Some(token) = present.iter().find(|token| token.initialised && token.label == label) {
        return Err(format!(
            "a token with label {label:?} exists (slot {}, serial {})",
            token.slot, token.serial
        ));
    }
    let in_use = |token: &TokenDescription| token.initialised && !token.is_void();
    match wanted {
        Free::First => present
            .iter()
            .find(|token| !token.initialised)
            .or_else(|| present.iter().find(|token| token.is_void()))
            .map(|token| token.slot)
            .ok_or_else(|| "the module shows no uninitialised token".to_owned()),
        Free::InSlot(slot) => match present.iter().find(|token| token.slot == *slot) {
            None => Err(format!("there is no token in slot {slot}")),
            Some(token) if in_use(token) => {
                Err(format!("the token in slot {slot} is initialised already, as {:?}", token.label))
            }
            Some(_) => Ok(*slot),
        },
        Free::WithSerial(serial) => match present.iter().find(|token| token.serial == *serial) {
            None => Err(format!("there is no token with serial number {serial:?}")),
            Some(token) if in_use(token) => Err(format!(
                "the token with serial number {serial:?} is initialised already, as {:?}",
                token.label
            )),
            Some(token) => Ok(token.slot),
        },
    }
}

/// What a token lacks to make and use a key, if something.
pub(super) fn unable(mechanisms: &[String], key: &KeySpec) -> Option<String> {
    let (generation, signing) = match key.algorithm {
        KeyAlgorithm::P256 => ("CKM_EC_KEY_PAIR_GEN", ["CKM_ECDSA", "CKM_ECDSA_SHA256"]),
        KeyAlgorithm::P384 => ("CKM_EC_KEY_PAIR_GEN", ["CKM_ECDSA", "CKM_ECDSA_SHA384"]),
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            ("CKM_RSA_PKCS_KEY_PAIR_GEN", ["CKM_RSA_PKCS", "CKM_SHA256_RSA_PKCS"])
        }
    };
    let has = |wanted: &str| mechanisms.iter().any(|name| name == wanted);
    let able = (has(generation) || !key.is_new()) && signing.iter().any(|name| has(name));
    (!able).then(|| format!("it lacks {generation} or {}, which an {} key needs", signing[0], key.algorithm))
}

/// What a token lacks to give or receive a wrapped key, if something.
pub(super) fn unable_to_transfer(mechanisms: &[String]) -> Option<String> {
    let has = |wanted: &str| mechanisms.iter().any(|name| name == wanted);
    let needed = ["CKM_RSA_PKCS_OAEP", "CKM_AES_KEY_GEN", "CKM_RSA_PKCS_KEY_PAIR_GEN"];
    let mut missing: Vec<&str> = needed.into_iter().filter(|wanted| !has(wanted)).collect();
    if !has("CKM_AES_KEY_WRAP_PAD") && !has("CKM_AES_GCM") {
        missing.push("CKM_AES_KEY_WRAP_PAD and CKM_AES_GCM");
    }
    let text =
        format!("it lacks {}, which wrapping a key needs; use its vendor's cloning", missing.join(", "));
    (!missing.is_empty()).then_some(text)
}

/// Whether a public key is of the kind that was asked for.
pub(in super::super::super) fn fits(
    algorithm: KeyAlgorithm,
    public: &SubjectPublicKeyInfoOwned,
) -> Result<(), String> {
    use ca_x509::KeyKind;
    let kind = KeyKind::of(public).map_err(|e| e.to_string())?;
    let wanted = match algorithm {
        KeyAlgorithm::P256 => KeyKind::P256,
        KeyAlgorithm::P384 => KeyKind::P384,
        KeyAlgorithm::Rsa3072 => KeyKind::Rsa { bits: 3072 },
        KeyAlgorithm::Rsa4096 => KeyKind::Rsa { bits: 4096 },
    };
    let on_curve = ca_x509::key::on_curve(public).map_err(|e| e.to_string())?;
    if kind == wanted && on_curve { Ok(()) } else { Err(format!("it is {kind:?}, not {algorithm}")) }
}

/// What is wrong with a key's label, if something.
pub(super) fn other_name(key: &KeySpec, label: Option<&str>) -> Option<String> {
    let found = match label {
        Some(label) if label == key.name => return None,
        Some(label) => format!("the label (CKA_LABEL) {label:?}"),
        None => "no label (CKA_LABEL)".to_owned(),
    };
    let text = format!(
        "its key with ID {} has {found}, not {:?}: call the key in the specification what the token calls it, or label it by the vendor's tools",
        key.id, key.name
    );
    Some(text)
}
