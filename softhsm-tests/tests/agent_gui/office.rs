//! A bank, a customer's desk with tokens, and a desktop on it.

use std::{fs, process::Command};

use jiff::SignedDuration;
use softhsm_tests::{
    bank::{Bank, Desk, NewUser, Options},
    binaries,
    faults::Faults,
    process::{Environment, Process, output_of},
    scratch::Scratch,
    swtpm::{Swtpm, TpmMaker},
    virtual_yubikey::Profile,
};

use super::desktop::Desktop;

const CONTRACT: &str = "1234567";

/// Fields drop in this order.
pub(crate) struct Office {
    pub(crate) desktop: Desktop,
    pub(crate) desk: Desk,
    /// The TPM of the computer on it.
    pub(crate) tpm: Option<Swtpm>,
    pub(crate) bank: Bank,
    clock: Faults,
    /// Of programs whose clock is the office's.
    clock_environment: Environment,
    pub(crate) scratch: Scratch,
}

impl Office {
    pub(crate) fn open(name: &str, profiles: Vec<Profile>, screen: (u32, u32)) -> Self {
        Self::equipped(name, profiles, screen, false)
    }

    /// The same with a TPM in the computer, whose maker the bank trusts.
    pub(crate) fn with_tpm(name: &str, profiles: Vec<Profile>, screen: (u32, u32)) -> Self {
        Self::equipped(name, profiles, screen, true)
    }

    fn equipped(name: &str, profiles: Vec<Profile>, screen: (u32, u32), has_tpm: bool) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let adjust: fn(&mut toml::Table) = if has_tpm { with_maker } else { with_touch };
        let options = Options { adjust: Some(adjust), ..Options::default() };
        let maker = has_tpm.then(|| TpmMaker::new(&scratch.join("maker")).expect("a maker"));
        let clock = Faults::new(&scratch.join("clock"), &[]).expect("a clock");
        let clock_environment = clock.environment().expect("a clock");
        let mut bank = Bank::prepare(&scratch.join("bank"), &options).expect("a bank");
        bank.authority_extra.clone_from(&clock_environment);
        bank.signer_extra.clone_from(&clock_environment);
        let tpm = maker.map(|maker| {
            for (pem, name) in
                [(maker.root(), "tpm-root.pem"), (maker.intermediates(), "tpm-intermediates.pem")]
            {
                fs::copy(pem, bank.path("attestation").join(name)).expect("a copy");
            }
            maker.tpm(&scratch.join("tpm")).expect("a TPM")
        });
        bank.hold_ceremony().expect("a ceremony");
        bank.migrate().expect("a ledger");
        bank.start_signer().expect("a signer");
        bank.start_authority().expect("an authority");
        bank.register_contract(CONTRACT, "北海商事").expect("a contract");
        let desk = Desk::new(&scratch.join("desk"), bank.attestation(), profiles).expect("a desk");
        let desktop = Desktop::start(&scratch.join("desktop"), screen.0, screen.1).expect("a desktop");
        Self { desktop, desk, tpm, bank, clock, clock_environment, scratch }
    }

    /// So many days pass. A signer follows no jump of its clock, so another one begins.
    pub(crate) fn days_later(&mut self, days: i64) {
        self.clock.clock(SignedDuration::from_hours(24 * days)).expect("a clock");
        self.bank.signer = None;
        self.bank.start_signer().expect("a signer");
        self.bank.authority = None;
        self.bank.start_authority().expect("an authority");
    }

    pub(crate) fn user(&self, id: &str, name: &str, token: Option<u32>) {
        let user = NewUser { id, contract: CONTRACT, role: "general", name, token };
        self.bank.register_user(&user).expect("a user");
    }

    /// A general user who may obtain a certificate in this computer's TPM alone.
    pub(crate) fn user_of_tpm(&self, id: &str, name: &str) {
        self.user(id, name, None);
        let mut command = Command::new(binaries::find("inro-agent").expect("a fresh agent"));
        command.envs(self.tpm_environment()).envs(self.desktop.environment()).args(["tpm", "--json"]);
        let shown = output_of(&mut command, b"").expect("inro-agent runs");
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let serial = shown["serial"].as_str().expect("a serial");
        let arguments = ["user", "assign-token", id, "--kind", "tpm", "--serial", serial];
        self.bank.operator(&arguments).expect("the TPM is assigned");
    }

    fn tpm_environment(&self) -> Environment {
        self.tpm.as_ref().map(Swtpm::environment).unwrap_or_default()
    }

    /// The states of a user's certificates, sorted.
    pub(crate) fn states(&self, user: &str) -> Vec<String> {
        let list = self.bank.operator(&["certificate", "list", "--user", user]).expect("a list");
        let rows = list.as_array().expect("a list").iter();
        let mut states: Vec<String> =
            rows.map(|row| row["state"].as_str().expect("a state").to_owned()).collect();
        states.sort();
        states
    }

    /// The agent's window; what `more` says comes last and so counts.
    pub(crate) fn window(&self, lang: &str, user: &str, more: &[&str]) -> Process {
        let mut command = Command::new(binaries::find("inro-agent").expect("a fresh agent"));
        command.envs(self.desk.pcscd.environment().iter().cloned());
        command.envs(self.clock_environment.iter().cloned()).envs(self.tpm_environment());
        // As people see times in the certificate's own country.
        command.env("TZ", "Asia/Tokyo");
        command.args(["--lang", lang, "gui", "--state-dir"]).arg(self.scratch.join("state"));
        command.args(["--user", user, "--ca-file"]).arg(self.bank.path("tls/ca.pem"));
        if !more.contains(&"--server") {
            command.args(["--server", &self.bank.urls().public]);
        }
        command.args(more).envs(self.desktop.environment());
        let mut agent =
            Process::spawn("agent", &mut command, &self.scratch.join("desktop")).expect("started");
        self.desktop.focus_window(&mut agent).expect("a window");
        agent
    }

    /// How many certificates the signer has signed for customers.
    pub(crate) fn certificates(&self) -> u64 {
        self.bank.journal().expect("a journal")["certificates"].as_u64().expect("a number")
    }
}

