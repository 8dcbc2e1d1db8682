//! 更新 through the real API, portal and agent: rules 1 and 5, whose word counts, and how the overlap ends.

mod customers;

use std::thread;

use ca_wire::{
    Base64Url,
    enrolment::{Certified, Certify, Open, Opened},
    problem::{Code, Problem},
};
use customers::{Customer, House, page};
use jiff::SignedDuration;
use softhsm_tests::{
    bank::{
        Answer, Bank, CONFIRMATION_PASSWORD, Desk, EnrolmentClient, LOGIN_PASSWORD, Options, SoftBrowser,
        SoftToken, challenge, fetch, hidden,
    },
    faults::Faults,
    openssl::openssl_with_input,
    process::output_of,
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
    wait::until,
};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const NEW: Firmware = Firmware(5, 7, 2);
const OLD: Firmware = Firmware(5, 4, 3);
/// Where a renewal's key goes when the old one is in 9a.
const OTHER_SLOT: u8 = 0x9c;

/// A bank with a clock, and a customer of whom the year is nearly over.
struct Case {
    house: House,
    clock: Faults,
    customer: Customer,
}

impl Case {
    fn open(name: &str, firmware: Firmware) -> Self {
        let (house, clock) = House::with_clock(name, &Options::default());
        let customer = house.customer_with("general-01", "general", Profile::new(46_000_001, firmware));
        let mut case = Self { house, clock, customer };
        case.day(330);
        case
    }

    /// So many days after the bank was opened.
    fn day(&mut self, day: i32) {
        self.house.later(&self.clock, DAY * day);
    }

    fn opening(&self) -> Open {
        let renews = Some(self.customer.serial.clone());
        Open { renews, ..EnrolmentClient::opening("general-01", &self.customer.token) }
    }

    fn opened(&self, key: &str) -> Opened {
        accepted(self.house.client.open_with(&self.opening(), key))
    }

    fn new_key(&self) -> SoftToken {
        self.customer.token.with_key_in(OTHER_SLOT).expect("a key")
    }

    /// The same of a kind that this firmware may have.
    fn new_key_of(&self, firmware: Firmware) -> SoftToken {
        let profile = Profile::new(46_000_001, firmware);
        let mut token = SoftToken::new(&self.house.bank, profile).expect("a token");
        token.slot = OTHER_SLOT;
        token
    }

    /// A renewal that awaits its confirmation.
    fn pending(&self, key: &str) -> (Opened, SoftToken, Certified) {
        let (opened, new) = (self.opened(key), self.new_key());
        let certify = new.certify_renewal(&opened, &self.customer.token).expect("a request");
        let certified = accepted(self.house.client.certify(&opened, &certify, key));
        (opened, new, certified)
    }

    fn browser(&self, token: &SoftToken, certified: &Certified) -> SoftBrowser {
        SoftBrowser::new(&self.house.bank, token, &certified.certificate.0).expect("a browser")
    }

    /// State and reason of the customer's certificates, oldest first.
    fn certificates(&self) -> Vec<String> {
        states(&self.house, "general-01")
    }

    fn signed(&self) -> u64 {
        self.house.bank.journal().expect("a journal")["certificates"].as_u64().expect("a number")
    }
}

fn states(house: &House, user: &str) -> Vec<String> {
    let list = house.bank.operator(&["certificate", "list", "--user", user]).expect("a list");
    let rows = list.as_array().expect("a list").iter();
    rows.map(|row| match row["reason"].as_str() {
        Some(reason) => format!("{} {reason}", row["state"].as_str().unwrap_or_default()),
        None => row["state"].as_str().unwrap_or_default().to_owned(),
    })
    .collect()
}

/// What the CRL says of a certificate.
fn entry_of_the_crl(house: &House, serial: &str) -> Option<String> {
    let crl = fetch(&format!("{}/crl/customer-0.crl", house.bank.urls().validation)).expect("a CRL");
    let text = openssl_with_input(&["crl", "-inform", "DER", "-noout", "-text"], &crl.body).expect("a CRL");
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut entries = text.split("Serial Number: ");
    entries.find(|entry| entry.starts_with(&serial.to_uppercase())).map(ToOwned::to_owned)
}

