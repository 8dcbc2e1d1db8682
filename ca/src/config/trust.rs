//! `[trust]`: which makers' attestations are believed.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    yubikey_roots: Vec<String>,
    #[serde(default)]
    yubikey_intermediates: Vec<String>,
    #[serde(default)]
    test_anchors: bool,
}

/// Trust anchors for attestations.
#[derive(Debug)]
pub(crate) struct Trust {
    /// PEM files of root certificates.
    pub(crate) yubikey_roots: Vec<PathBuf>,
    /// PEM files of intermediates, which help to build paths and are trusted for nothing.
    pub(crate) yubikey_intermediates: Vec<PathBuf>,
    /// Whether anchors are taken that aren't among Yubico's published ones.
    pub(crate) test_anchors: bool,
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Trust> {
        if self.yubikey_roots.is_empty() {
            return Err(ConfigError::value(
                "trust.yubikey_roots",
                "it is empty, so no token could ever be enrolled",
                "name the PEM files of Yubico's published attestation roots",
            ));
        }
        Ok(Trust {
            yubikey_roots: value::paths("trust.yubikey_roots", &self.yubikey_roots, base)?,
            yubikey_intermediates: value::paths(
                "trust.yubikey_intermediates",
                &self.yubikey_intermediates,
                base,
            )?,
            test_anchors: self.test_anchors,
        })
    }
}
