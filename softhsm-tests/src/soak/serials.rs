//! R12: serial numbers, drawn as the authority draws them.

use std::{collections::HashSet, path::Path};

use anyhow::Result;
use ca_core::domain::serial;

use super::{Outcome, Size};

/// RFC 5280, 4.1.2.2.
const LONGEST: usize = 20;
/// CA/Browser Forum, Baseline Requirements 7.1.
const RANDOM_BITS: usize = 64;

#[expect(clippy::unnecessary_wraps, reason = "it is one of the scenarios")]
pub(super) fn run(_directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome =
        Outcome::new("R12", "serials are positive, at most 20 octets, at least 64 random bits, unique");
    let mut seen = HashSet::with_capacity(size.serials);
    let mut ones = [0_usize; LONGEST * 8];
    for _ in 0..size.serials {
        let serial = serial::from_random(rand::random());
        let octets = serial.as_bytes();
        outcome.check(octets.len() <= LONGEST, || format!("{serial} is too long"));
        outcome.check(octets.first().is_some_and(|first| (1..0x80).contains(first)), || {
            format!("{serial} isn't a minimal positive INTEGER")
        });
        for (bit, count) in ones.iter_mut().enumerate().take(octets.len() * 8) {
            *count += usize::from(octets[bit / 8] >> (7 - bit % 8) & 1);
        }
        outcome.check(seen.insert(octets.to_vec()), || format!("{serial} twice"));
    }
    // A bit that is one between 45 and 55 times of a hundred isn't fixed.
    let free = ones.iter().filter(|count| (45..=55).contains(&(*count * 100 / size.serials))).count();
    outcome.check(free >= RANDOM_BITS, || format!("only {free} bits are random"));
    outcome.figure("serials", size.serials);
    outcome.figure("random_bits", free);
    Ok(outcome.ended())
}
