//! PUKs in custody and blocked PINs: who may, when not any more, what a failed commit leaves, and what never shows.

use std::sync::Arc;

use ca_core::{
    app::{
        custody::{
            Occasion,
            deposit::{Confirm, Deposit, DepositError, Deposits},
            erasure::{Erasure, ErasureError, TellErasure},
            reseal::Reseal,
            seal::CustodyKeys,
            unblock::{Ask, Asked, Unblock, UnblockError, UnblockTerms},
        },
        manage_users::{Change, ManageError},
        throttles::{ThrottlePolicies, Throttles},
    },
    domain::{
        audit::Actor,
        certificate::CertificateState,
        policy::TokenState,
        throttle::ThrottlePolicy,
        user::{Role, UserState},
    },
    ports::{
        clock::Clock,
        custody::CustodyStore,
        inventory::InventoryStore,
        store::{CertificateStore, CustomerStore},
    },
    testing::{CountingRng, Fault},
};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::{
    device::device,
    pki::issuer_id,
    world::{CONFIRMATION, GENERAL, MASTER, PASSWORD, World, clerk, key, user},
};

const SERIAL: u32 = 1_000_001;
const PUK: &str = "k3pt-puk";

fn keys(newest: u32) -> Arc<CustodyKeys> {
    let line = |version| CustodyKeys::fresh_line(version, &CountingRng::default()).expose_secret().to_owned();
    let text: Vec<String> = (1..=newest).map(line).collect();
    Arc::new(CustodyKeys::parse(&text.join("\n")).expect("keys"))
}

/// A user with a certificate on a token whose PUK is kept.
struct Custody {
    world: World,
    deposits: Deposits,
    unblock: Unblock,
}

impl Custody {
    async fn new() -> Self {
        let world = World::new().await;
        let (store, clock) = (world.store.clone(), world.clock.clone());
        let deposits = Deposits {
            custody: store.clone(),
            certificates: store.clone(),
            audit: store.clone(),
            clock: clock.clone(),
            rng: Arc::new(CountingRng::default()),
            budget: Arc::default(),
            keys: Some(keys(1)),
        };
        let strict = ThrottlePolicy { free_failures: 1, ..ThrottlePolicy::default() };
        let policies = ThrottlePolicies { user_at_source: strict, ..ThrottlePolicies::default() };
        let unblock = Unblock {
            customers: store.clone(),
            logins: store.clone(),
            certificates: store.clone(),
            custody: store.clone(),
            audit: store,
            passwords: world.passwords.clone(),
            clock,
            rng: Arc::new(CountingRng::default()),
            throttles: Arc::new(Throttles::new(policies)),
            budget: Arc::default(),
            keys: Some(keys(1)),
            terms: UnblockTerms::default(),
        };
        let custody = Self { world, deposits, unblock };
        let opened = custody.world.opened(GENERAL, SERIAL, "custody").await;
        let occasion = Occasion::Enrolment(opened.enrolment.id);
        let name = Uuid::from_u128(1);
        let deposit = |bearer: &SecretString| Deposit {
            occasion,
            bearer: bearer.clone(),
            deposit: name,
            puk: PUK.into(),
            proven: None,
        };
        let stranger = custody.deposits.deposit(deposit(&"another".into())).await;
        assert!(matches!(stranger, Err(DepositError::Bearer)), "{stranger:?}");
        // Persisted, but the answer was lost: the repeat is no error.
        custody.world.store.faults().order("deposit_puk", Fault::After);
        custody.deposits.deposit(deposit(&opened.bearer)).await.expect_err("a fault");
        custody.deposits.deposit(deposit(&opened.bearer)).await.expect("a repeat");
        let confirm = Confirm { occasion, bearer: opened.bearer.clone(), deposit: name };
        custody.deposits.confirm(confirm).await.expect("confirmed");
        custody.world.enrol(GENERAL, SERIAL).await;
        custody
    }

    fn asked(password: &str, serial: u32, number: &str) -> Ask {
        Ask {
            user_id: GENERAL.to_owned(),
            password: password.to_owned().into(),
            device: device(serial),
            source: "192.0.2.1".to_owned(),
            idempotency_key: key(number),
        }
    }

