//! What must hold between the parts of a specification, and between it and this machine.

mod attestation;
mod certificate;
mod crl;
mod machine;

use std::collections::{BTreeMap, BTreeSet};

pub use machine::machine;
pub(super) use machine::modules;

use super::facts::Facts;
use super::spec::mistake::Mistakes;
use super::spec::{CertificateSpec, CopySpec, KeySpec, Kind, Origin, Profile, Spec, TokenSpec};
use super::work::tokens::fits;
use crate::token::{PinSource, TokenSelection};
use crate::worker::protocol::Leaving;

/// Checks a specification in itself. Values that the parser left empty were reported by it.
pub(super) fn check(spec: &Spec, mistakes: &mut Mistakes) {
    if spec.present.len() < 2 {
        mistakes.add(
            "present",
            "names fewer than two people",
            "name everybody who attends: nobody holds a ceremony alone",
        );
    }
    for (section, empty) in [("token", spec.tokens.is_empty()), ("key", spec.keys.is_empty())] {
        if empty {
            mistakes.add(section, "is missing", format!("add a section [[{section}]]"));
        }
    }
    unique("token", spec.tokens.iter().map(|token| &token.name), mistakes);
    unique("key", spec.keys.iter().map(|key| &key.name), mistakes);
    let requests = spec.requests.iter().map(|request| &request.name);
    unique("certificate", spec.certificates.iter().map(|c| &c.name).chain(requests), mistakes);
    unique("crl", spec.crls.iter().map(|crl| &crl.issuer), mistakes);
    unique("copy", spec.copies.iter().map(|copy| &copy.key), mistakes);
    unique("destroy", spec.destructions.iter().map(|destruction| &destruction.key), mistakes);
    spec.kind.check(spec, mistakes);
    people(spec, mistakes);
    tokens(spec, mistakes);
    keys(spec, mistakes);
    copies(spec, mistakes);
    officers(spec, mistakes);
    destructions(spec, mistakes);
    certificate::check(spec, mistakes);
    crl::check(spec, mistakes);
}

fn people(spec: &Spec, mistakes: &mut Mistakes) {
    for (index, person) in spec.present.iter().enumerate() {
        let Some(signs) = person.signs.as_ref().filter(|signs| !signs.certificate.der.is_empty()) else {
            continue;
        };
        if let Err(problem) = Facts::of(&signs.certificate.der).and_then(|facts| facts.key_kind()) {
            let key = format!("present[{}].certificate", index + 1);
            let problem = format!("names {}, which {problem}", signs.certificate.path.display());
            mistakes.add(key, problem, "name a certificate with a P-256, P-384 or RSA key");
        }
    }
}

fn unique<'a>(section: &str, names: impl Iterator<Item = &'a String>, mistakes: &mut Mistakes) {
    let mut seen = BTreeMap::new();
    for name in names.filter(|name| !name.is_empty()) {
        *seen.entry(name).or_insert(0) += 1;
    }
    for (name, count) in seen.into_iter().filter(|(_, count)| *count > 1) {
        mistakes.add(
            format!("{section}.{name}"),
            format!("is described {count} times"),
            "give each its own name",
        );
    }
}

fn tokens(spec: &Spec, mistakes: &mut Mistakes) {
    for (index, token) in spec.tokens.iter().enumerate() {
        let path = |key: &str| format!("token.{}.{key}", token.name);
        let (key, text) = match &token.selection {
            TokenSelection::Label(label) => ("label", label),
            TokenSelection::Serial(serial) => ("serial", serial),
        };
        if key == "label" && text.len() > 32 {
            mistakes.add(path(key), "is longer than 32 bytes", "shorten it");
        }
        if text.trim_end() != text {
            mistakes.add(path(key), "ends in a blank, which tokens drop", "remove it");
        }
        let same = |other: &&TokenSpec| other.access == token.access && other.selection == token.selection;
        if let Some(other) = spec.tokens[..index].iter().find(same) {
            let problem = format!("is that of token {:?} as well", other.name);
            mistakes.add(path(key), problem, format!("give each token its own {key}"));
        }
        if token.officer().is_some_and(|so_pin| *so_pin == token.pin && token.pin != PinSource::ProtectedPath)
        {
            mistakes.add(
                path("so_pin_file"),
                "is the same as the user's",
                "give officer and user a PIN each",
            );
        }
        let receives = spec.copies.iter().any(|copy| copy.to == token.name);
        if spec.keys.iter().all(|key| key.token != token.name) && !receives {
            mistakes.add(format!("token.{}", token.name), "holds no key", "remove it or put a key on it");
        }
    }
}

