//! Power cuts after which blocks of the last batch are zero: the file system had made the file longer, and hadn't
//! written all of its octets.

use std::{collections::BTreeSet, ops::Range};

use super::{
    super::{
        copy::{CopyError, Copying, receive},
        mark,
    },
    *,
};

const BLOCK: usize = 4096;

/// A journal whose last batch is of several blocks.
struct Batch {
    place: Place,
    octets: Vec<u8>,
    ends: Vec<usize>,
    /// The mark before the batch and after it.
    before: Vec<u8>,
    after: Vec<u8>,
}

const BEFORE: usize = 3;

async fn batch() -> Batch {
    let (place, house) = (place(), house());
    let journal = Journal::open(&place.path, now).expect("opens");
    for number in 1..=BEFORE {
        journal.append(vec![certificate(&house, number as u64)]).await.expect("appended");
    }
    let before = fs::read(mark::path_of(&place.path)).expect("a mark");
    journal.append((10..50).map(|number| certificate(&house, number)).collect()).await.expect("appended");
    let mut ends = vec![HEADER];
    {
        let index = journal.index();
        ends.extend((1..=index.entries()).map(|sequence| {
            let place = index.place(sequence).expect("there");
            usize::try_from(place.offset + place.length).expect("small")
        }));
    }
    drop(journal);
    let after = fs::read(mark::path_of(&place.path)).expect("a mark");
    let octets = fs::read(&place.path).expect("reads");
    Batch { place, octets, ends, before, after }
}

impl Batch {
    fn begin(&self) -> usize {
        self.ends[BEFORE]
    }

    /// The blocks of the last batch, as far as they are its own.
    fn blocks(&self) -> Vec<Range<usize>> {
        let borders = (0..self.octets.len()).step_by(BLOCK);
        borders
            .map(|border| border.max(self.begin())..(border + BLOCK).min(self.octets.len()))
            .filter(|block| !block.is_empty())
            .collect()
    }

    /// Each block alone, each to the end, and each second one.
    fn holes(&self) -> Vec<Vec<Range<usize>>> {
        let blocks = self.blocks();
        assert!(blocks.len() > 4, "{blocks:?}");
        let mut holes: Vec<_> = blocks.iter().map(|block| vec![block.clone()]).collect();
        holes.extend(blocks.iter().map(|block| {
            let to_the_end = block.start..self.octets.len();
            vec![to_the_end]
        }));
        holes.extend((0..2).map(|first| blocks.iter().skip(first).step_by(2).cloned().collect()));
        holes
    }

    /// What stands in the file, and how many entries come before the first change.
    fn put(&self, holes: &[Range<usize>], mark: &[u8]) -> usize {
        let mut octets = self.octets.clone();
        for hole in holes {
            octets[hole.clone()].fill(0);
        }
        self.write(&octets, mark)
    }

    fn write(&self, octets: &[u8], mark: &[u8]) -> usize {
        fs::write(&self.place.path, octets).expect("written");
        fs::write(mark::path_of(&self.place.path), mark).expect("written");
        let changed =
            octets.iter().zip(&self.octets).position(|(one, other)| one != other).expect("a change");
        self.ends.iter().filter(|end| **end <= changed).count() - 1
    }

    /// Both readers name this entry, and leave the file as it is.
    fn is_damaged_at(&self, entry: usize, what: &str) {
        let there = fs::read(&self.place.path).expect("reads");
        for refused in [
            verify(&self.place.path).map(|_| ()).expect_err(what),
            Journal::open(&self.place.path, now).map(|_| ()).expect_err(what),
        ] {
            let OpenError::Damaged { sequence, .. } = refused else { panic!("{what}: {refused}") };
            assert_eq!(sequence, entry as u64, "{what}");
        }
        assert_eq!(fs::read(&self.place.path).expect("reads"), there, "{what}");
    }
}

#[tokio::test]
async fn a_last_batch_with_holes_that_nobody_was_told_of_is_cut_off() {
    let batch = batch().await;
    let mut counts = BTreeSet::new();
    for holes in batch.holes() {
        let complete = batch.put(&holes, &batch.before);
        let end = batch.ends[complete];
        let report = verify(&batch.place.path).unwrap_or_else(|error| panic!("{holes:?}: {error}"));
        assert_eq!(report.entries, complete as u64, "{holes:?}");
        assert_eq!(report.incomplete_octets, (batch.octets.len() - end) as u64, "{holes:?}");
        let journal =
            Journal::open(&batch.place.path, now).unwrap_or_else(|error| panic!("{holes:?}: {error}"));
        assert_eq!(journal.index().entries(), complete as u64, "{holes:?}");
        drop(journal);
        assert_eq!(fs::read(&batch.place.path).expect("reads"), &batch.octets[..end], "{holes:?}");
        counts.insert(complete);
    }
    assert!(counts.contains(&BEFORE) && counts.len() > 4, "{counts:?}");
}

