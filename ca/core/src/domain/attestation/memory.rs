//! Signatures between makers' certificates that were verified before. Thousands of devices share an attestation key, and
//! whether one certificate was signed by another never changes.
//!
//! Only what led to a trusted root is remembered, by both certificates as a whole: nobody but a maker can add to it, and
//! one octet more or less in either is another certificate.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Signatures remembered at the most, of some 2 KiB each. A maker has far fewer.
const LIMIT: usize = 1024;

/// The signatures.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashSet<Vec<u8>>>);

impl Memory {
    /// Whether the certificate `below` is known to be signed by the key of the certificate `above`, both DER.
    pub(super) fn knows(&self, below: &[u8], above: &[u8]) -> bool {
        self.known().contains(&link(below, above))
    }

    /// It was verified, and leads to a trusted root.
    pub(super) fn learn(&self, below: &[u8], above: &[u8]) {
        let mut known = self.known();
        if known.len() >= LIMIT {
            known.clear();
        }
        known.insert(link(below, above));
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both, and where the one ends.
fn link(below: &[u8], above: &[u8]) -> Vec<u8> {
    [&below.len().to_be_bytes()[..], below, above].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_of_two_whole_certificates_in_one_direction() {
        let memory = Memory::default();
        memory.learn(b"below", b"above");
        assert!(memory.knows(b"below", b"above"));
        for (below, above) in [
            ("above", "below"),
            ("belowa", "bove"),
            ("below", "abov"),
            ("below", "above!"),
            ("Below", "above"),
        ] {
            assert!(!memory.knows(below.as_bytes(), above.as_bytes()), "{below} by {above}");
        }
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let memory = Memory::default();
        for number in 0..3 * LIMIT {
            memory.learn(&number.to_be_bytes(), b"above");
            assert!(memory.known().len() <= LIMIT);
            assert!(memory.knows(&number.to_be_bytes(), b"above"), "the latest is known");
        }
    }
}
