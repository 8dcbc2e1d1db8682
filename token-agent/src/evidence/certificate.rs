//! The certificate, and what it says of its owner.

use ca_core::domain::{
    device::{Device, DeviceKind},
    ids::{SerialNumber, TokenSerial},
    profile::hardware_module_name,
    trust::sha256,
};
use ca_wire::evidence::ExportedCertificate;
use ca_x509::{extension, name, signed::Signed};
use const_oid::db::{
    rfc4519::{ORGANIZATIONAL_UNIT_NAME, UID},
    rfc5280::ID_CE_SUBJECT_ALT_NAME,
};
use der::{Decode, Encode, pem};
use x509_cert::Certificate;

use super::{Findings, Trusted};
use crate::messages::told;

/// The certificate, taken apart.
pub(super) struct Read {
    /// DER of its `TBSCertificate`, as it was signed.
    pub(super) tbs: Vec<u8>,
    /// The signature's octets.
    pub(super) signature: Vec<u8>,
    /// DER of its `SubjectPublicKeyInfo`.
    pub(super) public_key: Vec<u8>,
    /// The device that it names.
    pub(super) device: Device,
}

fn certificate_of(text: &str) -> Option<(Vec<u8>, Certificate)> {
    let (_, der) = pem::decode_vec(text.as_bytes()).ok()?;
    let certificate = Certificate::from_der(&der).ok()?;
    Some((der, certificate))
}

/// `None` when there is nothing that the rest could be held against.
pub(super) fn examine(
    said: &ExportedCertificate,
    trusted: &Trusted,
    findings: &mut Findings,
) -> Option<Read> {
    let Some((der, certificate)) = certificate_of(&said.pem) else {
        findings
            .wrong(told!("certificate.pem isn't a certificate", "certificate.pem は証明書ではありません"));
        return None;
    };
    let tbs = certificate.tbs_certificate();
    let serial = SerialNumber::from_bytes(tbs.serial_number().as_bytes()).map(|serial| serial.to_string());
    findings.fits(serial.as_ref() == Ok(&said.serial), || {
        let said = &said.serial;
        told!(
            "certificate.serial is {said:?}, the certificate's is another",
            "certificate.serial は {said:?} ですが、証明書のシリアル番号と異なります",
        )
    });
    for (what, said, found) in [
        ("certificate.user", &said.user, name::text(tbs.subject(), UID)),
        ("certificate.contract", &said.contract, name::text(tbs.subject(), ORGANIZATIONAL_UNIT_NAME)),
    ] {
        findings.fits(found.as_ref() == Some(said), || {
            told!(
                "{what} is {said:?}, the certificate's subject says {found:?}",
                "{what} は {said:?} ですが、証明書のサブジェクトでは {found:?} です",
            )
        });
    }
    let device = device(said, &certificate, findings)?;
    if chain(&der, said, trusted, findings) {
        let (not_before, not_after) = (tbs.validity().not_before, tbs.validity().not_after);
        findings.proven(told!(
            "the authority issued this certificate, valid from {not_before} to {not_after}",
            "この証明書は認証局が発行したものです(有効期間 {not_before} ~ {not_after})",
        ));
    }
    match (&said.revoked_at, &said.revocation_reason) {
        (Some(at), Some(reason)) => {
            findings.claimed(told!(
                "revoked at {at}, {reason}; ask its CRL or OCSP",
                "{at} に失効({reason})。CRL または OCSP で確認してください",
            ));
        }
        (None, None) => findings.claimed(told!(
            "not revoked when it was exported; ask its CRL or OCSP",
            "出力時点では失効していません。CRL または OCSP で確認してください",
        )),
        _ => {
            findings.wrong(told!(
                "certificate.revoked_at and certificate.revocation_reason: one without the other",
                "certificate.revoked_at と certificate.revocation_reason の一方だけが記載されています",
            ));
        }
    }
    let signed = Signed::parse(&der).ok()?;
    Some(Read {
        tbs: signed.tbs.to_vec(),
        signature: signed.signature.clone(),
        public_key: tbs.subject_public_key_info().to_der().ok()?,
        device,
    })
}

