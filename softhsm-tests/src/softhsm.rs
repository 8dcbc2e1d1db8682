//! Private SoftHSM tokens: a configuration and a token directory that no other test sees.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::process::{Environment, run};

/// Debian's module.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A private SoftHSM.
#[derive(Clone, Debug)]
pub struct SoftHsm {
    configuration: PathBuf,
    tokens: PathBuf,
}

impl SoftHsm {
    /// Without tokens yet; configuration and tokens are kept below `directory`.
    ///
    /// # Errors
    /// When SoftHSM isn't installed or its files can't be written.
    pub fn new(directory: &Path) -> Result<Self> {
        ensure!(Path::new(MODULE).exists(), "{MODULE} is missing: install the package softhsm2");
        let tokens = directory.join("tokens");
        fs::create_dir_all(&tokens).with_context(|| format!("making {}", tokens.display()))?;
        let configuration = directory.join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
            tokens.display()
        );
        fs::write(&configuration, text).with_context(|| format!("writing {}", configuration.display()))?;
        Ok(Self { configuration, tokens })
    }

    /// What a process needs to find these tokens.
    pub fn environment(&self) -> Environment {
        vec![("SOFTHSM2_CONF".to_owned(), self.configuration.display().to_string())]
    }

    /// The file that `SOFTHSM2_CONF` names.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// The PKCS#11 module to load.
    pub fn module(&self) -> &'static Path {
        Path::new(MODULE)
    }

    /// Where the tokens' files are, to break or to copy them.
    pub fn token_directory(&self) -> &Path {
        &self.tokens
    }

    /// Initialises one more token.
    ///
    /// # Errors
    /// When softhsm2-util refuses.
    pub fn init_token(&self, label: &str, officer_pin: &str, user_pin: &str) -> Result<()> {
        let mut command = Command::new("softhsm2-util");
        command
            .args(["--init-token", "--free", "--label", label, "--so-pin", officer_pin, "--pin", user_pin])
            .envs(self.environment());
        run(&mut command).map(drop).with_context(|| format!("initialising the token {label}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_token_is_seen_only_through_its_own_configuration() {
        let scratch = Scratch::new("softhsm").expect("scratch");
        let one = SoftHsm::new(&scratch.directory("one").expect("directory")).expect("installed");
        let two = SoftHsm::new(&scratch.directory("two").expect("directory")).expect("installed");
        one.init_token("only here", "12345678", "1234").expect("initialised");
        let slots = |hsm: &SoftHsm| {
            run(Command::new("softhsm2-util").arg("--show-slots").envs(hsm.environment())).expect("listed")
        };
        assert!(slots(&one).contains("only here"));
        assert!(!slots(&two).contains("only here"));
    }
}
