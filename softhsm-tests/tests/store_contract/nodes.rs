//! Several nodes on one ledger, and a server that is restarted or refuses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ca_core::{
    domain::user::Role,
    ports::{
        census::LedgerCensus,
        store::{AuditStore, CertificateStore, CustomerStore, LeaseStore, RevocationStore, StoreError},
    },
};
use jiff::SignedDuration;
use softhsm_tests::{
    postgres::{self, Pooler, Postgres},
    process::Process,
    relay::Relay,
    scratch::Scratch,
    wait::{PATIENCE, settled, until},
};
use store_contract::samples::{
    complete, customers, enrolment, event, evidence, intend, issue, issuer, record, serial, user, user_id,
    verified_actions,
};
use store_postgres::{OpenError, Options, PostgresStore, Server, migrate};
use tokio::task::JoinSet;

use crate::rig::{Database, blocking};

/// Many facts from each of three nodes: one chain, no gap, no number twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_one_chain() {
    const EACH: u32 = 40;
    let database = Database::migrated().await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Arc::new(database.open().await));
    }
    customers(&*nodes[0], 3 * EACH).await;
    let mut tasks = JoinSet::new();
    for (node, store) in (0..).zip(&nodes) {
        for n in 0..EACH {
            let (store, n) = (store.clone(), 1 + node * EACH + n);
            tasks.spawn(async move {
                issue(&*store, n).await;
                store.next_crl_number(&issuer()).await.expect("a number").number
            });
        }
    }
    let mut numbers = tasks.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=u64::from(3 * EACH)).collect::<Vec<_>>(), "each CRL number once");
    let actions = verified_actions(&*nodes[1]).await;
    let issued = actions.iter().filter(|action| *action == "certificate.issued").count();
    assert_eq!(issued, 3 * EACH as usize);
    assert_eq!(nodes[2].certificates(&issuer(), None, 1000).await.expect("a query").len(), 3 * EACH as usize);
}

/// What one node acknowledged, another sees.
#[tokio::test]
async fn an_acknowledged_fact_is_seen_everywhere_at_once() {
    let database = Database::migrated().await;
    let (one, other) = (database.open().await, database.open().await);
    customers(&one, 20).await;
    for n in 1..=20 {
        issue(&one, n).await;
        let seen = other.certificate(&issuer(), &serial(n)).await.expect("a query").expect("the certificate");
        assert!(seen.der().is_some());
        let repeated = other.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await;
        assert_eq!(repeated.expect("the first").id, enrolment(n).id, "one idempotency key for all nodes");
    }
}

#[tokio::test]
async fn a_lease_passes_on_when_it_lapses_and_when_it_is_given_back() {
    let database = Database::migrated().await;
    let (one, other) = (database.open().await, database.open().await);
    let long = SignedDuration::from_mins(10);
    assert!(one.take_lease("crl", "one", long).await.expect("a query"));
    assert!(!other.take_lease("crl", "other", long).await.expect("a query"));
    one.release_lease("crl", "one").await.expect("given back");
    assert!(other.take_lease("crl", "other", SignedDuration::ZERO).await.expect("a query"));
    assert!(one.take_lease("crl", "one", long).await.expect("a query"), "it had lapsed");
}

/// R11, the store's part: the server goes away in the middle of it all, in order and by `kill -9`, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_is_survived_without_a_hand() {
    let cluster =
        Arc::new(blocking(|| Postgres::start(postgres::Options::default()).expect("a cluster")).await);
    let name = cluster.create_database().expect("a database");
    let server = Server::parse(&cluster.url(&name)).expect("an address");
    migrate(&server).await.expect("a ledger");
    let patient = PostgresStore::open(&server, &Options::default()).await.expect("the store");
    customers(&patient, 0).await;
    let options = Options { acquire_timeout: Duration::from_millis(500), ..Options::default() };
    let store = Arc::new(PostgresStore::open(&server, &options).await.expect("the store"));
    let met = Arc::<Met>::default();
    let appending = tokio::spawn(met.clone().append_to(store.clone()));
    let restarts = blocking({
        let (cluster, met) = (cluster.clone(), met.clone());
        move || {
            let _over = Over(&met);
            for round in 0..5 {
                more(20, "acknowledged rows", &met.acknowledged);
                if round % 2 == 0 { cluster.stop() } else { cluster.kill() }.expect("ended");
                more(2, "refusals", &met.refused);
                cluster.resume().expect("back");
            }
            more(20, "acknowledged rows", &met.acknowledged);
        }
    });
    restarts.await;
    appending.await.expect("no panic");
    answered(|| store.append(event("served"))).await;
    let patient = PostgresStore::open(&server, &Options::default()).await.expect("the store");
    let rows = verified_actions(&patient).await.into_iter().filter(|action| action == "served").count();
    let acknowledged = met.acknowledged.load(Ordering::SeqCst);
    assert!(rows > acknowledged, "{rows} rows of {acknowledged} that were acknowledged and one more");
    assert!(patient.user(&user_id(0)).await.expect("a query").is_some());
}

