//! Retiring a token (譲渡・廃棄する場合): key and certificate of a slot are made unusable for ever, or the whole token is
//! put back to what it was in the factory.

use jiff::Timestamp;

use crate::{
    certificate::CertificateDetails,
    enrol::{EnrolError, Person, Question, Step, fresh_identifiers, verified_pin},
    farewell::Farewells,
    secret::Pin,
    token::{KeyPresence, ManagementKey, Slot, Token, TokenDriver, TokenError, TokenIdentity},
};

/// What was done.
#[derive(Debug)]
pub(crate) struct Erased {
    pub(crate) token: TokenIdentity,
    pub(crate) slot: Slot,
    /// `None` when the slot was empty.
    pub(crate) what: Option<Erasure>,
}

/// What a slot held.
#[derive(Debug)]
pub(crate) struct Erasure {
    pub(crate) certificate: Option<CertificateDetails>,
    /// Whether the key signed that it is gone: the bank is told, now or later.
    pub(crate) signed: bool,
}

/// A token that is as it was in the factory.
#[derive(Debug)]
pub(crate) struct Emptied {
    pub(crate) token: TokenIdentity,
    /// What was on it. The bank doesn't know: without the PIN no key signs.
    pub(crate) certificates: Vec<CertificateDetails>,
}

/// Erases a slot; an empty one is left as it is. The key goes first: an interruption leaves at most a certificate
/// without its key, which running again removes.
///
/// # Errors
/// [`EnrolError::Occupied`] when the person doesn't agree, otherwise what the token says.
pub(crate) fn erase(
    driver: &dyn TokenDriver,
    person: &mut dyn Person,
    farewells: &Farewells,
    (serial, slot): (&str, Slot),
    management_key: Option<&ManagementKey>,
    now: Timestamp,
) -> Result<Erased, EnrolError> {
    let mut token = driver.open(serial)?;
    let identity = token.identity().clone();
    let state = token.slot(slot)?;
    if state.is_free() && state.key != KeyPresence::Unknown {
        return Ok(Erased { token: identity, slot, what: None });
    }
    let certificate = state.certificate.as_deref().and_then(|der| CertificateDetails::read(der).ok());
    let question =
        Question::Erase { token: identity.clone(), slot, certificate: certificate.clone().map(Box::new) };
    if !person.agrees(&question) {
        return Err(EnrolError::Occupied { slot });
    }
    let pin = unlock(token.as_mut(), person, management_key)?;
    let there = !matches!(state.key, KeyPresence::Absent | KeyPresence::Destroyed);
    let farewell = match &state.certificate {
        Some(der) if there => {
            person.tell(Step::SigningErasure);
            // A key that asks for its PIN each time wants it just before.
            token.verify_pin(&pin)?;
            farewells.sign(token.as_mut(), slot, der, now)?
        }
        Some(der) => farewells.of(der),
        None => None,
    };
    person.tell(Step::Erasing { slot });
    token.destroy_key(slot)?;
    let signed = farewell.is_some();
    if let Some(farewell) = farewell {
        farewell.done()?;
    }
    token.delete_certificate(slot)?;
    token.write_identifiers(&fresh_identifiers(now))?;
    Ok(Erased { token: identity, slot, what: Some(Erasure { certificate, signed }) })
}

/// Verifies the PIN and authenticates with the management key, changing nothing.
fn unlock(
    token: &mut dyn Token,
    person: &mut dyn Person,
    given: Option<&ManagementKey>,
) -> Result<Pin, EnrolError> {
    if token.pin_status()?.tries_left == 0 {
        return Err(TokenError::PinBlocked.into());
    }
    let pin = verified_pin(token, person)?;
    token.unlock(given)?;
    Ok(pin)
}