fn accepted<T>(answer: anyhow::Result<Answer<T>>) -> T {
    answer.expect("an answer").unwrap_or_else(|problem| panic!("{problem:?}"))
}

fn refused<T>(answer: anyhow::Result<Answer<T>>, code: Code) -> Problem {
    match answer.expect("an answer") {
        Ok(_) => panic!("accepted instead of {code:?}"),
        Err(problem) => {
            assert_eq!(problem.code, code, "{problem:?}");
            *problem
        }
    }
}

/// Rule 5 at the API, then rule 1: the old certificate works until the new one is confirmed, and is superseded with it.
#[test]
fn a_certificate_is_renewed_without_a_moment_without_one() {
    let (house, clock) = House::with_clock("renewal", &Options::default());
    let master = house.customer("master-01", "master", 46_000_000);
    let customer = house.customer_with("general-01", "general", Profile::new(46_000_001, NEW));
    let mut case = Case { house, clock, customer };
    case.day(320);
    let early =
        refused(case.house.client.open_with(&case.opening(), "renewal-key-0000"), Code::RenewalNotOpen);
    assert!(early.retry_at.is_some(), "{early:?}");
    case.day(330);

    let (opened, new, certified) = case.pending("renewal-key-0001");
    assert_eq!(opened.key.slots, ["9c", "9a"]);
    assert!(opened.bearer.len() > 20);
    // The same key finds the same certificate again; another one waits until the first has lapsed.
    let again = case.opened("renewal-key-0001");
    assert_eq!(again.certified.map(|certified| certified.certificate), Some(certified.certificate.clone()));
    let waits =
        refused(case.house.client.open_with(&case.opening(), "renewal-key-0002"), Code::RenewalPending);
    assert!(waits.retry_at.is_some(), "{waits:?}");
    // With the old one the user logs in and is told.
    case.house.window(&case.customer).login().expect("the old one works");
    let old = case.house.window(&case.customer);
    assert_eq!(old.try_login(LOGIN_PASSWORD).expect("an answer").header("location"), Some("/renewal"));
    let new_serial = Bank::serial_of(&certified.certificate.0).expect("a serial number");
    for path in ["/renewal", "/home"] {
        let shown = page(&old.get(path).expect("a page"), 200);
        assert!(shown.contains("更新手続き中の電子証明書") && shown.contains(&new_serial), "{path}: {shown}");
    }
    // And so is the master.
    master.browser.login().expect("a login");
    for path in ["/manage/users", "/manage/user/general-01"] {
        let shown = page(&master.browser.get(path).expect("a page"), 200);
        assert!(shown.contains("有効") && shown.contains("更新手続き中"), "{path}: {shown}");
    }
    let file = page(&master.browser.get("/manage/users.csv").expect("a file"), 200);
    assert!(file.contains("有効 / 更新手続き中"), "{file}");
    assert_eq!(case.certificates(), ["issued", "unconfirmed"]);

    accepted(case.house.client.confirm(&opened, &certified, "renewal-key-0001"));
    accepted(case.house.client.confirm(&opened, &certified, "renewal-key-0001"));
    assert_eq!(case.certificates(), ["revoked superseded", "issued"]);
    assert_eq!(old.get("/home").expect("an answer").status, 403, "the old one's session is over");
    let over = page(&case.house.window(&case.customer).get("/login").expect("a page"), 403);
    assert!(over.contains("電子証明書は更新済みです"), "{over}");
    let window = case.browser(&new, &certified);
    assert_eq!(window.try_login(LOGIN_PASSWORD).expect("an answer").header("location"), Some("/home"));
    let home = page(&window.get("/home").expect("a page"), 200);
    assert!(home.contains(&new_serial) && !home.contains("更新手続き中"), "{home}");
    let renewed = case.house.audit("certificate.renewed");
    assert_eq!(renewed[0]["details"]["supersedes"], case.customer.serial.as_str());
    let entry = || entry_of_the_crl(&case.house, &case.customer.serial);
    let superseded =
        |entry: &Option<String>| entry.as_ref().is_some_and(|entry| entry.contains("Superseded"));
    until("a CRL with the superseded certificate", entry, superseded);
    assert_eq!(case.signed(), 3, "the master's, the old and the new one");
}

