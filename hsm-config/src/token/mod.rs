//! What signer and ceremony both say about a token: which module, which token, which PIN, which kind of key.

pub mod key;
pub mod pin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use key::{KeyAlgorithm, KeyId, SignatureMechanism};
pub use pin::{Pin, PinError, PinFault, PinKeys, PinKind, PinMistake, PinSource, PinSourceError};

use crate::vendor::Profile;

/// Names one token among those that a module shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSelection {
    /// By `CKA_LABEL` of the token, trailing spaces removed. It must be unique among the module's tokens.
    Label(String),
    /// By the serial number that the token reports, trailing spaces removed.
    Serial(String),
}

impl TokenSelection {
    /// Whether a token is the one that is meant.
    pub fn matches(&self, token: &TokenDescription) -> bool {
        match self {
            Self::Label(label) => token.label == *label,
            Self::Serial(serial) => token.serial == *serial,
        }
    }
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
    /// What is known about it.
    pub vendor: Arc<Profile>,
}

impl ModuleAccess {
    /// A module whose vendor is told by its file's name, among the profiles that are built in.
    pub fn new(module: PathBuf, environment: BTreeMap<String, String>) -> Self {
        let vendor = Profile::built_in_of(&module).unwrap_or_else(Profile::unknown);
        Self { module, environment, vendor: Arc::new(vendor) }
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
        for name in &self.vendor.environment.required {
            if !self.environment.contains_key(name) {
                let problem =
                    format!("environment variable {name} is missing, which {} needs", self.vendor.product);
                mistakes.push((problem, "set it in the token's environment; a worker inherits none of ours"));
            }
        }
        for name in &self.vendor.environment.files {
            if let Some(path) = self.environment.get(name)
                && !Path::new(path).is_file()
            {
                let problem = format!("environment variable {name} names {path}, which is no file");
                mistakes.push((problem, "write the module's configuration there or correct the path"));
            }
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

/// The label of a token that a ceremony initialised and took back: it holds nothing, and counts as uninitialised.
pub const VOID_LABEL: &str = "inro-void";

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
    /// The shortest PIN that it takes, in octets.
    pub min_pin_length: u64,
    /// The longest; 0 where it doesn't tell.
    pub max_pin_length: u64,
}

impl TokenDescription {
    /// Whether it is initialised under [`VOID_LABEL`].
    pub fn is_void(&self) -> bool {
        self.initialised && self.label == VOID_LABEL
    }
}
