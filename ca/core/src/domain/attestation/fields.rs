//! What a YubiKey says of itself and of a key: firmware, slot, policies, shape.

use std::fmt;

/// A firmware version; versions compare number by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Firmware {
    /// The first number.
    pub major: u8,
    /// The second.
    pub minor: u8,
    /// The third.
    pub patch: u8,
}

impl Firmware {
    /// `major.minor.patch`.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch }
    }

    /// Parses `major.minor.patch`, without signs or superfluous zeros.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| part.parse::<u8>().ok());
        let version = Self::new(numbers.next()??, numbers.next()??, numbers.next()??);
        (numbers.next().is_none() && version.to_string() == text).then_some(version)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A PIV slot for user keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u8);

impl Slot {
    /// PIV Authentication.
    pub const AUTHENTICATION: Self = Self(0x9a);
    /// Digital Signature.
    pub const SIGNATURE: Self = Self(0x9c);

    /// A slot by its PIV key reference: 9a, 9c, 9d, 9e or a retired one, 82 to 95.
    pub fn new(reference: u8) -> Option<Self> {
        matches!(reference, 0x9a | 0x9c | 0x9d | 0x9e | 0x82..=0x95).then_some(Self(reference))
    }

    /// Parses two lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let slot = Self::new(u8::from_str_radix(text, 16).ok()?)?;
        (slot.to_string() == text).then_some(slot)
    }

    /// The PIV key reference.
    pub fn reference(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

macro_rules! named_octet {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $octet:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Reads the octet in the attestation.
            pub fn from_octet(octet: u8) -> Option<Self> {
                match octet { $($octet => Some(Self::$variant),)+ _ => None }
            }

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Reads the stable name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named_octet! {
    /// When the device asks for its PIN before it uses a key.
    PinPolicy {
        /// Never.
        Never = 1 "never",
        /// Once a session.
        Once = 2 "once",
        /// Each time.
        Always = 3 "always",
        /// A fingerprint or the PIN, once a session.
        MatchOnce = 4 "match-once",
        /// A fingerprint or the PIN, each time.
        MatchAlways = 5 "match-always",
    }
}

named_octet! {
    /// When the device asks for a touch before it uses a key.
    TouchPolicy {
        /// Never.
        Never = 1 "never",
        /// Each time.
        Always = 2 "always",
        /// Each time, but a touch lasts 15 seconds.
        Cached = 3 "cached",
    }
}

named_octet! {
    /// The shape of a YubiKey.
    FormFactor {
        /// Not known to the device.
        Unknown = 0 "unknown",
        /// Keychain with USB-A.
        UsbAKeychain = 1 "usb-a-keychain",
        /// Nano with USB-A.
        UsbANano = 2 "usb-a-nano",
        /// Keychain with USB-C.
        UsbCKeychain = 3 "usb-c-keychain",
        /// Nano with USB-C.
        UsbCNano = 4 "usb-c-nano",
        /// Keychain with USB-C and Lightning.
        UsbCLightning = 5 "usb-c-lightning",
        /// Fingerprint reader with USB-A.
        UsbABio = 6 "usb-a-bio",
        /// Fingerprint reader with USB-C.
        UsbCBio = 7 "usb-c-bio",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_number_by_number() {
        let version = |text| Firmware::parse(text).expect("a version");
        assert!(version("5.7.0") > version("5.4.3"));
        assert!(version("5.10.0") > version("5.7.4"));
        for bad in ["5.7", "5.7.4.1", "5.7.256", "05.7.4", "+5.7.4", "5.7.", ""] {
            assert_eq!(Firmware::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn slots_are_the_user_keys_of_piv() {
        for good in ["9a", "9c", "9d", "9e", "82", "95"] {
            assert_eq!(Slot::parse(good).expect("a slot").to_string(), good);
        }
        for bad in ["f9", "9b", "81", "96", "9A", "+9a", "09a", "9", ""] {
            assert_eq!(Slot::parse(bad), None, "{bad:?}");
        }
    }
}
