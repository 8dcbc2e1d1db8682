//! Two nodes, each with its own signer, on one PostgreSQL: R11 small, and its full size by `INRO_CLUSTER_CERTIFICATES`.

mod moving;
mod rig;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rig::{CONTRACT, Cluster, certificates, crl, shows, under_load};
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, SoftBrowser},
    wait::{PATIENCE, until},
};

/// What happened at one node is so at the other: idempotency keys, bearers, sessions, revocations.
#[test]
fn what_happens_at_one_node_holds_at_the_other() {
    let cluster = Cluster::open("cluster-shared");
    let customers = cluster.customers(2);
    let [one, other] = &cluster.nodes;
    let at_one = EnrolmentClient::new(one).expect("a client");
    let at_other = EnrolmentClient::new(other).expect("a client");

    let (customer, key) = (&customers[0], "cluster-idempotency-key");
    let token = cluster.token(customer);
    let opened = at_one.open(&customer.id, &token, key).expect("an answer").expect("an enrolment");
    let request = token.certify(&opened).expect("a request");
    let certified = at_other.certify(&opened, &request, key).expect("an answer").expect("a certificate");
    let repeated = at_one.certify(&opened, &request, key).expect("an answer").expect("the same");
    assert_eq!(certified.certificate.0, repeated.certificate.0, "a repeat at another node");
    at_one.confirm(&opened, &certified, key).expect("an answer").expect("confirmed");
    let again = at_one.enroll(&customer.id, &token, key).expect("an answer").expect("the same");
    assert_eq!(certified.certificate.0, again.certificate.0, "the whole enrolment again");

    let browser = SoftBrowser::new(one, &token, &certified.certificate.0).expect("a browser");
    browser.login().expect("a login");
    assert_eq!(browser.get("/home").expect("a page").status, 200);
    assert_eq!(
        browser.at(other).get("/home").expect("a page").status,
        200,
        "the session is known there as well"
    );

    let serial = Bank::serial_of(&certified.certificate.0).expect("a serial number");
    let file = one.path("certificate.pem");
    let pem = softhsm_tests::openssl::openssl_with_input(
        &["x509", "-inform", "DER", "-outform", "PEM"],
        &certified.certificate.0,
    );
    std::fs::write(&file, pem.expect("PEM")).expect("a file");
    for node in 0..2 {
        assert!(cluster.ocsp(node, &file).contains(": good"), "{}", cluster.ocsp(node, &file));
    }
    one.operator(&["certificate", "revoke", &serial, "--reason", "keyCompromise"]).expect("revoked");
    let told = || [0, 1].map(|node| cluster.ocsp(node, &file));
    until("OCSP at both nodes", told, |told| told.iter().all(|text| text.contains(": revoked")));
    assert_eq!(
        browser.at(other).get("/home").expect("a page").status,
        403,
        "the session is over there as well"
    );
    for node in &cluster.nodes {
        until("the CRL", || crl(node), |crl| shows(crl.as_ref(), &serial));
        until(
            "the revocation in the journal",
            || node.journal(),
            |journal| journal.as_ref().is_ok_and(|journal| journal["revocations"] == 1),
        )
        .expect("awaited");
    }
    assert!(
        !one.operator(&["user", "list", "--contract", CONTRACT])
            .expect("a list")
            .as_array()
            .expect("a list")
            .is_empty()
    );
}

/// A policy that is set at one node comes to hold at all of them, and none of them was restarted.
#[test]
fn a_policy_holds_at_every_node() {
    let cluster = Cluster::open("cluster-policy");
    let customers = cluster.customers(2);
    let [one, other] = &cluster.nodes;
    let clients = [one, other].map(|node| EnrolmentClient::new(node).expect("a client"));
    let told = |node: usize| {
        let (customer, client) = (&customers[node], &clients[node]);
        let key = format!("cluster-policy-of-{}", customer.id);
        let opened = client.open(&customer.id, &cluster.token(customer), &key).expect("an answer");
        opened.unwrap_or_else(|problem| panic!("{problem:?}")).key.touch_policy
    };
    let file = one.path("touch.toml");
    let set = |version: u32, touch: &str| {
        let text = format!("name = \"touch\"\nversion = {version}\n[yubikey]\ntouch = [\"{touch}\"]\n");
        std::fs::write(&file, text).expect("a policy");
        let file = file.to_string_lossy();
        one.operator(&["policy", "set", &file, "--reason", "a test"]).expect("set");
        until("the policy at both nodes", || [0, 1].map(told), |told| told.iter().all(|told| told == touch));
    };
    assert_eq!((told(0), told(1)), ("never".to_owned(), "never".to_owned()), "the bank's own");
    let file_of_none = one.path("none.toml");
    std::fs::write(&file_of_none, "name = \"touch\"\nversion = 1\n").expect("a policy");
    let path = file_of_none.to_string_lossy();
    one.operator(&["policy", "set", &path, "--reason", "a test"]).expect("set");
    other.operator(&["policy", "assign", CONTRACT, "touch", "--reason", "a test"]).expect("assigned");
    set(2, "always");
    set(3, "cached");
}

