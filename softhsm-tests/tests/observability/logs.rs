//! The log of a bank at its most talkative: found by support ID, and without secrets.

use std::collections::BTreeSet;

use serde_json::Value;
use softhsm_tests::{
    bank::{Answer, CONFIRMATION_PASSWORD, LOGIN_PASSWORD, NewUser, SoftBrowser, SoftToken, fetch, hidden},
    virtual_yubikey::{Firmware, Profile},
};

use crate::{
    customers::{CONTRACT, House},
    restart, stop,
};

const WRONG_PASSWORD: &str = "a-wrong-password-4711";

/// Secrets that the line has seen.
#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    fn add(&mut self, secret: &str) {
        assert!(secret.len() >= 6, "{secret:?} would be found by chance");
        self.0.insert(secret.to_owned());
    }

    /// The values of the cookies that a response sets.
    fn cookies(&mut self, headers: &[(String, String)]) {
        let set = headers.iter().filter(|(name, _)| name == "set-cookie");
        for (_, cookie) in set {
            let value =
                cookie.split(';').next().and_then(|pair| pair.split_once('=')).map(|(_, value)| value);
            // The language is no secret.
            if let Some(value) = value.filter(|value| value.len() > 6) {
                self.add(value);
            }
        }
    }
}

fn enrol(house: &House, secrets: &mut Secrets) -> (SoftToken, Vec<u8>) {
    let user =
        NewUser { id: "logged-01", contract: CONTRACT, role: "master", name: "記録 花子", token: None };
    house.bank.register_user(&user).expect("a user");
    let issued = house.bank.operator(&["user", "acquisition-code", "logged-01"]).expect("a code");
    let code = issued["acquisition_code"].as_str().expect("a code").to_owned();
    secrets.add(&code);
    let token = SoftToken::new(&house.bank, Profile::new(42_000_721, Firmware(5, 7, 2))).expect("a token");
    let mut open = softhsm_tests::bank::EnrolmentClient::opening("logged-01", &token);
    WRONG_PASSWORD.clone_into(&mut open.password);
    open.acquisition_code = Some(code.clone());
    let refused: Answer<_> = house.client.open_with(&open, "logged-01-wrong-attempt").expect("an answer");
    let refused = refused.err().expect("a wrong password");
    assert_eq!(
        refused.instance.as_deref().and_then(|urn| urn.rsplit(':').next()),
        refused.support_id.as_deref()
    );
    LOGIN_PASSWORD.clone_into(&mut open.password);
    let key = "logged-01-enrolment-key";
    let opened = house.client.open_with(&open, key).expect("an answer").expect("opened");
    secrets.add(&opened.bearer);
    let certify = token.certify(&opened).expect("a request");
    let certified = house.client.certify(&opened, &certify, key).expect("an answer").expect("certified");
    house.client.confirm(&opened, &certified, key).expect("an answer").expect("confirmed");
    (token, certified.certificate.0)
}

/// Logs in, with a wrong password first, and revokes a user's certificate.
fn use_portal(browser: &SoftBrowser, user: &str, secrets: &mut Secrets) -> String {
    for password in [WRONG_PASSWORD, LOGIN_PASSWORD] {
        let form = browser.get("/login").expect("a form");
        let csrf = hidden(&form, "csrf").expect("a form");
        secrets.add(&csrf);
        secrets.cookies(&form.headers);
        let answer = browser.post("/login", &[("csrf", &csrf), ("password", password)]).expect("an answer");
        secrets.cookies(&answer.headers);
    }
    let list = browser.get("/manage/users/revoke").expect("the list");
    let csrf = hidden(&list, "csrf").expect("a form");
    secrets.add(&csrf);
    let confirm =
        browser.post("/manage/users/revoke/confirm", &[("csrf", &csrf), ("user", user)]).expect("a page");
    let csrf = hidden(&confirm, "csrf").expect("a form");
    secrets.add(&csrf);
    for confirmation in [WRONG_PASSWORD, CONFIRMATION_PASSWORD] {
        let fields =
            [("csrf", &*csrf), ("user", user), ("reason", "unspecified"), ("confirmation", confirmation)];
        let done = browser.post("/manage/users/revoke", &fields).expect("an answer");
        secrets.cookies(&done.headers);
        if confirmation == CONFIRMATION_PASSWORD {
            assert_eq!(done.status, 303, "{}", done.text());
        }
    }
    let home = browser.get("/home").expect("home");
    home.header("x-request-id").expect("a support ID").to_owned()
}

#[test]
fn the_whole_line_leaves_no_secret_in_the_logs_and_every_request_a_line() {
    let mut house = House::open("logs");
    house.bank.signer_extra = vec![("RUST_LOG".to_owned(), "trace".to_owned())];
    house.bank.signer.take().expect("a signer").kill().expect("killed");
    house.bank.start_signer().expect("the signer");
    restart(&mut house, &[("INRO_LOG", "trace")], |_| {});
    let mut secrets = Secrets::default();
    let victim = house.customer("logged-02", "general", 42_000_722);
    let (token, certificate) = enrol(&house, &mut secrets);
    let browser = SoftBrowser::new(&house.bank, &token, &certificate).expect("a browser");
    let support_id = use_portal(&browser, "logged-02", &mut secrets);
    drop(victim);
    let missing = fetch(&format!("{}/nowhere", house.bank.urls().validation)).expect("a refusal");
    assert!(missing.header("x-request-id").is_some());
    for name in ["online-pin", "online-so-pin", "root-pin", "root-so-pin"] {
        secrets.add(std::fs::read_to_string(house.bank.secret(name)).expect("a PIN").trim());
    }
    for password in [LOGIN_PASSWORD, CONFIRMATION_PASSWORD, WRONG_PASSWORD] {
        secrets.add(password);
    }
    assert!(secrets.0.len() >= 12, "{} secrets: the line wasn't seen whole", secrets.0.len());
    stop(&mut house);

    let read = |name: &str| {
        let path = house.bank.path("logs").join(format!("{name}.log"));
        std::fs::read_to_string(path).expect("a log")
    };
    let (authority, signer) = (read("authority"), read("signer"));
    assert!(authority.contains("\"TRACE\"") || authority.contains("\"DEBUG\""), "the log isn't talkative");
    for (name, log) in [("authority", &authority), ("signer", &signer)] {
        for secret in &secrets.0 {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{secret} is in the {name}'s log: {line:?}");
        }
    }
    let lines: Vec<Value> = authority.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let request =
        |line: &&Value| line["message"] == "answered" && line["spans"][0]["support_id"] == *support_id;
    let found: Vec<_> = lines.iter().filter(request).collect();
    let [line] = found[..] else { panic!("{} lines for {support_id}", found.len()) };
    assert_eq!((&line["spans"][0]["route"], &line["status"]), (&"/home".into(), &200.into()), "{line}");
    assert!(line["milliseconds"].is_number(), "{line}");
    let foreign = lines.iter().filter(|line| {
        let ours = ["ca", "store_", "signer_protocol"];
        let target = line["target"].as_str().unwrap_or_default();
        !ours.iter().any(|own| target.starts_with(own))
            && matches!(line["level"].as_str(), Some("DEBUG" | "TRACE"))
    });
    assert_eq!(foreign.count(), 0, "libraries speak of what clients sent");
}