    async fn ask(&self, number: &str) -> Asked {
        self.unblock.ask(Self::asked(PASSWORD, SERIAL, number)).await.expect("a request")
    }

    async fn decide(&self, asked: &Asked, approved: bool) -> Result<(), ManageError> {
        let change = Change::DecideUnblocking { request: asked.unblocking.id, approved };
        let confirmation = CONFIRMATION.to_owned().into();
        self.world.manage.change(&user(MASTER), confirmation, &user(GENERAL), change).await
    }

    async fn released(&self, asked: &Asked) -> Result<Vec<String>, UnblockError> {
        let puks = self.unblock.release(asked.unblocking.id, &asked.bearer).await?;
        Ok(puks.iter().map(|puk| puk.puk.expose_secret().to_owned()).collect())
    }
}

#[tokio::test]
async fn a_puk_is_released_to_an_approved_request_once_and_in_time() {
    let custody = Box::pin(Custody::new()).await;
    let asked = custody.ask("1").await;
    assert!(matches!(custody.released(&asked).await, Err(UnblockError::NotApproved { stage: "waiting" })));
    custody.decide(&asked, true).await.expect("approved");
    let again = custody.decide(&asked, false).await;
    assert!(matches!(again, Err(ManageError::Unblocking(_))), "{again:?}");
    // Too late by a minute: asked for and approved anew.
    custody.world.clock.advance(SignedDuration::from_mins(16));
    assert!(matches!(custody.released(&asked).await, Err(UnblockError::NotApproved { stage: "expired" })));
    let asked = custody.ask("2").await;
    custody.decide(&asked, true).await.expect("approved");
    // Committed, but the answer was lost: nobody gets it a second time.
    custody.world.store.faults().order("release_unblocking", Fault::After);
    assert!(matches!(custody.released(&asked).await, Err(UnblockError::Failure(_))));
    assert!(matches!(custody.released(&asked).await, Err(UnblockError::NotApproved { stage: "released" })));
    let asked = custody.ask("3").await;
    custody.decide(&asked, true).await.expect("approved");
    assert_eq!(custody.released(&asked).await.expect("a PUK"), [PUK]);
    assert_eq!(custody.world.rows("puk.released"), 2);
    let trail = format!("{:?}", custody.world.store.audit_rows());
    assert!(!trail.contains(PUK), "a PUK stands in the trail");
}

#[tokio::test]
async fn who_is_suspended_or_no_holder_gets_nothing() {
    let custody = Box::pin(Custody::new()).await;
    let wrong = custody.unblock.ask(Custody::asked("not the password", SERIAL, "1")).await;
    assert!(matches!(wrong, Err(UnblockError::Authentication)), "{wrong:?}");
    let foreign = custody.unblock.ask(Custody::asked(PASSWORD, 777, "1")).await;
    assert!(matches!(foreign, Err(UnblockError::Authentication)), "one answer for both: {foreign:?}");
    let throttled = custody.unblock.ask(Custody::asked(PASSWORD, SERIAL, "1")).await;
    assert!(matches!(throttled, Err(UnblockError::Throttled { .. })), "{throttled:?}");
    custody.world.clock.advance(SignedDuration::from_mins(1));
    let asked = custody.ask("1").await;
    custody.decide(&asked, true).await.expect("approved");
    let general = user(GENERAL);
    let suspend = |state| custody.world.customers.set_state(clerk(), &general, state);
    suspend(UserState::Suspended).await.expect("suspended");
    assert!(matches!(custody.released(&asked).await, Err(UnblockError::NotPermitted)));
    let refused = custody.unblock.ask(Custody::asked(PASSWORD, SERIAL, "2")).await;
    assert!(matches!(refused, Err(UnblockError::NotPermitted)), "{refused:?}");
    suspend(UserState::Active).await.expect("resumed");
    // A repeat gives another bearer, and the one before is worth nothing.
    let repeat = custody.ask("1").await;
    assert_eq!((repeat.is_new, repeat.unblocking.id), (false, asked.unblocking.id));
    assert!(matches!(custody.released(&asked).await, Err(UnblockError::Bearer)));
    assert_eq!(custody.released(&repeat).await.expect("a PUK"), [PUK]);
    // A token whose PUK nobody keeps.
    custody.world.register("hokkai-09", Role::General, Some(909)).await;
    let ask = Ask { user_id: "hokkai-09".to_owned(), ..Custody::asked(PASSWORD, 909, "9") };
    assert!(matches!(custody.unblock.ask(ask).await, Err(UnblockError::NotKept)));
}

