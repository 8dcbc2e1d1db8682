//! What users are told by mail, from its cause to the letter box, through a mail server that demands TLS and a login.

mod branch;
#[path = "../customers/mod.rs"]
mod customers;
mod nodes;
mod retention;
mod rig;
#[path = "../staff_house/mod.rs"]
mod staff_house;

use std::{fs, process::Output};

use customers::{page, send, token_of};
use rig::{Post, backlog, keeps_rule_9, register, restart};
use serde_json::{Value, json};
use softhsm_tests::{
    bank::{CONFIRMATION_PASSWORD, LOGIN_PASSWORD},
    smtp::{Encryption, MailServer},
    wait::until,
};

const EXPIRES: &str = "電子証明書の有効期限のお知らせ";
const ISSUED: &str = "電子証明書の発行のお知らせ";
const REVOKED: &str = "電子証明書の失効のお知らせ";
const LOCKED: &str = "ログイン停止（IDロック）のお知らせ";

/// Rule 6: 40 days, 10 days, the day; each exactly once, also when the server was down that day, never after revocation.
#[test]
fn notices_go_out_once_each_also_after_days_without_a_server() {
    let mut post = Post::open("notices-days", Encryption::Implicit);
    post.customer("taro-0001", "master", 46_000_001, "taro@example.com");
    let jiro = post.customer("jiro-0001", "general", 46_000_002, "jiro@example.com");
    post.customer("saburo-01", "general", 46_000_003, "saburo@example.com");
    register(&post.house.bank, "nocert-01", "general", 46_000_004, "nocert@example.com");
    post.settle();
    let year = post.calendar.year;
    for (day, expected) in [(300, 0), (year - 40, 1), (year - 39, 1)] {
        post.day(day);
        post.settle();
        let subjects = post.subjects("taro@example.com");
        assert_eq!(subjects.iter().filter(|subject| *subject == EXPIRES).count(), expected, "day {day}");
    }
    let first = post.mails("taro@example.com").pop().expect("the notice");
    assert!(first.body.contains("更新の受付が始まりました"), "{}", first.body);
    keeps_rule_9(&first);

    // Jiro's is revoked: he is told so, and of no end any more.
    post.house
        .bank
        .operator(&["certificate", "revoke", &jiro.serial, "--reason", "keyCompromise"])
        .expect("revoked");
    until(
        "his mail",
        || post.subjects("jiro@example.com"),
        |subjects| *subjects == [ISSUED, EXPIRES, REVOKED],
    );
    // Nothing ran from the 11th to the 8th day before.
    post.day(year - 8);
    post.settle();
    let told = post.mails("taro@example.com");
    assert_eq!(told.len(), 3, "the second notice, late, and once");
    assert!(told[2].body.contains("まだ更新されていません"), "{}", told[2].body);
    // The mail server was away on the last day until the next; then the notice isn't true any more.
    post.server.stop();
    post.day(year);
    until("a notice that waits", || backlog(&post.house.bank), |backlog| backlog["queued"] == 2);
    post.day(year + 1);
    post.server.restart().expect("a mail server");
    post.settle();
    assert_eq!(post.mails("taro@example.com").len(), 3, "after the last day nobody is told of it");
    let withdrawn = post.list(&["--user", "taro-0001"]);
    assert_eq!(withdrawn[0]["state"], "withdrawn", "{withdrawn:?}");
    assert_eq!(post.subjects("jiro@example.com"), [ISSUED, EXPIRES, REVOKED]);
    assert_eq!(post.subjects("saburo@example.com"), [ISSUED, EXPIRES, EXPIRES]);
    assert_eq!(post.subjects("nocert@example.com"), [] as [&str; 0]);
    let ids: std::collections::BTreeSet<String> = post
        .server
        .inbox()
        .expect("the inbox")
        .iter()
        .map(|mail| mail.header("Message-ID").to_owned())
        .collect();
    assert_eq!(ids.len(), post.server.inbox().expect("the inbox").len(), "each mail is another");
}

/// Awaits that a mail was attempted so often and still waits; all that wait.
fn attempted(post: &Post, times: u64) -> Vec<Value> {
    let queued = || post.list(&["--state", "queued"]);
    let attempted = |queued: &Vec<Value>| queued.iter().any(|mail| mail["attempts"].as_u64() >= Some(times));
    until(&format!("attempt {times}"), queued, attempted)
}