/// The device stands in the certificate itself, as hardwareModuleName.
fn device(said: &ExportedCertificate, certificate: &Certificate, findings: &mut Findings) -> Option<Device> {
    let kind = DeviceKind::parse(&said.device_kind);
    let device =
        kind.zip(TokenSerial::parse(&said.device_serial).ok()).map(|(kind, serial)| Device { kind, serial });
    let Some(device) = device else {
        findings.wrong(told!(
            "certificate.device_kind and certificate.device_serial name no device",
            "certificate.device_kind と certificate.device_serial が装置を表していません",
        ));
        return None;
    };
    let (hw_type, serial) = hardware_module_name(&device);
    let expected = extension::hardware_module_name(hw_type, serial).ok().map(|e| e.extn_value);
    let found = certificate
        .tbs_certificate()
        .extensions()
        .and_then(|all| all.iter().find(|e| e.extn_id == ID_CE_SUBJECT_ALT_NAME))
        .map(|e| e.extn_value.clone());
    findings.fits(expected.is_some() && expected == found, || {
        let serial = &device.serial;
        told!(
            "certificate.device_serial is {serial}, the certificate names another device",
            "certificate.device_serial は {serial} ですが、証明書に記載された装置と異なります",
        )
    });
    Some(device)
}

/// Each signed by the next, the last by itself; true when the last one is trusted.
fn chain(leaf: &[u8], said: &ExportedCertificate, trusted: &Trusted, findings: &mut Findings) -> bool {
    let mut below = leaf.to_vec();
    for (index, text) in said.chain.iter().enumerate() {
        let Some((der, issuer)) = certificate_of(text) else {
            let number = index + 1;
            findings.wrong(told!(
                "certificate.chain: number {number} isn't a certificate",
                "certificate.chain: {number} 番目は証明書ではありません",
            ));
            return false;
        };
        if !is_signed_by(&below, &issuer) {
            let which = if index == 0 {
                "certificate.pem".to_owned()
            } else {
                format!("certificate.chain number {index}")
            };
            let number = index + 1;
            findings.wrong(told!(
                "{which} isn't signed by certificate.chain number {number}",
                "{which} は certificate.chain の {number} 番目で署名されていません",
            ));
            return false;
        }
        below = der;
    }
    let Ok(root) = Certificate::from_der(&below) else { return false };
    if said.chain.is_empty() || !is_signed_by(&below, &root) {
        findings.wrong(told!(
            "certificate.chain doesn't end with a root",
            "certificate.chain がルート証明書で終わっていません",
        ));
        return false;
    }
    let fingerprint = sha256(&below);
    let shown =
        format!("{} (SHA-256 {})", name::shown(root.tbs_certificate().subject()), hex::encode(fingerprint));
    if trusted.roots.contains(&fingerprint) {
        findings.proven(told!("the chain leads to the root {shown}", "証明書チェーンのルート: {shown}"));
        return true;
    }
    if !trusted.roots.is_empty() {
        findings.wrong(told!(
            "certificate.chain leads to {shown}, which isn't the root that was given",
            "certificate.chain のルートは {shown} で、指定されたルートと異なります",
        ));
        return false;
    }
    findings.claimed(told!(
        "the chain leads to the root {shown}: give --root to say whether it is the bank's",
        "証明書チェーンのルートは {shown} です。銀行のルートかどうかは --root で指定してください",
    ));
    false
}

fn is_signed_by(below: &[u8], issuer: &Certificate) -> bool {
    let Ok(certificate) = Certificate::from_der(below) else { return false };
    let issuer = issuer.tbs_certificate();
    certificate.tbs_certificate().issuer() == issuer.subject()
        && Signed::parse(below).is_ok_and(|signed| signed.verify(issuer.subject_public_key_info()).is_ok())
}
