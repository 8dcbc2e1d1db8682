//! Two nodes on one PostgreSQL, customers without certificates, and clients that insist.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, NewUser, Options, SoftToken, fetch},
    openssl::openssl_with_input,
    postgres::{self, Postgres},
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile, attestation::AttestationKey},
    wait::{PATIENCE, until},
};

pub(crate) const CONTRACT: &str = "1234567";
const FIRST_TOKEN: u32 = 42_000_000;
const FIRMWARE: Firmware = Firmware(5, 7, 2);
const CLIENTS: usize = 6;

/// How many certificates a test under load issues; more for a soak.
pub(crate) fn certificates() -> u32 {
    std::env::var("INRO_CLUSTER_CERTIFICATES").map_or(90, |number| number.parse().expect("a number"))
}

/// Two nodes. Dropping it ends all processes.
pub(crate) struct Cluster {
    pub(crate) nodes: [Bank; 2],
    pub(crate) postgres: Postgres,
    pub(crate) database: String,
    attestation: AttestationKey,
    _scratch: Scratch,
}

/// A customer of the load.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) id: String,
    token: u32,
}

/// Passwords are cheap: they aren't what is tested, and cost more than all the rest.
fn adjust(table: &mut toml::Table) {
    if let Some(toml::Value::Table(passwords)) = table.get_mut("passwords") {
        passwords.insert("memory_kib".to_owned(), 7168.into());
        passwords.insert("iterations".to_owned(), 1.into());
    }
}

