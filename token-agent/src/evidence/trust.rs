//! The bank's trust bundle: that two officers signed exactly what is in the file.

use ca_core::domain::trust::sha256;
use ca_wire::{
    evidence::EvidenceExport,
    trust::{TRUST_BUNDLE, TrustBundle},
};
use ca_x509::cms;

use super::{Findings, anchors::Carried};
use crate::messages::told;

pub(super) fn examine(export: &EvidenceExport, carried: &[Carried], findings: &mut Findings) {
    let trust = &export.trust;
    let Some(octets) = &trust.bundle else {
        if trust.version == 0 && trust.signatures.is_empty() {
            findings.claimed(told!(
                "the authority believed the makers' files of its configuration; nobody signed for them",
                "認証局は設定ファイルにあるメーカーの証明書を信頼しました(署名した責任者はいません)",
            ));
        } else {
            let version = trust.version;
            findings.wrong(told!(
                "trust.bundle is missing, though trust.version is {version}",
                "trust.version が {version} なのに trust.bundle がありません",
            ));
        }
        return;
    };
    let bundle: TrustBundle = match serde_json::from_slice(&octets.0) {
        Ok(bundle) => bundle,
        Err(error) => {
            return findings.wrong(told!(
                "trust.bundle isn't a trust bundle: {error}",
                "trust.bundle はトラストバンドルではありません: {error}",
            ));
        }
    };
    findings.fits(bundle.format == TRUST_BUNDLE && bundle.version == trust.version, || {
        let (said, found) = (trust.version, bundle.version);
        told!(
            "trust.version is {said}, the bundle is version {found}",
            "trust.version は {said} ですが、バンドルのバージョンは {found} です",
        )
    });
    for anchor in &bundle.anchors {
        let found = hex::encode(sha256(&anchor.certificate.0));
        findings.fits(found == anchor.sha256, || {
            let said = &anchor.sha256;
            told!(
                "trust.bundle says {said} of the certificate {found}",
                "trust.bundle の記載 {said} は証明書 {found} と一致しません",
            )
        });
    }
    let [first, second] = trust.signatures.as_slice() else {
        let count = trust.signatures.len();
        return findings.wrong(told!(
            "trust.signatures has {count} signatures instead of two",
            "trust.signatures の署名は 2 個でなく {count} 個です",
        ));
    };
    let mut signers = Vec::new();
    for (index, signature) in [first, second].into_iter().enumerate() {
        match cms::check(&signature.0, &octets.0) {
            Ok(checked) => signers.push((sha256(&checked.certificate), checked.subject)),
            Err(problem) => {
                let number = index + 1;
                findings.wrong(told!(
                    "trust.signatures: number {number} {problem}",
                    "trust.signatures: {number} 番目の署名を確認できません({problem})",
                ));
            }
        }
    }
    if let [(first, one), (second, other)] = signers.as_slice()
        && findings.fits(first != second, || {
            told!("trust.signatures: both are {one}'s", "trust.signatures: 署名者が両方とも {one} です")
        })
    {
        let (first, second) = (hex::encode(first), hex::encode(second));
        let (version, anchors) = (bundle.version, carried.len());
        findings.claimed(told!(
            "{one} (certificate SHA-256 {first}) and {other} ({second}) are the bank's officers; they signed trust version \
             {version} with its {anchors} anchors",
            "{one}(証明書 SHA-256 {first})と {other}({second})は銀行の責任者です。両名がトラストバージョン {version}\
             (アンカー {anchors} 件)に署名しました",
        ));
    }
}