/// What has become of rows that somebody appends all the time.
#[derive(Debug, Default)]
struct Met {
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

impl Met {
    async fn append_to(self: Arc<Self>, store: Arc<PostgresStore>) {
        while !self.over.load(Ordering::SeqCst) {
            let count = match store.append(event("served")).await {
                Ok(()) => &self.acknowledged,
                Err(StoreError::Unavailable(_)) => &self.refused,
                Err(error) => panic!("{error:?}"),
            };
            count.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    }
}

/// Awaits that there are so many more.
fn more(number: usize, what: &str, of: &AtomicUsize) {
    let wanted = of.load(Ordering::SeqCst) + number;
    until(what, || of.load(Ordering::SeqCst), |count| *count >= wanted);
}

/// Ends the appending, whatever ended the restarts.
struct Over<'a>(&'a Met);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// A node that hangs in a transaction holds the others up for no longer than it may.
#[tokio::test]
async fn a_lock_that_is_held_too_long_makes_writes_unavailable() {
    let database = Database::migrated().await;
    let patient = database.open().await;
    let options = Options { commit_timeout: Duration::from_millis(300), ..Options::default() };
    let store = PostgresStore::open(&database.server(), &options).await.expect("the store");
    let holder = blocking({
        let (cluster, name) = (database.cluster.clone(), database.name.clone());
        move || Holder::of(&cluster, &name, "SELECT pg_advisory_xact_lock(7310325861)")
    })
    .await;
    let refused = store.append(event("late")).await.expect_err("the lock is held");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    drop(holder);
    answered(|| store.append(event("after"))).await;
    verified_actions(&patient).await;
}

/// A query that nobody waits for any more ends at the server, too: else those that were given up would take all the
/// connections that it has.
#[tokio::test]
async fn a_query_that_is_given_up_leaves_nothing_at_the_server() {
    const READERS: u32 = 2;
    let cluster =
        Arc::new(blocking(|| Postgres::start(postgres::Options { fsync: false }).expect("a cluster")).await);
    let name = cluster.create_database().expect("a database");
    let tcp = format!("{}?sslmode=disable", cluster.tcp_url(&name));
    let nobody = user_id(0);
    for (way, url) in [("socket", cluster.url(&name)), ("tcp", tcp)] {
        let server = Server::parse(&url).expect("an address").with_application_name(way);
        migrate(&server).await.expect("a ledger");
        let options =
            Options { readers: READERS, read_timeout: Duration::from_millis(200), ..Options::default() };
        let store = PostgresStore::open(&server, &options).await.expect("the store");
        let holder = blocking({
            let (cluster, name) = (cluster.clone(), name.clone());
            move || Holder::of(&cluster, &name, "LOCK TABLE users")
        })
        .await;
        for _ in 0..10 {
            let refused = store.user(&nobody).await.expect_err("the table is locked");
            assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
        }
        let connections = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{way}'");
        let connections = async || {
            let (cluster, connections) = (cluster.clone(), connections.clone());
            let count = blocking(move || cluster.execute("postgres", &connections).expect("a count")).await;
            count.parse::<u32>().expect("a number")
        };
        settled("connections to be left", connections, |count| *count <= READERS + 1).await;
        drop(holder);
        let log = cluster.log();
        assert!(!log.contains("statement timeout"), "they went by their own time-out: {log}");
        answered(|| store.user(&nobody)).await;
    }
}

/// Somebody's transaction, which holds a lock until it is dropped.
struct Holder {
    _session: Process,
    _scratch: Scratch,
}

impl Holder {
    /// Takes it with this statement.
    fn of(cluster: &Postgres, database: &str, lock: &str) -> Self {
        let scratch = Scratch::new("holder").expect("a scratch directory");
        let mut psql = cluster.tool("psql").expect("psql");
        psql.args(["--no-psqlrc", "--quiet", "--dbname", database]);
        let mut session = Process::spawn_with_input("psql", &mut psql, scratch.path()).expect("a session");
        session.write_line(&format!("BEGIN; {lock};")).expect("it listens");
        let held = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND state = 'idle in transaction' AND starts_with(query, '{lock}')"
        );
        let locks = || cluster.execute(database, &held);
        until("the lock", locks, |count| count.as_ref().is_ok_and(|count| count == "1")).expect("awaited");
        Self { _session: session, _scratch: scratch }
    }
}

