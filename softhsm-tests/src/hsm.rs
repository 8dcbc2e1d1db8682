//! The tokens that the tests run on: SoftHSM and kryoptic, which share no code and disagree where PKCS#11 lets them.
//!
//! A suite that runs on both is one set of sources and two test targets; the second is called as the first with
//! `_kryoptic` added, and [`Kind::of_target`] tells them apart.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    binaries,
    kryoptic::Kryoptic,
    process::{Environment, run},
    softhsm::{self, SoftHsm},
};

/// Which of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// SoftHSM 2, as Debian has it.
    #[default]
    SoftHsm,
    /// kryoptic, built from `softhsm-tests/kryoptic`.
    Kryoptic,
}

impl Kind {
    /// The token of a test target, by its `CARGO_CRATE_NAME`.
    pub fn of_target(name: &str) -> Self {
        if name.ends_with("_kryoptic") { Self::Kryoptic } else { Self::SoftHsm }
    }

    /// The PKCS#11 module to load.
    ///
    /// # Errors
    /// When it is missing or stale.
    pub fn module(self) -> Result<PathBuf> {
        match self {
            Self::SoftHsm => Ok(PathBuf::from(softhsm::MODULE)),
            Self::Kryoptic => Ok(binaries::find_kryoptic()?),
        }
    }

    /// What its vendor profile is called.
    pub fn vendor(self) -> &'static str {
        match self {
            Self::SoftHsm => "softhsm2",
            Self::Kryoptic => "kryoptic",
        }
    }
}

/// A private store of tokens.
#[derive(Clone, Debug)]
pub enum Hsm {
    /// SoftHSM's.
    SoftHsm(SoftHsm),
    /// kryoptic's.
    Kryoptic(Kryoptic),
}

impl Hsm {
    /// Without tokens yet, everything below `directory`.
    ///
    /// # Errors
    /// When the module is missing or stale, or files can't be written.
    pub fn new(kind: Kind, directory: &Path) -> Result<Self> {
        Ok(match kind {
            Kind::SoftHsm => Self::SoftHsm(SoftHsm::new(directory)?),
            Kind::Kryoptic => Self::Kryoptic(Kryoptic::new(directory)?),
        })
    }

    /// What a process needs to find these tokens.
    pub fn environment(&self) -> Environment {
        match self {
            Self::SoftHsm(hsm) => hsm.environment(),
            Self::Kryoptic(hsm) => hsm.environment(),
        }
    }

    /// The same as an inline table of TOML.
    pub fn environment_toml(&self) -> String {
        let pairs = self.environment();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
        format!("{{ {} }}", pairs.join(", "))
    }

    /// The file that says where the tokens are.
    pub fn configuration(&self) -> &Path {
        match self {
            Self::SoftHsm(hsm) => hsm.configuration(),
            Self::Kryoptic(hsm) => hsm.configuration(),
        }
    }

    /// The serial number of the token with this label.
    ///
    /// # Errors
    /// When there is no such token.
    pub fn serial(&self, label: &str) -> Result<String> {
        let mut command = Command::new("pkcs11-tool");
        command.arg("--module").arg(self.module()).arg("--list-slots").envs(self.environment());
        let slots = run(&mut command)?;
        let mut after = slots.lines().skip_while(|line| {
            line.trim()
                .strip_prefix("token label")
                .is_none_or(|rest| rest.trim_start_matches([' ', ':']) != label)
        });
        let serial = after.find_map(|line| line.trim().strip_prefix("serial num"));
        let serial = serial.with_context(|| format!("no token {label:?}: {slots}"))?;
        Ok(serial.trim_start_matches([' ', ':']).trim().to_owned())
    }

    /// The PKCS#11 module to load.
    pub fn module(&self) -> &Path {
        match self {
            Self::SoftHsm(hsm) => hsm.module(),
            Self::Kryoptic(hsm) => hsm.module(),
        }
    }

    /// Where the tokens' files are, to break, to move or to copy them.
    pub fn token_directory(&self) -> &Path {
        match self {
            Self::SoftHsm(hsm) => hsm.token_directory(),
            Self::Kryoptic(hsm) => hsm.token_directory(),
        }
    }

    /// The tokens that were made: none at first.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn tokens(&self) -> Result<usize> {
        let mut count = 0;
        for entry in std::fs::read_dir(self.token_directory())? {
            let file = entry?.metadata()?;
            // kryoptic makes an empty file for each of its slots, and a database for a token.
            count += usize::from(file.is_dir() || file.len() > 0);
        }
        Ok(count)
    }

    /// Initialises one more token.
    ///
    /// # Errors
    /// When it refuses.
    pub fn init_token(&self, label: &str, officer_pin: &str, user_pin: &str) -> Result<()> {
        match self {
            Self::SoftHsm(hsm) => hsm.init_token(label, officer_pin, user_pin),
            Self::Kryoptic(hsm) => hsm.init_token(label, officer_pin, user_pin),
        }
    }
}
