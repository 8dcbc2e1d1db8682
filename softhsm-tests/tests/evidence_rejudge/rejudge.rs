//! Judging the fleet again, and what follows.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::Value;
use softhsm_tests::{
    bank::{SoftBrowser, fetch},
    openssl::{openssl, openssl_with_input},
    smtp::{Encryption, MailServer},
    wait::until,
};

use crate::rig::{House, Issued, NEW, NEWEST, OLD, sha256};

/// The subject's Japanese half of a mail that a plan causes.
const PLANNED: &str = "電子証明書の失効予定のお知らせ";
/// Of a mail that says that there is no plan any more.
const CALLED_OFF: &str = "電子証明書の失効予定の取消しのお知らせ";
/// What the home page says of it.
const PLANNED_AT_HOME: &str = "に失効する予定です";

fn fallen(report: &Value) -> BTreeSet<&str> {
    let fallen = report["fallen"].as_array().expect("a list");
    fallen.iter().map(|one| one["serial"].as_str().expect("a serial number")).collect()
}

fn serials<'a>(issued: &[&'a Issued]) -> BTreeSet<&'a str> {
    issued.iter().map(|one| one.serial.as_str()).collect()
}

fn crl(house: &House) -> String {
    let url = format!("{}/crl/customer-0.crl", house.bank.urls().validation);
    let crl = fetch(&url).expect("a CRL");
    let text = openssl_with_input(&["crl", "-inform", "DER", "-noout", "-text"], &crl.body).expect("a CRL");
    String::from_utf8_lossy(&text).into_owned()
}

fn ocsp(house: &House, issued: &Issued) -> String {
    let leaf = house.path(format!("{}.pem", issued.serial));
    let pem = openssl_with_input(&["x509", "-inform", "DER"], &issued.certificate).expect("PEM");
    std::fs::write(&leaf, pem).expect("a file");
    let (issuing, root) = (house.path("ceremony/issuing.pem"), house.path("ceremony/root.pem"));
    let url = format!("{}/ocsp", house.bank.urls().validation);
    openssl(&["ocsp", "-CAfile", &root, "-issuer", &issuing, "-cert", &leaf, "-url", &url])
        .expect("an answer")
}

fn home(house: &House, issued: &Issued) -> String {
    let browser = SoftBrowser::new(&house.bank, &issued.token, &issued.certificate).expect("a browser");
    browser.login().expect("a login");
    browser.get("/home").expect("home").text()
}

/// The Japanese halves of the subjects of the mails about plans, in the order in which they came.
fn subjects(server: &MailServer, issued: &Issued) -> Vec<String> {
    let (inbox, email) = (server.inbox().expect("the inbox"), issued.email());
    let own = inbox.iter().filter(|mail| mail.recipients == [email.as_str()]);
    let subjects = own.filter_map(|mail| mail.header("Subject").split(" / ").next().map(ToOwned::to_owned));
    subjects.filter(|subject| [PLANNED, CALLED_OFF].contains(&&**subject)).collect()
}

/// By mail and on the home page, with the date.
fn is_told(house: &House, server: &MailServer, issued: &Issued, date: Timestamp) {
    let japan = TimeZone::fixed(jiff::tz::offset(9));
    let date = date.to_zoned(japan).strftime("%Y年%-m月%-d日 %H:%M").to_string();
    let mails = || house.operator(&["mail", "list", "--user", &issued.user]);
    until("the mail", mails, |mails| {
        let mut all = mails.as_array().expect("a list").iter();
        all.any(|mail| mail["kind"] == "to-be-revoked" && mail["state"] == "delivered")
    });
    let inbox = server.inbox().expect("the inbox");
    let email = issued.email();
    let mut own = inbox.iter().filter(|mail| mail.recipients == [email.as_str()]);
    let mail = own.rfind(|mail| mail.header("Subject").starts_with(PLANNED)).expect("the mail");
    assert!(
        mail.body.contains(&date) && mail.body.contains("nothing happens to your money"),
        "{}",
        mail.body
    );
    let home = home(house, issued);
    assert!(home.contains(PLANNED_AT_HOME) && home.contains(&date), "{home}");
}

/// The plan is done: these were revoked, not before its date, and everybody hears of it.
fn are_revoked(house: &House, newest: &[Issued], date: Timestamp) {
    until(
        "the plan's end",
        || house.operator(&["evidence", "plan", "list"]),
        |plans| plans[2]["state"] == "done",
    );
    for issued in newest {
        until("OCSP", || ocsp(house, issued), |answer| answer.contains("revoked"));
        let line = format!("Serial Number: {}", issued.serial.to_uppercase());
        until("the CRL", || crl(house), |text| text.contains(&line));
    }
    let rows = house.bank.audit_rows("certificate.revoked").expect("rows");
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert!(row["at"].as_str().expect("a time").parse::<Timestamp>().expect("a time") >= date, "{row}");
        assert_eq!(row["details"]["reason"], "privilegeWithdrawn");
        assert_eq!(row["details"]["rejudgement"], "3");
    }
}

