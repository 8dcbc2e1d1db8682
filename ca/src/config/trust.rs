//! `[trust]`: which makers' attestations are believed, and who may change that.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    yubikey_roots: Vec<String>,
    #[serde(default)]
    yubikey_intermediates: Vec<String>,
    #[serde(default)]
    tpm_roots: Vec<String>,
    #[serde(default)]
    tpm_intermediates: Vec<String>,
    #[serde(default)]
    maker_crls: Option<String>,
    #[serde(default)]
    officers: Vec<String>,
    #[serde(default)]
    lowest_version: u32,
    #[serde(default)]
    test_anchors: bool,
}

/// Trust anchors for attestations.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// PEM files of root certificates.
    pub(crate) yubikey_roots: Vec<PathBuf>,
    /// PEM files of intermediates, which help to build paths and are trusted for nothing.
    pub(crate) yubikey_intermediates: Vec<PathBuf>,
    /// PEM files of TPM makers' root certificates.
    pub(crate) tpm_roots: Vec<PathBuf>,
    /// PEM files of TPM makers' intermediates.
    pub(crate) tpm_intermediates: Vec<PathBuf>,
    /// The folder with the makers' CRLs.
    pub(crate) maker_crls: Option<PathBuf>,
    /// PEM files of the certificates of those who may sign trust bundles.
    pub(crate) officers: Vec<PathBuf>,
    /// No version of the trust store below this one is used.
    pub(crate) lowest_version: u32,
    /// Whether anchors are taken that aren't among the makers' published ones.
    pub(crate) test_anchors: bool,
}

impl Trust {
    /// Whether files name any anchor, for as long as the trust store has no version.
    pub(crate) fn has_files(&self) -> bool {
        !self.yubikey_roots.is_empty() || !self.tpm_roots.is_empty()
    }
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Trust> {
        let has_roots = !self.yubikey_roots.is_empty() || !self.tpm_roots.is_empty();
        if !has_roots && self.officers.is_empty() {
            return Err(ConfigError::value(
                "trust.yubikey_roots",
                "neither it, nor trust.tpm_roots, nor trust.officers names a file, so no token could ever be enrolled",
                "name the PEM files of the makers' published attestation roots, or the officers of the trust store",
            ));
        }
        if self.officers.len() == 1 {
            return Err(ConfigError::value(
                "trust.officers",
                "one officer alone can't change anything",
                "name the certificates of two or more people: one stages, another approves",
            ));
        }
        if self.lowest_version > 0 && self.officers.is_empty() {
            return Err(ConfigError::value(
                "trust.lowest_version",
                "it asks for a version of the trust store, but trust.officers names nobody",
                "name the officers' certificates",
            ));
        }
        let paths = |key: &str, texts: &[String]| value::paths(key, texts, base);
        Ok(Trust {
            yubikey_roots: paths("trust.yubikey_roots", &self.yubikey_roots)?,
            yubikey_intermediates: paths("trust.yubikey_intermediates", &self.yubikey_intermediates)?,
            tpm_roots: paths("trust.tpm_roots", &self.tpm_roots)?,
            tpm_intermediates: paths("trust.tpm_intermediates", &self.tpm_intermediates)?,
            maker_crls: self
                .maker_crls
                .as_deref()
                .map(|folder| value::path("trust.maker_crls", folder, base))
                .transpose()?,
            officers: paths("trust.officers", &self.officers)?,
            lowest_version: self.lowest_version,
            test_anchors: self.test_anchors,
        })
    }
}
