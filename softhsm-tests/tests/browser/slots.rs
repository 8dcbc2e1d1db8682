//! A login with a key in slot 9c, where a renewal leaves it on firmware that can't move keys. OpenSC says of keys there
//! that every signature wants the PIN (PKCS#11's `CKA_ALWAYS_AUTHENTICATE`), whatever the key's own policy is. So a person
//! sits before this browser, without anything between NSS and OpenSC, and it is counted how often the PIN is asked for.

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, LOGIN_PASSWORD, NewUser, TOKEN_PIN},
    browser::{Browser, Person},
    process::output_of,
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
};

use crate::{
    in_a_browser, says,
    site::{CONTRACT, JAPANESE, Site},
};

const USER: &str = "goro-01";
const OLD: Firmware = Firmware(5, 4, 3);
const NEW: Firmware = Firmware(5, 7, 2);
/// A renewal is open, and the browser's clock is right.
const NEARLY_A_YEAR: SignedDuration = SignedDuration::from_hours(24 * 330);

/// A customer's desk with one token.
struct Case {
    site: Site,
    token: u32,
    person: Person,
    scratch: Scratch,
    name: &'static str,
}

impl Case {
    /// At a bank that was opened so long ago.
    fn open(name: &'static str, token: u32, firmware: Firmware, ago: SignedDuration) -> Result<Self> {
        let site = Site::founded(name, vec![Profile::new(token, firmware)], &[], ago)?;
        let user =
            NewUser {
                id: USER, contract: CONTRACT, role: "general", name: "北海 五郎", token: Some(token)
            };
        site.bank.register_user(&user)?;
        let scratch = Scratch::new(&format!("{name}-person"))?;
        let person = Person::sit_down(TOKEN_PIN, &scratch.directory("screen")?, name)?;
        Ok(Self { site, token, person, scratch, name })
    }

    /// Runs the agent at the bank's time.
    fn agent(&self, command: &str, more: &[&str]) -> Result<Value> {
        let file = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let bank = &self.site.bank;
        let pin = file(bank.secret("token-pin"));
        let mut agent = self.site.desk.agent_command()?;
        agent.envs(self.site.clock.environment()?);
        agent.args([command, "--json", "--server", &bank.urls().public]);
        agent.args(["--ca-file", &file(bank.path("tls/ca.pem")), "--user", USER]);
        agent.args(["--token", &self.token.to_string(), "--password-file", &file(bank.secret("login"))]);
        agent.args(["--pin-file", &pin, "--new-pin-file", &pin]).args(more);
        let output = output_of(&mut agent, b"")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "inro-agent {command}: {words}");
        serde_json::from_slice(&output.stdout).context("reading what the agent printed")
    }

    /// The slots with a certificate.
    fn slots(&self) -> Result<Vec<String>> {
        let listed = self.site.desk.agent(&["list"])?;
        let listed: Value = serde_json::from_slice(&listed.stdout).context("reading a list")?;
        let rows = listed["certificates"].as_array().context("no list")?.iter();
        Ok(rows.filter_map(|row| row["slot"].as_str()).map(ToOwned::to_owned).collect())
    }

    fn browser(&self, number: u32) -> Result<Browser> {
        let directory = self.scratch.directory(&format!("chromium-{number}"))?;
        let token = (&self.site.desk, self.token);
        Browser::before(&self.person, &self.site.bank, token, &directory, self.name)
    }

    /// In, with what the home page then says of the certificate.
    fn log_in(&self, browser: &Browser, serial: &str) -> Result<()> {
        browser.goto(&self.site.client("/login?lang=ja"))?;
        browser.fill("#password", LOGIN_PASSWORD)?;
        browser.follow(JAPANESE.login)?;
        ensure!(browser.url()?.ends_with("/home"), "not in: {}", browser.text()?);
        says(browser, serial)
    }

    /// How often the PIN is asked for after every connection broke: the next page needs a signature.
    fn asked_on_a_new_connection(&mut self, browser: &Browser) -> Result<usize> {
        let before = self.person.asked();
        self.site.bank.authority = None;
        self.site.bank.start_authority()?;
        browser.goto(&self.site.client("/history"))?;
        ensure!(browser.url()?.ends_with("/history"), "not in: {}", browser.text()?);
        Ok(self.person.asked() - before)
    }
}

fn serial(bank: &Bank) -> Result<String> {
    let list = bank.operator(&["certificate", "list", "--user", USER])?;
    let rows = list.as_array().context("no list")?;
    let issued = rows.iter().find(|row| row["state"] == "issued").context("no certificate")?;
    Ok(issued["serial"].as_str().context("no serial number")?.to_owned())
}

/// Firmware below 5.7: the renewed key stays in 9c. The user logs in with it on the day of the renewal, when the old
/// certificate is still on the token, and after the old one is gone.
#[test]
fn a_renewed_key_in_9c_logs_in() -> Result<()> {
    in_a_browser(|| {
        let mut case = Case::open("browser-9c", 48_700_001, OLD, NEARLY_A_YEAR)?;
        case.agent("enroll", &[])?;
        case.site.today()?;
        let renewed = case.agent("renew", &[])?;
        ensure!(renewed["renewed"]["slot"] == "9c", "{renewed}");
        let new = serial(&case.site.bank)?;

        let browser = case.browser(0)?;
        case.log_in(&browser, &new)?;
        browser.screenshot("home-ja")?;
        browser.close()?;

        case.agent("renew", &["--grace-hours", "0"])?;
        ensure!(case.slots()? == ["9c"], "the old key is still there");
        let browser = case.browser(1)?;
        let before = case.person.asked();
        case.log_in(&browser, &new)?;
        let at_login = case.person.asked() - before;
        // Somebody who looks for the PIN first: the server waits in the middle of the handshake.
        case.person.hesitate(15);
        let later = case.asked_on_a_new_connection(&browser)?;
        browser.close()?;
        // Once to see the key, and once for each connection, of which a browser makes as many as it likes.
        ensure!(at_login >= 2 && later >= 1, "asked {at_login} times at the login, {later} times after it");
        Ok(())
    })
}

/// Where a key lives in 9a, or came home there, the PIN is asked for once in the life of the browser.
#[test]
fn a_key_in_9a_asks_for_the_pin_once() -> Result<()> {
    in_a_browser(|| {
        let mut case = Case::open("browser-9a", 48_700_002, NEW, NEARLY_A_YEAR)?;
        case.agent("enroll", &[])?;
        case.site.today()?;
        case.agent("renew", &[])?;
        case.agent("renew", &["--grace-hours", "0"])?;
        ensure!(case.slots()? == ["9a"], "the key isn't home");
        let browser = case.browser(0)?;
        case.log_in(&browser, &serial(&case.site.bank)?)?;
        let at_login = case.person.asked();
        let later = case.asked_on_a_new_connection(&browser)?;
        browser.close()?;
        ensure!((at_login, later) == (1, 0), "asked {at_login} times at the login, {later} times after it");
        Ok(())
    })
}
