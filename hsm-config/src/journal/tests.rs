//! The journal under crashes, damage, full disks and company.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    sync::atomic::{AtomicI64, AtomicU8, Ordering},
};

use proptest::prelude::*;
use signer_protocol::message::{AuditPosition, KeyLabel, RevocationEntry};
use tempfile::TempDir;
use uuid::Uuid;

use super::{frame::HEADER, storage::Storage, verify::verify, *};
use crate::signer::policy::fixtures::{House, house, now, serial};

mod checkpoints;
mod copies;
mod holes;

fn key() -> KeyLabel {
    KeyLabel("customer-issuing".to_owned())
}

fn certificate(house: &House, number: u64) -> EntryBody {
    EntryBody::Certificate {
        key: key(),
        intent: Uuid::from_u128(number.into()),
        audit_head: AuditPosition { sequence: 9, hash: [9; 32] },
        tbs: house.certificate(number).to_tbs_der().expect("DER"),
        signature: vec![1, 2, 3],
    }
}

fn revocation(number: u64) -> EntryBody {
    let revocation =
        RevocationEntry { serial: serial(number), revoked_at: now(), reason: 4, not_after: now() };
    EntryBody::Revocation { key: key(), audit_head: AuditPosition { sequence: 8, hash: [8; 32] }, revocation }
}

fn crl(house: &House, number: u64) -> EntryBody {
    let tbs = house.crl(number, &[2]).to_tbs_der().expect("DER");
    EntryBody::Crl {
        key: key(),
        audit_head: AuditPosition { sequence: 7, hash: [7; 32] },
        tbs,
        signature: vec![4],
    }
}

struct Place {
    _folder: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("journal");
    Place { _folder: folder, path }
}

/// A journal of four entries and the offset at which each ends.
async fn four(place: &Place) -> Vec<usize> {
    let house = house();
    let journal = Journal::open(&place.path, now).expect("opens");
    let mut ends = vec![HEADER];
    for body in [certificate(&house, 1), certificate(&house, 2), revocation(2), crl(&house, 7)] {
        journal.append(vec![body]).await.expect("appended");
        ends.push(usize::try_from(journal.index().end()).expect("small"));
    }
    ends
}

#[tokio::test]
async fn what_was_appended_is_there_after_opening_again() {
    let place = place();
    let house = house();
    let position = {
        let journal = Journal::open(&place.path, now).expect("opens");
        let bodies = vec![certificate(&house, 1), revocation(1), crl(&house, 3)];
        journal.append(bodies).await.expect("appended")[2]
    };
    let journal = Journal::open(&place.path, now).expect("opens again");
    assert_eq!(journal.last(), Some(position));
    assert_eq!(journal.read(1).expect("reads").expect("there").body, certificate(&house, 1));
    assert_eq!(journal.read(3).expect("reads").expect("there").position, position);
    assert!(journal.read(4).expect("reads").is_none());
    let index = journal.index();
    assert_eq!(index.intent(&Uuid::from_u128(1)), Some(1));
    let past = index.key(&key()).expect("a past");
    let number = Serial::from_content(&serial(1)).expect("a serial number");
    assert_eq!(past.certificate(&number), Some(1));
    assert_eq!(past.revocation(&number).expect("revoked").sequence, 2);
    assert_eq!(past.crl().expect("a CRL").number, 3);
}

#[tokio::test]
async fn an_end_torn_at_any_octet_is_cut_off_and_costs_nothing_else() {
    let whole = place();
    let ends = four(&whole).await;
    let octets = fs::read(&whole.path).expect("reads");
    for cut in ends[0]..octets.len() {
        let torn = place();
        fs::write(&torn.path, &octets[..cut]).expect("written");
        let complete = ends.iter().filter(|end| **end <= cut).count() - 1;
        let report = verify(&torn.path).expect("sound");
        assert_eq!(report.incomplete_octets, (cut - ends[complete]) as u64, "cut at {cut}");
        let journal = Journal::open(&torn.path, now).expect("opens");
        assert_eq!(journal.index().entries(), complete as u64, "cut at {cut}");
        drop(journal);
        assert_eq!(fs::read(&torn.path).expect("reads"), &octets[..ends[complete]], "cut at {cut}");
    }
    let torn = place();
    fs::write(&torn.path, &octets[..HEADER - 1]).expect("written");
    assert!(matches!(Journal::open(&torn.path, now), Err(OpenError::NoJournal { .. })));
}

