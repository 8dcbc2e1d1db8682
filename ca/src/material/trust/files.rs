//! Anchors from the files that the configuration names, for a first installation: the makers' published ones by
//! fingerprint, any others only in test installations.

use std::path::PathBuf;

use anyhow::{Context, bail};
use ca_core::domain::{
    attestation::{Anchor, Anchors, MakerCertificate, Purpose, Trust},
    trust::sha256,
};

use super::known;
use crate::{config, material::certificates};

/// Which maker's files.
#[derive(Clone, Copy)]
enum Maker {
    Yubico,
    Tpm,
}

impl Maker {
    fn publishes(self, purpose: Purpose) -> bool {
        matches!(self, Self::Tpm) == (purpose == Purpose::TpmMaker)
    }
}

/// Reads the configured anchors.
///
/// # Errors
/// When a file can't be used, or a root isn't one that is permitted.
pub(crate) fn anchors(trust: &config::Trust) -> anyhow::Result<Vec<Anchor>> {
    let mut anchors = Vec::new();
    let lists: [(&str, &[PathBuf], Trust, Maker); 4] = [
        ("trust.yubikey_roots", &trust.yubikey_roots, Trust::Root, Maker::Yubico),
        ("trust.yubikey_intermediates", &trust.yubikey_intermediates, Trust::Intermediate, Maker::Yubico),
        ("trust.tpm_roots", &trust.tpm_roots, Trust::Root, Maker::Tpm),
        ("trust.tpm_intermediates", &trust.tpm_intermediates, Trust::Intermediate, Maker::Tpm),
    ];
    for (key, paths, as_what, maker) in lists {
        for path in paths {
            for der in certificates(key, path)? {
                let purpose = purpose(key, path, &der, (as_what, maker), trust.test_anchors)?;
                anchors.extend(purpose.map(|purpose| Anchor { der, trust: as_what, purpose }));
            }
        }
    }
    Anchors::new(&anchors)
        .context("trust: name both of Yubico's roots and its intermediates, or TPM makers' roots")?;
    Ok(anchors)
}

/// What a certificate of these files may vouch for; `None` when it is of no use here.
fn purpose(
    key: &str,
    path: &std::path::Path,
    der: &[u8],
    (as_what, maker): (Trust, Maker),
    test_anchors: bool,
) -> anyhow::Result<Option<Purpose>> {
    let sha256 = sha256(der);
    let known = known::find(&sha256).filter(|known| known.trust == as_what && maker.publishes(known.purpose));
    Ok(match (known, maker) {
        (Some(known), _) => Some(known.purpose),
        (None, Maker::Yubico) if test_anchors => Some(purpose_by_name(der)?),
        // TPM makers have hundreds; each counts only under a root.
        (None, Maker::Tpm) if test_anchors || as_what == Trust::Intermediate => Some(Purpose::TpmMaker),
        // Yubico's bundle also has intermediates for FIDO, OpenPGP and others: of no use here.
        (None, Maker::Yubico) if as_what == Trust::Intermediate => None,
        (None, _) => bail!(
            "{key}: {} holds a certificate with SHA-256 {}, which isn't one of the makers' published roots; remove it, \
             add it to the trust store (inro-ca trust), or in a test installation set trust.test_anchors = true",
            path.display(),
            hex::encode(sha256)
        ),
    })
}

/// What a test anchor may do: one with "PIV" in its name issues f9 certificates, as with the maker's own.
pub(crate) fn purpose_by_name(der: &[u8]) -> anyhow::Result<Purpose> {
    let subject = MakerCertificate::read(der).context("a test anchor isn't valid DER")?.subject();
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
            ..config::Trust::default()
        };
        anchors(&trust(vec![old.clone(), new])).expect("Yubico's anchors");
        let error = anchors(&trust(vec![old, fido])).expect_err("a FIDO root");
        assert!(error.to_string().contains("0fa1386f80eb"), "{error}");
    }
}
