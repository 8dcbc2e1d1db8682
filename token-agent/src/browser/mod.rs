//! Making keys usable in browsers and other programs of a Linux desktop: PKCS#11 modules are registered where those
//! look. Keys stay where they are.
//!
//! `modules` knows the libraries, `nss` the databases of browsers, `p11_kit` the place that other programs share;
//! `doctor` tells what is wrong. Setting up twice changes nothing the second time.

mod doctor;
mod modules;
mod nss;
mod p11_kit;

use std::{env, io, path::PathBuf};

pub(crate) use doctor::{Finding, Good, Trouble, examine_keys, examine_registrations};
use modules::Module;

/// What was done to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The database's folder, or the file.
    pub(crate) place: PathBuf,
    /// The module's name.
    pub(crate) module: &'static str,
    pub(crate) outcome: Outcome,
}

/// What was found and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Added,
    /// It was there as it should be.
    Already,
    /// It named another library.
    Replaced,
    Removed,
    /// There was nothing to remove.
    Absent,
}

/// Why browsers can't be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrowserError {
    #[error("there is no home folder")]
    NoHome,
    #[error("the program {0} is missing")]
    NoTool(&'static str),
    #[error("no module for keys in a TPM or on cards is installed")]
    NoModule,
    #[error("{tool} failed on {}: {words}", database.display())]
    Refused { tool: &'static str, database: PathBuf, words: String },
    #[error("{tool} came to no end on {}", database.display())]
    Hung { tool: &'static str, database: PathBuf },
    #[error("{} can't be read or written", path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn home() -> Result<PathBuf, BrowserError> {
    env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()).ok_or(BrowserError::NoHome)
}

/// Registers the modules everywhere; the TPM's is the given one or that of the installation.
pub(crate) fn set_up(tpm_module: Option<PathBuf>) -> Result<Vec<Change>, BrowserError> {
    let home = home()?;
    let modules = modules::installed(tpm_module);
    if modules.is_empty() {
        return Err(BrowserError::NoModule);
    }
    let mut changes = Vec::new();
    for database in nss::databases(&home, true)? {
        for module in &modules {
            changes.push(database.register(module)?);
        }
    }
    for module in modules.iter().filter(|module| module.is_ours) {
        changes.push(p11_kit::register(module)?);
    }
    Ok(changes)
}

/// Takes the modules away again, from wherever they are.
pub(crate) fn remove() -> Result<Vec<Change>, BrowserError> {
    let mut changes = Vec::new();
    for database in nss::databases(&home()?, false)? {
        for name in modules::NAMES {
            changes.push(database.unregister(name)?);
        }
    }
    changes.push(p11_kit::unregister()?);
    Ok(changes)
}
