//! What is acknowledged, and what has left, in which order; without a token, for these answers need none.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use signer_protocol::message::{AuditPosition, EntryBody, RevocationEntry};
use uuid::Uuid;

use super::*;
use crate::{
    journal::Serial,
    signer::{
        config,
        pin::Supply,
        places::Use,
        policy::fixtures::{house, now, serial},
        reservation::Reserved,
    },
    token::{KeyId, ModuleAccess, PinSource, TokenSelection},
};

struct Bench {
    _folder: tempfile::TempDir,
    service: Service,
    label: KeyLabel,
}

fn bench() -> Bench {
    bench_by(now, now)
}

/// With a clock for the journal and another for the service.
fn bench_by(journals: Now, services: Now) -> Bench {
    let folder = tempfile::tempdir().expect("folder");
    let journal = Journal::open(&folder.path().join("journal"), journals).expect("opens");
    let house = house();
    let label = house.issuing.label.clone();
    let id: KeyId = "01".parse().expect("an ID");
    let token_key = TokenKey {
        label: label.clone(),
        id: id.clone(),
        public_key: house.issuing.identity.public_key.clone(),
        public_key_der: house.issuing.identity.public_key_der.clone(),
        algorithm: house.issuing.identity.algorithm,
        used_for: Use::Issuing,
    };
    let token = config::Token {
        name: "token".to_owned(),
        access: ModuleAccess::new(PathBuf::from("/nowhere"), BTreeMap::new()),
        token: TokenSelection::Label("none".to_owned()),
        supply: Supply::new(PinSource::File(folder.path().join("no-pin"))),
        latch: folder.path().join("latch"),
        lanes: config::Lanes { all: 1, for_issuing: 0, for_ocsp: 0, queue: 1 },
        start_deadline: Duration::from_secs(1),
        sign_deadline: Duration::from_secs(1),
    };
    let tokens = Tokens::new(vec![token], vec![token_key]);
    let key = Key { id, certificate: Vec::new(), role: Role::Issuing(house.issuing) };
    let service = Service::new("test".to_owned(), vec![key], journal, tokens, services);
    Bench { _folder: folder, service, label }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn revoke(bench: &Bench, number: u64) -> RequestBody {
    let revocation = RevocationEntry {
        serial: serial(number),
        revoked_at: now(),
        reason: 1,
        not_after: now() + SignedDuration::from_hours(24),
    };
    RequestBody::Revoke {
        key: bench.label.clone(),
        audit_head: AuditPosition::START,
        revocations: vec![revocation],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_acknowledged_after_everything_judged_without_it_has_left() {
    let bench = bench();
    let judged_good = bench.service.leaving(&bench.label).await;
    let mut revoking = pin!(bench.service.answer(revoke(&bench, 1), soon()));
    while bench.service.revocations(&bench.label) == 0 {
        assert!(futures::poll!(revoking.as_mut()).is_pending(), "acknowledged before the other has left");
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        assert!(futures::poll!(revoking.as_mut()).is_pending(), "acknowledged before the other has left");
        tokio::task::yield_now().await;
    }
    drop(judged_good);
    assert!(matches!(revoking.await.0, ReplyBody::Revoked(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_waits_for_the_signing_of_its_certificate() {
    let bench = bench();
    let intent = bench.service.reservations.intent(Uuid::from_u128(1), || None::<()>);
    let Reserved::Held(mut signing) = intent else { panic!("free") };
    let number = Serial::from_content(&serial(1)).expect("a serial number");
    assert!(signing.serial(&bench.label, number));
    let (impatient, _) = bench.service.answer(revoke(&bench, 1), Instant::now()).await;
    assert!(matches!(impatient, ReplyBody::Unavailable { .. }), "{impatient:?}");
    let mut revoking = pin!(bench.service.answer(revoke(&bench, 1), soon()));
    assert!(futures::poll!(revoking.as_mut()).is_pending());
    drop(signing);
    assert!(matches!(revoking.await.0, ReplyBody::Revoked(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_entries_are_in_memory_for_few_at_a_time() {
    let bench = bench();
    let entries = || RequestBody::Entries { after: 0, limit: 1 };
    let mut held = Vec::new();
    for _ in 0..LARGE_REPLIES {
        held.push(bench.service.answer(entries(), soon()).await);
    }
    let (refused, _) = bench.service.answer(entries(), Instant::now()).await;
    assert!(matches!(refused, ReplyBody::Unavailable { .. }), "{refused:?}");
    held.clear();
    assert!(matches!(bench.service.answer(entries(), soon()).await.0, ReplyBody::Entries(_)));
}

/// A clock that moves at each look.
fn ticking() -> Timestamp {
    static TICKS: AtomicI64 = AtomicI64::new(0);
    now() + SignedDuration::from_millis(TICKS.fetch_add(1, Ordering::SeqCst))
}

static WRITTEN_MEANWHILE: Mutex<Option<(Journal, KeyLabel)>> = Mutex::new(None);

/// The same, and somebody else's entry is appended right after the look, as far as the journal lets it in.
fn ticking_while_another_appends() -> Timestamp {
    let seen = ticking();
    if let Some((journal, key)) = WRITTEN_MEANWHILE.lock().expect("no panic").take() {
        let (done, appended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let entry = EntryBody::OcspCount { key, count: 1 };
            futures::executor::block_on(journal.append(vec![entry])).expect("appended");
            done.send(())
        });
        // It is let in either at once or only when the look has been judged.
        let _ = appended.recv_timeout(Duration::from_millis(300));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_written_while_the_clock_is_read_does_not_make_it_look_behind() {
    let bench = bench_by(ticking, ticking_while_another_appends);
    *WRITTEN_MEANWHILE.lock().expect("no panic") = Some((bench.service.journal.clone(), bench.label.clone()));
    bench.service.time().expect("the clock is right");
}
