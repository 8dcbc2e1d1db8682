//! How often passwords are looked at: of a user at the portal, of user and address at the enrolment API. What one uses up
//! is one's own: nobody is kept out by a stranger, nor by a colleague behind the same address.

use std::net::IpAddr;

use ca_wire::{
    enrolment::Open,
    problem::{Code, Problem},
};
use softhsm_tests::{
    bank::{CONFIRMATION_PASSWORD, EnrolmentClient, LOGIN_PASSWORD, Options, SoftBrowser, SoftToken},
    card_client::Response,
    virtual_yubikey::{Firmware, Profile},
};

use crate::customers::{House, page, send, token_of};

/// Few, and the next one not within a test.
const AT_ONCE: usize = 6;

fn few(table: &mut toml::Table) {
    let login = toml::toml! {
        attempts_at_once = 6
        attempt_every = "10m"
    };
    table.insert("login".to_owned(), login.into());
}

fn strict(name: &str) -> House {
    House::with(name, &Options { adjust: Some(few), ..Options::default() })
}

/// A bank where the first wait at the enrolment API isn't over before a test has looked.
fn patient(name: &str) -> House {
    let wait = |table: &mut toml::Table| {
        let enrolment = table.entry("enrolment").or_insert_with(|| toml::Table::new().into());
        let enrolment = enrolment.as_table_mut().expect("a table");
        enrolment.insert("throttle_first_wait".to_owned(), "1m".into());
    };
    House::with(name, &Options { adjust: Some(wait), ..Options::default() })
}

/// A page that asks for patience, and says until when.
fn too_often(answer: &Response) -> String {
    let text = page(answer, 429);
    let wait: u64 = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a number");
    assert!((1..=601).contains(&wait), "{wait}");
    text
}

