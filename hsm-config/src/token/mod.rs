//! What signer and ceremony both say about a token: which module, which token, which PIN, which kind of key.

pub mod key;
pub mod pin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use key::{KeyAlgorithm, KeyId, SignatureMechanism};
pub use pin::{Pin, PinError, PinFault};

/// Names one token among those that a module shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSelection {
    /// By `CKA_LABEL` of the token, trailing spaces removed. It must be unique among the module's tokens.
    Label(String),
    /// By the serial number that the token reports, trailing spaces removed.
    Serial(String),
}

impl std::fmt::Display for TokenSelection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Label(label) => write!(f, "token with label {label:?}"),
            Self::Serial(serial) => write!(f, "token with serial number {serial:?}"),
        }
    }
}

/// A PKCS#11 module and the environment that its worker gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleAccess {
    /// Absolute path of the shared library.
    pub module: PathBuf,
    /// Variables that the module reads, such as `SOFTHSM2_CONF`. A worker inherits no others, except those that
    /// [`crate::worker::handle`] lists.
    pub environment: BTreeMap<String, String>,
}

impl ModuleAccess {
    /// Whether the module is SoftHSM, by its file's name.
    pub fn is_softhsm(&self) -> bool {
        self.module.file_name().is_some_and(|name| name.to_string_lossy().contains("softhsm"))
    }

    /// Every mistake in this part of a configuration, as problem and remedy; empty when there is none.
    pub fn mistakes(&self) -> Vec<(String, &'static str)> {
        let mut mistakes = Vec::new();
        let module = self.module.display();
        if !self.module.is_absolute() {
            let problem = format!("module {module} is not an absolute path");
            mistakes.push((problem, "give the full path of the PKCS#11 library"));
        } else if !self.module.is_file() {
            let problem = format!("module {module} is not on this machine");
            mistakes.push((problem, "install the vendor's PKCS#11 library or correct the path"));
        }
        if self.is_softhsm()
            && let Some(path) = self.environment.get("SOFTHSM2_CONF")
            && !Path::new(path).is_file()
        {
            let problem = format!("environment variable SOFTHSM2_CONF names {path}, which is no file");
            mistakes.push((problem, "write SoftHSM's configuration there or correct the path"));
        }
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let problem = format!("environment variable {name:?} can't be set");
                mistakes.push((problem, "give it a name without '=' and a value without NUL"));
            }
        }
        mistakes
    }
}

/// What a token says about itself (`C_GetTokenInfo`), trailing blanks removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDescription {
    /// The slot it is in. Slots may be renumbered when a token is initialised.
    pub slot: u64,
    /// True when it is initialised.
    pub initialised: bool,
    /// Its label.
    pub label: String,
    /// Its manufacturer.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// Its firmware version, `major.minor`.
    pub firmware: String,
    /// Its hardware version, `major.minor`.
    pub hardware: String,
}
