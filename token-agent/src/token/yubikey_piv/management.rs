//! The management key: finding the one that works, and replacing the factory's so that an interruption at any point
//! leaves a token whose key is either still the factory's or on record.

use yubikey::{
    MgmAlgorithmId, MgmKey, YubiKey,
    piv::{self, ManagementSlotId, SlotAlgorithmId, SlotId},
};

use crate::token::{
    Firmware, ManagementKey, ManagementKeyOrigin, TokenError,
    objects::{self, PRINTED},
};

const FACTORY: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];

/// Authenticates with whichever key works; the PIN has been verified.
pub(super) fn unlock(
    yubikey: &mut YubiKey,
    given: Option<&ManagementKey>,
) -> Result<ManagementKeyOrigin, TokenError> {
    let algorithm = current_algorithm(yubikey)?;
    // Something else in that object only means that no key is kept there.
    let kept = objects::protected_key(&printed(yubikey)?).ok().flatten();
    let candidates = [
        (ManagementKeyOrigin::Protected, kept.as_ref().map(|key| key.as_slice())),
        (ManagementKeyOrigin::Factory, Some(FACTORY.as_slice())),
        (ManagementKeyOrigin::Given, given.map(ManagementKey::expose)),
    ];
    for (origin, octets) in candidates {
        if let Some(octets) = octets
            && authenticates(yubikey, algorithm, octets)?
        {
            return Ok(origin);
        }
    }
    Err(TokenError::ManagementKeyUnknown)
}

/// Replaces the key. The record is written first: while the token still has the factory's key, that one is tried too.
pub(super) fn protect(
    yubikey: &mut YubiKey,
    firmware: Firmware,
    new: &ManagementKey,
) -> Result<(), TokenError> {
    let algorithm =
        if firmware >= Firmware::V5_7 { MgmAlgorithmId::Aes192 } else { MgmAlgorithmId::ThreeDes };
    let key = MgmKey::from_bytes(new.expose(), Some(algorithm))
        .map_err(|source| TokenError::Failed { action: "prepare the management key", source })?;
    let mut record = objects::with_protected_key(&printed(yubikey)?, new.expose())?;
    yubikey
        .save_object(PRINTED, &mut record)
        .map_err(|error| TokenError::from_yubikey(error, "record the management key"))?;
    key.set_protected(yubikey).map_err(|error| TokenError::from_yubikey(error, "set the management key"))
}

fn printed(yubikey: &mut YubiKey) -> Result<yubikey::Buffer, TokenError> {
    match yubikey.fetch_object(PRINTED) {
        Err(yubikey::Error::NotFound) => Ok(yubikey::Buffer::default()),
        other => other.map_err(|error| TokenError::from_yubikey(error, "read the kept management key")),
    }
}

/// Firmware before 5.3 doesn't say, and knows triple DES only.
fn current_algorithm(yubikey: &mut YubiKey) -> Result<MgmAlgorithmId, TokenError> {
    match piv::metadata(yubikey, SlotId::Management(ManagementSlotId::Management)) {
        Ok(metadata) => match metadata.algorithm {
            SlotAlgorithmId::Management(algorithm) => Ok(algorithm),
            _ => Err(TokenError::Malformed("the question for the management key's algorithm")),
        },
        Err(yubikey::Error::NotSupported) => Ok(MgmAlgorithmId::ThreeDes),
        Err(error) => Err(TokenError::from_yubikey(error, "say which algorithm the management key has")),
    }
}

fn authenticates(
    yubikey: &mut YubiKey,
    algorithm: MgmAlgorithmId,
    octets: &[u8],
) -> Result<bool, TokenError> {
    let Ok(key) = MgmKey::from_bytes(octets, Some(algorithm)) else {
        return Ok(false);
    };
    match yubikey.authenticate(&key) {
        Ok(()) => Ok(true),
        Err(error @ yubikey::Error::PcscError { .. }) => {
            Err(TokenError::from_yubikey(error, "check the management key"))
        }
        Err(_) => Ok(false),
    }
}