fn keys(spec: &Spec, mistakes: &mut Mistakes) {
    for (index, key) in spec.keys.iter().enumerate() {
        let path = |name: &str| format!("key.{}.{name}", key.name);
        let token = spec.token(&key.token);
        if !key.token.is_empty() && token.is_none() {
            mistakes.add(
                path("token"),
                format!("{:?} is no token", key.token),
                "name a token of this specification",
            );
        }
        if !key.is_new() && token.is_some_and(|token| token.initialise.is_some()) {
            let remedy = "say initialise = false for its token: initialising a token destroys its keys";
            mistakes.add(path("existing"), "is said of a key whose token will be initialised", remedy);
        }
        let same = |other: &&KeySpec| other.token == key.token && other.id == key.id;
        if let Some(other) = spec.keys[..index].iter().find(same) {
            let problem = format!("is that of key {:?} on the same token", other.name);
            mistakes.add(path("id"), problem, "give each key its own ID");
        }
        certified(spec, key, mistakes);
    }
    roots_stand_alone(spec, mistakes);
}

/// A key is certified once, apart from links and from certificates that exist.
fn certified(spec: &Spec, key: &KeySpec, mistakes: &mut Mistakes) {
    let place = format!("key.{}", key.name);
    let of_key = || spec.certificates.iter().filter(|certificate| certificate.key() == Some(&key.name));
    let signed = of_key().filter(|certificate| certificate.issued().is_some()).count();
    if signed > 1 {
        let problem = format!("is certified by {signed} certificates");
        mistakes.add(&place, problem, "give each certificate its own key");
    }
    let requested = spec.requests.iter().any(|request| request.key == key.name);
    let destroyed = spec.destructions.iter().any(|destruction| destruction.key == key.name);
    if of_key().next().is_none() && !requested && !destroyed {
        let remedy = if key.is_new() {
            "remove it or describe its certificate"
        } else {
            "name its certificate in a section [[certificate]] with existing = \"FILE\""
        };
        mistakes.add(&place, "is certified by no certificate", remedy);
    }
    for certificate in of_key() {
        let Some(facts) = certificate.existing().and_then(|file| Facts::of(&file.der).ok()) else { continue };
        if key.origin != Origin::Existing {
            let remedy = "say existing = true for the key, or remove the certificate's key";
            mistakes.add(
                format!("certificate.{}.key", certificate.name),
                "is a key that will be made",
                remedy,
            );
        }
        if let Err(problem) = fits(key.algorithm, &facts.public_key) {
            mistakes.add(
                format!("{place}.algorithm"),
                format!("isn't that of certificate {:?}: {problem}", certificate.name),
                "write the algorithm of the certificate's key",
            );
        }
    }
}

/// No other authority's key shares a token with a root's.
fn roots_stand_alone(spec: &Spec, mistakes: &mut Mistakes) {
    let is_root = |key: &KeySpec| {
        let mut own = spec.certificates.iter().filter(|certificate| certificate.key() == Some(&key.name));
        own.any(|certificate| certificate.profile == Profile::Root)
    };
    let (roots, others): (Vec<&KeySpec>, Vec<&KeySpec>) = spec.keys.iter().partition(|key| is_root(key));
    let tokens: BTreeSet<&str> = others.iter().map(|key| key.token.as_str()).collect();
    for root in roots.into_iter().filter(|root| tokens.contains(root.token.as_str())) {
        mistakes.add(
            format!("key.{}.token", root.name),
            "holds other keys besides the root's",
            "give the root a token of its own",
        );
    }
}

