//! What a person brings to the machine: the example configurations, filled in; passwords; a server certificate; a YubiKey
//! of the bank's own. The files are in the folder in which the runbook's shell begins.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use super::{Document, Machine};
use crate::{
    bank::{CONFIRMATION_PASSWORD, Desk, LOGIN_PASSWORD, TOKEN_PIN},
    process::run,
    soft_pki::SoftAuthority,
    virtual_yubikey::{AttestationRoots, Firmware, Profile},
};

/// The serial of the bank's own YubiKey.
const TOKEN: u32 = 25_000_001;
/// An administrator's, of a firmware whose management key Debian's yubico-piv-tool knows.
const ADMINISTRATOR: (u32, Firmware) = (15_000_077, Firmware(5, 4, 3));
/// The runbook that is gone through at the administrator's computer.
const AT_THE_ADMINISTRATORS: &str = "staff.md";

/// The runbook for which services' credentials are sealed with the machine's TPM.
const WITH_TPM: &str = "sealed-pin.md";
/// A TPM that is a device is reached whatever a service's own network is; this one is behind a socket.
const REACH_TPM: &str = "set -e\n\
    for unit in inro-signer@ inro-hsm-check@; do\n\
        mkdir -p /etc/systemd/system/$unit.service.d\n\
        printf '[Service]\\nIPAddressAllow=localhost\\n' >/etc/systemd/system/$unit.service.d/machine-tpm.conf\n\
    done\n\
    systemctl daemon-reload\n";

/// A machine, and what is brought to it.
#[derive(Debug)]
pub struct Site {
    machine: Machine,
    work: PathBuf,
    /// They end after the machine.
    desk: Desk,
    administrators: Desk,
}

impl Site {
    /// Boots a machine with the files of a person who begins at the first runbook.
    ///
    /// # Errors
    /// When the machine, the YubiKey or the files can't be had.
    pub fn new(directory: &Path) -> Result<Self> {
        let work = directory.join("work");
        fs::create_dir(&work).context("making the working folder")?;
        let roots = AttestationRoots::create().context("making attestation roots")?;
        let profiles = vec![Profile::new(TOKEN, Firmware(5, 7, 4))];
        let desk = Desk::new(&directory.join("desk"), &roots, profiles)?;
        let (serial, firmware) = ADMINISTRATOR;
        let profiles = vec![Profile::new(serial, firmware)];
        let administrators = Desk::new(&directory.join("administrator"), &roots, profiles)?;
        write(&work, &roots)?;
        // Its name is that of its control group too.
        let folder = directory.join(directory.file_name().unwrap_or_default());
        fs::create_dir(&folder).context("making the machine's folder")?;
        let machine = Machine::boot(&folder)?;
        let site = Self { machine, work, desk, administrators };
        site.software_tokens()?;
        Ok(site)
    }

    /// Executes a runbook where the one before ended.
    ///
    /// # Errors
    /// At the first step that isn't as the runbook says.
    pub fn execute(&mut self, runbook: &Document) -> Result<()> {
        if runbook.path.ends_with(WITH_TPM) {
            run(self.command("sh").args(["-c", REACH_TPM])).context("letting services reach the TPM")?;
        }
        let elsewhere = runbook.path.ends_with(AT_THE_ADMINISTRATORS);
        let desk = if elsewhere { &self.administrators } else { &self.desk };
        let mut environment = desk.pcscd.environment().clone();
        environment.push(("XDG_STATE_HOME".to_owned(), self.work.join("state").display().to_string()));
        self.machine.execute(runbook, &self.work, &environment)
    }

    /// Changes a file that was brought: `from` becomes `to`.
    ///
    /// # Errors
    /// When it isn't there, or `from` isn't in it.
    pub fn amend(&self, name: &str, from: &str, to: &str) -> Result<()> {
        let path = self.work.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
        ensure!(text.contains(from), "{name} doesn't say {from:?}");
        fs::write(&path, text.replace(from, to)).with_context(|| format!("writing {name}"))
    }

