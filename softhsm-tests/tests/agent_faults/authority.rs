//! The real authority, killed when the agent announces a step: obtaining and renewing, over and over, each time with another
//! customer. What the ledger and the signer's journal say in the end counts.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use jiff::SignedDuration;
use softhsm_tests::{
    bank::{Bank, Desk, NewUser, Options, TOKEN_PIN},
    faults::Faults,
    process::{Environment, output_of},
    scratch::Scratch,
    virtual_yubikey::{Card, Profile, State},
    wait::until,
    yubikey::PluggedYubiKey,
};

use super::bench::NEW;

/// Progress that an enrolment or renewal announces, from the first to the last at which the server matters.
const ANNOUNCED: [&str; 6] =
    ["Asking the server", "Authenticating", "Generating", "Signing", "Requesting", "Confirming"];

/// A bank whose clock can be moved, and a desk at which one customer after the other sits down.
struct Town {
    desk: Desk,
    bank: Bank,
    clock: Faults,
    environment: Environment,
    scratch: Scratch,
}

/// A customer with a token.
struct Customer {
    id: String,
    token: u32,
    state: Option<State>,
}

impl Town {
    fn open() -> Self {
        let scratch = Scratch::new("agent-faults").expect("a scratch directory");
        let clock = Faults::new(&scratch.join("clock"), &[]).expect("a clock");
        let environment = clock.environment().expect("a clock");
        let options = Options { adjust: Some(two_slots), ..Options::default() };
        let mut bank = Bank::prepare(&scratch.join("bank"), &options).expect("a bank");
        bank.authority_extra.clone_from(&environment);
        bank.signer_extra.clone_from(&environment);
        bank.begin().expect("a bank");
        bank.register_contract("1234567", "北海商事").expect("a contract");
        // The reader's first token goes at once.
        let first = vec![Profile::new(40_000_000, NEW)];
        let mut desk = Desk::new(&scratch.join("desk"), bank.attestation(), first).expect("a desk");
        let first = desk.keys.pop().expect("a token");
        first.eject().expect("ejected");
        Self { desk, bank, clock, environment, scratch }
    }

    fn customer(&self, number: u32) -> Customer {
        let customer =
            Customer { id: format!("hokkai-{number:02}"), token: 40_000_001 + number, state: None };
        let user = NewUser {
            id: &customer.id,
            contract: "1234567",
            role: "general",
            name: "北海 太郎",
            token: Some(customer.token),
        };
        self.bank.register_user(&user).expect("a user");
        customer
    }

    /// So many days after the beginning. A signer follows no jump of its clock, so another one begins.
    fn days_later(&mut self, days: i64) {
        self.clock.clock(SignedDuration::from_hours(24 * days)).expect("a clock");
        self.bank.signer = None;
        self.bank.start_signer().expect("a signer");
        self.bank.authority = None;
        self.bank.start_authority().expect("an authority");
    }

    /// The customer's token in the reader.
    fn sit_down(&self, customer: &Customer) -> PluggedYubiKey {
        let profile = Profile::new(customer.token, NEW);
        let authority = self.bank.attestation().authority(NEW);
        let mut card = Card::new(profile, authority, None).expect("a card");
        if let Some(state) = &customer.state {
            card.restore(state.clone());
        }
        PluggedYubiKey::plug_card(&self.desk.pcscd, 0, card).expect("plugged in")
    }

    /// The agent with everything in files, at this moment of the bank's clock.
    fn agent(&self, customer: &Customer, command: &str) -> Command {
        let file = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let (trust, login) = (file(self.bank.path("tls/ca.pem")), file(self.bank.secret("login")));
        let pin = self.scratch.write("pin", TOKEN_PIN).expect("a file").display().to_string();
        let mut agent = self.desk.agent_command().expect("the agent");
        agent.envs(self.environment.iter().cloned());
        agent.args([command, "--json", "--server", &self.bank.urls().public, "--ca-file", &trust]);
        agent.args(["--user", &customer.id, "--token", &customer.token.to_string()]);
        agent.args(["--password-file", &login, "--pin-file", &pin, "--new-pin-file", &pin]);
        agent
    }

    /// Runs the agent and kills the authority when this is announced; then the authority comes back, and the agent runs
    /// again to its good end.
    fn killed_and_resumed(&mut self, customer: &Customer, command: &str, announced: &str) {
        let done = self.killed_at(customer, command, announced);
        self.bank.start_authority().expect("an authority");
        if !done {
            self.run(customer, command, &format!("{command}, killed at {announced:?}, again"));
        }
    }

