//! A bank, a customer's desk with a token, and the administrator's files of the customer's computer.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, Desk, NewUser, Options},
    binaries,
    process::{output_of, run},
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
};

const CONTRACT: &str = "1234567";
const USER: &str = "hokkai-01";
/// The token's.
pub(crate) const SERIAL: u32 = 32_000_001;

/// Fields drop in this order.
pub(crate) struct House {
    pub(crate) desk: Desk,
    pub(crate) bank: Bank,
    pub(crate) scratch: Scratch,
}

impl House {
    /// With these versions of the agent, the lowest and the newest, where they matter.
    pub(crate) fn open(name: &str, versions: Option<(&str, &str)>) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let mut bank = Bank::prepare(&scratch.join("bank"), &Options::default()).expect("a bank");
        bank.hold_ceremony().expect("a ceremony");
        bank.migrate().expect("a ledger");
        bank.start_signer().expect("a signer");
        if let Some((lowest, newest)) = versions {
            set_versions(&bank, lowest, newest);
        }
        bank.start_authority().expect("an authority");
        bank.register_contract(CONTRACT, "北海商事").expect("a contract");
        let user =
            NewUser {
                id: USER, contract: CONTRACT, role: "general", name: "北海 太郎", token: Some(SERIAL)
            };
        bank.register_user(&user).expect("a user");
        let profile = Profile::new(SERIAL, Firmware(5, 7, 2));
        let desk = Desk::new(&scratch.join("desk"), bank.attestation(), vec![profile]).expect("a desk");
        Self { desk, bank, scratch }
    }

    pub(crate) fn restart_with_versions(&mut self, lowest: &str, newest: &str) {
        self.bank.authority = None;
        set_versions(&self.bank, lowest, newest);
        self.bank.start_authority().expect("an authority");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    /// The file with the login password.
    pub(crate) fn login(&self) -> String {
        self.bank.secret("login").display().to_string()
    }

    /// The agent at the desk, in an environment of its own.
    pub(crate) fn bare_agent(&self) -> Command {
        let mut command = alone(&self.scratch);
        command.envs(self.desk.pcscd.environment().iter().cloned());
        command
    }

    pub(crate) fn agent(&self) -> Command {
        let mut command = self.bare_agent();
        command.args(["--lang", "en"]);
        command
    }

    pub(crate) fn enroll_command(&self, more: &[&str]) -> Command {
        let mut command = self.person_s_command("enroll");
        command.args(["--user", USER]).args(more);
        command
    }

    pub(crate) fn renew_command(&self, serial: &str) -> Command {
        let mut command = self.person_s_command("renew");
        command.args(["--serial", serial]);
        command
    }

    /// With the bank's address and everything that a person would be asked for.
    fn person_s_command(&self, name: &str) -> Command {
        let trust = self.bank.path("tls/ca.pem").display().to_string();
        let pin = self.bank.secret("token-pin").display().to_string();
        let mut command = self.agent();
        command.args([name, "--json", "--server", &self.bank.urls().public, "--ca-file", &trust]);
        command.args(["--password-file", &self.login(), "--pin-file", &pin, "--new-pin-file", &pin]);
        command
    }

    pub(crate) fn enroll(&self, more: &[&str]) -> Run {
        Run::of(&mut self.enroll_command(more))
    }

    pub(crate) fn doctor_command(&self, more: &[&str]) -> Command {
        let trust = self.bank.path("tls/ca.pem").display().to_string();
        let mut command = self.agent();
        command.args(["doctor", "--json", "--server", &self.bank.urls().public, "--ca-file", &trust]);
        command.args(more);
        command
    }

    pub(crate) fn doctor(&self, more: &[&str]) -> Run {
        Run::of(&mut self.doctor_command(more))
    }

    /// The administrator's files, in a copy of this computer's `/etc`.
    pub(crate) fn administer(&self, policy: &str, files: &[(&str, &str)]) {
        let etc = self.scratch.directory("etc").expect("a directory");
        // What may not be read here isn't needed either.
        let _ = run(Command::new("cp").args(["-a", "/etc/."]).arg(&etc));
        let folder = self.scratch.directory("etc/inro").expect("a directory");
        fs::write(folder.join("policy.toml"), policy).expect("written");
        for (name, content) in files {
            fs::write(folder.join(name), content).expect("written");
        }
        run(Command::new("chmod").args(["-R", "go-w"]).arg(&folder)).expect("changed");
    }

    /// The same command on a computer with those files.
    pub(crate) fn administered(&self, command: &Command) -> Command {
        let mut outer = Command::new("unshare");
        outer.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            outer.arg("--map-root-user");
        }
        outer.args(["sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\""]).arg(self.scratch.join("etc"));
        outer.arg(command.get_program()).args(command.get_args());
        outer.env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                outer.env(name, value);
            }
        }
        outer.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        outer
    }

    /// Nothing was done on the token.
    pub(crate) fn assert_untouched(&self) {
        let state = self.desk.keys[0].state();
        assert!(state.pin.is_factory() && state.puk.is_factory(), "PIN and PUK");
        assert!(state.management_key.is_factory() && state.slots.is_empty(), "keys");
    }
}

fn set_versions(bank: &Bank, lowest: &str, newest: &str) {
    let path = bank.path("inro.toml");
    let text = fs::read_to_string(&path).expect("a configuration");
    let mut config: toml::Table = toml::from_str(&text).expect("TOML");
    let enrolment = config["enrolment"].as_table_mut().expect("a table");
    enrolment.insert("lowest_agent".to_owned(), lowest.into());
    enrolment.insert("newest_agent".to_owned(), newest.into());
    fs::write(&path, toml::to_string(&config).expect("TOML")).expect("written");
}

/// The agent without a desk: no reader, no desktop, nothing inherited.
pub(crate) fn alone(scratch: &Scratch) -> Command {
    let mut command = Command::new(binaries::find("inro-agent").expect("a fresh agent"));
    command.env_clear().env("HOME", scratch.path()).env("PATH", "/usr/bin:/bin").env("LANG", "C");
    command.env("TZ", "UTC").env("PCSCLITE_CSOCK_NAME", scratch.join("no-pcscd"));
    command
}

/// What a run of the agent left.
#[derive(Debug)]
pub(crate) struct Run {
    status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = output_of(command, b"").expect("the agent runs");
        let text = |octets| String::from_utf8(octets).expect("text");
        Self { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    pub(crate) fn status(&self) -> i32 {
        self.status.expect("not killed by a signal")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The codes of a diagnosis.
pub(crate) fn codes(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("findings").iter();
    findings.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

/// The finding with this code.
pub(crate) fn finding(report: &Value, code: &str) -> Value {
    let mut findings = report["findings"].as_array().expect("findings").iter();
    let found = findings.find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("no {code}: {report:#}")).clone()
}
