//! PINs, passwords and codes: typed without echo, or read from a file or a file descriptor; never from arguments or the
//! environment. They are wiped when dropped and have no `Debug`.

mod source;
pub(crate) mod terminal;

use zeroize::Zeroizing;

pub(crate) use source::{SecretError, SecretSource};

/// A password or a code.
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// A PIN or PUK: 1 to 64 octets, of which a PIV card takes 8 at the most.
pub(crate) struct Pin(Zeroizing<Vec<u8>>);

/// How long a PIN is that is to be set: from what a bank or a company wants, 6 characters at least, to the 8 that a PIV
/// card takes (NIST SP 800-73-4, part 2, 2.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PinLength(u8);

impl PinLength {
    const LEAST: u8 = 6;
    pub(crate) const LONGEST: u8 = 8;

    /// `None` below 6 and above 8.
    pub(crate) fn at_least(characters: u8) -> Option<Self> {
        (Self::LEAST..=Self::LONGEST).contains(&characters).then_some(Self(characters))
    }

    pub(crate) fn shortest(self) -> u8 {
        self.0
    }

    fn admits(self, length: usize) -> bool {
        (usize::from(self.0)..=usize::from(Self::LONGEST)).contains(&length)
    }
}

impl Default for PinLength {
    fn default() -> Self {
        Self(Self::LEAST)
    }
}

/// Why a PIN isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeakPin {
    #[error("a PIN has {} to {} characters", .0.shortest(), PinLength::LONGEST)]
    Length(PinLength),
    #[error("a PIN has digits, letters and ASCII punctuation only")]
    Characters,
    #[error("this is the factory's PIN or PUK")]
    Factory,
    #[error("this PIN is too easy to guess")]
    Trivial,
    #[error("the two PINs are different")]
    Different,
}

impl Pin {
    const LONGEST: usize = 64;
    const FACTORY_PIN: &[u8] = b"123456";
    const FACTORY_PUK: &[u8] = b"12345678";

    /// Takes a PIN that the token shall judge; `None` when it can't be one.
    pub(crate) fn new(text: &str) -> Option<Self> {
        (1..=Self::LONGEST).contains(&text.len()).then(|| Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// Takes a PIN that is to be set.
    ///
    /// # Errors
    /// [`WeakPin`] when it is too short or too long, the factory's, one character repeated, or a row up or down.
    pub(crate) fn chosen(text: &str, length: PinLength) -> Result<Self, WeakPin> {
        let octets = text.as_bytes();
        if !octets.iter().all(u8::is_ascii_graphic) {
            return Err(WeakPin::Characters);
        }
        if !length.admits(octets.len()) {
            return Err(WeakPin::Length(length));
        }
        if octets == Self::FACTORY_PIN || octets == Self::FACTORY_PUK {
            return Err(WeakPin::Factory);
        }
        let steps_by = |step: u8| octets.windows(2).all(|pair| pair[0].wrapping_add(step) == pair[1]);
        let repeats = |length: usize| octets.chunks(length).all(|part| part == &octets[..length]);
        if steps_by(0) || steps_by(1) || steps_by(u8::MAX) || repeats(2) || repeats(3) || repeats(4) {
            return Err(WeakPin::Trivial);
        }
        Ok(Self(Zeroizing::new(octets.to_vec())))
    }

    /// Takes octets as they are.
    pub(crate) fn of_octets(octets: Zeroizing<Vec<u8>>) -> Self {
        Self(octets)
    }

    pub(crate) fn factory() -> Self {
        Self(Zeroizing::new(Self::FACTORY_PIN.to_vec()))
    }

    pub(crate) fn factory_puk() -> Self {
        Self(Zeroizing::new(Self::FACTORY_PUK.to_vec()))
    }

    pub(crate) fn is_factory(&self) -> bool {
        *self.0 == Self::FACTORY_PIN
    }

    /// Eight octets, the rest FF, as PIV cards take it (NIST SP 800-73-4, part 2, 2.4.3); `None` when it is longer.
    pub(crate) fn padded(&self) -> Option<Zeroizing<[u8; 8]>> {
        let mut block = Zeroizing::new([0xff; 8]);
        block.get_mut(..self.0.len())?.copy_from_slice(&self.0);
        Some(block)
    }

    /// The octets.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_pins_are_padded_with_ff() {
        let pin = |text| Pin::new(text).expect("a PIN");
        assert_eq!(pin("246810").padded().as_deref(), Some(b"246810\xff\xff"));
        assert_eq!(pin("24681012").padded().as_deref(), Some(b"24681012"));
        assert!(pin("246810121").padded().is_none(), "too long for a PIV card");
    }

    #[test]
    fn chosen_pins_are_neither_short_nor_easy() {
        let any = PinLength::default();
        for good in ["862915", "27182818", "pa55-wrd", "135792"] {
            assert!(Pin::chosen(good, any).is_ok(), "{good} was refused");
        }
        for (bad, why) in [
            ("12345", WeakPin::Length(any)),
            ("123456789", WeakPin::Length(any)),
            ("12 4567", WeakPin::Characters),
            ("１２３４５６", WeakPin::Characters),
            ("123456", WeakPin::Factory),
            ("12345678", WeakPin::Factory),
            ("000000", WeakPin::Trivial),
            ("234567", WeakPin::Trivial),
            ("987654", WeakPin::Trivial),
            ("121212", WeakPin::Trivial),
            ("789789", WeakPin::Trivial),
        ] {
            assert_eq!(Pin::chosen(bad, any).err(), Some(why), "{bad}");
        }
    }

    #[test]
    fn who_wants_longer_pins_gets_them() {
        let eight = PinLength::at_least(8).expect("a length");
        assert!(Pin::chosen("27182818", eight).is_ok());
        for bad in ["862915", "8629154", "271828182"] {
            assert_eq!(Pin::chosen(bad, eight).err(), Some(WeakPin::Length(eight)), "{bad}");
        }
        assert_eq!(Pin::chosen("12345678", eight).err(), Some(WeakPin::Factory));
        assert_eq!(Pin::chosen("87654321", eight).err(), Some(WeakPin::Trivial));
        assert!(PinLength::at_least(5).is_none() && PinLength::at_least(9).is_none());
    }
}
