//! Private kryoptic tokens: a configuration and databases that no other test sees. `make kryoptic` builds the module.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    binaries,
    process::{Environment, run},
};

/// Its slots are fixed by its configuration; SoftHSM makes more as they are needed.
const SLOTS: u32 = 2;

/// A private kryoptic.
#[derive(Clone, Debug)]
pub struct Kryoptic {
    module: PathBuf,
    configuration: PathBuf,
    tokens: PathBuf,
}

impl Kryoptic {
    /// With uninitialised tokens; configuration and databases are kept below `directory`.
    ///
    /// # Errors
    /// When the module isn't built, or is older than its sources, or files can't be written.
    pub fn new(directory: &Path) -> Result<Self> {
        let module = binaries::find_kryoptic()?;
        let tokens = directory.join("tokens");
        fs::create_dir_all(&tokens).with_context(|| format!("making {}", tokens.display()))?;
        let configuration = directory.join("kryoptic.conf");
        // The other way than SoftHSM.
        let mut text = "[ec_point_encoding]\nencoding = \"Bytes\"\n\n".to_owned();
        for slot in 1..=SLOTS {
            let database = tokens.join(format!("{slot}.sql"));
            writeln!(
                text,
                "[[slots]]\nslot = {slot}\ndbtype = \"sqlite\"\ndbargs = {:?}",
                database.display().to_string()
            )?;
        }
        fs::write(&configuration, text).with_context(|| format!("writing {}", configuration.display()))?;
        Ok(Self { module, configuration, tokens })
    }

    /// What a process needs to find these tokens.
    pub fn environment(&self) -> Environment {
        vec![("KRYOPTIC_CONF".to_owned(), self.configuration.display().to_string())]
    }

    /// The file that `KRYOPTIC_CONF` names.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// The PKCS#11 module to load.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// Where the databases are.
    pub fn token_directory(&self) -> &Path {
        &self.tokens
    }

    /// Initialises one more token.
    ///
    /// # Errors
    /// When kryoptic refuses, or every slot has a token.
    pub fn init_token(&self, label: &str, officer_pin: &str, user_pin: &str) -> Result<()> {
        // A look at a slot makes its file; a token in it has a database.
        let empty = |slot: &u32| {
            fs::metadata(self.tokens.join(format!("{slot}.sql"))).map_or(0, |file| file.len()) == 0
        };
        let free = (1..=SLOTS).find(empty);
        let slot = free.with_context(|| format!("all {SLOTS} slots have a token"))?.to_string();
        let tool = |arguments: &[&str]| {
            let mut command = Command::new("pkcs11-tool");
            command.arg("--module").arg(&self.module).args(["--slot", &slot]).args(arguments);
            run(command.envs(self.environment())).map(drop)
        };
        tool(&["--init-token", "--label", label, "--so-pin", officer_pin])
            .and_then(|()| {
                tool(&[
                    "--login",
                    "--login-type",
                    "so",
                    "--so-pin",
                    officer_pin,
                    "--init-pin",
                    "--new-pin",
                    user_pin,
                ])
            })
            .with_context(|| format!("initialising the token {label}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_token_is_seen_only_through_its_own_configuration() {
        let scratch = Scratch::new("kryoptic").expect("scratch");
        let one = Kryoptic::new(&scratch.directory("one").expect("directory")).expect("built");
        let two = Kryoptic::new(&scratch.directory("two").expect("directory")).expect("built");
        one.init_token("only here", "12345678", "1234").expect("initialised");
        let slots = |hsm: &Kryoptic| {
            let mut command = Command::new("pkcs11-tool");
            command.arg("--module").arg(hsm.module()).arg("--list-slots").envs(hsm.environment());
            run(&mut command).expect("listed")
        };
        assert!(slots(&one).contains("only here"), "{}", slots(&one));
        assert!(!slots(&two).contains("only here"), "{}", slots(&two));
    }
}