    /// A program on the machine, as root.
    pub fn command(&self, program: &str) -> Command {
        self.machine.command(program)
    }

    /// What a vendor's installation leaves: modules with their configuration, each with a store of SoftHSM.
    fn software_tokens(&self) -> Result<()> {
        let script = "set -e\numask 022\n\
            mkdir -p /etc/inro/root /etc/inro/online /etc/inro/backup /etc/inro-signer/customer-1 \
                /var/lib/inro-root/tokens /var/lib/inro-backup/tokens /var/lib/inro-signer/customer-1/tokens\n\
            conf() { printf 'directories.tokendir = %s\\nobjectstore.backend = file\\nlog.level = ERROR\\n' \"$1\"; }\n\
            conf /var/lib/inro-root/tokens >/etc/inro/root/softhsm2.conf\n\
            conf /var/lib/inro-backup/tokens >/etc/inro/backup/softhsm2.conf\n\
            conf /var/lib/inro-signer/customer-1/tokens >/etc/inro/online/softhsm2.conf\n\
            conf /var/lib/inro-signer/customer-1/tokens >/etc/inro-signer/customer-1/softhsm2.conf\n";
        run(self.command("sh").args(["-c", script])).map(drop).context("installing software tokens")
    }
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn write(work: &Path, roots: &AttestationRoots) -> Result<()> {
    let put =
        |name: &str, text: &str| fs::write(work.join(name), text).with_context(|| format!("writing {name}"));
    for entry in fs::read_dir(example("hsm-config/examples")).context("reading the examples")? {
        let path = entry.context("reading the examples")?.path();
        let name = path.file_name().context("an example without a name")?;
        fs::copy(&path, work.join(name)).with_context(|| format!("copying {}", path.display()))?;
    }
    put("inro.toml", &authority()?)?;
    let servers = SoftAuthority::new("Example server authority")?;
    let server = servers.server(&["www.bank.example", "login.bank.example", "localhost"])?;
    put("servers.pem", servers.certificate())?;
    put("server.pem", &server.certificate)?;
    put("server.key", &server.key)?;
    put("yubico-piv-ca-1.pem", &roots.first.root_pem()?)?;
    put("yubico-ca-1.pem", &roots.second.root_pem()?)?;
    put("yubico-intermediate.pem", &roots.second.intermediates_pem()?)?;
    for (name, secret) in [
        ("login.txt", LOGIN_PASSWORD),
        ("confirmation.txt", CONFIRMATION_PASSWORD),
        ("token-pin.txt", TOKEN_PIN),
        ("hanako-pin.txt", TOKEN_PIN),
    ] {
        put(name, &format!("{secret}\n"))?;
    }
    secret(
        &["server.key", "login.txt", "confirmation.txt", "token-pin.txt", "hanako-pin.txt"]
            .map(|name| work.join(name)),
    )
}

fn secret(files: &[PathBuf]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    files.iter().try_for_each(|file| {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("protecting {}", file.display()))
    })
}

/// The example, filled in for a bank that can't wait for a business day and trusts virtual YubiKeys.
fn authority() -> Result<String> {
    let text =
        fs::read_to_string(example("ca/examples/inro.toml")).context("reading the example inro.toml")?;
    let mut table: Table = toml::from_str(&text).context("reading the example inro.toml")?;
    let mut set = |section: &str, key: &str, value: Value| {
        if let Some(Value::Table(section)) = table.get_mut(section) {
            section.insert(key.to_owned(), value);
        }
    };
    set("hours", "mode", "always-open".into());
    set("trust", "test_anchors", true.into());
    set("shutdown", "pause", "0s".into());
    if let Some(Value::Array(issuers)) = table.get_mut("issuer") {
        for issuer in issuers.iter_mut().filter_map(Value::as_table_mut) {
            issuer.insert("first_crl".to_owned(), "customer.crl".into());
        }
    }
    toml::to_string(&table).context("composing inro.toml")
}