fn copies(spec: &Spec, mistakes: &mut Mistakes) {
    for (index, copy) in spec.copies.iter().enumerate() {
        let place = |key: &str| format!("copy[{}].{key}", index + 1);
        match spec.key(&copy.key) {
            None if copy.key.is_empty() => {}
            None => mistakes.add(
                place("key"),
                format!("{:?} is no key", copy.key),
                "name a key of this specification",
            ),
            Some(key) if key.token == copy.to => {
                mistakes.add(place("to"), "is the token that it is on", "name the second token");
            }
            Some(KeySpec { origin: Origin::New(Leaving::Never), .. }) => {
                let remedy = "say backup = \"wrap\" for the key, or copy it by its vendor's tools";
                mistakes.add(place("key"), "names a key that can never leave its token", remedy);
            }
            Some(_) => {}
        }
        if !copy.to.is_empty() && spec.token(&copy.to).is_none() {
            let problem = format!("{:?} is no token", copy.to);
            mistakes.add(place("to"), problem, "name a token of this specification");
        }
    }
}

/// Whoever trusts the key under which another leaves its token is its security officer, who is needed for nothing else on a
/// token that is ready.
fn officers(spec: &Spec, mistakes: &mut Mistakes) {
    for token in &spec.tokens {
        let leaving = |copy: &&CopySpec| spec.key(&copy.key).is_some_and(|key| key.token == token.name);
        let mut leaving = spec.copies.iter().filter(leaving).map(|copy| copy.key.as_str()).peekable();
        match &token.so_pin {
            Some(source) if leaving.peek().is_none() => {
                let key = match source {
                    PinSource::File(_) => "so_pin_file",
                    PinSource::Credential(_) => "so_pin_credential",
                    PinSource::Custody(_) => "so_pin_custody",
                    PinSource::ProtectedPath => "so_pin",
                };
                mistakes.add(
                    format!("token.{}.{key}", token.name),
                    "has no use on a token that isn't initialised and that no key is copied from",
                    "remove it, or remove initialise = false",
                );
            }
            _ => {}
        }
        let confined = |name: &&str| {
            let origin = spec.key(name).map(|key| key.origin);
            origin == Some(Origin::New(Leaving::WrappedTrusted))
        };
        if let (None, Some(key)) = (token.officer(), leaving.find(confined)) {
            let problem = format!("is missing: key {key:?} leaves under keys alone that the officer trusts");
            let remedy = "give the file that holds the security officer's PIN, or another source of it";
            mistakes.add(format!("token.{}.so_pin_file", token.name), problem, remedy);
        }
    }
}

fn destructions(spec: &Spec, mistakes: &mut Mistakes) {
    for (index, destruction) in spec.destructions.iter().enumerate() {
        let place = |key: &str| format!("destroy[{}].{key}", index + 1);
        match spec.key(&destruction.key) {
            None if destruction.key.is_empty() => {}
            None => {
                let problem = format!("{:?} is no key", destruction.key);
                mistakes.add(place("key"), problem, "name a key of this specification");
            }
            Some(key) if key.is_new() => {
                mistakes.add(
                    place("key"),
                    "names a key that will be made",
                    "say existing = true for the key",
                );
            }
            Some(_) => {}
        }
    }
    if spec.kind == Kind::Retire && spec.present.iter().all(|person| person.signs.is_none()) {
        let remedy = "name the certificate of at least one person in their section [[present]]: the destroyed key can't sign the transcript";
        mistakes.add("present", "has nobody who signs with a key", remedy);
    }
}

/// The certificate that exists or will be signed under this name, if it is an authority's.
fn authority<'a>(spec: &'a Spec, name: &str) -> Option<&'a CertificateSpec> {
    spec.certificate(name).filter(|certificate| certificate.profile.is_authority())
}
