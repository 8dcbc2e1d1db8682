//! What keeps a browser from logging in with a key, as far as it can be told without the PIN.

use std::path::PathBuf;

use agent_tpm::{Health, TpmError};
use jiff::Timestamp;

use super::{BrowserError, home, modules, nss};
use crate::{certificate::CertificateDetails, enrol::EnrolError, tpm::Machine};

/// Something that was looked at.
#[derive(Debug)]
pub(crate) enum Finding {
    Good(Good),
    Bad(Trouble),
}

/// What is as it should be.
#[derive(Debug)]
pub(crate) enum Good {
    Registered { database: PathBuf, module: &'static str },
    Key { user_id: String },
    NoLockout,
}

/// What isn't.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// NSS' tools are missing.
    NoTool(&'static str),
    NoModule,
    /// There is no database, so no browser was set up.
    NoDatabase,
    NotRegistered {
        database: PathBuf,
        module: &'static str,
    },
    OtherLibrary {
        database: PathBuf,
        module: &'static str,
        library: PathBuf,
    },
    NotLoading {
        database: PathBuf,
        module: &'static str,
    },
    /// Nothing was enrolled in the TPM.
    NoKey,
    Lost {
        user_id: String,
        health: Health,
    },
    Expired {
        user_id: String,
    },
    Locked {
        seconds: u32,
    },
    Tpm(TpmError),
}

/// The keys, as far as the TPM shows them without a PIN.
///
/// # Errors
/// When the certificates can't be read. A TPM that can't be reached is a finding.
pub(crate) fn examine_keys(machine: &Machine, now: Timestamp) -> Result<Vec<Finding>, EnrolError> {
    let entries = machine.shelf.entries()?;
    if entries.is_empty() {
        return Ok(vec![Finding::Bad(Trouble::NoKey)]);
    }
    let mut tpm = match machine.open() {
        Err(error) => return Ok(vec![Finding::Bad(Trouble::Tpm(error))]),
        Ok(tpm) => tpm,
    };
    let lockout = tpm.lockout()?;
    let mut findings = vec![match lockout.tries_left() {
        0 => Finding::Bad(Trouble::Locked { seconds: lockout.seconds }),
        _ => Finding::Good(Good::NoLockout),
    }];
    for entry in entries {
        let user_id = entry.user_id.clone();
        let details = CertificateDetails::read(&entry.certificate).ok();
        let expired = details.is_none_or(|details| details.not_after < now);
        findings.push(match entry.health(tpm.as_mut()) {
            Ok(Health::Good) if expired => Finding::Bad(Trouble::Expired { user_id }),
            Ok(Health::Good) => Finding::Good(Good::Key { user_id }),
            Ok(health) => Finding::Bad(Trouble::Lost { user_id, health }),
            Err(error) => Finding::Bad(Trouble::Tpm(error)),
        });
    }
    Ok(findings)
}

/// Whether browsers know the modules and can load them.
///
/// # Errors
/// When a database refuses to be read.
pub(crate) fn examine_registrations(tpm_module: Option<PathBuf>) -> Result<Vec<Finding>, BrowserError> {
    let installed = modules::installed(tpm_module);
    if installed.is_empty() {
        return Ok(vec![Finding::Bad(Trouble::NoModule)]);
    }
    let databases = nss::databases(&home()?, false)?;
    if databases.is_empty() {
        return Ok(vec![Finding::Bad(Trouble::NoDatabase)]);
    }
    let mut findings = Vec::new();
    for database in databases {
        for wanted in &installed {
            let (path, module) = (database.path().to_owned(), wanted.name);
            let registered = match database.library(module) {
                Err(BrowserError::NoTool(tool)) => return Ok(vec![Finding::Bad(Trouble::NoTool(tool))]),
                other => other?,
            };
            findings.push(match registered {
                None => Finding::Bad(Trouble::NotRegistered { database: path, module }),
                Some(library) if library != wanted.library => {
                    Finding::Bad(Trouble::OtherLibrary { database: path, module, library })
                }
                Some(_) if database.loads(module)? => {
                    Finding::Good(Good::Registered { database: path, module })
                }
                Some(_) => Finding::Bad(Trouble::NotLoading { database: path, module }),
            });
        }
    }
    Ok(findings)
}