/// What an error says, with all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

#[tokio::test]
async fn an_unreachable_server_is_refused() {
    let nowhere = Server::parse("postgres://inro@127.0.0.1:1/inro?sslmode=disable").expect("an address");
    let refused = PostgresStore::open(&nowhere, &Options::default()).await.expect_err("a refusal");
    assert!(matches!(refused, OpenError::Unusable { .. }), "{refused:?}");
    assert!(refused.to_string().contains("127.0.0.1:1"), "{refused}");
}

/// A streaming standby has the ledger, answers, and may be behind: nobody works with it, not even for reading.
#[tokio::test]
async fn a_standby_is_refused_at_the_start_and_when_the_address_leads_to_it_later() {
    let (cluster, standby) = blocking(|| {
        let cluster = Postgres::start(postgres::Options { fsync: false }).expect("a cluster");
        let name = cluster.create_database().expect("a database");
        assert_eq!(name, "ledger_0");
        let standby = cluster.standby().expect("a standby");
        (cluster, standby)
    })
    .await;
    let refused = PostgresStore::open(
        &Server::parse(&standby.url("ledger_0")).expect("an address"),
        &Options::default(),
    )
    .await
    .expect_err("a refusal");
    assert!(told(&refused).contains("the address must lead to the primary"), "{}", told(&refused));

    let relay = Relay::to(cluster.port()).expect("a relay");
    let server = through(&relay, "ledger_0");
    migrate(&server).await.expect("a ledger");
    let patient = PostgresStore::open(&server, &Options::default()).await.expect("the store");
    customers(&patient, 0).await;
    let store = PostgresStore::open(&server, &impatient()).await.expect("the store");
    let nobody = user_id(0);
    relay.lead_to(standby.port());
    refused_for("", || store.user(&nobody)).await;
    // Readiness asks with a write.
    refused_for("the address must lead to the primary", || store.probe()).await;
    relay.lead_to(cluster.port());
    answered(|| store.user(&nobody)).await;
    answered(|| store.append(event("on the primary"))).await;
}

/// A pooler in session mode is as good as none; in transaction mode a node's settings would be other connections' too.
#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused() {
    let database = Database::migrated().await;
    let open = async |mode: &'static str| {
        let cluster = database.cluster.clone();
        let pooler = blocking(move || Pooler::start(&cluster, mode).expect("a pooler")).await;
        let url =
            format!("postgres://postgres@127.0.0.1:{}/{}?sslmode=disable", pooler.port(), database.name);
        let opened =
            PostgresStore::open(&Server::parse(&url).expect("an address"), &Options::default()).await;
        (opened, pooler)
    };
    let (session, _pooler) = open("session").await;
    let session = session.expect("the store");
    customers(&session, 1).await;
    issue(&session, 1).await;
    let (transaction, _pooler) = open("transaction").await;
    let refused = transaction.expect_err("a refusal");
    assert!(told(&refused).contains("a pooler in transaction mode"), "{}", told(&refused));
}

/// The network swallows everything on the connections that there are, and says nothing: nobody waits for the kernel to
/// give up, and new connections take their place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_falls_silent_is_given_up() {
    let database = Database::migrated().await;
    let relay = Relay::to(database.cluster.port()).expect("a relay");
    let patient = database.open().await;
    customers(&patient, 2).await;
    let store = PostgresStore::open(&through(&relay, &database.name), &impatient()).await.expect("the store");
    let store = Arc::new(store);
    let nobody = user_id(0);
    for round in 0..3 {
        relay.freeze();
        // More at once than there are connections, and of each kind: one row, a list, a list row by row, a snapshot.
        let mut tasks = JoinSet::new();
        for n in 0..12 {
            let store = store.clone();
            tasks.spawn(async move {
                let from = store_contract::samples::at(0);
                let signer = store_contract::samples::signer();
                match n % 4 {
                    0 => store.user(&user_id(0)).await.map(drop),
                    1 => store.contracts().await.map(drop),
                    2 => store.revoked(&issuer(), from, u64::MAX).await.map(drop),
                    _ => store.unjournaled_revocations(&issuer(), &signer, 10).await.map(drop),
                }
            });
        }
        let outcomes = in_time(tasks.join_all()).await;
        for outcome in outcomes {
            assert!(matches!(outcome, Ok(()) | Err(StoreError::Unavailable(_))), "{round}: {outcome:?}");
        }
        answered(|| store.user(&nobody)).await;
        answered(|| store.append(event("after silence"))).await;
    }
    verified_actions(&patient).await;
}

