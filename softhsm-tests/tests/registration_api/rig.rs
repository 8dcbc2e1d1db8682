//! A bank with machines, what they send, and how refusals are read.

use std::collections::HashSet;

use ca_wire::{
    enrolment::Opened,
    machine::{CertifyEntry, EntryResult, OpenEntry},
    problem::{Code, Problem},
};
use reqwest::blocking::RequestBuilder;
use softhsm_tests::{
    bank::{MachineClient, NewMachine, NewUser, Options, SoftToken},
    virtual_yubikey::{Firmware, Profile},
};

use crate::customers::House;

pub(crate) const TERMINALS: NewMachine = NewMachine::trusted("terminals");
pub(crate) const OPEN: &str = "/machine/v1/enrolments";
pub(crate) const CERTIFY: &str = "/machine/v1/enrolments/certificates";
pub(crate) const CONFIRM: &str = "/machine/v1/enrolments/confirmations";
pub(crate) const QUERY: &str = "/machine/v1/certificates/query";

/// A bank with machines, and one of them.
pub(crate) struct Branch {
    pub(crate) house: House,
    pub(crate) machine: MachineClient,
}

impl Branch {
    pub(crate) fn open(name: &str) -> Self {
        Self::with(name, vec![TERMINALS])
    }

    pub(crate) fn with(name: &str, machines: Vec<NewMachine>) -> Self {
        let house = House::with(name, &Options { machines, ..Options::default() });
        let machine = MachineClient::new(&house.bank, TERMINALS.name).expect("a machine");
        Self { house, machine }
    }

    pub(crate) fn client(&self, name: &str) -> MachineClient {
        MachineClient::new(&self.house.bank, name).expect("a machine")
    }

    pub(crate) fn token(&self, profile: Profile) -> SoftToken {
        SoftToken::new(&self.house.bank, profile).expect("a token")
    }

    /// General users of as many contracts as it takes, with their tokens.
    pub(crate) fn users(&self, count: u32) -> Vec<(String, SoftToken)> {
        let user = |number: u32| {
            let contract = format!("88{:05}", number / 9);
            if number.is_multiple_of(9) {
                self.house.bank.register_contract(&contract, "試験商事").expect("a contract");
            }
            let (id, token) = (format!("branch-{number}"), 44_000_000 + number);
            self.user(&id, &contract, token);
            (id, self.token(honest(token)))
        };
        (0..count).map(user).collect()
    }

    pub(crate) fn user(&self, id: &str, contract: &str, token: u32) {
        let user = NewUser { id, contract, role: "general", name: "試験 太郎", token: Some(token) };
        self.house.bank.register_user(&user).expect("a user");
    }

    pub(crate) fn opened(&self, entries: Vec<OpenEntry>) -> Vec<Opened> {
        self.machine.open(entries).expect("results").into_iter().map(done).collect()
    }

    pub(crate) fn journaled(&self) -> u64 {
        let journal = self.house.bank.journal().expect("a sound journal");
        journal["certificates"].as_u64().expect("a number")
    }

    pub(crate) fn whys(&self, action: &str) -> HashSet<String> {
        let rows = self.house.audit(action);
        rows.iter().filter_map(|row| row["details"]["why"].as_str().map(str::to_owned)).collect()
    }
}

pub(crate) fn honest(serial: u32) -> Profile {
    Profile::new(serial, Firmware(5, 7, 2))
}

pub(crate) fn openings(users: &[(String, SoftToken)]) -> Vec<OpenEntry> {
    users.iter().map(|(user, token)| token.open_entry(user, &key(user))).collect()
}

pub(crate) fn certifications(users: &[(String, SoftToken)], opened: &[Opened]) -> Vec<CertifyEntry> {
    let entry = |((user, token), opened): (&(String, SoftToken), &Opened)| {
        token.certify_entry(opened, &key(user)).expect("evidence")
    };
    users.iter().zip(opened).map(entry).collect()
}

pub(crate) fn done<T>(result: EntryResult<T>) -> T {
    result.result.unwrap_or_else(|| panic!("{} {:?}", result.status, result.problem))
}

/// The refusal of an entry, told in the way of RFC 9457.
pub(crate) fn code<T>(result: &EntryResult<T>) -> Code {
    let problem = result.problem.as_ref().expect("a refusal");
    assert_eq!(problem.status, result.status);
    assert_eq!(problem.kind, format!("urn:inro:problem:{}", problem.code.as_str()));
    assert!(result.result.is_none());
    problem.code
}

/// Sends it and expects the whole request to be refused; returns when to come again.
pub(crate) fn refused(what: &str, request: RequestBuilder, status: u16, code: Code) -> Option<String> {
    let response = request.send().expect("a response");
    assert_eq!(response.status().as_u16(), status, "{what}");
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{what}");
    assert_eq!(response.headers()["cache-control"], "no-store", "{what}");
    let retry = response.headers().get("retry-after").map(|retry| retry.to_str().expect("text").to_owned());
    let problem: Problem = response.json().expect("a problem");
    assert_eq!((problem.code, problem.status), (code, status), "{what}");
    retry
}

pub(crate) fn key(name: &str) -> String {
    format!("registration-{name}")
}