#[tokio::test]
async fn octets_that_were_reserved_but_never_written_are_cut_off() {
    let place = place();
    let ends = four(&place).await;
    OpenOptions::new().append(true).open(&place.path).expect("opens").write_all(&[0; 5000]).expect("written");
    let journal = Journal::open(&place.path, now).expect("opens");
    assert_eq!(journal.index().entries(), 4);
    assert_eq!(fs::metadata(&place.path).expect("there").len(), ends[4] as u64);
}

#[tokio::test]
async fn a_change_at_any_octet_is_found_and_its_entry_named() {
    let whole = place();
    let ends = four(&whole).await;
    let octets = fs::read(&whole.path).expect("reads");
    let damaged = place();
    for position in 0..octets.len() {
        for bit in [0x01, 0x80] {
            let mut changed = octets.clone();
            changed[position] ^= bit;
            fs::write(&damaged.path, &changed).expect("written");
            match verify(&damaged.path).expect_err("found") {
                OpenError::NoJournal { .. } => assert!(position < HEADER, "octet {position}"),
                OpenError::Damaged { sequence, .. } => {
                    let entry = ends.iter().filter(|end| **end <= position).count();
                    assert_eq!(sequence, entry as u64, "octet {position}");
                }
                other => panic!("octet {position}: {other}"),
            }
        }
    }
    assert_eq!(fs::read(&damaged.path).expect("reads").len(), octets.len(), "verify changes nothing");
}

#[tokio::test]
async fn a_damaged_journal_is_not_opened_and_not_touched() {
    let place = place();
    let ends = four(&place).await;
    let mut octets = fs::read(&place.path).expect("reads");
    // The last entry's length: without its check this would look like an incomplete end.
    octets[ends[3] + 1] ^= 1;
    fs::write(&place.path, &octets).expect("written");
    let refused = Journal::open(&place.path, now).expect_err("damaged");
    assert!(refused.to_string().contains("entry 4"), "{refused}");
    assert_eq!(fs::read(&place.path).expect("reads"), octets);
}

#[tokio::test]
async fn an_entry_that_rots_under_a_running_signer_is_not_handed_out() {
    let place = place();
    let ends = four(&place).await;
    let journal = Journal::open(&place.path, now).expect("opens");
    let mut octets = fs::read(&place.path).expect("reads");
    octets[ends[2] - 1] ^= 1;
    fs::write(&place.path, &octets).expect("written");
    assert!(journal.read(1).is_ok());
    assert!(journal.read(2).is_err());
}

#[tokio::test]
async fn a_journal_belongs_to_one_signer() {
    let place = place();
    let journal = Journal::open(&place.path, now).expect("opens");
    assert!(matches!(Journal::open(&place.path, now), Err(OpenError::Locked { .. })));
    drop(journal);
    assert!(Journal::open(&place.path, now).is_ok());
}

#[tokio::test]
async fn a_journal_that_others_could_have_written_is_not_opened() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let place = place();
    drop(Journal::open(&place.path, now).expect("opens"));
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o620)).expect("mode");
    let refused = Journal::open(&place.path, now).expect_err("the group can write");
    assert!(matches!(refused, OpenError::Exposed { .. }), "{refused}");
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).expect("mode");
    let link = place.path.with_extension("link");
    symlink(&place.path, &link).expect("a link");
    assert!(matches!(Journal::open(&link, now), Err(OpenError::Io { .. })), "somebody else's name for it");
    assert!(Journal::open(&place.path, now).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_appends_at_once_all_arrive_in_one_chain() {
    let place = place();
    let house = house();
    let journal = Journal::open(&place.path, now).expect("opens");
    let appends = (1..=200).map(|number| {
        let (journal, body) = (journal.clone(), certificate(&house, number));
        tokio::spawn(async move { journal.append(vec![body]).await })
    });
    let mut sequences = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        sequences.push(append.await.expect("ran").expect("appended")[0].sequence);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=200).collect::<Vec<u64>>());
    drop(journal);
    assert_eq!(verify(&place.path).expect("sound").certificates, 200);
}

