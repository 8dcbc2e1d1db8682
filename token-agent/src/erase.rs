//! Retiring a token (譲渡・廃棄する場合): key and certificate of a slot are made unusable for ever.

use jiff::Timestamp;

use crate::{
    certificate::CertificateDetails,
    enrol::{EnrolError, Person, Question, Step, fresh_identifiers, unlock},
    token::{KeyPresence, ManagementKey, Slot, TokenDriver, TokenIdentity},
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
}

/// Erases a slot; an empty one is left as it is. The key goes first: an interruption leaves at most a certificate
/// without its key, which running again removes.
///
/// # Errors
/// [`EnrolError::Occupied`] when the person doesn't agree, otherwise what the token says.
pub(crate) fn erase(
    driver: &dyn TokenDriver,
    person: &mut dyn Person,
    serial: &str,
    slot: Slot,
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
    unlock(token.as_mut(), person, management_key)?;
    person.tell(Step::Erasing { slot });
    token.destroy_key(slot)?;
    token.delete_certificate(slot)?;
    token.write_identifiers(&fresh_identifiers(now))?;
    Ok(Erased { token: identity, slot, what: Some(Erasure { certificate }) })
}
