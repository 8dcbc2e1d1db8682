//! Personal data whose period is over, and a ledger that fails meanwhile: the store's contract suite says what goes.

use ca_core::{
    app::erase::ErasePersonalData,
    domain::{
        audit::{Actor, AuditEvent},
        retention::{Periods, PersonalData},
        user::UserState,
    },
    ports::{
        clock::Clock as _,
        store::{LoginStore as _, Session},
    },
    testing::Fault,
};
use jiff::SignedDuration;

use crate::{
    names::{GENERAL, MASTER, clerk, user},
    world::World,
};

/// Far more than the longest period after the end of every certificate.
const LATER: SignedDuration = SignedDuration::from_hours(30 * 366 * 24);

fn erase(world: &World) -> ErasePersonalData {
    ErasePersonalData {
        retention: world.store.clone(),
        clock: world.clock.clone(),
        periods: Periods::default(),
    }
}

/// The master has a certificate and was logged in this often; long ago.
async fn logged_in(world: &World, logins: u32) {
    let certificate = world.enrol(MASTER, 1_000_000).await;
    let now = world.clock.now();
    for n in 0..logins {
        let mut token_sha256 = [0; 32];
        token_sha256[..4].copy_from_slice(&n.to_be_bytes());
        let session = Session {
            token_sha256,
            csrf_sha256: [0; 32],
            user: user(MASTER),
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            opened_at: now,
            last_used_at: now,
        };
        let event = AuditEvent {
            at: now,
            actor: Actor::System,
            action: "login",
            subject: MASTER.to_owned(),
            details: Vec::new(),
        };
        world.store.open_session(&session, event).await.expect("a session");
    }
    world.clock.advance(LATER);
}

#[tokio::test]
async fn a_kind_that_fails_keeps_no_other_from_being_erased() {
    use PersonalData::{Enrolments, Evidence, Logins, Mail, RemovedUsers};
    let world = World::new().await;
    world.opened(GENERAL, 1_000_001, "a").await;
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Removed).await.expect("removed");
    logged_in(&world, 2).await;
    let erase = erase(&world);

    world.store.faults().order("erasable", Fault::Before);
    let erased = erase.run(&Actor::System).await;
    assert!(erased.failure.is_some_and(|failure| failure.is_transient()));
    let all_but_logins = [(Logins, 0), (Mail, 0), (Enrolments, 1), (Evidence, 1), (RemovedUsers, 1)];
    assert_eq!(erased.records, all_but_logins);
    assert_eq!(world.rows("personal-data.erased"), 3);

    let erased = erase.run(&Actor::System).await;
    assert!(erased.failure.is_none(), "{:?}", erased.failure);
    assert_eq!(erased.records, [(Logins, 2), (Mail, 0), (Enrolments, 0), (Evidence, 0), (RemovedUsers, 0)]);
}

#[tokio::test]
async fn what_was_erased_before_a_failure_counts() {
    let world = World::new().await;
    logged_in(&world, 501).await;
    let erase = erase(&world);

    world.store.faults().pass("erase");
    world.store.faults().order("erase", Fault::Before);
    let erased = erase.run(&Actor::System).await;
    assert!(erased.failure.is_some());
    assert_eq!(erased.records[0], (PersonalData::Logins, 500), "the first commit");
    assert_eq!(erase.run(&Actor::System).await.records[0], (PersonalData::Logins, 1));
}
