//! A customer's desk with virtual YubiKeys, and a bank that may be hostile.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;
use softhsm_tests::{
    binaries,
    pcscd::Pcscd,
    process::output_of,
    scratch::Scratch,
    soft_pki::SoftAuthority,
    virtual_yubikey::{AttestationRoots, Firmware, Profile, State},
    yubikey::PluggedYubiKey,
};

use super::server::Server;

pub(crate) const OLD: Firmware = Firmware(5, 4, 3);
pub(crate) const NEW: Firmware = Firmware(5, 7, 2);
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const PIN: &str = "862915";

/// Fields drop in this order: the cards before their readers.
pub(crate) struct Bench {
    pub(crate) keys: Vec<PluggedYubiKey>,
    pub(crate) pcscd: Pcscd,
    pub(crate) roots: AttestationRoots,
    pub(crate) server: Server,
    pub(crate) tls: SoftAuthority,
    pub(crate) scratch: Scratch,
}

impl Bench {
    /// A desk with one reader for each profile, and an honest bank.
    pub(crate) fn new(profiles: Vec<Profile>) -> Self {
        let scratch = Scratch::new("agent").expect("scratch");
        let roots = AttestationRoots::create().expect("attestation roots");
        let directory = scratch.directory("pcscd").expect("a directory");
        let pcscd = Pcscd::start(&directory, profiles.len().max(1)).expect("pcscd");
        let keys = profiles.into_iter().enumerate().map(|(index, profile)| {
            PluggedYubiKey::plug(&pcscd, index, profile, &roots, None).expect("plugged in")
        });
        let keys = keys.collect();
        let tls = SoftAuthority::new("Public web CA").expect("an authority");
        let server = Server::start(&tls.server(&["localhost"]).expect("an identity"));
        scratch.write("ca.pem", tls.certificate()).expect("written");
        scratch.write("password", format!("{PASSWORD}\n")).expect("written");
        scratch.write("pin", PIN).expect("written");
        Self { keys, pcscd, roots, server, tls, scratch }
    }

    pub(crate) fn one(firmware: Firmware) -> Self {
        Self::new(vec![Profile::new(7_654_321, firmware)])
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    pub(crate) fn state(&self) -> State {
        self.keys[0].card().state().clone()
    }

    /// Presets in the user's own `agent.toml`.
    pub(crate) fn configure(&self, presets: &str) {
        let folder = self.scratch.directory(".config/inro").expect("a folder");
        fs::write(folder.join("agent.toml"), presets).expect("written");
    }

    /// The agent, in an environment of its own.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::find("inro-agent").expect("a fresh agent"));
        command.env_clear().envs(self.pcscd.environment().iter().cloned());
        command.env("HOME", self.scratch.path()).env("LANG", "C").args(arguments);
        command
    }

    /// `enroll` with everything in files.
    pub(crate) fn enroll_command(&self, server: &str, more: &[&str]) -> Command {
        let (ca, password, pin) = (self.path("ca.pem"), self.path("password"), self.path("pin"));
        let mut command = self.agent(&["enroll", "--json", "--server", server, "--user", "hokkai-01"]);
        command.args(["--ca-file", &ca, "--password-file", &password]);
        command.args(["--pin-file", &pin, "--new-pin-file", &pin]).args(more);
        command
    }

    pub(crate) fn enroll(&self, more: &[&str]) -> Run {
        Run::of(&mut self.enroll_command(&self.server.url(), more))
    }

    /// The record of an enrolment under way, if there is one.
    pub(crate) fn record(&self) -> Option<String> {
        let folder = fs::read_dir(self.scratch.join(".local/state/inro-agent/enrolments")).ok()?;
        let mut files = folder.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let path = files.find(|path| path.extension().is_some_and(|extension| extension == "json"))?;
        Some(fs::read_to_string(path).expect("readable"))
    }

    /// One certificate was issued, it is on the token and confirmed, and nothing is left over.
    pub(crate) fn assert_done(&self, run: &Run, when: &str) {
        assert_eq!(run.status(), 0, "{when}: {run:?}");
        assert_eq!(self.server.bank.issued(), 1, "{when}: certificates issued");
        assert!(self.server.bank.confirmed() >= 1, "{when}: confirmed");
        assert_eq!(self.record(), None, "{when}: no record is left");
        let state = self.state();
        assert!(!state.pin.is_factory() && !state.puk.is_factory(), "{when}: PIN and PUK");
        assert!(!state.management_key.is_factory(), "{when}: the management key");
        let object = &state.objects[&0x005f_c105];
        let der = pem_to_der(run.json()["pem"].as_str().expect("PEM"));
        assert_eq!(object[4..4 + der.len()], der, "{when}: the certificate on the token");
        for identifier in [0x005f_c102, 0x005f_c107] {
            assert!(state.objects.contains_key(&identifier), "{when}: {identifier:x}");
        }
    }

    /// Nothing was written or changed.
    pub(crate) fn assert_untouched(&self, when: &str) {
        let state = self.state();
        assert!(state.pin.is_factory() && state.puk.is_factory(), "{when}: PIN and PUK");
        assert!(state.management_key.is_factory(), "{when}: the management key");
        assert!(state.slots.is_empty(), "{when}: no key");
        assert!(!state.objects.contains_key(&0x005f_c105), "{when}: no certificate");
    }
}

pub(crate) fn pem_to_der(pem: &str) -> Vec<u8> {
    use der::{DecodePem, Encode};
    let certificate = x509_cert::Certificate::from_pem(pem).expect("PEM");
    certificate.to_der().expect("DER")
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
        Self::from(output_of(command, b"").expect("the agent runs"))
    }

    pub(crate) fn status(&self) -> i32 {
        self.status.expect("not killed by a signal")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn error(&self) -> Value {
        self.json()["error"].clone()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}
