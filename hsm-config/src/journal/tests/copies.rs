//! Copies that are interrupted, mixed up, ahead or apart, and journals from copies.

use std::sync::Mutex;

use super::{
    super::{
        copy::{self, CopyError, Copying, Position, receive, restore},
        mark,
    },
    *,
};

async fn append(place: &super::Place, bodies: Vec<EntryBody>) {
    let journal = Journal::open(&place.path, now).expect("opens");
    journal.append(bodies).await.expect("appended");
}

fn copy(from: &super::Place, to: &super::Place) -> Result<u64, CopyError> {
    Copying::to_file(&from.path, &to.path)?.step()
}

fn octets(place: &super::Place) -> Vec<u8> {
    fs::read(&place.path).expect("reads")
}

#[tokio::test]
async fn a_copy_follows_its_journal_and_goes_on_from_any_octet() {
    let (journal, target) = (place(), place());
    four(&journal).await;
    assert_eq!(copy(&journal, &target).expect("copied"), 4);
    assert_eq!(octets(&target), octets(&journal));
    assert_eq!(copy(&journal, &target).expect("nothing new"), 0);
    append(&journal, vec![certificate(&house(), 5), revocation(5)]).await;
    assert_eq!(copy(&journal, &target).expect("copied"), 2);
    let whole = octets(&journal);
    assert_eq!(octets(&target), whole);
    verify(&target.path).expect("a copy is a journal");
    for cut in (HEADER..whole.len()).step_by(23) {
        fs::write(&target.path, &whole[..cut]).expect("written");
        copy(&journal, &target).expect("goes on");
        assert_eq!(octets(&target), whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_copy_is_followed_while_the_journal_is_written() {
    let (place_, target) = (place(), place());
    let journal = Journal::open(&place_.path, now).expect("opens");
    let house = house();
    let mut copying = Copying::to_file(&place_.path, &target.path).expect("begins");
    assert!(matches!(Copying::to_file(&place_.path, &target.path), Err(CopyError::Locked(_))));
    for number in 1..=20 {
        journal.append(vec![certificate(&house, number)]).await.expect("appended");
        assert_eq!(copying.step().expect("copied"), 1);
        assert_eq!(copying.position().entries, number);
        assert_eq!(octets(&target), octets(&place_));
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_is_not_copied() {
    let (journal, target) = (place(), place());
    four(&journal).await;
    let acknowledged = octets(&journal);
    let mark_file = fs::read(mark::path_of(&journal.path)).expect("a mark");
    append(&journal, vec![revocation(9)]).await;
    // As if the last batch were written and not synced yet.
    fs::write(mark::path_of(&journal.path), mark_file).expect("written");
    assert_eq!(copy(&journal, &target).expect("copied"), 4);
    assert_eq!(octets(&target), acknowledged);
    fs::remove_file(mark::path_of(&journal.path)).expect("removed");
    assert!(matches!(copy(&journal, &target), Err(CopyError::NoMark(_))));
}

#[tokio::test]
async fn a_copy_of_something_else_is_left_alone_and_told_where_they_part() {
    let (journal, target, foreign) = (place(), place(), place());
    four(&journal).await;
    four(&foreign).await;
    copy(&journal, &target).expect("copied");
    let copied = octets(&target);
    assert!(matches!(copy(&foreign, &target), Err(CopyError::Foreign { .. })));

    // Two that went on from one.
    let two = opened_end(&journal, 2);
    fs::write(&journal.path, &copied[..two]).expect("written");
    drop(Journal::open(&journal.path, now).expect("opens"));
    let ahead = copy(&journal, &target).expect_err("ahead");
    assert!(matches!(ahead, CopyError::Ahead { copied: 4, journaled: 2, parting: 3, .. }), "{ahead}");
    append(&journal, (10..20).map(|number| certificate(&house(), number)).collect()).await;
    let parted = copy(&journal, &target).expect_err("apart");
    assert!(matches!(parted, CopyError::Diverged { parting: 3, .. }), "{parted}");
    assert_eq!(octets(&target), copied, "left alone");

    let mut damaged = copied.clone();
    damaged[two - 1] ^= 1;
    fs::write(&target.path, &damaged).expect("written");
    assert!(matches!(copy(&journal, &target), Err(CopyError::Open(OpenError::Damaged { sequence: 2, .. }))));
    assert_eq!(octets(&target), damaged, "left alone");
}

fn opened_end(place: &super::Place, sequence: u64) -> usize {
    let place = open::open(&place.path).expect("opens").index.place(sequence).expect("there");
    usize::try_from(place.offset + place.length).expect("small")
}

#[tokio::test]
async fn a_journal_that_rots_is_not_copied_beyond_the_rot() {
    let (journal, target) = (place(), place());
    let ends = four(&journal).await;
    let sound = octets(&journal);
    let mut damaged = sound.clone();
    damaged[ends[3] - 1] ^= 1;
    fs::write(&journal.path, &damaged).expect("written");
    let refused = copy(&journal, &target).expect_err("damaged");
    assert!(matches!(refused, CopyError::Source { .. }), "{refused}");
    assert!(octets(&target).len() <= ends[2]);
    fs::write(&journal.path, &sound).expect("written");
    copy(&journal, &target).expect("goes on");
    assert_eq!(octets(&target), sound);
}

/// A stream into memory.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Vec<u8>>>);

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stream(journal: &super::Place, after: u64) -> Vec<u8> {
    let wire = Wire::default();
    Copying::to_stream(&journal.path, after, wire.clone()).expect("begins").step().expect("sent");
    let sent = wire.0.lock().expect("no panic");
    sent.clone()
}

fn received(stream: &[u8], copy: &super::Place) -> Result<Position, CopyError> {
    receive(stream, &copy.path, |_| {})
}

#[tokio::test]
async fn a_stream_is_received_whole_in_parts_or_again() {
    let (journal, target) = (place(), place());
    four(&journal).await;
    let whole = stream(&journal, 0);
    assert_eq!(whole, octets(&journal), "a stream from the first entry is a copy itself");
    for cut in (HEADER..whole.len()).step_by(23) {
        match received(&whole[..cut], &target) {
            Ok(_) | Err(CopyError::Cut(_)) => {}
            Err(other) => panic!("cut at {cut}: {other}"),
        }
        assert!(whole.starts_with(&octets(&target)), "cut at {cut}");
    }
    assert_eq!(received(&whole, &target).expect("received").entries, 4);
    assert_eq!(octets(&target), whole);

    append(&journal, vec![certificate(&house(), 5), revocation(5)]).await;
    assert_eq!(received(&stream(&journal, 4), &target).expect("the rest").entries, 6);
    assert_eq!(octets(&target), octets(&journal));
    let other = place();
    assert!(matches!(received(&stream(&journal, 4), &other), Err(CopyError::Gap { entries: 0, .. })));
    assert!(Copying::to_stream(&journal.path, 7, Wire::default()).is_err(), "there is no such entry");
}

#[tokio::test]
async fn a_stream_of_something_else_changes_nothing() {
    let (journal, other, target) = (place(), place(), place());
    four(&journal).await;
    four(&other).await;
    received(&stream(&journal, 0), &target).expect("received");
    let copied = octets(&target);
    assert!(matches!(received(&stream(&other, 0), &target), Err(CopyError::Foreign { .. })));
    let cut = opened_end(&journal, 3);
    fs::write(&journal.path, &copied[..cut]).expect("written");
    append(&journal, vec![certificate(&house(), 10), revocation(10)]).await;
    assert!(matches!(received(&stream(&journal, 0), &target), Err(CopyError::Diverged { parting: 4, .. })));
    for position in (HEADER..copied.len()).step_by(23) {
        let mut changed = copied.clone();
        changed[position] ^= 1;
        let fresh = place();
        assert!(received(&changed, &fresh).is_err(), "octet {position}");
        assert!(copied.starts_with(&octets(&fresh)), "octet {position}");
    }
    assert_eq!(octets(&target), copied);
}

#[tokio::test]
async fn a_journal_is_restored_from_its_copy_where_there_is_none() {
    let (journal, target, new) = (place(), place(), place());
    four(&journal).await;
    copy(&journal, &target).expect("copied");
    let whole = octets(&target);
    OpenOptions::new()
        .append(true)
        .open(&target.path)
        .expect("opens")
        .write_all(&[1, 2, 3])
        .expect("written");
    assert_eq!(restore(&target.path, &new.path).expect("restored").entries, 4);
    assert_eq!(octets(&new), whole, "without the incomplete end");
    assert!(matches!(restore(&target.path, &new.path), Err(CopyError::Exists(_))));
    append(&new, vec![certificate(&house(), 5)]).await;
    let stat = copy::stat(&new.path, Some(&target.path)).expect("looked at");
    assert_eq!(stat.entries, Some(5));
    assert!(stat.copy_behind_octets.is_some_and(|octets| octets > 0));

    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    fs::write(&target.path, &damaged).expect("written");
    let other = place();
    assert!(restore(&target.path, &other.path).is_err());
    assert!(!other.path.exists());
}
