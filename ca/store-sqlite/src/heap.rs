//! What a bulk statement takes its BLOBs from: one parameter of octets, and places in it. JSON would carry them in
//! hexadecimal, and SQLite would parse and convert all of it again.

use serde::Serialize;

/// The octets, one BLOB after the other.
#[derive(Debug, Default)]
pub(crate) struct Heap(Vec<u8>);

/// Where a BLOB stands, as `substr` counts: from 1. In SQL `substr($2, value ->> '$.name[0]', value ->> '$.name[1]')`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Slice(usize, usize);

impl Heap {
    /// Appends a BLOB.
    pub(crate) fn put(&mut self, octets: &[u8]) -> Slice {
        let slice = Slice(self.0.len() + 1, octets.len());
        self.0.extend_from_slice(octets);
        slice
    }

    /// The parameter.
    pub(crate) fn into_octets(self) -> Vec<u8> {
        self.0
    }
}