#[test]
fn a_user_has_so_many_attempts_at_the_portal_and_a_colleague_has_others() {
    let house = strict("login-attempts");
    let alice = house.customer("alice-01", "general", 40_000_041);
    let bob = house.customer("bob-0001", "general", 40_000_042);
    for attempt in 0..AT_ONCE {
        // Right and wrong ones count alike.
        let (password, status) =
            if attempt % 3 == 0 { ("not-my-password", 403) } else { (LOGIN_PASSWORD, 303) };
        let answer = house.window(&alice).try_login(password).expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let mut pages = Vec::new();
    for password in [LOGIN_PASSWORD, "not-my-password"] {
        let answer = alice.browser.try_login(password).expect("an answer");
        pages.push(too_often(&answer));
        assert!(!answer.headers.iter().any(|(_, value)| value.contains("session")), "{:?}", answer.headers);
    }
    assert!(
        pages[0].contains("しばらくお待ちください") && pages[0].contains("href=\"/login\""),
        "{}",
        pages[0]
    );
    let said = |page: &str| page.split("<main").nth(1).map(ToOwned::to_owned);
    assert_eq!(said(&pages[0]), said(&pages[1]), "the answer tells right from wrong");
    alice.browser.get("/login?lang=en").expect("a page");
    let english = too_often(&alice.browser.try_login(LOGIN_PASSWORD).expect("an answer"));
    assert!(english.contains("Please wait a moment"), "{english}");
    // Neither counts it as a mistake, nor does it keep anybody else out at the same address.
    assert!(house.audit("user.locked").is_empty());
    let refused = house.audit("login.refused");
    let throttled = refused.iter().filter(|row| row["details"]["reason"] == "login-too-often").count();
    assert_eq!((throttled, refused.len()), (3, 5), "{refused:#?}");
    bob.browser.login().expect("a colleague logs in");
}

/// 確認用パスワード, present password: what is asked for again is of the same number.
#[test]
fn a_master_who_confirms_without_end_is_asked_to_wait() {
    let house = strict("login-confirmations");
    let master = house.customer("master-01", "master", 40_000_051).browser;
    house.customer("target-01", "general", 40_000_052);
    master.login().expect("a login");
    let confirmed = [("confirmation", CONFIRMATION_PASSWORD)];
    for act in ["suspend", "resume", "suspend", "resume", "unlock"] {
        let answer = send(&master, &format!("/manage/user/target-01/{act}"), &confirmed);
        assert_eq!(answer.status, 303, "{act}: {}", answer.text());
    }
    let csrf = token_of(&master, "/manage/user/target-01/suspend");
    for (path, fields) in [
        ("/manage/user/target-01/suspend", vec![confirmed[0]]),
        ("/manage/users/revoke", vec![confirmed[0], ("user", "target-01"), ("reason", "unspecified")]),
        (
            "/manage/users/register",
            vec![
                confirmed[0],
                ("user_id", "new-0001"),
                ("name", "試験 花子"),
                ("new", "tsubaki-no-hana-2027"),
                ("again", "tsubaki-no-hana-2027"),
            ],
        ),
        (
            "/settings/password",
            vec![
                ("current", LOGIN_PASSWORD),
                ("new", "tsubaki-no-hana-2027"),
                ("again", "tsubaki-no-hana-2027"),
            ],
        ),
    ] {
        let fields = [&[("csrf", &*csrf)][..], &fields].concat();
        let said = too_often(&master.post(path, &fields).expect("an answer"));
        assert!(said.contains("しばらくお待ちください"), "{path}: {said}");
        assert!(!said.contains(CONFIRMATION_PASSWORD) && !said.contains(LOGIN_PASSWORD), "{path}");
    }
    // The session goes on, nothing was done, and all of it is written down.
    assert_eq!(master.get("/manage/users").expect("a page").status, 200);
    assert_eq!((house.audit("user.suspended").len(), house.audit("certificate.revoked").len()), (2, 0));
    assert_eq!(house.audit("user.password-throttled").len(), 4);
}

/// A computer with this address.
fn at(house: &House, address: &str) -> SoftBrowser {
    let address: IpAddr = address.parse().expect("an address");
    SoftBrowser::from_address(&house.bank, None, address).expect("a browser").at_public(&house.bank)
}

fn open(from: &SoftBrowser, open: &Open) -> Result<(), Box<Problem>> {
    let request = from.request("POST", "/api/v1/enrolments").expect("a request");
    let key = format!("limits-{}-{}", open.user_id, open.password.len());
    let answer = SoftBrowser::response(request.header("idempotency-key", key).json(open)).expect("an answer");
    if answer.status == 201 {
        return Ok(());
    }
    Err(Box::new(serde_json::from_slice(&answer.body).expect("a problem")))
}

fn guess(from: &SoftBrowser, user: &str, token: &SoftToken) -> Code {
    let wrong = Open { password: "kiri-no-hana-2027".to_owned(), ..EnrolmentClient::opening(user, token) };
    open(from, &wrong).expect_err("a wrong password").code
}

/// One password tried with everybody's ID from one address: slowed down, and at the expense of nobody who is known there.
#[test]
fn spraying_slows_down_an_address_and_neither_who_is_known_there_nor_anybody_elsewhere() {
    let house = patient("login-spraying");
    let (office, elsewhere) = (at(&house, "127.0.0.21"), at(&house, "127.0.0.22"));
    let token =
        |serial| SoftToken::new(&house.bank, Profile::new(serial, Firmware(5, 7, 2))).expect("a token");
    let known = house.customer("known-01", "general", 40_000_061);
    house.register("newcomer-01", "general", 40_000_062);
    house.register("elsewhere-01", "general", 40_000_063);
    // Logs in at the office, as every day.
    let address = "127.0.0.21".parse().expect("an address");
    SoftBrowser::from_address(&house.bank, Some(&known.pem()), address)
        .expect("a browser")
        .login()
        .expect("a login");

    let sprayed = token(40_000_099);
    let codes: Vec<Code> = (0..45).map(|n| guess(&office, &format!("sprayed-{n:02}"), &sprayed)).collect();
    assert_eq!(codes[0], Code::AuthenticationFailed);
    assert_eq!(codes.last(), Some(&Code::Throttled), "{codes:?}");
    let newcomer = open(&office, &EnrolmentClient::opening("newcomer-01", &token(40_000_062)));
    let problem = newcomer.expect_err("nobody knows the newcomer here");
    assert_eq!(problem.code, Code::Throttled);
    let wait = problem.retry_at.expect("a time").duration_since(jiff::Timestamp::now()).as_secs();
    assert!(wait <= 60, "an address waits a minute at the most: {wait}");
    // The known one is judged, which here means told of the certificate that there is.
    let problem = open(&office, &EnrolmentClient::opening("known-01", &known.token)).expect_err("has one");
    assert_eq!(problem.code, Code::AlreadyCertified);
    open(&elsewhere, &EnrolmentClient::opening("elsewhere-01", &token(40_000_063))).expect("elsewhere");
}

/// Who knows an ID holds up neither its login nor, from another address, its certificate.
#[test]
fn a_stranger_who_fails_with_an_id_for_ever_locks_nobody_out() {
    let house = patient("login-stranger");
    let victim = house.customer("victim-01", "general", 40_000_071);
    house.register("victim-02", "general", 40_000_072);
    let token = SoftToken::new(&house.bank, Profile::new(40_000_072, Firmware(5, 7, 2))).expect("a token");
    for stranger in 31..41 {
        let stranger = at(&house, &format!("127.0.0.{stranger}"));
        for user in ["victim-01", "victim-02"] {
            let codes: Vec<Code> = (0..5).map(|_| guess(&stranger, user, &token)).collect();
            assert_eq!(codes.last(), Some(&Code::Throttled), "{codes:?}");
        }
    }
    victim.browser.login().expect("the login is another matter");
    let own = at(&house, "127.0.0.50");
    open(&own, &EnrolmentClient::opening("victim-02", &token))
        .expect("an enrolment at the victim's own desk");
    assert!(house.audit("user.locked").is_empty());
}