impl Cluster {
    /// Everything up to the first request, at both nodes.
    pub(crate) fn open(name: &str) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let postgres = Postgres::start(postgres::Options { fsync: false }).expect("a PostgreSQL");
        let database = postgres.create_database().expect("a database");
        let options = Options { adjust: Some(adjust), ..Options::default() };
        let first = Bank::prepare(&scratch.join("one"), &options).expect("a bank");
        first.hold_ceremony().expect("a ceremony");
        first.use_postgres(&postgres.url(&database)).expect("its configuration");
        first.migrate().expect("a ledger");
        let second = first.another_node(&scratch.join("two"), 2).expect("another node");
        let mut nodes = [first, second];
        for node in &mut nodes {
            node.start_signer().expect("a signer");
            node.start_authority().expect("an authority");
        }
        let profile = Profile::new(FIRST_TOKEN, FIRMWARE);
        let attestation = nodes[0].attestation().authority(FIRMWARE).attestation_key(&profile);
        Self { nodes, postgres, database, attestation: attestation.expect("a key"), _scratch: scratch }
    }

    /// This many customers, copied from the first: the command line would take longer than what they are for.
    pub(crate) fn customers(&self, count: u32) -> Vec<Customer> {
        let seats = (count + 1).to_string();
        let bank = &self.nodes[0];
        let contract = ["contract", "add", CONTRACT, "--name", "負荷試験", "--general-users", &seats];
        bank.operator(&contract).expect("a contract");
        let (id, name) = ("load-00000", "負荷");
        let pattern = NewUser { id, contract: CONTRACT, role: "general", name, token: Some(FIRST_TOKEN) };
        bank.register_user(&pattern).expect("a user");
        let statements = format!(
            "BEGIN;
             INSERT INTO users (id, contract, role, display_name, state, device_kind, device_serial, registered_at)
             SELECT 'load-' || lpad(i::text, 5, '0'), contract, role, display_name, state, device_kind,
                    ({FIRST_TOKEN} + i)::text, registered_at
             FROM users, generate_series(1, {count}) i WHERE id = 'load-00000';
             INSERT INTO passwords (user_id, kind, phc)
             SELECT 'load-' || lpad(i::text, 5, '0'), kind, phc
             FROM passwords, generate_series(1, {count}) i WHERE user_id = 'load-00000';
             COMMIT;"
        );
        self.postgres.execute(&self.database, &statements).expect("customers");
        (1..=count).map(|n| Customer { id: format!("load-{n:05}"), token: FIRST_TOKEN + n }).collect()
    }

    pub(crate) fn token(&self, customer: &Customer) -> SoftToken {
        SoftToken::of_batch(&self.attestation, Profile::new(customer.token, FIRMWARE)).expect("a token")
    }

    /// The certificates of the ledger by serial number.
    pub(crate) fn ledger(&self) -> HashMap<String, Value> {
        let rows = self.nodes[0].operator(&["certificate", "list"]).expect("the ledger");
        let rows = rows.as_array().expect("a list").clone();
        let count = rows.len();
        let serial = |row: &Value| row["serial"].as_str().expect("a serial number").to_owned();
        let by_serial: HashMap<_, _> = rows.into_iter().map(|row| (serial(&row), row)).collect();
        assert_eq!(by_serial.len(), count, "no serial number twice");
        by_serial
    }

    /// What must hold whatever happened: every certificate that a customer has is issued to that customer, none twice, and
    /// the chains of ledger and journals are whole.
    pub(crate) fn check(&self, load: &Load) {
        let seen = load.seen();
        let distinct: HashSet<&String> = seen.iter().map(|(serial, _)| serial).collect();
        assert_eq!(distinct.len(), seen.len(), "two customers have the same serial number");
        let ledger = self.ledger();
        for (serial, user) in &seen {
            let row = ledger.get(serial).unwrap_or_else(|| panic!("{serial} of {user} is lost"));
            assert_eq!(row["user"], **user);
            assert!(matches!(row["state"].as_str(), Some("issued" | "revoked")), "{row}");
        }
        assert!(!ledger.values().any(|row| row["state"] == "intended"), "an intent is still open");
        for node in &self.nodes {
            node.operator(&["audit", "verify"]).expect("an unbroken chain");
            node.journal().expect("a sound journal");
        }
    }

    /// The state of a certificate as this node's OCSP responder gives it.
    pub(crate) fn ocsp(&self, node: usize, certificate: &std::path::Path) -> String {
        let bank = &self.nodes[node];
        let issuer = bank.path("ceremony/issuing.pem");
        let mut command = std::process::Command::new("openssl");
        command.args(["ocsp", "-no_nonce", "-noverify", "-issuer"]).arg(issuer).arg("-cert").arg(certificate);
        command.arg("-url").arg(format!("{}/ocsp", bank.urls().validation));
        let output = softhsm_tests::process::output_of(&mut command, b"").expect("openssl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Number of the CRL that a node serves, and the CRL as text.
pub(crate) fn crl(bank: &Bank) -> Option<(u64, String)> {
    let answer = fetch(&format!("{}/crl/customer-0.crl", bank.urls().validation)).ok()?;
    let number = number_of(&answer.body)?;
    let text = openssl_with_input(&["crl", "-inform", "DER", "-noout", "-text"], &answer.body).ok()?;
    Some((number, String::from_utf8_lossy(&text).into_owned()))
}

/// A CRL's number.
pub(crate) fn number_of(crl: &[u8]) -> Option<u64> {
    use x509_cert::der::Decode as _;
    let list: x509_cert::crl::CertificateList = x509_cert::crl::CertificateList::from_der(crl).ok()?;
    ca_x509::crl::number(list.tbs_cert_list.crl_extensions.as_deref()?)
}

/// Whether a certificate is on a CRL.
pub(crate) fn shows(crl: Option<&(u64, String)>, serial: &str) -> bool {
    crl.is_some_and(|(_, text)| text.contains(&serial.to_uppercase()))
}

/// What the clients have come to.
#[derive(Default)]
pub(crate) struct Load {
    seen: Mutex<Vec<(String, String)>>,
    odd: Mutex<Vec<String>>,
    certified: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    over: AtomicBool,
}

impl Load {
    /// Serial numbers and users.
    pub(crate) fn seen(&self) -> Vec<(String, String)> {
        lock(&self.seen).clone()
    }

    /// Certificates handed out so far.
    pub(crate) fn certified(&self) -> u64 {
        self.certified.load(Ordering::SeqCst)
    }

    /// Answers 503 so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// Requests without an answer so far.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::SeqCst)
    }

    /// Waits until so many more certificates are handed out.
    pub(crate) fn go_on(&self, more: u64) {
        let target = self.certified() + more;
        let reached = || (self.certified(), self.over.load(Ordering::SeqCst));
        until("certificates", reached, |(certified, over)| *certified >= target || *over);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets clients enrol customers, each attempt at whichever node answers, while `disturb` does its worst. Returns when
/// every customer has a certificate. Any answer but a certificate and "later" is a failure.
pub(crate) fn under_load(
    cluster: &mut Cluster,
    customers: Vec<Customer>,
    disturb: impl FnOnce(&mut Cluster, &Load),
) -> Load {
    let clients = [0, 1].map(|node| EnrolmentClient::new(&cluster.nodes[node]).expect("a client"));
    let tokens: Vec<_> = customers.iter().map(|customer| cluster.token(customer)).collect();
    let queue = Mutex::new(customers.into_iter().zip(tokens).collect::<Vec<_>>());
    let load = Load::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|worker| {
                let (clients, queue, load) = (&clients, &queue, &load);
                scope.spawn(move || {
                    loop {
                        let next = lock(queue).pop();
                        let Some((customer, token)) = next else { break };
                        insist(clients, worker, &customer, &token, load);
                    }
                })
            })
            .collect();
        let finished = scope.spawn(|| {
            for worker in workers {
                worker.join().expect("no panic");
            }
            load.over.store(true, Ordering::SeqCst);
        });
        disturb(cluster, &load);
        finished.join().expect("no panic");
    });
    assert_eq!(*lock(&load.odd), Vec::<String>::new(), "answers that no client should get");
    load
}

/// Enrols a customer, whatever it takes, at one node after the other.
fn insist(clients: &[EnrolmentClient; 2], first: usize, customer: &Customer, token: &SoftToken, load: &Load) {
    let (began, key) = (Instant::now(), format!("{}-idempotency-key", customer.id));
    for attempt in first.. {
        match clients[attempt % 2].enroll(&customer.id, token, &key) {
            Ok(Ok(certified)) => {
                let serial = Bank::serial_of(&certified.certificate.0).expect("a certificate");
                lock(&load.seen).push((serial, customer.id.clone()));
                load.certified.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Ok(Err(problem)) if problem.status == 503 || problem.status == 429 => {
                load.refused.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Err(problem)) => {
                lock(&load.odd).push(format!("{}: {problem:?}", customer.id));
                return;
            }
            // Nobody there, or gone in the middle of an answer.
            Err(_) => {
                load.broken.fetch_add(1, Ordering::SeqCst);
            }
        }
        if began.elapsed() > 2 * PATIENCE {
            lock(&load.odd).push(format!("{}: no certificate at all", customer.id));
            return;
        }
        thread::sleep(Duration::from_millis(60));
    }
}
