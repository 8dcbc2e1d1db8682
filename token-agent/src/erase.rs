//! Retiring a token (譲渡・廃棄する場合): key and certificate of a slot are made unusable for ever, or the whole token is
//! put back to what it was in the factory. Each key signs for the bank, just before, that it goes.

use jiff::Timestamp;

use crate::{
    certificate::CertificateDetails,
    enrol::{EnrolError, Person, Question, Step, fresh_identifiers, verified_pin},
    farewell::Farewells,
    secret::Pin,
    token::{KeyPresence, ManagementKey, Slot, Token, TokenDriver, TokenError, TokenIdentity},
    tpm::ErasedKey,
};

/// What is gone, on whatever device.
#[derive(Debug)]
pub(crate) enum Gone {
    Slot(Erased),
    Token(Emptied),
    TpmKey(ErasedKey),
    /// Nothing; what went before was to be told.
    Nothing,
}

impl Gone {
    /// Certificates whose keys could not sign that they go: somebody has to revoke them by hand.
    pub(crate) fn to_revoke(&self) -> Vec<&CertificateDetails> {
        match self {
            Self::Slot(erased) => erased.what.iter().filter_map(Erasure::to_revoke).collect(),
            Self::Token(emptied) => emptied.gone.iter().filter_map(Erasure::to_revoke).collect(),
            Self::TpmKey(erased) => erased.what.to_revoke().into_iter().collect(),
            Self::Nothing => Vec::new(),
        }
    }
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Erased {
    pub(crate) token: TokenIdentity,
    pub(crate) slot: Slot,
    /// `None` when the slot was empty.
    pub(crate) what: Option<Erasure>,
}

/// What was erased.
#[derive(Debug)]
pub(crate) struct Erasure {
    pub(crate) certificate: Option<CertificateDetails>,
    /// Whether the key signed that it is gone: the bank is told, now or later.
    pub(crate) signed: bool,
}

impl Erasure {
    fn to_revoke(&self) -> Option<&CertificateDetails> {
        self.certificate.as_ref().filter(|_| !self.signed)
    }
}

/// A token that is as it was in the factory.
#[derive(Debug)]
pub(crate) struct Emptied {
    pub(crate) token: TokenIdentity,
    /// What was on it.
    pub(crate) gone: Vec<Erasure>,
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
/// no obstacle. Every key on it is lost; where the PIN is known, each signs that.
///
/// # Errors
/// [`EnrolError::KeptToken`] when the person doesn't agree, otherwise what the token says.
pub(crate) fn empty(
    driver: &dyn TokenDriver,
    person: &mut dyn Person,
    farewells: &Farewells,
    serial: &str,
    now: Timestamp,
) -> Result<Emptied, EnrolError> {
    let mut token = driver.open(serial)?;
    let identity = token.identity().clone();
    let mut held = Vec::new();
    for slot in Slot::all() {
        if let Some(der) = token.certificate(slot)? {
            held.push((slot, der));
        }
    }
    let details = |der: &Vec<u8>| CertificateDetails::read(der).ok();
    let certificates = held.iter().filter_map(|(_, der)| details(der)).collect();
    if !person.agrees(&Question::EraseAll { token: identity.clone(), certificates }) {
        return Err(EnrolError::KeptToken);
    }
    let pin = if held.is_empty() { None } else { pin_if_known(token.as_mut(), person)? };
    let (mut gone, mut said) = (Vec::new(), Vec::new());
    for (slot, der) in &held {
        let farewell = match &pin {
            Some(pin) => {
                person.tell(Step::SigningErasure);
                token.verify_pin(pin)?;
                farewells.sign(token.as_mut(), *slot, der, now)?
            }
            None => farewells.of(der),
        };
        gone.push(Erasure { certificate: details(der), signed: farewell.is_some() });
        said.extend(farewell);
    }
    person.tell(Step::Resetting);
    token.reset()?;
    for farewell in said {
        farewell.done()?;
    }
    farewells.done_with(&identity.serial)?;
    Ok(Emptied { token: identity, gone })
}

/// The PIN of a token that is to be reset; `None` when nobody knows it, or it is blocked.
fn pin_if_known(token: &mut dyn Token, person: &mut dyn Person) -> Result<Option<Pin>, EnrolError> {
    let status = token.pin_status()?;
    if status.factory == Some(true) {
        return Ok(Some(Pin::factory()));
    }
    if status.tries_left == 0 {
        return Ok(None);
    }
    let mut wrong = None;
    while let Some(pin) = person.pin_if_known(wrong)? {
        match token.verify_pin(&pin) {
            Ok(()) => return Ok(Some(pin)),
            Err(TokenError::PinWrong { tries_left }) if tries_left > 0 => wrong = Some(tries_left),
            Err(error) if error.is_about_the_pin() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::KeyPair;

    use super::*;
    use crate::{
        route::RouteError,
        secret::{Pin, Secret, SecretError},
        server::fake::FakeServer,
        token::{
            Firmware,
            fake::{FakeDriver, Pull},
        },
    };

    #[derive(Default)]
    struct Clerk {
        agrees: bool,
        /// Of the token that is reset, where it isn't forgotten.
        knows: Option<&'static str>,
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

        fn pin_if_known(&mut self, wrong: Option<u8>) -> Result<Option<Pin>, EnrolError> {
            Ok(self.knows.filter(|_| wrong.is_none()).and_then(Pin::new))
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
        erase(
            driver,
            &mut Clerk { agrees, knows: None },
            &farewells,
            ("7", slot),
            None,
            Timestamp::UNIX_EPOCH,
        )
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

    /// A token with a user's certificate.
    fn in_use() -> (FakeDriver, Slot) {
        let (driver, slot) = retired();
        let mut card = driver.card();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "北海 太郎");
        let certificate = parameters.self_signed(&*card.keys[&slot]).expect("a certificate");
        card.certificates.insert(slot, certificate.der().to_vec());
        drop(card);
        (driver, slot)
    }

    fn reset(
        driver: &FakeDriver,
        farewells: &Farewells,
        knows: Option<&'static str>,
    ) -> Result<Emptied, EnrolError> {
        empty(driver, &mut Clerk { agrees: true, knows }, farewells, "7", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_whole_token_tells_the_bank_where_its_pin_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let farewells = Farewells::new(folder.path());
        for (pin, notes) in [(None, 0), (Some("000000"), 0), (Some("862915"), 1)] {
            let (driver, _) = in_use();
            let gone = Gone::Token(reset(&driver, &farewells, pin).expect("reset"));
            assert_eq!(gone.to_revoke().len(), 1 - notes, "{pin:?}");
            assert_eq!(farewells.count().expect("a folder"), notes, "{pin:?}");
            let card = driver.card();
            assert!(card.keys.is_empty() && card.certificates.is_empty() && card.pin == b"123456");
        }
    }

    #[test]
    fn a_note_counts_once_the_key_is_gone_wherever_the_reset_is_interrupted() {
        for number in 0..40 {
            let folder = tempfile::tempdir().expect("a folder");
            let farewells = Farewells::new(folder.path());
            let (driver, slot) = in_use();
            driver.card().pull = Some(Pull::Before(number));
            let first = reset(&driver, &farewells, Some("862915"));
            let there = driver.card().keys.contains_key(&slot);
            assert!(!there || farewells.count().expect("a folder") == 0, "{number}: told too early");
            if first.is_err() {
                reset(&driver, &farewells, Some("862915")).expect("reset");
            }
            assert_eq!(farewells.count().expect("a folder"), 1, "{number}");
        }
    }

    #[test]
    fn what_can_t_be_told_is_kept_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let farewells = Farewells::new(folder.path());
        let (driver, _) = in_use();
        reset(&driver, &farewells, Some("862915")).expect("reset");
        let away = || Err::<FakeServer, _>(RouteError::NoServer);
        let told = farewells.tell_over(away).expect("kept");
        assert_eq!((told.told, told.left), (0, 1));
        assert!(matches!(told.why, Some(RouteError::NoServer)));
        let told = farewells.tell_over(|| Ok(FakeServer::new())).expect("told");
        assert_eq!((told.told, told.left, farewells.count().expect("a folder")), (1, 0, 0));
        let told = farewells.tell_over(away).expect("nothing to tell");
        assert!(told.why.is_none());
    }
}