fn through(relay: &Relay, database: &str) -> Server {
    let url = format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", relay.port());
    Server::parse(&url).expect("an address")
}

fn impatient() -> Options {
    let short = Duration::from_millis(700);
    Options {
        readers: 3,
        acquire_timeout: short,
        read_timeout: short,
        commit_timeout: 2 * short,
        ..Options::default()
    }
}

/// Far longer than any of it takes, and far shorter than the kernel's patience, which is a quarter of an hour.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it doesn't wait for the kernel")
}

/// Awaits that it works.
async fn answered<T, F: Future<Output = Result<T, StoreError>>>(ask: impl Fn() -> F) {
    in_time(async {
        while let Err(error) = ask().await {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
    })
    .await;
}

/// Awaits that it doesn't, and says why.
async fn refused_for<T, F: Future<Output = Result<T, StoreError>>>(why: &str, ask: impl Fn() -> F) {
    in_time(async {
        while ask().await.err().is_none_or(|error| !told(&error).contains(why)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The server's certificate is checked where the address asks for it.
#[tokio::test]
async fn tls_protects_the_way_to_the_server() {
    let database = Database::migrated().await;
    let tcp = database.cluster.tcp_url(&database.name);
    let authority = database.cluster.server_authority();
    let trusted = format!("{tcp}?sslmode=verify-full&sslrootcert={}", authority.display());
    let store = PostgresStore::open(&Server::parse(&trusted).expect("an address"), &Options::default()).await;
    let store = store.expect("the store");
    store.append(event("encrypted")).await.expect("a row");
    let encrypted =
        database.execute("SELECT count(*) FROM pg_stat_ssl WHERE ssl AND pid <> pg_backend_pid()");
    assert_ne!(encrypted.expect("a count"), "0");
    let strangers = Server::parse(&format!("{tcp}?sslmode=verify-full")).expect("an address");
    let refused = PostgresStore::open(&strangers, &Options::default()).await.expect_err("a refusal");
    assert!(matches!(refused, OpenError::Unusable { .. }), "{refused:?}");
}

/// An entity that no domain rule would let through fails by itself, although it is written in one statement with
/// others.
#[tokio::test]
async fn a_malformed_fact_fails_alone() {
    let database = Database::migrated().await;
    let store = Arc::new(database.open().await);
    customers(&*store, 20).await;
    for n in 1..=20 {
        store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await.expect("opened");
    }
    let mut tasks = JoinSet::new();
    for n in 1..=20 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut new = record(n);
            if n == 7 {
                new.not_after = new.not_before;
            }
            let mut shown = evidence("accepted");
            if n == 8 {
                shown.decoded.push('\0');
            }
            (n, store.record_intent(&new, &shown, event("certificate.intended")).await)
        });
    }
    for (n, result) in tasks.join_all().await {
        assert_eq!(result.is_ok(), n != 7 && n != 8, "{n}: {result:?}");
    }
    let intended =
        verified_actions(&*store).await.into_iter().filter(|action| action == "certificate.intended");
    assert_eq!(intended.count(), 18);
}

#[tokio::test]
async fn a_closed_store_says_so_and_loses_nothing() {
    let database = Database::migrated().await;
    let store = database.open().await;
    customers(&store, 1).await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.append(event("late")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.contracts().await, Err(StoreError::Unavailable(_))));
    let store = database.open().await;
    let taken = store.register_user(&user(1, Role::General), event("user.registered")).await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    intend(&store, 1).await.expect("an intent");
    complete(&store, 1).await.expect("a certificate");
    store.probe().await.expect("it takes writes");
    assert!(store.schema_fits().await.expect("a query"));
    assert!(store.load().commits > 0);
}
