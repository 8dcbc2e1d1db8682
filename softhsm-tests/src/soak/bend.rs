//! How hostile octets are made from genuine ones. The agent's tests make theirs with this file as well.

use rand::{Rng, RngExt, rngs::StdRng};

/// A sample that was bent somewhere, two that were joined, or a structure without end.
pub(crate) fn hostile(samples: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let one = |rng: &mut StdRng| samples[rng.random_range(0..samples.len())].clone();
    let mut octets = one(rng);
    match rng.random_range(0..8) {
        0 => return endless(rng),
        1 => octets.extend(one(rng)),
        _ => {}
    }
    for _ in 0..rng.random_range(0..6) {
        bend(&mut octets, rng);
    }
    octets
}

/// One change.
fn bend(octets: &mut Vec<u8>, rng: &mut StdRng) {
    if octets.is_empty() {
        return;
    }
    let at = rng.random_range(0..octets.len());
    let to = rng.random_range(at..octets.len());
    match rng.random_range(0..6) {
        0 => octets[at] = rng.random(),
        1 => octets[at] = [0x80, 0x82, 0x84, 0xff, 0x30, 0x31, 0][rng.random_range(0..7)],
        2 => octets.truncate(at),
        3 => drop(octets.drain(at..to)),
        4 => {
            let piece = octets[at..to].to_vec();
            octets.splice(at..at, piece);
        }
        _ => {
            let mut new = vec![0; rng.random_range(1..32)];
            rng.fill_bytes(&mut new);
            octets.splice(at..at, new);
        }
    }
}

/// Deep, wide or long.
fn endless(rng: &mut StdRng) -> Vec<u8> {
    let inner = |tag: u8, content: Vec<u8>| {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[tag, 0x84], length.as_slice(), &content].concat()
    };
    match rng.random_range(0..4) {
        0 => (0..rng.random_range(1..600)).fold(vec![5, 0], |content, _| inner(0x30, content)),
        1 => (0..rng.random_range(1..600)).fold(vec![5, 0], |content, _| inner(0x31, content)),
        2 => inner(0x31, [0x02, 1, 7].repeat(rng.random_range(1..3000))),
        _ => inner(0x30, vec![0x30; rng.random_range(1..20_000)]),
    }
}