#[tokio::test]
async fn a_new_key_takes_over_and_the_old_one_can_go() {
    let custody = Box::pin(Custody::new()).await;
    let store = custody.world.store.clone();
    let reseal = Reseal {
        custody: store.clone(),
        clock: custody.world.clock.clone(),
        rng: Arc::new(CountingRng::default()),
        keys: keys(2),
    };
    let by = Actor::Operator("root".to_owned());
    assert_eq!(reseal.run(&by, &mut |_| {}).await.expect("resealed"), 1);
    assert_eq!(reseal.run(&by, &mut |_| {}).await.expect("nothing left"), 0);
    assert_eq!(reseal.census().await.expect("counts"), [(2, 1)]);
    let unblock = Unblock { keys: Some(keys(2)), ..custody.unblock };
    let custody = Custody { unblock, ..custody };
    let asked = custody.ask("1").await;
    custody.decide(&asked, true).await.expect("approved");
    assert_eq!(custody.released(&asked).await.expect("a PUK"), [PUK]);
}

#[tokio::test]
async fn a_lost_token_is_revoked_first_and_serves_nobody() {
    let custody = Box::pin(Custody::new()).await;
    let world = &custody.world;
    let lose = async || {
        let confirmation = CONFIRMATION.to_owned().into();
        world.manage.change(&user(MASTER), confirmation, &user(GENERAL), Change::TokenLost).await
    };
    // The state can't be written: the certificate is revoked all the same, and doing it again finishes.
    world.store.faults().order("move_token", Fault::Before);
    lose().await.expect_err("a fault");
    let certificates = world.store.certificates_of(&user(GENERAL)).await.expect("the store");
    assert!(matches!(certificates[0].state, CertificateState::Revoked { .. }));
    lose().await.expect("lost");
    let token = world.store.token(&device(SERIAL)).await.expect("the store").expect("registered by the loss");
    assert_eq!((token.state, token.user), (TokenState::Lost, None));
    assert!(world.store.living_on(&device(SERIAL)).await.expect("the store").is_empty());
    let known = world.store.user(&user(GENERAL)).await.expect("the store").expect("a user");
    assert_eq!(known.assigned_device, None);
    assert!(matches!(lose().await, Err(ManageError::NoToken)), "there is nothing left to lose");
}

#[tokio::test]
async fn only_the_certificates_own_key_tells_of_its_end() {
    let custody = Box::pin(Custody::new()).await;
    let world = &custody.world;
    let record = world.store.certificates_of(&user(GENERAL)).await.expect("the store").remove(0);
    let tell = TellErasure {
        certificates: world.store.clone(),
        revoke: world.revoke.clone(),
        audit: world.store.clone(),
        clock: world.clock.clone(),
        budget: Arc::default(),
        issuer: issuer_id(),
    };
    let certificate = record.der().expect("DER").to_vec();
    let erased_at = world.clock.now();
    let erasure = |certificate: Vec<u8>| Erasure {
        message: ca_wire::token::erasure_message(&certificate, erased_at),
        certificate,
        erased_at,
        signature: vec![0x30, 6, 2, 1, 1, 2, 1, 1],
    };
    assert!(matches!(tell.run(erasure(certificate)).await, Err(ErasureError::Signature)));
    assert!(matches!(tell.run(erasure(vec![0x30, 0])).await, Err(ErasureError::Unknown)));
    let certificates = world.store.certificates_of(&user(GENERAL)).await.expect("the store");
    assert!(matches!(certificates[0].state, CertificateState::Issued { .. }), "nothing was revoked");
}
