//! Retiring a key in the TPM. The key goes first: an interruption leaves at most a certificate without its key, which
//! running again removes.

use agent_tpm::{Health, Place, TpmError};

use super::{Machine, the_key};
use crate::{
    certificate::CertificateDetails,
    enrol::{EnrolError, Person, Question, Step},
};

/// What was done.
#[derive(Debug)]
pub(crate) struct ErasedKey {
    /// `None` when only certificates of a key that was lost were there.
    pub(crate) place: Option<Place>,
    pub(crate) certificate: Option<CertificateDetails>,
}

/// Erases the key at this place, or the only key, with its certificate. Of a key that the TPM no longer has, the
/// certificate.
pub(crate) fn erase(
    machine: &Machine,
    person: &mut dyn Person,
    place: Option<Place>,
) -> Result<ErasedKey, EnrolError> {
    let mut tpm = machine.open()?;
    let key = match the_key(tpm.as_mut(), machine, place) {
        Err(EnrolError::TpmKeyLost(Health::Cleared | Health::Removed)) => {
            return forget(machine, person, place);
        }
        other => other?,
    };
    let entry = machine.shelf.of_key(&key)?;
    let certificate = entry.as_ref().and_then(|entry| CertificateDetails::read(&entry.certificate).ok());
    let question = Question::EraseTpmKey { place: key.place, certificate: certificate.clone().map(Box::new) };
    if !person.agrees(&question) {
        return Err(EnrolError::KeptTpmKey);
    }
    person.tell(Step::ErasingTpmKey { place: key.place });
    match tpm.erase(&key) {
        Ok(()) | Err(TpmError::KeyGone(_)) => {}
        Err(error) => return Err(error.into()),
    }
    machine.shelf.remove(&hex::encode(&key.name))?;
    Ok(ErasedKey { place: Some(key.place), certificate })
}

/// Takes away the certificate of a key that is gone.
fn forget(machine: &Machine, person: &mut dyn Person, place: Option<Place>) -> Result<ErasedKey, EnrolError> {
    let entries = machine.shelf.entries()?;
    let entry = entries.into_iter().find(|entry| place.is_none_or(|place| entry.place == place));
    let Some(entry) = entry else { return Err(EnrolError::NoTpmKey) };
    let certificate = CertificateDetails::read(&entry.certificate).ok();
    let question =
        Question::EraseTpmKey { place: entry.place, certificate: certificate.clone().map(Box::new) };
    if !person.agrees(&question) {
        return Err(EnrolError::KeptTpmKey);
    }
    machine.shelf.remove(&entry.key_name)?;
    Ok(ErasedKey { place: None, certificate })
}
