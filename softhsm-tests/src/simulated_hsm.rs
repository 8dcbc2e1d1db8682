//! An HSM at the other end of a network, simulated: SoftHSM tokens behind the module `p11-fault`, which adds latency and
//! a limit to what goes on at once, and has things go wrong on command.

mod fault;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    bank::Bank,
    binaries,
    process::{Environment, run},
    softhsm::{self, SoftHsm},
    wait::{PATIENCE, awaited},
};

pub use fault::{Conduct, Fault, Idle, Loss};

const CONTROL: &str = "P11_FAULT_CONTROL";

/// How fast the HSM is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Microseconds that a signature takes.
    pub latency_us: u64,
    /// Signatures at once; `None` is no limit.
    pub lanes: Option<u16>,
}

impl Settings {
    /// As fast as SoftHSM.
    pub const AT_ONCE: Self = Self { latency_us: 0, lanes: None };
}

/// What the HSM was asked.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The process that has the module loaded.
    pub process: u32,
    /// How fast it is.
    pub settings: Settings,
    /// The faults that are still to come.
    pub faults: Vec<Value>,
    /// Calls of each PKCS#11 function that was called.
    pub calls: BTreeMap<String, u64>,
    /// Calls of `C_Login` in all processes that ever had the module loaded.
    pub logins: u64,
    /// The process's sessions.
    pub sessions: Sessions,
    /// Its signatures.
    pub signatures: Signatures,
    /// The same by the key's `CKA_ID`.
    pub signatures_by_key: BTreeMap<String, u64>,
}