#[tokio::test]
async fn what_contradicts_the_past_is_not_written() {
    let place = place();
    let house = house();
    let journal = Journal::open(&place.path, now).expect("opens");
    let first =
        journal.append(vec![certificate(&house, 1), revocation(1), crl(&house, 3)]).await.expect("appended");
    let mut other_intent = certificate(&house, 1);
    if let EntryBody::Certificate { intent, .. } = &mut other_intent {
        *intent = Uuid::from_u128(50);
    }
    for body in [certificate(&house, 1), other_intent, crl(&house, 3)] {
        let refused = journal.append(vec![body]).await.expect_err("contradicts");
        assert!(matches!(refused, AppendError::Contradiction(_)), "{refused}");
    }
    // All or none, and also within one append.
    let refused = journal.append(vec![certificate(&house, 2), certificate(&house, 2)]).await;
    assert!(matches!(refused, Err(AppendError::Contradiction(_))));
    assert!(journal.append(vec![certificate(&house, 2)]).await.is_ok());
    // A revocation is idempotent, in the past and within one append.
    let again = journal.append(vec![revocation(1), revocation(2), revocation(2)]).await.expect("found");
    assert_eq!(again[0], first[1]);
    assert_eq!(again[1], again[2]);
    assert_eq!(journal.index().entries(), 5);
    drop(journal);
    assert_eq!(verify(&place.path).expect("sound").revocations, 2);
}

static CLOCK: AtomicI64 = AtomicI64::new(1_000_000);

#[tokio::test]
async fn entries_never_go_back_in_time() {
    let place = place();
    let house = house();
    let clock = || Timestamp::from_second(CLOCK.load(Ordering::SeqCst)).expect("a time");
    let journal = Journal::open(&place.path, clock).expect("opens");
    journal.append(vec![certificate(&house, 1)]).await.expect("appended");
    CLOCK.fetch_sub(1, Ordering::SeqCst);
    let refused = journal.append(vec![certificate(&house, 2)]).await.expect_err("behind");
    assert!(matches!(refused, AppendError::ClockBehind(_)));
    CLOCK.fetch_add(1, Ordering::SeqCst);
    journal.append(vec![certificate(&house, 2)]).await.expect("appended");
}

#[tokio::test]
async fn a_clock_that_was_ahead_is_accepted_by_a_human_alone() {
    static AHEAD: AtomicI64 = AtomicI64::new(86_400);
    let house = house();
    let clock = || now() + SignedDuration::from_secs(AHEAD.load(Ordering::SeqCst));
    let place = place();
    let journal = Journal::open(&place.path, clock).expect("opens");
    journal.append(vec![certificate(&house, 1), crl(&house, 7)]).await.expect("a day ahead");
    let before = journal.index().last_at().expect("a time");
    AHEAD.store(0, Ordering::SeqCst);
    let refused = journal.append(vec![certificate(&house, 2)]).await.expect_err("behind");
    assert!(matches!(refused, AppendError::ClockBehind(_)));
    let other = before - SignedDuration::from_secs(1);
    let wrong = journal.append(vec![EntryBody::ClockAccepted { before: other }]).await.expect_err("another");
    assert!(matches!(wrong, AppendError::Contradiction(_)), "{wrong}");
    journal.append(vec![EntryBody::ClockAccepted { before }]).await.expect("accepted");
    journal.append(vec![certificate(&house, 2), crl(&house, 8)]).await.expect("goes on");
    let refused = journal.append(vec![crl(&house, 8)]).await.expect_err("numbers still rise");
    assert!(matches!(refused, AppendError::Contradiction(_)));
    assert!(journal.index().last_at().expect("a time") < before);
    drop(journal);
    assert_eq!(verify(&place.path).expect("sound").entries, 5);
    assert!(Journal::open(&place.path, clock).is_ok());
}

