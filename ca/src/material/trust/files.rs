//! Attestation anchors: Yubico's published ones by fingerprint, any others only in test installations.

use std::path::PathBuf;

use anyhow::{Context, bail};
use ca_core::domain::attestation::chain::{Anchor, Anchors, Purpose, Trust};
use der::Decode;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

use super::certificates;
use crate::config;

/// SHA-256 over the DER of the certificates that Yubico publishes for PIV attestation, and what each may do.
const YUBICO: [(&str, Trust, Purpose); 7] = [
    // Yubico PIV Root CA Serial 263751: firmware up to 5.7.3.
    ("63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546", Trust::Root, Purpose::PivIssuer),
    // Yubico Attestation Root 1: from 5.7.4.
    ("62760c6a6ef91679f454c8902b80fd009825b3f25da90f1fbace2ec6586cd5a8", Trust::Root, Purpose::Link),
    // Yubico Attestation Intermediate A 1 and B 1.
    ("4698a1d3389c3ec60016c216250f1d0439922832d65142327436376dc2942b55", Trust::Intermediate, Purpose::Link),
    ("d4cc3f456fdaf4e7812a21aab1dfe9d8e27d24e2fd2d6f21c9940109f0daa754", Trust::Intermediate, Purpose::Link),
    // Yubico PIV Attestation A 1, B 1 and B2 1.
    (
        "6de693f05376f5d8ca29069261e1c8626c75d503bd2edbfd75354cad1f722870",
        Trust::Intermediate,
        Purpose::PivIssuer,
    ),
    (
        "2d55b7998f4e42569d6d8fa382b6dc77d1dacf07358b19701163892922b17052",
        Trust::Intermediate,
        Purpose::PivIssuer,
    ),
    (
        "0c90b7d184a36edf50a35f9be935f0c5689bfdcfe5bdd073366cafb49061a440",
        Trust::Intermediate,
        Purpose::PivIssuer,
    ),
];

/// Reads the configured anchors.
///
/// # Errors
/// When a file can't be used, or a root isn't one that is permitted.
pub(super) fn anchors(trust: &config::Trust) -> anyhow::Result<Anchors> {
    let mut anchors = Vec::new();
    collect(&mut anchors, "trust.yubikey_roots", &trust.yubikey_roots, Trust::Root, trust.test_anchors)?;
    let key = "trust.yubikey_intermediates";
    collect(&mut anchors, key, &trust.yubikey_intermediates, Trust::Intermediate, trust.test_anchors)?;
    Anchors::new(&anchors).context("trust: name both of Yubico's roots and its intermediates")
}

fn collect(
    anchors: &mut Vec<Anchor>,
    key: &str,
    paths: &[PathBuf],
    as_what: Trust,
    test_anchors: bool,
) -> anyhow::Result<()> {
    for path in paths {
        for der in certificates(key, path)? {
            let fingerprint = hex::encode(Sha256::digest(&der));
            let known = YUBICO.iter().find(|(sha256, trust, _)| *sha256 == fingerprint && *trust == as_what);
            let purpose = match known {
                Some((_, _, purpose)) => *purpose,
                None if test_anchors => purpose_by_name(&der)?,
                // Yubico's bundle also has intermediates for FIDO, OpenPGP and others: of no use here.
                None if as_what == Trust::Intermediate => continue,
                None => bail!(
                    "{key}: {} holds a certificate with SHA-256 {fingerprint}, which isn't one of Yubico's published \
                     PIV attestation roots; remove it, or in a test installation set trust.test_anchors = true",
                    path.display()
                ),
            };
            anchors.push(Anchor { der, trust: as_what, purpose });
        }
    }
    Ok(())
}

/// What a test anchor may do: one with "PIV" in its name issues f9 certificates, as with the maker's own.
fn purpose_by_name(der: &[u8]) -> anyhow::Result<Purpose> {
    let certificate = Certificate::from_der(der).context("a test anchor isn't valid DER")?;
    let subject = certificate.tbs_certificate().subject().to_string();
    Ok(if subject.contains("PIV") { Purpose::PivIssuer } else { Purpose::Link })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn evidence(name: &str) -> Option<PathBuf> {
        let folder = std::env::var_os("INRO_EVIDENCE_DIR")?;
        Some(Path::new(&folder).join("roots/yubikey").join(name))
    }

    #[test]
    fn the_makers_published_bundles_are_taken_and_the_others_are_not() {
        let (Some(old), Some(new), Some(intermediates), Some(fido)) = (
            evidence("yubico-piv-ca-1.pem"),
            evidence("yubico-ca-1.pem"),
            evidence("yubico-intermediate.pem"),
            evidence("yubico-fido-ca-1.pem"),
        ) else {
            return;
        };
        let trust = |roots: Vec<PathBuf>| config::Trust {
            yubikey_roots: roots,
            yubikey_intermediates: vec![intermediates.clone()],
            test_anchors: false,
        };
        anchors(&trust(vec![old.clone(), new])).expect("Yubico's anchors");
        let error = anchors(&trust(vec![old, fido])).expect_err("a FIDO root");
        assert!(error.to_string().contains("0fa1386f80eb"), "{error}");
    }
}
