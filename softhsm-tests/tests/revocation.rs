//! 失効 by master and operator, and that everybody hears of it.

mod customers;

use customers::{CONTRACT, House, page};
use serde_json::Value;
use softhsm_tests::{
    bank::{CONFIRMATION_PASSWORD, SoftBrowser, fetch, hidden},
    openssl::openssl_with_input,
    wait::until,
};

/// The revocation form, filled in.
fn revoke(master: &SoftBrowser, users: &[&str], confirmation: &str) -> softhsm_tests::card_client::Response {
    let list = master.get("/manage/users/revoke").expect("a page");
    let csrf = hidden(&list, "csrf").expect("a token");
    let mut fields = vec![("csrf", &*csrf), ("reason", "keyCompromise"), ("confirmation", confirmation)];
    fields.extend(users.iter().map(|user| ("user", *user)));
    master.submit("/manage/users/revoke", &fields).expect("an answer")
}

/// Waits until the certificate is on the CRL.
fn on_the_crl(house: &House, serial: &str) {
    let line = format!("Serial Number: {}", serial.to_uppercase());
    until("the CRL", || crl(house), |text| text.contains(&line));
}

fn crl(house: &House) -> String {
    let url = format!("{}/crl/customer-0.crl", house.bank.urls().validation);
    let crl = fetch(&url).expect("a CRL");
    assert_eq!(crl.status, 200);
    let text = openssl_with_input(&["crl", "-inform", "DER", "-noout", "-text"], &crl.body).expect("a CRL");
    String::from_utf8_lossy(&text).into_owned()
}

/// Rule 10, and: "a revoked certificate's live portal session ends at its next request".
#[test]
fn a_master_revokes_a_general_user_whose_session_ends() {
    let house = House::open("revocation");
    let master = house.customer("master-01", "master", 41_000_001);
    let general = house.customer("general-01", "general", 41_000_002);
    master.browser.login().expect("a login");
    general.browser.login().expect("a login");

    let wrong = revoke(&master.browser, &["general-01"], "not-the-confirmation");
    assert!(page(&wrong, 403).contains("確認用パスワードが違います"));
    assert_eq!(general.browser.get("/home").expect("a page").status, 200, "it was revoked all the same");

    let result = page(&revoke(&master.browser, &["general-01"], CONFIRMATION_PASSWORD), 200);
    assert!(result.contains("失効しました"), "{result}");
    let ended = page(&general.browser.get("/home").expect("a page"), 403);
    assert!(ended.contains("電子証明書は失効しています"), "{ended}");
    let list = page(&master.browser.get("/manage/users/revoke").expect("a page"), 200);
    assert!(list.contains(">失効</span>"), "{list}");
    let again = house.window(&general);
    assert!(page(&again.get("/login").expect("a page"), 403).contains("失効しています"));
    assert!(again.try_login("whatever").is_err(), "there is a login form for a revoked certificate");
    on_the_crl(&house, &general.serial);

    let rows = house.audit("certificate.revoked");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["actor"], "user:master-01");
    assert_eq!(rows[0]["details"]["reason"], "keyCompromise");
    assert_eq!(house.bank.journal().expect("a journal")["revocations"], 1);
}

