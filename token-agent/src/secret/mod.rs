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

/// Why a PIN isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeakPin {
    #[error("a PIN has 6 to 8 characters")]
    Length,
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
    /// [`WeakPin`] when it isn't 6 to 8 characters, is the factory's, one character repeated, or a row up or down.
    pub(crate) fn chosen(text: &str) -> Result<Self, WeakPin> {
        let octets = text.as_bytes();
        if !octets.iter().all(u8::is_ascii_graphic) {
            return Err(WeakPin::Characters);
        }
        if !(6..=8).contains(&octets.len()) {
            return Err(WeakPin::Length);
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
        for good in ["862915", "27182818", "pa55-wrd", "135792"] {
            assert!(Pin::chosen(good).is_ok(), "{good} was refused");
        }
        for (bad, why) in [
            ("12345", WeakPin::Length),
            ("123456789", WeakPin::Length),
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
            assert_eq!(Pin::chosen(bad).err(), Some(why), "{bad}");
        }
    }
}
