//! Personal data is erased after its period: by the server by itself, and by the operator's command.

use serde_json::Value;
use softhsm_tests::{
    bank::{CONFIRMATION_PASSWORD, fetch},
    smtp::Encryption,
    wait::until,
};

use crate::{
    customers::done,
    rig::{Post, register},
};

/// Records of a kind that are due, and that were erased, as `inro-ca retention` says.
fn count(report: &Value, kind: &str, what: &str) -> u64 {
    let kinds = report.as_array().expect("a list");
    let of = kinds.iter().find(|of| of["kind"] == kind).expect("the kind");
    of[what].as_u64().expect("a number")
}

fn status(post: &Post) -> Value {
    post.house.bank.operator(&["retention", "status"]).expect("a report")
}

fn erased(post: &Post, kind: &str) -> u64 {
    let rows = post.house.audit("personal-data.erased");
    let of = rows.iter().filter(|row| row["subject"] == kind);
    of.map(|row| row["details"]["records"].as_str().and_then(|n| n.parse::<u64>().ok()).expect("a number"))
        .sum()
}

#[test]
fn what_nobody_needs_is_erased_after_its_period_and_what_the_ledger_rests_on_stays() {
    let mut post = Post::open("notices-retention", Encryption::Implicit);
    let taro = post.customer("taro-0001", "master", 46_300_001, "taro@example.com");
    let jiro = post.customer("jiro-0001", "general", 46_300_002, "jiro@example.com");
    register(&post.house.bank, "nocert-01", "general", 46_300_004, "nocert@example.com");
    taro.browser.login().expect("a login");
    jiro.browser.login().expect("a login");
    post.settle();
    let confirmed = [("confirmation", CONFIRMATION_PASSWORD)];
    done(&taro.browser, "/manage/user/jiro-0001/remove", &confirmed);
    post.settle();
    let now = status(&post);
    for kind in ["logins", "mail", "enrolments", "evidence", "removed-users"] {
        assert_eq!(count(&now, kind, "due"), 0, "{kind}: {now}");
    }

    // After a year and a month the server has erased what it may before anybody asks.
    post.day(402);
    let gone = || ["logins", "removed-users"].map(|kind| erased(&post, kind));
    until("two logins and a name to be erased", gone, |erased| *erased == [2, 1]);
    until("the mails to be erased", || status(&post), |status| count(status, "mail", "due") == 0);
    let shown = post.house.bank.operator(&["user", "show", "jiro-0001"]).expect("the ID stays");
    assert!(!shown.to_string().contains("試験 太郎") && shown.to_string().contains("removed"), "{shown}");
    let shown = post.house.bank.operator(&["user", "show", "taro-0001"]).expect("a user");
    assert!(shown.to_string().contains("試験 太郎"), "who is there keeps the name: {shown}");
    let evidence = ["evidence", "show", &*jiro.serial];
    post.house.bank.operator(&evidence).expect("evidence outlives the user");
    let metrics = fetch(&format!("{}/metrics", post.house.bank.urls().ops)).expect("metrics").text();
    assert!(metrics.contains("inro_personal_data_erased_total{kind=\"removed-users\"} 1"), "{metrics}");
    assert!(metrics.contains("inro_retention_last_run_timestamp_seconds 1"), "{metrics}");

    // Eleven years later: nobody needs the evidence any more. A dry run takes nothing.
    post.house.bank.authority = None;
    post.house.later(&post.clock, post.calendar.day(4_030));
    let bank = &post.house.bank;
    let dry = bank.operator(&["retention", "run", "--dry-run"]).expect("a report");
    assert_eq!((count(&dry, "evidence", "due"), count(&dry, "evidence", "erased")), (2, 0), "{dry}");
    let run = bank.operator(&["retention", "run"]).expect("a report");
    assert_eq!((count(&run, "evidence", "due"), count(&run, "evidence", "erased")), (2, 2), "{run}");
    let again = bank.operator(&["retention", "run"]).expect("a report");
    assert_eq!((count(&again, "evidence", "due"), count(&again, "evidence", "erased")), (0, 0), "{again}");
    let gone = bank.try_operator(&evidence).expect("an answer");
    assert_eq!(gone.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("retention.evidence"), "{gone:?}");
    bank.operator(&["certificate", "show", &jiro.serial]).expect("the certificate stays");
    bank.operator(&["audit", "verify"]).expect("the trail is whole");
    let rows = post.house.audit("personal-data.erased");
    assert!(rows.iter().all(|row| !row.to_string().contains("example.com")), "whose isn't said: {rows:?}");
    assert!(rows.iter().any(|row| row["actor"].as_str().is_some_and(|actor| actor.starts_with("operator:"))));
}