/// A mail that is refused for now goes out later; one that is refused for good is shown to the branch, who tries again.
#[test]
fn what_is_refused_for_now_is_tried_again_and_what_bounced_is_shown() {
    let post = Post::open("notices-refused", Encryption::Starttls);
    post.server.answer(&json!({ "data": "451 4.3.0 greylisted" })).expect("an answer");
    post.customer("taro-0001", "master", 46_000_011, "taro@example.com");
    let queued = attempted(&post, 2);
    assert_eq!(queued.len(), 1, "{queued:?}");
    assert!(queued[0]["answer"].as_str().is_some_and(|answer| answer.contains("greylisted")), "{queued:?}");
    assert_eq!(post.server.inbox().expect("the inbox").len(), 0);
    post.server.answer(&json!({})).expect("an answer");
    post.settle();
    assert_eq!(post.subjects("taro@example.com"), [ISSUED]);
    keeps_rule_9(&post.mails("taro@example.com")[0]);

    post.server.answer_to("gone@example.com", "550 5.1.1 no such person").expect("an answer");
    let gone = post.customer("hanako-01", "general", 46_000_012, "gone@example.com");
    let bounced = until("a bounce", || post.list(&[]), |list| list.len() == 1);
    assert_eq!((&bounced[0]["user"], &bounced[0]["kind"]), (&"hanako-01".into(), &"issued".into()));
    assert!(
        bounced[0]["answer"].as_str().is_some_and(|answer| answer.contains("no such person")),
        "{bounced:?}"
    );
    assert_eq!(post.house.audit("mail.bounced").len(), 1);
    assert_eq!(backlog(&post.house.bank)["bounced"], 1);
    let metrics =
        softhsm_tests::bank::fetch(&format!("{}/metrics", post.house.bank.urls().ops)).expect("metrics");
    assert!(metrics.text().contains("inro_mails_total{outcome=\"bounced\"} 1"), "{}", metrics.text());

    // A user's address that bounces holds nobody else up, and retrying it goes to the address of that day.
    let number = bounced[0]["id"].to_string();
    post.house.bank.operator(&["mail", "retry", &number]).expect("queued anew");
    let state = || (post.list(&[]), backlog(&post.house.bank));
    until("another bounce", state, |(list, backlog)| list.len() == 1 && backlog["queued"] == 0);
    change_address(&post, &gone.browser, "hanako@example.com");
    post.house.bank.operator(&["mail", "retry", &number]).expect("queued anew");
    post.settle();
    assert!(post.subjects("hanako@example.com").contains(&ISSUED.to_owned()));
    for (arguments, status) in [(["mail", "retry", &*number], 5), (["mail", "retry", "999999"], 4)] {
        let refused = post.house.bank.try_operator(&arguments).expect("an answer");
        assert_eq!(refused.status.code(), Some(status), "{arguments:?}");
    }
}

/// Changes a user's address in the portal: password, code, done.
fn change_address(post: &Post, browser: &softhsm_tests::bank::SoftBrowser, to: &str) {
    browser.login().expect("a login");
    let fields = [("email", to), ("password", LOGIN_PASSWORD)];
    assert_eq!(send(browser, "/settings/email", &fields).status, 303);
    let mail = until("the code", || post.mails(to).pop(), Option::is_some).expect("awaited");
    let csrf = token_of(browser, "/settings/email");
    let answer = browser.post("/settings/email/code", &[("csrf", &csrf), ("code", &code(&mail.body))]);
    let answer = answer.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/settings?done=email")),
        "{}",
        answer.text()
    );
}

fn code(body: &str) -> String {
    let (_, after) = body.split_once("確認番号: ").expect("a code");
    after.chars().take_while(char::is_ascii_digit).collect()
}

