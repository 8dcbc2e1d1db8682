//! A bank with contracts, each with one user, and policies in files.

use std::{path::PathBuf, process::Output};

use ca_wire::enrolment::{Certified, Opened};
use ca_wire::problem::{Code, Problem};
use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, NewUser, Options, SoftToken},
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
    wait::until,
};

pub(crate) const NEW: Firmware = Firmware(5, 7, 2);

pub(crate) struct House {
    pub(crate) client: EnrolmentClient,
    pub(crate) bank: Bank,
    pub(crate) scratch: Scratch,
}

impl House {
    pub(crate) fn open(name: &str) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let bank = Bank::open(&scratch.join("bank"), &Options::default()).expect("a bank");
        let client = EnrolmentClient::new(&bank).expect("a client");
        Self { client, bank, scratch }
    }

    /// A contract with a general user of the same name.
    pub(crate) fn contract(&self, number: &str, token: Option<u32>) -> String {
        self.bank.register_contract(number, "方針試験").expect("a contract");
        let id = format!("user-{number}");
        let user = NewUser { id: &id, contract: number, role: "general", name: "方針", token };
        self.bank.register_user(&user).expect("a user");
        id
    }

    /// A policy's file; `body` is everything but name and version.
    pub(crate) fn file(&self, name: &str, version: u32, body: &str) -> String {
        let path: PathBuf = self.scratch.join(format!("{name}-{version}.toml"));
        std::fs::write(&path, format!("name = \"{name}\"\nversion = {version}\n{body}\n")).expect("a file");
        path.to_string_lossy().into_owned()
    }

    pub(crate) fn set(&self, name: &str, version: u32, body: &str) {
        let file = self.file(name, version, body);
        self.bank.operator(&["policy", "set", &file, "--reason", "a test"]).expect("set");
    }

    pub(crate) fn assign(&self, contract: &str, policy: &str) {
        let arguments = ["policy", "assign", contract, policy, "--reason", "a test"];
        self.bank.operator(&arguments).expect("assigned");
    }

    /// A command that must be refused; returns its exit code and what it says.
    pub(crate) fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.bank.try_operator(arguments).expect("inro-ca runs");
        assert!(!status.success(), "{arguments:?} was done");
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }

    pub(crate) fn token(&self, profile: Profile) -> SoftToken {
        SoftToken::new(&self.bank, profile).expect("a token")
    }

    /// The enrolment as it is opened once the policy is in force: `holds` sees it by what the agent is told.
    pub(crate) fn opened_when(
        &self,
        user: &str,
        token: &SoftToken,
        holds: impl Fn(&Opened) -> bool,
    ) -> (Opened, String) {
        let key = format!("policy-test-{}-{user}", token.profile.serial);
        let open = || {
            let opened = self.client.open(user, token, &key).expect("an answer");
            opened.unwrap_or_else(|problem| panic!("{user}: {problem:?}"))
        };
        (once_in_force(open, holds), key)
    }

    /// Waits until a contract's policy is in force, by what another of its users is told, who may have a YubiKey. Nobody is
    /// refused meanwhile.
    pub(crate) fn in_force(&self, contract: &str, token: u32, holds: impl Fn(&Opened) -> bool) {
        let id = format!("other-{contract}");
        let user = NewUser { id: &id, contract, role: "general", name: "方針", token: Some(token) };
        self.bank.register_user(&user).expect("a user");
        self.opened_when(&id, &self.token(Profile::new(token, NEW)), holds);
    }

    pub(crate) fn certify(
        &self,
        (opened, key): &(Opened, String),
        token: &SoftToken,
    ) -> Result<Certified, Box<Problem>> {
        let certify = token.certify(opened).expect("evidence");
        self.client.certify(opened, &certify, key).expect("an answer")
    }

    /// The certificate and its evidence as the bank shows them.
    pub(crate) fn shown(&self, certified: &Certified) -> Value {
        let serial = Bank::serial_of(&certified.certificate.0).expect("a serial");
        self.bank.operator(&["certificate", "show", &serial]).expect("the certificate")
    }

    /// Step 2 is refused: this code to the client, this reason in the trail, and no signature.
    pub(crate) fn refuses(
        &self,
        opened: &(Opened, String),
        (user, token): (&str, &SoftToken),
        expected: (Code, &str),
    ) {
        let signatures = || self.bank.journal().expect("a journal")["certificates"].clone();
        let before = signatures();
        let problem = self.certify(opened, token).expect_err("it was certified");
        assert_eq!((problem.code, self.why("certification.refused", user).as_str()), expected, "{problem:?}");
        assert_eq!(signatures(), before, "something was signed");
    }

    /// The reason in the newest row of this action about the user.
    pub(crate) fn why(&self, action: &str, user: &str) -> String {
        let rows = self.bank.audit_rows(action).expect("rows");
        let row = rows.iter().rev().find(|row| row["subject"] == user);
        let row = row.unwrap_or_else(|| panic!("no row about {user}"));
        row["details"]["why"].as_str().expect("a reason").to_owned()
    }
}

/// Opens an enrolment again and again, until it is as the policy wants it.
pub(crate) fn once_in_force(open: impl Fn() -> Opened, holds: impl Fn(&Opened) -> bool) -> Opened {
    let mut last = None;
    let look = || {
        let opened = open();
        let seen = (format!("{:?}", opened.key), holds(&opened));
        last = Some(opened);
        seen
    };
    until("the policy to be in force", look, |(_, holds)| *holds);
    last.expect("seen")
}
