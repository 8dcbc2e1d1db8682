//! A map that is large, grows at one end of time and must be ready at once after a start: what is old is one sorted
//! block of octets, exactly as a checkpoint keeps it, and what is new a hash map. From time to time the two become one
//! block again.
//!
//! A record is a key of `K` octets and a value of `V`, whose last four are the sequence number of its entry. No key is
//! ever inserted twice, and none is removed.

use std::{collections::HashMap, sync::Arc};

/// Octets of a sequence number.
pub(super) const NUMBER: usize = 4;

/// Old records between two signposts.
const SPACING: usize = 32;

/// The map.
#[derive(Debug)]
pub(super) struct Table<const K: usize, const V: usize> {
    old: Arc<Vec<u8>>,
    /// The beginning of every [`SPACING`]th old key: few enough to stay in the processor's cache, so that a search touches
    /// the large block in one place.
    signposts: Vec<u64>,
    new: HashMap<[u8; K], [u8; V]>,
}

impl<const K: usize, const V: usize> Default for Table<K, V> {
    fn default() -> Self {
        Self { old: Arc::default(), signposts: Vec::new(), new: HashMap::new() }
    }
}

/// Both parts of a table as they were at one entry, to be merged where nobody waits.
#[derive(Debug)]
pub(super) struct Snapshot<const K: usize, const V: usize> {
    old: Arc<Vec<u8>>,
    new: Vec<([u8; K], [u8; V])>,
}

impl<const K: usize, const V: usize> Table<K, V> {
    /// Octets of a record.
    pub(super) const WIDTH: usize = K + V;

    /// A table of what [`Snapshot::merged`] made.
    pub(super) fn of(sorted: Vec<u8>) -> Self {
        let mut table = Self::default();
        table.adopt(Arc::new(sorted), 0);
        table
    }

    pub(super) fn len(&self) -> usize {
        self.old.len() / Self::WIDTH + self.new.len()
    }

    pub(super) fn get(&self, key: &[u8; K]) -> Option<[u8; V]> {
        if let Some(value) = self.new.get(key) {
            return Some(*value);
        }
        // A key that begins as a signpost does may stand on either side of it.
        let begin = beginning(key);
        let from = self.signposts.partition_point(|post| *post < begin).saturating_sub(1) * SPACING;
        let to = self.signposts.partition_point(|post| *post <= begin) * SPACING;
        let octets = self.old.len();
        let near = &self.old[(from * Self::WIDTH).min(octets)..(to * Self::WIDTH).min(octets)];
        let place = search(near, key, Self::WIDTH);
        let (found, value) = record(near, place, Self::WIDTH)?.split_first_chunk::<K>()?;
        if found == key { value.first_chunk().copied() } else { None }
    }

    pub(super) fn insert(&mut self, key: [u8; K], value: [u8; V]) {
        self.new.insert(key, value);
    }

    /// All records, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ([u8; K], [u8; V])> {
        let split = |record: &[u8]| {
            let (key, value) = record.split_first_chunk::<K>()?;
            Some((*key, *value.first_chunk::<V>()?))
        };
        let old = self.old.chunks_exact(Self::WIDTH).filter_map(split);
        old.chain(self.new.iter().map(|(key, value)| (*key, *value)))
    }

    /// Records of entries up to `last`.
    pub(super) fn snapshot(&self, last: u32) -> Snapshot<K, V> {
        let of_then = |(_, value): &(&[u8; K], &[u8; V])| number(*value) <= last;
        let new = self.new.iter().filter(of_then).map(|(key, value)| (*key, *value)).collect();
        Snapshot { old: Arc::clone(&self.old), new }
    }

    /// Takes what a snapshot up to `last` was merged into.
    pub(super) fn adopt(&mut self, merged: Arc<Vec<u8>>, last: u32) {
        self.signposts =
            merged.chunks_exact(Self::WIDTH).step_by(SPACING).map(|record| beginning(&record[..K])).collect();
        self.old = merged;
        self.new.retain(|_, value| number(value) > last);
        self.new.shrink_to_fit();
    }

    /// Merges on the spot when the new part has become large in comparison, so that reading a long journal costs
    /// neither the memory of one hash map nor the time of many merges.
    pub(super) fn tidy(&mut self) {
        const LARGE: usize = 64 * 1024;
        if self.new.len() >= LARGE.max(self.len() / 3) {
            let merged = self.snapshot(u32::MAX).merged();
            self.adopt(Arc::new(merged), u32::MAX);
        }
    }
}

impl<const K: usize, const V: usize> Snapshot<K, V> {
    /// One block, sorted by key.
    pub(super) fn merged(mut self) -> Vec<u8> {
        self.new.sort_unstable();
        let width = K + V;
        let mut merged = Vec::with_capacity(self.old.len() + self.new.len() * width);
        let mut rest = self.old.as_slice();
        for (key, value) in &self.new {
            let (before, after) = rest.split_at(search(rest, key, width) * width);
            merged.extend_from_slice(before);
            merged.extend_from_slice(key);
            merged.extend_from_slice(value);
            rest = after;
        }
        merged.extend_from_slice(rest);
        merged
    }
}

/// The first octets of a key, in the order of keys.
fn beginning(key: &[u8]) -> u64 {
    let mut octets = [0; 8];
    let length = key.len().min(8);
    octets[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(octets)
}

/// The number of records before `key`.
fn search(sorted: &[u8], key: &[u8], width: usize) -> usize {
    let (mut from, mut to) = (0, sorted.len() / width);
    while from < to {
        let middle = usize::midpoint(from, to);
        match record(sorted, middle, width) {
            Some(record) if record[..key.len()] < *key => from = middle + 1,
            _ => to = middle,
        }
    }
    from
}

fn record(sorted: &[u8], place: usize, width: usize) -> Option<&[u8]> {
    sorted.get(place * width..(place + 1) * width)
}

/// The entry of a record, which ends its value.
pub(super) fn number(value: &[u8]) -> u32 {
    value.last_chunk::<NUMBER>().map_or(0, |octets| u32::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However often it is merged in between, up to whichever entry: it holds what was put into it.
        #[test]
        fn a_table_is_a_map(
            keys in proptest::collection::btree_set(any::<[u8; 3]>(), 1..200),
            merges in proptest::collection::vec((0_usize..200, 0_u32..200), 0..5),
        ) {
            let mut table = Table::<3, 5>::default();
            let mut model = BTreeMap::new();
            for (position, key) in keys.iter().rev().enumerate() {
                let sequence = u32::try_from(position).expect("few") + 1;
                let mut value = [7; 5];
                value[1..].copy_from_slice(&sequence.to_be_bytes());
                table.insert(*key, value);
                model.insert(*key, value);
                for (_, last) in merges.iter().filter(|(at, _)| *at == position) {
                    // What a table has merged once stays merged, so snapshots never go back.
                    let merged = table.snapshot((*last).max(sequence / 2)).merged();
                    table.adopt(Arc::new(merged), (*last).max(sequence / 2));
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.iter().collect::<BTreeMap<_, _>>(), model.clone());
            for (key, value) in &model {
                prop_assert_eq!(table.get(key), Some(*value));
            }
            let absent = [0, 0, 0];
            prop_assert_eq!(table.get(&absent).is_some(), model.contains_key(&absent));
            let block = table.snapshot(u32::MAX).merged();
            prop_assert_eq!(block.chunks(8).map(|record| record[..3].to_vec()).collect::<Vec<_>>(),
                model.keys().map(|key| key.to_vec()).collect::<Vec<_>>());
        }
    }
}
