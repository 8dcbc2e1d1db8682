//! A bank with customers whose keys are in the test: what the tests of portal and validation begin with.

#![allow(dead_code, reason = "each test target uses a part of it")]

pub(crate) mod calendar;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::SignedDuration;
use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, NewUser, Options, SoftBrowser, SoftToken, hidden},
    card_client::Response,
    faults::Faults,
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

impl Customer {
    /// Key and certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        let encoded = BASE64_STANDARD.encode(&self.certificate);
        let certificate = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
        self.token.key_pem().expect("a key") + &certificate
    }
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

    /// A bank whose clock can be moved, the signer's with the authority's.
    pub(crate) fn with_clock(name: &str, options: &Options) -> (Self, Faults) {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let (bank, clock) =
            Bank::open_with_clock(&scratch.join("bank"), &scratch.join("clock"), options).expect("a bank");
        (Self::of(bank, scratch), clock)
    }

    /// It is so much later. A signer follows no jump of its clock, so another one begins.
    pub(crate) fn later(&mut self, clock: &Faults, by: SignedDuration) {
        clock.clock(by).expect("a clock");
        self.bank.signer = None;
        self.bank.start_signer().expect("a signer");
    }

    /// Customers for a bank that is open.
    pub(crate) fn of(bank: Bank, scratch: Scratch) -> Self {
        bank.register_contract(CONTRACT, "試験商事").expect("a contract");
        let client = EnrolmentClient::new(&bank).expect("a client");
        Self { bank, client, _scratch: scratch }
    }

    /// A user of [`CONTRACT`] without a certificate, to whom the token is assigned.
    pub(crate) fn register(&self, id: &str, role: &str, token: u32) {
        let user = NewUser { id, contract: CONTRACT, role, name: "試験 太郎", token: Some(token) };
        self.bank.register_user(&user).expect("a user");
    }

    /// A user of [`CONTRACT`] with a certificate on a paper token of this profile.
    pub(crate) fn customer_with(&self, id: &str, role: &str, profile: Profile) -> Customer {
        self.register(id, role, profile.serial);
        self.enrolled_on(id, profile)
    }

    /// A user of [`CONTRACT`] with a certificate on a paper token.
    pub(crate) fn customer(&self, id: &str, role: &str, token: u32) -> Customer {
        self.customer_of(CONTRACT, id, role, token)
    }

    /// The same of another contract.
    pub(crate) fn customer_of(&self, contract: &str, id: &str, role: &str, token: u32) -> Customer {
        let user = NewUser { id, contract, role, name: "試験 太郎", token: Some(token) };
        self.bank.register_user(&user).expect("a user");
        self.enrolled(id, token)
    }

    /// A user who is registered already obtains a certificate on a paper token.
    pub(crate) fn enrolled(&self, id: &str, token: u32) -> Customer {
        self.enrolled_on(id, Profile::new(token, Firmware(5, 7, 2)))
    }

    /// The same on a token of this profile.
    pub(crate) fn enrolled_on(&self, id: &str, profile: Profile) -> Customer {
        let token = SoftToken::new(&self.bank, profile).expect("a token");
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

/// The hidden token of a page's form.
pub(crate) fn token_of(browser: &SoftBrowser, path: &str) -> String {
    let form = browser.get(path).expect("a page");
    hidden(&form, "csrf").unwrap_or_else(|| panic!("no form at {path}: {}", form.text()))
}

/// Fills in the form at `path` and sends it to where it came from; the answer itself, no redirect followed.
pub(crate) fn send(browser: &SoftBrowser, path: &str, fields: &[(&str, &str)]) -> Response {
    let csrf = token_of(browser, path);
    let fields = [&[("csrf", &*csrf)][..], fields].concat();
    browser.post(path, &fields).expect("an answer")
}

/// The same where it must lead somewhere; the page that it leads to.
pub(crate) fn done(browser: &SoftBrowser, path: &str, fields: &[(&str, &str)]) -> String {
    let answer = send(browser, path, fields);
    assert_eq!(answer.status, 303, "{path}: {}", answer.text());
    let location = answer.header("location").expect("a location").to_owned();
    page(&browser.get(&location).expect("a page"), 200)
}
