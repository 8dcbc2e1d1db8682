//! What a YubiKey is asked, command by command.

use der::Encode;
use p256::NistP256;
use p384::NistP384;
use spki::SubjectPublicKeyInfoOwned;
use yubikey::{
    YubiKey,
    certificate::yubikey_signer::{KeyType, Rsa2048, Rsa3072, Rsa4096, YubiRsa},
    piv::{self, AlgorithmId, ManagementSlotId, Origin, SlotAlgorithmId, SlotId},
};

use super::{
    channel::{Channel, Reference},
    firmware_of, identity_of, management,
};
use crate::{
    secret::Pin,
    token::{
        Attestation, Firmware, Identifiers, KeyAlgorithm, KeyPresence, KeySpec, ManagementKey,
        ManagementKeyOrigin, PinPolicy, PinStatus, Slot, SlotState, TokenError, TokenIdentity, TouchPolicy,
        objects::{self, certificate_object},
    },
};

/// The key that is generated over one that can't be deleted.
const THROW_AWAY: (AlgorithmId, yubikey::PinPolicy, yubikey::TouchPolicy) =
    (AlgorithmId::EccP256, yubikey::PinPolicy::Always, yubikey::TouchPolicy::Always);

/// A YubiKey with its two connections.
pub(super) struct Session {
    channel: Channel,
    yubikey: YubiKey,
    pub(super) identity: TokenIdentity,
    pub(super) firmware: Firmware,
}

impl Session {
    pub(super) fn new(yubikey: YubiKey) -> Result<Self, TokenError> {
        let (identity, firmware) = (identity_of(&yubikey), firmware_of(&yubikey));
        Ok(Self { channel: Channel::connect(&identity.reader)?, yubikey, identity, firmware })
    }

    /// Whether the card no longer answers.
    pub(super) fn is_gone(&mut self) -> bool {
        self.channel.is_gone()
    }

    /// Lets go of a card that is gone. Resetting it, as the crate does when dropped, would confuse pcscd about the
    /// reader.
    pub(super) fn leave(self) {
        // A card that is gone needs no goodbye.
        let _ = self.yubikey.disconnect(pcsc::Disposition::LeaveCard);
    }

    fn object(&mut self, slot: Slot) -> Result<Option<Vec<u8>>, TokenError> {
        match self.yubikey.fetch_object(certificate_object(slot)) {
            Ok(object) => Ok(objects::unwrap_certificate(&object)),
            Err(yubikey::Error::NotFound) => Ok(None),
            Err(error) => Err(TokenError::from_yubikey(error, "read a certificate")),
        }
    }

    fn save(
        &mut self,
        object: yubikey::ObjectId,
        mut content: Vec<u8>,
        action: &'static str,
    ) -> Result<(), TokenError> {
        self.yubikey
            .save_object(object, &mut content)
            .map_err(|error| TokenError::from_yubikey(error, action))
    }

    /// Whether a key is the one that [`Session::destroy_key`] leaves: nobody enrols such a key on that firmware.
    fn is_throw_away(&self, metadata: &piv::SlotMetadata) -> bool {
        self.firmware < Firmware::V5_7
            && metadata.algorithm == SlotAlgorithmId::Asymmetric(THROW_AWAY.0)
            && metadata.policy == Some((THROW_AWAY.1, THROW_AWAY.2))
            && metadata.origin == Some(Origin::Generated)
    }

    fn key(&mut self, slot: Slot) -> Result<KeyPresence, TokenError> {
        match piv::metadata(&mut self.yubikey, slot_id(slot)?) {
            Ok(metadata) if self.is_throw_away(&metadata) => Ok(KeyPresence::Destroyed),
            Ok(metadata) => Ok(KeyPresence::Present {
                algorithm: match metadata.algorithm {
                    SlotAlgorithmId::Asymmetric(id) => algorithm_of(id),
                    _ => None,
                },
                generated: metadata.origin == Some(Origin::Generated),
            }),
            Err(yubikey::Error::NotFound) => Ok(KeyPresence::Absent),
            Err(yubikey::Error::NotSupported) => Ok(match self.attest(slot)? {
                Some(_) => KeyPresence::Present { algorithm: None, generated: true },
                None => KeyPresence::Unknown,
            }),
            Err(error @ yubikey::Error::PcscError { .. }) => {
                Err(TokenError::from_yubikey(error, "say what a slot holds"))
            }
            Err(_) if self.is_gone() => Err(TokenError::Removed),
            // A kind of key that the crate can't read.
            Err(_) => Ok(KeyPresence::Present { algorithm: None, generated: false }),
        }
    }