/// A maker's root is retired and a floor is raised; exactly those who rest on them fall out, nobody before the date, and
/// at the date they are revoked.
#[test]
fn who_falls_out_is_listed_planned_and_revoked_at_the_date() {
    let mut house = House::with_trust("rejudge");
    let old = [house.enrol(62_000_001, OLD)];
    let new = [house.enrol(62_000_011, NEW), house.enrol(62_000_012, NEW)];
    let newest = [house.enrol(62_000_021, NEWEST), house.enrol(62_000_022, NEWEST)];

    let all_stand = house.operator(&["evidence", "rejudge"]);
    assert_eq!((all_stand["judged"].as_u64(), fallen(&all_stand).len()), (Some(5), 0), "{all_stand}");

    // Dry runs: a higher floor by a policy file, an anchor as if it were retired.
    let policy = house.path("floor.toml");
    let floor =
        "name = \"floor\"\nversion = 1\n[yubikey.lowest_firmware]\nec = \"5.7.4\"\nrsa2048 = \"5.7.4\"\n";
    std::fs::write(&policy, floor).expect("a file");
    let by_policy = house.operator(&["evidence", "rejudge", "--policy", &policy]);
    assert_eq!(fallen(&by_policy), serials(&[&old[0], &new[0], &new[1]]), "{by_policy}");
    assert_eq!(by_policy["reasons"][0][0], "evidence-firmware-too-old", "{by_policy}");
    let second_root = sha256(&house.makers()[1]);
    let without = house.operator(&["evidence", "rejudge", "--without", &second_root]);
    assert_eq!(fallen(&without), serials(&[&newest[0], &newest[1]]), "{without}");
    house.refused(4, &["evidence", "rejudge", "--without", &"0".repeat(64)]);
    assert!(house.operator(&["evidence", "plan", "list"]).as_array().expect("a list").is_empty());

    // Two officers retire it.
    let draft = house.draft();
    house.operator(&["trust", "remove", &second_root, "--note", "advisory", "--draft", &draft]);
    house.stage("suzuki");
    house.approve("sato");
    house.taken_up(2);
    let as_before = house.operator(&["evidence", "rejudge", "--trust", "1"]);
    assert!(fallen(&as_before).is_empty(), "{as_before}");
    let today = house.operator(&["evidence", "rejudge"]);
    assert_eq!(fallen(&today), serials(&[&newest[0], &newest[1]]), "{today}");

    // A plan can be called off, and isn't made for the past or with a reason that says too much.
    let plan = |house: &House, at: Timestamp, reason: &str| {
        let at = at.to_string();
        let arguments = ["evidence", "rejudge", "--apply", "--revoke-at", &at, "--reason", reason];
        house.bank.try_operator(&arguments).expect("inro-ca runs")
    };
    let later = Timestamp::now() + SignedDuration::from_hours(24);
    assert_eq!(
        plan(&house, Timestamp::now() - SignedDuration::from_secs(60), "privilegeWithdrawn").status.code(),
        Some(5)
    );
    assert_eq!(plan(&house, later, "affiliationChanged").status.code(), Some(5));
    assert!(plan(&house, later, "privilegeWithdrawn").status.success());
    house.operator(&["evidence", "plan", "cancel", "1"]);
    house.refused(4, &["evidence", "plan", "cancel", "1"]);
    assert!(house.bank.audit_rows("certificate.revoked").expect("rows").is_empty());

    // The mail server comes only now, so that nobody was told of what was called off.
    let server = MailServer::start(&house.bank.path("mail"), Encryption::Implicit).expect("a mail server");
    server.serve(&house.bank).expect("its configuration");
    house.bank.authority = None;
    house.bank.start_authority().expect("an authority");
    // Who was told is told when it is called off, and when there is another date.
    assert!(plan(&house, later, "privilegeWithdrawn").status.success());
    for issued in &newest {
        is_told(&house, &server, issued, later);
    }
    house.operator(&["evidence", "plan", "cancel", "2"]);
    until("the mails", || subjects(&server, &newest[0]), |subjects| *subjects == [PLANNED, CALLED_OFF]);
    assert!(!home(&house, &newest[0]).contains(PLANNED_AT_HOME), "it is called off");
    let soon = Timestamp::now() + SignedDuration::from_hours(1);
    assert!(plan(&house, soon, "privilegeWithdrawn").status.success());
    let shown = house.operator(&["evidence", "plan", "show", "3"]);
    assert_eq!(shown.as_array().expect("a list").len(), 2, "{shown}");
    for issued in &newest {
        let told = [PLANNED, CALLED_OFF, PLANNED];
        until("the mails", || subjects(&server, issued), |subjects| *subjects == told);
        is_told(&house, &server, issued, soon);
    }
    assert!(!home(&house, &new[0]).contains(PLANNED_AT_HOME), "only who falls out is told");
    assert!(ocsp(&house, &newest[0]).contains("good"), "nobody is revoked before the date");
    house.later(SignedDuration::from_hours(1));
    are_revoked(&house, &newest, soon);
    for issued in old.iter().chain(&new) {
        assert!(ocsp(&house, issued).contains("good"), "{} fell out of nothing", issued.user);
    }
    let of_all: Vec<String> = newest.iter().map(Issued::email).collect();
    let inbox = server.inbox().expect("the inbox");
    let planned = inbox.iter().filter(|mail| mail.header("Subject").starts_with(PLANNED));
    let told: BTreeSet<&str> = planned.clone().map(|mail| mail.recipients[0].as_str()).collect();
    assert_eq!(
        (planned.count(), told),
        (4, of_all.iter().map(String::as_str).collect()),
        "once for each date, and nobody else"
    );
    let states: Vec<Value> = house
        .operator(&["evidence", "plan", "list"])
        .as_array()
        .expect("a list")
        .iter()
        .map(|plan| plan["state"].clone())
        .collect();
    assert_eq!(states, ["cancelled", "cancelled", "done"]);
    let again = house.operator(&["evidence", "rejudge"]);
    assert_eq!((again["judged"].as_u64(), fallen(&again).len()), (Some(3), 0), "the revoked ones are gone");
}