/// Rule 1: "or the first login with it".
#[test]
fn the_first_login_with_the_new_certificate_confirms_it() {
    let case = Case::open("renewal-login", NEW);
    let (opened, new, certified) = case.pending("renewal-key-0003");
    case.browser(&new, &certified).login().expect("a login");
    assert_eq!(case.certificates(), ["revoked superseded", "issued"]);
    let over = case.house.window(&case.customer).try_login(LOGIN_PASSWORD);
    assert!(over.map_or(true, |answer| answer.status != 303), "the old one still logs in");
    accepted(case.house.client.confirm(&opened, &certified, "renewal-key-0003"));
}

/// Rule 1: "unconfirmed after 72 hours it is revoked and the old one stays."
#[test]
fn after_72_hours_an_unconfirmed_renewal_is_revoked_and_the_old_certificate_stays() {
    let mut case = Case::open("renewal-72-hours", NEW);
    let (_, new, certified) = case.pending("renewal-key-0004");
    case.day(332);
    assert_eq!(case.certificates(), ["issued", "unconfirmed"]);
    case.day(334);
    let lapsed = ["issued", "revoked cessationOfOperation"];
    until("the renewal to lapse", || case.certificates(), |certificates| *certificates == lapsed);
    let lapsed = case.browser(&new, &certified).get("/login").expect("an answer");
    assert!(page(&lapsed, 403).contains("失効"));
    case.house.window(&case.customer).login().expect("the old one works");
    refused(case.house.client.open_with(&case.opening(), "renewal-key-0004"), Code::IdempotencyKey);
    let (opened, new, certified) = case.pending("renewal-key-0005");
    accepted(case.house.client.confirm(&opened, &certified, "renewal-key-0005"));
    case.browser(&new, &certified).login().expect("a login");
    assert_eq!(case.house.audit("certificate.renewal-lapsed").len(), 1);
}

