//! Two publish at once, as when a leader hangs and another takes over: nothing that stands in a CRL is missing in the next.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI32, Ordering},
    mpsc::{Receiver, Sender, channel},
};

use async_trait::async_trait;
use ca_core::{
    app::publish_crl::PublishCrl,
    domain::{
        audit::{Actor, AuditEvent, AuditPosition, AuditRow},
        crl::{CrlPolicy, PublishedCrl},
        ids::SerialNumber,
        revocation::RevocationReason,
        user::Role,
    },
    ports::{
        clock::Clock,
        store::{AuditStore, RevocationStore, StoreResult},
    },
    testing::MemorySigner,
};
use der::Decode;
use jiff::Timestamp;
use tokio::{
    runtime::Handle,
    task::{JoinHandle, spawn_blocking},
};
use x509_cert::crl::CertificateList;

use crate::{
    pki::issuer_id,
    world::{GENERAL, World},
};

/// A port that is waited for, once.
struct Halting<T> {
    port: Arc<T>,
    /// So many calls are answered first.
    answered: AtomicI32,
    reached: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

/// The test's end of it.
struct Halt {
    reached: Receiver<()>,
    go_on: Sender<()>,
}

impl<T> Halting<T> {
    fn after(answered: i32, port: Arc<T>) -> (Arc<Self>, Halt) {
        let (reached, is_reached) = channel();
        let (go_on, may_go_on) = channel();
        let halting =
            Self { port, answered: AtomicI32::new(answered), reached, go_on: Mutex::new(may_go_on) };
        (Arc::new(halting), Halt { reached: is_reached, go_on })
    }

    fn port(&self) -> &T {
        if self.answered.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.reached.send(()).expect("the test waits");
            self.go_on.lock().expect("one waits").recv().expect("the test lets it go on");
        }
        &self.port
    }
}

impl<T: Clock> Clock for Halting<T> {
    fn now(&self) -> Timestamp {
        self.port().now()
    }
}

#[async_trait]
impl<T: AuditStore> AuditStore for Halting<T> {
    async fn append(&self, event: AuditEvent) -> StoreResult<()> {
        self.port.append(event).await
    }

    async fn head(&self) -> StoreResult<AuditPosition> {
        self.port().head().await
    }

    async fn rows_after(&self, sequence: u64, limit: u32) -> StoreResult<Vec<AuditRow>> {
        self.port.rows_after(sequence, limit).await
    }
}

/// A publisher that is halted in the middle.
struct Publisher {
    go_on: Sender<()>,
    running: JoinHandle<Option<PublishedCrl>>,
}

impl Publisher {
    /// It has its number, and hasn't read its list: the clock is asked whether a CRL is due, and then in between.
    fn before_its_list(world: &World, signer: Arc<MemorySigner>) -> Self {
        let (clock, halt) = Halting::after(1, world.clock.clone());
        Self::halted(PublishCrl { clock, ..publisher(world, signer) }, halt)
    }

    /// It has read its list, which isn't signed.
    fn after_its_list(world: &World, signer: Arc<MemorySigner>) -> Self {
        let (audit, halt) = Halting::after(0, world.store.clone());
        Self::halted(PublishCrl { audit, ..publisher(world, signer) }, halt)
    }

    fn halted(publish: PublishCrl, halt: Halt) -> Self {
        let runtime = Handle::current();
        let running = spawn_blocking(move || runtime.block_on(publish.run()).expect("no fault"));
        halt.reached.recv().expect("it gets there");
        Self { go_on: halt.go_on, running }
    }

    async fn goes_on(self) -> Option<PublishedCrl> {
        self.go_on.send(()).expect("it waits");
        self.running.await.expect("it ended")
    }
}

/// A node of the world's authority with this signer.
fn publisher(world: &World, signer: Arc<MemorySigner>) -> PublishCrl {
    PublishCrl {
        revocations: world.store.clone(),
        audit: world.store.clone(),
        signer,
        signers: world.store.clone(),
        accords: world.publish.accords.clone(),
        clock: world.clock.clone(),
        issuer: world.publish.issuer.clone(),
        policy: CrlPolicy::default(),
    }
}

