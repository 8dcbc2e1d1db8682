//! The device that a key lives in.

use super::ids::TokenSerial;

/// Which kind of hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// A YubiKey's PIV application, attested by Yubico's certificates.
    YubiKeyPiv,
    /// A TPM 2.0: its endorsement key is known, and its attestation key certifies the user's.
    Tpm,
    /// Another maker's PIV card: nothing attests its keys.
    Piv,
    /// A token behind a vendor's PKCS#11 module: nothing attests its keys.
    Pkcs11,
}

impl DeviceKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::YubiKeyPiv, Self::Tpm, Self::Piv, Self::Pkcs11];

    /// The stable name in storage, APIs and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::YubiKeyPiv => "yubikey-piv",
            Self::Tpm => "tpm",
            Self::Piv => "piv",
            Self::Pkcs11 => "pkcs11",
        }
    }

    /// What a device of this kind can prove about a key at the most. A TPM can't show that a key's authorisation value is
    /// anything but empty, and behind `Piv` and `Pkcs11` nothing attests.
    pub fn highest_assurance(self) -> Assurance {
        match self {
            Self::YubiKeyPiv => Assurance::AttestedWithPin,
            Self::Tpm => Assurance::Attested,
            Self::Piv | Self::Pkcs11 => Assurance::Asserted,
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One device in the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// Its kind.
    pub kind: DeviceKind,
    /// Its serial number, unique within its kind.
    pub serial: TokenSerial,
}

/// What was proven about the key; each level has a certificate policy OID of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Assurance {
    /// Only claimed.
    Asserted,
    /// The maker's attestation says that the key was generated in the device.
    Attested,
    /// The same, and that the device asks for its PIN.
    AttestedWithPin,
}

impl Assurance {
    /// The stable name in storage, APIs and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asserted => "asserted",
            Self::Attested => "attested",
            Self::AttestedWithPin => "attested-pin",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Asserted, Self::Attested, Self::AttestedWithPin].into_iter().find(|a| a.as_str() == text)
    }
}