/// Neither password nor evidence nor another key takes the place of the old key's word, and the word of the old key none of
/// theirs.
#[test]
fn every_lie_about_a_renewal_is_refused_and_nothing_is_signed() {
    let case = Case::open("renewal-lies", OLD);
    let before = case.signed();
    let client = &case.house.client;
    let attempt = |key: &str, code: Code, change: &dyn Fn(&Opened, &SoftToken, &mut Certify)| {
        let (opened, new) = (case.opened(key), case.new_key_of(OLD));
        let mut certify = new.certify_renewal(&opened, &case.customer.token).expect("a request");
        change(&opened, &new, &mut certify);
        refused(client.certify(&opened, &certify, key), code)
    };
    let signature = Code::PredecessorSignature;
    attempt("renewal-lie-00001", signature, &|_, _, certify| certify.predecessor_signature = None);
    attempt("renewal-lie-00002", signature, &|_, _, certify| {
        certify.predecessor_signature = Some(Base64Url(vec![0; 256]));
    });
    attempt("renewal-lie-00003", signature, &|opened, new, certify| {
        let word = new.word_for(new, challenge(opened).expect("in clear")).expect("a signature");
        certify.predecessor_signature = Some(Base64Url(word));
    });
    attempt("renewal-lie-00004", signature, &|_, new, certify| {
        let word = case.customer.token.word_for(new, &[7; 32]).expect("a signature");
        certify.predecessor_signature = Some(Base64Url(word));
    });
    attempt("renewal-lie-00005", signature, &|opened, _, certify| {
        let challenge = challenge(opened).expect("in clear");
        let other = case.new_key_of(OLD);
        let word = case.customer.token.word_for(&other, challenge).expect("a signature");
        certify.predecessor_signature = Some(Base64Url(word));
    });
    // The evidence of the new key is judged as that of any.
    attempt("renewal-lie-00006", Code::EvidenceRefused, &|_, _, certify| {
        certify.evidence = case.customer.token.evidence().expect("of another key");
    });
    attempt("renewal-lie-00007", Code::EvidenceRefused, &|_, _, certify| {
        certify.challenge_signature = Base64Url(vec![0; 256]);
    });
    let same_slot = SoftToken::new(&case.house.bank, Profile::new(46_000_001, OLD)).expect("a token");
    let opened = case.opened("renewal-lie-00008");
    let certify = same_slot.certify_renewal(&opened, &case.customer.token).expect("a request");
    let problem = refused(client.certify(&opened, &certify, "renewal-lie-00008"), Code::EvidenceRefused);
    assert!(problem.detail.is_some_and(|detail| detail.contains("9a")));
    // Who asks, and for what.
    case.house.customer("general-02", "general", 46_000_002);
    let another = SoftToken::new(&case.house.bank, Profile::new(46_000_002, NEW)).expect("a token");
    let serial = Some(case.customer.serial.clone());
    for (what, open) in [
        (
            "another's certificate",
            Open { renews: serial.clone(), ..EnrolmentClient::opening("general-02", &another) },
        ),
        ("on another token", Open { renews: serial, ..EnrolmentClient::opening("general-01", &another) }),
        ("with a wrong password", Open { password: "kiri-no-hana-2027".to_owned(), ..case.opening() }),
        ("no such certificate", Open { renews: Some("4a".to_owned()), ..case.opening() }),
    ] {
        let problem = refused(client.open_with(&open, "renewal-lie-00009"), Code::AuthenticationFailed);
        assert!(problem.detail.is_none(), "{what}: {problem:?}");
    }
    let unreadable = Open { renews: Some("not hexadecimal".to_owned()), ..case.opening() };
    refused(client.open_with(&unreadable, "renewal-lie-00010"), Code::MalformedRequest);
    // Without `renews` it is a second certificate, which rule 4 forbids.
    let second = EnrolmentClient::opening("general-01", &case.customer.token);
    refused(client.open_with(&second, "renewal-lie-00011"), Code::AlreadyCertified);
    assert_eq!(case.signed(), before + 1, "general-02's first");
    assert_eq!(case.certificates(), ["issued"]);
}

/// R10: of renewals that race each other one is issued; of confirmations that race the branch, whichever is first counts.
#[test]
fn renewals_that_race_leave_one_certificate() {
    let case = Case::open("renewal-race", NEW);
    let keys = ["renewal-race-0001", "renewal-race-0002", "renewal-race-0003", "renewal-race-0004"];
    let opened: Vec<Opened> = keys.iter().map(|key| case.opened(key)).collect();
    let answers: Vec<Answer<Certified>> = thread::scope(|scope| {
        let racers = opened.iter().zip(keys).map(|(opened, key)| {
            let case = &case;
            scope.spawn(move || {
                let certify =
                    case.new_key().certify_renewal(opened, &case.customer.token).expect("a request");
                case.house.client.certify(opened, &certify, key).expect("an answer")
            })
        });
        let racers: Vec<_> = racers.collect();
        racers.into_iter().map(|racer| racer.join().expect("no panic")).collect()
    });
    let won: Vec<usize> = (0..answers.len()).filter(|n| answers[*n].is_ok()).collect();
    assert_eq!(won.len(), 1, "{:?}", answers.iter().map(|a| a.as_ref().err()).collect::<Vec<_>>());
    for problem in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(problem.code, Code::RenewalPending | Code::Unavailable), "{problem:?}");
    }
    assert_eq!(case.certificates(), ["issued", "unconfirmed"]);

    // The branch revokes the old one for its key: the renewal that it spoke for falls with it.
    let winner = won[0];
    let certified = answers[winner].as_ref().ok().cloned().expect("a certificate");
    let revoked = thread::scope(|scope| {
        let confirming = scope.spawn(|| case.house.client.confirm(&opened[winner], &certified, keys[winner]));
        let arguments = ["certificate", "revoke", &case.customer.serial, "--reason", "keyCompromise"];
        let revoked = case.house.bank.try_operator(&arguments).expect("an operator");
        confirming.join().expect("no panic").expect("an answer").is_ok().then_some(revoked)
    });
    let (expected, how) = match revoked {
        Some(_) => (["revoked superseded", "issued"], "confirmed first"),
        None => (["revoked keyCompromise", "revoked keyCompromise"], "revoked first"),
    };
    assert_eq!(case.certificates(), expected, "{how}");
}

