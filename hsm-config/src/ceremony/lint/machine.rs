//! What a specification needs from this machine: modules, PINs, and what their vendors' products can do.

use super::{Mistakes, Spec, TokenSpec};
use crate::{ceremony::Mistake, token::PinKind};

/// Checks what the specification needs from this machine. Changes nothing and asks nobody.
pub fn machine(spec: &Spec) -> Vec<Mistake> {
    let mut mistakes = Mistakes::default();
    vendors(spec, &mut mistakes);
    for token in &spec.tokens {
        modules(token, &mut mistakes);
        let this = token.selections();
        let so_pin = token.officer().map(|so_pin| ("so_", PinKind::So, so_pin));
        for (prefix, kind, source) in [("", PinKind::User, &token.pin)].into_iter().chain(so_pin) {
            if let Some(mistake) = source.mistake_for(&this, kind) {
                let place = format!("token.{}.{prefix}{}", token.name, mistake.key);
                mistakes.add(place, mistake.problem, mistake.remedy);
            }
        }
    }
    for (index, person) in spec.present.iter().enumerate() {
        let Some(token) = person.signs.as_ref().and_then(|signs| signs.token.as_ref()) else { continue };
        let place = format!("present[{}].signs_with", index + 1);
        for (problem, remedy) in token.access.mistakes() {
            mistakes.add(&place, problem, remedy);
        }
        let this = [token.selection.clone()];
        if let Some(mistake) = token.pin.mistake_for(&this, PinKind::User) {
            mistakes.add(format!("{place}.{}", mistake.key), mistake.problem, mistake.remedy);
        }
    }
    mistakes.0
}

/// What the vendors' profiles say against the specification: a ceremony should not find it out from the token.
fn vendors(spec: &Spec, mistakes: &mut Mistakes) {
    for token in &spec.tokens {
        let vendor = &token.access.vendor;
        if let (Some(_), Some(with)) = (&token.initialise, &vendor.token.initialise_with)
            && !vendor.token.initialise
        {
            let problem = format!("can't be initialised through PKCS#11, {} has other ways", vendor.product);
            let remedy = format!("initialise it ({with}), remove so_pin_file and set initialise = false");
            mistakes.add(format!("token.{}", token.name), problem, remedy);
        }
        for key in spec.keys.iter().filter(|key| key.token == token.name && key.is_new()) {
            let place = |what: &str| format!("key.{}.{what}", key.name);
            if !vendor.keys.algorithms.contains(&key.algorithm) {
                let known: Vec<String> = vendor.keys.algorithms.iter().map(ToString::to_string).collect();
                let problem = format!("is {}, which {} doesn't make", key.algorithm, vendor.product);
                mistakes.add(place("algorithm"), problem, format!("choose among {}", known.join(", ")));
            }
            let octets = key.id.as_bytes().len();
            if octets > vendor.keys.longest_id {
                let problem = format!("has {octets} bytes, more than {} keeps", vendor.product);
                let remedy = format!("choose an ID of at most {} bytes", vendor.keys.longest_id);
                mistakes.add(place("id"), problem, remedy);
            }
        }
    }
}

/// Checks the modules alone, for a rehearsal.
pub(in super::super) fn modules(token: &TokenSpec, mistakes: &mut Mistakes) {
    for (problem, remedy) in token.access.mistakes() {
        mistakes.add(format!("token.{}", token.name), problem, remedy);
    }
}
