//! A bank outgrows SQLite: `inro-ca migrate-store` with the real program.

use std::time::Duration;

use softhsm_tests::{
    bank::{Bank, EnrolmentClient, NewUser, Options, SoftBrowser, SoftToken},
    postgres::Postgres,
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
};

use crate::rig::CONTRACT;

#[test]
fn a_bank_moves_to_postgresql_and_goes_on() {
    let scratch = Scratch::new("cluster-moving").expect("a scratch directory");
    let mut bank = Bank::open(&scratch.join("bank"), &Options::default()).expect("a bank");
    bank.register_contract(CONTRACT, "移転商事").expect("a contract");
    let (id, token) = ("mover-0001", 43_000_001);
    let user = NewUser { id, contract: CONTRACT, role: "master", name: "移転 太郎", token: Some(token) };
    bank.register_user(&user).expect("a user");
    let token = SoftToken::new(&bank, Profile::new(token, Firmware(5, 7, 2))).expect("a token");
    let client = EnrolmentClient::new(&bank).expect("a client");
    let certified =
        client.enroll(id, &token, "moving-idempotency-key").expect("an answer").expect("certified");
    let browser = SoftBrowser::new(&bank, &token, &certified.certificate.0).expect("a browser");
    browser.login().expect("a login");

    let postgres = Postgres::shared().expect("a PostgreSQL");
    postgres.create_by_guide().expect("a database and two roles");
    let ledger = bank.path("ca.sqlite3");
    let from = ledger.to_string_lossy().into_owned();
    std::fs::copy(bank.path("inro.toml"), bank.path("old.toml")).expect("a copy");
    let become_role =
        |bank: &Bank, role| bank.use_postgres(&postgres.url_of(role, "inro")).expect("its configuration");
    become_role(&bank, "inro_owner");
    bank.migrate().expect("an empty ledger");
    let in_use = bank.try_operator(&["migrate-store", "--from", &from]).expect("a refusal");
    let said = String::from_utf8_lossy(&in_use.stderr).into_owned();
    assert!(!in_use.status.success() && said.contains("is in use"), "{said}");

    bank.authority.take().expect("it runs").terminate(Duration::from_mins(1)).expect("ended");
    become_role(&bank, "inro");
    let nodes_role = bank.try_operator(&["migrate-store", "--from", &from]).expect("a refusal");
    let said = String::from_utf8_lossy(&nodes_role.stderr).into_owned();
    assert_eq!(nodes_role.status.code(), Some(3), "{said}");
    assert!(said.contains("use the configuration of the tables' owner"), "{said}");
    become_role(&bank, "inro_owner");
    let moved = bank.operator(&["migrate-store", "--from", &from]).expect("moved");
    let rows = |name: &str| {
        let tables = moved["tables"].as_array().expect("tables");
        tables.iter().find(|table| table["name"] == name).expect(name)["rows"].as_u64().expect("a count")
    };
    assert_eq!((rows("users"), rows("certificates"), rows("sessions")), (1, 1, 1));
    become_role(&bank, "inro");
    bank.start_authority().expect("it goes on");
    assert_eq!(browser.get("/home").expect("a page").status, 200, "the session goes on, too");
    let again = client.enroll(id, &token, "moving-idempotency-key").expect("an answer").expect("the same");
    assert_eq!(again.certificate.0, certified.certificate.0);
    bank.operator(&["audit", "verify"]).expect("an unbroken chain");
    assert_eq!(bank.audit_rows("ledger.moved").expect("the audit trail").len(), 1);

    std::fs::copy(bank.path("old.toml"), bank.path("inro.toml")).expect("the old configuration");
    let refused = bank.try_operator(&["contract", "list"]).expect("a refusal");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("was moved to"), "{said}");
}