/// Watches the CRL at both nodes: numbers never shrink.
fn watch_crls(nodes: &[(String, usize)], over: &AtomicBool) -> u64 {
    let mut last = [0; 2];
    while !over.load(Ordering::SeqCst) {
        for (validation, node) in nodes {
            let number = crl_number(validation).unwrap_or(last[*node]);
            assert!(number >= last[*node], "CRL number {number} after {} at node {node}", last[*node]);
            last[*node] = number;
        }
        thread::sleep(Duration::from_millis(100));
    }
    last[0].max(last[1])
}

fn crl_number(validation: &str) -> Option<u64> {
    let answer = softhsm_tests::bank::fetch(&format!("{validation}/crl/customer-0.crl")).ok()?;
    rig::number_of(&answer.body)
}

fn validation_urls(cluster: &Cluster) -> Vec<(String, usize)> {
    cluster.nodes.iter().zip(0..).map(|(node, index)| (node.urls().validation, index)).collect()
}

/// R11: one node killed, then the database, both under load.
#[test]
fn a_node_and_then_the_database_are_lost_under_load() {
    let mut cluster = Cluster::open("cluster-killed");
    let mut customers = cluster.customers(certificates());
    let others = customers.split_off(customers.len() / 2);
    let (urls, over) = (validation_urls(&cluster), AtomicBool::new(false));
    let share = u64::from(certificates()) / 12;
    let (loads, highest) = thread::scope(|scope| {
        let watching = scope.spawn(|| watch_crls(&urls, &over));
        let first = under_load(&mut cluster, customers, |cluster, load| {
            load.go_on(share);
            lose_a_node(cluster, &load.seen()[0].0);
            cluster.nodes[0].start_signer().expect("a signer");
            cluster.nodes[0].start_authority().expect("an authority");
        });
        let second = under_load(&mut cluster, others, |cluster, load| {
            load.go_on(share);
            cluster.postgres.kill().expect("killed");
            let turned_away = || load.refused() + load.broken();
            until("answers without a database", turned_away, |number| *number > 0);
            cluster.postgres.resume().expect("back");
            cluster.nodes.iter().for_each(Bank::becomes_ready);
        });
        over.store(true, Ordering::SeqCst);
        ([first, second], watching.join().expect("no panic"))
    });
    assert!(highest > 1, "the CRL was published");
    until(
        "open intents to be settled",
        || cluster.ledger(),
        |ledger| !ledger.values().any(|row| row["state"] == "intended"),
    );
    for load in &loads {
        cluster.check(load);
    }
}

/// Kills the first node and revokes at the other, which does what the dead one led.
fn lose_a_node(cluster: &mut Cluster, serial: &str) {
    cluster.nodes[0].authority.take().expect("it runs").kill().expect("killed");
    cluster.nodes[0].signer.take().expect("it runs").kill().expect("killed");
    let other = &cluster.nodes[1];
    other.operator(&["certificate", "revoke", serial, "--reason", "superseded"]).expect("revoked");
    until("a CRL by the other node", || crl(other), |crl| shows(crl.as_ref(), serial));
}

/// A newer program's migration comes first, then the nodes are restarted one by one. No client notices more than "later".
#[test]
fn a_rolling_upgrade_refuses_nobody() {
    let mut cluster = Cluster::open("cluster-rolling");
    let customers = cluster.customers(certificates());
    let share = u64::from(certificates()) / 6;
    let load = under_load(&mut cluster, customers, |cluster, load| {
        load.go_on(share);
        let migration = "BEGIN;
             ALTER TABLE users ADD COLUMN nickname TEXT;
             INSERT INTO schema_versions (version, works_with) VALUES (2, 1);
             INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (2, 'later', true, '\\x00', 0);
             COMMIT";
        cluster.postgres.execute(&cluster.database, migration).expect("migrated");
        for node in 0..2 {
            load.go_on(share);
            let mut authority = cluster.nodes[node].authority.take().expect("it runs");
            authority.terminate(PATIENCE).expect("ended");
            cluster.nodes[node].start_authority().expect("an authority");
        }
        load.go_on(share);
    });
    cluster.check(&load);
    // The lease was given back each time: somebody leads without waiting for it to lapse.
    let holders = "SELECT count(*) FROM leases WHERE name = 'crl-customer'";
    let leaders = || cluster.postgres.execute(&cluster.database, holders);
    until("a leader", leaders, |count| count.as_ref().is_ok_and(|count| count == "1")).expect("awaited");

    let contract = "UPDATE schema_versions SET works_with = 2 WHERE version = 2";
    cluster.postgres.execute(&cluster.database, contract).expect("contracted");
    let node = &mut cluster.nodes[0];
    node.authority.take().expect("it runs").terminate(PATIENCE).expect("ended");
    let refused = node.try_operator(&["doctor"]).expect("doctor");
    assert!(!refused.status.success());
    let said =
        String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("use the newer program"), "{said}");
}