/// A file that fails as told: 1 = full after half of the octets, 2 = the sync fails, 4 = so does cutting off.
struct Failing {
    file: File,
    fault: Arc<AtomicU8>,
}

impl Failing {
    fn has(&self, fault: u8) -> bool {
        self.fault.load(Ordering::SeqCst) & fault != 0
    }
}

impl Storage for Failing {
    fn append(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        if self.has(1) {
            Storage::append(&mut self.file, offset, &octets[..octets.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Storage::append(&mut self.file, offset, octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.has(2) { Err(io::Error::other("EIO")) } else { self.file.sync_data() }
    }

    fn truncate(&mut self, offset: u64) -> io::Result<()> {
        if self.has(4) { Err(io::Error::other("EIO")) } else { Storage::truncate(&mut self.file, offset) }
    }

    fn file(&self) -> &File {
        &self.file
    }
}

#[tokio::test]
async fn a_full_or_failing_disk_refuses_and_recovers_unaided() {
    for fault in [1, 2, 1 | 4, 2 | 4] {
        let place = place();
        let house = house();
        let opened = open::open(&place.path).expect("opens");
        let faults = Arc::new(AtomicU8::new(0));
        let storage = Failing { file: opened.file, fault: Arc::clone(&faults) };
        let journal =
            Journal::start(&place.path, Box::new(storage), (opened.index, None), now, Settings::default())
                .expect("starts");
        journal.append(vec![certificate(&house, 1)]).await.expect("appended");
        let before = fs::read(&place.path).expect("reads");

        faults.store(fault, Ordering::SeqCst);
        for _ in 0..2 {
            let refused = journal.append(vec![certificate(&house, 2)]).await.expect_err("fails");
            assert!(matches!(refused, AppendError::Io(_)), "{refused}");
        }
        assert_eq!(journal.index().entries(), 1, "nobody sees what isn't durable");
        if fault & 4 == 0 {
            assert_eq!(fs::read(&place.path).expect("reads"), before, "cut back to the last good frame");
        }

        faults.store(0, Ordering::SeqCst);
        let position = journal.append(vec![certificate(&house, 2)]).await.expect("recovered")[0];
        assert_eq!(position.sequence, 2);
        drop(journal);
        assert_eq!(verify(&place.path).expect("sound").certificates, 2, "fault {fault}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Cut anywhere after any history: what remains is a prefix of it, and goes on.
    #[test]
    fn a_cut_leaves_a_prefix(numbers in proptest::collection::vec(1_u64..40, 1..12), cut in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let place = place();
            let house = house();
            let journal = Journal::open(&place.path, now).expect("opens");
            for number in &numbers {
                let body = if number % 3 == 0 { revocation(*number) } else { certificate(&house, *number) };
                let _ = journal.append(vec![body]).await;
            }
            let all = journal.index().entries();
            let mut bodies = Vec::new();
            for sequence in 1..=all {
                bodies.push(journal.read(sequence).expect("reads").expect("there"));
            }
            drop(journal);
            let octets = fs::read(&place.path).expect("reads");
            let cut = HEADER + cut.index(octets.len() - HEADER + 1);
            fs::write(&place.path, &octets[..cut]).expect("written");
            fs::remove_file(mark::path_of(&place.path)).expect("removed");
            let journal = Journal::open(&place.path, now).expect("opens");
            let left = journal.index().entries();
            for sequence in 1..=left {
                let entry = journal.read(sequence).expect("reads").expect("there");
                let before = &bodies[usize::try_from(sequence).expect("small") - 1];
                assert_eq!((&entry.body, entry.position), (&before.body, before.position));
            }
            let next = journal.append(vec![certificate(&house, 1000)]).await.expect("goes on");
            assert_eq!(next[0].sequence, left + 1);
        });
    }
}
