//! The certificate databases of browsers (NSS), through NSS' own tools.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{BrowserError, Change, Module, Outcome};
use crate::program;

const MODUTIL: &str = "modutil";
const CERTUTIL: &str = "certutil";
/// Both take a tenth of a second, but the modules that `modutil` loads ask others: OpenSC's asks the smart-card service,
/// and the desktop's message bus, which it gives 25 seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database(PathBuf);

/// The one that Chromium and its like share, made where it doesn't exist yet if `create` is set, and those of Firefox'
/// profiles.
pub(super) fn databases(home: &Path, create: bool) -> Result<Vec<Database>, BrowserError> {
    let shared = Database(home.join(".pki/nssdb"));
    let mut found = Vec::new();
    if create {
        shared.create()?;
    }
    if shared.exists() {
        found.push(shared);
    }
    for firefox in [".mozilla/firefox", "snap/firefox/common/.mozilla/firefox"] {
        let Ok(profiles) = fs::read_dir(home.join(firefox)) else { continue };
        let mut profiles: Vec<Database> =
            profiles.flatten().map(|entry| Database(entry.path())).filter(Database::exists).collect();
        profiles.sort_by(|one, other| one.0.cmp(&other.0));
        found.extend(profiles);
    }
    Ok(found)
}

impl Database {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn exists(&self) -> bool {
        self.0.join("cert9.db").exists()
    }

    fn create(&self) -> Result<(), BrowserError> {
        if self.exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.0)
            .map_err(|source| BrowserError::Unusable { path: self.0.clone(), source })?;
        self.run(CERTUTIL, &["-N", "--empty-password", "-d", &self.name()]).map(drop)
    }

    fn name(&self) -> String {
        format!("sql:{}", self.0.display())
    }

    /// Registers a module; nothing happens when it is there as it should be.
    pub(super) fn register(&self, module: &Module) -> Result<Change, BrowserError> {
        let change = |outcome| Change { place: self.0.clone(), module: module.name, outcome };
        let outcome = match self.library(module.name)? {
            Some(library) if library == module.library => return Ok(change(Outcome::Already)),
            Some(_) => {
                self.unregister(module.name)?;
                Outcome::Replaced
            }
            None => Outcome::Added,
        };
        let library = module.library.to_string_lossy().into_owned();
        self.modutil(&["-add", module.name, "-libfile", &library])?;
        Ok(change(outcome))
    }

    /// Takes a module away; nothing happens when it isn't there.
    pub(super) fn unregister(&self, name: &'static str) -> Result<Change, BrowserError> {
        let change = |outcome| Change { place: self.0.clone(), module: name, outcome };
        if self.library(name)?.is_none() {
            return Ok(change(Outcome::Absent));
        }
        self.modutil(&["-delete", name])?;
        Ok(change(Outcome::Removed))
    }

    /// The library that is registered under a name.
    pub(super) fn library(&self, name: &str) -> Result<Option<PathBuf>, BrowserError> {
        let list = self.modutil(&["-rawlist"])?;
        Ok(list.lines().find_map(|line| library_in(line, name)))
    }

    /// Whether NSS can load the module of this name.
    pub(super) fn loads(&self, name: &str) -> Result<bool, BrowserError> {
        Ok(!self.modutil(&["-list", name])?.contains("Module not loaded"))
    }

    fn modutil(&self, arguments: &[&str]) -> Result<String, BrowserError> {
        let database = self.name();
        self.run(MODUTIL, &[&["-force", "-dbdir", &database], arguments].concat())
    }

    fn run(&self, tool: &'static str, arguments: &[&str]) -> Result<String, BrowserError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => BrowserError::NoTool(tool),
            io::ErrorKind::TimedOut => BrowserError::Hung { tool, database: self.0.clone() },
            _ => BrowserError::Unusable { path: self.0.clone(), source: error },
        };
        let done = program::run(Command::new(tool).args(arguments), PATIENCE).map_err(failed)?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        let words = [done.stdout, done.stderr].concat().trim().to_owned();
        Err(BrowserError::Refused { tool, database: self.0.clone(), words })
    }
}

/// A line of `modutil -rawlist`: ` library="…" name="…" NSS="…"`, quoted where it needs to be.
fn library_in(line: &str, name: &str) -> Option<PathBuf> {
    (value(line, "name=")? == name).then(|| value(line, "library="))?.map(PathBuf::from)
}

fn value(line: &str, key: &str) -> Option<String> {
    let start = line
        .match_indices(key)
        .map(|(index, _)| index)
        .find(|index| *index == 0 || line[..*index].ends_with(char::is_whitespace))?;
    let rest = &line[start + key.len()..];
    let (end, rest) = match rest.strip_prefix('"') {
        Some(quoted) => ('"', quoted),
        None => (' ', rest),
    };
    Some(rest.split(end).next().unwrap_or(rest).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_list_is_read() {
        let line = r#" library=/usr/lib/x/opensc-pkcs11.so name="Inro smart cards"  "#;
        assert_eq!(library_in(line, "Inro smart cards"), Some("/usr/lib/x/opensc-pkcs11.so".into()));
        assert_eq!(library_in(line, "Inro"), None);
        let blank = r#" name="Inro TPM keys" library="/opt/a b/x.so" NSS="trustOrder=100""#;
        assert_eq!(library_in(blank, "Inro TPM keys"), Some("/opt/a b/x.so".into()));
        let internal = r#" library= name="NSS Internal PKCS #11 Module" parameters="configdir='sql:/x'""#;
        assert_eq!(library_in(internal, "NSS Internal PKCS #11 Module"), Some(PathBuf::new()));
    }
}