/// The same keys with a journal of its own, which knows of no revocation.
fn other_signer(world: &World) -> Arc<MemorySigner> {
    let keys = (&world.authority.issuing_key, &world.authority.responder_key);
    Arc::new(MemorySigner::new(issuer_id(), keys.0.serialized_der(), keys.1.serialized_der()))
}

fn listed(crl: &PublishedCrl) -> Vec<SerialNumber> {
    let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&crl.der).expect("a CRL");
    let entries = list.tbs_cert_list.revoked_certificates.into_iter().flatten();
    let serial = |octets: &[u8]| SerialNumber::from_bytes(octets).expect("a number");
    entries.map(|entry| serial(entry.serial_number.as_bytes())).collect()
}

/// One certificate is revoked, for which both are to publish; one publisher has its number and no list yet, the other has
/// the next number, and its list.
async fn two_at_once(world: &World) -> (SerialNumber, SerialNumber, Publisher, Publisher) {
    world.register("hokkai-02", Role::General, Some(1_000_002)).await;
    let before = world.enrol(GENERAL, 1_000_001).await.serial;
    let meanwhile = world.enrol("hokkai-02", 1_000_002).await.serial;
    world.publish.run().await.expect("a CRL").expect("the first");
    world.revoke_user(GENERAL, RevocationReason::KeyCompromise).await;
    let earlier = Publisher::before_its_list(world, world.signer.clone());
    let later = Publisher::after_its_list(world, other_signer(world));
    (before, meanwhile, earlier, later)
}

#[tokio::test]
async fn what_is_revoked_between_two_that_publish_at_once_is_in_both_or_in_the_next() {
    let world = World::new().await;
    let (before, meanwhile, earlier, later) = two_at_once(&world).await;
    // At a third node: neither signer has heard of it.
    let audit = AuditEvent {
        at: world.clock.now(),
        actor: Actor::System,
        action: "certificate.revoked",
        subject: meanwhile.to_string(),
        details: Vec::new(),
    };
    let (reason, now) = (RevocationReason::KeyCompromise, world.clock.now());
    world.store.revoke(&issuer_id(), &meanwhile, reason, now, audit).await.expect("the ledger");

    let earlier = earlier.goes_on().await.expect("a CRL");
    let later = later.goes_on().await.expect("a CRL");
    assert_eq!((earlier.number, later.number), (2, 3));
    assert_eq!(listed(&earlier), std::slice::from_ref(&before));
    assert_eq!(listed(&later), std::slice::from_ref(&before), "nothing of the one before it is missing");

    let next = world.publish.run().await.expect("a CRL").expect("due for what both lack");
    assert_eq!(next.number, 4);
    let listed = listed(&next);
    assert!(listed.len() == 2 && listed.contains(&before) && listed.contains(&meanwhile), "{listed:?}");
    assert!(world.publish.run().await.expect("nothing").is_none());
}

#[tokio::test]
async fn a_signer_that_knows_more_than_its_publishers_list_gets_a_list_with_a_later_number() {
    let world = World::new().await;
    let (before, meanwhile, earlier, later) = two_at_once(&world).await;
    world.revoke_user("hokkai-02", RevocationReason::KeyCompromise).await;

    let earlier = earlier.goes_on().await.expect("a CRL");
    assert_eq!(earlier.number, 4, "another attempt, as 2 was refused");
    let listed = listed(&earlier);
    assert!(listed.len() == 2 && listed.contains(&before) && listed.contains(&meanwhile), "{listed:?}");
    assert_eq!(later.goes_on().await, None, "3 lacks a revocation, and comes too late");
    let current = world.store.current_crl(&issuer_id()).await.expect("the store");
    assert_eq!(current, Some(earlier));
}
