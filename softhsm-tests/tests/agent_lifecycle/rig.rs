//! A bank that keeps PUKs, its staff, a master, and a desk with virtual YubiKeys behind a real pcscd.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, CONFIRMATION_PASSWORD, Desk, NewUser, SoftBrowser, hidden},
    process::output_of,
    virtual_yubikey::{Firmware, Profile, State},
};

use crate::{
    customers::{CONTRACT, Customer},
    staff_house::{Member, StaffHouse},
};

pub(crate) const NEW: Firmware = Firmware(5, 7, 2);
pub(crate) const OLD: Firmware = Firmware(5, 4, 3);

pub(crate) struct Office {
    pub(crate) desk: Desk,
    pub(crate) house: StaffHouse,
    pub(crate) members: Vec<Member>,
    pub(crate) master: Customer,
}

/// What a run of a program left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Office {
    /// A general user for each token, with the token assigned and nothing obtained yet.
    pub(crate) fn open(name: &str, tokens: &[(&str, Profile)]) -> Self {
        let (mut house, members) = StaffHouse::open(name);
        keep_puks(&mut house);
        let master = house.house.customer("hokkai-master", "master", 9_000_001);
        let bank = house.bank();
        for (id, profile) in tokens {
            let token = Some(profile.serial);
            let user = NewUser { id, contract: CONTRACT, role: "general", name: "北海 花子", token };
            bank.register_user(&user).expect("a user");
        }
        let directory = bank.path("desk");
        let profiles = tokens.iter().map(|(_, profile)| profile.clone()).collect();
        let desk = Desk::new(&directory, bank.attestation(), profiles).expect("a desk");
        Self { desk, house, members, master }
    }

    pub(crate) fn bank(&self) -> &Bank {
        self.house.bank()
    }

    pub(crate) fn bank_mut(&mut self) -> &mut Bank {
        &mut self.house.house.bank
    }

    pub(crate) fn state(&self, token: u32) -> State {
        self.desk.keys.iter().find(|key| key.serial() == token).expect("a key").state()
    }

    /// The PIN is blocked as people block it: by wrong ones, through pcscd, by somebody else's tool.
    pub(crate) fn block_pin(&self, token: u32) {
        for _ in 0..3 {
            let run = self.tool(token, &["-a", "verify-pin", "-P", "999999"]);
            assert_ne!(run.status, Some(0), "{run:?}");
        }
        assert_eq!(self.state(token).pin.left, 0);
    }

    pub(crate) fn tool(&self, token: u32, arguments: &[&str]) -> Run {
        let key = self.desk.keys.iter().find(|key| key.serial() == token).expect("a key");
        let mut command = Command::new("yubico-piv-tool");
        command.args(["-r", &key.reader().name]).args(arguments).envs(self.desk.pcscd.environment().clone());
        output_of(&mut command, b"").expect("yubico-piv-tool runs").into()
    }

    /// `inro-agent` with the way to the bank.
    pub(crate) fn agent(&self, command: &str, more: &[&str]) -> Run {
        let bank = self.bank();
        let (url, trust) = (bank.urls().public, bank.path("tls/ca.pem").display().to_string());
        let arguments = [&[command, "--server", &url, "--ca-file", &trust][..], more].concat();
        self.desk.agent(&arguments).expect("the agent runs").into()
    }

    pub(crate) fn unblock(&self, user: &str, token: u32, new_pin: &str) -> Run {
        output_of(&mut self.unblock_command(user, token, new_pin), b"").expect("the agent runs").into()
    }

    /// Everything in files; nobody is waited for.
    pub(crate) fn unblock_command(&self, user: &str, token: u32, new_pin: &str) -> Command {
        let bank = self.bank();
        let pin = bank.path("new-pin");
        fs::write(&pin, new_pin).expect("a file");
        let (url, trust) = (bank.urls().public, bank.path("tls/ca.pem"));
        let mut command = self.desk.agent_command().expect("the agent");
        command.args(["unblock", "--json", "--server", &url, "--user", user, "--wait-minutes", "0"]);
        command.args(["--token", &token.to_string(), "--ca-file"]).arg(trust);
        command.arg("--password-file").arg(bank.secret("login")).arg("--new-pin-file").arg(pin);
        command
    }

    pub(crate) fn audit(&self, action: &str) -> Vec<Value> {
        self.bank().audit_rows(action).expect("the trail")
    }

    /// The master's browser, logged in.
    pub(crate) fn master_logs_in(&self) -> &SoftBrowser {
        let browser = &self.master.browser;
        browser.login().expect("a login");
        browser
    }

    /// The master presses 「実行」 on one of a user's forms.
    pub(crate) fn master_does(&self, user: &str, act: &str) {
        let browser = self.master_logs_in();
        let path = format!("/manage/user/{user}/{act}");
        let form = browser.get(&path).expect("a page");
        let csrf = hidden(&form, "csrf").unwrap_or_else(|| panic!("no form: {}", form.text()));
        let request = hidden(&form, "request").unwrap_or_default();
        let fields = [("csrf", &*csrf), ("request", &*request), ("confirmation", CONFIRMATION_PASSWORD)];
        let answer = browser.post(&path, &fields).expect("an answer");
        assert_eq!(answer.status, 303, "{}", answer.text());
    }

    pub(crate) fn clerk(&self) -> &Member {
        self.members.iter().find(|member| member.id == "clerk-1").expect("a clerk")
    }

    /// What the bank says of a certificate.
    pub(crate) fn certificate_state(&self, serial: &str) -> String {
        let shown = self.bank().operator(&["certificate", "show", serial]).expect("a certificate");
        shown["state"].as_str().expect("a state").to_owned()
    }
}

/// PUKs are kept under a key of their own; and the one master approves in a minute what others do in a year.
fn keep_puks(house: &mut StaffHouse) {
    let bank = &mut house.house.bank;
    let key = bank.path("secrets/custody");
    bank.reconfigure(|table| {
        let custody = toml::Table::from_iter([("key_file".to_owned(), "secrets/custody".into())]);
        table.insert("token_custody".to_owned(), custody.into());
        let policy = table.get_mut("policy").and_then(toml::Value::as_table_mut).expect("a section");
        policy.insert("puk".to_owned(), "kept".into());
        let login = table.entry("login").or_insert_with(|| toml::Table::new().into());
        login.as_table_mut().expect("a section").insert("attempts_at_once".to_owned(), 1_000.into());
    })
    .expect("a configuration");
    let line = output_of(&mut bank.inro_ca(&["token", "custody", "new-key"]).expect("inro-ca"), b"");
    fs::write(&key, line.expect("a key").stdout).expect("a file");
    chmod_private(&key);
    bank.authority = None;
    bank.start_authority().expect("an authority");
}

fn chmod_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its owner's alone");
}