/// The portal: the login password, the code by mail, the notice to the old address; and what doesn't change it.
#[test]
fn an_address_is_changed_by_password_and_code_and_the_old_one_is_told() {
    let post = Post::open("notices-address", Encryption::Implicit);
    let taro = post.customer("taro-0001", "general", 46_000_021, "old@example.com");
    let browser = &taro.browser;
    browser.login().expect("a login");
    let form = page(&browser.get("/settings/email?lang=en").expect("a page"), 200);
    assert!(form.contains("old@example.com") && form.contains("Change your e-mail address"), "{form}");
    page(&browser.get("/settings/email?lang=ja").expect("a page"), 200);
    let propose = |email: &str, password: &str| {
        send(browser, "/settings/email", &[("email", email), ("password", password)])
    };
    assert!(page(&propose("new@example.com", "wrong-again"), 403).contains("パスワードが"));
    // Header injection, and other things that are no address: attacks.md has CR/LF, here with more.
    for bad in [
        "new@example.com\r\nBcc: all@example.com",
        "new@example.com%0d%0aBcc:x@y.z",
        "a@b.jp,c@d.jp",
        "\"a\r\nRCPT TO:<x@y.jp>\"@b.jp",
        "山田@example.com",
        "new@例え.jp",
        "a@b",
        "",
        &format!("{}@example.com", "a".repeat(300)),
        "new@example.com\0",
        "<new@example.com>",
    ] {
        let answer = propose(bad, LOGIN_PASSWORD);
        assert!(page(&answer, 400).contains("メールアドレス"), "{bad:?}");
    }
    assert!(page(&propose("old@example.com", LOGIN_PASSWORD), 400).contains("同じ"));
    assert_eq!(propose("new@example.com", LOGIN_PASSWORD).status, 303);
    let mail = post.arrived("new@example.com", 1).remove(0);
    keeps_rule_9(&mail);
    let waiting = page(&browser.get("/settings/email").expect("a page"), 200);
    assert!(waiting.contains("new@example.com に確認番号をお送りしました"), "{waiting}");
    let confirm = |code: &str| {
        let csrf = token_of(browser, "/settings/email");
        browser.post("/settings/email/code", &[("csrf", &csrf), ("code", code)]).expect("an answer")
    };
    let right = code(&mail.body);
    let wrong = if right == "00000000" { "00000001" } else { "00000000" };
    assert!(page(&confirm(wrong), 403).contains("確認番号が違うか"));
    assert_eq!(confirm(&right).status, 303);
    let told = post.arrived("old@example.com", 2).remove(1);
    assert_eq!(rig::japanese(told.header("Subject")), "メールアドレス変更のお知らせ");
    keeps_rule_9(&told);
    assert!(!told.body.contains("new@"), "the old address isn't told the new one");
    let shown = page(&browser.get("/settings/email").expect("a page"), 200);
    assert!(shown.contains("new@example.com") && !shown.contains("old@example.com"), "{shown}");
    for (action, times) in [("user.email-proposed", 1), ("user.email-changed", 1)] {
        let rows = post.house.audit(action);
        assert_eq!(rows.len(), times, "{action}");
        assert!(!format!("{rows:?}").contains("example.com"), "an address in the trail: {rows:?}");
    }
    // Five wrong codes burn one, and five codes are a day's.
    for n in 0..4 {
        assert_eq!(propose(&format!("other{n}@example.com"), LOGIN_PASSWORD).status, 303, "code {n}");
        for _ in 0..5 {
            assert_eq!(confirm(wrong).status, 403);
        }
        let burnt = code(&post.arrived(&format!("other{n}@example.com"), 1)[0].body);
        if n == 0 {
            let csrf = token_of(browser, "/settings");
            let late = browser.post("/settings/email/code", &[("csrf", &csrf), ("code", &burnt)]);
            assert_eq!(late.expect("an answer").status, 403, "a burnt code");
        }
    }
    assert_eq!(propose("sixth@example.com", LOGIN_PASSWORD).status, 429);
    // Wrong passwords here lock as they do at the login, and the new address is told.
    for _ in 0..5 {
        propose("new2@example.com", "wrong-again");
    }
    until("the lock", || post.subjects("new@example.com"), |subjects| subjects.contains(&LOCKED.to_owned()));
}

/// Killed after the mail server has the mail and before that is known: the repeat has the same Message-ID, and no third
/// one follows.
#[test]
fn a_mail_whose_answer_was_lost_is_repeated_recognisably() {
    let mut post = Post::open("notices-kill", Encryption::Implicit);
    post.server.hold(true).expect("held");
    post.customer("taro-0001", "general", 46_000_031, "taro@example.com");
    post.arrived("taro@example.com", 1);
    post.house.bank.authority.take().expect("an authority").kill().expect("killed");
    post.server.hold(false).expect("released");
    post.house.bank.start_authority().expect("an authority");
    post.settle();
    let mails = post.mails("taro@example.com");
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].raw, mails[1].raw, "the repeat is the same to the octet");
    let again = post.list(&["--user", "taro-0001"]);
    assert_eq!((&again[0]["state"], &again[0]["attempts"]), (&"delivered".into(), &2.into()));
    restart(&mut post.house.bank);
    post.house.bank.operator(&["audit", "verify"]).expect("a sound trail");
    assert_eq!(post.mails("taro@example.com").len(), 2);
}