    /// Runs the agent to its good end.
    fn run(&self, customer: &Customer, command: &str, when: &str) {
        let output = output_of(&mut self.agent(customer, command), b"").expect("the agent runs");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{when}: {words}");
    }

    /// Runs the agent and kills the authority when this is announced; whether the agent was done all the same.
    fn killed_at(&mut self, customer: &Customer, command: &str, announced: &str) -> bool {
        let when = format!("{command}, killed at {announced:?}");
        let mut agent = self.agent(customer, command);
        let mut agent = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the agent runs");
        let mut said = Vec::new();
        for line in BufReader::new(agent.stderr.take().expect("piped")).lines().map_while(Result::ok) {
            if line.starts_with(announced)
                && let Some(mut authority) = self.bank.authority.take()
            {
                authority.kill().expect("killed");
            }
            said.push(line);
        }
        let status = agent.wait().expect("it ends");
        assert!(self.bank.authority.is_none(), "{when}: it was never announced: {said:?}");
        // The answer may have been on its way.
        assert!(matches!(status.code(), Some(0 | 6 | 7)), "{when}: {status} {said:?}");
        assert!(said.len() > 1, "{when}: {said:?}");
        status.success()
    }

    /// The states of the customer's certificates, oldest first.
    fn certificates(&self, customer: &Customer) -> Vec<String> {
        let list = self.bank.operator(&["certificate", "list", "--user", &customer.id]).expect("a list");
        let states = list.as_array().expect("a list").iter();
        states.map(|row| row["state"].as_str().expect("a state").to_owned()).collect()
    }

    fn signed(&self) -> u64 {
        self.bank.journal().expect("a journal")["certificates"].as_u64().expect("a number")
    }
}

/// A renewal's key needs another slot than its predecessor's.
fn two_slots(authority: &mut toml::Table) {
    let empty = || toml::Value::Table(toml::Table::new());
    let policy = authority.entry("policy").or_insert_with(empty).as_table_mut().expect("a table");
    let yubikey = policy.entry("yubikey").or_insert_with(empty).as_table_mut().expect("a table");
    yubikey.insert("slots".to_owned(), toml::Value::Array(vec!["9a".into(), "9c".into()]));
}

#[test]
fn the_authority_killed_at_every_step_leads_to_one_certificate_each_time() {
    let mut town = Town::open();
    let mut customers: Vec<Customer> =
        (0..).zip(ANNOUNCED).map(|(number, _)| town.customer(number)).collect();
    for (customer, announced) in customers.iter_mut().zip(ANNOUNCED) {
        let key = town.sit_down(customer);
        town.killed_and_resumed(customer, "enroll", announced);
        assert_eq!(town.certificates(customer), ["issued"], "obtained, killed at {announced:?}");
        customer.state = Some(key.state());
        key.eject().expect("ejected");
    }
    let first = town.signed();
    assert_eq!(first, ANNOUNCED.len() as u64, "one certificate each");

    town.days_later(340);
    for (customer, announced) in customers.iter().zip(ANNOUNCED) {
        let key = town.sit_down(customer);
        town.killed_and_resumed(customer, "renew", announced);
        let mut states = town.certificates(customer);
        states.sort();
        assert_eq!(states, ["issued", "revoked"], "renewed, killed at {announced:?}");
        let state = key.state();
        assert!(
            state.slots.contains_key(&0x9a) && state.slots.contains_key(&0x9c),
            "{announced:?}: both keys"
        );
        key.eject().expect("ejected");
    }
    // The OCSP responder's certificate was renewed too.
    assert!((2 * first..=2 * first + 1).contains(&town.signed()), "one renewal each");
}

/// The confirmation never came: after 72 hours the bank takes the renewal back. The old certificate has worked all the time,
/// and the next run is a renewal of its own.
#[test]
fn a_renewal_that_was_never_confirmed_lapses_and_the_next_one_succeeds() {
    let mut town = Town::open();
    let customer = town.customer(50);
    let key = town.sit_down(&customer);
    town.run(&customer, "enroll", "the first certificate");
    town.days_later(335);
    assert!(!town.killed_at(&customer, "renew", "Writing"), "the confirmation was to be lost");
    town.days_later(339);
    until("the lapse", || town.certificates(&customer), |states| *states == ["issued", "revoked"]);
    town.run(&customer, "renew", "after it lapsed");
    let mut states = town.certificates(&customer);
    states.sort();
    assert_eq!(states, ["issued", "revoked", "revoked"]);
    assert_eq!(key.state().slots.len(), 2, "the old key and the new one");
}
