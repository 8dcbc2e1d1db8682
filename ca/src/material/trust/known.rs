//! The makers' published certificates, by fingerprint. The certificates themselves come from their makers.

use std::sync::LazyLock;

use ca_core::domain::attestation::{Purpose, Trust};
use serde::Deserialize;

const TEXT: &str = include_str!("../../../trust/known-anchors.toml");

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Whose it is.
    pub(crate) maker: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) purpose: Purpose,
    pub(crate) trust: Trust,
    /// Where the maker publishes it.
    pub(crate) source: String,
    /// Whether somebody else's list says the same of it.
    pub(crate) confirmed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    anchor: Vec<RawAnchor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnchor {
    maker: String,
    #[expect(dead_code, reason = "for people who read the list")]
    name: String,
    sha256: String,
    purpose: String,
    trust: String,
    source: String,
    confirmed: bool,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    // A test reads every one of them.
    let raw: Raw = toml::from_str(TEXT).unwrap_or(Raw { anchor: Vec::new() });
    raw.anchor.into_iter().filter_map(known).collect()
});

fn known(raw: RawAnchor) -> Option<Known> {
    Some(Known {
        maker: raw.maker,
        sha256: super::bundle::digest(&raw.sha256)?,
        purpose: Purpose::parse(&raw.purpose)?,
        trust: Trust::parse(&raw.trust)?,
        source: raw.source,
        confirmed: raw.confirmed,
    })
}

/// The one with this fingerprint.
pub(crate) fn find(sha256: &[u8; 32]) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.sha256 == *sha256)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_known_anchor_is_read_and_none_is_there_twice() {
        assert_eq!(KNOWN.len(), TEXT.matches("[[anchor]]").count());
        let fingerprints: HashSet<_> = KNOWN.iter().map(|known| known.sha256).collect();
        assert_eq!(fingerprints.len(), KNOWN.len());
        let of_yubico = KNOWN.iter().filter(|known| known.maker == "Yubico");
        assert_eq!(of_yubico.filter(|known| known.purpose != Purpose::TpmMaker).count(), 7);
    }
}