/// Puts a token back to what it was in the factory, whatever state it is in: a blocked PIN, or one that nobody knows, is
/// no obstacle. Every key on it is lost.
///
/// # Errors
/// [`EnrolError::KeptToken`] when the person doesn't agree, otherwise what the token says.
pub(crate) fn empty(
    driver: &dyn TokenDriver,
    person: &mut dyn Person,
    serial: &str,
) -> Result<Emptied, EnrolError> {
    let mut token = driver.open(serial)?;
    let identity = token.identity().clone();
    let mut certificates = Vec::new();
    for slot in Slot::all() {
        let certificate = token.certificate(slot)?;
        certificates.extend(certificate.and_then(|der| CertificateDetails::read(&der).ok()));
    }
    let question = Question::EraseAll { token: identity.clone(), certificates: certificates.clone() };
    if !person.agrees(&question) {
        return Err(EnrolError::KeptToken);
    }
    person.tell(Step::Resetting);
    token.reset()?;
    Ok(Emptied { token: identity, certificates })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::KeyPair;

    use super::*;
    use crate::{
        secret::{Pin, Secret, SecretError},
        token::{
            Firmware,
            fake::{FakeDriver, Pull},
        },
    };

    struct Clerk {
        agrees: bool,
    }

    impl Person for Clerk {
        fn password(&mut self) -> Result<Secret, SecretError> {
            unreachable!("erasing needs no login")
        }

        fn acquisition_code(&mut self) -> Result<Option<Secret>, SecretError> {
            unreachable!("erasing needs no login")
        }

        fn pin(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, SecretError> {
            Ok(if wrong.is_some() { None } else { Pin::new("862915") })
        }

        fn new_pin(&mut self) -> Result<Pin, EnrolError> {
            unreachable!("erasing changes no PIN")
        }

        fn agrees(&mut self, _: &Question) -> bool {
            self.agrees
        }

        fn tell(&mut self, _: Step) {}
    }

    fn retired() -> (FakeDriver, Slot) {
        let driver = FakeDriver::fresh(Firmware::new(5, 7, 2));
        let slot = Slot::parse("9a").expect("a slot");
        let mut card = driver.card();
        card.pin = b"862915".to_vec();
        card.keys.insert(slot, Arc::new(KeyPair::generate().expect("a key")));
        card.certificates.insert(slot, b"a certificate".to_vec());
        drop(card);
        (driver, slot)
    }

    fn run(driver: &FakeDriver, slot: Slot, agrees: bool) -> Result<Erased, EnrolError> {
        let folder = tempfile::tempdir().expect("a folder");
        let farewells = Farewells::new(folder.path());
        erase(driver, &mut Clerk { agrees }, &farewells, ("7", slot), None, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn key_and_certificate_are_gone_and_windows_notices() {
        let (driver, slot) = retired();
        assert!(run(&driver, slot, true).expect("erased").what.is_some());
        let card = driver.card();
        assert!(card.keys.is_empty() && card.certificates.is_empty());
        assert_eq!(card.identifiers.len(), 1);
        drop(card);
        assert!(run(&driver, slot, false).expect("nothing to ask").what.is_none());
    }

    #[test]
    fn without_consent_nothing_happens() {
        let (driver, slot) = retired();
        assert!(matches!(run(&driver, slot, false), Err(EnrolError::Occupied { .. })));
        let card = driver.card();
        assert_eq!((card.keys.len(), card.certificates.len()), (1, 1));
    }

    #[test]
    fn interrupted_anywhere_the_key_goes_first_and_running_again_ends_it() {
        for number in 0..8 {
            let (driver, slot) = retired();
            driver.card().pull = Some(Pull::After(number));
            let first = run(&driver, slot, true);
            let card = driver.card();
            assert!(!card.keys.contains_key(&slot) || card.certificates.contains_key(&slot), "{number}");
            drop(card);
            if first.is_err() {
                run(&driver, slot, true).expect("erased");
            }
            let card = driver.card();
            assert!(card.keys.is_empty() && card.certificates.is_empty(), "{number}");
        }
    }
}
