//! The PINs of a ceremony's tokens: read, or assembled from custodians, before anything is changed; and at the end the
//! proof that the custodians can open them again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;

use super::super::error::{CeremonyError, Fault};
use super::super::spec::mistake::Mistakes;
use super::super::spec::{Spec, TokenSpec};
use crate::custody::{CustodyError, People, Set, Which};
use crate::token::{Pin, PinSource};

/// The PINs of a ceremony's tokens.
pub(in super::super) struct Pins {
    tokens: BTreeMap<String, TokenPins>,
    /// Of people who sign the transcript, by their place among those present.
    witnesses: BTreeMap<usize, Pin>,
    /// Custody sets in use, each with the generation that gave its PIN.
    sets: RefCell<Vec<(Set, Which)>>,
}

struct TokenPins {
    user: Pin,
    officer: Option<Pin>,
}

impl Pins {
    /// Reads them, asking custodians where they keep them.
    pub(in super::super) fn gather(spec: &Spec, people: &mut dyn People) -> Result<Self, CeremonyError> {
        let mut pins = Self { tokens: BTreeMap::new(), witnesses: BTreeMap::new(), sets: RefCell::default() };
        let mut mistakes = Mistakes::default();
        for token in &spec.tokens {
            let place = |prefix: &str| format!("token.{}.{prefix}pin_file", token.name);
            let initialised = token.initialise.is_some();
            let officer = match token.officer() {
                Some(so_pin) => pins.read(so_pin, initialised, place("so_"), people, &mut mistakes)?,
                None => None,
            };
            if let Some(user) = pins.read(&token.pin, initialised, place(""), people, &mut mistakes)? {
                pins.tokens.insert(token.name.clone(), TokenPins { user, officer });
            }
        }
        for (index, person) in spec.present.iter().enumerate() {
            let Some(token) = person.signs.as_ref().and_then(|signs| signs.token.as_ref()) else { continue };
            let place = format!("present[{}].signs_with.pin_file", index + 1);
            if let Some(pin) = pins.read(&token.pin, false, place, people, &mut mistakes)? {
                pins.witnesses.insert(index, pin);
            }
        }
        if mistakes.0.is_empty() { Ok(pins) } else { Err(CeremonyError::Mistakes(mistakes.0)) }
    }

    /// Random PINs, for tokens that will be thrown away.
    pub(in super::super) fn made_up(spec: &Spec) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut tokens = BTreeMap::new();
        for token in &spec.tokens {
            let pins = TokenPins { user: random_pin()?, officer: Some(random_pin()?) };
            tokens.insert(token.name.clone(), pins);
        }
        Ok(Self { tokens, witnesses: BTreeMap::new(), sets: RefCell::default() })
    }

    fn read(
        &mut self,
        source: &PinSource,
        initialised: bool,
        place: String,
        people: &mut dyn People,
        mistakes: &mut Mistakes,
    ) -> Result<Option<Pin>, CeremonyError> {
        if let PinSource::Custody(folder) = source {
            return self
                .assemble(folder, initialised, people)
                .map(Some)
                .map_err(|cause| CeremonyError::Custody { folder: folder.clone(), cause: Box::new(cause) });
        }
        match source.read() {
            Ok(pin) => Ok(Some(pin)),
            Err(error) => {
                mistakes.add(place, error.to_string(), "correct it, and begin again");
                Ok(None)
            }
        }
    }

    /// The PIN that a custody set keeps.
    fn assemble(
        &mut self,
        folder: &Path,
        initialised: bool,
        people: &mut dyn People,
    ) -> Result<Pin, CustodyError> {
        let set = Set::open(folder)?;
        let which = generation(initialised, set.document().next.is_some(), set.document().switching)?;
        let pin = set.assemble(which, people)?;
        self.sets.get_mut().push((set, which));
        Ok(pin)
    }

    /// Puts every custody set in force whose PIN a token was given, and tells each. No ceremony ends before every
    /// custodian has opened their share.
    pub(in super::super) fn prove(&self) -> Result<Vec<(String, String)>, Fault> {
        let mut told = Vec::new();
        for (set, which) in self.sets.borrow_mut().iter_mut() {
            let name = set.document().name.clone();
            // A re-split that goes on meanwhile is none of this ceremony's: the token keeps the PIN in force.
            if *which == Which::Next && set.document().next.is_some() {
                let unproven = set.unproven();
                if !unproven.is_empty() {
                    return Err(Fault::Unproven { set: set.folder().to_owned(), custodians: unproven });
                }
                set.put_in_force().map_err(|cause| Fault::Custody {
                    set: set.folder().to_owned(),
                    cause: Box::new(cause),
                })?;
            }
            let generation = set.generation(Which::Current);
            let (custodians, threshold) =
                generation.map_or((0, 0), |generation| (generation.custodians.len(), generation.threshold));
            let what = format!(
                "custody set {name:?} is in force: each of its {custodians} custodians has opened their share; any {threshold} of them give the PIN"
            );
            told.push((what, name));
        }
        Ok(told)
    }

    /// A token's user's PIN.
    pub(in super::super) fn user(&self, token: &TokenSpec) -> Pin {
        self.tokens.get(&token.name).map_or_else(Pin::at_the_token, |pins| pins.user.copy())
    }

    /// A token's security officer's PIN.
    pub(in super::super) fn officer(&self, token: &TokenSpec) -> Pin {
        let officer = self.tokens.get(&token.name).and_then(|pins| pins.officer.as_ref());
        officer.map_or_else(Pin::at_the_token, Pin::copy)
    }

    /// The PIN of somebody who signs the transcript.
    pub(super) fn witness(&self, index: usize) -> Pin {
        self.witnesses.get(&index).map_or_else(Pin::at_the_token, Pin::copy)
    }
}

/// The generation whose PIN a token has, or gets: the one that is being made for a token that this ceremony initialises
/// with it, else the one in force. A wrong one would spend one of the token's tries.
fn generation(initialised: bool, being_made: bool, switching: bool) -> Result<Which, CustodyError> {
    match (switching, initialised && being_made) {
        (true, _) => Err(CustodyError::Switching),
        (false, true) => Ok(Which::Next),
        (false, false) => Ok(Which::Current),
    }
}

fn random_pin() -> Result<Pin, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(Pin::new(SecretString::from(hex::encode(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_that_is_initialised_gets_the_pin_that_is_being_made() {
        assert_eq!(generation(true, true, false).expect("a generation"), Which::Next);
        assert_eq!(generation(true, false, false).expect("put in force already"), Which::Current);
        assert_eq!(generation(false, true, false).expect("a re-split goes on"), Which::Current);
        assert_eq!(generation(false, false, false).expect("a generation"), Which::Current);
        for (initialised, being_made) in [(true, true), (false, true), (false, false)] {
            assert!(matches!(generation(initialised, being_made, true), Err(CustodyError::Switching)));
        }
    }
}