/// Sessions of one process.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Sessions {
    /// Now open.
    pub open: u32,
    /// The most that were open at once.
    pub most: u32,
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
        Self::named("p11-fault", directory, behind, settings)
    }

    fn named(name: &str, directory: &Path, behind: Environment, settings: Settings) -> Result<Self> {
        let control = directory.join(name);
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
        bank.reconfigure_signer(|table| {
            let token = table.get_mut("token").and_then(toml::Value::as_table_mut);
            let token = token.context("signer.toml has no [token]")?;
            hsm.take_place(token, lanes);
            Ok(())
        })?;
        Ok(hsm)
    }

    /// Two HSMs, `hsm-1` and `hsm-2`, between a bank's signer and two copies of its online token: to be called after the
    /// ceremony, before the signer is started.
    ///
    /// # Errors
    /// When the token can't be copied or the signer's configuration not be rewritten.
    pub fn two_in_front_of(bank: &Bank, settings: Settings, lanes: u16) -> Result<[Self; 2]> {
        run(Command::new("cp").arg("-a").arg(bank.path("hsm/online")).arg(bank.path("hsm/second")))?;
        let second = SoftHsm::new(&bank.path("hsm/second"))?.environment();
        let directory = bank.path("signer");
        let hsms = [
            Self::named("hsm-1", &directory, bank.signer_environment().clone(), settings)?,
            Self::named("hsm-2", &directory, second, settings)?,
        ];
        bank.reconfigure_signer(|table| {
            let token = table.get("token").and_then(toml::Value::as_table).cloned();
            let token = token.context("signer.toml has no [token]")?;
            let tokens = hsms.iter().zip(["hsm-1", "hsm-2"]).map(|(hsm, name)| {
                let mut token = token.clone();
                token.insert("name".to_owned(), name.into());
                hsm.take_place(&mut token, lanes);
                toml::Value::Table(token)
            });
            table.insert("token".to_owned(), toml::Value::Array(tokens.collect()));
            Ok(())
        })?;
        Ok(hsms)
    }

    fn take_place(&self, token: &mut toml::Table, lanes: u16) {
        token.insert("module".to_owned(), self.module.display().to_string().into());
        token.insert("lanes".to_owned(), i64::from(lanes).into());
        let environment = self.environment.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        token.insert("environment".to_owned(), toml::Value::Table(environment.collect()));
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

    /// How it is, once a process has loaded it; a process that is just being replaced is waited for.
    ///
    /// # Errors
    /// When there is none for long.
    pub fn status(&self) -> Result<Status> {
        self.request("status")
    }

    /// Calls of `C_Login` so far in all processes, also while none has the module loaded.
    ///
    /// # Errors
    /// When none ever had.
    pub fn logins(&self) -> Result<u64> {
        // An octet for each.
        let logins =
            fs::metadata(self.beside(".logins")).context("looking up what the simulated HSM keeps")?;
        Ok(logins.len())
    }

    /// Has it count from zero again, except for the logins.
    ///
    /// # Errors
    /// When no process has loaded it.
    pub fn reset(&self) -> Result<Status> {
        self.request("reset")
    }

    /// Logs the user out behind everybody's back.
    ///
    /// # Errors
    /// When no process has loaded it.
    pub fn log_out(&self) -> Result<Status> {
        self.request("log_out")
    }

    /// Ends all sessions, and with them the login, behind everybody's back.
    ///
    /// # Errors
    /// When no process has loaded it.
    pub fn end_sessions(&self) -> Result<Status> {
        self.request("end_sessions")
    }

    /// Makes it as fast as this from now on, also for the next process that loads it.
    ///
    /// # Errors
    /// When it refuses.
    pub fn set(&self, settings: Settings) -> Result<()> {
        self.change(&json!({ "command": "set", "settings": settings }))
    }

    /// Changes how it treats who uses it, likewise.
    ///
    /// # Errors
    /// When it refuses.
    pub fn conduct(&self, token: &Conduct) -> Result<()> {
        self.change(&json!({ "command": "token", "token": token }))
    }

    /// Has something go wrong, likewise.
    ///
    /// # Errors
    /// When it refuses.
    pub fn fault(&self, fault: &Fault) -> Result<()> {
        self.change(&json!({ "command": "fault", "fault": fault }))
    }

    /// Ends all faults; what hangs goes on.
    ///
    /// # Errors
    /// When it refuses.
    pub fn clear(&self) -> Result<()> {
        self.change(&json!({ "command": "clear" }))
    }

    fn request(&self, command: &str) -> Result<Status> {
        let ask = || self.ask(&json!({ "command": command }));
        let what = format!("a process that has the simulated HSM at {} loaded", self.control.display());
        let reply = awaited(&what, ask, |reply| !matches!(reply, Ok(None)))??;
        serde_json::from_value(reply.context("awaited")?).context("reading the HSM's status")
    }

    /// Tells the process that has the module loaded, or leaves it for the next one that will.
    fn change(&self, change: &Value) -> Result<()> {
        let shown = || format!("telling the simulated HSM at {}", self.control.display());
        // Held while a process opens its socket and takes up what was left.
        let lock =
            File::options().create(true).append(true).open(self.beside(".lock")).with_context(shown)?;
        lock.lock().with_context(shown)?;
        if self.ask(change)?.is_none() {
            let pending = File::options().create(true).append(true).open(self.beside(".pending"));
            writeln!(pending.with_context(shown)?, "{change}").with_context(shown)?;
        }
        Ok(())
    }

    fn beside(&self, ending: &str) -> PathBuf {
        format!("{}{ending}", self.control.display()).into()
    }

    /// `None` when there is nobody to ask.
    fn ask(&self, command: &Value) -> Result<Option<Value>> {
        let asking = || {
            let mut socket = UnixStream::connect(&self.control)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            writeln!(socket, "{command}")?;
            let mut reply = String::new();
            BufReader::new(socket).read_line(&mut reply)?;
            Ok::<_, std::io::Error>(reply)
        };
        // Not there, no longer there, or ended in the middle of its reply.
        let Some(reply) = asking().ok().filter(|reply| reply.ends_with('\n')) else { return Ok(None) };
        let reply: Value = serde_json::from_str(&reply).context("reading the simulated HSM's reply")?;
        if let Some(error) = reply.get("error") {
            bail!("the simulated HSM refuses {command}: {error}");
        }
        Ok(Some(reply))
    }
}

impl Bank {
    /// Changes `signer.toml` before the signer is started.
    ///
    /// # Errors
    /// When it can't be read, changed or written.
    pub fn reconfigure_signer(&self, change: impl FnOnce(&mut toml::Table) -> Result<()>) -> Result<()> {
        let file = self.path("signer.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut table: toml::Table = toml::from_str(&text).context("reading signer.toml")?;
        change(&mut table)?;
        let text = toml::to_string(&table).context("composing signer.toml")?;
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    }
}
