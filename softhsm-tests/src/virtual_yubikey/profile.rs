//! What kind of YubiKey is emulated, and in which ways it misbehaves.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

/// A firmware version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Firmware(pub u8, pub u8, pub u8);

impl Firmware {
    /// The first with AES management keys.
    pub const AES_MANAGEMENT_KEY: Self = Self(5, 4, 0);
    /// The first with GET METADATA.
    pub const METADATA: Self = Self(5, 3, 0);
    /// The first with RSA-3072/4096, Ed25519, MOVE KEY and an AES-192 management key from the factory.
    pub const LARGE_RSA: Self = Self(5, 7, 0);
    /// The first whose attestations lead to the second generation of roots.
    pub const NEW_ATTESTATION: Self = Self(5, 7, 4);

    /// The three bytes as the device reports them.
    pub fn bytes(self) -> [u8; 3] {
        [self.0, self.1, self.2]
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A profile value that can't be understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProfileError {
    /// Not a version like `5.7.2`.
    #[error("`{0}` is not a firmware version like 5.7.2")]
    Firmware(String),
    /// Not one of the form factors.
    #[error(
        "`{0}` is not a form factor: usb-a-keychain, usb-a-nano, usb-c-keychain, usb-c-nano, usb-c-lightning, usb-a-bio, usb-c-bio"
    )]
    FormFactor(String),
    /// Not one of the misbehaviours.
    #[error("`{0}` is not a misbehaviour; see --help for the list")]
    Misbehaviour(String),
}

impl FromStr for Firmware {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[major, minor, patch]) => Ok(Self(major, minor, patch)),
            _ => Err(ProfileError::Firmware(text.to_owned())),
        }
    }
}

/// The device's shape, as its attestation reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FormFactor {
    /// USB-A keychain.
    UsbAKeychain = 1,
    /// USB-A nano.
    UsbANano = 2,
    /// USB-C keychain.
    UsbCKeychain = 3,
    /// USB-C nano.
    UsbCNano = 4,
    /// USB-C and Lightning.
    UsbCLightning = 5,
    /// USB-A with a fingerprint reader.
    UsbABio = 6,
    /// USB-C with a fingerprint reader.
    UsbCBio = 7,
}

impl FormFactor {
    /// Whether it can ask for a fingerprint in place of the PIN.
    pub fn is_bio(self) -> bool {
        matches!(self, Self::UsbABio | Self::UsbCBio)
    }
}

impl FromStr for FormFactor {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "usb-a-keychain" => Self::UsbAKeychain,
            "usb-a-nano" => Self::UsbANano,
            "usb-c-keychain" => Self::UsbCKeychain,
            "usb-c-nano" => Self::UsbCNano,
            "usb-c-lightning" => Self::UsbCLightning,
            "usb-a-bio" => Self::UsbABio,
            "usb-c-bio" => Self::UsbCBio,
            _ => return Err(ProfileError::FormFactor(text.to_owned())),
        })
    }
}

/// Who touches the key when it blinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Somebody, after this long.
    After(Duration),
    /// Nobody: the key gives up at once, where a genuine one would blink for 15 seconds first.
    Never,
}

/// One way of not being an honest, healthy YubiKey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// The attestation key was issued by a root with the right name and another key.
    LookAlikeRoot,
    /// The attestation key was issued by a root that nobody trusts.
    ForeignRoot,
    /// Somebody loaded their own, self-signed attestation key into slot f9.
    AttestationKeyReplaced,
    /// The f9 certificate has no basicConstraints, as on genuine firmware 5.2.4.
    AttestationWithoutBasicConstraints,
    /// Imported keys are attested as if they had been generated.
    AttestImported,
    /// Slot certificates are signed by a key other than that of the f9 certificate.
    SlotNotSignedByAttestationKey,
    /// Attestations show another public key than the slot holds.
    AttestAnotherKey,
    /// Attestations carry this serial number.
    AttestedSerial(u32),
    /// Attestations carry no serial number.
    NoAttestedSerial,
    /// Attestations carry this firmware version.
    AttestedFirmware(Firmware),
    /// Keys get the PIN policy "never", whatever was asked for.
    PinPolicyNever,
    /// Attestations name this slot in their subject.
    AttestedSlot(u8),
    /// Attestations lack the policy extension.
    PolicyMissing,
    /// Attestations carry the policy extension twice, the second time with "never".
    PolicyTwice,
    /// The card is pulled out instead of answering the command after this many.
    EjectAfter(u64),
    /// The card is pulled out instead of answering this instruction, once.
    EjectAt(u8),
    /// The PIN is blocked before the command after this many: another program has used up its tries.
    BlockPinAfter(u64),
}

