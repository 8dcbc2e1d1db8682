//! An outage of the mail server, as two nodes see it.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use ca_core::{
    app::send_mail::DeliveryTerms,
    domain::{
        audit::{Actor, AuditEvent},
        contract::{Contract, Plan},
        ids::{ContractNumber, UserId},
        mail::{EmailAddress, MailState},
        user::{PasswordKind, Role, User, UserState},
    },
    ports::{
        mailer::{Mailer, MailerError},
        outbox::ClaimedMail,
        store::{CustomerStore, LeaseStore, LoginStore, StoreResult},
    },
    testing::MemoryStore,
};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::*;

/// Leases by the runtime's clock, which a test may have pass at once.
#[derive(Default)]
struct Leases {
    standing: Mutex<HashMap<String, (String, Instant)>>,
    /// Whoever took a lease that another node, or nobody, had.
    leaders: Mutex<Vec<String>>,
}

impl Leases {
    fn leaders(&self) -> Vec<String> {
        self.leaders.lock().expect("a lock").clone()
    }

    /// Gives a lease to somebody whom nobody asks.
    fn give(&self, job: &str, holder: &str, lifetime: Duration) {
        let lease = (holder.to_owned(), Instant::now() + lifetime);
        self.standing.lock().expect("a lock").insert(job.to_owned(), lease);
    }
}

#[async_trait]
impl LeaseStore for Leases {
    async fn take_lease(&self, name: &str, holder: &str, lifetime: SignedDuration) -> StoreResult<bool> {
        let before = self.standing.lock().expect("a lock").get(name).cloned();
        let standing = before.filter(|(_, until)| *until > Instant::now()).map(|(holder, _)| holder);
        if standing.as_ref().is_some_and(|other| other != holder) {
            return Ok(false);
        }
        if standing.is_none() {
            self.leaders.lock().expect("a lock").push(holder.to_owned());
        }
        self.give(name, holder, lifetime.try_into().expect("a lifetime"));
        Ok(true)
    }

    async fn release_lease(&self, name: &str, _holder: &str) -> StoreResult<()> {
        self.standing.lock().expect("a lock").remove(name);
        Ok(())
    }
}

/// The runtime's clock as the time of day.
struct Passing(Instant);

impl Clock for Passing {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.0.elapsed()
    }
}

/// A mail server that is up or down, and takes its time.
struct Server {
    up: AtomicBool,
    takes: Duration,
}

#[async_trait]
impl Mailer for Server {
    async fn deliver(&self, _mail: &ClaimedMail) -> Result<String, MailerError> {
        sleep(self.takes).await;
        if self.up.load(Ordering::Relaxed) {
            Ok("250 taken".to_owned())
        } else {
            Err(MailerError::Unavailable("no answer".to_owned()))
        }
    }

    async fn rest(&self) {}
}

/// Two nodes over one ledger, with a mail to be sent.
struct Nodes {
    store: Arc<MemoryStore>,
    leases: Arc<Leases>,
    server: Arc<Server>,
    metrics: [Arc<Metrics>; 2],
    running: JoinSet<()>,
}

impl Nodes {
    /// Begins during an outage.
    async fn start(takes: Duration) -> Self {
        let mut nodes = Self {
            store: Arc::default(),
            leases: Arc::default(),
            server: Arc::new(Server { up: AtomicBool::new(false), takes }),
            metrics: Default::default(),
            running: JoinSet::new(),
        };
        queue(&nodes.store).await;
        let clock: Arc<dyn Clock> = Arc::new(Passing(Instant::now()));
        for (metrics, name) in nodes.metrics.clone().into_iter().zip(["ca-1", "ca-2"]) {
            let send = SendMail {
                outbox: nodes.store.clone(),
                mailer: nodes.server.clone(),
                clock: clock.clone(),
                terms: DeliveryTerms {
                    first_retry: SignedDuration::from_mins(1),
                    longest_retry: SignedDuration::from_mins(1),
                    give_up: SignedDuration::from_hours(24),
                    code_lifetime: SignedDuration::from_mins(30),
                    lost: SignedDuration::from_mins(2),
                },
            };
            let notices =
                QueueNotices { outbox: nodes.store.clone(), clock: clock.clone(), issuers: Vec::new() };
            let outgoing = Some(Outgoing { notices, send });
            let mailing = Mailing { outbox: nodes.store.clone(), clock: clock.clone(), outgoing };
            let leader =
                Arc::new(Leader::new(nodes.leases.clone(), "mail".to_owned(), name, metrics.clone()));
            nodes.running.spawn(Job { mailing, leader, metrics }.run());
        }
        nodes
    }

    /// `inro_mail_server_usable` of each node.
    fn usable(&self) -> [bool; 2] {
        [0, 1].map(|node| self.metrics[node].text().contains("\ninro_mail_server_usable 1\n"))
    }

    fn is_delivered(&self) -> bool {
        self.store.all_mail().iter().all(|mail| mail.state == MailState::Delivered)
    }
}

fn done(action: &'static str) -> AuditEvent {
    let (at, subject, details) = (Timestamp::UNIX_EPOCH, "hokkai-01".to_owned(), Vec::new());
    AuditEvent { at, actor: Actor::System, action, subject, details }
}

/// Somebody's login is locked, of which a mail tells.
async fn queue(store: &MemoryStore) {
    let contract = Contract {
        number: ContractNumber::parse("1234567").expect("a number"),
        name: "HOKKAI".to_owned(),
        plan: Plan { general_users: 1 },
        registered_at: Timestamp::UNIX_EPOCH,
    };
    let user = User {
        id: UserId::parse("hokkai-01").expect("an ID"),
        contract: contract.number.clone(),
        role: Role::General,
        display_name: "YAMADA".to_owned(),
        email: Some(EmailAddress::parse("yamada@hokkai.example").expect("an address")),
        state: UserState::Active,
        assigned_device: None,
        locked_at: None,
        registered_at: Timestamp::UNIX_EPOCH,
    };
    store.register_contract(&contract, done("contract.registered")).await.expect("a contract");
    store.register_user(&user, done("user.registered")).await.expect("a user");
    let (login, at) = (PasswordKind::Login, Timestamp::UNIX_EPOCH);
    store.count_wrong_password(&user.id, login, at, 1, done("user.locked")).await.expect("a locked login");
    assert_eq!(store.all_mail().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_over_for_every_node_and_its_leader_stays() {
    // At once refused, and never answered before the patience is over.
    for takes in [Duration::ZERO, Duration::from_mins(1)] {
        let nodes = Nodes::start(takes).await;
        sleep(Duration::from_mins(10)).await;
        let [one, other] = nodes.usable();
        assert!(one != other, "who leads knows of the outage, and nobody else: {one} {other}");
        nodes.server.up.store(true, Ordering::Relaxed);
        sleep(Duration::from_mins(10)).await;
        assert_eq!(nodes.usable(), [true, true]);
        assert!(nodes.is_delivered());
        assert_eq!(nodes.leases.leaders().len(), 1, "{:?}", nodes.leases.leaders());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_led_during_an_outage_has_no_say_any_more() {
    let nodes = Nodes::start(Duration::ZERO).await;
    sleep(Duration::from_mins(10)).await;
    assert_ne!(nodes.usable(), [true, true]);
    nodes.leases.give("mail", "ca-3", Duration::from_hours(1));
    sleep(Duration::from_mins(1)).await;
    assert_eq!(nodes.usable(), [true, true]);
}