/// Another's certificate, another name, a wrong password: nothing is sent, nothing bounces, and the doctor says why.
#[test]
fn a_server_that_is_not_ours_gets_nothing() {
    let mut post = Post::open("notices-stranger", Encryption::Implicit);
    let good = fs::read_to_string(post.house.bank.path("inro.toml")).expect("the configuration");
    let check =
        |post: &Post| -> Output { post.house.bank.try_operator(&["mail", "check"]).expect("an answer") };
    assert!(check(&post).status.success());

    let other =
        MailServer::start(&post.house.bank.path("other-mail"), Encryption::Implicit).expect("a server");
    let named =
        MailServer::named(&post.house.bank.path("named-mail"), Encryption::Starttls, "smtp.bank.example");
    let named = named.expect("a server");
    post.house.bank.authority = None;
    // Our roots don't know its authority.
    other.serve(&post.house.bank).expect("its configuration");
    let roots = post.server.path("roots.pem").display().to_string();
    post.house.bank.reconfigure(|table| put(table, "roots", &roots)).expect("our roots");
    let refused = check(&post);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(6), "{said}");
    assert!(said.to_lowercase().contains("certificate"), "{said}");
    post.house.bank.start_authority().expect("an authority");
    post.customer("taro-0001", "general", 46_000_041, "taro@example.com");
    attempted(&post, 1);
    let doctor = post.house.bank.try_operator(&["doctor"]).expect("a doctor");
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("mail server localhost"), "{doctor:?}");
    assert_eq!(doctor.status.code(), Some(7));

    // Its certificate bears another name.
    post.house.bank.authority = None;
    named.serve(&post.house.bank).expect("its configuration");
    assert_eq!(check(&post).status.code(), Some(6));
    // Ours, but it doesn't admit us.
    fs::write(post.house.bank.path("inro.toml"), &good).expect("the configuration");
    fs::write(post.house.bank.secret("mail"), "wrong\n").expect("a password");
    let refused = check(&post);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(6), "{said}");
    assert!(said.contains("535"), "{said}");
    post.house.bank.start_authority().expect("an authority");
    attempted(&post, 2);
    for server in [&post.server, &other, &named] {
        assert!(server.inbox().expect("an inbox").is_empty());
    }
    assert_eq!(post.list(&[]).len(), 0, "nothing bounces for what is our own fault");
    let log = post.house.bank.authority.as_ref().expect("an authority").log();
    assert!(
        !log.contains("taro@example.com") && !log.contains("wrong\n"),
        "an address or a password in the log"
    );

    post.server.serve(&post.house.bank).expect("its configuration");
    restart(&mut post.house.bank);
    post.settle();
    assert_eq!(post.subjects("taro@example.com"), [ISSUED]);
}

fn put(table: &mut toml::Table, key: &str, value: &str) {
    let mail = table.get_mut("mail").and_then(toml::Value::as_table_mut).expect("the section");
    mail.insert(key.to_owned(), value.into());
}

/// Without the section, users are told on the home page only: what was queued isn't sent when a server comes.
#[test]
fn without_a_mail_server_nothing_is_kept_for_one() {
    let mut post = Post::open("notices-none", Encryption::Implicit);
    post.house.bank.authority = None;
    post.house.bank.reconfigure(|table| drop(table.remove("mail"))).expect("no mail");
    post.house.bank.start_authority().expect("an authority");
    let taro = post.customer("taro-0001", "master", 46_000_051, "taro@example.com");
    post.settle();
    assert_eq!(post.list(&["--user", "taro-0001"])[0]["state"], "withdrawn");
    taro.browser.login().expect("a login");
    let closed = page(&taro.browser.get("/settings/email").expect("a page"), 200);
    assert!(closed.contains("お取引店にお申し出ください"), "{closed}");
    let fields =
        [("email", "new@example.com"), ("password", LOGIN_PASSWORD), ("confirmation", CONFIRMATION_PASSWORD)];
    let csrf = token_of(&taro.browser, "/settings");
    let all = [&[("csrf", &*csrf)][..], &fields].concat();
    assert_eq!(taro.browser.post("/settings/email", &all).expect("an answer").status, 403);
    let doctor = post.house.bank.try_operator(&["doctor"]).expect("a doctor");
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("there is no section [mail]"), "{doctor:?}");
    assert_eq!(post.house.bank.try_operator(&["mail", "check"]).expect("an answer").status.code(), Some(3));

    post.server.serve(&post.house.bank).expect("its configuration");
    restart(&mut post.house.bank);
    post.house
        .bank
        .operator(&["certificate", "revoke", &taro.serial, "--reason", "keyCompromise"])
        .expect("revoked");
    until("the mail", || post.mails("taro@example.com"), |mails| !mails.is_empty());
    post.settle();
    assert_eq!(post.subjects("taro@example.com"), [REVOKED]);
}
