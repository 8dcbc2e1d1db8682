//! A whole bank in a directory: key ceremony, signer, authority, and the customers' desks. Every part is the real
//! program; only the hardware is emulated.
//!
//! ```text
//! DIRECTORY/ceremony.toml  ceremony/   the specification, and what the ceremony left
//!           hsm/{root,online}/         tokens, each with a configuration of its own
//!           signer.toml  signer/       socket, journal, PIN latch
//!           inro.toml  ca.sqlite3      the authority and its ledger
//!           tls/  attestation/  secrets/  logs/
//! ```

mod comes;
mod desk;
mod files;
mod machine;
mod network;
mod node;
mod orders;
mod portal;
mod soft_browser;
mod soft_token;
mod staff;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    binaries,
    faults::Faults,
    hsm::{Hsm, Kind},
    ports::PortLease,
    process::{Environment, Process, output_of, run},
    virtual_yubikey::AttestationRoots,
    wait::PATIENCE,
};

pub use desk::{Desk, Enrolment, TOKEN_PIN};
pub use machine::{MachineClient, NewMachine};
pub use network::{Urls, fetch};
pub use orders::{AUDIT_HEAD, Orders};
pub use portal::{Portal, hidden};
pub use soft_browser::SoftBrowser;
pub use soft_token::{Answer, EnrolmentClient, SoftToken, challenge, named};
pub use staff::Officer;

/// What may differ between banks.
#[derive(Clone, Debug)]
pub struct Options {
    /// `p256`, `p384`, `rsa3072` or `rsa4096`, for the root.
    pub root_algorithm: &'static str,
    /// The same for the issuing CAs and their OCSP responders.
    pub issuing_algorithm: &'static str,
    /// What the keys are on.
    pub token: Kind,
    /// Adjusts `inro.toml` before anything runs.
    pub adjust: Option<fn(&mut toml::Table)>,
    /// The bank's own systems; strangers' certificates are listened to only where there are any.
    pub machines: Vec<NewMachine>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            root_algorithm: "p384",
            issuing_algorithm: "p256",
            token: Kind::SoftHsm,
            adjust: None,
            machines: Vec::new(),
        }
    }
}

/// A bank. Dropping it ends its processes.
#[derive(Debug)]
pub struct Bank {
    directory: PathBuf,
    ports: PortLease,
    signer_environment: Environment,
    /// More for the environment of every `inro-ca` that is started, such as faults.
    pub authority_extra: Environment,
    /// The same of every signer.
    pub signer_extra: Environment,
    attestation: AttestationRoots,
    /// The signer, while it runs.
    pub signer: Option<Process>,
    /// The authority, while it runs.
    pub authority: Option<Process>,
}

/// A user to register.
#[derive(Clone, Copy, Debug)]
pub struct NewUser<'a> {
    /// The login ID.
    pub id: &'a str,
    /// The contract's number.
    pub contract: &'a str,
    /// `master` or `general`.
    pub role: &'a str,
    /// The display name.
    pub name: &'a str,
    /// The serial of the token to assign, unless an acquisition code will be issued.
    pub token: Option<u32>,
}

/// The login password that [`Bank::register_user`] gives to everybody.
pub const LOGIN_PASSWORD: &str = "kiri-no-hana-2026";
/// The confirmation password (確認用パスワード) that it gives to masters.
pub const CONFIRMATION_PASSWORD: &str = "sakura-no-mon-77";

impl Bank {
    /// Prepares everything up to the ceremony: attestation roots, server certificate, PINs and all configuration.
    ///
    /// # Errors
    /// When a file can't be written or a port not be had.
    pub fn prepare(directory: &Path, options: &Options) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let directory =
            directory.canonicalize().with_context(|| format!("locating {}", directory.display()))?;
        for folder in ["hsm/root", "hsm/online", "signer", "tls", "attestation", "secrets", "logs"] {
            let path = directory.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        let ports = PortLease::consecutive(5)?;
        let attestation = AttestationRoots::create().context("making attestation roots")?;
        let store = |name: &str| Hsm::new(options.token, &directory.join(name));
        let (root, online) = (store("hsm/root")?, store("hsm/online")?);
        let bank = Self {
            directory,
            ports,
            signer_environment: online.environment(),
            authority_extra: Environment::new(),
            signer_extra: Environment::new(),
            attestation,
            signer: None,
            authority: None,
        };
        files::write(&bank, options, &root, &online)?;
        Ok(bank)
    }

