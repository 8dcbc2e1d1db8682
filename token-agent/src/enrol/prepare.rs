//! Making a token ready: the factory's PIN, PUK and management key replaced, the PIN verified, the management key
//! authenticated. Every step looks at what the token says, so that an interrupted preparation goes on where it stopped.

use zeroize::Zeroizing;

use super::{EnrolError, Person, Step};
use crate::{
    custodian::{Custodian, random_puk},
    secret::Pin,
    token::{ManagementKey, ManagementKeyOrigin, ReaderState, Token, TokenDriver, TokenError},
};

/// The serial of the only token that is connected.
///
/// # Errors
/// [`TokenError::NoToken`] and [`TokenError::Several`].
pub(crate) fn sole_serial(driver: &dyn TokenDriver) -> Result<String, TokenError> {
    let readers = driver.readers()?.into_iter();
    let tokens = readers.filter_map(|reader| match reader.state {
        ReaderState::Token(identity) => Some(Ok(identity.serial)),
        ReaderState::Busy => Some(Err(TokenError::Busy)),
        _ => None,
    });
    // A token that another program holds counts: it could be the one that is meant.
    let mut serials = tokens.collect::<Result<Vec<_>, _>>()?;
    match serials.len() {
        0 => Err(TokenError::NoToken),
        1 => Ok(serials.remove(0)),
        _ => Err(TokenError::Several { serials }),
    }
}

/// Prepares the token; returns the PIN that holds from now on.
pub(super) fn prepare(
    token: &mut dyn Token,
    person: &mut dyn Person,
    given: Option<&ManagementKey>,
    custodian: Option<&Custodian<'_>>,
) -> Result<Pin, EnrolError> {
    let status = token.pin_status()?;
    if status.tries_left == 0 {
        return Err(TokenError::PinBlocked.into());
    }
    let pin = match status.factory {
        Some(true) => replace_pin(token, person)?,
        _ => match verified_pin(token, person)? {
            pin if pin.is_factory() => replace_pin(token, person)?,
            pin => pin,
        },
    };
    let origin = token.unlock(given)?;
    match origin {
        ManagementKeyOrigin::Factory => {
            person.tell(Step::ReplacingManagementKey);
            token.protect_management_key(&random_management_key())?;
            // Shows that the record is right while it can still be mended.
            if token.unlock(None)? != ManagementKeyOrigin::Protected {
                return Err(TokenError::ManagementKeyUnknown.into());
            }
        }
        ManagementKeyOrigin::Protected | ManagementKeyOrigin::NotNeeded => {}
        ManagementKeyOrigin::Given | ManagementKeyOrigin::Unchangeable => {
            person.tell(Step::ManagementKeyKept(origin));
        }
    }
    // Where the firmware can't say, finding out costs a try; that is spent once, with the management key.
    let may_be_factory = status.factory.is_some() || origin == ManagementKeyOrigin::Factory;
    if may_be_factory {
        replace_puk(token, person, custodian)?;
    }
    Ok(pin)
}

/// A PUK that the bank keeps is in its custody before the token gets it; nobody knows any other.
fn replace_puk(
    token: &mut dyn Token,
    person: &mut dyn Person,
    custodian: Option<&Custodian<'_>>,
) -> Result<(), EnrolError> {
    let Some(custodian) = custodian else {
        if token.replace_factory_puk(&random_puk())? {
            person.tell(Step::PukForgotten);
        }
        return Ok(());
    };
    if token.puk_status()?.is_some_and(|puk| puk.factory == Some(false)) {
        return Ok(());
    }
    let (deposit, puk) = custodian.fresh(None)?;
    if token.replace_factory_puk(&puk)? {
        custodian.confirm(deposit)?;
        person.tell(Step::PukKept);
    }
    Ok(())
}

/// Verifies the PIN and authenticates with the management key, changing nothing.
pub(crate) fn unlock(
    token: &mut dyn Token,
    person: &mut dyn Person,
    given: Option<&ManagementKey>,
) -> Result<(), EnrolError> {
    if token.pin_status()?.tries_left == 0 {
        return Err(TokenError::PinBlocked.into());
    }
    verified_pin(token, person)?;
    token.unlock(given)?;
    Ok(())
}

/// Asks for the PIN until the token takes it. The last try is never spent here: the person shall decide on that one
/// afresh.
pub(crate) fn verified_pin(token: &mut dyn Token, person: &mut dyn Person) -> Result<Pin, EnrolError> {
    let mut wrong = None;
    loop {
        let Some(pin) = person.pin(wrong)? else {
            let error =
                wrong.map_or(TokenError::PinBlocked, |tries_left| TokenError::PinWrong { tries_left });
            return Err(error.into());
        };
        match token.verify_pin(&pin) {
            Ok(()) => return Ok(pin),
            Err(TokenError::PinWrong { tries_left }) if tries_left > 1 => wrong = Some(tries_left),
            Err(error) => return Err(error.into()),
        }
    }
}

fn replace_pin(token: &mut dyn Token, person: &mut dyn Person) -> Result<Pin, EnrolError> {
    person.tell(Step::FactoryPin);
    let new = person.new_pin()?;
    token.change_pin(&Pin::factory(), &new)?;
    person.tell(Step::PinReplaced);
    Ok(new)
}

fn random_management_key() -> ManagementKey {
    ManagementKey::of_24(&Zeroizing::new(rand::random()))
}
