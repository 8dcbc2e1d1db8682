//! A bank with customers whose keys are in the test: what the tests of portal and validation begin with.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::time::{Duration, Instant};

use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, NewUser, Options, SoftBrowser, SoftToken},
    card_client::Response,
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
};

/// The contract that most customers belong to.
pub(crate) const CONTRACT: &str = "1234567";

/// A bank in a directory of its own.
pub(crate) struct House {
    pub(crate) bank: Bank,
    pub(crate) client: EnrolmentClient,
    _scratch: Scratch,
}

/// A customer with a certificate.
pub(crate) struct Customer {
    pub(crate) token: SoftToken,
    /// DER.
    pub(crate) certificate: Vec<u8>,
    /// As `inro-ca` spells it.
    pub(crate) serial: String,
    pub(crate) browser: SoftBrowser,
}

impl House {
    pub(crate) fn open(name: &str) -> Self {
        Self::with(name, &Options::default())
    }

    pub(crate) fn with(name: &str, options: &Options) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let bank = Bank::open(&scratch.join("bank"), options).expect("a bank");
        Self::of(bank, scratch)
    }

    /// Customers for a bank that is open.
    pub(crate) fn of(bank: Bank, scratch: Scratch) -> Self {
        bank.register_contract(CONTRACT, "試験商事").expect("a contract");
        let client = EnrolmentClient::new(&bank).expect("a client");
        Self { bank, client, _scratch: scratch }
    }

    /// A user of [`CONTRACT`] with a certificate on a paper token.
    pub(crate) fn customer(&self, id: &str, role: &str, token: u32) -> Customer {
        self.customer_of(CONTRACT, id, role, token)
    }

    /// The same of another contract.
    pub(crate) fn customer_of(&self, contract: &str, id: &str, role: &str, token: u32) -> Customer {
        let user = NewUser { id, contract, role, name: "試験 太郎", token: Some(token) };
        self.bank.register_user(&user).expect("a user");
        let token = SoftToken::new(&self.bank, Profile::new(token, Firmware(5, 7, 2))).expect("a token");
        let key = format!("{id}-enrolment-key");
        let certified = self.client.enroll(id, &token, &key).expect("an answer").expect("a certificate");
        let certificate = certified.certificate.0;
        Customer {
            serial: Bank::serial_of(&certificate).expect("a serial number"),
            browser: SoftBrowser::new(&self.bank, &token, &certificate).expect("a browser"),
            token,
            certificate,
        }
    }

    /// A new browser window with a customer's key.
    pub(crate) fn window(&self, customer: &Customer) -> SoftBrowser {
        SoftBrowser::new(&self.bank, &customer.token, &customer.certificate).expect("a browser")
    }

    /// Rows of the audit trail with this action.
    pub(crate) fn audit(&self, action: &str) -> Vec<Value> {
        self.bank.audit_rows(action).expect("the audit trail")
    }
}

/// Expects a status and returns the page.
pub(crate) fn page(response: &Response, status: u16) -> String {
    let text = response.text();
    assert_eq!(response.status, status, "{text}");
    text
}

/// Awaits a state; a minute is longer than any takes.
pub(crate) fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < Duration::from_mins(1), "waiting for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