    pub(super) fn pin_status(&mut self) -> Result<PinStatus, TokenError> {
        let fail = |error| TokenError::from_yubikey(error, "say how many PIN tries are left");
        match piv::metadata(&mut self.yubikey, SlotId::Management(ManagementSlotId::Pin)) {
            Ok(piv::SlotMetadata { default, retries: Some(retries), .. }) => {
                Ok(PinStatus { factory: default, tries_left: retries.remaining_count })
            }
            Ok(_) | Err(yubikey::Error::NotSupported) => {
                let tries_left = self.yubikey.get_pin_retries().map_err(fail)?;
                Ok(PinStatus { factory: None, tries_left })
            }
            Err(error) => Err(fail(error)),
        }
    }

    pub(super) fn verify_pin(&mut self, pin: &Pin) -> Result<(), TokenError> {
        self.channel.verify_pin(pin)
    }

    pub(super) fn change_pin(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.channel.change(Reference::Pin, current, new)?;
        self.channel.verify_pin(new)
    }

    pub(super) fn replace_factory_puk(&mut self, new: &Pin) -> Result<bool, TokenError> {
        match piv::metadata(&mut self.yubikey, SlotId::Management(ManagementSlotId::Puk)) {
            Ok(piv::SlotMetadata { default: Some(false), .. }) => return Ok(false),
            Ok(_) | Err(yubikey::Error::NotSupported) => {}
            Err(error) => {
                return Err(TokenError::from_yubikey(error, "say whether the PUK is the factory's"));
            }
        }
        match self.channel.change(Reference::Puk, &Pin::factory_puk(), new) {
            Ok(()) => Ok(true),
            Err(TokenError::PinWrong { .. } | TokenError::PinBlocked) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Firmware before 5.3 doesn't say.
    pub(super) fn puk_status(&mut self) -> Result<Option<PinStatus>, TokenError> {
        match piv::metadata(&mut self.yubikey, SlotId::Management(ManagementSlotId::Puk)) {
            Ok(piv::SlotMetadata { default, retries: Some(retries), .. }) => {
                Ok(Some(PinStatus { factory: default, tries_left: retries.remaining_count }))
            }
            Ok(_) | Err(yubikey::Error::NotSupported) => Ok(None),
            Err(error) => Err(TokenError::from_yubikey(error, "say how many PUK tries are left")),
        }
    }

    pub(super) fn unblock_pin(&mut self, puk: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.channel.unblock(puk, new)?;
        self.channel.verify_pin(new)
    }

    pub(super) fn change_puk(&mut self, current: &Pin, new: &Pin) -> Result<(), TokenError> {
        self.channel.change(Reference::Puk, current, new)
    }

    /// The application can be reset only with PIN and PUK blocked: they are, by values that nobody has.
    pub(super) fn reset(&mut self) -> Result<(), TokenError> {
        self.channel.block(Reference::Pin)?;
        self.channel.block(Reference::Puk)?;
        self.channel.reset()
    }

    pub(super) fn unlock(
        &mut self,
        given: Option<&ManagementKey>,
    ) -> Result<ManagementKeyOrigin, TokenError> {
        management::unlock(&mut self.yubikey, given)
    }

    pub(super) fn protect_management_key(&mut self, new: &ManagementKey) -> Result<(), TokenError> {
        management::protect(&mut self.yubikey, self.firmware, new)
    }

    pub(super) fn certificate(&mut self, slot: Slot) -> Result<Option<Vec<u8>>, TokenError> {
        self.object(slot)
    }

    pub(super) fn slot(&mut self, slot: Slot) -> Result<SlotState, TokenError> {
        Ok(SlotState { certificate: self.object(slot)?, key: self.key(slot)? })
    }

    pub(super) fn generate(&mut self, slot: Slot, spec: KeySpec) -> Result<Vec<u8>, TokenError> {
        let action = "generate the key";
        let pin = match spec.pin {
            PinPolicy::Once => yubikey::PinPolicy::Once,
            PinPolicy::Always => yubikey::PinPolicy::Always,
        };
        let touch = match spec.touch {
            TouchPolicy::Never => yubikey::TouchPolicy::Never,
            TouchPolicy::Always => yubikey::TouchPolicy::Always,
            TouchPolicy::Cached => yubikey::TouchPolicy::Cached,
        };
        let id = algorithm_id(spec.algorithm);
        piv::generate(&mut self.yubikey, slot_id(slot)?, id, pin, touch)
            .map_err(|error| TokenError::from_yubikey(error, action))
            .and_then(|key: SubjectPublicKeyInfoOwned| {
                key.to_der().map_err(|_| TokenError::Malformed(action))
            })
    }

    pub(super) fn attest(&mut self, slot: Slot) -> Result<Option<Attestation>, TokenError> {
        match piv::attest(&mut self.yubikey, slot_id(slot)?) {
            Ok(certificate) => {
                let f9 = self.object(Slot::ATTESTATION)?;
                let f9 = f9.ok_or(TokenError::Unsupported("attestation: its certificate is gone"))?;
                Ok(Some(Attestation::YubiKeyPiv { slot: certificate.to_vec(), f9 }))
            }
            Err(error @ yubikey::Error::PcscError { .. }) => {
                Err(TokenError::from_yubikey(error, "attest the key"))
            }
            Err(_) if self.is_gone() => Err(TokenError::Removed),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn sign(
        &mut self,
        slot: Slot,
        algorithm: KeyAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        let slot = slot_id(slot)?;
        match algorithm {
            KeyAlgorithm::P256 => sign::<NistP256>(&mut self.yubikey, slot, message),
            KeyAlgorithm::P384 => sign::<NistP384>(&mut self.yubikey, slot, message),
            KeyAlgorithm::Rsa2048 => sign::<YubiRsa<Rsa2048>>(&mut self.yubikey, slot, message),
            KeyAlgorithm::Rsa3072 => sign::<YubiRsa<Rsa3072>>(&mut self.yubikey, slot, message),
            KeyAlgorithm::Rsa4096 => sign::<YubiRsa<Rsa4096>>(&mut self.yubikey, slot, message),
        }
    }

    pub(super) fn write_certificate(&mut self, slot: Slot, certificate: &[u8]) -> Result<(), TokenError> {
        let object = objects::wrap_certificate(slot, certificate)?;
        self.save(certificate_object(slot), object, "write the certificate")
    }

    pub(super) fn delete_certificate(&mut self, slot: Slot) -> Result<(), TokenError> {
        if self.object(slot)?.is_none() {
            return Ok(());
        }
        self.save(certificate_object(slot), Vec::new(), "delete the certificate")
    }

    pub(super) fn write_identifiers(&mut self, identifiers: &Identifiers) -> Result<(), TokenError> {
        self.save(objects::CHUID, objects::chuid(identifiers), "write the CHUID")?;
        self.save(objects::CCC, objects::ccc(identifiers), "write the CCC")
    }

    pub(super) fn move_key(&mut self, from: Slot, to: Slot) -> Result<(), TokenError> {
        self.channel.move_key(from, to)
    }

    pub(super) fn destroy_key(&mut self, slot: Slot) -> Result<(), TokenError> {
        if self.firmware >= Firmware::V5_7 {
            return self.channel.delete_key(slot);
        }
        let (algorithm, pin, touch) = THROW_AWAY;
        piv::generate(&mut self.yubikey, slot_id(slot)?, algorithm, pin, touch)
            .map(drop)
            .map_err(|error| TokenError::from_yubikey(error, "overwrite the key"))
    }
}

fn sign<K: KeyType>(yubikey: &mut YubiKey, slot: SlotId, message: &[u8]) -> Result<Vec<u8>, TokenError> {
    let prepared = K::prepare(message).map_err(|_| TokenError::Unsupported("signatures with this key"))?;
    piv::sign_data(yubikey, &prepared, K::ALGORITHM, slot)
        .map(|signature| signature.to_vec())
        .map_err(|error| TokenError::from_yubikey(error, "sign"))
}

fn slot_id(slot: Slot) -> Result<SlotId, TokenError> {
    SlotId::try_from(slot.number()).map_err(|_| TokenError::Unsupported("this slot"))
}

fn algorithm_id(algorithm: KeyAlgorithm) -> AlgorithmId {
    match algorithm {
        KeyAlgorithm::P256 => AlgorithmId::EccP256,
        KeyAlgorithm::P384 => AlgorithmId::EccP384,
        KeyAlgorithm::Rsa2048 => AlgorithmId::Rsa2048,
        KeyAlgorithm::Rsa3072 => AlgorithmId::Rsa3072,
        KeyAlgorithm::Rsa4096 => AlgorithmId::Rsa4096,
    }
}

fn algorithm_of(id: AlgorithmId) -> Option<KeyAlgorithm> {
    match id {
        AlgorithmId::EccP256 => Some(KeyAlgorithm::P256),
        AlgorithmId::EccP384 => Some(KeyAlgorithm::P384),
        AlgorithmId::Rsa2048 => Some(KeyAlgorithm::Rsa2048),
        AlgorithmId::Rsa3072 => Some(KeyAlgorithm::Rsa3072),
        AlgorithmId::Rsa4096 => Some(KeyAlgorithm::Rsa4096),
        _ => None,
    }
}
