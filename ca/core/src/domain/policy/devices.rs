//! Which devices and keys are accepted: a part of a policy. What is asked of a kind of device stands where its evidence
//! is judged (`attestation`); here it comes together.

use ca_x509::KeyKind;

use crate::domain::{
    attestation::{
        Rules,
        tpm::TpmRules,
        yubikey::{Firmware, YubiKeyRules},
    },
    device::{Assurance, DeviceKind},
    key_kind::KEY_KINDS,
};

/// Which devices and keys are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePolicy {
    /// The accepted kinds of device.
    pub kinds: Vec<DeviceKind>,
    /// What must be proven about a key at least.
    pub lowest_assurance: Assurance,
    /// The accepted kinds of key, the one to be generated first.
    pub algorithms: Vec<KeyKind>,
    /// Of YubiKeys and keys in them.
    pub yubikey: YubiKeyRules,
    /// Of TPMs and keys in them.
    pub tpm: TpmRules,
}

impl Default for DevicePolicy {
    /// YubiKeys that prove that the key asks for its PIN, and any kind of key.
    fn default() -> Self {
        Self {
            kinds: vec![DeviceKind::YubiKeyPiv],
            lowest_assurance: Assurance::AttestedWithPin,
            algorithms: KEY_KINDS.to_vec(),
            yubikey: YubiKeyRules::default(),
            tpm: TpmRules::default(),
        }
    }
}

impl DevicePolicy {
    /// What evidence is judged by.
    pub fn rules(&self) -> Rules<'_> {
        Rules { kinds: &self.kinds, algorithms: &self.algorithms, yubikey: &self.yubikey, tpm: &self.tpm }
    }

    /// The kinds of key that a device may have, best first: what an agent should generate. `firmware` is a YubiKey's, as
    /// far as it is known.
    pub fn keys_for(&self, kind: DeviceKind, firmware: Option<Firmware>) -> Vec<KeyKind> {
        let is_possible = |key: &KeyKind| match kind {
            DeviceKind::YubiKeyPiv => {
                firmware.is_none_or(|firmware| firmware >= self.yubikey.lowest_firmware(*key))
            }
            // What every TPM 2.0 has (PC Client Platform TPM Profile).
            DeviceKind::Tpm => matches!(key, KeyKind::P256 | KeyKind::Rsa { bits: 2048 }),
            DeviceKind::Piv | DeviceKind::Pkcs11 => true,
        };
        self.algorithms.iter().copied().filter(is_possible).collect()
    }
}
