//! p11-kit's list of modules, by which curl, OpenSSL's engine, `GnuTLS` and others find them.

use std::{env, fs, io, path::PathBuf};

use super::{BrowserError, Change, Module, Outcome, home, modules};

/// `pkcs11.conf(5)`: a user's own modules.
fn file() -> Result<PathBuf, BrowserError> {
    let configuration = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let configuration = match configuration {
        Some(folder) => folder,
        None => home()?.join(".config"),
    };
    Ok(configuration.join("pkcs11/modules/inro-tpm.module"))
}

pub(super) fn register(module: &Module) -> Result<Change, BrowserError> {
    let path = file()?;
    let unusable = |source| BrowserError::Unusable { path: path.clone(), source };
    let wanted = format!("module: {}\n", module.library.display());
    let outcome = match fs::read_to_string(&path) {
        Ok(text) if text == wanted => Outcome::Already,
        Ok(_) => Outcome::Replaced,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Outcome::Added,
        Err(error) => return Err(unusable(error)),
    };
    if outcome != Outcome::Already {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(unusable)?;
        }
        fs::write(&path, wanted).map_err(unusable)?;
    }
    Ok(Change { place: path, module: module.name, outcome })
}

pub(super) fn unregister() -> Result<Change, BrowserError> {
    let path = file()?;
    let outcome = match fs::remove_file(&path) {
        Ok(()) => Outcome::Removed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Outcome::Absent,
        Err(source) => return Err(BrowserError::Unusable { path, source }),
    };
    Ok(Change { place: path, module: modules::TPM, outcome })
}
