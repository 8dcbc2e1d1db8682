//! The bank's trust bundle: that two officers signed exactly what is in the file.

use ca_core::domain::trust::sha256;
use ca_wire::{
    evidence::EvidenceExport,
    trust::{TRUST_BUNDLE, TrustBundle},
};
use ca_x509::cms;

use super::{Findings, anchors::Carried};

pub(super) fn examine(export: &EvidenceExport, carried: &[Carried], findings: &mut Findings) {
    let trust = &export.trust;
    let Some(octets) = &trust.bundle else {
        if trust.version == 0 && trust.signatures.is_empty() {
            findings.claimed(
                "the authority believed the makers' files of its configuration; nobody signed for them",
            );
        } else {
            findings.wrong(format!("trust.bundle is missing, though trust.version is {}", trust.version));
        }
        return;
    };
    let bundle: TrustBundle = match serde_json::from_slice(&octets.0) {
        Ok(bundle) => bundle,
        Err(error) => return findings.wrong(format!("trust.bundle isn't a trust bundle: {error}")),
    };
    findings.fits(bundle.format == TRUST_BUNDLE && bundle.version == trust.version, || {
        format!("trust.version is {}, the bundle is version {}", trust.version, bundle.version)
    });
    for anchor in &bundle.anchors {
        let found = hex::encode(sha256(&anchor.certificate.0));
        findings.fits(found == anchor.sha256, || {
            format!("trust.bundle says {} of the certificate {found}", anchor.sha256)
        });
    }
    let [first, second] = trust.signatures.as_slice() else {
        return findings
            .wrong(format!("trust.signatures has {} signatures instead of two", trust.signatures.len()));
    };
    let mut signers = Vec::new();
    for (index, signature) in [first, second].into_iter().enumerate() {
        match cms::check(&signature.0, &octets.0) {
            Ok(checked) => signers.push((sha256(&checked.certificate), checked.subject)),
            Err(problem) => findings.wrong(format!("trust.signatures: number {} {problem}", index + 1)),
        }
    }
    if let [(first, one), (second, other)] = signers.as_slice()
        && findings.fits(first != second, || format!("trust.signatures: both are {one}'s"))
    {
        let (first, second) = (hex::encode(first), hex::encode(second));
        findings.claimed(format!(
            "{one} (certificate SHA-256 {first}) and {other} ({second}) are the bank's officers; they signed trust version {} \
             with its {} anchors",
            bundle.version,
            carried.len()
        ));
    }
}
