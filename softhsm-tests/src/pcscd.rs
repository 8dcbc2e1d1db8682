//! A private pcscd with virtual readers.
//!
//! Each `reader.conf` entry has a *copy* of the vpcd driver (it keeps its state in globals) and two ports, of which
//! the first is used. The driver would listen on all addresses, without an option against it; the preloaded library
//! `loopback-only` keeps it to loopback.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};

use crate::{
    binaries,
    ports::PortLease,
    probe::{Probe, Request},
    process::{Environment, Process},
    wait::PATIENCE,
};

const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
/// ykcs11 and yubico-piv-tool look for "Yubico" in it. The entry's number follows: pcscd doesn't tell entries of the
/// same name apart.
const FRIENDLY_NAME: &str = "Yubico YubiKey OTP+FIDO+CCID";
/// pcscd has 16 slots, and each driver takes two.
const MAX_READERS: usize = 8;
/// pcscd takes the path of its socket from nobody but who activates it (`sd_listen_fds(3)`): the socket is its
/// descriptor 3, and `LISTEN_PID` its own process. Daemons live where an ordinary user's path doesn't lead. Only pcscd
/// itself gets the library.
const ACTIVATE: &str = r#"
export PATH="$PATH:/usr/sbin:/sbin" LISTEN_FDS=1 LISTEN_PID=$$ LD_PRELOAD="$1"
exec pcscd --foreground --error --config "$2" 3<&0 </dev/null
"#;

/// A virtual reader.
#[derive(Clone, Debug)]
pub struct Reader {
    /// As PC/SC lists it.
    pub name: String,
    /// Where its vpcd waits for a card.
    pub vpcd: SocketAddr,
}

/// A private pcscd; it ends when dropped.
#[derive(Debug)]
pub struct Pcscd {
    environment: Environment,
    readers: Vec<Reader>,
    watch: Arc<Watch>,
    process: Process,
    _ports: Vec<PortLease>,
}

/// Waits for cards to come and go.
#[derive(Debug)]
pub(crate) struct Watch {
    environment: Environment,
    probe: Mutex<Option<Probe>>,
}

impl Pcscd {
    /// Starts a pcscd with this many readers, all empty; its files are kept in `directory`.
    ///
    /// # Errors
    /// When something isn't installed, or with pcscd's log when it doesn't come up.
    pub fn start(directory: &Path, count: usize) -> Result<Self> {
        ensure!(count <= MAX_READERS, "a pcscd has room for {MAX_READERS} virtual readers, not {count}");
        ensure!(Path::new(DRIVER).exists(), "{DRIVER} is missing: install the package vsmartcard-vpcd");
        let socket = directory.join("comm");
        ensure!(socket.as_os_str().len() < 100, "{} is too long for a Unix socket", socket.display());
        let mut configuration = String::new();
        let (mut readers, mut ports) = (Vec::new(), Vec::new());
        for index in 0..count {
            let lease = PortLease::consecutive(2)?;
            write_entry(&mut configuration, directory, index, lease.port())?;
            readers.push(Reader { name: format!("{FRIENDLY_NAME} {index:02} 00 00"), vpcd: lease.address() });
            ports.push(lease);
        }
        let file = directory.join("reader.conf");
        fs::write(&file, configuration).with_context(|| format!("writing {}", file.display()))?;
        let process = start_process(directory, &socket, &file)?;
        let environment = vec![("PCSCLITE_CSOCK_NAME".to_owned(), socket.display().to_string())];
        let watch = Arc::new(Watch { environment: environment.clone(), probe: Mutex::new(None) });
        let pcscd = Self { environment, readers, watch, process, _ports: ports };
        for reader in &pcscd.readers {
            pcscd.watch.wait(&reader.name, false).with_context(|| pcscd.process.log())?;
        }
        Ok(pcscd)
    }

    /// What a process needs to use this pcscd.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// All readers, in order.
    pub fn readers(&self) -> &[Reader] {
        &self.readers
    }

    /// One reader.
    ///
    /// # Errors
    /// When there are not that many.
    pub fn reader(&self, index: usize) -> Result<&Reader> {
        self.readers.get(index).with_context(|| format!("this pcscd has no reader {index}"))
    }

    /// A new probe on this pcscd.
    ///
    /// # Errors
    /// When `piv-probe` isn't built.
    pub fn probe(&self) -> Result<Probe> {
        Probe::start(&self.environment)
    }

    /// The daemon, to look at its log or to stop it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The daemon's process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }
}

impl Watch {
    /// Waits until pcscd sees a card in the reader, or none.
    pub(crate) fn wait(&self, reader: &str, present: bool) -> Result<()> {
        let mut guard = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        let mut probe = match guard.take() {
            Some(probe) => probe,
            None => Probe::start(&self.environment)?,
        };
        let timeout = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let outcome = probe.tell(&Request::Wait { reader: reader.to_owned(), present, timeout });
        *guard = Some(probe);
        let wanted = if present { "a card" } else { "no card" };
        outcome.with_context(|| format!("waiting for {wanted} in {reader}"))
    }
}

fn write_entry(configuration: &mut String, directory: &Path, index: usize, port: u16) -> Result<()> {
    let driver: PathBuf = directory.join(format!("libifdvpcd-{index}.so"));
    fs::copy(DRIVER, &driver).with_context(|| format!("copying {DRIVER}"))?;
    writeln!(
        configuration,
        "FRIENDLYNAME \"{FRIENDLY_NAME} {index:02}\"\nDEVICENAME /dev/null:{port}\nLIBPATH {}\nCHANNELID {port}\n",
        driver.display()
    )
    .context("composing reader.conf")
}

/// The socket queues its clients until pcscd is up. One that an earlier pcscd left behind is replaced.
fn start_process(directory: &Path, socket: &Path, configuration: &Path) -> Result<Process> {
    if socket.exists() {
        fs::remove_file(socket).with_context(|| format!("removing {}", socket.display()))?;
    }
    let listener =
        UnixListener::bind(socket).with_context(|| format!("listening on {}", socket.display()))?;
    let mut command = Command::new("sh");
    command.args(["-c", ACTIVATE, "sh"]).arg(binaries::find_library("loopback_only")?).arg(configuration);
    Process::spawn_with("pcscd", &mut command, OwnedFd::from(listener).into(), directory)
}
