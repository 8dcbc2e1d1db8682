//! A base backup and an archive of PostgreSQL's own, and the ledger as it was at a moment between them: the commands of
//! `ca/docs/backup.md`.

use std::{fs, process::Command};

use softhsm_tests::{
    bank::{Bank, Options},
    postgres::{self, Postgres},
    process::run,
    scratch::Scratch,
    wait::until,
};

use crate::customers::House;

const DATABASE: &str = "postgres";

/// A PostgreSQL that archives what it writes, and a bank on it.
fn bank() -> (House, Postgres, std::path::PathBuf) {
    let scratch = Scratch::new("postgres-restored").expect("a scratch directory");
    let postgres = Postgres::start(postgres::Options { fsync: false }).expect("a PostgreSQL");
    let archive = postgres.folder("archive").expect("a folder");
    for setting in [
        "archive_mode = 'on'".to_owned(),
        format!("archive_command = 'test ! -f {0}/%f && cp %p {0}/%f'", archive.display()),
    ] {
        postgres.execute(DATABASE, &format!("ALTER SYSTEM SET {setting}")).expect("set");
    }
    postgres.stop().expect("stopped");
    postgres.resume().expect("it archives");
    let database = postgres.create_database().expect("a database");
    let mut bank = Bank::prepare(&scratch.join("bank"), &Options::default()).expect("a bank");
    bank.hold_ceremony().expect("a ceremony");
    bank.use_postgres(&postgres.url(&database)).expect("its configuration");
    bank.migrate().expect("a ledger");
    bank.start_signer().expect("a signer");
    bank.start_authority().expect("an authority");
    (House::of(bank, scratch), postgres, archive)
}

#[test]
fn a_postgresql_ledger_of_an_earlier_moment_is_accepted_by_a_person_and_un_revokes_nothing() {
    let (mut house, postgres, archive) = bank();
    let refused = house.operate(&["backup", "--to", &house.bank.path("copy").to_string_lossy()]);
    assert_eq!(refused.0, 3, "{refused:?}");
    let kept = house.customer("kept-0001", "general", 44_000_041);
    let base = postgres.folder("base").expect("a folder");
    let mut base_backup = postgres.tool("pg_basebackup").expect("pg_basebackup");
    base_backup.arg("--pgdata").arg(&base);
    run(base_backup.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync"])).expect("a base backup");
    run(postgres.tool("pg_verifybackup").expect("pg_verifybackup").arg(&base)).expect("a sound backup");

    let replayed = house.customer("kept-0002", "general", 44_000_042);
    let moment = postgres.execute(DATABASE, "SELECT clock_timestamp()").expect("a moment");
    let lost = house.customer("lost-0001", "general", 44_000_043);
    house.operate(&["certificate", "revoke", &kept.serial, "--reason", "keyCompromise"]);
    let number = house.on_the_crl(&[&kept.serial]);
    postgres.execute(DATABASE, "SELECT pg_switch_wal()").expect("switched");
    let segment =
        "SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 16777216) FROM pg_stat_archiver";
    let is = |said: &anyhow::Result<String>, expected: &str| said.as_ref().is_ok_and(|said| said == expected);
    until("the archive", || postgres.execute(DATABASE, segment), |reached| is(reached, "t"))
        .expect("awaited");

    house.stop_authority();
    postgres.stop().expect("stopped");
    fs::rename(postgres.data(), postgres.data().with_extension("broken")).expect("set aside");
    fs::rename(&base, postgres.data()).expect("put in place");
    let settings = postgres.data().join("postgresql.auto.conf");
    let recovery = format!(
        "{}restore_command = 'cp {}/%f %p'\nrecovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n",
        fs::read_to_string(&settings).expect("settings"),
        archive.display()
    );
    fs::write(&settings, recovery).expect("settings");
    let signal = postgres.data().join("recovery.signal");
    fs::write(&signal, "").expect("the signal");
    run(Command::new("chown").arg("--reference").arg(postgres.data()).arg(&signal)).expect("owned");
    postgres.resume().expect("it recovers");
    let recovering = || postgres.execute(DATABASE, "SELECT pg_is_in_recovery()");
    until("the recovery's end", recovering, |said| is(said, "f")).expect("awaited");

    house.start_authority();
    house.diverged();
    let token = house.applicant("later-0001", 44_000_044);
    house.issues_nothing_to("later-0001", &token);
    assert!(house.on_the_crl(&[&kept.serial]) > number);
    assert_eq!(house.ocsp(&kept.serial), "revoked");
    assert_eq!(house.ocsp(&replayed.serial), "good", "the archive had it");
    let status = house.status();
    assert_eq!(status["orphans"][0]["serial"], lost.serial.as_str(), "{status}");
    assert_eq!(house.accept().0, 0);
    house.bank.becomes_ready();
    house.enrolls("later-0001", &token);
    let (code, verified) = house.operate(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
}