#[tokio::test]
async fn a_hole_in_what_was_acknowledged_is_damage() {
    let batch = batch().await;
    for holes in batch.holes() {
        let complete = batch.put(&holes, &batch.after);
        batch.is_damaged_at(complete + 1, &format!("{holes:?}"));
    }
}

#[tokio::test]
async fn without_a_sound_mark_of_its_own_a_hole_is_damage() {
    let other = batch().await.before;
    let batch = batch().await;
    let hole = [batch.blocks()[2].clone()];
    let mut unsound = batch.before.clone();
    unsound[40] ^= 1;
    for mark in [&other, &unsound, &Vec::new()] {
        let complete = batch.put(&hole, mark);
        batch.is_damaged_at(complete + 1, "another mark");
    }
    let complete = batch.put(&hole, &batch.before);
    fs::remove_file(mark::path_of(&batch.place.path)).expect("removed");
    batch.is_damaged_at(complete + 1, "no mark");
}

#[tokio::test]
async fn more_than_a_batch_is_not_cut_off() {
    let batch = batch().await;
    let complete = batch.put(&[batch.blocks()[2].clone()], &batch.before);
    let file = OpenOptions::new().write(true).open(&batch.place.path).expect("opens");
    file.set_len(100 * 1024 * 1024).expect("longer");
    let refused = Journal::open(&batch.place.path, now).expect_err("too much");
    let OpenError::Damaged { sequence, .. } = refused else { panic!("{refused}") };
    assert_eq!(sequence, complete as u64 + 1);
}

#[tokio::test]
async fn a_changed_bit_is_named_whether_its_entry_was_acknowledged_or_not() {
    let batch = batch().await;
    let hole = batch.blocks().pop().expect("blocks");
    let flipped = |at: usize, hole: Option<&Range<usize>>| {
        let mut octets = batch.octets.clone();
        octets[at] ^= 1;
        if let Some(hole) = hole {
            octets[hole.clone()].fill(0);
        }
        octets
    };
    let last = batch.octets.len() - 1;
    batch.write(&flipped(last, None), &batch.after);
    batch.is_damaged_at(batch.ends.len() - 1, "the last of all");
    for hole in [None, Some(&hole)] {
        for (at, entry) in [
            (batch.begin() - 1, BEFORE),
            (batch.ends[BEFORE - 1] + 1, BEFORE),
            (batch.begin() + 1, BEFORE + 1),
            (batch.ends[BEFORE + 1] - 1, BEFORE + 1),
        ] {
            batch.write(&flipped(at, hole), &batch.before);
            batch.is_damaged_at(entry, &format!("octet {at}, {hole:?}"));
        }
    }
}

#[tokio::test]
async fn an_acknowledged_entry_that_is_cut_short_is_named() {
    let batch = batch().await;
    for cut in [batch.octets.len() - 1, batch.ends[BEFORE] + 5] {
        fs::write(&batch.place.path, &batch.octets[..cut]).expect("written");
        fs::write(mark::path_of(&batch.place.path), &batch.after).expect("written");
        let complete = batch.ends.iter().filter(|end| **end <= cut).count() - 1;
        batch.is_damaged_at(complete + 1, &format!("cut at {cut}"));
    }
}

/// A copy of the batch's journal with this content, and what comes of going on with it over a stream or without one.
fn gone_on(batch: &Batch, there: &[u8]) -> Vec<(Result<(), CopyError>, Vec<u8>)> {
    let gone_on = |copier: &dyn Fn(&std::path::Path) -> Result<(), CopyError>| {
        let copy = super::place();
        fs::write(&copy.path, there).expect("written");
        (copier(&copy.path), fs::read(&copy.path).expect("reads"))
    };
    vec![
        gone_on(&|copy| Copying::to_file(&batch.place.path, copy)?.step().map(|_| ())),
        gone_on(&|copy| receive(&*batch.octets, copy, |_| {}).map(|_| ())),
    ]
}

#[tokio::test]
async fn holes_in_a_copy_are_filled_from_its_journal() {
    let batch = batch().await;
    for holes in batch.holes() {
        let mut there = batch.octets.clone();
        for hole in &holes {
            there[hole.clone()].fill(0);
        }
        for (went, now_there) in gone_on(&batch, &there) {
            went.unwrap_or_else(|error| panic!("{holes:?}: {error}"));
            assert_eq!(now_there, batch.octets, "{holes:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_hole_in_a_copy_stays_damaged() {
    let batch = batch().await;
    let blocks = batch.blocks();
    let mut there = batch.octets.clone();
    there[blocks[1].clone()].fill(0);
    // Somebody changed an entry behind the hole.
    let mut changed = there.clone();
    changed[blocks[3].start + 9] ^= 1;
    // The journal lacks an entry that the copy had.
    let longer = [&there[..], &[7; 90][..]].concat();
    for there in [changed, longer] {
        for (went, _) in gone_on(&batch, &there) {
            let refused = went.expect_err("damaged");
            assert!(matches!(refused, CopyError::Open(OpenError::Damaged { .. })), "{refused}");
        }
    }
}
