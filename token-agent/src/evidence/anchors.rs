//! Whom whoever verifies trusts: makers by the fingerprints that Inro ships or that were given, the authority by files or
//! fingerprints that were given.

use std::{collections::BTreeMap, sync::LazyLock};

use ca_core::domain::{
    attestation::{Anchor, MakerCertificate, MakerCrl, Purpose, Trust},
    trust::sha256,
};
use ca_wire::{evidence::ExportedTrust, trust::TrustBundle};
use der::pem;
use serde::Deserialize;

use super::Findings;
use crate::messages::told;

const KNOWN: &str = include_str!("../../../ca/trust/known-anchors.toml");

static KNOWN_ANCHORS: LazyLock<Vec<KnownAnchor>> = LazyLock::new(|| {
    // A test reads every one of them.
    toml::from_str(KNOWN).map(|known: KnownAnchors| known.anchor).unwrap_or_default()
});

/// A SHA-256.
pub(crate) type Fingerprint = [u8; 32];

/// Whom whoever verifies trusts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted {
    /// The authority's root certificates.
    pub(crate) roots: Vec<Fingerprint>,
    /// Makers' certificates besides those that Inro ships.
    pub(crate) anchors: Vec<Fingerprint>,
    /// Makers' CRLs: what they list doesn't stand.
    pub(crate) crls: Vec<MakerCrl>,
}

#[derive(Deserialize)]
struct KnownAnchors {
    anchor: Vec<KnownAnchor>,
}

#[derive(Deserialize)]
struct KnownAnchor {
    sha256: String,
    purpose: String,
}

impl Trusted {
    /// What a maker's certificate may vouch for; `None` when nobody here trusts it.
    pub(super) fn purpose(&self, der: &[u8], is_tpm: bool) -> Option<Purpose> {
        let fingerprint = sha256(der);
        let name = hex::encode(fingerprint);
        let known = KNOWN_ANCHORS.iter().find(|known| known.sha256 == name);
        known.and_then(|known| Purpose::parse(&known.purpose)).or_else(|| {
            // Whoever names a fingerprint knows whose it is; what for follows from the name, as in test installations.
            self.anchors.contains(&fingerprint).then(|| purpose_by_name(der, is_tpm))
        })
    }
}

fn purpose_by_name(der: &[u8], is_tpm: bool) -> Purpose {
    match MakerCertificate::read(der).map(|certificate| certificate.subject()) {
        _ if is_tpm => Purpose::TpmMaker,
        Ok(subject) if subject.contains("PIV") => Purpose::PivIssuer,
        _ => Purpose::Link,
    }
}

/// A maker's certificate that the file carries.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    pub(super) der: Vec<u8>,
    pub(super) trust: Trust,
    /// What the bank says it may vouch for.
    pub(super) said: Option<Purpose>,
    /// Whether it was retired in the bank's bundle.
    pub(super) retired: bool,
}

impl Carried {
    /// As an anchor: with what it may vouch for by the word of whoever verifies, or by the bank's.
    pub(super) fn anchor(&self, trusted: Option<&Trusted>, is_tpm: bool) -> Anchor {
        let link = if is_tpm { Purpose::TpmMaker } else { Purpose::Link };
        let purpose = match trusted {
            Some(trusted) => trusted.purpose(&self.der, is_tpm).unwrap_or(link),
            None => self.said.unwrap_or_else(|| purpose_by_name(&self.der, is_tpm)),
        };
        Anchor { der: self.der.clone(), trust: self.trust, purpose }
    }
}

/// Every maker's certificate in the file: those that were used, and those of the bundle, once each.
pub(super) fn of_file(trust: &ExportedTrust, findings: &mut Findings) -> Vec<Carried> {
    let mut all: BTreeMap<Fingerprint, Carried> = BTreeMap::new();
    let bundle =
        trust.bundle.as_ref().and_then(|bundle| serde_json::from_slice::<TrustBundle>(&bundle.0).ok());
    for anchor in bundle.into_iter().flat_map(|bundle| bundle.anchors) {
        let der = anchor.certificate.0;
        let Ok(certificate) = MakerCertificate::read(&der) else { continue };
        let carried = Carried {
            trust: certificate.trust(),
            said: Purpose::parse(&anchor.purpose),
            retired: anchor.retired_at.is_some(),
            der,
        };
        all.insert(sha256(&carried.der), carried);
    }
    for (index, text) in trust.anchors.iter().enumerate() {
        let read = pem::decode_vec(text.as_bytes()).ok().map(|(_, der)| der);
        let certificate = read.as_deref().and_then(|der| MakerCertificate::read(der).ok());
        let (Some(der), Some(certificate)) = (read, certificate) else {
            let number = index + 1;
            findings.wrong(told!(
                "trust.anchors: number {number} isn't a certificate",
                "trust.anchors: {number} 番目は証明書ではありません",
            ));
            continue;
        };
        let fingerprint = sha256(&der);
        if trust.bundle.is_some() && !all.contains_key(&fingerprint) {
            let name = hex::encode(fingerprint);
            findings.wrong(told!(
                "trust.anchors: {name} isn't in the trust bundle that the officers signed",
                "trust.anchors: {name} は、責任者が署名したトラストバンドルに含まれていません",
            ));
        }
        let carried = Carried { trust: certificate.trust(), said: None, retired: false, der };
        all.entry(fingerprint).or_insert(carried);
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_fingerprints_are_read() {
        assert_eq!(KNOWN_ANCHORS.len(), KNOWN.matches("[[anchor]]").count());
        assert!(KNOWN_ANCHORS.iter().all(|known| Purpose::parse(&known.purpose).is_some()));
    }
}