#[test]
fn a_master_reaches_neither_other_contracts_nor_masters_and_a_general_user_nobody() {
    let house = House::open("revocation-reach");
    house.bank.register_contract("7654321", "他社").expect("a contract");
    let master = house.customer("master-11", "master", 41_000_011);
    let general = house.customer("general-11", "general", 41_000_012);
    let other = house.customer_of("7654321", "other-0001", "general", 41_000_013);
    master.browser.login().expect("a login");
    general.browser.login().expect("a login");

    let list = page(&master.browser.get("/manage/users/revoke").expect("a page"), 200);
    assert!(list.contains("general-11") && !list.contains("other-0001"), "{list}");
    let users = ["other-0001", "master-11", "nobody-0001"];
    let result = page(&revoke(&master.browser, &users, CONFIRMATION_PASSWORD), 200);
    assert_eq!(result.matches("失効していません").count(), 3, "{result}");
    assert_eq!(result.matches("このご契約の一般ユーザではありません").count(), 2, "{result}");
    other.browser.login().expect("the other contract's user still logs in");

    for path in ["/manage", "/manage/users/revoke"] {
        assert_eq!(general.browser.get(path).expect("a page").status, 403, "{path}");
    }
    let home = general.browser.get("/home").expect("a page");
    let csrf = hidden(&home, "csrf").expect("a token");
    let fields = [("csrf", &*csrf), ("user", "general-11"), ("confirmation", CONFIRMATION_PASSWORD)];
    let refusals = house.audit("certificate.revoke-refused").len();
    page(&general.browser.post("/manage/users/revoke", &fields).expect("an answer"), 403);
    assert_eq!(house.audit("certificate.revoke-refused").len(), refusals + 1, "it is written down");
    for path in ["/manage/users/revoke", "/manage/users/revoke/confirm"] {
        let guessed = [("csrf", "guess"), ("user", "general-11")];
        let answer = page(&general.browser.post(path, &guessed).expect("an answer"), 403);
        assert!(!answer.contains("general-11"), "the list of users is the master's: {answer}");
    }
    let csrf = hidden(&master.browser.get("/manage/users/revoke").expect("a page"), "csrf").expect("a token");
    for reason in ["7", "certificateHold", "superseded"] {
        let fields = [
            ("csrf", &*csrf),
            ("user", "general-11"),
            ("reason", reason),
            ("confirmation", CONFIRMATION_PASSWORD),
        ];
        page(&master.browser.post("/manage/users/revoke", &fields).expect("an answer"), 400);
    }
    let fields = [
        ("csrf", &*csrf),
        ("user", "general-11"),
        ("user", "General-12"),
        ("confirmation", CONFIRMATION_PASSWORD),
    ];
    for path in ["/manage/users/revoke/confirm", "/manage/users/revoke"] {
        let answer = page(&master.browser.post(path, &fields).expect("an answer"), 400);
        assert!(answer.contains("利用者IDとして読み取れない項目"), "{answer}");
    }
    let forged = [("csrf", "guess"), ("user", "general-11"), ("confirmation", CONFIRMATION_PASSWORD)];
    assert_eq!(master.browser.post("/manage/users/revoke", &forged).expect("an answer").status, 403);
    assert!(house.audit("certificate.revoked").is_empty());
    assert_eq!(house.bank.journal().expect("a journal")["revocations"], 0);
}

#[test]
fn the_operator_revokes_by_the_one_spelling_of_a_number_and_for_good() {
    let house = House::open("revocation-operator");
    let user = house.customer("operator-01", "general", 41_000_021);
    let status = |arguments: &[&str]| {
        let output = house.bank.try_operator(arguments).expect("inro-ca runs");
        output.status.code().expect("a status")
    };
    let upper = user.serial.to_uppercase();
    let (signed, padded) = (format!("+{}", user.serial), format!("00{}", user.serial));
    for spelling in [&*signed, &padded, "0x01", "-01"] {
        let arguments = ["certificate", "revoke", "--reason", "superseded", "--", spelling];
        assert_ne!(status(&arguments), 0, "{spelling} was taken");
    }
    if upper != user.serial {
        assert_eq!(status(&["certificate", "revoke", &upper, "--reason", "superseded"]), 2);
    }
    for reason in ["certificateHold", "removeFromCRL", "7", "KEYCOMPROMISE"] {
        assert_eq!(status(&["certificate", "revoke", &user.serial, "--reason", reason]), 2, "{reason}");
    }
    assert_eq!(status(&["certificate", "revoke", "7f01", "--reason", "superseded"]), 4);
    assert!(house.audit("certificate.revoked").is_empty());

    let revoke = |reason: &str| -> Value {
        house.bank.operator(&["certificate", "revoke", &user.serial, "--reason", reason]).expect("revoked")
    };
    let first = revoke("keyCompromise");
    let second = revoke("unspecified");
    assert_eq!((&first["already"], &second["already"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!((&second["revoked_at"], &second["reason"]), (&first["revoked_at"], &first["reason"]));
    // The server hears of what another process wrote.
    on_the_crl(&house, &user.serial);

    let shown = house.bank.operator(&["certificate", "show", &user.serial]).expect("shown");
    assert_eq!((&shown["state"], &shown["contract"]), (&"revoked".into(), &CONTRACT.into()));
    assert_eq!(shown["evidence"]["verdict"], "accepted");
    house.bank.operator(&["audit", "verify"]).expect("a sound trail");
}
