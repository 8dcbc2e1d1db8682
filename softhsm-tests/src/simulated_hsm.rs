//! An HSM at the other end of a network, simulated: SoftHSM tokens behind the module `p11-fault`, which adds latency and
//! a limit to what goes on at once.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{bank::Bank, binaries, process::Environment, softhsm};

const CONTROL: &str = "P11_FAULT_CONTROL";

/// How the HSM behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Microseconds that a signature takes.
    pub latency_us: u64,
    /// Signatures at once; `None` is no limit.
    pub lanes: Option<u16>,
}

/// What the HSM was asked.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The process that has the module loaded.
    pub process: u32,
    /// How it behaves.
    pub settings: Settings,
    /// Calls of each PKCS#11 function that was called.
    pub calls: BTreeMap<String, u64>,
    /// Its signatures.
    pub signatures: Signatures,
}

/// Signatures in the HSM's lanes.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Signatures {
    /// Now in a lane.
    pub in_progress: u32,
    /// Now waiting for one.
    pub waiting: u32,
    /// The most that were in progress at once.
    pub most_in_progress: u32,
    /// Done.
    pub done: u64,
}

/// A simulated HSM in front of SoftHSM tokens.
#[derive(Clone, Debug)]
pub struct SimulatedHsm {
    module: PathBuf,
    control: PathBuf,
    environment: Environment,
}

impl SimulatedHsm {
    /// In front of the tokens that `behind` leads to; its control socket will be in `directory`.
    ///
    /// # Errors
    /// When the module isn't built.
    pub fn new(directory: &Path, behind: Environment, settings: Settings) -> Result<Self> {
        let control = directory.join("p11-fault");
        let mut environment = behind;
        let settings = serde_json::to_string(&settings).context("writing the settings")?;
        environment.extend([
            ("P11_FAULT_MODULE".to_owned(), softhsm::MODULE.to_owned()),
            (CONTROL.to_owned(), control.display().to_string()),
            ("P11_FAULT_SETTINGS".to_owned(), settings),
        ]);
        Ok(Self { module: binaries::find_library("p11_fault")?, control, environment })
    }

    /// Puts it between a bank's signer and its online token: to be called when the bank is prepared and its signer
    /// not yet started. `lanes` are the signer's, which may be more than the HSM's.
    ///
    /// # Errors
    /// When the signer's configuration can't be rewritten.
    pub fn in_front_of(bank: &Bank, settings: Settings, lanes: u16) -> Result<Self> {
        let hsm = Self::new(&bank.path("signer"), bank.signer_environment().clone(), settings)?;
        let file = bank.path("signer.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut configuration: toml::Table = toml::from_str(&text).context("reading signer.toml")?;
        let token = configuration.get_mut("token").and_then(toml::Value::as_table_mut);
        let token = token.context("signer.toml has no [token]")?;
        token.insert("module".to_owned(), hsm.module.display().to_string().into());
        token.insert("lanes".to_owned(), i64::from(lanes).into());
        let environment = hsm.environment.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        token.insert("environment".to_owned(), toml::Value::Table(environment.collect()));
        fs::write(&file, toml::to_string(&configuration).context("composing signer.toml")?)
            .with_context(|| format!("writing {}", file.display()))?;
        Ok(hsm)
    }

    /// The PKCS#11 module to load.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// What a process needs to load it. The last one that did is the one that [`status`](Self::status) asks.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The same for a process that leaves the control socket to another.
    pub fn environment_without_control(&self) -> Environment {
        self.environment.iter().filter(|(name, _)| name != CONTROL).cloned().collect()
    }

    /// How it is, once a process has loaded it.
    ///
    /// # Errors
    /// When none has.
    pub fn status(&self) -> Result<Status> {
        self.command(&json!({ "command": "status" }))
    }

    /// Makes it behave so from now on, also for the next process that loads it.
    ///
    /// # Errors
    /// When no process has loaded it, or it refuses.
    pub fn set(&self, settings: Settings) -> Result<Status> {
        self.command(&json!({ "command": "set", "settings": settings }))
    }

    /// Has it count from zero again.
    ///
    /// # Errors
    /// When no process has loaded it.
    pub fn reset(&self) -> Result<Status> {
        self.command(&json!({ "command": "reset" }))
    }

    fn command(&self, command: &Value) -> Result<Status> {
        let shown = || format!("asking the simulated HSM at {}", self.control.display());
        let mut socket = UnixStream::connect(&self.control).with_context(shown)?;
        socket.set_read_timeout(Some(Duration::from_secs(30))).with_context(shown)?;
        writeln!(socket, "{command}").with_context(shown)?;
        let mut reply = String::new();
        BufReader::new(socket).read_line(&mut reply).with_context(shown)?;
        let reply: Value = serde_json::from_str(&reply).with_context(shown)?;
        if let Some(error) = reply.get("error") {
            bail!("the simulated HSM refuses {command}: {error}");
        }
        serde_json::from_value(reply).with_context(shown)
    }
}
