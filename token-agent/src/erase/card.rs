//! On a token: key and certificate of a slot are made unusable for ever, or the whole token is put back to what it was in
//! the factory.

use jiff::Timestamp;

use crate::{
    certificate::CertificateDetails,
    enrol::{EnrolError, Person, Question, Step, fresh_identifiers, verified_pin},
    farewell::Farewells,
    secret::Pin,
    token::{KeyPresence, ManagementKey, Slot, Token, TokenDriver, TokenError, TokenIdentity},
};

/// What was done to a slot.
#[derive(Debug)]
pub(crate) struct ErasedSlot {
    pub(crate) token: TokenIdentity,
    pub(crate) slot: Slot,
    pub(crate) was_empty: bool,
    /// What stood in it, where it can be read.
    pub(crate) certificate: Option<CertificateDetails>,
}

/// A token that is as it was in the factory.
#[derive(Debug)]
pub(crate) struct Emptied {
    pub(crate) token: TokenIdentity,
    /// What was on it.
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
) -> Result<ErasedSlot, EnrolError> {
    let mut token = driver.open(serial)?;
    let identity = token.identity().clone();
    let state = token.slot(slot)?;
    if state.is_free() && state.key != KeyPresence::Unknown {
        return Ok(ErasedSlot { token: identity, slot, was_empty: true, certificate: None });
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
        Some(der) => farewells.unsigned(der, now)?,
        None => None,
    };
    person.tell(Step::Erasing { slot });
    token.destroy_key(slot)?;
    if let Some(farewell) = farewell {
        farewell.done()?;
    }
    token.delete_certificate(slot)?;
    token.write_identifiers(&fresh_identifiers(now))?;
    Ok(ErasedSlot { token: identity, slot, was_empty: false, certificate })
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
/// no obstacle. Every key on it is lost; where the PIN is known, or a key asks for none, it signs that.
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
    let certificates: Vec<CertificateDetails> =
        held.iter().filter_map(|(_, der)| CertificateDetails::read(der).ok()).collect();
    let question = Question::EraseAll { token: identity.clone(), certificates: certificates.clone() };
    if !person.agrees(&question) {
        return Err(EnrolError::KeptToken);
    }
    let pin = if held.is_empty() { None } else { pin_if_known(token.as_mut(), person)? };
    let mut said = Vec::new();
    for (slot, der) in &held {
        if let Some(pin) = &pin {
            person.tell(Step::SigningErasure);
            token.verify_pin(pin)?;
        }
        said.extend(farewells.sign(token.as_mut(), *slot, der, now)?);
    }
    person.tell(Step::Resetting);
    token.reset()?;
    for farewell in said {
        farewell.done()?;
    }
    farewells.done_with(&identity.serial)?;
    Ok(Emptied { token: identity, certificates })
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
        enrol::RecordError,
        farewell::Telling,
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

    fn run(driver: &FakeDriver, slot: Slot, agrees: bool) -> Result<ErasedSlot, EnrolError> {
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
        assert!(!run(&driver, slot, true).expect("erased").was_empty);
        let card = driver.card();
        assert!(card.keys.is_empty() && card.certificates.is_empty());
        assert_eq!(card.identifiers.len(), 1);
        drop(card);
        assert!(run(&driver, slot, false).expect("nothing to ask").was_empty);
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
        let uid = rcgen::DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        parameters.distinguished_name.push(uid, "hokkai-01");
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

    fn nobody() -> Result<FakeServer, RouteError> {
        Err(RouteError::NoServer)
    }

    #[test]
    fn a_whole_token_tells_the_bank_where_its_pin_is_known_and_remembers_what_it_can_t() {
        for (pin, notes) in [(None, 0), (Some("000000"), 0), (Some("862915"), 1)] {
            let folder = tempfile::tempdir().expect("a folder");
            let farewells = Farewells::new(folder.path());
            let (driver, _) = in_use();
            reset(&driver, &farewells, pin).expect("reset");
            assert_eq!(farewells.count().expect("a folder"), notes, "{pin:?}");
            let told = farewells.tell_over(nobody, None, Timestamp::UNIX_EPOCH).expect("read");
            assert_eq!((told.left, told.to_revoke.len()), (notes, 1 - notes), "{pin:?}");
            let card = driver.card();
            assert!(card.keys.is_empty() && card.certificates.is_empty() && card.pin == b"123456");
        }
    }

    #[test]
    fn what_is_to_be_revoked_is_remembered_until_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let farewells = Farewells::new(folder.path());
        let now = Timestamp::UNIX_EPOCH;
        let remembered = || {
            let (driver, _) = in_use();
            reset(&driver, &farewells, None).expect("reset");
        };
        let left = |told: Result<Telling, RecordError>| told.expect("read").to_revoke.len();
        remembered();
        assert_eq!(left(farewells.tell_over(nobody, Some(&|_, _| true), now)), 1, "nobody could be asked");
        let bank = || Ok(FakeServer::new());
        assert_eq!(left(farewells.tell_over(bank, Some(&|_, _| false), now)), 1);
        farewells.settle_by_new("hokkai-02");
        assert_eq!(left(farewells.tell_over(bank, None, now)), 1, "another user's");
        assert_eq!(left(farewells.tell_over(bank, Some(&|_, _| true), now)), 0, "the bank has revoked it");
        remembered();
        farewells.settle_by_new("hokkai-01");
        assert_eq!(left(farewells.tell_over(bank, None, now)), 0);
        remembered();
        assert_eq!(left(farewells.tell_over(bank, None, Timestamp::MAX)), 0, "it has expired");
    }

    #[test]
    fn what_is_to_be_revoked_is_remembered_wherever_the_reset_is_interrupted() {
        for number in 0..40 {
            let folder = tempfile::tempdir().expect("a folder");
            let farewells = Farewells::new(folder.path());
            let (driver, slot) = in_use();
            driver.card().pull = Some(Pull::Before(number));
            let first = reset(&driver, &farewells, None);
            let count = || farewells.settle(|_, _| false).expect("read").len();
            assert!(!driver.card().keys.contains_key(&slot) || count() == 0, "{number}: too early");
            if first.is_err() {
                reset(&driver, &farewells, None).expect("reset");
            }
            assert_eq!(count(), 1, "{number}");
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
        let now = Timestamp::UNIX_EPOCH;
        let told = farewells.tell_over(nobody, None, now).expect("kept");
        assert_eq!((told.told, told.left), (0, 1));
        assert!(matches!(told.why, Some(RouteError::NoServer)));
        let told = farewells.tell_over(|| Ok(FakeServer::new()), None, now).expect("told");
        assert_eq!((told.told, told.left, farewells.count().expect("a folder")), (1, 0, 0));
        let told = farewells.tell_over(nobody, None, now).expect("nothing to tell");
        assert!(told.why.is_none());
    }
}
