//! A customer's desk: a computer with card readers, YubiKeys in them, and `inro-agent`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bank;
use crate::{
    binaries,
    card_client::CardClient,
    pcscd::Pcscd,
    process::output_of,
    virtual_yubikey::{AttestationRoots, Profile},
    yubikey::PluggedYubiKey,
};

/// The PIN that the desk gives to new tokens.
pub const TOKEN_PIN: &str = "839274";

/// A desk. Its cards go before its pcscd.
#[derive(Debug)]
pub struct Desk {
    /// The YubiKeys, a reader each.
    pub keys: Vec<PluggedYubiKey>,
    /// The smartcard service.
    pub pcscd: Pcscd,
    directory: PathBuf,
}

/// One run of `inro-agent enroll`.
#[derive(Clone, Copy, Debug)]
pub struct Enrolment<'a> {
    /// The login ID.
    pub user: &'a str,
    /// The token's serial.
    pub token: u32,
    /// Further arguments.
    pub more: &'a [&'a str],
}

impl Desk {
    /// A desk with these YubiKeys, kept across restarts in `directory`.
    ///
    /// # Errors
    /// When pcscd can't be started or doesn't see the cards.
    pub fn new(directory: &Path, roots: &AttestationRoots, profiles: Vec<Profile>) -> Result<Self> {
        let pcsc = directory.join("pcscd");
        std::fs::create_dir_all(&pcsc).with_context(|| format!("making {}", pcsc.display()))?;
        let pcscd = Pcscd::start(&pcsc, profiles.len())?;
        let mut keys = Vec::new();
        for (index, profile) in profiles.into_iter().enumerate() {
            let state = directory.join(format!("yubikey-{}.json", profile.serial));
            keys.push(PluggedYubiKey::plug(&pcscd, index, profile, roots, Some(state))?);
        }
        Ok(Self { keys, pcscd, directory: directory.to_owned() })
    }

    /// Runs `inro-agent … --json`, whatever its status.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn agent(&self, arguments: &[&str]) -> Result<Output> {
        output_of(self.agent_command()?.args(arguments).arg("--json"), b"")
    }

    /// `inro-agent` as it runs at this desk.
    ///
    /// # Errors
    /// When the program is missing or stale.
    pub fn agent_command(&self) -> Result<Command> {
        let mut command = Command::new(binaries::find("inro-agent")?);
        command.envs(self.pcscd.environment().iter().cloned());
        command.env("XDG_STATE_HOME", self.directory.join("state"));
        command.env("XDG_CONFIG_HOME", self.directory.join("config"));
        command.args(["--lang", "en"]);
        Ok(command)
    }

    /// Runs an enrolment at `bank`, whatever its end.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn try_enroll(&self, bank: &Bank, enrolment: &Enrolment<'_>) -> Result<Output> {
        let Enrolment { user, token, more } = *enrolment;
        self.try_enroll_token(bank, user, &token.to_string(), more)
    }

    /// The same with a token of any kind, named as the agent shows it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn try_enroll_token(&self, bank: &Bank, user: &str, serial: &str, more: &[&str]) -> Result<Output> {
        let url = bank.urls().public;
        let file = |path: PathBuf| path.to_string_lossy().into_owned();
        let (trust, login) = (file(bank.path("tls/ca.pem")), file(bank.secret("login")));
        let pin = file(bank.secret("token-pin"));
        let mut arguments = vec!["enroll", "--server", &url, "--ca-file", &trust, "--user", user];
        arguments.extend(["--token", serial, "--password-file", &login]);
        arguments.extend(["--pin-file", &pin, "--new-pin-file", &pin]);
        arguments.extend(more);
        self.agent(&arguments)
    }

    /// Runs an enrolment to its good end and returns what the agent printed.
    ///
    /// # Errors
    /// With the agent's words when it fails.
    pub fn enroll(&self, bank: &Bank, user: &str, token: u32) -> Result<Value> {
        let output = self.try_enroll(bank, &Enrolment { user, token, more: &[] })?;
        if !output.status.success() {
            bail!(
                "enrolling {user} ended with {}: {}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        serde_json::from_slice(&output.stdout).context("reading what the agent printed")
    }

    /// A browser's part, played by curl with the key of a token's slot 9a.
    ///
    /// # Errors
    /// When no such token is here.
    pub fn browser(&self, bank: &Bank, token: u32) -> Result<CardClient> {
        let key = self.keys.iter().find(|key| key.serial() == token);
        let reader = key.with_context(|| format!("no token {token} at this desk"))?.reader();
        let directory = self.directory.join(format!("browser-{token}"));
        CardClient::new(&self.pcscd, reader, 0x9a, TOKEN_PIN, &bank.path("tls/ca.pem"), &directory)
    }
}