/// 失効 by the master leaves neither the certificate nor its renewal.
#[test]
fn a_master_revokes_both() {
    let (house, clock) = House::with_clock("renewal-revoked", &Options::default());
    let master = house.customer("master-01", "master", 46_000_000);
    let customer = house.customer_with("general-01", "general", Profile::new(46_000_001, NEW));
    let mut case = Case { house, clock, customer };
    case.day(330);
    let (opened, _, certified) = case.pending("renewal-key-0006");
    master.browser.login().expect("a login");
    let list = master.browser.get("/manage/users/revoke").expect("a page");
    let csrf = hidden(&list, "csrf").expect("a form");
    let fields = [
        ("csrf", &*csrf),
        ("user", "general-01"),
        ("reason", "unspecified"),
        ("confirmation", CONFIRMATION_PASSWORD),
    ];
    let result = master.browser.submit("/manage/users/revoke", &fields).expect("an answer");
    assert_eq!(result.status, 200, "{}", result.text());
    assert_eq!(case.certificates(), ["revoked unspecified", "revoked unspecified"]);
    refused(case.house.client.confirm(&opened, &certified, "renewal-key-0006"), Code::ConfirmationMismatch);
}

/// The agent, a virtual YubiKey and the portal: from the certificate of last year to the login with the new one.
#[test]
fn the_agent_renews_on_a_yubikey() {
    for (firmware, home) in [(NEW, "9a"), (OLD, "9c")] {
        let name = format!("renewal-agent-{}", firmware.1);
        let scratch = Scratch::new(&format!("{name}-desk")).expect("a scratch directory");
        let (mut house, clock) = House::with_clock(&name, &Options::default());
        house.register("general-01", "general", 46_100_001);
        let profile = Profile::new(46_100_001, firmware);
        let desk = Desk::new(&scratch.join("desk"), house.bank.attestation(), vec![profile]).expect("a desk");
        desk.enroll(&house.bank, "general-01", 46_100_001).expect("a certificate");
        house.later(&clock, DAY * 330);
        let told = renewed_by_agent(&house, &desk, &clock, &[]);
        assert_eq!(told["renewed"]["slot"], "9c", "beside the old key: {told}");
        assert_eq!(states(&house, "general-01"), ["revoked superseded", "issued"], "{name}");
        // The grace is over: the old key goes, and the new one comes home where keys can move.
        renewed_by_agent(&house, &desk, &clock, &["--grace-hours", "0"]);
        let listed = desk.agent(&["list"]).expect("the agent runs");
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        let slots = listed["certificates"].as_array().expect("a list").iter();
        assert_eq!(slots.filter_map(|one| one["slot"].as_str()).collect::<Vec<_>>(), [home], "{listed}");
        if home == "9a" {
            let browser = desk.browser(&house.bank, 46_100_001).expect("a browser");
            let front = browser.get(&format!("{}/login", house.bank.urls().client)).expect("a page");
            assert!(front.text().contains("general-01"), "{}", front.text());
        }
    }
}

/// Runs `inro-agent renew` at the bank's time.
fn renewed_by_agent(house: &House, desk: &Desk, clock: &Faults, more: &[&str]) -> serde_json::Value {
    let file = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let (trust, login) = (file(house.bank.path("tls/ca.pem")), file(house.bank.secret("login")));
    let pin = file(house.bank.secret("token-pin"));
    let mut agent = desk.agent_command().expect("the agent");
    agent.envs(clock.environment().expect("a clock"));
    agent.args(["renew", "--json", "--server", &house.bank.urls().public, "--ca-file", &trust]);
    agent.args(["--user", "general-01", "--token", "46100001", "--password-file", &login]);
    agent.args(["--pin-file", &pin]).args(more);
    let output = output_of(&mut agent, b"").expect("the agent runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
