//! The token's randomness, as far as a short look can tell: a generator that is stuck or badly biased, not one that is
//! weak.

use super::Subject;
use super::finding::Report;
use crate::token::TokenDescription;
use crate::worker::handle::Worker;
use crate::worker::look::{Look, Seen, TokenState};
use crate::worker::protocol::{Answer, Command};

/// 20,000 bits.
const OCTETS: u32 = 2500;
/// Half of them, give or take seven standard deviations: a good generator is outside once in 10^11 looks.
const ONES: std::ops::RangeInclusive<u32> = 9_505..=10_495;

/// Draws twice and compares.
pub(super) async fn examine(
    subject: &Subject,
    token: &TokenDescription,
    state: &TokenState,
    worker: &Worker,
    report: &mut Report,
) {
    if !state.rng {
        return report.note(
            "random",
            &token.label,
            "says that it has no generator (CKF_RNG); its keys need one of its own",
        );
    }
    let mut draws = Vec::new();
    for _ in 0..2 {
        match worker.call(Command::Look(Look::Random { octets: OCTETS }), subject.sign_deadline).await {
            Ok(Answer::Seen(Seen::Random(octets))) => draws.push(octets),
            Ok(_) => return,
            Err(error) => {
                return report.warn(
                    "random",
                    &token.label,
                    format!("C_GenerateRandom fails: {error}"),
                    "ask the vendor: ECDSA needs randomness for every signature",
                );
            }
        }
    }
    match fault(&draws[0], &draws[1]) {
        None => report.fine("random", &token.label, "two draws of 20,000 bits look random"),
        Some(fault) => report.fail(
            "random",
            &token.label,
            fault,
            "take the HSM out of use: with bad randomness ECDSA signatures give the private key away",
        ),
    }
}

fn fault(one: &[u8], other: &[u8]) -> Option<String> {
    if one.len() != OCTETS as usize || other.len() != OCTETS as usize {
        return Some(format!("{OCTETS} octets were asked for, {} and {} came", one.len(), other.len()));
    }
    if one == other {
        return Some("two draws were equal".to_owned());
    }
    for draw in [one, other] {
        let ones: u32 = draw.iter().map(|octet| octet.count_ones()).sum();
        if !ONES.contains(&ones) {
            return Some(format!("of 20,000 bits {ones} are ones"));
        }
        if draw.windows(8).any(|window| window.iter().all(|octet| *octet == window[0])) {
            return Some("the same octet came eight times in a row".to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_is_stuck_or_biased_is_noticed() {
        let mut good = [vec![0; OCTETS as usize], vec![0; OCTETS as usize]];
        for draw in &mut good {
            aws_lc_rs::rand::fill(draw).expect("randomness");
        }
        let [one, other] = good;
        assert_eq!(fault(&one, &other), None);
        assert!(fault(&one, &one).is_some());
        assert!(fault(&one, &vec![0; OCTETS as usize]).is_some());
        assert!(fault(&one[..10], &other).is_some());
        let biased: Vec<u8> = one.iter().map(|octet| octet | 1).collect();
        assert!(fault(&biased, &other).is_some());
        let mut stuck = one.clone();
        stuck[100..108].fill(7);
        assert!(fault(&other, &stuck).is_some());
    }
}