impl FromStr for Misbehaviour {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ProfileError::Misbehaviour(text.to_owned());
        let hexadecimal = |value: &str| u8::from_str_radix(value, 16).map_err(|_| unknown());
        if let Some((name, value)) = text.split_once('=') {
            return Ok(match name {
                "attested-serial" => Self::AttestedSerial(value.parse().map_err(|_| unknown())?),
                "attested-firmware" => Self::AttestedFirmware(value.parse()?),
                "attested-slot" => Self::AttestedSlot(hexadecimal(value)?),
                "eject-after" => Self::EjectAfter(value.parse().map_err(|_| unknown())?),
                "eject-at" => Self::EjectAt(hexadecimal(value)?),
                "block-pin-after" => Self::BlockPinAfter(value.parse().map_err(|_| unknown())?),
                _ => return Err(unknown()),
            });
        }
        Ok(match text {
            "look-alike-root" => Self::LookAlikeRoot,
            "foreign-root" => Self::ForeignRoot,
            "attestation-key-replaced" => Self::AttestationKeyReplaced,
            "attestation-without-basic-constraints" => Self::AttestationWithoutBasicConstraints,
            "attest-imported" => Self::AttestImported,
            "slot-not-signed-by-attestation-key" => Self::SlotNotSignedByAttestationKey,
            "attest-another-key" => Self::AttestAnotherKey,
            "no-attested-serial" => Self::NoAttestedSerial,
            "pin-policy-never" => Self::PinPolicyNever,
            "policy-missing" => Self::PolicyMissing,
            "policy-twice" => Self::PolicyTwice,
            _ => return Err(unknown()),
        })
    }
}

/// Whose card it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// A YubiKey.
    YubiKey,
    /// A PIV card of another maker: NIST SP 800-73-4 and nothing else. No attestation, no metadata, no version, a
    /// triple-DES management key, and a CHUID from the factory that tells it from others.
    Foreign,
}

/// Everything that makes one virtual card differ from another.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Whose card it is.
    pub make: Make,
    /// The serial number printed on the device.
    pub serial: u32,
    /// Decides on algorithms, the management key's type and the attestation hierarchy.
    pub firmware: Firmware,
    /// Reported in attestations.
    pub form_factor: FormFactor,
    /// Certified after FIPS 140: said by the f9 certificate and the form factor.
    pub fips: bool,
    /// Certified after CSPN: said by the f9 certificate.
    pub cspn: bool,
    /// What happens when a touch is asked for.
    pub touch: Touch,
    /// How long each command takes on top of its work.
    pub latency: Duration,
    /// Empty for an honest device.
    pub misbehaviours: Vec<Misbehaviour>,
}

impl Profile {
    /// An honest, fast USB-C YubiKey that is touched when it asks for it.
    pub fn new(serial: u32, firmware: Firmware) -> Self {
        Self {
            make: Make::YubiKey,
            serial,
            firmware,
            form_factor: FormFactor::UsbCKeychain,
            fips: false,
            cspn: false,
            touch: Touch::After(Duration::ZERO),
            latency: Duration::ZERO,
            misbehaviours: Vec::new(),
        }
    }

    /// A card of another maker, told from others by the GUID in its CHUID.
    pub fn foreign(serial: u32) -> Self {
        Self { make: Make::Foreign, ..Self::new(serial, Firmware(0, 0, 0)) }
    }

    /// The GUID in the CHUID of a foreign card.
    pub fn guid(&self) -> [u8; 16] {
        let mut guid = *b"inro-foreign----";
        guid[12..].copy_from_slice(&self.serial.to_be_bytes());
        guid
    }

    /// The octet in attestations: the form factor, with the flag of FIPS devices.
    pub(super) fn form_octet(&self) -> u8 {
        self.form_factor as u8 | if self.fips { 0x80 } else { 0 }
    }

    /// The same with one more misbehaviour.
    #[must_use]
    pub fn misbehaving(mut self, misbehaviour: Misbehaviour) -> Self {
        self.misbehaviours.push(misbehaviour);
        self
    }

    /// Whether it has this misbehaviour.
    pub fn has(&self, misbehaviour: &Misbehaviour) -> bool {
        self.misbehaviours.contains(misbehaviour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_command_line_are_understood_or_explained() {
        assert_eq!("5.7.2".parse(), Ok(Firmware(5, 7, 2)));
        assert_eq!("eject-at=f9".parse(), Ok(Misbehaviour::EjectAt(0xf9)));
        assert_eq!("attested-firmware=4.3.1".parse(), Ok(Misbehaviour::AttestedFirmware(Firmware(4, 3, 1))));
        assert_eq!("usb-c-nano".parse(), Ok(FormFactor::UsbCNano));
        for bad in ["5.7", "5.7.2.1", "5.7.x", "999.0.0"] {
            assert_eq!(bad.parse::<Firmware>(), Err(ProfileError::Firmware(bad.to_owned())));
        }
        for bad in ["eject-at=zz", "eject-after", "kind", "attested-serial=-1"] {
            assert_eq!(bad.parse::<Misbehaviour>(), Err(ProfileError::Misbehaviour(bad.to_owned())));
        }
    }
}