/// Keys are to be touched.
fn with_touch(authority: &mut toml::Table) {
    let empty = || toml::Value::Table(toml::Table::new());
    let policy = authority.entry("policy").or_insert_with(empty).as_table_mut().expect("a table");
    let yubikey = policy.entry("yubikey").or_insert_with(empty).as_table_mut().expect("a table");
    yubikey.insert("touch".to_owned(), toml::Value::Array(vec!["cached".into()]));
}

/// Whether a process has a socket that waits for connections.
pub(crate) fn listens(process: u32) -> bool {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let listening: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .map(|row| row.split_whitespace().collect::<Vec<_>>())
        .filter(|row| row.get(3) == Some(&"0A"))
        .filter_map(|row| row.get(9).map(|inode| format!("socket:[{inode}]")))
        .collect();
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors");
    descriptors.flatten().any(|descriptor| {
        let target = fs::read_link(descriptor.path()).unwrap_or_default();
        listening.contains(&target.display().to_string())
    })
}

/// The same, and TPMs of a private maker are trusted beside YubiKeys.
fn with_maker(authority: &mut toml::Table) {
    with_touch(authority);
    let trust = authority["trust"].as_table_mut().expect("a section");
    trust.insert("tpm_roots".to_owned(), vec!["attestation/tpm-root.pem"].into());
    trust.insert("tpm_intermediates".to_owned(), vec!["attestation/tpm-intermediates.pem"].into());
    let policy = authority["policy"].as_table_mut().expect("a section");
    policy.insert("devices".to_owned(), vec!["yubikey-piv", "tpm"].into());
    policy.insert("lowest_assurance".to_owned(), "attested".into());
}