    /// Holds the key ceremony, by the signer's clock.
    ///
    /// # Errors
    /// With its words when it fails.
    pub fn hold_ceremony(&self) -> Result<()> {
        let mut command = Command::new(binaries::find("inro-hsm")?);
        command.args(["ceremony", "run"]).arg(self.path("ceremony.toml"));
        command.arg("--out").arg(self.path("ceremony"));
        run(command.envs(self.signer_extra.iter().cloned())).context("holding the key ceremony")?;
        Ok(())
    }

    /// Everything up to the first request.
    ///
    /// # Errors
    /// When any of it fails.
    pub fn open(directory: &Path, options: &Options) -> Result<Self> {
        let mut bank = Self::prepare(directory, options)?;
        bank.begin()?;
        Ok(bank)
    }

    /// The same with a clock that can be moved, the signer's with the authority's; its switchboard is at `clock`.
    ///
    /// # Errors
    /// When any of it fails.
    pub fn open_with_clock(directory: &Path, clock: &Path, options: &Options) -> Result<(Self, Faults)> {
        let clock = Faults::new(clock, &[])?;
        let mut bank = Self::prepare(directory, options)?;
        bank.keep_time_by(&clock)?;
        bank.begin()?;
        Ok((bank, clock))
    }

    /// Signer and authority go by this clock, once they are started.
    ///
    /// # Errors
    /// When the shim is missing or stale.
    pub fn keep_time_by(&mut self, clock: &Faults) -> Result<()> {
        self.authority_extra = clock.environment()?;
        self.signer_extra.clone_from(&self.authority_extra);
        Ok(())
    }

    /// What comes after the preparation: ceremony, ledger, signer and authority.
    ///
    /// # Errors
    /// When any of it fails.
    pub fn begin(&mut self) -> Result<()> {
        self.hold_ceremony()?;
        self.migrate()?;
        self.start_signer()?;
        self.start_authority()
    }

    /// Creates the ledger, or brings it up to date.
    ///
    /// # Errors
    /// With its words when it fails.
    pub fn migrate(&self) -> Result<()> {
        run(&mut self.inro_ca(&["migrate"])?).map(drop).context("migrating the ledger")
    }

    /// Starts the signer and waits until it is ready.
    ///
    /// # Errors
    /// With its log when it isn't.
    pub fn start_signer(&mut self) -> Result<()> {
        let mut command = Command::new(binaries::find("inro-hsm")?);
        command.arg("signer").arg("--config").arg(self.path("signer.toml"));
        command.envs(self.signer_environment.iter().cloned()).envs(self.signer_extra.iter().cloned());
        let already = self.log_length("signer");
        let mut signer = Process::spawn("signer", &mut command, &self.path("logs"))?;
        signer.wait_until("`signer ready`", PATIENCE, |process| {
            Ok(process.log().get(already..).is_some_and(|log| log.contains("signer ready")))
        })?;
        self.signer = Some(signer);
        Ok(())
    }

    /// Starts the authority and waits until it is ready.
    ///
    /// # Errors
    /// With its log when it isn't.
    pub fn start_authority(&mut self) -> Result<()> {
        let mut authority = Process::spawn("authority", &mut self.inro_ca(&["serve"])?, &self.path("logs"))?;
        let ready = format!("{}/readyz", self.urls().ops);
        authority.wait_until("readiness", PATIENCE, |_| {
            Ok(fetch(&ready).is_ok_and(|response| response.status == 200))
        })?;
        self.authority = Some(authority);
        Ok(())
    }

