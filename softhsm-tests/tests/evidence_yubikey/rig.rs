//! A bank, users with a contract each, and what must be true after a refusal.

use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, NewUser, Options, SoftToken},
    faults::Faults,
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
};

use ca_wire::{
    enrolment::{Certify, Opened},
    problem::{Code, Problem},
};

pub(crate) const OLD: Firmware = Firmware(5, 4, 3);
pub(crate) const NEW: Firmware = Firmware(5, 7, 2);
pub(crate) const NEWEST: Firmware = Firmware(5, 7, 4);

pub(crate) struct House {
    pub(crate) client: EnrolmentClient,
    pub(crate) bank: Bank,
    pub(crate) scratch: Scratch,
}

impl House {
    pub(crate) fn open(name: &str) -> Self {
        Self::with(name, &Options::default())
    }

    pub(crate) fn with(name: &str, options: &Options) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let bank = Bank::open(&scratch.join("bank"), options).expect("a bank");
        let client = EnrolmentClient::new(&bank).expect("a client");
        Self { client, bank, scratch }
    }

    /// A bank whose clock can be moved, the signer's with the authority's.
    pub(crate) fn with_clock(name: &str, options: &Options) -> (Self, Faults) {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let (bank, clock) =
            Bank::open_with_clock(&scratch.join("bank"), &scratch.join("clock"), options).expect("a bank");
        let client = EnrolmentClient::new(&bank).expect("a client");
        (Self { client, bank, scratch }, clock)
    }

    /// A user of a contract of their own, with this YubiKey assigned.
    pub(crate) fn user(&self, token: u32) -> String {
        self.user_with(&format!("user-{token}"), "yubikey-piv", &token.to_string())
    }

    /// The same with a token of any kind.
    pub(crate) fn user_with(&self, id: &str, kind: &str, serial: &str) -> String {
        let contract = id.to_uppercase().replace('-', "");
        self.bank.register_contract(&contract, "証拠試験").expect("a contract");
        let user = NewUser { id, contract: &contract, role: "general", name: "証拠", token: None };
        self.bank.register_user(&user).expect("a user");
        let assigned = self.bank.operator(&["user", "assign-token", id, "--kind", kind, "--serial", serial]);
        assigned.expect("a token for the user");
        id.to_owned()
    }

    pub(crate) fn token(&self, profile: Profile) -> SoftToken {
        SoftToken::new(&self.bank, profile).expect("a token")
    }

    pub(crate) fn opened(&self, user: &str, token: &SoftToken, key: &str) -> Opened {
        let opened = self.client.open(user, token, key).expect("an answer");
        opened.unwrap_or_else(|problem| panic!("{user}: {problem:?}"))
    }

    /// What a refusal must leave as it was: the user, and what was ever certified for them.
    pub(crate) fn state(&self, user: &str) -> [Value; 2] {
        let ask = |arguments: &[&str]| self.bank.operator(arguments).expect("an answer");
        [ask(&["user", "show", user]), ask(&["certificate", "list", "--user", user])]
    }

    pub(crate) fn signatures(&self) -> Value {
        self.bank.journal().expect("a journal")["certificates"].clone()
    }

    /// The reason in the newest row about a refused certification of this user.
    pub(crate) fn why(&self, user: &str) -> String {
        let rows = self.bank.audit_rows("certification.refused").expect("rows");
        let row = rows.iter().rev().find(|row| row["subject"] == user);
        row.unwrap_or_else(|| panic!("no row about {user}"))["details"]["why"]
            .as_str()
            .expect("a reason")
            .to_owned()
    }

    /// Sends this as step 2 and expects the refusal: this code to the client, this reason in the trail, no signature and
    /// the user as before.
    pub(crate) fn refused(
        &self,
        what: &str,
        (user, key): (&str, &str),
        opened: &Opened,
        certify: &Certify,
        expected: (Code, &str),
    ) -> Box<Problem> {
        let before = (self.state(user), self.signatures());
        let answer = self.client.certify(opened, certify, key).expect("an answer");
        let problem = answer.err().unwrap_or_else(|| panic!("{what} was accepted"));
        let detail = problem.detail.clone().unwrap_or_default();
        assert_eq!((problem.code, self.why(user).as_str()), expected, "{what}: {detail}");
        assert!(!detail.is_empty(), "{what}: the client isn't told why");
        assert_eq!((self.state(user), self.signatures()), before, "{what} changed something");
        problem
    }
}
