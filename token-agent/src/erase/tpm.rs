//! In the TPM: a key and its certificate. The key signs where its PIN is known; then it goes, before its certificate: an
//! interruption leaves at most a certificate without its key, which running again removes.

use agent_tpm::{Entry, Health, Key, Place, Tpm, TpmError};
use jiff::Timestamp;

use crate::{
    certificate::CertificateDetails,
    enrol::{EnrolError, Person, Question, Step},
    farewell::{Farewell, Farewells},
    tpm::{Machine, pin_if_known, the_key},
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
///
/// # Errors
/// [`EnrolError::KeptTpmKey`] when the person doesn't agree, otherwise what the TPM says.
pub(crate) fn erase_key(
    machine: &Machine,
    person: &mut dyn Person,
    farewells: &Farewells,
    place: Option<Place>,
    now: Timestamp,
) -> Result<ErasedKey, EnrolError> {
    let mut tpm = machine.open()?;
    let key = match the_key(tpm.as_mut(), machine, place) {
        Err(EnrolError::TpmKeyLost(Health::Cleared | Health::Removed)) => {
            return forget(machine, person, farewells, place, now);
        }
        other => other?,
    };
    let entry = machine.shelf.of_key(&key)?;
    let serial = match &entry {
        Some(entry) => entry.tpm.clone(),
        None => tpm.identity()?.serial,
    };
    let certificate = agreed(person, serial, key.place, entry.as_ref())?;
    let farewell = match &entry {
        Some(entry) => farewell(tpm.as_mut(), &key, person, farewells, &entry.certificate, now)?,
        None => None,
    };
    person.tell(Step::ErasingTpmKey { place: key.place });
    match tpm.erase(&key) {
        Ok(()) | Err(TpmError::KeyGone(_)) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(farewell) = farewell {
        farewell.done()?;
    }
    machine.shelf.remove(&hex::encode(&key.name))?;
    Ok(ErasedKey { place: Some(key.place), certificate })
}

fn farewell(
    tpm: &mut dyn Tpm,
    key: &Key,
    person: &mut dyn Person,
    farewells: &Farewells,
    certificate: &[u8],
    now: Timestamp,
) -> Result<Option<Farewell>, EnrolError> {
    let Some(pin) = pin_if_known(tpm, key, person)? else {
        return Ok(farewells.unsigned(certificate, now)?);
    };
    person.tell(Step::SigningErasure);
    farewells.sign_in_tpm((tpm, key, &pin), certificate, now)
}

/// Takes away the certificate of a key that is gone.
fn forget(
    machine: &Machine,
    person: &mut dyn Person,
    farewells: &Farewells,
    place: Option<Place>,
    now: Timestamp,
) -> Result<ErasedKey, EnrolError> {
    let entries = machine.shelf.entries()?;
    let entry = entries.into_iter().find(|entry| place.is_none_or(|place| entry.place == place));
    let Some(entry) = entry else { return Err(EnrolError::NoTpmKey) };
    let certificate = agreed(person, entry.tpm.clone(), entry.place, Some(&entry))?;
    if let Some(farewell) = farewells.unsigned(&entry.certificate, now)? {
        farewell.done()?;
    }
    machine.shelf.remove(&entry.key_name)?;
    Ok(ErasedKey { place: None, certificate })
}

/// What the certificate says, once the person agrees to its end.
fn agreed(
    person: &mut dyn Person,
    serial: String,
    place: Place,
    entry: Option<&Entry>,
) -> Result<Option<CertificateDetails>, EnrolError> {
    let certificate = entry.and_then(|entry| CertificateDetails::read(&entry.certificate).ok());
    let question = Question::EraseTpmKey { serial, place, certificate: certificate.clone().map(Box::new) };
    if person.agrees(&question) { Ok(certificate) } else { Err(EnrolError::KeptTpmKey) }
}