    /// Runs `inro-ca … --json` as an operator would and returns what it printed.
    ///
    /// # Errors
    /// With its words when it refuses.
    pub fn operator(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.try_operator(arguments)?;
        if !output.status.success() {
            bail!(
                "inro-ca {}: {}{}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("inro-ca {}", arguments.join(" ")))
    }

    /// The same, whatever its status.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn try_operator(&self, arguments: &[&str]) -> Result<std::process::Output> {
        output_of(self.inro_ca(arguments)?.arg("--json"), b"")
    }

    /// Registers a contract with the ordinary plan.
    ///
    /// # Errors
    /// When it is refused.
    pub fn register_contract(&self, number: &str, name: &str) -> Result<()> {
        self.operator(&["contract", "add", number, "--name", name]).map(drop)
    }

    /// Registers a user with [`LOGIN_PASSWORD`], masters with [`CONFIRMATION_PASSWORD`] as well, and assigns the token.
    ///
    /// # Errors
    /// When it is refused.
    pub fn register_user(&self, user: &NewUser<'_>) -> Result<()> {
        let NewUser { id, contract, role, name, token } = *user;
        self.operator(&["user", "add", id, "--contract", contract, "--role", role, "--name", name])?;
        self.set_password(id, "login")?;
        if role == "master" {
            self.set_password(id, "confirmation")?;
        }
        if let Some(serial) = token {
            self.operator(&["user", "assign-token", id, "--serial", &serial.to_string()])?;
        }
        Ok(())
    }

    /// What `inro-hsm journal verify` counts in the signer's journal.
    ///
    /// # Errors
    /// When the journal isn't sound.
    pub fn journal(&self) -> Result<Value> {
        let mut command = Command::new(binaries::find("inro-hsm")?);
        command.args(["journal", "verify", "--json"]).arg(self.path("signer/journal"));
        serde_json::from_str(&run(&mut command)?).context("reading what inro-hsm printed")
    }

    /// The audit trail's rows of this action.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn audit_rows(&self, action: &str) -> Result<Vec<Value>> {
        let rows = self.operator(&["audit", "list", "--action", action])?;
        rows.as_array().cloned().context("the audit trail is no list")
    }

    fn set_password(&self, id: &str, kind: &str) -> Result<()> {
        let file = self.secret(kind);
        let arguments = ["user", "set-password", id, "--kind", kind, "--password-file"];
        self.operator(&[&arguments[..], &[&file.to_string_lossy()]].concat()).map(drop)
    }

    /// A file with a secret: `login`, `confirmation`, `token-pin`, `root-pin`, `online-pin` and the SO PINs.
    pub fn secret(&self, name: &str) -> PathBuf {
        self.path("secrets").join(name)
    }

    /// A path in the bank's directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    /// The maker's roots of the virtual YubiKeys that this bank trusts.
    pub fn attestation(&self) -> &AttestationRoots {
        &self.attestation
    }

    /// What the signer's PKCS#11 module needs in its environment.
    pub fn signer_environment(&self) -> &Environment {
        &self.signer_environment
    }

    /// Where the listeners are.
    pub fn urls(&self) -> Urls {
        Urls::on(self.ports.port())
    }

    /// `inro-ca` with this bank's configuration.
    ///
    /// # Errors
    /// When the program is missing or stale.
    pub fn inro_ca(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binaries::find("inro-ca")?);
        command.arg("--config").arg(self.path("inro.toml")).args(arguments);
        command.envs(self.authority_extra.iter().cloned());
        Ok(command)
    }

    /// A certificate's serial number as `inro-ca` spells it.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn serial_of(certificate: &[u8]) -> Result<String> {
        use x509_cert::der::Decode as _;
        let certificate = x509_cert::Certificate::from_der(certificate).context("reading a certificate")?;
        Ok(hex::encode(certificate.tbs_certificate().serial_number().as_bytes()))
    }

    fn log_length(&self, name: &str) -> usize {
        fs::metadata(self.path("logs").join(format!("{name}.log")))
            .map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(usize::MAX))
    }
}
