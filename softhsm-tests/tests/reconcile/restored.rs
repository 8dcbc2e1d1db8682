//! The ledger is restored from a backup, or its end cut off.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use softhsm_tests::process::run;

use crate::customers::House;

fn serials(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(|entry| entry["serial"].as_str()).collect()
}

/// R18: "refuses to issue until reconciled with the journal; nothing un-revoked", by the steps of `backup.md`.
#[test]
fn r18_a_ledger_from_a_backup_issues_nothing_until_a_person_accepts_it_and_un_revokes_nothing() {
    let mut house = House::open("restored");
    let kept = house.customer("kept-0001", "general", 44_000_001);
    house.customer("kept-0002", "general", 44_000_002);
    let file = house.bank.path("backup.sqlite3");
    let to = file.to_string_lossy().into_owned();
    let (code, done) = house.operate(&["backup", "--to", &to]);
    assert_eq!((code, done["octets"].as_u64()), (0, fs::metadata(&file).ok().map(|file| file.size())));
    assert_eq!(fs::metadata(&file).expect("the copy").permissions().mode() & 0o777, 0o600);
    assert_eq!(house.operate(&["backup", "--to", &to]).0, 5, "a copy replaces nothing");

    let lost = house.customer("lost-0001", "general", 44_000_003);
    let gone = house.customer("lost-0002", "general", 44_000_004);
    for serial in [&kept.serial, &gone.serial] {
        house.operate(&["certificate", "revoke", serial, "--reason", "keyCompromise"]);
    }
    let number = house.on_the_crl(&[&kept.serial, &gone.serial]);
    assert_eq!(house.ocsp(&kept.serial), "revoked");

    house.stop_authority();
    let ledger = house.ledger();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", ledger.display()));
    }
    fs::copy(&file, &ledger).expect("restored");
    house.operate(&["audit", "verify"]);
    house.start_authority();

    // From the first answer on: never good, never off the CRL.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        for serial in [&kept.serial, &gone.serial] {
            let said = house.ocsp(serial);
            assert!(!said.contains("good"), "{said}");
        }
        if let Some((shown, text)) = house.crl() {
            assert!(shown >= number, "CRL {shown} after {number}");
            assert!(text.contains(&kept.serial.to_uppercase()) && text.contains(&gone.serial.to_uppercase()));
        }
    }
    assert!(house.diverged().contains("the ledger lost"));
    assert!(kept.browser.try_login("whatever").is_err(), "a revoked certificate logs nobody in");
    let token = house.applicant("later-0001", 44_000_005);
    house.issues_nothing_to("later-0001", &token);
    assert!(house.on_the_crl(&[&kept.serial, &gone.serial]) > number, "numbers rise");
    assert_eq!((house.ocsp(&kept.serial), house.ocsp(&gone.serial)), ("revoked".into(), "revoked".into()));

    let status = house.status();
    let code = status["agreement"].as_str().expect("a code");
    assert!(code.starts_with("ledger-"), "{status}");
    let mut orphans = serials(&status["orphans"]);
    orphans.sort_unstable();
    let mut expected = [&*lost.serial, &*gone.serial];
    expected.sort_unstable();
    assert_eq!(orphans, expected, "{status}");
    assert!(
        status["orphans"][0]["subject"].as_str().is_some_and(|name| name.contains("lost-000")),
        "{status}"
    );
    assert_eq!(serials(&status["restored_revocations"]).len(), 2, "{status}");
    assert!(status["next_step"].as_str().is_some_and(|next| next.contains("reconcile accept")), "{status}");
    assert_eq!(house.operate(&["audit", "verify"]).0, 7, "the trail isn't what the journal knows");

    // Revoking goes on.
    house.operate(&["certificate", "revoke", &lost.serial, "--reason", "superseded"]);
    house.on_the_crl(&[&lost.serial]);

    assert_eq!(house.accept().0, 0);
    house.bank.becomes_ready();
    house.enrolls("later-0001", &token);
    assert_eq!(house.accept().0, 5, "there is nothing to accept any more");
    assert_eq!(house.status()["agreement"], "agreed");
    let (code, verified) = house.operate(&["audit", "verify"]);
    assert_eq!((code, &verified["journals"][0]["agreement"]), (0, &Value::from("agreed")), "{verified}");
    assert_eq!(house.audit("reconcile.diverged").len(), 1);
    assert_eq!(house.audit("revocation.restored").len(), 2);
    let accepted = house.audit("reconcile.loss-accepted");
    assert_eq!(accepted.len(), 1);
    let actor = accepted[0]["actor"].as_str().expect("an actor");
    assert!(actor.starts_with("operator:"), "{actor}");
    assert!(accepted[0]["details"]["reason"].as_str().is_some_and(|why| why.contains("disk failed")));

    house.stop_authority();
    house.bank.start_authority().expect("ready again, by itself");
    assert_eq!(house.ocsp(&kept.serial), "revoked");
}

/// R17: "tail cut past the last cross-anchor": each check names it.
#[test]
fn r17_rows_cut_off_the_trail_are_missed() {
    let mut house = House::open("cut-trail");
    house.customer("cut-000001", "general", 44_000_011);
    house.stop_authority();
    let sql = |statement: &str| {
        run(Command::new("sqlite3").arg("-bail").arg(house.ledger()).arg(statement)).expect("SQL")
    };
    let rows: u64 = sql("SELECT max(sequence) FROM audit").trim().parse().expect("a number");
    sql(&format!("DROP TRIGGER audit_is_kept; DELETE FROM audit WHERE sequence > {}", rows - 6));
    let (code, verified) = house.operate(&["audit", "verify"]);
    assert_eq!(code, 7, "{verified}");
    let named = &verified["journals"][0];
    assert_eq!(named["agreement"], "ledger-behind", "{verified}");
    let furthest = format!("up to row {}", furthest_anchor(&house));
    assert!(named["trouble"].as_str().is_some_and(|trouble| trouble.contains(&furthest)), "{verified}");

    house.start_authority();
    assert!(house.diverged().contains(&furthest));
    let token = house.applicant("cut-000002", 44_000_012);
    house.issues_nothing_to("cut-000002", &token);
}

fn furthest_anchor(house: &House) -> u64 {
    let shown = House::hsm(&["journal", "show", "--json", &house.journal_file().to_string_lossy()]);
    let entries = shown.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    entries.filter_map(|entry| entry["entry"]["audit"]["sequence"].as_u64()).max().expect("an anchor")
}
