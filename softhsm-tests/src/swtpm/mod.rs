//! Software TPMs in the place of real ones, a private process each, with endorsement certificates of a private maker.
//! Nothing stands between them and their users: without a resource manager, whatever a program leaves in the TPM's three
//! places for objects in use is missed at once.

mod maker;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

pub use maker::TpmMaker;

use crate::{
    ports::PortLease,
    process::{Environment, Process, run},
    wait::PATIENCE,
};

/// A TPM. Dropping it cuts its power; what it keeps without power stays in its directory.
#[derive(Debug)]
pub struct Swtpm {
    directory: PathBuf,
    ports: PortLease,
    /// `None` without power.
    process: Option<Process>,
}

impl Swtpm {
    /// Gives power to a TPM that was made in this directory.
    fn power_up(directory: &Path) -> Result<Self> {
        let ports = PortLease::consecutive(2)?;
        let mut tpm = Self { directory: directory.to_owned(), ports, process: None };
        tpm.start()?;
        Ok(tpm)
    }

    /// Gives power, after [`Swtpm::cut_power`].
    ///
    /// # Errors
    /// With its log when it doesn't come up.
    pub fn start(&mut self) -> Result<()> {
        let (command, control) = (self.ports.port(), self.ports.port() + 1);
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
        swtpm.arg("--tpmstate").arg(format!("dir={}", self.directory.join("state").display()));
        swtpm.args(["--server", &format!("type=tcp,port={command},bindaddr=127.0.0.1")]);
        swtpm.args(["--ctrl", &format!("type=tcp,port={control},bindaddr=127.0.0.1")]);
        let mut process = Process::spawn("swtpm", &mut swtpm, &self.directory)?;
        // The control channel may be tried: it takes one client after the other, and so does the TPM itself.
        process.wait_for_listener((std::net::Ipv4Addr::LOCALHOST, control).into(), PATIENCE)?;
        self.process = Some(process);
        Ok(())
    }

    /// Pulls the plug, in the middle of whatever it does.
    ///
    /// # Errors
    /// When the process can't be ended.
    pub fn cut_power(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Shuts down in order and starts again, as a computer does.
    ///
    /// # Errors
    /// When it doesn't.
    pub fn reboot(&mut self) -> Result<()> {
        self.tool("tpm2_shutdown", &["--clear"])?;
        self.cut_power()?;
        self.start()
    }

    /// Clears it, as a computer's owner may: everything under the owner's hierarchy is gone for ever.
    ///
    /// # Errors
    /// When it refuses.
    pub fn clear(&self) -> Result<()> {
        self.tool("tpm2_clear", &[]).map(drop)
    }

    /// Runs one of tpm2-tools on it and returns what it printed.
    ///
    /// # Errors
    /// With its words when it fails.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(name);
        command.args(arguments).envs(self.environment());
        run(&mut command).with_context(|| format!("asking a TPM with {name}"))
    }

    /// How many objects are in use in it, and how many sessions. Both are 0 when nobody is at work.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn in_use(&self) -> Result<(usize, usize)> {
        let count = |kind: &str| {
            self.tool("tpm2_getcap", &[kind])
                .map(|list| list.lines().filter(|line| line.contains("0x")).count())
        };
        Ok((count("handles-transient")?, count("handles-loaded-session")?))
    }

    /// Its address, as `--tpm` takes it.
    pub fn address(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.ports.port())
    }

    /// What a program needs to find it.
    pub fn environment(&self) -> Environment {
        vec![("TPM2TOOLS_TCTI".to_owned(), self.address())]
    }

    /// Where its state and log are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
