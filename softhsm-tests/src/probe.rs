//! Talks PC/SC through a child process, `piv-probe`.
//!
//! libpcsclite finds its daemon by an environment variable that it reads once per process; a private pcscd can
//! therefore only be used from a process of its own. One line of JSON asks, one line answers.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{binaries, process::Environment};

/// What `piv-probe` can be asked. Keys and data are hexadecimal; slots are hexadecimal too, such as `9a`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// All readers: a list of [`Reader`].
    Readers,
    /// Waits until a reader exists and holds a card, or doesn't.
    Wait {
        /// The reader's name.
        reader: String,
        /// What to wait for.
        present: bool,
        /// How long, in milliseconds.
        timeout: u64,
    },
    /// Sends APDUs as they are (as one transaction) and returns the answers with their status words. The card's
    /// session goes on, as does that of an open YubiKey.
    Transmit {
        /// The reader's name.
        reader: String,
        /// Commands.
        commands: Vec<String>,
    },
    /// Opens a YubiKey by serial number for what follows; returns its firmware.
    Open {
        /// Its serial number.
        serial: u32,
    },
    /// Proves the PIN.
    VerifyPin {
        /// The PIN.
        pin: String,
    },
    /// The attempts that are left for the PIN.
    PinRetries,
    /// Changes the PIN.
    ChangePin {
        /// The PIN in force.
        old: String,
        /// The PIN to be.
        new: String,
    },
    /// Changes the PUK.
    ChangePuk {
        /// The PUK in force.
        old: String,
        /// The PUK to be.
        new: String,
    },
    /// Unblocks the PIN.
    UnblockPin {
        /// The PUK.
        puk: String,
        /// The PIN to be.
        new: String,
    },
    /// Proves the management key: the factory's, or the one behind the PIN.
    Authenticate {
        /// Whether it lies behind the PIN.
        protected: bool,
    },
    /// Replaces the management key by a random one behind the PIN.
    ProtectManagementKey,
    /// Generates a key; returns its SubjectPublicKeyInfo.
    Generate {
        /// The slot.
        slot: String,
        /// `rsa1024`, `rsa2048`, `rsa3072`, `rsa4096`, `p256` or `p384`.
        algorithm: String,
        /// PIN policy: 0 for the default.
        pin: u8,
        /// Touch policy: 0 for the default.
        touch: u8,
    },
    /// Imports a P-256 key (scalar).
    ImportP256 {
        /// The slot.
        slot: String,
        /// The scalar.
        scalar: String,
    },
    /// Attests a slot; returns the certificate (DER).
    Attest {
        /// The slot.
        slot: String,
    },
    /// Uses a key on a digest or a padded block; returns the result.
    Sign {
        /// The slot.
        slot: String,
        /// As for `Generate`.
        algorithm: String,
        /// The input.
        input: String,
    },
    /// Reads a data object.
    Fetch {
        /// Its tag.
        object: String,
    },
    /// Writes a data object.
    Save {
        /// Its tag.
        object: String,
        /// Its content.
        content: String,
    },
    /// Origin and policies of a slot: `[generated, pin policy, touch policy]`.
    Metadata {
        /// The slot.
        slot: String,
    },
}

/// A reader as pcscd lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// Whether it holds a card.
    pub present: bool,
}

/// What `piv-probe` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It worked.
    Done(serde_json::Value),
    /// It didn't, and why.
    Failed(String),
}

/// A running `piv-probe`.
#[derive(Debug)]
pub struct Probe {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Probe {
    /// Starts one in this environment (that of a [`Pcscd`](crate::pcscd::Pcscd)).
    ///
    /// # Errors
    /// When it isn't built or can't be started.
    pub fn start(environment: &Environment) -> Result<Self> {
        let mut child = Command::new(binaries::find("piv-probe")?)
            .envs(environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting piv-probe")?;
        let input = child.stdin.take().context("piv-probe has no input")?;
        let output = child.stdout.take().map(BufReader::new).context("piv-probe has no output")?;
        Ok(Self { child, input, output })
    }

    /// Asks and decodes the answer.
    ///
    /// # Errors
    /// With the card's or pcscd's reason, when it says no.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T> {
        let mut line = serde_json::to_string(request).context("encoding a request")?;
        line.push('\n');
        self.input.write_all(line.as_bytes()).context("asking piv-probe")?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer).context("listening to piv-probe")? == 0 {
            bail!("piv-probe ended");
        }
        match serde_json::from_str(&answer).context("decoding piv-probe's answer")? {
            Answer::Done(value) => serde_json::from_value(value).context("decoding piv-probe's answer"),
            Answer::Failed(reason) => Err(anyhow!(reason)),
        }
    }

    /// Asks for bytes.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn ask_bytes(&mut self, request: &Request) -> Result<Vec<u8>> {
        let text: String = self.ask(request)?;
        hex::decode(text).context("decoding piv-probe's answer")
    }

    /// Asks for nothing but that it is done.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn tell(&mut self, request: &Request) -> Result<()> {
        self.ask::<serde_json::Value>(request).map(drop)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // It may be waiting for a card; nothing is lost with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
