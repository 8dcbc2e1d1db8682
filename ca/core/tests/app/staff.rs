//! Sessions of staff: bound to a key, ended by time and by withdrawal; and roles that are asked first.

use std::sync::{Arc, Mutex};

use ca_core::{
    app::{
        session::SessionTerms,
        staff::{
            Denied, Guard,
            session::{Presented, StaffSessionError, StaffSessions, Unfit},
        },
    },
    domain::{
        audit::{Actor, AuditEvent},
        ids::{SerialNumber, StaffId},
        machine::ValiditySpan,
        staff::{Member, MemberState, Roles, Task},
    },
    ports::{
        clock::Clock,
        staff::{StaffRevocations, StaffStore},
    },
    testing::CountingRng,
};
use jiff::SignedDuration;
use secrecy::ExposeSecret;

use crate::world::World;

const KEY: [u8; 32] = [7; 32];

fn id(text: &str) -> StaffId {
    StaffId::parse(text).expect("a staff ID")
}

fn event(world: &World) -> AuditEvent {
    let (at, actor) = (world.clock.now(), Actor::System);
    AuditEvent { at, actor, action: "staff.admitted", subject: "hanako".to_owned(), details: Vec::new() }
}

async fn sessions(world: &World, roles: &str) -> StaffSessions {
    let member = Member {
        id: id("hanako"),
        name: "佐藤 花子".to_owned(),
        roles: Roles::parse(roles).expect("roles"),
        state: MemberState::Active,
        key_sha256: KEY,
        certificate: vec![0x30, 0],
        admitted_at: world.clock.now(),
    };
    world.store.put_member(&member, event(world)).await.expect("a member");
    StaffSessions {
        staff: world.store.clone(),
        audit: world.store.clone(),
        clock: world.clock.clone(),
        rng: Arc::new(CountingRng::default()),
        terms: SessionTerms::default(),
        revocations: Arc::new(Revoked::default()),
        budget: Arc::default(),
    }
}

/// The staff CA's CRL.
#[derive(Default)]
struct Revoked(Mutex<Vec<SerialNumber>>);

impl StaffRevocations for Revoked {
    fn is_revoked(&self, serial: &SerialNumber) -> bool {
        self.0.lock().expect("a lock").contains(serial)
    }
}

fn serial(n: u8) -> SerialNumber {
    SerialNumber::from_bytes(&[n]).expect("a serial number")
}

fn presented(world: &World, key: [u8; 32]) -> Presented {
    let year = SignedDuration::from_hours(366 * 24);
    let (not_before, not_after) = (world.clock.now(), world.clock.now() + year);
    Presented { serial: serial(1), key_sha256: key, validity: ValiditySpan { not_before, not_after } }
}

#[tokio::test]
async fn a_session_ends_by_itself_and_is_nobody_elses() {
    let world = World::new().await;
    let sessions = sessions(&world, "clerk").await;
    let mine = presented(&world, KEY);
    let opened = sessions.open(Some(&mine)).await.expect("a session");
    let token = opened.session_token.expose_secret();
    sessions.check(token, Some(&mine)).await.expect("it stands");

    let other = presented(&world, [8; 32]);
    for stranger in [None, Some(&other)] {
        let error = sessions.check(token, stranger).await.expect_err("another key's");
        assert!(matches!(error, StaffSessionError::OtherCertificate), "{error:?}");
    }
    world.clock.advance(SignedDuration::from_mins(9));
    sessions.check(token, Some(&mine)).await.expect("the thief didn't end it, and it isn't idle");
    world.clock.advance(SignedDuration::from_mins(9));
    sessions.check(token, Some(&mine)).await.expect("each request moves the idle clock");
    world.clock.advance(SignedDuration::from_mins(11));
    let error = sessions.check(token, Some(&mine)).await.expect_err("idle");
    assert!(matches!(error, StaffSessionError::Over), "{error:?}");
    let error = sessions.check(token, Some(&mine)).await.expect_err("gone");
    assert!(matches!(error, StaffSessionError::None), "{error:?}");
    assert!(matches!(sessions.check("nonsense", Some(&mine)).await, Err(StaffSessionError::None)));
}

#[tokio::test]
async fn whoever_has_no_good_certificate_is_refused_and_it_is_written_down() {
    let world = World::new().await;
    let sessions = sessions(&world, "clerk").await;
    let mine = presented(&world, KEY);
    let ended = world.clock.now() - SignedDuration::from_secs(1);
    let expired =
        Presented { validity: ValiditySpan { not_before: ended, not_after: ended }, ..mine.clone() };
    let unknown = presented(&world, [9; 32]);
    for (shown, expected) in
        [(None, Unfit::Missing), (Some(&unknown), Unfit::Unknown), (Some(&expired), Unfit::Expired)]
    {
        let error = sessions.open(shown).await.expect_err("a refusal");
        assert!(matches!(error, StaffSessionError::Unfit(found) if found == expected), "{error:?}");
        assert!(world.last_row().contains("staff.login-refused"), "{}", world.last_row());
    }
    let opened = sessions.open(Some(&mine)).await.expect("a session");
    world.store.withdraw_member(&id("hanako"), event(&world)).await.expect("withdrawn");
    let error =
        sessions.check(opened.session_token.expose_secret(), Some(&mine)).await.expect_err("withdrawn");
    assert!(matches!(error, StaffSessionError::None), "{error:?}");
    let error = sessions.open(Some(&mine)).await.expect_err("withdrawn");
    assert!(matches!(error, StaffSessionError::Unfit(Unfit::Withdrawn)), "{error:?}");
}

/// People: "auditor: reads everything, changes nothing".
#[tokio::test]
async fn roles_are_asked_first_and_refusals_say_what_was_wanted() {
    let world = World::new().await;
    let sessions = sessions(&world, "auditor").await;
    let mine = presented(&world, KEY);
    let opened = sessions.open(Some(&mine)).await.expect("a session");
    let active = sessions.check(opened.session_token.expose_secret(), Some(&mine)).await.expect("it stands");
    let guard = Guard { audit: world.store.clone(), clock: world.clock.clone() };
    guard.permit(&active.acting, Task::ReadAudit, "audit").await.expect("an auditor's");
    let error = guard.permit(&active.acting, Task::Revoke, "00ff\n<b>").await.expect_err("a clerk's");
    assert!(matches!(error, Denied::Role(Task::Revoke)), "{error:?}");
    let row = world.last_row();
    assert!(row.contains("staff.denied") && row.contains("task=revoke"), "{row}");
}

/// The staff CA's CRL counts at each request: what it lists opens nothing, and ends what is open.
#[tokio::test]
async fn a_revoked_certificate_ends_the_session_though_its_key_stays_the_members() {
    let world = World::new().await;
    let revoked = Arc::new(Revoked::default());
    let sessions = StaffSessions { revocations: revoked.clone(), ..sessions(&world, "clerk").await };
    let mine = presented(&world, KEY);
    let opened = sessions.open(Some(&mine)).await.expect("a session");
    revoked.0.lock().expect("a lock").push(serial(1));
    let token = opened.session_token.expose_secret();
    let error = sessions.check(token, Some(&mine)).await.expect_err("revoked");
    assert!(matches!(error, StaffSessionError::Unfit(Unfit::Revoked)), "{error:?}");
    let error = sessions.open(Some(&mine)).await.expect_err("revoked");
    assert!(matches!(error, StaffSessionError::Unfit(Unfit::Revoked)), "{error:?}");
    let renewed = Presented { serial: serial(2), ..mine };
    sessions.open(Some(&renewed)).await.expect("another certificate of the same key");
}
