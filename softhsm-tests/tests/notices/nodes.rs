//! Two nodes on one PostgreSQL: one sends, and when it dies the other goes on, and nobody is told anything twice.

use softhsm_tests::{
    bank::{Bank, EnrolmentClient, Options, SoftToken},
    postgres::{self, Postgres},
    scratch::Scratch,
    smtp::{Encryption, MailServer},
    virtual_yubikey::{Firmware, Profile},
    wait::until,
};

use crate::{
    customers::CONTRACT,
    rig::{backlog, keeps_rule_9, register},
};

const USERS: u32 = 9;

#[test]
fn two_nodes_tell_everybody_once() {
    let scratch = Scratch::new("notices-nodes").expect("a scratch directory");
    let postgres = Postgres::start(postgres::Options { fsync: false }).expect("a PostgreSQL");
    let database = postgres.create_database().expect("a database");
    let first = Bank::prepare(&scratch.join("one"), &Options::default()).expect("a bank");
    first.hold_ceremony().expect("a ceremony");
    first.use_postgres(&postgres.url(&database)).expect("its configuration");
    let server = MailServer::start(&scratch.join("mail"), Encryption::Implicit).expect("a mail server");
    server.serve(&first).expect("its configuration");
    first.migrate().expect("a ledger");
    let second = first.another_node(&scratch.join("two"), 2).expect("another node");
    let mut nodes = [first, second];
    for node in &mut nodes {
        node.start_signer().expect("a signer");
        node.start_authority().expect("an authority");
    }
    nodes[0].register_contract(CONTRACT, "試験商事").expect("a contract");
    let enrol = |node: &Bank, n: u32| {
        let (id, token) = (format!("user-{n:04}"), 46_100_000 + n);
        register(node, &id, "general", token, &format!("user{n}@example.com"));
        let token = SoftToken::new(node, Profile::new(token, Firmware(5, 7, 2))).expect("a token");
        let client = EnrolmentClient::new(node).expect("a client");
        let certified = client.enroll(&id, &token, &format!("{id}-enrolment-key")).expect("an answer");
        Bank::serial_of(&certified.expect("a certificate").certificate.0).expect("a serial number")
    };
    let mut serials = Vec::new();
    for n in 1..=USERS {
        // The one that sends, whichever it is, ends in the middle.
        if n == USERS / 2 {
            nodes[0].authority = None;
        }
        let node = if n < USERS / 2 { &nodes[(n % 2) as usize] } else { &nodes[1] };
        serials.push(enrol(node, n));
    }
    nodes[0].start_authority().expect("an authority");
    // Their certificates end within ten days: time passes in the ledger, where the intents' guard is put aside for it.
    let statements = "ALTER TABLE certificates DISABLE TRIGGER intents_stand;
        UPDATE certificates SET not_after = (extract(epoch FROM now())::bigint + 5 * 86400) * 1000;
        ALTER TABLE certificates ENABLE TRIGGER intents_stand;";
    postgres.execute(&database, statements).expect("time");
    nodes[1].operator(&["certificate", "revoke", &serials[0], "--reason", "keyCompromise"]).expect("revoked");
    for node in &mut nodes {
        node.authority = None;
    }
    for node in &mut nodes {
        node.start_authority().expect("an authority");
    }
    let expected = 2 * USERS as usize;
    until("all mail", || server.inbox().expect("the inbox").len(), |mails| *mails >= expected);
    until("an empty outbox", || backlog(&nodes[0]), |backlog| backlog["queued"] == 0);
    let inbox = server.inbox().expect("the inbox");
    for mail in &inbox {
        keeps_rule_9(mail);
    }
    for n in 1..=USERS {
        let address = format!("user{n}@example.com");
        let mut subjects: Vec<String> = inbox
            .iter()
            .filter(|mail| mail.recipients == [address.as_str()])
            .map(|mail| crate::rig::japanese(mail.header("Subject")))
            .collect();
        subjects.sort();
        let other = if n == 1 { crate::REVOKED } else { crate::EXPIRES };
        let mut expected = [crate::ISSUED, other];
        expected.sort_unstable();
        assert_eq!(subjects, expected, "user {n}");
    }
}
